"""Rows of a shard as messages, and messages as shards again.

A shard is the rows whose keys share their first bits. The number of shards is a power of two.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ringfence.row import GROUND, ROW
from ringfence.table import Table
from ringfence.wire import MAX_SHARDS, Log, Snapshot, WireError, pack, unpack

__all__ = ["MAX_PARTS", "PART_ROWS", "Assembly", "cut", "shard_of", "shards_of", "span"]

PART_ROWS = 3500
"""Rows in one part: below `MAX_MESSAGE` even if nothing in them can be compressed."""

MAX_PARTS = 256
"""Of one shard; and parts that wait, of all shards, for others of their shard."""

SHARD_ROWS = 2500
"""Rows a shard is meant to have: one part then holds it, with room for the luck of the keys."""


def shards_of(rows: int) -> int:
    """Give the number of shards for a principal with that many rows."""
    shards = 1
    while shards < MAX_SHARDS and shards * SHARD_ROWS < rows:
        shards *= 2
    return shards


def shard_of(keys: NDArray[np.uint64], shards: int) -> NDArray[np.uint64]:
    """Give the shard of each key."""
    if shards == 1:
        return np.zeros(len(keys), np.uint64)
    return keys >> np.uint64(65 - shards.bit_length())


def span(shard: int, shards: int) -> tuple[int, int]:
    """Give the first key of a shard, and the first behind it."""
    return shard * (1 << 64) // shards, (shard + 1) * (1 << 64) // shards


def cut(ground: Table, restraint: Table, shard: int, shards: int, seq: int) -> Iterator[Snapshot]:
    """Write one shard as messages."""
    low, high = span(shard, shards)
    grounds = _pieces(b"".join(ground.rows(low, high)))
    restraints = _pieces(b"".join(restraint.rows(low, high)))
    parts = len(grounds) + len(restraints) if _large(grounds, restraints) else 1
    epoch = ground.epoch
    if parts == 1:
        yield Snapshot(
            epoch, seq, shard, shards, 0, 1, pack(b"".join(grounds)), pack(b"".join(restraints))
        )
        return
    for part, rows in enumerate(grounds):
        yield Snapshot(epoch, seq, shard, shards, part, parts, pack(rows), pack(b""))
    for part, rows in enumerate(restraints, start=len(grounds)):
        yield Snapshot(epoch, seq, shard, shards, part, parts, pack(b""), pack(rows))


def _large(grounds: list[bytes], restraints: list[bytes]) -> bool:
    return sum(map(len, grounds)) + sum(map(len, restraints)) > PART_ROWS * ROW


def _pieces(rows: bytes) -> list[bytes]:
    size = PART_ROWS * ROW
    return [rows[at : at + size] for at in range(0, len(rows), size)]


class Assembly:
    """Tables on their way in, shard by shard, and then up to date by the log.

    Parts wait, still compressed, until their shard is whole. Shards may have been cut at different
    changes; the log is applied from the oldest on, to the shards that do not show it yet.
    """

    def __init__(self, ground: Table, restraint: Table, shards: int) -> None:
        self.ground = ground
        self.restraint = restraint
        self.shards = shards
        self.missing = set(range(shards))
        self.ids: list[str] = []
        """Of the events in the log applied."""
        self._seqs = np.zeros(shards, np.uint64)
        self._parts: dict[int, dict[int, Snapshot]] = {}
        self._reached = 0

    @property
    def epoch(self) -> int:
        return self.ground.epoch

    @property
    def whole(self) -> bool:
        return not self.missing

    @property
    def reached(self) -> int:
        """The change up to which all shards show the log; 0 until all have come."""
        return 0 if self.missing else max(self._reached, int(self._seqs.min()))

    @property
    def newest(self) -> int:
        """The latest change that any shard shows."""
        return int(self._seqs.max())

    @property
    def consistent(self) -> bool:
        """Whether all shards show the same change."""
        return not self.missing and self.reached >= self.newest

    def close(self) -> None:
        """Let go of tables that nobody will need."""
        self.ground.close()
        self.restraint.close()

    def take(self, part: Snapshot) -> bool:
        """Take a part; say whether it was of use.

        What is not of this assembly, or has come before, is passed over. Raises `WireError` for a
        part that contradicts itself, `TableError` where there is no space for its rows.
        """
        if (part.epoch, part.shards) != (self.epoch, self.shards):
            return False
        if part.shard not in self.missing:
            return False
        if not part.part < part.parts <= MAX_PARTS:
            msg = f"part {part.part} of {part.parts} of shard {part.shard}"
            raise WireError(msg)
        parts = self._file(part)
        if parts is None:
            return False
        if len(parts) == part.parts:
            self._load(parts)
            del self._parts[part.shard]
            self.missing.discard(part.shard)
            self._seqs[part.shard] = part.seq
        return True

    def _file(self, part: Snapshot) -> dict[int, Snapshot] | None:
        """Put a part with the others of its cut; those of an older cut fit no longer."""
        parts = self._parts.get(part.shard, {})
        other = next(iter(parts.values()), part)
        if part.seq < other.seq:
            return None
        if (part.seq, part.parts) != (other.seq, other.parts):
            parts = {}
        if sum(map(len, self._parts.values())) >= MAX_PARTS:
            self._parts.clear()  # they are asked for again, one shard after the other
            parts = {}
        parts[part.part] = part
        self._parts[part.shard] = parts
        return parts

    def _load(self, parts: dict[int, Snapshot]) -> None:
        grounds = [unpack(parts[n].ground) for n in sorted(parts)]
        restraints = [unpack(parts[n].restraint) for n in sorted(parts)]
        self.ground.upsert(b"".join(grounds))
        self.restraint.upsert(b"".join(restraints))

    def apply(self, log: Log) -> None:
        """Apply the batch that follows the change reached. Raises `TableError`."""
        self.ground.upsert(self._news(log.ground, log.last))
        self.restraint.upsert(self._news(log.restraint, log.last))
        self.ids += log.ids
        self._reached = log.last

    def _news(self, rows: bytes, last: int) -> bytes:
        if not rows or last > self.newest:
            return rows
        table = np.frombuffer(rows, GROUND)
        return table[self._seqs[shard_of(table["key"], self.shards)] < last].tobytes()
