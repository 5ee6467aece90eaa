"""Where a replica's tables are kept: in memory, or in files that the next start finds again."""

from concurrent.futures import Future
from functools import partial
from pathlib import Path

from ringfence.aside import Aside, at_once
from ringfence.table import Table, TableError

__all__ = ["GROUND", "RESTRAINT", "DiskShelf", "MemoryShelf"]

GROUND, RESTRAINT = "ground.table", "restraint.table"
"""The files of a principal's tables."""


class MemoryShelf:
    """Keeps nothing over a restart."""

    def found(self) -> None:
        return None

    def new(self, epoch: int, grounds: int, restraints: int) -> tuple[Table, Table]:
        tables = Table(grounds), Table(restraints)
        for table in tables:
            table.epoch = epoch
        return tables

    def keep(self, ground: Table, restraint: Table) -> None:
        """Nothing to do: tables that nobody holds are gone."""


class DiskShelf:
    """Keeps a principal's tables as mapped files in a folder of its own.

    What a killed process leaves is never behind the change its files name: rows are written before
    the number of the change. What a power cut leaves may be anything; the ledger's digest tells.
    """

    def __init__(self, folder: Path, aside: Aside = at_once) -> None:
        """*aside* makes files, and lets go of them, where that holds nobody up."""
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = folder / GROUND, folder / RESTRAINT
        self._aside = aside
        self._made: Future[tuple[Table, Table]] | None = None

    def found(self) -> tuple[Table, Table] | None:
        """Give the tables kept last; None if there are none that belong together."""
        opened: list[Table] = []
        for path in self._paths:
            if not path.exists():
                break
            try:
                opened.append(Table.open(path, aside=self._aside))
            except TableError:
                break  # cut or of another version: the ledger gives the rows again
        if len(opened) == 2 and opened[0].epoch == opened[1].epoch:
            ground, restraint = opened
            ground.seq = restraint.seq = min(ground.seq, restraint.seq)
            return ground, restraint
        for table in opened:
            table.close()
        return None

    def new(self, epoch: int, grounds: int, restraints: int) -> tuple[Table, Table] | None:
        """Make files for them beside those kept; None: they are being made, and to be asked for.

        Raises `TableError` where there is no space.
        """
        if self._made is None:
            self._made = self._aside(partial(self._make, grounds, restraints))
        if not self._made.done():
            return None
        made, self._made = self._made, None
        tables = made.result()
        for table in tables:
            table.epoch = epoch
        return tables

    def _make(self, grounds: int, restraints: int) -> tuple[Table, Table]:
        paths = [path.with_name(f"loading-{path.name}") for path in self._paths]
        ground = Table.create(paths[0], rows=grounds, aside=self._aside)
        try:
            restraint = Table.create(paths[1], rows=restraints, aside=self._aside)
        except TableError:
            ground.close()
            raise
        return ground, restraint

    def keep(self, ground: Table, restraint: Table) -> None:
        """Put loaded tables in place of those kept before.

        Raises `TableError` where the disk refuses, and may be tried again then.
        """
        # The restraints first: whoever reads the files meanwhile must not see a ground without the
        # refusal that came after it.
        for table, path in zip((restraint, ground), reversed(self._paths), strict=True):
            table.move(path)
