"""What the benchmarks measure on: a gate alone, or a broker, a ledger and gates.

Nothing is a double but the broker of a gate that is measured alone, which is in memory; ledger and
gates are the real ones, in processes of their own where that is so in life.
"""

import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from benchmarks import world
from benchmarks.process import Other, started
from benchmarks.world import EPOCH, SEQ, Durability
from ringfence import Gate
from ringfence.broker import LocalBroker, start_broker
from ringfence.gate import system_clock
from ringfence.link import Broker, Message
from ringfence.replica import Now
from ringfence.testing import MemoryBroker
from ringfence.wire import Config, Head, Topic, encode

__all__ = ["Alone", "System", "alone", "shifted", "system"]

SBIN = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
VERSION = 1
"""Of the configuration."""

READY = 300.0
"""Seconds that are waited for a gate: of fifty million rows too."""


class Alone:
    """A gate that vouches for its rows; heads come from here, since no ledger is needed."""

    def __init__(self, gate: Gate, tell: Callable[[], None]) -> None:
        self.gate = gate
        self.tell = tell
        """Tell the gate that it is up to date, as a ledger does every other second."""


@asynccontextmanager
async def alone(rows: int, durability: Durability = "process") -> AsyncIterator[Alone]:
    """Open a gate of *rows* grounds, and a tenth of restraints, in files as a warm start finds."""
    with tempfile.TemporaryDirectory(prefix="ringfence-bench-") as name:
        folder = Path(name)
        tables = world.fill(folder / "bench", rows)
        digests = tables[0].digest, tables[1].digest
        counts = len(tables[0]), len(tables[1])
        for table in tables:
            table.close()
        clock, broker = shifted(_ahead()), MemoryBroker()

        def tell() -> None:
            at = datetime.fromtimestamp(clock().utc, UTC)
            head = Head(EPOCH, SEQ, at, *digests, *counts, 1, VERSION)
            broker.publish(Message(str(Topic(world.PRINCIPAL, "head")), encode(head)))
            broker.published.clear()

        config = Config(
            EPOCH, VERSION, {world.NAME: world.CAMPAIGN}, {world.TEXT_NAME: world.TEXT},
            {world.TEXT_NAME: 1},
        )  # fmt: skip
        topic = str(Topic(world.PRINCIPAL, "config"))
        broker.publish(Message(topic, encode(config), retained=True))
        given = world.settings(folder, Broker(), durability=durability)
        async with Gate(given, clock=clock, connect=broker.connect) as gate:
            while not await gate.ready(0.05):
                tell()
            yield Alone(gate, tell)


# --- the whole system -----------------------------------------------------------------------------


class System:
    """A broker on loopback and a ledger in a process of its own."""

    def __init__(self, folder: Path, local: LocalBroker, ledger: Other, now: float) -> None:
        self.folder = folder
        self.kind = local.kind
        """Of broker."""
        self.broker = local.broker
        self.ledger = ledger
        self.now = now
        """Seconds by which its clocks are ahead of the machine's."""

    @property
    def clock(self) -> Callable[[], Now]:
        return shifted(self.now)

    @asynccontextmanager
    async def gate(
        self, name: str, durability: Durability = "process", *, margin: int = 0
    ) -> AsyncIterator[Gate]:
        """Open a gate in this process, and wait until it is ready."""
        given = world.settings(self.folder, self.broker, name, durability, margin=margin)
        async with Gate(given, clock=self.clock) as gate:
            await until_ready(gate)
            yield gate

    def fill(self, name: str, rows: int) -> None:
        """Lay the ledger's rows where that gate finds them, as its last end would have left it."""
        for table in world.fill(self.folder / name, rows):
            table.close()


async def until_ready(gate: Gate) -> None:
    """Wait. Raises `TimeoutError`, which says what is missing."""
    ready = await gate.ready(READY)
    if not ready:
        raise TimeoutError(str(ready))


def shifted(seconds: float) -> Callable[[], Now]:
    """Give a clock ahead of the machine's, so that all processes tell the same working hour.

    It costs a decision what the machine's own clock does, and an addition.
    """
    read, told = time.clock_gettime, time.time  # noqa: TID251 - the clock

    def clock() -> Now:
        return Now(read(time.CLOCK_BOOTTIME), told() + seconds)

    return clock


def _ahead() -> float:
    """Give the seconds from now to the working hour that is told."""
    return world.MORNING.timestamp() - system_clock().utc


@asynccontextmanager
async def system(rows: int = 0) -> AsyncIterator[System]:
    """Start a broker (mosquitto where it is installed, else nats-server) and a ledger.

    The ledger holds *rows* grounds and a tenth of restraints, put into its tables rather than read
    from its file: importing ten million takes minutes, and is measured by itself.
    """
    now = _ahead()
    with tempfile.TemporaryDirectory(prefix="ringfence-bench-") as name:
        folder = Path(name)
        async with start_broker(folder / "broker", kind=_kind()) as local:
            given = (name, str(local.broker.port), str(rows), str(now))
            async with started("benchmarks.actors.ledger", *given) as ledger:
                await ledger.tell("ready", bool)
                yield System(folder, local, ledger, now)


def _kind() -> Literal["mosquitto", "nats"]:
    """Give the broker that is recommended, where it is installed."""
    return "mosquitto" if shutil.which("mosquitto", path=SBIN) else "nats"
