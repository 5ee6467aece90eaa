"""What a benchmark answers: figures, tables, plots and how they came about; and its command line.

Each benchmark is a module with one question and `measure(scale) -> Result`.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import TypeVar

import msgspec

from benchmarks.measure import Spread

__all__ = [
    "SPREAD_HEAD",
    "Bars",
    "Curves",
    "Figure",
    "Missing",
    "Result",
    "Scale",
    "Table",
    "digits",
    "figures_of",
    "main",
    "micros",
    "show_table",
    "spread_row",
    "whole",
]


T = TypeVar("T")


class Figure(msgspec.Struct, frozen=True):
    """One number that is held against a budget, or compared with another run's."""

    name: str
    """`check/10000000/p50`."""
    value: float
    unit: str


class Table(msgspec.Struct, frozen=True):
    """Cells as they are printed; the first column is text."""

    title: str
    head: list[str]
    rows: list[list[str]]


class Curves(msgspec.Struct, frozen=True, tag="curves"):
    """Distributions: how many calls took longer than so many microseconds."""

    file: str
    title: str
    curves: dict[str, list[tuple[float, float]]]
    limits: list[tuple[float, float]] = []
    """Budgets: microseconds, and the share of calls that may take longer."""


class Bars(msgspec.Struct, frozen=True, tag="bars"):
    """Values side by side, on a logarithmic scale."""

    file: str
    title: str
    unit: str
    bars: list[tuple[str, float, str]]
    """Name, value, and what is written behind the bar."""
    ours: list[str] = []
    """The names that stand out."""


class Missing(msgspec.Struct, frozen=True):
    """What could not be measured, and why."""

    what: str
    why: str


class Result(msgspec.Struct):
    """The answer of one benchmark."""

    name: str
    question: str
    method: str = ""
    """How it was measured, in paragraphs."""
    tables: list[Table] = []
    figures: list[Figure] = []
    plots: list[Curves | Bars] = []
    missing: list[Missing] = []
    seconds: float = 0.0
    load: tuple[float, float] = (0.0, 0.0)
    """The machine's load average, before and after."""


class Scale(msgspec.Struct, frozen=True):
    """How large a run is: full, or quick to try it out."""

    quick: bool = False

    def pick(self, full: T, quick: T) -> T:
        return quick if self.quick else full


Measure = Callable[[Scale], Result]


def main(measure: Measure) -> None:
    """Run one benchmark from the command line: `[--quick] [--json FILE]`."""
    parser = argparse.ArgumentParser(description=sys.modules[measure.__module__].__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to try it out")
    parser.add_argument("--json", type=Path, help="write the result there, too")
    options = parser.parse_args()
    began, load = monotonic(), os.getloadavg()[0]
    result = measure(Scale(options.quick))
    result.seconds = monotonic() - began
    result.load = load, os.getloadavg()[0]
    show(result)
    if options.json:
        options.json.write_bytes(msgspec.json.encode(result))


def show(result: Result) -> None:
    """Print an answer."""
    print(result.question)
    for table in result.tables:
        show_table(table)
    for one in result.missing:
        print(f"\nnot measured: {one.what}: {one.why}")
    load = "{:.1f} before, {:.1f} after".format(*result.load)
    print(f"\n{result.seconds:.0f} s; load average {load}")


def show_table(table: Table) -> None:
    """Print a table, its numbers one below the other."""
    lines = [table.head, *table.rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(table.head))]
    print(f"\n{table.title}")
    for first, *others in lines:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *cells]).rstrip())


def digits(value: float) -> str:
    """Write a number with three digits, or with as many as it has before the point."""
    if value >= 99.95:
        return whole(value)
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def whole(value: float) -> str:
    """Write a number of things."""
    return f"{value:,.0f}".replace(",", " ")


_UNITS = (("s", 1e6), ("ms", 1e3), ("µs", 1.0))


def micros(value: float, *between: float) -> str:
    """Write microseconds in the unit that fits; in brackets, in the same unit, two others."""
    unit, size = next((one for one in _UNITS if value >= one[1]), _UNITS[-1])
    span = f" ({'–'.join(digits(bound / size) for bound in between)})" if between else ""
    return f"{digits(value / size)} {unit}{span}"


SPREAD_HEAD = ["p50 (rounds)", "p99", "p99.9", "max", "calls"]


def spread_row(name: str, spread: Spread) -> list[str]:
    """Write a spread as cells under `SPREAD_HEAD`, behind its name."""
    between = (spread.low, spread.high) if spread.rounds > 1 else ()
    p50 = micros(spread.p50, *between)
    tail = [micros(value) for value in (spread.p99, spread.p999, spread.max)]
    return [name, p50, *tail, whole(spread.calls)]


def figures_of(name: str, spread: Spread) -> list[Figure]:
    """Give a spread's percentiles as figures."""
    values = {"p50": spread.p50, "p99": spread.p99, "p99.9": spread.p999, "max": spread.max}
    return [Figure(f"{name}/{what}", value, "µs") for what, value in values.items()]
