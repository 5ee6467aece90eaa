from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from ringfence.decision import Reason
from ringfence.number import DEPARTMENTS, METROPOLE, Territory, clock_of
from ringfence.row import day_in, day_of
from ringfence.rules.calendar import (
    QUARTER,
    Opening,
    Quarter,
    is_holiday,
    midnight,
    next_opening,
    prepare,
    quarter,
    workday_after,
)

WINDOWS = ((time(10), time(13)), (time(14), time(20)))
OPENING = Opening(frozenset(range(5)), WINDOWS, local_holidays=True)
NATIONAL = Opening(frozenset(range(5)), WINDOWS, local_holidays=False)
STRASBOURG = DEPARTMENTS["67"]
REUNION, MAYOTTE, MARTINIQUE = DEPARTMENTS["974"], DEPARTMENTS["976"], DEPARTMENTS["972"]
HERE = (METROPOLE,)


def index(clock: str, zone: str = "Europe/Paris") -> int:
    local = datetime.fromisoformat(clock).replace(tzinfo=ZoneInfo(zone))
    return int(local.timestamp()) // QUARTER


def closed(clock: str, *territories: Territory, opening: Opening = OPENING) -> Reason | None:
    return quarter(opening, territories or HERE, index(clock)).closed


def opens(clock: str, *territories: Territory) -> str | None:
    """Say when the next opening is, on the clock of the first territory."""
    where = territories or HERE
    at = next_opening(OPENING, where, index(clock, where[0].zone))
    if at is None:
        return None
    return datetime.fromtimestamp(at, ZoneInfo(where[0].zone)).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("clock", "reason"),
    [
        ("2026-11-24 09:45", Reason.OUTSIDE_HOURS),
        ("2026-11-24 10:00", None),
        ("2026-11-24 12:45", None),
        ("2026-11-24 13:00", Reason.OUTSIDE_HOURS),
        ("2026-11-24 13:45", Reason.OUTSIDE_HOURS),
        ("2026-11-24 14:00", None),
        ("2026-11-24 19:45", None),
        ("2026-11-24 20:00", Reason.OUTSIDE_HOURS),
        ("2026-11-28 11:00", Reason.CLOSED_DAY),
        ("2026-11-29 11:00", Reason.CLOSED_DAY),
        ("2026-11-11 11:00", Reason.HOLIDAY),
    ],
)
def test_windows_are_half_open_and_days_are_monday_to_friday_less_holidays(
    clock: str, reason: Reason | None
) -> None:
    """C. conso. D223-9 al. 1."""
    assert closed(clock) is reason


def test_a_closed_day_is_named_before_its_holiday_and_a_holiday_before_its_hours() -> None:
    assert closed("2026-08-15 11:00") is Reason.CLOSED_DAY  # a Saturday
    assert closed("2026-11-11 22:00") is Reason.HOLIDAY


@pytest.mark.parametrize(
    ("year", "days"),
    [
        (2026, "01-01 04-06 05-01 05-08 05-14 05-25 07-14 08-15 11-01 11-11 12-25"),
        (2027, "01-01 03-29 05-01 05-06 05-08 05-17 07-14 08-15 11-01 11-11 12-25"),
    ],
)
def test_the_holidays_of_the_nation_are_the_eleven_of_l3133_1(year: int, days: str) -> None:
    first = date(year, 1, 1)

    found = [
        day
        for day in (first + timedelta(days=n) for n in range(365))
        if is_holiday(METROPOLE, day, local=True)
    ]

    assert [f"{day:%m-%d}" for day in found] == days.split()


@pytest.mark.parametrize(
    ("department", "day"),
    [
        ("57", "2027-03-26"),
        ("67", "2027-03-26"),
        ("68", "2026-12-26"),
        ("971", "2026-05-27"),
        ("972", "2026-05-22"),
        ("973", "2026-06-10"),
        ("974", "2026-12-20"),
        ("976", "2026-04-27"),
        ("977", "2026-10-09"),
        ("978", "2026-05-28"),
    ],
)
def test_a_holiday_of_the_territory_closes_it_in_the_conservative_reading_only(
    department: str, day: str
) -> None:
    """C. trav. L3134-13 and L3422-2 are not L3133-1 (law/france.md 3.3, 3.4)."""
    territory = DEPARTMENTS[department]

    assert is_holiday(territory, date.fromisoformat(day), local=True)
    assert not is_holiday(territory, date.fromisoformat(day), local=False)
    assert not is_holiday(METROPOLE, date.fromisoformat(day), local=True)


def test_every_territory_keeps_the_holidays_of_the_nation() -> None:
    for territory in DEPARTMENTS.values():
        for local in (True, False):
            assert is_holiday(territory, date(2026, 11, 11), local=local)


def test_good_friday_in_strasbourg() -> None:
    assert closed("2027-03-26 11:00", STRASBOURG) is Reason.HOLIDAY
    assert closed("2027-03-26 11:00", STRASBOURG, opening=NATIONAL) is None


