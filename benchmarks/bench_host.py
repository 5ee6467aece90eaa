"""What do ten gate processes of one machine cost that share their tables, and how do they answer?

A broker, a ledger, a syncer and gates, each in a process of its own, and beside them a gate that
shares nothing. Run: `python -m benchmarks.bench_host`.
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from time import perf_counter_ns
from typing import NamedTuple, TypeAlias

import anyio
import numpy as np

from benchmarks import world
from benchmarks.measure import Nanos, Spread, medians, paired
from benchmarks.process import Other, started
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
from benchmarks.rig import System, system
from ringfence.host import tables_of
from ringfence.syncer import LOCK

ROWS, QUICK_ROWS = 10_000_000, 300_000
GATES = 10
ROUNDS, CHECKS, ADMITS = 5, 40_000, 2_000
RATE, SECONDS, QUICK_SECONDS = 1_000, 20.0, 3.0
"""Calls a second while rows arrive, and for how long."""

CHANGES = 20_000
"""Changed rows a second."""

REFUSALS, QUICK_REFUSALS = 500, 40
REFUSED = 20.0
"""Refusals a second."""

TAKEOVERS, QUICK_TAKEOVERS = 5, 2

SHARED, PRIVATE = "shared", "private"

METHOD = """\
{rows} ground rows and a tenth of restraints; {kind} on loopback, a ledger, a syncer and {gates}
gates with `share = true`, each in a process of its own, and one more gate that shares nothing and
has the same rows.

Memory is the proportional set size after 10 000 checks a gate: a page that several processes have
mapped counts once among them. That of the syncer is in the sum.

`check` and `admit` (durability `process`, `margin = 0`) take turns between a shared gate and the
private one, round by round; each number is met for the first time and its rows lie in no cache of
the processor. While rows arrive at all of them a gate is asked at {rate} instants a second, drawn
beforehand.

A refusal is timed from before it is recorded in one gate process. `On the machine`: another, which
checks the number without a pause, denies. `By the ledger`: the private gate, which watches a call
to it, denies; so it goes between machines, the way of the network left out.

