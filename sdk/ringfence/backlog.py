"""Batches of changes that wait for one before them. Their restraints are shown all the same."""

from collections.abc import Iterator

import numpy as np

from ringfence.row import ROW
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
        self._early: dict[int, tuple[int, int, int]] = {}

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
            known = self._early.get(key)
            if known[0] <= log.first if known else len(self._early) < MAX_EARLY:
                self._early[key] = log.first, low, high

    def early(self, key: int) -> tuple[int, int] | None:
        """Give the facts that the latest batch held tells of a key; None if none does."""
        found = self._early.get(key)
        return None if found is None else found[1:]

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
            self._early.clear()
        for key, _, _ in _rows(log.restraint) if self._early else ():
            known = self._early.get(key)
            if known and known[0] <= log.first:
                del self._early[key]

    def forget(self, seq: int) -> None:
        """Drop all that tables show which stand at change *seq*."""
        self._logs = {first: log for first, log in self._logs.items() if first > seq}
        self._early = {key: row for key, row in self._early.items() if row[0] > seq}


def _rows(rows: bytes) -> list[list[int]]:
    found: list[list[int]] = np.frombuffer(rows, "<u8").reshape(-1, 3).tolist()
    return found
