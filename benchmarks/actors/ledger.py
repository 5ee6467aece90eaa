"""A ledger: the real service on a real store, its tables filled beforehand.

`python -m benchmarks.actors.ledger FOLDER PORT ROWS AHEAD`, told what to do by `process.Other`.
"""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import anyio
import numpy as np

from benchmarks import world
from benchmarks.process import obey, resident
from benchmarks.rig import shifted
from ringfence.ledger.intake import Taken
from ringfence.ledger.sequencer import Sequencer
from ringfence.ledger.service import Ledger
from ringfence.ledger.store import Batch, Store
from ringfence.link import Broker
from ringfence.row import RESTRAINT
from ringfence.table import Table
from ringfence.wire import Log

CHANGED = 200
"""Rows in one batch of a stream of changes: what is committed together at that rate."""


class Herald:
    """The ledger, and changes that it tells without having stored them."""

    def __init__(self, ledger: Ledger, rows: int) -> None:
        self.ledger = ledger
        self._rows = rows

    async def ready(self) -> bool:
        return True

    async def memory(self) -> int:
        return resident()

    async def counts(self) -> int:
        """Give how many events were stored."""
        return self.ledger.counts.taken

    async def change(self, rate: int, seconds: float) -> float:
        """Tell *rate* changed rows a second; give how many a second it came to."""
        logs = self._logs(int(rate * seconds) // CHANGED)
        began = perf_counter()
        for number, log in enumerate(logs):
            ahead = number * CHANGED / rate - (perf_counter() - began)
            if ahead > 0:
                await anyio.sleep(ahead)
            taken = Taken([Batch(world.PRINCIPAL, log, [])], [])
            self.ledger._intake.apply(taken)
            await self.ledger._publish(taken)
        return len(logs) * CHANGED / (perf_counter() - began)

    def _logs(self, count: int) -> list[Log]:
        """Make batches: four rows in five are grounds, one is a restraint, all known before."""
        random, first = np.random.default_rng(7), self._sequencer.seq + 1
        grounds, restraints = self._sources()
        logs = []
        for at in range(first, first + count * CHANGED, CHANGED):
            ground = grounds[random.integers(0, len(grounds), CHANGED * 4 // 5)].copy()
            restraint = restraints[random.integers(0, len(restraints), CHANGED // 5)].copy()
            ground[:, 1] ^= np.uint64(1 << 16)  # the day of the consent
            ids = [f"bench-{at + n:024}" for n in range(CHANGED)]
            last = at + CHANGED - 1
            logs.append(Log(world.EPOCH, at, last, ground.tobytes(), _later(restraint), ids))
        return logs

    def _sources(self) -> tuple[world.Rows, world.Rows]:
        """Give the rows that are changed; the numbers that are asked about are left as they are."""
        asked = len(world.numbers())
        return (
            world.ground_rows(self._rows)[asked // 2 :],
            world.restraint_rows(self._rows // 10)[asked // 20 :],
        )

    @property
    def _sequencer(self) -> Sequencer:
        return self.ledger.sequencers[world.PRINCIPAL]


def _later(rows: world.Rows) -> bytes:
    """Tell of one more attempt."""
    told = np.frombuffer(rows.tobytes(), RESTRAINT).copy()
    told["attempts"][:, 1:] = told["attempts"][:, :-1]
    told["attempts"][:, 0] += 1
    return told.tobytes()


def tables(rows: int) -> tuple[Table, Table]:
    ground, restraint = Table(rows), Table(rows // 10)
    if rows:
        ground.load(world.ground_rows(rows))
        restraint.load(world.restraint_rows(rows // 10))
    for table in (ground, restraint):
        table.epoch, table.seq = world.EPOCH, world.SEQ
    return ground, restraint


async def serve(folder: Path, port: int, rows: int, ahead: float) -> None:
    settings = world.settings(folder, Broker(port=port))
    clock = shifted(ahead)
    with Store(folder / "ledger.sqlite", epoch=world.EPOCH) as store:
        texts = {world.TEXT_NAME: world.TEXT}
        config = store.register(world.PRINCIPAL, {world.NAME: world.CAMPAIGN}, texts)
        ledger = Ledger(
            settings,
            store,
            {world.PRINCIPAL: Sequencer(*tables(rows), config)},
            clock=lambda: datetime.fromtimestamp(clock().utc, UTC),
        )
        herald = Herald(ledger, rows)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ledger.serve)
            await obey(
                {
                    "ready": herald.ready,
                    "memory": herald.memory,
                    "counts": herald.counts,
                    "change": herald.change,
                }
            )
            tasks.cancel_scope.cancel()


if __name__ == "__main__":
    given, *numbers = sys.argv[1:]
    asyncio.run(serve(Path(given), int(numbers[0]), int(numbers[1]), float(numbers[2])))
