"""How long does a decision take, by the size of the table?

`check` and `admit` of a gate alone: real tables in mapped files, real outbox and evidence, the
broker in memory and silent, half past ten on a Tuesday. Run: `python -m benchmarks.bench_check`.
"""

import asyncio
from itertools import islice

import numpy as np

from benchmarks import world
from benchmarks.measure import (
    Nanos,
    Spread,
    chill,
    frozen,
    overhead,
    timed,
    timed_async,
)
from benchmarks.result import (
    SPREAD_HEAD,
    Bars,
    Curves,
    Figure,
    Result,
    Scale,
    Table,
    figures_of,
    main,
    spread_row,
    whole,
)
from benchmarks.rig import Alone, alone
from ringfence import Call, Outcome, number
from ringfence.permit import Permit
from ringfence.rules import rulebook

SIZES = (10_000, 100_000, 1_000_000, 10_000_000, 50_000_000)
QUICK = (10_000, 300_000)
ROUNDS, CHECKS, ADMITS = 5, 40_000, 10_000

Times = dict[str, list[Nanos]]

METHOD = """\
One gate by itself, warm: tables in mapped files, outbox and evidence handed to the operating
system (`durability = "process"`), the broker in memory and silent.

A tenth as many restraint rows as ground rows. Every call is allowed, so every rule is asked. In
each round each number is met for the first time (the cache of parsed numbers is emptied) and its
rows lie in no cache of the processor; the calendar, and answers to like cases within the quarter
of an hour, are remembered as in any running gate. `nothing remembered`: those answers were dropped
before each call.

Garbage was frozen after the set-up; the collector runs as always.
"""


def _forget() -> None:
    """Let the next round meet each number for the first time, and find no row in a cache."""
    number._parsed.cache_clear()
    chill()


def _allowed(rig: Alone, rows: int) -> list[Call]:
    """Give calls to numbers whose rows are in the table; the gate must allow them."""
    known = set(world.numbers()[:rows])
    calls = [world.call(one) for one in world.shuffled() if one in known]
    refused = next((call for call in calls if not rig.gate.check(call)), None)
    if refused is not None:
        msg = f"{refused.to} is not allowed: {rig.gate.check(refused)}"
        raise ValueError(msg)
    return calls


def _checks(rig: Alone, calls: list[Call], rounds: int) -> Times:
    times: Times = {"check": [], "check, nothing remembered": []}
    for _ in range(rounds):
        rig.tell()
        _forget()
        times["check"].append(timed(rig.gate.check, calls[:CHECKS]))
        times["check, nothing remembered"].append(_unremembered(rig, calls[: CHECKS // 20]))
    return times


def _unremembered(rig: Alone, calls: list[Call]) -> Nanos:
    """Time checks of which none profits from an earlier one: all rules are asked each time."""
    times = []
    for call in calls:
        rulebook._remembered.clear()
        times.append(timed(rig.gate.check, [call]))
    return np.concatenate(times)


async def _admits(rig: Alone, calls: list[Call], rounds: int) -> Times:
    times: Times = {"admit": [], "close": []}
    some, count = iter(calls), min(ADMITS, len(calls) // rounds)
    for _ in range(rounds):
        rig.tell()
        _forget()
        asked = list(islice(some, count))
        times["admit"].append(await timed_async(rig.gate.admit, asked))
        permits = [rig.gate.permit(call.id) for call in asked]
        times["close"].append(await timed_async(_close, filter(None, permits)))
    return times


async def _close(permit: Permit) -> None:
    await permit.close(Outcome.NO_ANSWER)


async def _measured(rows: int, rounds: int) -> dict[str, Spread]:
    async with alone(rows) as rig:
        calls = _allowed(rig, rows)
        frozen()
        times = _checks(rig, calls, rounds) | await _admits(rig, calls, rounds)
    return {name: Spread.of(some) for name, some in times.items()}


def measure(scale: Scale) -> Result:
    result = Result(
        "check",
        "How long does a decision take, by the size of the table?",
        METHOD,
    )
    rounds = scale.pick(ROUNDS, 2)
    sizes = scale.pick(SIZES, QUICK)
    spreads = {rows: asyncio.run(_measured(rows, rounds)) for rows in sizes}
    result.tables = [
        Table(
            "Latency of one call, by ground rows",
            ["", *SPREAD_HEAD],
            [
                ["timer and an empty call", *spread_row("", overhead())[1:]],
                *(
                    spread_row(f"{name}, {whole(rows)}", spread)
                    for name in spreads[min(spreads)]
                    for rows, some in spreads.items()
                    for spread in [some[name]]
                ),
            ],
        )
    ]
    result.figures = _figures(spreads)
    result.plots = _plots(spreads)
    return result


def _figures(spreads: dict[int, dict[str, Spread]]) -> list[Figure]:
    return [
        figure
        for rows, some in spreads.items()
        for name in ("check", "admit")
        for figure in figures_of(f"{name}/{rows}", some[name])
    ]


def _plots(spreads: dict[int, dict[str, Spread]]) -> list[Curves | Bars]:
    check = {f"{whole(rows)} rows": some["check"].curve for rows, some in spreads.items()}
    admit = {f"{whole(rows)} rows": some["admit"].curve for rows, some in spreads.items()}
    return [
        Curves(
            "check",
            "check, by ground rows: latency by percentile",
            check,
            [(6, 0.5), (20, 0.01), (100, 0.001)],
        ),
        Curves(
            "admit",
            "admit, by ground rows: latency by percentile",
            admit,
            [(40, 0.5), (250, 0.01), (1000, 0.001)],
        ),
    ]


if __name__ == "__main__":
    main(measure)
