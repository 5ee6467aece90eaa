"""Lines of a sheet to sealed events: numbers, dates, texts, and the ids that are made of them."""

from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.columns import find_columns
from ringfence.event import AnyEvent, Bloctel, Consent, Contract, Keys, Proof
from ringfence.ledger.columns import NAMES, PROOF_NAMES, names_of
from ringfence.ledger.exhibits import Exhibits
from ringfence.ledger.form import DAY_ONLY, KINDS, UNDATED, BadLine, Exhibited, Form
from ringfence.ledger.moment import NOT_A_DATE
from ringfence.ledger.proofs import Proofs
from ringfence.number import InvalidNumber, Keyring, Number, parse

KEYRING = Keyring(bytes(range(32)))
NOW = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)
HEADER = ["number", "date", "text", "purpose", "until"]


def form(kind: str = "consent", header: list[str] = HEADER, **constant: str) -> Form:
    wanted = KINDS[kind]
    columns = find_columns(header, wanted.needed, names=names_of(kind), named={}, given=constant)
    return Form(
        wanted, KEYRING, principal="acme", columns=columns, texts=frozenset(["web-1"]), now=NOW
    )


def consent(
    number: str = "0639980001",
    day: str = "01/03/2026 10:20",
    text: str = "web-1",
    purpose: str = "fibre",
    until: str = "",
) -> Consent:
    event = form().read([number, day, text, purpose, until]).event
    assert isinstance(event, Consent)
    return event


def fault(*fields: str, kind: str = "consent") -> str:
    with pytest.raises(BadLine) as bad:
        form(kind).read(list(fields))
    return str(bad.value)


def test_a_line_becomes_a_sealed_consent() -> None:
    assert consent(until="31/12/2026") == Consent(
        id=consent(until="31/12/2026").id,
        at=datetime(2026, 3, 1, 9, 20, tzinfo=UTC),
        on=date(2026, 3, 1),
        source="import",
        keys=Keys(purpose=KEYRING.purpose("+33639980001", "fibre")),
        text="web-1",
        until=date(2026, 12, 31),
    )


# --- ids ------------------------------------------------------------------------------------------


def test_the_same_statement_has_one_id_however_it_is_written() -> None:
    numbers = ["+33639980001", "0639980001", "06 39 98 00 01", "06.39.98.00.01", "0033639980001",
               "+33 (0)6 39 98 00 01", "06-39-98-00-01", "33639980001",
               '="0639980001"', "'0639980001", "(+33) 6 39 98 00 01"]  # fmt: skip
    days = ["01/03/2026 10:20", "2026-03-01T10:20:00", "2026-03-01 09:20:00Z",
            "01-03-2026 10:20:00",
            "01.03.2026 10:20", "2026-03-01T10:20:00+01:00"]  # fmt: skip

    assert len({consent(number=number, day=day).id for number in numbers for day in days}) == 1


def test_every_part_of_a_statement_is_part_of_its_id() -> None:
    events: list[AnyEvent] = [
        consent(),
        consent(number="0639980002"),
        consent(day="02/03/2026 10:20"),
        consent(purpose="energie"),
        consent(until="31/12/2026"),
        form("contract").read(["0639980001", "01/03/2026 10:20", "", "fibre"]).event,
        form("refusal").read(["0639980001", "01/03/2026 10:20"]).event,
        form("objection").read(["0639980001", "01/03/2026 10:20"]).event,
    ]

    assert len({event.id for event in events}) == len(events)


def test_an_id_is_the_same_in_every_version() -> None:
    # What was imported by one version is known to the next.
    assert consent().id == "54614138c5adc911c075cab7ad675a79"
    refusal = form("refusal").read(["0639980001", "01/03/2026"]).event
    assert refusal.id == "7516b81021b250cd196ca02e49fe24c6"


# --- numbers --------------------------------------------------------------------------------------


