"""`ringfence gate`: a gate in a process of its own, asked through adapters, and its syncer."""

import errno
import gc
import logging
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from random import Random
from typing import Annotated, Protocol, cast

import anyio
import msgspec
import typer

from ringfence.cli.options import UsageError, stops_on
from ringfence.config import ConfigError, GateSettings, load
from ringfence.evidence.record import EvidenceError
from ringfence.gate import Gate, system_clock
from ringfence.link import Broker
from ringfence.mqtt import Link
from ringfence.outbox import OutboxError
from ringfence.replica import Now
from ringfence.status import Status
from ringfence.syncer import Syncer

__all__ = ["app", "shifted_to"]

app = typer.Typer(no_args_is_help=True, help="Run a gate in a process of its own.")


LAST_PORT = 65535

REMEDIES = {
    errno.EACCES: "give another --port: those below 1024 are the system's",
    errno.EADDRINUSE: "end what listens there, or give another --port",
}
"""What to do where nothing can be listened to; else it is the address that is wrong."""

NO_ADDRESS = "give an address of this machine as --host"


GateConfig = Annotated[
    Path, typer.Option("--config", help="TOML file with tables broker, gate, principals.")
]
RehearseAt = Annotated[
    datetime | None,
    typer.Option(help="Pretend that it is this instant (UTC) now. For rehearsals: the ledger must"
                 " be told the same, or every call is deferred for clock skew."),
]  # fmt: skip


class Serve(Protocol):
    """What an adapter is (design, section 10)."""

    async def __call__(
        self, gate: Gate, host: str, port: int, *, ready: Callable[[int], object]
    ) -> None: ...


@app.callback()
def group() -> None:
    """Run a gate in a process of its own."""


@app.command()
def serve(
    config: GateConfig,
    adapter: Annotated[list[str], typer.Option(help="An adapter to serve; may be given again.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        list[int] | None, typer.Option(help="A port for each adapter, in order; 0: any.")
    ] = None,
    status: Annotated[float, typer.Option(help="Seconds between two status lines; 0: none.")] = 0,
    rehearse_at: RehearseAt = None,
) -> None:
    """Serve a gate until SIGINT or SIGTERM.

    Prints one JSON object a line: `{"listening": {adapter: port}}`, `{"ready": true}`, and the
    status, if that was asked for.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    with stops_on(ConfigError, EvidenceError, OutboxError, UsageError):
        ports = _check_ports(port or [], adapter)
        serves = {name: _adapter(name) for name in adapter}
        gate = Gate(load(config), clock=_clock(rehearse_at))
        anyio.run(partial(_serve, gate, serves, host, ports, status))


@app.command()
def sync(
    config: GateConfig,
    rehearse_at: RehearseAt = None,
) -> None:
    """Keep the tables of this machine in step with the ledger, until SIGINT or SIGTERM.

    For gates that share, by `gate.share`: they read what this process writes, and none of
    them has to do it beside its calls. While it does not run, one of them does. Prints
    `{"syncing": true}` when it has begun, which may be when another has ended.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    with stops_on(ConfigError):
        settings = load(config)
        if settings.gate is None or not settings.gate.share:
            msg = f"{config}: gate.share is not true: there are no tables of this machine"
            raise ConfigError(msg)
        anyio.run(_sync, settings.gate, settings.broker, _clock(rehearse_at))


async def _sync(gate: GateSettings, broker: Broker, clock: Callable[[], Now]) -> None:
    random = Random()  # noqa: S311 - spreads questions in time, hides nothing
    connect = partial(Link, broker, random=random)
    syncer = Syncer(gate, clock=clock, random=random, connect=connect)
    _settle()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_until_signal, tasks.cancel_scope, name="signals")
        tasks.start_soon(syncer.run, name="syncer")
        await syncer.syncs.wait()
        _say({"syncing": True})


def _clock(rehearse_at: datetime | None) -> Callable[[], Now]:
    return system_clock if rehearse_at is None else shifted_to(rehearse_at)


