"""A scrubbed list: each lead with its verdict where a reader looks for it, and nothing else new."""

import csv
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.call import Call
from ringfence.columns import ColumnError
from ringfence.decision import Decision, Reason, Verdict
from ringfence.number import InvalidNumber, parse
from ringfence.rules.words import words
from ringfence.scrub import ADDED, Order, Scrub, Tally, When, columns_of, header_of
from ringfence.sheet import MAX_RECORD, SheetError, open_sheet

AT = datetime(2026, 12, 1, 9, tzinfo=UTC)
ORDER = Order(campaign="acme-fibre", caller_id="+33162000001", at=AT)
CONSENTED, EARLY, REFUSED = "+33639980001", "+33639980002", "+33639980003"
ANSWERS = {
    CONSENTED: Decision(Verdict.ALLOW, Reason.CONSENT),
    EARLY: Decision(Verdict.DEFER, Reason.OUTSIDE_HOURS, AT + timedelta(hours=5)),
    REFUSED: Decision(Verdict.DENY, Reason.REFUSED),
}


class Oracle:
    """Answers for three numbers, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Call] = []

    async def decide(self, calls: Sequence[Call]) -> list[Decision]:
        self.asked += calls
        return [self._answer(call.to) for call in calls]

    def _answer(self, text: str) -> Decision:
        try:
            return ANSWERS.get(parse(text).e164, Decision(Verdict.DENY, Reason.NO_GROUND))
        except InvalidNumber:
            return Decision(Verdict.DENY, Reason.INVALID_NUMBER)


class Desk:
    """Scrubs what is written to a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.oracle = Oracle()
        self.tally = Tally()

    def scrub(
        self, content: bytes, order: Order = ORDER, named: Mapping[str, str] = MappingProxyType({})
    ) -> bytes:
        self.path.write_bytes(content)
        with open_sheet(self.path, errors="surrogateescape") as sheet:
            scrub = Scrub(order, columns_of(sheet, named), sheet.delimiter, self.oracle.decide)
            records = list(sheet.records(empty=True))
            lines = header_of(sheet) + anyio.run(scrub.lines, records)
            self.tally = scrub.tally
            return lines.encode(sheet.encoding, "surrogateescape")

    def answers(self, text: str, **named: str) -> list[str]:
        """Give verdict and reason of each lead."""
        out = self.scrub(text.encode(), named=named).decode()
        rows = csv.DictReader(StringIO(out), delimiter=";")
        return [f"{row['verdict']} {row['reason']}" for row in rows]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "leads.csv")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("leads") / "leads.csv")


# --- what a lead is given -------------------------------------------------------------------------


def cited(reason: Reason) -> str:
    sentence = words(reason)
    sources = f'"{sentence.sources}"' if len(sentence.articles) > 1 else sentence.sources
    return f"{sources};{sentence.english}"


def test_every_lead_has_its_answer_behind_it(desk: Desk) -> None:
    out = desk.scrub(f"nom;tel\nA;{CONSENTED}\nB;{EARLY}\nC;{REFUSED}\nD;rien\n".encode())

    assert out.decode().splitlines() == [
        "nom;tel;verdict;reason;retry_at;article;sentence",
        f"A;{CONSENTED};allow;consent;;{cited(Reason.CONSENT)}",
        f"B;{EARLY};defer;outside_hours;2026-12-01T14:00:00Z;{cited(Reason.OUTSIDE_HOURS)}",
        f"C;{REFUSED};deny;refused;;{cited(Reason.REFUSED)}",
        "D;rien;deny;invalid_number;;;What is written is not a telephone number.",
    ]


def test_sentences_come_in_french_and_in_the_encoding_of_the_list(desk: Desk) -> None:
    order = msgspec.structs.replace(ORDER, language="fr")

    out = desk.scrub(f"prénom;tel\nZoé;{EARLY}\n".encode("cp1252"), order)

    assert out.decode("cp1252").endswith(
        ";Ce n’est pas l’heure là où vit la personne\u00a0: le démarchage n’est permis que de 10"
        " heures à 13 heures et de 14 heures à 20 heures.\n"
    )


def test_what_a_line_tells_of_a_person_reaches_the_gate(desk: Desk) -> None:
    header = "Tél.;N° client;Département;Code postal"
    lines = [f"{CONSENTED};c-1;974;", f"{EARLY};;;1000", f"{REFUSED};;2a;75011", "06;;;"]

    desk.scrub("\n".join([header, *lines]).encode())

    told = [(c.to, c.consumer, c.department, c.campaign, c.caller_id) for c in desk.oracle.asked]
    shown = (ORDER.campaign, ORDER.caller_id)
    assert told == [
        (CONSENTED, "c-1", "974", *shown),
        (EARLY, None, "01", *shown),  # a spreadsheet has taken the zero away
        (REFUSED, None, "2A", *shown),
        ("06", None, None, *shown),
    ]


