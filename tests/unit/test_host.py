"""Gates that share a machine: one keeps the tables in step, all read; on a broker in memory."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import msgspec
import pytest
from tests.unit.test_gate import CALL, CONSENT, NUMBER, House, confirmed, until

from ringfence import Gate, Objection, OutboxError, Outcome, Reason, Refusal, Verdict, syncer
from ringfence.bulletin import Bulletin, BulletinBusy, BulletinError, BulletinFull
from ringfence.config import AttemptSettings, GateSettings
from ringfence.follower import Follower
from ringfence.host import bulletin_of, tables_of
from ringfence.locks import Lock
from ringfence.replica import UNSURE
from ringfence.row import Facts
from ringfence.table import Rows, Table, TableError

LOCAL = AttemptSettings(margin=0)
REFUSAL = Refusal(to=NUMBER, principal="acme")
REFUSAL_OF_ANOTHER = Refusal(to="+33639980002", principal="acme")


class Machine(House):
    """A machine whose gates share, and a ledger elsewhere."""

    def member(self, **changes: object) -> Gate:
        return self.gate("shared", share=True, **({"attempts": LOCAL} | changes))

    @property
    def data(self) -> Path:
        return self.folder / "shared"

    @asynccontextmanager
    async def two(self) -> AsyncIterator[tuple[Gate, Gate]]:
        """Two gates that are ready, and a person who may be called."""
        async with self.ledger(), self.member() as one, self.member() as other:
            await self.ready(one, other)
            yield one, other

    def allows(self, gate: Gate) -> bool:
        return gate.check(CALL).allowed

    async def ready(self, *gates: Gate) -> None:
        for gate in gates:
            assert await gate.ready(5)
        await gates[0].record(CONSENT)
        for gate in gates:
            await until(partial(self.allows, gate))
        await confirmed(gates[0])


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


async def test_gates_of_one_machine_answer_from_the_same_tables(machine: Machine) -> None:
    async with machine.two() as gates:
        for gate in gates:
            await until(lambda: gate.current_status().principals["acme"].grounds == 1)  # noqa: B023 - at once

    folders = sorted(path.name for path in machine.data.iterdir() if path.is_dir())
    assert folders == ["1", "2", "evidence", "tables"]


async def test_each_gate_has_a_name_of_its_own(machine: Machine) -> None:
    async with machine.two() as (one, other):
        decisions = [
            await one.admit(CALL),
            await other.admit(msgspec.structs.replace(CALL, id="b")),
        ]
        await until(
            lambda: {m.topic for m in machine.broker.published} >= {
                "ringfence/1/acme/gate/shared-1", "ringfence/1/acme/gate/shared-2",
            }
        )  # fmt: skip

    assert all(decisions)


async def test_a_refusal_in_one_gate_counts_at_once_in_the_others(machine: Machine) -> None:
    async with machine.two() as (one, other):
        machine.broker.stop()
        permit = await one.admit(CALL)
        await permit.close(Outcome.REFUSED)
        decision = other.check(CALL)

    assert (decision.verdict, decision.reason) == (Verdict.DENY, Reason.REFUSED)


async def test_gates_of_one_machine_make_four_attempts_together_without_the_ledger(
    machine: Machine,
) -> None:
    async with machine.two() as (one, other):
        machine.broker.stop()
        calls = [msgspec.structs.replace(CALL, id=f"call-{n}") for n in range(10)]
        permits = [await (one, other)[n % 2].admit(call) for n, call in enumerate(calls)]

    assert [bool(permit) for permit in permits] == [True] * 4 + [False] * 6
    assert permits[-1].decision.reason is Reason.ATTEMPT_LIMIT


async def test_all_that_is_told_of_a_call_reaches_the_ledger_and_leaves_the_outbox(
    machine: Machine,
) -> None:
    async with machine.two() as (one, other):
        permit = await one.admit(CALL)
        await permit.close(Outcome.NO_ANSWER)
        await permit.close(Outcome.REFUSED)
        await confirmed(one)
        reasons = {gate.check(CALL).reason for gate in (one, other)}

    assert reasons == {Reason.REFUSED}


async def test_an_attempt_that_is_given_back_is_there_for_the_others(machine: Machine) -> None:
    async with machine.two() as (one, other):
        calls = [msgspec.structs.replace(CALL, id=f"call-{n}") for n in range(6)]
        permits = [await one.admit(call) for call in calls[:4]]
        before = await other.admit(calls[4])
        await permits[0].close(Outcome.NOT_PLACED)
        await confirmed(one)
        await until(lambda: other.check(CALL).allowed)
        after = await other.admit(calls[5])

    assert (bool(before), bool(after)) == (False, True)


async def test_what_the_ledger_has_is_counted_once(machine: Machine) -> None:
    async with machine.two() as (one, other):
        calls = [msgspec.structs.replace(CALL, id=f"call-{n}") for n in range(5)]
        for n, call in enumerate(calls[:3]):
            assert await (one, other)[n % 2].admit(call)
        await confirmed(one)
        await confirmed(other)
        fourth = await other.admit(calls[3])
        fifth = await one.admit(calls[4])

    assert (bool(fourth), bool(fifth)) == (True, False)


async def test_a_call_under_way_in_one_gate_is_ended_by_a_refusal_in_another(
    machine: Machine,
) -> None:
    async with machine.two() as (one, other):
        machine.broker.stop()
        async with other.watch(CALL) as watch:
            await one.record(REFUSAL)
            await anyio.sleep_forever()

    assert watch.revoked


async def live(gate: Gate, until_then: anyio.Event, over: anyio.Event) -> None:
    async with gate:
        await until_then.wait()
    over.set()


async def test_when_the_gate_that_syncs_ends_another_goes_on(machine: Machine) -> None:
    end, over = anyio.Event(), anyio.Event()
    async with machine.ledger(), anyio.create_task_group() as tasks:
        first = machine.member()
        tasks.start_soon(live, first, end, over)
        await until(lambda: first.current_status().principals)
        assert await first.ready(5)
        async with machine.member() as other:
            await machine.ready(first, other)
            end.set()
            await over.wait()
            machine.clock.advance(61)
            left = other.check(CALL)
            await until(lambda: other.check(CALL).allowed)
            await other.record(REFUSAL)
            await confirmed(other)

    assert (left.verdict, left.reason) == (Verdict.DEFER, Reason.STALE)


async def test_without_a_syncer_the_tables_become_stale(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syncer, "WAITING", 3600.0)  # nobody takes over
    end, over = anyio.Event(), anyio.Event()
    async with machine.ledger(), anyio.create_task_group() as tasks:
        first = machine.member()
        tasks.start_soon(live, first, end, over)
        await until(lambda: first.current_status().principals)
        async with machine.member() as other:
            await machine.ready(first, other)
            end.set()
            await over.wait()
            machine.clock.advance(59)
            fresh = other.check(CALL)
            machine.clock.advance(2)
            stale = other.check(CALL)

    assert fresh.allowed
    assert (stale.verdict, stale.reason) == (Verdict.DEFER, Reason.STALE)


async def test_what_a_gate_left_behind_reaches_the_ledger_without_it(machine: Machine) -> None:
    async with machine.two() as (one, other):
        machine.broker.stop()
        await other.record(Objection(to=NUMBER, principal="acme"))
        left = other.current_status().outbox
        await other.__aexit__(None, None, None)
        machine.broker.start()
        async with machine.gate("elsewhere") as far:
            await until(lambda: far.check(CALL).reason is Reason.OBJECTED)
        here = one.check(CALL)

    assert left == 1
    assert here.reason is Reason.OBJECTED


# --- what gates leave, and what changes ----------------------------------------------------------


async def test_what_a_gate_left_counts_before_anybody_is_told_that_a_call_is_allowed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it cannot be told at once: another process has the turn."""

    def busy(*_: object) -> None:
        msg = "busy"
        raise BulletinBusy(msg)

    async with machine.two() as (_, other):
        machine.broker.stop()
        await other.record(REFUSAL)
    machine.broker.start()
    reasons = set()
    async with machine.ledger():
        with monkeypatch.context() as patched:
            patched.setattr(Bulletin, "post", busy)
            async with machine.member() as gate:
                follower = gate._books["acme"].replica
                while not follower.seq:  # the tables are there
                    reasons.add(gate.check(CALL).reason)
                    await anyio.lowlevel.checkpoint()
                reasons.add(gate.check(CALL).reason)
                patched.undo()
                await until(lambda: gate.check(CALL).reason is not Reason.NOT_READY)
                reasons.add(gate.check(CALL).reason)

    assert reasons == {Reason.NOT_READY, Reason.REFUSED}