def test_what_is_no_french_number_is_a_bad_line() -> None:
    assert fault("", "01/03/2026", "web-1", "fibre") == "no number"
    assert fault("06 39 98 00", "01/03/2026", "web-1", "fibre") == (
        "not a telephone number: '06 39 98 00'"
    )
    assert fault("+441632960001", "01/03/2026", "web-1", "fibre") == (
        "not a French number: '+441632960001'"
    )


@given(st.text("0123456789 .-+()/\u00a0a", max_size=16))
def test_the_short_way_to_a_number_leads_to_the_same_number(text: str) -> None:
    def read(number: str) -> Number | None:
        try:
            return parse(number)
        except InvalidNumber:
            return None

    try:
        keys = form("refusal").read([text, "01/03/2026"]).event.keys
    except BadLine:
        keys = None

    number = read(text.strip())
    assert keys == (
        Keys(number=KEYRING.number(number.e164)) if number and number.territories else None
    )


# --- dates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "day", "at", "on"),
    [
        # Paris, summer and winter
        ("+33639980001", "15/07/2026 00:10", "2026-07-14T22:10", "2026-07-15"),
        ("+33639980001", "15/01/2026 23:50:30", "2026-01-15T22:50:30", "2026-01-15"),
        # Guadeloupe, four hours behind UTC, and the islands that share its code
        ("+590690000001", "14/07/2026 23:50", "2026-07-15T03:50", "2026-07-14"),
        ("+590690000001", "2026-07-15T03:50:00Z", "2026-07-15T03:50", "2026-07-14"),
        # La Réunion, four hours ahead
        ("+262262000001", "15/07/2026 00:10", "2026-07-14T20:10", "2026-07-15"),
        ("+262262000001", "2026-07-14T22:10:00+02:00", "2026-07-14T20:10", "2026-07-15"),
        # a date alone is noon where the consumer lives, and the same date everywhere in France
        ("+33639980001", "15/07/2026", "2026-07-15T10:00", "2026-07-15"),
        ("+590690000001", "15/07/2026", "2026-07-15T16:00", "2026-07-15"),
        ("+262262000001", "2026-07-15", "2026-07-15T08:00", "2026-07-15"),
    ],
)
def test_a_date_is_the_consumers(number: str, day: str, at: str, on: str) -> None:
    event = consent(number=number, day=day)

    assert event.at == datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert event.on == date.fromisoformat(on)


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("15/8/2026", "15/08/2026"),
        ("5.8.2026", "05/08/2026"),
        ("15/8/2026 9:05", "15/08/2026 09:05"),
        ("46307", "12/10/2026"),
        ("46307,58", "12/10/2026 13:55:12"),
        ("46307.0000", "12/10/2026"),
        ("46306,9999999", "12/10/2026 00:00"),
    ],
)
def test_a_date_is_read_as_spreadsheets_write_it(written: str, plain: str) -> None:
    assert consent(day=written).at == consent(day=plain).at
    assert consent(day=written).id == consent(day=plain).id


def test_a_day_without_a_time_is_marked_as_such() -> None:
    """The noon that stands in the event is nobody's word."""
    assert DAY_ONLY == "import (day only)"  # who tells the event's story prints no time
    for day in ("01/03/2026", "2026-03-01", "46082", "23/11/2026"):
        assert consent(day=day).source == DAY_ONLY
    for day in ("01/03/2026 12:00", "2026-03-01T12:00:00Z", "46082,5", "01/03/2026 00:00"):
        assert consent(day=day).source == "import"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in {"consent", "contract"}])
@pytest.mark.parametrize(
    "day", ["", "hier", "31/02/2026", "24/11/2026", "31/12/2015", "11/23/2026"]
)
def test_what_forbids_is_taken_on_the_day_of_the_import_where_its_date_cannot_be_read(
    kind: str, day: str
) -> None:
    """Put aside, it would leave a person callable who said no."""
    line = ["0639980001", day, "", "fibre", "31/12/2026"]

    read = form(kind).read(line)

    event, undated = read.event, read.undated
    assert (event.at, event.on, event.source) == (NOW, date(2026, 11, 23), UNDATED)
    assert undated.startswith(("no date", "no such date", "not a date", "a date "))
    assert form(kind).read(line).event.id == event.id
    assert form(kind).read([*line[:1], "23/11/2026", *line[2:]]).undated == ""


