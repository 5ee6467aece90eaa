"""A ledger speaks only if nobody before it knew what it does not know."""

import shutil
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from tests.unit.test_gate import CALL, CONSENT, NUMBER, House, confirmed, until

from ringfence import Gate, Reason, Refusal
from ringfence.ledger.service import Ledger
from ringfence.ledger.succession import Contested
from ringfence.replica import Replica


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def copy(house: House, name: str, new: str) -> None:
    for tail in ("", "-wal", "-shm"):
        old = house.folder / f"{name}{tail}"
        if old.exists():
            shutil.copy(old, house.folder / f"{new}{tail}")


async def spoken(ledger: Ledger) -> None:
    await until(lambda: ledger.speaks)


def seq_of_head(gate: Gate) -> int:
    replica = gate._books["acme"].replica
    assert isinstance(replica, Replica)
    return 0 if replica.head is None else replica.head.seq


async def test_a_ledger_restored_from_a_copy_says_nothing_until_it_is_told_to_take_over(
    house: House,
) -> None:
    """What it has lost was told to gates: somebody's refusal."""
    async with house.gate() as gate:
        async with house.ledger():
            assert await gate.ready(5)
            await gate.record(CONSENT)
            await confirmed(gate)
        await anyio.to_thread.run_sync(copy, house, "ledger.sqlite", "copy.sqlite")
        async with house.ledger():
            await gate.record(Refusal(to=NUMBER, principal="acme"))
            await until(lambda: seq_of_head(gate) == 2)
        await anyio.to_thread.run_sync(copy, house, "copy.sqlite", "ledger.sqlite")

        with pytest.raises(ExceptionGroup) as raised:
            async with house.ledger():
                await anyio.sleep_forever()
        before = gate.check(CALL)
        async with house.ledger(take_over=True):
            await gate.record(Refusal(to=NUMBER, principal="acme"))
            await confirmed(gate)
            assert await gate.ready(5)
            after = gate.check(CALL)

    assert raised.group_contains(Contested, match="up to change 2 of epoch .* stands at change 1")
    assert before.reason is after.reason is Reason.REFUSED


async def test_a_ledger_on_a_new_database_says_nothing_where_another_has_spoken(
    house: House,
) -> None:
    """As after a slip in the path: it knows nobody, and nobody's refusal."""
    async with house.open() as gate:
        await confirmed(gate)
    other = House(house.folder / "other")
    other.broker, other.clock = house.broker, house.clock

    with pytest.raises(ExceptionGroup) as raised:
        async with other.ledger():
            await anyio.sleep_forever()

    assert raised.group_contains(Contested, match="serve with --take-over")


async def test_a_second_ledger_is_noticed_by_the_first(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    other = House(house.folder / "other")
    other.broker, other.clock = house.broker, house.clock
    other.clock.advance(1)
    async with house.ledger(), other.ledger(take_over=True):
        await until(lambda: "another ledger speaks for acme" in caplog.text)


async def test_a_ledger_that_comes_back_goes_on(house: House) -> None:
    async with house.gate() as gate:
        for _ in range(2):
            async with house.ledger() as ledger:
                await spoken(ledger)
                assert await gate.ready(5)
