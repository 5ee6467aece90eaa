"""What do a million rows cost in a Table, and what in the `dict` one would otherwise take?

Random keys, look-ups in random order, each timed by itself; every store and size has a process of
its own. Run: `python -m benchmarks.bench_table`.
"""

import gc
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from struct import iter_unpack
from time import perf_counter
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.measure import Spread, timed
from benchmarks.process import settled
from benchmarks.result import Figure, Result, Scale, Table, digits, main, whole
from ringfence.table import Table as Rows

Array: TypeAlias = npt.NDArray[np.uint64]
Dict: TypeAlias = dict[int, tuple[int, int]]
Measures: TypeAlias = dict[str, float]

SIZES = {1_000_000: 3, 10_000_000: 1}
"""Rows, and how many processes."""

QUICK = {100_000: 1}
BATCHES = 1, 10, 50, 200, 1_000, 4_000, 100_000
LOOKS = 100_000
ONES = (1 << 64) - 1

METHOD = """\
Keys are random, look-ups in random order; every store and size has a process of its own, up to
three times, and a cell is their median, least and most. Memory is what the process grew by. The
dict keeps no digest, and is built with the garbage collector off: on, it walks through the whole
dict again and again.
"""


def random_rows(count: int, seed: int) -> Array:
    return np.random.default_rng(seed).integers(1, ONES, (count, 3), np.uint64, endpoint=True)


def took(run: Callable[[], object]) -> float:
    began = perf_counter()
    run()
    return perf_counter() - began


def percentiles(get: Callable[[int], object], keys: list[int], name: str) -> Measures:
    spread = Spread.of([timed(get, keys)])
    return {f"{name} p50 µs": spread.p50, f"{name} p99 µs": spread.p99}


def looked_up(get: Callable[[int], object], rows: Array) -> Measures:
    chosen = np.random.default_rng(2).integers(0, len(rows), LOOKS)
    return {
        **percentiles(get, rows[chosen, 0].tolist(), "hit"),
        **percentiles(get, random_rows(LOOKS, seed=3)[:, 0].tolist(), "miss"),
    }


def as_dict(rows: Array) -> Dict:
    found: Dict = {}
    gc.disable()
    for start in range(0, len(rows), 10_000):
        found.update((key, (low, high)) for key, low, high in rows[start : start + 10_000].tolist())
    return found


def dict_measures(count: int) -> Measures:
    rows = random_rows(count, seed=1)
    before = settled()
    began = perf_counter()
    found = as_dict(rows)
    built = perf_counter() - began
    grown = settled() - before
    return {"build s": built, "B/row": grown / count, **looked_up(found.get, rows)}


def table_measures(count: int) -> Measures:
    rows = random_rows(count, seed=1)
    before = settled()
    table = Rows(count)
    built = took(lambda: table.load(rows))
    grown = settled() - before
    looks = looked_up(table.get, rows)
    grow = took(lambda: table.reserve(2 * count))
    table.close()
    return {"build s": built, "B/row": grown / count, **looks, "grow s": grow, **kept(rows)}


def kept(rows: Array) -> Measures:
    """Measure the restart of a process whose table is in a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.table"
        table = Rows.create(path)
        table.load(rows)
        table.close()
        return {"open s": took(lambda: Rows.open(path).close())}


def upserts(rows: Array, batch: int) -> Iterator[tuple[str, list[bytes]]]:
    """Give batches that change rows, and batches that add some, up to a tenth more."""
    count = max(1, min(300, len(rows) // 10 // batch))
    old = np.random.default_rng(4).permutation(rows)[: count * batch]
    new = random_rows(count * batch, seed=5)
    for name, source in ("change", old), ("add", new):
        parts = source.reshape(count, batch, 3)
        yield f"{name} {batch}", [part.tobytes() for part in parts]


def rates(run: Callable[[bytes], None], rows: Array) -> Measures:
    """Give µs a batch, the median of up to 300."""
    measures = {}
    for batch in BATCHES:
        for name, parts in upserts(rows, batch):
            times = [took(partial(run, part)) for part in parts]
            measures[name] = median(times) * 1e6
    return measures


def dict_rates(count: int) -> Measures:
    rows = random_rows(count, seed=1)
    found = as_dict(rows)

    def run(batch: bytes) -> None:
        for key, low, high in iter_unpack("<QQQ", batch):
            found[key] = low, high

    return rates(run, rows)


def table_rates(count: int) -> Measures:
    rows = random_rows(count, seed=1)
    table = Rows(count * 4 // 3)  # so that it is three quarters full in the end
    table.upsert(rows)
    return rates(table.upsert, rows)


def runs(measured: Callable[[int], Measures], rows: int, times: int) -> dict[str, list[float]]:
    """Run it several times, each in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        results = [pool.submit(measured, rows).result() for _ in range(times)]
    return {name: [result[name] for result in results] for name in results[0]}


def cell(values: list[float] | None) -> str:
    if not values:
        return "–"
    span = f" ({digits(min(values))}–{digits(max(values))})" if len(values) > 1 else ""
    return f"{digits(median(values))}{span}"


def compared(title: str, ours: dict[str, list[float]], theirs: dict[str, list[float]]) -> Table:
    rows = []
    for name, values in ours.items():
        peer = theirs.get(name)
        ratio = digits(median(values) / median(peer)) if peer else "–"
        rows.append([name, cell(values), cell(peer), ratio])
    return Table(title, ["", "Table", "dict", "ratio"], rows)


def measure(scale: Scale) -> Result:
    sizes = scale.pick(SIZES, QUICK)
    result = Result(
        "table",
        "What do a million rows cost in a Table, and what in the `dict` one would otherwise take?",
        METHOD,
    )
    for rows, times in sizes.items():
        ours, theirs = runs(table_measures, rows, times), runs(dict_measures, rows, times)
        result.tables.append(compared(f"{whole(rows)} rows", ours, theirs))
        result.figures.append(Figure(f"table/{rows}/row", median(ours["B/row"]), "B"))
    rows, times = next(iter(sizes.items()))
    ours, theirs = runs(table_rates, rows, times), runs(dict_rates, rows, times)
    result.tables.append(compared(f"Upserts into {whole(rows)} rows, µs a batch", ours, theirs))
    return result


if __name__ == "__main__":
    main(measure)
