"""An append-only file of records that survives a crash.

It does not know what the records mean, and blocks: `append` hands bytes to the operating system
(microseconds), `sync`, `open` and `rewrite` wait for the disk and belong in a thread.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import Self

from ringfence.framing import (
    MAX_PAYLOAD,
    RECORD,
    JournalError,
    check_header,
    damage,
    find_record,
    frame,
    header_of,
    image,
    whole_records,
)

__all__ = ["MAX_PAYLOAD", "Journal", "JournalError", "lock", "lock_of", "sync_directory"]


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
        header = header_of(magic)
        with ExitStack() as opened:
            held = lock(path)
            opened.callback(os.close, held)
            _new(path).unlink(missing_ok=True)  # a rewrite that was killed
            end, size = _examine(path, header)
            file = os.open(path, os.O_WRONLY | os.O_APPEND) if end else _replace(path, header, ())
            opened.callback(os.close, file)
            if 0 < end < size:
                os.ftruncate(file, end)
                os.fsync(file)
            sync_directory(path)
            opened.pop_all()
        return cls(path, header, (held, file), cut=size - end)

    @property
    def size(self) -> int:
        """The bytes of the file, its header included."""
        return self._size

    @property
    def broken(self) -> bool:
        """Whether appends are refused until the journal is rewritten or opened again."""
        return self._file < 0 or bool(self._refusal)

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
                data += frame(self._size + len(data), payload)
            _write(self._file, data)
            self._size += len(data)
        except BaseException:  # the disk, or a signal's exception before the size was noted
            self._cut_back()
            raise
        finally:
            self._turn.release()

    def probe(self, size: int) -> None:
        """Write *size* zeros and cut them off; OSError and JournalError like `append`.

        Zeros behind the records are a torn tail to whoever reads the file or opens it meanwhile.
        """
        self._begin()
        try:
            _write(self._file, bytes(size))
        finally:
            self._cut_back()
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

    def inspect(self) -> None:
        """Look whether others find by its path what was written; if not, it is `broken`.

        The file may have been removed, replaced, or cut while it is written to, of which a write
        tells nothing. Waits for the disk, and lets appends go on. JournalError if so; OSError if
        one cannot tell.
        """
        self._check()
        size = self._size
        found = _found(self.path)
        if not _is(found, self._file) or not _is(_found(lock_of(self.path)), self._lock):
            self._refusal = "was removed or replaced while it was in use"
        elif found and found.st_size != size and not self._changing(size):
            self._refusal = f"has {found.st_size} bytes, where {size} were written"
        self._check()

    def _changing(self, size: int) -> bool:
        """Whether the size is no longer that, or may not be in a moment."""
        return self._turn.locked() or self._size != size

    def replay(self) -> Iterator[bytes]:
        """Give the payloads that are in the file when the iteration starts.

        Not across `clear`. JournalError if the file was damaged since it was opened.
        """
        size = self._size
        with self.path.open("rb") as file:
            at = file.seek(len(self._header))
            for payload in whole_records(file, at):
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

        As all is written anew, a journal that was `broken` is not so afterwards. What others put in
        the place of its file is not overwritten, but set aside, and if they have that in use, it is
        a JournalError.
        """
        self._check_owner()
        self._begin_change()
        try:
            self._take_place()
            file = _replace(self.path, self._header, payloads)
            try:
                # The same descriptor, as another thread may be about to sync it.
                os.dup2(file, self._file, inheritable=False)
                os.close(file)
                self._size = os.fstat(self._file).st_size
                self._refusal = ""
                sync_directory(self.path)
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

    def _take_place(self) -> None:
        """See that the path is ours to write to."""
        if not _is(_found(lock_of(self.path)), self._lock):
            held = lock(self.path)
            os.close(self._lock)
            self._lock = held
        found = _found(self.path)
        if found is not None and not _is(found, self._file):
            self.path.replace(self.path.with_name(f"{self.path.name}.{found.st_ino}"))

    def _begin(self) -> None:
        self._check()
        self._begin_change()

    def _begin_change(self) -> None:
        if not self._turn.acquire(blocking=False):
            msg = f"{self.path} is being rewritten: wait for that"
            raise JournalError(msg)

    def _check(self) -> None:
        self._check_owner()
        if self._refusal:
            msg = f"{self.path} {self._refusal}: open it again"
            raise JournalError(msg)

    def _check_owner(self) -> None:
        if self._file < 0:
            msg = f"{self.path} is closed: open it again"
            raise JournalError(msg)
        if os.getpid() != self._process:
            msg = f"{self.path} was opened by process {self._process}: a forked child opens its own"
            raise JournalError(msg)

    def _cut_back(self) -> None:
        try:
            os.ftruncate(self._file, self._size)
        except OSError as error:
            self._refusal = f"ends in half a record that could not be cut off ({error})"


def lock_of(path: Path) -> Path:
    """Give the file that is locked for *path*.

    Nobody removes it who cannot be sure that no other process is about to lock it.
    """
    return path.with_name(f"{path.name}.lock")


def lock(path: Path) -> int:
    """Lock *path* for this process until the descriptor is closed; JournalError if another has it.

    The lock is a file of its own, as rewriting replaces the journal.
    """
    held = os.open(lock_of(path), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(held)
        if not isinstance(error, BlockingIOError):
            raise
        msg = (
            f"{path} is in use by another process (or twice in this one): stop that one, or give"
            " this one another path"
        )
        raise JournalError(msg) from error
    return held


def sync_directory(path: Path) -> None:
    """Wait until the disk knows by which name *path* is to be found."""
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _found(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _is(found: os.stat_result | None, file: int) -> bool:
    """Whether that is the file which is open as *file*."""
    return found is not None and os.path.samestat(found, os.fstat(file))


def _new(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


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
        check_header(path, found, header)
        end = len(header)
        for payload in whole_records(file, end):
            end += RECORD.size + len(payload)
        later = find_record(file, end + 1) if end < size else None
    if later is not None:
        raise JournalError(damage(path, end, later))
    return end, size


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
        for data in image(payloads, magic=header[:-1]):
            _write(file, data)
        os.fsync(file)
        new.replace(path)
        failed.pop_all()
    return file