def test_where_several_clocks_are_possible_all_must_be_open() -> None:
    """Mayotte is an hour behind Réunion."""
    both = (REUNION, MAYOTTE)

    def at(clock: str) -> Quarter:
        return quarter(OPENING, both, index(clock, REUNION.zone))

    assert at("2026-11-24 10:30").closed is Reason.OUTSIDE_HOURS
    assert at("2026-11-24 11:00").closed is None
    assert at("2026-11-24 13:30").closed is Reason.OUTSIDE_HOURS  # lunch in Réunion
    assert at("2026-11-24 14:30").closed is Reason.OUTSIDE_HOURS  # lunch in Mayotte
    assert at("2026-11-24 19:45").closed is None


def test_where_two_dates_are_possible_both_are_told() -> None:
    midnight_there = quarter(OPENING, (REUNION, MAYOTTE), index("2026-11-25 00:30", REUNION.zone))

    assert midnight_there.first_day == day_of(date(2026, 11, 24))
    assert midnight_there.last_day == day_of(date(2026, 11, 25))


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("2026-11-24 09:45", "2026-11-24 10:00"),
        ("2026-11-24 10:00", "2026-11-24 10:00"),
        ("2026-11-24 10:15", "2026-11-24 14:00"),
        ("2026-11-24 13:00", "2026-11-24 14:00"),
        ("2026-11-24 20:00", "2026-11-25 10:00"),
        ("2026-11-27 20:00", "2026-11-30 10:00"),
        ("2027-03-26 20:00", "2027-03-30 10:00"),
        ("2026-10-23 20:00", "2026-10-26 10:00"),
    ],
)
def test_the_next_opening_is_the_start_of_the_next_window(asked: str, answer: str) -> None:
    assert opens(asked) == answer


def test_the_next_opening_keeps_the_hour_when_the_clocks_change() -> None:
    before, after = opens("2026-10-23 21:00"), opens("2027-03-26 21:00")

    assert before == "2026-10-26 10:00"
    assert after == "2027-03-30 10:00"


def test_the_next_opening_of_two_territories_is_when_the_later_one_opens() -> None:
    assert opens("2026-11-24 08:00", REUNION, MAYOTTE) == "2026-11-24 11:00"
    assert opens("2026-11-24 10:00", METROPOLE, MARTINIQUE) == "2026-11-24 15:00"


def test_territories_that_are_never_open_together_have_no_opening() -> None:
    """Réunion is eight hours ahead of Martinique: 14 to 20 there is 6 to 12 here."""
    far = Territory("FR", "Pacific/Honolulu")

    assert opens("2026-11-24 08:00", REUNION, MARTINIQUE) == "2026-11-24 18:00"
    assert opens("2026-11-24 08:00", MAYOTTE, far) is None


def test_far_territories_open_at_the_first_common_instant() -> None:
    """The window of the one begins on the day after that of the other."""
    west, east = Territory("FR", "America/Los_Angeles"), Territory("FR", "Pacific/Kiritimati")

    assert opens("2026-11-23 20:00", west, east) == "2026-11-24 12:00"


def test_a_day_has_begun_when_it_has_begun_everywhere() -> None:
    begun = midnight((REUNION, MAYOTTE), date(2026, 11, 25))

    assert datetime.fromtimestamp(begun, UTC) == datetime(2026, 11, 24, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("asked", "last"),
    [
        ("2026-10-02", "2026-10-08"),
        ("2026-11-09", "2026-11-16"),
        ("2026-11-24", "2026-11-30"),
        ("2026-12-19", "2026-12-26"),
        ("2027-05-12", "2027-05-19"),
    ],
)
def test_five_working_days_are_monday_to_saturday_less_holidays(asked: str, last: str) -> None:
    """C. conso. R223-4; the day of the request does not count."""
    assert workday_after(date.fromisoformat(asked), 5) == date.fromisoformat(last)


def test_working_days_do_not_know_holidays_of_territories() -> None:
    """L3133-1 alone: 26 December 2026 counts in Strasbourg too."""
    assert workday_after(date(2026, 12, 24), 1) == date(2026, 12, 26)


def test_what_was_prepared_is_not_read_again() -> None:
    """A gate reads clocks and holidays from disk when it opens, not on the event loop."""
    now = index("2026-11-24 11:00")
    prepare(OPENING, now * QUARTER)
    before = quarter.cache_info().misses

    for territory in DEPARTMENTS.values():
        quarter(OPENING, (territory,), now)

    assert quarter.cache_info().misses == before


@pytest.mark.parametrize(
    ("windows", "problem"),
    [
        (((time(10, 5), time(13)),), "on a quarter of an hour"),
        (((time(10), time(13, 0, 1)),), "on a quarter of an hour"),
        (((time(14), time(20)), (time(10), time(13))), "in order"),
        (((time(10), time(14)), (time(14), time(20))), "do not touch"),
        (((time(13), time(10)),), "in order"),
    ],
)
def test_windows_that_quarters_cannot_hold_are_refused(
    windows: tuple[tuple[time, time], ...], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        Opening(frozenset(range(5)), windows, local_holidays=True)


def test_the_clocks_of_all_territories_are_read_once_and_kept() -> None:
    """`ZoneInfo` keeps eight, France has ten, and a decision must not wait for the disk."""
    now = datetime(2026, 11, 24, 9, tzinfo=UTC)
    prepare(OPENING, now.timestamp())
    ZoneInfo.clear_cache()
    before = clock_of.cache_info().misses

    for place in DEPARTMENTS.values():
        assert day_in(place.zone, now) == now.date()
        assert midnight((place,), now.date()) > 0

    assert clock_of.cache_info().misses == before
