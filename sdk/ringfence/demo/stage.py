"""The processes of the demo: each a `ringfence` command of its own, as on real machines."""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path

import anyio
import msgspec
from anyio.streams.buffered import BufferedByteReceiveStream

__all__ = ["Actor", "StageError", "act", "run"]

STARTING = 20.0
STOPPING = 10.0
MAX_LINE = 1024 * 1024


class StageError(Exception):
    """A process of the demo did not do what it was started for."""


class Actor:
    """A `ringfence` process that goes on, and what it said last."""

    def __init__(self, name: str, process: anyio.abc.Process) -> None:
        self.name = name
        self.ports: dict[str, int] = {}
        self.ready = anyio.Event()
        self.status: dict[str, object] = {}
        self._process = process
        self._errors: list[str] = []

    @property
    def pid(self) -> int:
        return self._process.pid

    async def until_ready(self) -> None:
        """Wait for its word. Raises `StageError` with what it complained of instead."""
        with anyio.move_on_after(STARTING):
            await self.ready.wait()
            return
        msg = f"{self.name} is not ready after {STARTING:.0f} s: {' '.join(self._errors[-5:])}"
        raise StageError(msg)

    async def listen(self) -> None:
        """Read what it prints, until it ends."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen_to_errors)
            if self._process.stdout is not None:
                lines = BufferedByteReceiveStream(self._process.stdout)
                with suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.ClosedResourceError):
                    while True:
                        self._hear(await lines.receive_until(b"\n", MAX_LINE))

    def _hear(self, line: bytes) -> None:
        try:
            said = msgspec.json.decode(line, type=dict[str, object])
        except msgspec.DecodeError:
            said = {"text": line.decode(errors="replace")}
        if isinstance(ports := said.get("listening"), dict):
            self.ports = ports
        elif said.get("ready") or str(said.get("text")).startswith("serving"):
            self.ready.set()
        elif "principals" in said:
            self.status = said

    async def _listen_to_errors(self) -> None:
        if self._process.stderr is None:
            return
        lines = BufferedByteReceiveStream(self._process.stderr)
        with suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.ClosedResourceError):
            while True:
                line = await lines.receive_until(b"\n", MAX_LINE)
                self._errors = [*self._errors[-20:], line.decode(errors="replace")]

    async def stop(self) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        with anyio.move_on_after(STOPPING, shield=True):
            await self._process.wait()
            return
        with suppress(ProcessLookupError):
            self._process.kill()


@asynccontextmanager
async def act(name: str, *arguments: str | Path, at: datetime) -> AsyncIterator[Actor]:
    """Run a `ringfence` command beside the demo; it is stopped at the end."""
    words = [*_words(*arguments), "--rehearse-at", at.strftime("%Y-%m-%dT%H:%M:%S")]
    process = await anyio.open_process(words, stderr=subprocess.PIPE)
    actor = Actor(name, process)
    async with process, anyio.create_task_group() as tasks:
        tasks.start_soon(actor.listen, name=name)
        try:
            yield actor
        finally:
            await actor.stop()
            tasks.cancel_scope.cancel()


async def run(*arguments: str | Path) -> str:
    """Run a `ringfence` command to its end; give what it printed. Raises `StageError`."""
    done = await anyio.run_process(_words(*arguments), check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace")
        msg = f"ringfence {' '.join(map(str, arguments))} ended with {done.returncode}: {said}"
        raise StageError(msg)
    return done.stdout.decode(errors="replace")


def _words(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "ringfence", *map(str, arguments)]
