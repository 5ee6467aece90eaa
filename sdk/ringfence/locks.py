"""Locks among the processes of one host: a file each, and given up by the kernel when one dies.

Nothing waits here, and nothing is written to the files. They are not removed: who waits for one by
its name would lock another than who holds it. The file system must be a local one.
"""

import fcntl
import os
from pathlib import Path
from typing import Self
from weakref import WeakSet

__all__ = ["Lock", "try_lock"]


class Lock:
    """A file that one process at a time locks, or several that share it. Made unlocked.

    A forked child does not have it: the kernel would count it among the holders, and keep the lock
    as long as any of them lives. In the child it is as if closed.
    """

    def __init__(self, path: Path) -> None:
        """Raises `OSError` where the file cannot be opened or made."""
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _open_here.add(self)

    def take(self, *, shared: bool = False) -> bool:
        """Lock it, if nobody else has; one that is held already becomes shared, or exclusive.

        That is no single step: in between, another may take it. Raises `ValueError` if closed.
        """
        try:
            fcntl.flock(self._file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let others take it. Raises `ValueError` if closed."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    @property
    def closed(self) -> bool:
        return self._file < 0

    @property
    def lost(self) -> bool:
        """Whether the file was removed, so that others would lock a new one of its name."""
        return not os.fstat(self._file).st_nlink

    def close(self) -> None:
        """Give it up, and the file with it."""
        _open_here.discard(self)
        self._drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _drop(self) -> None:
        # Not LOCK_UN: in a forked child that would take the lock from its parent.
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def try_lock(path: Path) -> Lock | None:
    """Give the lock of a file, exclusive and until it is closed; None if somebody else has it.

    Raises `OSError` where the file cannot be opened or made.
    """
    while True:
        lock = Lock(path)
        if not lock.take():
            lock.close()
            return None
        if not lock.lost:
            return lock
        lock.close()  # removed before it was locked: another may hold the new one


_open_here: WeakSet[Lock] = WeakSet()


def _forked() -> None:
    for lock in list(_open_here):
        lock.close()


os.register_at_fork(after_in_child=_forked)
