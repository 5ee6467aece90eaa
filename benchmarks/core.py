"""The core figures of one tree of the SDK, measured a round at a time.

`python -m benchmarks.core` is a process that `benchmarks.compare` tells which figure to measure;
whose SDK it measures, `PYTHONPATH` says. It uses little of the SDK beside what it measures, so that
trees of other days can be measured with it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import islice
from pathlib import Path
from random import Random
from time import perf_counter_ns

import numpy as np

import ringfence
from benchmarks import world
from benchmarks.measure import frozen, timed, timed_async
from benchmarks.process import obey
from benchmarks.rig import alone
from ringfence.replica import Now, Patience, Replica
from ringfence.table import Table
from ringfence.wire import Log

__all__ = ["FIGURES"]

ROWS = 1_000_000
CHECKS, ADMITS, BATCHES = 4_000, 800, 200
BATCH = 200
RECORDS = 4_000

Round = Callable[[], Awaitable[float]]
"""Measures once more; gives nanoseconds."""


@asynccontextmanager
async def check() -> AsyncIterator[Round]:
    """One `check`, of a number not seen before, in the median."""
    async with alone(ROWS) as rig:
        calls = _calls()

        async def once() -> float:
            rig.tell()
            return float(np.median(timed(rig.gate.check, list(islice(calls, CHECKS)))))

        yield once


@asynccontextmanager
async def admit() -> AsyncIterator[Round]:
    """One `admit` with the durability of a process, in the median."""
    async with alone(ROWS) as rig:
        calls = _calls()

        async def once() -> float:
            rig.tell()
            some = list(islice(calls, ADMITS))
            return float(np.median(await timed_async(rig.gate.admit, some)))

        yield once


@asynccontextmanager
async def upsert() -> AsyncIterator[Round]:
    """One batch of changed rows put into a table, in the median."""
    rows = world.ground_rows(ROWS)
    table, random = Table(ROWS), np.random.default_rng(4)
    table.load(rows)

    async def once() -> float:
        parts = [rows[random.integers(0, ROWS, BATCH)].tobytes() for _ in range(BATCHES)]
        return float(np.median(timed(table.upsert, parts)))

    yield once
    table.close()


class _Shelf:
    """Has two tables, as a gate's last end leaves them."""

    def found(self) -> tuple[Table, Table]:
        tables = Table(ROWS), Table(ROWS // 10)
        tables[0].load(world.ground_rows(ROWS))
        tables[1].load(world.restraint_rows(ROWS // 10))
        for table in tables:
            table.epoch, table.seq = world.EPOCH, world.SEQ
        return tables

    def new(self, epoch: int, grounds: int, restraints: int) -> tuple[Table, Table]:
        raise NotImplementedError

    def keep(self, ground: Table, restraint: Table) -> None:
        raise NotImplementedError


@asynccontextmanager
async def apply() -> AsyncIterator[Round]:
    """One batch of the log heard by a replica, in the median."""
    replica = Replica("bench", _Shelf(), Random(1), Patience())
    logs = _logs()

    async def once() -> float:
        now = Now(0.0, 0.0)
        some = list(islice(logs, BATCHES))
        return float(np.median(timed(lambda log: replica.receive_log(log, now), some)))

    yield once
    replica.close()


def _logs() -> Iterator[Log]:
    grounds, restraints = world.ground_rows(ROWS), world.restraint_rows(ROWS // 10)
    random, first = np.random.default_rng(7), world.SEQ + 1
    while True:
        ground = grounds[random.integers(0, len(grounds), BATCH * 4 // 5)].tobytes()
        restraint = restraints[random.integers(0, len(restraints), BATCH // 5)].tobytes()
        last = first + BATCH - 1
        ids = [f"bench-{n:024}" for n in range(first, last + 1)]
        yield Log(world.EPOCH, first, last, ground, restraint, ids)
        first = last + 1


@asynccontextmanager
async def replay() -> AsyncIterator[Round]:
    """One decision of the evidence decided again, on average."""
    from ringfence.evidence.replay import replay as again  # noqa: PLC0415 - a tree may lack it
    from ringfence.evidence.segment import records  # noqa: PLC0415

    async with alone(60_000) as rig:
        for call in islice(_calls(), RECORDS):
            await rig.gate.admit(call)
        told = list(records(rig.gate.settings.data / "evidence"))

    async def once() -> float:
        began = perf_counter_ns()
        decisions = again(told).decisions
        return (perf_counter_ns() - began) / decisions

    yield once


def _calls() -> Iterator[ringfence.Call]:
    """Give calls without end; each number is met again as late as can be."""
    while True:
        yield from (world.call(number) for number in world.shuffled())


FIGURES = {figure.__name__: figure for figure in (check, admit, upsert, apply, replay)}
"""By name: each opens what it measures, and gives what measures it once."""


async def serve() -> None:
    rounds: dict[str, Round] = {}
    async with AsyncExitStack() as stack:

        async def ready(folder: str) -> dict[str, str]:
            """Set all up; give why not, by figure. The SDK must lie in *folder*."""
            found = Path(ringfence.__file__)
            if not found.is_relative_to(folder):
                msg = f"measures {found}, not the SDK in {folder}"
                raise ValueError(msg)
            missing = {}
            for name, figure in FIGURES.items():
                try:
                    rounds[name] = await stack.enter_async_context(figure())
                except (ImportError, AttributeError, TypeError) as error:
                    missing[name] = f"{type(error).__name__}: {error}"
            frozen()
            return missing

        async def once(figure: str) -> float:
            return await rounds[figure]()

        await obey({"ready": ready, "round": once})


if __name__ == "__main__":
    asyncio.run(serve())
