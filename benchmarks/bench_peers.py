"""How does `check` compare with what else could be asked whether a number may be called?

All of them hold the same numbers in one run and take turns, round by round. Run:
`python -m benchmarks.bench_peers`.
"""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks import peers, world
from benchmarks.measure import Nanos, Spread, chill, frozen, medians, paired, timed, timed_async
from benchmarks.peers import MODULES, Opened, Peer, Unavailable
from benchmarks.process import settled
from benchmarks.result import (
    SPREAD_HEAD,
    Bars,
    Figure,
    Missing,
    Result,
    Scale,
    Table,
    digits,
    figures_of,
    main,
    micros,
    spread_row,
    whole,
)
from benchmarks.rig import alone
from ringfence import number

ROWS, QUICK_ROWS = 1_000_000, 70_000
ROUNDS, QUICK_ROUNDS = 20, 3
ASKED, QUICK_ASKED = 2_000, 200
OURS = "ringfence check"
NOBODY = "+330999999999"

METHOD = """\
The same {rows} numbers in each of them; {rounds} rounds of {each} calls to numbers not asked
before, all in turn, from one process, one call at a time. The ratio is the median of the rounds'
own ratios of medians.

`check` reads the number, makes two keyed hashes of it, looks up two rows and asks all rules of the
French rulebook. The peers are asked what their table says, and look up one key; what they would
need for the rest (hours, holidays, attempts, freshness) is not counted against them.
"""


class Entrant(NamedTuple):
    """A peer that takes part."""

    peer: Peer
    opened: Opened
    memory: int
    """Bytes."""


class Field(msgspec.Struct):
    """All that take part, by name, and what kept the others away."""

    entrants: dict[str, Entrant] = {}
    missing: list[Missing] = []


async def _gathered(stack: AsyncExitStack, folder: Path, rows: int) -> Field:
    """Open every peer that can be had."""
    field = Field()
    for module in MODULES:
        try:
            found: tuple[Peer, ...] = import_module(f"{peers.__name__}.{module}").PEERS
        except ImportError as error:
            why = f"no module named {error.name}: scripts/install bench"
            field.missing.append(Missing(module.removeprefix("in_"), why))
            continue
        for peer in found:
            place = Path(tempfile.mkdtemp(dir=folder))
            try:
                field.entrants[peer.name] = await _entered(stack, place, peer, rows)
            except (Unavailable, OSError) as error:
                field.missing.append(Missing(peer.name, str(error)))
    return field


async def _entered(stack: AsyncExitStack, place: Path, peer: Peer, rows: int) -> Entrant:
    """Open a peer, and see what it weighs."""
    before, asked = settled(), world.numbers()
    numbers = asked + world.others(rows - len(asked))
    opened = await stack.enter_async_context(peer.opened(place, numbers))
    await _prove(peer, opened, numbers)
    numbers.clear()
    asked.clear()
    memory = settled() - before if opened.memory is None else opened.memory
    return Entrant(peer, opened, memory)


async def _prove(peer: Peer, opened: Opened, numbers: list[str]) -> None:
    """Raises `ValueError` where a peer does not know what it was told, or knows more."""
    for asked, expected in ((numbers[0], True), (numbers[-1], True), (NOBODY, False)):
        if await _answer(opened, asked) is not expected:
            msg = f"{peer.name} does not answer {expected} for {asked}"
            raise ValueError(msg)


async def _answer(opened: Opened, asked: str) -> bool:
    if opened.ask is not None:
        return bool(opened.ask(asked))
    return opened.ask_later is not None and await opened.ask_later(asked)


async def _times(opened: Opened, asked: list[str]) -> Nanos:
    if opened.ask is not None:
        return timed(opened.ask, asked)
    if opened.ask_later is not None:
        return await timed_async(opened.ask_later, asked)
    msg = "a peer that cannot be asked"
    raise ValueError(msg)


async def _rounds(field: Field, rows: int, rounds: int, each: int) -> dict[str, list[Nanos]]:
    """Let all take turns; each round is about numbers that were not asked before."""
    times: dict[str, list[Nanos]] = {name: [] for name in (OURS, *field.entrants)}
    asked = world.shuffled()
    async with alone(rows) as rig:
        frozen()
        for start in range(0, rounds * each, each):
            some = asked[start : start + each]
            calls = [world.call(one) for one in some]
            rig.tell()
            number._parsed.cache_clear()
            chill()
            times[OURS].append(timed(rig.gate.check, calls))
            for name, entrant in field.entrants.items():
                chill()
                times[name].append(await _times(entrant.opened, some))
    return times


async def _measured(rows: int, rounds: int, each: int) -> tuple[Field, dict[str, list[Nanos]]]:
    with tempfile.TemporaryDirectory(prefix="ringfence-bench-") as name:
        async with AsyncExitStack() as stack:
            field = await _gathered(stack, Path(name), rows)
            return field, await _rounds(field, rows, rounds, each)


def _how(field: Field) -> str:
    return "".join(f"\n{name}: {entrant.peer.how}\n" for name, entrant in field.entrants.items())


def measure(scale: Scale) -> Result:
    rows, rounds = scale.pick(ROWS, QUICK_ROWS), scale.pick(ROUNDS, QUICK_ROUNDS)
    each = scale.pick(ASKED, QUICK_ASKED)
    field, times = asyncio.run(_measured(rows, rounds, each))
    result = Result(
        "peers",
        "How does `check` compare with what else could be asked whether a number may be called?",
        METHOD.format(rows=whole(rows), rounds=rounds, each=whole(each)) + _how(field),
        missing=field.missing,
    )
    spreads = {name: Spread.of(some) for name, some in times.items()}
    middle = medians(times)
    ratios = {name: paired(some, middle[OURS]) for name, some in middle.items()}
    memory = {name: entrant.memory / rows for name, entrant in field.entrants.items()}
    ordered = sorted(spreads, key=lambda name: ratios[name])
    rows_of = [
        [
            *spread_row(name, spreads[name]),
            f"× {digits(ratios[name])}",
            f"{digits(memory[name])} B" if name in memory else "",
        ]
        for name in ordered
    ]
    head = ["", *SPREAD_HEAD, "to check", "memory a number"]
    result.tables = [Table("May this number be called?", head, rows_of)]
    for name in ordered:
        result.figures += figures_of(f"peers/{name}", spreads[name])
        result.figures.append(Figure(f"peers/{name}/ratio", ratios[name], "×"))
    bars = [
        (name, spreads[name].p50, f"{micros(spreads[name].p50)}, × {digits(ratios[name])}")
        for name in ordered
    ]
    result.plots = [
        Bars(
            "peers",
            "May this number be called? Median of one call, and × ringfence",
            "µs",
            bars,
            ours=[OURS],
        )
    ]
    return result


if __name__ == "__main__":
    main(measure)
