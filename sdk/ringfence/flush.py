"""Waiting for the disk together: one fsync serves all who asked while the last one ran."""

from collections.abc import Callable

import anyio
import anyio.to_thread

__all__ = ["Flush", "Turn"]


class Turn:
    """One fsync that is to come."""

    def __init__(self) -> None:
        self._over = anyio.Event()
        self._error: Exception | None = None

    async def wait(self) -> None:
        """Wait until what was written before is on the disk; raise what says that it is not."""
        await self._over.wait()
        if self._error is not None:
            raise self._error

    def end(self, error: Exception | None) -> None:
        self._error = error
        self._over.set()


class Flush:
    """The fsyncs of one file. *sync* waits for the disk, and raises *failure* if that fails."""

    def __init__(self, sync: Callable[[], None], failure: type[Exception]) -> None:
        self._sync = sync
        self._failure = failure
        self.begin()

    def begin(self) -> None:
        """Make it ready to `run` in the event loop that is about to use it."""
        self._wanted = anyio.Event()
        self._turn = Turn()
        # A thread of its own: those of the default limiter may all wait for the answer to a call.
        self._thread = anyio.CapacityLimiter(1)

    def ask(self) -> Turn:
        """Give the next fsync to begin. Ask of several files, then wait for each in turn."""
        self._wanted.set()
        return self._turn

    async def run(self) -> None:
        """Run beside whoever asks, until cancelled; then who still waits is told that it failed."""
        try:
            while True:
                await self._wanted.wait()
                self._wanted = anyio.Event()
                await self._serve()
        finally:
            self._turn.end(self._failure("closed before it was brought to the disk"))

    async def _serve(self) -> None:
        turn, self._turn = self._turn, Turn()
        error: Exception | None = self._failure("closed while it was brought to the disk")
        try:
            await anyio.to_thread.run_sync(self._sync, limiter=self._thread)
            error = None
        except self._failure as failed:
            error = failed
        finally:
            turn.end(error)
