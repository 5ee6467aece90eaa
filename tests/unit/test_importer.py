"""An import as a whole: what goes in, what is put aside, and the count of both."""

from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from ringfence.columns import find_columns
from ringfence.event import AnyEvent
from ringfence.ledger.columns import NAMES
from ringfence.ledger.entry import Entries
from ringfence.ledger.form import KINDS, Form
from ringfence.ledger.importer import Importer, Receipt, SinkError, Tally
from ringfence.ledger.moment import NOT_A_DATE
from ringfence.ledger.reader import read_batches
from ringfence.ledger.rejects import Rejects
from ringfence.ledger.sequencer import keys_of
from ringfence.number import Keyring
from ringfence.sheet import open_sheet

NOW = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)


class Shelf:
    """A sink that keeps what it is sent, or turns it away."""

    texts = frozenset(["web-1"])
    batch = 3

    def __init__(self, *, lanes: int = 1, but: Sequence[str] = (), room: int = 1000) -> None:
        self.lanes = lanes
        self.held: dict[str, AnyEvent] = {}
        self.under_way = self.most_under_way = 0
        self._full = anyio.Event()
        self._but = but
        self._room = room

    async def send(self, entries: Entries) -> Receipt:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        if self.under_way == self.lanes:
            self._full.set()
        with anyio.fail_after(10):
            await self._full.wait()
        await anyio.lowlevel.checkpoint()
        self.under_way -= 1
        if len(self.held) >= self._room:
            msg = "no room"
            raise SinkError(msg)
        events = list(entries.events())
        rejected = {e.id: "it is on the list" for e in events if e.id in self._but}
        new = {e.id: e for e in events if e.id not in self.held and e.id not in rejected}
        self.held |= new
        return Receipt(len(new), len(events) - len(new) - len(rejected), rejected, len(self.held))


def import_into(shelf: Shelf, path: Path, what: str = "consent") -> Tally:
    tally = Tally()
    positions = [0]
    with open_sheet(path) as sheet:
        kind = KINDS[what]
        columns = find_columns(sheet.header, kind.needed, names=NAMES, named={}, given={})
        form = Form(
            kind,
            Keyring(bytes(32)),
            principal="acme",
            columns=columns,
            texts=shelf.texts,
            now=NOW,
        )
        target = path.with_name("rejected.csv")
        with Rejects(target, header=sheet.header, delimiter=sheet.delimiter) as rejects:

            async def run() -> None:
                async with aclosing(read_batches(sheet, form, shelf.batch, None)) as batches:
                    await Importer(
                        batches, shelf, rejects, tally=tally, told=positions.append
                    ).run()

            anyio.run(run)
        assert max(positions) == sheet.size
    return tally


def consents(path: Path, *numbers: str) -> Path:
    lines = [f"{number};01/03/2026;web-1;fibre;Zoé" for number in numbers]
    path.write_text("\n".join(["tel;date;texte;objet;prénom", *lines, ""]), encoding="cp1252")
    return path


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return tmp_path / "consents.csv"


def ten(start: int) -> list[str]:
    return [f"0639980{n:03}" for n in range(start, start + 10)]


def test_a_second_run_imports_nothing(csv: Path) -> None:
    shelf = Shelf()

    first = import_into(shelf, consents(csv, *ten(0)))
    second = import_into(shelf, consents(csv, *ten(0)))
    more = import_into(shelf, consents(csv, *ten(5)))

    assert (first.read, first.imported, first.known, first.rejected) == (10, 10, 0, 0)
    assert (second.read, second.imported, second.known, second.rejected) == (10, 0, 10, 0)
    assert (more.read, more.imported, more.known, more.rejected) == (10, 5, 5, 0)
    assert not csv.with_name("rejected.csv").exists()


def test_as_many_batches_are_under_way_as_the_sink_has_lanes_and_no_more(csv: Path) -> None:
    shelf = Shelf(lanes=2)

    import_into(shelf, consents(csv, *ten(0), *ten(10), *ten(20)))

    assert shelf.most_under_way == 2
    assert len(shelf.held) == 30


