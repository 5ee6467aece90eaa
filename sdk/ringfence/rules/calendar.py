"""Days and hours on the consumer's clock, for one territory or several at once.

Time is cut in quarters of an hour: every window and every offset of a French clock begins on one,
so whether a quarter is open is worked out once and remembered.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise

import holidays
import msgspec

from ringfence.decision import Reason
from ringfence.number import DEPARTMENTS, Territory, clock_of
from ringfence.row import day_of

__all__ = [
    "QUARTER",
    "Opening",
    "Quarter",
    "midnight",
    "next_opening",
    "prepare",
    "quarter",
    "workday_after",
]

QUARTER = 900
"""Seconds."""

HORIZON = timedelta(days=400)
"""How far ahead an opening is looked for."""

# The `holidays` package knows L3133-1 as France's, and the others as those of subdivisions.
_SUBDIVISIONS = {
    "FR-AM": "57",
    "BL": "BL",
    "GF": "973",
    "GP": "971",
    "MF": "MF",
    "MQ": "972",
    "RE": "974",
    "YT": "976",
}


class Opening(msgspec.Struct, frozen=True, eq=False):
    """When calls may be placed: days of the week (Monday is 0), windows, holidays."""

    weekdays: frozenset[int]
    windows: tuple[tuple[time, time], ...]
    """Half-open, on the quarter of an hour, in order."""
    local_holidays: bool
    """Whether holidays of Alsace-Moselle and of overseas territories close a day too."""

    def __post_init__(self) -> None:
        bounds = [bound for window in self.windows for bound in window]
        if any(b.minute % 15 or b.second for b in bounds):
            msg = f"windows begin and end on a quarter of an hour: {self.windows}"
            raise ValueError(msg)
        if any(a >= b for a, b in pairwise(bounds)):
            msg = f"windows are given in order and do not touch: {self.windows}"
            raise ValueError(msg)


class Quarter(msgspec.Struct, frozen=True, gc=False):
    """What holds during a quarter of an hour, in all of the territories asked for."""

    first_day: int
    """The earliest of the dates that the territories' clocks show."""
    last_day: int
    closed: Reason | None
    """Why calls may not be placed; None: they may."""


@lru_cache(maxsize=1 << 16)
def quarter(opening: Opening, territories: tuple[Territory, ...], index: int) -> Quarter:
    """Give the quarter that begins `index * QUARTER` seconds after the epoch of Unix."""
    at = datetime.fromtimestamp(index * QUARTER, UTC)
    local = [(t, at.astimezone(clock_of(t.zone))) for t in territories]
    days = [day_of(clock.date()) for _, clock in local]
    reasons = [r for t, clock in local if (r := _closed(opening, t, clock)) is not None]
    closed = min(reasons, key=_PRIORITY.index, default=None)
    return Quarter(min(days), max(days), closed)


_PRIORITY = [Reason.CLOSED_DAY, Reason.HOLIDAY, Reason.OUTSIDE_HOURS]


def _closed(opening: Opening, territory: Territory, clock: datetime) -> Reason | None:
    if clock.weekday() not in opening.weekdays:
        return Reason.CLOSED_DAY
    if is_holiday(territory, clock.date(), local=opening.local_holidays):
        return Reason.HOLIDAY
    if not any(start <= clock.time() < end for start, end in opening.windows):
        return Reason.OUTSIDE_HOURS
    return None


@lru_cache(maxsize=1 << 12)
def is_holiday(territory: Territory, day: date, *, local: bool) -> bool:
    subdivision = _SUBDIVISIONS.get(territory.code) if local else None
    return day in _holidays(day.year, subdivision)


@lru_cache(maxsize=256)
def _holidays(year: int, subdivision: str | None) -> frozenset[date]:
    return frozenset(holidays.country_holidays("FR", subdiv=subdivision, years=year))


@lru_cache(maxsize=1 << 12)
def next_opening(opening: Opening, territories: tuple[Territory, ...], index: int) -> int | None:
    """Give the first instant (Unix seconds) not before quarter *index* at which all are open.

    None if there is none within `HORIZON`: the windows of two far territories never meet.
    """
    now = index * QUARTER
    for ahead in range(HORIZON.days):
        for start in _starts(opening, territories, now // 86_400 + ahead):
            if start >= now and quarter(opening, territories, start // QUARTER).closed is None:
                return start
    return None


def _starts(opening: Opening, territories: tuple[Territory, ...], day: int) -> list[int]:
    """Give the instants at which a window opens somewhere, on a day as Greenwich counts it."""
    middle = datetime.fromtimestamp(day * 86_400, UTC).date()
    starts = (
        int(datetime.combine(middle + timedelta(days=near), start, clock_of(t.zone)).timestamp())
        for near in (-1, 0, 1)
        for t in territories
        for start, _ in opening.windows
    )
    return sorted(start for start in starts if start // 86_400 == day)


def prepare(opening: Opening, at: float) -> None:
    """Read from disk what decisions will need: the clocks and holidays of all territories."""
    index = int(at // QUARTER)
    for territory in set(DEPARTMENTS.values()):
        quarter(opening, (territory,), index)
        next_opening(opening, (territory,), index)


def midnight(territories: tuple[Territory, ...], day: date) -> int:
    """Give the instant at which *day* has begun in all territories."""
    return max(
        int(datetime.combine(day, time(), clock_of(t.zone)).timestamp()) for t in territories
    )


@lru_cache(maxsize=1 << 12)
def workday_after(day: date, count: int) -> date:
    """Give the *count*-th working day after *day*: Monday to Saturday less L3133-1 holidays."""
    while count:
        day += timedelta(days=1)
        if day.weekday() != 6 and day not in _holidays(day.year, None):  # 6 is Sunday
            count -= 1
    return day
