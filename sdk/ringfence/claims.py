"""Attempts of which the ledger was asked whether it takes them, until its word is heard; no I/O.

A gate knows of the attempts of others only what it has heard. So before a call that may be one too
many it tells the ledger of its attempt under a cap, and the call waits: the ledger takes one after
the other, and what it has taken under a cap was within it. The word is that it was stored, however
that is heard: in a batch, be it beyond a gap, in one told again, or as known.
"""

from collections.abc import Callable, Iterable

from ringfence.event import Cap
from ringfence.number import Territory
from ringfence.row import Facts
from ringfence.rules.rulebook import Rulebook, Terms
from ringfence.wire import Exhausted, Known, Log, Range, Rejected, Reply

__all__ = ["Claim", "Claims", "cap_of"]


def cap_of(  # noqa: PLR0913 - what a decision depends on
    rulebook: Rulebook,
    terms: Terms,
    places: tuple[Territory, ...],
    caller_id: str | None,
    rows: tuple[Facts, tuple[Facts, ...]],
    at: float,
    *,
    margin: int,
) -> Cap | None:
    """Give the cap under which the ledger must take an attempt first; None: it need not be asked.

    It must with *margin* attempts left, or fewer, as far as these rows tell.
    """
    if not margin:
        return None
    case = rulebook.case(terms, places, caller_id, rows, at)
    cap = rulebook.cap(case)
    return cap if cap is not None and cap.left(case.restraint) <= margin else None


class Claim:
    """An attempt that waits for the ledger's word; the first word stands."""

    __slots__ = ("_heard", "id", "known", "taken")

    def __init__(self, name: str, heard: Callable[[], None]) -> None:
        self.id = name
        """Of the event."""
        self.taken: bool | None = None
        """Whether the ledger took it; None while nothing is heard."""
        self.known: Facts | None = None
        """What the ledger knows of the person, if it has told that there were enough."""
        self._heard = heard

    def hear(self, *, taken: bool, known: Facts | None = None) -> None:
        self.taken, self.known = taken, known
        self._heard()


class Claims:
    """The claims of one principal that are under way."""

    def __init__(self) -> None:
        self._under_way: dict[str, Claim] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def add(self, claim: Claim) -> None:
        """Wait for the word on a claim, which is about to be told to the ledger."""
        self._under_way[claim.id] = claim

    def drop(self, claim: Claim) -> None:
        """Wait no longer: what is heard from here on moves nothing."""
        self._under_way.pop(claim.id, None)

    def hear_log(self, log: Log, epoch: int) -> None:
        """Hear a batch; *epoch* is that of the gate's tables, and no other ledger is believed."""
        if self._under_way and log.epoch == epoch:
            self._taken(log.ids)

    def hear_reply(self, reply: Reply, epoch: int) -> None:
        """Hear what the ledger tells this gate alone."""
        match reply:
            case Range(log):
                self.hear_log(log, epoch)
            case Known(known, _, ids) if known == epoch:
                self._taken(ids)
            case Exhausted(name, row) if name in self._under_way:
                _key, low, high = memoryview(row).cast("Q")
                self._under_way.pop(name).hear(taken=False, known=(low, high))
            case Rejected(name) if name in self._under_way:
                self._under_way.pop(name).hear(taken=False)

    def _taken(self, ids: Iterable[str]) -> None:
        for name in ids:
            claim = self._under_way.pop(name, None)
            if claim is not None:
                claim.hear(taken=True)
