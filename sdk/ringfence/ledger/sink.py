"""Two ways into a ledger: its file, where nobody serves it, and the broker, where somebody does.

Whoever sends cannot tell which it is: when `send` returns the ledger holds what was sent.
"""

import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from random import Random
from typing import Self

import anyio
import anyio.to_thread

from ringfence.config import ConfigError, Settings
from ringfence.event import AnyEvent
from ringfence.ledger.bulk import Bulk
from ringfence.ledger.entry import Entries
from ringfence.ledger.importer import Receipt, Sink, SinkError
from ringfence.ledger.intake import Intake, Received, Taken
from ringfence.ledger.sequencer import Sequencer
from ringfence.ledger.store import Store, StoreError
from ringfence.link import LinkDown, LinkState, Message, Phase
from ringfence.mqtt import Link
from ringfence.table import Table
from ringfence.wire import (
    MAX_MESSAGE,
    Config,
    Known,
    Log,
    Rejected,
    Reply,
    Topic,
    WireError,
    decode,
    decode_reply,
    encode_report,
)

__all__ = ["FileSink", "WireSink", "open_sink"]

log = logging.getLogger(__name__)

RESEND = 5.0
"""Seconds after which an event that is still not confirmed is sent again."""

_REPORT = MAX_MESSAGE - 1024  # leaves room for the sender and what is around the events


@asynccontextmanager
async def open_sink(
    settings: Settings,
    principal: str,
    sender: str,
    *,
    clock: Callable[[], datetime],
    random: Random,
    patience: float,
) -> AsyncIterator[Sink]:
    """Open the ledger's file or, where that is in use or elsewhere, find the ledger on the broker.

    *sender* names the topic on which the ledger replies. Raises `ConfigError`, `StoreError`, and
    `SinkError` after *patience* seconds without a word of the ledger; from `send` too.
    """
    opening = partial(FileSink.open, settings, principal, clock)
    direct = await anyio.to_thread.run_sync(opening) if settings.ledger else None
    if direct is not None:
        try:
            yield direct
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(direct.close)
    else:
        wire = WireSink(settings, principal, sender, random=random, patience=patience)
        async with wire.opened():
            yield wire


class FileSink:
    """The way into the file of a ledger that is not running; the rows are not loaded for it."""

    batch = 32_768
    lanes = 8
    # Those that come while a transaction is written share the next: the further the file falls
    # behind, the fewer times each of its pages is written.

    def __init__(
        self, store: Store, settings: Settings, principal: str, clock: Callable[[], datetime]
    ) -> None:
        campaigns = {n: c for n, c in settings.campaigns.items() if c.principal == principal}
        config = store.register(principal, campaigns, settings.principals[principal].texts)
        # Planning a change asks the tables for epoch and seq alone: they stay empty.
        self._ground, self._restraint = Table(), Table()
        self._ground.epoch = self._restraint.epoch = store.epoch
        self._ground.seq = self._restraint.seq = store.seq(principal)
        sequencer = Sequencer(self._ground, self._restraint, config)
        self._store = store
        self._principal = principal
        self._clock = clock
        self._intake = Intake(store, {principal: sequencer})
        self._bulk = Bulk(store, sequencer, principal)
        self._storing = anyio.Lock()
        self._waiting: dict[object, Entries] = {}
        self._receipts: dict[object, Receipt] = {}
        self.texts = frozenset(config.index)

    @classmethod
    def open(cls, settings: Settings, principal: str, clock: Callable[[], datetime]) -> Self | None:
        """Open the file; None if it is in use. Raises `ConfigError`, `StoreError`."""
        if settings.ledger is None:
            msg = "the configuration has no table [ledger]"
            raise ConfigError(msg)
        path = settings.ledger.database
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            store = Store(path, epoch=int(clock().timestamp() * 1000))
        except StoreError as error:
            if isinstance(error.__cause__, BlockingIOError):  # the lock
                return None
            raise
        try:
            return cls(store, settings, principal, clock)
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        self._store.close()

    async def send(self, entries: Entries) -> Receipt:
        """Store them, with all that wait for the transaction under way to end."""
        name = object()
        self._waiting[name] = entries
        async with self._storing:
            if name in self._waiting:
                waiting = dict(self._waiting)
                receipts = await anyio.to_thread.run_sync(self._take, list(waiting.values()))
                for other, receipt in zip(waiting, receipts, strict=True):
                    del self._waiting[other]
                    self._receipts[other] = receipt
        return self._receipts.pop(name)

    def _take(self, some: Sequence[Entries]) -> list[Receipt]:
        try:
            receipts = self._bulk.take(some, self._clock())
            if receipts is None and len(some) > 1:
                return [receipt for entries in some for receipt in self._take([entries])]
            if receipts is None:
                receipts = [self._take_one_by_one(list(entries.events())) for entries in some]
        except sqlite3.Error as error:
            msg = f"{self._store.path}: {error}; what was stored before stays, so run it again"
            raise SinkError(msg) from error
        self._ground.seq = self._restraint.seq = self._store.seq(self._principal)
        return receipts

    def _take_one_by_one(self, events: Sequence[AnyEvent]) -> Receipt:
        received = [Received(self._principal, "", event, event.id) for event in events]
        taken = self._intake.take(received, self._clock())
        return _receipt(events, taken, self._store.seq(self._principal))


