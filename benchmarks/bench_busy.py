"""How does a gate answer while rows arrive, and for how long is its event loop held?

A gate on a real broker and a ledger in its own process: quiet, while 20 000 changed rows a second
arrive, and while it loads all rows. Run: `python -m benchmarks.bench_busy`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from itertools import cycle
from random import Random
from time import perf_counter
from typing import NamedTuple

import anyio

from benchmarks import world
from benchmarks.measure import Kept, Nanos, Spread, Watched, frozen, on_schedule
from benchmarks.result import (
    SPREAD_HEAD,
    Curves,
    Figure,
    Result,
    Scale,
    Table,
    digits,
    figures_of,
    main,
    spread_row,
    whole,
)
from benchmarks.rig import System, system, until_ready
from ringfence import Call, Gate
from ringfence.decision import Reason

ROWS, QUICK_ROWS = 10_000_000, 300_000
RATE = 1_000
"""Calls a second."""

CHANGES = 20_000
"""Changed rows a second."""

SECONDS, QUICK_SECONDS = 40.0, 3.0

METHOD = """\
{rows} ground rows and a tenth of restraints; {kind} on loopback. The ledger, in a process of its
own, tells batches of 200 changed rows with the ids of their events, not stored by it before; it
came to {reached} rows/s.

The gate is asked at {rate} instants a second, drawn beforehand (a Poisson process). `From when it
was due` counts whatever held a call up, so nothing that waits is left out; up to 1 ms of it is the
event loop's own timer, which counts in milliseconds.

A hold is the time from the return of one poll of the event loop to its next poll, of every turn of
the loop.
"""


class Phase(NamedTuple):
    """How it went while one thing was going on."""

    kept: Kept
    held: Nanos
    """How long the event loop was held, each time."""
    seconds: float
    reached: float = 0.0
    """Changes a second."""


async def _asked_while(
    gate: Gate, watched: Watched, calls: list[Call], doing: Callable[[], Awaitable[float]]
) -> Phase:
    """Ask the gate `RATE` times a second until *doing* is done."""
    done = anyio.Event()
    reached, began = 0.0, perf_counter()

    async def run() -> None:
        nonlocal reached
        reached = await doing()
        done.set()

    await anyio.sleep(0.01)  # so that what was done before is in another turn of the loop
    watched.taken()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        kept = await on_schedule(gate.check, _until(done, calls), rate=RATE, random=Random(5))
    return Phase(kept, watched.taken(), perf_counter() - began, reached)


def _until(done: anyio.Event, calls: list[Call]) -> Iterator[Call]:
    for call in cycle(calls):
        if done.is_set():
            return
        yield call


async def _phases(rig: System, watched: Watched, rows: int, seconds: float) -> dict[str, Phase]:
    async def wait() -> float:
        await anyio.sleep(seconds)
        return 0.0

    async def change() -> float:
        return await rig.ledger.tell("change", float, rate=CHANGES, seconds=seconds)

    rig.fill("warm", rows)
    phases, calls = {}, [world.call(number) for number in world.shuffled()]
    async with rig.gate("warm") as gate:
        frozen()
        phases["quiet"] = await _asked_while(gate, watched, calls, wait)
        phases["changes"] = await _asked_while(gate, watched, calls, change)
    phases["loading"] = await _loading(rig, watched, calls)
    return phases


async def _loading(rig: System, watched: Watched, calls: list[Call]) -> Phase:
    """Ask a gate that has no rows yet, until it has all."""
    given = world.settings(rig.folder, rig.broker, "cold")
    async with AsyncExitStack() as stack:
        gate = await stack.enter_async_context(Gate(given, clock=rig.clock))

        async def load() -> float:
            await until_ready(gate)
            return 0.0

        first = gate.check(world.call(world.numbers()[0]))
        if first.reason is not Reason.NOT_READY:
            msg = f"a gate without rows answered {first}"
            raise ValueError(msg)
        return await _asked_while(gate, watched, calls, load)


TITLES = {
    "quiet": "nothing going on",
    "changes": "20 000 changed rows a second arrive",
    "loading": "all rows are being loaded (every answer: not_ready)",
}


def measure(scale: Scale) -> Result:
    rows = scale.pick(ROWS, QUICK_ROWS)
    watched = Watched()

    async def run() -> tuple[str, dict[str, Phase]]:
        async with system(rows) as rig:
            seconds = scale.pick(SECONDS, QUICK_SECONDS)
            return rig.kind, await _phases(rig, watched, rows, seconds)

    with asyncio.Runner(loop_factory=watched.loop) as runner:
        kind, phases = runner.run(run())
    return _told(kind, rows, phases)


def _told(kind: str, rows: int, phases: dict[str, Phase]) -> Result:
    reached = whole(phases["changes"].reached)
    result = Result(
        "busy",
        "How does a gate answer while rows arrive, and for how long is its event loop held?",
        METHOD.format(rows=whole(rows), kind=kind, reached=reached, rate=RATE),
    )
    result.tables = [_latencies(phases), _holds(phases)]
    result.figures = [
        *(
            figure
            for name, phase in phases.items()
            for figure in figures_of(f"busy/{name}/check", Spread.of([phase.kept.own]))
        ),
        *(
            Figure(f"busy/{name}/hold", float(phase.held.max()) / 1e6, "ms")
            for name, phase in phases.items()
        ),
        Figure("busy/changes/reached", phases["changes"].reached, "rows/s"),
    ]
    curves = {TITLES[name]: Spread.of([phase.kept.own]).curve for name, phase in phases.items()}
    result.plots = [
        Curves("busy", "check, while rows arrive: latency by percentile", curves, [(1000, 0.001)])
    ]
    return result


def _latencies(phases: dict[str, Phase]) -> Table:
    rows = []
    for name, phase in phases.items():
        own, late = Spread.of([phase.kept.own]), Spread.of([phase.kept.late])
        rows.append(spread_row(f"check, {TITLES[name]}", own))
        rows.append(spread_row("… from when it was due", late))
    return Table("Latency of `check`", ["", *SPREAD_HEAD], rows)


def _holds(phases: dict[str, Phase]) -> Table:
    rows = []
    for name, phase in phases.items():
        over = int((phase.held > 5_000_000).sum())
        label = f"{TITLES[name]}, {digits(phase.seconds)} s"
        rows.append([*spread_row(label, Spread.of([phase.held])), str(over)])
    head = ["", *SPREAD_HEAD[:-1], "turns", "over 5 ms"]
    return Table("How long the event loop was held at a time", head, rows)


if __name__ == "__main__":
    main(measure)
