"""Is the working tree slower than another revision? `python -m benchmarks.compare REVISION`.

Both are measured in one run, each in a process of its own, a round of the one and a round of the
other in turn; what is told is the median of the rounds' ratios. Ends with 1 if a figure takes more
than a fifth longer, and names it.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from subprocess import PIPE

import anyio

from benchmarks.core import FIGURES
from benchmarks.measure import paired
from benchmarks.process import ROOT, Other, started
from benchmarks.result import Table, micros, show_table

__all__ = ["WORSE", "compared"]

ROUNDS, QUICK_ROUNDS = 11, 3
WORSE = 1.2
"""A ratio beyond which a figure is worse."""

Rounds = Mapping[str, list[float]]
"""Nanoseconds of each round, by figure."""


@asynccontextmanager
async def worktree(revision: str) -> AsyncIterator[Path]:
    """Have the files of a revision in a folder of their own. Raises `SystemExit` for none."""
    with tempfile.TemporaryDirectory(prefix="ringfence-base-") as name:
        folder = Path(name) / "tree"
        await _git("worktree", "add", "--quiet", "--detach", str(folder), revision)
        try:
            yield folder
        finally:
            with anyio.CancelScope(shield=True):
                await _git("worktree", "remove", "--force", str(folder))


async def _git(*words: str) -> None:
    done = await anyio.run_process(["git", *words], cwd=ROOT, check=False, stderr=PIPE)
    if done.returncode:
        sys.exit(f"git {' '.join(words)}: {done.stderr.decode(errors='replace').strip()}")


@asynccontextmanager
async def measuring(folder: Path) -> AsyncIterator[tuple[Other, dict[str, str]]]:
    """Have a process that measures the SDK in *folder*; and what it cannot measure, and why."""
    sdk = folder / "sdk"
    paths = {"PYTHONPATH": f"{sdk}:{folder / 'adapters'}"}
    async with started("benchmarks.core", environment=paths) as other:
        yield other, await other.tell("ready", dict[str, str], folder=str(sdk))


async def run(revision: str, rounds: int) -> bool:
    """Measure, print, and say whether no figure is worse."""
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(worktree(revision))
        then, lacking = await stack.enter_async_context(measuring(base))
        now, broken = await stack.enter_async_context(measuring(ROOT))
        names = [name for name in FIGURES if name not in lacking | broken]
        before, after = await _rounds(then, now, names, rounds)
    for name, why in (lacking | broken).items():
        print(f"{name}: not measured: {why}")
    table, worse = compared(before, after)
    show_table(table)
    for line in worse:
        print(line)
    return not worse


async def _rounds(then: Other, now: Other, names: list[str], rounds: int) -> tuple[Rounds, Rounds]:
    """Measure in turn; who begins changes with each round. The first one only warms up."""
    taken: dict[Other, dict[str, list[float]]] = {
        one: {name: [] for name in names} for one in (then, now)
    }
    for turn in range(rounds + 1):
        for name in names:
            for one in (then, now) if turn % 2 else (now, then):
                nanoseconds = await one.tell("round", float, figure=name)
                if turn:
                    taken[one][name].append(nanoseconds)
    return taken[then], taken[now]


def compared(before: Rounds, after: Rounds) -> tuple[Table, list[str]]:
    """Give the table of ratios, and a line for each figure that is worse."""
    rows, worse = [], []
    for name, those in before.items():
        these = after[name]
        ratio = paired(these, those)
        each = [this / that for this, that in zip(these, those, strict=True)]
        bad = ratio > WORSE
        medians = [micros(median(some) / 1000) for some in (those, these)]
        span = f"{min(each):.2f}–{max(each):.2f}"
        rows.append([name, *medians, f"× {ratio:.2f}", span, "worse" if bad else ""])
        if bad:
            worse.append(f"{name} is worse: × {ratio:.2f}, the limit is {WORSE}")
    head = ["", "base", "working tree", "ratio", "of the rounds", ""]
    return Table("One of each, medians of rounds that took turns", head, rows), worse


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revision", help="what to compare with: a commit, a branch, a tag")
    parser.add_argument("--quick", action="store_true", help="few rounds, to try it out")
    given = parser.parse_args()
    rounds = QUICK_ROUNDS if given.quick else ROUNDS
    sys.exit(0 if asyncio.run(run(given.revision, rounds)) else 1)


if __name__ == "__main__":
    main()
