"""A CSV file as business software exports it: bytes to records, with the lines they came from.

A record is known in both ways, as fields and as it is written, so that it can be written again.
What the columns mean is not known here. The file is read twice, and never held in memory: once to
find out its encoding, once for its records.
"""

import codecs
import csv
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, TextIOWrapper
from pathlib import Path

import msgspec

__all__ = ["Record", "Sheet", "SheetError", "open_sheet"]

DELIMITERS = ";,\t"
"""In the order of preference: in France the comma is for decimals."""

MAX_RECORD = 64 * 1024
"""Characters of one record: a quote that is never closed does not swallow the file."""

_CHUNK = 1 << 20


class SheetError(Exception):
    """The file cannot be read as a sheet; says why."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record and the line it begins on."""

    line: int
    fields: list[str]
    text: str
    """As it is written, with the end of the line."""
    fault: str = ""
    """Why the line could not be taken apart; then the whole of it is the only field."""


class Sheet:
    """An open file: its header, and once its records; made by `open_sheet`."""

    def __init__(self, path: Path, file: BufferedReader, size: int, errors: str) -> None:
        self.path = path
        self.size = size
        self.encoding = _encoding(file)
        """In which the same text can be written, mark and all."""
        self.above = ""
        """Empty lines before the header."""
        file.seek(0)
        self._file = file
        self._text = TextIOWrapper(file, self.encoding, errors=errors, newline="")
        self._line = 0
        self._held: list[str] = []
        self._again: deque[str] = deque()
        self.delimiter = self._guess_delimiter()
        header = next(self.records(), None)
        if header is None or header.fault:
            why = "it is empty" if header is None else f"line {header.line}: {header.fault}"
            msg = f"{path} has no header: {why}"
            raise SheetError(msg)
        self.header = header.fields
        self.header_text = header.text

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._file.tell()

    def records(self, *, empty: bool = False) -> Iterator[Record]:
        """Give the records that say something; with *empty* the others too.

        Where quotes do not match, only the first line of what they hold together is at fault: the
        lines behind it are read again for themselves.
        """
        reader = self._reader()
        while True:
            self._held.clear()
            line = self._line + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                first, *rest = self._held
                self._again.extendleft(reversed(rest))
                self._line -= len(rest)
                reader = self._reader()
                yield Record(line, [first.rstrip("\r\n")], first, str(error))
            else:
                if empty or any(fields):
                    yield Record(line, fields, "".join(self._held))

    def _reader(self) -> Iterator[list[str]]:
        # Strict: a quote in the wrong place is an error, and not part of a field.
        return csv.reader(self._lines(), delimiter=self.delimiter, strict=True)

    def _lines(self) -> Iterator[str]:
        """Give the lines, and hold those of the record that is being read."""
        size = 0
        while line := self._again.popleft() if self._again else self._text.readline(MAX_RECORD):
            self._line += 1
            self._held.append(line)
            size = size + len(line) if len(self._held) > 1 else len(line)
            if size >= MAX_RECORD:
                self._skip_rest_of(line)
                msg = f"more than {MAX_RECORD} characters: is a quote not closed?"
                raise csv.Error(msg)
            yield line

    def _skip_rest_of(self, line: str) -> None:
        while line and not line.endswith(("\n", "\r")):
            line = self._text.readline(MAX_RECORD)

    def _guess_delimiter(self) -> str:
        """Give the one that finds most columns in the first line that says something."""
        line = self._text.readline(MAX_RECORD)
        while line and not line.strip():
            self.above += line
            self._line += 1
            line = self._text.readline(MAX_RECORD)
        if line:
            self._again.append(line)
        return max(DELIMITERS, key=lambda d: len(next(csv.reader([line], delimiter=d), [])))


@contextmanager
def open_sheet(path: Path, *, errors: str = "replace") -> Iterator[Sheet]:
    """Open a CSV file. Raises `SheetError` if it cannot be read, or has no header.

    *errors* is what becomes of a byte that Windows-1252 has no letter for, as in `open`.
    """
    if path.exists() and not path.is_file():
        msg = f"{path} is no regular file: it is read twice, so store it in one"
        raise SheetError(msg)
    try:
        file = path.open("rb")
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise SheetError(msg) from error
    with file:
        yield Sheet(path, file, path.stat().st_size, errors)


def _encoding(file: BufferedReader) -> str:
    """Tell UTF-8 from the Windows code page of Western Europe; only all of a file tells."""
    start = file.read(_CHUNK)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"  # what Excel calls Unicode text
    decoder = codecs.getincrementaldecoder("utf-8")()
    chunk = start
    try:
        while chunk:
            decoder.decode(chunk)
            chunk = file.read(_CHUNK)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig" if start.startswith(codecs.BOM_UTF8) else "utf-8"