def test_an_undated_line_does_not_end_before_it_begins() -> None:
    event = form("bloctel").read(["0639980001", "", "", "", "10/08/2026"]).event

    assert isinstance(event, Bloctel)
    assert event.until == date(2026, 8, 10)


def test_an_undated_refusal_falls_on_the_day_where_the_person_lives() -> None:
    late = NOW.replace(hour=23)  # midnight has passed in Paris, and not in Martinique
    columns = find_columns(HEADER, [], names=NAMES, named={}, given={})
    form = Form(
        KINDS["refusal"], KEYRING, principal="acme", columns=columns, texts=frozenset(), now=late
    )

    assert form.read(["0639980001", "hier"]).event.on == date(2026, 11, 24)
    assert form.read(["+596696000001", "hier"]).event.on == date(2026, 11, 23)


@pytest.mark.parametrize("kind", ["consent", "contract"])
def test_what_permits_is_never_dated_for_somebody(kind: str) -> None:
    assert fault("0639980001", "hier", "web-1", "fibre", kind=kind) == f"{NOT_A_DATE}: 'hier'"


def test_where_a_number_leaves_two_clocks_open_the_statement_restrains_more() -> None:
    # +262 692: La Réunion (UTC+4) or Mayotte (UTC+3)
    line = ["+262692000001", "15/07/2026 23:30"]
    with_offset = ["+262692000001", "2026-07-15T20:30:00Z"]

    assert form("refusal").read(line).event.at == datetime(2026, 7, 15, 20, 30, tzinfo=UTC)
    assert consent(*line).at == datetime(2026, 7, 15, 19, 30, tzinfo=UTC)
    assert form("refusal").read(with_offset).event.on == date(2026, 7, 16)
    assert consent(*with_offset).on == date(2026, 7, 15)


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        ("", "no date"),
        ("hier", f"{NOT_A_DATE}: 'hier'"),
        ("01/03/26", f"{NOT_A_DATE}: '01/03/26'"),
        ("01/03-2026", f"{NOT_A_DATE}: '01/03-2026'"),
        ("20260301", f"{NOT_A_DATE}: '20260301'"),
        ("4630", f"{NOT_A_DATE}: '4630'"),
        ("42369", "a date before 2016: '42369'"),
        ("46350,5", "a date in the future: '46350,5'"),
        ("٠١/٠٣/٢٠٢٦", f"{NOT_A_DATE}: '٠١/٠٣/٢٠٢٦'"),
        ("31/02/2026", "no such date: '31/02/2026'"),
        ("03/13/2026", "no such date: '03/13/2026'"),
        ("01/03/2026 24:00", "no such date: '01/03/2026 24:00'"),
        ("2026-03-01T10:00:00+99:00", "no such date: '2026-03-01T10:00:00+99:00'"),
        ("31/12/2015", "a date before 2016: '31/12/2015'"),
        ("01/01/0001 00:30", "a date before 2016: '01/01/0001 00:30'"),
        ("24/11/2026", "a date in the future: '24/11/2026'"),
        ("23/11/2026 11:31", "a date in the future: '23/11/2026 11:31'"),
        ("31/12/9999 23:59", "a date in the future: '31/12/9999 23:59'"),
    ],
)
def test_a_date_that_cannot_be_meant_is_a_bad_line(day: str, reason: str) -> None:
    assert fault("0639980001", day, "web-1", "fibre") == reason


def test_todays_date_alone_is_taken_before_noon_and_known_after() -> None:
    morning = consent(day="23/11/2026")  # 11:30 in Paris
    overseas = consent(number="+596696000001", day="23/11/2026")  # 06:30 in Martinique

    assert morning.at == overseas.at == NOW
    columns = find_columns(HEADER, [], names=NAMES, named={}, given={})
    evening = (
        Form(
            KINDS["consent"],
            KEYRING,
            principal="acme",
            columns=columns,
            texts=frozenset(["web-1"]),
            now=NOW.replace(hour=20),
        )
        .read(["0639980001", "23/11/2026", "web-1", "fibre"])
        .event
    )
    assert evening.at == datetime(2026, 11, 23, 11, tzinfo=UTC)
    assert evening.id == morning.id


