"""For tests of what is built on the SDK: a clock to set, and a broker in memory.

Nothing here is a double of our own classes: gate and ledger are the real ones, and what passes
between them are the real bytes.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from typing import NoReturn

import anyio
import anyio.abc
import anyio.lowlevel

from ringfence.config import Settings
from ringfence.gate import system_clock
from ringfence.ledger.service import Ledger
from ringfence.link import Broker, LinkDown, LinkState, Message, Phase
from ringfence.replica import Now
from ringfence.wire import MAX_MESSAGE

__all__ = ["Clock", "MemoryBroker", "MemoryLink", "serve_ledger"]


class Clock:
    """A clock that begins at an instant, goes on by itself, and can be set."""

    def __init__(self, at: datetime) -> None:
        began = system_clock()
        self._utc = at.timestamp() - began.utc
        self._mono = 0.0

    def __call__(self) -> Now:
        now = system_clock()
        return Now(now.mono + self._mono, now.utc + self._utc)

    def utc(self) -> datetime:
        """Read it as a ledger does."""
        return datetime.fromtimestamp(self().utc, UTC)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._mono += seconds
        self._utc += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an operator does."""
        self._utc += seconds


class MemoryBroker:
    """Carries messages between the links made by `connect`, in order and at once.

    `stop` takes every link down, `start` brings them back; retained messages survive.
    """

    def __init__(self) -> None:
        self.up = True
        self.published: list[Message] = []
        """All that was published, for a test to look at."""
        self._retained: dict[str, Message] = {}
        self._links: list[MemoryLink] = []
        self._changed = anyio.Event()

    def connect(
        self,
        broker: Broker,
        client_id: str,
        *,
        subscriptions: Sequence[str],
        clock: Callable[[], float],
        random: Random,
        will: Message | None = None,
    ) -> "MemoryLink":
        """Give a link; takes what `ringfence.mqtt.Link` takes."""
        del broker, client_id, random, will
        return MemoryLink(self, frozenset(subscriptions), clock)

    def stop(self) -> None:
        self._become(up=False)

    def start(self) -> None:
        self._become(up=True)

    def _become(self, *, up: bool) -> None:
        self.up = up
        self._changed.set()
        self._changed = anyio.Event()

    def publish(self, message: Message) -> None:
        self.published.append(message)
        if message.retained:
            self._retained[message.topic] = message
        live = Message(message.topic, message.payload)
        for link in self._links:
            link.deliver(live)

    async def serve(self, link: "MemoryLink") -> None:
        """Serve one link while the broker is up."""
        self._links.append(link)
        try:
            for message in list(self._retained.values()):
                link.deliver(message)
            while self.up:
                await self._changed.wait()
        finally:
            self._links.remove(link)

    async def wait_until_up(self) -> None:
        while not self.up:
            await self._changed.wait()


class MemoryLink:
    """A link to a `MemoryBroker`; has what gate and ledger use of `ringfence.mqtt.Link`."""

    def __init__(
        self, broker: MemoryBroker, topics: frozenset[str], clock: Callable[[], float]
    ) -> None:
        self.dropped = 0
        self._broker = broker
        self._topics = topics
        self._clock = clock
        self._on_message: Callable[[Message], None] | None = None

    async def run(
        self,
        on_message: Callable[[Message], None],
        on_state: Callable[[LinkState], None],
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> NoReturn:
        task_status.started()
        while True:
            await self._broker.wait_until_up()
            self._on_message = on_message
            on_state(LinkState(Phase.UP, "", self._clock()))
            try:
                await self._broker.serve(self)
            finally:
                self._on_message = None
            on_state(LinkState(Phase.DOWN, "the broker was stopped", self._clock()))

    def deliver(self, message: Message) -> None:
        if self._on_message is not None and message.topic in self._topics:
            self._on_message(message)

    async def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, timeout: float = 5.0
    ) -> None:
        """Publish as a real link does. Raises `ValueError` for more than fits in a message."""
        del timeout
        if len(payload) > MAX_MESSAGE:
            msg = f"{topic}: {len(payload)} bytes, {MAX_MESSAGE} fit in a message; send it in parts"
            raise ValueError(msg)
        await anyio.lowlevel.checkpoint()
        if self._on_message is None:
            msg = f"{topic}: no link"
            raise LinkDown(msg)
        self._broker.publish(Message(topic, payload, retain))


@asynccontextmanager
async def serve_ledger(
    settings: Settings, clock: Clock, broker: MemoryBroker, *, take_over: bool = False
) -> AsyncIterator[Ledger]:
    """Serve a real ledger on a broker in memory, until the block ends."""
    opening = Ledger.open(
        settings, clock=clock.utc, connect=broker.connect, take_over=take_over, hearing=0.02
    )
    async with (
        opening as ledger,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(ledger.serve)
        yield ledger
        tasks.cancel_scope.cancel()