def shifted_to(instant: datetime) -> Callable[[], Now]:
    """Give a clock that reads *instant* now, and goes on from there."""
    at = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    offset = at.timestamp() - system_clock().utc

    def clock() -> Now:
        now = system_clock()
        return Now(now.mono, now.utc + offset)

    return clock


def _check_ports(ports: Sequence[int], adapters: Sequence[str]) -> Sequence[int]:
    if len(ports) > len(adapters):
        msg = f"{len(ports)} ports for {len(adapters)} adapters"
        raise UsageError(msg)
    for port in ports:
        if not 0 <= port <= LAST_PORT:
            msg = f"--port: {port} is no port: those go from 1 to {LAST_PORT}, and 0 takes any"
            raise UsageError(msg)
    return ports


def _adapter(name: str) -> Serve:
    found: dict[str, EntryPoint] = {e.name: e for e in entry_points(group="ringfence.adapters")}
    if name not in found:
        msg = f"no adapter is called {name!r}; there are {', '.join(sorted(found)) or 'none'}"
        raise UsageError(msg)
    try:
        return cast("Serve", found[name].load())  # an entry point carries no type
    except ImportError as error:
        msg = f"adapter {name} needs {error.name}: pip install 'ringfence[{name}]'"
        raise UsageError(msg) from error


async def _serve(
    gate: Gate, serves: dict[str, Serve], host: str, ports: Sequence[int], every: float
) -> None:
    listening: dict[str, int] = {}

    def note(name: str, port: int) -> None:
        listening[name] = port
        if len(listening) == len(serves):
            _say({"listening": listening})

    async with _opened(gate), anyio.create_task_group() as tasks:
        tasks.start_soon(_until_signal, tasks.cancel_scope, name="signals")
        tasks.start_soon(_tell_ready, gate, name="ready")
        if every:
            tasks.start_soon(_tell_status, gate, every, name="status")
        for (name, adapter), port in zip(
            serves.items(), [*ports, *[0] * len(serves)], strict=False
        ):
            run = partial(_listen, name, adapter, gate, host, port, partial(note, name))
            tasks.start_soon(run, name=name)


@asynccontextmanager
async def _opened(gate: Gate) -> AsyncIterator[None]:
    """Keep a gate open. Raises `ConfigError` where its folder is none, or is not ours to write."""
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(gate)
        except OSError as error:
            where = error.filename or gate.settings.data
            msg = f"gate.data: {where}: {error.strerror}: name a folder that can be written"
            raise ConfigError(msg) from error
        yield


async def _listen(
    name: str, adapter: Serve, gate: Gate, host: str, port: int, note: Callable[[int], object]
) -> None:
    """Run an adapter. Raises `UsageError` where it cannot listen."""
    listening = False

    def ready(bound: int) -> None:
        nonlocal listening
        listening = True
        note(bound)

    try:
        await adapter(gate, host, port, ready=ready)
    except OSError as error:
        if listening:
            raise
        remedy = REMEDIES.get(error.errno or 0, NO_ADDRESS)
        msg = f"{name} cannot listen on {host}, port {port}: {error.strerror}: {remedy}"
        raise UsageError(msg) from error


async def _until_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
            return


async def _tell_ready(gate: Gate) -> None:
    await gate.ready()
    _settle()
    _say({"ready": True})


def _settle() -> None:
    """Have the collector pass over what is there for good: a full round would take it 40 ms."""
    gc.collect()
    gc.freeze()


async def _tell_status(gate: Gate, every: float) -> None:
    last = 0.0
    async for status in gate.status:
        now = anyio.current_time()
        if now - last >= every:
            last = now
            _say(_plain(status))


def _plain(status: Status) -> object:
    return {**cast("dict[str, object]", msgspec.to_builtins(status)), "healthy": status.healthy}


def _say(value: object) -> None:
    typer.echo(msgspec.json.encode(value).decode())
