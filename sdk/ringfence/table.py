"""Rows in memory: open addressing over one flat buffer, anonymous or a file.

What the two words of facts mean is not known here, except that both zero say nothing: such a row
is as if it were not there. There is no deletion; a row that no longer says anything keeps its slot
until the table grows.

::

    buffer = header, slot*                       64-bit words in the byte order of the machine
    header = magic, format, format of the rows, homes, slots, epoch, seq, 0
    slot   = key, facts, facts                   key 0: empty
    home   = ((key >> 32) * homes) >> 32         of slots, counted from 0; homes < 2**32

A row lies in its home or, if that was taken, in the first slot behind it that was free. Keys are
keyed hashes, so homes are uniform. A search never wraps round: spare slots follow the last home,
and the very last slot stays empty, so that it need not look where it is. Homes rise with the keys;
so a range of keys is a run of slots, and rows sorted by key are placed in one pass.

A file survives a killed process, in whatever it was: facts are written before the key that makes
them count. A row that was being replaced may be half of each; therefore the owner sets `seq` after
the rows it stands for, and applies again what came later. A power cut may lose any page written
since `flush`: `open` finds rows that are out of reach, the digest tells of those that are missing.
"""

import fcntl
import mmap
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from struct import Struct
from typing import Self, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ringfence.row import FORMAT as ROW_FORMAT
from ringfence.row import ROW

__all__ = ["ROW", "Rows", "Table", "TableError", "row_hash"]

Rows: TypeAlias = bytes | bytearray | memoryview | npt.NDArray[np.generic]
"""Rows end to end, little-endian; an array is taken for its bytes."""

_Array: TypeAlias = npt.NDArray[np.uint64]
_Places: TypeAlias = npt.NDArray[np.int64]
_Words = TypeVar("_Words", int, npt.NDArray[np.integer])

MAGIC = int.from_bytes(b"RFtable\n", "little")
FORMAT = 1
HEADER = 64
START = Struct("=5Q")
HOMES, EPOCH, SEQ = 3, 5, 6  # as words

# 32 bytes a row if sized ahead. Beyond FULL a miss looks at more than twenty slots. After growing
# there is room for half as many rows again before the next time.
SIZED, FULL, GROWN = 0.75, 0.85, 0.55

# Longer than the longest run of taken slots at FULL and ten million rows. Slots that were never
# touched take no memory; where these do not suffice, they are doubled.
SPARE = 1024
LEAST = 64

# Beyond, the home of a key would not fit in the word it is computed in.
MAX_HOMES = 1 << 32

# Rows that come in order of their keys crowd at one end of a table that is still small, and each
# would search through all before it. No row of uniform keys is RUN slots from home; where one is,
# slots are spread out, up to SPREAD of them a row, for those that may follow.
RUN, SPREAD = 1024, 256

# Slots looked at in one step: their columns fit in the cache, and it takes about a millisecond.
CHUNK = 1 << 14

# Up to here one row after the other is faster than what numpy costs whatever the number of rows.
FEW = 40

_ALL_ONES = (1 << 64) - 1

_NO_SPACE = (OSError, OverflowError, MemoryError)
"""As the system says it, or Python for a size that no system has."""


class TableError(Exception):
    """The rows or the file cannot be used; the text says why and what to do."""


def row_hash(key: _Words, low: _Words, high: _Words, salt: int = 0) -> _Words:
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


def _mix(h: _Words) -> _Words:
    # Arrays wrap round by themselves; the masks make one formula of theirs and that of integers.
    h = (h + 0x9E3779B97F4A7C15) & _ALL_ONES
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & _ALL_ONES
    h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & _ALL_ONES
    return h ^ (h >> 31)


