"""A table is a dict of rows, whatever the keys, the batches, the growth and the restarts."""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise, product
from pathlib import Path
from struct import iter_unpack, pack
from tempfile import TemporaryDirectory
from types import FrameType
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence import slots as slots_module
from ringfence import table as table_module
from ringfence.table import Table, row_hash

if TYPE_CHECKING:
    from _typeshed import TraceFunction  # exists for type checkers only

Facts = tuple[int, int]
Row = tuple[int, int, int]
Model = dict[int, Facts]

ONES = (1 << 64) - 1
MODULES = table_module, slots_module

# Keys that share a home, keys that crowd at either end, and keys as they should be.
keys = st.one_of(
    st.builds(lambda high, low: high << 32 | low, st.sampled_from([7, 1 << 31]), st.integers(1, 9)),
    st.integers(1, 40),
    st.integers(ONES - 40, ONES),
    st.integers(1, ONES),
)
words = st.sampled_from([0, 0, 1, 2, ONES]) | st.integers(0, ONES)
batches = st.lists(st.tuples(keys, words, words), max_size=40)

# Small numbers of everything, so that few rows meet each limit.
sizes = st.fixed_dictionaries(
    {
        "FEW": st.sampled_from([0, 5, 1000]),  # all by numpy, some, none
        "CHUNK": st.sampled_from([4, 1 << 14]),
        "LEAST": st.sampled_from([4, 64]),
        "SPARE": st.sampled_from([1, 1024]),
        "RUN": st.sampled_from([3, 1024]),
        "LARGE": st.sampled_from([1, 1 << 15]),  # it grows a stretch at a time, or at once
        "STRETCH": st.sampled_from([1, 4096]),
        "PACE": st.sampled_from([1, 20]),
    }
)


@contextmanager
def limits(sizes: dict[str, int]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module, (name, size) in product(MODULES, sizes.items()):
            if hasattr(module, name):
                patch.setattr(module, name, size)
        yield


def packed(rows: list[Row]) -> bytes:
    return b"".join(pack("<QQQ", *row) for row in rows)


def model_of(*batches: list[Row]) -> Model:
    model = {key: (low, high) for batch in batches for key, low, high in batch}
    return {key: facts for key, facts in model.items() if any(facts)}


def digest_of(model: Model, salt: int = 0) -> int:
    """Compute the digest from its description."""
    total = 0
    for key, (low, high) in model.items():
        h = salt
        for word in (key, low, high):
            h = ((h ^ word) + 0x9E3779B97F4A7C15) % 2**64
            h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
            h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) % 2**64
            h = h ^ (h >> 31)
        total += h
    return total % 2**64


def rows_of(table: Table, low: int = 0, high: int = 1 << 64) -> list[Row]:
    return list(iter_unpack("<QQQ", b"".join(table.rows(low, high))))


def check(table: Table, model: Model, asked: set[int], salt: int = 0) -> None:
    """See that *table* is *model* in all that can be seen of it."""
    assert {key: table.get(key) for key in asked} == {key: model.get(key) for key in asked}
    assert len(table) == len(model)
    assert table.digest == digest_of(model, salt)
    assert rows_of(table) == [(key, *model[key]) for key in sorted(model)]


@given(sizes, st.lists(batches, max_size=6), st.integers(0, ONES))
def test_a_table_is_a_dict(sizes: dict[str, int], batches: list[list[Row]], salt: int) -> None:
    asked = {key for batch in batches for key, _, _ in batch} | {1, 7 << 32, ONES}
    with limits(sizes), closing(Table(salt=salt)) as table:
        for count, batch in enumerate(batches, 1):
            table.upsert(packed(batch))

            check(table, model_of(*batches[:count]), asked, salt)


@given(sizes, batches, st.integers(0, 100))
def test_a_loaded_table_is_an_upserted_one(sizes: dict[str, int], batch: list[Row], n: int) -> None:
    with limits(sizes), closing(Table(n)) as loaded:
        loaded.load(packed(batch))

        check(loaded, model_of(batch), {key for key, _, _ in batch})


