"""What all documents look like on paper: page, header, footer, type, tables; PDF by reportlab.

The same content gives the same bytes. Type is set in the fonts that every reader of PDF has, so
nothing is downloaded or embedded; what their alphabet (Windows-1252) lacks is printed as `?`.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from typing import Final, Literal
from xml.sax.saxutils import escape

import msgspec
from reportlab.lib.colors import Color, HexColor, white
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    LongTable,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

from ringfence.dossier.tongue import Tongue

__all__ = [
    "ACCENT",
    "ALARM",
    "INK",
    "MUTED",
    "ROMAN",
    "RULE",
    "STRONG",
    "WASH",
    "WIDTH",
    "Cell",
    "Column",
    "Marked",
    "Sheet",
    "alarm",
    "bold",
    "box",
    "cell",
    "facts",
    "figures",
    "gap",
    "heading",
    "mono",
    "printable",
    "printed",
    "prose",
    "small",
    "table",
    "ticked",
    "title",
]

LEFT = RIGHT = 18 * mm
TOP, BOTTOM = 27 * mm, 23 * mm
WIDTH: Final = A4[0] - LEFT - RIGHT
"""Of what is printed, in points."""

INK: Final = HexColor(0x1B2330)
MUTED: Final = HexColor(0x5A6472)
RULE: Final = HexColor(0xC8CED6)
WASH: Final = HexColor(0xF2F4F7)
ACCENT: Final = HexColor(0x1F3F66)
ALARM: Final = HexColor(0xA11D21)

ROMAN, STRONG, FIXED = "Helvetica", "Helvetica-Bold", "Courier"


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """What stands on every page of a document, and in its metadata."""

    title: str
    principal: str
    """At the left of the header."""
    subject: str
    """At its right."""
    basis: str
    """In the footer: the head of the evidence chain, or what else the document rests on."""
    issued: datetime
    zone: str
    release: str
    tongue: Tongue


class Marked(str):
    """Text that is markup of reportlab's already, and not to be escaped again."""

    __slots__ = ()


Cell = str | Flowable | list[Flowable]


def printable(text: str) -> str:
    """Give the text as the fonts can print it."""
    return text.encode("cp1252", "replace").decode("cp1252")


def _markup(text: str) -> str:
    return text if isinstance(text, Marked) else escape(printable(text))


def bold(text: str) -> Marked:
    return Marked(f"<b>{_markup(text)}</b>")


def ticked(*, yes: bool) -> Marked:
    return Marked(f'<font name="ZapfDingbats">{"✔" if yes else "✘"}</font>')


def mono(text: str) -> Marked:
    """Set what is compared character by character in a type whose characters can be told apart."""
    return Marked(f'<font name="{FIXED}">{_markup(text)}</font>')


# --- the document ---------------------------------------------------------------------------------


def printed(sheet: Sheet, content: Callable[[], Sequence[Flowable]]) -> bytes:
    """Print a document. *content* is called twice: first to count the pages that it takes."""
    pages = _build(sheet, content(), BytesIO(), total=0)
    file = BytesIO()
    _build(sheet, content(), file, total=pages)
    return file.getvalue()


def _build(sheet: Sheet, content: Sequence[Flowable], file: BytesIO, total: int) -> int:
    document = BaseDocTemplate(
        file,
        pagesize=A4,
        leftMargin=LEFT,
        rightMargin=RIGHT,
        topMargin=TOP,
        bottomMargin=BOTTOM,
        title=sheet.title,
        author=sheet.principal,
        subject=sheet.subject,
        creator=f"ringfence {sheet.release}",
        lang="fr-FR" if sheet.tongue.french else "en-GB",
        invariant=1,
    )
    frame = Frame(LEFT, BOTTOM, WIDTH, A4[1] - TOP - BOTTOM, 0, 0, 0, 0)
    drawn = partial(_page, sheet, total)
    document.addPageTemplates([PageTemplate("page", [frame], onPage=drawn)])
    document.build(list(content))
    return int(document.page)


