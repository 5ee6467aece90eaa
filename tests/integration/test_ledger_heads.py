"""Heads of chains: told by gates over a real broker, held by a ledger in a process of its own."""

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import anyio
import anyio.abc
import msgspec
import pytest
from tests.integration.conftest import Ear, link_to, up
from tests.integration.desk import COMMAND, Desk, Ended, line_of

from ringfence.broker import LocalBroker
from ringfence.event import Keys, Refusal
from ringfence.ledger.archive import Archive
from ringfence.ledger.witness import Witness
from ringfence.mqtt import Link
from ringfence.wire import ChainHead, Reply, Topic, Witnessed, decode_reply, encode, encode_report

AT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
CHAIN = "00000000000000aa"


def head(number: int, link: bytes = b"a", gate: str = "gate-1") -> ChainHead:
    return ChainHead(gate, CHAIN, number, link.ljust(32, b"."), AT)


@pytest.fixture
async def desk(tmp_path: Path, broker: LocalBroker) -> Desk:
    return Desk(tmp_path, broker.broker.port)


class Gate:
    """As much of a gate as tells heads and hears what the ledger says of them."""

    def __init__(self, link: Link, ear: Ear) -> None:
        self._link = link
        self._ear = ear

    async def tell(self, *heads: ChainHead | bytes) -> None:
        for told in heads:
            payload = told if isinstance(told, bytes) else encode(told)
            await self._link.publish(str(Topic("acme", "chain")), payload)

    async def refuse(self) -> None:
        keys = Keys(number=1)
        event = msgspec.msgpack.encode(Refusal(id="r1", at=AT, on=AT.date(), keys=keys))
        await self._link.publish(str(Topic("acme", "in")), encode_report("gate-1", [event]))

    async def replies(self, number: int) -> list[Reply]:
        heard = await self._ear.received(number)
        return [decode_reply(message.payload) for message in heard]


@asynccontextmanager
async def gate(broker: LocalBroker) -> AsyncIterator[Gate]:
    link = link_to(broker.broker, str(Topic("acme", "reply", "gate-1")))
    async with up(link) as ear:
        yield Gate(link, ear)


@contextmanager
def archive(desk: Desk) -> Iterator[Archive]:
    with Archive.open(desk.database) as opened:
        yield opened


async def held(desk: Desk) -> list[Witness]:
    def read() -> list[Witness]:
        with archive(desk) as opened:
            return opened.heads()

    return await anyio.to_thread.run_sync(read)


async def test_a_head_is_on_the_disk_before_the_gate_is_told_so(
    desk: Desk, broker: LocalBroker
) -> None:
    async with gate(broker) as gate_1, desk.serving() as ledger:
        await gate_1.tell(head(3), head(5))
        replies = await gate_1.replies(2)
        ledger.kill()
        await ledger.wait()

        async with desk.serving():
            await gate_1.tell(head(5))
            replies += (await gate_1.replies(3))[2:]

    assert replies == [Witnessed(CHAIN, 3), Witnessed(CHAIN, 5), Witnessed(CHAIN, 5)]
    witnesses = [(w.principal, w.gate, w.number) for w in await held(desk)]
    assert witnesses == [("acme", "gate-1", 3), ("acme", "gate-1", 5)]


async def test_heads_and_events_are_stored_side_by_side(desk: Desk, broker: LocalBroker) -> None:
    async with gate(broker) as gate_1, desk.serving():
        await gate_1.tell(head(3))
        await gate_1.refuse()
        assert await gate_1.replies(1) == [Witnessed(CHAIN, 3)]

    assert [witness.number for witness in await held(desk)] == [3]
    assert (await desk.holding()).events == {"refusal": 1}


async def test_what_is_no_head_is_counted_and_changes_nothing(
    desk: Desk, broker: LocalBroker
) -> None:
    command = [*COMMAND, "serve", "--config", str(desk.config), "--status", "0.05"]
    async with gate(broker) as gate_1, await anyio.open_process(command) as ledger:
        assert (await line_of(ledger)).startswith("serving acme")
        await gate_1.tell(b"", b"\xff", encode(["gate-1", "x", 1, bytes(32), AT]), head(3))
        assert await gate_1.replies(1) == [Witnessed(CHAIN, 3)]
        status = await line_of(ledger)
        ledger.send_signal(signal.SIGINT)
        complaints = await all_of(ledger.stderr)

    assert "3 rejected, 0 messages dropped" in status
    assert complaints.count("ringfence/1/acme/chain: not a ChainHead: ") == 3
    assert [witness.number for witness in await held(desk)] == [3]


async def test_a_rewritten_chain_is_an_error_in_the_log_and_both_heads_are_held(
    desk: Desk, broker: LocalBroker
) -> None:
    command = [*COMMAND, "serve", "--config", str(desk.config), "--status", "0"]
    async with gate(broker) as gate_1, await anyio.open_process(command) as ledger:
        assert (await line_of(ledger)).startswith("serving acme")
        await gate_1.tell(head(3, b"a"))
        await gate_1.replies(1)
        await gate_1.tell(head(3, b"b"))
        await gate_1.replies(2)
        ledger.send_signal(signal.SIGINT)
        complaints = await all_of(ledger.stderr)

    assert "ERROR acme: gate gate-1: record 3 of chain 00000000000000aa had another link" in (
        complaints
    )
    assert [(w.number, w.link[:1]) for w in await held(desk)] == [(3, b"a"), (3, b"b")]


async def test_the_heads_are_printed_for_another_machine(desk: Desk, broker: LocalBroker) -> None:
    async with gate(broker) as gate_1, desk.serving():
        await gate_1.tell(head(3), head(9, b"b", gate="gate-2"))
        await gate_1.replies(1)
        served = await desk.run("heads")
    one = await desk.run("heads", "--gate", "gate-1")
    none = await desk.run("heads", "--gate", "gate-3")

    told = heads_in(served)
    assert [(h["gate"], h["number"], str(h["link"])[:4]) for h in told] == [
        ("gate-1", 3, b"a.".hex()),
        ("gate-2", 9, b"b.".hex()),
    ]
    assert list(told[0]) == ["principal", "gate", "chain", "number", "link", "at", "heard"]
    assert told[0]["at"] == "2026-11-24T09:30:00Z"
    assert datetime.fromisoformat(str(told[0]["heard"])).tzinfo is not None
    assert heads_in(one) == told[:1]
    assert heads_in(none) == []


async def test_where_no_ledger_is_there_are_no_heads(desk: Desk) -> None:
    for config, complaint in (
        (desk.config, "there is no ledger yet"),
        (desk.elsewhere, "elsewhere.toml has no table [ledger]"),
    ):
        ended = await desk.run("heads", config=config)

        assert (ended.status, ended.said) == (2, "")
        assert complaint in ended.complained


def heads_in(ended: Ended) -> list[dict[str, int | str]]:
    assert (ended.status, ended.complained) == (0, "")
    return msgspec.json.decode(ended.said, type=list[dict[str, int | str]])


async def all_of(stream: anyio.abc.ByteReceiveStream | None) -> str:
    assert stream is not None
    return b"".join([chunk async for chunk in stream]).decode()
