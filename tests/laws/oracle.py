"""The French rules read a second time: a plain decider on the events themselves.

It shares nothing with the product. No rows, no packing, no tables: dates, zones and loops. Where
the product computes `retry_at`, this tries every instant at which a window could open.
"""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

__all__ = ["Answer", "Oracle", "OracleWorld", "answers", "easter", "public_holidays"]

OPT_IN = date(2026, 8, 11)
DAY = timedelta(days=1)
WINDOWS = ((time(10), time(13)), (time(14), time(20)))
SEARCHED_DAYS = 400

MENTIONS = {
    "choice",
    "goods_services",
    "period",
    "professional",
    "proof_access",
    "third_party",
    "withdrawal",
}
AUTOMATED = {"progressive", "predictive", "robocall", "voicebot"}
NOBODY_SPEAKS = {"robocall", "voicebot"}
ENERGY = {"energy_renovation", "renewable_energy"}
SHOWABLE = re.compile(
    r"\+(33(16[23]|27[01]|37[78]|42[45]|56[89]|94[89])|5909475|5949476|5969477|262947[89])\d+"
)
NEVER_SHOWN = re.compile(r"(\+(33|262|590|594|596)(6|7|89)\d+|118\d{3}|3[2-9]\d\d|)")


class Fact(msgspec.Struct, frozen=True):
    """An event, of any kind."""

    kind: str
    at: datetime
    to: str | None = None
    principal: str | None = None
    purpose: str | None = None
    consumer: str | None = None
    text: str = ""
    until: date | None = None
    call: str = ""
    explicit: bool = False
    start: datetime = datetime.min.replace(tzinfo=UTC)
    minutes: int | None = None


class Text(msgspec.Struct, frozen=True):
    mentions: set[str]
    parties: set[str]
    channel: str
    automated: bool = False


class Principal(msgspec.Struct, frozen=True):
    secret: str
    texts: dict[str, Text]


class Campaign(msgspec.Struct, frozen=True):
    principal: str
    purpose: str
    sector: str
    operator: str
    dial_mode: str
    caller_ids: set[str]
    commercial: bool = True
    audience: str = "consumer"


class Call(msgspec.Struct, frozen=True):
    campaign: str
    to: str
    caller_id: str | None = None
    consumer: str | None = None
    zone: str | None = None
    department: str | None = None


class Case(msgspec.Struct, frozen=True):
    name: str
    now: datetime
    call: Call
    events: list[Fact]


class OracleWorld(msgspec.Struct, frozen=True):
    """A file of vectors, as the oracle reads it."""

    principals: dict[str, Principal]
    campaigns: dict[str, Campaign]
    cases: list[Case]
    interpretation: str = "conservative"


class Answer(NamedTuple):
    verdict: str
    reason: str
    retry_at: datetime | None = None


class Ground(NamedTuple):
    name: str
    day: date | None  # None: never later than a refusal
    named: bool = False


class Place(NamedTuple):
    """Where a consumer may be: a clock, and the holidays that only this place has."""

    zone: ZoneInfo
    fixed: tuple[tuple[int, int], ...] = ()
    moving: tuple[int, ...] = ()  # days after Easter Sunday


PARIS = Place(ZoneInfo("Europe/Paris"))
ALSACE = Place(PARIS.zone, ((12, 26),), (-2,))
# Slavery was abolished on another day in each; Schœlcher, mid-Lent and Good Friday are custom.
GUADELOUPE = Place(ZoneInfo("America/Guadeloupe"), ((5, 27), (7, 21)), (-24, -2))
SAINT_MARTIN = Place(GUADELOUPE.zone, ((5, 28), (7, 21)))
SAINT_BARTHELEMY = Place(GUADELOUPE.zone, ((10, 9),))
MARTINIQUE = Place(ZoneInfo("America/Martinique"), ((5, 22), (7, 21)))
GUYANE = Place(ZoneInfo("America/Cayenne"), ((6, 10),))
REUNION = Place(ZoneInfo("Indian/Reunion"), ((12, 20),))
MAYOTTE = Place(ZoneInfo("Indian/Mayotte"), ((4, 27),))
MIQUELON = Place(ZoneInfo("America/Miquelon"))
ANTILLES = (GUADELOUPE, SAINT_MARTIN, SAINT_BARTHELEMY)