@given(sizes, batches, batches, st.integers(0, 300))
def test_a_reopened_table_is_the_one_that_was_closed(
    sizes: dict[str, int], before: list[Row], after: list[Row], rows: int
) -> None:
    asked = {key for key, _, _ in before + after}
    with TemporaryDirectory() as folder, limits(sizes):
        path = Path(folder) / "a.table"
        with closing(Table.create(path)) as table:
            table.upsert(packed(before))
            table.reserve(rows)
        with closing(Table.open(path)) as table:
            check(table, model_of(before), asked)
            table.upsert(packed(after))

            check(table, model_of(before, after), asked)


@given(sizes, batches, st.data())
def test_the_order_of_rows_does_not_matter(
    sizes: dict[str, int], batch: list[Row], data: st.DataObject
) -> None:
    unique = [(key, *facts) for key, facts in model_of(batch).items()]
    shuffled = data.draw(st.permutations(unique))
    cuts = data.draw(st.sets(st.integers(0, len(unique))))
    with limits(sizes), closing(Table()) as table:
        for start, stop in pairwise(sorted({0, *cuts, len(unique)})):
            table.upsert(packed(shuffled[start:stop]))

        check(table, model_of(batch), {key for key, _, _ in batch})


@given(sizes, batches, keys, keys)
def test_a_range_of_rows_is_that_of_their_keys(
    sizes: dict[str, int], batch: list[Row], low: int, high: int
) -> None:
    with limits(sizes), closing(Table()) as table:
        table.upsert(packed(batch))
        found = rows_of(table, low, high)

    assert found == [
        (key, *facts) for key, facts in sorted(model_of(batch).items()) if low <= key < high
    ]


@given(st.lists(st.tuples(keys, words, words), min_size=1), st.integers(0, ONES))
def test_integers_and_arrays_hash_alike(rows: list[Row], salt: int) -> None:
    key, low, high = np.array(rows, np.uint64).T

    assert row_hash(key, low, high, salt).tolist() == [row_hash(*row, salt) for row in rows]


@contextmanager
def copied_at_each_line(path: Path, copies: dict[bytes, None]) -> Iterator[None]:
    """Note what *path* holds before each line that the modules execute."""
    files = {module.__file__ for module in MODULES}

    def traced(frame: FrameType, event: str, _: object) -> "TraceFunction | None":
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            copies[path.read_bytes()] = None
        return traced

    before = sys.gettrace()
    sys.settrace(traced)
    try:
        yield
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("together", [1, 200])
def test_a_kill_at_any_line_leaves_a_table_that_opens(tmp_path: Path, together: int) -> None:
    path, copies = tmp_path / "a.table", dict[bytes, None]()
    kept = [(key << 54 | key, key, 1) for key in range(1, 7)]
    old = [(key << 54 | key, key, 1) for key in range(7, 10)]
    new = [(key, low, 2) for key, low, _ in old]
    # Two homes for all of them, so that they search and line up, and enough to make it grow.
    added = [((key % 2) << 60 | 1 << 50 | key, 1, 1) for key in range(1, 30)]

    with limits({"SPARE": 8, "FEW": 1, "LEAST": 16}), closing(Table.create(path)) as table:
        table.upsert(packed(kept + old))
        with copied_at_each_line(path, copies):
            for start in range(0, len(new + added), together):
                table.upsert(packed((new + added)[start : start + together]))

    assert len(copies) > 4
    for copy in copies:
        path.write_bytes(copy)
        with closing(Table.open(path)) as table:
            found = set(rows_of(table))
            assert table.digest == digest_of(model_of(list(found)))
            assert table.get(new[0][0]) in {old[0][1:], new[0][1:]}
        assert {*kept} <= found <= {*kept, *old, *new, *added}
