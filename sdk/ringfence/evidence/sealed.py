"""A file that is not written to any more: packed, and with a sum over every byte of it.

It does not know what it holds.

::

    file = magic, format version (1 byte), zlib stream, blake2b-256 of all that is before
"""

import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import blake2b
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ringfence.journal import sync_directory

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["PIECE", "Unpacked", "pack", "unpack"]

BEGIN = b"RFsealed\x01"

SIZE = 32

PIECE = 256 * 1024
"""Bytes read and packed in one go. Other threads run meanwhile, and between two."""


def pack(path: Path, data: Iterable[bytes | bytearray]) -> None:
    """Put a file that holds *data* at *path*; after a crash it is there, or what was there before.

    Waits for the disk. After a crash there may be half a file under a temporary name, which the
    next `pack` overwrites.
    """
    new = path.with_name(f"{path.name}.new")
    with ExitStack() as failed:
        failed.callback(new.unlink, missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        descriptor = os.open(new, flags, 0o600)  # keys are pseudonyms, which are personal data
        with os.fdopen(descriptor, "wb") as file:
            total = blake2b(digest_size=SIZE)
            for piece in _packed(data):
                total.update(piece)
                file.write(piece)
            file.write(total.digest())
            file.flush()
            os.fsync(descriptor)
        new.replace(path)
        failed.pop_all()
    sync_directory(path)


class Unpacked(BufferedReader):
    """What a packed file holds, unpacked piece by piece whatever it would come to.

    Reading raises `ValueError` or `zlib.error` for what was not written by `pack`.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._source = _Source(file)
        super().__init__(self._source, PIECE)

    def finish(self) -> None:
        """Raise `ValueError` unless all was read and each byte of the file is as it was written."""
        self._source.finish()


@contextmanager
def unpack(path: Path) -> Iterator[Unpacked]:
    with path.open("rb") as file, Unpacked(file) as unpacked:
        yield unpacked


def _packed(data: Iterable[bytes | bytearray]) -> Iterator[bytes]:
    compressor = zlib.compressobj()
    yield BEGIN
    for piece in data:
        yield compressor.compress(piece)
    yield compressor.flush()


class _Source(RawIOBase):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._left = os.fstat(file.fileno()).st_size - len(BEGIN) - SIZE
        begin = file.read(len(BEGIN))
        if begin != BEGIN:
            msg = f"it begins with {begin!r}, and what this release seals with {BEGIN!r}"
            raise ValueError(msg)
        if self._left < 0:
            msg = "it is too short: bring it back from a copy"
            raise ValueError(msg)
        self._sum = blake2b(begin, digest_size=SIZE)
        self._zlib = zlib.decompressobj()
        self._at = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer)
        while not self._zlib.eof:
            packed = self._zlib.unconsumed_tail or self._packed()
            data = self._zlib.decompress(packed, len(view))
            if data:
                view[: len(data)] = data
                self._at += len(data)
                return len(data)
            if not packed:
                break
        return 0

    def finish(self) -> None:
        ended = self._zlib.eof and not (self._zlib.unused_data or self._left)
        if not ended or self._file.read() != self._sum.digest():
            msg = "the file is not as it was sealed: bring it back from a copy"
            raise ValueError(msg)

    def _packed(self) -> bytes:
        packed = self._file.read(min(self._left, PIECE))
        self._left -= len(packed)
        self._sum.update(packed)
        return packed
