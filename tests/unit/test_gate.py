"""The gate with a real ledger, on a broker in memory and a clock that is set."""

import asyncio
import os
import resource
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import anyio
import msgspec
import pytest

from ringfence import (
    Call,
    Consent,
    Gate,
    Objection,
    OutboxError,
    Outcome,
    Reason,
    Refusal,
    Verdict,
)
from ringfence.campaign import MENTIONS, Campaign, Channel, DialMode, Text
from ringfence.config import GateSettings, LedgerSettings, PrincipalSettings, Settings
from ringfence.ledger.service import Ledger
from ringfence.link import Broker, Message
from ringfence.permit import Permit
from ringfence.row import Restraint
from ringfence.testing import Clock, MemoryBroker, serve_ledger
from ringfence.wire import Config, encode

TUESDAY = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
NUMBER = "+33639980001"
CALL = Call(to=NUMBER, campaign="acme-fibre", caller_id="+33162000001")
CONSENT = Consent(
    to=NUMBER,
    principal="acme",
    purpose="fibre",
    text="web-1",
    at=datetime(2026, 9, 1, 10, tzinfo=UTC),
)


def settings(folder: Path, gate: str = "a") -> Settings:
    return Settings(
        gate=GateSettings(id=gate, data=folder / gate, principals=["acme"]),
        ledger=LedgerSettings(database=folder / "ledger.sqlite", heartbeat=0.02),
        principals={
            "acme": PrincipalSettings(
                secret=bytes(range(32)).hex(),
                texts={
                    "web-1": Text(
                        mentions=MENTIONS,
                        parties=frozenset(["acme", "callco"]),
                        channel=Channel.WEB,
                    )
                },
            )
        },
        campaigns={
            "acme-fibre": Campaign(
                principal="acme",
                purpose="fibre",
                sector="telecom",
                operator="callco",
                dial_mode=DialMode.PREVIEW,
                caller_ids=frozenset(["+33162000001"]),
            )
        },
    )


class House:
    """A ledger and what gates need to join it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock(TUESDAY)
        self.broker = MemoryBroker()

    def gate(self, name: str = "a", **changes: object) -> Gate:
        given = settings(self.folder, name)
        assert given.gate is not None
        given = msgspec.structs.replace(given, gate=msgspec.structs.replace(given.gate, **changes))
        return Gate(given, clock=self.clock, connect=self.broker.connect)

    @asynccontextmanager
    async def ledger(self, *, take_over: bool = False) -> AsyncIterator[Ledger]:
        serving = serve_ledger(settings(self.folder), self.clock, self.broker, take_over=take_over)
        async with serving as ledger:
            yield ledger

    @asynccontextmanager
    async def open(self, **changes: object) -> AsyncIterator[Gate]:
        """A gate that is ready, and whose ledger knows one consent."""
        async with self.ledger(), self.gate("a", **changes) as gate:
            assert await gate.ready(5)
            await gate.record(CONSENT)
            await until(lambda: gate.check(CALL).allowed)
            yield gate


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def until(holds: Callable[[], object]) -> None:
    """Await what other tasks bring about; the test's time limit ends it."""
    while not holds():
        await anyio.lowlevel.checkpoint()


async def confirmed(gate: Gate) -> None:
    await until(lambda: gate.current_status().outbox == 0)


# --- failing closed ------------------------------------------------------------------------------


async def test_a_gate_that_is_not_open_defers_everything(house: House) -> None:
    decision = house.gate().check(CALL)

    assert (decision.verdict, decision.reason) == (Verdict.DEFER, Reason.NOT_READY)


async def test_without_a_ledger_no_call_is_allowed_and_ready_says_what_is_missing(
    house: House,
) -> None:
    async with house.gate() as gate:
        ready = await gate.ready(0.05)
        decision = gate.check(CALL)

    assert not ready
    assert "acme: not_ready" in str(ready)
    assert (decision.verdict, decision.reason) == (Verdict.DEFER, Reason.NOT_READY)


