"""Where few attempts are left the ledger is asked, and nobody is told ALLOW without its word."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random

import anyio
import anyio.to_thread
import msgspec
import pytest
from tests.unit.test_gate import CALL, CONSENT, NUMBER, House, another, confirmed, until

from ringfence import Gate, Outcome, Reason, Refusal, Verdict, courier
from ringfence.config import AttemptSettings
from ringfence.event import Attempt, Cap
from ringfence.evidence.record import AnyRecord, Decided, EvidenceError, Place
from ringfence.evidence.replay import replay
from ringfence.evidence.segment import records
from ringfence.link import Message
from ringfence.permit import Permit
from ringfence.replica import Patience
from ringfence.row import Restraint
from ringfence.testing import MemoryBroker
from ringfence.wire import Rejected, Topic, encode, read_event, read_report

SOON = AttemptSettings(wait=0.05)
HEAD = "ringfence/1/acme/head"
OTHER = msgspec.structs.replace(CALL, to="+33639980002", id="other")


class Sieve(MemoryBroker):
    """Loses what `loses` says, and keeps what `keeps` says until `let_go`."""

    def __init__(self) -> None:
        super().__init__()
        self.loses: Callable[[Message], bool] = lambda _: False
        self.keeps: Callable[[Message], bool] = lambda _: False
        self.kept: list[Message] = []

    def publish(self, message: Message) -> None:
        if self.keeps(message):
            self.kept.append(message)
        elif not self.loses(message):
            super().publish(message)

    def let_go(self) -> None:
        self.keeps = lambda _: False
        kept, self.kept = self.kept, []
        for message in kept:
            self.publish(message)


def to(*tails: str) -> Callable[[Message], bool]:
    return lambda message: message.topic.endswith(tails)


def events(message: Message) -> list[object]:
    if not message.topic.endswith("/in"):
        return []
    _, told, json = read_report(message.payload)
    return [read_event(data, json=json) for data in told]


def claims(message: Message) -> bool:
    return any(isinstance(e, Attempt) and e.cap is not None for e in events(message))


class Far(House):
    """A ledger and gates with a link that does as it is told."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.broker: Sieve = Sieve()


@pytest.fixture
def house(tmp_path: Path) -> Far:
    return Far(tmp_path)


@asynccontextmanager
async def two(house: Far, **changes: object) -> AsyncIterator[tuple[Gate, Gate]]:
    """Two gates in two places, whose ledger knows one consent."""
    async with house.ledger(), house.gate("a", **changes) as a, house.gate("b", **changes) as b:
        for gate in (a, b):
            assert await gate.ready(5)
        await a.record(CONSENT)
        await until(lambda: a.check(CALL).allowed and b.check(CALL).allowed)
        yield a, b


@asynccontextmanager
async def one(house: Far, **changes: object) -> AsyncIterator[Gate]:
    async with house.ledger(), house.gate("a", **changes) as gate:
        assert await gate.ready(5)
        await gate.record(CONSENT)
        await until(lambda: gate.check(CALL).allowed)
        await confirmed(gate)
        yield gate


async def attempts(house: Far, gate: Gate) -> int:
    """Count the attempts that stand, when all that was told is known."""
    house.broker.let_go()
    house.broker.loses = lambda _: False
    await confirmed(gate)
    (restraint,) = gate._plans["acme-fibre"].read(NUMBER, CALL).rows[1]
    return sum(day > 0 for day in Restraint.unpack(restraint).attempts)


async def evidence(house: Far, gate: str = "a") -> list[tuple[Place, AnyRecord]]:
    return await anyio.to_thread.run_sync(lambda: list(records(house.folder / gate / "evidence")))


async def answers(house: Far) -> list[tuple[Verdict, Reason]]:
    told = await evidence(house)
    return [(record.verdict, record.reason) for _, record in told if isinstance(record, Decided)]


