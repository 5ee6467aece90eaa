"""What the ledger's heads prove of a gate's tables: that nothing is missing, and since when.

A head proves the tables if they have reached its change and had its digests there. Only a head
that was just sent proves anything of now; one that the broker kept tells where the ledger was.
That a change was made, any head tells, however late it comes.
"""

import math

from ringfence.wire import Head

__all__ = ["MAX_DIGESTS", "Proof"]

MAX_DIGESTS = 1024
"""Changes whose digests are remembered, for heads that arrive after later changes."""


class Proof:
    """The last head, and what the tables summed up to at the last changes."""

    def __init__(self, *, stale_after: float, max_clock_skew: float) -> None:
        self.head: Head | None = None
        self.furthest: Head | None = None
        """Of the heads taken in its epoch the last one of those that named the latest change."""
        self.at: float | None = None
        """When the head that proves the tables was heard, on this machine's clock."""
        self.ledger_clock: float | None = None
        """Unix seconds of the ledger less seconds of this machine's clock."""
        self.newest = 0
        """The last change heard of in the epoch of the last head."""
        self._heard_at = 0.0
        self._fresh = False
        self._lapsed_at = -math.inf
        self._successor = 0
        self._digests: dict[int, tuple[int, int]] = {}
        self._stale_after = stale_after
        self._max_clock_skew = max_clock_skew

    def hear(self, head: Head, mono: float, utc: float, *, retained: bool) -> bool:
        """Take a head as the last one; False if it comes too late for that."""
        last, sent = self.head, head.at.timestamp()
        self.hear_of(head.epoch, head.seq)
        timely = not retained and abs(utc - sent) <= self._max_clock_skew
        if last is not None and self._late(head, last, mono, retained=retained, timely=timely):
            return False
        if not retained:
            self.ledger_clock = sent - mono
        if last is None or head.epoch != last.epoch:
            self.newest, self.furthest = head.seq, None
        if self.furthest is None or head.seq >= self.furthest.seq:
            self.furthest = head
        # Where time goes back, either this head or the last one is from a wrong clock.
        back = last is not None and head.epoch == last.epoch and head.at < last.at
        self.head, self._heard_at = head, mono
        self._fresh = timely and not back and not self._replaced(head, mono)
        return True

    def hear_of(self, epoch: int, seq: int) -> None:
        """Note that there is such a change: that cannot be unheard, whatever is heard later."""
        if self.head is not None and self.head.epoch == epoch:
            self.newest = max(self.newest, seq)

    def _late(self, head: Head, last: Head, mono: float, *, retained: bool, timely: bool) -> bool:
        if head.epoch > last.epoch:
            return False
        if head.epoch < last.epoch:  # the ledger was replaced, unless nothing is heard of the other
            return retained or mono - self._heard_at <= self._stale_after
        if (head.at, head.seq) > (last.at, last.seq):
            return False
        late = (last.at - head.at).total_seconds()
        return late <= self._max_clock_skew or not timely

    def stand(self, seq: int, ground: int, restraint: int) -> None:
        """Note what the tables sum up to at change *seq*."""
        self._digests[seq] = ground, restraint
        if len(self._digests) > MAX_DIGESTS:
            del self._digests[next(iter(self._digests))]

    def restart(self) -> None:
        """Other tables: nothing is proved of them yet."""
        self.at = None
        self._digests.clear()

    def lapse(self, epoch: int, mono: float) -> None:
        """There is a later *epoch*: of earlier ones only heads that are sent from now on prove."""
        self.at, self._fresh = None, False
        self._successor, self._lapsed_at = max(self._successor, epoch), mono

    def _replaced(self, head: Head, mono: float) -> bool:
        """Whether the head may have been under way since before another epoch was heard of.

        One that seems timely is no older than the two clocks may be apart, there and back.
        """
        under_way = mono - self._lapsed_at <= 2 * self._max_clock_skew
        return head.epoch < self._successor and under_way

    def compare(self) -> bool | None:
        """Hold the last head against the tables: they agree, or do not; None: one cannot tell."""
        head = self.head
        seen = None if head is None else self._digests.get(head.seq)
        if head is None or seen is None:
            return None
        if seen != (head.ground_digest, head.restraint_digest):
            return False
        if self._fresh:
            self.at = self._heard_at
        return True
