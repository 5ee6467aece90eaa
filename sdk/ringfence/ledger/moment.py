"""Dates as they are written in France: text to an instant, and to the consumer's date.

Nothing is guessed. Days come before months, years have four digits, and what is written in another
way is an error. A number of five digits is a day as spreadsheets count them, with the time of day
behind a comma or point.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from ringfence.number import METROPOLE, Territory
from ringfence.row import day_in

__all__ = ["IN_FUTURE", "NOT_A_DATE", "BadDate", "Moment", "read_day", "read_moment"]

IN_FUTURE = "a date in the future"
FIRST_YEAR = 2016
"""The opposition list opened in June 2016; an earlier year is a slip, not a consent to calls."""

# At noon it is the same date in all of France, so that no reader in another territory sees another
# day. And two lists that give dates alone agree on the instant, where of two statements the one
# that restrains wins.
NOON = time(12)

LAST_YEAR = 2199
"""As far as the days of a row reach."""

_MINUTES = r":[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
_CLOCK = rf"[0-9]{{2}}{_MINUTES}"
_OFFSET = r"(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
_ISO = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(?:[T ]({_CLOCK}){_OFFSET})?")
_FRENCH = re.compile(
    rf"([0-9]{{1,2}})([/.-])([0-9]{{1,2}})\2([0-9]{{4}})(?:[T ]([0-9]{{1,2}})({_MINUTES}))?"
)
_SERIAL = re.compile(r"([0-9]{5})(?:[.,]([0-9]{1,15}))?")
_SERIAL_ORIGIN = datetime.fromisoformat("1899-12-30")

NOT_A_DATE = (
    "not a date like 31/12/2026, 2026-12-31 or 46387 (of a spreadsheet), with a time like 10:30 or"
    " without"
)


class BadDate(ValueError):  # noqa: N818 - what it is
    """The text is no date that can be meant."""

    def __init__(self, why: str, text: str) -> None:
        super().__init__(f"{why}: {text!r}")
        self.why = why


class Moment(msgspec.Struct, frozen=True):
    """When something was said."""

    at: datetime
    on: date
    """The consumer's date."""
    earliest: datetime
    """The same as *at* where a time was written, else when the day began."""
    timed: bool
    """Whether a time was written, and not the day alone."""


def read_moment(text: str, territories: tuple[Territory, ...], *, latest: bool) -> Moment:
    """Read a date, or a date and time.

    Without an offset from UTC it is what the consumer's clock showed, and without a time it is
    noon. Where the territories of a number keep several clocks, *latest* chooses: a restraint is
    of the latest instant, a ground of the earliest. Raises `BadDate`.
    """
    written, timed = _read(text)
    day = written.date()
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        why = IN_FUTURE if day.year > FIRST_YEAR else f"a date before {FIRST_YEAR}"
        raise BadDate(why, text)
    choose: Callable[[Iterable[datetime]], datetime] = max if latest else min
    zones = [t.zone for t in territories or (METROPOLE,)]
    if written.tzinfo is not None:
        at = written.astimezone(UTC)
        dates = [day_in(zone, at) for zone in zones]
        return Moment(at, max(dates) if latest else min(dates), at, timed=True)
    at = choose(_instants(day, written.time() if timed else NOON, zones))
    earliest = at if timed else min(_instants(day, time(0), zones))
    return Moment(at, day, earliest, timed=timed)


@lru_cache(maxsize=1 << 14)
def read_day(text: str) -> date:
    """Read a date; a time behind it is passed over. Raises `BadDate`."""
    return _read(text)[0].date()


def _read(text: str) -> tuple[datetime, bool]:
    """Give what is written, with an offset only if one is, and whether there is a time in it."""
    if iso := _ISO.fullmatch(text):
        plain, clock = text, iso[1]
    elif french := _FRENCH.fullmatch(text):
        day, _, month, year, clock, minutes = french.groups()
        plain = f"{year}-{month:0>2}-{day:0>2}T{clock or '':0>2}{minutes or ':00'}"
    elif serial := _SERIAL.fullmatch(text):
        return _of_serial(serial[1], serial[2] or "0")
    else:
        raise BadDate(NOT_A_DATE, text)
    try:
        return datetime.fromisoformat(plain), clock is not None
    except ValueError as error:
        why = "no such date"
        raise BadDate(why, text) from error


def _of_serial(days: str, fraction: str) -> tuple[datetime, bool]:
    seconds = round(86_400 * float(f"0.{fraction}"))
    return _SERIAL_ORIGIN + timedelta(days=int(days), seconds=seconds), seconds > 0


def _instants(day: date, clock: time, zones: Iterable[str]) -> list[datetime]:
    return [datetime.combine(day, clock, ZoneInfo(zone)).astimezone(UTC) for zone in zones]
