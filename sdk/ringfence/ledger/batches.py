"""The lines of a sheet in batches: what is to be stored, and what is put aside.

A batch can be told to another process: see `reader`.
"""

from collections.abc import Iterator, Mapping
from itertools import islice

import msgspec

from ringfence.ledger.entry import Entries, Entry
from ringfence.ledger.form import BadLine, Form, Read
from ringfence.ledger.rejects import Reject
from ringfence.sheet import Record, Sheet

__all__ = ["Batch", "batches"]

_Written = tuple[int, list[str]]
"""A record's line and fields."""

_BYTES = 32 << 20
"""What is read of a sheet for one batch, or little more: so much is held a few times over."""
_LOOK = 1024
"""Lines after which one looks how many bytes they were."""

_encode = msgspec.msgpack.Encoder().encode
_written = msgspec.msgpack.Decoder(list[_Written])


class Batch(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Lines that follow each other in a sheet."""

    entries: Entries
    """In the order of their ids, in which they are stored soonest."""
    order: list[int]
    """Which record each entry is made of."""
    written: bytes
    """The records, encoded: hardly one is asked for again."""
    rejects: list[Reject]
    undated: list[tuple[int, str]]
    purposes: list[str]
    """Those that the lines so far speak of."""
    position: int
    """Bytes of the sheet read so far."""

    def turned_away(self, reasons: Mapping[str, str]) -> Iterator[Reject]:
        """Give the rejects for entries that the ledger did not take, by id."""
        if not reasons:
            return
        records = _written.decode(self.written)
        for name, place in zip(self.entries.ids, self.order, strict=True):
            if name in reasons:
                record = Record(*records[place], "")
                yield Reject(record, "turned away by the ledger", reasons[name])


def batches(sheet: Sheet, form: Form, size: int) -> Iterator[Batch]:
    """Read all of a sheet, *size* lines a batch, or fewer long ones; blocking. Raises `OSError`."""
    records = sheet.records()
    while some := _next(records, sheet, size):
        yield _batch(some, form, sheet)


def _next(records: Iterator[Record], sheet: Sheet, size: int) -> list[Record]:
    some: list[Record] = []
    most = sheet.position + _BYTES
    while sheet.position <= most and (more := [*islice(records, min(_LOOK, size - len(some)))]):
        some += more
    return some


def _batch(records: list[Record], form: Form, sheet: Sheet) -> Batch:
    entries: list[Entry] = []
    written: list[_Written] = []
    rejects: list[Reject] = []
    undated: list[tuple[int, str]] = []
    for record in records:
        try:
            line = _read(record, form)
        except BadLine as error:
            rejects.append(Reject(record, error.why, str(error)))
            continue
        entries.append(line.entry)
        written.append((record.line, record.fields))
        if line.undated:
            undated.append((record.line, line.undated))
    ids = [entry.id for entry in entries]
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return Batch(
        Entries.of([entries[place] for place in order]),
        order,
        _encode(written),
        rejects,
        undated,
        sorted(form.purposes),
        sheet.position,
    )


def _read(record: Record, form: Form) -> Read:
    if record.fault:
        raise BadLine(record.fault)
    return form.read(record.fields)
