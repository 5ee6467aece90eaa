"""FastAGI in front of the real gate and ledger."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import anyio.lowlevel
import pytest
from tests.adapters.fastagi import DONE, answering, block, hear, speaking

from ringfence import Call, Consent, Gate, Outcome
from ringfence.campaign import MENTIONS, Campaign, Channel, DialMode, Text
from ringfence.config import GateSettings, LedgerSettings, PrincipalSettings, Settings
from ringfence.testing import Clock, MemoryBroker, serve_ledger

NUMBER = "0639980001"
TUESDAY = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
CONSENT = Consent(
    to="+33639980001",
    principal="acme",
    purpose="fibre",
    text="web-1",
    at=datetime(2026, 9, 1, tzinfo=UTC),
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    text = Text(mentions=MENTIONS, parties=frozenset(["acme", "callco"]), channel=Channel.WEB)
    return Settings(
        gate=GateSettings(id="a", data=tmp_path / "gate", principals=["acme"]),
        ledger=LedgerSettings(database=tmp_path / "ledger.sqlite", heartbeat=0.02),
        principals={
            "acme": PrincipalSettings(secret=bytes(range(32)).hex(), texts={"web-1": text})
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


@asynccontextmanager
async def consented(settings: Settings) -> AsyncIterator[Gate]:
    """A gate that may call the number."""
    clock, broker = Clock(TUESDAY), MemoryBroker()
    async with (
        serve_ledger(settings, clock, broker),
        Gate(settings, clock=clock, connect=broker.connect) as gate,
    ):
        assert await gate.ready(5)
        await gate.record(CONSENT)
        call = Call(to=NUMBER, campaign="acme-fibre", caller_id="0162000001")
        while not gate.check(call):
            await anyio.lowlevel.checkpoint()
        yield gate


async def verdict(port: int) -> dict[str, str]:
    """Ask for the number as the dialplan does; give the variables that were set."""
    async with speaking(port) as (reader, writer):
        writer.write(block("ringfence", NUMBER, "acme-fibre"))
        line = (await reader.readline()).decode()
        writer.write(DONE)
        await reader.read()
    return dict(pair.split("=") for pair in line.split('"')[5].split(","))


async def test_a_refusal_told_over_agi_stops_the_next_call(settings: Settings) -> None:
    async with consented(settings) as gate, answering(gate) as port:
        first = await verdict(port)
        attempt = first["RINGFENCE_ATTEMPT"]
        await hear(port, block("ringfence-outcome", attempt, "ANSWER", "16", "REFUSED"))
        second = await verdict(port)
        permit = gate.permit(attempt)

    assert (first["RINGFENCE_VERDICT"], first["RINGFENCE_REASON"]) == ("ALLOW", "consent")
    assert permit is not None
    assert permit.outcome is Outcome.REFUSED
    assert (second["RINGFENCE_VERDICT"], second["RINGFENCE_REASON"]) == ("DENY", "refused")


async def test_a_gate_that_was_never_opened_lets_nothing_through(settings: Settings) -> None:
    async with answering(Gate(settings)) as port:
        told = await verdict(port)

    assert (told["RINGFENCE_VERDICT"], told["RINGFENCE_REASON"]) == ("DEFER", "not_ready")


async def test_a_refusal_told_to_a_gate_that_was_restarted_is_recorded(settings: Settings) -> None:
    async with consented(settings) as gate, answering(gate) as port:
        told = ("ringfence-outcome", "a-call-of-before", "ANSWER", "16", "REFUSED")
        await hear(port, block(*told, NUMBER, "acme-fibre"))
        after = await verdict(port)

    assert (after["RINGFENCE_VERDICT"], after["RINGFENCE_REASON"]) == ("DENY", "refused")
