"""Slots of rows in one flat buffer, anonymous or a file, and where in it a row belongs.

::

    buffer  = header, slot*                      64-bit words in the byte order of the machine
    header  = magic, format, format of the rows, homes, slots, epoch, seq, version
    slot    = key, facts, facts                  key 0: empty
    home    = ((key >> 32) * homes) >> 32        of slots, counted from 0; homes < 2**32
    version : of the rows that are there, as `seqlock` has it

A row lies in its home or, if that was taken, in the first slot behind it that was free. Keys are
keyed hashes, so homes are uniform. A search never wraps round: spare slots follow the last home,
and the very last slot stays empty, so that it need not look where it is. Homes rise with the keys;
so a range of keys is a run of slots, and rows sorted by key are placed in one pass.

One process writes a file and may be killed in whatever it does, and others read it meanwhile. A
slot that is taken keeps its key for good, and its facts were written before the key that makes them
count. So whoever searches finds what was there when the search began: no slot on the way to it
becomes free, and a row that is being added is there, whole, or is not there yet. Rows that are
replaced are the only ones that can be seen half old and half new; the version tells.
"""

import fcntl
import mmap
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from struct import Struct
from typing import Self, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ringfence.aside import Aside, at_once
from ringfence.row import FORMAT as ROW_FORMAT
from ringfence.row import ROW
from ringfence.seqlock import RETIRED, begun, ended

__all__ = [
    "CHUNK",
    "EPOCH",
    "HEADER",
    "HOMES",
    "SEQ",
    "VERSION",
    "Array",
    "Places",
    "Slots",
    "TableError",
    "Words",
    "at_random",
    "beside",
    "examined",
    "in_line",
    "latest",
    "refusal",
    "says",
    "take_place",
]

Array: TypeAlias = npt.NDArray[np.uint64]
"""Rows of three words, or one word of each."""
Places: TypeAlias = npt.NDArray[np.int64]
Words = TypeVar("Words", int, npt.NDArray[np.integer])

MAGIC = int.from_bytes(b"RFtable\n", "little")
FORMAT = 1
HEADER = 64
START = Struct("=5Q")
HOMES, EPOCH, SEQ, VERSION = 3, 5, 6, 7  # as words

# Beyond, the home of a key would not fit in the word it is computed in.
MAX_HOMES = 1 << 32

# Slots looked at in one step: their columns fit in the cache, and it takes about a millisecond.
CHUNK = 1 << 14

# Rows replaced under one odd version: some 20 µs, for which a reader has to wait.
SECTION = 512

_NO_SPACE = (OSError, OverflowError, MemoryError)
"""As the system says it, or Python for a size that no system has."""


class TableError(Exception):
    """The rows or the file cannot be used; the text says why and what to do."""


class Slots:
    """One buffer, for the one thread that writes it."""

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
            slots = cls(mmap.mmap(file, examined(file, path)))
        finally:
            os.close(file)
        retire(path)  # where a killed process had no time to
        if slots.header[VERSION] == RETIRED:
            slots.close()
            raise refusal(path, "retired: another took its place")
        if slots.header[VERSION] & 1:  # whoever was replacing rows was killed
            slots.header[VERSION] = ended(slots.header[VERSION])
        return slots

    def home(self, key: int) -> int:
        return _home(key, self.homes)

    def homes_of(self, keys: Array) -> Places:
        return _home(keys, self.homes).astype(np.int64)

    def seek(self, keys: Array, at: Places) -> Places:
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

    def add(self, at: Places, rows: Array) -> None:
        """Put rows in slots that are free."""
        # The key comes last: it makes the facts count.
        for column in (1, 2, 0):
            self.rows[:, column][at] = rows[:, column]

    def replace(self, at: Places, rows: Array) -> None:
        """Put other facts in the slots that have the keys of *rows*."""
        for start in range(0, len(at), SECTION):
            part = slice(start, start + SECTION)
            places, low, high = at[part], rows[part, 1], rows[part, 2]
            version = self.header[VERSION]
            self.header[VERSION] = begun(version)
            self.rows[:, 1][places] = low
            self.rows[:, 2][places] = high
            self.header[VERSION] = ended(version)

    def replace_one(self, at: int, low: int, high: int) -> None:
        """Put other facts in the slot that begins with word *at*."""
        header, words = self.header, self.words
        version = header[VERSION]
        header[VERSION] = begun(version)
        words[at + 1] = low
        words[at + 2] = high
        header[VERSION] = ended(version)

    def fill(self, chunks: Iterable[Array]) -> bool:
        """Place rows sorted by key, one a key, in empty slots; False if there are too few."""
        free = 0
        for rows in filter(len, chunks):
            at = in_line(self.homes_of(rows[:, 0]), free)
            free = int(at[-1]) + 1
            if free > self.last:
                return False
            self.add(at, rows)
        return True

    def between(self, low: int, high: int) -> Array:
        """Copy the rows that say something and have keys in [low, high), sorted."""
        start, stop = self.home(low), self.home(high - 1)
        while self.words[stop * 3]:
            stop += 1
        rows = self.rows[start:stop]
        keys = rows[:, 0]
        chosen = (keys >= low) & (keys <= high - 1) & says(rows)
        return latest(rows.compress(chosen, axis=0))

    def verified(self, path: Path) -> Iterator[Array]:
        """Give all rows, also those that say nothing; TableError if one is where none finds it."""
        free = -1
        for start in range(0, self.last + 1, CHUNK):
            rows, free = self._in_place(start, free)
            if rows is None:
                raise refusal(path, f"damaged: a row near slot {start} is out of place")
            yield rows
        if free != self.last:
            raise refusal(path, "damaged: its last slot is taken")
        at_random(self._memory)

    def _in_place(self, start: int, free: int) -> tuple[Array | None, int]:
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

    def close(self, aside: Aside = at_once) -> None:
        # An mmap cannot be closed while something looks into it.
        self.rows = np.empty((0, 3), np.uint64)
        for view in (self.header, self.words, self._all):
            view.release()
        closed = aside(self._memory.close)
        if closed.done():
            closed.result()


