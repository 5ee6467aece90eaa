"""`ringfence ledger import`: what people said, from a CSV file into a ledger."""

import gc
import secrets
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic
from typing import Annotated

import anyio
import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ringfence.cli.options import ConfigFile, Patience, Principal, UsageError, stops_on
from ringfence.config import ConfigError, Settings, load
from ringfence.ledger.columns import ROLES, ColumnError, Columns, find_columns
from ringfence.ledger.form import KINDS, BadLine, Form, Kind
from ringfence.ledger.importer import Importer, SinkError, Tally
from ringfence.ledger.rejects import Rejects
from ringfence.ledger.service import system_time
from ringfence.ledger.sheet import Sheet, SheetError, open_sheet
from ringfence.ledger.sink import open_sink
from ringfence.ledger.store import StoreError
from ringfence.number import Keyring

__all__ = ["import_csv"]

ERRORS = (
    BadLine, ColumnError, ConfigError, OSError, SheetError, SinkError, StoreError, UsageError,
    sqlite3.Error,
)  # fmt: skip
"""What ends an import before its end; all but these is a bug."""


class _Job(msgspec.Struct, frozen=True):
    """What is to be imported, for whom, and where rejected lines go."""

    settings: Settings
    principal: str
    keyring: Keyring
    kind: Kind
    sheet: Sheet
    columns: Columns
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

    Exit status 0: all lines are in the ledger; 1: all but those that were rejected; 2: not done.
    """
    given = {"purpose": purpose, "text": text, "until": until, "date": at}
    given = {role: value for role, value in given.items() if value}
    rejects = rejects or csv.with_name(f"{csv.name}.rejected.csv")
    with stops_on(*ERRORS):
        if rejects.absolute() == csv.absolute():
            msg = f"--rejects: {rejects} is the file to import"
            raise UsageError(msg)
        settings = load(config)
        keyring = settings.keyring(principal)
        wanted, named = _kind(kind), dict(map(_named, column or ()))
        with open_sheet(csv) as sheet:
            columns = find_columns(sheet.header, wanted.needed, named=named, given=given)
            with Rejects(rejects, header=sheet.header, delimiter=sheet.delimiter) as bad:
                job = _Job(settings, principal, keyring, wanted, sheet, columns, bad, timeout)
                tally = _run(job)
    if tally.rejected:
        typer.echo(f"rejected lines are in {rejects}:")
        for why, count in tally.whys.most_common():
            typer.echo(f"{count:>10} {why}")
        raise typer.Exit(1)


def _kind(name: str) -> Kind:
    if name not in KINDS:
        msg = f"--kind: {name!r} is not one of {', '.join(KINDS)}"
        raise UsageError(msg)
    return KINDS[name]


def _named(column: str) -> tuple[str, str]:
    role, given, name = column.partition("=")
    if role not in ROLES or not given:
        msg = f"--column: {column!r} is not ROLE=NAME with a role of {', '.join(ROLES)}"
        raise UsageError(msg)
    return role, name


def _run(job: _Job) -> Tally:
    """Import, with a bar, and tell what came of it; also of an import that was broken off."""
    console, name = Console(stderr=True), job.sheet.path.name
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
               TimeRemainingColumn())  # fmt: skip
    often = gc.get_threshold()
    gc.set_threshold(100_000)  # a batch has as many objects and no cycles: a sixth of the time
    tally, began = Tally(), monotonic()
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
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
    finally:
        gc.set_threshold(*often)
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
        form = Form(
            job.kind,
            job.keyring,
            principal=job.principal,
            columns=job.columns,
            texts=sink.texts,
            now=system_time(),
        )
        await Importer(job.sheet, form, sink, job.rejects, tally=tally, told=told).run()
