"""How long until a refusal at one gate denies the call at another?

A real broker, a ledger that commits with fsync, and gates in processes of their own. Run:
`python -m benchmarks.bench_refusal`.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import NamedTuple

import numpy as np

from benchmarks import world
from benchmarks.measure import Nanos, Spread
from benchmarks.process import Other, started
from benchmarks.result import (
    SPREAD_HEAD,
    Curves,
    Result,
    Scale,
    Table,
    figures_of,
    main,
    spread_row,
    whole,
)
from benchmarks.rig import System, system

ROWS = 60_000

METHOD = """\
{kind} on loopback, {rows} rows, a ledger that commits with fsync, all in processes of their own on
this machine. A gate records refusals at instants drawn beforehand (a Poisson process; 20 a second,
10 with 50 gates), and what a refusal waited for is counted from the instant it was due.

Every other gate watches a call to each number. It has denied when `check` answers `refused` after
the watch was broken off. Each of up to 10 gates has a process; 50 share five.
"""


class Lot(NamedTuple):
    """How many gates listen, and how often somebody refuses."""

    gates: int
    processes: int
    refusals: int
    rate: float
    """A second."""


LOTS = (Lot(1, 1, 1000, 20), Lot(10, 10, 600, 20), Lot(50, 5, 400, 10))
QUICK = (Lot(1, 1, 40, 20), Lot(4, 2, 40, 20))


class Heard(NamedTuple):
    """Nanoseconds from the instant a refusal was due."""

    here: Nanos
    """Until it was recorded at its gate."""
    each: Nanos
    """Until another gate denied the call: of each refusal and gate."""
    last: Nanos
    """Until the last of them did: of each refusal."""


async def _start(rig: System, stack: AsyncExitStack, name: str, count: int) -> Other:
    given = (str(rig.folder), str(rig.broker.port), str(rig.now), name, str(count))
    return await stack.enter_async_context(started("benchmarks.actors.gates", *given))


async def _measured(lot: Lot) -> tuple[str, Heard]:
    numbers = world.shuffled(seed=lot.gates)[: lot.refusals]
    async with system(ROWS) as rig, AsyncExitStack() as stack:
        agent = await _start(rig, stack, "agent", 1)
        share = lot.gates // lot.processes
        others = [await _start(rig, stack, f"gate-{n}", share) for n in range(lot.processes)]
        for other in others:
            await other.tell("watch", int, numbers=numbers)
        told = await agent.tell("refuse", list[list[int]], numbers=numbers, rate=lot.rate)
        denied = [gate for other in others for gate in await other.tell("noticed", list[list[int]])]
        due, recorded = np.array(told, np.int64).T
        waits = np.array(denied, np.int64) - due
        return rig.kind, Heard(recorded - due, waits.ravel(), waits.max(axis=0))


def measure(scale: Scale) -> Result:
    heard: dict[int, Heard] = {}
    kind = ""
    for lot in scale.pick(LOTS, QUICK):
        kind, heard[lot.gates] = asyncio.run(_measured(lot))
    result = Result(
        "refusal",
        "How long until a refusal at one gate denies the call at another?",
        METHOD.format(kind=kind, rows=whole(ROWS)),
    )
    result.tables = [_table(heard)]
    for gates, times in heard.items():
        result.figures += figures_of(f"refusal/{gates}", Spread.of([times.each]))
    curves = {_others(gates): Spread.of([h.each]).curve for gates, h in heard.items()}
    limits = [(10_000.0, 0.5), (50_000.0, 0.01)]
    title = "From a refusal at one gate to the denial at another: by percentile"
    result.plots = [Curves("refusal", title, curves, limits)]
    return result


def _others(gates: int) -> str:
    return "1 other gate" if gates == 1 else f"{gates} other gates"


def _table(heard: dict[int, Heard]) -> Table:
    rows = []
    for gates, times in heard.items():
        rows += [
            spread_row(f"{_others(gates)}: recorded here", Spread.of([times.here])),
            spread_row(f"{_others(gates)}: denied at another", Spread.of([times.each])),
            spread_row(f"{_others(gates)}: denied at the last", Spread.of([times.last])),
        ]
    return Table("From a refusal to the denial", ["", *SPREAD_HEAD], rows)


if __name__ == "__main__":
    main(measure)