def in_line(at: Places, free: int = 0) -> Places:
    """Give each its own place, in their order: the one it has or the next, none before *free*."""
    rank = np.arange(len(at))
    at = at - rank
    at[0] = max(at[0], free)
    return np.maximum.accumulate(at) + rank


def says(rows: Array) -> npt.NDArray[np.bool_]:
    return (rows[:, 1] | rows[:, 2]).astype(np.bool_)


def latest(rows: Array) -> Array:
    """Sort *rows* by key; of several of one key keep the last."""
    order = np.argsort(rows[:, 0])
    keys = rows[order, 0]
    first = np.flatnonzero(np.diff(keys, prepend=np.uint64(0)))
    if len(first) < len(rows):
        # The sort is not stable, but a later row has a higher index.
        order = np.maximum.reduceat(order, first)
    return rows.take(order, axis=0)


def beside(path: Path) -> Path:
    """Give the path of a file that is to take the place of that at *path*."""
    return path.with_name(path.name + ".new")


def _aside(path: Path) -> Path:
    return path.with_name(path.name + ".old")


def take_place(new: Path, path: Path) -> None:
    """Put a file in the place of that at *path*, and tell whoever reads that one.

    Nothing may be written to either before it returns. Killed in the middle, it has told them, or
    whoever opens *path* next does: until then the old file keeps a second name. TableError, and
    nothing done, where the disk refuses.
    """
    try:
        retire(path)
        with ExitStack() as opened:
            old = None
            if path.exists():
                # Opened now, as it might not be possible when there is no way back.
                old = os.open(path, os.O_WRONLY)
                opened.callback(os.close, old)
                _aside(path).hardlink_to(path)
            new.replace(path)
            if old is not None:
                _mark(old)
    except OSError as error:
        msg = f"{new} cannot take the place of {path}: {error}. See to its disk"
        raise TableError(msg) from error
    with suppress(OSError):  # then the next one does it
        _aside(path).unlink()


def retire(path: Path) -> None:
    """Tell whoever reads the file whose place that at *path* took, if there is one."""
    old = _aside(path)
    if not old.exists():
        return
    if not (path.exists() and old.samefile(path)):
        file = os.open(old, os.O_WRONLY)
        try:
            _mark(file)
        finally:
            os.close(file)
    old.unlink()


def _mark(file: int) -> None:
    # Not by a map, as it may be anything. If a reader sees half of this, it is as if it saw none of
    # it: in this file nothing changes any more.
    os.pwrite(file, RETIRED.to_bytes(8, "little"), VERSION * 8)


def examined(file: int, path: Path) -> int:
    """Give the size of the table in an open file; TableError if it cannot be one."""
    size = os.fstat(file).st_size
    if flaw := _flaw(os.pread(file, HEADER, 0), size):
        raise refusal(path, flaw)
    return size


def at_random(memory: mmap.mmap) -> mmap.mmap:
    """Let the system read no more of a file than the page that is touched.

    What it would read ahead, megabytes of zeros in a new file, holds whoever touches it up for 20
    milliseconds.
    """
    memory.madvise(mmap.MADV_RANDOM)
    return memory


def _home(key: Words, homes: int) -> Words:
    return (key >> 32) * homes >> 32


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
        return at_random(mmap.mmap(file, size))
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


def refusal(path: Path, flaw: str) -> TableError:
    return TableError(f"{path} is {flaw}. Remove it, and the ledger is asked for the rows again")
