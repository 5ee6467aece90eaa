"""The French rules on whom to call, on rows: each test quotes the article it stands on."""

import msgspec
import pytest
from tests.unit.french import (
    CAREFUL,
    CONSENTED,
    CUSTOMER,
    DEFECTIVE,
    LETTER,
    SOUND,
    campaign,
    consent,
    day,
    refused,
    says,
)

from ringfence.campaign import SECTORS, DialMode
from ringfence.row import NO_GROUND, OPEN_END, Ground, Restraint
from ringfence.rules.rulebook import Rulebook

# --- the ground of a call -------------------------------------------------------------------------


def test_without_consent_no_call_since_the_eleventh_of_august() -> None:
    """C. conso. L223-1 al. 1; law 2025-594 art. 13 III."""
    assert says("2026-08-10 11:00") == "allow opt_out_regime"
    assert says("2026-08-11 11:00") == "deny no_ground"


def test_the_opt_in_begins_when_it_has_begun_where_the_consumer_may_be() -> None:
    """10 August, 21:00 in Paris, is the 11th in Réunion: neither regime allows that hour there."""
    assert says("2026-08-10 20:30", department="974") == "defer outside_hours"
    assert says("2026-08-10 23:30", department="974") == "deny no_ground"


def test_a_consent_is_good_until_the_day_before_its_anniversary() -> None:
    """C. conso. R223-1: `ne peut excéder un an à compter de la date de recueil`."""
    assert says("2027-08-31 11:00", CONSENTED) == "allow consent"
    assert says("2027-09-01 11:00", CONSENTED) == "deny consent_expired"


def test_a_stated_end_shortens_a_consent_and_never_lengthens_it() -> None:
    """C. conso. R223-1 I 3°."""
    short, long = consent("2026-09-01", "2026-10-01"), consent("2026-09-01", "2029-01-01")

    assert says("2026-10-01 11:00", short) == "allow consent"
    assert says("2026-10-02 11:00", short) == "deny consent_expired"
    assert says("2027-09-01 11:00", long) == "deny consent_expired"


def test_a_consent_of_a_leap_day_ends_with_the_shorter_year() -> None:
    leap = consent("2028-02-29")

    assert says("2029-02-27 11:00", leap) == "allow consent"
    assert says("2029-02-28 11:00", leap) == "deny consent_expired"


def test_a_withdrawn_consent_carries_nothing() -> None:
    """C. conso. R223-3."""
    taken_back = Ground(text=SOUND, withdrawn=True, consent_from=day("2026-11-02"))

    assert says("2026-11-24 11:00", taken_back) == "deny consent_withdrawn"


def test_a_consent_is_worth_what_its_text_says() -> None:
    """C. conso. R223-1 II."""
    assert says("2026-11-24 11:00", consent("2026-09-01", text=DEFECTIVE)) == (
        "deny consent_defective"
    )


@pytest.mark.parametrize("clock", ["2026-10-01 11:00", "2026-10-02 11:00"])
def test_in_insurance_a_request_carries_thirty_days(clock: str) -> None:
    """C. assur. L112-2-2 and R112-7."""
    insurance = campaign(sector="insurance")

    assert says(clock, CONSENTED, of=insurance) == (
        "allow consent" if clock < "2026-10-02" else "deny consent_expired"
    )
    assert says(clock, CONSENTED) == "allow consent"


def test_a_contract_in_progress_is_a_ground_to_its_last_day() -> None:
    """C. conso. L223-1 al. 4."""
    ends = Ground(contract_until=day("2026-11-24"))

    assert says("2026-11-24 19:45", ends) == "allow contract"
    assert says("2026-11-25 11:00", ends) == "deny no_ground"


def test_a_callback_is_a_ground_to_the_fifth_working_day() -> None:
    """C. conso. R223-4: `dans les cinq jours ouvrables suivant la demande`."""
    asked = Ground(callback_on=day("2026-10-02"))

    assert says("2026-10-01 11:00", asked) == "deny no_ground"
    assert says("2026-10-02 11:00", asked) == "allow callback"
    assert says("2026-10-08 19:45", asked) == "allow callback"
    assert says("2026-10-09 11:00", asked) == "deny no_ground"


def test_the_best_ground_is_named() -> None:
    """The contract, then the consent, then the callback."""
    asked = Ground(callback_on=day("2026-11-24"))
    both = msgspec.structs.replace(CONSENTED, callback_on=day("2026-11-24"))
    all_three = msgspec.structs.replace(both, contract_until=OPEN_END)

    assert says("2026-11-24 11:00", asked) == "allow callback"
    assert says("2026-11-24 11:00", both) == "allow consent"
    assert says("2026-11-24 11:00", all_three) == "allow contract"


