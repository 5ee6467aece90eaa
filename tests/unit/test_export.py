import csv
import importlib
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest
from tests.unit.filing import CONFIG, DAY, TUESDAY, decided, file

from ringfence.decision import Reason
from ringfence.evidence import columns
from ringfence.evidence import export as module
from ringfence.evidence.columns import COLUMNS
from ringfence.evidence.export import Wanted, export
from ringfence.evidence.record import AnyRecord, Decided, EvidenceError, Place
from ringfence.evidence.segment import records
from ringfence.row import NO_FACTS, OPEN_END, Ground, Restraint, day_of

NOVEMBER = Wanted("acme-fibre", date(2026, 11, 1), date(2026, 11, 30))


def rows(folder: Path, wanted: Wanted = NOVEMBER) -> list[dict[str, str]]:
    out = folder.parent / "out.csv"
    count = export(records(folder), wanted, out)
    with out.open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert len(read) == count
    return read


def row(folder: Path, record: Decided) -> dict[str, str]:
    file(folder / "evidence", [record])
    (only,) = rows(folder / "evidence")
    return {name: cell for name, cell in only.items() if cell}


FULL = decided(
    TUESDAY + 0.25,
    ground=Ground(
        text=1,
        consent_from=day_of(date(2026, 9, 1)),
        consent_until=day_of(date(2027, 3, 1)),
        contract_until=day_of(date(2026, 12, 31)),
        callback_on=day_of(date(2026, 11, 20)),
        named_callback_on=day_of(date(2026, 11, 19)),
        slot_at=int(TUESDAY),
        slot_minutes=20,
    ).pack(),
    restraints=(
        Restraint(
            attempts=(day_of(date(2026, 11, 20)), day_of(date(2026, 11, 2)), 0, 0),
            bloctel_until=day_of(date(2026, 8, 10)),
        ).pack(),
        Restraint(refused_on=day_of(date(2026, 11, 23)), objected=True).pack(),
    ),
    places=("GP", "MF"),
    id="boot-1f",
    call="call-7",
    reference="SIP/0001",
    consumer=7,
)


def test_every_fact_of_a_decision_has_a_column_to_be_read(tmp_path: Path) -> None:
    read = row(tmp_path, FULL)

    chain = read.pop("chain")
    assert (tmp_path / "evidence" / chain).is_dir()
    assert read == {
        "at": "2026-11-24T09:30:00.250000Z",
        "local_time": "2026-11-24T05:30:00-04:00",
        "decision": "boot-1f",
        "call": "call-7",
        "reference": "SIP/0001",
        "principal": "acme",
        "campaign": "acme-fibre",
        "verdict": "deny",
        "reason": "objected",
        "articles": "RGPD, art. 21(3)",
        "caller_id": "+33162000001",
        "territories": "GP MF",
        "number_key": f"0x{1727787136684913455:016x}",
        "purpose_key": f"0x{2269126688936575457:016x}",
        "consumer_key": "0x0000000000000007",
        "consent_text": "web-1",
        "consent_from": "2026-09-01",
        "consent_until": "2027-03-01",
        "consent_withdrawn": "false",
        "contract_until": "2026-12-31",
        "callback_on": "2026-11-20",
        "named_callback_on": "2026-11-19",
        "slot_at": "2026-11-24T09:30:00Z",
        "slot_minutes": "20",
        "objected": "false",
        "attempts": "2026-11-20 2026-11-02",
        "bloctel_until": "2026-08-10",
        "consumer_refused_on": "2026-11-23",
        "consumer_objected": "true",
        "rulebook": "france/2026-11/conservative",
        "epoch": "1",
        "seq": "5",
        "age": "0.5",
        "config": "3",
        "gate": "tunis-1",
        "record": "3",
    }


def test_what_is_not_known_is_empty(tmp_path: Path) -> None:
    nothing = decided(places=None, caller_id=None, ground=NO_FACTS, restraints=(), age=None)

    read = row(tmp_path, nothing)

    assert read["reason"] == "invalid_number"
    assert not {
        "local_time", "retry_at", "caller_id", "territories", "number_key", "purpose_key",
        "consumer_key", "consent_text", "consent_from", "contract_until", "slot_at",
        "refused_on", "objected", "attempts", "consumer_objected", "age", "articles",
    } & set(read)  # fmt: skip


def test_a_deferral_says_until_when_and_an_open_contract_that_it_is(tmp_path: Path) -> None:
    contract = Ground(contract_until=OPEN_END).pack()

    read = row(tmp_path, decided(TUESDAY + 4 * DAY, ground=contract))

    assert (read["verdict"], read["retry_at"]) == ("defer", "2026-11-30T09:00:00Z")
    assert read["contract_until"] == "open"


def test_a_text_that_no_configuration_names_is_told_by_its_index(tmp_path: Path) -> None:
    unknown = Ground(text=9, consent_from=day_of(date(2026, 9, 1)), withdrawn=True).pack()

    read = row(tmp_path, decided(ground=unknown))

    assert (read["consent_text"], read["consent_withdrawn"]) == ("#9", "true")


