"""The page of formats is of the formats as they are."""

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from ringfence import vectors
from ringfence.event import AnyEvent, Event, Proof
from ringfence.evidence.columns import COLUMNS
from ringfence.ledger.columns import NAMES, PROOF_NAMES, names_of
from ringfence.ledger.form import KINDS
from ringfence.ledger.moment import BadDate, read_day, read_moment
from ringfence.number import METROPOLE, parse
from ringfence.scrub import ADDED, ROLES
from ringfence.wire import decode_reply

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
EVENTS = get_args(AnyEvent)


def table(header: str) -> dict[str, list[str]]:
    """Give the rows of a table by what its first cell names; a cell may name several things."""
    body = PAGE.split(f"\n{header}\n")[1].split("\n\n")[0].splitlines()[1:]
    cells = [[cell.strip() for cell in row[1:-1].split("|")] for row in body]
    return {name: row[1:] for row in cells for name in named(row[0])}


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def snippets() -> list[str]:
    return re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


# --- imports --------------------------------------------------------------------------------------


def test_of_each_kind_the_page_says_what_lines_need_and_what_they_take() -> None:
    told = table("| `--kind` | needs | takes | dates it forgives |")

    proofs = {True: tuple(PROOF_NAMES), False: ()}
    assert {name: (named(row[0]), named(row[1]), row[2]) for name, row in told.items()} == {
        kind.name: (
            list(kind.needed),
            [*kind.takes, *proofs[kind.proved]],
            "yes" if kind.forbids else "no",
        )
        for kind in KINDS.values()
    }


def test_the_page_has_every_name_that_a_column_may_have() -> None:
    roles, dates = table("| role | names |"), table("| kind | further names of its date |")

    told = {role: named(row[0]) for role, row in roles.items()}
    assert told == {role: names.split(", ") for role, names in (NAMES | PROOF_NAMES).items()}
    assert {kind: [*told["date"], *named(row[0])] for kind, row in dates.items()} == {
        kind: names_of(kind)["date"].split(", ") for kind in KINDS
    }


def test_numbers_are_read_as_the_page_says() -> None:
    (paragraph,) = re.findall(
        r"^\*\*Numbers\*\* (.+?) What has become", PAGE, re.MULTILINE | re.DOTALL
    )

    assert {parse(text).e164 for text in named(paragraph)} == {"+33639980001"}


@pytest.mark.parametrize("text", table("| written | is |"))
def test_dates_are_read_as_the_page_says(text: str) -> None:
    moment = read_moment(text, (METROPOLE,), latest=True)

    assert moment.on.year == 2026
    assert moment.timed == any(sign in text for sign in ":,")


def test_another_date_is_an_error() -> None:
    with pytest.raises(BadDate):
        read_day("11/24/2026")


def test_the_page_has_what_a_scrub_reads_and_adds() -> None:
    section = PAGE.split("## Scrubbing a list")[1].split("\n## ")[0]

    assert {*ROLES, *ADDED} <= set(named(section))


# --- exports --------------------------------------------------------------------------------------


def test_the_page_has_every_column_of_an_export_and_no_other() -> None:
    assert sorted(table("| column | says |")) == sorted(COLUMNS)


# --- events ---------------------------------------------------------------------------------------


def fields(kind: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


def test_the_page_has_every_kind_of_event_with_its_key_and_its_fields() -> None:
    told = table("| kind | key | fields | says |")

    assert {kind: (row[0], set(named(row[1]))) for kind, row in told.items()} == {
        str(kind.__struct_config__.tag): (
            "purpose" if kind.purposeful else "number",
            fields(kind) - fields(Event),
        )
        for kind in EVENTS
    }


def test_the_page_has_every_field_that_events_share() -> None:
    told = set(table("| field | |"))

    in_clear = {"to", "purpose", "consumer"}
    assert told == {"kind", *fields(Event)} - in_clear
    assert fields(Proof) <= set(named(PAGE.split("A `proof` has")[1].split("\n\n")[0]))


def test_the_answers_are_those_of_the_ledger() -> None:
    answers, _ = snippets()

    for line in answers.splitlines():
        packed = msgspec.msgpack.encode(msgspec.json.decode(line))
        told_again = msgspec.json.encode(decode_reply(packed))
        assert msgspec.json.decode(told_again) == msgspec.json.decode(line)


def test_the_vectors_are_met() -> None:
    _, text = snippets()
    world = vectors.read(text.encode())

    assert list(vectors.wrong_keys(world)) == []
    assert [result.met for result in vectors.run(world)] == [True]
