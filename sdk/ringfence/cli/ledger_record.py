"""`ringfence ledger record`: one thing a person said, from the shell."""

import secrets
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from random import Random
from typing import Annotated, get_args

import anyio
import msgspec
import typer

from ringfence.cli.options import (
    ConfigFile,
    Patience,
    Principal,
    UsageError,
    stops_on,
    warn_of,
)
from ringfence.config import ConfigError, Settings, load
from ringfence.event import AnyEvent, Event, Proof
from ringfence.ledger.entry import Entries, Entry
from ringfence.ledger.exhibits import BadProof, Exhibits
from ringfence.ledger.importer import Receipt, SinkError
from ringfence.ledger.moment import IN_FUTURE, BadDate, read_day, read_moment
from ringfence.ledger.service import system_time
from ringfence.ledger.sink import FileSink, open_sink
from ringfence.ledger.store import StoreError
from ringfence.number import InvalidNumber, Territory, parse

__all__ = ["record"]

KINDS: dict[str, type[Event]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(AnyEvent)
}


def record(  # noqa: PLR0913 - the options of a command
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(KINDS)}.")],
    config: ConfigFile,
    principal: Principal,
    to: Annotated[str, typer.Option(help="The person's number.")],
    *,
    purpose: Annotated[str, typer.Option(help="What a ground is specific to.")] = "",
    text: Annotated[str, typer.Option(help="The text a consent was given to.")] = "",
    until: Annotated[str, typer.Option(help="Last day.")] = "",
    at: Annotated[str, typer.Option(help="When it was said; now, if not given.")] = "",
    explicit: Annotated[
        bool, typer.Option(help="A callback asked of the company by name.")
    ] = False,
    start: Annotated[str, typer.Option(help="The date and time of a slot.")] = "",
    minutes: Annotated[int, typer.Option(help="The length of a slot.")] = 0,
    call: Annotated[str, typer.Option(help="The id of an attempt's call.")] = "",
    proof: Annotated[
        str, typer.Option(help="The proof of a consent: a file, which is kept, or a URI.")
    ] = "",
    proof_sha256: Annotated[str, typer.Option(help="The SHA-256 that a proof's URI needs.")] = "",
    timeout: Patience = 60,
) -> None:
    """Record one event, and wait until the ledger holds it. Prints its id and its change.

    Dates are read as in an import. Exit status 1: the ledger does not take it; 2: not done.
    """
    stated: dict[str, object] = {
              "purpose": purpose, "text": text, "until": until, "at": at, "explicit": explicit,
              "start": start, "minutes": minutes, "call": call}  # fmt: skip
    errors = (BadDate, BadProof, ConfigError, InvalidNumber, OSError, SinkError, StoreError,
              UsageError, sqlite3.Error)  # fmt: skip
    with stops_on(*errors):
        settings = load(config)
        keyring = settings.keyring(principal)
        now = system_time()
        stated["proof"] = _proof(settings, proof, proof_sha256)
        event = _event(kind, to, {name: value for name, value in stated.items() if value}, now)
        try:
            sealed = event.sealed(keyring, now)
        except ValueError as error:  # a ground without a purpose
            raise UsageError(str(error)) from error
        receipt, served = anyio.run(partial(_send, settings, principal, sealed, timeout))
    for reason in receipt.rejected.values():
        typer.echo(f"ringfence: the ledger does not take it: {reason}", err=True)
        raise typer.Exit(1)
    typer.echo(f"{event.kind} {event.id} is change {receipt.change}")
    if purpose:
        warn_of([purpose], settings, principal)
    if not served:
        typer.echo("no ledger is served: gates hear of it when one is", err=True)


def _proof(settings: Settings, written: str, digest: str) -> Proof | None:
    if not written:
        if digest:
            msg = "--proof-sha256: there is no --proof"
            raise UsageError(msg)
        return None
    return Exhibits.of(settings).refer(written, digest)


def _event(kind: str, to: str, stated: dict[str, object], now: datetime) -> AnyEvent:
    """Make the event of what the options say. Raises `UsageError`, `InvalidNumber`, `BadDate`."""
    if kind not in KINDS:
        msg = f"{kind!r} is not one of {', '.join(KINDS)}"
        raise UsageError(msg)
    _check_options(KINDS[kind], stated)
    territories = parse(to).territories
    if not territories:
        msg = f"--to: {to!r} is not a French number"
        raise UsageError(msg)
    at, said = str(stated.pop("at", "")), dict(stated)
    if "until" in stated:
        said["until"] = read_day(str(stated["until"]))
    if "start" in stated:
        said["start"] = _start(str(stated["start"]), territories)
    try:
        event: AnyEvent = msgspec.convert({"kind": kind, "to": to, **said}, AnyEvent)
    except msgspec.ValidationError as error:
        msg = f"{kind}: {error}"
        raise UsageError(msg) from error
    if not at:
        return event
    moment = read_moment(at, territories, latest=not event.purposeful)
    if moment.earliest > now:
        raise BadDate(IN_FUTURE, at)
    return msgspec.structs.replace(event, at=min(moment.at, now), on=moment.on)


def _check_options(kind: type[Event], stated: Mapping[str, object]) -> None:
    """Raise `UsageError` where an option is missing, or means nothing for this kind."""
    fields = msgspec.structs.fields(kind)
    for name in (field.name for field in fields if field.required):
        if name not in stated:
            msg = f"{kind.__struct_config__.tag}: needs --{name}"
            raise UsageError(msg)
    for name in stated.keys() - {field.name for field in fields}:
        msg = f"{kind.__struct_config__.tag}: takes no --{name}"
        raise UsageError(msg)
    if kind.purposeful and "purpose" not in stated:
        msg = f"{kind.__struct_config__.tag}: needs --purpose"
        raise UsageError(msg)


def _start(text: str, territories: tuple[Territory, ...]) -> datetime:
    moment = read_moment(text, territories, latest=False)
    if not moment.timed:
        msg = f"--start: {text!r} is a date without a time"
        raise UsageError(msg)
    return moment.at


async def _send(
    settings: Settings, principal: str, event: AnyEvent, patience: float
) -> tuple[Receipt, bool]:
    """Give the receipt, and whether a ledger is served."""
    opening = open_sink(
        settings,
        principal,
        f"record-{secrets.token_hex(4)}",
        clock=system_time,
        random=Random(),  # noqa: S311 - spreads attempts in time, hides nothing
        patience=patience,
    )
    async with opening as sink:
        return await sink.send(Entries.of([Entry.of(event)])), not isinstance(sink, FileSink)
