"""The French rulebook: telephone canvassing of consumers.

One function a question, in the order they are asked. Its articles, with the sentence applied and
the day it came into force, stand in the `Rule` beside it; what the law counts in (hours, days,
attempts, prefixes) is data with dates. `C. conso.` is the Code de la consommation.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache, partial

import msgspec

from ringfence.decision import Reason, Verdict
from ringfence.event import Cap
from ringfence.number import InvalidNumber, Territory, parse
from ringfence.row import Facts, Ground, date_of, day_in, day_of
from ringfence.rules import articles as law
from ringfence.rules.calendar import (
    QUARTER,
    Opening,
    midnight,
    next_opening,
    workday_after,
)
from ringfence.rules.rulebook import Answer, Article, Case, Interpretation, Rule, Rulebook

__all__ = ["last_consent_day", "rulebook", "rulebook_of"]

VERSION = "france/2026-11"

_Answering = Callable[["Reading", Case], Answer | None]

OPT_IN = date(2026, 8, 11)
"""Law 2025-594, art. 13 III; decree 2026-662: no consent, no call. Bloctel ended that day."""

_OPT_IN_DAY = day_of(OPT_IN)


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What the two interpretations decide differently."""

    interpretation: Interpretation
    attempt_window: int
    """Days counted back from today, which is counted too."""
    cooling_off: bool
    """Whether sixty days of silence follow a refusal even when a newer ground stands."""
    housing_adaptation_banned_from: date
    callers: tuple[str, ...]
    """Prefixes an automated system may show."""
    opening: Opening


# Arcep decisions 2018-0881, 2022-1583 and 2025-2215: the numéros polyvalents vérifiés.
_VERIFIED = (
    "+33162", "+33163", "+33270", "+33271", "+33377", "+33378", "+33424", "+33425",
    "+33568", "+33569", "+33948", "+33949",
    "+5909475", "+5949476", "+5969477", "+2629478", "+2629479",
)  # fmt: skip
# Found in one list only; the conservative reading does not rely on it.
_VERIFIED_ONCE = ("+5905987", "+5945988", "+5965989", "+2622688", "+2622689")

_WEEKDAYS = frozenset(range(5))
_WINDOWS = ((time(10), time(13)), (time(14), time(20)))

CONSERVATIVE = Reading(
    interpretation=Interpretation.CONSERVATIVE,
    attempt_window=30,
    cooling_off=True,
    housing_adaptation_banned_from=date(2025, 7, 2),
    callers=_VERIFIED,
    opening=Opening(_WEEKDAYS, _WINDOWS, local_holidays=True),
)
LETTER = Reading(
    interpretation=Interpretation.LETTER,
    attempt_window=29,
    cooling_off=False,
    housing_adaptation_banned_from=OPT_IN,
    callers=_VERIFIED + _VERIFIED_ONCE,
    opening=Opening(_WEEKDAYS, _WINDOWS, local_holidays=False),
)

REFUSAL_DAYS = 60
MAX_ATTEMPTS = 4
INSURANCE_DAYS = 30
CALLBACK_WORKDAYS = 5
SLOT_TOLERANCE = 300
"""Seconds before and after an agreed time that was given without a length."""


def _deny(reason: Reason) -> Answer:
    return Answer(Verdict.DENY, reason)


def _allow(reason: Reason) -> Answer:
    return Answer(Verdict.ALLOW, reason)


_CONSENT = _allow(Reason.CONSENT)
_CONTRACT = _allow(Reason.CONTRACT)
_CALLBACK = _allow(Reason.CALLBACK)
_PRESS = _allow(Reason.PRESS)
_OPT_OUT_REGIME = _allow(Reason.OPT_OUT_REGIME)
_BUSINESS = _allow(Reason.BUSINESS)
_NOT_CANVASSING = _allow(Reason.NOT_CANVASSING)
_NO_GROUND = _deny(Reason.NO_GROUND)
_CONSENT_WITHDRAWN = _deny(Reason.CONSENT_WITHDRAWN)
_CONSENT_EXPIRED = _deny(Reason.CONSENT_EXPIRED)
_CONSENT_DEFECTIVE = _deny(Reason.CONSENT_DEFECTIVE)
_SECTOR_BANNED = _deny(Reason.SECTOR_BANNED)
_OBJECTED = _deny(Reason.OBJECTED)
_REFUSED = _deny(Reason.REFUSED)
_BARRED = _deny(Reason.CALLER_ID_BARRED)
_FOREIGN = _deny(Reason.CALLER_ID_FOREIGN)