@pytest.mark.parametrize(
    ("postal_code", "department"),
    [("97133", "977"), ("97150", "978"), ("97110", "971"), ("97400", "974"), ("97600", "976"),
     ("20000", "20"), ("01000", "01"), ("75 011", "75")],
)  # fmt: skip
def test_a_postal_code_tells_the_department(desk: Desk, postal_code: str, department: str) -> None:
    desk.scrub(f"tel;cp\n{CONSENTED};{postal_code}\n".encode())

    assert [call.department for call in desk.oracle.asked] == [department]


@pytest.mark.parametrize(
    ("place", "called"),
    [
        ("Rhône;", "The department “Rhône”"),
        (";98000", "The postal code “98000”"),
        (";SW1A 1AA", "The postal code “SW1A 1AA”"),
        ("99;", "The department “99”"),
        (";750111", "The postal code “750111”"),
        (";²²²²²", "The postal code “²²²²²”"),
    ],
)
def test_a_place_that_cannot_be_read_is_not_guessed_at(desk: Desk, place: str, called: str) -> None:
    """By the number alone a person in Réunion might be called at night."""
    answers = desk.answers(f"tel;dep;cp\n{CONSENTED};{place}\n")

    assert answers == ["deny unsupported_destination"]
    assert desk.oracle.asked == []
    assert desk.tally.troubled == 1
    assert desk.tally.troubles == [f"line 2: {called} is not French."]


def test_the_row_names_the_place_that_cannot_be_read(desk: Desk) -> None:
    """It is not the call that leaves France."""
    leads = f"tél;cp\n{CONSENTED};2A004\n{CONSENTED};{'9' * 50}\n".encode("cp1252")

    english = desk.scrub(leads).decode("cp1252")
    french = desk.scrub(leads, msgspec.structs.replace(ORDER, language="fr")).decode("cp1252")

    assert ";The postal code “2A004” is not French.\n" in english
    assert ";Le code postal «\u00a02A004\u00a0» n’est pas français.\n" in french
    assert f"“{'9' * 40}”" in english
    assert desk.tally.troubles[0] == (
        "ligne 2\u00a0: Le code postal «\u00a02A004\u00a0» n’est pas français."
    )


def test_what_could_not_be_read_is_told_in_french_too(desk: Desk) -> None:
    desk.scrub(b'tel;nom\n1;2;3\n1;"a"b\n', msgspec.structs.replace(ORDER, language="fr"))

    assert desk.tally.troubles == [
        "ligne 2\u00a0: plus de cellules que l’en-tête n’a de colonnes",
        "ligne 3\u00a0: guillemets mal placés (';' expected after '\"')",
    ]


@pytest.mark.parametrize("text", ['="0639980001"', "'0639980001", "(+33) 6 39 98 00 01"])
def test_numbers_are_read_as_spreadsheets_write_them(desk: Desk, text: str) -> None:
    assert desk.answers(f"tel;nom\n{text};A\n") == ["allow consent"]


def test_columns_can_be_named(desk: Desk) -> None:
    answers = desk.answers(f"fixe;tel;mobile\n;;{CONSENTED}\n", number="mobile")

    assert answers == ["allow consent"]


# --- what stays -----------------------------------------------------------------------------------


def test_lines_that_say_nothing_are_passed_through(desk: Desk) -> None:
    out = desk.scrub(f"\n\ntel;nom\n\n;\n{CONSENTED};A\n\n".encode())

    lines = out.decode().split("\n")
    assert lines[:2] + lines[3:5] + lines[6:] == ["", "", "", ";", "", ""]
    assert desk.tally.leads == 1


letters = st.sampled_from(["a", "é", " ", ";", ",", "\t", '"', "\n", "\r\n", "'", "0"])
cells = st.lists(letters, max_size=6).map("".join)
leads = st.lists(st.tuples(cells, st.sampled_from([CONSENTED, EARLY, "06"]), cells), max_size=8)


