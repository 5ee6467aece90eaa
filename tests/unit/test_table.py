import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path
from struct import iter_unpack, pack

import numpy as np
import pytest

from ringfence.row import RESTRAINT
from ringfence.slots import Slots, _anonymous, _new_file
from ringfence.table import ROW, Table, TableError, row_hash

ONES = (1 << 64) - 1

# Each runs in a process of its own because it is killed, or because the limit it lives under holds
# for a whole process. A line it prints is a promise.
UPSERT_FOR_EVER = """
import itertools, random, struct, sys
from pathlib import Path
from ringfence.table import Table
table, keys = Table.create(Path(sys.argv[1])), random.Random(1)
for seq in itertools.count(1):
    count = 200 if seq % 2 else 1
    table.upsert(b"".join(struct.pack("<QQQ", keys.getrandbits(64), 1, seq) for _ in range(count)))
    table.seq = seq
    print(seq, flush=True)
"""
FILL_THE_DISK = """
import resource, struct, sys
from pathlib import Path
from ringfence.table import Table, TableError
table = Table.create(Path(sys.argv[1]))
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (table.nbytes, hard))
rows = [struct.pack("<QQQ", key << 57, 1, 1) for key in range(1, 100)]
for count, batch in enumerate(rows):
    try:
        table.upsert(batch)
    except TableError as error:
        print(count, len(table), all(table.get(key << 57) for key in range(1, count + 1)), error)
        break
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
table.upsert(b"".join(rows))
print(len(table))
"""
HOLD = """
import sys
from pathlib import Path
from ringfence.table import Table
table = Table.create(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.table"


@pytest.fixture
def table() -> Iterator[Table]:
    with closing(Table()) as table:
        yield table


def packed(*rows: tuple[int, int, int]) -> bytes:
    return b"".join(pack("<QQQ", *row) for row in rows)


def random_rows(count: int, seed: int = 1) -> np.ndarray[tuple[int, int], np.dtype[np.uint64]]:
    return np.random.default_rng(seed).integers(1, ONES, (count, 3), np.uint64, endpoint=True)


def kept(path: Path, *rows: tuple[int, int, int]) -> None:
    """Make a table of *rows* at *path*, and close it."""
    with closing(Table.create(path)) as table:
        table.upsert(packed(*rows))


@pytest.mark.parametrize(
    ("row", "salt", "expected"),
    [
        ((0, 0, 0), 0, 0x238275BC38FCBE91),
        ((1, 2, 3), 0, 0xD0734750FDE362B3),
        ((1, 2, 3), 0x0123456789ABCDEF, 0xDF84BEA92B097E95),
        ((ONES, ONES, ONES), ONES, 0x66698CA2F49CFEE7),
        ((0x0123456789ABCDEF, 0x8000000100020003, 4), 7, 0xD027280F8954B21B),
    ],
)
def test_a_row_has_the_hash_that_others_compute(
    row: tuple[int, int, int], salt: int, expected: int
) -> None:
    assert row_hash(*row, salt) == expected


def test_the_digest_is_the_sum_of_the_hashes(table: Table) -> None:
    table.upsert(packed((ONES, ONES, ONES), (1, 2, 3), (5, 0, 0)))

    assert table.digest == 0x29CE5F4585A449CE


def test_facts_are_found_by_their_key(table: Table) -> None:
    table.upsert(packed((7, 1, 2), (ONES, 0, ONES)))

    assert (table.get(7), table.get(ONES), table.get(8)) == ((1, 2), (0, ONES), None)


@pytest.mark.parametrize("others", [0, 1000])
def test_a_row_that_says_nothing_is_as_if_it_were_not_there(table: Table, others: int) -> None:
    rest = random_rows(others).tobytes()
    table.upsert(rest)
    digest = table.digest

    table.upsert(packed((7, 1, 2), (8, 0, 0)) + rest)
    table.upsert(packed((7, 0, 0)) + rest)

    assert (table.get(7), table.get(8), len(table), table.digest) == (None, None, others, digest)
    assert sum(map(len, table.rows())) == others * ROW


@pytest.mark.parametrize("others", [0, 1000])
def test_of_several_rows_of_one_key_the_last_counts(table: Table, others: int) -> None:
    rest = random_rows(others).tobytes()

    table.upsert(packed((7, 1, 1), (7, 0, 0)) + rest + packed((7, 3, 3), (8, 1, 1), (7, 2, 2)))

    assert (table.get(7), table.get(8), len(table)) == ((2, 2), (1, 1), others + 2)


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (packed((7, 2, 2)) + b"\0", "25 bytes are not whole rows of 24"),
        (packed((7, 2, 2), (0, 1, 1)), "row 1 has key 0"),
        (packed((7, 2, 2)) + bytes(100 * ROW), "row 1 has key 0"),
    ],
)
def test_rows_that_are_none_are_refused_and_change_nothing(
    table: Table, rows: bytes, complaint: str
) -> None:
    table.upsert(packed((7, 1, 1)))
    digest = table.digest

    with pytest.raises(TableError, match=complaint):
        table.upsert(rows)

    assert (table.get(7), len(table), table.digest) == ((1, 1), 1, digest)


def test_a_structured_array_is_taken_for_its_bytes(table: Table) -> None:
    rows = np.zeros(2, RESTRAINT)
    rows["key"] = 7, 8
    rows["refused_on"] = 2400, 2401

    table.upsert(rows)

    assert (table.get(7), table.get(8)) == ((2400, 0), (2401, 0))


def test_of_several_loaded_rows_of_one_key_the_last_counts(table: Table) -> None:
    rows = random_rows(50_000)
    first, last = rows.copy(), np.random.default_rng(2).permutation(rows)
    first[:, 1:] = 1, 1

    table.load(np.concatenate([first, last]))

    assert len(table) == len(rows)
    assert all(table.get(key) == (low, high) for key, low, high in rows.tolist())


def test_only_an_empty_table_can_be_loaded(table: Table) -> None:
    table.upsert(packed((7, 1, 1)))

    with pytest.raises(TableError, match="1 slots of this one are taken"):
        table.load(packed((8, 1, 1)))

    assert (table.get(7), table.get(8)) == ((1, 1), None)


@pytest.mark.parametrize("batch", [10, 3000, 100_000])
def test_a_table_sized_ahead_does_not_grow_and_takes_32_bytes_a_row(batch: int) -> None:
    rows = random_rows(100_000)
    with closing(Table(rows=100_000)) as table:
        slots = table.slots
        for start in range(0, len(rows), batch):
            table.upsert(rows[start : start + batch])

        assert (len(table), table.slots) == (100_000, slots)
        assert 32 <= table.nbytes / len(table) < 32.3


def test_growing_ahead_moves_the_rows_once(table: Table) -> None:
    rows = random_rows(100_000)
    table.upsert(rows[:500])
    table.reserve(100_000)
    slots = table.slots

    table.reserve(90_000)
    table.upsert(rows)

    assert (len(table), table.slots) == (100_000, slots)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_room_that_is_reserved_is_there(path: Path, share: float) -> None:
    """Also if rows that say nothing hold slots, and if little is missing."""
    rows = random_rows(1000)
    with closing(Table.create(path)) as table:
        table.upsert(rows)
        rows[:, 1:] = 0
        table.upsert(rows)
        more = random_rows(int(table.slots * share), seed=2)

        table.reserve(len(more))
        file = path.stat().st_ino
        table.upsert(more)

        assert (len(table), path.stat().st_ino) == (len(more), file)


def test_a_table_that_was_not_sized_grows_to_about_half_full(table: Table) -> None:
    rows = random_rows(100_000)

    for start in range(0, len(rows), 50):
        table.upsert(rows[start : start + 50])

    assert 0.5 < len(table) / table.slots <= 0.85
    assert all(table.get(key) == (low, high) for key, low, high in rows.tolist())


def test_replacing_rows_does_not_make_a_full_table_grow() -> None:
    rows = random_rows(85)
    with closing(Table(75)) as table:
        table.upsert(rows[:85])
        slots = table.slots

        table.upsert(rows)
        for row in rows:
            table.upsert(row)

        assert (len(table), table.slots) == (85, slots)


def test_growing_forgets_rows_that_say_nothing(table: Table) -> None:
    """So a table does not grow for what is gone."""
    rows = random_rows(2000)
    for start in range(0, len(rows), 50):
        table.upsert(rows[start : start + 50])
        rows[start : start + 50, 1:] = 0
        table.upsert(rows[start : start + 50])

    assert (len(table), table.slots < 200, table.digest) == (0, True, 0)


@pytest.mark.parametrize("batch", [1, 1000])
def test_rows_that_say_nothing_of_new_keys_take_no_slot(table: Table, batch: int) -> None:
    rows, slots = random_rows(1000), table.slots
    rows[:, 1:] = 0

    for start in range(0, len(rows), batch):
        table.upsert(rows[start : start + batch])

    assert (len(table), table.slots) == (0, slots)


def test_rows_in_order_of_keys_do_not_crowd_a_small_table(table: Table) -> None:
    """Told by the slots that a search looks at, not by its time."""
    rows = random_rows(100_000)
    rows = rows[np.argsort(rows[:, 0])][:10_000]

    for start in range(0, len(rows), 500):
        table.upsert(rows[start : start + 500])

    # Nothing but the time tells from outside how far rows are from their homes.
    taken = np.flatnonzero(table._slots.rows[:, 0])
    homes = np.array([(key >> 32) * table.slots >> 32 for key in rows[:, 0].tolist()])
    assert len(table) == len(taken) == len(rows)
    assert (taken - homes).max() < 1600


def test_keys_with_one_home_do_not_make_the_table_grow_without_end(table: Table) -> None:
    rows = random_rows(3000)
    rows[:, 0] |= np.uint64(0xFFFFFFFF << 32)

    table.upsert(rows[:100])
    table.upsert(rows)
    table.upsert(rows[7])

    assert len(table) == 3000
    assert all(table.get(key) == (low, high) for key, low, high in rows.tolist())
    assert table.nbytes < 3000 * 24 * 600


def test_a_row_that_a_chunk_showed_is_not_shown_again_after_growing() -> None:
    rows = random_rows(50_000)
    with closing(Table(50_000)) as table:
        table.load(rows)
        chunks = table.rows()
        seen = list(iter_unpack("<QQQ", next(chunks)))
        table.reserve(500_000)
        table.upsert(random_rows(50_000, seed=2))
        seen += iter_unpack("<QQQ", b"".join(chunks))

    keys = [key for key, _, _ in seen]
    assert keys == sorted(set(keys))
    assert {*map(tuple, rows.tolist())} <= {*seen}


def test_a_table_closes_twice_and_under_a_reader(table: Table) -> None:
    table.load(random_rows(50_000))
    chunks = table.rows()
    next(chunks)

    table.close()
    table.close()

    with pytest.raises(ValueError, match="released"):
        table.get(1)


def test_a_forked_child_does_not_write_in_its_parents_table(table: Table) -> None:
    table.upsert(packed((7, 1, 1)))

    child = os.fork()
    if child == 0:
        table.upsert(packed((7, 2, 2)))
        os._exit(0)
    os.waitpid(child, 0)

    assert table.get(7) == (1, 1)


@pytest.fixture
def large(path: Path) -> Iterator[Table]:
    """A table that is about to grow, a stretch at a time."""
    with closing(Table.create(path, rows=60_000)) as table:
        table.upsert(random_rows(int(table.slots * 0.79)))
        yield table


def test_a_large_table_grows_while_it_is_used(large: Table, path: Path) -> None:
    slots, count = large.slots, len(large)
    large.epoch, large.seq = ONES, 12
    more = random_rows(4000, seed=2)
    sizes = []
    for start in range(0, len(more), 100):
        large.upsert(more[start : start + 100])
        large.upsert(packed((int(more[0, 0]), start, 1)))  # of a key that may have been moved
        sizes.append(large.slots)

    assert sizes[0] == sizes[5] == slots
    assert sizes[-1] > slots
    assert (len(large), large.epoch, large.seq) == (count + 4000, ONES, 12)
    assert large.get(int(more[0, 0])) == (3900, 1)
    rows = list(iter_unpack("<QQQ", b"".join(large.rows())))
    assert large.digest == sum(row_hash(*row) for row in rows) & ONES
    assert all(large.get(key) == (low, high) for key, low, high in rows)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_large_table_is_done_with_growing_before_it_is_full(
    large: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the batches; else it would have to grow at once."""
    monkeypatch.setattr(large, "_build", None)
    slots, rows = large.slots, random_rows(5000, seed=3)

    for start in range(0, len(rows), 1000):
        large.upsert(rows[start : start + 1000])

    assert large.slots > slots