def _page(sheet: Sheet, total: int, canvas: Canvas, _document: BaseDocTemplate) -> None:
    """Draw header and footer."""
    # `invariant` dates a file to the year 2000; a document that is filed bears its date of issue.
    stamp = sheet.issued.astimezone(UTC).strftime("D:%Y%m%d%H%M%S+00'00'")
    canvas.setDateFormatter(lambda *_: stamp)
    right, head, foot = A4[0] - RIGHT, A4[1] - TOP + 9 * mm, BOTTOM - 8 * mm
    canvas.saveState()
    canvas.setStrokeColor(RULE)
    canvas.setLineWidth(0.5)
    canvas.line(LEFT, head - 2.5 * mm, right, head - 2.5 * mm)
    canvas.line(LEFT, foot + 4.5 * mm, right, foot + 4.5 * mm)
    canvas.setFillColor(INK)
    canvas.setFont(STRONG, 9)
    canvas.drawString(LEFT, head, printable(sheet.principal))
    canvas.setFillColor(MUTED)
    canvas.setFont(ROMAN, 9)
    canvas.drawRightString(right, head, printable(sheet.subject))
    canvas.setFont(ROMAN, 7)
    for line, text in enumerate(_footer(sheet)):
        canvas.drawString(LEFT, foot - 3.2 * mm * line, printable(text))
    page = canvas.getPageNumber()
    said = sheet.tongue(f"Page {page} sur {total}", f"Page {page} of {total}")
    canvas.drawRightString(right, foot, said)
    canvas.restoreState()


def _footer(sheet: Sheet) -> tuple[str, str]:
    at = sheet.tongue.moment(sheet.issued, sheet.zone)
    issued = sheet.tongue(f"Établi le {at} ({sheet.zone})", f"Issued on {at} ({sheet.zone})")
    return f"{issued} · ringfence {sheet.release}", sheet.basis


# --- type -----------------------------------------------------------------------------------------

_BODY = ParagraphStyle(
    "body", fontName=ROMAN, fontSize=9, leading=12.5, textColor=INK, spaceAfter=2.2 * mm
)
_SMALL = ParagraphStyle("small", _BODY, fontSize=7.5, leading=10, textColor=MUTED, spaceAfter=0)
_CELL = ParagraphStyle("cell", _BODY, fontSize=8.5, leading=11, spaceAfter=0)
_ALARM = ParagraphStyle("alarm", _CELL, fontName=STRONG, textColor=ALARM)
_BENEATH = ParagraphStyle("beneath", _SMALL, fontSize=7.3, leading=9.2)
_NUMBER = ParagraphStyle("number", _CELL, alignment=TA_RIGHT)
_LABEL = ParagraphStyle("label", _CELL, textColor=MUTED)
_COLUMN = ParagraphStyle("column", _CELL, fontName=STRONG, fontSize=7.5, textColor=MUTED)
_COLUMN_NUMBER = ParagraphStyle("column number", _COLUMN, alignment=TA_RIGHT)
_TITLE = ParagraphStyle(
    "title", _BODY, fontName=STRONG, fontSize=18, leading=22, textColor=ACCENT, spaceAfter=1 * mm
)
_SUBTITLE = ParagraphStyle(
    "subtitle", _BODY, fontSize=11, leading=14, textColor=MUTED, spaceAfter=5 * mm
)
_HEADING = ParagraphStyle(
    "heading",
    _BODY,
    fontName=STRONG,
    fontSize=12,
    leading=15,
    textColor=ACCENT,
    spaceBefore=3 * mm,
    spaceAfter=1.5 * mm,
)
_FIGURE = ParagraphStyle("figure", _BODY, fontName=STRONG, fontSize=16, leading=19, spaceAfter=0)


def title(text: str, beneath: str) -> list[Flowable]:
    return [Paragraph(_markup(text), _TITLE), Paragraph(_markup(beneath), _SUBTITLE)]


class _Heading(Paragraph):
    """A heading that the outline of the PDF lists too."""

    def __init__(self, text: str) -> None:
        super().__init__(_markup(text), _HEADING)
        self._text = printable(text)

    def draw(self) -> None:
        # Content is built anew for each pass, so the object tells headings of one text apart.
        mark = f"{self._text}-{self.canv.getPageNumber()}"
        self.canv.bookmarkHorizontal(mark, 0, self.height)
        self.canv.addOutlineEntry(self._text, mark, 0)
        super().draw()


def heading(text: str, room: float = 35.0) -> list[Flowable]:
    """Give a heading, on a page that has *room* millimetres for it and for what follows."""
    return [CondPageBreak(room * mm), _Heading(text)]


def prose(*lines: str) -> Flowable:
    return Paragraph("<br/>".join(map(_markup, lines)), _BODY)


def small(*lines: str) -> Flowable:
    return Paragraph("<br/>".join(map(_markup, lines)), _SMALL)


def cell(*lines: str, muted: Sequence[str] = ()) -> list[Flowable]:
    """Give a cell of a table: *lines*, and beneath them in small type those *muted*."""
    parts: list[Flowable] = []
    if lines:
        parts.append(Paragraph("<br/>".join(map(_markup, lines)), _CELL))
    if muted:
        parts.append(Paragraph("<br/>".join(map(_markup, muted)), _BENEATH))
    return parts


