"""How long until a gate can answer: with nothing, and with what its last end left on the disk?

A gate on a real broker and a ledger in its own process, from `async with` to `ready`. Run:
`python -m benchmarks.bench_start`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter

import anyio
import msgspec

from benchmarks import world
from benchmarks.process import resident
from benchmarks.result import Figure, Result, Scale, Table, digits, main, whole
from benchmarks.rig import System, system, until_ready
from ringfence import Gate

ROWS = (1_000_000, 10_000_000)
QUICK_ROWS = (300_000,)
WARM = 7
HEARTBEAT = 2.0
"""Seconds between two heads of the ledger: a warm start falls anywhere between them."""

METHOD = """\
{kind} on loopback; the ledger, in a process of its own, holds the rows and a tenth of restraints
in memory. From `async with Gate(…)` until `ready()` is true: all rows have come, and a head
confirms their digest.

Warm: the same gate {warm} times more, its files in the system's page cache, begun at a random
instant between two heads of the ledger (one every 2 s).

Peak memory: what the gate's process had grown by at the most, mapped pages of its files counted.
"""


class Start(msgspec.Struct):
    """What was measured at one size."""

    cold: float
    """Seconds."""
    peak: int
    """Bytes by which the process had grown when it had grown most."""
    opened: list[float]
    """Of warm starts, until the gate was open: its tables read and summed up."""
    warm: list[float]
    """Of warm starts, until it was ready."""
    kind: str


@asynccontextmanager
async def _timed(rig: System, name: str, taken: list[tuple[float, float]]) -> AsyncIterator[Gate]:
    began = perf_counter()
    async with Gate(world.settings(rig.folder, rig.broker, name), clock=rig.clock) as gate:
        opened = perf_counter() - began
        await until_ready(gate)
        taken.append((opened, perf_counter() - began))
        yield gate


async def _measured(rows: int) -> Start:
    async with system(rows) as rig:
        before, random = resident(), Random(11)
        starts: list[tuple[float, float]] = []
        async with _timed(rig, "cold", starts) as gate:
            _hold_all(gate, rows)
            peak = _peak() - before
        for _ in range(WARM):
            await anyio.sleep(random.uniform(0, HEARTBEAT))
            async with _timed(rig, "cold", starts) as gate:
                _hold_all(gate, rows)
        (_, cold), *again = starts
        opened, warm = (list(column) for column in zip(*again, strict=True))
        return Start(cold, peak, opened, warm, rig.kind)


def _hold_all(gate: Gate, rows: int) -> None:
    held = gate.current_status().principals[world.PRINCIPAL].grounds
    if held != rows:
        msg = f"the gate holds {held} of {rows} rows"
        raise ValueError(msg)


def _peak() -> int:
    """Give the most memory this process ever had, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    peak = next(line for line in lines if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024


def measure(scale: Scale) -> Result:
    starts = {rows: asyncio.run(_measured(rows)) for rows in scale.pick(ROWS, QUICK_ROWS)}
    kind = next(iter(starts.values())).kind
    result = Result(
        "start",
        "How long until a gate can answer: with nothing, and with what its last end left?",
        METHOD.format(kind=kind, warm=WARM),
    )
    rows = [
        [
            whole(size),
            f"{digits(start.cold)} s",
            f"{whole(size * 1.1 / start.cold)}",
            f"{digits(start.peak / (size * 1.1))} B",
            f"{digits(median(start.warm))} s ({min(start.warm):.2f}–{max(start.warm):.2f})",
            f"{digits(median(start.opened))} s",
        ]
        for size, start in starts.items()
    ]
    head = [
        "ground rows", "bootstrap", "rows/s", "peak memory a row", "warm start",
        "of it, reading tables",
    ]  # fmt: skip
    result.tables = [Table("From nothing, and from disk", head, rows)]
    for size, start in starts.items():
        result.figures.append(Figure(f"start/{size}/cold", start.cold, "s"))
        result.figures.append(Figure(f"start/{size}/warm", median(start.warm), "s"))
    return result


if __name__ == "__main__":
    main(measure)