# The longest prefix that fits.
BY_PREFIX = {
    "+33": (PARIS,),
    "+262": (REUNION, MAYOTTE),
    "+262262": (REUNION,),
    "+262263": (REUNION,),
    "+262269": (MAYOTTE,),
    "+262639": (MAYOTTE,),
    "+590": ANTILLES,
    "+594": (GUYANE,),
    "+596": (MARTINIQUE,),
    "+508": (MIQUELON,),
}
BY_DEPARTMENT = {
    "57": ALSACE,
    "67": ALSACE,
    "68": ALSACE,
    "971": GUADELOUPE,
    "972": MARTINIQUE,
    "973": GUYANE,
    "974": REUNION,
    "975": MIQUELON,
    "976": MAYOTTE,
    "977": SAINT_BARTHELEMY,
    "978": SAINT_MARTIN,
}


def answers(world: OracleWorld) -> dict[str, Answer]:
    """Answer each case of the file, by its name."""
    return {case.name: Oracle(world, case).answer() for case in world.cases}


class Oracle:
    """One case."""

    def __init__(self, world: OracleWorld, case: Case) -> None:
        self.world = world
        self.case = case
        self.call = case.call
        self.letter = world.interpretation == "letter"

    def answer(self) -> Answer:
        malformed = self._malformed()
        if malformed:
            return Answer("deny", malformed)
        verdict, reason = self.judge(self.case.now)
        if verdict != "defer":
            return Answer(verdict, reason)
        return Answer(verdict, reason, next(self._allowed(), None))

    def _malformed(self) -> str | None:
        if not re.fullmatch(r"\+[1-9][0-9]{6,14}", self.call.to):
            return "invalid_number"
        if self.call.campaign not in self.world.campaigns:
            return "unknown_campaign"
        if not places(self.call.to):
            return "unsupported_destination"
        return None

    # --- the search for the next allowed instant

    def _allowed(self) -> Iterator[datetime]:
        for n in range(SEARCHED_DAYS):
            for instant in self._openings(self.case.now.astimezone(UTC).date() + n * DAY):
                if instant > self.case.now:
                    verdict, _ = self.judge(instant)
                    if verdict == "allow":
                        yield instant
                    elif verdict == "deny" and self._opt_in(instant):
                        return  # by now time only takes grounds away

    def _openings(self, day: date) -> list[datetime]:
        """Every instant of a day of UTC at which something forbidden could become allowed."""
        found = {opens.astimezone(UTC) for opens, _, _ in self.slots}
        for place in self.places:
            for here in (day - DAY, day, day + DAY):
                for hour in (0, 10, 14):
                    at = datetime.combine(here, time(hour), place.zone)
                    found |= {at.astimezone(UTC), at.replace(fold=1).astimezone(UTC)}
        return sorted(at for at in found if at.date() == day)

    # --- the rules, in their order

    def judge(self, at: datetime) -> tuple[str, str]:
        if not self.campaign.commercial or self.campaign.audience == "business":
            denied = self._objected() or self._shown()
            allowed = "business" if self.campaign.commercial else "not_canvassing"
            return ("deny", denied) if denied else ("allow", allowed)
        denied = (
            self._banned(at)
            or self._objected()
            or self._refused_for_good(at)
            or self._groundless(at)
            or self._shown()
        )
        if denied:
            return "deny", denied
        wait = self._refused_for_now(at) or self._closed(at) or self._too_often(at)
        if wait:
            return "defer", wait
        return "allow", self._usable(at)[0].name

    def _banned(self, at: datetime) -> str | None:
        return "sector_banned" if self._ban_holds(at) and not self._grounds(at) else None

    def _objected(self) -> str | None:
        for facts in self.subjects:
            about = [f for f in facts if f.kind in ("objection", "objection_lifted")]
            last = max((f.at for f in about), default=None)
            if any(f.kind == "objection" and f.at == last for f in about):
                return "objected"
        return None

    def _refused_for_good(self, at: datetime) -> str | None:
        if self.refused_on and self._opt_in(at) and not self._newer(at):
            return "refused"
        return None

    def _refused_for_now(self, at: datetime) -> str | None:
        if not self.refused_on or (self.letter and self._opt_in(at)):
            return None
        return "refused" if self._first_day(at) <= self.refused_on + 60 * DAY else None

    def _groundless(self, at: datetime) -> str | None:
        if self._usable(at):
            return None
        if not self._opt_in(at) and self._on_the_list(at):
            return "bloctel"
        return self._consent_fault(at) or "no_ground"

    def _shown(self) -> str | None:
        shown = self.call.caller_id or ""
        if NEVER_SHOWN.fullmatch(shown):
            return "caller_id_barred"
        if self.campaign.dial_mode in AUTOMATED and not SHOWABLE.fullmatch(shown):
            return "caller_id_barred"
        return None if shown in self.campaign.caller_ids else "caller_id_foreign"

    def _closed(self, at: datetime) -> str | None:
        if self._agreed(at):
            return None
        shut = {self._shut(place, at) for place in self.places}
        ordered = (why for why in ("closed_day", "holiday", "outside_hours") if why in shut)
        return next(ordered, None)

    def _agreed(self, at: datetime) -> bool:
        """Whether the slot holds: at its time, and on its date wherever the consumer may be."""
        return any(
            opens <= at <= ends
            and all(
                at.astimezone(place.zone).date() == agreed.astimezone(place.zone).date()
                for place in self.places
            )
            for opens, ends, agreed in self.slots
        )

    def _shut(self, place: Place, at: datetime) -> str | None:
        here = at.astimezone(place.zone)
        if here.weekday() >= 5:
            return "closed_day"
        if here.date() in public_holidays(here.year) or (
            not self.letter and here.date() in local_holidays(place, here.year)
        ):
            return "holiday"
        if any(start <= here.time() < end for start, end in WINDOWS):
            return None
        return "outside_hours"

    def _too_often(self, at: datetime) -> str | None:
        since = self._first_day(at) - (29 if self.letter else 30) * DAY
        return "attempt_limit" if sum(day >= since for day in self.attempts) >= 4 else None

    # --- grounds

    def _usable(self, at: datetime) -> list[Ground]:
        """Grounds that a refusal leaves, the first to be named first."""
        if self.refused_on and self._opt_in(at):
            return self._newer(at)
        return self._grounds(at)

    def _newer(self, at: datetime) -> list[Ground]:
        refused = self.refused_on
        return [g for g in self._grounds(at) if g.day and refused and g.day > refused]

    def _grounds(self, at: datetime) -> list[Ground]:
        found = [*self._contract(at), *self._consent(at), *self._callbacks(at)]
        if self._ban_holds(at):
            door = self._opt_in(at) and self.campaign.sector != "cpf"
            return [g for g in found if g.name == "contract" or (g.named and door)]
        if self.campaign.dial_mode not in NOBODY_SPEAKS:
            if self.campaign.sector == "press":
                found.append(Ground("press", None))
            if not self._opt_in(at) and not self._on_the_list(at):
                found.append(Ground("opt_out_regime", None))
        return found

    def _contract(self, at: datetime) -> Iterator[Ground]:
        last = self._last("contract", "contract_ended")
        if last and all(
            f.kind == "contract" and (f.until is None or self._last_day(at) <= f.until)
            for f in last
        ):
            yield Ground("contract", None)

    def _consent(self, at: datetime) -> Iterator[Ground]:
        last = self._last("consent", "withdrawal")
        if last and not self._consent_fault(at):
            yield Ground("consent", min(self._days(last[0])))

    def _consent_fault(self, at: datetime) -> str | None:
        last = self._last("consent", "withdrawal")
        if not last:
            return None
        if any(f.kind == "withdrawal" for f in last):
            return "consent_withdrawn"
        if any(self._last_day(at) > self._good_until(f) for f in last):
            return "consent_expired"
        # Shown two texts at one instant, nobody can tell to which the person agreed.
        texts = {f.text for f in last}
        return None if len(texts) == 1 and self._sound(*texts) else "consent_defective"

    def _good_until(self, consent: Fact) -> date:
        day = min(self._days(consent))
        limits = [anniversary(day) - DAY, consent.until or date.max]
        if self.campaign.sector == "insurance":
            limits.append(day + 30 * DAY)
        return min(limits)

    def _sound(self, name: str) -> bool:
        text = self.world.principals[self.campaign.principal].texts.get(name)
        if text is None:
            return False
        by_phone = {"outbound_call"}
        if self.campaign.sector == "insurance":
            by_phone.add("inbound_call")
        return (
            text.mentions >= MENTIONS
            and text.parties >= {self.campaign.principal, self.campaign.operator}
            and text.channel not in by_phone
            and (text.automated or self.campaign.dial_mode not in NOBODY_SPEAKS)
        )

    def _callbacks(self, at: datetime) -> Iterator[Ground]:
        for fact in self.purpose_facts:
            if fact.kind == "callback":
                asked = min(self._days(fact))
                if self._last_day(at) <= fifth_working_day(asked):
                    yield Ground("callback", asked, fact.explicit)

    def _on_the_list(self, at: datetime) -> bool:
        return any(
            fact.kind == "bloctel" and fact.until and self._first_day(at) <= fact.until
            for facts in self.subjects
            for fact in facts
        )

    def _ban_holds(self, at: datetime) -> bool:
        starts = {
            "energy_renovation": date(2020, 7, 26),
            "renewable_energy": date(2020, 7, 26),
            "cpf": date(2022, 12, 21),
            "housing_adaptation": OPT_IN if self.letter else date(2025, 7, 2),
        }
        return self._last_day(at) >= starts.get(self.campaign.sector, date.max)

    # --- facts of the case

    @cached_property
    def campaign(self) -> Campaign:
        return self.world.campaigns[self.call.campaign]

    @cached_property
    def places(self) -> tuple[Place, ...]:
        said = []
        if self.call.department:
            said.append(BY_DEPARTMENT.get(self.call.department, PARIS))
        if self.call.zone and self.call.zone not in [place.zone.key for place in said]:
            said += in_zone(self.call.zone)
        return tuple(said) or places(self.call.to)

    @cached_property
    def known(self) -> list[Fact]:
        return [
            fact
            for fact in self.case.events
            if fact.at <= self.case.now
            and (fact.principal or self.campaign.principal) == self.campaign.principal
        ]

    @cached_property
    def purpose_facts(self) -> list[Fact]:
        return [
            fact
            for fact in self.known
            if (fact.to or self.call.to) == self.call.to
            and (fact.purpose or self.campaign.purpose) == self.campaign.purpose
        ]

    @cached_property
    def subjects(self) -> list[list[Fact]]:
        """What is known of the number, and what is known of the consumer."""
        number = [fact for fact in self.known if (fact.to or self.call.to) == self.call.to]
        consumer = [
            fact for fact in self.known if fact.consumer and fact.consumer == self.call.consumer
        ]
        return [number, consumer]

    @cached_property
    def refused_on(self) -> date | None:
        days = [
            max(self._days(fact))
            for facts in self.subjects
            for fact in facts
            if fact.kind == "refusal"
        ]
        return max(days, default=None)

    @cached_property
    def attempts(self) -> list[date]:
        """The days of the attempts on the person.

        What is filed under the number and what is filed under the consumer is one person's; on one
        day the fuller file is believed, as an attempt may be in both.
        """
        number, consumer = (Counter(self._attempts(facts).values()) for facts in self.subjects)
        return list((number | consumer).elements())

    def _attempts(self, facts: list[Fact]) -> dict[str, date]:
        """The day of each attempt that counts, by its call."""
        standing: dict[str, date] = {}
        for fact in facts:
            if fact.kind == "attempt" and not any(
                f.kind == "attempt_cancelled" and f.call == fact.call and f.at > fact.at
                for f in facts
            ):
                day = max(self._days(fact))
                standing[fact.call] = max(day, standing.get(fact.call, day))
        return standing

    @cached_property
    def slots(self) -> list[tuple[datetime, datetime, datetime]]:
        """First and last instant of the slot last agreed, and the time agreed."""
        found = []
        for fact in self._last("slot"):
            if fact.minutes is None:
                five = timedelta(minutes=5)
                found.append((fact.start - five, fact.start + five, fact.start))
            else:
                end = fact.start + timedelta(minutes=fact.minutes) - datetime.resolution
                found.append((fact.start, end, fact.start))
        return found

    def _last(self, *kinds: str) -> list[Fact]:
        """The latest facts of these kinds for the purpose: several only at one instant."""
        about = [fact for fact in self.purpose_facts if fact.kind in kinds]
        last = max((fact.at for fact in about), default=None)
        return [fact for fact in about if fact.at == last]

    def _days(self, fact: Fact) -> list[date]:
        """The dates an event may have had where the consumer may be."""
        to = fact.to or self.call.to
        there = self.places if to == self.call.to else places(to)
        return [fact.at.astimezone(place.zone).date() for place in there]

    def _first_day(self, at: datetime) -> date:
        return min(at.astimezone(place.zone).date() for place in self.places)

    def _last_day(self, at: datetime) -> date:
        return max(at.astimezone(place.zone).date() for place in self.places)

    def _opt_in(self, at: datetime) -> bool:
        return self._last_day(at) >= OPT_IN


