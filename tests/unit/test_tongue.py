"""French and English as they are printed."""

from datetime import date
from decimal import Decimal
from io import StringIO

import pytest
from rich.console import Console, RenderableType
from rich.text import Text
from tests.unit.dossiers import at

from ringfence.campaign import SECTORS
from ringfence.dossier import vocabulary
from ringfence.dossier.screen import drawn
from ringfence.dossier.tongue import ENGLISH, FRENCH, Tongue


def spaced(text: str) -> str:
    """Show no-break spaces, which look like others."""
    return text.replace("\u00a0", "~")


@pytest.mark.parametrize(
    ("written", "set_"),
    [
        ("Motif : refus ; deux fois !", "Motif~: refus~; deux fois~!"),
        ("« oui »", "«~oui~»"),
        ("l'art. R223-1", "l’art.~R223-1"),
        ("C. conso., art. D223-9 al. 3", "C. conso., art.~D223-9 al.~3"),
        ("12 345 678 euros, 50 %", "12~345~678 euros, 50~%"),
        ("le 24 novembre 2026", "le 24~novembre 2026"),
        ("06 39 98 00 01", "06~39~98~00~01"),
        ("registre, n° 12", "registre, n°~12"),
    ],
)
def test_french_keeps_together_what_a_line_must_not_part(written: str, set_: str) -> None:
    assert spaced(FRENCH.typeset(written)) == set_


def test_english_has_no_space_before_a_colon() -> None:
    assert spaced(ENGLISH.typeset("Reason: it's art. R223-1")) == "Reason: it’s art.~R223-1"


def test_a_sentence_is_given_in_its_language() -> None:
    assert (FRENCH("oui", "yes"), ENGLISH("oui", "yes")) == ("oui", "yes")


def test_numbers_and_amounts() -> None:
    told = [
        (tongue.count(1_234_567), tongue.euros(375_000), tongue.cents(Decimal("1052.18")))
        for tongue in (FRENCH, ENGLISH)
    ]

    assert [[*map(spaced, each)] for each in told] == [
        ["1~234~567", "375~000~€", "1~052,18~€"],
        ["1,234,567", "€375,000", "€1,052.18"],
    ]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Acme Télécom", "d'Acme Télécom"),
        ("Énergie B", "d'Énergie B"),
        ("Habitat Conseil", "d'Habitat Conseil"),
        ("Œuvres", "d'Œuvres"),
        ("Globex", "de Globex"),
        ("3 Suisses", "de 3 Suisses"),
        ("", "de "),
    ],
)
def test_french_elides_before_a_vowel(name: str, written: str) -> None:
    assert FRENCH.of(name) == written


def test_a_share_of_nothing_is_none() -> None:
    assert spaced(FRENCH.share(1, 3)) == "33,3~%"
    assert ENGLISH.share(1, 3) == "33.3%"
    assert FRENCH.share(0, 0) == "–"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.0, "0~ms"),
        (0.0424, "42~ms"),
        (59.94, "59,9~s"),
        (61, "1~min 01~s"),
        (3_725, "1~h 02~min"),
        (200_000, "2~j 7~h"),
    ],
)
def test_a_duration_is_told_in_the_units_that_fit(seconds: float, written: str) -> None:
    assert spaced(FRENCH.span(seconds)) == written


def test_dates_and_times_are_those_of_the_zone() -> None:
    moment = at("2026-12-01T00:30")

    assert spaced(FRENCH.moment(moment, "Europe/Paris")) == "1er~décembre 2026 à 00:30:00"
    assert spaced(ENGLISH.moment(moment, "Indian/Reunion")) == "1~December 2026, 03:30:00"
    assert spaced(FRENCH.stamp(moment, "America/Martinique")) == "30/11/2026~19:30:00"
    assert FRENCH.local_day(moment, "America/Martinique") == date(2026, 11, 30)


def test_a_number_is_written_as_it_is_read_out() -> None:
    assert spaced(FRENCH.number("+33639980001")) == "06~39~98~00~01"
    assert spaced(ENGLISH.number("+262262910001")) == "+262~262~91~00~01"


def test_every_sector_has_a_name_in_both_languages() -> None:
    assert vocabulary.SECTORS.keys() == SECTORS


# --- on a terminal --------------------------------------------------------------------------------


@pytest.mark.parametrize("width", range(11, 30))
def test_a_terminal_breaks_no_line_within_a_number(width: int) -> None:
    def parts(tongue: Tongue) -> list[RenderableType]:
        told = f"Décisions : {tongue.count(3_377)} ; coût : {tongue.euros(375_000)}"
        return [Text(tongue(told, ""))]

    console = Console(file=StringIO(), width=width)
    console.print(drawn(parts, FRENCH))
    assert isinstance(console.file, StringIO)

    shown = spaced(console.file.getvalue())
    for whole in ("Décisions~:", "3~377~;", "375~000~€"):
        assert whole in shown
    assert "\ue000" not in shown
