"""A bar for work on a file, and what such work asks of the interpreter."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

__all__ = ["progress", "rare_collections"]


def progress() -> Progress:
    """Make a bar on standard error; none is drawn where that is no terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for cycles seldom: a batch has many objects and none. A sixth of an import's time."""
    often = gc.get_threshold()
    gc.set_threshold(1_000_000)
    try:
        yield
    finally:
        gc.set_threshold(*often)
