"""The French rules on how, when and how often to call, and the rulebook as a whole."""

from datetime import UTC, datetime

import msgspec
import pytest
from tests.unit.french import (
    CAREFUL,
    CONSENTED,
    CUSTOMER,
    FIBRE,
    LETTER,
    ORDINARY,
    SOUND,
    attempts,
    campaign,
    consent,
    day,
    refused,
    says,
    slot,
)

from ringfence.call import Call
from ringfence.campaign import Audience, DialMode
from ringfence.row import NO_GROUND, Ground, Restraint
from ringfence.rules import articles, france
from ringfence.rules.rulebook import Article, Terms, decide

# --- the number shown -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shown",
    [
        "", " ", "anonymous", "Anonymous", "PRIVATE", "restricted", "unavailable", "unknown",
        "x" * 65,
        "+33639980099", "06 39 98 00 99", "0700000001", "+262692000001", "+596696000001",
        "+33892000001", "0899 00 00 01",
        "3615", "3999", "118218", "118 218",
    ],
)  # fmt: skip
def test_some_numbers_may_be_shown_by_nobody(shown: str) -> None:
    """C. conso. L221-17; arrêté of 5 July 2016; mobile ranges belong to people (Arcep)."""
    assert says("2026-11-24 11:00", CONSENTED, caller_id=shown) == "deny caller_id_barred"


def test_a_call_that_shows_nothing_is_barred() -> None:
    hidden = Call(to="+33639980001", campaign="c")
    now = datetime(2026, 11, 24, 10, tzinfo=UTC)

    terms = Terms.of(FIBRE, frozenset([SOUND]))

    decision = decide(CAREFUL, terms, hidden, CONSENTED.pack(), (), now)

    assert decision.reason == "caller_id_barred"


@pytest.mark.parametrize("shown", ["+33162000009", "3020", "3115", "+441632960001", "abc"])
def test_a_number_that_the_campaign_does_not_list_is_foreign(shown: str) -> None:
    """C. conso. L221-17: assigned to the professional for whom the call is made."""
    assert says("2026-11-24 11:00", CONSENTED, caller_id=shown) == "deny caller_id_foreign"


@pytest.mark.parametrize(
    "shown", ["+33162000001", "01 62 00 00 01", "0033162000001", " 0162000001"]
)
def test_the_number_shown_may_be_written_in_any_form(shown: str) -> None:
    assert says("2026-11-24 11:00", CONSENTED, caller_id=shown) == "allow consent"


@pytest.mark.parametrize("mode", DialMode)
def test_an_automated_system_shows_a_verified_number(mode: DialMode) -> None:
    """Arcep, decision 2022-1583, 7.1.3: predictive and progressive are in."""
    dialled = campaign(dial_mode=mode)
    by_hand = mode in {DialMode.MANUAL, DialMode.PREVIEW}

    assert says("2026-11-24 11:00", CONSENTED, of=dialled) == "allow consent"
    assert says("2026-11-24 11:00", CONSENTED, of=dialled, caller_id=ORDINARY) == (
        "allow consent" if by_hand else "deny caller_id_barred"
    )


NPV = [
    "+33162000001", "+33163000001", "+33270000001", "+33271000001", "+33377000001", "+33378000001",
    "+33424000001", "+33425000001", "+33568000001", "+33569000001", "+33948000001", "+33949000001",
    "+590947500001", "+594947600001", "+596947700001", "+262947800001", "+262947900001",
]  # fmt: skip
NPV_ONCE = ["+590598700001", "+594598800001", "+596598900001", "+262268800001", "+262268900001"]


@pytest.mark.parametrize("shown", NPV + NPV_ONCE)
def test_the_verified_ranges_are_those_of_the_plan(shown: str) -> None:
    """Arcep 2018-0881, 2022-1583, 2025-2215; five ranges stand in one list only."""
    poll = campaign(dial_mode=DialMode.PREDICTIVE, commercial=False, caller_ids=frozenset([shown]))

    assert says("2026-11-24 11:00", of=poll, caller_id=shown) == (
        "allow not_canvassing" if shown in NPV else "deny caller_id_barred"
    )
    assert says("2026-11-24 11:00", of=poll, caller_id=shown, book=LETTER) == "allow not_canvassing"


# --- day, hour, slot ------------------------------------------------------------------------------