async def test_a_dialer_that_does_nothing_but_ask_lets_the_gate_become_ready(house: House) -> None:
    async with house.ledger(), house.gate() as gate:
        while (await gate.admit(CALL)).decision.reason is Reason.NOT_READY:
            pass


async def test_an_empty_table_allows_nothing(house: House) -> None:
    async with house.ledger(), house.gate() as gate:
        assert await gate.ready(5)
        decision = gate.check(CALL)

    assert (decision.verdict, decision.reason) == (Verdict.DENY, Reason.NO_GROUND)


async def test_a_campaign_nobody_knows_is_denied_once_all_campaigns_are_known(
    house: House,
) -> None:
    call = msgspec.structs.replace(CALL, campaign="acme-other")
    async with house.gate() as gate:
        before = gate.check(call)
        async with house.ledger():
            assert await gate.ready(5)
            after = gate.check(call)

    assert (before.verdict, before.reason) == (Verdict.DEFER, Reason.NOT_READY)
    assert (after.verdict, after.reason) == (Verdict.DENY, Reason.UNKNOWN_CAMPAIGN)


async def test_silence_makes_a_replica_stale_and_a_head_makes_it_fresh(house: House) -> None:
    async with house.open() as gate:
        house.broker.stop()
        house.clock.advance(61)
        stale = gate.check(CALL)
        house.broker.start()
        await until(lambda: gate.check(CALL).allowed)

    assert (stale.verdict, stale.reason) == (Verdict.DEFER, Reason.STALE)


async def test_a_clock_that_steps_allows_nothing_from_that_moment(house: House) -> None:
    async with house.open() as gate:
        house.broker.stop()
        house.clock.step(6)
        skewed = gate.check(CALL)
        house.clock.step(-6)
        right = gate.check(CALL)

    assert (skewed.verdict, skewed.reason) == (Verdict.DEFER, Reason.CLOCK_SKEW)
    assert right.allowed


async def test_a_forked_child_allows_nothing(house: House) -> None:
    async with house.open() as gate:
        child = os.fork()
        if child == 0:
            decision = gate.check(CALL)
            os._exit(0 if decision.reason is Reason.FORKED and not decision else 1)
        _, status = await anyio.to_thread.run_sync(os.waitpid, child, 0)

    assert os.waitstatus_to_exitcode(status) == 0


async def test_a_full_disk_defers_and_recovers_without_a_restart(house: House) -> None:
    async with house.open() as gate:
        await confirmed(gate)
        with full_disk():
            permit = await gate.admit(CALL)
            checked = gate.check(CALL)
        await until(lambda: gate.check(CALL).allowed)
        again = await gate.admit(Call(to=NUMBER, campaign="acme-fibre", caller_id="+33162000001"))

    assert not permit
    assert permit.decision.reason is Reason.EVIDENCE_UNAVAILABLE
    assert checked.reason is Reason.EVIDENCE_UNAVAILABLE
    assert again


async def test_a_disk_too_full_for_the_tables_stops_no_gate(house: House) -> None:
    """Another ledger has taken over, and there is no space for its rows until later."""
    other = House(house.folder / "other")
    other.broker, other.clock = house.broker, house.clock
    async with house.gate() as gate:
        async with house.ledger():
            assert await gate.ready(5)
            await gate.record(CONSENT)
            await confirmed(gate)
        house.broker.stop()
        house.broker._retained.clear()  # it was begun anew too, and remembers no other ledger
        other.clock.advance(1)
        async with other.ledger():
            with full_disk():
                house.broker.start()
                await until(lambda: gate.current_status().dropped)
                doubtful = gate.check(CALL)
            await until(lambda: gate.current_status().principals["acme"].grounds == 0)
            assert await gate.ready(5)
            later = gate.check(CALL)

    assert doubtful.verdict is Verdict.DEFER
    assert later.reason is Reason.NO_GROUND