class Table:
    """The rows of one principal; for one thread.

    Growing holds both buffers and takes about 0.1 µs a row, so an owner that knows the size
    reserves it ahead. After `close` only `close` may be called.
    """

    digest: int
    """Of the rows, whatever the order they came in; `row_hash` says how."""

    def __init__(self, rows: int = 0, *, salt: int = 0) -> None:
        self._salt = salt
        self._path: Path | None = None
        self._used = self._count = self.digest = 0
        self._use(_Slots.make(_homes(rows), SPARE, None))

    @classmethod
    def create(cls, path: Path, *, rows: int = 0, salt: int = 0) -> Self:
        """Make an empty table in a file, in the place of what is at *path*.

        It grows into a new file beside it, which is then renamed. The disk space is allocated, so
        a full disk is a TableError, here or in growing, and not a signal when a row is written.
        """
        table = cls(salt=salt)
        table._path = path
        table._build(_homes(rows), SPARE, lambda: ())
        return table

    @classmethod
    def open(cls, path: Path, *, salt: int = 0) -> Self:
        """Find a table again; its rows are counted and their digest is computed anew.

        TableError if the file is cut short, damaged, something else, of another format, or in use
        by another process; OSError if it cannot be opened.
        """
        table = cls(salt=salt)
        with ExitStack() as failed:
            slots = _Slots.open(path)
            failed.callback(slots.close)
            for rows in slots.verified(path):
                table._used += len(rows)
                table._account(rows, 1)
            _beside(path).unlink(missing_ok=True)  # a growth that was killed
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
                self._merge(_latest(batch[start : start + CHUNK]))
        else:
            for key, low, high in batch.tolist():
                self._put(key, low, high)

    def load(self, rows: Rows) -> None:
        """Fill an empty table: faster than `upsert`, and all or nothing."""
        if self._used:
            msg = f"load fills an empty table, and {self._used} slots of this one are taken: upsert"
            raise TableError(msg)
        batch = _batch(rows)
        count = digest = 0

        def blocks() -> Iterator[_Array]:
            nonlocal count, digest
            count = digest = 0  # keys that are not uniform may need a second, longer buffer
            for block in _blocks(batch):
                said = block.compress(_says(block), axis=0)
                count += len(said)
                digest += self._sum(said)
                yield said

        self._build(max(self._homes, _homes(len(batch))), SPARE, blocks)
        self._used = self._count = count
        self.digest = digest & _ALL_ONES

    def reserve(self, rows: int) -> None:
        """Grow now, if need be, and then not again before there are *rows*."""
        if rows + self._used - self._count > self._limit:
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
            self._path.replace(path)
            self._path = path

    def close(self) -> None:
        self._slots.close()

    def _use(self, slots: "_Slots") -> None:
        self._slots = slots
        self._words = slots.words
        self._homes = slots.homes
        self._limit = int(slots.homes * FULL)

    def _build(self, homes: int, spare: int, rows: Callable[[], Iterable[_Array]]) -> None:
        """Replace the buffer by one with *rows*, which come in chunks that rise with the keys."""
        new = self._path and _beside(self._path)
        while not (slots := _Slots.make(homes, spare, new)).fill(rows()):
            slots.close()
            spare *= 2
        slots.header[EPOCH], slots.header[SEQ] = self.epoch, self.seq
        if self._path and new:
            new.replace(self._path)
        self._slots.close()
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
            words[at + 1], words[at + 2] = low, high
        elif low or high:
            if self._make_room(1, at // 3, (at - home) // 3):
                self._put(key, low, high)
                return
            words[at + 1], words[at + 2], words[at] = low, high, key
            self._used += 1
        self._account_one(key, low, high, 1)

    def _merge(self, rows: _Array) -> None:
        """Upsert rows sorted by key, one a key."""
        slots, keys = self._slots, rows[:, 0]
        at = slots.seek(keys, slots.homes_of(keys))
        known = slots.rows[at, 0] != 0
        old, new = at[known], rows.compress(known, axis=0)
        self._account(slots.rows.take(old, axis=0), -1)
        slots.write(old, new)
        self._account(new, 1)
        self._insert(rows.compress(~known & _says(rows), axis=0))

    def _insert(self, rows: _Array) -> None:
        """Add rows sorted by key, one a key, of keys that the table does not have."""
        while len(rows):
            home = self._slots.homes_of(rows[:, 0])
            # Even an empty table may be too small for them; this is seen before a long search.
            at = _in_line(home)
            if self._make_room(len(rows), at[-1], (at - home).max()):
                continue
            # Rows that found the same slot are neighbours, since what comes first in order of keys
            # comes first in the search. They line up behind it; those that then stand on a taken
            # slot search again. So no free slot stays in front of a row.
            at = _in_line(self._slots.seek(rows[:, 0], home))
            if self._make_room(len(rows), at[-1], (at - home).max()):
                continue
            free = self._slots.rows[at, 0] == 0
            placed = rows.compress(free, axis=0)
            self._slots.write(at[free], placed)
            self._used += len(placed)
            self._account(placed, 1)
            rows = rows.compress(~free, axis=0)

    def _account(self, rows: _Array, sign: int) -> None:
        said = rows.compress(_says(rows), axis=0)
        self._count += sign * len(said)
        self.digest = (self.digest + sign * self._sum(said)) & _ALL_ONES

    def _sum(self, rows: _Array) -> int:
        return int(row_hash(rows[:, 0], rows[:, 1], rows[:, 2], self._salt).sum())

    def _account_one(self, key: int, low: int, high: int, sign: int) -> None:
        if low or high:
            self._count += sign
            self.digest = (self.digest + sign * row_hash(key, low, high, self._salt)) & _ALL_ONES

    def _chunks(self, low: int = 0, high: int = 1 << 64) -> Iterator[_Array]:
        low = max(low, 1)  # an empty slot is no row, whatever facts a killed process left in it
        while low < high:
            stop = min(high, low + (CHUNK << 64) // self._homes)
            rows = self._slots.between(low, stop)
            if len(rows):
                yield rows
            low = stop


class _Slots:
    """The buffer, and where in it a row belongs."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._all = memoryview(memory).cast("Q")
        self.header = self._all[: HEADER // 8]
        self.words = self._all[HEADER // 8 :]
        self.rows = np.frombuffer(memory, np.uint64, offset=HEADER).reshape(-1, 3)
        self.homes = self.header[HOMES]
        self.last = len(self.rows) - 1
        self.nbytes = len(memory)

    @classmethod
    def make(cls, homes: int, spare: int, path: Path | None) -> Self:
        if homes >= MAX_HOMES:
            msg = f"a table has less than {MAX_HOMES} homes for its rows, not {homes}"
            raise TableError(msg)
        size = HEADER + (homes + spare) * ROW
        memory = _new_file(path, size) if path else _anonymous(size)
        START.pack_into(memory, 0, MAGIC, FORMAT, ROW_FORMAT, homes, homes + spare)
        return cls(memory)

    @classmethod
    def open(cls, path: Path) -> Self:
        file = _locked(path, os.O_RDWR)
        try:
            size = os.fstat(file).st_size
            if flaw := _flaw(os.pread(file, HEADER, 0), size):
                raise _refusal(path, flaw)
            return cls(mmap.mmap(file, size))
        finally:
            os.close(file)

    def home(self, key: int) -> int:
        return _home(key, self.homes)

    def homes_of(self, keys: _Array) -> _Places:
        return _home(keys, self.homes).astype(np.int64)

    def seek(self, keys: _Array, at: _Places) -> _Places:
        """Give the slot of each key, or the first free one, not looking before *at*."""
        column = self.rows[:, 0]
        at = at.copy()
        left, width = np.arange(len(at)), 1  # most are found at once, the others by longer looks
        while len(left):
            # The last slot is empty: whoever looks so far has found one.
            look = np.minimum(at[left, None] + np.arange(width), self.last)
            found = column[look]
            ends = (found == 0) | (found == keys[left, None])
            ended = ends.any(axis=1)
            at[left] += np.where(ended, ends.argmax(axis=1), width)
            left, width = left[~ended], min(4 * width, 64)
        return at

    def write(self, at: _Places, rows: _Array) -> None:
        # The key comes last: it makes the facts count.
        for column in (1, 2, 0):
            self.rows[at, column] = rows[:, column]

    def fill(self, chunks: Iterable[_Array]) -> bool:
        """Place rows sorted by key, one a key, in empty slots; False if there are too few."""
        free = 0
        for rows in filter(len, chunks):
            at = _in_line(self.homes_of(rows[:, 0]), free)
            free = int(at[-1]) + 1
            if free > self.last:
                return False
            self.write(at, rows)
        return True

    def between(self, low: int, high: int) -> _Array:
        """Copy the rows that say something and have keys in [low, high), sorted."""
        start, stop = self.home(low), self.home(high - 1)
        while self.words[stop * 3]:
            stop += 1
        rows = self.rows[start:stop]
        keys = rows[:, 0]
        chosen = (keys >= low) & (keys <= high - 1) & _says(rows)
        return _latest(rows.compress(chosen, axis=0))

    def verified(self, path: Path) -> Iterator[_Array]:
        """Give all rows, also those that say nothing; TableError if one is where none finds it."""
        free = -1
        for start in range(0, self.last + 1, CHUNK):
            rows, free = self._examined(start, free)
            if rows is None:
                raise _refusal(path, f"damaged: a row near slot {start} is out of place")
            yield rows
        if free != self.last:
            raise _refusal(path, "damaged: its last slot is taken")

    def _examined(self, start: int, free: int) -> tuple[_Array | None, int]:
        """Copy the rows of a chunk, None if one is out of place, and say which slot is free last.

        No error is raised here: its traceback would look into the buffer, which is to be closed.
        """
        rows = self.rows[start : start + CHUNK]
        at, home = np.arange(start, start + len(rows)), self.homes_of(rows[:, 0])
        taken = rows[:, 0] != 0
        last_free = np.maximum.accumulate(np.where(taken, free, at))
        if (taken & ((home > at) | (home <= last_free))).any():
            return None, free
        return rows.compress(taken, axis=0), int(last_free[-1])

    def flush(self) -> None:
        self._memory.flush()

    def close(self) -> None:
        # An mmap cannot be closed while something looks into it.
        self.rows = np.empty((0, 3), np.uint64)
        for view in (self.header, self.words, self._all):
            view.release()
        self._memory.close()


def _homes(rows: int) -> int:
    return max(LEAST, int(rows / SIZED) + 1)


def _home(key: _Words, homes: int) -> _Words:
    return (key >> 32) * homes >> 32


def _in_line(at: _Places, free: int = 0) -> _Places:
    """Give each its own place, in their order: the one it has or the next, none before *free*."""
    rank = np.arange(len(at))
    at = at - rank
    at[0] = max(at[0], free)
    return np.maximum.accumulate(at) + rank


def _says(rows: _Array) -> npt.NDArray[np.bool_]:
    return (rows[:, 1] | rows[:, 2]).astype(np.bool_)


def _batch(rows: Rows) -> _Array:
    octets = np.frombuffer(rows, np.uint8)
    if len(octets) % ROW:
        msg = f"{len(octets)} bytes are not whole rows of {ROW}: was the message cut?"
        raise TableError(msg)
    batch = octets.view("<u8").reshape(-1, 3).astype(np.uint64, copy=False)
    if not batch[:, 0].all():
        msg = f"row {batch[:, 0].argmin()} has key 0, which marks empty slots: compute keys anew"
        raise TableError(msg)
    return batch


def _latest(rows: _Array) -> _Array:
    """Sort *rows* by key; of several of one key keep the last."""
    order = np.argsort(rows[:, 0])
    keys = rows[order, 0]
    first = np.flatnonzero(np.diff(keys, prepend=np.uint64(0)))
    if len(first) < len(rows):
        # The sort is not stable, but a later row has a higher index.
        order = np.maximum.reduceat(order, first)
    return rows.take(order, axis=0)


def _blocks(rows: _Array) -> Iterator[_Array]:
    """Sort *rows* by key, and of several of one key keep the last, in blocks that fit a cache."""
    if len(rows) <= CHUNK:
        yield _latest(rows)
        return
    top = (rows[:, 0] >> 56).astype(np.uint8)
    order = np.argsort(top, kind="stable")  # of bytes: one pass over the rows
    for places in np.split(order, np.cumsum(np.bincount(top, minlength=256))):
        yield _latest(rows.take(places, axis=0))


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def _anonymous(size: int) -> mmap.mmap:
    # Private: a forked child gets a copy, not a hand in this table.
    try:
        return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except _NO_SPACE as error:
        msg = f"there is no memory for a table of {size} bytes: {error}"
        raise TableError(msg) from error


def _new_file(path: Path, size: int) -> mmap.mmap:
    file = _locked(path, os.O_RDWR | os.O_CREAT)
    try:
        os.ftruncate(file, 0)
        os.posix_fallocate(file, 0, size)
        return mmap.mmap(file, size)
    except _NO_SPACE as error:
        path.unlink(missing_ok=True)
        msg = f"{path} cannot get the {size} bytes it needs: {error}. See to its disk"
        raise TableError(msg) from error
    finally:
        os.close(file)


def _locked(path: Path, flags: int) -> int:
    """Open the file for this process only; the lock lasts as long as its memory map."""
    file = os.open(path, flags, 0o600)  # keys are pseudonyms, which are personal data
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        msg = f"{path} is in use by another process: give each its own directory"
        raise TableError(msg) from error
    return file


def _flaw(header: bytes, size: int) -> str:
    """Say what is wrong with a file that begins with *header*."""
    if len(header) < HEADER:
        return f"cut short: {size} bytes"
    magic, *formats, homes, slots = START.unpack_from(header)
    if magic != MAGIC:
        return "no table, or one of a machine with another byte order"
    if formats != [FORMAT, ROW_FORMAT]:
        return f"of formats {formats}; this release reads {[FORMAT, ROW_FORMAT]}"
    if not 0 < homes < min(slots, MAX_HOMES):
        return f"damaged: {homes} of {slots} slots are homes"
    whole = HEADER + slots * ROW
    return "" if size == whole else f"cut short, or damaged: {size} bytes, not {whole}"


def _refusal(path: Path, flaw: str) -> TableError:
    return TableError(f"{path} is {flaw}. Remove it, and the ledger is asked for the rows again")
