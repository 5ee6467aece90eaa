"""The way into a ledger's file: what is sent while a transaction is written shares the next."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from ringfence.config import LedgerSettings, PrincipalSettings, Settings
from ringfence.event import AnyEvent, Keys, Objection, Refusal
from ringfence.ledger.entry import Entries, Entry
from ringfence.ledger.importer import Receipt, SinkError
from ringfence.ledger.sink import FileSink

NOW = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[FileSink]:
    ledger = LedgerSettings(database=tmp_path / "ledger.sqlite")
    settings = Settings(ledger=ledger, principals={"acme": PrincipalSettings()})
    opened = FileSink.open(settings, "acme", lambda: NOW)
    assert opened is not None
    yield opened
    opened.close()


def refusals(start: int, number: int = 1000) -> list[Entry]:
    at = NOW - timedelta(days=1)
    return [
        Entry.of(Refusal(id=f"{n:08}", at=at, on=at.date(), keys=Keys(number=1 + n)))
        for n in range(start, start + number)
    ]


def send_at_once(sink: FileSink, *sent: list[Entry]) -> list[Receipt]:
    """Send all at one time; give their receipts in that order."""
    receipts: dict[int, Receipt] = {}

    async def send(place: int, entries: list[Entry]) -> None:
        receipts[place] = await sink.send(Entries.of(entries))

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            for place, entries in enumerate(sent):
                tasks.start_soon(send, place, entries)

    anyio.run(run)
    return [receipts[place] for place in range(len(sent))]


def test_what_waits_is_stored_in_one_transaction(sink: FileSink) -> None:
    told: list[str] = []
    sink._store._db.set_trace_callback(told.append)

    receipts = send_at_once(
        sink, refusals(0), refusals(5000), refusals(5500), refusals(0), refusals(9000)
    )

    assert told.count("COMMIT") == 1
    assert [(receipt.stored, receipt.known) for receipt in receipts] == [
        (1000, 0), (1000, 0), (500, 500), (0, 1000), (1000, 0),
    ]  # fmt: skip
    assert sink._store.seq("acme") == receipts[-1].change == 3500


def test_what_is_not_plain_costs_those_that_wait_with_it_nothing(sink: FileSink) -> None:
    at = NOW - timedelta(days=1)
    other: AnyEvent = Objection(id="other", at=at, on=at.date(), keys=Keys(number=1))
    odd: AnyEvent = Refusal(id="odd", at=at, on=at.date(), keys=Keys(purpose=1))
    mixed = [*refusals(2000, 10), Entry.of(other)]
    undone = [*refusals(3000, 10), Entry("odd", 1, at, Entry.of(other).body, odd)]

    receipts = send_at_once(sink, refusals(0), refusals(1000), mixed, undone, refusals(4000))

    assert [receipt.stored for receipt in receipts] == [1000, 1000, 11, 10, 1000]
    assert sink._store.seq("acme") == 3021


def test_a_file_that_fails_has_stored_nothing_and_all_that_waited_are_told(sink: FileSink) -> None:
    pages = sink._store._db.execute("PRAGMA page_count").fetchone()[0]
    sink._store._db.execute(f"PRAGMA max_page_count={pages + 3}")
    failed: list[str] = []

    async def send(start: int) -> None:
        try:
            await sink.send(Entries.of(refusals(start)))
        except SinkError as error:
            failed.append(str(error))

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            for start in (0, 1000, 2000):
                tasks.start_soon(send, start)

    anyio.run(run)

    assert len(failed) == 3
    assert "full" in failed[0]
    with pytest.raises(sqlite3.OperationalError, match="full"):
        sink._bulk.take([Entries.of(refusals(0))], NOW)
    assert sink._store.seq("acme") == 0