async def test_a_refusal_that_cannot_be_written_counts_at_once_and_is_written_later(
    house: House,
) -> None:
    async with house.open() as gate:
        await confirmed(gate)
        with full_disk(), pytest.raises(OutboxError):
            await gate.record(Refusal(to=NUMBER, principal="acme"))
        at_once = gate.check(CALL)
        await until(lambda: gate.current_status().writable)
        await confirmed(gate)
        later = gate.check(CALL)

    assert not at_once
    assert (later.verdict, later.reason) == (Verdict.DENY, Reason.REFUSED)


# --- permits ------------------------------------------------------------------------------------


async def test_the_same_call_asked_twice_is_one_attempt(house: House) -> None:
    async with house.open() as gate:
        first, second = await gate.admit(CALL), await gate.admit(CALL)
        await confirmed(gate)
        others = [await gate.admit(another()) for _ in range(4)]

    assert first is second
    assert [bool(permit) for permit in others] == [True, True, True, False]
    assert others[3].decision.reason is Reason.ATTEMPT_LIMIT


@pytest.mark.parametrize(
    "other",
    [
        {"to": "+33639980002"},
        {"caller_id": "+33162000009"},
        {"consumer": "crm-1"},
        {"zone": "Europe/Paris"},
    ],
)
async def test_an_id_cannot_be_used_for_another_call(house: House, other: dict[str, str]) -> None:
    async with house.open() as gate:
        await gate.admit(CALL)
        with pytest.raises(ValueError, match="this id is that of another call"):
            await gate.admit(msgspec.structs.replace(CALL, **other))


async def test_a_moment_of_doubt_does_not_reserve_a_second_attempt(house: House) -> None:
    async with house.open() as gate:
        first = await gate.admit(CALL)
        house.clock.step(60)
        doubtful = await gate.admit(CALL)
        house.clock.step(-60)
        again = await gate.admit(CALL)
        await gate.settle(CALL.id, Outcome.NOT_PLACED)

    assert (bool(first), bool(doubtful), again is first) == (True, False, True)
    assert first.outcome is Outcome.NOT_PLACED


async def test_asked_again_while_the_disk_is_waited_for_nobody_is_told_before(
    house: House,
) -> None:
    """The first asker may be gone by then."""
    async with house.open():
        pass
    async with house.ledger(), house.gate(durability="fsync") as gate:
        assert await gate.ready(5)
        goes_on = threading.Event()
        sync = gate._registrar.flush._sync
        gate._registrar.flush._sync = lambda: (goes_on.wait(30), sync())[1]
        permits: list[Permit] = []

        async def ask() -> None:
            permits.append(await gate.admit(CALL))

        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as first:
                first.cancel()
                await gate.admit(CALL)
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            early = list(permits)
            goes_on.set()

    assert early == []
    assert [bool(permit) for permit in permits] == [True]


async def test_a_permit_asked_for_again_is_not_given_over_a_refusal(house: House) -> None:
    async with house.open() as gate:
        await gate.admit(CALL)
        await gate.record(Refusal(to=NUMBER, principal="acme"))
        again = await gate.admit(CALL)

    assert not again
    assert again.decision.reason is Reason.REFUSED


async def test_a_call_that_was_not_placed_gives_its_attempt_back(house: House) -> None:
    async with house.open() as gate:
        for _ in range(6):
            permit = await gate.admit(another())
            assert permit
            await permit.close(Outcome.NOT_PLACED)
            await permit.close(Outcome.NOT_PLACED)
            await confirmed(gate)


async def test_an_attempt_given_back_by_mistake_counts_after_all(house: House) -> None:
    async with house.open() as gate:
        for _ in range(4):
            permit = await gate.admit(another())
            await permit.close(Outcome.NOT_PLACED)
            await permit.close(Outcome.NO_ANSWER)
            await permit.close(Outcome.NOT_PLACED)
            await confirmed(gate)
        fifth = await gate.admit(another())

    assert fifth.decision.reason is Reason.ATTEMPT_LIMIT


