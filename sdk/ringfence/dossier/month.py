"""A month as Paris counts it, and its days as instants."""

import re
from bisect import bisect_right
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

__all__ = ["ZONE", "BadMonth", "Month", "day_index"]

ZONE = "Europe/Paris"
"""A report spans territories; its days are those of the capital."""

_MONTH = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")


class BadMonth(ValueError):  # noqa: N818 - what it is
    """The text is no month."""


class Month(msgspec.Struct, frozen=True):
    """All days of a month."""

    first: date

    @classmethod
    def parse(cls, text: str) -> "Month":
        """Read `2026-11`. Raises `BadMonth`."""
        read = _MONTH.fullmatch(text)
        if read is None:
            msg = f"a month is written like 2026-11, not {text!r}"
            raise BadMonth(msg)
        return cls(date(int(read[1]), int(read[2]), 1))

    def __str__(self) -> str:
        return f"{self.first:%Y-%m}"

    @property
    def last(self) -> date:
        return (self.first + timedelta(days=31)).replace(day=1) - timedelta(days=1)

    @property
    def days(self) -> tuple[date, ...]:
        return tuple(self.first + timedelta(days=n) for n in range(self.last.day))

    @property
    def bounds(self) -> list[float]:
        """Give the Unix seconds at which each day begins, and the last one ends."""
        zone = ZoneInfo(ZONE)
        ends = [*self.days, self.last + timedelta(days=1)]
        return [datetime.combine(day, time(), zone).timestamp() for day in ends]


def day_index(bounds: list[float], at: float) -> int | None:
    """Give which day of the month an instant lies in, from 0; None: in another month."""
    index = bisect_right(bounds, at) - 1
    return index if 0 <= index < len(bounds) - 1 else None
