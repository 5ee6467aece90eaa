"""What a run came to, as a page for people."""

from collections.abc import Iterator, Sequence

import msgspec

from benchmarks.budgets import Judgement, judged
from benchmarks.machine import Machine
from benchmarks.result import Result, Table

__all__ = ["Run", "page"]


class Run(msgspec.Struct, frozen=True):
    """All that was measured, and where."""

    command: str
    quick: bool
    machine: Machine
    results: list[Result]

    @property
    def judgements(self) -> list[Judgement]:
        """The budgets; those of a quick run say nothing."""
        if self.quick:
            return []
        return judged(figure for result in self.results for figure in result.figures)

    @property
    def minutes(self) -> float:
        return sum(result.seconds for result in self.results) / 60


QUICK = (
    "> **Not the figures to go by.** This was a quick run with small sizes, to try the benchmarks"
    " out. `make bench` measures."
)
METHOD = (
    "Each call is timed by itself with `perf_counter_ns`; the timer's own cost is in every time."
    " Of several rounds a percentile is the median of what each round had (in brackets the least"
    " and the greatest p50), the maximum is the worst of all. Ratios are medians of the rounds' own"
    " ratios, measured in turn. What is due by a schedule is timed from when it was due."
)
WORDS = {True: "met", False: "**not met**", None: "–"}


def page(run: Run, plots: str) -> str:
    """Write the page; *plots* is the folder of the plots, as seen from it."""
    return "\n\n".join(_parts(run, plots)) + "\n"


def _parts(run: Run, plots: str) -> Iterator[str]:
    yield "# Results"
    if run.quick:
        yield QUICK
    yield _machine(run)
    yield METHOD
    if not run.quick:
        yield "## Budgets"
        rows = [[j.what, j.limit, j.measured, WORDS[j.met]] for j in run.judgements]
        yield _table(["", "budget", "measured", ""], rows)
    for result in run.results:
        yield from _answer(result, plots)


def _machine(run: Run) -> str:
    at = run.machine
    versions = ", ".join(f"{name} {number}" for name, number in at.versions.items())
    rows = [
        ["command", f"`{run.command}`, {run.minutes:.0f} minutes"],
        ["date", at.date],
        ["revision", at.revision],
        ["machine", f"{at.processor}, {at.cores} cores, {at.memory}"],
        ["system", f"{at.system}; {at.python}"],
        ["versions", versions],
    ]
    return _table(["", ""], rows)


def _answer(result: Result, plots: str) -> Iterator[str]:
    yield f"## {result.question}"
    for plot in result.plots:
        yield f"![{plot.title}]({plots}/{plot.file}.svg)"
    for table in result.tables:
        yield _titled(table)
    for one in result.missing:
        yield f"Not measured: {one.what}. {one.why}"
    yield from filter(None, result.method.strip().split("\n\n"))
    load = "{:.1f} before and {:.1f} after".format(*result.load)
    yield (
        f"`python -m benchmarks.bench_{result.name}`: {result.seconds:.0f} s; the machine's load"
        f" average was {load}."
    )


def _titled(table: Table) -> str:
    return f"**{table.title}**\n\n{_table(table.head, table.rows)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)] if len(head) > 2 else ["---"] * len(head)
    lines = [head, rule, *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '·') for cell in line)} |" for line in lines)