def gap(millimetres: float) -> Flowable:
    return Spacer(1, millimetres * mm)


# --- tables ---------------------------------------------------------------------------------------


class Column(msgspec.Struct, frozen=True):
    """A column of a table: what stands above it, and its part of the width."""

    name: str
    share: float
    align: Literal["left", "right"] = "left"


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    *,
    bars: Sequence[Color | None] = (),
    tight: bool = False,
) -> Flowable:
    """Give a table over the whole width, which breaks across pages under a repeated header.

    *bars* gives rows a coloured bar at their left; *tight* rows are of one line each.
    """
    whole = sum(column.share for column in columns)
    head = [
        Paragraph(_markup(c.name), _COLUMN if c.align == "left" else _COLUMN_NUMBER)
        for c in columns
    ]
    body = [
        [_set(value, column) for value, column in zip(row, columns, strict=True)] for row in rows
    ]
    return LongTable(
        [head, *body],
        colWidths=[WIDTH * column.share / whole for column in columns],
        repeatRows=1,
        style=_ruled(bars, padding=1.5 if tight else 3),
        spaceAfter=3 * mm,
    )


def _ruled(bars: Sequence[Color | None], padding: float) -> TableStyle:
    style = TableStyle(
        [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("TOPPADDING", (0, 0), (-1, -1), padding),
            ("BOTTOMPADDING", (0, 0), (-1, -1), padding + 1),
            ("LEFTPADDING", (0, 0), (-1, -1), 5),
            ("RIGHTPADDING", (0, 0), (-1, -1), 5),
            ("LINEBELOW", (0, 0), (-1, 0), 0.8, INK),
            ("LINEBELOW", (0, 1), (-1, -1), 0.3, RULE),
        ]
    )
    for row, colour in enumerate(bars, start=1):
        if colour is not None:
            style.add("LINEBEFORE", (0, row), (0, row), 2.5, colour)
    return style


def _set(value: Cell, column: Column) -> Flowable | list[Flowable]:
    if not isinstance(value, str):
        return value
    return Paragraph(_markup(value), _CELL if column.align == "left" else _NUMBER)


def facts(pairs: Sequence[tuple[str, Cell]]) -> Flowable:
    """Give labels, and what they stand for."""
    rows = [
        [Paragraph(_markup(label), _LABEL), _set(value, Column("", 1))] for label, value in pairs
    ]
    return Table(
        rows,
        colWidths=[WIDTH * 0.27, WIDTH * 0.73],
        style=TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("TOPPADDING", (0, 0), (-1, -1), 2),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("RIGHTPADDING", (0, 0), (-1, -1), 4),
                ("LINEBELOW", (0, 0), (-1, -1), 0.3, RULE),
            ]
        ),
        spaceAfter=3 * mm,
    )


def figures(pairs: Sequence[tuple[str, str]]) -> Flowable:
    """Give a row of figures, each above what it counts."""
    cells = [
        [Paragraph(_markup(figure), _FIGURE), Paragraph(_markup(label), _SMALL)]
        for figure, label in pairs
    ]
    return Table(
        [cells],
        colWidths=[WIDTH / len(pairs)] * len(pairs),
        style=TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("BACKGROUND", (0, 0), (-1, -1), WASH),
                ("LINEBEFORE", (1, 0), (-1, -1), 3, white),
                ("TOPPADDING", (0, 0), (-1, -1), 6),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 7),
                ("LEFTPADDING", (0, 0), (-1, -1), 8),
                ("RIGHTPADDING", (0, 0), (-1, -1), 4),
            ]
        ),
        spaceAfter=4 * mm,
    )


def box(*lines: str) -> Flowable:
    """Set off what must not be overlooked."""
    return _box([Paragraph(_markup(line), _CELL) for line in lines], ACCENT)


def alarm(*lines: str) -> Flowable:
    """Set off what makes a document worth nothing, or less."""
    return _box([Paragraph(_markup(line), _ALARM) for line in lines], ALARM)


def _box(lines: list[Flowable], colour: Color) -> Flowable:
    return Table(
        [[lines]],
        colWidths=[WIDTH],
        style=TableStyle(
            [
                ("BACKGROUND", (0, 0), (-1, -1), WASH),
                ("LINEBEFORE", (0, 0), (0, -1), 2.5, colour),
                ("TOPPADDING", (0, 0), (-1, -1), 6),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 7),
                ("LEFTPADDING", (0, 0), (-1, -1), 9),
                ("RIGHTPADDING", (0, 0), (-1, -1), 9),
            ]
        ),
        spaceBefore=2 * mm,
        spaceAfter=4 * mm,
    )
