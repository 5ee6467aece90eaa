"""What does `admit` wait for: with each durability, asking the ledger, with fifty at once?

A gate on a real broker, and a ledger in its own process that confirms what the gate reports. Run:
`python -m benchmarks.bench_admit`.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Literal, TypeAlias

import anyio
import anyio.lowlevel
import numpy as np

from benchmarks import world
from benchmarks.measure import Nanos, Spread, frozen, timed
from benchmarks.result import (
    SPREAD_HEAD,
    Result,
    Scale,
    Table,
    figures_of,
    main,
    spread_row,
    whole,
)
from benchmarks.rig import system
from benchmarks.world import Durability
from ringfence import Call, Gate, Outcome

ROWS, QUICK_ROWS = 1_000_000, 60_000
ROUNDS = 3
CALLERS = 50
Way: TypeAlias = Literal["process", "fsync", "confirmed"]
WAYS: dict[Way, tuple[Durability, int]] = {
    "process": ("process", 0),
    "fsync": ("fsync", 0),
    "confirmed": ("process", 4),
}
"""Durability, and the margin of attempts with which the ledger is asked: 0 is never, 4 always."""
Cell: TypeAlias = tuple[Way, int]

CALLS: dict[Cell, int] = {
    ("process", 1): 5_000,
    ("process", CALLERS): 5_000,
    ("fsync", 1): 500,
    ("fsync", CALLERS): 5_000,
    ("confirmed", 1): 500,
    ("confirmed", CALLERS): 2_000,
}
"""In a round, by way and callers; all rounds together have as many numbers as there are."""

METHOD = """\
{rows} ground rows; {kind} on loopback, and a ledger in a process of its own that stores and
confirms the attempts meanwhile. Callers admit a call, close it as not answered, and take the next;
with fifty at once the time of one call holds its wait for the others. The ways take turns, round
by round.

`process` waits for the operating system. `fsync` waits for the disk, for outbox and evidence at
once; one fsync serves all who wait. Both answer by themselves (`margin = 0`). `confirmed` waits as
`process` does, and for the ledger's word that the attempt is stored, with fsync, and is not one too
many (`margin = 4`, the default).
"""


class Cells:
    """What one way of admitting came to, round by round."""

    def __init__(self) -> None:
        self.admits: list[Nanos] = []
        self.closes: list[Nanos] = []
        self.rates: list[float] = []

    async def round(self, gate: Gate, calls: Iterator[Call], callers: int) -> None:
        """Let so many callers admit, and close, one call after the other."""
        admits: list[int] = []
        closes: list[int] = []
        began = perf_counter()
        async with anyio.create_task_group() as tasks:
            for _ in range(callers):
                tasks.start_soon(_caller, gate, calls, admits, closes)
        self.rates.append(len(admits) / (perf_counter() - began))
        self.admits.append(np.array(admits, np.int64))
        self.closes.append(np.array(closes, np.int64))


async def _caller(gate: Gate, calls: Iterator[Call], admits: list[int], closes: list[int]) -> None:
    clock = perf_counter_ns
    for call in calls:
        began = clock()
        permit = await gate.admit(call)
        admitted = clock()
        await permit.close(Outcome.NO_ANSWER)
        closed = clock()
        if not permit:
            msg = f"not allowed: {permit}"
            raise ValueError(msg)
        admits.append(admitted - began)
        closes.append(closed - admitted)
        await anyio.lowlevel.checkpoint()  # it dials; the gate's own tasks have their turn


async def _measured(rows: int, rounds: int, share: int) -> tuple[str, Nanos, dict[Cell, Cells]]:
    cells = {cell: Cells() for cell in CALLS}
    calls = iter([world.call(number) for number in world.shuffled()])
    async with system(rows) as rig:
        for way in WAYS:
            rig.fill(way, rows)
        disk = _fsyncs(rig.folder / "probe", 500 // share)
        async with AsyncExitStack() as stack:
            gates = {
                way: await stack.enter_async_context(rig.gate(way, durability, margin=margin))
                for way, (durability, margin) in WAYS.items()
            }
            frozen()
            for _ in range(rounds):
                for (way, callers), each in CALLS.items():
                    some = islice(calls, each // share)
                    await cells[way, callers].round(gates[way], some, callers)
        return rig.kind, disk, cells


def _fsyncs(path: Path, times: int) -> Nanos:
    """Append 300 bytes and wait for the disk, again and again: what nobody can be faster than."""
    with path.open("ab", buffering=0) as file:

        def once(_: int) -> None:
            file.write(bytes(300))
            os.fsync(file)

        return timed(once, range(times))


def measure(scale: Scale) -> Result:
    rows, rounds = scale.pick(ROWS, QUICK_ROWS), scale.pick(ROUNDS, 1)
    kind, disk, cells = asyncio.run(_measured(rows, rounds, scale.pick(1, 10)))
    result = Result(
        "admit",
        "What does `admit` wait for: with each durability, asking the ledger, with fifty at once?",
        METHOD.format(rows=whole(rows), kind=kind),
    )
    spreads = {
        (what, cell): Spread.of(times)
        for cell, some in cells.items()
        for what, times in (("admit", some.admits), ("close", some.closes))
    }
    names = {1: "alone", CALLERS: f"{CALLERS} at once"}
    result.tables = [
        Table(
            "Latency of one call",
            ["", *SPREAD_HEAD, "admitted and closed a second"],
            [
                ["append of 300 bytes and fsync", *spread_row("", Spread.of([disk]))[1:], ""],
                *(
                    [*spread_row(f"{what}, {way}, {names[callers]}", spread), rate]
                    for (what, (way, callers)), spread in spreads.items()
                    for rate in [_rate(cells[way, callers]) if what == "admit" else ""]
                ),
            ],
        )
    ]
    for (what, (way, callers)), spread in spreads.items():
        result.figures += figures_of(f"system/{what}/{way}/{callers}", spread)
    return result


def _rate(cells: Cells) -> str:
    return whole(float(np.median(cells.rates)))


if __name__ == "__main__":
    main(measure)
