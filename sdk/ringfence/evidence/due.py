"""Whether records that are gone could be dropped when a record says that they were.

Whoever can append to a chain can have it say that anything was dropped, on any day. So a `Dropped`
is believed only if it was not made later than a ledger has heard of it, nor than now; and what it
names must have been old enough then. How old a record is at most is known though it is gone: it was
written after the chain was begun, which its name tells, after what stands before it, and after the
ledger was told of a record before it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import accumulate

import msgspec

from ringfence.evidence.ranges import Cover, Range
from ringfence.evidence.record import Dropped
from ringfence.evidence.retention import due_before

__all__ = ["SKEW", "Due", "Head", "Stated", "Undue", "on"]

SKEW = 60.0
"""Seconds by which the clocks of a gate and of a ledger may differ."""


class Head(msgspec.Struct, frozen=True):
    """When somebody else was told that a record was the newest, and when he heard it."""

    number: int
    told: float
    heard: float


class Stated(msgspec.Struct, frozen=True):
    """A record that says that others were dropped."""

    number: int
    segment: str
    dropped: Dropped


class Undue(msgspec.Struct, frozen=True):
    """Records that are younger than what may have been dropped."""

    first: int
    last: int
    why: str


class Due:
    """What may be gone of one chain. *began* is when it was begun, Unix seconds."""

    def __init__(
        self, began: float, stated: Iterable[Stated], heads: Sequence[Head], now: float
    ) -> None:
        self._began = began
        heads = sorted(heads, key=lambda head: head.number)
        self._numbers = [head.number for head in heads]
        self._latest = list(accumulate(heads, _later))
        heard = (head.heard for head in reversed(heads))
        self._until = list(accumulate(heard, min, initial=now))[::-1]
        believed: list[Stated] = []
        self.incredible: list[tuple[Stated, float]] = []
        """What says that it was made later than it was there already, and when it was."""
        for it in stated:
            known = self._until[bisect_left(self._numbers, it.number)]
            if it.dropped.at > known + SKEW:
                self.incredible.append((it, known))
            else:
                believed.append(it)
        self._cover = Cover((due_before(it.dropped), it.dropped.ranges) for it in believed)

    def unstated(self, first: int, last: int) -> list[Range]:
        """Give what of a range no record says was dropped."""
        return self._cover.leaves(first, last)

    def undue(self, first: int, last: int, after: float) -> list[Undue]:
        """Give what of a range cannot have been dropped; what stands before it is of *after*."""
        found: list[Undue] = []
        inside = bisect_left(self._numbers, first), bisect_left(self._numbers, last)
        bounds = [first, *sorted({number + 1 for number in self._numbers[slice(*inside)]})]
        for begins, ends in zip(bounds, [*(bound - 1 for bound in bounds[1:]), last], strict=True):
            since, why = self._since(begins, after)
            for left in self._cover.leaves(begins, ends, since):
                if found and found[-1].last == left[0] - 1:
                    found[-1] = msgspec.structs.replace(found[-1], last=left[1])
                else:
                    found.append(Undue(*left, why))
        return found

    def _since(self, number: int, after: float) -> tuple[float, str]:
        """Give when a record that is gone was written at the earliest, and what tells so."""
        known = [
            (after, "what stands before is of"),
            (self._began, "the chain was begun on"),
        ]
        if heads := bisect_left(self._numbers, number):
            head = self._latest[heads - 1]
            known.append((head.told, f"the ledger was told of record {head.number} on"))
        since, words = max(known, key=lambda it: it[0])
        return since, f"{words} {on(since)}"


def _later(head: Head, other: Head) -> Head:
    return other if other.told > head.told else head


def on(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