# --- what the rules share -------------------------------------------------------------------------


def _opt_in(case: Case) -> bool:
    return case.quarter.last_day >= _OPT_IN_DAY


def _refused_on(case: Case) -> int:
    """The latest refusal that still counts: before the opt-in it was over after sixty days."""
    refused_on = case.restraint.refused_on
    if refused_on + REFUSAL_DAYS < case.quarter.first_day and not _opt_in(case):
        return 0
    return refused_on


_ENERGY = frozenset(["energy_renovation", "renewable", "renewable_energy"])
_BANNABLE = _ENERGY | {"housing_adaptation", "cpf"}
_ENERGY_BANNED_FROM = day_of(date(2020, 7, 26))
_CPF_BANNED_FROM = day_of(date(2022, 12, 21))


def _banned(reading: Reading, case: Case) -> bool:
    sector = case.terms.campaign.sector
    if sector not in _BANNABLE:
        return False
    today = case.quarter.last_day
    if sector in _ENERGY:
        return today >= _ENERGY_BANNED_FROM
    if sector == "housing_adaptation":
        return today >= day_of(reading.housing_adaptation_banned_from)
    return today >= _CPF_BANNED_FROM


def _ground(reading: Reading, case: Case, after: int = 0) -> Answer | None:
    """Name the ground of the call; with *after*, only what is later than that day counts.

    A contract is never later than a refusal. Where the sector is banned, only what opens the ban
    counts: a contract in progress, or a callback asked of the company by name, which since R223-4
    opens the bans of L223-1 al. 5, but never that of the CPF.
    """
    ground, banned = case.ground, _banned(reading, case)
    if not after and ground.contract_until >= case.quarter.last_day:
        return _CONTRACT
    if not banned and ground.consent_from > after and _consent_defect(case) is None:
        return _CONSENT
    asked_on = ground.named_callback_on if banned else ground.callback_on
    openable = not banned or (case.terms.campaign.sector != "cpf" and _opt_in(case))
    if openable and asked_on > after and _callback_stands(case, asked_on):
        return _CALLBACK
    return None if after or banned else _exemption(case)


def _callback_stands(case: Case, asked_on: int) -> bool:
    return asked_on <= case.quarter.last_day <= _last_callback_day(asked_on)


@lru_cache(maxsize=1024)
def _last_callback_day(asked_on: int) -> int:
    return day_of(workday_after(date_of(asked_on), CALLBACK_WORKDAYS))


def _exemption(case: Case) -> Answer | None:
    """Calls that need no ground, unless a machine speaks (CPCE L34-5 needs consent in any case)."""
    if case.terms.unattended:
        return None
    if case.terms.campaign.sector == "press":
        return _PRESS
    return None if _opt_in(case) or _on_bloctel(case) else _OPT_OUT_REGIME


def _on_bloctel(case: Case) -> bool:
    return case.restraint.bloctel_until >= case.quarter.first_day


def _consent_defect(case: Case) -> Answer | None:
    """Why the latest consent statement carries no call; None if it does."""
    ground = case.ground
    if not ground.consent_from:
        return _NO_GROUND
    if ground.withdrawn:
        return _CONSENT_WITHDRAWN
    if case.quarter.last_day > last_consent_day(ground, case.terms.campaign.sector):
        return _CONSENT_EXPIRED
    if ground.text not in case.terms.texts:
        return _CONSENT_DEFECTIVE
    return None


