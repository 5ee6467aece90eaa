"""A table's file is read by others while one process writes it, whatever becomes of that one."""

import errno
import os
import platform
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from itertools import count
from pathlib import Path
from struct import pack
from types import FrameType
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
import pytest

from ringfence import slots
from ringfence import table as module
from ringfence.mapped import Mapped, TableBusy
from ringfence.seqlock import RETIRED
from ringfence.slots import VERSION, take_place
from ringfence.table import Table, TableError

if TYPE_CHECKING:
    from _typeshed import TraceFunction  # exists for type checkers only

T = TypeVar("T")
Rows: TypeAlias = np.ndarray[tuple[int, int], np.dtype[np.uint64]]

ONES = (1 << 64) - 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.table"


@pytest.fixture
def table(path: Path) -> Iterator[Table]:
    with closing(Table.create(path)) as table:
        yield table


@pytest.fixture
def mapped(table: Table, path: Path) -> Iterator[Mapped]:
    assert len(table) == 0
    ticks = count()
    with closing(Mapped.open(path, clock=lambda: next(ticks) / 1000)) as mapped:
        yield mapped


class Killed(BaseException):
    pass


def kill(*_: object) -> None:
    raise Killed


def packed(*rows: tuple[int, int, int]) -> bytes:
    return b"".join(pack("<QQQ", *row) for row in rows)


def random_rows(count: int, seed: int = 1) -> Rows:
    return np.random.default_rng(seed).integers(1, ONES, (count, 3), np.uint64, endpoint=True)


def test_what_is_written_is_read_at_once(table: Table, mapped: Mapped) -> None:
    table.upsert(packed((7, 1, 2), (ONES, 0, ONES), (8, 1, 1)))
    table.upsert(packed((7, 3, 4), (8, 0, 0)))
    table.epoch, table.seq = ONES, 12

    assert [mapped.get(key) for key in (7, ONES, 8, 9)] == [(3, 4), (0, ONES), None, None]
    assert (mapped.epoch, mapped.seq) == (ONES, 12)


@pytest.mark.parametrize("batch", [1, 1000])
def test_each_row_is_found_while_and_after_the_table_grows(
    table: Table, mapped: Mapped, batch: int
) -> None:
    rows = random_rows(5000)
    for start in range(0, len(rows), batch):
        table.upsert(rows[start : start + batch])
        assert mapped.get(int(rows[0, 0])) == (rows[0, 1], rows[0, 2])

    assert all(mapped.get(key) == (low, high) for key, low, high in rows.tolist())


