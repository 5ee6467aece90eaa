"""Rows: all that the gate must know of one key, as ground or as restraint, in 24 bytes.

A row is three little-endian 64-bit words: the key, and two words of facts. The dtypes give the
layout; `Ground` and `Restraint` give the same facts to the rules. Days count from 2020-01-01 in
16 bits; 0 is none.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

import msgspec
import numpy as np

from ringfence.number import clock_of

__all__ = [
    "FORMAT",
    "GROUND",
    "NO_FACTS",
    "NO_GROUND",
    "NO_RESTRAINT",
    "OBJECTED",
    "OPEN_END",
    "RESTRAINT",
    "ROW",
    "Attempts",
    "Facts",
    "Ground",
    "Restraint",
    "date_of",
    "day_in",
    "day_of",
]

FORMAT = 1
"""Version of the layout, on the wire and on disk."""

ROW = 24

GROUND = np.dtype(
    [
        ("key", "<u8"),
        ("consent_text", "<u2"),  # index in the principal's registry; top bit: withdrawn
        ("consent_from", "<u2"),  # day of the latest statement
        ("consent_until", "<u2"),  # last day as stated, 0 if none was
        ("contract_until", "<u2"),
        ("callback_on", "<u2"),
        ("slot_minutes", "<u2"),  # low 12 bits; top 4 bits: age of the named callback
        ("slot_at", "<u4"),  # seconds since 2020-01-01T00:00Z
    ]
)
RESTRAINT = np.dtype(
    [
        ("key", "<u8"),
        ("refused_on", "<u2"),
        ("flags", "<u2"),  # bit 0: objected
        ("attempts", "<u2", (4,)),  # days of the latest four, newest first
        ("bloctel_until", "<u2"),
        ("reserved", "<u2"),
    ]
)

Facts = tuple[int, int]
"""A row without its key: the two words that say something. Both 0: nothing is known."""

NO_FACTS: Facts = (0, 0)

OPEN_END = 0xFFFF
"""A contract without a stated end."""

_WITHDRAWN = 0x8000
OBJECTED = 1
"""The flag of a restraint by which an objection is told."""
# A callback that named the company opens doors that a later, vaguer one must not shut. Five working
# days never span more than this many.
_NAMED_SPAN = 14
_ORIGIN = date(2020, 1, 1)
_ORIGIN_SECONDS = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp())


def day_of(day: date | None) -> int:
    """Give the day's number; what lies before 2020 counts as 2 January 2020, None is 0."""
    if day is None:
        return 0
    return max(1, min(OPEN_END - 1, (day - _ORIGIN).days))


@lru_cache(maxsize=4096)
def date_of(day: int) -> date:
    return _ORIGIN + timedelta(days=day)


def day_in(zone: str, at: datetime) -> date:
    """Give the date that the clocks of *zone* show at an instant."""
    return at.astimezone(clock_of(zone)).date()


class Ground(msgspec.Struct, frozen=True, gc=False):
    """Why calls to one number for one purpose may be lawful."""

    text: int = 0
    withdrawn: bool = False
    consent_from: int = 0
    consent_until: int = 0
    contract_until: int = 0
    callback_on: int = 0
    named_callback_on: int = 0
    slot_at: int = 0
    """Unix seconds, 0 if none."""
    slot_minutes: int = 0

    @classmethod
    def unpack(cls, words: Facts) -> "Ground":
        low, high = words
        text = low & 0xFFFF
        callback_on = high & 0xFFFF
        age = high >> 28 & 0xF
        slot = high >> 32
        return cls(
            text & 0x7FFF,
            text >= _WITHDRAWN,
            low >> 16 & 0xFFFF,
            low >> 32 & 0xFFFF,
            low >> 48,
            callback_on,
            callback_on - age + 1 if age else 0,
            slot and slot + _ORIGIN_SECONDS,
            high >> 16 & 0x0FFF,
        )

    def pack(self) -> Facts:
        age = self.callback_on - self.named_callback_on + 1 if self.named_callback_on else 0
        if age > _NAMED_SPAN + 1:
            age = 0
        slot = max(1, self.slot_at - _ORIGIN_SECONDS) if self.slot_at else 0
        return (
            self.text
            | (_WITHDRAWN if self.withdrawn else 0)
            | self.consent_from << 16
            | self.consent_until << 32
            | self.contract_until << 48,
            self.callback_on | self.slot_minutes << 16 | age << 28 | min(slot, 0xFFFFFFFF) << 32,
        )


Attempts = tuple[int, int, int, int]
"""Days of the latest four attempts, newest first."""


class Restraint(msgspec.Struct, frozen=True, gc=False):
    """Why calls to one number, or to one consumer, may not be placed."""

    refused_on: int = 0
    objected: bool = False
    attempts: Attempts = (0, 0, 0, 0)
    bloctel_until: int = 0

    @classmethod
    def unpack(cls, words: Facts) -> "Restraint":
        low, high = words
        return cls(
            low & 0xFFFF,
            bool(low >> 16 & OBJECTED),
            (low >> 32 & 0xFFFF, low >> 48, high & 0xFFFF, high >> 16 & 0xFFFF),
            high >> 32 & 0xFFFF,
        )

    def pack(self) -> Facts:
        first, second, third, fourth = self.attempts
        return (
            self.refused_on | (OBJECTED if self.objected else 0) << 16 | first << 32 | second << 48,
            third | fourth << 16 | self.bloctel_until << 32,
        )


NO_GROUND = Ground()
NO_RESTRAINT = Restraint()
