"""What a rulebook is, and how its answers become one decision.

A rule is a small pure function beside the article it applies. It is given a `Case` and answers
DENY, DEFER until an instant, ALLOW with the ground of the call, or nothing: it does not object. A
permanent answer wins over a temporary one, then the order of the rules decides; a call that no
rule objects to is placed only if one of them gave it a ground.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from enum import StrEnum

import msgspec

from ringfence.call import Call
from ringfence.campaign import Campaign
from ringfence.decision import NOWHERE, Decision, Origin, Reason, Verdict
from ringfence.number import InvalidNumber, Number, Territory, parse
from ringfence.row import NO_GROUND, Ground, Restraint
from ringfence.rules.calendar import QUARTER, Opening, Quarter, quarter

__all__ = [
    "Answer",
    "Article",
    "Case",
    "Interpretation",
    "Rule",
    "Rulebook",
    "Terms",
    "decide",
    "explain",
    "number_of",
]

HORIZON = 400 * 86_400
"""Seconds ahead in which a `retry_at` is looked for."""

_MAX_DEFERRALS = 64  # each moves time forward to an instant before which the call cannot be allowed


class Interpretation(StrEnum):
    """How the texts are read where they are open (law/france.md, section 9)."""

    CONSERVATIVE = "conservative"
    LETTER = "letter"


class Article(msgspec.Struct, frozen=True):
    """The source of a rule."""

    name: str
    since: date
    """First day in force."""
    quote: str
    """The sentence applied, in French; empty for a choice that is the product's own."""


class Terms(msgspec.Struct, frozen=True, gc=False):
    """A campaign as the rules see it, with what is worked out once for all its calls."""

    campaign: Campaign
    texts: frozenset[int]
    """Indices of the consent texts on which its calls can rest."""
    canvassing: bool
    automated: bool
    unattended: bool

    @classmethod
    def of(cls, campaign: Campaign, texts: frozenset[int]) -> "Terms":
        mode = campaign.dial_mode
        return cls(campaign, texts, campaign.canvassing, mode.automated, mode.unattended)


