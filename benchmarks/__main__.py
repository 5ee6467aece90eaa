"""Measure everything: `python -m benchmarks [--quick] [--out FOLDER]`, or `make bench`.

Each question is asked in a process of its own, one after the other. The answers are written to
`benchmarks/RESULTS.md` and `results.json`, the plots to `docs/bench/`; those of a quick run to a
temporary folder. Ends with
1 if a benchmark failed; a budget that is not met is no failure.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from benchmarks.machine import look
from benchmarks.plot import draw
from benchmarks.process import ROOT
from benchmarks.report import WORDS, Run, page
from benchmarks.result import Missing, Result

QUESTIONS = (
    "check", "admit", "busy", "memory", "start", "refusal", "host", "ledger", "evidence", "table",
    "peers",
)  # fmt: skip
LIMIT = 600.0
"""Seconds for one question."""


def ask(name: str, *, quick: bool) -> Result:
    """Run one benchmark; where it fails, the answer says so."""
    print(f"\n=== {name}", flush=True)
    with tempfile.TemporaryDirectory(prefix="ringfence-bench-") as folder:
        told = Path(folder) / "result.json"
        command = [sys.executable, "-m", f"benchmarks.bench_{name}", "--json", str(told)]
        try:
            subprocess.run([*command, *["--quick"] * quick], cwd=ROOT, timeout=LIMIT, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            return Result(name, name, missing=[Missing("all of it", str(error))])
        return msgspec.json.decode(told.read_bytes(), type=Result)


def write(run: Run, results: Path, plots: Path) -> None:
    """Write the page, the figures and the plots."""
    for folder in (results, plots):
        folder.mkdir(parents=True, exist_ok=True)
    for plot in (plot for result in run.results for plot in result.plots):
        (plots / f"{plot.file}.svg").write_text(draw(plot), encoding="utf-8")
    where = os.path.relpath(plots, results)
    (results / "RESULTS.md").write_text(page(run, where), encoding="utf-8")
    told = msgspec.json.format(msgspec.json.encode({"budgets": run.judgements, "run": run}))
    (results / "results.json").write_bytes(told)
    print(f"\nwritten: {results / 'RESULTS.md'}, {results / 'results.json'}, {plots}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to try it out")
    parser.add_argument("--out", type=Path, help="write there, and not into this repository")
    given = parser.parse_args()
    out = given.out
    if given.quick and out is None:
        out = Path(tempfile.mkdtemp(prefix="ringfence-bench-quick-"))
    command = "python -m benchmarks --quick" if given.quick else "make bench"
    results = [ask(name, quick=given.quick) for name in QUESTIONS]
    run = Run(command, given.quick, look(), results)
    root = ROOT if out is None else out.resolve()
    write(run, root / "benchmarks", root / "docs" / "bench")
    for one in run.judgements:
        print(f"{WORDS[one.met]:>12}  {one.what}: {one.measured} ({one.limit})")
    failed = [result.name for result in results if not result.tables]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
