"""What does a row cost in memory, all in?

A gate in a process of its own, warm from disk, with rows and without; beside it as many rows in a
`dict`. Run: `python -m benchmarks.bench_memory`.
"""

import asyncio

from benchmarks.process import started
from benchmarks.result import Figure, Result, Scale, Table, digits, main, whole

SIZES = (1_000_000, 10_000_000)
QUICK = (300_000,)

METHOD = """\
Resident memory of a whole gate process, warm from disk and after 10 000 checks: interpreter,
libraries, caches and the mapped pages of its tables. A row is a ground or a restraint, of which
there is one for ten grounds. Beside it a process with as many rows as key and tuple in a `dict`.
"""


async def _weigh(kind: str, rows: int) -> int:
    async with started("benchmarks.actors.holder", kind, str(rows)) as other:
        return await other.tell("memory", int)


def measure(scale: Scale) -> Result:
    sizes = scale.pick(SIZES, QUICK)
    result = Result(
        "memory",
        "What does a row cost in memory, all in?",
        METHOD,
    )
    empty = {kind: asyncio.run(_weigh(kind, 0)) for kind in ("gate", "dict")}
    rows = [["none", *(f"{digits(empty[kind] / 1e6)} MB" for kind in ("gate", "dict")), "", "", ""]]
    for size in sizes:
        held = size + size // 10
        gate, bare = (asyncio.run(_weigh(kind, size)) for kind in ("gate", "dict"))
        rows.append([
            whole(held),
            f"{digits(gate / 1e6)} MB",
            f"{digits(bare / 1e6)} MB",
            f"{digits(gate / held)} B",
            f"{digits((gate - empty['gate']) / held)} B",
            f"{digits((bare - empty['dict']) / held)} B",
        ])  # fmt: skip
        result.figures.append(Figure(f"memory/{size}/row", gate / held, "B"))
    head = [
        "rows",
        "gate",
        "dict",
        "gate, all in, a row",
        "gate, growth a row",
        "dict, growth a row",
    ]
    result.tables = [Table("Resident memory", head, rows)]
    return result


if __name__ == "__main__":
    main(measure)
