"""Charts on paper: bars and columns, each with its figure beside it, readable in grey.

Drawn by hand, because a chart that needs a legend to be looked up, or colours to be told apart,
is of no use on the copy of a copy.
"""

from collections.abc import Sequence
from datetime import date
from typing import Final, Literal

import msgspec
from reportlab.graphics.shapes import Drawing, Line, Rect, String
from reportlab.lib.colors import Color, HexColor
from reportlab.pdfbase.pdfmetrics import stringWidth

from ringfence.decision import Verdict
from ringfence.dossier.paper import INK, MUTED, ROMAN, RULE, STRONG, WASH, WIDTH, printable
from ringfence.dossier.tongue import Tongue

__all__ = [
    "PLAIN",
    "SIZE",
    "VERDICT_COLOURS",
    "Bar",
    "Part",
    "Stack",
    "bar",
    "bars",
    "columns",
    "split",
]

# Told apart in grey too: half dark, light, nearly black.
VERDICT_COLOURS: Final = {
    Verdict.ALLOW: HexColor(0x3D8F86),
    Verdict.DEFER: HexColor(0xF0C46C),
    Verdict.DENY: HexColor(0x7A1F2B),
}

PLAIN: Final = HexColor(0x5B7FA8)

SIZE = 8.0
"""Points of the type in charts."""


class Bar(msgspec.Struct, frozen=True):
    """A bar, what it is called, and the figure at its end."""

    label: str
    value: float
    figure: str
    colour: Color = PLAIN


class Part(msgspec.Struct, frozen=True):
    """A part of a whole."""

    label: str
    value: float
    colour: Color


class Stack(msgspec.Struct, frozen=True):
    """What lies on one day, from below."""

    day: date
    values: tuple[int, ...]


def bars(
    items: Sequence[Bar], *, label_width: float = 150.0, figure_width: float = 70.0
) -> Drawing:
    """Draw horizontal bars, one under the other."""
    step, thickness = 15.0, 9.0
    drawing = Drawing(WIDTH, step * len(items) + 4)
    most = max((item.value for item in items), default=0) or 1
    room = WIDTH - label_width - figure_width
    for index, item in enumerate(items):
        y = drawing.height - step * (index + 1) + 2
        drawing.add(_text(label_width - 6, y + 1.5, item.label, anchor="end", limit=label_width))
        length = max(0.8, room * item.value / most) if item.value else 0.0
        drawing.add(_rect(label_width, y, length, thickness, item.colour))
        drawing.add(_text(label_width + length + 4, y + 1.5, item.figure, font=STRONG))
    drawing.add(_line(label_width, 0, label_width, drawing.height))
    return drawing


def bar(share: float, figure: str, colour: Color, width: float) -> Drawing:
    """Draw one bar for a cell of a table, its figure at its end; *share* is of the longest bar."""
    drawing = Drawing(width, 9)
    length = max(0.8, (width - 42) * share)
    drawing.add(_rect(0, 0.5, length, 7, colour))
    drawing.add(_text(length + 4, 1.2, figure))
    return drawing


def split(parts: Sequence[Part]) -> Drawing:
    """Draw a whole as one bar; each part has its label above or below it, whichever is free."""
    height, thickness = 46.0, 14.0
    drawing = Drawing(WIDTH, height)
    whole = sum(part.value for part in parts)
    base = (height - thickness) / 2
    if not whole:
        drawing.add(_rect(0, base, WIDTH, thickness, WASH))
        return drawing
    x, free = 0.0, {True: 0.0, False: 0.0}
    for part in parts:
        length = WIDTH * part.value / whole
        drawing.add(_rect(x, base, length, thickness, part.colour))
        wide = stringWidth(part.label, ROMAN, SIZE)
        above = free[True] <= x
        at = min(max(x, free[above]), WIDTH - wide)
        drawing.add(_text(at, base + thickness + 5 if above else base - 11, part.label))
        free[above] = at + wide + 10
        x += length
    return drawing


def columns(
    stacks: Sequence[Stack], colours: Sequence[Color], tongue: Tongue, *, height: float = 110.0
) -> Drawing:
    """Draw a column a day, with a scale at the left and days beneath."""
    left, bottom, top = 38.0, 16.0, 8.0
    drawing = Drawing(WIDTH, height)
    most = max((sum(stack.values) for stack in stacks), default=0)
    ceiling = _ceiling(most)
    scale = (height - bottom - top) / ceiling
    for part in range(3):
        value = ceiling * part // 2
        y = bottom + value * scale
        drawing.add(_line(left, y, WIDTH, y))
        drawing.add(_text(left - 5, y - 2.8, tongue.count(value), anchor="end", muted=True))
    step = (WIDTH - left) / max(1, len(stacks))
    for index, stack in enumerate(stacks):
        x, y = left + step * index, bottom
        for value, colour in zip(stack.values, colours, strict=True):
            drawing.add(_rect(x + step * 0.15, y, step * 0.7, value * scale, colour))
            y += value * scale
        if stack.day.day == 1 or stack.day.day % 5 == 0 or index == 0:
            day = str(stack.day.day) if stack.day.day > 1 and index else _first(stack.day, tongue)
            drawing.add(_text(x + step / 2, 4, day, anchor="middle", muted=True))
    return drawing


def _first(day: date, tongue: Tongue) -> str:
    return f"{day:%d/%m}" if tongue.french else tongue.short_day(day)[:-5]


def _ceiling(most: int) -> int:
    """Give a round even number that is not below."""
    step = 2
    while True:
        for factor in (1, 2, 3, 5):
            if step * factor >= most:
                return step * factor
        step *= 10


def _text(  # noqa: PLR0913 - a text has a place and a look
    x: float,
    y: float,
    text: str,
    *,
    anchor: Literal["start", "middle", "end"] = "start",
    font: str = ROMAN,
    muted: bool = False,
    limit: float | None = None,
) -> String:
    shown = printable(text)
    if limit is not None:
        while len(shown) > 4 and stringWidth(shown, font, SIZE) > limit - 6:
            shown = shown[:-2].rstrip("…") + "…"
    return String(
        x,
        y,
        shown,
        fontName=font,
        fontSize=SIZE,
        fillColor=MUTED if muted else INK,
        textAnchor=anchor,
    )


def _rect(x: float, y: float, width: float, height: float, colour: Color) -> Rect:
    shape = Rect(x, y, width, height)
    shape.fillColor, shape.strokeColor = colour, None
    return shape


def _line(x1: float, y1: float, x2: float, y2: float) -> Line:
    return Line(x1, y1, x2, y2, strokeColor=RULE, strokeWidth=0.5)
