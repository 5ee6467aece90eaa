"""The shipped dialplan on a real Asterisk: what it asks, what it is told, what it reports."""

import asyncio
from datetime import UTC, datetime

import pytest
from tests.adapters.asterisk import Asterisk
from tests.adapters.conformance import Dialled, rogue
from tests.adapters.fastagi import answering
from tests.adapters.scripted import ALLOW, ScriptedGate, defer

from ringfence.call import Outcome
from ringfence.decision import Reason

ALLOWED = "0639980001"
OTHER = "0639980002"
DEFERRED = "0639980003"

MORNING = datetime(2026, 11, 24, 9, tzinfo=UTC)
NOT_NOW = "CONGESTION 34"


@pytest.fixture
def gate() -> ScriptedGate:
    return ScriptedGate({ALLOWED: ALLOW, DEFERRED: defer(Reason.OUTSIDE_HOURS, MORNING)})


@pytest.mark.parametrize(
    ("carrier", "outcome"),
    [
        ("answer", Outcome.ANSWERED),
        ("busy", Outcome.BUSY),
        ("ring", Outcome.NO_ANSWER),
        ("fail", Outcome.FAILED),
    ],
)
async def test_what_the_carrier_did_comes_back(
    asterisk: Asterisk, gate: ScriptedGate, carrier: str, outcome: Outcome
) -> None:
    async with (
        answering(gate) as port,
        asterisk.calling(ALLOWED, gate=port, carrier=carrier) as call,
    ):
        await call.over()
        asked = await gate.asked.get()
        told = await gate.outcome(asked.id)

    assert told is outcome


async def test_a_dialer_that_gives_up_while_it_rings_has_made_an_attempt(
    asterisk: Asterisk, gate: ScriptedGate
) -> None:
    async with (
        answering(gate) as port,
        asterisk.calling(ALLOWED, gate=port, carrier="ring") as call,
    ):
        await call.reached()
        await call.hang_up()
        dialled = await call.over()
        asked = await gate.asked.get()
        outcome = await gate.outcome(asked.id)

    assert dialled.told.startswith("CANCEL ")
    assert outcome is Outcome.NO_ANSWER


async def test_a_hang_up_while_the_gate_considers_gives_the_attempt_back(
    asterisk: Asterisk,
) -> None:
    considered = asyncio.Event()
    gate = ScriptedGate({ALLOWED: considered})
    async with answering(gate) as port, asterisk.calling(ALLOWED, gate=port) as call:
        asked = await gate.asked.get()
        await call.hang_up()
        dialled = await call.over()
        considered.set()
        outcome = await gate.outcome(asked.id)

    assert dialled == Dialled((), "None 0")  # neither answered by us nor by the guard
    assert outcome is Outcome.NOT_PLACED
    assert not gate.reserved


async def test_the_gate_is_told_number_campaign_reference_and_caller(
    asterisk: Asterisk, gate: ScriptedGate
) -> None:
    variables = {"__RINGFENCE_CAMPAIGN": "acme-gas", "__RINGFENCE_REFERENCE": "lead-42"}
    async with (
        answering(gate) as port,
        asterisk.calling(OTHER, gate=port, variables=variables) as call,
    ):
        asked = await gate.asked.get()
        await call.over()

    assert (asked.to, asked.campaign, asked.reference, asked.caller_id) == (
        OTHER,
        "acme-gas",
        "lead-42",
        "0162000001",
    )


async def test_the_reason_and_the_time_to_try_again_are_told(
    asterisk: Asterisk, gate: ScriptedGate
) -> None:
    async with answering(gate) as port, asterisk.calling(DEFERRED, gate=port) as call:
        await call.over()

    told = {name: call.variables[f"RINGFENCE_{name}"] for name in ("VERDICT", "REASON", "RETRY_AT")}
    assert told == {
        "VERDICT": "DEFER",
        "REASON": "outside_hours",
        "RETRY_AT": f"{MORNING.timestamp():.0f}",
    }


