"""What all documents look like on paper."""

import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta

import msgspec
import pytest
from reportlab.graphics.shapes import Drawing, Rect, String
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.platypus import Flowable
from tests.unit.dossiers import NOW, RELEASE, lines_of, text_of

from ringfence.decision import Verdict
from ringfence.dossier import paper
from ringfence.dossier.chart import (
    PLAIN,
    SIZE,
    VERDICT_COLOURS,
    Bar,
    Part,
    Stack,
    bars,
    columns,
    split,
)
from ringfence.dossier.paper import Column, Sheet
from ringfence.dossier.tongue import ENGLISH, FRENCH

SHEET = Sheet(
    title="Dossier du 06 39 98 00 01",
    principal="Acme Télécom SAS",
    subject="Dossier",
    basis="chaîne 6a7ac870ee8f99a0, tête n° 6",
    issued=NOW,
    zone="Europe/Paris",
    release=RELEASE,
    tongue=FRENCH,
)

Content = Callable[[], Sequence[Flowable]]


def long_table(rows: int) -> Content:
    head = [Column("Heading", 1), Column("Number", 1, "right")]
    return lambda: [paper.table(head, [[f"row {n}", str(n)] for n in range(rows)])]


def test_the_same_content_gives_the_same_bytes() -> None:
    first, again = (paper.printed(SHEET, long_table(90)) for _ in range(2))

    assert first == again


def test_every_page_has_header_footer_and_its_number() -> None:
    lines = [line.replace("\u00a0", " ") for line in lines_of(paper.printed(SHEET, long_table(90)))]

    pages = [line for line in lines if line.startswith("Page ")]
    assert pages == [f"Page {n} sur {len(pages)}" for n in range(1, len(pages) + 1)]
    assert len(pages) > 1
    for text in (
        "Acme Télécom SAS",
        "Dossier",
        "Établi le 30 novembre 2026 à 18:00:00 (Europe/Paris) · ringfence 0.1.0",
        "chaîne 6a7ac870ee8f99a0, tête n° 6",
    ):
        assert lines.count(text) == len(pages)


def test_a_table_repeats_its_header_and_loses_no_row() -> None:
    lines = lines_of(paper.printed(SHEET, long_table(200)))

    pages = sum(line.startswith("Page") for line in lines)
    assert lines.count("Heading") == pages > 2
    assert [line for line in lines if line.startswith("row ")] == [f"row {n}" for n in range(200)]


@pytest.mark.parametrize(
    ("tongue", "language"), [(FRENCH, b"fr-FR"), (ENGLISH, b"en-GB")], ids=["fr", "en"]
)
def test_the_file_says_what_it_is_in_which_language_and_from_when(
    tongue: object, language: bytes
) -> None:
    sheet = msgspec.structs.replace(SHEET, tongue=tongue)

    pdf = paper.printed(sheet, lambda: [paper.prose("x")])

    assert b"/Lang (" + language + b")" in pdf
    assert b"/CreationDate (D:20261130170000+00'00')" in pdf
    assert b"/Title (Dossier du 06 39 98 00 01)" in pdf
    assert b"/Creator (ringfence 0.1.0)" in pdf
    assert re.search(rb"/Author \([^)]*SAS\)", pdf)


def test_what_others_wrote_is_no_markup_and_no_stumbling_block() -> None:
    strange = "<b>&amp; </para> سلام 😀 œuvre – 12 €"

    pdf = paper.printed(
        SHEET,
        lambda: [
            paper.prose(strange),
            paper.table([Column(strange, 1)], [[strange]]),
            paper.facts([(strange, strange)]),
            *paper.heading(strange),
        ],
    )

    set_ = text_of(pdf).replace(" ", "")  # an entity is set apart from the text around it
    assert set_.count("<b>&amp;</para>?????œuvre–12€") == 6


def test_a_heading_is_in_the_outline() -> None:
    pdf = paper.printed(SHEET, lambda: [*paper.heading("Chronologie"), paper.prose("x")])

    assert b"/Title (Chronologie)" in pdf


def test_a_heading_does_not_stand_alone_at_the_foot_of_a_page() -> None:
    def content() -> list[Flowable]:
        return [paper.gap(235), *paper.heading("Chronologie"), paper.prose("what follows")]

    lines = [line.replace("\u00a0", " ") for line in lines_of(paper.printed(SHEET, content))]

    assert lines.index("Chronologie") > lines.index("Page 2 sur 2")


# --- charts ---------------------------------------------------------------------------------------


def texts(drawing: Drawing) -> list[str]:
    return [shape.text for shape in drawing.contents if isinstance(shape, String)]


def lengths(drawing: Drawing) -> list[float]:
    return [shape.width for shape in drawing.contents if isinstance(shape, Rect)]


def test_a_bar_is_as_long_as_its_value_and_bears_its_figure() -> None:
    drawing = bars([Bar("one", 1, "1"), Bar("four", 4, "4"), Bar("none", 0, "0")])

    one, four, none = lengths(drawing)
    assert four == pytest.approx(4 * one)
    assert none == 0
    assert texts(drawing) == ["one", "1", "four", "4", "none", "0"]


def test_bars_of_nothing_are_drawn_all_the_same() -> None:
    assert lengths(bars([Bar("none", 0, "0")])) == [0]
    assert lengths(split([])) == [paper.WIDTH]


def test_a_label_that_is_too_long_is_cut_and_says_so() -> None:
    label, _ = texts(bars([Bar("x" * 200, 1, "1")]))

    assert label.endswith("…")
    assert len(label) < 60


def test_a_whole_is_split_in_proportion_and_every_part_is_named_within_the_width() -> None:
    parts = [
        Part("a very long name of the largest part of all", 97, PLAIN),
        Part("a very long name of a part that is small", 2, PLAIN),
        Part("a very long name of another small part", 1, PLAIN),
    ]

    drawing = split(parts)

    assert lengths(drawing) == pytest.approx([paper.WIDTH * share / 100 for share in (97, 2, 1)])
    assert texts(drawing) == [part.label for part in parts]
    assert all(
        0 <= shape.x <= paper.WIDTH - stringWidth(shape.text, paper.ROMAN, SIZE) + 1
        for shape in drawing.contents
        if isinstance(shape, String)
    )


def test_columns_stand_on_a_scale_that_is_not_exceeded() -> None:
    stacks = [Stack(date(2026, 11, 1) + timedelta(days=n), (n, 2 * n)) for n in range(30)]

    drawing = columns(stacks, [PLAIN, PLAIN], ENGLISH)

    scale = [text for text in texts(drawing) if text.isdecimal()][:3]
    assert scale == ["0", "50", "100"]
    tops = [s.y + s.height for s in drawing.contents if isinstance(s, Rect)]
    assert max(tops) < drawing.height
    assert "1\u00a0Nov" in texts(drawing)


def test_verdicts_can_be_told_apart_in_grey() -> None:
    grey = {
        verdict: 0.299 * colour.red + 0.587 * colour.green + 0.114 * colour.blue
        for verdict, colour in VERDICT_COLOURS.items()
    }

    assert grey[Verdict.DENY] + 0.2 < grey[Verdict.ALLOW] < grey[Verdict.DEFER] - 0.2
