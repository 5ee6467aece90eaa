"""A ledger in the hand: numbers events and says what a ledger would, without store or network."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random

import msgspec

from ringfence.campaign import Channel, Text
from ringfence.event import Attempt, Consent, Event, Keys, Objection, Refusal, Withdrawal
from ringfence.ledger.sequencer import Sequencer, keys_of
from ringfence.replica import Effect, Now, Patience, Replica, Shelf
from ringfence.shelf import MemoryShelf
from ringfence.table import Table
from ringfence.wire import Ask, Config, Head, Log, Snapshot

__all__ = [
    "EPOCH",
    "NOON",
    "TEXT",
    "Truth",
    "at",
    "attempt",
    "consent",
    "key",
    "objection",
    "questions",
    "refusal",
    "replica",
    "synced",
    "withdrawal",
]

EPOCH = 7
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = date(2026, 11, 24)
TEXT = Text(mentions=frozenset(), parties=frozenset(), channel=Channel.WEB)
SPREAD = 0x9E3779B97F4A7C15
"""Makes keys of small numbers that are as far apart as true ones."""

PATIENCE = Patience(jitter=0.0)


def key(number: int) -> int:
    return number * SPREAD % (1 << 64)


def refusal(number: int, *, name: str = "", on: date = DAY, consumer: int | None = None) -> Refusal:
    return Refusal(
        id=name or f"refusal-{number}",
        at=NOON,
        on=on,
        keys=Keys(number=key(number), consumer=consumer),
    )


def objection(number: int) -> Objection:
    return Objection(id=f"objection-{number}", at=NOON, on=DAY, keys=Keys(number=key(number)))


def attempt(number: int, call: str = "call") -> Attempt:
    keys = Keys(number=key(number))
    return Attempt(id=f"attempt-{number}-{call}", at=NOON, on=DAY, keys=keys, call=call)


def consent(number: int, *, text: str = "web-1", at: datetime = NOON) -> Consent:
    keys = Keys(purpose=key(number))
    return Consent(id=f"consent-{number}", at=at, on=at.date(), keys=keys, text=text)


def withdrawal(number: int) -> Withdrawal:
    keys = Keys(purpose=key(number))
    return Withdrawal(id=f"withdrawal-{number}", at=NOON, on=DAY, keys=keys)


class Truth:
    """What a ledger holds; each batch it is told follows the one before."""

    def __init__(self, epoch: int = EPOCH) -> None:
        ground, restraint = Table(), Table()
        ground.epoch = restraint.epoch = epoch
        self.config = Config(epoch, 1, {}, {"web-1": TEXT}, {"web-1": 1})
        self.sequencer = Sequencer(ground, restraint, self.config)
        self.logs: list[Log] = []
        self._history: dict[int, list[Event]] = defaultdict(list)

    @property
    def seq(self) -> int:
        return self.sequencer.seq

    @property
    def digests(self) -> tuple[int, int]:
        return self.sequencer.ground.digest, self.sequencer.restraint.digest

    def tell(self, *events: Event) -> Log:
        """Number events and give the batch."""
        log = self.sequencer.plan(events, self._history, after=self.seq)
        self.sequencer.apply(log)
        for event in events:
            for place in keys_of(event):
                self._history[place].append(event)
        self.logs.append(log)
        return log

    def head(self, seconds: float = 0.0, **changes: object) -> Head:
        """Give the head of that many seconds after noon."""
        head = self.sequencer.head(NOON + timedelta(seconds=seconds))
        return msgspec.structs.replace(head, **changes)

    def parts(self) -> list[Snapshot]:
        """Cut all shards."""
        self.sequencer.want(Ask("all", self.sequencer.epoch))
        parts = []
        while self.sequencer.waited_for:
            parts += self.sequencer.next_shard()
        return parts


def at(seconds: float, clock_error: float = 0.0) -> Now:
    """Read the clocks of a gate that many seconds after noon."""
    return Now(seconds, NOON.timestamp() + seconds + clock_error)


def replica(shelf: Shelf | None = None, patience: Patience = PATIENCE) -> Replica:
    return Replica("gate", shelf or MemoryShelf(), Random(1), patience)


def synced(truth: Truth, shelf: Shelf | None = None, patience: Patience = PATIENCE) -> Replica:
    """Give a replica that has loaded all there is, and was proved at noon."""
    gate = replica(shelf, patience)
    gate.receive_config(truth.config)
    gate.receive_head(truth.head(), at(0.0), retained=False)
    for part in truth.parts():
        gate.receive_snapshot(part, at(0.0))
    assert gate.doubt(at(0.0)) is None
    return gate


def questions(effects: Sequence[Effect]) -> list[Ask]:
    return [effect for effect in effects if isinstance(effect, Ask)]
