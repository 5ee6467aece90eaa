"""Topics and messages between ledger and gates; bytes to values and back.

Topics are `ringfence/1/<principal>/<what>`; the 1 is the version of all that follows. Messages are
msgpack arrays; what publishers send to `in` may be JSON too. Rows travel as raw bytes.
"""

import zlib
from collections.abc import Hashable, Iterable
from datetime import datetime
from functools import lru_cache
from typing import Annotated, TypeVar, cast

import msgspec
import numpy as np
from msgspec import Meta

from ringfence.campaign import Campaign, Text
from ringfence.event import AnyEvent
from ringfence.row import FORMAT, GROUND, ROW

__all__ = [
    "MAX_MESSAGE",
    "MAX_RANGE",
    "MAX_SHARDS",
    "Ask",
    "ChainHead",
    "Config",
    "Exhausted",
    "Gone",
    "Head",
    "Known",
    "Log",
    "Presence",
    "Range",
    "Rejected",
    "Reply",
    "Report",
    "Snapshot",
    "Topic",
    "WireError",
    "Witnessed",
    "decode",
    "decode_reply",
    "encode",
    "encode_report",
    "event_id",
    "pack",
    "read_event",
    "read_report",
    "unpack",
    "whole_rows",
]

MAX_MESSAGE = 96 * 1024
"""What every broker measured carries, cloud brokers included."""

MAX_ROWS = 4 * MAX_MESSAGE
"""Bytes of rows that one part of a snapshot may unpack to."""

MAX_SHARDS = 1 << 14
"""So that the missing ones can be named in one question."""

MAX_TABLE = 1 << 28
"""Rows of one kind: several for each number in France. A gate makes room for them at once."""

MAX_RANGE = 64
"""Batches told again in one answer; who has got them all asks for what follows."""

MAX_REPORT = 4096
"""Events in one report: each may have to be answered with a message of its own."""

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""What SQLite can count, and one more can still be written as msgpack."""

Digest = Annotated[int, Meta(ge=0)]

Instant = Annotated[datetime, Meta(tz=True)]

Name = Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,48}\Z")]
"""What can be a level of a topic."""

Chain = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
"""Names a gate's chain of evidence."""

Place = Annotated[int, Meta(ge=1, le=2**63 - 1)]
"""Number of a record in its chain."""

Sender = Annotated[str, Meta(pattern=r"^[a-z0-9_-]{0,48}\Z")]

PREFIX = f"ringfence/{FORMAT}"


class WireError(ValueError):
    """A message that is not of the protocol; says what it was and why."""


class Topic(msgspec.Struct, frozen=True):
    """A principal's topic: `head`, `log`, `snapshot`, `config`, `in`, `ask`, `chain`, `reply/…`."""

    principal: str
    what: str
    gate: str = ""

    def __str__(self) -> str:
        tail = f"/{self.gate}" if self.gate else ""
        return f"{PREFIX}/{self.principal}/{self.what}{tail}"

    @classmethod
    def parse(cls, text: str) -> "Topic":
        match text.split("/"):
            case ["ringfence", "1", principal, what]:
                return cls(principal, what)
            case ["ringfence", "1", principal, "reply" | "gate" as what, gate]:
                return cls(principal, what, gate)
        msg = f"no topic of this protocol: {text!r}"
        raise WireError(msg)


class Head(msgspec.Struct, frozen=True, array_like=True):
    """The ledger's heartbeat: where its log stands, and what the tables at that point sum up to."""

    epoch: Count
    seq: Count
    at: Instant
    ground_digest: Digest
    restraint_digest: Digest
    ground_rows: Count
    restraint_rows: Count
    shards: Count
    config: Count
    """Version of the configuration."""

    def __post_init__(self) -> None:
        if not 0 < self.shards <= MAX_SHARDS or self.shards & (self.shards - 1):
            msg = f"the number of shards is a power of two up to {MAX_SHARDS}, not {self.shards}"
            raise ValueError(msg)
        if max(self.ground_rows, self.restraint_rows) > MAX_TABLE:
            rows = f"{self.ground_rows} and {self.restraint_rows}"
            msg = f"a table has up to {MAX_TABLE} rows, not {rows}"
            raise ValueError(msg)


