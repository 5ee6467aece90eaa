"""Laws of the decision, over calls, rows and instants of every sort."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.laws.world import (
    STARTS,
    TEXTS,
    calls,
    events,
    grounds,
    moments,
    readings,
    restraining_events,
    restraints,
    terms,
)

from ringfence.call import Call
from ringfence.decision import Decision, Reason, Verdict
from ringfence.event import Event, Keys, Refusal
from ringfence.fold import fold_ground, fold_restraint, onto_restraint
from ringfence.number import METROPOLE, Number
from ringfence.row import NO_FACTS, NO_GROUND, Facts, Ground, Restraint, day_in, day_of
from ringfence.rules import france
from ringfence.rules.rulebook import Interpretation, Rulebook, Terms, decide, explain

QUARTER = timedelta(minutes=15)
YEAR = timedelta(days=366)

DOUBTS = [
    Reason.NOT_READY, Reason.STALE, Reason.DIVERGED,
    Reason.CLOCK_SKEW, Reason.FORKED, Reason.EVIDENCE_UNAVAILABLE,
    Reason.ATTEMPT_UNCONFIRMED,
]  # fmt: skip
ABOUT_THE_QUESTION = {Reason.INVALID_NUMBER, Reason.UNSUPPORTED_DESTINATION}


class Question(msgspec.Struct, frozen=True):
    """All that a decision depends on."""

    reading: Interpretation
    terms: Terms
    call: Call
    ground: Ground
    restraints: tuple[Restraint, ...]
    now: datetime

    @property
    def book(self) -> Rulebook:
        return france.rulebook(self.reading)

    def ask(self, now: datetime | None = None) -> Decision:
        ground, restraints = self.rows
        return decide(self.book, self.terms, self.call, ground, restraints, now or self.now)

    @property
    def rows(self) -> tuple[Facts, list[Facts]]:
        return self.ground.pack(), [r.pack() for r in self.restraints]


@st.composite
def questions(draw: st.DrawFn) -> Question:
    now = draw(moments)
    rows = [draw(restraints(now)) for _ in range(draw(st.sampled_from([1, 1, 1, 2])))]
    return Question(draw(readings), draw(terms), draw(calls), draw(grounds(now)), tuple(rows), now)


# --- pure, total, and never true by accident ------------------------------------------------------


@contextmanager
def operator_in(zone: str) -> Iterator[None]:
    before = os.environ["TZ"]
    os.environ["TZ"] = zone
    time.tzset()
    try:
        yield
    finally:
        os.environ["TZ"] = before
        time.tzset()


@given(question=questions(), other=questions())
def test_the_same_question_has_the_same_answer_whatever_was_asked_before_and_wherever(
    question: Question, other: Question
) -> None:
    """No clock, no state, and the operator's time zone plays no part."""
    answer = question.ask()

    for zone in ("Asia/Tokyo", "America/Los_Angeles"):
        with operator_in(zone):
            other.ask()
            assert question.ask() == answer
            assert question.ask(question.now.astimezone()) == answer


numeric = st.text("+0123456789 ().-/\u00a0", max_size=44)
anything = st.text(st.characters(exclude_categories=[]), max_size=80)


@given(
    question=questions(),
    to=numeric | anything,
    caller_id=numeric | anything | st.none(),
    campaign=anything,
)
def test_nothing_that_a_call_says_makes_a_decision_fail(
    question: Question, to: str, caller_id: str | None, campaign: str
) -> None:
    call = Call(to=to, campaign=campaign, caller_id=caller_id, reference=to)

    decision = msgspec.structs.replace(question, call=call).ask()

    assert decision.verdict in Verdict
    assert decide(question.book, None, call, NO_FACTS, (), question.now).verdict is Verdict.DENY


@given(question=questions(), shown=numeric | anything)
def test_a_number_that_is_not_listed_is_never_shown(question: Question, shown: str) -> None:
    call = msgspec.structs.replace(question.call, caller_id="+" + shown + "7")

    assert not msgspec.structs.replace(question, call=call).ask()


