"""The FastAGI server, spoken to as Asterisk speaks, and as it never would."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import msgspec
import pytest
from tests.adapters.fastagi import DONE, USAGE, answering, block, hear, speaking
from tests.adapters.scripted import ALLOW, ScriptedGate, defer

from ringfence.call import Call, Outcome
from ringfence.decision import Reason
from ringfence_adapters.agi.server import MAX_CONNECTIONS

ALLOWED = "0639980001"
DENIED = "0639980002"
DEFERRED = "0639980003"
STUCK = "0639980004"
BROKEN = "0639980005"

MORNING = datetime(2026, 11, 24, 9, tzinfo=UTC)


@pytest.fixture
def gate() -> ScriptedGate:
    return ScriptedGate(
        {
            ALLOWED: ALLOW,
            DEFERRED: defer(Reason.OUTSIDE_HOURS, MORNING),
            STUCK: asyncio.Event(),
            BROKEN: OSError("no space left on device"),
        }
    )


async def ask(port: int, *arguments: str, reply: bytes = DONE) -> str:
    """Ask as the dialplan does; give the command that came, after it was answered."""
    async with speaking(port) as (reader, writer):
        writer.write(block("ringfence", *arguments))
        line = await reader.readline()
        writer.write(reply)
        assert await reader.read() == b""
        return line.decode()


async def asked(gate: ScriptedGate, *arguments: str) -> Call:
    """Give what the gate is asked, if the dialplan passes these arguments."""
    async with answering(gate) as port:
        await ask(port, *arguments)
    return gate.asked.get_nowait()


async def test_an_allow_is_one_command_and_leaves_the_attempt_open(gate: ScriptedGate) -> None:
    async with answering(gate) as port:
        line = await ask(port, ALLOWED, "acme-fibre")

    call = gate.asked.get_nowait()
    assert line == (
        '"EXEC" "MSet" "RINGFENCE_REASON=consent,RINGFENCE_RETRY_AT=,'
        f'RINGFENCE_ATTEMPT={call.id},RINGFENCE_VERDICT=ALLOW"\n'
    )
    assert gate.reserved == {call.id}
    assert gate.reports == []


async def test_a_deny_names_its_reason_and_no_attempt(gate: ScriptedGate) -> None:
    async with answering(gate) as port:
        line = await ask(port, DENIED, "acme-fibre")

    assert line == (
        '"EXEC" "MSet" "RINGFENCE_REASON=objected,RINGFENCE_RETRY_AT=,'
        'RINGFENCE_ATTEMPT=,RINGFENCE_VERDICT=DENY"\n'
    )
    assert gate.reports == []


async def test_a_defer_says_when_to_try_again_in_seconds_as_epoch_does(gate: ScriptedGate) -> None:
    async with answering(gate) as port:
        line = await ask(port, DEFERRED, "acme-fibre")

    assert line == (
        '"EXEC" "MSet" "RINGFENCE_REASON=outside_hours,RINGFENCE_RETRY_AT=1795510800,'
        'RINGFENCE_ATTEMPT=,RINGFENCE_VERDICT=DEFER"\n'
    )


async def test_what_the_dialplan_does_not_say_is_taken_from_the_channel(gate: ScriptedGate) -> None:
    call = await asked(gate, "33639980001", "acme-fibre")

    assert call == Call(
        id=call.id,
        to="33639980001",
        campaign="acme-fibre",
        reference="1795474071.1",
        caller_id="0162000001",
    )


async def test_a_caller_that_asterisk_does_not_know_is_none(gate: ScriptedGate) -> None:
    async with answering(gate) as port:
        await hear(port, block("ringfence", DENIED, "acme-fibre", caller="unknown"), ends=True)

    assert gate.asked.get_nowait().caller_id is None


# Made here, because the first call of a zone reads its file.
DETAILED = Call(
    id="any",
    to=ALLOWED,
    campaign="acme-fibre",
    reference="lead-42",
    caller_id="0162000002",
    consumer="c-17",
    department="974",
    zone="Indian/Reunion",
)


async def test_all_that_the_dialplan_says_reaches_the_gate(gate: ScriptedGate) -> None:
    details = ["consumer=c-17", "department=974", "zone=Indian/Reunion"]
    call = await asked(gate, ALLOWED, "acme-fibre", "lead-42", "0162000002", *details)

    assert call == msgspec.structs.replace(DETAILED, id=call.id)


async def test_a_detail_that_the_dialer_does_not_know_is_none(gate: ScriptedGate) -> None:
    call = await asked(gate, ALLOWED, "acme-fibre", "", "", "department=", "zone=")

    assert (call.department, call.zone) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "it passed no number"),
        (("", "acme-fibre"), "it passed no number"),
        ((ALLOWED,), "it passed no campaign"),
        ((ALLOWED, ""), "it passed no campaign"),
        ((ALLOWED, "c", "", "", "department=999"), "'999'"),
        (
            (ALLOWED, "c", "", "", "mood=good"),
            "argument 5 is none of consumer=, department=, zone=",
        ),
        ((ALLOWED, "c", "", "", "zone=", ALLOWED), "argument 6 is none of"),
    ],
)
async def test_a_question_that_has_no_answer_gets_no_verdict(
    gate: ScriptedGate,
    caplog: pytest.LogCaptureFixture,
    arguments: tuple[str, ...],
    complaint: str,
) -> None:
    async with answering(gate) as port:
        heard = await hear(port, block("ringfence", *arguments))

    assert heard == b""
    assert gate.asked.empty()
    assert complaint in caplog.text
    assert ALLOWED not in caplog.text


async def test_a_script_that_does_not_exist_gets_no_verdict(
    gate: ScriptedGate, caplog: pytest.LogCaptureFixture
) -> None:
    async with answering(gate) as port:
        heard = await hear(port, block("ringfense", ALLOWED, "acme-fibre"))

    assert heard == b""
    assert "no script is called 'ringfense'" in caplog.text


async def test_a_gate_that_raises_gives_no_verdict_and_answers_the_next(
    gate: ScriptedGate, caplog: pytest.LogCaptureFixture
) -> None:
    async with answering(gate) as port:
        heard = await hear(port, block("ringfence", BROKEN, "acme-fibre"))
        after = await ask(port, ALLOWED, "acme-fibre")

    assert heard == b""
    assert "no space left on device" in caplog.text
    assert "ALLOW" in after


async def test_a_gate_that_hangs_gives_no_verdict_and_the_attempt_back(gate: ScriptedGate) -> None:
    async with answering(gate, deadline=0.05) as port:
        heard = await hear(port, block("ringfence", STUCK, "acme-fibre"))

    call = gate.asked.get_nowait()
    assert heard == b""
    assert gate.reports == [(call.id, Outcome.NOT_PLACED)]
    assert not gate.reserved


@pytest.mark.parametrize(
    "reply",
    [
        b"HANGUP\n",
        b"HANGUP\nHANGUP\n",
        b"HANGUP\n" + DONE,
        b"200 result=-2\n",
        b"510 Invalid or unknown command\n",
        b"511 Command Not Permitted on a dead channel or intercept routine\n",
        USAGE,
    ],
)
async def test_an_allow_that_asterisk_cannot_use_gives_the_attempt_back(
    gate: ScriptedGate, reply: bytes
) -> None:
    async with answering(gate) as port:
        await ask(port, ALLOWED, "acme-fibre", reply=reply)

    call = gate.asked.get_nowait()
    assert gate.reports == [(call.id, Outcome.NOT_PLACED)]


async def test_an_allow_that_may_have_been_used_counts(
    gate: ScriptedGate, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection ended before the reply: the call may be under way."""
    async with answering(gate) as port:
        await hear(port, block("ringfence", ALLOWED, "acme-fibre"), ends=True)

    call = gate.asked.get_nowait()
    assert gate.reserved == {call.id}
    assert gate.reports == []
    assert f"attempt {call.id} counts" in caplog.text