async def test_an_attempt_given_back_by_mistake_counts_at_once_without_a_link(
    house: House,
) -> None:
    async with house.open() as gate:
        permit = await gate.admit(CALL)
        await permit.close(Outcome.NOT_PLACED)
        await confirmed(gate)
        house.broker.stop()
        house.clock.step(-1)
        await permit.close(Outcome.ANSWERED)
        restraint = gate._plans["acme-fibre"].read(NUMBER, CALL).rows[1][0]
        house.broker.start()
        await confirmed(gate)
        later = gate._plans["acme-fibre"].read(NUMBER, CALL).rows[1][0]

    assert Restraint.unpack(restraint).attempts[0] > 0
    assert Restraint.unpack(later).attempts[0] > 0


async def test_a_refusal_told_before_any_campaign_is_known_is_not_lost(house: House) -> None:
    """After a restart without a broker the gate knows the call, and not yet its campaign."""
    async with house.gate() as gate:
        assert await gate.settle("of yesterday", Outcome.REFUSED, call=CALL)
        assert gate.current_status().outbox == 1
        async with house.ledger():
            assert await gate.ready(5)
            await gate.record(CONSENT)
            await confirmed(gate)

            assert gate.check(CALL).reason is Reason.REFUSED


async def test_each_opening_numbers_its_decisions_under_a_name_of_its_own(house: House) -> None:
    """Processes forked from one that had made the gate would use the same names."""
    gate = house.gate()
    names = set()
    for _ in range(2):
        async with gate:
            names.add(gate.check(CALL).id)

    assert len({name.split("-")[0] for name in names}) == 2


def test_a_gate_opens_again_in_another_event_loop(house: House) -> None:
    given = settings(house.folder)
    assert given.gate is not None
    nobody = Broker(port=9)
    waits = msgspec.structs.replace(given.gate, durability="fsync")
    gate = Gate(msgspec.structs.replace(given, broker=nobody, gate=waits))

    async def once() -> Reason:
        async with gate:
            return (await gate.admit(CALL)).decision.reason

    assert [asyncio.run(once()), asyncio.run(once())] == [Reason.NOT_READY] * 2


async def test_opened_again_the_first_call_is_admitted(house: House) -> None:
    async with house.open():
        pass
    gate = house.gate(durability="fsync")
    async with house.ledger():
        for name in ("a", "b"):
            async with gate:
                assert await gate.ready(5)
                assert await gate.admit(msgspec.structs.replace(CALL, id=name))


async def test_a_campaign_that_two_principals_have_is_nobodys(house: House) -> None:
    given = settings(house.folder)
    assert given.gate is not None
    secret = PrincipalSettings(secret=bytes(range(1, 33)).hex())
    both = msgspec.structs.replace(
        given,
        gate=msgspec.structs.replace(given.gate, principals=["acme", "zenith"]),
        principals={**given.principals, "zenith": secret},
    )
    theirs = msgspec.structs.replace(given.campaigns["acme-fibre"], principal="zenith")
    stolen = given.campaigns["acme-fibre"]
    async with house.ledger(), Gate(both, clock=house.clock, connect=house.broker.connect) as gate:
        await until(lambda: gate._plans)

        def tell(campaigns: dict[str, Campaign], version: int) -> None:
            config = Config(1, version, campaigns, {}, {})
            house.broker.publish(Message("ringfence/1/zenith/config", encode(config)))

        tell({"acme-fibre": stolen}, 1)
        await until(lambda: gate._books["zenith"].config == 1)
        mine = gate.campaign("acme-fibre").principal
        tell({"acme-fibre": theirs}, 2)
        await until(lambda: gate._books["zenith"].config == 2)
        disputed = gate.check(CALL)
        tell({}, 3)
        await until(lambda: gate._books["zenith"].config == 3)
        again = gate.campaign("acme-fibre").principal

    assert mine == again == "acme"
    assert (disputed.verdict, disputed.reason) == (Verdict.DEFER, Reason.NOT_READY)