def test_calls_are_placed_in_the_consumers_windows_and_the_retry_is_their_next_start() -> None:
    """C. conso. D223-9 al. 1: `de 10 heures à 13 heures et de 14 heures à 20 heures`."""
    assert says("2026-11-24 09:59:59", CONSENTED) == "defer outside_hours until 2026-11-24 10:00"
    assert says("2026-11-24 10:00", CONSENTED) == "allow consent"
    assert says("2026-11-24 12:59:59", CONSENTED) == "allow consent"
    assert says("2026-11-24 13:00", CONSENTED) == "defer outside_hours until 2026-11-24 14:00"
    assert says("2026-11-24 20:00", CONSENTED) == "defer outside_hours until 2026-11-25 10:00"
    assert says("2026-11-28 11:00", CONSENTED) == "defer closed_day until 2026-11-30 10:00"
    assert says("2026-11-11 11:00", CONSENTED) == "defer holiday until 2026-11-12 10:00"


def test_the_clock_is_the_consumers_not_that_of_paris() -> None:
    """D223-9: `ces heures correspondant à celles du fuseau horaire du consommateur`."""
    assert says("2026-11-24 07:30", CONSENTED, department="974") == "allow consent"
    assert says("2026-11-24 17:30", CONSENTED, department="974") == (
        "defer outside_hours until 2026-11-25 07:00"
    )


def test_holidays_of_the_territory_close_the_day_in_the_careful_reading() -> None:
    """C. trav. L3134-13: Good Friday in Alsace-Moselle."""
    assert says("2027-03-26 11:00", CONSENTED, department="67") == (
        "defer holiday until 2027-03-30 10:00"
    )
    assert says("2027-03-26 11:00", CONSENTED, department="67", book=LETTER) == "allow consent"
    assert says("2027-03-26 11:00", CONSENTED, department="75") == "allow consent"


def test_an_agreed_time_lifts_day_and_hour_five_minutes_either_way() -> None:
    """C. conso. L223-1 al. 6: a precise date and hour. 28 November 2026 is a Saturday."""
    agreed = slot("2026-11-28 11:00")

    assert says("2026-11-28 10:54:59", agreed) == "defer closed_day until 2026-11-28 10:55"
    assert says("2026-11-28 10:55", agreed) == "allow consent"
    assert says("2026-11-28 11:05", agreed) == "allow consent"
    assert says("2026-11-28 11:05:01", agreed) == "defer closed_day until 2026-11-30 10:00"


def test_a_slot_with_a_length_lifts_day_and_hour_while_it_lasts() -> None:
    agreed = slot("2026-11-28 21:00", minutes=30)

    assert says("2026-11-28 20:59:59", agreed) == "defer closed_day until 2026-11-28 21:00"
    assert says("2026-11-28 21:00", agreed) == "allow consent"
    assert says("2026-11-28 21:29:59", agreed) == "allow consent"
    assert says("2026-11-28 21:30", agreed) == "defer closed_day until 2026-11-30 10:00"


def test_a_slot_after_the_next_opening_is_not_the_retry() -> None:
    assert says("2026-11-26 21:00", slot("2026-11-28 11:00")) == (
        "defer outside_hours until 2026-11-27 10:00"
    )


def test_a_slot_lifts_nothing_but_day_and_hour() -> None:
    agreed = slot("2026-11-28 11:00")
    alone = msgspec.structs.replace(agreed, text=0, consent_from=0)
    four = Restraint(attempts=(day("2026-11-20"),) * 4)

    assert says("2026-11-28 11:00", alone) == "deny no_ground"
    assert says("2026-11-28 11:00", agreed, Restraint(objected=True)) == "deny objected"
    assert says("2026-11-28 11:00", agreed, refused("2026-11-27")) == "deny refused"
    assert says("2026-11-28 11:00", agreed, four).startswith("defer attempt_limit")


# --- how often ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ground", [CONSENTED, CUSTOMER, Ground(callback_on=day("2026-11-20"))])
def test_the_fifth_attempt_in_thirty_days_waits_whatever_the_ground(ground: Ground) -> None:
    """C. conso. D223-9 al. 3: `plus de quatre fois au cours d'une période de trente jours`."""
    three = attempts("2026-11-02", "2026-11-09", "2026-11-16")
    four = attempts("2026-11-02", "2026-11-09", "2026-11-16", "2026-11-20")

    assert says("2026-11-23 11:00", ground, three).startswith("allow")
    assert says("2026-11-23 11:00", ground, four).startswith("defer attempt_limit")


