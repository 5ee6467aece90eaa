"""Where a chain breaks: which of its records were altered, removed, added or moved; no I/O.

Records come in the order of the files. As long as each follows from the one before nothing is kept
of them. Where one does not, those behind it are looked at before anything is said: a record that is
missing may come later, and of two with one number the next shows which the chain goes on from.
"""

from collections import deque
from collections.abc import Iterable
from enum import StrEnum
from itertools import pairwise

import msgspec

from ringfence.evidence.chain import START, Filed, link_of

__all__ = ["Break", "Change", "Tracer"]

WINDOW = 4096
"""Records that are looked at ahead: what moved farther is told as removed here and added there."""

LIMIT = 1000
"""Breaks of which more than their number is kept; beyond it nothing is looked for ahead."""


class Change(StrEnum):
    """What was done to a record."""

    ALTERED = "altered"
    REMOVED = "removed"
    ADDED = "added"
    REORDERED = "reordered"


class Break(msgspec.Struct, frozen=True):
    """One place at which the chain does not hold."""

    change: Change
    first: int
    last: int
    """The same, but where several in a row were removed."""
    segment: str
    """The file in which it shows."""
    words: str
    begins: bool = False
    """Whether the segment begins behind what was removed, and says by itself what it follows."""


class _Seen(msgspec.Struct, frozen=True, gc=False):
    """As much of a record as the chain is made of."""

    number: int
    link: bytes
    digest: bytes
    segment: str
    previous: bytes | None
    order: int


