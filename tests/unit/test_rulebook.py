from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

import msgspec
import pytest

from ringfence.call import Call
from ringfence.campaign import Campaign, DialMode
from ringfence.decision import Decision, Origin, Reason, Verdict
from ringfence.row import NO_FACTS, NO_RESTRAINT, Ground, Restraint
from ringfence.rules import rulebook
from ringfence.rules.calendar import Opening
from ringfence.rules.rulebook import (
    HORIZON,
    Answer,
    Article,
    Case,
    Interpretation,
    Rule,
    Rulebook,
    Terms,
    _Memory,
    decide,
    explain,
)

NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
TERMS = Terms.of(
    Campaign(
        principal="acme",
        purpose="fibre",
        sector="telecom",
        operator="callco",
        dial_mode=DialMode.PREVIEW,
        caller_ids=frozenset(["+33162000001"]),
    ),
    frozenset([1]),
)
CALL = Call(to="+33639980001", campaign="acme-fibre", caller_id="+33162000001", id="c1")
ARTICLE = Article("art. 1", date(2026, 8, 11), "Il est interdit […]")

Question = Callable[[Case], Answer | None]

ALLOW = Answer(Verdict.ALLOW, Reason.CONSENT)
REFUSED = Answer(Verdict.DENY, Reason.REFUSED)
OBJECTED = Answer(Verdict.DENY, Reason.OBJECTED)


def book(*questions: Question) -> Rulebook:
    return Rulebook(
        version="test/1",
        interpretation=Interpretation.CONSERVATIVE,
        rules=tuple(Rule(f"question {n}", (ARTICLE,), q) for n, q in enumerate(questions)),
        opening=Opening(frozenset(range(5)), ((time(10), time(20)),), local_holidays=True),
    )


def always(answer: Answer | None) -> Question:
    return lambda _case: answer


def after(seconds: int, reason: Reason = Reason.OUTSIDE_HOURS) -> Question:
    """Say "not before so many seconds from NOW"."""
    until = int(NOW.timestamp()) + seconds
    return lambda case: Answer(Verdict.DEFER, reason, until) if case.at < until else None


def ask(*questions: Question) -> Decision:
    return decide(book(*questions), TERMS, CALL, NO_FACTS, (), NOW)


def test_silence_is_not_permission() -> None:
    assert ask().verdict is Verdict.DENY
    assert ask(always(None)) == Decision(Verdict.DENY, Reason.NO_GROUND, None, "test/1")


def test_a_ground_that_no_rule_objects_to_is_the_answer() -> None:
    assert ask(always(None), always(ALLOW), always(None)).reason is Reason.CONSENT


def test_a_permanent_reason_wins_over_a_temporary_one_asked_before() -> None:
    decision = ask(always(ALLOW), after(60), always(REFUSED))

    assert (decision.verdict, decision.reason, decision.retry_at) == (
        Verdict.DENY,
        Reason.REFUSED,
        None,
    )


def test_of_two_permanent_or_two_temporary_reasons_the_first_asked_wins() -> None:
    assert ask(always(OBJECTED), always(REFUSED)).reason is Reason.OBJECTED
    assert ask(after(60, Reason.REFUSED), after(9, Reason.HOLIDAY)).reason is Reason.REFUSED


def test_an_objection_of_one_rule_wins_over_the_ground_of_another() -> None:
    assert ask(always(ALLOW), after(60)).verdict is Verdict.DEFER
    assert ask(always(ALLOW), always(REFUSED)).verdict is Verdict.DENY


def test_the_retry_follows_one_deferral_after_the_other() -> None:
    decision = ask(after(60), after(3600, Reason.ATTEMPT_LIMIT), after(7200), always(ALLOW))

    assert decision.reason is Reason.OUTSIDE_HOURS
    assert decision.retry_at == NOW + timedelta(hours=2)


def test_no_retry_is_promised_where_a_permanent_reason_waits() -> None:
    """When the ground will have ended by then."""

    def ends(case: Case) -> Answer | None:
        return ALLOW if case.at < NOW.timestamp() + 30 else REFUSED

    decision = ask(ends, after(60))

    assert (decision.verdict, decision.retry_at) == (Verdict.DEFER, None)


