"""A table's file as any process of the host reads it, while one process writes it.

No lock is taken, and nothing written: whoever reads holds nobody up. What is found was there,
whole, at some instant between the question and the answer. Of two tables that belong together the
ground is to be asked first: the restraints of a change are written before it, so no ground is seen
without the refusal that came with it.
"""

import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from ringfence.aside import Aside, at_once
from ringfence.seqlock import PATIENCE, RETIRED, unordered
from ringfence.slots import EPOCH, HEADER, HOMES, SEQ, VERSION, TableError, at_random, examined

__all__ = ["Mapped", "TableBusy"]

FIRST = HEADER // 8
"""The word that the first slot begins with."""

HASTE = 0.00005
"""Seconds of `PATIENCE` in which a reader keeps its processor: a writer that has one is done within
20 µs. Whoever gives it away on a busy machine has it back after a millisecond or more."""


class TableBusy(TableError):  # noqa: N818 - it says how the table is, as LinkDown does of a link
    """Rows were being replaced for as long as a reader waits: whoever does it was stopped."""


class Mapped:
    """The table whose file is at a path, and where another takes its place, that one.

    A forked child may go on reading. After `close` only `refresh` may be called, which maps the
    file again, and `close`.
    """

    def __init__(self, path: Path, clock: Callable[[], float], aside: Aside) -> None:
        self._path = path
        self._clock = clock
        self._aside = aside
        self._memory: mmap.mmap | None = None
        self._words = memoryview(b"").cast("Q")
        self._homes = 0
        self._file = 0, 0
        self._given_up = 0
        """The version whose end was waited for in vain, which is not done twice."""

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        aside: Aside = at_once,
    ) -> Self:
        """Map the file at *path*. Whether its rows are sound is for its writer to find out.

        TableError if there is none, if it cannot be a table, or where this machine is none to read
        without locks on. To unmap millions of rows takes milliseconds, and dozens for the last who
        has a file that was replaced; *aside* does that.
        """
        if reason := unordered():
            msg = f"{path} is {reason}"
            raise TableError(msg)
        table = cls(path, clock, aside)
        table.refresh()
        return table

    def get(self, key: int) -> tuple[int, int] | None:
        """Give the facts of *key*, None if there are none.

        TableBusy if a writer that was stopped or killed left them half replaced; TableError if the
        file was replaced by none, or is damaged.
        """
        until = None
        while True:
            words, at = self._words, ((key >> 32) * self._homes >> 32) * 3 + FIRST
            try:
                version = words[VERSION]
                while found := words[at]:
                    if found == key:
                        low, high = words[at + 1], words[at + 2]
                        break
                    at += 3
                else:
                    low = high = 0
                if words[VERSION] == version and not version & 1:
                    return (low, high) if low or high else None
            except IndexError as error:
                msg = f"{self._path} is closed, or damaged: its last slot is taken"
                raise TableError(msg) from error
            until = self._wait(until)

    @property
    def epoch(self) -> int:
        """The owner's first word; 0 while it is closed."""
        return self._words[EPOCH] if self._memory is not None else 0

    @property
    def seq(self) -> int:
        """The second one."""
        return self._words[SEQ]

    def refresh(self) -> None:
        """Map the file that took the place of the one that is mapped, if one did.

        `get` sees to that by itself; who asks nothing for long keeps memory and disk occupied.
        TableError, and closed, if there is no file any more, none that can be a table, or none that
        can be mapped.
        """
        try:
            file = os.open(self._path, os.O_RDONLY)
            try:
                found = os.fstat(file)
                if (found.st_dev, found.st_ino) != self._file:
                    self.close()
                    size = examined(file, self._path)
                    self._map(at_random(mmap.mmap(file, size, access=mmap.ACCESS_READ)))
                    self._file = found.st_dev, found.st_ino
            finally:
                os.close(file)
        except OSError as error:
            self.close()
            msg = f"{self._path} cannot be read: {error}. See that whoever keeps it in step runs"
            raise TableError(msg) from error

    def close(self) -> None:
        self._words.release()
        if self._memory is not None:
            self._aside(self._memory.close)
        self._memory, self._file = None, (0, 0)
        self._words = memoryview(b"").cast("Q")

    def _map(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._words = memoryview(memory).cast("Q")
        self._homes = self._words[HOMES]
        self._given_up = 0

    def _wait(self, until: float | None) -> float:
        """Let the writer go on, or go over to the file it writes now; give until when to wait."""
        version = self._words[VERSION]
        if version == RETIRED:
            self.refresh()
        now = self._clock()
        until = now + PATIENCE if until is None else until
        if now > until:
            self._given_up = version
        elif version != self._given_up or version == RETIRED:
            if until - now < PATIENCE - HASTE:
                os.sched_yield()
            return until
        msg = f"{self._path} is half written: whoever writes it was stopped, or was killed"
        raise TableBusy(msg)