class Log(msgspec.Struct, frozen=True, array_like=True):
    """A batch of changes: the rows as they are after change *last*."""

    epoch: Count
    first: Count
    last: Count
    ground: bytes
    restraint: bytes
    ids: list[str]
    """Ids of the events it confirms."""

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.last:
            msg = f"no batch of changes goes from {self.first} to {self.last}"
            raise ValueError(msg)


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """A part of the rows of one shard as they were after change *seq*, compressed."""

    epoch: Count
    seq: Count
    shard: Count
    shards: Count
    part: Count
    parts: Count
    ground: bytes
    restraint: bytes


class Config(msgspec.Struct, frozen=True, array_like=True):
    """A principal's campaigns and registry of consent texts."""

    epoch: Count
    version: Count
    campaigns: dict[str, Campaign]
    texts: dict[str, Text]
    index: dict[str, int]
    """Index of each text in the rows; an index is given once and for ever."""


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """A gate asks for one thing: a range of the log, the configuration, a head, or shards.

    It is a range if *first* is not 0; it is all shards if none are named. Who asks for a head sets
    *config* too: ledgers that do not know that question yet do nothing about it then.
    """

    gate: Name
    epoch: Count
    first: Count = 0
    last: Count = 0
    shards: list[Count] = []
    config: bool = False
    head: bool = False


class ChainHead(msgspec.Struct, frozen=True, array_like=True):
    """A gate tells the newest record of its chain of evidence, for the ledger to hold against it.

    It should be of a record that a power cut cannot take back: what is told twice with two links
    looks like a rewriting.
    """

    gate: Name
    chain: Chain
    number: Place
    link: Annotated[bytes, Meta(min_length=32, max_length=32)]
    at: Instant


class Rejected(msgspec.Struct, frozen=True, array_like=True, tag="rejected"):
    """An event that the ledger does not take, and why."""

    id: str
    reason: str


class Known(msgspec.Struct, frozen=True, array_like=True, tag="known"):
    """Events that the ledger holds already; change *seq* and what follows reflects them."""

    epoch: Count
    seq: Count
    ids: list[str]


class Gone(msgspec.Struct, frozen=True, array_like=True, tag="gone"):
    """The log no longer reaches back that far: ask for shards."""

    epoch: Count
    first: Count


class Range(msgspec.Struct, frozen=True, array_like=True, tag="range"):
    """A batch of the log, told again to one gate."""

    log: Log


class Witnessed(msgspec.Struct, frozen=True, array_like=True, tag="witnessed"):
    """The ledger holds this head of the gate's chain."""

    chain: Chain
    number: Place


class Exhausted(msgspec.Struct, frozen=True, array_like=True, tag="exhausted"):
    """An attempt that the ledger does not take because of its cap: there are enough already.

    Told again later, when one of those was given back, it may be taken.
    """

    id: str
    restraint: Annotated[bytes, Meta(min_length=ROW, max_length=ROW)]
    """All that the ledger knows of the person, number and consumer together, as a row."""


Reply = Rejected | Known | Gone | Range | Witnessed | Exhausted


