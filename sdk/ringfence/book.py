"""One principal as a gate serves it: keys, tables, campaigns, and the calls under way."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
import numpy as np

from ringfence.call import Call
from ringfence.campaign import sound_texts
from ringfence.event import Event
from ringfence.link import Message
from ringfence.number import Keyring, tail
from ringfence.replica import Effect, Now, Replica
from ringfence.row import NO_FACTS, OBJECTED, RESTRAINT, ROW, Facts, day_of
from ringfence.rules.rulebook import Terms
from ringfence.watch import Watches
from ringfence.wire import Config, Head, Log, Range, Snapshot, decode, decode_reply

__all__ = ["NOTHING", "TOPICS", "Book", "News", "Plan", "Read"]

TOPICS = ("head", "log", "snapshot", "config")
"""What a gate listens to, beside the replies to itself."""

RECENT = timedelta(days=2)
"""A refusal older than this is no news."""


class Read(NamedTuple):
    """What was looked up for a call: keys, 0 where there is none, and their rows."""

    number: int
    purpose: int
    consumer: int
    rows: tuple[Facts, tuple[Facts, ...]]
    """That of the ground, and those of the restraints."""

    @property
    def keys(self) -> list[int]:
        return [key for key in (self.number, self.purpose, self.consumer) if key]


NOTHING = Read(0, 0, 0, (NO_FACTS, ()))


class Plan(msgspec.Struct, frozen=True, eq=False):
    """A campaign ready for decisions."""

    terms: Terms
    book: "Book"
    tail: bytes
    """Of the messages of its grounds' keys."""

    def read(self, e164: str, call: Call) -> Read:
        """Look up all that is known of whom *call* is for."""
        keyring, replica = self.book.keyring, self.book.replica
        number, purpose = keyring.both(e164, self.tail)
        ground, restraint = replica.ground(purpose), replica.restraint(number)
        if call.consumer is None:
            return Read(number, purpose, 0, (ground, (restraint,)))
        consumer = keyring.consumer(call.consumer)
        rows = ground, (restraint, replica.restraint(consumer))
        return Read(number, purpose, consumer, rows)


class News(NamedTuple):
    """Changes that the tables have come to show, somebody's refusal among them."""

    epoch: int
    first: int
    last: int


class Book:
    """What a gate has of one principal."""

    def __init__(self, name: str, keyring: Keyring, replica: Replica) -> None:
        self.name = name
        self.keyring = keyring
        self.replica = replica
        self.watches = Watches()
        self._shown = -1, 0
        self._refused = False
        self._grounds: set[int] = set()

    def plans(self) -> Iterator[tuple[str, Plan]]:
        """Make the principal's campaigns ready."""
        config = self.replica.config
        if config is not None:
            for name, campaign in config.campaigns.items():
                if campaign.principal != self.name:
                    continue
                texts = sound_texts(campaign, config.texts, config.index)
                yield name, Plan(Terms.of(campaign, texts), self, tail(campaign.purpose))

    @property
    def config(self) -> int:
        """Version of the configuration; 0 where there is none."""
        return 0 if self.replica.config is None else self.replica.config.version

    def hear(self, what: str, message: Message, now: Now) -> list[Effect]:
        """Hand a message to the replica. Raises `WireError`, `TableError`."""
        replica, payload = self.replica, message.payload
        match what:
            case "head":
                return replica.receive_head(decode(payload, Head), now, retained=message.retained)
            case "log":
                log = decode(payload, Log)
                effects = replica.receive_log(log, now)
                self._heard(log, now)
                return effects
            case "snapshot":
                return replica.receive_snapshot(decode(payload, Snapshot), now)
            case "reply":
                reply = decode_reply(payload)
                effects = replica.receive_reply(reply, now)
                if isinstance(reply, Range):
                    self._heard(reply.log, now)
                return effects
            case "config":
                replica.receive_config(decode(payload, Config))
        return []

    def show(self, event: Event) -> None:
        """Let an own event count at once, for calls under way too."""
        self.replica.show(event)
        if self.watches and event.keys is not None:
            keys = (event.keys.number, event.keys.purpose, event.keys.consumer)
            self.watches.look_at(key for key in keys if key is not None)

    def _heard(self, log: Log, now: Now) -> None:
        """Note what a batch tells of refusals, and let calls under way look at what it tells."""
        self._refused = self._refused or _tells_of_refusal(log, now)
        if self.watches:
            self.watches.look_at(_keys(log.restraint))
            self._grounds.update(self.watches.among(_keys(log.ground)))
            self._look_at_grounds()

    def _look_at_grounds(self) -> None:
        """Grounds that come behind a gap count when it is closed, and are looked at until then."""
        if self._grounds:
            self.watches.look_at(self._grounds)
            if not self.replica.waiting:
                self._grounds.clear()

    def news(self) -> News | None:
        """Give what the tables have come to show, once, where it is worth a note.

        That is so where somebody refused, and where the tables were loaded, at the start too.
        """
        replica, (loads, before) = self.replica, self._shown
        if (replica.loads, replica.seq) == self._shown or replica.age(0) is None:
            return None
        self._shown = replica.loads, replica.seq
        self._look_at_grounds()
        if replica.loads != loads:
            self.watches.look_at_all()
            return News(replica.epoch, 1, replica.seq)
        if not self._refused:
            return None
        self._refused = replica.waiting
        return News(replica.epoch, before + 1, replica.seq)


def _keys(rows: bytes) -> list[int]:
    keys: list[int] = np.frombuffer(rows, "<u8")[:: ROW // 8].tolist()
    return keys


def _tells_of_refusal(log: Log, now: Now) -> bool:
    """Whether somebody in a batch refused of late, or objected."""
    rows = np.frombuffer(log.restraint, RESTRAINT)
    since = day_of(datetime.fromtimestamp(now.utc, UTC).date() - RECENT)
    return bool((rows["refused_on"] >= since).any() or (rows["flags"] & OBJECTED).any())