def test_the_press_needs_no_consent_and_keeps_the_rest() -> None:
    """C. conso. L223-5; D223-9: `y compris celle visée à l'article L. 223-5`."""
    daily = campaign(sector="press")
    four = Restraint(attempts=(day("2026-11-20"),) * 4)

    assert says("2026-11-24 11:00", of=daily) == "allow press"
    assert says("2026-11-24 09:59", of=daily) == "defer outside_hours until 2026-11-24 10:00"
    assert says("2026-11-24 11:00", NO_GROUND, four, of=daily).startswith("defer attempt_limit")
    assert says("2026-11-24 11:00", NO_GROUND, refused("2026-11-10"), of=daily) == "deny refused"


def test_a_machine_that_speaks_needs_a_consent_whatever_the_regime() -> None:
    """CPCE L34-5."""
    bot = campaign(dial_mode=DialMode.VOICEBOT)

    assert says("2026-08-10 11:00", of=bot) == "deny no_ground"
    assert says("2026-11-24 11:00", of=campaign(dial_mode=DialMode.ROBOCALL, sector="press")) == (
        "deny no_ground"
    )
    assert says("2026-11-24 11:00", CONSENTED, of=bot) == "allow consent"


# --- before the eleventh of August 2026 -----------------------------------------------------------


def test_the_opposition_list_held_until_its_day_and_every_ground_went_before_it() -> None:
    """C. conso. L223-1 of law 2020-901."""
    listed = Restraint(bloctel_until=day("2026-08-07"))

    assert says("2026-08-07 11:00", NO_GROUND, listed) == "deny bloctel"
    assert says("2026-08-10 11:00", NO_GROUND, listed) == "allow opt_out_regime"
    assert says("2026-08-07 11:00", CUSTOMER, listed) == "allow contract"
    assert says("2026-08-07 11:00", consent("2026-06-01"), listed) == "allow consent"
    assert says("2026-08-07 11:00", Ground(callback_on=day("2026-08-06")), listed) == (
        "allow callback"
    )
    assert says("2026-08-07 11:00", NO_GROUND, listed, of=campaign(sector="press")) == "allow press"


def test_the_opposition_list_is_no_reason_after_it_ended() -> None:
    listed = Restraint(bloctel_until=day("2028-01-01"))

    assert says("2026-11-24 11:00", CONSENTED, listed) == "allow consent"
    assert says("2026-11-24 11:00", NO_GROUND, listed) == "deny no_ground"


@pytest.mark.parametrize("ground", [NO_GROUND, CUSTOMER, consent("2026-03-02")])
def test_in_the_old_regime_a_refusal_blocked_sixty_days_and_was_then_over(ground: Ground) -> None:
    """C. conso. D223-9 al. 3 of 2023: `soixante jours calendaires révolus`."""
    refusal = refused("2026-05-04")
    after = says("2026-07-06 11:00", ground)

    assert says("2026-05-12 11:00", ground, refusal) == "defer refused until 2026-07-06 10:00"
    assert says("2026-07-03 11:00", ground, refusal) == "defer refused until 2026-07-06 10:00"
    assert says("2026-07-06 11:00", ground, refusal) == after
    assert after.startswith("allow")


def test_a_refusal_that_outlives_the_old_regime_needs_a_newer_ground() -> None:
    refusal = refused("2026-08-03")

    assert says("2026-08-05 11:00", NO_GROUND, refusal) == "defer refused"
    assert says("2026-08-05 11:00", consent("2026-08-04"), refusal) == (
        "defer refused until 2026-10-05 10:00"
    )


def test_in_the_letter_a_newer_ground_lifts_an_old_refusal_on_the_eleventh_of_august() -> None:
    """Decree 2026-662 deletes the sixty days: the retry is the first day of the new regime."""
    ground, refusal = consent("2026-08-04"), refused("2026-08-03")

    assert says("2026-08-11 10:00", ground, refusal, book=LETTER) == "allow consent"
    assert says("2026-08-05 11:00", ground, refusal, book=LETTER) == (
        "defer refused until 2026-08-11 10:00"
    )


# --- refusal and objection ------------------------------------------------------------------------


def test_a_refusal_withdraws_every_ground_that_is_not_newer() -> None:
    """C. conso. R223-3; the day of the refusal is not newer."""
    refusal = refused("2026-09-10")

    assert says("2026-11-24 11:00", consent("2026-09-10"), refusal) == "deny refused"
    assert says("2026-11-24 11:00", CUSTOMER, refusal) == "deny refused"
    assert says("2026-11-24 11:00", NO_GROUND, refusal) == "deny refused"
    assert says("2026-11-24 11:00", consent("2026-09-11"), refusal) == "allow consent"
    assert says("2026-11-24 11:00", Ground(callback_on=day("2026-11-23")), refusal) == (
        "allow callback"
    )


def test_after_a_refusal_sixty_full_days_are_silent_even_with_a_newer_consent() -> None:
    """C. conso. D223-9 al. 3, kept: the first possible day is the sixty-first."""
    ground, refusal = consent("2026-10-01"), refused("2026-09-10")

    assert says("2026-11-09 11:00", ground, refusal) == "defer refused until 2026-11-10 10:00"
    assert says("2026-11-10 10:00", ground, refusal) == "allow consent"
    assert says("2026-11-09 11:00", ground, refusal, book=LETTER) == "allow consent"


