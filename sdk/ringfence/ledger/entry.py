"""Sealed events on their way into the ledger, ready to be stored and to be sent."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Self

import msgspec

from ringfence.event import AnyEvent, Keys
from ringfence.ledger.sequencer import keys_of

__all__ = ["Cast", "Entries", "Entry"]

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(AnyEvent)

_ID = "0" * 32
_KEY = 0x0123_4567_89AB_CDEF
_AT = datetime(2020, 1, 1, tzinfo=UTC)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An event as it is stored and sent."""

    id: str
    key: int
    """The first key that it is filed under."""
    at: datetime | None
    body: bytes
    like: AnyEvent
    """The same but for id, key and instant; of many entries it may be one object."""

    @classmethod
    def of(cls, event: AnyEvent) -> Self:
        """Raises `ValueError` for an event that is filed under no key."""
        key, *_ = keys_of(event)
        return cls(event.id, key, event.at, _encode(event), event)

    @property
    def event(self) -> AnyEvent:
        event: AnyEvent = _decoder.decode(self.body)
        return event


class Entries(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Many entries in columns: so they are told to another process, and so they are stored."""

    ids: list[str]
    keys: list[int]
    bodies: list[bytes]
    likes: list[AnyEvent]
    """Of all entries, what they are like; most have it in common with others."""
    places: list[int]
    """Of each entry, where in `likes` it is told."""
    latest: datetime | None
    """Of their instants; None if one has none."""

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Self:
        likes = {id(entry.like): entry.like for entry in entries}
        place_of = dict(zip(likes, range(len(likes)), strict=True))
        ats = [entry.at for entry in entries if entry.at is not None]
        return cls(
            [entry.id for entry in entries],
            [entry.key for entry in entries],
            [entry.body for entry in entries],
            list(likes.values()),
            [place_of[id(entry.like)] for entry in entries],
            max(ats) if ats and len(ats) == len(entries) else None,
        )

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, places: Sequence[int]) -> Self:
        """Give those at these places, in that order."""
        return msgspec.structs.replace(
            self,
            ids=[self.ids[place] for place in places],
            keys=[self.keys[place] for place in places],
            bodies=[self.bodies[place] for place in places],
            places=[self.places[place] for place in places],
        )

    def events(self) -> Iterator[AnyEvent]:
        return map(_decoder.decode, self.bodies)


class Cast:
    """A form for entries that differ in id, key and instant alone.

    What they have in common is checked and encoded once for all of them; for each that would take
    longer than all else that is done with a line.
    """

    __slots__ = ("_before_at", "_before_id", "_before_key", "_like", "_rest")

    def __init__(self, said: AnyEvent, on: date, source: str) -> None:
        """Take what is *said*, with its date and source."""
        keys = Keys(purpose=_KEY) if said.purposeful else Keys(number=_KEY)
        like = msgspec.structs.replace(said, id=_ID, at=_AT, on=on, source=source, keys=keys)
        self._before_id, rest = _encode(like).split(_ID.encode(), 1)
        self._before_at, rest = rest.split(_encode(_AT), 1)
        self._before_key, self._rest = rest.split(_encode(_KEY), 1)
        self._like = like

    def entry(self, name: str, key: int, at: datetime) -> Entry:
        """Give the entry of that id, of 32 letters of ASCII."""
        parts = (
            self._before_id,
            name.encode(),
            self._before_at,
            _encode(at),
            self._before_key,
            _encode(key),
            self._rest,
        )
        return Entry(name, key, at, b"".join(parts), self._like)
