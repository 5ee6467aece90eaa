"""A call under way is left when its person says no, wherever that is heard."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from tests.unit.test_gate import CALL, NUMBER, House, until

from ringfence import Gate, InvalidNumber, Objection, Outcome, Reason, Refusal, Verdict, Withdrawal
from ringfence.decision import Decision
from ringfence.event import Event
from ringfence.table import TableError
from ringfence.watch import AT_ONCE, Watch, Watches

REFUSED = Decision(Verdict.DENY, Reason.REFUSED)
ELSEWHERE = Refusal(to="+33639980002", principal="acme")


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@asynccontextmanager
async def two_gates(house: House) -> AsyncIterator[tuple[Gate, Gate]]:
    async with house.open() as here, house.gate("b") as there:
        assert await there.ready(5)
        yield here, there


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (Refusal(to=NUMBER, principal="acme"), Reason.REFUSED),
        (Objection(to=NUMBER, principal="acme"), Reason.OBJECTED),
        (Withdrawal(to=NUMBER, principal="acme", purpose="fibre"), Reason.CONSENT_WITHDRAWN),
    ],
)
async def test_what_a_person_says_at_another_gate_ends_the_call(
    house: House, event: Event, reason: Reason
) -> None:
    async with two_gates(house) as (here, there), anyio.create_task_group() as tasks:
        permit = await here.admit(CALL)
        async with here.watch(CALL) as watch:
            tasks.start_soon(there.record, event)
            await anyio.sleep_forever()

        assert permit
        assert watch.revoked
        assert watch.decision is not None
        assert (watch.decision.verdict, watch.decision.reason) == (Verdict.DENY, reason)


async def test_an_agents_own_note_ends_the_call_too(house: House) -> None:
    async with house.open() as gate, gate.watch(CALL) as watch:
        await gate.record(Refusal(to=NUMBER, principal="acme"))
        await anyio.sleep_forever()

    assert watch.decision is not None
    assert watch.decision.reason is Reason.REFUSED


async def test_a_refusal_between_permit_and_watch_is_not_missed(house: House) -> None:
    async with house.open() as gate:
        await gate.admit(CALL)
        await gate.record(Refusal(to=NUMBER, principal="acme"))
        async with gate.watch(CALL) as watch:
            await anyio.sleep_forever()

    assert watch.revoked


async def test_what_others_say_and_the_calls_own_attempt_do_not_end_it(house: House) -> None:
    async with two_gates(house) as (here, there):
        permit = await here.admit(CALL)
        async with here.watch(CALL) as watch:
            await there.record(ELSEWHERE)
            await permit.close(Outcome.ANSWERED)
            await until(lambda: here.current_status().principals["acme"].restraints == 2)

    assert not watch.revoked


async def test_a_watch_that_ended_hears_no_more(house: House) -> None:
    async with house.open() as gate:
        async with gate.watch(CALL) as watch:
            pass
        await gate.record(Refusal(to=NUMBER, principal="acme"))

    assert not watch.revoked


async def test_a_refusal_that_was_told_while_the_gate_was_away_ends_the_call(house: House) -> None:
    """What it missed is told to it again, and to it alone."""
    async with two_gates(house) as (here, there):
        async with here.watch(CALL) as watch:
            house.broker.stop()
            await there.record(Refusal(to=NUMBER, principal="acme"))
            house.broker.start()
            await anyio.sleep_forever()

        assert watch.revoked


async def test_of_many_calls_each_is_looked_at_once_some_in_each_turn() -> None:
    """After a load anything may have been said of anyone; the event loop is not held for it."""
    watches, looked = Watches(), []

    def watch(key: int) -> Watch:
        def judge() -> None:
            looked.append(key)

        return Watch([key, -key], judge, watches)

    under_way = {key: watch(key) for key in range(1, 3 * AT_ONCE + 1)}
    for one in under_way.values():
        watches.add(one)

    watches.look_at_all()
    assert len(looked) == AT_ONCE
    for key in (under_way.keys() - looked) & set(range(1, 3 * AT_ONCE, 2)):
        watches.drop(under_way.pop(key))  # calls that end meanwhile are not looked at
    while watches.look_on():
        pass

    assert sorted(looked) == sorted(under_way)


async def test_a_look_that_could_not_tell_is_repeated() -> None:
    """As where another process was stopped while it wrote the row."""
    watches = Watches()
    said: list[Decision | TableError] = [TableError("half written"), TableError("still"), REFUSED]

    def judge() -> Decision:
        told = said.pop(0)
        if isinstance(told, TableError):
            raise told
        return told

    async with Watch([1], judge, watches) as watch:
        watches.look_again()
        assert not watch.revoked
        watches.look_again()
        await anyio.sleep_forever()

    assert watch.decision == REFUSED


async def test_a_call_nobody_could_place_is_not_watched(house: House) -> None:
    async with house.open() as gate:
        with pytest.raises(LookupError, match="no campaign is called 'typo'; there are acme-fibre"):
            gate.watch(type(CALL)(to=NUMBER, campaign="typo"))
        with pytest.raises(InvalidNumber):
            gate.watch(type(CALL)(to="x", campaign="acme-fibre"))


async def test_a_watch_that_begins_when_its_gate_is_closed_hears_nothing(house: House) -> None:
    async with house.open() as gate:
        late = gate.watch(CALL)
    async with late:
        pass

    assert not late.revoked