def test_each_row_is_found_while_a_large_table_grows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGE", 1)
    monkeypatch.setattr(module, "STRETCH", 10)
    rows = random_rows(3000)
    with closing(Table.create(path)) as table, closing(Mapped.open(path)) as mapped:
        for count in range(100, len(rows), 7):
            again = rows[count // 2]
            again[1] = count
            table.upsert(rows[count - 7 : count])
            table.upsert(again)
            assert mapped.get(int(again[0])) == (again[1], again[2])
            assert mapped.get(int(rows[count - 1, 0])) == (rows[count - 1, 1], rows[count - 1, 2])


def test_a_table_that_takes_the_place_of_another_is_read_at_once(
    table: Table, mapped: Mapped, path: Path
) -> None:
    table.upsert(packed((7, 1, 1)))
    table.close()
    with closing(Table.create(path.with_name("loading"))) as other:
        other.upsert(packed((8, 2, 2)))
        other.epoch = 5
        other.move(path)

        assert (mapped.get(7), mapped.get(8), mapped.epoch) == (None, (2, 2), 5)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_who_asks_nothing_lets_go_of_a_file_that_was_replaced(table: Table, path: Path) -> None:
    with ThreadPoolExecutor(1) as thread, closing(Mapped.open(path, aside=thread.submit)) as mapped:
        first = mapped._memory
        mapped.refresh()
        assert mapped._memory is first
        table.reserve(10_000)

        mapped.refresh()

        assert mapped._memory is not first
    assert first is not None
    assert first.closed


def test_a_file_that_is_gone_is_an_error_until_there_is_one(
    table: Table, mapped: Mapped, path: Path
) -> None:
    table.upsert(packed((7, 1, 1)))
    path.unlink()

    with pytest.raises(TableError, match="cannot be read"):
        mapped.refresh()
    with pytest.raises(TableError, match="is closed"):
        mapped.get(7)
    with closing(Table.create(path)) as other:
        other.upsert(packed((7, 2, 2)))
        mapped.refresh()
        assert mapped.get(7) == (2, 2)


def test_where_no_file_can_be_opened_there_is_no_answer(
    table: Table, mapped: Mapped, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    table.upsert(packed((7, 1, 1)))
    table.reserve(1000)
    monkeypatch.setattr(os, "open", refused)

    with pytest.raises(TableError, match="too many open files"):
        mapped.get(7)


@pytest.mark.parametrize("content", [b"", b"foreign" * 99])
def test_a_file_that_is_no_table_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(TableError, match="Remove it"):
        Mapped.open(path)


@pytest.mark.usefixtures("table")
def test_a_machine_that_may_reorder_stores_shares_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")

    with pytest.raises(TableError, match="not to be shared on aarch64"):
        Mapped.open(path)


def test_rows_that_a_killed_writer_left_half_replaced_are_no_answer(
    table: Table, path: Path
) -> None:
    table.upsert(packed((7, 1, 1), (8, 1, 1)))
    header = table._slots.header
    header[VERSION] += 1
    asked = 0

    def clock() -> float:
        nonlocal asked
        asked += 1
        return asked / 1000

    with closing(Mapped.open(path, clock=clock)) as mapped:
        with pytest.raises(TableBusy, match="half written"):
            mapped.get(7)
        assert 5 <= asked < 10
        with pytest.raises(TableBusy):
            mapped.get(8)
        assert asked < 12  # it is not waited for again
        table.close()

        with closing(Table.open(path)) as again:
            assert mapped.get(7) == (1, 1)
            again.upsert(packed((7, 2, 2)))
            assert mapped.get(7) == (2, 2)


def test_a_reader_keeps_its_processor_while_a_writer_may_be_done_at_any_moment(
    table: Table, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table._slots.header[VERSION] += 1
    instants = iter([0.0, 0.00004, 0.00006, 1.0])
    given_away: list[float] = []
    now = 0.0

    def clock() -> float:
        nonlocal now
        now = next(instants)
        return now

    monkeypatch.setattr(os, "sched_yield", lambda: given_away.append(now))
    with closing(Mapped.open(path, clock=clock)) as mapped, pytest.raises(TableBusy):
        mapped.get(7)

    assert given_away == [0.00006]


def test_the_version_goes_on_where_a_killed_writer_left_it(table: Table, path: Path) -> None:
    """If it began anew, a reader that slept meanwhile might find the one it had seen before."""
    table.upsert(packed((7, 1, 1)))
    for _ in range(3):
        table.upsert(packed((7, 2, 2)))
    table._slots.header[VERSION] += 1
    version = table._slots.header[VERSION]
    table.close()

    with closing(Table.open(path)) as again:
        assert again._slots.header[VERSION] == version + 1


def test_replacing_many_rows_does_not_hold_readers_up_for_long(table: Table) -> None:
    rows = random_rows(2000)
    table.upsert(rows)
    before = table._slots.header[VERSION]

    table.upsert(rows)

    assert table._slots.header[VERSION] == before + 2 * 4  # of at most 512 rows each


@pytest.mark.parametrize("together", [1, 50])
def test_at_whatever_line_a_writer_is_a_row_is_read_whole_or_not_at_all(
    table: Table, path: Path, together: int
) -> None:
    rows = random_rows(together)
    key, *old = rows[0].tolist()
    seen: set[tuple[int, int] | None] = set()
    busy = False
    ticks = count()

    def traced(frame: FrameType, _: str, __: object) -> "TraceFunction | None":
        nonlocal busy
        if frame.f_code.co_filename != slots.__file__:
            return None
        try:
            seen.add(reading.get(key))
        except TableBusy:
            busy = True
        return traced

    with closing(Mapped.open(path, clock=lambda: next(ticks))) as reading:
        before = sys.gettrace()
        sys.settrace(traced)
        try:
            table.upsert(rows)
            rows[:, 1:] = 1, 2
            table.upsert(rows)
        finally:
            sys.settrace(before)

    assert seen - {None} == {(old[0], old[1]), (1, 2)}
    assert busy


def at_operation(number: int, act: Callable[[], None], run: Callable[[], T]) -> tuple[T, bool]:
    """Do something before an operation of the interpreter in `Mapped.get`; say if it came to it."""
    left = number

    def traced(frame: FrameType, event: str, _: object) -> "TraceFunction | None":
        nonlocal left
        if frame.f_code is not Mapped.get.__code__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == -1:
                sys.settrace(None)
                act()
        return traced

    before = sys.gettrace()
    sys.settrace(traced)
    try:
        return run(), left < 0
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("change", ["one row", "many rows", "growth", "another table"])
def test_whatever_happens_while_a_row_is_read_it_is_read_whole(path: Path, change: str) -> None:
    rows = random_rows(50)
    key = int(rows[0, 0])
    reached, number = True, 0
    while reached:
        number += 1
        tables = [Table.create(path)]
        rows[:, 1:] = 1
        tables[0].upsert(rows)
        act = partial(changed, path, tables, rows, change)
        with closing(Mapped.open(path)) as reading:
            facts, reached = at_operation(number, act, lambda: reading.get(key))
            assert facts in {(1, 1), (2, 2)}
        for table in tables:
            table.close()
    assert number > 40


def changed(path: Path, tables: list[Table], rows: Rows, change: str) -> None:
    rows[:, 1:] = 2
    match change:
        case "growth":
            tables[-1].reserve(1000)
        case "another table":
            tables[-1].close()
            tables.append(Table.create(path))
    tables[-1].upsert(rows[: 1 if change == "one row" else None])


def test_adding_rows_holds_no_reader_up(table: Table) -> None:
    before = table._slots.header[VERSION]

    table.upsert(packed((7, 1, 1)))
    table.upsert(random_rows(50))

    assert table._slots.header[VERSION] == before


@pytest.mark.parametrize("call", ["hardlink_to", "replace", "pwrite", "unlink"])
def test_killed_while_a_file_takes_the_others_place_readers_are_told_by_the_next(
    path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else they would go on with rows that nobody keeps in step."""
    with closing(Table.create(path)) as old, closing(Mapped.open(path)) as mapped:
        old.upsert(packed((7, 1, 1)))
        with closing(Table.create(path.with_name("new"))) as new:
            new.upsert(packed((7, 2, 2)))
        with monkeypatch.context() as patch:
            patch.setattr(os if call == "pwrite" else Path, call, kill)
            with pytest.raises(Killed):
                take_place(path.with_name("new"), path)
        old.close()

        with closing(Table.open(path)) as table:
            table.upsert(packed((8, 3, 3)))

            assert mapped.get(8) == (3, 3)
            assert mapped.get(7) == ((1, 1) if call in {"hardlink_to", "replace"} else (2, 2))
    assert {file.name for file in path.parent.iterdir()} <= {path.name, "new"}


@pytest.mark.parametrize("call", ["open", "hardlink_to", "replace"])
def test_a_file_that_cannot_take_the_place_of_another_leaves_it_as_it_is(
    table: Table, mapped: Mapped, path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise OSError(errno.EIO, "broken")

    table.upsert(packed((7, 1, 1)))
    Table.create(path.with_name("new")).close()
    with monkeypatch.context() as patch:
        patch.setattr(os if call == "open" else Path, call, refused)
        with pytest.raises(TableError, match="cannot take the place"):
            take_place(path.with_name("new"), path)
    table.upsert(packed((7, 2, 2)))

    assert mapped.get(7) == (2, 2)
    take_place(path.with_name("new"), path)
    assert mapped.get(7) is None


def test_what_a_killed_process_did_not_tell_is_told_where_a_new_table_is_made(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Table.create(path)) as old, closing(Mapped.open(path)) as mapped:
        old.upsert(packed((7, 1, 1)))
        Table.create(path.with_name("new")).close()
        with monkeypatch.context() as patch, suppress(Killed):
            patch.setattr(os, "pwrite", kill)
            take_place(path.with_name("new"), path)

        with closing(Table.create(path)) as table:
            table.upsert(packed((7, 2, 2)))

            assert mapped.get(7) == (2, 2)


def test_a_file_that_was_retired_is_not_opened_again(table: Table, path: Path) -> None:
    table._slots.header[VERSION] = RETIRED
    table.close()

    with pytest.raises(TableError, match="retired"):
        Table.open(path)


def test_a_forked_child_reads_on(table: Table, mapped: Mapped) -> None:
    table.upsert(packed((7, 1, 1)))

    child = os.fork()
    if child == 0:
        os._exit(0 if mapped.get(7) == (1, 1) else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_damaged_file_is_an_error(table: Table, mapped: Mapped) -> None:
    """Whoever opens it to write looks at every row; who reads must not run over its end."""
    rows = table._slots.rows
    rows[:, 0] = 1 << 63

    with pytest.raises(TableError, match="damaged"):
        mapped.get(7)


def test_nothing_is_read_ahead_of_a_file(path: Path) -> None:
    """Else a touch of one page waits for megabytes: 20 ms, where the system reads 8 MiB ahead."""
    Table.create(path).close()

    with closing(Table.open(path)) as table, closing(Mapped.open(path)):
        table.reserve(1000)
        with closing(Mapped.open(path)):
            lines = Path("/proc/self/smaps").read_text().splitlines()

    maps = [at for at, line in enumerate(lines) if f"{path.parent}/" in line]
    flags = [next(line for line in lines[at:] if line.startswith("VmFlags")) for at in maps]
    assert len(flags) == 3
    assert all(" rr " in line for line in flags)
