"""A leaf of a bulletin: a mapped file of records, to which one process at a time appends.

When to turn over is not known here; `ringfence.bulletin` knows.

::

    file   = header, record*             64-bit words in the byte order of the machine
    header = magic, format, series, generation, size, carried, tail, 0
    record = length, payload, zeros up to the next word
    payload                              msgpack: an event, or ids of events that are dropped

A record counts once `tail` lies behind it: a writer that is killed has written all that it was to
write at once, or nothing. Others must see its stores in the order they were made, as on x86-64.

A leaf that is full is retired, which makes `tail` odd, and the leaf of the next generation gets its
name. That one begins with what still counts, up to `carried`.
"""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Self

import msgspec

__all__ = ["HEADER", "RETIRED", "TAIL", "BulletinError", "Dropped", "Leaf", "Posted", "record_of"]

MAGIC = int.from_bytes(b"RFleaf\n\0", "little")
FORMAT = 1
HEADER = 64
START = Struct("=7Q")
CARRIED, TAIL = 5, 6  # as words
RETIRED = 1  # in the word of the tail, which is a multiple of 8 otherwise


class BulletinError(Exception):
    """What others told cannot be known, so no call may rely on it; the text says what to do."""


class Posted(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="posted"):
    """An event as it is told: what its name is can be read, whatever release it is of."""

    id: str
    principal: str
    event: msgspec.Raw


class Dropped(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="dropped"):
    """Events to be forgotten."""

    ids: list[str]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Posted | Dropped).decode


def record_of(told: Posted | Dropped) -> bytes:
    """Give the record that tells it."""
    payload = _encode(told)
    length = len(payload)
    return length.to_bytes(8, "little") + payload + bytes(-length % 8)


class Leaf:
    """One leaf, as one process has it open. After `close` only `close` may be called."""

    words: "memoryview[int]"
    """All of the file; the word at `TAIL` is looked at by whoever wants to know of changes."""

    def __init__(self, path: Path, file: int) -> None:
        """Map a file that has a header, and close the descriptor."""
        self._path = path
        try:
            found = os.fstat(file)
            self._memory = mmap.mmap(file, found.st_size)
        finally:
            os.close(file)
        self._identity = found.st_dev, found.st_ino
        self.words = memoryview(self._memory).cast("Q")
        _, _, self.series, self.generation, self.size, self.carried = self.words[: CARRIED + 1]

    @classmethod
    def make(cls, path: Path, size: int, series: int, generation: int, carried: bytes) -> Self:
        """Make a leaf that begins with the records *carried*, in the place of what is at *path*.

        BulletinError if there is no space for all of it.
        """
        tail = HEADER + len(carried)
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                # Now, and not as it fills: to store where a full disk has no room is a signal.
                os.posix_fallocate(file, 0, size)
                header = START.pack(MAGIC, FORMAT, series, generation, size, tail, tail)
                # Four times as fast as through the map, whose pages come one by one.
                os.pwrite(file, header.ljust(HEADER, b"\0") + carried, 0)
            except OSError:
                os.close(file)
                path.unlink()
                raise
            return cls(path, file)
        except OSError as error:
            msg = f"{path} cannot get the {size} bytes it needs: {error}. See to its disk"
            raise BulletinError(msg) from error

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the leaf at *path*, retired or not, to which another process may be writing."""
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            header, size = os.pread(file, START.size, 0), os.fstat(file).st_size
        except OSError as error:
            msg = f"{path} is in use and cannot be opened: {error}. Stop all gates, start them anew"
            raise BulletinError(msg) from error
        if flaw := _flaw(header, size):
            os.close(file)
            raise _refusal(path, flaw)
        return cls(path, file)

    def is_same(self, other: Self) -> bool:
        """Whether both are the same file."""
        return self._identity == other._identity

    @property
    def retired(self) -> bool:
        return bool(self.words[TAIL] & RETIRED)

    def read(self, at: int, tail: int) -> Iterator[tuple[bytes, Posted | Dropped]]:
        """Give the records from *at* to *tail*: each as it is, and what it tells.

        BulletinError if these are not whole records.
        """
        if not at <= tail <= self.size:
            raise _refusal(self._path, f"damaged: read to byte {at}, and it ends at {tail}")
        while at < tail:
            length = self.words[at >> 3]
            end = at + 8 + (length + 7 & ~7)
            record = self._memory[at:end] if length and end <= tail else b""
            try:
                told = _decode(record[8 : 8 + length])
            except msgspec.DecodeError as error:
                raise _refusal(self._path, f"damaged at byte {at}: {error}") from error
            yield record, told
            at = end

    def write(self, at: int, records: bytes) -> int:
        """Write *records* and then the tail, which makes them count; give where that is."""
        tail = at + len(records)
        self._memory[at:tail] = records
        self.words[TAIL] = tail
        return tail

    def retire(self, tail: int) -> None:
        """Let everybody look for the next leaf, once they have read up to *tail*."""
        self.words[TAIL] = tail | RETIRED

    def close(self) -> None:
        # An mmap cannot be closed while something looks into it.
        self.words.release()
        self._memory.close()


def _flaw(header: bytes, size: int) -> str:
    """Say what is wrong with a file that begins with *header*."""
    if len(header) < START.size:
        return f"cut short: {size} bytes"
    magic, version, _, _, whole, carried, tail = START.unpack(header)
    if magic != MAGIC:
        return "no bulletin"
    if version != FORMAT:
        return f"of format {version}, and this release reads format {FORMAT}"
    if size != whole:
        return f"cut short, or damaged: {size} bytes, not {whole}"
    return "" if HEADER <= carried <= tail <= size else f"damaged: it ends at byte {tail}"


def _refusal(path: Path, flaw: str) -> BulletinError:
    return BulletinError(f"{path} is {flaw}. Stop all gates of this host, and start them anew")
