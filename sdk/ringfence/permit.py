"""What `admit` gives: a decision, and if it allows, one attempt to be closed with its outcome."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, date, datetime

import msgspec

from ringfence.call import Call, Outcome
from ringfence.confirmation import Confirmation
from ringfence.decision import Decision
from ringfence.event import Attempt, AttemptCancelled, Cap, Event, Keys, Objection, Refusal
from ringfence.evidence.record import Decided
from ringfence.flush import Turn
from ringfence.number import METROPOLE, Keyring, parse
from ringfence.row import day_in

__all__ = ["TO_THE_PERSON", "Permit", "Permits", "reservation", "strongest", "told"]

TO_THE_PERSON = frozenset([Outcome.REFUSED, Outcome.OBJECTED])
"""Outcomes that say something of the person, and not only of the call."""

AT_ONCE = 8
"""Permits that one more makes forget, at most: more than one, so that they come to an end."""


class Permit:
    """The answer for one call that is about to be placed. Truthy exactly if it may be.

    It has reserved one attempt, which counts even if the permit is never closed.
    """

    __slots__ = (
        "_settle", "attempt", "call", "confirmation", "decision", "evidence", "outcome",
        "principal", "since", "told_at", "turns",
    )  # fmt: skip

    def __init__(
        self,
        call: Call,
        decision: Decision,
        principal: str,
        since: float,
        settle: Callable[["Permit", Outcome], Awaitable[None]],
    ) -> None:
        self.call = call
        self.decision = decision
        self.principal = principal
        """Empty where the campaign is not known."""
        self.since = since
        """When it was asked for, in seconds on a clock that never steps."""
        self.outcome: Outcome | None = None
        """What became of the call, as far as it was told."""
        self.attempt: Attempt | None = None
        """The attempt it has reserved."""
        self.confirmation: Confirmation | None = None
        """The ledger's word on it, if that must be heard before anyone is told of it."""
        self.evidence: Decided | None = None
        """What was written down of the decision."""
        self.turns: tuple[Turn, ...] = ()
        """The fsyncs that must have ended before anyone is told of it."""
        self.told_at: datetime | None = None
        """The latest instant of what was told of it: what is told next is later, on any clock."""
        self._settle = settle

    @property
    def id(self) -> str:
        """The id of the call."""
        return self.call.id

    def __bool__(self) -> bool:
        return self.decision.allowed

    def __repr__(self) -> str:
        return f"<Permit {self.decision.verdict} {self.decision.reason} for call {self.call.id}>"

    async def close(self, outcome: Outcome) -> None:
        """Tell what became of the call; told again, nothing is counted twice.

        `NOT_PLACED` gives the attempt back, unless an outcome that says otherwise is told before or
        after. A refusal or objection is recorded whenever it is told, even for a call that was not
        allowed. Raises `OutboxError` if it cannot be written; then it holds in this gate all the
        same, and is written as soon as that works again.
        """
        await self._settle(self, outcome)


class Permits:
    """Permits by the id of their call, for as long as outcomes are waited for.

    At most *limit*, and none for longer than *kept* seconds; the oldest go first.
    """

    def __init__(self, limit: int, kept: float) -> None:
        self._limit = limit
        self._kept = kept
        # Not a cache of `cachetools`: it would hold an object more for each permit, and the time
        # the garbage collector takes for two hundred thousand of them is taken from a call.
        self._held: OrderedDict[str, Permit] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, name: str, now: float) -> Permit | None:
        permit = self._held.get(name)
        return None if permit is None or now - permit.since > self._kept else permit

    def add(self, permit: Permit) -> None:
        """Keep a permit, in the place of that of the same id."""
        held = self._held
        held[permit.id] = permit
        held.move_to_end(permit.id)
        for _ in range(AT_ONCE):  # a call does not wait for those of all the hours before it
            if len(held) <= self._limit and permit.since - self._oldest().since <= self._kept:
                return
            held.popitem(last=False)

    def _oldest(self) -> Permit:
        return next(iter(self._held.values()))


def reservation(permit: Permit, keys: Keys, at: float, cap: Cap | None = None) -> Attempt:
    """Give the attempt that a permit reserves at *at* (Unix seconds), sealed."""
    instant = datetime.fromtimestamp(at, UTC)
    return Attempt(
        id=f"{permit.decision.id}-attempt",
        at=instant,
        on=_date(permit.call, instant),
        keys=keys,
        call=permit.decision.id,
        cap=cap,
    )


def _date(call: Call, instant: datetime) -> date:
    """Give the date where the person is; of several, the one that restrains longer."""
    places = call.territories(parse(call.to)) or (METROPOLE,)
    return max(day_in(place.zone, instant) for place in places)


def told(
    permit: Permit, outcome: Outcome, keyring: Keyring, now: float, nth: int = 0
) -> Iterator[Event]:
    """Give the events that an outcome adds to what was told of the call before.

    *nth* counts the principals that are told, where it is not known whose call it was.
    """
    name, attempt, before = permit.decision.id, permit.attempt, permit.outcome
    at = datetime.fromtimestamp(now, UTC)
    for earlier in (permit.told_at, None if attempt is None else attempt.at):
        if earlier is not None:  # at equal instants the attempt would stand
            at = max(at, earlier + datetime.resolution)
    permit.told_at = at
    if attempt is not None and before in (None, Outcome.NOT_PLACED) and before != outcome:
        if outcome is Outcome.NOT_PLACED:
            yield AttemptCancelled(
                id=f"{name}-{outcome}", at=at, on=attempt.on, keys=attempt.keys, call=name
            )
        else:
            yield msgspec.structs.replace(
                attempt, id=f"{name}-{outcome}", at=at, outcome=outcome, cap=None
            )
    if outcome in TO_THE_PERSON and before not in (Outcome.OBJECTED, outcome):
        kind = Refusal if outcome is Outcome.REFUSED else Objection
        # Made sealed: `Event.sealed` may object to an id, and nothing may stand in the way of this.
        yield kind(
            id=f"{name}-{kind.__name__.lower()}" + (f"-{nth}" if nth else ""),
            at=at,
            on=_date(permit.call, at),
            keys=_keys(permit.call, keyring),
        )


def _keys(call: Call, keyring: Keyring) -> Keys:
    consumer = None if call.consumer is None else keyring.consumer(call.consumer)
    return Keys(number=keyring.number(parse(call.to).e164), consumer=consumer)


def strongest(before: Outcome | None, said: Outcome) -> Outcome:
    """Of two outcomes, the one that says more: objected, refused, placed, not placed."""
    if before is None or before is Outcome.NOT_PLACED or said is Outcome.OBJECTED:
        return said
    if said is Outcome.REFUSED and before is not Outcome.OBJECTED:
        return said
    return before
