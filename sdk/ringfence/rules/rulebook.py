"""What a rulebook is, and how its answers become one decision.

A rule is a small pure function beside the article it applies. It is given a `Case` and answers
DENY, DEFER until an instant, ALLOW with the ground of the call, or nothing: it does not object. A
permanent answer wins over a temporary one, then the order of the rules decides; a call that no
rule objects to is placed only if one of them gave it a ground.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from math import floor
from typing import TypeAlias

import msgspec

from ringfence.call import Call
from ringfence.campaign import Campaign
from ringfence.decision import NOWHERE, Decision, Origin, Reason, Verdict
from ringfence.event import Cap
from ringfence.number import InvalidNumber, Number, Territory, parse
from ringfence.row import Attempts, Facts, Ground, Restraint
from ringfence.rules.calendar import QUARTER, Opening, Quarter, quarter

__all__ = [
    "Answer",
    "Article",
    "Case",
    "Interpretation",
    "Judged",
    "Rule",
    "Rulebook",
    "Terms",
    "decide",
    "explain",
    "judge",
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


class Terms(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A campaign as the rules see it, with what is worked out once for all its calls.

    Told apart by identity, which costs a decision least.
    """

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


def _never(_ground: Facts) -> bool:
    return False


def _uncapped(_case: Case) -> Cap | None:
    return None


