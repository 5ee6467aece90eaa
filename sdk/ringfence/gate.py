"""The gate: what a dialer talks to. Puts replica, rules, outbox and link together.

Decisions are synchronous, because all they need is in memory. What waits is asynchronous: opening,
admitting (outbox and evidence reach the disk), closing.
"""

import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

import anyio
import anyio.lowlevel
import anyio.to_thread

from ringfence import number as numbers
from ringfence.admission import Admission, Asked
from ringfence.book import FOLLOWED, NOTHING, TOPICS, Book, Plan, Read
from ringfence.call import Call, Outcome, new_id
from ringfence.campaign import Campaign
from ringfence.config import ConfigError, Settings, load
from ringfence.courier import Courier
from ringfence.decision import DOUBTS, NOWHERE, Decision, Origin, Reason
from ringfence.event import Event
from ringfence.evidence.recorder import Limits
from ringfence.follower import Follower
from ringfence.host import EVIDENCE, OUTBOX, Host, check_alone
from ringfence.liaison import VERSION, Liaison
from ringfence.link import AnyLink
from ringfence.mqtt import Link
from ringfence.number import parse
from ringfence.overlay import to_show
from ringfence.permit import TO_THE_PERSON, Permit
from ringfence.registrar import Registrar
from ringfence.replica import Now, Replica
from ringfence.rules import calendar, france
from ringfence.rules.rulebook import Answer, Rule, explain, judge, number_of
from ringfence.rules.words import say
from ringfence.shelf import DiskShelf
from ringfence.status import PrincipalStatus, Readiness, Status
from ringfence.syncer import Syncer
from ringfence.table import TableError
from ringfence.watch import Watch

__all__ = ["Gate", "system_clock"]

