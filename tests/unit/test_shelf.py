"""Tables kept in files are found again, or given up for what they are."""

from pathlib import Path

import pytest
from tests.unit.truth import EPOCH, Truth, at, consent, refusal, replica, synced

from ringfence import shelf as shelves
from ringfence.decision import Reason
from ringfence.replica import Shelf
from ringfence.shelf import DiskShelf, MemoryShelf
from ringfence.table import Table, TableError


@pytest.fixture
def shelf(tmp_path: Path) -> DiskShelf:
    return DiskShelf(tmp_path / "acme")


def kept(shelf: DiskShelf, epoch: int = EPOCH, seqs: tuple[int, int] = (3, 3)) -> None:
    """Keep tables with one row each, and let go of them."""
    tables = shelf.new(epoch, 1, 1)
    for table, seq in zip(tables, seqs, strict=True):
        table.upsert(b"\1" * 24)
        table.seq = seq
    shelf.keep(*tables)
    for table in tables:
        table.close()


def test_memory_keeps_nothing() -> None:
    shelf: Shelf = MemoryShelf()
    tables = shelf.new(EPOCH, 1, 1)
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
    for table in shelf.new(EPOCH + 1, 1, 1):
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
        def create(path: Path, *, rows: int) -> Table:
            if opened:
                msg = f"no space for {path}"
                raise TableError(msg)
            opened.append(Table.create(path, rows=rows))
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
