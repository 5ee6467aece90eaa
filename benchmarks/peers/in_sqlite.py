"""SQLite in memory."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from benchmarks.peers import Opened, Peer

__all__ = ["PEERS"]

SIZES = ("page_count", "page_size")
QUERY = "SELECT consented FROM number WHERE number = ?"


@asynccontextmanager
async def opened(_folder: Path, numbers: list[str]) -> AsyncIterator[Opened]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as held:
        held.execute("CREATE TABLE number (number INTEGER PRIMARY KEY, consented INTEGER)")
        held.execute("BEGIN")
        rows = ((int(number), 1) for number in sorted(numbers))
        held.executemany("INSERT INTO number VALUES (?, ?)", rows)
        held.execute("COMMIT")
        execute = held.execute

        def ask(number: str) -> bool:
            return execute(QUERY, (int(number),)).fetchone() is not None

        (pages,), (page,) = (held.execute(f"PRAGMA {n}").fetchone() for n in SIZES)
        yield Opened(ask=ask, memory=pages * page)


PEERS = (
    Peer(
        "SQLite in memory",
        "The digits of the number as INTEGER PRIMARY KEY, the statement prepared once (sqlite3"
        " keeps it). Is the number there?",
        opened,
    ),
)
