"""The gate: what a dialer talks to. Puts replica, rules, outbox and link together.

Decisions are synchronous, because all they need is in memory. What waits is asynchronous: opening,
admitting (outbox and evidence reach the disk), closing.
"""

import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread
import msgspec

from ringfence.book import NOTHING, Book, Plan, Read
from ringfence.call import Call, Outcome, new_id
from ringfence.campaign import Campaign
from ringfence.config import ConfigError, Settings, load
from ringfence.courier import Courier
from ringfence.decision import NOWHERE, Decision, Origin, Reason, Verdict
from ringfence.event import Attempt, Event, Keys
from ringfence.evidence.record import EvidenceError
from ringfence.evidence.recorder import Limits
from ringfence.liaison import VERSION, Liaison
from ringfence.link import AnyLink
from ringfence.mqtt import Link
from ringfence.number import parse
from ringfence.outbox import OutboxError
from ringfence.permit import TO_THE_PERSON, Permit, Permits, reservation, strongest, told
from ringfence.registrar import Registrar, attest
from ringfence.replica import Now, Replica
from ringfence.rules import france
from ringfence.rules.calendar import prepare
from ringfence.rules.rulebook import Answer, Rule, explain, judge, number_of
from ringfence.shelf import DiskShelf
from ringfence.status import PrincipalStatus, Readiness, Status
from ringfence.watch import Watch

__all__ = ["Gate", "system_clock"]

log = logging.getLogger(__name__)

PERMIT_LIFE = 60.0
"""Seconds in which a call asked again under its id gets the permit it has."""

MAX_PERMITS = 200_000
"""Permits kept for outcomes that come by another way, at most, and for `PERMIT_KEPT` seconds."""

PERMIT_KEPT = 4 * 3600.0