def test_no_retry_is_promised_where_no_ground_waits() -> None:
    assert ask(after(60)).retry_at is None


def test_a_rule_that_knows_no_instant_promises_none() -> None:
    never = Answer(Verdict.DEFER, Reason.OUTSIDE_HOURS)

    assert ask(always(never), always(ALLOW)).retry_at is None


@pytest.mark.parametrize("until", [NOW.timestamp() - 1, NOW.timestamp()])
def test_a_rule_that_names_an_instant_gone_by_ends_the_search(until: float) -> None:
    stuck = Answer(Verdict.DEFER, Reason.OUTSIDE_HOURS, int(until))

    assert ask(always(stuck), always(ALLOW)).retry_at is None


def test_a_retry_is_looked_for_a_year_ahead_and_not_for_ever() -> None:
    assert ask(after(HORIZON), always(ALLOW)).retry_at == NOW + timedelta(seconds=HORIZON)
    assert ask(after(HORIZON + 1), always(ALLOW)).retry_at is None


def test_rules_that_defer_each_other_for_ever_end_without_a_promise() -> None:
    def a_minute_more(case: Case) -> Answer:
        return Answer(Verdict.DEFER, Reason.OUTSIDE_HOURS, int(case.at) + 60)

    assert ask(a_minute_more).retry_at is None


@pytest.mark.parametrize("to", ["", "0639980001x", "\ud800", "9" * 10_000, "+33"])
def test_a_text_that_is_no_number_is_denied(to: str) -> None:
    call = Call(to=to, campaign="acme-fibre")

    decision = decide(book(always(ALLOW)), TERMS, call, NO_FACTS, (), NOW)

    assert (decision.verdict, decision.reason) == (Verdict.DENY, Reason.INVALID_NUMBER)


def test_a_destination_without_a_rulebook_is_denied() -> None:
    """Today: outside +33, +262, +590, +594, +596, +508 (design, section 6)."""
    call = Call(to="+32470123456", campaign="acme-fibre")

    decision = decide(book(always(ALLOW)), TERMS, call, NO_FACTS, (), NOW)

    assert (decision.verdict, decision.reason) == (Verdict.DENY, Reason.UNSUPPORTED_DESTINATION)


def test_a_campaign_that_is_not_known_is_denied_and_a_bad_number_goes_before() -> None:
    unknown = decide(book(always(ALLOW)), None, CALL, NO_FACTS, (), NOW)
    bad = decide(book(always(ALLOW)), None, Call(to="?", campaign="c"), NO_FACTS, (), NOW)

    assert (unknown.verdict, unknown.reason) == (Verdict.DENY, Reason.UNKNOWN_CAMPAIGN)
    assert bad.reason is Reason.INVALID_NUMBER


OBJECTION = Restraint(objected=True)
DOUBTS = [
    Reason.NOT_READY, Reason.STALE, Reason.DIVERGED,
    Reason.CLOCK_SKEW, Reason.FORKED, Reason.EVIDENCE_UNAVAILABLE,
    Reason.ATTEMPT_UNCONFIRMED,
]  # fmt: skip


@pytest.mark.parametrize("doubt", DOUBTS)
def test_a_gate_in_doubt_defers_whatever_it_holds(doubt: Reason) -> None:
    """Design, section 8: never ALLOW, and nothing permanent about the person."""
    for rule in (ALLOW, REFUSED, None):
        decision = decide(
            book(always(rule)), TERMS, CALL, NO_FACTS, [OBJECTION.pack()], NOW, doubt=doubt
        )

        assert (decision.verdict, decision.reason) == (Verdict.DEFER, doubt)
        assert decision.retry_at is None
        assert not decision