def test_the_campaign_and_the_days_are_chosen_by_the_clock_of_paris(tmp_path: Path) -> None:
    begin = datetime(2026, 10, 31, 23, tzinfo=UTC).timestamp()  # midnight in Paris
    end = datetime(2026, 11, 30, 23, tzinfo=UTC).timestamp()
    file(
        tmp_path / "evidence",
        [
            decided(begin - 1, id="before"),
            decided(begin, id="first"),
            decided(campaign="acme-5g", id="another"),
            decided(end - 1, id="last"),
            decided(end, id="after"),
        ],
    )

    assert [read["decision"] for read in rows(tmp_path / "evidence")] == ["first", "last"]


def test_a_text_is_named_by_the_configuration_of_its_principal(tmp_path: Path) -> None:
    later = msgspec.structs.replace(CONFIG, version=4, index={"web-1": 1, "web-2": 2})
    folder = tmp_path / "evidence"
    file(folder, [decided()])
    file(folder, [decided(ground=Ground(text=2, consent_from=1).pack())], config=later)

    assert [read["consent_text"] for read in rows(folder)] == ["web-1", "web-2"]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=HYPERLINK(A1)", "'=HYPERLINK(A1)"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-1+1", "'-1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ('a,"b"\n', 'a,"b"\n'),
        ("1=1", "1=1"),
    ],
    ids=["equals", "plus", "minus", "at", "tab", "return", "quotes", "inside"],
)
def test_what_a_dialer_wrote_is_no_formula(tmp_path: Path, text: str, cell: str) -> None:
    read = row(tmp_path, decided(call=text, reference=text, caller_id=text))

    assert (read["call"], read["reference"], read["caller_id"]) == (cell, cell, cell)


@pytest.mark.parametrize("shown", ["+33162000001", "+3316200…"])
def test_a_number_stays_a_number(tmp_path: Path, shown: str) -> None:
    assert row(tmp_path, decided(caller_id=shown))["caller_id"] == shown


def test_every_column_is_described() -> None:
    described = columns.__doc__ or ""

    named = [name for name in COLUMNS if not name.startswith("consumer_") or "key" in name]
    assert [name for name in named if f"`{name}`" not in described] == []
    assert "`consumer_…`" in described


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    file(tmp_path / "evidence", [decided()])
    rows(tmp_path / "evidence")

    assert (tmp_path / "out.csv").stat().st_mode & 0o777 == 0o600


# --- the file ------------------------------------------------------------------------------------


def broken(folder: Path) -> Iterator[tuple[Place, AnyRecord]]:
    yield from records(folder)
    msg = "record 4 cannot be read"
    raise EvidenceError(msg)


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_a_sheet_is_there_when_it_is_whole(tmp_path: Path, name: str) -> None:
    file(tmp_path / "evidence", [decided()])
    out = tmp_path / name
    out.write_bytes(b"yesterday's")

    with pytest.raises(EvidenceError, match="record 4"):
        export(broken(tmp_path / "evidence"), NOVEMBER, out)

    assert out.read_bytes() == b"yesterday's"
    assert sorted(path.name for path in tmp_path.glob("out.*")) == [name]


@pytest.mark.parametrize(
    ("name", "said"), [("out.xlsx", "'.xlsx'"), ("out", "'nothing'"), ("csv", "'nothing'")]
)
def test_another_extension_is_named_before_anything_is_read(
    tmp_path: Path, name: str, said: str
) -> None:
    def unread() -> Iterator[tuple[Place, AnyRecord]]:
        pytest.fail("a record was read")
        yield

    with pytest.raises(EvidenceError, match=f"ends in {said}: give one of .csv, .parquet"):
        export(unread(), NOVEMBER, tmp_path / name)


def test_without_pyarrow_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(EvidenceError, match=r"pip install 'ringfence\[parquet\]'"):
        export(iter(()), NOVEMBER, tmp_path / "out.parquet")


def test_parquet_holds_the_same_as_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    file(tmp_path / "evidence", [FULL, *[decided(reference="=1", age=None)] * 4])

    count = export(records(tmp_path / "evidence"), NOVEMBER, tmp_path / "out.parquet")

    table = importlib.import_module("pyarrow.parquet").read_table(tmp_path / "out.parquet")
    first, *_, last = table.to_pylist()
    assert (count, table.num_rows, table.column_names) == (5, 5, list(COLUMNS))
    assert first["at"] == datetime(2026, 11, 24, 9, 30, 0, 250_000, tzinfo=UTC)
    assert first["consent_from"] == date(2026, 9, 1)
    assert (first["objected"], first["consumer_objected"], first["slot_minutes"]) == (
        False,
        True,
        20,
    )
    assert (last["reference"], last["age"], last["record"]) == ("=1", None, 7)
    assert last["reason"] == Reason.CONSENT


def test_how_far_it_is_can_be_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    file(tmp_path / "evidence", [decided()] * 4)
    heard: list[tuple[int, int]] = []

    export(
        records(tmp_path / "evidence"),
        NOVEMBER,
        tmp_path / "out.csv",
        told=lambda place, count: heard.append((place.number, count)),
    )

    assert heard == [(2, 0), (4, 2), (6, 4)]
