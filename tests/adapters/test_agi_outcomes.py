"""How a call ended, as the dialplan reports it, and what the gate is told."""

import asyncio
import logging

import pytest
from tests.adapters.fastagi import answering, block, hear, speaking
from tests.adapters.scripted import ScriptedGate

from ringfence.call import Call, Outcome
from ringfence_adapters.agi import serve

STUCK = "0639980004"


@pytest.fixture
def gate() -> ScriptedGate:
    return ScriptedGate({})


OUTCOMES = {
    "ANSWER": Outcome.ANSWERED,
    "NOANSWER": Outcome.NO_ANSWER,
    "BUSY": Outcome.BUSY,
    "CANCEL": Outcome.NO_ANSWER,
    "CONGESTION": Outcome.FAILED,
    "CHANUNAVAIL": Outcome.FAILED,
    "DONTCALL": Outcome.REFUSED,
    "TORTURE": Outcome.REFUSED,
    "INVALIDARGS": Outcome.NOT_PLACED,
}


async def told(gate: ScriptedGate, *arguments: str, **dispositions: str) -> list[Outcome]:
    """Report on an attempt that is open; give what the gate was told."""
    gate.reserved.add("a1")
    async with answering(gate, dispositions=dispositions) as port:
        assert await hear(port, block("ringfence-outcome", "a1", *arguments)) == b""
    return [outcome for _, outcome in gate.reports]


@pytest.mark.parametrize(("status", "outcome"), OUTCOMES.items())
async def test_an_outcome_is_what_the_dialstatus_means(
    gate: ScriptedGate, status: str, outcome: Outcome
) -> None:
    assert await told(gate, status, "16", "") == [outcome]


async def test_not_reached_is_not_refused() -> None:
    reached = {"ANSWER", "DONTCALL", "TORTURE"}

    assert not {OUTCOMES[status] for status in OUTCOMES.keys() - reached} & {
        Outcome.ANSWERED,
        Outcome.REFUSED,
        Outcome.OBJECTED,
    }


@pytest.mark.parametrize("outcome", Outcome)
async def test_a_disposition_in_our_words_holds_over_the_dialstatus(
    gate: ScriptedGate, outcome: Outcome
) -> None:
    assert await told(gate, "ANSWER", "16", outcome.name) == [outcome]


async def test_a_disposition_of_the_dialer_means_what_it_was_mapped_to(gate: ScriptedGate) -> None:
    assert await told(gate, "ANSWER", "16", "NI", NI="refused") == [Outcome.REFUSED]


@pytest.mark.parametrize("arguments", [(), ("",), ("PIGEON", "16"), ("ANSWER", "16", "NI")])
async def test_a_disposition_that_nobody_mapped_counts_as_an_attempt_and_is_an_error(
    gate: ScriptedGate, caplog: pytest.LogCaptureFixture, arguments: tuple[str, ...]
) -> None:
    assert await told(gate, *arguments) == []

    assert gate.reserved == {"a1"}
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "which no disposition explains" in caplog.text


async def test_an_outcome_of_an_unknown_attempt_is_said_to_be_so(
    gate: ScriptedGate, caplog: pytest.LogCaptureFixture
) -> None:
    async with answering(gate) as port:
        await hear(port, block("ringfence-outcome", "a2", "ANSWER", "16", ""))

    assert gate.outcomes == {}
    assert "attempt 'a2' is not known here" in caplog.text


async def test_a_table_with_an_unknown_outcome_refuses_to_start(gate: ScriptedGate) -> None:
    ports: list[int] = []

    with pytest.raises(ValueError, match=r"disposition 'NI' means 'refusal', which is no outcome"):
        await serve(gate, "127.0.0.1", 0, ready=ports.append, dispositions={"NI": "refusal"})

    assert ports == []


class SlowGate(ScriptedGate):
    """A gate whose disk holds up outcomes."""

    def __init__(self) -> None:
        super().__init__({STUCK: asyncio.Event()})
        self.begun = asyncio.Event()
        self.disk = asyncio.Event()

    async def settle(self, call_id: str, outcome: Outcome, *, call: Call | None = None) -> bool:
        if outcome is Outcome.REFUSED:
            self.begun.set()
            await self.disk.wait()
        return await super().settle(call_id, outcome, call=call)


async def test_a_refusal_is_not_lost_to_the_deadline_of_a_verdict() -> None:
    gate = SlowGate()
    gate.reserved.add("a1")
    async with answering(gate, deadline=0.05) as port, speaking(port) as (reader, writer):
        writer.write(block("ringfence-outcome", "a1", "ANSWER", "16", "REFUSED"))
        await gate.begun.wait()
        # A whole deadline passes: this dialogue begins later and is cut.
        await hear(port, block("ringfence", STUCK, "acme-fibre"))
        gate.disk.set()
        await reader.read()

    assert gate.outcomes["a1"] is Outcome.REFUSED