REVOKED = frozenset([Reason.OBJECTED, Reason.REFUSED, Reason.CONSENT_WITHDRAWN])
"""Reasons that a person can give while a call is under way."""


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
        self._clock = clock
        self._random = random or Random()  # noqa: S311 - spreads questions in time, hides nothing
        self._new_link = partial(connect, settings.broker, random=self._random)
        self._keyrings = {name: settings.keyring(name) for name in gate.principals}
        self._courier = Courier(gate.id, gate.data / "outbox.journal")
        limits = Limits(gate.evidence.segment_bytes, gate.evidence.segment_age)
        self._registrar = Registrar(gate.id, gate.data / "evidence", VERSION, limits)
        self._books: dict[str, Book] = {}
        self._permits = Permits(MAX_PERMITS, PERMIT_KEPT)
        self._settler = self._settle  # one bound method for all permits
        self._boot = new_id()[:12]
        self._numbers = count(1)
        self._born: int | None = None
        self._stack: AsyncExitStack | None = None
        self._liaison = self._new_liaison()

    def _new_liaison(self) -> Liaison:
        liaison = Liaison(
            self.settings.id,
            self._boot,
            books=self._books,
            courier=self._courier,
            registrar=self._registrar,
            clock=self._clock,
        )
        self._plans = liaison.plans
        return liaison

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Build a gate from a configuration file. Raises `ConfigError`."""
        return cls(load(Path(path)))

    # --- open and closed ----------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Open: warm from disk, connect, begin to sync.

        Raises `OutboxError` and `EvidenceError` where what is on disk cannot be used or written,
        `RuntimeError` if it is open.

        What could not be sent before the last end counts again from the first moment.
        """
        if self._stack is not None:
            msg = "this gate is open already"
            raise RuntimeError(msg)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(_in_thread, self._cool)
            await anyio.to_thread.run_sync(self._warm)
            self._born = _forks
            link = self._liaison.connect(self._new_link)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(tasks.cancel_scope.cancel)
            stack.push_async_callback(self._liaison.part, link)
            self._liaison.start(tasks, link)
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
        self._registrar.open(self._seconds())
        told = self._courier.open()
        for name, keyring in self._keyrings.items():
            shelf = DiskShelf(self.settings.data / name)
            replica = Replica(self.settings.id, shelf, self._random, self.settings.patience)
            self._books[name] = Book(name, keyring, replica)
        for principal, event in told:
            if principal in self._books:
                self._books[principal].replica.show(event)

    def _cool(self) -> None:
        """Close what is on disk; waits for it."""
        self._born = None
        for book in self._books.values():
            book.replica.close()
        self._books.clear()
        self._liaison = self._new_liaison()
        self._courier.close()
        self._registrar.close()

    # --- decisions ----------------------------------------------------------------------------

    def check(self, call: Call) -> Decision:
        """Decide without any effect. Never raises, never waits; gates that cannot know, defer."""
        now, plan = self._clock(), self._plans.get(call.campaign)
        return self._decide(call, plan, self._standing(plan, now), now.utc)[0]

    def check_many(self, calls: Iterable[Call], at: datetime | None = None) -> list[Decision]:
        """Decide many calls as of one instant: now, or *at*, as if all else stayed as it is.

        The same answers as `check` gives one by one, in their order.
        """
        now, plans = self._clock(), self._plans
        then = now.utc if at is None else at.timestamp()
        standings: dict[str, tuple[Reason | None, Origin]] = {}
        decisions = []
        for call in calls:
            plan = plans.get(call.campaign)
            standing = standings.get(call.campaign)
            if standing is None:
                standing = standings[call.campaign] = self._standing(plan, now)
            decisions.append(self._decide(call, plan, standing, then)[0])
        return decisions

    def _decide(
        self, call: Call, plan: Plan | None, standing: tuple[Reason | None, Origin], at: float
    ) -> tuple[Decision, Read]:
        """Decide for the instant *at*, and give what the decision rests on."""
        number, (doubt, origin) = number_of(call), standing
        read = NOTHING if plan is None or number is None else plan.read(number.e164, call)
        judged = judge(
            self.rulebook,
            None if plan is None else plan.terms,
            None if number is None else call.territories(number),
            call.caller_id,
            read.rows,
            at,
            doubt=doubt,
        )
        decision = Decision(
            judged.verdict,
            judged.reason,
            judged.retry_at,
            self.rulebook.version,
            f"{self._boot}-{next(self._numbers):x}",
            origin,
        )
        return decision, read

    def _standing(self, plan: Plan | None, now: Now) -> tuple[Reason | None, Origin]:
        """Say why this gate cannot know, if so, and what it knows."""
        origin = NOWHERE if plan is None else plan.book.replica.origin(now.mono)
        return self._doubt(plan, now), origin

    def _doubt(self, plan: Plan | None, now: Now) -> Reason | None:
        if self._born != _forks:
            return Reason.NOT_READY if self._born is None else Reason.FORKED
        if plan is None:
            # Only who knows all campaigns can say that there is no such one.
            doubts = (book.replica.doubt(now) for book in self._books.values())
            return next((doubt for doubt in doubts if doubt is not None), None)
        doubt = plan.book.replica.doubt(now)
        return Reason.EVIDENCE_UNAVAILABLE if doubt is None and not self._writable else doubt

    @property
    def _writable(self) -> bool:
        return self._courier.writable and self._registrar.writable

    def explain(self, call: Call) -> list[tuple[Rule, Answer | None]]:
        """Give what each rule says of a call, in the order they are asked.

        Raises `LookupError` for a campaign this gate does not know, `InvalidNumber` for no number.
        """
        plan = self._plan_of(call.campaign)
        read = plan.read(parse(call.to).e164, call)
        at = datetime.fromtimestamp(self._clock().utc, UTC)
        return explain(self.rulebook, plan.terms, call, read.rows, at)

    def watch(self, call: Call) -> Watch:
        """Watch over a call under way: `async with gate.watch(call) as watch`.

        The block is left early when its person refuses, objects or withdraws consent meanwhile,
        wherever that is heard; `watch.revoked` says whether that was so. Raises `LookupError` for a
        campaign this gate does not know, `InvalidNumber` for no number.
        """
        number, plan = parse(call.to), self._plan_of(call.campaign)
        keys = plan.read(number.e164, call).keys

        def judged() -> Decision | None:
            rows = plan.read(number.e164, call).rows
            places, at = call.territories(number), self._seconds()
            said = judge(self.rulebook, plan.terms, places, call.caller_id, rows, at)
            if said.reason not in REVOKED:
                return None
            return Decision(said.verdict, said.reason, said.retry_at, self.rulebook.version)

        return Watch(keys, judged, plan.book.watches)

    def campaign(self, name: str) -> Campaign:
        """Give how a campaign's calls are made. Raises `LookupError` for one that is not known."""
        return self._plan_of(name).terms.campaign

    def _plan_of(self, campaign: str) -> Plan:
        plan = self._plans.get(campaign)
        if plan is None:
            msg = f"no campaign is called {campaign!r}"
            raise LookupError(msg)
        return plan

    # --- permits ------------------------------------------------------------------------------

    async def admit(self, call: Call) -> Permit:
        """Decide, record the evidence, and if the call is allowed reserve its attempt; then answer.

        Both are with the operating system when this returns (on the disk with `durability =
        "fsync"`); if they cannot be written the answer is DEFER. Asked again under the same id the
        same permit comes back, unless something speaks against the call by now. Raises `ValueError`
        where the id belongs to another call.
        """
        now = self._clock()
        plan = self._plans.get(call.campaign)
        decision, read = self._decide(call, plan, self._standing(plan, now), now.utc)
        known = self._permits.get(call.id, now.mono)
        if known is not None and self._repeats(known, call, decision, now):
            return known
        principal = "" if plan is None else plan.book.name
        permit = Permit(call, decision, principal, now.mono, self._settler)
        self._permits.add(permit)
        try:
            if plan is not None and decision.allowed:
                self._reserve(permit, plan.book, read, now)
            self._registrar.note(attest(permit, plan, read, now.utc))
            if self.settings.durability == "fsync":
                await self._to_the_disk()
        except (OutboxError, EvidenceError) as error:
            log.error("no call can be admitted: %s", error)  # noqa: TRY400 - the text says it all
            if permit.decision.verdict is not Verdict.DEFER:
                self._take_back(permit, plan, now)
                with suppress(EvidenceError):  # what was written before must not be the last word
                    self._registrar.note(attest(permit, plan, read, now.utc))
        return permit

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

    def _reserve(self, permit: Permit, book: Book, read: Read, now: Now) -> None:
        """Reserve the attempt: from here on it counts, even if the disk then keeps us waiting."""
        keys = Keys(number=read.number, consumer=read.consumer or None)
        attempt = reservation(permit, keys, now.utc)
        self._courier.take(book.name, [attempt])
        book.show(attempt)
        permit.attempt = attempt

    async def _to_the_disk(self) -> None:
        """Wait for both files at once. Raises `OutboxError`, `EvidenceError`."""
        for turn in (self._courier.flush.ask(), self._registrar.flush.ask()):
            await turn.wait()

    def _take_back(self, permit: Permit, plan: Plan | None, now: Now) -> None:
        """Answer DEFER after all, and give the attempt back as soon as that can be written."""
        permit.decision = msgspec.structs.replace(
            permit.decision,
            verdict=Verdict.DEFER,
            reason=Reason.EVIDENCE_UNAVAILABLE,
            retry_at=None,
        )
        if plan is not None and permit.attempt is not None:
            given_back = list(told(permit, Outcome.NOT_PLACED, plan.book.keyring, now.utc))
            permit.outcome = Outcome.NOT_PLACED
            with suppress(OutboxError):
                self._courier.take(plan.book.name, given_back, keep=True)

    def permit(self, name: str) -> Permit | None:
        """Give the permit of the call with that id, for as long as outcomes are waited for."""
        return self._permits.get(name, self._clock().mono)

    async def settle(self, name: str, outcome: Outcome, *, call: Call | None = None) -> bool:
        """Close the permit of the call with that id; say whether the outcome was noted.

        Where the permit is not known any more, as after a restart, its attempt stays as it was
        counted; a refusal or objection is still recorded if *call* says of whom and for what.
        """
        permit = self.permit(name)
        if permit is None:
            if call is None or outcome not in TO_THE_PERSON:
                return False
            plan = self._plans.get(call.campaign)
            principal = "" if plan is None else plan.book.name
            permit = Permit(call, self.check(call), principal, 0.0, self._settler)
        await permit.close(outcome)
        return True

    async def _settle(self, permit: Permit, outcome: Outcome) -> None:
        if not permit.principal:  # the campaign was not known when it was asked about
            log.warning("%s of call %s, which had no campaign", outcome, permit.id)
            return
        book = self._books.get(permit.principal)
        if book is None:
            msg = (
                f"{outcome} of call {permit.id} is not recorded: the gate is closed; open it again"
            )
            raise OutboxError(msg)
        events = list(told(permit, outcome, book.keyring, self._seconds()))
        permit.outcome = strongest(permit.outcome, outcome)
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

    async def _record(self, book: Book, events: list[Event]) -> None:
        for event in events:
            # The attempt of a permit is shown since it was admitted; its outcome adds none.
            if not isinstance(event, Attempt) or event.outcome is None:
                book.show(event)
        self._courier.take(book.name, events, keep=True)
        if self.settings.durability == "fsync":
            await self._courier.flush.ask().wait()

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
            if doubt is None and not self._writable:
                doubt = Reason.EVIDENCE_UNAVAILABLE
            if doubt is not None:
                missing[name] = f"{doubt} (link {self._liaison.link})"
        return Readiness(missing)

    @property
    def status(self) -> AsyncIterator[Status]:
        """How the gate is: at once, and then whenever link or data change, or a second passed."""
        return self._statuses()

    async def _statuses(self) -> AsyncIterator[Status]:
        while True:
            changed = self._liaison.changed
            yield self.current_status()
            with anyio.move_on_after(1.0):
                await changed.wait()

    def current_status(self) -> Status:
        now = self._clock()
        return Status(
            link=self._liaison.link,
            principals={
                name: PrincipalStatus.of(book.replica, now) for name, book in self._books.items()
            },
            outbox=self._courier.pending,
            rejected=self._courier.rejected,
            dropped=self._liaison.dropped,
            writable=self._writable,
            unwitnessed=self._registrar.unwitnessed,
        )

    def _seconds(self) -> float:
        return self._clock().utc


async def _in_thread(run: Callable[[], None]) -> None:
    """Run to its end in a thread, also when the gate is closed by a cancellation."""
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(run)
