"""A bare `dict.get`: what nothing in Python can be faster than."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.peers import Opened, Peer

__all__ = ["PEERS"]


@asynccontextmanager
async def opened(_folder: Path, numbers: list[str]) -> AsyncIterator[Opened]:
    held = dict.fromkeys(numbers, True)
    get: Callable[[str], bool | None] = held.get
    yield Opened(ask=get)
    held.clear()


PEERS = (
    Peer("dict.get", "The limit: number to True, in this process, nothing else asked.", opened),
)
