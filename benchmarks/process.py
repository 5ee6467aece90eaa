"""A process of its own that does what it is told: JSON lines in, JSON lines out.

The one side is `obey`, in a module that is run by name; the other is `started`. Instants may be
compared between them: `perf_counter_ns` counts alike in all processes of a Linux machine.
"""

import asyncio
import ctypes
import gc
import os
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.abc
import msgspec
from anyio.streams.buffered import BufferedByteReceiveStream

__all__ = ["Commands", "Other", "ProcessError", "obey", "resident", "settled", "started"]

ROOT = Path(__file__).resolve().parent.parent
MAX_LINE = 64 << 20
STOPPING = 10.0

T = TypeVar("T")

Commands = Mapping[str, Callable[..., Awaitable[object]]]


class ProcessError(Exception):
    """The other process failed; says what it printed."""


class _Order(msgspec.Struct, frozen=True):
    what: str
    how: dict[str, object] = {}


class _Answer(msgspec.Struct, frozen=True):
    value: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""


class Other:
    """A process that was started, as the one that started it sees it."""

    def __init__(self, process: anyio.abc.Process) -> None:
        self.pid = process.pid
        self._process = process
        if process.stdout is None or process.stdin is None:
            msg = "a process without pipes cannot be told anything"
            raise ProcessError(msg)
        self._orders = process.stdin
        self._answers = BufferedByteReceiveStream(process.stdout)

    async def tell(self, what: str, kind: type[T], **how: object) -> T:
        """Have a command done, and give its answer. Raises `ProcessError`."""
        await self._orders.send(msgspec.json.encode(_Order(what, how)) + b"\n")
        try:
            line = await self._answers.receive_until(b"\n", MAX_LINE)
        except (anyio.IncompleteRead, anyio.EndOfStream) as error:
            msg = f"process {self.pid} ended while it did {what}; its last words are above"
            raise ProcessError(msg) from error
        answer = msgspec.json.decode(line, type=_Answer)
        if answer.error:
            raise ProcessError(answer.error)
        return msgspec.json.decode(answer.value, type=kind)

    async def stop(self) -> None:
        """End it: it is told by the end of its orders, and killed if it does not."""
        await self._orders.aclose()
        with anyio.move_on_after(STOPPING, shield=True):
            await self._process.wait()
            return
        self._process.kill()


@asynccontextmanager
async def started(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Other]:
    """Run *module* in a process of its own until the block ends."""
    process = await anyio.open_process(
        [sys.executable, "-m", module, *arguments],
        stderr=None,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
    )
    other = Other(process)
    try:
        yield other
    finally:
        with anyio.CancelScope(shield=True), suppress(anyio.BrokenResourceError):
            await other.stop()


async def obey(commands: Commands) -> None:
    """Carry out orders from standard input, one after the other, until it ends."""
    reader = asyncio.StreamReader(limit=MAX_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        order = msgspec.json.decode(line, type=_Order)
        try:
            value = msgspec.Raw(msgspec.json.encode(await commands[order.what](**order.how)))
            answer = _Answer(value)
        except Exception:  # noqa: BLE001 - it is told, and ends the benchmark there
            answer = _Answer(error=traceback.format_exc())
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()


def settled() -> int:
    """Give back what is not used, and say how many bytes of memory this process then has."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return resident()


def resident(pid: int | None = None) -> int:
    """Give the bytes of memory a process has; mapped files count."""
    path = Path(f"/proc/{pid or os.getpid()}/statm")
    return int(path.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