class Rulebook(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The law of one country in one reading, with its version. Told apart by identity."""

    version: str
    interpretation: Interpretation
    rules: tuple[Rule, ...]
    opening: Opening
    steady: Callable[[Facts], bool] = _never
    """Whether on this ground the rules look at the quarter of an hour and never at the instant;
    what they answer is then remembered for the quarter."""
    cap: Callable[[Case], Cap | None] = _uncapped
    """How many attempts there may be before the one that is asked about; None: any number."""

    def case(
        self,
        terms: Terms,
        places: tuple[Territory, ...],
        caller_id: str | None,
        rows: tuple[Facts, Sequence[Facts]],
        at: float,
    ) -> Case:
        """Make a case of a question; *rows* are that of the ground and those of the restraints."""
        ground, restraints = Ground.unpack(rows[0]), list(map(Restraint.unpack, rows[1]))
        restraint = restraints[0] if len(restraints) == 1 else _strictest(restraints)
        now = quarter(self.opening, places, int(at // QUARTER))
        return Case(terms, caller_id, places, ground, restraint, at, now)


def _strictest(restraints: Sequence[Restraint]) -> Restraint:
    """Of what restrains a number and a consumer, the stricter of each."""
    return Restraint(
        refused_on=max((r.refused_on for r in restraints), default=0),
        objected=any(r.objected for r in restraints),
        attempts=_together([r.attempts for r in restraints]),
        bloctel_until=max((r.bloctel_until for r in restraints), default=0),
    )


def _together(told: Sequence[Attempts]) -> Attempts:
    """Count attempts on a number and on a consumer as those on one person.

    An attempt may be filed under both, and a row only tells days: of one day, the row that has more
    attempts is believed.
    """
    days = Counter[int]()
    for attempts in told:
        days |= Counter(attempts)
    first, second, third, fourth, *_ = sorted([*days.elements(), 0, 0, 0, 0], reverse=True)
    return first, second, third, fourth


class Judged(msgspec.Struct, frozen=True, gc=False):
    """What the rules come to."""

    verdict: Verdict
    reason: Reason
    retry_at: datetime | None = None


def decide(  # noqa: PLR0913 - all that a decision depends on, nothing hidden
    rulebook: Rulebook,
    terms: Terms | None,
    call: Call,
    ground: Facts,
    restraints: Sequence[Facts],
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
    judged = judge(
        rulebook,
        terms,
        None if number is None else call.territories(number),
        call.caller_id,
        (ground, tuple(restraints)),
        now.timestamp(),
        doubt=doubt,
    )
    return Decision(judged.verdict, judged.reason, judged.retry_at, rulebook.version, id, origin)


def judge(  # noqa: PLR0913, PLR0917 - what `decide` depends on; naming one costs each decision
    rulebook: Rulebook,
    terms: Terms | None,
    places: tuple[Territory, ...] | None,
    caller_id: str | None,
    rows: tuple[Facts, tuple[Facts, ...]],
    at: float,
    doubt: Reason | None = None,
) -> Judged:
    """Decide on what is left of a call once its number has been read: gates do, and replays.

    *places* are where the consumer may be: None for a number that is none, empty for one outside
    the rulebook. *rows* are that of the ground, and those of the restraints; *at* is Unix seconds.
    """
    if places is None:
        return _INVALID_NUMBER
    if terms is None and doubt is None:
        return _UNKNOWN_CAMPAIGN
    if not places:
        return _UNSUPPORTED
    if terms is None or doubt is not None:
        return Judged(Verdict.DEFER, doubt or Reason.NOT_READY)
    question = rulebook, terms, places, caller_id, rows, floor(at) // QUARTER
    return _remembered.get(question) or _judge(question, at)


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
    rows: tuple[Facts, Sequence[Facts]],
    now: datetime,
) -> list[tuple[Rule, Answer | None]]:
    """Give every rule's answer, in the order they are asked. The call must be well-formed."""
    places = call.territories(parse(call.to))
    case = rulebook.case(terms, places, call.caller_id, rows, now.timestamp())
    return [(rule, rule.answer(case)) for rule in rulebook.rules]


_INVALID_NUMBER = Judged(Verdict.DENY, Reason.INVALID_NUMBER)
_UNKNOWN_CAMPAIGN = Judged(Verdict.DENY, Reason.UNKNOWN_CAMPAIGN)
_UNSUPPORTED = Judged(Verdict.DENY, Reason.UNSUPPORTED_DESTINATION)


_Question: TypeAlias = tuple[
    Rulebook,
    Terms,
    tuple[Territory, ...],
    str | None,
    tuple[Facts, tuple[Facts, ...]],
    int,
]
"""All that an answer depends on where the rules do not look at the instant, but at its quarter."""


class _Memory:
    """Answers to the questions asked last; a new one takes the place of the oldest.

    An `lru_cache` costs each decision 0.2 µs more: it is asked by a call with all the arguments,
    and moves what it finds to the front.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._answers: dict[_Question, Judged] = {}
        self._asked = deque[_Question]()
        self.get = self._answers.get

    def keep(self, question: _Question, answer: Judged) -> None:
        self._answers[question] = answer
        self._asked.append(question)
        if len(self._asked) > self._size:
            self._answers.pop(self._asked.popleft(), None)

    def clear(self) -> None:
        self._asked.clear()
        self._answers.clear()


_remembered = _Memory(1 << 15)


def _judge(question: _Question, at: float) -> Judged:
    rulebook, terms, places, caller_id, rows, index = question
    steady = rulebook.steady(rows[0])
    case = rulebook.case(terms, places, caller_id, rows, float(index * QUARTER) if steady else at)
    answer = _ask(rulebook, case)
    retry_at = _retry_at(rulebook, case, answer) if answer.verdict is Verdict.DEFER else None
    judged = Judged(answer.verdict, answer.reason, retry_at)
    if steady:
        _remembered.keep(question, judged)
    return judged


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
    limit = case.at // QUARTER * QUARTER + HORIZON
    for _ in range(_MAX_DEFERRALS):
        if answer.until is None or not case.at < answer.until <= limit:
            return None
        now = quarter(rulebook.opening, case.territories, answer.until // QUARTER)
        case = msgspec.structs.replace(case, at=float(answer.until), quarter=now)
        answer = _ask(rulebook, case)
        if answer.verdict is Verdict.ALLOW:
            return datetime.fromtimestamp(case.at, UTC)
    return None