class Tracer:
    """Follows a chain from its first record and finds where it breaks."""

    def __init__(self) -> None:
        self.number = 0
        """Of the last record that is in its place."""
        self.untold = 0
        """Breaks beyond those that are told."""
        self._link: bytes | None = START
        self._blind = False
        self._count = 0
        self._held: deque[_Seen] = deque()
        self._early: dict[int, tuple[_Seen, int]] = {}
        self._early_run = (0, 0)
        self._late: set[int] = set()
        self._breaks: list[tuple[int, Break]] = []

    def follow(self, filed: Filed, segment: str, previous: bytes | None = None) -> None:
        """Take the next record; *previous* is what it says it follows, if a segment begins here."""
        number, digest = filed.number, filed.digest
        self._count += 1
        if (
            not self._held
            and not self._early
            and number == self.number + 1
            and self._link is not None
            and filed.link == link_of(self._link, number, digest)
        ):
            self.number, self._link = number, filed.link
            return
        self._held.append(_Seen(number, filed.link, digest, segment, previous, self._count))
        if len(self._held) >= WINDOW or self._blind or self._full:
            self._settle()

    def lose(self) -> None:
        """Hear that records cannot be read here: what comes next may have any later number."""
        self._settle_all()
        self._link, self._blind = None, True

    def end(self) -> list[Break]:
        """Hear that the chain ends, and give its breaks in the order of the files."""
        self._settle_all()
        told = (broken for _, broken in sorted(self._breaks, key=lambda told: told[0]))
        return [piece for broken in told for piece in self._without_late(broken)]

    def _settle_all(self) -> None:
        while self._held:
            self._settle()
        for seen, before in self._early.values():
            self._tell(seen, Change.ADDED, f"was added: it does not belong before {before}")
        self._early.clear()

    def _settle(self) -> None:
        """Say what is wrong with the first record held, and take those behind it that fit."""
        seen = self._held.popleft()
        if self._blind and seen.number > self.number:
            self.number, self._blind = seen.number - 1, False
        if seen.number <= self.number:
            self._settle_repeated(seen)
        elif seen.number > self.number + 1:
            self._settle_ahead(seen)
        elif self._fits(seen):
            self._take(seen)
        else:
            self._settle_misfit(seen)
        while self._held and self._fits(self._held[0]):
            self._take(self._held.popleft())

    def _fits(self, seen: _Seen) -> bool:
        """Whether it is the next; where nothing tells what it follows, its number decides."""
        before = seen.previous if self._link is None else self._link
        return seen.number == self.number + 1 and (before is None or _follows(seen, before))

    def _take(self, seen: _Seen) -> None:
        self.number, self._link = seen.number, seen.link
        self._recall()

    def _recall(self) -> None:
        """Take those that stood too early and whose turn it is."""
        while early := self._early.pop(self.number + 1, None):
            seen, before = early
            if not self._fits(seen) or any(self._fits(held) for held in self._ahead()):
                self._tell(seen, Change.ADDED, f"was added: it does not belong before {before}")
                return
            self._tell_early(seen, before)
            self.number, self._link = seen.number, seen.link

    def _settle_repeated(self, seen: _Seen) -> None:
        if not self._full and seen.number not in self._late and self._misses(seen.number):
            self._late.add(seen.number)
            self._tell(seen, Change.REORDERED, f"stands behind {self.number}")
        else:
            self._tell(seen, Change.ADDED, "was added: its number is there a second time")
            behind = self._behind(seen)
            if seen.number == self.number and behind and _follows(behind, seen.link):
                self._link = seen.link  # of the two it is the one that the chain goes on from

    def _misses(self, number: int) -> bool:
        return any(
            broken.change is Change.REMOVED and broken.first <= number <= broken.last
            for _, broken in self._breaks
        )

    def _settle_ahead(self, seen: _Seen) -> None:
        """Its number leaves some out: they come later, or they were removed."""
        others = () if self._full else (*self._early, *(held.number for held in self._held))
        lowest = min(number for number in (seen.number, *others) if number > self.number)
        if lowest > self.number + 1:
            self._tell_removed(seen, lowest)
            self.number, self._link = lowest - 1, None
            self._held.appendleft(seen)
            self._recall()
        elif seen.number in self._early or len(self._early) >= WINDOW:
            self._tell(seen, Change.ADDED, f"was added: it does not belong behind {self.number}")
        else:
            self._early[seen.number] = seen, self.number + 1

    def _settle_misfit(self, seen: _Seen) -> None:
        """It has the right number and does not follow: it was altered, or another one does."""
        if any(self._fits(held) for held in self._ahead()):
            self._tell(seen, Change.ADDED, "was added: the one that belongs there comes later")
            return
        computed = link_of(self._link or seen.previous or START, seen.number, seen.digest)
        behind = self._behind(seen)
        if behind and _follows(behind, computed):
            self._tell(seen, Change.ALTERED, "was altered: its link is another")
            self.number, self._link = seen.number, computed
            self._recall()
        else:
            # Or the one before was, and its own link computed anew: nothing tells which.
            self._tell(seen, Change.ALTERED, f"was altered: it does not follow from {self.number}")
            self._take(seen)

    @property
    def _full(self) -> bool:
        return len(self._breaks) >= LIMIT

    def _ahead(self) -> Iterable[_Seen]:
        """Give what is looked at ahead; nothing once there are too many breaks to tell."""
        return () if self._full else self._held

    def _behind(self, seen: _Seen) -> _Seen | None:
        return next((held for held in self._ahead() if held.number == seen.number + 1), None)

    def _tell(self, seen: _Seen, change: Change, words: str) -> None:
        number = seen.number
        words = f"record {number} {words}"
        self._note(seen, Break(change, number, number, seen.segment, words))

    def _tell_early(self, seen: _Seen, before: int) -> None:
        """Say that it stands before a lower number, in one breath with those before it that do."""
        number = seen.number
        order, told = self._breaks[-1] if self._breaks else (0, None)
        if told and self._early_run == (number - 1, before):
            words = f"records {told.first} to {number} stand before {before}"
            self._breaks[-1] = order, msgspec.structs.replace(told, last=number, words=words)
        else:
            self._tell(seen, Change.REORDERED, f"stands before {before}")
        if not self.untold:
            self._early_run = number, before

    def _tell_removed(self, seen: _Seen, lowest: int) -> None:
        first, last = self.number + 1, lowest - 1
        begins = lowest == seen.number and seen.previous is not None
        removed = Break(
            Change.REMOVED, first, last, seen.segment, _removed(first, last), begins=begins
        )
        self._note(seen, removed)

    def _note(self, seen: _Seen, broken: Break) -> None:
        self._early_run = 0, 0
        if self._full:
            self.untold += 1
        else:
            self._breaks.append((seen.order, broken))

    def _without_late(self, broken: Break) -> list[Break]:
        """Leave out of what was removed the records that stand elsewhere."""
        late = sorted(n for n in self._late if broken.first <= n <= broken.last)
        if broken.change is not Change.REMOVED or not late:
            return [broken]
        bounds = pairwise([broken.first - 1, *late, broken.last + 1])
        return [
            msgspec.structs.replace(broken, first=a + 1, last=b - 1, words=_removed(a + 1, b - 1))
            for a, b in bounds
            if b - a > 1
        ]


def _follows(seen: _Seen, before: bytes) -> bool:
    return seen.link == link_of(before, seen.number, seen.digest)


def _removed(first: int, last: int) -> str:
    which = f"record {first} was" if first == last else f"records {first} to {last} were"
    if first == 1:
        return f"{which} removed: the chain begins with {last + 1}"
    return f"{which} removed: after {first - 1} comes {last + 1}"
