"""LMDB: a B-tree in a mapped file, read in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import lmdb

from benchmarks.peers import Opened, Peer

__all__ = ["PEERS"]

SIZE = 4 << 30


@asynccontextmanager
async def opened(folder: Path, numbers: list[str]) -> AsyncIterator[Opened]:
    with (
        lmdb.open(str(folder), map_size=SIZE, sync=False) as filling,
        filling.begin(write=True) as put,
    ):
        for number in sorted(numbers):
            put.put(number.encode(), b"1", append=True)
    weight = (folder / "data.mdb").stat().st_size
    with lmdb.open(str(folder), readonly=True, lock=False, readahead=False) as held:
        get = held.begin(buffers=True).get

        def ask(number: str) -> bool:
            return get(number.encode()) is not None

        yield Opened(ask=ask, memory=weight)


PEERS = (
    Peer(
        "LMDB",
        "py-lmdb, a file opened read-only without locks or read-ahead, keys put in order, one"
        " read transaction kept open, values not copied. Is the number there? Memory is the size of"
        " the file.",
        opened,
    ),
)