def _receipt(events: Sequence[AnyEvent], taken: Taken, seq: int) -> Receipt:
    rejected, change = {}, seq
    for answer in taken.answers:
        match answer.reply:
            case Rejected(name, reason):
                rejected[name] = reason
            case Known(seq=known) if not taken.batches:
                change = known
    stored = sum(len(batch.events) for batch in taken.batches)
    turned_away = sum(event.id in rejected for event in events) if rejected else 0
    return Receipt(stored, len(events) - stored - turned_away, rejected, change)


class _Parcel:
    """What one `send` has under way."""

    def __init__(self) -> None:
        self.pending: dict[str, bytes] = {}
        self.stored = self.known = self.change = 0
        self.rejected: dict[str, str] = {}
        self.wake = anyio.Event()


class WireSink:
    """The way to a ledger that serves; sends again what it does not confirm."""

    batch = 2048
    lanes = 4  # the ledger stores one batch while the others travel

    def __init__(
        self, settings: Settings, principal: str, sender: str, *, random: Random, patience: float
    ) -> None:
        self.texts: frozenset[str] = frozenset()
        self._principal = principal
        self._sender = sender
        self._patience = patience
        self._broker = settings.broker
        topics = (Topic(principal, "config"), Topic(principal, "log"))
        self._link = Link(
            settings.broker,
            f"ringfence-{sender}",
            subscriptions=[*map(str, topics), str(Topic(principal, "reply", sender))],
            random=random,
        )
        self._waiting: dict[str, _Parcel] = {}
        self._announced = anyio.Event()
        self._heard = 0.0

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        """Connect, and wait for what the ledger says of its consent texts. Raises `SinkError`."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._link.run, self._receive, self._link_changed, name="link")
            with anyio.move_on_after(self._patience):
                await self._announced.wait()
            if not self._announced.is_set():
                msg = (
                    f"no ledger speaks for {self._principal} on {self._broker} (the link is"
                    f" {self._link.state}): start one with `ringfence ledger serve`"
                )
                raise SinkError(msg)
            yield self
            tasks.cancel_scope.cancel()

    async def send(self, entries: Entries) -> Receipt:
        parcel = _Parcel()
        for name, body in zip(entries.ids, entries.bodies, strict=True):
            if name in self._waiting:
                parcel.known += 1
            else:
                parcel.pending[name] = body
                self._waiting[name] = parcel
        self._heard = anyio.current_time()
        try:
            while parcel.pending:
                await self._publish(list(parcel.pending.values()))
                await self._wait_for(parcel)
        finally:
            for name in parcel.pending:
                del self._waiting[name]
        return Receipt(parcel.stored, parcel.known, parcel.rejected, parcel.change)

    async def _publish(self, events: Sequence[bytes]) -> None:
        topic = str(Topic(self._principal, "in"))
        with suppress(LinkDown):  # it is sent again
            for some in _in_reports(events):
                await self._link.publish(topic, encode_report(self._sender, some))

    async def _wait_for(self, parcel: _Parcel) -> None:
        """Wait until all of it is settled, or it is time to send the rest again."""
        limit = self._heard + self._patience - anyio.current_time()
        with anyio.move_on_after(min(RESEND, limit)):
            await parcel.wake.wait()
        parcel.wake = anyio.Event()
        if parcel.pending and anyio.current_time() - self._heard >= self._patience:
            msg = (
                f"the ledger has confirmed nothing for {self._patience:g} s (the link to"
                f" {self._broker} is {self._link.state}); what it holds stays, so run it again"
            )
            raise SinkError(msg)

    # --- what it hears ------------------------------------------------------------------------

    def _link_changed(self, state: LinkState) -> None:
        if state.phase is Phase.UP:  # what was under way when the link broke may be lost
            for parcel in set(self._waiting.values()):
                parcel.wake.set()

    def _receive(self, message: Message) -> None:
        try:
            match Topic.parse(message.topic).what:
                case "config":
                    self.texts = frozenset(decode(message.payload, Config).index)
                    self._announced.set()
                case "log":
                    told = decode(message.payload, Log)
                    for change, name in enumerate(told.ids, start=told.first):
                        self._settle(name, change, stored=True)
                case "reply":
                    self._hear(decode_reply(message.payload))
        except WireError as error:
            log.warning("%s: %s", message.topic, error)

    def _hear(self, reply: Reply) -> None:
        match reply:
            case Known(seq=change, ids=ids):
                for name in ids:
                    self._settle(name, change, stored=False)
            case Rejected(name, reason):
                parcel = self._taken_off(name)
                if parcel is not None:
                    parcel.rejected[name] = reason

    def _settle(self, name: str, change: int, *, stored: bool) -> None:
        parcel = self._taken_off(name)
        if parcel is not None:
            parcel.change = max(parcel.change, change)
            parcel.stored += stored
            parcel.known += not stored

    def _taken_off(self, name: str) -> _Parcel | None:
        """Give the parcel that waits for this event, and let it wait no longer."""
        parcel = self._waiting.pop(name, None)
        if parcel is not None:
            del parcel.pending[name]
            self._heard = anyio.current_time()
            if not parcel.pending:
                parcel.wake.set()
        return parcel


def _in_reports(events: Iterable[bytes]) -> Iterator[list[bytes]]:
    some: list[bytes] = []
    size = 0
    for event in events:
        if some and size + len(event) > _REPORT:
            yield some
            some, size = [], 0
        some.append(event)
        size += len(event)
    if some:
        yield some
