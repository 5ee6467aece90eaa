"""What a ledger ought to say: a fold of its events from scratch, change by change."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import inf

from ringfence.event import Event
from ringfence.fold import fold_ground, fold_restraint
from ringfence.table import row_hash

__all__ = ["Account"]

_ALL_ONES = (1 << 64) - 1


class Account:
    """The events of one numbering, and what the rows summed up to after each batch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.seq = 0
        self.until = inf
        """When another took its place."""
        self.batches: list[Sequence[Event]] = []
        self.digests = {0: (0, 0)}
        self.ground: dict[int, tuple[int, int]] = {}
        self.restraint: dict[int, tuple[int, int]] = {}
        self.stored: dict[str, int] = {}
        """How often each event was stored."""
        self._filed: dict[int, list[Event]] = defaultdict(list)
        self._sums = [0, 0]

    def add(self, events: Sequence[Event], texts: Mapping[str, int]) -> None:
        """Note a batch that was stored."""
        self.batches.append(events)
        for event in events:
            self.stored[event.id] = self.stored.get(event.id, 0) + 1
            self._file(event, texts)
        self.seq += len(events)
        self.digests[self.seq] = self._sums[0], self._sums[1]

    def copy(self, epoch: int, until: int, texts: Mapping[str, int]) -> "Account":
        """Give the account of a ledger that goes on from change *until*."""
        other = Account(epoch)
        for events in self.batches:
            if other.seq + len(events) > until:
                break
            other.add(events, texts)
        return other

    def _file(self, event: Event, texts: Mapping[str, int]) -> None:
        keys = event.keys
        assert keys is not None
        if event.purposeful:
            assert keys.purpose is not None
            self._filed[keys.purpose].append(event)
            row = fold_ground(self._filed[keys.purpose], texts).pack()
            self._put(0, self.ground, keys.purpose, row)
            return
        for key in {keys.number, keys.consumer} - {None}:
            assert key is not None
            self._filed[key].append(event)
            self._put(1, self.restraint, key, fold_restraint(self._filed[key]).pack())

    def _put(
        self, which: int, rows: dict[int, tuple[int, int]], key: int, row: tuple[int, int]
    ) -> None:
        for sign, words in ((-1, rows.get(key, (0, 0))), (1, row)):
            if words != (0, 0):
                self._sums[which] += sign * row_hash(key, *words)
        self._sums[which] &= _ALL_ONES
        rows[key] = row