def test_answers_are_remembered_for_their_question_and_only_so_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What one quarter, rulebook, campaign or row was told says nothing of another."""
    asked: list[Case] = []

    def look(case: Case) -> Answer:
        asked.append(case)
        return ALLOW if case.ground.text else REFUSED

    def told(ground: Ground, at: datetime) -> tuple[bool, int]:
        return bool(decide(steady, TERMS, CALL, ground.pack(), (), at)), len(asked)

    memory = _Memory(2)
    monkeypatch.setattr(rulebook, "_remembered", memory)
    steady = msgspec.structs.replace(book(look), steady=lambda _: True)
    later = NOW + timedelta(minutes=15)

    assert told(Ground(text=1), NOW) == (True, 1)
    assert told(Ground(text=1), NOW + timedelta(minutes=14)) == (True, 1)
    assert told(Ground(text=0), NOW) == (False, 2)
    assert told(Ground(text=1), later) == (True, 3)
    assert told(Ground(text=0), NOW) == (False, 3)
    assert told(Ground(text=1), NOW) == (True, 4)  # it had made room
    assert not decide(book(always(None)), TERMS, CALL, Ground(text=1).pack(), (), later)
    assert (len(memory._answers), len(memory._asked)) == (2, 2)


def test_a_gate_without_its_campaigns_defers_and_does_not_deny_them() -> None:
    decision = decide(book(), None, CALL, NO_FACTS, (), NOW, doubt=Reason.NOT_READY)

    assert (decision.verdict, decision.reason) == (Verdict.DEFER, Reason.NOT_READY)


def test_what_is_wrong_with_the_question_is_said_even_in_doubt() -> None:
    call = Call(to="0639980001x", campaign="acme-fibre")

    decision = decide(book(), TERMS, call, NO_FACTS, (), NOW, doubt=Reason.STALE)

    assert decision.reason is Reason.INVALID_NUMBER


def test_a_decision_says_where_it_came_from() -> None:
    origin = Origin(epoch=3, seq=17, age=0.5)

    for terms in (TERMS, None):
        decision = decide(
            book(always(ALLOW)), terms, CALL, NO_FACTS, (), NOW, origin=origin, id="d1"
        )
        assert (decision.rulebook, decision.id, decision.origin) == ("test/1", "d1", origin)


def test_a_decision_is_true_exactly_if_the_call_may_be_placed() -> None:
    for verdict in Verdict:
        decision = Decision(verdict, Reason.CONSENT)
        assert bool(decision) is decision.allowed is (verdict is Verdict.ALLOW)


def test_rules_see_the_rows_the_instant_and_the_place() -> None:
    seen: list[Case] = []

    def look(case: Case) -> Answer:
        seen.append(case)
        return ALLOW

    ground, restraint = Ground(text=1), Restraint(refused_on=1)
    call = Call(to="06 39 98 00 01", campaign="acme-fibre", caller_id="x", department="974")

    decide(book(look), TERMS, call, ground.pack(), [restraint.pack()], NOW)

    (case,) = seen
    assert (case.terms, case.ground, case.restraint) == (TERMS, ground, restraint)
    assert (case.caller_id, case.at) == ("x", NOW.timestamp())
    assert [t.code for t in case.territories] == ["RE"]


def test_of_a_number_and_its_owner_the_stricter_holds_in_each_respect() -> None:
    """An attempt may be filed under both; of one day the row that has more of them is believed."""
    seen: list[Restraint] = []

    def look(case: Case) -> Answer:
        seen.append(case.restraint)
        return ALLOW

    number = Restraint(refused_on=5, attempts=(9, 8, 7, 0), bloctel_until=1)
    person = Restraint(objected=True, attempts=(8, 8, 4, 3), bloctel_until=2)

    for restraints in ((number, person), (person, number), (number,), ()):
        decide(book(look), TERMS, CALL, NO_FACTS, [r.pack() for r in restraints], NOW)

    both = Restraint(refused_on=5, objected=True, attempts=(9, 8, 8, 7), bloctel_until=2)
    assert seen == [both, both, number, NO_RESTRAINT]


def test_an_explanation_gives_every_rule_with_its_article_in_order() -> None:
    questions = (always(REFUSED), always(None), always(ALLOW), after(60))

    answers = explain(book(*questions), TERMS, CALL, (NO_FACTS, ()), NOW)

    assert [rule.asks for rule, _ in answers] == [f"question {n}" for n in range(4)]
    assert [answer and answer.reason for _, answer in answers] == [
        Reason.REFUSED,
        None,
        Reason.CONSENT,
        Reason.OUTSIDE_HOURS,
    ]
    assert {rule.articles for rule, _ in answers} == {(ARTICLE,)}