def places(number: str) -> tuple[Place, ...]:
    """Where a number may be. Empty: not in this rulebook."""
    fits = [prefix for prefix in BY_PREFIX if number.startswith(prefix)]
    return BY_PREFIX[max(fits, key=len)] if fits else ()


def in_zone(name: str) -> list[Place]:
    """The places that keep this time; elsewhere, only the nation's holidays are known."""
    known = {place for some in BY_PREFIX.values() for place in some if place.zone.key == name}
    return sorted(known, key=repr) or [Place(ZoneInfo(name))]


def anniversary(day: date) -> date:
    if (day.month, day.day) == (2, 29):
        return date(day.year + 1, 2, 28)
    return day.replace(year=day.year + 1)


def fifth_working_day(day: date) -> date:
    left = 5
    while left:
        day += DAY
        if day.weekday() < 6 and day not in public_holidays(day.year):
            left -= 1
    return day


def easter(year: int) -> date:
    """Easter Sunday, by the anonymous Gregorian algorithm (Nature, 20 April 1876)."""
    a, (b, c) = year % 19, divmod(year, 100)
    (d, e), f = divmod(b, 4), (b + 8) // 25
    g = (b - f + 1) // 3
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 22 * m) // 451
    month, day = divmod(h + m - 7 * n + 114, 31)
    return date(year, month, day + 1)


@lru_cache
def public_holidays(year: int) -> frozenset[date]:
    """L3133-1."""
    sunday = easter(year)
    fixed = [(1, 1), (5, 1), (5, 8), (7, 14), (8, 15), (11, 1), (11, 11), (12, 25)]
    moving = [sunday + n * DAY for n in (1, 39, 50)]
    return frozenset([date(year, month, day) for month, day in fixed] + moving)


@lru_cache
def local_holidays(place: Place, year: int) -> frozenset[date]:
    fixed = [date(year, month, day) for month, day in place.fixed]
    return frozenset(fixed + [easter(year) + n * DAY for n in place.moving])