def test_no_retry_is_promised_where_the_newer_ground_ends_within_the_sixty_days() -> None:
    ends = consent("2026-10-01", "2026-10-20")

    assert says("2026-10-10 11:00", ends, refused("2026-09-10")) == "defer refused"


def test_a_newer_consent_that_is_worth_nothing_lifts_no_refusal() -> None:
    defective = consent("2026-10-01", text=DEFECTIVE)

    assert says("2026-11-24 11:00", defective, refused("2026-09-10")) == "deny refused"


def test_a_refusal_of_the_person_counts_whatever_the_number() -> None:
    """Design, section 4: a second row where the call carries a consumer's id."""
    person = refused("2026-09-10")

    assert says("2026-11-24 11:00", CONSENTED, Restraint(), person) == "deny refused"
    assert says("2026-11-24 11:00", CONSENTED, refused("2026-08-20"), person) == "deny refused"


@pytest.mark.parametrize("book", [CAREFUL, LETTER])
def test_no_ground_lifts_an_objection(book: Rulebook) -> None:
    """RGPD art. 21(3)."""
    objected = Restraint(objected=True)

    for ground in (NO_GROUND, CONSENTED, CUSTOMER, Ground(callback_on=day("2026-11-24"))):
        assert says("2026-11-24 11:00", ground, objected, book=book) == "deny objected"
    assert says("2026-11-24 11:00", CONSENTED, Restraint(), objected) == "deny objected"
    assert says("2026-08-10 11:00", NO_GROUND, objected) == "deny objected"


# --- banned sectors -------------------------------------------------------------------------------

BANNED = ["energy_renovation", "renewable", "renewable_energy", "housing_adaptation", "cpf"]


@pytest.mark.parametrize("sector", BANNED)
def test_consent_does_not_open_a_banned_sector_and_a_contract_does(sector: str) -> None:
    """C. conso. L223-1 al. 5; C. trav. L6323-8-1."""
    banned = campaign(sector=sector)

    assert says("2026-11-24 11:00", CONSENTED, of=banned) == "deny sector_banned"
    assert says("2026-11-24 11:00", NO_GROUND, of=banned) == "deny sector_banned"
    assert says("2026-11-24 11:00", CUSTOMER, of=banned) == "allow contract"


@pytest.mark.parametrize("sector", sorted(SECTORS - set(BANNED)))
def test_no_other_sector_is_banned(sector: str) -> None:
    assert says("2026-11-24 11:00", consent("2026-11-02"), of=campaign(sector=sector)) == (
        "allow consent"
    )


@pytest.mark.parametrize("sector", BANNED)
def test_a_callback_asked_of_the_company_by_name_opens_housing_and_never_the_cpf(
    sector: str,
) -> None:
    """C. conso. R223-4."""
    vague = Ground(callback_on=day("2026-11-20"))
    named = msgspec.structs.replace(vague, named_callback_on=day("2026-11-20"))

    assert says("2026-11-24 11:00", vague, of=campaign(sector=sector)) == "deny sector_banned"
    assert says("2026-11-24 11:00", named, of=campaign(sector=sector)) == (
        "deny sector_banned" if sector == "cpf" else "allow callback"
    )


def test_a_callback_opened_no_ban_before_the_decree() -> None:
    named = Ground(callback_on=day("2026-08-07"), named_callback_on=day("2026-08-07"))

    assert says("2026-08-10 11:00", named, of=campaign(sector="renewable")) == "deny sector_banned"
    assert says("2026-08-11 11:00", named, of=campaign(sector="renewable")) == "allow callback"


def test_a_vaguer_callback_does_not_shut_what_a_named_one_opened() -> None:
    both = Ground(callback_on=day("2026-11-23"), named_callback_on=day("2026-11-20"))
    stale = Ground(callback_on=day("2026-11-23"), named_callback_on=day("2026-11-16"))

    assert says("2026-11-24 11:00", both, of=campaign(sector="renewable")) == "allow callback"
    assert says("2026-11-24 11:00", stale, of=campaign(sector="renewable")) == "deny sector_banned"


@pytest.mark.parametrize(
    ("sector", "last", "first", "book"),
    [
        ("renewable", "2020-07-24", "2020-07-27", CAREFUL),
        ("cpf", "2022-12-20", "2022-12-21", CAREFUL),
        ("housing_adaptation", "2025-07-01", "2025-07-02", CAREFUL),
        ("housing_adaptation", "2026-08-10", "2026-08-11", LETTER),
    ],
)
def test_a_ban_begins_on_its_day(sector: str, last: str, first: str, book: Rulebook) -> None:
    banned = campaign(sector=sector)

    assert says(f"{last} 11:00", of=banned, book=book) == "allow opt_out_regime"
    assert says(f"{first} 11:00", of=banned, book=book) == "deny sector_banned"


def test_a_refusal_holds_for_the_customer_of_a_banned_sector() -> None:
    banned = campaign(sector="renewable")

    assert says("2026-11-24 11:00", CUSTOMER, refused("2026-11-10"), of=banned) == "deny refused"