@given(
    leads=leads,
    delimiter=st.sampled_from(";,\t"),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_without_its_last_columns_the_list_is_the_same_to_the_byte(
    shared: Desk,
    leads: list[tuple[str, str, str]],
    delimiter: str,
    end: str,
    encoding: str,
    quoting: Literal[0, 1],
) -> None:
    paper = StringIO()
    csv.writer(paper, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(
        [("prénom", "tel", "note"), *leads]
    )
    content = paper.getvalue().encode(encoding)

    out = shared.scrub(content).decode(encoding)

    rows = list(csv.reader(StringIO(out, newline=""), delimiter=delimiter, strict=True))
    assert [row[3:] for row in rows[:1]] == [list(ADDED)]
    for row in reversed(rows):
        ending = StringIO()
        csv.writer(ending, delimiter=delimiter, lineterminator="").writerow(["", *row[3:]])
        before, found, after = out.rpartition(ending.getvalue())
        assert found
        out = before + "\0" + after
    assert out.replace("\0", "").encode(encoding) == content


def test_bytes_that_are_no_letters_stay(desk: Desk) -> None:
    out = desk.scrub(b"tel;nom\n+33639980001;\x81\xe9\n")

    assert b";\x81\xe9;allow;" in out


# --- lines that are out of shape ------------------------------------------------------------------


@given(st.text(st.sampled_from('a;"\n\r é'), max_size=40))
def test_no_verdict_stands_where_a_reader_does_not_look(shared: Desk, body: str) -> None:
    """However a line is broken, whoever reads the list by its columns finds an answer there."""
    text = f"nom;tel;note\n{body}\nA;{CONSENTED};x\n"

    out = shared.scrub(text.encode()).decode()

    rows = list(csv.reader(StringIO(out, newline=""), delimiter=";", strict=True))
    assert rows[0] == ["nom", "tel", "note", *ADDED]
    said = [row for row in rows if any(row)]
    assert all(len(row) == len(rows[0]) for row in said)
    assert all(row[3] in set(Verdict) for row in said[1:])
    allowed = [row for row in said if row[3] == "allow"]
    assert all(row[1] == CONSENTED for row in allowed)
    assert len(said) - 1 == shared.tally.leads


def test_a_short_line_is_filled_up(desk: Desk) -> None:
    out = desk.scrub(f"nom;tel;note\nA;{CONSENTED}\nB\n".encode()).decode()

    assert f"\nA;{CONSENTED};;allow;" in out
    assert "\nB;;;deny;invalid_number;" in out


def test_empty_cells_behind_the_last_column_are_dropped(desk: Desk) -> None:
    out = desk.scrub(f"nom;tel\nA;{CONSENTED};;\n".encode()).decode()

    assert f"\nA;{CONSENTED};allow;" in out


@pytest.mark.parametrize(
    ("line", "cell", "why"),
    [
        (f"A;{CONSENTED};allow", f"A;{CONSENTED};allow", "more fields than the header names"),
        (f'"A"B;{CONSENTED}', f'"A"B;{CONSENTED}', "';' expected after '\"'"),
    ],
)
def test_a_line_that_cannot_be_taken_apart_is_denied_whole(
    desk: Desk, line: str, cell: str, why: str
) -> None:
    out = desk.scrub(f"nom;tel\n{line}\nB;{CONSENTED}\n".encode()).decode()

    _, bad, good = csv.reader(StringIO(out), delimiter=";", strict=True)
    assert bad[:4] == [cell, "", "deny", "invalid_number"]
    assert good[:3] == ["B", CONSENTED, "allow"]
    assert desk.tally.troubles == [f"line 2: {why}"]


def test_a_line_too_long_to_keep_ends_the_list(desk: Desk) -> None:
    with pytest.raises(SheetError, match=r"line 2: more than \d+ characters"):
        desk.scrub(b"tel;nom\n1;" + b"a" * 2 * MAX_RECORD + b"\n")


def test_of_many_troubles_a_few_are_told(desk: Desk) -> None:
    desk.scrub(b"tel;nom\n" + b"1;2;3\n" * 100)

    assert desk.tally.troubled == 100
    assert [trouble.split(":")[0] for trouble in desk.tally.troubles] == [
        f"line {n}" for n in range(2, 7)
    ]


@pytest.mark.parametrize("name", ["verdict", "Reason", " ARTICLE "])
def test_a_list_that_has_verdicts_already_is_not_given_more(desk: Desk, name: str) -> None:
    """Who reads it would find yesterday's first."""
    with pytest.raises(ColumnError, match=f"there is a column {name!r} already"):
        desk.scrub(f"tel;{name}\n{CONSENTED};allow\n".encode())


# --- the tally ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decision", "when"),
    [
        (Decision(Verdict.ALLOW, Reason.CONSENT), When.NOW),
        (Decision(Verdict.DENY, Reason.REFUSED), When.NEVER),
        (Decision(Verdict.DEFER, Reason.REFUSED), When.UNKNOWN),
        *(
            (Decision(Verdict.DEFER, Reason.HOLIDAY, datetime.fromisoformat(text)), when)
            for text, when in [
                ("2026-12-01T22:59:59Z", When.TODAY),
                ("2026-12-01T23:00:00Z", When.WEEK),  # midnight in Paris
                ("2026-12-08T08:59:59Z", When.WEEK),
                ("2026-12-08T09:00:00Z", When.LATER),
            ]
        ),
    ],
)
def test_a_lead_is_counted_where_its_time_lies(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, decision: Decision, when: When
) -> None:
    monkeypatch.setitem(ANSWERS, CONSENTED, decision)

    desk.scrub(f"tel\n{CONSENTED}\n".encode())

    assert {then: desk.tally.on(then) for then in When} == {
        then: int(then is when) for then in When
    }


def test_reasons_are_counted_the_most_frequent_first(desk: Desk) -> None:
    numbers = [REFUSED, CONSENTED, CONSENTED, "06", CONSENTED, "07"]

    desk.scrub("\n".join(["tel", *numbers]).encode())

    assert desk.tally.leads == 6
    assert desk.tally.reasons() == [
        (Verdict.ALLOW, Reason.CONSENT, 3),
        (Verdict.DENY, Reason.INVALID_NUMBER, 2),
        (Verdict.DENY, Reason.REFUSED, 1),
    ]