def test_bad_lines_are_put_aside_with_their_number_and_reason(csv: Path) -> None:
    consents(csv, "0639980001", "06 39", "0639980002", "", "+441632960001", "0639980003")
    with csv.open("a", encoding="cp1252") as file:
        file.write('0639980004;31/02/2026;web-1;fibre;"a\nb; c"\n')
        file.write('0639980005;"01/03/2026;web-1;fibre;d\n')
        file.write("06 40;01/03/2026;web-1;fibre;e\n")

    tally = import_into(Shelf(), csv)

    assert (tally.read, tally.imported) == (9, 3)
    assert tally.whys["not a telephone number"] == 2
    assert csv.with_name("rejected.csv").read_bytes().decode("utf-8-sig").split("\r\n") == [
        "line;reason;tel;date;texte;objet;prénom",
        "3;not a telephone number: '06 39';06 39;01/03/2026;web-1;fibre;Zoé",
        "5;no number;;01/03/2026;web-1;fibre;Zoé",
        "6;not a French number: '+441632960001';+441632960001;01/03/2026;web-1;fibre;Zoé",
        "8;no such date: '31/02/2026';0639980004;31/02/2026;web-1;fibre;\"a\nb; c\"",
        '10;unexpected end of data;"0639980005;""01/03/2026;web-1;fibre;d"',
        "11;not a telephone number: '06 40';06 40;01/03/2026;web-1;fibre;e",
        "",
    ]


def test_rejected_lines_that_were_put_right_are_imported_from_their_file(csv: Path) -> None:
    shelf = Shelf()
    import_into(shelf, consents(csv, "06 39", "0639980002"))
    rejected = csv.with_name("rejected.csv")
    right = csv.with_name("right.csv")
    right.write_text(rejected.read_text("utf-8-sig").replace("06 39;", "0639980001;"), "utf-8-sig")

    tally = import_into(shelf, right)

    assert (tally.imported, tally.rejected, len(shelf.held)) == (1, 0, 2)


def test_what_the_ledger_turns_away_is_a_bad_line_too(csv: Path) -> None:
    everyone = Shelf()
    import_into(everyone, consents(csv, *ten(0)))
    key = Keyring(bytes(32)).purpose("+33639980004", "fibre")
    fifth = next(name for name, event in everyone.held.items() if keys_of(event) == (key,))

    tally = import_into(Shelf(but=[fifth]), csv)

    assert (tally.read, tally.imported, tally.whys) == (10, 9, {"turned away by the ledger": 1})
    assert "6;it is on the list;0639980004;" in csv.with_name("rejected.csv").read_text("utf-8-sig")


def test_a_refusal_whose_date_cannot_be_read_is_imported_and_told_of(csv: Path) -> None:
    shelf = Shelf()
    csv.write_text("tel;date\n0639980001;hier\n0639980002;01/03/2026\n0639980003;\n")

    first, second = import_into(shelf, csv, "refusal"), import_into(shelf, csv, "refusal")

    assert (first.read, first.imported, first.rejected) == (3, 3, 0)
    assert first.undated == second.undated == [(2, f"{NOT_A_DATE}: 'hier'"), (4, "no date")]
    assert (second.known, len(shelf.held)) == (3, 3)
    assert {event.at for event in shelf.held.values()} >= {NOW}


def test_rejects_are_for_their_owner_only(csv: Path) -> None:
    import_into(Shelf(), consents(csv, "06 39"))

    assert csv.with_name("rejected.csv").stat().st_mode & 0o777 == 0o600


def test_a_sink_that_gives_up_ends_the_import(csv: Path) -> None:
    shelf = Shelf(room=6)

    with pytest.raises(ExceptionGroup) as ended:
        import_into(shelf, consents(csv, *ten(0), *ten(10)))

    assert ended.group_contains(SinkError, match="no room")
    assert len(shelf.held) == 6
