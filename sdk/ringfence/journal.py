"""An append-only file of records that survives a crash.

It does not know what the records mean, and blocks: `append` hands bytes to the operating system
(microseconds), `sync`, `open` and `rewrite` wait for the disk and belong in a thread.

::

    file   = magic, format version (1 byte), record*
    record = length (u32), crc (u32), payload                  integers are little-endian
    crc    = crc32 of the record's offset in the file (u64), its length (u32) and its payload

The offset is part of the checksum so that a record counts only where it was written: a payload that
happens to hold a journal is not taken for records when the file is searched after a crash.
"""

import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from struct import Struct
from threading import Lock
from typing import BinaryIO, Self
from zlib import crc32

__all__ = ["MAX_PAYLOAD", "Journal", "JournalError"]

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


class Journal:
    """One open journal, for one process; `open` makes it.

    Made for one thread that must not wait, and others that may: `sync` and `rewrite` can run in a
    thread of their own, and a change that comes during a rewrite is refused at once.
    """

    def __init__(self, path: Path, header: bytes, descriptors: tuple[int, int], cut: int) -> None:
        self.path = path
        self.cut = cut
        self._header = header
        self._lock, self._file = descriptors
        self._size = os.fstat(self._file).st_size
        self._process = os.getpid()
        self._refusal = ""
        self._turn = Lock()

    @classmethod
    def open(cls, path: Path, *, magic: bytes) -> Self:
        """Open the journal at *path*, or create it.

        What a crash left behind the last whole record is cut off, and `cut` says how many bytes.
        Damage counts as such a torn tail only if no whole record follows it: a half-written record,
        the zeros or the garbage of a power cut. If one does, records in the middle were lost,
        which is not for this module to hide: JournalError names the offset. JournalError, too, if
        another process has the journal, or if the file is something else or of another format.
        With JournalError and with OSError the file is left as it was.
        """
        path = path.resolve()  # two names of one file must not be two locks
        header = magic + bytes([FORMAT])
        with ExitStack() as opened:
            lock = _lock(path)
            opened.callback(os.close, lock)
            _new(path).unlink(missing_ok=True)  # a rewrite that was killed
            end, size = _examine(path, header)
            file = os.open(path, os.O_WRONLY | os.O_APPEND) if end else _replace(path, header, ())
            opened.callback(os.close, file)
            if 0 < end < size:
                os.ftruncate(file, end)
                os.fsync(file)
            _sync_directory(path)
            opened.pop_all()
        return cls(path, header, (lock, file), cut=size - end)

    @property
    def size(self) -> int:
        """The bytes of the file, its header included."""
        return self._size

    @property
    def broken(self) -> bool:
        """Whether appends are refused until the journal is opened again."""
        return bool(self._refusal)

    def append(self, *payloads: bytes) -> None:
        """Hand *payloads* to the operating system in one write.

        When it returns a killed process does not lose them. On OSError (disk full) none of them is
        kept: what was written is cut back, and if that fails too the journal is `broken`. After a
        crash in the middle the first of them may be there. JournalError: broken, closed, forked,
        in a rewrite, or a payload that is empty or too large.
        """
        self._begin()
        try:
            data = bytearray()
            for payload in payloads:
                data += _record(self._size + len(data), payload)
            _write(self._file, data)
            self._size += len(data)
        except BaseException:  # the disk, or a signal's exception before the size was noted
            self._cut_back()
            raise
        finally:
            self._turn.release()

    def sync(self) -> None:
        """Wait until all that was appended is on the disk.

        After an OSError the journal is `broken`: the kernel reports lost pages once and then calls
        them clean, so a second sync would succeed without having written them.
        """
        self._check()
        try:
            os.fsync(self._file)
        except OSError:
            self._refusal = "could not be synced, and may have lost records"
            raise

    def replay(self) -> Iterator[bytes]:
        """Give the payloads that are in the file when the iteration starts.

        Not across `clear`. JournalError if the file was damaged since it was opened.
        """
        size = self._size
        with self.path.open("rb") as file:
            at = file.seek(len(self._header))
            for payload in _whole_records(file, at):
                yield payload
                at += RECORD.size + len(payload)
                if at >= size:
                    return
        if at < size:
            msg = f"{self.path}: the record at byte {at} was damaged since the file was opened"
            raise JournalError(msg)

    def clear(self) -> None:
        """Drop all records; a power cut may bring them back.

        Does not wait for the disk, but for the kernel to free the space: 0.4 ms for a MiB that was
        synced, and in proportion.
        """
        self._begin()
        try:
            if self._size > len(self._header):
                os.ftruncate(self._file, len(self._header))
                self._size = len(self._header)
        finally:
            self._turn.release()

    def rewrite(self, payloads: Iterable[bytes]) -> None:
        """Replace all records by *payloads*; after a crash the file holds the old or the new ones.

        *payloads* are asked for when appends are already refused. On JournalError and OSError the
        old ones stay and the journal can be used as before, unless the new file was in place and
        could not be made to last: then it is `broken`.
        """
        self._begin()
        try:
            file = _replace(self.path, self._header, payloads)
            try:
                # The same descriptor, as another thread may be about to sync it.
                os.dup2(file, self._file, inheritable=False)
                os.close(file)
                self._size = os.fstat(self._file).st_size
                _sync_directory(self.path)
            except BaseException:
                self._refusal = "was rewritten, but a power cut may bring the old file back"
                raise
        finally:
            self._turn.release()

    def close(self) -> None:
        """Give up the file and the lock; does not wait for the disk."""
        if self._file >= 0:
            os.close(self._file)
            os.close(self._lock)  # not LOCK_UN: that would take the lock from whom we forked from
            self._file = self._lock = -1
            self._refusal = "is closed"

    def _begin(self) -> None:
        self._check()
        if not self._turn.acquire(blocking=False):
            msg = f"{self.path} is being rewritten: wait for that"
            raise JournalError(msg)

    def _check(self) -> None:
        if self._refusal:
            msg = f"{self.path} {self._refusal}: open it again"
            raise JournalError(msg)
        if os.getpid() != self._process:
            msg = f"{self.path} was opened by process {self._process}: a forked child opens its own"
            raise JournalError(msg)

    def _cut_back(self) -> None:
        try:
            os.ftruncate(self._file, self._size)
        except OSError as error:
            self._refusal = f"ends in half a record that could not be cut off ({error})"


