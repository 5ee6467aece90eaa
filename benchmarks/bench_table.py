"""What do a million rows cost in a Table, and what in the `dict` one would otherwise take?

Random keys, look-ups in random order, each timed by itself; so a time holds the timer's own, which
is printed. Every size and store has a process of its own, three times: a cell is the median, and
the least and the most of them. Memory is what the process grew by, its source array left out. The
dict keeps no digest, and is built with the garbage collector off: on, it walks through the whole
dict again and again, and ten million rows take minutes. Run: `python -m benchmarks.bench_table
[ROWS...]`.
"""

import gc
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from struct import iter_unpack
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ringfence.table import Table

Array: TypeAlias = npt.NDArray[np.uint64]
Dict: TypeAlias = dict[int, tuple[int, int]]
Measures: TypeAlias = dict[str, float]

SIZES = 10_000, 100_000, 1_000_000, 10_000_000
BATCHES = 1, 10, 50, 1_000, 4_000, 100_000
RUNS = 3
LOOKS = 100_000
ONES = (1 << 64) - 1


def random_rows(count: int, seed: int) -> Array:
    return np.random.default_rng(seed).integers(1, ONES, (count, 3), np.uint64, endpoint=True)


def resident() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def took(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def percentiles(get: Callable[[int], object], keys: list[int], name: str) -> Measures:
    clock, taken = time.perf_counter_ns, []
    for key in keys:
        began = clock()
        get(key)
        taken.append(clock() - began)
    return {f"{name} p{p} µs": float(np.percentile(taken, p)) / 1000 for p in (50, 99)}


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
    before = resident()
    began = time.perf_counter()
    found = as_dict(rows)
    built = time.perf_counter() - began
    grown = resident() - before
    return {"build s": built, "B/row": grown / count, **looked_up(found.get, rows)}


def table_measures(count: int) -> Measures:
    rows = random_rows(count, seed=1)
    before = resident()
    table = Table(count)
    built = took(lambda: table.load(rows))
    grown = resident() - before
    looks = looked_up(table.get, rows)
    grow = took(lambda: table.reserve(2 * count))
    table.close()
    return {"build s": built, "B/row": grown / count, **looks, "grow s": grow, **kept(rows)}


def kept(rows: Array) -> Measures:
    """Measure the restart of a process whose table is in a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.table"
        table = Table.create(path)
        table.load(rows)
        table.close()
        return {"open s": took(lambda: Table.open(path).close())}


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
    table = Table(count * 4 // 3)  # so that it is three quarters full in the end
    table.upsert(rows)
    return rates(table.upsert, rows)


def runs(measure: Callable[[int], Measures], count: int) -> dict[str, list[float]]:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        results = [pool.submit(measure, count).result() for _ in range(RUNS)]
    return {name: [result[name] for result in results] for name in results[0]}


def cell(values: list[float] | None) -> str:
    if not values:
        return "–"
    return f"{median(values):.3g} ({min(values):.3g}–{max(values):.3g})"


def show(title: str, table: dict[str, list[float]], other: dict[str, list[float]]) -> None:
    print(f"\n{title:<16} {'Table':>24} {'dict':>24} {'Table/dict':>12}")
    for name, values in table.items():
        peer = other.get(name)
        ratio = f"{median(values) / median(peer):.2f}" if peer else "–"
        print(f"{name:<16} {cell(values):>24} {cell(peer):>24} {ratio:>12}")


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or SIZES
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f};", end=" ")
    print(f"Python {platform.python_version()}, numpy {np.__version__}")
    print(percentiles(lambda _: None, list(range(LOOKS)), "the timer and an empty call:"))
    for size in sizes:
        show(f"{size:,} rows", runs(table_measures, size), runs(dict_measures, size))
    size = min(1_000_000, max(sizes))
    show(f"into {size:,}, µs", runs(table_rates, size), runs(dict_rates, size))


if __name__ == "__main__":
    main()
