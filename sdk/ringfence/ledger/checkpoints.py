"""Moves what was committed from SQLite's log into its file, so that no commit waits for that."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from threading import Event, Thread

__all__ = ["Checkpoints"]

PAUSE = 1.0
"""Seconds from one to the next: each writes a page once, however often it was changed."""


class Checkpoints:
    """A thread that does so while there are commits, and rests while there are none.

    What it cannot move, for a full disk or a reader who still needs the log, it moves later.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._committed = Event()
        self._closing = Event()
        self._thread = Thread(target=self._run, name="checkpoints", daemon=True)
        self._thread.start()

    def due(self) -> None:
        """Tell that something was committed."""
        self._committed.set()

    def close(self) -> None:
        """Return when the file is not touched any more; blocking."""
        self._closing.set()
        self._committed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._committed.wait()
            self._committed.clear()
            self._move()
            self._closing.wait(PAUSE)

    def _move(self) -> None:
        with suppress(sqlite3.Error), closing(sqlite3.connect(self._path)) as db:
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")
