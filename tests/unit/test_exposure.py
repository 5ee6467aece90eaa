"""A campaign's month: what is counted, and how."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tests.unit.dossiers import (
    COVER,
    FIBRE,
    NUMBER,
    OTHER,
    RELEASE,
    World,
    at,
    text_of,
)

from ringfence.call import Outcome
from ringfence.campaign import Audience, Campaign
from ringfence.decision import Reason, Verdict
from ringfence.dossier.attempts import WINDOW, Attempts, Log
from ringfence.dossier.chains import Evidence
from ringfence.dossier.delay import GateDelay, Said, Spread, Watch
from ringfence.dossier.exposure import Exposure, Question, expose
from ringfence.dossier.exposure_paper import print_exposure
from ringfence.dossier.exposure_screen import draw_exposure
from ringfence.dossier.liability import BREACHES, liability
from ringfence.dossier.month import BadMonth, Month, day_index
from ringfence.dossier.tally import Counted
from ringfence.dossier.tongue import ENGLISH, FRENCH, Tongue
from ringfence.event import Attempt, Consent, Keys, Objection, Refusal, Withdrawal
from ringfence.evidence.record import Configured, Learned, Opened, Place
from ringfence.wire import ChainHead, Config

NOVEMBER = Month.parse("2026-11")
THIRD = "+33639980003"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def exposure(world: World, terms: Campaign = FIBRE, campaign: str = "acme-fibre") -> Exposure:
    question = Question(campaign, terms, NOVEMBER, RELEASE)
    with world.archive() as archive:
        evidence = world.evidence() if world.folders else Evidence([])
        return expose(question, archive, evidence, at("2026-12-01T09:00"))


# --- months ---------------------------------------------------------------------------------------


def test_a_month_has_its_days_and_begins_at_midnight_in_paris() -> None:
    bounds = NOVEMBER.bounds

    assert (len(NOVEMBER.days), NOVEMBER.last, str(NOVEMBER)) == (
        30,
        date(2026, 11, 30),
        "2026-11",
    )
    assert day_index(bounds, at("2026-11-01T00:00").timestamp()) == 0
    assert day_index(bounds, at("2026-10-31T23:59").timestamp()) is None
    assert day_index(bounds, at("2026-11-30T23:59").timestamp()) == 29
    assert day_index(bounds, at("2026-12-01T00:00").timestamp()) is None


@pytest.mark.parametrize("text", ["2026-13", "2026-1", "nov", "1999-01", "2026-11-01", ""])
def test_what_is_no_month_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadMonth, match="2026-11"):
        Month.parse(text)


# --- decisions ------------------------------------------------------------------------------------


def test_decisions_are_counted_and_the_persons_beside(world: World) -> None:
    gate = world.gate()
    for clock in ("2026-11-02T10:00", "2026-11-03T10:00", "2026-11-03T11:00"):
        gate.decide(clock, Verdict.DENY, Reason.NO_GROUND)
    gate.decide("2026-11-03T10:00", Verdict.DENY, Reason.REFUSED, to=OTHER)
    gate.decide("2026-11-03T10:00", Verdict.DEFER, Reason.HOLIDAY)
    gate.decide("2026-11-03T12:00", Verdict.DENY, Reason.NO_GROUND, campaign="acme-cover")
    gate.decide("2026-10-31T23:59", Verdict.DENY, Reason.NO_GROUND)
    gate.decide("2026-12-01T00:00", Verdict.DENY, Reason.NO_GROUND)

    told = exposure(world)

    assert (told.asked, told.denied) == (Counted(5, 2), Counted(4, 2))
    assert (told.deferred, told.allowed) == (Counted(1, 1), Counted(0, 0))
    assert [(r.verdict, r.reason, r.decisions, r.persons) for r in told.reasons] == [
        (Verdict.DEFER, Reason.HOLIDAY, 1, 1),
        (Verdict.DENY, Reason.NO_GROUND, 3, 1),
        (Verdict.DENY, Reason.REFUSED, 1, 1),
    ]
    assert [(d.day.day, d.denied, d.deferred) for d in told.days if d.denied] == [
        (2, 1, 0),
        (3, 3, 1),
    ]
    assert {article.name for article in told.articles} >= {"C. conso., art. L223-1 al. 1"}


def test_an_allowed_call_that_was_given_back_was_not_placed(world: World) -> None:
    gate = world.gate()
    first = gate.decide("2026-11-02T10:00", Verdict.ALLOW, Reason.CONSENT)
    second = gate.decide("2026-11-02T10:05", Verdict.ALLOW, Reason.CONSENT)
    gate.decide("2026-11-02T10:10", Verdict.ALLOW, Reason.CONSENT)
    world.call(first, Outcome.NOT_PLACED)
    world.call(second, Outcome.BUSY)

    told = exposure(world)

    assert (told.allowed.decisions, told.placed) == (3, 2)


def test_all_gates_count(world: World) -> None:
    world.gate("tunis-1").decide("2026-11-02T10:00", Verdict.DENY, Reason.NO_GROUND)
    world.gate("casa-2").decide("2026-11-02T10:01", Verdict.DENY, Reason.NO_GROUND)

    told = exposure(world)

    assert told.denied == Counted(2, 1)
    assert [chain.gate for chain in told.chains] == ["tunis-1", "casa-2"]


# --- what it could have cost ----------------------------------------------------------------------


def test_the_arithmetic_is_shown() -> None:
    owed = liability(breaches=1_240, persons=900, uncounted=3)

    assert (owed.natural, owed.legal) == (93_000_000, 465_000_000)
    assert (owed.published_low_each, owed.published_high_each) == (52, 75)
    assert (owed.published_low, owed.published_high) == (64_480, 93_000)
    assert [(case.name, str(case.each)) for case in owed.cases] == [
        ("TECH ENR", "52.18"),
        ("Énergie B (CB Performances)", "75.00"),
    ]


def test_only_what_would_have_been_forbidden_canvassing_could_have_cost(world: World) -> None:
    gate = world.gate()
    for minute, reason in enumerate(Reason):
        clock = at("2026-11-02T10:00") + timedelta(minutes=minute)
        gate.decide(clock, Verdict.DENY, reason)

    told = exposure(world).liability

    assert told.breaches == len(BREACHES) == 8
    assert told.uncounted == len(Reason) - 8
    assert not BREACHES & {Reason.INVALID_NUMBER, Reason.STALE, Reason.CALLER_ID_BARRED}


def test_calls_that_are_not_canvassing_could_not_have_cost(world: World) -> None:
    world.gate().decide("2026-11-02T10:00", Verdict.DENY, Reason.OBJECTED)

    told = exposure(world, msgspec.structs.replace(FIBRE, audience=Audience.BUSINESS))

    assert (told.denied.decisions, told.liability.breaches) == (1, 0)


# --- refusals -------------------------------------------------------------------------------------

START = datetime(2026, 11, 2, 10, tzinfo=UTC)


def watch(**gates: Sequence[tuple[float, int]]) -> Watch:
    """Give what gates learned: seconds after the start, and the last change then known."""
    heard = Watch("acme", epoch=7)
    for name, learned in gates.items():
        place = Place("0" * 16, name, 1, 1)
        begins = START.timestamp() - 3600
        heard.hear(place, Opened(name, "0" * 16, 1, b"", begins, RELEASE))
        for seconds, last in learned:
            heard.hear(place, Learned(START.timestamp() + seconds, "acme", 7, 1, last))
    return heard


def said(*changes: int) -> list[Said]:
    """Give refusals, each said a second after the one before."""
    return [Said(change, START + timedelta(seconds=n)) for n, change in enumerate(changes)]


def test_a_refusal_is_known_everywhere_when_the_last_gate_knows_it() -> None:
    told = watch(tunis=[(0.125, 5), (1.25, 6)], casa=[(0.5, 5), (1.125, 6)]).delays(said(5, 6))

    assert told.everywhere == Spread(
        count=2,
        median=0.25,
        p95=0.5,
        slowest=0.5,
        slowest_change=5,
    )
    assert told.not_everywhere == 0


def test_a_later_record_shows_an_earlier_refusal_too() -> None:
    (gate,) = watch(tunis=[(0.5, 4), (3.0, 9)]).delays(said(5)).gates

    assert gate.spread is not None
    assert gate.spread.slowest == 3.0


def test_a_gate_that_learned_all_anew_did_not_learn_later() -> None:
    (gate,) = watch(tunis=[(0.5, 5), (3.0, 9), (90.0, 9)]).delays(said(5)).gates

    assert gate.spread is not None
    assert gate.spread.slowest == 0.5


def test_a_clock_that_is_a_little_slow_gives_no_negative_delay() -> None:
    (gate,) = watch(tunis=[(-0.2, 5)]).delays(said(5)).gates

    assert gate.spread is not None
    assert gate.spread.slowest == 0


def test_what_a_gate_does_not_know_by_the_end_is_counted_as_such() -> None:
    told = watch(tunis=[(0.5, 5), (1.5, 6)], casa=[(0.5, 5)]).delays(said(5, 6))

    assert [(gate.gate, gate.not_yet) for gate in told.gates] == [("casa", 1), ("tunis", 0)]
    assert told.not_everywhere == 1
    assert told.everywhere is not None
    assert told.everywhere.count == 1


def test_what_was_said_before_a_gates_evidence_begins_counts_neither_way() -> None:
    early = [Said(3, START - timedelta(days=2)), *said(5)]

    told = watch(tunis=[(0.5, 5)]).delays(early)

    assert told.gates == (
        GateDelay(
            gate="tunis",
            given=True,
            spread=Spread(
                count=1,
                median=0.5,
                p95=0.5,
                slowest=0.5,
                slowest_change=5,
            ),
            before=1,
        ),
    )


def test_other_epochs_and_other_principals_tell_nothing() -> None:
    heard = watch(tunis=[])
    place = Place("0" * 16, "tunis", 1, 1)
    heard.hear(place, Learned(START.timestamp(), "acme", 6, 1, 9))
    heard.hear(place, Learned(START.timestamp(), "globex", 7, 1, 9))

    assert heard.delays(said(5)).gates == ()


def test_a_gate_that_serves_the_principal_and_learned_nothing_is_counted() -> None:
    heard = watch(tunis=[])
    place = Place("0" * 16, "tunis", 1, 2)
    heard.hear(place, Configured(START.timestamp(), "acme", Config(7, 1, {}, {}, {})))

    (gate,) = heard.delays(said(5)).gates

    assert (gate.given, gate.spread, gate.not_yet) == (True, None, 1)


def test_a_gate_whose_evidence_was_not_given_is_unknown(world: World) -> None:
    gate = world.gate()
    change = world.say(Refusal(to=NUMBER, at=at("2026-11-02T10:00")))
    gate.learned(at("2026-11-02T10:00") + timedelta(seconds=0.25), change)
    for name, instant in (("dakar-3", "2026-11-05T10:00"), ("retired", "2026-09-05T10:00")):
        chain = name[0].encode().hex() * 8
        world.witness(ChainHead(name, chain, 9, bytes(32), at(instant)))

    told = exposure(world).refusals

    assert told.gates[1:] == (GateDelay(gate="dakar-3", given=False),)
    assert told.everywhere is not None
    assert told.everywhere.median == 0.25


def test_objections_count_with_refusals_and_other_months_do_not(world: World) -> None:
    world.gate()
    world.say(Refusal(to=NUMBER, at=at("2026-11-02T10:00")))
    world.say(Objection(to=OTHER, at=at("2026-11-30T10:00")))
    world.say(Refusal(to=THIRD, at=at("2026-10-31T10:00")))

    assert exposure(world).refusals.refusals == 2


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
def test_every_figure_of_a_spread_is_a_delay_that_was_measured(seconds: list[float]) -> None:
    """And half, and 95 of 100, were indeed no slower than that."""
    learned = sorted(seconds)
    changes = range(1, len(learned) + 1)
    heard = watch(tunis=list(zip(learned, changes, strict=True)))

    told = heard.delays([Said(change, START) for change in changes])

    spread, delays = told.everywhere, told.delays
    assert spread is not None
    assert {spread.median, spread.p95, spread.slowest} <= set(delays)
    assert sum(delay <= spread.median for delay in delays) >= 0.5 * len(delays)
    assert sum(delay <= spread.p95 for delay in delays) >= 0.95 * len(delays)
    assert spread.slowest == max(delays)


# --- consents about to expire ---------------------------------------------------------------------


def consent(to: str, on: str, **fields: object) -> Consent:
    told = Consent(to=to, purpose="fibre", text="web-2026", at=at(f"{on}T10:00"))
    return msgspec.structs.replace(told, **fields)


def near(world: World, **of: object) -> list[str]:
    told = exposure(world, **of).expiring  # type: ignore[arg-type]  # terms and campaign
    days = [str(day) for day, count in told.days for _ in range(count)]
    assert told.consents == len(days)
    return days


def test_consents_expire_the_day_before_their_anniversary_or_when_they_said(
    world: World,
) -> None:
    world.say(consent("+33639980010", "2025-12-01"))  # the month's last day: not after it
    world.say(consent("+33639980011", "2025-12-02"))
    world.say(consent("+33639980012", "2025-12-31"))
    world.say(consent("+33639980013", "2026-01-01"))
    world.say(consent("+33639980014", "2026-10-01", until=date(2026, 12, 24)))

    assert near(world) == ["2026-12-01", "2026-12-24", "2026-12-30"]


def test_consents_to_insurance_expire_after_thirty_days(world: World) -> None:
    world.say(consent(NUMBER, "2026-11-10", purpose="cover"))

    assert near(world, terms=COVER, campaign="acme-cover") == ["2026-12-10"]


def test_what_was_withdrawn_renewed_or_never_sound_does_not_expire(world: World) -> None:
    world.say(consent("+33639980011", "2025-12-10"))
    world.say(Withdrawal(to="+33639980011", purpose="fibre", at=at("2025-12-20T10:00")))
    world.say(consent("+33639980012", "2025-12-10"))
    world.say(consent("+33639980012", "2026-11-20"))
    world.say(consent("+33639980013", "2025-12-10", text="flyer"))

    assert near(world) == []


def test_of_persons_asked_about_it_is_known_whose_consents_expire(world: World) -> None:
    gate = world.gate()
    for number in (NUMBER, OTHER, THIRD):
        world.say(consent(number, "2025-12-10"))
    world.say(Refusal(to=OTHER, at=at("2026-11-20T10:00")))
    world.say(Refusal(to=THIRD, at=at("2026-11-20T10:00")))
    for number in (NUMBER, OTHER):
        gate.decide("2026-11-02T10:00", Verdict.ALLOW, Reason.CONSENT, to=number)

    told = exposure(world).expiring

    # That THIRD refused cannot be known of the consent: nobody asked about that number.
    assert (told.consents, told.asked_about) == (2, 1)


# --- attempts -------------------------------------------------------------------------------------


def attempts(*days: str, key: int = 1) -> list[Attempt]:
    return [
        Attempt(at=at(f"{day}T11:00"), on=date.fromisoformat(day), keys=Keys(number=key),
                call=f"{key}-{n}")
        for n, day in enumerate(days)
    ]  # fmt: skip


def made(persons: Sequence[int], *told: Attempt) -> Attempts:
    log = Log()
    for attempt in told:
        log.hear(attempt)
    return log.attempts(NOVEMBER, persons)


def test_attempts_a_person_are_counted_in_the_month() -> None:
    told = made(
        [1, 2, 3],
        *attempts("2026-11-02", "2026-11-30", "2026-10-31", "2026-12-01"),
        *attempts("2026-11-02", "2026-11-03", "2026-11-04", "2026-11-05", "2026-11-06", key=2),
        *attempts("2026-11-02", key=9),
    )

    assert (told.persons, told.attempts) == (3, 7)
    assert told.distribution == (1, 0, 1, 0, 1)


def test_an_attempt_told_twice_is_one_and_one_given_back_is_none(world: World) -> None:
    gate = world.gate()
    first = gate.decide("2026-11-02T10:00", Verdict.ALLOW, Reason.CONSENT)
    second = gate.decide("2026-11-02T11:00", Verdict.ALLOW, Reason.CONSENT)
    world.call(first, Outcome.BUSY)
    world.call(second, Outcome.NOT_PLACED)

    told = exposure(world).attempts

    assert (told.attempts, told.distribution) == (1, (0, 1, 0, 0, 0))


@pytest.mark.parametrize(
    ("days", "limited"),
    [
        (["2026-11-02", "2026-11-03", "2026-11-04", "2026-11-05"], True),
        (["2026-10-20", "2026-10-25", "2026-10-28", "2026-10-30"], True),  # up to 19 November
        (["2026-10-01", "2026-10-02", "2026-10-03", "2026-10-31"], False),  # over before it
        (["2026-10-02", "2026-10-03", "2026-10-04", "2026-11-01"], True),  # on its first day
        (["2026-10-01", "2026-10-20", "2026-10-28", "2026-11-01"], False),  # over 31 days
        (["2026-11-28", "2026-11-29", "2026-11-30", "2026-12-01"], False),  # not yet
        (["2026-11-02", "2026-11-03", "2026-11-04"], False),
    ],
)
def test_four_attempts_in_thirty_days_are_the_limit(days: list[str], *, limited: bool) -> None:
    assert made([1], *attempts(*days)).at_limit == limited


@given(st.lists(st.dates(date(2026, 10, 1), date(2026, 12, 10)), max_size=9))
def test_who_is_at_the_limit_is_who_a_gate_would_defer_on_some_day(days: list[date]) -> None:
    """Told day by day, as the rule asks it, it is the same."""

    def deferred(today: date) -> bool:
        return sum(today - WINDOW <= day <= today for day in days) >= 4

    told = made([1], *attempts(*map(str, days)))

    assert told.at_limit == any(map(deferred, NOVEMBER.days))


# --- how it is told -------------------------------------------------------------------------------


@pytest.fixture
def busy(world: World) -> World:
    gate = world.gate()
    for minute, reason in enumerate(Reason):
        verdict = list(Verdict)[minute % 3]
        clock = at("2026-11-02T10:00") + timedelta(minutes=minute)
        decided = gate.decide(clock, verdict, reason)
        if verdict is Verdict.ALLOW:
            world.call(decided, Outcome.NOT_PLACED if minute % 2 else Outcome.ANSWERED)
    for seconds, number in enumerate((NUMBER, OTHER, THIRD)):
        change = world.say(Refusal(to=number, at=at("2026-11-03T10:00")))
        gate.learned(at("2026-11-03T10:00") + timedelta(seconds=40 * seconds), change)
    world.say(Refusal(to=NUMBER, at=at("2026-11-30T10:00")))
    world.say(consent(NUMBER, "2025-12-10"))
    world.witness(ChainHead("dakar-3", "ab" * 8, 9, bytes(32), at("2026-11-05T10:00")))
    return world


@pytest.mark.parametrize("tongue", [FRENCH, ENGLISH], ids=["fr", "en"])
def test_the_report_says_on_paper_and_on_the_screen_what_was_counted(
    busy: World, tongue: Tongue
) -> None:
    told = exposure(busy)
    console = Console(file=StringIO(), width=160)
    console.print(draw_exposure(told, tongue))
    assert isinstance(console.file, StringIO)
    screen = console.file.getvalue().replace("\u00a0", " ")

    paper = text_of(print_exposure(told, tongue))

    for text in (
        tongue(f"{told.liability.breaches} × 75 000 €", f"{told.liability.breaches} × €75,000"),
        "TECH ENR",
        "Énergie B (CB Performances)",
        tongue("preuves non fournies", "evidence not given"),
        "dakar-3",
        told.chains[0].chain,
    ):
        assert text.replace("\u00a0", " ") in paper
        assert text.replace("\u00a0", " ") in screen
    assert tongue("pas une prévision", "not a forecast") in paper
    assert tongue("et non prévision", "not a forecast") in screen


@pytest.mark.parametrize("tongue", [FRENCH, ENGLISH], ids=["fr", "en"])
def test_eighty_columns_are_enough_for_a_report(busy: World, tongue: Tongue) -> None:
    console = Console(file=StringIO(), width=80)
    console.print(draw_exposure(exposure(busy), tongue))
    assert isinstance(console.file, StringIO)

    shown = console.file.getvalue()

    assert "…" not in shown.replace("[…]", "")
    assert tongue("3 377 appels", "3,377 calls") in shown


def test_french_calls_what_the_gates_denied_forbidden_for_a_refusal_is_the_persons(
    busy: World,
) -> None:
    paper = text_of(print_exposure(exposure(busy), FRENCH))

    assert "appels interdits" in paper
    assert "chaque appel interdit a été passé" in paper
    assert "refusés" not in paper


def test_a_month_without_anything_is_told_as_such(world: World) -> None:
    world.gate()

    told = exposure(world)

    assert (told.asked, told.reasons, told.refusals.everywhere) == (Counted(), (), None)
    assert "Aucune décision de cette campagne" in text_of(print_exposure(told, FRENCH))
    Console(file=StringIO()).print(draw_exposure(told, FRENCH))


def test_json_tells_all_and_is_the_same_each_time(busy: World) -> None:
    told = exposure(busy)
    encoded = msgspec.json.encode(told, order="deterministic")

    again = msgspec.json.decode(encoded, type=Exposure)

    assert again == told
    assert msgspec.json.encode(again, order="deterministic") == encoded