Takeover: the process that syncs is killed with SIGKILL, {takeovers} times, at first the syncer and
then whichever gate syncs in its place. Gates answer from what was vouched for, then defer while the
next one opens the tables and waits for a head of the ledger, one every 2 s.
"""

Times: TypeAlias = dict[str, list[Nanos]]


class Weight(NamedTuple):
    """Bytes."""

    whole: int
    tables: int
    """What of it is mapped tables."""


class Weighed(NamedTuple):
    """What was weighed."""

    one: Weight
    """The syncer and one gate."""
    all: Weight
    """The syncer and all gates."""
    private: Weight
    """One gate that shares nothing."""

    @property
    def growth(self) -> float:
        """What a further gate takes."""
        return (self.all.whole - self.one.whole) / (GATES - 1)


class Busy(NamedTuple):
    """How a gate answered while rows arrived."""

    own: Nanos
    late: Nanos
    reached: float
    """Changed rows a second."""


class Refused(NamedTuple):
    """Nanoseconds from before a refusal was recorded."""

    recorded: Nanos
    here: Nanos
    """Until another process of the machine denied."""
    far: Nanos
    """Until a gate elsewhere denied."""


class Takeover(NamedTuple):
    """Seconds."""

    whole: float
    """From the kill until the last gate allowed calls again."""
    deferred: float
    """For how long at most a gate deferred them meanwhile."""


class Measured(NamedTuple):
    """All of it."""

    kind: str
    weighed: Weighed
    checks: Times
    admits: Times
    refused: Refused
    busy: dict[str, Busy]
    takeovers: list[Takeover]


class Machine:
    """The processes of one machine, and a gate that has tables of its own."""

    def __init__(self, rig: System, stack: AsyncExitStack) -> None:
        self.members: list[Other] = []
        self.rig = rig
        self._stack = stack

    async def open(self, rows: int) -> None:
        """Start the syncer, a gate that shares and one that does not."""
        self.rig.fill(f"{SHARED}/tables", rows)
        self.rig.fill(PRIVATE, rows)
        self.syncer = await self._start(SHARED, "sync")
        await self.syncer.tell("syncing", bool)
        self.private = await self._start(PRIVATE, "private")
        await self.grow(1)

    async def grow(self, gates: int) -> None:
        """Start gates until there are so many that share."""
        while len(self.members) < gates:
            self.members.append(await self._start(SHARED, "shared"))

    async def weigh(self) -> Weight:
        """Give what all processes that share weigh together."""
        for _ in range(2):  # the first time each looks up rows, and has its share of them
            weights = [await _weight(each) for each in (self.syncer, *self.members)]
        return Weight(*map(sum, zip(*weights, strict=True)))

    async def _start(self, name: str, kind: str) -> Other:
        rig = self.rig
        given = (str(rig.folder), str(rig.broker.port), str(rig.now), name, kind)
        return await self._stack.enter_async_context(started("benchmarks.actors.member", *given))

    @property
    def syncing(self) -> int:
        """The process that syncs now."""
        file = (tables_of(self.rig.folder / SHARED) / LOCK).stat().st_ino
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            _, what, _, _, pid, where, *_ = line.split()
            if what == "FLOCK" and where.endswith(f":{file}"):
                return int(pid)
        msg = "nobody syncs"
        raise ValueError(msg)

    def sides(self) -> dict[str, Other]:
        return {SHARED: self.members[0], PRIVATE: self.private}


async def _weighed(machine: Machine) -> Weighed:
    one = await machine.weigh()
    await machine.grow(GATES)
    return Weighed(one, await machine.weigh(), await _weight(machine.private))


async def _weight(process: Other) -> Weight:
    return Weight(*await process.tell("weigh", list[int]))


async def _checks(machine: Machine, rounds: int) -> Times:
    times: Times = {SHARED: [], PRIVATE: []}
    for _ in range(rounds):
        for name, gate in machine.sides().items():
            times[name].append(_nanos(await gate.tell("check", list[int], count=CHECKS)))
    return times


async def _admits(machine: Machine, rounds: int) -> Times:
    times: Times = {SHARED: [], PRIVATE: []}
    first = 0
    for _ in range(rounds):
        for name, gate in machine.sides().items():
            told = await gate.tell("admit", list[int], first=first, count=ADMITS)
            times[name].append(_nanos(told))
            first += ADMITS
    return times


async def _busy(machine: Machine, seconds: float) -> dict[str, Busy]:
    """Let the ledger tell changes that it has not stored: from here on it takes no event."""
    busy = {}
    for gate in (machine.private, *machine.members):
        await gate.tell("sent", bool)
    for name, gate in machine.sides().items():
        reached = 0.0

        async def change() -> None:
            nonlocal reached
            reached = await machine.rig.ledger.tell("change", float, rate=CHANGES, seconds=seconds)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(change)
            told = await gate.tell("ask", list[list[int]], rate=RATE, seconds=seconds)
        own, late = map(_nanos, told)
        busy[name] = Busy(own, late, reached)
    return busy


async def _refused(machine: Machine, count: int) -> Refused:
    """Refuse as many numbers that nobody was asked about, twice: for each of the two ways."""
    numbers = world.shuffled()[-2 * count :]
    near, far = numbers[:count], numbers[count:]
    teller, other = machine.members[:2]
    denied: list[int] = []

    async def deny() -> None:
        denied.extend(await other.tell("deny", list[int], numbers=near))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(deny)
        told = await teller.tell("refuse", list[list[int]], numbers=near, rate=REFUSED)
    began, recorded = np.array(told, np.int64).T
    here = _nanos(denied) - began

    await machine.private.tell("watch", int, numbers=far)
    told = await teller.tell("refuse", list[list[int]], numbers=far, rate=REFUSED)
    [heard] = await machine.private.tell("noticed", list[list[int]])
    return Refused(recorded - began, here, _nanos(heard) - np.array(told, np.int64)[:, 0])


async def _takeover(machine: Machine) -> Takeover:
    """Kill who syncs, and see how all others answer until calls are allowed again."""
    syncing = machine.syncing
    left = machine.members = [each for each in machine.members if each.pid != syncing]
    told: list[list[int]] = []

    async def look(gate: Other) -> None:
        told.append(await gate.tell("outage", list[int]))

    async with anyio.create_task_group() as tasks:
        for gate in left:
            tasks.start_soon(look, gate)
        await anyio.wait_all_tasks_blocked()
        killed = perf_counter_ns()
        os.kill(syncing, signal.SIGKILL)
    began, ended = np.array(told, np.int64).T
    return Takeover((int(ended.max()) - killed) / 1e9, float((ended - began).max()) / 1e9)


async def _measured(scale: Scale) -> Measured:
    rows, rounds = scale.pick(ROWS, QUICK_ROWS), scale.pick(ROUNDS, 2)
    async with system(rows) as rig, AsyncExitStack() as stack:
        machine = Machine(rig, stack)
        await machine.open(rows)
        return Measured(
            rig.kind,
            await _weighed(machine),
            await _checks(machine, rounds),
            await _admits(machine, rounds),
            await _refused(machine, scale.pick(REFUSALS, QUICK_REFUSALS)),
            await _busy(machine, scale.pick(SECONDS, QUICK_SECONDS)),
            [await _takeover(machine) for _ in range(scale.pick(TAKEOVERS, QUICK_TAKEOVERS))],
        )


def _nanos(times: Sequence[int]) -> Nanos:
    return np.array(times, np.int64)


# --- what is said of it ---------------------------------------------------------------------------


def measure(scale: Scale) -> Result:
    rows = scale.pick(ROWS, QUICK_ROWS)
    told = asyncio.run(_measured(scale))
    result = Result(
        "host",
        "What do ten gate processes of one machine cost that share their tables, and how do they"
        " answer?",
        METHOD.format(
            rows=whole(rows), kind=told.kind, gates=GATES, rate=RATE, takeovers=len(told.takeovers)
        ),
    )
    held = rows + rows // 10
    result.tables = [_memory(told.weighed, held), _latencies(told), _outages(told.takeovers)]
    result.figures = [
        Figure("host/row", told.weighed.all.whole / held, "B"),
        Figure("host/tables", told.weighed.all.tables / told.weighed.private.tables, "×"),
        Figure("host/growth", told.weighed.growth / 1e6, "MB"),
        *_figures(told),
        Figure("host/takeover", float(np.median([one.whole for one in told.takeovers])), "s"),
        Figure("host/deferred", float(np.median([one.deferred for one in told.takeovers])), "s"),
    ]
    curves = {f"{name} tables": Spread.of(times).curve for name, times in told.checks.items()}
    curves |= {
        f"{name} tables, rows arrive": Spread.of([busy.own]).curve
        for name, busy in told.busy.items()
    }
    title = "check, with tables of its own and with shared ones: latency by percentile"
    result.plots = [Curves("host", title, curves, [(6, 0.5), (20, 0.01), (100, 0.001)])]
    return result


def _memory(weighed: Weighed, held: int) -> Table:
    one, every, private = weighed
    weights = {
        "syncer and 1 gate": one,
        f"syncer and {GATES} gates": every,
        "1 gate that shares nothing": private,
        f"{GATES} gates that share nothing, reckoned": Weight(*(GATES * size for size in private)),
    }
    rows = [
        [name, *map(_megabytes, weight), f"{digits(weight.whole / held)} B"]
        for name, weight in weights.items()
    ]
    further = ["a further gate that shares", _megabytes(weighed.growth), "", ""]
    head = ["", "memory", "of it, tables", "a row"]
    return Table("Memory of all processes together", head, [*rows, further])


def _latencies(told: Measured) -> Table:
    rows = []
    for what, times in (("check", told.checks), ("admit", told.admits)):
        p50s = medians(times)
        ratios = {SHARED: digits(paired(p50s[SHARED], p50s[PRIVATE])), PRIVATE: "1"}
        rows += [
            [*spread_row(f"{what}, {name}", Spread.of(some)), ratios[name]]
            for name, some in times.items()
        ]
    for name, busy in told.busy.items():
        label = f"check, {name}, {whole(busy.reached)} changed rows/s arrive"
        rows.append([*spread_row(label, Spread.of([busy.own])), ""])
        rows.append([*spread_row("… from when it was due", Spread.of([busy.late])), ""])
    for label, some in (
        ("a refusal is recorded", told.refused.recorded),
        ("… and denies in another process of the machine", told.refused.here),
        ("… and denies elsewhere, by the ledger", told.refused.far),
    ):
        rows.append([*spread_row(label, Spread.of([some])), ""])
    return Table("Latency", ["", *SPREAD_HEAD, "ratio of p50"], rows)


def _outages(takeovers: list[Takeover]) -> Table:
    rows = [
        [_nth(place), f"{digits(one.whole)} s", f"{digits(one.deferred)} s"]
        for place, one in enumerate(takeovers)
    ]
    head = ["killed", "until calls are allowed again", "of it, deferred"]
    return Table("Takeover, after kill -9 of who syncs", head, rows)


def _nth(place: int) -> str:
    return "the syncer" if place == 0 else "the gate that synced then"


def _figures(told: Measured) -> list[Figure]:
    spreads = {
        **{f"host/check/{name}": times for name, times in told.checks.items()},
        **{f"host/admit/{name}": times for name, times in told.admits.items()},
        **{f"host/changes/{name}": [busy.own] for name, busy in told.busy.items()},
        "host/refusal/machine": [told.refused.here],
        "host/refusal/ledger": [told.refused.far],
    }
    return [
        figure for name, some in spreads.items() for figure in figures_of(name, Spread.of(some))
    ]


def _megabytes(size: float) -> str:
    return f"{digits(size / 1e6)} MB"


if __name__ == "__main__":
    main(measure)