def test_today_counts_within_the_thirty_days_and_beyond_them_in_the_careful_reading() -> None:
    """Attempts on dates from today less 30; in the letter from today less 29."""
    four = attempts("2026-11-02", "2026-11-09", "2026-11-16", "2026-11-20")

    assert says("2026-11-23 11:00", CONSENTED, four) == "defer attempt_limit until 2026-12-03 10:00"
    assert says("2026-12-02 11:00", CONSENTED, four) == "defer attempt_limit until 2026-12-03 10:00"
    assert says("2026-12-03 10:00", CONSENTED, four) == "allow consent"
    assert says("2026-12-02 11:00", CONSENTED, four, book=LETTER) == "allow consent"
    assert says("2026-12-01 11:00", CONSENTED, four, book=LETTER) == (
        "defer attempt_limit until 2026-12-02 10:00"
    )


def test_attempts_count_for_the_person_as_for_the_number() -> None:
    person = attempts("2026-11-02", "2026-11-09", "2026-11-16", "2026-11-20")

    assert says("2026-11-23 11:00", CONSENTED, attempts("2026-11-20"), person).startswith(
        "defer attempt_limit"
    )


def test_no_retry_is_promised_where_the_ground_ends_before_the_count_does() -> None:
    four = attempts("2026-11-02", "2026-11-09", "2026-11-16", "2026-11-20")

    assert says("2026-11-23 11:00", consent("2026-09-01", "2026-12-02"), four) == (
        "defer attempt_limit"
    )


# --- what is not canvassing -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"commercial": False}, "not_canvassing"),
        ({"audience": Audience.BUSINESS}, "business"),
        ({"commercial": False, "sector": "cpf"}, "not_canvassing"),
    ],
)
def test_what_is_not_canvassing_skips_all_but_objection_and_number_shown(
    changes: dict[str, object], reason: str
) -> None:
    """C. conso. L223-1: `prospections commerciales`, `consommateur`."""
    poll = campaign(**changes)
    four = Restraint(attempts=(day("2026-11-20"),) * 4, refused_on=day("2026-11-20"))

    assert says("2026-11-29 21:00", NO_GROUND, four, of=poll) == f"allow {reason}"
    assert says("2026-11-29 21:00", NO_GROUND, Restraint(objected=True), of=poll) == "deny objected"
    assert says("2026-11-29 21:00", of=poll, caller_id="+33639980099") == "deny caller_id_barred"
    assert says("2026-11-29 21:00", of=poll, caller_id="+33162000009") == "deny caller_id_foreign"


def test_a_poll_by_machine_shows_a_verified_number_too() -> None:
    """Conseil d'État, 6 June 2024, n° 489787."""
    poll = campaign(commercial=False, dial_mode=DialMode.PREDICTIVE)

    assert says("2026-11-24 11:00", of=poll) == "allow not_canvassing"
    assert says("2026-11-24 11:00", of=poll, caller_id=ORDINARY) == "deny caller_id_barred"


# --- the rulebook as a whole ----------------------------------------------------------------------


def test_a_permanent_reason_is_said_before_a_temporary_one() -> None:
    assert says("2026-11-29 11:00", CONSENTED, refused("2026-11-10")) == "deny refused"
    assert says("2026-11-29 11:00", CONSENTED, caller_id="") == "deny caller_id_barred"
    assert says("2026-11-29 11:00") == "deny no_ground"


def test_the_order_is_that_of_the_design() -> None:
    asks = [rule.asks.split()[-1] for rule in CAREFUL.rules]

    assert asks == ["banned", "object", "refuse", "ground", "shown", "there", "already"]


def test_the_version_names_the_reading() -> None:
    assert CAREFUL.version == "france/2026-11/conservative"
    assert LETTER.version == "france/2026-11/letter"
    assert france.rulebook() is CAREFUL


def test_every_rule_rests_on_an_article_and_every_article_is_used() -> None:
    used = {article for rule in CAREFUL.rules for article in rule.articles}
    listed = {a for a in vars(articles).values() if isinstance(a, Article)}

    assert all(rule.articles for rule in CAREFUL.rules)
    assert used == listed
