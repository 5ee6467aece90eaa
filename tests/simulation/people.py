"""Persons of whom events tell, as gates and others record them."""

from datetime import UTC, date, datetime, timedelta
from random import Random

from ringfence.call import Outcome
from ringfence.event import (
    Attempt,
    AttemptCancelled,
    Bloctel,
    Callback,
    Consent,
    Contract,
    ContractEnded,
    Event,
    Keys,
    Objection,
    ObjectionLifted,
    Refusal,
    Slot,
    Withdrawal,
)

__all__ = ["People"]


class People:
    """Few enough that events meet on one key."""

    def __init__(self, random: Random, count: int) -> None:
        self.told: dict[str, Event] = {}
        self._random = random
        self._keys = [(self._key(), self._key(), self._key()) for _ in range(count)]
        self._calls: list[tuple[str, Keys]] = []

    def _key(self) -> int:
        return self._random.getrandbits(64) or 1

    def event(self, utc: float) -> Event:
        """Give a sealed event, told now of now or of some time before."""
        random = self._random
        number, consumer, purpose = random.choice(self._keys)
        name = f"event-{len(self.told)}"
        at = datetime.fromtimestamp(utc - random.choice((0, 0, 0, 1, 5_000)), UTC)
        on = date(2026, 11, 1) + timedelta(random.randrange(60))
        if random.random() < 0.3:
            event = self._ground(name, at, on, Keys(purpose=purpose))
        elif random.random() < 0.5:
            event = self._restraint(name, at, on, Keys(number=number, consumer=consumer))
        else:
            event = self._attempt(name, at, on, Keys(number=number))
        self.told[name] = event
        return event

    def _ground(self, name: str, at: datetime, on: date, keys: Keys) -> Event:
        kind = self._random.choice((Withdrawal, Contract, ContractEnded, Callback))
        return self._random.choice(
            (
                Consent(id=name, at=at, on=on, keys=keys, text="web-1"),
                Slot(id=name, at=at, on=on, keys=keys, start=at + timedelta(days=1)),
                kind(id=name, at=at, on=on, keys=keys),
            )
        )

    def _restraint(self, name: str, at: datetime, on: date, keys: Keys) -> Event:
        if self._random.random() < 0.2:
            return Bloctel(id=name, at=at, on=on, keys=keys, until=on + timedelta(90))
        kind = self._random.choice((Refusal, Objection, ObjectionLifted))
        return kind(id=name, at=at, on=on, keys=keys)

    def _attempt(self, name: str, at: datetime, on: date, keys: Keys) -> Event:
        random = self._random
        if not self._calls or random.random() < 0.6:
            self._calls.append((f"call-{name}", keys))
            return Attempt(id=name, at=at, on=on, keys=keys, call=f"call-{name}")
        call, keys = random.choice(self._calls)
        if random.random() < 0.5:
            return AttemptCancelled(id=name, at=at, on=on, keys=keys, call=call)
        return Attempt(id=name, at=at, on=on, keys=keys, call=call, outcome=Outcome.BUSY)