# --- what else a line says ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (["0639980001", "01/03/2026", "", "fibre"], "no text"),
        (["0639980001", "01/03/2026", "web-2", "fibre"], "no such text: 'web-2'"),
        (["0639980001", "01/03/2026", "web-1"], "no purpose"),
        (["0639980001", "01/03/2026", "web-1", "La fibre"],
         "not the name of a purpose: 'La fibre'"),
        (["0639980001", "01/03/2026", "web-1", "fibre", "demain"], f"{NOT_A_DATE}: 'demain'"),
        (["0639980001", "01/03/2026", "web-1", "fibre", "28/02/2026"],
         "it ends before it begins: '2026-02-28'"),
        (["0639980001", "01/03/2026", "web-1", "fibre", "", "x"],
         "more fields than the header names"),
        (["0639980001"], "no date"),
    ],
)  # fmt: skip
def test_what_a_line_leaves_out_or_gets_wrong_is_named(fields: list[str], reason: str) -> None:
    assert fault(*fields) == reason


def test_empty_fields_behind_the_last_column_are_no_fields() -> None:
    line = ["0639980001", "01/03/2026 10:20", "web-1", "fibre", "", "", ""]

    assert form().read(line).event == consent()


def test_other_kinds_need_other_columns() -> None:
    bloctel = form("bloctel").read(["0639980001", "01/03/2026", "", "", "10/08/2026"]).event
    contract = form("contract").read(["0639980001", "01/03/2026", "", "fibre", "01/03/2028"]).event
    refusal = form("refusal", ["tel", "date"]).read(["0639980001", "01/03/2026"]).event

    assert isinstance(bloctel, Bloctel)
    assert bloctel.until == date(2026, 8, 10)
    assert isinstance(contract, Contract)
    assert contract.until == date(2028, 3, 1)
    assert contract.keys == consent().keys
    assert refusal.keys == Keys(number=KEYRING.number("+33639980001"))
    assert fault("0639980001", "01/03/2026", "", "", "", kind="bloctel") == "no until"
    assert fault("0639980001", "01/03/2026", "", "", "", kind="contract_ended") == "no purpose"


@pytest.mark.parametrize(
    ("kind", "column", "role"),
    [
        ("refusal", "Date du refus", "date"),
        ("refusal", "Refusé le", "date"),
        ("withdrawal", "Date de retrait", "date"),
        ("objection", "Date d’opposition", "date"),
        ("consent", "Date de signature", "date"),
        ("contract", "Date de signature", "date"),
        ("contract_ended", "Date de résiliation", "date"),
        ("consent", "Offre", "purpose"),
        ("consent", "Produit", "purpose"),
    ],
)
def test_columns_are_found_by_the_names_they_have_for_that_kind(
    kind: str, column: str, role: str
) -> None:
    found = find_columns(["tel", column], (), names=names_of(kind), named={}, given={}).found

    assert found == {"number", role}


def test_the_date_of_another_statement_on_the_line_is_not_taken_for_this_ones() -> None:
    header = ["tel", "Date de recueil", "Date de retrait"]

    columns = find_columns(header, ["date"], names=names_of("consent"), named={}, given={})

    assert columns.cells(["06", "01/03/2026", "02/03/2026"])[1] == "01/03/2026"


def test_every_kind_has_names_for_its_columns() -> None:
    assert all(names_of(kind).keys() == NAMES.keys() for kind in KINDS)


def test_the_purposes_that_were_spoken_of_are_remembered() -> None:
    one = form()
    for purpose in ("fibre", "energie", "fibre"):
        one.read(["0639980001", "01/03/2026", "web-1", purpose])

    assert one.purposes == {"fibre", "energie"}