# --- the ledger's word ----------------------------------------------------------------------------


async def compete(house: Far, *gates: Gate) -> list[Permit]:
    """Let gates ask for the fourth attempt at once; none hears of another's."""
    for _ in range(3):
        assert await gates[0].admit(another())
    for gate in gates:
        await confirmed(gate)
    await until(lambda: len({gate.check(CALL).origin.seq for gate in gates}) == 1)
    house.broker.keeps = to("/log")
    permits: list[Permit] = []

    async def ask(gate: Gate) -> None:
        permits.append(await gate.admit(another()))

    async with anyio.create_task_group() as tasks:
        for gate in gates:
            tasks.start_soon(ask, gate)
        await until(lambda: permits)
        house.broker.let_go()
    return permits


async def test_of_two_gates_that_ask_for_the_fourth_at_once_one_is_allowed(house: Far) -> None:
    async with two(house) as gates:
        permits = await compete(house, *gates)

    no, yes = sorted(permits, key=bool)
    assert yes
    assert (no.decision.verdict, no.decision.reason) == (Verdict.DEFER, Reason.ATTEMPT_LIMIT)
    assert no.decision.retry_at == datetime(2026, 12, 28, 9, tzinfo=UTC)


@pytest.mark.parametrize("seed", range(3))
async def test_eight_gates_on_a_lossy_link_make_four_and_never_five(
    house: Far, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """All that the simulation leaves out is real here: outbox, courier, tasks, evidence."""
    monkeypatch.setattr(courier, "RESEND", 0.1)
    patience = Patience(stragglers=0.02, answer=0.05, jitter=0.01)
    permits: list[Permit] = []

    async def dial(gate: Gate) -> None:
        while len(permits) < 4 or gate.check(CALL).reason is not Reason.ATTEMPT_LIMIT:
            await anyio.sleep(0.005)  # a dialer's pace: eight that never rest keep the loop busy
            permit = await gate.admit(another()) if gate.check(CALL) else None
            if permit:
                permits.append(permit)

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(house.ledger())
        gates = [
            await stack.enter_async_context(
                house.gate(f"gate-{n}", attempts=AttemptSettings(wait=1.0), patience=patience)
            )
            for n in range(8)
        ]
        for gate in gates:
            assert await gate.ready(5)
        await gates[0].record(CONSENT)
        await until(lambda: all(gate.check(CALL).allowed for gate in gates))
        chance = Random(seed)
        house.broker.loses = lambda message: (
            not message.retained and message.topic != HEAD and chance.random() < 0.15
        )
        with anyio.fail_after(40):
            async with anyio.create_task_group() as tasks:
                for gate in gates:
                    tasks.start_soon(dial, gate)

    assert len(permits) == 4


@pytest.mark.parametrize("lost", ["/in", "/log"])
async def test_a_question_or_a_word_that_is_lost_is_asked_for_again(house: Far, lost: str) -> None:
    async with one(house, attempts=AttemptSettings(wait=2.0)) as gate:
        losses = iter([True])
        matches = to(lost)
        house.broker.loses = lambda message: matches(message) and next(losses, False)
        permit = await gate.admit(CALL)
        assert await attempts(house, gate) == 1

    assert permit
    assert next(losses, None) is None


async def test_without_a_word_in_time_the_call_is_deferred_and_its_attempt_given_back(
    house: Far,
) -> None:
    async with one(house, attempts=SOON) as gate:
        house.broker.keeps = to("/log", "/reply/a")
        permit = await gate.admit(CALL)

        assert permit.decision.reason is Reason.ATTEMPT_UNCONFIRMED
        assert (permit.decision.verdict, permit.decision.retry_at) == (Verdict.DEFER, None)
        assert await attempts(house, gate) == 0
        assert await gate.admit(CALL)
        assert await attempts(house, gate) == 1

    assert await answers(house) == [
        (Verdict.DEFER, Reason.ATTEMPT_UNCONFIRMED),
        (Verdict.ALLOW, Reason.CONSENT),
    ]


async def test_of_a_try_in_vain_only_that_it_was_given_back_is_left_to_tell(house: Far) -> None:
    async with one(house, attempts=SOON) as gate:
        house.broker.loses = to("/in")
        await gate.admit(CALL)
        pending = [entry.id.rpartition("-")[2] for entry in gate._courier._open_outbox().pending()]

    assert pending == ["not_placed"]


async def test_what_is_told_of_a_call_later_is_under_no_cap(house: Far) -> None:
    """It was placed, however many there are."""
    async with one(house) as gate:
        permit = await gate.admit(CALL)
        await permit.close(Outcome.BUSY)

    told = [e for m in house.broker.published for e in events(m) if isinstance(e, Attempt)]
    assert [(e.outcome, e.cap is None) for e in told] == [(None, False), (Outcome.BUSY, True)]


async def test_an_attempt_from_elsewhere_that_is_one_too_many_counts_and_waits_no_longer(
    house: Far,
) -> None:
    """As that which a gate had under way when it was killed, told by its next life."""
    async with one(house) as gate:
        for _ in range(3):
            await gate.admit(another())
        cap = Cap(3, date(2026, 10, 25))
        await gate.record(Attempt(to=NUMBER, principal="acme", call="x", cap=cap))
        await confirmed(gate)
        assert await attempts(house, gate) == 3
        assert gate.current_status().rejected == 0


async def test_a_word_that_comes_too_late_allows_nothing(house: Far) -> None:
    async with one(house, attempts=SOON) as gate:
        house.broker.keeps = to("/log", "/reply/a")
        permit = await gate.admit(CALL)
        assert await attempts(house, gate) == 0

    assert not permit
    assert permit.outcome is Outcome.NOT_PLACED


async def test_without_a_link_nothing_is_waited_for_and_nothing_is_told(house: Far) -> None:
    async with one(house, attempts=AttemptSettings(wait=30)) as gate:
        house.broker.stop()
        await until(lambda: not gate._courier.linked)
        with anyio.fail_after(5):
            permits = [await gate.admit(another()) for _ in range(5)]
        outbox = gate.current_status().outbox
        house.broker.start()
        await until(lambda: gate._courier.linked)
        again = await gate.admit(another())

    assert {permit.decision.reason for permit in permits} == {Reason.ATTEMPT_UNCONFIRMED}
    assert outbox == 0
    assert again


async def test_tries_in_vain_do_not_count_as_attempts(house: Far) -> None:
    async with one(house, attempts=SOON) as gate:
        house.broker.loses = to("/in")
        for _ in range(5):
            permit = await gate.admit(another())
            assert permit.decision.reason is Reason.ATTEMPT_UNCONFIRMED
        house.broker.loses = lambda _: False
        house.broker.stop()
        house.broker.start()
        await until(lambda: gate._courier.linked)
        assert await gate.admit(another())


async def test_the_word_beyond_a_gap_ends_the_wait_but_no_doubt(house: Far) -> None:
    """What is missing before it may be a refusal."""
    patient = Patience(stragglers=5.0)
    async with two(house, attempts=AttemptSettings(wait=30), patience=patient) as (gate, other):
        await confirmed(gate)
        house.broker.keeps = to("/log")
        await other.record(Refusal(to=OTHER.to, principal="acme"))
        await until(lambda: house.broker.kept)
        house.broker.keeps = lambda _: False  # but what was kept is still missing
        with anyio.fail_after(5):
            permit = await gate.admit(CALL)
        assert await attempts(house, gate) == 0

    assert permit.decision.reason is Reason.NOT_READY


async def test_a_refusal_that_comes_meanwhile_is_the_answer(house: Far) -> None:
    async with one(house) as gate:
        house.broker.keeps = to("/log", "/reply/a")
        permits: list[Permit] = []

        async def ask() -> None:
            permits.append(await gate.admit(CALL))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await until(lambda: house.broker.kept)
            await gate.record(Refusal(to=NUMBER, principal="acme"))
            house.broker.let_go()
        assert await attempts(house, gate) == 0

    assert permits[0].decision.reason is Reason.REFUSED
    assert await answers(house) == [(Verdict.DENY, Reason.REFUSED)]


async def test_an_older_ledger_that_knows_no_caps_allows_nothing(house: Far) -> None:
    async with one(house, attempts=AttemptSettings(wait=30)) as gate:
        house.broker.loses = claims
        permits: list[Permit] = []

        async def ask() -> None:
            permits.append(await gate.admit(CALL))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await until(lambda: gate._books["acme"].claims)
            (name,) = gate._books["acme"].claims._under_way
            told = encode(Rejected(name, "unknown field `cap`"))
            house.broker.publish(Message(str(Topic("acme", "reply", "a")), told))

    assert permits[0].decision.reason is Reason.ATTEMPT_UNCONFIRMED


async def test_with_no_margin_the_ledger_is_never_asked(house: Far) -> None:
    async with one(house, attempts=AttemptSettings(margin=0)) as gate:
        house.broker.keeps = to("/log", "/reply/a")
        permits = [await gate.admit(another()) for _ in range(5)]

    assert [bool(permit) for permit in permits] == [True] * 4 + [False]
    assert not any(map(claims, house.broker.published))


async def test_far_from_the_limit_the_gate_answers_by_itself(house: Far) -> None:
    async with one(house, attempts=AttemptSettings(margin=2)) as gate:
        for asked in (False, False, True, True):
            house.broker.published.clear()
            assert await gate.admit(another())
            await confirmed(gate)
            assert any(map(claims, house.broker.published)) is asked


async def test_what_is_not_canvassing_has_no_limit(house: Far) -> None:
    async with house.ledger(), house.gate(attempts=SOON) as gate:
        assert await gate.ready(5)
        plan = gate._plans["acme-fibre"]
        campaign = msgspec.structs.replace(plan.terms.campaign, commercial=False)
        terms = plan.terms.of(campaign, plan.terms.texts)
        gate._plans["acme-fibre"] = msgspec.structs.replace(plan, terms=terms)
        house.broker.loses = to("/in")

        assert await gate.admit(CALL)


# --- who waits ------------------------------------------------------------------------------------


async def test_nobody_finds_an_allow_before_the_word_is_heard(house: Far) -> None:
    async with one(house) as gate:
        house.broker.keeps = to("/log", "/reply/a")
        permits: list[Permit] = []

        async def ask() -> None:
            permits.append(await gate.admit(CALL))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await until(lambda: house.broker.kept)
            found = gate.permit(CALL.id)
            assert found is not None
            early = bool(found), found.decision.reason
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert permits == []
            house.broker.let_go()

    assert early == (False, Reason.ATTEMPT_UNCONFIRMED)
    assert permits == [found, found]
    assert found
    assert await answers(house) == [(Verdict.ALLOW, Reason.CONSENT)]


async def test_who_gives_up_waiting_gives_the_attempt_back(house: Far) -> None:
    async with one(house, attempts=AttemptSettings(wait=30)) as gate:
        house.broker.keeps = to("/log", "/reply/a")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(gate.admit, CALL)
            await until(lambda: house.broker.kept)
            tasks.cancel_scope.cancel()
        left = gate.permit(CALL.id)
        assert await attempts(house, gate) == 0
        again = await gate.admit(CALL)

    assert left is not None
    assert left.decision.reason is Reason.ATTEMPT_UNCONFIRMED
    assert left is not again
    assert again
    assert await answers(house) == [
        (Verdict.DEFER, Reason.ATTEMPT_UNCONFIRMED),
        (Verdict.ALLOW, Reason.CONSENT),
    ]


async def test_who_gives_up_takes_nothing_from_whoever_still_waits(house: Far) -> None:
    async with one(house, attempts=AttemptSettings(wait=30)) as gate:
        house.broker.keeps = to("/log", "/reply/a")
        permits: list[Permit] = []
        scopes = [anyio.CancelScope(), anyio.CancelScope()]

        async def ask(scope: anyio.CancelScope) -> None:
            with scope:
                permits.append(await gate.admit(CALL))

        async with anyio.create_task_group() as tasks:
            for scope in scopes:
                tasks.start_soon(ask, scope)
            await until(lambda: house.broker.kept)
            scopes[0].cancel()
            await anyio.wait_all_tasks_blocked()
            house.broker.let_go()

    assert [bool(permit) for permit in permits] == [True]


async def test_a_call_told_as_not_placed_before_the_word_is_not_allowed_by_it(house: Far) -> None:
    async with one(house) as gate:
        house.broker.keeps = to("/log", "/reply/a")
        permits: list[Permit] = []

        async def ask() -> None:
            permits.append(await gate.admit(CALL))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await until(lambda: house.broker.kept)
            assert await gate.settle(CALL.id, Outcome.NOT_PLACED)
            house.broker.let_go()
        assert await attempts(house, gate) == 0

    assert not permits[0]


async def test_a_gate_that_closes_meanwhile_allows_nothing(house: Far) -> None:
    permits: list[Permit] = []
    async with anyio.create_task_group() as tasks, one(house, attempts=SOON) as gate:
        house.broker.keeps = to("/log", "/reply/a")

        async def ask() -> None:
            permits.append(await gate.admit(CALL))

        tasks.start_soon(ask)
        await until(lambda: house.broker.kept)

    assert not permits[0]


async def test_what_a_killed_gate_had_asked_for_counts(house: Far) -> None:
    """Nobody knows whether somebody was told."""
    left = house.folder / "killed"
    async with one(house) as gate:
        house.broker.keeps = to("/in")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(gate.admit, CALL)
            await until(lambda: house.broker.kept)
            await anyio.to_thread.run_sync(shutil.copytree, gate.settings.data, left)
            tasks.cancel_scope.cancel()
    house.broker.kept.clear()
    house.broker.let_go()
    async with house.ledger(), house.gate(data=left) as gate:
        assert await gate.ready(5)
        assert await attempts(house, gate) == 1


# --- the evidence ---------------------------------------------------------------------------------


async def test_an_attempt_that_was_taken_in_vain_is_given_back_when_it_cannot_be_proved(
    house: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with one(house) as gate:

        def broken(_: Decided) -> None:
            msg = "the disk is full"
            raise EvidenceError(msg)

        with monkeypatch.context() as patched:
            patched.setattr(gate._registrar, "note", broken)
            permit = await gate.admit(CALL)
        assert await attempts(house, gate) == 0

    assert permit.decision.reason is Reason.EVIDENCE_UNAVAILABLE
    assert (await answers(house))[-1] == (Verdict.DEFER, Reason.EVIDENCE_UNAVAILABLE)


@pytest.mark.parametrize("durability", ["process", "fsync"])
async def test_every_answer_follows_from_its_record(house: Far, durability: str) -> None:
    quick = AttemptSettings(wait=0.5)
    async with two(house, attempts=quick, durability=durability) as gates:
        permits = await compete(house, *gates)
        assert sum(map(bool, permits)) == 1
        other = msgspec.structs.replace(CONSENT, to="+33639980002", id="other")
        await gates[0].record(other)
        await until(lambda: gates[0].check(OTHER).allowed)
        house.broker.keeps = to("/in")
        assert not await gates[0].admit(OTHER)
    for name in ("a", "b"):
        replayed = replay(await evidence(house, name))
        assert replayed.differing == 0, replayed.first
        assert replayed.decisions > 0
