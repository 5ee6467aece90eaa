"""Redis, on a socket and over TCP."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import redis.asyncio
from redis.exceptions import ConnectionError as NoConnection

from benchmarks.peers import Opened, Peer
from benchmarks.peers.server import executable, free_port, running
from benchmarks.process import resident

__all__ = ["PEERS"]

AT_ONCE = 10_000

Client = Callable[[], redis.asyncio.Redis]


@asynccontextmanager
async def opened(folder: Path, numbers: list[str], *, tcp: bool) -> AsyncIterator[Opened]:
    port = free_port() if tcp else 0
    where = {"host": "127.0.0.1", "port": port} if tcp else {"unix_socket_path": f"{folder}/socket"}
    connect = partial(redis.asyncio.Redis, single_connection_client=True, **where)
    async with _server(folder, port, connect) as pid, connect() as client:
        before = resident(pid)
        for start in range(0, len(numbers), AT_ONCE):
            await client.mset(dict.fromkeys(numbers[start : start + AT_ONCE], "1"))
        get = client.get

        async def ask(number: str) -> bool:
            return await get(number) is not None

        yield Opened(ask_later=ask, memory=resident(pid) - before)


def _server(folder: Path, port: int, connect: Client) -> AbstractAsyncContextManager[int]:
    command = [
        executable("redis-server", "redis-server"),
        *("--bind", "127.0.0.1", "--port", str(port), "--unixsocket", f"{folder}/socket"),
        *("--save", "", "--appendonly", "no", "--dir", str(folder)),
    ]

    async def answers() -> bool:
        try:
            async with connect() as client:
                return bool(await client.ping())
        except (NoConnection, OSError):
            return False

    return running(command, folder, answers)


_HOW = (
    "redis-server without persistence, redis-py for asyncio with hiredis, one connection kept,"
    " {}. GET: is the number there?"
)

PEERS = (
    Peer("Redis, socket", _HOW.format("a Unix socket"), partial(opened, tcp=False)),
    Peer("Redis, TCP", _HOW.format("TCP on loopback"), partial(opened, tcp=True)),
)
