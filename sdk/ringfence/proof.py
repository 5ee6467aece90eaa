"""What the ledger's heads prove of a gate's tables: that nothing is missing, and since when.

A head proves the tables if they have reached its change and had its digests there. Only a head
that was just sent proves anything of now; one that the broker kept tells where the ledger was.
"""

from ringfence.wire import Head

__all__ = ["MAX_DIGESTS", "Proof"]

MAX_DIGESTS = 1024
"""Changes whose digests are remembered, for heads that arrive after later changes."""


class Proof:
    """The last head, and what the tables summed up to at the last changes."""

    def __init__(self, *, stale_after: float, max_clock_skew: float) -> None:
        self.head: Head | None = None
        self.at: float | None = None
        """When the head that proves the tables was heard, on this machine's clock."""
        self.ledger_clock: float | None = None
        """Unix seconds of the ledger less seconds of this machine's clock."""
        self._heard_at = 0.0
        self._fresh = False
        self._digests: dict[int, tuple[int, int]] = {}
        self._stale_after = stale_after
        self._max_clock_skew = max_clock_skew

    def hear(self, head: Head, mono: float, utc: float, *, retained: bool) -> bool:
        """Take a head as the last one; False if it comes too late for that."""
        last, sent = self.head, head.at.timestamp()
        timely = not retained and abs(utc - sent) <= self._max_clock_skew
        if last is not None and self._late(head, last, mono, retained=retained, timely=timely):
            return False
        if not retained:
            self.ledger_clock = sent - mono
        # Where time goes back, either this head or the last one is from a wrong clock.
        back = last is not None and head.epoch == last.epoch and head.at < last.at
        self.head, self._heard_at, self._fresh = head, mono, timely and not back
        return True

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

    def lapse(self) -> None:
        """The last head is out of date: only the next one can prove anything."""
        self.at, self._fresh = None, False

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
