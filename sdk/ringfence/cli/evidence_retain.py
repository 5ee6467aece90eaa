"""`ringfence evidence retain`: drop decisions whose time is over."""

import os
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.evidence_folder import evidence_of, gate_of, going_through
from ringfence.cli.options import ConfigFile, UsageError, stops_on
from ringfence.config import ConfigError, load
from ringfence.evidence.record import EvidenceError
from ringfence.evidence.recorder import Recorder
from ringfence.evidence.retention import Plan, own_chain, plan, state, sweep
from ringfence.evidence.segment import Segment
from ringfence.gate import system_clock
from ringfence.journal import JournalError, lock

__all__ = ["retain"]


def retain(
    config: ConfigFile,
    days: Annotated[
        int | None,
        typer.Option(
            help="Retention after the last call under the same consent.",
            show_default="retention_days of [gate.evidence]",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")
    ] = False,
) -> None:
    """Drop the decisions that are past their retention; the chain still verifies.

    A decision is kept for the retention after it and after the last call that this gate allowed on
    the same consent, or another that shares its folder. What goes is named in the chain first, so
    the gate that writes it must be stopped: run this where it is restarted at night. A dry run may
    look while it serves.

    Exit status 2: not done, or not to its end; run it again.
    """
    with stops_on(ConfigError, EvidenceError, OSError, UsageError):
        settings = load(config)
        gate = gate_of(settings)
        folder = evidence_of(settings, None)
        retention = gate.evidence.retention_days if days is None else days
        found = {name: own_chain(kept, name) for name, kept in _writers(gate.id, folder)}
        chains = {name: chain for name, chain in found.items() if chain is not None}
        if not chains:
            msg = f"{folder}: gate {gate.id} has begun no chain there"
            raise UsageError(msg)
        for name, chain in chains.items():
            _retain(name, chain, retention, dry_run=dry_run)


def _writers(gate: str, folder: Path) -> list[tuple[str, Path]]:
    """Give the gates of a configuration that may have evidence, and where each has its own."""
    places = sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())
    return [(gate, folder), *((f"{gate}-{n}", folder / str(n)) for n in places)]


def _retain(gate: str, chain: Path, retention: int, *, dry_run: bool) -> None:
    at, folder = system_clock().utc, chain.parent
    if dry_run:
        typer.echo(_told(_plan(chain, at, retention), "would be dropped"))
        return
    _check_stopped(folder, gate)
    recorder = Recorder(gate, folder, release=version("ringfence"))
    recorder.open(at)
    try:
        planned = _plan(chain, at, retention)
        if planned.sweeps:
            state(planned, recorder)
        for swept in planned.sweeps:
            sweep(swept)
    finally:
        recorder.close()
    typer.echo(_told(planned, "dropped"))


def _check_stopped(folder: Path, gate: str) -> None:
    try:
        os.close(lock(folder.resolve()))
    except JournalError as error:
        msg = f"gate {gate} is running and writes {folder}: stop it, run this, and start it again"
        raise UsageError(msg) from error


def _plan(chain: Path, at: float, retention: int) -> Plan:
    with going_through(chain.parent, "retain") as told:

        def read(segment: Segment) -> None:
            path = segment.path
            told(path.parent.name, segment.index, path.name)

        return plan(chain, at=at, retention=retention, told=read)


def _told(planned: Plan, done: str) -> str:
    touched = len(planned.sweeps)
    return (
        f"{planned.chain.name}: {planned.records} records {done}, in {touched} segments of which"
        f" {planned.segments} as a whole; retention {planned.retention} days"
    )