async def test_an_allow_that_is_never_replied_to_counts_and_is_not_waited_for(
    gate: ScriptedGate,
) -> None:
    async with answering(gate, deadline=0.05) as port:
        line = await hear(port, block("ringfence", ALLOWED, "acme-fibre"))

    assert b"ALLOW" in line
    assert gate.reserved
    assert gate.reports == []


@pytest.mark.parametrize(
    "says",
    [
        b"agi_arg_1: " + b"a" * 9_000,
        b"".join(b"agi_arg_%d: 1\n" % place for place in range(3_000)),
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\n",
        b"\0" * 100_000,
    ],
    ids=["9 kB line", "3000 headers", "HTTP", "TLS", "zeros"],
)
async def test_who_speaks_something_else_is_hung_up_on_at_once(
    gate: ScriptedGate, says: bytes
) -> None:
    async with answering(gate) as port:
        heard = await hear(port, says)

    assert heard == b""
    assert gate.asked.empty()


@pytest.mark.parametrize("says", [b"", b"a", b"agi_network: yes\n", block("ringfence")[:-1]])
async def test_who_never_ends_the_block_is_hung_up_on_in_time(
    gate: ScriptedGate, says: bytes
) -> None:
    async with answering(gate, deadline=0.05) as port:
        heard = await hear(port, says)

    assert heard == b""
    assert gate.asked.empty()