async def test_outcomes_do_not_count_an_attempt_twice(house: House) -> None:
    async with house.open() as gate:
        for outcome in (Outcome.NO_ANSWER, Outcome.BUSY, Outcome.VOICEMAIL):
            permit = await gate.admit(another())
            await confirmed(gate)
            await permit.close(outcome)
            await permit.close(Outcome.ANSWERED)
        fourth = await gate.admit(another())

    assert fourth


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [(Outcome.REFUSED, Reason.REFUSED), (Outcome.OBJECTED, Reason.OBJECTED)],
)
async def test_a_refusal_told_after_another_outcome_is_not_lost(
    house: House, outcome: Outcome, reason: Reason
) -> None:
    async with house.open() as gate:
        permit = await gate.admit(CALL)
        await permit.close(Outcome.ANSWERED)
        await permit.close(outcome)
        at_once = gate.check(CALL)
        await confirmed(gate)
        later = gate.check(CALL)

    assert (at_once.reason, later.reason) == (reason, reason)


async def test_a_refusal_is_recorded_even_for_a_call_that_was_not_allowed(house: House) -> None:
    unknown = Call(to="+33639980002", campaign="acme-fibre", caller_id="+33162000001")
    async with house.open() as gate:
        permit = await gate.admit(unknown)
        await permit.close(Outcome.REFUSED)

        assert not permit
        assert gate.check(unknown).reason is Reason.REFUSED


async def test_a_refusal_of_a_call_from_before_the_restart_is_recorded(house: House) -> None:
    async with house.open() as gate:
        permit = await gate.admit(CALL)
        assert permit
    async with house.ledger(), house.gate() as gate:
        assert await gate.ready(5)
        assert not await gate.settle(CALL.id, Outcome.NO_ANSWER, call=CALL)
        assert await gate.settle(CALL.id, Outcome.REFUSED, call=CALL)

        assert gate.check(CALL).reason is Reason.REFUSED


async def test_with_fsync_an_admitted_attempt_has_reached_the_disk(house: House) -> None:
    async with house.open():
        pass
    async with house.ledger(), house.gate(durability="fsync") as gate:
        assert await gate.ready(5)
        permits = []
        async with anyio.create_task_group() as tasks:

            async def admit(number: int) -> None:
                call = Call(
                    to=f"+3363998{number:04}", campaign="acme-fibre", caller_id="+33162000001"
                )
                permits.append(await gate.admit(call))

            for number in range(20):
                tasks.start_soon(admit, number)

    assert len(permits) == 20
    assert sum(map(bool, permits)) == 1


# --- own events, other gates, restarts ----------------------------------------------------------


async def test_a_refusal_at_one_gate_stops_another(house: House) -> None:
    async with house.open() as here, house.gate("b") as there:
        assert await there.ready(5)
        await until(lambda: there.check(CALL))
        await here.record(Refusal(to="06 39 98 00 01", principal="acme"))
        await until(lambda: not there.check(CALL))

        assert there.check(CALL).reason is Reason.REFUSED


async def test_a_refusal_counts_here_while_the_broker_is_gone_and_reaches_the_ledger_later(
    house: House,
) -> None:
    async with house.open() as here, house.gate("b") as there:
        assert await there.ready(5)
        await confirmed(here)
        house.broker.stop()
        await here.record(Refusal(to=NUMBER, principal="acme"))
        at_once = here.check(CALL)
        house.broker.start()
        await confirmed(here)
        await until(lambda: not there.check(CALL))

    assert at_once.reason is Reason.REFUSED


async def test_what_a_closed_gate_had_not_sent_is_sent_after_its_next_start(
    house: House,
) -> None:
    async with house.open() as gate:
        await confirmed(gate)
        house.broker.stop()
        await gate.record(Objection(to=NUMBER, principal="acme"))
    house.broker.start()
    async with house.ledger() as ledger, house.gate() as gate:
        assert await gate.ready(5)
        await confirmed(gate)

        assert ledger.sequencers["acme"].seq == 2
        assert gate.check(CALL).reason is Reason.OBJECTED


