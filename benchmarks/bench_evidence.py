"""What does the evidence of a decision cost: to write, to keep, and to replay?

Calls are admitted by a gate alone, in rounds that take turns: with the evidence written, and with
only `Registrar.note` left out. What was written is then sealed, followed link by link, and replayed
again and again until that many records were. Run: `python -m benchmarks.bench_evidence`.
"""

import asyncio
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter

import msgspec
import numpy as np

from benchmarks import world
from benchmarks.measure import Nanos, Spread, frozen, paired, timed_async
from benchmarks.result import (
    SPREAD_HEAD,
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
from benchmarks.rig import Alone, alone
from ringfence import Call
from ringfence.evidence.record import AnyRecord, Decided, Place
from ringfence.evidence.replay import replay
from ringfence.evidence.segment import chains, follow, records, seal, segments

ROWS, QUICK_ROWS = 1_000_000, 60_000
ROUNDS, QUICK_ROUNDS = 20, 4
CALLS = 500
RECORDS, QUICK_RECORDS = 1_000_000, 50_000

METHOD = """\
A gate alone with {rows} ground rows; {rounds} rounds of {calls} calls each way, in turn,
`durability = "process"`. Without evidence only the writing of the record is left out.

{records} records are replayed, which repeat those just written.
"""


class Kept(msgspec.Struct, frozen=True):
    """What was written, in numbers."""

    written: float
    """Bytes a record."""
    sealed: float
    followed: float
    """Records a second."""
    replayed: float
    differing: int


def _leave_out(decided: Decided) -> None:
    """What `Registrar.note` is in the rounds without evidence."""


async def _admits(rig: Alone, rounds: int) -> tuple[list[Nanos], list[Nanos]]:
    """Admit calls in rounds that take turns: without evidence, and with it."""
    registrar, calls = rig.gate._registrar, iter([world.call(n) for n in world.shuffled()])
    note = registrar.note
    bare: list[Nanos] = []
    proven: list[Nanos] = []

    def some() -> list[Call]:
        return list(islice(calls, CALLS))

    await timed_async(rig.gate.admit, some())  # fills the caches
    frozen()
    for _ in range(rounds):
        rig.tell()
        registrar.note = _leave_out  # type: ignore[method-assign]  # the round without
        bare.append(await timed_async(rig.gate.admit, some()))
        registrar.note = note  # type: ignore[method-assign]  # the round with
        proven.append(await timed_async(rig.gate.admit, some()))
    return bare, proven


def _kept(folder: Path, total: int) -> Kept:
    """Weigh what was written, and time how it is checked and replayed."""
    (chain,) = chains(folder)
    (segment,) = segments(chain)
    written = segment.path.stat().st_size
    began = perf_counter()
    number = sum(1 for _ in follow(segment))
    followed = number / (perf_counter() - began)
    sealed = seal(segment.path).stat().st_size
    told = list(records(folder))
    began = perf_counter()
    replayed = replay(islice(_again(told), total))
    rate = replayed.decisions / (perf_counter() - began)
    return Kept(written / number, sealed / number, followed, rate, replayed.differing)


def _again(told: list[tuple[Place, AnyRecord]]) -> Iterator[tuple[Place, AnyRecord]]:
    """What precedes the decisions once, then the decisions for ever."""
    yield from (one for one in told if not isinstance(one[1], Decided))
    yield from cycle([one for one in told if isinstance(one[1], Decided)])


async def _measured(rows: int, rounds: int, total: int) -> tuple[list[Nanos], list[Nanos], Kept]:
    async with alone(rows) as rig:
        bare, proven = await _admits(rig, rounds)
        await rig.gate.__aexit__(None, None, None)
        return bare, proven, _kept(rig.gate.settings.data / "evidence", total)


def measure(scale: Scale) -> Result:
    rounds, total = scale.pick(ROUNDS, QUICK_ROUNDS), scale.pick(RECORDS, QUICK_RECORDS)
    rows = scale.pick(ROWS, QUICK_ROWS)
    bare, proven, kept = asyncio.run(_measured(rows, rounds, total))
    ratio = paired(*([float(np.median(times)) for times in some] for some in (proven, bare)))
    result = Result(
        "evidence",
        "What does the evidence of a decision cost: to write, to keep, and to replay?",
        METHOD.format(rows=whole(rows), rounds=rounds, calls=CALLS, records=whole(total)),
    )
    result.tables = [
        Table(
            "Latency of `admit`",
            ["", *SPREAD_HEAD],
            [
                spread_row("without evidence", Spread.of(bare)),
                spread_row(f"with evidence (× {digits(ratio)})", Spread.of(proven)),
            ],
        ),
        Table(
            "Records",
            ["", ""],
            [
                ["bytes a record, being written", digits(kept.written)],
                ["bytes a record, sealed", digits(kept.sealed)],
                ["links followed a second", whole(kept.followed)],
                ["decisions replayed a second", whole(kept.replayed)],
                ["of them differ", whole(kept.differing)],
            ],
        ),
    ]
    result.figures = [
        *figures_of("evidence/with", Spread.of(proven)),
        *figures_of("evidence/without", Spread.of(bare)),
        Figure("evidence/written", kept.written, "B"),
        Figure("evidence/sealed", kept.sealed, "B"),
        Figure("evidence/replayed", kept.replayed, "records/s"),
    ]
    return result


if __name__ == "__main__":
    main(measure)
