"""kill -9 of gates that share a machine, and of who syncs for them: never a fifth attempt."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TypeVar

import anyio
import anyio.abc
import anyio.to_thread
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream
from tests.integration.member import NUMBERS
from tests.integration.test_kill import CONFIG, Scene, scene

from ringfence import Consent, Gate
from ringfence.cli.gate import shifted_to
from ringfence.config import load
from ringfence.replica import Now

__all__ = ["scene"]

MEMBER = Path(__file__).with_name("member.py")
TUESDAY = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
GATES = 4
KILLS = 12
P = TypeVar("P")
SHARE = """
share = true
attempts = { margin = 0 }
"""


def the_pipe(pipe: P | None) -> P:
    """Give what is there as it was asked for."""
    assert pipe is not None
    return pipe


class Machine:
    """The processes of one machine, and what their dialers saw."""

    def __init__(self, scene: Scene) -> None:
        text = CONFIG.format(port=scene.broker.broker.port, gate="m")
        text = text.replace('principals = ["acme"]', f'principals = ["acme"]{SHARE}', 1)
        self.config = scene.folder / "m.toml"
        self.config.write_text(text)
        self.seen: Counter[str] = Counter()
        self.kills = 0
        self._random = Random(5)
        self.clock = shifted_to(TUESDAY)
        self.syncer: anyio.abc.Process | None = None
        self.ended = 0

    @property
    def now(self) -> str:
        """The instant that a process which starts now is told, so that all clocks agree."""
        return datetime.fromtimestamp(self.clock().utc, UTC).replace(tzinfo=None).isoformat()

    async def ledger(self) -> anyio.abc.Process:
        command = [sys.executable, "-m", "ringfence", "ledger", "serve", "--config"]
        return await anyio.open_process(
            [*command, str(self.config), "--rehearse-at", self.now],
            stdout=subprocess.DEVNULL,
            stderr=None,
        )

    async def race(self, gates: int) -> None:
        """Have gates ask for the same numbers, all from the same moment on."""
        command = [sys.executable, "-m", "tests.integration.racer", str(self.config), self.now]
        async with AsyncExitStack() as stack:
            racers = [
                await stack.enter_async_context(await anyio.open_process(command, stderr=None))
                for _ in range(gates)
            ]
            told = [BufferedByteReceiveStream(the_pipe(racer.stdout)) for racer in racers]
            for lines in told:
                assert await lines.receive_until(b"\n", 100) == b"ready"
            for racer in racers:
                await the_pipe(racer.stdin).send(b".")
            for lines in told:
                while (line := await lines.receive_until(b"\n", 100)) != b"done":
                    self.seen[line.decode()] += 1

    async def dial(self) -> None:
        """Be a dialer whose gate is killed now and then, and started anew, until all is done."""
        while not await self._live(self._random.randrange(1, 30)):
            self.kills += 1
            if self.syncer is not None and self.kills % 3 == 0:
                self.syncer.kill()

    async def _live(self, calls: int) -> bool:
        """Run a gate until it is done, or kill it when it has admitted so many calls."""
        seed = str(self._random.randrange(1 << 30))
        given = [str(MEMBER), str(self.config), self.now, seed]
        async with await anyio.open_process([sys.executable, *given], stderr=None) as process:
            lines = BufferedByteReceiveStream(the_pipe(process.stdout))
            while (line := await lines.receive_until(b"\n", 100)) != b"done":
                self.seen[line.decode()] += 1
                calls -= 1
                if not calls and self.kills < KILLS:
                    process.kill()
                    return False
                await the_pipe(process.stdin).send(b".")
            return True

    async def sync(self) -> None:
        """Sync for the machine in a process of its own; when it is killed the gates take over."""
        command = [sys.executable, "-m", "ringfence", "gate", "sync", "--config", str(self.config)]
        while True:
            given = [*command, "--rehearse-at", self.now]
            async with await anyio.open_process(given, stderr=None) as process:
                self.syncer = process
                await process.wait()
                self.ended += 1


async def consents(scene: Scene, clock: Callable[[], Now]) -> None:
    """Let the ledger know that everybody may be called."""
    given = TUESDAY.replace(month=9)
    settings = await anyio.to_thread.run_sync(load, scene.folder / "a.toml")
    async with Gate(settings, clock=clock) as gate:
        assert await gate.ready(30)
        for to in NUMBERS:
            await gate.record(
                Consent(to=to, principal="acme", purpose="fibre", text="web-1", at=given)
            )
        async for status in gate.status:
            if not status.outbox:
                break


@pytest.mark.timeout(180)
async def test_gates_that_are_killed_make_four_attempts_together_and_never_a_fifth(
    scene: Scene,
) -> None:
    machine = Machine(scene)
    ledger = await machine.ledger()
    try:
        await consents(scene, machine.clock)
        async with anyio.create_task_group() as beside:
            beside.start_soon(machine.sync)
            async with anyio.create_task_group() as tasks:
                for _ in range(GATES):
                    tasks.start_soon(machine.dial)
            beside.cancel_scope.cancel()
    finally:
        ledger.kill()
        await ledger.aclose()

    assert machine.kills >= KILLS // 2
    assert machine.ended
    assert max(machine.seen.values()) == 4
    assert sum(machine.seen.values()) >= 4 * len(NUMBERS) - machine.kills


@pytest.mark.timeout(180)
async def test_gates_that_ask_for_the_same_people_at_once_make_exactly_four_attempts(
    scene: Scene,
) -> None:
    machine = Machine(scene)
    ledger = await machine.ledger()
    try:
        await consents(scene, machine.clock)
        await machine.race(GATES)
    finally:
        ledger.kill()
        await ledger.aclose()

    assert machine.seen == dict.fromkeys(NUMBERS, 4)
