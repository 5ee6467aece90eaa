"""The decisions of a campaign and period as a sheet: CSV, or Parquet.

What the columns are, `columns` says. CSV is UTF-8 with a header; instants are ISO 8601 in UTC,
flags `true` and `false`, and what is not known is empty.

Some cells hold what a dialer wrote, and spreadsheets run what looks like a formula. Therefore a
text that begins with `=`, `+`, `-`, `@`, a tab or a line break gets an apostrophe before it, unless
it is a telephone number or the first digits of one. Parquet holds every text as it is.
"""

import csv
import importlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Protocol, Self
from zoneinfo import ZoneInfo

import msgspec

from ringfence.evidence.columns import COLUMNS, Cell, Columns, Kind
from ringfence.evidence.record import AnyRecord, Configured, Decided, EvidenceError, Place

__all__ = ["FORMATS", "Wanted", "export"]

FORMATS = (".csv", ".parquet")

BATCH = 16_384
"""Rows held in memory at once."""

_LEGAL_TIME = ZoneInfo("Europe/Paris")


class Wanted(msgspec.Struct, frozen=True):
    """The decisions asked for: all of a campaign from one day to another, both included.

    Days are those of legal time in metropolitan France.
    """

    campaign: str
    first: date
    last: date

    def bounds(self) -> tuple[float, float]:
        """Give the first instant that is asked for, and the first one after."""
        after = date.fromordinal(self.last.toordinal() + 1)
        return _midnight(self.first), _midnight(after)


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=_LEGAL_TIME).timestamp()


def export(
    records: Iterable[tuple[Place, AnyRecord]],
    wanted: Wanted,
    path: Path,
    *,
    told: Callable[[Place, int], None] = lambda _place, _rows: None,
) -> int:
    """Write the decisions asked for to *path*, whose extension is the format; give their number.

    The file is there when it is whole. Raises `EvidenceError` for an extension that is not one of
    `FORMATS` and for Parquet without pyarrow, both before a record is read; `OSError`; and what
    *records* raises.
    """
    make = _writer(path)
    part = path.with_name(f"{path.name}.part")
    count = 0
    try:
        with make(part) as sheet:
            rows = _rows(records, wanted, told)
            while batch := list(islice(rows, BATCH)):
                sheet.write(batch)
                count += len(batch)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return count


def _rows(
    records: Iterable[tuple[Place, AnyRecord]],
    wanted: Wanted,
    told: Callable[[Place, int], None],
) -> Iterator[tuple[Cell, ...]]:
    columns, count = Columns(), 0
    first, after = wanted.bounds()
    for place, record in records:
        if isinstance(record, Configured):
            columns.learn(record)
        elif (
            isinstance(record, Decided)
            and record.campaign == wanted.campaign
            and first <= record.at < after
        ):
            count += 1
            yield columns.row(place, record)
        if place.number % BATCH == 0:
            told(place, count)


# --- the formats ----------------------------------------------------------------------------------


class _Sheet(Protocol):
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def write(self, rows: list[tuple[Cell, ...]]) -> None: ...


def _writer(path: Path) -> Callable[[Path], _Sheet]:
    match path.suffix.lower():
        case ".csv":
            return _Csv
        case ".parquet":
            return _parquet()
    msg = f"{path} ends in {path.suffix or 'nothing'!r}: give one of {', '.join(FORMATS)}"
    raise EvidenceError(msg)


class _Csv:
    def __init__(self, path: Path) -> None:
        # A decision names a person by pseudonym, which is personal data: the owner's eyes alone.
        self._file = os.fdopen(_private(path), "w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file)

    def __enter__(self) -> Self:
        self._rows.writerow(COLUMNS)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, rows: list[tuple[Cell, ...]]) -> None:
        self._rows.writerows(map(_written, row) for row in rows)


def _private(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)


def _written(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case str():
            return f"'{cell}" if cell.startswith(_FORMULA) and not _NUMBER.fullmatch(cell) else cell
        case bool():
            return "true" if cell else "false"
        case datetime():
            return cell.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return cell.isoformat()
    return str(cell)


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER = re.compile(r"\+[0-9]+…?")


def _parquet() -> Callable[[Path], _Sheet]:
    try:
        arrow = importlib.import_module("pyarrow")
        files = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        msg = "Parquet needs pyarrow: pip install 'ringfence[parquet]', or write .csv"
        raise EvidenceError(msg) from error
    return lambda path: _Parquet(path, arrow, files)


class _Parquet:
    def __init__(self, path: Path, arrow: ModuleType, files: ModuleType) -> None:
        kinds = {
            Kind.TEXT: arrow.string(),
            Kind.INSTANT: arrow.timestamp("us", tz="UTC"),
            Kind.DAY: arrow.date32(),
            Kind.FLAG: arrow.bool_(),
            Kind.COUNT: arrow.int64(),
            Kind.SECONDS: arrow.float64(),
        }
        self._arrow = arrow
        self._schema = arrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
        os.close(_private(path))
        self._file = files.ParquetWriter(path, self._schema, compression="zstd")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, rows: list[tuple[Cell, ...]]) -> None:
        columns = [
            self._arrow.array(cells, type=field.type)
            for cells, field in zip(zip(*rows, strict=True), self._schema, strict=True)
        ]
        self._file.write_batch(self._arrow.record_batch(columns, schema=self._schema))
