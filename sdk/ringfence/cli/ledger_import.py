"""`ringfence ledger import`: what people said, from a CSV file into a ledger."""

import secrets
import sqlite3
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic
from typing import Annotated

import anyio
import msgspec
import typer

from ringfence.cli.options import (
    ConfigFile,
    Patience,
    Principal,
    UsageError,
    read_named,
    stops_on,
    warn_of,
)
from ringfence.cli.progress import progress, rare_collections
from ringfence.columns import ColumnError, Columns, find_columns
from ringfence.config import ConfigError, Settings, load
from ringfence.ledger.columns import PROOF_NAMES, ROLES, names_of
from ringfence.ledger.exhibits import Exhibits
from ringfence.ledger.form import KINDS, BadLine, Exhibited, Form, Kind
from ringfence.ledger.importer import Importer, SinkError, Tally
from ringfence.ledger.reader import Errand, read_batches
from ringfence.ledger.rejects import Rejects
from ringfence.ledger.service import system_time
from ringfence.ledger.sink import open_sink
from ringfence.ledger.store import StoreError
from ringfence.number import Keyring
from ringfence.sheet import Sheet, SheetError, open_sheet

__all__ = ["import_csv"]

ERRORS = (
    BadLine, ColumnError, ConfigError, OSError, SheetError, SinkError, StoreError, UsageError,
    sqlite3.Error,
)  # fmt: skip
"""What ends an import before its end; all but these is a bug."""

TOLD = 20
"""Undated lines that are named; all are counted."""


class _Job(msgspec.Struct, frozen=True):
    """What is to be imported, for whom, and where rejected lines go."""

    config: Path
    settings: Settings
    principal: str
    keyring: Keyring
    kind: Kind
    sheet: Sheet
    columns: Columns
    named: dict[str, str]
    exhibited: Exhibited | None
    rejects: Rejects
    patience: float


def import_csv(  # noqa: PLR0913, PLR0917 - the options of a command
    csv: Annotated[Path, typer.Argument(help="The file, with a header; in UTF-8 or Windows-1252.")],
    config: ConfigFile,
    principal: Principal,
    kind: Annotated[str, typer.Option(help=f"One of {', '.join(KINDS)}.")] = "consent",
    purpose: Annotated[str, typer.Option(help="Where the file does not say it.")] = "",
    text: Annotated[str, typer.Option(help="Likewise.")] = "",
    until: Annotated[str, typer.Option(help="Likewise.")] = "",
    at: Annotated[str, typer.Option(help="Likewise.")] = "",
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=NAME", help=f"Which column is the {', '.join(ROLES)}."),
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="Where bad lines go.", show_default="CSV.rejected.csv")
    ] = None,
    timeout: Patience = 60,
) -> None:
    """Import consents, or other things people said, from CSV. Twice imports nothing twice.

    A consent may name its proof: a URI, with its SHA-256 in another column, or the path of a file
    from the folder of the CSV file, which is kept where the ledger is.

    A refusal, or whatever else forbids calls, is never put aside for its date: if that cannot be
    read it is dated on the day of the import, and the line is told of.

    Exit status 0: all lines are in the ledger; 1: all but those that were rejected; 2: not done.
    """
    given = {"purpose": purpose, "text": text, "until": until, "date": at}
    given = {role: value for role, value in given.items() if value}
    rejects = rejects or Path(f"{csv}.rejected.csv")
    with stops_on(*ERRORS):
        if rejects.absolute() == csv.absolute():
            msg = f"--rejects: {rejects} is the file to import"
            raise UsageError(msg)
        settings = load(config)
        keyring = settings.keyring(principal)
        wanted, named = _kind(kind), read_named(column or (), ROLES)
        with open_sheet(csv) as sheet:
            columns = find_columns(
                sheet.header, wanted.needed, names=names_of(kind), named=named, given=given
            )
            with Rejects(rejects, header=sheet.header, delimiter=sheet.delimiter) as bad:
                proofs = _exhibited(settings, wanted, sheet, named)
                job = _Job(
                    *(config, settings, principal, keyring, wanted, sheet, columns, named),
                    *(proofs, bad, timeout),
                )
                tally = _run(job)
    _tell_undated(tally)
    if tally.rejected:
        typer.echo(f"rejected lines are in {rejects}:")
        for why, count in tally.whys.most_common():
            typer.echo(f"{count:>10} {why}")
        raise typer.Exit(1)


def _tell_undated(tally: Tally) -> None:
    if not tally.undated:
        return
    count = len(tally.undated)
    lines = "1 line is" if count == 1 else f"{count} lines are"
    typer.echo(f"{lines} dated today for want of a date that can be read:")
    for line, why in sorted(tally.undated)[:TOLD]:
        typer.echo(f"  line {line}: {why}")
    if len(tally.undated) > TOLD:
        typer.echo("  …")


def _kind(name: str) -> Kind:
    if name not in KINDS:
        msg = f"--kind: {name!r} is not one of {', '.join(KINDS)}"
        raise UsageError(msg)
    return KINDS[name]


def _exhibited(
    settings: Settings, kind: Kind, sheet: Sheet, named: dict[str, str]
) -> Exhibited | None:
    """Give what reads the proofs that a sheet names; None where it names none."""
    if not kind.proved:
        return None
    columns = find_columns(sheet.header, (), names=PROOF_NAMES, named=named, given={})
    if "proof" not in columns.found:
        return None
    return Exhibited(columns, Exhibits.of(settings, sheet.path.parent))


def _run(job: _Job) -> Tally:
    """Import, with a bar, and tell what came of it; also of an import that was broken off."""
    name, tally, began = job.sheet.path.name, Tally(), monotonic()
    try:
        with rare_collections(), progress() as bar:
            task = bar.add_task(name, total=job.sheet.size)

            def told(position: int) -> None:
                so_far = f"{name}: {tally.read} lines, {tally.rejected} rejected"
                bar.update(task, completed=position, description=so_far)

            anyio.run(partial(_import, job, tally, told))
    except BaseException:
        if tally.read:
            _tell(name, tally, monotonic() - began)
            typer.echo("broken off: run it again, what is in the ledger stays", err=True)
        raise
    _tell(name, tally, monotonic() - began)
    return tally


def _tell(name: str, tally: Tally, seconds: float) -> None:
    typer.echo(
        f"{name}: {tally.read} lines read, {tally.imported} imported, {tally.known} known,"
        f" {tally.rejected} rejected; {tally.read / seconds:.0f} lines/s"
    )


async def _import(job: _Job, tally: Tally, told: Callable[[int], None]) -> None:
    opening = open_sink(
        job.settings,
        job.principal,
        f"import-{secrets.token_hex(4)}",
        clock=system_time,
        random=Random(),  # noqa: S311 - spreads attempts in time, hides nothing
        patience=job.patience,
    )
    async with opening as sink:
        errand = Errand(
            csv=str(job.sheet.path),
            config=str(job.config),
            principal=job.principal,
            kind=job.kind.name,
            named=job.named,
            given=dict(job.columns.given),
            texts=sink.texts,
            now=system_time(),
            size=sink.batch,
        )
        form = Form(
            job.kind,
            job.keyring,
            principal=job.principal,
            columns=job.columns,
            exhibited=job.exhibited,
            texts=errand.texts,
            now=errand.now,
        )
        # Proofs are kept by one process: it is their files that take the time.
        reading = read_batches(job.sheet, form, errand.size, None if job.exhibited else errand)
        async with aclosing(reading) as batches:
            await Importer(batches, sink, job.rejects, tally=tally, told=told).run()
    warn_of(tally.purposes, job.settings, job.principal)
