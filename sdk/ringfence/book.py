"""One principal as a gate serves it: keys, tables, campaigns, and the calls under way."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
import numpy as np

from ringfence.call import Call
from ringfence.campaign import sound_texts
from ringfence.claims import Claims
from ringfence.event import Event
from ringfence.follower import Follower
from ringfence.link import Message
from ringfence.number import Keyring, tail
from ringfence.replica import Confirmed, Effect, Now, Replica
from ringfence.row import NO_FACTS, OBJECTED, RESTRAINT, ROW, Facts, day_of
from ringfence.rules.rulebook import Terms
from ringfence.watch import Watches
from ringfence.wire import Exhausted, Log, Range, decode, decode_reply

__all__ = ["FOLLOWED", "NOTHING", "TOPICS", "Book", "News", "Plan", "Read"]

TOPICS = ("head", "log", "snapshot", "config")
"""What is listened to for tables that are kept in step, beside the replies to the gate itself."""

FOLLOWED = ("log",)
"""Likewise, where another process of the machine keeps them in step."""

RECENT = timedelta(days=2)
"""A refusal older than this is no news."""


class Read(msgspec.Struct, frozen=True, gc=False):
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

    def __init__(self, name: str, keyring: Keyring, replica: Replica | Follower) -> None:
        self.name = name
        self.keyring = keyring
        self.replica = replica
        self.watches = Watches()
        self.claims = Claims()
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
            case "log":
                log = decode(payload, Log)
                self.claims.hear_log(log, replica.epoch)
                effects = replica.receive_log(log, now)
                self._heard(log, now)
                return effects
            case "reply":
                reply = decode_reply(payload)
                self.claims.hear_reply(reply, replica.epoch)
                effects = replica.receive_reply(reply, now)
                if isinstance(reply, Range):
                    self._heard(reply.log, now)
                if isinstance(reply, Exhausted):
                    self.hide(reply.id)
                    effects.append(Confirmed([reply.id]))  # it need not be sent again
                return effects
            case _ if isinstance(replica, Replica):
                return replica.hear(what, payload, now, retained=message.retained)
        return []

    @property
    def shared(self) -> bool:
        """Whether other gates of the machine answer from the same tables."""
        return isinstance(self.replica, Follower)

    def turn(self) -> AbstractContextManager[bool]:
        """Be the only gate of the machine that reserves attempts, and know of those of all others.

        Gives whether they did anything since this gate looked last. Raises `BulletinError` where
        that does not come about, in milliseconds.
        """
        replica = self.replica
        return replica.turn() if isinstance(replica, Follower) else nullcontext(enter_result=False)

    def show(self, event: Event) -> None:
        """Let an own event count at once, for calls under way too.

        Within a `turn` it raises `BulletinError` where the other gates cannot be told.
        """
        self.replica.show(event)
        self.look_at(event)

    def look_at(self, event: Event) -> None:
        """Let calls under way look at what a sealed event tells."""
        if self.watches and event.keys is not None:
            keys = (event.keys.number, event.keys.purpose, event.keys.consumer)
            self.watches.look_at(key for key in keys if key is not None)

    def hide(self, name: str) -> None:
        """Let an own attempt count no longer: it was not taken, and no call is placed on it."""
        self.replica.hide(name)

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
