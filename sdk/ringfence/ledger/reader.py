"""Reads a sheet in a second process, so that one core reads while another stores.

The second process is given an errand and gives back batches, and between two of them it waits until
the last was fetched. It ends with the first: whoever fetches nothing more closes the pipe.
"""

import gc
import os
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired
from typing import IO

import msgspec
from anyio import CancelScope, to_thread

from ringfence.columns import ColumnError, find_columns
from ringfence.config import ConfigError, load
from ringfence.ledger.batches import Batch, batches
from ringfence.ledger.columns import names_of
from ringfence.ledger.form import KINDS, BadLine, Form
from ringfence.sheet import Sheet, SheetError, open_sheet

__all__ = ["WORTH", "Errand", "read_batches"]

WORTH = 2 << 20
"""Bytes of a sheet for which a second process is started: of so many it has read half in the time
that it needs to start."""

FAULTS = (BadLine, ColumnError, ConfigError, OSError, SheetError)
"""What keeps a sheet from being read to its end; all but these is a bug."""

_PIPE = 1 << 20
_LENGTH = 8
_MOST = 1 << 30
"""Bytes of a batch; one has a few MiB."""
_PATIENCE = 10.0
"""Seconds for a process that has closed its pipe to end."""


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be read, and how; as the first process was told it, which has found it sound."""

    csv: str
    config: str
    principal: str
    kind: str
    named: dict[str, str]
    given: dict[str, str]
    texts: frozenset[str]
    now: datetime
    size: int
    """Lines of a batch."""

    def batches(self) -> Iterator[Batch]:
        kind = KINDS[self.kind]
        keyring = load(Path(self.config)).keyring(self.principal)
        with open_sheet(Path(self.csv)) as sheet:
            columns = find_columns(
                sheet.header,
                kind.needed,
                names=names_of(self.kind),
                named=self.named,
                given=self.given,
            )
            form = Form(
                kind,
                keyring,
                principal=self.principal,
                columns=columns,
                texts=self.texts,
                now=self.now,
            )
            yield from batches(sheet, form, self.size)


class _End(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """There are no more batches."""

    fault: str = ""
    """Why not, if the sheet has not ended."""


_encode = msgspec.msgpack.Encoder().encode
_told = msgspec.msgpack.Decoder(Batch | _End)
_errand = msgspec.msgpack.Decoder(Errand)


class _ReaderError(Exception):
    """The second process has told less than all; says why."""


async def read_batches(
    sheet: Sheet, form: Form, size: int, errand: Errand | None
) -> AsyncGenerator[Batch, None]:
    """Give a sheet in batches of *size* lines; on an *errand* in a second process, if that pays.

    Where that cannot be had it is read here. Raises `OSError`, and `SheetError` for what befell the
    second process in the middle.
    """
    begun = False
    if errand is not None and sheet.size >= WORTH and len(os.sched_getaffinity(0)) > 1:
        try:
            async with _second(errand) as second:
                while batch := await to_thread.run_sync(second.fetch, abandon_on_cancel=True):
                    begun = True
                    yield batch
        except _ReaderError as error:
            if begun:
                raise SheetError(str(error)) from error
        else:
            return
    here = batches(sheet, form, size)
    while batch := await to_thread.run_sync(next, here, None):
        yield batch


@asynccontextmanager
async def _second(errand: Errand) -> AsyncGenerator["_Second", None]:
    second = await to_thread.run_sync(_Second, errand)
    try:
        yield second
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(second.close)


class _Second:
    """The second process, as the first knows it; blocking. Raises `_ReaderError`."""

    def __init__(self, errand: Errand) -> None:
        self._path = errand.csv
        # `-P`: nothing is imported from the folder in which somebody keeps lists. The group is its
        # own, so that it is the first process alone that a Ctrl-C reaches.
        try:
            self._process = Popen(  # noqa: S603 - this interpreter and this module
                [sys.executable, "-P", "-m", __name__],
                stdin=PIPE,
                stdout=PIPE,
                pipesize=_PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                process_group=0,
            )
        except OSError as error:
            raise _ReaderError(str(error)) from error
        self._to, self._from = _pipes(self._process)
        with suppress(BrokenPipeError):  # `fetch` says why
            self._to.write(_encode(errand))
            self._to.close()

    def fetch(self) -> Batch | None:
        """Give the next batch; None: there is none."""
        try:
            told = _told.decode(self._receive())
        except msgspec.DecodeError as error:
            msg = f"{self._path}: what was told of it is no batch"
            raise _ReaderError(msg) from error
        if isinstance(told, Batch):
            return told
        if told.fault:
            raise _ReaderError(told.fault)
        return None

    def _receive(self) -> bytes:
        length = int.from_bytes(self._from.read(_LENGTH), "little")
        told = self._from.read(length) if length <= _MOST else b""
        if not told or len(told) < length:
            with suppress(TimeoutExpired):
                self._process.wait(_PATIENCE)
            status = self._process.returncode
            msg = f"{self._path}: the process that reads it ended with status {status}"
            raise _ReaderError(msg)
        return told

    def close(self) -> None:
        """End it, wherever it is."""
        self._process.kill()
        self._process.wait()
        self._from.close()


def _pipes(process: Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        msg = "a process without pipes"
        raise ValueError(msg)
    return process.stdin, process.stdout


# --- in the second process ------------------------------------------------------------------------


def main() -> None:
    gc.set_threshold(1_000_000)  # what lines are made of has no cycles
    errand = _errand.decode(sys.stdin.buffer.read())
    with suppress(BrokenPipeError):  # nobody wants more
        try:
            for batch in errand.batches():
                _tell(batch)
        except FAULTS as error:
            _tell(_End(str(error)))
        else:
            _tell(_End())


def _tell(what: Batch | _End) -> None:
    told = _encode(what)
    rest = memoryview(len(told).to_bytes(_LENGTH, "little") + told)
    while rest:
        rest = rest[os.write(sys.stdout.fileno(), rest) :]


if __name__ == "__main__":
    main()