async def test_a_warm_gate_is_believed_only_after_a_head(house: House) -> None:
    async with house.open() as gate:
        await confirmed(gate)
    house.broker.stop()
    async with house.gate() as gate:
        before = gate.current_status().principals["acme"]
        cold = gate.check(CALL)
        house.broker.start()
        async with house.ledger():
            assert await gate.ready(5)
            warm = gate.check(CALL)

    assert before.grounds == 1
    assert cold.reason is Reason.NOT_READY
    assert warm.allowed


async def test_a_rejected_event_is_kept_and_counted(house: House) -> None:
    async with house.open() as gate:
        await confirmed(gate)
        await gate.record(msgspec.structs.replace(CONSENT, id="odd", text="no-such-text"))
        await until(lambda: gate.current_status().rejected == 1)

        assert gate.current_status().outbox == 1


async def test_an_event_for_a_principal_that_is_not_served_is_refused_with_its_name(
    house: House,
) -> None:
    async with house.open() as gate:
        with pytest.raises(ValueError, match=r"'zenith' \(it serves acme\)"):
            await gate.record(Refusal(to=NUMBER, principal="zenith"))


async def test_a_message_that_cannot_be_read_is_counted_and_changes_nothing(
    house: House,
) -> None:
    async with house.open() as gate:
        link = gate._liaison._link
        assert link is not None
        for what in ("head", "log", "snapshot", "config", "reply/a"):
            await link.publish(f"ringfence/1/acme/{what}", b"\xc1garbage")

        assert gate.current_status().dropped == 5
        assert gate.check(CALL)


async def test_the_status_begins_with_how_it_is_now_and_tells_of_changes(house: House) -> None:
    async with house.open() as gate:
        seen = []
        async for status in gate.status:
            seen.append((status.link, status.healthy))
            if len(seen) == 1:
                house.broker.stop()
            elif status.link != "up":
                break

    assert seen[0] == ("up", True)
    assert seen[-1][0].startswith("down")


async def test_an_outcome_told_to_a_closed_gate_is_refused_and_not_lost_in_silence(
    house: House,
) -> None:
    async with house.open() as gate:
        permit = await gate.admit(CALL)
    with pytest.raises(
        OutboxError, match=r"nothing is recorded of call [0-9a-f-]+: the gate is closed"
    ):
        await permit.close(Outcome.REFUSED)

    async with house.ledger(), gate:
        assert await gate.ready(5)
        await permit.close(Outcome.REFUSED)
        assert gate.check(CALL).reason is Reason.REFUSED


async def test_an_error_in_its_block_leaves_a_gate_as_it_is(house: House) -> None:
    own = OSError("the dialer's own")

    async def dial() -> None:
        async with house.gate():
            raise own

    with pytest.raises(OSError, match="the dialer's own"):
        await dial()


async def test_of_a_number_abroad_there_is_nothing_to_explain(house: House) -> None:
    abroad = msgspec.structs.replace(CALL, to="+21671000000")
    async with house.open() as gate:
        assert gate.explain(abroad) == []
        assert gate.check(abroad).reason is Reason.UNSUPPORTED_DESTINATION
        with pytest.raises(LookupError, match="'typo'; there are acme-fibre"):
            gate.explain(msgspec.structs.replace(CALL, campaign="typo"))


async def test_closing_twice_is_harmless_and_a_gate_opens_again(house: House) -> None:
    gate = house.gate()
    async with house.ledger():
        for _ in range(2):
            async with gate:
                assert await gate.ready(5)
            await gate.__aexit__(None, None, None)

    assert gate.check(CALL).reason is Reason.NOT_READY


def another() -> Call:
    return Call(to=NUMBER, campaign="acme-fibre", caller_id="+33162000001")


class full_disk:  # noqa: N801 - used as a statement
    """No file of this process can grow beyond *size*: every write behind it fails."""

    def __init__(self, size: int = 1) -> None:
        self._size = size

    def __enter__(self) -> None:
        self._ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._size, self._limits[1]))

    def __exit__(self, *error: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)
        signal.signal(signal.SIGXFSZ, self._ignored)
