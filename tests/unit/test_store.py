"""The file of a ledger: what it is asked for is looked up, and what is committed reaches it."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.truth import DAY, NOON, TEXT

from ringfence.event import Attempt, Event, Keys, Refusal
from ringfence.ledger import store as module
from ringfence.ledger.checkpoints import Checkpoints
from ringfence.ledger.sequencer import Sequencer
from ringfence.ledger.store import Batch, Store

EDGES = [1, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
"""Keys at which a number takes another form, on the wire or in SQLite."""


def write(store: Store, *events: Event) -> None:
    config = store.register("acme", {}, {"web-1": TEXT})
    sequencer = Sequencer(*store.tables("acme"), config)
    log = sequencer.plan(events, {}, after=store.seq("acme"))
    store.commit([Batch("acme", log, events)])


def refusal(number: int, consumer: int | None = None) -> Refusal:
    keys = Keys(number=number, consumer=consumer)
    return Refusal(id=f"refusal-{number}", at=NOON, on=DAY, keys=keys)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def test_every_key_is_found_again_with_its_events_and_its_row(path: Path) -> None:
    events = [refusal(number) for number in EDGES]
    with Store(path, epoch=7) as store:
        write(store, *events)

        assert store.history("acme", EDGES) == {e.keys and e.keys.number: [e] for e in events}
        assert store.known("acme", [event.id for event in events]) == {
            event.id: (change, event) for change, event in enumerate(events, start=1)
        }
        _, restraint = store.tables("acme")
        assert all(restraint.get(number) for number in EDGES)


def test_events_of_one_and_of_two_keys_are_filed_beside_each_other(path: Path) -> None:
    both, one = refusal(11, consumer=12), refusal(13)
    with Store(path, epoch=7) as store:
        write(store, one, both)

        assert store.history("acme", [11, 12, 13]) == {11: [both], 12: [both], 13: [one]}


def test_events_of_every_length_are_told_apart(path: Path) -> None:
    calls = [("é" * (length * 7 % 120)) + str(length) for length in range(300)]
    events = [
        Attempt(id=f"a{n}", at=NOON, on=DAY, keys=Keys(number=n + 1), call=call)
        for n, call in enumerate(calls)
    ]
    with Store(path, epoch=7) as store:
        write(store, *events)

        assert list(store.events("acme")) == events


def test_what_does_not_fit_together_is_not_written(path: Path) -> None:
    with Store(path, epoch=7) as store:
        write(store, refusal(1))
        told = next(store.log("acme", 1, 1))
        for events in ([], [refusal(2), refusal(3)]):
            with pytest.raises(ValueError, match="1 changes of acme for"):
                store.commit([Batch("acme", told, events)])

        assert [event.id for event in store.events("acme")] == ["refusal-1"]


@pytest.mark.parametrize("asked", ["_KNOWN", "_HISTORY"])
def test_what_is_asked_for_is_looked_up_and_never_searched_for(path: Path, asked: str) -> None:
    with Store(path, epoch=7) as store:
        plan = store._db.execute(f"EXPLAIN QUERY PLAN {getattr(module, asked)}", (1, "[1, 2]"))
        steps = [told for *_, told in plan]

    first, *others = steps
    assert first.startswith("SCAN asked")
    assert others
    assert all(step.startswith("SEARCH") and step.count("=?") == 2 for step in others), steps


def test_what_was_committed_reaches_the_file_without_a_commit_that_waits(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA wal_autocheckpoint=0")
        db.execute("CREATE TABLE t (n)")
        db.execute("INSERT INTO t VALUES (17)")

        checkpoints = Checkpoints(path)
        checkpoints.due()
        checkpoints.close()

        copy = Path(shutil.copy(path, path.with_name("copy.sqlite")))  # without the log
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("SELECT n FROM t").fetchall() == [(17,)]


def test_a_checkpoint_that_cannot_be_made_is_no_error(path: Path) -> None:
    path.write_text("this is no database")

    checkpoints = Checkpoints(path)
    checkpoints.due()
    checkpoints.close()

    assert path.read_text() == "this is no database"
