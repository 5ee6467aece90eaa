"""A process that holds rows, to be weighed: a gate, or a `dict`.

`python -m benchmarks.actors.holder gate|dict ROWS`, told what to do by `process.Other`.
"""

import asyncio
import gc
import sys

from benchmarks import world
from benchmarks.process import obey, settled
from benchmarks.rig import alone

ASKED = 10_000
"""Calls checked before a gate is weighed: caches are part of it."""


async def gate(rows: int) -> None:
    """Be a gate with so many ground rows, and a tenth of restraints."""
    async with alone(rows) as rig:
        for number in world.shuffled()[:ASKED]:
            rig.gate.check(world.call(number))
        await obey({"memory": _memory})


async def dictionary(rows: int) -> None:
    """Be a process with as many rows in two dicts: key to a tuple of two words."""
    gc.disable()  # on, it would walk through all of them again and again
    held = [
        {key: (low, high) for key, low, high in made.tolist()}
        for made in (world.ground_rows(rows), world.restraint_rows(rows // 10))
    ]
    await obey({"memory": _memory})
    held.clear()


async def _memory() -> int:
    return settled()


if __name__ == "__main__":
    kind, rows = sys.argv[1:]
    asyncio.run({"gate": gate, "dict": dictionary}[kind](int(rows)))
