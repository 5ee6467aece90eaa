"""A server of a Debian package, started for one run on this machine alone, and stopped."""

import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from benchmarks.peers import Unavailable

__all__ = ["executable", "free_port", "run", "running"]

STARTING = 30.0
STOPPING = 20.0
SBIN = "/usr/sbin:/usr/local/sbin"


def executable(name: str, package: str) -> str:
    """Find a command. Raises `Unavailable`, which says how to get it."""
    found = shutil.which(name) or shutil.which(name, path=SBIN)
    if found is None:
        msg = f"{name} is not installed: scripts/install debian {package}"
        raise Unavailable(msg)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def run(command: Sequence[str]) -> None:
    """Run a command to its end. Raises `Unavailable` with what it said."""
    done = await anyio.run_process(command, check=False, stderr=subprocess.STDOUT)
    if done.returncode:
        said = done.stdout.decode(errors="replace")[-1000:]
        msg = f"{command[0]} ended with {done.returncode}: {said}"
        raise Unavailable(msg)


@asynccontextmanager
async def running(
    command: Sequence[str], folder: Path, answers: Callable[[], Awaitable[bool]]
) -> AsyncIterator[int]:
    """Run a server until the block ends, and give its process id once it *answers*.

    Raises `Unavailable` with what it said where it does not within half a minute.
    """
    told = folder / "server.log"
    with told.open("wb") as log:
        process = await anyio.open_process(command, stdout=log, stderr=log, cwd=folder)
    try:
        with anyio.move_on_after(STARTING):
            while process.returncode is None and not await answers():  # noqa: ASYNC110 - foreign
                await anyio.sleep(0.05)
        if process.returncode is not None or not await answers():
            said = told.read_text(errors="replace")[-1000:]
            msg = f"{command[0]} did not start: {said}"
            raise Unavailable(msg)
        yield process.pid
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.terminate()
            with anyio.move_on_after(STOPPING):
                await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
