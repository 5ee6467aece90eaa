from datetime import UTC, date, datetime, timedelta

import msgspec

from ringfence.event import (
    Attempt,
    AttemptCancelled,
    Bloctel,
    Callback,
    Consent,
    Contract,
    ContractEnded,
    Event,
    Keys,
    Objection,
    ObjectionLifted,
    Refusal,
    Slot,
    Withdrawal,
)
from ringfence.fold import (
    UNKNOWN_TEXT,
    fold_ground,
    fold_restraint,
    onto_ground,
    onto_restraint,
)
from ringfence.row import NO_GROUND, NO_RESTRAINT, OPEN_END, Ground, Restraint, day_of

TEXTS = {"web-1": 1, "web-2": 2}
NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
DAY = day_of(NOON.date())


def said(event: Event, days: float = 0) -> Event:
    """Give *event* as it was said so many days after the first of September."""
    at = NOON + timedelta(days=days)
    keys = Keys(purpose=1) if event.purposeful else Keys(number=1)
    return msgspec.structs.replace(event, at=at, on=at.date(), keys=keys)


def grounds(*events: Event) -> Ground:
    return fold_ground(events, TEXTS)


# --- consent --------------------------------------------------------------------------------------


def test_a_consent_leaves_its_text_its_day_and_its_stated_end() -> None:
    row = grounds(said(Consent(text="web-2", until=date(2026, 10, 1))))

    assert row == Ground(text=2, consent_from=DAY, consent_until=day_of(date(2026, 10, 1)))


def test_the_latest_consent_stands_even_if_an_older_one_was_better() -> None:
    row = grounds(said(Consent(text="web-1")), said(Consent(text="nowhere"), days=1))

    assert (row.text, row.consent_from) == (UNKNOWN_TEXT, DAY + 1)


def test_a_withdrawal_takes_the_consent_back_and_a_later_consent_gives_it_again() -> None:
    """C. conso. R223-3."""
    given, taken = said(Consent(text="web-1")), said(Withdrawal(), days=2)

    assert grounds(given, taken).withdrawn
    assert grounds(taken, given, said(Consent(text="web-1"), days=3)) == Ground(
        text=1, consent_from=DAY + 3
    )


def test_a_withdrawal_at_the_instant_of_the_consent_wins() -> None:
    assert grounds(said(Consent(text="web-1")), said(Withdrawal())).withdrawn


def test_of_two_consents_at_one_instant_the_one_that_ends_first_stands() -> None:
    short = said(Consent(text="web-1", until=date(2026, 10, 1)))
    long = said(Consent(text="web-1"))

    assert grounds(short, long) == grounds(long, short) == grounds(short)


def test_two_withdrawals_at_one_instant_give_one_row_whatever_their_dates() -> None:
    """The clerk of one was told where the consumer lives, that of the other was not."""
    one = said(Withdrawal())
    other = msgspec.structs.replace(one, on=date(2026, 9, 2))

    assert grounds(one, other) == grounds(other, one)


# --- contract, callback, slot ---------------------------------------------------------------------


def test_a_contract_is_a_ground_until_it_ends() -> None:
    """C. conso. L223-1 al. 4: `contrat en cours`."""
    open_end, stated = said(Contract()), said(Contract(until=date(2026, 12, 31)), days=1)

    assert grounds(open_end).contract_until == OPEN_END
    assert grounds(open_end, stated).contract_until == day_of(date(2026, 12, 31))
    assert grounds(open_end, said(ContractEnded(), days=1)) == NO_GROUND


def test_a_contract_that_ends_as_it_begins_is_none() -> None:
    assert grounds(said(Contract()), said(ContractEnded())) == NO_GROUND


def test_of_two_contracts_at_one_instant_the_one_that_ends_first_stands() -> None:
    short, long = said(Contract(until=date(2026, 12, 31))), said(Contract())

    assert grounds(short, long) == grounds(long, short) == grounds(short)


def test_the_latest_callback_counts_and_the_latest_that_named_the_company() -> None:
    """C. conso. R223-4."""
    row = grounds(said(Callback(explicit=True)), said(Callback(), days=2))

    assert (row.callback_on, row.named_callback_on) == (DAY + 2, DAY)


def test_the_slot_agreed_last_stands() -> None:
    first = said(Slot(start=NOON + timedelta(days=9), minutes=30))
    last = said(Slot(start=NOON + timedelta(days=8)), days=1)

    row = grounds(last, first)

    assert (row.slot_at, row.slot_minutes) == ((NOON + timedelta(days=8)).timestamp(), 0)


# --- restraints -----------------------------------------------------------------------------------


def test_the_latest_refusal_counts() -> None:
    first, last = said(Refusal()), said(Refusal(), days=3)

    assert fold_restraint([first, last]).refused_on == DAY + 3
    assert fold_restraint([last, first]).refused_on == DAY + 3


def test_an_objection_ends_only_by_being_lifted() -> None:
    objection, lifted = said(Objection()), said(ObjectionLifted(), days=1)

    assert fold_restraint([objection]).objected
    assert not fold_restraint([objection, lifted]).objected
    assert fold_restraint([objection, lifted, said(Objection(), days=2)]).objected


def test_an_objection_at_the_instant_of_its_lifting_holds() -> None:
    assert fold_restraint([said(ObjectionLifted()), said(Objection())]).objected


def test_the_latest_four_attempts_are_kept_newest_first() -> None:
    """C. conso. D223-9: `plus de quatre fois`; the fifth needs no more."""
    tries = [said(Attempt(call=f"c{n}"), days=n) for n in (4, 0, 3, 1, 2)]

    assert fold_restraint(tries).attempts == (DAY + 4, DAY + 3, DAY + 2, DAY + 1)


