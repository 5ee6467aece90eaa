"""The lines that were not taken, in a sheet of their own: to be put right and imported in turn."""

import csv
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import msgspec

from ringfence.sheet import Record

__all__ = ["Reject", "Rejects"]


class Reject(msgspec.Struct, frozen=True):
    """A record that was not taken."""

    record: Record
    why: str
    """In words that all such records share."""
    reason: str
    """With the value."""


class Rejects:
    """A file that comes into being with the first reject; what was at its path is replaced."""

    def __init__(self, path: Path, *, header: Sequence[str], delimiter: str) -> None:
        self.path = path
        self._header = header
        self._delimiter = delimiter
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, rejects: Sequence[Reject]) -> None:
        """Write them; blocking. Raises `OSError`."""
        if not rejects:
            return
        header = []
        if self._file is None:
            # With the mark that tells Excel it is UTF-8.
            self._file = self.path.open("w", encoding="utf-8-sig", newline="")
            self.path.chmod(0o600)  # telephone numbers
            header = [["line", "reason", *self._header]]
        rows = ([str(r.record.line), r.reason, *r.record.fields] for r in rejects)
        csv.writer(self._file, delimiter=self._delimiter).writerows([*header, *rows])
