"""The ledger on the network: events come in, changes, heartbeats and answers go out.

An event is stored, with fsync, before anything is told of it. What is told may be lost on the way;
heads let gates notice, and they ask.
"""

import logging
import sqlite3
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from random import Random

import anyio
import anyio.to_thread
import msgspec

from ringfence.config import ConfigError, Settings
from ringfence.ledger.intake import Answer, Intake, Received, Taken, read
from ringfence.ledger.sequencer import Sequencer
from ringfence.ledger.store import Store
from ringfence.ledger.succession import Contested, Succession
from ringfence.ledger.witness import Claim, Finding
from ringfence.link import AnyLink, LinkDown, LinkState, Message, Phase
from ringfence.mqtt import Link
from ringfence.wire import (
    Ask,
    ChainHead,
    Gone,
    Head,
    Known,
    Range,
    Rejected,
    Topic,
    WireError,
    decode,
    encode,
)

__all__ = ["Counts", "Ledger", "open_store", "system_time"]

log = logging.getLogger(__name__)

MAX_INBOUND = 8192
"""Messages that wait to be stored; what comes beyond is dropped, and its sender sends it again."""

MAX_COMMIT = 4096
"""Events in one transaction: bounds the wait of the first of them."""

MAX_RANGE = 64
"""Batches told again in one answer; the gate asks for what follows."""

LOG_KEPT = 2_000_000
"""Changes that can be told again; a gate that was away for longer loads shards."""

HEARD = ("in", "ask", "chain", "head")
"""What a ledger listens to; heads are told by others, and its own come back to it."""

HEARING = 0.5
"""Seconds in which a broker tells what it kept."""

SOON = 0.05
"""Seconds after a change in which the next head follows."""

MAX_CLAIMS = 1024
"""Heads of chains of one principal that wait to be stored; likewise, gates tell newer ones."""

UNHURRIED = 1.0
"""Seconds that heads wait for events in whose transaction they can be stored."""


def system_time() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)  # noqa: TID251 - the clock


class Counts(msgspec.Struct):
    """What a ledger did since it was opened."""

    taken: int = 0
    known: int = 0
    rejected: int = 0
    dropped: int = 0


def open_store(settings: Settings, now: datetime) -> tuple[Store, dict[str, Sequencer]]:
    """Open the store and load every principal; blocking. Raises `StoreError`, `ConfigError`."""
    if settings.ledger is None:
        msg = "the configuration has no table [ledger]"
        raise ConfigError(msg)
    settings.ledger.database.parent.mkdir(parents=True, exist_ok=True)
    store = Store(settings.ledger.database, epoch=int(now.timestamp() * 1000))
    try:
        sequencers = {}
        for name, principal in settings.principals.items():
            campaigns = {n: c for n, c in settings.campaigns.items() if c.principal == name}
            config = store.register(name, campaigns, principal.texts)
            ground, restraint = store.tables(name)
            sequencers[name] = Sequencer(ground, restraint, config)
    except BaseException:
        store.close()
        raise
    return store, sequencers


