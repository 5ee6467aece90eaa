"""`ringfence ledger`: the authority in a process of its own, and what it is told from outside."""

import logging
import signal
import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Annotated, NoReturn

import anyio
import msgspec
import typer

from ringfence.cli.gate import shifted_to
from ringfence.cli.ledger_import import import_csv
from ringfence.cli.ledger_record import record
from ringfence.cli.options import ConfigFile, ledger_of, stops_on
from ringfence.config import ConfigError, Settings, load
from ringfence.ledger.archive import Archive
from ringfence.ledger.inventory import Holding, take_inventory
from ringfence.ledger.service import Counts, Ledger, system_time
from ringfence.ledger.store import StoreError
from ringfence.ledger.succession import Contested
from ringfence.ledger.witness import Witness
from ringfence.link import Broker, LinkState, Message, Phase
from ringfence.mqtt import Link

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Run the ledger, and tell it what was said.")
app.command("import")(import_csv)
app.command()(record)


@app.command()
def serve(
    config: ConfigFile,
    status: Annotated[float, typer.Option(help="Seconds between two status lines; 0: none.")] = 10,
    rehearse_at: Annotated[
        datetime | None,
        typer.Option(help="Pretend that it is this instant (UTC) now; for rehearsals with gates"
                     " that are told the same."),
    ] = None,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Go on in a new epoch though another ledger knew"
                     " more: restored from a copy, or begun anew."),
    ] = False,
) -> None:  # fmt: skip
    """Serve the gates until SIGINT or SIGTERM.

    Says when it is on the broker, when it no longer is, and from time to time what came.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    with stops_on(ConfigError, Contested, StoreError, OSError, sqlite3.Error):
        anyio.run(partial(_serve, load(config), _clock(rehearse_at), status, take_over=take_over))


def _clock(rehearse_at: datetime | None) -> Callable[[], datetime]:
    if rehearse_at is None:
        return system_time
    shifted = shifted_to(rehearse_at)
    return lambda: datetime.fromtimestamp(shifted().utc, UTC)


async def _serve(
    settings: Settings, clock: Callable[[], datetime], every: float, *, take_over: bool
) -> None:
    def tell(state: LinkState) -> None:
        if state.phase is Phase.UP and ledger.speaks:
            typer.echo(_serving(settings, ledger))
        elif state.phase not in (Phase.UP, Phase.CONNECTING):
            typer.echo(f"not on the broker, trying again: {state.reason}")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_until_signal, tasks.cancel_scope, name="signals")
        connect = partial(_ToldLink, tell)
        opening = Ledger.open(settings, clock=clock, connect=connect, take_over=take_over)
        async with opening as ledger:
            if every:
                tasks.start_soon(_tell_status, ledger, every, name="status")
            await ledger.serve(lambda: typer.echo(_serving(settings, ledger)))


class _ToldLink:
    """A link that tells its states to one more listener."""

    def __init__(
        self,
        tell: Callable[[LinkState], None],
        broker: Broker,
        client_id: str,
        *,
        subscriptions: Sequence[str],
        random: Random,
        clock: Callable[[], float],
    ) -> None:
        self._tell = tell
        self._link = Link(
            broker, client_id, subscriptions=subscriptions, random=random, clock=clock
        )
        self.publish = self._link.publish

    @property
    def dropped(self) -> int:
        return self._link.dropped

    async def run(
        self, on_message: Callable[[Message], None], on_state: Callable[[LinkState], None]
    ) -> NoReturn:
        def both(state: LinkState) -> None:
            on_state(state)
            self._tell(state)

        await self._link.run(on_message, both)


async def _until_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
            return


async def _tell_status(ledger: Ledger, every: float) -> None:
    """Say what came since the last line, if anything did."""
    before, then = msgspec.structs.replace(ledger.counts), anyio.current_time()
    while True:
        await anyio.sleep(every)
        counts, now = msgspec.structs.replace(ledger.counts), anyio.current_time()
        if counts != before:
            typer.echo(_came(before, counts, now - then))
        before, then = counts, now


def _came(before: Counts, after: Counts, seconds: float) -> str:
    rate = (after.taken - before.taken) / seconds
    return (
        f"{rate:.0f} events/s; since the start {after.taken} taken, {after.known} known,"
        f" {after.rejected} rejected, {after.dropped} messages dropped"
    )


def _serving(settings: Settings, ledger: Ledger) -> str:
    path = settings.ledger.database if settings.ledger else ""
    held = ", ".join(
        f"{name} ({len(s.ground)} ground and {len(s.restraint)} restraint rows, change {s.seq})"
        for name, s in ledger.sequencers.items()
    )
    return f"serving {held or 'nobody'} from {path} on {settings.broker}"


@app.command()
def status(config: ConfigFile) -> None:
    """Count what the database holds; also while it is served."""
    with stops_on(ConfigError, StoreError):
        database = ledger_of(load(config), config).database
        inventory = take_inventory(database)
    typer.echo(f"{database}, epoch {inventory.epoch}")
    for name, holding in inventory.principals.items():
        _tell_holding(name, holding)


def _tell_holding(name: str, holding: Holding) -> None:
    rows = f"{holding.ground_rows} ground rows, {holding.restraint_rows} restraint rows"
    typer.echo(f"{name}: change {holding.seq}; {rows}")
    for kind, count in holding.events.items():
        typer.echo(f"  {count:>10} {kind}")


@app.command()
def heads(
    config: ConfigFile,
    gate: Annotated[str | None, typer.Option(help="Of this gate alone.")] = None,
) -> None:
    """Print the heads of gates' chains of evidence that the ledger holds; also while it is served.

    A JSON array for `ringfence evidence verify --heads`, which holds a gate's evidence against it:
    of each head the principal, the gate, the chain, the number and the link (hexadecimal) of its
    newest record, and when that was, as the gate said and as the ledger heard.
    """
    with (
        stops_on(ConfigError, StoreError),
        Archive.open(ledger_of(load(config), config).database) as archive,
    ):
        held = [_told(head) for head in archive.heads(gate)]
    typer.echo(msgspec.json.format(msgspec.json.encode(held)))


def _told(head: Witness) -> dict[str, object]:
    return {**msgspec.structs.asdict(head), "link": head.link.hex()}