class Presence(msgspec.Struct, frozen=True, array_like=True):
    """A gate's sign of life; the last will has `online` false."""

    online: bool
    version: str
    boot: str
    epoch: int = 0
    seq: int = 0
    age: float | None = None


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Events for the ledger. *sender* names the reply topic on which a rejection is told."""

    events: list[msgspec.Raw]
    sender: Sender = ""


M = TypeVar("M")

_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
"""What msgspec raises: also for text that is not UTF-8, and for what is nested too deep."""

_encoder = msgspec.msgpack.Encoder()


def encode(message: object) -> bytes:
    return _encoder.encode(message)


@lru_cache(maxsize=32)
def _decoder(kind: object) -> msgspec.msgpack.Decoder[object]:
    return msgspec.msgpack.Decoder(kind)


def decode(payload: bytes, kind: type[M]) -> M:
    """Read a message of one kind. Raises `WireError`, which says what is wrong and where."""
    try:
        message = _decoder(cast("Hashable", kind)).decode(payload)
    except _UNREADABLE as error:
        msg = f"not a {getattr(kind, '__name__', 'reply')}: {error}"
        raise WireError(msg) from error
    return cast("M", message)  # the decoder of a kind gives that kind


def decode_reply(payload: bytes) -> Reply:
    """Read what the ledger tells one gate. Raises `WireError`."""
    return decode(payload, Reply)  # type: ignore[arg-type]  # a union is no type to mypy


def pack(rows: bytes) -> bytes:
    """Compress rows for a snapshot."""
    return zlib.compress(rows, 1)


def unpack(packed: bytes) -> bytes:
    """Give the rows of a snapshot's part. Raises `WireError` for what is no whole rows."""
    decompressor = zlib.decompressobj()
    try:
        rows = decompressor.decompress(packed, MAX_ROWS)
    except zlib.error as error:
        msg = f"rows of a snapshot: {error}"
        raise WireError(msg) from error
    if decompressor.unconsumed_tail or not decompressor.eof:
        msg = f"rows of a snapshot: more than {MAX_ROWS} bytes, or cut"
        raise WireError(msg)
    return whole_rows(rows)


def whole_rows(rows: bytes) -> bytes:
    """Raises `WireError` unless *rows* is a whole number of rows, none with the key 0."""
    if len(rows) % ROW:
        msg = f"{len(rows)} bytes are no whole number of rows"
        raise WireError(msg)
    if rows and not np.frombuffer(rows, GROUND)["key"].all():
        msg = "a row without a key"
        raise WireError(msg)
    return rows


# --- what publishers send -------------------------------------------------------------------------

_JSON_BEGINS = frozenset(b"{[ \t\r\n")
# JSON numbers above 2**53 do not survive every publisher's language: keys may come as strings.
_json_event: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent, strict=False)
_event: msgspec.msgpack.Decoder[AnyEvent] = msgspec.msgpack.Decoder(AnyEvent)
_json_report = msgspec.json.Decoder(Report | list[msgspec.Raw])
_report = msgspec.msgpack.Decoder(Report | list[msgspec.Raw])


def encode_report(sender: str, events: Iterable[bytes]) -> bytes:
    """Write a report of events that are encoded already."""
    return _encoder.encode(Report([msgspec.Raw(event) for event in events], sender))


def read_report(payload: bytes) -> tuple[str, list[bytes], bool]:
    """Give sender, events still encoded, and whether they are JSON.

    A report is `{"sender": …, "events": […]}`, a bare list of events, or one event. Raises
    `WireError` for what is neither JSON nor msgpack of that form.
    """
    json = bool(payload) and payload[0] in _JSON_BEGINS
    try:
        read = _json_report.decode(payload) if json else _report.decode(payload)
    except msgspec.ValidationError as error:
        if not _shape(payload, json=json).events:
            return "", [payload], json  # one event, or nothing readable: its reading will tell
        msg = f"not a report: {error}"
        raise WireError(msg) from error
    except _UNREADABLE as error:
        msg = f"not a report: {error}"
        raise WireError(msg) from error
    sender, events = (read.sender, read.events) if isinstance(read, Report) else ("", read)
    if len(events) > MAX_REPORT:
        msg = f"a report has up to {MAX_REPORT} events, not {len(events)}: send several"
        raise WireError(msg)
    return sender, [bytes(raw) for raw in events], json


def read_event(data: bytes, *, json: bool = False) -> AnyEvent:
    """Read one event. Raises `WireError`, which names field and value."""
    try:
        return _json_event.decode(data) if json else _event.decode(data)
    except _UNREADABLE as error:
        msg = f"not an event: {error}"
        raise WireError(msg) from error


def event_id(data: bytes, *, json: bool = False) -> str:
    """Give the id of what may be no event, for its rejection; empty if it has none."""
    return _shape(data, json=json).id


class _Shape(msgspec.Struct):
    """The fields that tell what something was meant to be."""

    id: str = ""
    events: msgspec.Raw = msgspec.Raw()


def _shape(data: bytes, *, json: bool) -> _Shape:
    decode_as = msgspec.json.decode if json else msgspec.msgpack.decode
    try:
        return decode_as(data, type=_Shape)
    except _UNREADABLE:
        return _Shape()