@pytest.mark.parametrize("end", ["close", "kill"])
def test_a_growth_that_did_not_come_to_its_end_leaves_nothing_behind(
    large: Table, path: Path, end: str
) -> None:
    rows = random_rows(200, seed=2)
    large.upsert(rows)
    left = path.with_name("a.table.larger")
    data = left.read_bytes()
    digest = large.digest

    large.close()
    assert not left.exists()
    if end == "kill":
        left.write_bytes(data)

    with closing(Table.open(path)) as table:
        assert table.digest == digest
        assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_table_without_space_to_grow_ahead_goes_on_until_it_is_full(
    large: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def full(*how: object) -> None:
        tried.append(how)
        msg = "no space"
        raise TableError(msg)

    slots, rows = large.slots, random_rows(10_000, seed=2)
    with monkeypatch.context() as patch:
        patch.setattr(Slots, "make", full)
        large.upsert(rows[:2000])
        large.upsert(rows[2000:3000])
        assert len(tried) == 1
        with pytest.raises(TableError, match="no space"):
            large.upsert(rows)
    assert large.slots == slots

    large.upsert(rows)

    assert all(large.get(key) == (low, high) for key, low, high in rows.tolist())


def test_a_larger_file_is_made_in_a_thread(path: Path) -> None:
    with (
        ThreadPoolExecutor(1) as thread,
        closing(Table.create(path, rows=60_000, aside=thread.submit)) as table,
    ):
        slots, rows = table.slots, random_rows(66_000)
        table.upsert(rows[:64_000])
        thread.submit(lambda: None).result()
        for start in range(64_000, len(rows), 100):
            table.upsert(rows[start : start + 100])

        assert table.slots > slots
        assert all(table.get(key) == (low, high) for key, low, high in rows.tolist())


def test_the_owners_words_survive_growth_and_restart(path: Path) -> None:
    with closing(Table.create(path)) as table:
        table.epoch, table.seq = ONES, 12
        table.reserve(10_000)
        assert (table.epoch, table.seq) == (ONES, 12)

    with closing(Table.open(path)) as table:
        assert (table.epoch, table.seq, len(table), table.slots > 10_000) == (ONES, 12, 0, True)


def test_a_table_of_another_salt_has_another_digest(path: Path) -> None:
    with closing(Table.create(path, salt=1)) as table:
        table.upsert(packed((7, 1, 2)))
        assert table.digest == row_hash(7, 1, 2, 1)

    with closing(Table.open(path)) as table:
        assert table.digest == row_hash(7, 1, 2)


def test_a_moved_table_grows_where_it_is(path: Path) -> None:
    kept(path, (1, 1, 1))
    loading = path.with_name("loading")
    with closing(Table.create(loading)) as table:
        table.upsert(packed((2, 2, 2)))

        table.move(path)
        table.reserve(1000)
        table.upsert(packed((3, 3, 3)))
        table.flush()

    assert [file.name for file in path.parent.iterdir()] == [path.name]
    with closing(Table.open(path)) as table:
        assert [table.get(key) for key in (1, 2, 3)] == [None, (2, 2), (3, 3)]


def test_only_the_owner_may_read_the_file(path: Path) -> None:
    kept(path)

    assert path.stat().st_mode & 0o777 == 0o600


def test_a_killed_process_loses_nothing_it_was_told_is_there(path: Path) -> None:
    code = [sys.executable, "-c", UPSERT_FOR_EVER, str(path)]
    with subprocess.Popen(code, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        told = list(islice(process.stdout, 60))[-1]
        process.send_signal(signal.SIGKILL)
        told = [told, *process.stdout][-1]

    with closing(Table.open(path)) as table:
        rows = list(iter_unpack("<QQQ", b"".join(table.rows())))
        assert table.seq >= int(told)
        assert {seq for _, _, seq in rows} - {table.seq + 1} == set(range(1, table.seq + 1))
        assert sum(seq <= table.seq for _, _, seq in rows) == (table.seq + 1) // 2 * 200 + (
            table.seq // 2
        )
        assert table.digest == sum(row_hash(*row) for row in rows) & ONES


def test_a_growth_that_was_killed_leaves_nothing_behind(path: Path) -> None:
    kept(path, (7, 1, 1))
    left = path.with_name("a.table.new")
    left.write_bytes(b"half a table")

    with closing(Table.open(path)) as table:
        assert table.get(7) == (1, 1)
        assert not left.exists()


def test_the_disk_space_of_a_table_is_taken_before_its_rows_come(path: Path) -> None:
    """Else a full disk would end the process with a signal when a row is written."""
    with closing(Table.create(path, rows=10_000)) as table:
        assert path.stat().st_blocks * 512 >= table.nbytes


def test_a_full_disk_is_an_error_and_no_signal(path: Path) -> None:
    code = [sys.executable, "-c", FILL_THE_DISK, str(path)]
    done = subprocess.run(code, capture_output=True, text=True, check=True)

    failed, retried = done.stdout.splitlines()
    assert failed.startswith(f"54 54 True {path}.new cannot get the ")
    assert "File too large. See to its disk" in failed
    assert retried == "99"
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("rows", [1 << 33, 1 << 62])
def test_a_table_of_absurd_size_is_an_error_and_leaves_nothing_behind(
    path: Path, rows: int
) -> None:
    with pytest.raises(TableError, match="homes for its rows"):
        Table(rows)
    with pytest.raises(TableError, match="homes for its rows"):
        Table.create(path, rows=rows)

    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("size", [1 << 56, 1 << 64])
def test_memory_or_a_file_that_no_system_has_is_an_error(path: Path, size: int) -> None:
    with pytest.raises(TableError, match=f"no memory for a table of {size} bytes"):
        _anonymous(size)
    with pytest.raises(TableError, match=f"cannot get the {size} bytes"):
        _new_file(path, size)

    assert list(path.parent.iterdir()) == []


def test_facts_without_a_key_are_no_row(path: Path) -> None:
    """A process was killed before it wrote the key."""
    kept(path, (1 << 63, 1, 1))
    data = bytearray(path.read_bytes())
    data[64 + 3 * ROW + 8 : 64 + 4 * ROW] = pack("<QQ", 5, 6)
    path.write_bytes(data)

    with closing(Table.open(path)) as table:
        assert (len(table), table.digest) == (1, row_hash(1 << 63, 1, 1))
        assert b"".join(table.rows()) == packed((1 << 63, 1, 1))
        table.upsert(packed((4 << 58, 1, 0)))
        assert table.get(4 << 58) == (1, 0)
        assert (len(table), b"".join(table.rows())[:ROW]) == (2, packed((4 << 58, 1, 0)))


def test_a_table_in_use_is_refused_to_another_process(path: Path) -> None:
    code = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()

        with pytest.raises(TableError, match=r"a\.table is in use by another process"):
            Table.open(path)

        process.kill()
    Table.open(path).close()


@pytest.mark.parametrize(
    ("start", "new", "complaint"),
    [
        (0, b"SQLite f", "no table"),
        (8, pack("<Q", 2), r"of formats \[2, 1\]; this release reads \[1, 1\]"),
        (16, pack("<Q", 2), r"of formats \[1, 2\]"),
        (24, pack("<Q", 0), "damaged: 0 of"),
        (24, pack("<Q", 1 << 60), "damaged: 1152921504606846976 of"),
        (32, pack("<Q", 1 << 60), "cut short, or damaged"),
        (64, pack("<Q", 1 << 63), "out of place"),  # before its home
        (64 + 10 * ROW, pack("<Q", 1), "out of place"),  # behind free slots
        (-ROW, pack("<Q", ONES), "out of place|last slot"),
    ],
)
def test_a_file_that_is_no_whole_table_is_refused(
    path: Path, start: int, new: bytes, complaint: str
) -> None:
    kept(path, (1 << 60, 1, 1))
    data = bytearray(path.read_bytes())
    start %= len(data)
    data[start : start + 8] = new
    path.write_bytes(data)

    with pytest.raises(TableError, match=complaint) as refused:
        Table.open(path)

    assert str(path) in str(refused.value)
    assert "Remove it" in str(refused.value)


def test_a_table_whose_last_slot_is_taken_is_refused(path: Path) -> None:
    """A search for what is not there would not end."""
    kept(path)
    data = bytearray(path.read_bytes())
    homes = int.from_bytes(data[24:32], "little")
    for slot in range(homes - 1, (len(data) - 64) // ROW):
        data[64 + slot * ROW : 64 + slot * ROW + 8] = pack("<Q", ONES - slot)
    path.write_bytes(data)

    with pytest.raises(TableError, match="last slot is taken"):
        Table.open(path)


@pytest.mark.parametrize("size", [0, 63, 64, 1000, -1, -ROW])
def test_a_file_that_is_cut_is_refused(path: Path, size: int) -> None:
    kept(path, (7, 1, 1))
    os.truncate(path, size % path.stat().st_size)

    with pytest.raises(TableError, match="cut short"):
        Table.open(path)


def test_a_refused_file_is_not_held(path: Path) -> None:
    path.write_bytes(b"something else")
    with pytest.raises(TableError):
        Table.open(path)

    with closing(Table.create(path)) as table:
        assert len(table) == 0


def test_a_file_that_is_not_there_is_an_os_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Table.open(path)
