"""What all documents look like on a terminal: lines that break where they may, and nowhere else."""

from collections.abc import Callable, Iterable

import msgspec
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment

from ringfence.dossier.tongue import NBSP, Tongue

__all__ = ["drawn"]

# To what lays out lines for a terminal a no-break space is a space like any other, and a number
# would be torn apart at its thousands. So until lines are laid out a letter stands for it that is
# nobody's, of the same width.
HELD = "\ue000"


def drawn(parts: Callable[[Tongue], Iterable[RenderableType]], tongue: Tongue) -> RenderableType:
    """Draw what *parts* gives, in the language of *tongue*."""
    return _Held(Group(*parts(msgspec.structs.replace(tongue, gap=HELD))))


class _Held:
    def __init__(self, content: RenderableType) -> None:
        self._content = content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for text, style, control in console.render(self._content, options):
            yield Segment(text.replace(HELD, NBSP), style, control)
