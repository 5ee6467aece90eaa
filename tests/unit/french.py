"""A campaign in France, rows by their dates, and a decision in few words."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import msgspec

from ringfence.call import Call
from ringfence.campaign import Campaign, DialMode
from ringfence.row import NO_GROUND, OPEN_END, Ground, Restraint, day_of
from ringfence.rules import france
from ringfence.rules.rulebook import Interpretation, Rulebook, Terms, decide

CAREFUL = france.rulebook()
LETTER = france.rulebook(Interpretation.LETTER)

SOUND, DEFECTIVE = 1, 2
VERIFIED, ORDINARY = "+33162000001", "+33199000001"
FIBRE = Campaign(
    principal="acme",
    purpose="fibre",
    sector="telecom",
    operator="callco",
    dial_mode=DialMode.PREVIEW,
    caller_ids=frozenset([VERIFIED, ORDINARY, "+33639980099", "+33892000001"]),
)


def day(text: str) -> int:
    return day_of(date.fromisoformat(text))


def campaign(**changes: object) -> Campaign:
    return msgspec.structs.replace(FIBRE, **changes)


def consent(given: str, until: str | None = None, text: int = SOUND) -> Ground:
    return Ground(text=text, consent_from=day(given), consent_until=day(until) if until else 0)


def refused(on: str) -> Restraint:
    return Restraint(refused_on=day(on))


def slot(clock: str, minutes: int = 0) -> Ground:
    start = datetime.fromisoformat(clock).replace(tzinfo=ZoneInfo("Europe/Paris"))
    return msgspec.structs.replace(CONSENTED, slot_at=int(start.timestamp()), slot_minutes=minutes)


def attempts(*days: str) -> Restraint:
    newest = sorted((day(d) for d in days), reverse=True)
    first, second, third, fourth = [*newest, 0, 0, 0, 0][:4]
    return Restraint(attempts=(first, second, third, fourth))


CONSENTED = consent("2026-09-01")
CUSTOMER = Ground(contract_until=OPEN_END)


def says(
    clock: str,
    ground: Ground = NO_GROUND,
    *restraints: Restraint,
    of: Campaign = FIBRE,
    book: Rulebook = CAREFUL,
    **call: str,
) -> str:
    """Decide at an instant of the clocks of Paris: "allow consent", "defer holiday until …"."""
    now = datetime.fromisoformat(clock).replace(tzinfo=ZoneInfo("Europe/Paris"))
    asked = Call(**{"to": "+33639980001", "campaign": "c", "caller_id": VERIFIED, **call})

    terms, rows = Terms.of(of, frozenset([SOUND])), [r.pack() for r in restraints]

    decision = decide(book, terms, asked, ground.pack(), rows, now)

    words = f"{decision.verdict} {decision.reason}"
    if decision.retry_at is None:
        return words
    assert decision.retry_at.tzinfo is UTC
    return f"{words} until {decision.retry_at.astimezone(now.tzinfo):%Y-%m-%d %H:%M}"
