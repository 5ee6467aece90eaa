"""Batches of changes that wait for one before them. Their restraints are shown all the same."""

import math
from collections.abc import Iterator

import numpy as np

from ringfence.row import ROW, Facts
from ringfence.wire import Log

__all__ = ["MAX_EARLY", "MAX_WAITING", "Backlog"]

MAX_WAITING = 4096
"""Batches held at most. What is needed last is dropped, and asked for again when it is needed."""

MAX_EARLY = 65_536
"""Rows shown early, at most."""

TURN = 1000 * ROW
"""Bytes of rows applied in one turn of the event loop, about 2 ms of work."""

LEAST = 5 * ROW
"""What a batch counts for at least."""


class Backlog:
    """The batches by their first change, and the latest row of each key in them."""

    def __init__(self) -> None:
        self.newest = 0
        """The last change heard of, also in what had to be dropped."""
        self._logs: dict[int, Log] = {}
        self.early: dict[int, Facts] = {}
        """The facts that the latest batch held tells of a key."""
        self._told: dict[int, int] = {}
        """The first change of that batch."""

    def __len__(self) -> int:
        return len(self._logs)

    @property
    def first(self) -> int | None:
        """The first change that waits."""
        return min(self._logs, default=None)

    def hold(self, log: Log) -> None:
        self.newest = max(self.newest, log.last)
        self._logs[log.first] = log
        if len(self._logs) > MAX_WAITING:
            del self._logs[max(self._logs)]
        for key, low, high in _rows(log.restraint):
            told = self._told.get(key)
            if len(self._told) < MAX_EARLY if told is None else told <= log.first:
                self._told[key] = log.first
                self.early[key] = low, high

    def after(self, seq: int) -> Iterator[Log]:
        """Take what follows change *seq* without a gap, as much as one turn may apply."""
        budget = TURN
        while budget > 0 and (log := self._logs.pop(seq + 1, None)) is not None:
            yield log
            seq = log.last
            budget -= max(LEAST, len(log.ground) + len(log.restraint))
        if min(self._logs, default=seq + 1) <= seq:
            self.forget(seq)

    def applied(self, log: Log) -> None:
        """Show early no longer what the tables show by now."""
        if not self._logs:
            self.early.clear()
            self._told.clear()
        for key, _, _ in _rows(log.restraint) if self._told else ():
            if self._told.get(key, math.inf) <= log.first:
                del self._told[key], self.early[key]

    def forget(self, seq: int) -> None:
        """Drop all that tables show which stand at change *seq*."""
        self._logs = {first: log for first, log in self._logs.items() if first > seq}
        self._told = {key: first for key, first in self._told.items() if first > seq}
        self.early = {key: self.early[key] for key in self._told}


def _rows(rows: bytes) -> list[list[int]]:
    found: list[list[int]] = np.frombuffer(rows, "<u8").reshape(-1, 3).tolist()
    return found
