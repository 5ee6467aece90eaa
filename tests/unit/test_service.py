"""The ledger on a broker in memory: what may come from anywhere neither ends nor holds it up."""

import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import anyio
import msgspec
import pytest

from ringfence.config import LedgerSettings, PrincipalSettings, Settings
from ringfence.ledger import service
from ringfence.ledger.intake import Received, read
from ringfence.ledger.service import Ledger
from ringfence.link import Message
from ringfence.testing import Clock, MemoryBroker, serve_ledger
from ringfence.wire import Ask, ChainHead, encode

TUESDAY = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
HEAD = ChainHead("tunis", "0" * 16, 3, bytes(32), TUESDAY)
REFUSAL = b"""{"kind": "refusal", "id": "crm-%d", "at": "%s", "on": "2026-11-24",
    "keys": {"number": 5}}"""
NOW, NEVER = b"2026-11-24T09:30:00Z", b"9999-12-31T23:59:59-12:00"


class House:
    """A ledger's folder, and a broker to reach it."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(
            ledger=LedgerSettings(database=folder / "ledger.sqlite", heartbeat=0.02),
            principals={"acme": PrincipalSettings(secret=bytes(range(32)).hex())},
        )
        self.broker = MemoryBroker()

    @asynccontextmanager
    async def ledger(self) -> AsyncIterator[Ledger]:
        """A ledger that listens."""
        async with serve_ledger(self.settings, Clock(TUESDAY), self.broker) as ledger:
            await until(lambda: self.broker.published)
            yield ledger

    def beat_every(self, seconds: float) -> None:
        assert self.settings.ledger is not None
        ledger = msgspec.structs.replace(self.settings.ledger, heartbeat=seconds)
        self.settings = msgspec.structs.replace(self.settings, ledger=ledger)

    def tell(self, what: str, payload: bytes) -> None:
        self.broker.publish(Message(f"ringfence/1/acme/{what}", payload))


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def topic(message: Message) -> str:
    return message.topic.rpartition("/")[2]


async def until(holds: Callable[[], object]) -> None:
    while not holds():
        await anyio.lowlevel.checkpoint()


async def test_an_instant_that_cannot_be_written_in_utc_does_not_end_the_ledger(
    house: House,
) -> None:
    async with house.ledger() as ledger:
        house.tell("in", REFUSAL % (1, NEVER))
        await until(lambda: ledger.counts.rejected)
        house.tell("in", REFUSAL % (2, NOW))
        await until(lambda: ledger.counts.taken)

        assert (ledger.counts.rejected, ledger.counts.taken) == (1, 1)


@pytest.mark.parametrize(
    ("question", "told"),
    [
        (Ask("tunis", 0, config=True, head=True), ["head"]),
        (Ask("tunis", 0, config=True), ["config", "head"]),
    ],
)
async def test_a_gate_need_not_wait_for_the_next_heartbeat(
    house: House, question: Ask, told: list[str]
) -> None:
    """One answer serves all gates that ask within a moment."""
    house.beat_every(60)
    async with house.ledger():
        # Two are sent at the start: the first, and one because the link came up.
        await until(lambda: list(map(topic, house.broker.published)).count("head") == 2)
        for _ in range(3):
            house.tell("ask", encode(question))
        asked = len(house.broker.published)
        await until(lambda: len(house.broker.published) >= asked + len(told))

    assert [topic(message) for message in house.broker.published[asked:]] == told


async def test_reports_are_read_beside_the_loop(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight thousand events take a tenth of a second; gates are answered meanwhile."""
    threads = []

    def watched(principal: str, payload: bytes) -> list[Received]:
        threads.append(threading.get_ident())
        return read(principal, payload)

    monkeypatch.setattr(service, "read", watched)
    async with house.ledger() as ledger:
        house.tell("in", REFUSAL % (1, NOW))
        await until(lambda: ledger.counts.taken)

    assert threads
    assert threading.get_ident() not in threads


async def test_a_chain_that_two_gates_tell_of_is_an_error_in_the_log(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    def told_to(gate: str) -> bool:
        topic = f"ringfence/1/acme/reply/{gate}"
        return any(message.topic == topic for message in house.broker.published)

    other = msgspec.structs.replace(HEAD, gate="rabat", number=4)
    async with house.ledger():
        with caplog.at_level(logging.ERROR):
            house.tell("chain", encode(HEAD))
            house.tell("in", REFUSAL % (1, NOW))  # takes the head along
            await until(lambda: told_to("tunis"))
            house.tell("chain", encode(other))
            house.tell("in", REFUSAL % (2, NOW))
            await until(lambda: told_to("rabat"))

    assert "gate rabat tells of chain 0000000000000000, which another gate" in caplog.text
