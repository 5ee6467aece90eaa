"""Tables kept in files are found again, or given up for what they are."""

import errno
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest
from tests.unit.truth import EPOCH, Truth, at, consent, questions, refusal, replica, synced

from ringfence import shelf as shelves
from ringfence.aside import Aside, at_once
from ringfence.decision import Reason
from ringfence.mapped import Mapped
from ringfence.replica import Effect, Replica, Shelf
from ringfence.shelf import DiskShelf, MemoryShelf
from ringfence.table import Table, TableError

T = TypeVar("T")


@pytest.fixture
def shelf(tmp_path: Path) -> DiskShelf:
    return DiskShelf(tmp_path / "acme")


def new(shelf: Shelf, epoch: int) -> tuple[Table, Table]:
    tables = shelf.new(epoch, 1, 1)
    assert tables is not None
    return tables


def kept(shelf: DiskShelf, epoch: int = EPOCH, seqs: tuple[int, int] = (3, 3)) -> None:
    """Keep tables with one row each, and let go of them."""
    tables = new(shelf, epoch)
    for table, seq in zip(tables, seqs, strict=True):
        table.upsert(b"\1" * 24)
        table.seq = seq
    shelf.keep(*tables)
    for table in tables:
        table.close()


def test_memory_keeps_nothing() -> None:
    shelf: Shelf = MemoryShelf()
    tables = new(shelf, EPOCH)
    shelf.keep(*tables)

    assert shelf.found() is None
    assert [table.epoch for table in tables] == [EPOCH, EPOCH]


def test_an_empty_folder_holds_no_tables(shelf: DiskShelf) -> None:
    assert shelf.found() is None


def test_kept_tables_are_found_again(shelf: DiskShelf) -> None:
    kept(shelf)

    found = shelf.found()

    assert found is not None
    assert [(table.epoch, table.seq, len(table)) for table in found] == [(EPOCH, 3, 1)] * 2


def test_tables_that_were_being_loaded_do_not_count(shelf: DiskShelf) -> None:
    kept(shelf)
    for table in new(shelf, EPOCH + 1):
        table.upsert(b"\2" * 24)

    found = shelf.found()

    assert found is not None
    assert [table.epoch for table in found] == [EPOCH, EPOCH]


def test_of_tables_written_to_different_changes_the_older_counts(shelf: DiskShelf) -> None:
    kept(shelf, seqs=(9, 7))

    found = shelf.found()

    assert found is not None
    assert [table.seq for table in found] == [7, 7]


def test_tables_of_two_epochs_do_not_belong_together(shelf: DiskShelf, tmp_path: Path) -> None:
    kept(shelf)
    other = Table.create(tmp_path / "acme" / "ground.table")
    other.epoch = EPOCH + 1
    other.close()

    assert shelf.found() is None


@pytest.mark.parametrize("name", ["ground.table", "restraint.table"])
@pytest.mark.parametrize("damage", ["missing", "cut", "foreign"])
def test_damaged_tables_are_given_up_and_replaced(
    shelf: DiskShelf, tmp_path: Path, name: str, damage: str
) -> None:
    kept(shelf)
    path = tmp_path / "acme" / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-9] if damage == "cut" else b"foreign" * 99)

    assert shelf.found() is None
    kept(shelf, seqs=(4, 4))
    found = shelf.found()
    assert found is not None
    assert found[0].seq == 4


def test_where_there_is_no_space_for_both_tables_neither_is_left_open(
    shelf: DiskShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Table] = []

    class Tables:
        @staticmethod
        def create(path: Path, *, rows: int, aside: Aside) -> Table:
            if opened:
                msg = f"no space for {path}"
                raise TableError(msg)
            opened.append(Table.create(path, rows=rows, aside=aside))
            return opened[0]

    monkeypatch.setattr(shelves, "Table", Tables)

    with pytest.raises(TableError, match="no space"):
        shelf.new(EPOCH, 1, 1)

    with pytest.raises(ValueError, match="released"):
        assert opened[0].epoch


def test_a_replica_goes_on_from_the_files_and_is_proved_by_the_next_head(shelf: DiskShelf) -> None:
    truth = Truth()
    truth.tell(refusal(1), consent(2))
    before = synced(truth, shelf)
    before.receive_log(truth.tell(refusal(3)), at(1))
    before.close()
    truth.tell(refusal(4))

    after = replica(shelf)
    after.receive_config(truth.config)
    assert after.doubt(at(2)) is Reason.NOT_READY
    after.receive_head(truth.head(2), at(2), retained=False)
    after.receive_log(truth.logs[-1], at(2))

    assert (after.seq, after.digests) == (4, truth.digests)
    assert after.doubt(at(2)) is None