class Ledger:
    """A ledger that serves gates; made by `Ledger.open`."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        sequencers: dict[str, Sequencer],
        *,
        clock: Callable[[], datetime] = system_time,
        random: Random | None = None,
        connect: Callable[..., AnyLink] = Link,
    ) -> None:
        self.counts = Counts()
        self.take_over = False
        """Whether it goes on whatever another has told before, in an epoch of its own."""
        self.hearing = HEARING
        """Seconds in which it listens for what others have told, before it speaks."""
        self.speaks = False
        """Whether it is sure that it may speak for its principals."""
        self.sequencers = sequencers
        self._heartbeat = settings.ledger.heartbeat if settings.ledger else 2.0
        self._store = store
        self._intake = Intake(store, sequencers)
        self._clock = clock
        self._inbound: deque[tuple[str, bytes]] = deque()
        self._claims: defaultdict[str, dict[ChainHead, Claim]] = defaultdict(dict)
        self._claims_due = False
        self._ranges: dict[tuple[str, str], Ask] = {}
        self._announce = True
        self._succession = Succession(sequencers)
        self._linked = anyio.Event()
        self._came = anyio.Event()
        self._claimed = anyio.Event()
        self._asked = anyio.Event()
        self._beat = anyio.Event()
        self._reading = anyio.Lock()
        topics = [str(Topic(name, what)) for name in sequencers for what in HEARD]
        self.link = connect(
            settings.broker,
            f"ringfence-ledger-{store.epoch}",
            subscriptions=topics,
            random=random or Random(),  # noqa: S311 - spreads attempts in time, hides nothing
            clock=time.monotonic,
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: Settings,
        *,
        clock: Callable[[], datetime] = system_time,
        connect: Callable[..., AnyLink] = Link,
        take_over: bool = False,
        hearing: float = HEARING,
    ) -> AsyncIterator["Ledger"]:
        """Open the store, and close it at the end. Raises `StoreError`, `ConfigError`.

        See the attributes of the same names for *take_over* and *hearing*.
        """
        opening = partial(open_store, settings, clock())
        store, sequencers = await anyio.to_thread.run_sync(opening)
        try:
            ledger = cls(settings, store, sequencers, clock=clock, connect=connect)
            ledger.take_over, ledger.hearing = take_over, hearing
            yield ledger
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(store.close)

    async def serve(self, began: Callable[[], None] = lambda: None) -> None:
        """Serve until cancelled. What was stored before then is never lost.

        *began* is called when it speaks for its principals. Raises `Contested`, in a group, if
        another ledger knew more: before anything was stored.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.link.run, self._receive, self._link_changed, name="link")
            await self._succeed()
            self.speaks = True
            began()
            tasks.start_soon(self._store_what_comes, name="intake")
            tasks.start_soon(self._store_claims, name="heads of chains")
            tasks.start_soon(self._answer, name="answers")
            tasks.start_soon(self._beat_on, name="heartbeat")

    async def _succeed(self) -> None:
        """Listen for what was told before, and see whether this ledger can go on from there."""
        await self._linked.wait()
        await anyio.sleep(self.hearing)
        contested = self._succession.contested()
        if not self.take_over:
            if contested is not None:
                raise Contested(contested)
            return
        epoch = self._succession.next_epoch(int(self._clock().timestamp() * 1000))
        log.warning("taking over in epoch %d; %s", epoch, contested or "nobody has told anything")
        await anyio.to_thread.run_sync(self._store.renew, epoch)
        for sequencer in self.sequencers.values():
            sequencer.renew(epoch)

    # --- what it hears ------------------------------------------------------------------------

    def _receive(self, message: Message) -> None:
        try:
            topic = Topic.parse(message.topic)
            if topic.what == "in":
                self._queue(topic.principal, message.payload)
            elif topic.what == "ask":
                self._note(topic.principal, decode(message.payload, Ask))
            elif topic.what == "chain":
                self._claim(topic.principal, decode(message.payload, ChainHead))
            elif topic.what == "head":
                head = decode(message.payload, Head)
                self._succession.hear(topic.principal, head, retained=message.retained)
        except WireError as error:
            self.counts.rejected += 1
            log.warning("%s: %s", message.topic, error)

    def _queue(self, principal: str, payload: bytes) -> None:
        if len(self._inbound) >= MAX_INBOUND:
            self.counts.dropped += 1
            return
        self._inbound.append((principal, payload))
        self._came.set()

    def _claim(self, principal: str, head: ChainHead) -> None:
        claims = self._claims[principal]
        if len(claims) >= MAX_CLAIMS:
            self.counts.dropped += 1
            return
        claims.setdefault(head, Claim(principal, head, self._clock()))
        self._claimed.set()

    def _note(self, principal: str, ask: Ask) -> None:
        if ask.config:
            self._announce = self._announce or not ask.head
            self._beat.set()  # what follows answers all who ask within `SOON`
            return
        if ask.first:
            self._ranges[principal, ask.gate] = ask
        else:
            self.sequencers[principal].want(ask)
        self._asked.set()

    def _link_changed(self, state: LinkState) -> None:
        if state.phase is Phase.UP:
            self._announce = True
            self._linked.set()
            self._beat.set()

    # --- events -------------------------------------------------------------------------------

    async def _store_what_comes(self) -> None:
        """Store what has come while the last commit ran: one fsync for all of it."""
        while True:
            await self._came.wait()
            self._came = anyio.Event()
            while self._inbound or self._claims_due:
                received = await anyio.to_thread.run_sync(self._read_what_came)
                claims = [c for told in self._claims.values() for c in told.values()]
                self._claims.clear()
                self._claims_due = False
                await self._store_all(received, claims)

    def _read_what_came(self) -> list[Received]:
        """Read what waits, up to a commit's worth; in a thread: that takes a tenth of a second."""
        received: list[Received] = []
        while self._inbound and len(received) < MAX_COMMIT:
            received += read(*self._inbound.popleft())
        return received

    async def _store_claims(self) -> None:
        """Have heads stored that no events have taken along."""
        while True:
            await self._claimed.wait()
            self._claimed = anyio.Event()
            await anyio.sleep(UNHURRIED)
            if self._claims:
                self._claims_due = True
                self._came.set()

    async def _store_all(self, received: list[Received], claims: list[Claim]) -> None:
        take = partial(self._intake.take, received, self._clock(), claims)
        try:
            async with self._reading:
                taken = await anyio.to_thread.run_sync(take)
        except sqlite3.OperationalError as error:  # disk full, file system read-only
            # Nothing was confirmed, so every sender keeps its events and sends them again.
            what = len(received), len(claims)
            log.error("cannot store %d events, %d heads: %s", *what, error)  # noqa: TRY400
            return
        self._intake.apply(taken)
        self._count(taken)
        await self._publish(taken)

    def _count(self, taken: Taken) -> None:
        self.counts.taken += sum(len(batch.events) for batch in taken.batches)
        for answer in taken.answers:
            match answer.reply:
                case Known(ids=ids):
                    self.counts.known += len(ids)
                case Rejected():
                    self.counts.rejected += 1
        for claim, finding in taken.findings:
            self._judge(claim, finding)

    def _judge(self, claim: Claim, finding: Finding) -> None:
        head = claim.head
        if finding is Finding.TOO_MANY:
            self.counts.dropped += 1
            log.warning("%s: too many heads of chains: %s", claim.principal, head)
        elif finding is Finding.CONTRADICTS:
            log.error(
                "%s: gate %s: record %d of chain %s had another link before: the evidence was"
                " rewritten, or a disk lost what it had confirmed; both heads are kept",
                *(claim.principal, head.gate, head.number, head.chain),
            )
        elif finding is Finding.ELSEWHERE:
            log.error(
                "%s: gate %s tells of chain %s, which another gate has told of: its evidence was"
                " copied, or the gate has another name now; the heads of both are kept",
                *(claim.principal, head.gate, head.chain),
            )

    async def _publish(self, taken: Taken) -> None:
        with suppress(LinkDown):  # gates will miss it, and ask
            for batch in taken.batches:
                await self.link.publish(str(Topic(batch.principal, "log")), encode(batch.log))
            for answer in taken.answers:
                await self._tell(answer)
        if taken.batches:
            self._beat.set()

    async def _tell(self, answer: Answer) -> None:
        if answer.sender:
            topic = Topic(answer.principal, "reply", answer.sender)
            await self.link.publish(str(topic), encode(answer.reply))

    # --- questions ----------------------------------------------------------------------------

    async def _answer(self) -> None:
        while True:
            await self._asked.wait()
            self._asked = anyio.Event()
            with suppress(LinkDown):
                while self._ranges or any(s.waited_for for s in self.sequencers.values()):
                    await self._answer_ranges()
                    await self._send_shards()

    async def _answer_ranges(self) -> None:
        ranges, self._ranges = self._ranges, {}
        for (principal, gate), ask in ranges.items():
            for reply in await self._told_again(principal, ask):
                await self._tell(Answer(principal, gate, reply))

    async def _told_again(self, principal: str, ask: Ask) -> Iterable[Range | Gone]:
        if ask.epoch != self._store.epoch:
            return []

        def look() -> list[Range | Gone]:
            oldest = self._store.oldest(principal)
            if not oldest or ask.first < oldest:
                return [Gone(ask.epoch, ask.first)]
            found: list[Range | Gone] = []
            for told in self._store.log(principal, ask.first, ask.last):
                found.append(Range(told))
                if len(found) == MAX_RANGE:
                    break
            return found

        async with self._reading:
            return await anyio.to_thread.run_sync(look)

    async def _send_shards(self) -> None:
        for principal, sequencer in self.sequencers.items():
            for part in sequencer.next_shard():
                await self.link.publish(str(Topic(principal, "snapshot")), encode(part))

    # --- heads --------------------------------------------------------------------------------

    async def _beat_on(self) -> None:
        """Publish heads for ever: every few seconds, and soon after a change."""
        while True:
            with suppress(LinkDown):
                if self._announce:
                    await self._publish_config()
                    self._announce = False
                for name, sequencer in self.sequencers.items():
                    head = sequencer.head(self._clock())
                    await self.link.publish(str(Topic(name, "head")), encode(head), retain=True)
            with anyio.move_on_after(self._heartbeat):
                await self._beat.wait()
                await anyio.sleep(SOON)
            self._beat = anyio.Event()

    async def _publish_config(self) -> None:
        for name, sequencer in self.sequencers.items():
            topic = str(Topic(name, "config"))
            await self.link.publish(topic, encode(sequencer.config), retain=True)
