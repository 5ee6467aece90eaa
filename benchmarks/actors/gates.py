"""Gates in a process of their own, that record refusals or notice them.

`python -m benchmarks.actors.gates FOLDER PORT AHEAD NAME COUNT`, told what to do by
`process.Other`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from time import perf_counter_ns

import anyio
import anyio.abc

from benchmarks import world
from benchmarks.measure import frozen
from benchmarks.process import obey
from benchmarks.rig import shifted, until_ready
from ringfence import Gate, Refusal
from ringfence.decision import Reason, Verdict
from ringfence.link import Broker

NOTICING = 30.0
"""Seconds for the last refusal to be noticed."""


class Gates:
    """Some gates of one process."""

    def __init__(self, gates: Sequence[Gate], tasks: anyio.abc.TaskGroup) -> None:
        self._gates = gates
        self._tasks = tasks
        self._noticed: list[dict[int, int]] = [{} for _ in gates]
        self._waited_for = 0
        self._all = anyio.Event()

    async def watch(self, numbers: list[str]) -> int:
        """Begin to watch a call to each number, at each gate; give how many gates there are."""
        self._waited_for = len(numbers) * len(self._gates)
        for gate, noticed in zip(self._gates, self._noticed, strict=True):
            for place, number in enumerate(numbers):
                self._tasks.start_soon(self._notice, gate, noticed, place, number)
        await anyio.wait_all_tasks_blocked()
        frozen()
        return len(self._gates)

    async def _notice(self, gate: Gate, noticed: dict[int, int], place: int, number: str) -> None:
        """Note when a gate denies a call that it allowed before."""
        call = world.call(number)
        allowed = gate.check(call)
        async with gate.watch(call):
            await anyio.sleep_forever()
        denied = gate.check(call)
        noticed[place] = perf_counter_ns()
        said = denied.verdict, denied.reason
        if not allowed or said != (Verdict.DENY, Reason.REFUSED):
            msg = f"call to {number}: {allowed} became {denied}"
            raise ValueError(msg)
        self._waited_for -= 1
        if not self._waited_for:
            self._all.set()

    async def noticed(self) -> list[list[int]]:
        """Give the instants at which each gate denied, number by number."""
        with anyio.fail_after(NOTICING):
            await self._all.wait()
        return [[noticed[place] for place in sorted(noticed)] for noticed in self._noticed]

    async def refuse(self, numbers: list[str], rate: float) -> list[list[int]]:
        """Record a refusal of each number, at instants drawn beforehand.

        Gives when each was due, and when it was recorded here.
        """
        frozen()
        random, due, told = Random(13), float(perf_counter_ns()), []
        for number in numbers:
            due += random.expovariate(rate) * 1e9
            if (wait := due - perf_counter_ns()) > 0:
                await anyio.sleep(wait / 1e9)
            await self._gates[0].record(Refusal(to=number, principal=world.PRINCIPAL))
            told.append([int(due), perf_counter_ns()])
        return told


@asynccontextmanager
async def opened(folder: Path, port: int, ahead: float, names: list[str]) -> AsyncIterator[Gates]:
    async with AsyncExitStack() as stack:
        gates = []
        for name in names:
            given = world.settings(folder, Broker(port=port), name)
            gate = await stack.enter_async_context(Gate(given, clock=shifted(ahead)))
            gates.append(gate)
        for gate in gates:
            await until_ready(gate)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        yield Gates(gates, tasks)
        tasks.cancel_scope.cancel()


async def serve(folder: Path, port: int, ahead: float, names: list[str]) -> None:
    async with opened(folder, port, ahead, names) as gates:
        await obey({"watch": gates.watch, "noticed": gates.noticed, "refuse": gates.refuse})


if __name__ == "__main__":
    given, port, ahead, name, count = sys.argv[1:]
    names = [f"{name}-{n}" for n in range(int(count))]
    asyncio.run(serve(Path(given), int(port), float(ahead), names))