async def test_a_call_that_was_not_allowed_reports_nothing(
    asterisk: Asterisk, gate: ScriptedGate
) -> None:
    async with answering(gate) as port, asterisk.calling(OTHER, gate=port) as call:
        await call.over()

    # Not even the attempt that a global variable still named.
    assert gate.reports == []


async def test_a_second_destination_in_the_number_is_neither_asked_nor_dialled(
    asterisk: Asterisk,
) -> None:
    joined = ALLOWED + OTHER
    gate = ScriptedGate(dict.fromkeys((ALLOWED, OTHER, joined), ALLOW))
    async with answering(gate) as port, asterisk.calling(f"{ALLOWED}&{OTHER}", gate=port) as call:
        dialled = await call.over()
        asked = await gate.asked.get()

    assert asked.to == joined
    assert dialled.reached == (joined,)


@pytest.mark.parametrize("word", ["allow", "ALLOWED", "ALLOW ", " ALLOW", "1", "YES", "DENY,ALLOW"])
async def test_a_word_that_only_looks_like_allow_lets_nothing_through(
    asterisk: Asterisk, word: str
) -> None:
    says = f'SET VARIABLE RINGFENCE_VERDICT "{word}"\n'.encode()
    async with rogue(says=says) as port, asterisk.calling(ALLOWED, gate=port) as call:
        dialled = await call.over()

    assert dialled == Dialled((), NOT_NOW)


async def test_without_a_gate_in_the_configuration_nothing_is_placed(
    asterisk: Asterisk, gate: ScriptedGate
) -> None:
    async with answering(gate) as port:
        nowhere = {"__RINGFENCE_GATE": ""}
        async with asterisk.calling(ALLOWED, gate=port, variables=nowhere) as call:
            dialled = await call.over()

    assert dialled == Dialled((), NOT_NOW)


async def test_a_campaign_that_was_not_set_strikes_no_number_off(
    asterisk: Asterisk, gate: ScriptedGate
) -> None:
    async with answering(gate) as port:
        unset = {"__RINGFENCE_CAMPAIGN": ""}
        async with asterisk.calling(OTHER, gate=port, variables=unset) as call:
            dialled = await call.over()

    assert dialled == Dialled((), NOT_NOW)


async def test_a_limit_of_the_dialer_outlives_the_guard(
    asterisk: Asterisk, gate: ScriptedGate
) -> None:
    async with (
        answering(gate) as port,
        asterisk.calling(ALLOWED, gate=port, context="limited", talk=30) as call,
    ):
        dialled = await call.over()
        asked = await gate.asked.get()
        outcome = await gate.outcome(asked.id)

    # It cut the call as it would have without us, and the call is what it was: answered.
    assert not dialled.ended
    assert dialled.told.startswith("ANSWER ")
    assert outcome is Outcome.ANSWERED


async def test_the_guard_is_gone_when_the_gate_has_answered(
    asterisk: Asterisk, gate: ScriptedGate
) -> None:
    async with answering(gate) as port, asterisk.calling(OTHER, gate=port) as call:
        await call.over()

    # Other AGI scripts of the dialplan may want to hear of the hang-up themselves.
    assert call.variables["AGIEXITONHANGUP"] == ""


async def test_calls_at_the_same_time_do_not_get_each_others_verdict(asterisk: Asterisk) -> None:
    allowed = [f"06399800{number}" for number in range(10, 15)]
    denied = [f"06399800{number}" for number in range(20, 25)]
    gate = ScriptedGate(dict.fromkeys(allowed, ALLOW))

    async def dial(number: str, port: int) -> tuple[str, ...]:
        async with asterisk.calling(number, gate=port) as call:
            return (await call.over()).reached

    async with answering(gate) as port, asyncio.TaskGroup() as tasks:
        dialled = {
            number: tasks.create_task(dial(number, port))
            for pair in zip(allowed, denied, strict=True)
            for number in pair
        }

    assert {number: task.result() for number, task in dialled.items()} == {
        **{number: (number,) for number in allowed},
        **dict.fromkeys(denied, ()),
    }