def last_consent_day(ground: Ground, sector: str) -> int:
    """Give the last day on which the consent of a row carries calls (R223-1 I 3°; R112-7)."""
    last = _day_before_anniversary(ground.consent_from)
    if ground.consent_until:
        last = min(last, ground.consent_until)
    return min(last, ground.consent_from + INSURANCE_DAYS) if sector == "insurance" else last


@lru_cache(maxsize=4096)
def _day_before_anniversary(day: int) -> int:
    given = date_of(day)
    if (given.month, given.day) == (2, 29):  # it has no anniversary a year on: the shorter reading
        given -= timedelta(days=1)
    return day_of(given.replace(year=given.year + 1)) - 1


# --- the rules, in the order they are asked -------------------------------------------------------


def _sector(reading: Reading, case: Case) -> Answer | None:
    if not case.terms.canvassing or not _banned(reading, case):
        return None
    return None if _ground(reading, case) else _SECTOR_BANNED


def _objection(_reading: Reading, case: Case) -> Answer | None:
    return _OBJECTED if case.restraint.objected else None


def _refusal(reading: Reading, case: Case) -> Answer | None:
    if not case.terms.canvassing:
        return None
    refused_on = _refused_on(case)
    if not refused_on:
        return None
    if _opt_in(case) and _ground(reading, case, refused_on) is None:
        return _REFUSED
    over = refused_on + REFUSAL_DAYS + 1
    if not reading.cooling_off:  # since the opt-in a newer ground lifts it at once
        over = min(over, _OPT_IN_DAY)
    return _defer(Reason.REFUSED, case, over) if case.quarter.first_day < over else None


def _basis(reading: Reading, case: Case) -> Answer | None:
    if not case.terms.canvassing:
        return _BUSINESS if case.terms.campaign.commercial else _NOT_CANVASSING
    opt_in = _opt_in(case)
    ground = _ground(reading, case, _refused_on(case) if opt_in else 0)
    if ground is not None:
        return ground
    if not opt_in and _on_bloctel(case):
        listed = date_of(case.restraint.bloctel_until + 1)
        return Answer(Verdict.DENY, Reason.BLOCTEL, midnight(case.territories, listed))
    return _consent_defect(case) or _NO_GROUND


def _caller_id(reading: Reading, case: Case) -> Answer | None:
    shown = _shown(case.caller_id or "")
    if shown is None:
        return _BARRED
    if case.terms.automated and not shown.startswith(reading.callers):
        return _BARRED
    return None if shown in case.terms.campaign.caller_ids else _FOREIGN


_HIDDEN = frozenset(["", "anonymous", "private", "restricted", "unavailable", "unknown"])
# Arrêté of 5 July 2016, and the mobile ranges, which Arcep reserves for people.
_NEVER_SHOWN = re.compile(r"\+(33|262|590|594|596)[67]|\+3389|118\d{3}$|3(?![01])\d{3}$")


@lru_cache(maxsize=4096)
def _shown(caller_id: str) -> str | None:
    """Give the number that the consumer will see, in E.164; None if nobody may show it."""
    shown = caller_id.strip()
    if shown.lower() in _HIDDEN or len(shown) > _MAX_CALLER_ID:
        return None
    try:
        shown = parse(shown).e164
    except InvalidNumber:
        shown = shown.replace(" ", "")
    return None if _NEVER_SHOWN.match(shown) else shown


_MAX_CALLER_ID = 64