async def test_what_a_gate_left_that_did_not_share_is_carried_by_those_that_do(
    machine: Machine,
) -> None:
    async with machine.ledger(), machine.gate("shared") as alone:
        await machine.ready(alone)
        machine.broker.stop()
        await alone.record(REFUSAL)
    machine.broker.start()
    async with machine.ledger(), machine.member() as member, machine.gate("far") as far:
        await until(lambda: member.check(CALL).reason is Reason.REFUSED)
        await until(lambda: far.check(CALL).reason is Reason.REFUSED)


async def test_a_gate_that_does_not_share_leaves_nobody_behind_who_did(machine: Machine) -> None:
    async with machine.two() as (one, _):
        machine.broker.stop()
        await one.record(REFUSAL)
    with pytest.raises(OutboxError, match="has 1 events of a gate that shared"):
        async with machine.gate("shared"):
            pass


async def test_a_batch_of_checks_ends_to_allow_when_nobody_vouches_any_more(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of it the tables are given up."""
    async with machine.two() as (one, _):
        follower = one._books["acme"].replica
        assert isinstance(follower, Follower)
        look, asked = follower.ground, iter(range(100))

        def ground(key: int) -> Facts:
            if next(asked) == 2:
                follower._sure_until = UNSURE
                msg = "half written"
                raise TableError(msg)
            return look(key)

        monkeypatch.setattr(follower, "ground", ground)
        reasons = [decision.reason for decision in one.check_many([CALL] * 5)]

    assert reasons == [Reason.CONSENT] * 2 + [Reason.NOT_READY] * 3


def test_a_name_that_leaves_no_room_for_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="`id` has 44 characters: with `share` it has 43 at most"):
        GateSettings(id="a" * 44, data=Path(), principals=["acme"], share=True)


# --- failing closed ------------------------------------------------------------------------------


async def test_while_another_process_has_the_turn_no_call_is_admitted_and_refusals_count_here(
    machine: Machine,
) -> None:
    """One that was stopped in the middle: the others do not wait for it."""
    async with machine.two() as (one, other):
        with Lock(bulletin_of(machine.data).with_name("bulletin.events.turn")) as stopped:
            await until(stopped.take)
            permit = await one.admit(CALL)
            checked = one.check(CALL)
            await one.record(REFUSAL)
            here, there = one.check(CALL), other.check(CALL)
        await until(lambda: other.check(CALL).reason is Reason.REFUSED)

    assert (permit.decision.verdict, permit.decision.reason) == (
        Verdict.DEFER,
        Reason.EVIDENCE_UNAVAILABLE,
    )
    assert checked.allowed
    assert (here.reason, there.reason) == (Reason.REFUSED, Reason.CONSENT)


async def test_an_attempt_that_the_others_cannot_be_told_of_is_given_back(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        msg = "full"
        raise BulletinFull(msg)

    async with machine.two() as (one, other):
        with monkeypatch.context() as patched:
            patched.setattr(Bulletin, "post", full)
            permit = await one.admit(CALL)
        await confirmed(one)
        calls = [msgspec.structs.replace(CALL, id=f"call-{n}") for n in range(5)]
        permits = [await other.admit(call) for call in calls]

    assert permit.decision.reason is Reason.EVIDENCE_UNAVAILABLE
    assert [bool(permit) for permit in permits] == [True] * 4 + [False]


async def test_what_the_syncer_cannot_apply_stops_calls_in_all_gates(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk too full for the rows: they wait, and so do calls."""
    upsert = Table.upsert

    def full(table: Table, rows: Rows) -> None:
        if table._path is None:  # that of the ledger, which is in memory
            upsert(table, rows)
            return
        msg = "no space"
        raise TableError(msg)

    async with machine.two() as (one, other):
        with monkeypatch.context() as patched:
            patched.setattr(Table, "upsert", full)
            await one.record(REFUSAL_OF_ANOTHER)
            for gate in (one, other):
                await until(lambda: gate.check(CALL).reason is Reason.NOT_READY)  # noqa: B023 - at once
        for gate in (one, other):
            await until(lambda: gate.check(CALL).allowed)  # noqa: B023 - likewise


@pytest.mark.parametrize("gone", ["ground.table", "restraint.table"])
async def test_without_its_files_no_gate_allows_a_call(machine: Machine, gone: str) -> None:
    async with machine.two() as (one, other):
        await anyio.Path(tables_of(machine.data, "acme") / gone).unlink()
        for gate in (one, other):
            await until(lambda: gate.check(CALL).reason is Reason.NOT_READY)  # noqa: B023 - at once


async def test_a_bulletin_that_was_removed_stops_calls_and_says_what_to_do(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    async with machine.two() as (one, _):
        await anyio.Path(bulletin_of(machine.data).with_name("bulletin.events.turn")).unlink()
        permit = await one.admit(CALL)

    assert permit.decision.reason is Reason.EVIDENCE_UNAVAILABLE
    assert "was removed while in use: stop all gates, start them anew" in caplog.text


async def test_on_a_processor_that_may_reorder_stores_a_gate_that_shares_does_not_open(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "m", "6", "1", "aarch64")))
    with pytest.raises(BulletinError, match="on x86-64 only, not on aarch64"):
        async with machine.member():
            pass