@pytest.mark.parametrize(
    ("role", "value", "reason"),
    [
        ("text", "web-2", "no such text: 'web-2'"),
        ("purpose", "La fibre", "not the name of a purpose: 'La fibre'"),
        ("until", "demain", "not a date .*: 'demain'"),
        ("date", "24/11/2026", "a date in the future: '24/11/2026'"),
    ],
)
def test_what_is_given_for_all_lines_is_checked_before_the_first(
    role: str, value: str, reason: str
) -> None:
    with pytest.raises(BadLine, match=reason):
        form(**{role: value})  # type: ignore[arg-type]  # each role is tried by its name


# --- proofs ---------------------------------------------------------------------------------------

URI, DIGEST = "https://crm.example/4711", "0123456789abcdef" * 4
SAID = ["0639980001", "01/03/2026 10:20", "web-1", "fibre", ""]


def proving(folder: Path, *names: str) -> Form:
    """Give a form for sheets that name proofs in two more columns."""
    header = [*HEADER, *names]
    wanted = KINDS["consent"]
    columns = find_columns(header, (), names=PROOF_NAMES, named={}, given={})
    return Form(
        wanted,
        KEYRING,
        principal="acme",
        columns=find_columns(header, wanted.needed, names=NAMES, named={}, given={}),
        texts=frozenset(["web-1"]),
        now=NOW,
        exhibited=Exhibited(columns, Exhibits(Proofs(folder / "proofs"), folder)),
    )


def proof(event: AnyEvent) -> Proof | None:
    assert isinstance(event, Consent)
    return event.proof


@pytest.mark.parametrize(
    "names",
    [("Preuve", "Empreinte"), ("Justificatif", "SHA-256"), ("proof", "sha256")],
)
def test_a_line_may_name_its_proof(names: tuple[str, str], tmp_path: Path) -> None:
    event = proving(tmp_path, *names).read([*SAID, URI, DIGEST.upper()]).event

    assert proof(event) == Proof(URI, DIGEST)


def test_a_line_may_name_a_file_beside_its_sheet(tmp_path: Path) -> None:
    (tmp_path / "0639980001.pdf").write_bytes(b"signed")
    digest = sha256(b"signed").hexdigest()

    event = proving(tmp_path, "preuve").read([*SAID, "0639980001.pdf"]).event

    assert proof(event) == Proof(f"proof:{digest}", digest)


def test_a_line_without_proof_has_the_id_it_had_before_there_were_any(tmp_path: Path) -> None:
    form = proving(tmp_path, "preuve", "empreinte")

    assert form.read([*SAID, "", ""]).event == form.read(SAID).event == consent()
    assert proof(form.read(SAID).event) is None


def test_a_proof_is_part_of_what_was_said(tmp_path: Path) -> None:
    form = proving(tmp_path, "preuve", "empreinte")
    lines = [["", ""], [URI, DIGEST], [f"{URI}2", DIGEST], [URI, DIGEST[::-1]]]

    ids = [form.read([*SAID, *line]).event.id for line in lines]

    assert len(set(ids)) == 4
    assert ids[0] == "54614138c5adc911c075cab7ad675a79"
    assert ids[1] == "39781f72a239af6bf9e9eb30cfb7bc71"  # the same in every version
    assert form.read([*SAID, URI, DIGEST.upper()]).event.id == ids[1]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (["", DIGEST], f"a SHA-256 without its proof: '{DIGEST}'"),
        ([URI, ""], f"a proof's URI without its SHA-256: '{URI}'"),
        ([URI, "4711"], "not a SHA-256: '4711'"),
        (["oui", ""], "no such proof, and no URI: 'oui'"),
        (["../crm.pdf", ""], "a proof outside of the file's folder: '../crm.pdf'"),
        (
            ["https://crm.example/06-39-98-00-01", DIGEST],
            "a proof that tells the telephone number: 'https://crm.example/06-39-98-00-01'",
        ),
    ],
)
def test_a_bad_proof_is_a_bad_line(cells: list[str], reason: str, tmp_path: Path) -> None:
    with pytest.raises(BadLine) as bad:
        proving(tmp_path, "preuve", "empreinte").read([*SAID, *cells])

    assert str(bad.value) == reason
