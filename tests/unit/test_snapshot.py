"""Shards become messages and messages shards again, whatever is lost or comes twice."""

import msgspec
import numpy as np
import pytest
from tests.unit.truth import EPOCH, key

from ringfence import snapshot
from ringfence.row import ROW
from ringfence.snapshot import (
    MAX_PARTS,
    PART_ROWS,
    SHARD_ROWS,
    Assembly,
    cut,
    shard_of,
    shards_of,
    span,
)
from ringfence.table import Table
from ringfence.wire import MAX_MESSAGE, MAX_SHARDS, Log, Snapshot, WireError, encode, pack


def table(*numbers: int, says: int = 1) -> Table:
    rows = Table(len(numbers))
    rows.upsert(rows_of(*numbers, says=says))
    rows.epoch = EPOCH
    return rows


def rows_of(*numbers: int, says: int = 1) -> bytes:
    return b"".join(np.array([key(n), says, 0], "<u8").tobytes() for n in numbers)


def assembly(shards: int = 1) -> Assembly:
    return Assembly(table(), table(), shards)


def parts_of(ground: Table, restraint: Table, shards: int = 1, seq: int = 5) -> list[Snapshot]:
    return [part for n in range(shards) for part in cut(ground, restraint, n, shards, seq)]


def test_the_number_of_shards_grows_with_the_rows_up_to_a_limit() -> None:
    assert [shards_of(n) for n in (0, SHARD_ROWS, SHARD_ROWS + 1, 10_000_000)] == [1, 1, 2, 4096]
    assert shards_of(10**12) == MAX_SHARDS


@pytest.mark.parametrize("shards", [1, 2, 8, MAX_SHARDS])
def test_every_key_lies_in_the_span_of_its_shard(shards: int) -> None:
    keys = [1, 2**63 - 1, 2**63, 2**64 - 1, *map(key, range(1, 50))]

    for one, shard in zip(keys, shard_of(np.array(keys, np.uint64), shards).tolist(), strict=True):
        low, high = span(shard, shards)
        assert low <= one < high
    assert span(0, shards)[0] == 0
    assert span(shards - 1, shards)[1] == 2**64


def test_a_small_shard_is_one_message_with_both_kinds_of_rows() -> None:
    (part,) = cut(table(1, 2), table(3), 0, 1, 5)

    assert (part.epoch, part.seq, part.part, part.parts) == (EPOCH, 5, 0, 1)
    loaded = assembly()
    assert loaded.take(part)
    assert (len(loaded.ground), len(loaded.restraint)) == (2, 1)


def test_a_large_shard_is_several_messages_none_of_them_too_large() -> None:
    many = range(1, 2 * PART_ROWS)
    ground, restraint = table(*many), table(*many, says=2**64 - 1)
    loaded = assembly()

    for part in parts_of(ground, restraint):
        assert len(encode(part)) < MAX_MESSAGE
        loaded.take(part)

    assert loaded.consistent
    assert (loaded.ground.digest, loaded.restraint.digest) == (ground.digest, restraint.digest)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "PART_ROWS", 2)


@pytest.mark.usefixtures("small_parts")
def test_parts_of_an_older_cut_are_dropped_for_those_of_a_newer_and_not_the_other_way() -> None:
    old = parts_of(table(1, 2, 3), table(), seq=5)
    new = parts_of(table(1, 2, 3, 4), table(), seq=6)
    loaded = assembly()

    assert [loaded.take(part) for part in (old[0], new[1], old[1], new[0])] == [
        True,
        True,
        False,
        True,
    ]
    assert (len(loaded.ground), loaded.reached) == (4, 6)


@pytest.mark.usefixtures("small_parts")
def test_parts_that_wait_for_others_without_end_are_dropped_and_can_come_again() -> None:
    shards = 2 * MAX_PARTS
    loaded = assembly(shards)
    for shard in range(MAX_PARTS + 10):
        loaded.take(Snapshot(EPOCH, 5, shard, shards, 0, 2, pack(b""), pack(b"")))

    assert sum(map(len, loaded._parts.values())) <= MAX_PARTS
    for part in parts_of(table(*range(1, 2000)), table(), shards):
        loaded.take(part)
    assert loaded.consistent


@pytest.mark.parametrize(("part", "parts"), [(0, 0), (2, 2), (0, MAX_PARTS + 1)])
def test_a_part_that_contradicts_itself_is_a_wire_error(part: int, parts: int) -> None:
    with pytest.raises(WireError, match=f"part {part} of {parts}"):
        assembly().take(Snapshot(EPOCH, 5, 0, 1, part, parts, pack(b""), pack(b"")))


@pytest.mark.parametrize("change", [{"epoch": 1}, {"shards": 2}, {"shard": 1}])
def test_what_is_not_of_this_assembly_is_passed_over(change: dict[str, int]) -> None:
    (part,) = parts_of(table(1), table())
    loaded = assembly()

    assert not loaded.take(msgspec.structs.replace(part, **change))
    assert loaded.missing == {0}


@pytest.mark.usefixtures("small_parts")
def test_a_damaged_part_is_a_wire_error_and_a_good_one_takes_its_place() -> None:
    first, second = parts_of(table(1, 2, 3), table())
    loaded = assembly()
    loaded.take(first)

    with pytest.raises(WireError):
        loaded.take(msgspec.structs.replace(second, ground=b"damaged"))

    assert loaded.missing == {0}
    assert loaded.take(second)
    assert len(loaded.ground) == 3


def test_the_log_is_applied_to_the_shards_that_do_not_show_it_yet() -> None:
    numbers = range(1, 9)
    before, after = table(*numbers), table(*numbers, says=3)
    loaded = assembly(2)
    for part in (*cut(before, before, 0, 2, 5), *cut(after, after, 1, 2, 7)):
        loaded.take(part)
    assert (loaded.whole, loaded.consistent, loaded.reached, loaded.newest) == (True, False, 5, 7)

    loaded.apply(Log(EPOCH, 6, 6, rows_of(*numbers, says=2), rows_of(*numbers, says=2), ["a"]))
    loaded.apply(Log(EPOCH, 7, 7, rows_of(*numbers, says=3), rows_of(*numbers, says=3), ["b"]))

    assert loaded.consistent
    assert loaded.ids == ["a", "b"]
    assert (loaded.ground.digest, loaded.restraint.digest) == (after.digest, after.digest)


def test_an_empty_shard_has_one_part_without_rows() -> None:
    (part,) = cut(table(), table(), 0, 1, 0)

    loaded = assembly()
    loaded.take(part)

    assert loaded.consistent
    assert len(part.ground) < ROW