log = logging.getLogger(__name__)

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

    _aside: ThreadPoolExecutor
    """Makes files of tables, and lets go of them, while it is open."""

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
        self._courier = Courier(gate.id, gate.data / OUTBOX)
        limits = Limits(gate.evidence.segment_bytes, gate.evidence.segment_age)
        self._registrar = Registrar(gate.id, gate.data / EVIDENCE, VERSION, limits)
        self._host: Host | None = None
        self._books: dict[str, Book] = {}
        self._boot = ""
        self._numbers = count(1)
        self._born: int | None = None
        self._stack: AsyncExitStack | None = None
        self._liaison = Liaison(
            gate.id,
            books=self._books,
            courier=self._courier,
            registrar=self._registrar,
            clock=clock,
        )
        self._plans = self._liaison.plans
        self._admission = Admission(
            self._courier,
            self._registrar,
            books=self._books,
            plans=self._plans,
            campaigns=settings.campaigns,
            clock=clock,
            durable=gate.durability == "fsync",
            rulebook=self.rulebook,
            attempts=gate.attempts,
            ask=self._ask,
        )

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
            stack.push_async_callback(self._cool)
            self._begin()
            await anyio.to_thread.run_sync(self._warm)
            link = self._liaison.connect(self._new_link, TOPICS if self._host is None else FOLLOWED)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(tasks.cancel_scope.cancel)
            stack.push_async_callback(self._liaison.part, link)
            self._liaison.start(tasks, link)
            if self._host is not None:
                syncer = Syncer(
                    self.settings, clock=self._clock, random=self._random, connect=self._new_link
                )
                tasks.start_soon(syncer.run, name="syncer")
            self._born = _forks
            self._stack = stack.pop_all()
        return self

    def _begin(self) -> None:
        """Make what belongs to this opening: a name that no other has, and events of this loop."""
        self._boot = new_id()[:12]
        self._aside = ThreadPoolExecutor(1, "tables")
        self._courier.begin()
        self._registrar.flush.begin()
        self._liaison.begin(self._boot)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        """Close. What is not confirmed stays in the outbox for the next start."""
        stack, self._stack = self._stack, None
        if stack is None:
            return None
        try:
            return await stack.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            # What the block raised is raised as it is: that tasks ran beside it is our affair.
            if group.exceptions == (error,):
                return None
            raise

    def _warm(self) -> None:
        """Open what is on disk; waits for it."""
        numbers.prepare()
        calendar.prepare(self.rulebook.opening, self._clock().utc)
        self.settings.data.mkdir(parents=True, exist_ok=True)
        if self.settings.share:
            self._move_in()
        else:
            check_alone(self.settings.data)
        self._registrar.open(self._seconds())
        told = self._courier.open()
        for name, keyring in self._keyrings.items():
            self._books[name] = Book(name, keyring, self._replica(name))
        for name, book in self._books.items():
            for event in to_show([event for principal, event in told if principal == name]):
                book.replica.show(event)
        if self._host is not None:
            self._host.started()

    def _move_in(self) -> None:
        """Take a place among the gates of this machine: outbox and evidence are kept there."""
        data = self.settings.data
        self._host = host = Host.open(
            data, self._keyrings, self.settings.patience, self._aside.submit
        )
        gate = host.place.gate(self.settings.id)
        self._courier.keep(gate, host.place.folder / OUTBOX)
        self._registrar.keep(gate, data / EVIDENCE / str(host.place.number))
        self._liaison.gate = gate

    def _replica(self, principal: str) -> Replica | Follower:
        if self._host is not None:
            return self._host.followers[principal]
        shelf = DiskShelf(self.settings.data / principal, self._aside.submit)
        return Replica(self.settings.id, shelf, self._random, self.settings.patience)

    async def _cool(self) -> None:
        """Close what is on disk, and decide nothing more from the moment that begins."""
        self._born = None
        books, host = list(self._books.values()), self._host
        self._books.clear()
        self._host = None
        self._liaison.end()

        def close() -> None:
            for book in books:
                book.replica.close()
            self._courier.close()
            self._registrar.close()
            if host is not None:
                host.close()
            self._aside.shutdown()

        with anyio.CancelScope(shield=True):  # also when the gate is closed by a cancellation
            await anyio.to_thread.run_sync(close)

    # --- decisions ----------------------------------------------------------------------------

    def check(self, call: Call) -> Decision:
        """Decide without any effect. Never raises, never waits; gates that cannot know, defer."""
        now, plan = self._clock(), self._plans.get(call.campaign)
        return self._decide(call, plan, self._standing(call.campaign, plan, now), now.utc)[0]

    def check_many(self, calls: Iterable[Call], at: datetime | None = None) -> list[Decision]:
        """Decide many calls as of one instant: now, or *at*, as if all else stayed as it is.

        The same answers as `check` gives one by one, in their order. Raises `ValueError` for an
        instant without its offset.
        """
        if at is not None and at.tzinfo is None:
            msg = f"`at` needs its offset from UTC: {at.isoformat()}"
            raise ValueError(msg)
        now, plans = self._clock(), self._plans
        then = now.utc if at is None else at.timestamp()
        standings: dict[str, tuple[Reason | None, Origin]] = {}
        decisions = []
        for call in calls:
            plan = plans.get(call.campaign)
            standing = standings.get(call.campaign)
            if standing is None:
                standing = standings[call.campaign] = self._standing(call.campaign, plan, now)
            decision = self._decide(call, plan, standing, then)[0]
            if decision.reason in DOUBTS:  # what was sure for the one before may not be any more
                del standings[call.campaign]
            decisions.append(decision)
        return decisions

    def _decide(
        self, call: Call, plan: Plan | None, standing: tuple[Reason | None, Origin], at: float
    ) -> tuple[Decision, Read]:
        """Decide for the instant *at*, and give what the decision rests on."""
        number, (doubt, origin) = number_of(call), standing
        try:
            read = NOTHING if plan is None or number is None else plan.read(number.e164, call)
        except TableError:  # of another process: half written, or replaced in between
            read, doubt = NOTHING, doubt or Reason.NOT_READY
        judged = judge(
            self.rulebook,
            None if plan is None else plan.terms,
            None if number is None else call.territories(number),
            call.caller_id,
            read.rows,
            at,
            doubt,
        )
        decision = Decision(
            judged.verdict,
            judged.reason,
            judged.retry_at,
            self.rulebook.version,
            f"{self._boot}-{next(self._numbers)}",
            origin,
        )
        return decision, read

    def _standing(self, campaign: str, plan: Plan | None, now: Now) -> tuple[Reason | None, Origin]:
        """Say why this gate cannot know, if so, and what it knows."""
        replica = None if plan is None else plan.book.replica
        doubt: Reason | None
        if self._born != _forks:
            doubt = Reason.NOT_READY if self._born is None else Reason.FORKED
        elif replica is None:
            doubt = self._doubt_of(campaign, now)
        else:
            doubt = replica.doubt(now)
            if doubt is None and not (self._courier.writable and self._registrar.writable):
                doubt = Reason.EVIDENCE_UNAVAILABLE
        return doubt, NOWHERE if replica is None else replica.origin(now.mono)

    def _doubt_of(self, campaign: str, now: Now) -> Reason | None:
        """Say why it cannot be told that there is no such campaign: who can knows all of them."""
        if campaign in self._liaison.disputed:
            return Reason.NOT_READY
        doubts = (book.replica.doubt(now) for book in self._books.values())
        return next((doubt for doubt in doubts if doubt is not None), None)

    @property
    def _writable(self) -> bool:
        return self._courier.writable and self._registrar.writable

    def explain(self, call: Call) -> list[tuple[Rule, Answer | None]]:
        """Give what each rule says of a call, in the order they are asked; none of a number abroad.

        Raises `LookupError` for a campaign this gate does not know, `InvalidNumber` for no number.
        """
        plan, number = self._plan_of(call.campaign), parse(call.to)
        if not number.territories:
            return []
        read = plan.read(number.e164, call)
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
            if self._born is None:  # a gate that is closed hears nothing more
                return None
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
            known = ", ".join(sorted(self._plans)) or "none"
            msg = f"no campaign is called {campaign!r}; there are {known}"
            raise LookupError(msg)
        return plan

    # --- permits and events -------------------------------------------------------------------

    async def admit(self, call: Call) -> Permit:
        """Decide, record the evidence, and if the call is allowed reserve its attempt; then answer.

        Both are with the operating system when this returns (on the disk with `durability =
        "fsync"`); if they cannot be written the answer is DEFER. Where few attempts are left, as
        many as `[gate.attempts]` says, the ledger is asked first, and without its word in time the
        answer is DEFER. Asked again under the same id the same permit comes back, unless something
        speaks against the call by now. Raises `ValueError` where the id belongs to another call.
        """
        asked = self._ask(call)
        if self._born is None:
            return self._admission.unwritten(call, asked.decision)
        permit = await self._admission.admit(call, asked)
        if not permit:  # who asks in a loop that waits for nothing lets the gate hear meanwhile
            await anyio.lowlevel.checkpoint()
        return permit

    def _ask(self, call: Call) -> Asked:
        now, plan = self._clock(), self._plans.get(call.campaign)
        standing = self._standing(call.campaign, plan, now)
        decision, read = self._decide(call, plan, standing, now.utc)
        return Asked(decision, plan, read, now)

    def permit(self, name: str) -> Permit | None:
        """Give the permit of the call with that id, for as long as outcomes are waited for."""
        return self._admission.permit(name, self._clock())

    async def settle(self, name: str, outcome: Outcome, *, call: Call | None = None) -> bool:
        """Close the permit of the call with that id; say whether the outcome was noted.

        Where the permit is not known any more, as after a restart, its attempt stays as it was
        counted; a refusal or objection is still recorded if *call* says of whom and for what.
        """
        permit = self.permit(name)
        if permit is None:
            if call is None or outcome not in TO_THE_PERSON:
                return False
            permit = self._admission.unwritten(call, self.check(call))
        await permit.close(outcome)
        return True

    async def record(self, event: Event) -> None:
        """Record what was said of a number; it counts in this gate when this returns.

        The event is then with the operating system (on the disk with `durability = "fsync"`) and
        reaches the ledger when it can. Raises `ValueError` for an event that names nobody, a bad
        number or a principal this gate does not serve; `OutboxError` if it cannot be written: then
        it counts here all the same, and is written as soon as that works.
        """
        await self._admission.record(event)

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
                missing[name] = f"{doubt}: {say(doubt, 'en')} (link {self._liaison.link})"
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