@given(
    question=questions(), doubt=st.sampled_from(DOUBTS), to=st.none() | numeric, known=st.booleans()
)
def test_in_doubt_nothing_is_allowed_and_nothing_said_of_the_person(
    question: Question, doubt: Reason, to: str | None, *, known: bool
) -> None:
    """Design, section 8."""
    call = question.call if to is None else msgspec.structs.replace(question.call, to=to)
    q = question

    decision = decide(q.book, q.terms if known else None, call, *q.rows, q.now, doubt=doubt)

    if decision.verdict is Verdict.DENY:
        assert decision.reason in ABOUT_THE_QUESTION
    else:
        assert (decision.verdict, decision.reason) == (Verdict.DEFER, doubt)
    assert decision.retry_at is None


@given(question=questions())
def test_a_decision_is_true_exactly_if_it_allows(question: Question) -> None:
    decision = question.ask()

    assert bool(decision) is decision.allowed is (decision.verdict is Verdict.ALLOW)
    assert (decision.retry_at is None) or decision.verdict is Verdict.DEFER


@given(question=questions())
def test_the_decision_is_one_of_the_answers_of_the_explanation(question: Question) -> None:
    """A permanent answer first, then the order of the rules."""
    q, decision = question, question.ask()

    said = [a for _, a in explain(q.book, q.terms, q.call, q.rows, q.now) if a]

    first = next(
        answer
        for verdict in (Verdict.DENY, Verdict.DEFER, Verdict.ALLOW)
        for answer in said
        if answer.verdict is verdict
    )
    assert (decision.verdict, decision.reason) == (first.verdict, first.reason)


@given(question=questions())
def test_rules_read_the_same_from_a_packed_row(question: Question) -> None:
    q = question
    (number,) = q.restraints[:1]
    places = q.call.territories(Number("", (METROPOLE,)))
    packed = q.book.case(q.terms, places, q.call.caller_id, (q.rows[0], q.rows[1][:1]), 0.0)
    whole = msgspec.structs.replace(packed, ground=q.ground, restraint=number)

    assert [r.answer(packed) for r in q.book.rules] == [r.answer(whole) for r in q.book.rules]


@given(question=questions(), seconds=st.floats(0, 900, exclude_max=True))
def test_what_is_remembered_for_a_quarter_is_what_would_be_answered_in_it(
    question: Question, seconds: float
) -> None:
    """Remembering an answer changes nothing but the time it takes."""
    ground, restraints = question.rows
    forgetful = msgspec.structs.replace(question.book, steady=lambda _: False)
    begins = question.now.timestamp() // 900 * 900
    at = datetime.fromtimestamp(begins + seconds, UTC)

    afresh = decide(forgetful, question.terms, question.call, ground, restraints, at)

    assert question.ask(at) == afresh


@given(question=questions(), ahead=st.integers(0, 40))
def test_no_ground_is_no_consent(question: Question, ahead: int) -> None:
    """An empty table never ends in ALLOW since 11 August 2026, but where no ground is needed."""
    empty = msgspec.structs.replace(question, ground=NO_GROUND, restraints=())
    now = max(question.now, datetime(2026, 8, 11, tzinfo=UTC)) + ahead * YEAR / 40

    decision = empty.ask(now)

    if decision:
        assert decision.reason in {Reason.PRESS, Reason.BUSINESS, Reason.NOT_CANVASSING}


# --- when to ask again ----------------------------------------------------------------------------


@given(question=questions(), data=st.data())
def test_the_retry_is_the_first_instant_at_which_the_call_is_allowed(
    question: Question, data: st.DataObject
) -> None:
    decision = question.ask()
    if decision.retry_at is None:
        return
    now, retry = question.now, decision.retry_at
    start = now.replace(minute=0, second=0)
    quarters = int((retry - start) / QUARTER)
    sampled = data.draw(st.lists(st.integers(0, quarters), max_size=10))

    assert retry > now
    assert question.ask(retry)
    for earlier in [retry - timedelta(seconds=1), *(start + n * QUARTER for n in sampled)]:
        if now <= earlier < retry:
            assert not question.ask(earlier), earlier


