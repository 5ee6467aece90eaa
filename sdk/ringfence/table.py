"""Rows in memory: open addressing over one flat buffer, anonymous or a file.

What the two words of facts mean is not known here, except that both zero say nothing: such a row
is as if it were not there. There is no deletion; a row that no longer says anything keeps its slot
until the table grows. `slots` has the layout, and says why other processes may read a file while it
is written; `mapped` is how they do.

A file survives a killed process, in whatever it was: facts are written before the key that makes
them count. A row that was being replaced may be half of each; therefore the owner sets `seq` after
the rows it stands for, and applies again what came later. A power cut may lose any page written
since `flush`: `open` finds rows that are out of reach, the digest tells of those that are missing.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from ringfence.aside import Aside, at_once
from ringfence.row import ROW
from ringfence.slots import (
    CHUNK,
    EPOCH,
    SEQ,
    Array,
    Slots,
    TableError,
    Words,
    beside,
    in_line,
    latest,
    says,
    take_place,
)

__all__ = ["ROW", "Rows", "Table", "TableError", "row_hash"]

Rows: TypeAlias = bytes | bytearray | memoryview | npt.NDArray[np.generic]
"""Rows end to end, little-endian; an array is taken for its bytes."""

# 32 bytes a row if sized ahead. Beyond FULL a miss looks at more than twenty slots. After growing
# there is room for half as many rows again before the next time.
SIZED, FULL, GROWN = 0.75, 0.85, 0.55

# A large table begins to grow earlier, and a stretch with each upsert: PACE slots for each row, so
# that it is done before the table is FULL, and at least STRETCH, which takes less than a
# millisecond. A table of fewer than LARGE homes grows at once in a few.
SOON, PACE, STRETCH = 0.79, 24, 4096
LARGE = 1 << 15

# Longer than the longest run of taken slots at FULL and ten million rows. Slots that were never
# touched take no memory; where these do not suffice, they are doubled.
SPARE = 1024
LEAST = 64

# Rows that come in order of their keys crowd at one end of a table that is still small, and each
# would search through all before it. No row of uniform keys is RUN slots from home; where one is,
# slots are spread out, up to SPREAD of them a row, for those that may follow.
RUN, SPREAD = 1024, 256

# Up to here one row after the other is faster than what numpy costs whatever the number of rows.
FEW = 40

_ALL_ONES = (1 << 64) - 1


def row_hash(key: Words, low: Words, high: Words, salt: int = 0) -> Words:
    """Hash the three words of one row, or of many given as arrays of 64-bit unsigned integers.

    The digest of a table is the sum of the hashes of its rows, without those whose facts are both
    zero. All arithmetic is modulo 2**64, on words that were read as little-endian integers::

        h = salt
        for word in key, low, high:
            h = (h ^ word) + 0x9E3779B97F4A7C15
            h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9
            h = (h ^ (h >> 27)) * 0x94D049BB133111EB
            h = h ^ (h >> 31)
    """
    return _mix(_mix(_mix(key ^ salt) ^ low) ^ high)


def _mix(h: Words) -> Words:
    # Arrays wrap round by themselves; the masks make one formula of theirs and that of integers.
    h = (h + 0x9E3779B97F4A7C15) & _ALL_ONES
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & _ALL_ONES
    h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & _ALL_ONES
    return h ^ (h >> 31)


class Table:
    """The rows of one principal; for one thread.

    A table that gets too small grows while it is used, a stretch with each `upsert`; meanwhile it
    holds both buffers. What `reserve` and `load` do, they do at once, at about 0.1 µs a row. After
    `close` only `close` may be called.

    To make and to unmap the files of millions of rows takes milliseconds, which *aside* spares the
    table's thread.
    """

    digest: int
    """Of the rows, whatever the order they came in; `row_hash` says how."""

    def __init__(self, rows: int = 0, *, salt: int = 0, aside: Aside = at_once) -> None:
        self._salt = salt
        self._aside = aside
        self._path: Path | None = None
        self._larger: Future[Table] | None = None
        self._reached = 0
        """Rows of lower keys are in the larger table too."""
        self._used = self._count = self.digest = 0
        self._use(Slots.make(_homes(rows), SPARE, None))

    @classmethod
    def create(cls, path: Path, *, rows: int = 0, salt: int = 0, aside: Aside = at_once) -> Self:
        """Make an empty table in a file, in the place of what is at *path*.

        It grows into a new file beside it, which is then renamed. The disk space is allocated, so
        a full disk is a TableError, here or in growing, and not a signal when a row is written.
        """
        table = cls(salt=salt, aside=aside)
        table._path = path
        table._build(_homes(rows), SPARE, lambda: ())
        return table

    @classmethod
    def open(cls, path: Path, *, salt: int = 0, aside: Aside = at_once) -> Self:
        """Find a table again; its rows are counted and their digest is computed anew.

        TableError if the file is cut short, damaged, something else, of another format, or in use
        by another process; OSError if it cannot be opened.
        """
        table = cls(salt=salt, aside=aside)
        with ExitStack() as failed:
            slots = Slots.open(path)
            failed.callback(slots.close)
            for rows in slots.verified(path):
                table._used += len(rows)
                table._account(rows, 1)
            for left in beside(path), _larger(path), beside(_larger(path)):
                left.unlink(missing_ok=True)  # by a growth that was killed
            failed.pop_all()
        table._path = path
        table._use(slots)
        return table

    def get(self, key: int) -> tuple[int, int] | None:
        """Give the facts of *key*, None if there are none."""
        words = self._words
        at = ((key >> 32) * self._homes >> 32) * 3
        while found := words[at]:
            if found == key:
                low, high = words[at + 1], words[at + 2]
                return (low, high) if low or high else None
            at += 3
        return None

    def __len__(self) -> int:
        """Count the rows that say something."""
        return self._count

    def upsert(self, rows: Rows) -> None:
        """Put *rows* in the place of those of the same keys; of several of one key the last counts.

        TableError, and nothing changed, if they are not whole rows or a key is 0. TableError also
        if there is no space to grow; some rows were taken then, and all may be tried again.
        """
        batch = _batch(rows)
        if len(batch) > FEW:
            for start in range(0, len(batch), CHUNK):
                self._merge(latest(batch[start : start + CHUNK]))
        else:
            for key, low, high in batch.tolist():
                self._put(key, low, high)
        if self._used > self._soon or self._larger is not None:
            self._grow_on(batch)

    def load(self, rows: Rows) -> None:
        """Fill an empty table: faster than `upsert`, and all or nothing."""
        if self._used:
            msg = f"load fills an empty table, and {self._used} slots of this one are taken: upsert"
            raise TableError(msg)
        batch = _batch(rows)
        count = digest = 0

        def blocks() -> Iterator[Array]:
            nonlocal count, digest
            count = digest = 0  # keys that are not uniform may need a second, longer buffer
            for block in _blocks(batch):
                said = block.compress(says(block), axis=0)
                count += len(said)
                digest += self._sum(said)
                yield said

        self._build(max(self._homes, _homes(len(batch))), SPARE, blocks)
        self._used = self._count = count
        self.digest = digest & _ALL_ONES

    def reserve(self, rows: int) -> None:
        """Grow now, if need be, and then not again before there are *rows*."""
        if rows + self._used - self._count > min(self._soon, self._limit):
            self._build(_homes(rows), SPARE, self._chunks)

    def rows(self, low: int = 0, high: int = 1 << 64) -> Iterator[bytes]:
        """Give the rows that say something and whose key is in [low, high), in chunks.

        They are sorted by key; a chunk holds up to some 16 thousand. The table may change while
        they are taken: each chunk is as things are when it is asked for.
        """
        for rows in self._chunks(low, high):
            yield rows.astype("<u8", copy=False).tobytes()

    @property
    def slots(self) -> int:
        """The slots that are homes; rows divided by them are the load."""
        return self._homes

    @property
    def nbytes(self) -> int:
        """The size of the buffer; what of it was never touched takes no memory."""
        return self._slots.nbytes

    @property
    def epoch(self) -> int:
        """A word kept for the owner, 0 at first."""
        return self._slots.header[EPOCH]

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._slots.header[EPOCH] = epoch

    @property
    def seq(self) -> int:
        """A second one."""
        return self._slots.header[SEQ]

    @seq.setter
    def seq(self, seq: int) -> None:
        self._slots.header[SEQ] = seq

    def flush(self) -> None:
        """Wait until the file is on the disk."""
        self._slots.flush()

    def move(self, path: Path) -> None:
        """Rename the file, in the place of what is at *path*; nothing for a table in memory."""
        if self._path is not None:
            take_place(self._path, path)
            self._path = path

    def close(self) -> None:
        self._stay()
        self._slots.close(self._aside)

    def discard(self) -> None:
        """Close it, and remove its file."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        self.close()

    def _use(self, slots: Slots) -> None:
        self._slots = slots
        self._words = slots.words
        self._homes = slots.homes
        self._limit = int(slots.homes * FULL)
        self._soon = int(slots.homes * (SOON if slots.homes >= LARGE else 1))

    def _grow_on(self, batch: Array) -> None:
        """Let a larger table have some more rows, and what has changed of those that it has."""
        if self._larger is None:
            homes = max(self._homes, int(self._count / GROWN))
            self._larger = self._aside(partial(self._made_larger, int(homes * SIZED)))
            self._reached = 0
        if not self._larger.done():
            return
        try:
            larger = self._larger.result()
            larger.upsert(batch[batch[:, 0] < self._reached])
            stop = self._reached + (max(STRETCH, PACE * len(batch)) << 64) // self._homes
            for rows in self._chunks(self._reached, min(stop, 1 << 64)):
                larger._merge(rows)  # noqa: SLF001 - a table's as well; sorted, as it wants them
            if stop >= 1 << 64:
                self._become(larger)
        except TableError:
            self._stay()
            self._soon = self._limit  # it is tried again when it must be, and is an error then
        else:
            self._reached = stop

    def _made_larger(self, rows: int) -> "Table":
        if self._path is None:
            return Table(rows, salt=self._salt, aside=self._aside)
        return Table.create(_larger(self._path), rows=rows, salt=self._salt, aside=self._aside)

    def _become(self, larger: "Table") -> None:
        larger.epoch, larger.seq = self.epoch, self.seq
        if self._path is not None:
            larger.move(self._path)
        self._slots.close(self._aside)
        self._use(larger._slots)  # noqa: SLF001 - a table's as well
        self._used = larger._used  # noqa: SLF001 - likewise
        self._larger = None

    def _stay(self) -> None:
        """Make no larger table any more."""
        if self._larger is None:
            return
        with suppress(TableError):
            self._larger.result().discard()
        self._larger = None

    def _build(self, homes: int, spare: int, rows: Callable[[], Iterable[Array]]) -> None:
        """Replace the buffer by one with *rows*, which come in chunks that rise with the keys."""
        self._stay()
        new = self._path and beside(self._path)
        while not (slots := Slots.make(homes, spare, new)).fill(rows()):
            slots.close(self._aside)
            spare *= 2
        slots.header[EPOCH], slots.header[SEQ] = self.epoch, self.seq
        if self._path and new:
            with ExitStack() as failed:
                failed.callback(slots.close)
                take_place(new, self._path)
                failed.pop_all()
        self._slots.close(self._aside)
        self._use(slots)
        self._used = self._count

    def _make_room(self, rows: int, at: int, run: int) -> bool:
        """Grow if *rows* more, one of which goes *run* slots from home, at *at*, need it."""
        homes, spare = self._homes, self._slots.last + 1 - self._homes
        if self._used + rows > self._limit:
            homes = max(homes, int((self._count + rows) / GROWN))
        elif run > RUN and homes < SPREAD * self._used:
            homes *= 2
        elif at >= self._slots.last:
            spare *= 2
        else:
            return False
        self._build(homes, spare, self._chunks)
        return True

    def _put(self, key: int, low: int, high: int) -> None:
        words = self._words
        at = home = self._slots.home(key) * 3
        while (found := words[at]) and found != key:
            at += 3
        if found:
            self._account_one(key, words[at + 1], words[at + 2], -1)
            self._slots.replace_one(at, low, high)
        elif low or high:
            if self._make_room(1, at // 3, (at - home) // 3):
                self._put(key, low, high)
                return
            words[at + 1], words[at + 2], words[at] = low, high, key
            self._used += 1
        self._account_one(key, low, high, 1)

    def _merge(self, rows: Array) -> None:
        """Upsert rows sorted by key, one a key."""
        slots, keys = self._slots, rows[:, 0]
        at = slots.seek(keys, slots.homes_of(keys))
        known = slots.rows[at, 0] != 0
        old, new = at[known], rows.compress(known, axis=0)
        self._account(slots.rows.take(old, axis=0), -1)
        slots.replace(old, new)
        self._account(new, 1)
        self._insert(rows.compress(~known & says(rows), axis=0))

    def _insert(self, rows: Array) -> None:
        """Add rows sorted by key, one a key, of keys that the table does not have."""
        while len(rows):
            home = self._slots.homes_of(rows[:, 0])
            # Even an empty table may be too small for them; this is seen before a long search.
            at = in_line(home)
            if self._make_room(len(rows), at[-1], (at - home).max()):
                continue
            # Rows that found the same slot are neighbours, since what comes first in order of keys
            # comes first in the search. They line up behind it; those that then stand on a taken
            # slot search again. So no free slot stays in front of a row.
            at = in_line(self._slots.seek(rows[:, 0], home))
            if self._make_room(len(rows), at[-1], (at - home).max()):
                continue
            free = self._slots.rows[at, 0] == 0
            placed = rows.compress(free, axis=0)
            self._slots.add(at[free], placed)
            self._used += len(placed)
            self._account(placed, 1)
            rows = rows.compress(~free, axis=0)

    def _account(self, rows: Array, sign: int) -> None:
        said = rows.compress(says(rows), axis=0)
        self._count += sign * len(said)
        self.digest = (self.digest + sign * self._sum(said)) & _ALL_ONES

    def _sum(self, rows: Array) -> int:
        return int(row_hash(rows[:, 0], rows[:, 1], rows[:, 2], self._salt).sum())

    def _account_one(self, key: int, low: int, high: int, sign: int) -> None:
        if low or high:
            self._count += sign
            self.digest = (self.digest + sign * row_hash(key, low, high, self._salt)) & _ALL_ONES

    def _chunks(self, low: int = 0, high: int = 1 << 64) -> Iterator[Array]:
        low = max(low, 1)  # an empty slot is no row, whatever facts a killed process left in it
        while low < high:
            stop = min(high, low + (CHUNK << 64) // self._homes)
            rows = self._slots.between(low, stop)
            if len(rows):
                yield rows
            low = stop


def _larger(path: Path) -> Path:
    return path.with_name(path.name + ".larger")


def _homes(rows: int) -> int:
    return max(LEAST, int(rows / SIZED) + 1)


def _batch(rows: Rows) -> Array:
    octets = np.frombuffer(rows, np.uint8)
    if len(octets) % ROW:
        msg = f"{len(octets)} bytes are not whole rows of {ROW}: was the message cut?"
        raise TableError(msg)
    batch = octets.view("<u8").reshape(-1, 3).astype(np.uint64, copy=False)
    if not batch[:, 0].all():
        msg = f"row {batch[:, 0].argmin()} has key 0, which marks empty slots: compute keys anew"
        raise TableError(msg)
    return batch


def _blocks(rows: Array) -> Iterator[Array]:
    """Sort *rows* by key, and of several of one key keep the last, in blocks that fit a cache."""
    if len(rows) <= CHUNK:
        yield latest(rows)
        return
    top = (rows[:, 0] >> 56).astype(np.uint8)
    order = np.argsort(top, kind="stable")  # of bytes: one pass over the rows
    for places in np.split(order, np.cumsum(np.bincount(top, minlength=256))):
        yield latest(rows.take(places, axis=0))
