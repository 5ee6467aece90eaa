"""`ringfence evidence export`: the decisions of a campaign and period, as a sheet."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.evidence_folder import (
    AnyConfig,
    Folder,
    evidence_of,
    going_through,
    load_any,
)
from ringfence.cli.options import UsageError, stops_on
from ringfence.config import ConfigError
from ringfence.evidence.export import FORMATS, Wanted
from ringfence.evidence.export import export as write
from ringfence.evidence.record import EvidenceError, Place
from ringfence.evidence.segment import records
from ringfence.ledger.moment import BadDate, read_day

__all__ = ["export"]


def export(
    *,
    config: AnyConfig = None,
    evidence: Folder = None,
    campaign: Annotated[str, typer.Option(help="The campaign.")],
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="First day, in Paris.")],
    last: Annotated[str, typer.Option("--to", metavar="DAY", help="Last day, in Paris.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help=f"The sheet: {' or '.join(FORMATS)}.")
    ],
) -> None:
    """Write the decisions of a campaign and period, one a row, with all that each rests on.

    Parquet needs the extra `parquet`. In CSV a text that a spreadsheet would run as a formula is
    led by an apostrophe. Exit status 2: not done, and the sheet is as it was.
    """
    with stops_on(ConfigError, EvidenceError, OSError, UsageError):
        wanted = Wanted(campaign, _day("--from", first), _day("--to", last))
        if wanted.first > wanted.last:
            msg = f"--from: {wanted.first} is after --to {wanted.last}"
            raise UsageError(msg)
        folder = evidence_of(load_any(config), evidence)
        with going_through(folder, "export") as told:

            def read(place: Place, rows: int) -> None:
                told(place.chain, place.segment, f"{rows} rows")

            count = write(records(folder), wanted, output, told=read)
    typer.echo(f"{output}: {count} decisions of {campaign}")


def _day(option: str, text: str) -> date:
    try:
        return read_day(text)
    except BadDate as error:
        msg = f"{option}: {error}"
        raise UsageError(msg) from error