class Thread:
    """Does its work when it is told to."""

    def __init__(self) -> None:
        self._works: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], T], /) -> Future[T]:
        future = Future[T]()

        def run() -> None:
            done = at_once(work)
            if error := done.exception():
                future.set_exception(error)
            else:
                future.set_result(done.result())

        self._works.append(run)
        return future

    @property
    def idle(self) -> bool:
        return not self._works

    def run(self) -> None:
        """Do what there is to do."""
        works, self._works = self._works, []
        for work in works:
            work()


def heard(truth: Truth, gate: Replica, seconds: float) -> list[Effect]:
    return gate.receive_head(truth.head(seconds), at(seconds), retained=False)


def test_a_replica_loads_as_soon_as_a_thread_has_made_its_files(tmp_path: Path) -> None:
    truth, thread = Truth(), Thread()
    truth.tell(refusal(1), consent(2))
    gate = replica(DiskShelf(tmp_path / "acme", thread))
    gate.receive_config(truth.config)

    assert heard(truth, gate, 0) == []
    assert gate.tick(at(1)) == []
    thread.run()
    asked = gate.tick(at(1.1)) + gate.tick(at(1.3))

    assert [ask.shards for ask in questions(asked)] == [[]]
    assert gate.doubt(at(1.3)) is Reason.NOT_READY
    for part in truth.parts():
        gate.receive_snapshot(part, at(1.4))
    heard(truth, gate, 1.5)
    assert gate.doubt(at(1.5)) is None


def test_what_is_heard_while_files_are_made_is_not_forgotten(tmp_path: Path) -> None:
    """Shards that were cut before it may come from another gate's question."""
    truth, thread = Truth(), Thread()
    truth.tell(consent(2))
    gate = replica(DiskShelf(tmp_path / "acme", thread))
    gate.receive_config(truth.config)
    heard(truth, gate, 0)
    old, parts = truth.head(0.5), truth.parts()
    gate.receive_log(truth.tell(refusal(1)), at(0.6))
    thread.run()
    gate.tick(at(0.7))

    for part in parts:
        gate.receive_snapshot(part, at(0.8))
    gate.receive_head(old, at(0.9), retained=False)

    assert gate.doubt(at(0.9)) is not None or gate.digests == truth.digests
    heard(truth, gate, 1)
    assert (gate.doubt(at(1)), gate.digests) == (None, truth.digests)


def test_where_a_thread_finds_no_space_it_is_tried_again_with_the_next_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, thread = Truth(), Thread()
    truth.tell(refusal(1))
    gate = replica(DiskShelf(tmp_path / "acme", thread))
    gate.receive_config(truth.config)
    heard(truth, gate, 0)

    def full(*_: object, **__: object) -> None:
        msg = "no space"
        raise TableError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(Table, "create", full)
        thread.run()
    with pytest.raises(TableError, match="no space"):
        gate.tick(at(1))
    gate.tick(at(1.1))
    assert thread.idle
    heard(truth, gate, 2)
    thread.run()

    asked = gate.tick(at(2.1)) + gate.tick(at(2.3))
    assert [ask.shards for ask in questions(asked)] == [[]]


def test_a_replica_whose_files_cannot_take_their_place_goes_on_trying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else others would read the old ones while it vouches for the new."""
    truth = Truth()
    truth.tell(refusal(1), consent(2))
    shelf = DiskShelf(tmp_path / "acme")
    gate = replica(shelf)
    gate.receive_config(truth.config)
    heard(truth, gate, 0)

    Table.create(tmp_path / "acme" / "ground.table").close()
    (part,) = truth.parts()

    def refused(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "hardlink_to", refused)
        with pytest.raises(TableError, match="cannot take the place"):
            gate.receive_snapshot(part, at(0.1))
        heard_of = gate.doubt(at(0.2))
    gate.tick(at(0.3))
    heard(truth, gate, 0.4)

    assert (heard_of, gate.doubt(at(0.4))) == (Reason.NOT_READY, None)
    assert gate.digests == truth.digests
    with closing(Mapped.open(tmp_path / "acme" / "ground.table")) as ground:
        assert (ground.epoch, ground.seq) == (EPOCH, gate.seq)


def test_of_loaded_tables_the_restraints_are_kept_first_and_both_say_where_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others read them at once: a ground that came after a refusal must not be seen without it."""
    moved: list[tuple[str, int]] = []
    monkeypatch.setattr(Table, "move", lambda table, path: moved.append((path.name, table.seq)))
    truth = Truth()
    truth.tell(refusal(1), consent(2))

    synced(truth, DiskShelf(tmp_path / "acme"))

    assert moved == [("restraint.table", truth.seq), ("ground.table", truth.seq)]
