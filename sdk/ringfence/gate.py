"""The gate: what a dialer talks to. Puts replica, rules, outbox and link together.

Decisions are synchronous, because all they need is in memory. What waits is asynchronous: opening,
admitting (the outbox reaches the disk), closing.
"""

import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from itertools import count
from pathlib import Path
from random import Random
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

import anyio
import anyio.to_thread
import msgspec
from cachetools import TTLCache

from ringfence.call import Call, Outcome, new_id
from ringfence.campaign import sound_texts
from ringfence.config import ConfigError, Settings, load
from ringfence.courier import Courier
from ringfence.decision import NOWHERE, Decision, Reason, Verdict
from ringfence.event import (
    Attempt,
    AttemptCancelled,
    Event,
    Objection,
    Refusal,
)
from ringfence.link import AnyLink, Broker, LinkDown, LinkState, Message, Phase
from ringfence.mqtt import Link
from ringfence.number import Keyring, parse
from ringfence.outbox import OutboxError
from ringfence.permit import Permit
from ringfence.replica import Confirmed, Effect, Now, Replica
from ringfence.row import NO_FACTS, Facts
from ringfence.rules import france
from ringfence.rules.calendar import prepare
from ringfence.rules.rulebook import Answer, Rule, Terms, explain, judge, number_of
from ringfence.shelf import DiskShelf
from ringfence.status import PrincipalStatus, Readiness, Status
from ringfence.wire import (
    Ask,
    Config,
    Head,
    Log,
    Presence,
    Rejected,
    Snapshot,
    Topic,
    WireError,
    decode,
    decode_reply,
    encode,
)

__all__ = ["Gate", "system_clock"]

log = logging.getLogger(__name__)

VERSION = version("ringfence")

TICK = 0.05
"""Seconds between two looks at what is overdue."""

PERMIT_LIFE = 60.0
"""Seconds in which a call asked again under its id gets the permit it has."""

MAX_PERMITS = 200_000
"""Permits kept for outcomes that come by another way, at most, and for `PERMIT_KEPT` seconds."""

PERMIT_KEPT = 4 * 3600.0

PRESENCE = 10.0

_TOPICS = ("head", "log", "snapshot", "config")
_TO_THE_PERSON = frozenset([Outcome.REFUSED, Outcome.OBJECTED])


E = TypeVar("E", bound=Event)


def system_clock() -> Now:
    """Read the machine's clocks; the first also counts the time the machine slept."""
    return Now(time.clock_gettime(time.CLOCK_BOOTTIME), time.time())  # noqa: TID251 - the clock


# How many forks lie between this process and the one that imported this module. Comparing it costs
# a decision less than asking the system who we are.
_forks = 0


def _forked() -> None:
    global _forks  # noqa: PLW0603 - a fact of the process
    _forks += 1


os.register_at_fork(after_in_child=_forked)


class _Book(msgspec.Struct, frozen=True):
    """A principal as this gate serves it."""

    name: str
    keyring: Keyring
    replica: Replica


class _Plan(msgspec.Struct, frozen=True):
    """A campaign ready for decisions."""

    terms: Terms
    book: _Book


class _Read(NamedTuple):
    """What was looked up for a call: keys, 0 where there is none, and their rows."""

    number: int
    purpose: int
    consumer: int
    rows: tuple[Facts, tuple[Facts, ...]]
    """That of the ground, and those of the restraints."""


_NOTHING = _Read(0, 0, 0, (NO_FACTS, ()))


def _look_up(plan: _Plan, e164: str, call: Call) -> _Read:
    keyring, replica = plan.book.keyring, plan.book.replica
    number, purpose = keyring.both(e164, plan.terms.campaign.purpose)
    ground, restraint = replica.ground(purpose), replica.restraint(number)
    if call.consumer is None:
        return _Read(number, purpose, 0, (ground, (restraint,)))
    consumer = keyring.consumer(call.consumer)
    rows = ground, (restraint, replica.restraint(consumer))
    return _Read(number, purpose, consumer, rows)


