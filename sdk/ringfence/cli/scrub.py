"""`ringfence scrub`: what the gate would answer for each lead of a list, beside the lead."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, TextIO

import anyio
import anyio.to_thread
import msgspec
import typer
from rich.console import Console

from ringfence.call import Call
from ringfence.cli.moment import NoAnswerError, await_ready, check_shown, open_gate, shown
from ringfence.cli.options import ConfigFile, Lang, Patience, UsageError, read_named, stops_on
from ringfence.cli.progress import progress, rare_collections
from ringfence.cli.summary import as_json, drawn, in_short, troubles
from ringfence.columns import ColumnError, Columns
from ringfence.config import ConfigError, Settings, load
from ringfence.decision import DOUBTS, Decision
from ringfence.gate import Gate, system_clock
from ringfence.ledger.moment import BadDate, read_moment
from ringfence.number import METROPOLE
from ringfence.scrub import ROLES, Order, Scrub, Tally, columns_of, header_of
from ringfence.sheet import Record, Sheet, SheetError, open_sheet

__all__ = ["scrub"]

ERRORS = (
    BadDate, ColumnError, ConfigError, LookupError, NoAnswerError, OSError, SheetError, UsageError,
)  # fmt: skip
"""What ends a list before its end; all but these is a bug."""

BATCH = 2000
"""Leads between two turns of the loop, in which the gate hears the ledger: some 20 ms."""

ATTEMPTS = 3
"""Times that one batch is asked about where the gate comes to doubt what it knows."""


class _Job(msgspec.Struct, frozen=True):
    settings: Settings
    sheet: Sheet
    columns: Columns
    order: Order
    out: TextIO
    patience: float


def scrub(  # noqa: PLR0913 - the options of a command
    leads: Annotated[Path, typer.Argument(help="The list, CSV with a header.")],
    *,
    config: ConfigFile,
    campaign: Annotated[str, typer.Option(help="The campaign that is to call them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The list with the answers.")],
    at: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="When the calls are to start: `2026-12-01 10:00`, the time of Paris, or with an"
            " offset from UTC.",
            show_default="now",
        ),
    ] = "",
    caller_id: Annotated[
        str | None, typer.Option(help="The number shown.", show_default="the campaign's only one")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=NAME", help=f"Which column is the {', '.join(ROLES)}."),
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="Show how many can be called when, and why.")
    ] = False,
    lang: Lang = "en",
    json: Annotated[Path | None, typer.Option(help="Write the summary as JSON too.")] = None,
    timeout: Patience = 30,
) -> None:
    """Say of each lead of a list whether it may be called, why, and when.

    The columns verdict, reason, retry_at (UTC), article and sentence are added; all others stay as
    they are. The answers are those of one moment: a gate still asks before each call.

    Opens a gate of its own for that time, so it needs the broker and a ledger that answers. Exit
    status 2 if the list could not be read to its end: then nothing is written.
    """
    with stops_on(*ERRORS):
        _check_paths(leads, output, json)
        check_shown(caller_id)
        order = Order(campaign=campaign, caller_id=caller_id, at=_read_time(at), language=lang)
        settings, named = load(config), read_named(column or (), ROLES)
        with open_sheet(leads, errors="surrogateescape") as sheet:
            columns = columns_of(sheet, named)
            with _replacing(output, sheet.encoding) as out:
                tally = _run(_Job(settings, sheet, columns, order, out, timeout))
        if json is not None:
            with _replacing(json, "utf-8") as file:
                file.write(as_json(tally, order))
    typer.echo(in_short(tally, order, output.name))
    if summary:
        Console().print(drawn(tally, order))
    for line in troubles(tally, lang):
        typer.echo(line, err=True)


def _check_paths(leads: Path, *targets: Path | None) -> None:
    seen = [leads.resolve()]
    for target in filter(None, targets):
        if target.resolve() in seen:
            msg = f"{target} is to be written, and is another of the files too"
            raise UsageError(msg)
        if not target.parent.is_dir():
            msg = f"{target}: there is no such folder"
            raise UsageError(msg)
        if target.exists() and not target.is_file():
            msg = f"{target} is no regular file"
            raise UsageError(msg)
        seen.append(target.resolve())


def _read_time(text: str) -> datetime:
    """Read an instant; without an offset it is what clocks in Paris show, whatever ours do."""
    if not text:
        return datetime.fromtimestamp(int(system_clock().utc), UTC)
    moment = read_moment(text, (METROPOLE,), latest=False)
    if not moment.timed:
        msg = f"--at: {text!r} is a date without a time"
        raise UsageError(msg)
    return moment.at


@contextmanager
def _replacing(path: Path, encoding: str) -> Iterator[TextIO]:
    """Open a file that takes its place at *path* once it is whole and on the disk, or never."""
    path = path.resolve()
    # Readable by its owner alone: telephone numbers.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(
            handle, "w", encoding=encoding, errors="surrogateescape", newline=""
        ) as file:
            yield file
            file.flush()
            os.fsync(handle)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def _run(job: _Job) -> Tally:
    """Judge the list, with a bar."""
    name = job.sheet.path.name
    with rare_collections(), progress() as bar:
        task = bar.add_task(f"{name}: the gate opens", total=job.sheet.size)

        def told(leads: int, position: int) -> None:
            bar.update(task, completed=position, description=f"{name}: {leads} leads")

        return anyio.run(partial(_scrub, job, told))


async def _scrub(job: _Job, told: Callable[[int, int], None]) -> Tally:
    async with open_gate(job.settings, "scrub", job.patience) as gate:
        caller_id = shown(gate, job.order.campaign, job.order.caller_id)
        order = msgspec.structs.replace(job.order, caller_id=caller_id)
        decide = partial(_decide, gate, order.at, job.patience)
        scrub = Scrub(order, job.columns, job.sheet.delimiter, decide)
        records = job.sheet.records(empty=True)
        lines = header_of(job.sheet)
        while batch := await anyio.to_thread.run_sync(_turn_over, job.out, lines, records):
            lines = await scrub.lines(batch)
            told(scrub.tally.leads, job.sheet.position)
        return scrub.tally


def _turn_over(out: TextIO, lines: str, records: Iterator[Record]) -> list[Record]:
    """Write what is judged, read what is next; waits for the disk."""
    out.write(lines)
    return list(islice(records, BATCH))


async def _decide(
    gate: Gate, at: datetime, patience: float, calls: Sequence[Call]
) -> list[Decision]:
    """Ask the gate. Raises `NoAnswerError` where it does not get over its doubts."""
    for _ in range(ATTEMPTS):
        decisions = gate.check_many(calls, at=at)
        doubt = next((d.reason for d in decisions if d.reason in DOUBTS), None)
        if doubt is None:
            return decisions
        await await_ready(gate, patience)
    msg = f"the gate does not know the answer any more: {doubt}"
    raise NoAnswerError(msg)
