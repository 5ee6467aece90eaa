"""What is kept of a decision, and of what must be known to decide it again; bytes and back.

Records hold keys and never the telephone number of a person. The caller ID is the professional's,
and the law asks which was shown (C. conso. L221-17), so it is kept: whole if the campaign lists it,
else its first characters, which are all that a rule looks at.
"""

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from ringfence.decision import Reason, Verdict
from ringfence.number import TERRITORIES, Territory
from ringfence.row import Facts
from ringfence.wire import Config

__all__ = [
    "AnyRecord",
    "Configured",
    "Decided",
    "Dropped",
    "EvidenceError",
    "Learned",
    "Opened",
    "Place",
    "decode",
    "encode",
    "spell",
    "territories",
]


class EvidenceError(Exception):
    """The evidence cannot be written or read; the text says where, why, and what to do."""


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a record is."""

    chain: str
    gate: str
    segment: int
    number: int


class Opened(msgspec.Struct, frozen=True, array_like=True, tag="opened"):
    """The first record of every segment: whose it is, and what it follows."""

    gate: str
    chain: str
    """Names this chain among all that the gate ever began."""
    segment: int
    """Counts the segments of a chain from 1."""
    previous: bytes
    """Link of the record before; zeros for the first of a chain."""
    at: float
    release: str
    """Version of this software."""


class Configured(msgspec.Struct, frozen=True, array_like=True, tag="configured"):
    """From here on, calls for the principal are decided on this configuration.

    Each segment begins with one for every principal, so that it can be replayed by itself.
    """

    at: float
    principal: str
    config: Config


class Decided(msgspec.Struct, frozen=True, array_like=True, tag="decided", gc=False):
    """One decision, with all that it rests on."""

    at: float
    """Unix seconds at which it was made, to the microsecond."""
    id: str
    """Of the decision; an attempt in the ledger names it as its `call`."""
    call: str
    """The id that the dialer gave the call."""
    reference: str
    """What else the dialer calls it."""
    principal: str
    """Empty where the campaign was not known."""
    campaign: str
    number: int
    """Key of the number; 0 where it could not be read, or whose principal it is not known."""
    purpose: int
    """Key of the number and the campaign's purpose; 0 likewise."""
    consumer: int
    """Key of the consumer's id; 0 if none was given."""
    territories: tuple[str, ...] | None
    """Where the person may be, as `spell` writes it; None: the number was none."""
    caller_id: str | None
    ground: Facts
    """The row of `purpose` as the gate saw it, its own events included."""
    restraints: tuple[Facts, ...]
    """Likewise of `number`, and of `consumer` if there is one."""
    verdict: Verdict
    reason: Reason
    retry_at: int | None
    """Unix seconds."""
    rulebook: str
    epoch: int
    seq: int
    age: float | None
    """Seconds since the ledger last proved that the rows were all it knew."""
    config: int
    """Version of the principal's configuration; 0 where there was none."""


class Learned(msgspec.Struct, frozen=True, array_like=True, tag="learned", gc=False):
    """The gate's tables show changes *first* to *last*, among them somebody's refusal."""

    at: float
    principal: str
    epoch: int
    first: int
    last: int


class Dropped(msgspec.Struct, frozen=True, array_like=True, tag="dropped"):
    """Records were dropped because their time was over; their digests, or this, stand for them."""

    at: float
    retention: int
    """Days."""
    ranges: tuple[tuple[int, int], ...]
    """First and last number of each run of records."""


AnyRecord = Opened | Configured | Decided | Learned | Dropped

_encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[AnyRecord] = msgspec.msgpack.Decoder(AnyRecord)


def encode(record: AnyRecord) -> bytes:
    return _encode(record)


def decode(data: bytes) -> AnyRecord:
    """Read a record. Raises `EvidenceError` for what is none."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        msg = f"not a record of evidence: {error}"
        raise EvidenceError(msg) from error


@lru_cache(maxsize=1024)
def spell(places: tuple[Territory, ...]) -> tuple[str, ...]:
    """Write territories: the code of a French one, else code and zone."""
    return tuple(_spelt(place) for place in places)


def _spelt(place: Territory) -> str:
    return place.code if place is TERRITORIES.get(place.code) else f"{place.code} {place.zone}"


def territories(spelt: Sequence[str]) -> tuple[Territory, ...]:
    """Read what `spell` wrote. Raises `EvidenceError` for a territory that is unknown."""
    return tuple(_territory(text) for text in spelt)


@lru_cache(maxsize=1024)
def _territory(text: str) -> Territory:
    code, _, zone = text.partition(" ")
    known = Territory(code, zone) if zone else TERRITORIES.get(code)
    if known is None:
        msg = f"no territory is written {text!r}"
        raise EvidenceError(msg)
    return known