@given(question=questions(), data=st.data())
def test_without_a_retry_the_call_is_not_allowed_within_a_year(
    question: Question, data: st.DataObject
) -> None:
    """DENY: time alone will not change it. But an entry on the opposition list had its end."""
    decision = question.ask()
    if decision or decision.retry_at is not None or decision.reason is Reason.BLOCTEL:
        return
    first = question.now.replace(minute=0, second=0)
    near = data.draw(st.lists(st.integers(1, 4 * 24 * 20), max_size=10))
    far = data.draw(st.lists(st.integers(1, 4 * 24 * 366), max_size=10))

    for later in (first + n * QUARTER for n in near + far):
        if later > question.now:
            assert not question.ask(later), later


# --- restraints are monotone ----------------------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn) -> tuple[Question, list[Event], Event]:
    """Draw what happened, something more that restrains, and a question asked after both."""
    start = draw(st.sampled_from(STARTS))
    now = start + timedelta(days=3) + draw(st.integers(0, 4 * 24 * 75)) * QUARTER
    question = msgspec.structs.replace(draw(questions()), now=now)
    return question, draw(events(start)), draw(restraining_events(start))


def knowing(question: Question, told: list[Event]) -> Question:
    return msgspec.structs.replace(
        question, ground=fold_ground(told, TEXTS), restraints=(fold_restraint(told),)
    )


@given(history=histories())
def test_what_restrains_never_turns_an_answer_into_allow(
    history: tuple[Question, list[Event], Event],
) -> None:
    """At whatever instant it was said, that of another statement included."""
    question, told, more = history
    before, after = knowing(question, told).ask(), knowing(question, [*told, more]).ask()

    assert before or not after


@given(history=histories())
def test_what_restrains_never_brings_the_retry_forward(
    history: tuple[Question, list[Event], Event],
) -> None:
    question, told, more = history
    before, after = knowing(question, told).ask(), knowing(question, [*told, more]).ask()

    if before.verdict is Verdict.DEFER and after.retry_at is not None:
        assert before.retry_at is not None
        assert before.retry_at <= after.retry_at


@given(history=histories(), quarters=st.integers(0, 4 * 24 * 59))
def test_for_sixty_days_after_a_refusal_nothing_said_until_then_carries_the_call(
    history: tuple[Question, list[Event], Event], quarters: int
) -> None:
    """Whatever it was, and at the same instant too."""
    question, told, _ = history
    at = max((event.stated().at for event in told), default=question.now)
    refusal = Refusal(id="e", at=at, on=day_in("Europe/Paris", at), keys=Keys(number=1))

    decision = knowing(question, [*told, refusal]).ask(at + quarters * QUARTER)

    assert not (decision and question.terms.canvassing)


@given(question=questions(), whose=st.integers(0, 1))
def test_after_four_attempts_today_no_fifth_passes(question: Question, whose: int) -> None:
    """Neither of the number nor of the person."""
    today = day_of(question.now.date())
    rows = [Restraint(), Restraint()]
    rows[whose] = Restraint(attempts=(today, today, today, today))

    decision = msgspec.structs.replace(question, restraints=tuple(rows)).ask()

    assert not (decision and question.terms.canvassing)


@given(history=histories(), data=st.data())
def test_a_gate_with_events_of_its_own_allows_no_more_than_the_ledger_will(
    history: tuple[Question, list[Event], Event], data: st.DataObject
) -> None:
    question, told, more = history
    split = data.draw(st.integers(0, len(told)))
    known, own = told[:split], [*told[split:], more]
    ground = fold_ground(told, TEXTS)

    shown = onto_restraint(fold_restraint(known), own)
    will_be = fold_restraint(known + own)
    gate, ledger = (
        msgspec.structs.replace(question, ground=ground, restraints=(row,))
        for row in (shown, will_be)
    )

    assert ledger.ask() or not gate.ask()