@pytest.mark.parametrize("says", [b"", b"agi_network: yes\n", block("ringfence", ALLOWED, "c")])
async def test_who_leaves_early_disturbs_nobody(gate: ScriptedGate, says: bytes) -> None:
    async with answering(gate) as port:
        for _ in range(3):
            async with speaking(port) as (_reader, writer):
                writer.write(says)
                await writer.drain()
                writer.transport.abort()
        line = await ask(port, DENIED, "acme-fibre")

    assert "DENY" in line


async def test_200_dialogues_at_once_get_each_its_own_verdict() -> None:
    numbers = [f"063998{number:04d}" for number in range(200)]
    gate = ScriptedGate(dict.fromkeys(numbers[::2], ALLOW))

    async with answering(gate) as port, AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(speaking(port)) for _ in numbers]
        for number, (_, writer) in zip(numbers, peers, strict=True):
            writer.write(block("ringfence", number, "acme-fibre"))
        lines = [await reader.readline() for reader, _ in peers]

    assert [b"VERDICT=ALLOW" in line for line in lines] == [True, False] * 100


async def test_a_flood_gets_no_verdict_and_no_memory(gate: ScriptedGate) -> None:
    async with answering(gate) as port, AsyncExitStack() as stack:
        for _ in range(MAX_CONNECTIONS):
            await stack.enter_async_context(speaking(port))
        heard = await hear(port, block("ringfence", ALLOWED, "acme-fibre"))

    assert heard == b""
    assert gate.asked.empty()


async def test_a_dialogue_that_ended_makes_room_for_another(gate: ScriptedGate) -> None:
    async with answering(gate) as port:
        for _ in range(MAX_CONNECTIONS):
            await ask(port, DENIED, "acme-fibre")
        line = await ask(port, ALLOWED, "acme-fibre")

    assert "ALLOW" in line


async def test_a_server_that_is_ended_hangs_up_and_gives_attempts_back(gate: ScriptedGate) -> None:
    async with AsyncExitStack() as stack:
        async with answering(gate) as port:
            reader, writer = await stack.enter_async_context(speaking(port))
            writer.write(block("ringfence", STUCK, "acme-fibre"))
            call = await gate.asked.get()

        assert await reader.read() == b""

    assert gate.reports == [(call.id, Outcome.NOT_PLACED)]
