"""`ringfence evidence verify`: whether the evidence is what the gate wrote."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from ringfence.cli.evidence_folder import (
    AnyConfig,
    Folder,
    folder_of,
    going_through,
    load_any,
)
from ringfence.cli.options import UsageError, stops_on
from ringfence.config import ConfigError, Settings
from ringfence.evidence.segment import Segment, chains
from ringfence.evidence.verify import Finding, Inspected, Report, What, Witness
from ringfence.evidence.verify import verify as inspect
from ringfence.gate import system_clock
from ringfence.ledger.archive import Archive
from ringfence.ledger.store import StoreError

__all__ = ["verify"]

NOBODY_ASKED = (
    "there are no heads to compare with (--heads, or a configuration with a [ledger] that is here)"
)
NOTHING_HEARD = "the ledger has heard no head of it"
UNCHECKED = "whether its end was cut off, or all of it written anew, is not checked"


class _Head(msgspec.Struct, frozen=True):
    """A head as `ringfence ledger heads` writes it; it says more, which plays no part here."""

    gate: str
    chain: str
    number: int
    link: str
    heard: datetime
    at: datetime | None = None


_heads = msgspec.json.Decoder(list[_Head])


def verify(
    config: AnyConfig = None,
    evidence: Folder = None,
    heads: Annotated[
        Path | None,
        typer.Option(
            help="What `ringfence ledger heads` wrote.", show_default="the ledger's database"
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that no record was altered, removed, added or moved, and none dropped before its time.

    Names the first, and those after it where they can be told. That the end of a chain was cut off,
    or all of it written anew, or more of it made up, shows only in the heads that a ledger has
    heard: from its database, if the configuration has one that is on this machine, or from a file.

    May run while the gate does. Exit status 0: all holds; 1: something does not; 2: not done.
    """
    with stops_on(ConfigError, OSError, StoreError, UsageError):
        settings = load_any(config)
        folder = folder_of(settings, evidence)
        witnesses = _witnesses(settings, heads)
        with going_through(folder, "verify") as told:

            def read(segment: Segment) -> None:
                path = segment.path
                told(path.parent.name, segment.index, path.name)

            gate = settings.gate.id if settings.gate else ""
            now = datetime.fromtimestamp(system_clock().utc, UTC)
            report = inspect(chains(folder), witnesses or (), now=now, gate=gate, told=read)
        if not report.chains:
            msg = f"{folder}: there is no evidence"
            raise UsageError(msg)
    if json:
        typer.echo(msgspec.json.encode({"holds": report.holds, "chains": report.chains}))
    else:
        _tell(report, asked=witnesses is not None)
    raise typer.Exit(0 if report.holds else 1)


def _witnesses(settings: Settings, file: Path | None) -> list[Witness] | None:
    """Give the heads that are known; None if there is nobody to ask."""
    if file is not None:
        return _read(file)
    ledger = settings.ledger
    if ledger is None or not ledger.database.exists():
        return None
    with Archive.open(ledger.database) as archive:
        return [
            Witness(head.gate, head.chain, head.number, head.link, head.heard, head.at)
            for head in archive.heads()
        ]


def _read(file: Path) -> list[Witness]:
    try:
        return [
            Witness(
                head.gate, head.chain, head.number, bytes.fromhex(head.link), head.heard, head.at
            )
            for head in _heads.decode(file.read_bytes())
        ]
    except (msgspec.DecodeError, ValueError) as error:
        msg = f"--heads: {file} is not what `ringfence ledger heads` writes: {error}"
        raise UsageError(msg) from error


def _tell(report: Report, *, asked: bool) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for chain in report.chains:
        console.print(_drawn(chain))
        for finding in chain.findings:
            style = "yellow" if finding.what is What.TORN else "red"
            console.print(_said(chain, finding), style=style)
        if chain.untold:
            console.print(f"and {chain.untold} more", style="red")
        if not chain.compared:
            console.print(f"{NOTHING_HEARD if asked else NOBODY_ASKED}: {UNCHECKED}")
    if report.holds:
        console.print("all holds", style="green")
    else:
        found = sum(len(chain.findings) + chain.untold for chain in report.chains)
        console.print(f"does not hold: {found} found", style="bold red")


def _said(chain: Inspected, finding: Finding) -> str:
    if finding.segment and finding.segment in finding.words:
        return finding.words
    where = f"{chain.chain}/{finding.segment}" if finding.segment else chain.chain
    return f"{where}: {finding.words}"


def _drawn(chain: Inspected) -> Table:
    table = Table(box=None, show_header=False)
    table.add_row("chain", chain.chain)
    table.add_row("gate", chain.gate)
    table.add_row("segments", str(chain.segments))
    table.add_row("records", f"{chain.records}, and {chain.dropped} that were dropped")
    for name, at in (("from", chain.began), ("to", chain.ended)):
        table.add_row(name, f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "")
    if chain.compared:
        table.add_row("witnessed", f"to record {chain.witnessed} of {chain.last}")
    return table
