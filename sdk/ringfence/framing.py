"""Records in a file: how they are framed, found whole, and told from what a crash left behind.

It does not know what they mean, and writes to no file; `ringfence.journal` does.

::

    file   = magic, format version (1 byte), record*
    record = length (u32), crc (u32), payload                  integers are little-endian
    crc    = crc32 of the record's offset in the file (u64), its length (u32) and its payload

The offset is part of the checksum so that a record counts only where it was written: a payload that
happens to hold a journal is not taken for records when the file is searched after a crash.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from struct import Struct
from typing import BinaryIO
from zlib import crc32

__all__ = [
    "MAX_PAYLOAD",
    "RECORD",
    "JournalError",
    "check_header",
    "damage",
    "find_record",
    "frame",
    "header_of",
    "image",
    "parse",
    "read",
    "whole_records",
]

FORMAT = 1

# An event or a decision takes some hundred bytes, a batch of them less than a message (96 KiB).
# The limit bounds what a damaged length can make a reader allocate, and what a search must look at.
MAX_PAYLOAD = 1024 * 1024

RECORD = Struct("<II")
PLACE = Struct("<QI")

# Holds whole every record that begins in its first MAX_PAYLOAD bytes.
WINDOW = 2 * MAX_PAYLOAD + RECORD.size

# What may be the length of a record: 1 to MAX_PAYLOAD. Never 0, so that the zeros which a file
# system leaves after a power cut are not a record.
LENGTH = re.compile(rb"(?=(?!\x00\x00\x00)..[\x00-\x10]\x00)", re.DOTALL)


class JournalError(Exception):
    """The file cannot be used as it is; the text says which, why, and what to do."""


def read(path: Path, *, magic: bytes, whole: bool = False) -> Iterator[bytes]:
    """Read the journal at *path*, which another process may be writing; changes and locks nothing.

    Gives what the file holds when the iteration starts. JournalError, after the records before it,
    if one is damaged and whole ones follow, or if the file is something else; with *whole* also if
    anything stands behind the last record, which otherwise ends the iteration as a torn tail.
    """
    header = header_of(magic)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        found = file.read(len(header))
        if found != header and header.startswith(found) and not whole:
            return
        check_header(path, found, header)
        at = len(header)
        while at < size:
            for payload in whole_records(file, at):
                at += RECORD.size + len(payload)
                if at > size:
                    return
                yield payload
            # From the same byte on: its writer may have completed, or replaced, it meanwhile.
            later = find_record(file, at)
            if later is not None and later > at:
                raise JournalError(damage(path, at, later))
            if later is None:
                break
            file.seek(at)
        if whole and at < size:
            msg = (
                f"{path}: the {size - at} bytes from byte {at} on are no whole record: a process"
                " was killed while it wrote them, or they are damaged"
            )
            raise JournalError(msg)


def parse(stream: BinaryIO, *, path: Path, magic: bytes) -> Iterator[bytes]:
    """Read a journal from its first byte to the end of *stream*; *path* is what errors call it.

    JournalError, after the records before it, at the first that is not whole.
    """
    header = header_of(magic)
    check_header(path, stream.read(len(header)), header)
    at = len(header)
    for payload in whole_records(stream, at):
        at += RECORD.size + len(payload)
        yield payload
    if stream.tell() != at:
        msg = f"{path}: the record at byte {at} is damaged"
        raise JournalError(msg)


def image(payloads: Iterable[bytes], *, magic: bytes) -> Iterator[bytearray]:
    """Give the bytes of a journal that holds *payloads*, in pieces."""
    size, data = 0, bytearray(header_of(magic))
    for payload in payloads:
        data += frame(size + len(data), payload)
        if len(data) > MAX_PAYLOAD:
            yield data
            size, data = size + len(data), bytearray()
    yield data


def header_of(magic: bytes) -> bytes:
    """Give what a file begins with."""
    return magic + bytes([FORMAT])


def check_header(path: Path, found: bytes, header: bytes) -> None:
    if found == header:
        return
    if found[:-1] == header[:-1] and len(found) == len(header):
        msg = (
            f"{path} is a journal of format {found[-1]}, and this release reads format {FORMAT}:"
            " use the release that wrote it, or give another path"
        )
    else:
        msg = f"{path} begins with {found!r} and not with {header!r}: give another path"
    raise JournalError(msg)


def frame(offset: int, payload: bytes) -> bytes:
    if not 0 < len(payload) <= MAX_PAYLOAD:
        msg = f"a payload of {len(payload)} bytes: a record takes 1 to {MAX_PAYLOAD}"
        raise JournalError(msg)
    return RECORD.pack(len(payload), _crc(offset, payload)) + payload


def whole_records(file: BinaryIO, offset: int) -> Iterator[bytes]:
    """Read payloads from *offset*, where *file* stands, to the first record that is not whole."""
    while len(head := file.read(RECORD.size)) == RECORD.size:
        length, crc = RECORD.unpack(head)
        payload = file.read(min(length, MAX_PAYLOAD))
        if not length or len(payload) != length or crc != _crc(offset, payload):
            return
        yield payload
        offset += RECORD.size + length


def find_record(file: BinaryIO, offset: int) -> int | None:
    """Look for a whole record that begins at *offset* or anywhere behind it."""
    file.seek(offset)
    while window := file.read(WINDOW):
        # The last length that is looked at begins before MAX_PAYLOAD, and has its crc behind it.
        stop = min(MAX_PAYLOAD + 3, len(window) - 4)
        for match in LENGTH.finditer(window, 0, stop):
            at = match.start()
            length, crc = RECORD.unpack_from(window, at)
            payload = window[at + RECORD.size : at + RECORD.size + length]
            if len(payload) == length and crc == _crc(offset + at, payload):
                return offset + at
        offset = file.seek(offset + MAX_PAYLOAD)
    return None


def damage(path: Path, at: int, later: int) -> str:
    return (
        f"{path}: the record at byte {at} is damaged, but there are whole ones from byte {later}"
        " on; nothing was changed. Bring the file back from a copy, or move it away to go on"
        " without its records"
    )


def _crc(offset: int, payload: bytes) -> int:
    return crc32(payload, crc32(PLACE.pack(offset, len(payload))))
