"""What `admit` gives: a decision, and if it allows, one attempt to be closed with its outcome."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from ringfence.call import Call, Outcome
from ringfence.decision import Decision
from ringfence.event import Attempt, AttemptCancelled, Event, Keys, Objection, Refusal
from ringfence.number import Keyring, parse
from ringfence.row import day_in

__all__ = ["TO_THE_PERSON", "Permit", "Permits", "reservation", "sealed", "strongest", "told"]

TO_THE_PERSON = frozenset([Outcome.REFUSED, Outcome.OBJECTED])
"""Outcomes that say something of the person, and not only of the call."""

E = TypeVar("E", bound=Event)


class Permit:
    """The answer for one call that is about to be placed. Truthy exactly if it may be.

    It has reserved one attempt, which counts even if the permit is never closed.
    """

    __slots__ = ("_settle", "attempt", "call", "decision", "outcome", "principal", "since")

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
        while len(held) > self._limit or permit.since - self._oldest().since > self._kept:
            held.popitem(last=False)

    def _oldest(self) -> Permit:
        return next(iter(self._held.values()))


def sealed(event: E, keyring: Keyring, call: Call, at: float) -> E:
    """Seal what happened at *at* (Unix seconds) where the person called is."""
    instant = datetime.fromtimestamp(at, UTC)
    return event.sealed(keyring, instant, call.territories(parse(call.to)))


def reservation(permit: Permit, keys: Keys, at: float) -> Attempt:
    """Give the attempt that a permit reserves at *at* (Unix seconds).

    As `sealed` would, which costs three times as much and would make the keys again.
    """
    instant = datetime.fromtimestamp(at, UTC)
    places = permit.call.territories(parse(permit.call.to))
    return Attempt(
        id=f"{permit.decision.id}-attempt",
        at=instant,
        on=max(day_in(place.zone, instant) for place in places),
        keys=keys,
        call=permit.decision.id,
    )


def told(permit: Permit, outcome: Outcome, keyring: Keyring, now: float) -> Iterator[Event]:
    """Give the events that an outcome adds to what was told of the call before."""
    name, attempt, before = permit.decision.id, permit.attempt, permit.outcome
    at = datetime.fromtimestamp(now, UTC)
    if attempt is not None and attempt.at is not None:
        at = max(at, attempt.at + datetime.resolution)  # at equal instants the attempt would stand
    if attempt is not None and before in (None, Outcome.NOT_PLACED) and before != outcome:
        if outcome is Outcome.NOT_PLACED:
            yield AttemptCancelled(
                id=f"{name}-{outcome}", at=at, on=attempt.on, keys=attempt.keys, call=name
            )
        else:
            yield msgspec.structs.replace(attempt, id=f"{name}-{outcome}", at=at, outcome=outcome)
    if outcome in TO_THE_PERSON and before not in (Outcome.OBJECTED, outcome):
        kind = Refusal if outcome is Outcome.REFUSED else Objection
        said = kind(
            id=f"{name}-{kind.__name__.lower()}", to=permit.call.to, consumer=permit.call.consumer
        )
        yield sealed(said, keyring, permit.call, now)


def strongest(before: Outcome | None, said: Outcome) -> Outcome:
    """Of two outcomes, the one that says more: objected, refused, placed, not placed."""
    if before is None or before is Outcome.NOT_PLACED or said is Outcome.OBJECTED:
        return said
    if said is Outcome.REFUSED and before is not Outcome.OBJECTED:
        return said
    return before
