"""Brings the statements of a sheet into a ledger, a batch at a time.

A line that cannot be taken stops nothing: it is put aside with its reason. What was taken before,
in this run or another, is known by its id and not taken again.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import anyio
import anyio.to_thread
import msgspec

from ringfence.ledger.batches import Batch
from ringfence.ledger.entry import Entries
from ringfence.ledger.rejects import Rejects

__all__ = ["Importer", "Receipt", "Sink", "SinkError", "Tally"]


class SinkError(Exception):
    """Events did not reach the ledger, and will not; says why."""


class Receipt(msgspec.Struct, frozen=True):
    """What became of events, all of them."""

    stored: int
    known: int
    """Held before, or sent twice."""
    rejected: dict[str, str]
    """Reasons, by id."""
    change: int
    """The latest change among them."""


class Sink(Protocol):
    """A way into a ledger."""

    texts: frozenset[str]
    """Consent texts that the ledger has registered."""
    batch: int
    """As many events as one `send` carries best."""
    lanes: int
    """As many calls of `send` may run at once."""

    async def send(self, entries: Entries) -> Receipt:
        """Return when the ledger holds all entries or has turned them away. Raises `SinkError`."""


class Tally(msgspec.Struct):
    """How far an import is."""

    read: int = 0
    imported: int = 0
    known: int = 0
    whys: Counter[str] = msgspec.field(default_factory=Counter)
    """Rejected lines, by reason."""
    undated: list[tuple[int, str]] = msgspec.field(default_factory=list)
    """Lines that are dated on the day of the import for want of a date that can be read, and
    what is wrong with theirs."""
    purposes: set[str] = msgspec.field(default_factory=set)
    """Those that the lines speak of."""

    @property
    def rejected(self) -> int:
        return self.whys.total()


class Importer:
    """One import of one sheet, read in *batches*.

    *tally* is kept up to date; *told* is called when it was, with the bytes that were settled.
    """

    def __init__(
        self,
        batches: AsyncIterator[Batch],
        sink: Sink,
        rejects: Rejects,
        *,
        tally: Tally,
        told: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._tally = tally
        self._batches = batches
        self._sink = sink
        self._rejects = rejects
        self._told = told
        self._writing = anyio.Lock()

    async def run(self) -> None:
        """Import all of the sheet. Raises `SinkError` and what reading raises, in a group.

        What the tally holds then is in the ledger, or in the file of rejects.
        """
        lanes = anyio.Semaphore(self._sink.lanes)
        async with anyio.create_task_group() as tasks:
            async for batch in self._batches:
                await lanes.acquire()
                tasks.start_soon(self._settle, batch, lanes, name="batch")

    async def _settle(self, batch: Batch, lanes: anyio.Semaphore) -> None:
        receipt = await self._sink.send(batch.entries)
        rejects = [*batch.rejects, *batch.turned_away(receipt.rejected)]
        rejects.sort(key=lambda reject: reject.record.line)
        async with self._writing:
            await anyio.to_thread.run_sync(self._rejects.add, rejects)
        self._tally.read += len(batch.entries) + len(batch.rejects)
        self._tally.imported += receipt.stored
        self._tally.known += receipt.known
        self._tally.undated += batch.undated
        self._tally.purposes.update(batch.purposes)
        self._tally.whys.update(reject.why for reject in rejects)
        self._told(batch.position)
        lanes.release()