class Case(msgspec.Struct, frozen=True, gc=False):
    """All that a rule may look at: the question, what is known, and the moment."""

    terms: Terms
    caller_id: str | None
    territories: tuple[Territory, ...]
    ground: Ground
    restraint: Restraint
    """Of the number; where the consumer is known too, whichever of the two restrains more."""
    at: float
    """Unix seconds."""
    quarter: Quarter


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What a rule says. With `until` it objects up to that instant; a DENY without: for ever."""

    verdict: Verdict
    reason: Reason
    until: int | None = None


class Rule(msgspec.Struct, frozen=True):
    """A question in the order it is asked, its source, and the function that answers it."""

    asks: str
    articles: tuple[Article, ...]
    answer: Callable[[Case], Answer | None]


class Rulebook(msgspec.Struct, frozen=True, kw_only=True):
    """The law of one country in one reading, with its version."""

    version: str
    interpretation: Interpretation
    rules: tuple[Rule, ...]
    opening: Opening

    def case(
        self,
        terms: Terms,
        call: Call,
        number: Number,
        ground: Ground,
        restraints: Sequence[Restraint],
        at: float,
    ) -> Case:
        territories = call.territories(number)
        now = quarter(self.opening, territories, int(at // QUARTER))
        restraint = restraints[0] if len(restraints) == 1 else _strictest(restraints)
        return Case(terms, call.caller_id, territories, ground, restraint, at, now)


def _strictest(restraints: Sequence[Restraint]) -> Restraint:
    """Of what restrains a number and a consumer, the stricter of each.

    Attempts are counted for each by itself: the newest of one are never added to those of another.
    """
    return Restraint(
        refused_on=max((r.refused_on for r in restraints), default=0),
        objected=any(r.objected for r in restraints),
        attempts=max((r.attempts for r in restraints), key=lambda a: a[::-1], default=(0, 0, 0, 0)),
        bloctel_until=max((r.bloctel_until for r in restraints), default=0),
    )


def decide(  # noqa: PLR0913 - all that a decision depends on, nothing hidden
    rulebook: Rulebook,
    terms: Terms | None,
    call: Call,
    ground: Ground | None,
    restraints: Sequence[Restraint],
    now: datetime,
    *,
    doubt: Reason | None = None,
    origin: Origin = NOWHERE,
    id: str = "",  # noqa: A002 - the decision's own field
) -> Decision:
    """Decide whether *call* may be placed at *now*. Pure: the same inputs, the same decision.

    *terms* is None where no such campaign is known. *doubt* is why the gate cannot vouch for the
    rows (design, section 8): then nothing permanent can be said of the person, and the answer is
    DEFER. Never raises for what the call holds.
    """
    number = number_of(call)
    at = now.timestamp()
    retry_at = None
    answer = _unanswerable(terms, number, doubt)
    if answer is None and terms is not None and number is not None:
        case = rulebook.case(terms, call, number, ground or NO_GROUND, restraints, at)
        answer = _ask(rulebook, case)
        if answer.verdict is Verdict.DEFER:
            retry_at = _retry_at(rulebook, case, answer)
    answer = answer or _SILENCE
    return Decision(answer.verdict, answer.reason, retry_at, rulebook.version, id, origin)


def number_of(call: Call) -> Number | None:
    """Read the number that is called; None if it is none."""
    try:
        return parse(call.to)
    except InvalidNumber:
        return None


def explain(
    rulebook: Rulebook,
    terms: Terms,
    call: Call,
    ground: Ground,
    restraints: Sequence[Restraint],
    now: datetime,
) -> list[tuple[Rule, Answer | None]]:
    """Give every rule's answer, in the order they are asked. The call must be well-formed."""
    case = rulebook.case(terms, call, parse(call.to), ground, restraints, now.timestamp())
    return [(rule, rule.answer(case)) for rule in rulebook.rules]


_INVALID_NUMBER = Answer(Verdict.DENY, Reason.INVALID_NUMBER)
_UNKNOWN_CAMPAIGN = Answer(Verdict.DENY, Reason.UNKNOWN_CAMPAIGN)
_UNSUPPORTED = Answer(Verdict.DENY, Reason.UNSUPPORTED_DESTINATION)


def _unanswerable(
    terms: Terms | None, number: Number | None, doubt: Reason | None
) -> Answer | None:
    if number is None:
        return _INVALID_NUMBER
    if terms is None and doubt is None:
        return _UNKNOWN_CAMPAIGN
    if not number.territories:
        return _UNSUPPORTED
    return None if doubt is None else Answer(Verdict.DEFER, doubt)


_SILENCE = Answer(Verdict.DENY, Reason.NO_GROUND)


def _ask(rulebook: Rulebook, case: Case) -> Answer:
    deferred = allowed = None
    for rule in rulebook.rules:
        answer = rule.answer(case)
        if answer is not None:
            if answer.verdict is Verdict.DENY:
                return answer
            if answer.verdict is Verdict.ALLOW:
                allowed = answer
            else:
                deferred = deferred or answer
    return deferred or allowed or _SILENCE  # silence is not permission


def _retry_at(rulebook: Rulebook, case: Case, answer: Answer) -> datetime | None:
    """Follow the deferrals: each names an instant before which the call cannot be allowed."""
    limit = case.at + HORIZON
    for _ in range(_MAX_DEFERRALS):
        if answer.until is None or not case.at < answer.until <= limit:
            return None
        now = quarter(rulebook.opening, case.territories, answer.until // QUARTER)
        case = msgspec.structs.replace(case, at=float(answer.until), quarter=now)
        answer = _ask(rulebook, case)
        if answer.verdict is Verdict.ALLOW:
            return datetime.fromtimestamp(case.at, UTC)
    return None
