"""Real brokers, one for each test, and scripted ones for what a real one seldom does.

Where a real one is missing the tests fail and say what to install.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from socket import SO_RCVBUF, SO_REUSEADDR, SOL_SOCKET, socket
from typing import Literal

import anyio
import msgspec
import pytest

from ringfence.broker import LocalBroker, start_broker
from ringfence.link import Backoff, Broker, LinkState, Message, Phase
from ringfence.mqtt import Link

SOON = Backoff(first=0.01, longest=0.05, refused=0.05)

# Kinds of MQTT packets.
END_OF_FILE, CONNECT, PUBLISH, SUBSCRIBE = 0, 1, 3, 8


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[LocalBroker]:
    async with start_broker(tmp_path / "broker", kind="mosquitto") as local:
        yield local


@pytest.fixture(params=["mosquitto", "nats"])
async def any_broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LocalBroker]:
    kind: Literal["mosquitto", "nats"] = request.param
    async with start_broker(tmp_path / "broker", kind=kind) as local:
        yield local


@pytest.fixture
def nobody() -> Iterator[Broker]:
    """Give an address where nothing listens, nor will unless a test starts it."""
    with socket() as bound:
        bound.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)  # a broker may listen beside
        bound.bind(("127.0.0.1", 0))
        yield Broker(port=bound.getsockname()[1])


class Ear:
    """What a link said; one waits for that, never for time."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.states: list[LinkState] = []
        self._heard = asyncio.Event()

    def on_message(self, message: Message) -> None:
        self.messages.append(message)
        self._heard.set()

    def on_state(self, state: LinkState) -> None:
        self.states.append(state)
        self._heard.set()

    async def received(self, number: int) -> list[Message]:
        await self._until(lambda: len(self.messages) >= number)
        return self.messages

    async def phase(self, phase: Phase) -> LinkState:
        await self._until(lambda: self.states[-1].phase is phase)
        return self.states[-1]

    async def came_up(self, times: int) -> None:
        await self._until(lambda: [state.phase for state in self.states].count(Phase.UP) >= times)

    async def _until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(10):
            while not condition():
                self._heard.clear()
                await self._heard.wait()


def but(broker: Broker, **settings: object) -> Broker:
    return msgspec.structs.replace(broker, **settings)


def link_to(broker: Broker, *subscriptions: str, name: str = "gate-1") -> Link:
    return Link(but(broker, backoff=SOON), name, subscriptions=subscriptions, random=Random(1))


@asynccontextmanager
async def running(link: Link) -> AsyncIterator[Ear]:
    ear = Ear()
    async with anyio.create_task_group() as tasks:
        await tasks.start(partial(link.run, ear.on_message, ear.on_state), name="link")
        yield ear
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def up(link: Link) -> AsyncIterator[Ear]:
    async with running(link) as ear:
        await ear.phase(Phase.UP)
        yield ear


async def kept(broker: Broker, topic: str) -> Message:
    """Subscribe until the broker gives what it kept, not first what was published after that.

    NATS confirms a message when it is stored, and a moment later finds it for who subscribes.
    """
    with anyio.fail_after(10):
        for attempt in count():
            link = link_to(broker, topic, "after", name=f"reader-{attempt}")
            async with up(link) as ear:
                await link.publish("after", b"")
                first, *_ = await ear.received(1)
            if first.topic == topic:
                return first
    raise AssertionError


class Script:
    """A broker in bytes: what it answers to each kind of packet, and what it does after which."""

    def __init__(self) -> None:
        self.answers: dict[int, Callable[[bytes], bytes]] = {
            CONNECT: lambda _: connack(0),
            SUBSCRIBE: lambda body: suback(body, 1),
        }
        self.hangs_up_after: set[int] = set()
        self.deaf_after: set[int] = set()
        self._closing = asyncio.Event()
        self._peers: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self, context: ssl.SSLContext | None = None) -> AsyncIterator[Broker]:
        address = socket()
        address.setsockopt(SOL_SOCKET, SO_RCVBUF, 4096)  # who stops reading is noticed soon
        address.bind(("127.0.0.1", 0))
        server = await asyncio.start_server(self._serve, sock=address, ssl=context)
        try:
            yield Broker(port=address.getsockname()[1])
        finally:
            self._closing.set()
            server.close()
            await asyncio.gather(*self._peers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._peers.add(task)
        kind = None
        while kind not in {END_OF_FILE, *self.hangs_up_after}:
            kind, body = await packet(reader)
            writer.write(self.answers.get(kind, silence)(body))
            if kind in self.deaf_after:
                await self._closing.wait()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def silence(_: bytes) -> bytes:
    return b""


async def packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    try:
        kind = (await reader.readexactly(1))[0] >> 4
        length = 0
        for shift in count(0, 7):
            byte = (await reader.readexactly(1))[0]
            length |= (byte & 127) << shift
            if byte < 128:
                break
        return kind, await reader.readexactly(length)
    except (asyncio.IncompleteReadError, OSError):
        return END_OF_FILE, b""


def connack(code: int) -> bytes:
    return bytes([0x20, 2, 0, code])


def suback(subscribe: bytes, code: int) -> bytes:
    return bytes([0x90, 3, *subscribe[:2], code])


def puback(publish: bytes) -> bytes:
    after_topic = 2 + int.from_bytes(publish[:2])
    return bytes([0x40, 2]) + publish[after_topic : after_topic + 2]


def publish(topic: str, payload: bytes) -> bytes:
    """Encode a PUBLISH of QoS 0."""
    body = len(topic).to_bytes(2) + topic.encode() + payload
    head = bytearray([0x30])
    left = len(body)
    while left > 127:
        head.append(left & 127 | 128)
        left >>= 7
    return bytes(head) + bytes([left]) + body