class Gate:
    """A call gate. Made without I/O; open while in its `async with` block."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], Now] = system_clock,
        random: Random | None = None,
        connect: Callable[..., AnyLink] = Link,
    ) -> None:
        """Raises `ConfigError` where the settings name no gate, or a principal without secret."""
        gate = settings.gate
        if gate is None:
            msg = "the configuration has no table [gate]"
            raise ConfigError(msg)
        self.settings = gate
        self.rulebook = france.rulebook(gate.interpretation)
        self._broker = settings.broker
        self._clock = clock
        self._connect = connect
        self._random = random or Random()  # noqa: S311 - spreads questions in time, hides nothing
        self._keyrings = {name: settings.keyring(name) for name in gate.principals}
        self._courier = Courier(gate.id, gate.data / "outbox.journal")
        self._books: dict[str, _Book] = {}
        self._plans: dict[str, _Plan] = {}
        self._permits: TTLCache[str, Permit] = TTLCache(MAX_PERMITS, PERMIT_KEPT)
        self._boot = new_id()[:12]
        self._numbers = count(1)
        self._link_state: LinkState | None = None
        self._unread = 0
        self._link: AnyLink | None = None
        self._born: int | None = None
        self._stack: AsyncExitStack | None = None
        self._changed = anyio.Event()
        self._shown: tuple[object, ...] = ()

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Build a gate from a configuration file. Raises `ConfigError`."""
        return cls(load(Path(path)))

    # --- open and closed ----------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Open: warm from disk, connect, begin to sync. Raises `OutboxError`, `RuntimeError`.

        What could not be sent before the last end counts again from the first moment.
        """
        if self._stack is not None:
            msg = "this gate is open already"
            raise RuntimeError(msg)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(_in_thread, self._cool)
            await anyio.to_thread.run_sync(self._warm)
            self._born = _forks
            link = self._link = self._new_link(self._broker)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(tasks.cancel_scope.cancel)
            tasks.start_soon(self._courier.carry, link, name="courier")
            tasks.start_soon(self._courier.sync_for_all, name="fsync")
            tasks.start_soon(self._courier.mend, name="mend")
            tasks.start_soon(self._tick, name="tick")
            tasks.start_soon(self._tell_presence, link, name="presence")
            tasks.start_soon(link.run, self._receive, self._link_changed, name="link")
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        """Close. What is not confirmed stays in the outbox for the next start."""
        stack, self._stack = self._stack, None
        return None if stack is None else await stack.__aexit__(kind, error, trace)

    def _warm(self) -> None:
        """Open what is on disk; waits for it."""
        prepare(self.rulebook.opening, self._clock().utc)
        self.settings.data.mkdir(parents=True, exist_ok=True)
        told = self._courier.open()
        for name, keyring in self._keyrings.items():
            shelf = DiskShelf(self.settings.data / name)
            replica = Replica(self.settings.id, shelf, self._random, self.settings.patience)
            self._books[name] = _Book(name, keyring, replica)
        for principal, event in told:
            if principal in self._books:
                self._books[principal].replica.show(event)

    def _cool(self) -> None:
        """Close what is on disk; waits for it."""
        self._born = None
        books, self._books, self._plans = self._books, {}, {}
        for book in books.values():
            book.replica.close()
        self._courier.close()

    def _new_link(self, broker: Broker) -> AnyLink:
        names = list(self._books)
        topics = [str(Topic(name, what)) for name in names for what in _TOPICS]
        topics += [str(Topic(name, "reply", self.settings.id)) for name in names]
        # A connection has one last will: the first principal's presence tells of a lost gate.
        gone = Presence(online=False, version=VERSION, boot=self._boot)
        will = Message(str(Topic(names[0], "gate", self.settings.id)), encode(gone), retained=True)
        return self._connect(
            broker,
            f"ringfence-{self.settings.id}",
            subscriptions=topics,
            will=will,
            random=self._random,
            clock=lambda: self._clock().mono,
        )

    # --- decisions ----------------------------------------------------------------------------

    def check(self, call: Call) -> Decision:
        """Decide without any effect. Never raises, never waits; gates that cannot know, defer."""
        return self._decide(call, self._clock())[0]

    def _decide(self, call: Call, now: Now) -> tuple[Decision, _Read]:
        """Decide, and give what the decision rests on."""
        plan, number = self._plans.get(call.campaign), number_of(call)
        read = _NOTHING if plan is None or number is None else _look_up(plan, number.e164, call)
        judged = judge(
            self.rulebook,
            None if plan is None else plan.terms,
            None if number is None else call.territories(number),
            call.caller_id,
            read.rows,
            now.utc,
            doubt=self._doubt(plan, now),
        )
        decision = Decision(
            judged.verdict,
            judged.reason,
            judged.retry_at,
            self.rulebook.version,
            f"{self._boot}-{next(self._numbers):x}",
            NOWHERE if plan is None else plan.book.replica.origin(now.mono),
        )
        return decision, read

    def _doubt(self, plan: _Plan | None, now: Now) -> Reason | None:
        if self._born != _forks:
            return Reason.NOT_READY if self._born is None else Reason.FORKED
        if plan is None:
            # Only who knows all campaigns can say that there is no such one.
            doubts = (book.replica.doubt(now) for book in self._books.values())
            return next((doubt for doubt in doubts if doubt is not None), None)
        doubt = plan.book.replica.doubt(now)
        if doubt is None and not self._courier.writable:
            return Reason.EVIDENCE_UNAVAILABLE
        return doubt

    def explain(self, call: Call) -> list[tuple[Rule, Answer | None]]:
        """Give what each rule says of a call, in the order they are asked.

        Raises `LookupError` for a campaign this gate does not know, `InvalidNumber` for no number.
        """
        plan = self._plans.get(call.campaign)
        if plan is None:
            msg = f"no campaign is called {call.campaign!r}"
            raise LookupError(msg)
        read = _look_up(plan, parse(call.to).e164, call)
        at = datetime.fromtimestamp(self._clock().utc, UTC)
        return explain(self.rulebook, plan.terms, call, read.rows, at)

    # --- permits ------------------------------------------------------------------------------

    async def admit(self, call: Call) -> Permit:
        """Decide, and if the call is allowed reserve its attempt before answering.

        The attempt is with the operating system when this returns (on the disk with `durability =
        "fsync"`); if it cannot be written the answer is DEFER. Asked again under the same id the
        same permit comes back, unless something speaks against the call by now. Raises `ValueError`
        where the id belongs to another call.
        """
        now = self._clock()
        decision, _ = self._decide(call, now)
        known = self._permits.get(call.id)
        if known is not None and self._repeats(known, call, decision, now):
            return known
        permit, plan = self._permit(call, decision), self._plans.get(call.campaign)
        self._permits[call.id] = permit
        if plan and decision.allowed and not await self._reserve(plan.book, permit, now):
            permit.decision = msgspec.structs.replace(
                decision, verdict=Verdict.DEFER, reason=Reason.EVIDENCE_UNAVAILABLE
            )
        return permit

    def _permit(self, call: Call, decision: Decision) -> Permit:
        plan = self._plans.get(call.campaign)
        return Permit(call, decision, partial(self._settle, plan.book if plan else None))

    def _repeats(self, known: Permit, call: Call, decision: Decision, now: Now) -> bool:
        """Whether the call has this permit, and nothing but its own attempt speaks against it."""
        if (known.call.to, known.call.campaign) != (call.to, call.campaign):
            msg = f"the id {call.id} is that of a call to another number or campaign"
            raise ValueError(msg)
        if known.attempt is None or known.outcome is not None or known.attempt.at is None:
            return False
        if now.utc - known.attempt.at.timestamp() > PERMIT_LIFE:
            return False
        return decision.allowed or decision.reason is Reason.ATTEMPT_LIMIT

    async def _reserve(self, book: _Book, permit: Permit, now: Now) -> bool:
        """Reserve the attempt: from here on it counts, even if the disk then keeps us waiting."""
        attempt = _sealed(
            Attempt(to=permit.call.to, call=permit.decision.id), book, permit.call, now
        )
        try:
            self._courier.take(book.name, [attempt])
            book.replica.show(attempt)
            permit.attempt = attempt
            if self.settings.durability == "fsync":
                await self._courier.sync()
        except OutboxError as error:
            log.error("no call can be admitted: %s", error)  # noqa: TRY400 - the text says it all
            return False
        return True

    def permit(self, name: str) -> Permit | None:
        """Give the permit of the call with that id, for as long as outcomes are waited for."""
        return self._permits.get(name)

    async def settle(self, name: str, outcome: Outcome, *, call: Call | None = None) -> bool:
        """Close the permit of the call with that id; say whether the outcome was noted.

        Where the permit is not known any more, as after a restart, its attempt stays as it was
        counted; a refusal or objection is still recorded if *call* says of whom and for what.
        """
        permit = self._permits.get(name)
        if permit is None:
            if call is None or outcome not in _TO_THE_PERSON:
                return False
            permit = self._permit(call, self.check(call))
        await permit.close(outcome)
        return True

    async def _settle(self, book: _Book | None, permit: Permit, outcome: Outcome) -> None:
        if book is None:  # the campaign was not known when it was asked about, nor is its principal
            log.warning("%s of call %s, which had no campaign", outcome, permit.id)
            return
        events = list(_told(book, permit, outcome, self._clock()))
        permit.outcome = _strongest(permit.outcome, outcome)
        if events:
            await self._record(book, events)

    # --- events that come by other ways -------------------------------------------------------

    async def record(self, event: Event) -> None:
        """Record what was said of a number; it counts in this gate when this returns.

        The event is then with the operating system (on the disk with `durability = "fsync"`) and
        reaches the ledger when it can. Raises `ValueError` for an event that names nobody, a bad
        number or a principal this gate does not serve; `OutboxError` if it cannot be written: then
        it counts here all the same, and is written as soon as that works.
        """
        book = self._books.get(event.principal or "")
        if book is None:
            known = ", ".join(self._books) or "none, it is not open"
            msg = f"this gate serves no principal {event.principal!r} (it serves {known})"
            raise ValueError(msg)
        at = datetime.fromtimestamp(self._clock().utc, UTC)
        await self._record(book, [event.sealed(book.keyring, at)])

    async def _record(self, book: _Book, events: list[Event]) -> None:
        for event in events:
            # The attempt of a permit is shown since it was admitted; its outcome adds none.
            if not isinstance(event, Attempt) or event.outcome is None:
                book.replica.show(event)
        self._courier.take(book.name, events, keep=True)
        if self.settings.durability == "fsync":
            await self._courier.sync()

    # --- how it is ----------------------------------------------------------------------------

    async def ready(self, timeout: float | None = None) -> Readiness:
        """Wait until calls of every principal can be allowed, or *timeout* seconds have passed."""
        with anyio.move_on_after(timeout):
            async for status in self.status:
                if status.healthy:
                    break
        return self._readiness()

    def _readiness(self) -> Readiness:
        if self._born is None:
            return Readiness(dict.fromkeys(self._keyrings, "the gate is not open"))
        now = self._clock()
        missing = {}
        for name, book in self._books.items():
            doubt = book.replica.doubt(now)
            if doubt is None and not self._courier.writable:
                doubt = Reason.EVIDENCE_UNAVAILABLE
            if doubt is not None:
                missing[name] = f"{doubt} (link {self._link_said()})"
        return Readiness(missing)

    @property
    def status(self) -> AsyncIterator[Status]:
        """How the gate is: at once, and then whenever link or data change, or a second passed."""
        return self._statuses()

    async def _statuses(self) -> AsyncIterator[Status]:
        while True:
            changed = self._changed
            yield self.current_status()
            with anyio.move_on_after(1.0):
                await changed.wait()

    def current_status(self) -> Status:
        now = self._clock()
        return Status(
            link=self._link_said(),
            principals={name: _of(book.replica, now) for name, book in self._books.items()},
            outbox=self._courier.pending,
            rejected=self._courier.rejected,
            dropped=self._unread + (self._link.dropped if self._link else 0),
            writable=self._courier.writable,
        )

    def _link_said(self) -> str:
        return "not open" if self._link_state is None else str(self._link_state)

    def _note_change(self) -> None:
        """Wake who watches the status, if what does not change by itself has changed."""
        now = self._clock()
        doubts = tuple(book.replica.doubt(now) for book in self._books.values())
        shown = (self._link_said(), self._courier.writable, *doubts)
        if shown != self._shown:
            self._shown = shown
            self._changed.set()
            self._changed = anyio.Event()

    # --- what runs beside it ------------------------------------------------------------------

    def _receive(self, message: Message) -> None:
        """Hand a message to its replica; what cannot be read is counted and left."""
        try:
            topic = Topic.parse(message.topic)
            book = self._books.get(topic.principal)
            if book is not None:
                self._act(book, self._hear(book, topic.what, message))
        except WireError as error:
            self._unread += 1
            log.warning("%s: %s", message.topic, error)
        self._note_change()

    def _hear(self, book: _Book, what: str, message: Message) -> list[Effect]:
        replica, payload, now = book.replica, message.payload, self._clock()
        match what:
            case "head":
                return replica.receive_head(decode(payload, Head), now, retained=message.retained)
            case "log":
                return replica.receive_log(decode(payload, Log), now)
            case "snapshot":
                return replica.receive_snapshot(decode(payload, Snapshot), now)
            case "reply":
                return replica.receive_reply(decode_reply(payload), now)
            case "config":
                replica.receive_config(decode(payload, Config))
                self._plan(book)
        return []

    def _plan(self, book: _Book) -> None:
        config = book.replica.config
        self._plans = {n: plan for n, plan in self._plans.items() if plan.book is not book}
        for name, campaign in (config.campaigns if config else {}).items():
            texts = sound_texts(campaign, config.texts, config.index) if config else frozenset()
            self._plans[name] = _Plan(Terms.of(campaign, texts), book)

    def _act(self, book: _Book, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Ask():
                    self._courier.ask(book.name, effect)
                case Confirmed(ids):
                    self._courier.confirm(ids)
                case Rejected(name, reason):
                    self._courier.reject(name, reason)

    def _link_changed(self, state: LinkState) -> None:
        self._link_state = state
        if state.phase is Phase.UP:
            self._courier.link_is_up()
        self._note_change()

    async def _tick(self) -> None:
        while True:
            now = self._clock()
            for book in self._books.values():
                self._act(book, book.replica.tick(now))
            self._note_change()
            await anyio.sleep(TICK)

    async def _tell_presence(self, link: AnyLink) -> None:
        while True:
            now = self._clock()
            for name, book in self._books.items():
                presence = Presence(
                    online=True,
                    version=VERSION,
                    boot=self._boot,
                    epoch=book.replica.epoch,
                    seq=book.replica.seq,
                    age=book.replica.age(now.mono),
                )
                topic = str(Topic(name, "gate", self.settings.id))
                with suppress(LinkDown):
                    await link.publish(topic, encode(presence), retain=True)
            with anyio.move_on_after(PRESENCE):
                await self._changed.wait()


async def _in_thread(run: Callable[[], None]) -> None:
    """Run to its end in a thread, also when the gate is closed by a cancellation."""
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(run)


def _sealed(event: E, book: _Book, call: Call, now: Now) -> E:
    at = datetime.fromtimestamp(now.utc, UTC)
    return event.sealed(book.keyring, at, call.territories(parse(call.to)))


def _told(book: _Book, permit: Permit, outcome: Outcome, now: Now) -> Iterator[Event]:
    """Give the events that an outcome adds to what was told of the call before."""
    at = datetime.fromtimestamp(now.utc, UTC)
    name, attempt, before = permit.decision.id, permit.attempt, permit.outcome
    if attempt is not None and before in (None, Outcome.NOT_PLACED) and before != outcome:
        if outcome is Outcome.NOT_PLACED:
            yield AttemptCancelled(
                id=f"{name}-{outcome}", at=at, on=attempt.on, keys=attempt.keys, call=name
            )
        else:
            yield msgspec.structs.replace(attempt, id=f"{name}-{outcome}", at=at, outcome=outcome)
    if outcome in _TO_THE_PERSON and before not in (Outcome.OBJECTED, outcome):
        kind = Refusal if outcome is Outcome.REFUSED else Objection
        said = kind(
            id=f"{name}-{kind.__name__.lower()}", to=permit.call.to, consumer=permit.call.consumer
        )
        yield _sealed(said, book, permit.call, now)


def _strongest(before: Outcome | None, told: Outcome) -> Outcome:
    """Of two outcomes, the one that says more: objected, refused, placed, not placed."""
    if before is None or before is Outcome.NOT_PLACED or told is Outcome.OBJECTED:
        return told
    if told is Outcome.REFUSED and before is not Outcome.OBJECTED:
        return told
    return before


def _of(replica: Replica, now: Now) -> PrincipalStatus:
    grounds, restraints = replica.rows
    return PrincipalStatus(
        doubt=replica.doubt(now),
        epoch=replica.epoch,
        seq=replica.seq,
        grounds=grounds,
        restraints=restraints,
        digests=replica.digests,
        age=replica.age(now.mono),
        skew=replica.skew(now),
    )