def test_an_attempt_told_again_with_its_outcome_is_one_attempt() -> None:
    placed, answered = said(Attempt(call="c1")), said(Attempt(call="c1"), days=0.01)

    assert fold_restraint([placed, answered]).attempts == (DAY, 0, 0, 0)


def test_two_calls_on_one_day_are_two_attempts() -> None:
    row = fold_restraint([said(Attempt(call="c1")), said(Attempt(call="c2"))])

    assert row.attempts == (DAY, DAY, 0, 0)


def test_an_attempt_given_back_does_not_count_and_another_call_stays() -> None:
    cancelled = said(AttemptCancelled(call="c1"), days=0.01)

    row = fold_restraint([cancelled, said(Attempt(call="c1")), said(Attempt(call="c2"))])

    assert row.attempts == (DAY, 0, 0, 0)


def test_an_attempt_given_back_as_it_was_made_counts() -> None:
    row = fold_restraint([said(AttemptCancelled(call="c1")), said(Attempt(call="c1"))])

    assert row.attempts == (DAY, 0, 0, 0)


def test_the_opposition_list_holds_until_the_latest_end() -> None:
    first, second = said(Bloctel(until=date(2026, 8, 1))), said(Bloctel(until=date(2026, 5, 1)))

    assert fold_restraint([first, second]).bloctel_until == day_of(date(2026, 8, 1))


def test_events_of_the_other_sort_change_nothing() -> None:
    assert fold_restraint([said(Consent(text="web-1"))]) == NO_RESTRAINT
    assert grounds(said(Refusal())) == NO_GROUND


# --- a gate's own events over the ledger's row ----------------------------------------------------


def test_an_own_refusal_objection_or_attempt_shows_at_once() -> None:
    row = Restraint(refused_on=DAY - 9, attempts=(DAY - 1, 0, 0, 0))

    shown = onto_restraint(row, [said(Refusal()), said(Objection()), said(Attempt(call="c1"))])

    assert shown == Restraint(refused_on=DAY, objected=True, attempts=(DAY, DAY - 1, 0, 0))


def test_an_own_lifting_waits_for_the_ledger() -> None:
    assert onto_restraint(Restraint(objected=True), [said(ObjectionLifted())]).objected


def test_an_attempt_given_back_that_the_ledger_counted_waits_for_the_ledger() -> None:
    row = Restraint(attempts=(DAY, 0, 0, 0))

    assert onto_restraint(row, [said(AttemptCancelled(call="c1"))]) == row


def test_an_own_attempt_given_back_counts_until_the_ledger_says_so() -> None:
    own = [said(Attempt(call="c1")), said(AttemptCancelled(call="c1"), days=0.01)]

    assert onto_restraint(NO_RESTRAINT, own).attempts == (DAY, 0, 0, 0)


def test_shown_two_texts_at_one_instant_nobody_knows_to_which_one_the_person_agreed() -> None:
    """At equal instants the one that restrains wins; a row cannot tell which of the two that is."""
    both = [said(Consent(text="web-1", id="a")), said(Consent(text="web-2", id="b"))]

    assert grounds(*both).text == grounds(*reversed(both)).text == UNKNOWN_TEXT
    assert grounds(both[0], said(Consent(text="web-1", id="c"))).text == 1
    assert grounds(*both, said(Consent(text="web-2"), days=1)).text == 2


def test_an_own_consent_on_the_day_of_another_waits_for_the_ledger() -> None:
    """The other may have come after it, to a text that is worth less."""
    row = Ground(text=2, consent_from=DAY)

    assert onto_ground(row, [said(Consent(text="web-1"))], TEXTS) == row


def test_an_own_consent_shows_at_once() -> None:
    own = [said(Consent(text="web-1"))]

    assert onto_ground(NO_GROUND, own, TEXTS) == Ground(text=1, consent_from=DAY)
    assert onto_ground(Ground(text=2, consent_from=DAY - 1), own, TEXTS).text == 1


def test_an_own_consent_older_than_the_ledgers_statement_changes_nothing() -> None:
    row = Ground(text=2, consent_from=DAY + 1)

    assert onto_ground(row, [said(Consent(text="web-1"))], TEXTS) == row


def test_an_own_withdrawal_shows_at_once_even_on_the_day_of_the_consent() -> None:
    row = Ground(text=1, consent_from=DAY)

    assert onto_ground(row, [said(Withdrawal())], TEXTS).withdrawn


def test_an_own_consent_on_the_day_of_a_withdrawal_waits_for_the_ledger() -> None:
    """The row has days: which of the two was later only the ledger knows."""
    row = Ground(text=1, consent_from=DAY, withdrawn=True)

    assert onto_ground(row, [said(Consent(text="web-1"))], TEXTS) == row


def test_an_own_end_of_contract_shows_at_once_and_an_own_contract_waits() -> None:
    row = Ground(contract_until=OPEN_END)

    assert onto_ground(row, [said(ContractEnded())], TEXTS) == NO_GROUND
    assert onto_ground(NO_GROUND, [said(Contract())], TEXTS) == NO_GROUND


def test_an_own_callback_shows_at_once_and_an_own_slot_waits() -> None:
    own = [said(Callback(explicit=True)), said(Slot(start=NOON))]

    assert onto_ground(NO_GROUND, own, TEXTS) == Ground(callback_on=DAY, named_callback_on=DAY)


def test_no_own_events_leave_the_ledgers_row_as_it_is() -> None:
    row = Ground(text=1, consent_from=DAY, contract_until=OPEN_END, slot_at=1, slot_minutes=2)
    restraint = Restraint(refused_on=DAY, objected=True, attempts=(4, 3, 2, 1), bloctel_until=5)

    assert onto_ground(row, [], TEXTS) == row
    assert onto_restraint(restraint, []) == restraint
