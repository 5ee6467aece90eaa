"""Where a replica's tables are kept: in memory, or in files that the next start finds again."""

from pathlib import Path

from ringfence.table import Table, TableError

__all__ = ["DiskShelf", "MemoryShelf"]


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

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = folder / "ground.table", folder / "restraint.table"

    def found(self) -> tuple[Table, Table] | None:
        """Give the tables kept last; None if there are none that belong together."""
        opened: list[Table] = []
        for path in self._paths:
            if not path.exists():
                break
            try:
                opened.append(Table.open(path))
            except TableError:
                break  # cut or of another version: the ledger gives the rows again
        if len(opened) == 2 and opened[0].epoch == opened[1].epoch:
            ground, restraint = opened
            ground.seq = restraint.seq = min(ground.seq, restraint.seq)
            return ground, restraint
        for table in opened:
            table.close()
        return None

    def new(self, epoch: int, grounds: int, restraints: int) -> tuple[Table, Table]:
        """Make files for them beside those kept. Raises `TableError` where there is no space."""
        paths = [path.with_name(f"loading-{path.name}") for path in self._paths]
        ground = Table.create(paths[0], rows=grounds)
        try:
            restraint = Table.create(paths[1], rows=restraints)
        except TableError:
            ground.close()
            raise
        ground.epoch = restraint.epoch = epoch
        return ground, restraint

    def keep(self, ground: Table, restraint: Table) -> None:
        """Put loaded tables in place of those kept before."""
        for table, path in zip((ground, restraint), self._paths, strict=True):
            table.move(path)