def _hours(reading: Reading, case: Case) -> Answer | None:
    closed = case.quarter.closed
    if closed is None or not case.terms.canvassing or _in_slot(case):
        return None
    index = int(case.at // QUARTER)
    opens = next_opening(reading.opening, case.territories, index + 1)
    begins, _ = _slot_of(case)
    if case.at < begins and (opens is None or begins < opens):
        opens = begins
    return Answer(Verdict.DEFER, closed, opens)


@lru_cache(maxsize=4096)
def _slot(start: int, minutes: int, territories: tuple[Territory, ...]) -> tuple[int, int]:
    """Give first and last second of the agreed slot; it never reaches into another date."""
    if not start:
        return 0, -1
    at = datetime.fromtimestamp(start, UTC)
    begins = start if minutes else start - SLOT_TOLERANCE
    ends = start + 60 * minutes - 1 if minutes else start + SLOT_TOLERANCE
    for territory in territories:
        day = day_in(territory.zone, at)
        begins = max(begins, midnight((territory,), day))
        ends = min(ends, midnight((territory,), day + timedelta(days=1)) - 1)
    return begins, ends


def _slot_of(case: Case) -> tuple[int, int]:
    return _slot(case.ground.slot_at, case.ground.slot_minutes, case.territories)


def _in_slot(case: Case) -> bool:
    begins, ends = _slot_of(case)
    return begins <= case.at <= ends


def _attempts(reading: Reading, case: Case) -> Answer | None:
    if not case.terms.canvassing:
        return None
    fourth = case.restraint.attempts[MAX_ATTEMPTS - 1]
    if not fourth or fourth < case.quarter.first_day - reading.attempt_window:
        return None
    return _defer(Reason.ATTEMPT_LIMIT, case, fourth + reading.attempt_window + 1)


def _cap(reading: Reading, case: Case) -> Cap | None:
    """What `_attempts` asks, for whoever knows of attempts that the rows do not show yet.

    Where the person may be in several territories the window begins on the earliest of their dates.
    """
    if not case.terms.canvassing:
        return None
    return Cap(MAX_ATTEMPTS, date_of(case.quarter.first_day - reading.attempt_window))


def _defer(reason: Reason, case: Case, day: int) -> Answer:
    return Answer(Verdict.DEFER, reason, midnight(case.territories, date_of(day)))


def _rules(reading: Reading) -> tuple[Rule, ...]:
    def rule(asks: str, answer: _Answering, *sources: Article) -> Rule:
        return Rule(asks, sources, partial(answer, reading))

    return (
        rule("is the sector banned", _sector, law.L223_1_5, law.L6323_8_1, law.R223_4),
        rule("did the person object", _objection, law.GDPR_21),
        rule("did the person refuse", _refusal, law.R223_3, law.L221_16, law.COOLING_OFF),
        rule("on what ground", _basis, *_GROUNDS),
        rule("which number is shown", _caller_id, law.L221_17, law.BARRED_RANGES, law.ARCEP),
        rule("which day and hour is it there", _hours, law.DAYS_AND_HOURS),
        rule("how often already", _attempts, law.FOUR_IN_THIRTY),
    )


_GROUNDS = (
    law.L223_1_1,
    law.L223_1_2,
    law.L223_1_3,
    law.L223_1_4,
    law.L223_5,
    law.R223_1,
    law.R223_3,
    law.R223_4,
    law.R112_7,
    law.L34_5,
    law.BLOCTEL,
)


@lru_cache
def rulebook(interpretation: Interpretation = Interpretation.CONSERVATIVE) -> Rulebook:
    """Give the French rulebook in one reading of the points the texts leave open."""
    reading = CONSERVATIVE if interpretation is Interpretation.CONSERVATIVE else LETTER
    return Rulebook(
        version=f"{VERSION}/{interpretation}",
        interpretation=interpretation,
        rules=_rules(reading),
        opening=reading.opening,
        steady=_without_slot,
        cap=partial(_cap, reading),
    )


def rulebook_of(version: str) -> Rulebook:
    """Give the rulebook that calls itself *version*. Raises `LookupError`, naming those known."""
    known = {book.version: book for book in map(rulebook, Interpretation)}
    if version not in known:
        msg = f"no rulebook {version!r} in this release, it has {', '.join(known)}"
        raise LookupError(msg)
    return known[version]


def _without_slot(ground: Facts) -> bool:
    """Whether no precise time was agreed: nothing else in French law begins within a quarter."""
    return not ground[1] >> 32