def _new(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _lock(path: Path) -> int:
    # A file of its own, as rewriting replaces the journal; never removed, as another process may
    # be about to lock it.
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if not isinstance(error, BlockingIOError):
            raise
        msg = (
            f"{path} is in use by another process (or twice in this one): stop that one, or give"
            " this one another path"
        )
        raise JournalError(msg) from error
    return lock


def _examine(path: Path, header: bytes) -> tuple[int, int]:
    """Give where the last whole record ends (0: not even the header is whole), and the size."""
    if not path.exists():
        return 0, 0
    if not path.is_file():
        msg = f"{path} is not a regular file: give another path"
        raise JournalError(msg)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        found = file.read(len(header))
        if found != header and header.startswith(found):
            return 0, size
        _check_header(path, found, header)
        end = len(header)
        for payload in _whole_records(file, end):
            end += RECORD.size + len(payload)
        later = _find_record(file, end + 1) if end < size else None
    if later is not None:
        msg = (
            f"{path}: the record at byte {end} is damaged, but there are whole ones from byte"
            f" {later} on; nothing was changed. Bring the file back from a copy, or move it away"
            " to go on without its records"
        )
        raise JournalError(msg)
    return end, size


def _check_header(path: Path, found: bytes, header: bytes) -> None:
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


def _crc(offset: int, payload: bytes) -> int:
    return crc32(payload, crc32(PLACE.pack(offset, len(payload))))


def _record(offset: int, payload: bytes) -> bytes:
    if not 0 < len(payload) <= MAX_PAYLOAD:
        msg = f"a payload of {len(payload)} bytes: a record takes 1 to {MAX_PAYLOAD}"
        raise JournalError(msg)
    return RECORD.pack(len(payload), _crc(offset, payload)) + payload


def _whole_records(file: BinaryIO, offset: int) -> Iterator[bytes]:
    """Read payloads from *offset*, where *file* stands, to the first record that is not whole."""
    while len(head := file.read(RECORD.size)) == RECORD.size:
        length, crc = RECORD.unpack(head)
        payload = file.read(min(length, MAX_PAYLOAD))
        if not length or len(payload) != length or crc != _crc(offset, payload):
            return
        yield payload
        offset += RECORD.size + length


def _find_record(file: BinaryIO, offset: int) -> int | None:
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


def _write(file: int, data: bytes | bytearray) -> None:
    # A full disk takes a part first and names its error only when asked for the rest.
    written = os.write(file, data)
    while written < len(data):
        written += os.write(file, data[written:])


def _replace(path: Path, header: bytes, payloads: Iterable[bytes]) -> int:
    """Write a new file, put it in the place of *path*, and give its descriptor."""
    with ExitStack() as failed:
        new = _new(path)
        failed.callback(new.unlink, missing_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC
        file = os.open(new, flags, 0o600)  # keys are pseudonyms, which are personal data
        failed.callback(os.close, file)
        size, data = 0, bytearray(header)
        for payload in payloads:
            data += _record(size + len(data), payload)
            if len(data) > MAX_PAYLOAD:
                _write(file, data)
                size, data = size + len(data), bytearray()
        _write(file, data)
        os.fsync(file)
        new.replace(path)
        failed.pop_all()
    return file


def _sync_directory(path: Path) -> None:
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
