"""Laws of the fold: what is known of a person depends on what happened, not on how it was told."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.laws.world import FAMILIES, STARTS, STEPS, TEXTS, contradictions, events

from ringfence.event import (
    Attempt,
    AttemptCancelled,
    Consent,
    Contract,
    ContractEnded,
    Event,
    Keys,
    Objection,
    ObjectionLifted,
    Refusal,
    Withdrawal,
)
from ringfence.fold import fold_ground, fold_restraint, onto_ground, onto_restraint
from ringfence.row import GROUND, OPEN_END, RESTRAINT, Ground, Restraint

START = STARTS[0]


def retold(told: list[Event], data: st.DataObject) -> list[Event]:
    """Tell the same events again, in another order, some of them more than once."""
    again = data.draw(st.lists(st.sampled_from(told), max_size=5)) if told else []
    return data.draw(st.permutations(told + again))


def statement(kind: type[Event], like: Event, **fields: str) -> Event:
    keys = Keys(purpose=1) if kind in (Withdrawal, ContractEnded) else Keys(number=1)
    return kind(id="e", at=like.at, on=like.on, keys=keys, **fields)


def latest(told: list[Event], *kinds: type[Event]) -> Event | None:
    """Give one of the latest events of these kinds."""
    return max(
        (event for event in told if isinstance(event, kinds)),
        key=lambda event: event.stated().at,
        default=None,
    )


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family[0].__name__)
@given(data=st.data())
def test_contradictions_end_the_same_way_however_they_are_told(
    family: tuple[type[Event], ...], data: st.DataObject
) -> None:
    told = data.draw(contradictions(START, family))
    again = retold(told, data)

    assert fold_ground(again, TEXTS) == fold_ground(told, TEXTS)
    assert fold_restraint(again) == fold_restraint(told)


@given(told=events(START, dated=True), data=st.data())
def test_rows_depend_neither_on_order_nor_on_repetition(
    told: list[Event], data: st.DataObject
) -> None:
    again = retold(told, data)

    assert fold_ground(again, TEXTS) == fold_ground(told, TEXTS)
    assert fold_restraint(again) == fold_restraint(told)


@given(told=events(START, dated=True))
def test_grounds_and_restraints_do_not_mix(told: list[Event]) -> None:
    """The ledger may hand over all events of a person at once."""
    of_purpose = [event for event in told if event.purposeful]
    of_person = [event for event in told if not event.purposeful]

    assert fold_ground(of_purpose, TEXTS) == fold_ground(told, TEXTS)
    assert fold_restraint(of_person) == fold_restraint(told)
    assert fold_ground(of_person, TEXTS) == Ground()
    assert fold_restraint(of_purpose) == Restraint()


# --- at equal instants what restrains wins --------------------------------------------------------


@given(told=events(START))
def test_a_withdrawal_at_the_instant_of_the_last_consent_wins(told: list[Event]) -> None:
    last = latest(told, Consent, Withdrawal)

    if last is not None:
        assert fold_ground([*told, statement(Withdrawal, last)], TEXTS).withdrawn


@given(told=events(START))
def test_the_end_of_a_contract_at_the_instant_of_the_last_contract_wins(told: list[Event]) -> None:
    last = latest(told, Contract, ContractEnded)

    if last is not None:
        row = fold_ground([*told, statement(ContractEnded, last)], TEXTS)
        assert row.contract_until == 0


@given(told=events(START))
def test_an_objection_at_the_instant_of_the_last_lifting_wins(told: list[Event]) -> None:
    last = latest(told, Objection, ObjectionLifted)

    if last is not None:
        assert fold_restraint([*told, statement(Objection, last)]).objected


@given(told=events(START))
def test_an_attempt_at_the_instant_it_was_given_back_counts(told: list[Event]) -> None:
    last = latest(told, AttemptCancelled)

    if isinstance(last, AttemptCancelled):
        others = [e for e in told if not isinstance(e, Attempt) or e.call != last.call]
        row = fold_restraint([*others, statement(Attempt, last, call=last.call)])
        assert sum(map(bool, row.attempts)) >= 1
        assert fold_restraint(others).attempts <= row.attempts


@given(told=events(START, dated=True), refusal=st.sampled_from(STEPS))
def test_no_event_takes_a_refusal_back(told: list[Event], refusal: int) -> None:
    at = START + timedelta(hours=6 * refusal)
    refused = Refusal(id="e", at=at, on=at.date(), keys=Keys(number=1))

    alone, among = fold_restraint([refused]), fold_restraint([*told, refused])

    assert among.refused_on >= alone.refused_on > 0


# --- rows hold what was folded --------------------------------------------------------------------

days = st.integers(0, 0xFFFE)


@st.composite
def any_ground(draw: st.DrawFn) -> Ground:
    callback_on = draw(days)
    age = draw(st.none() | st.integers(0, 14))
    named = 0 if age is None else max(0, callback_on - age)
    return Ground(
        text=draw(st.integers(0, 0x7FFF)),
        withdrawn=draw(st.booleans()),
        consent_from=draw(days),
        consent_until=draw(days),
        contract_until=draw(days | st.just(OPEN_END)),
        callback_on=callback_on,
        named_callback_on=named,
        slot_at=draw(st.just(0) | st.integers(1577836801, 1577836800 + 0xFFFFFFFF)),
        slot_minutes=draw(st.integers(0, 720)),
    )


any_restraint = st.builds(
    Restraint,
    refused_on=days,
    objected=st.booleans(),
    attempts=st.tuples(days, days, days, days),
    bloctel_until=days,
)


@given(ground=any_ground(), restraint=any_restraint)
def test_packing_a_row_loses_nothing(ground: Ground, restraint: Restraint) -> None:
    assert Ground.unpack(ground.pack()) == ground
    assert Restraint.unpack(restraint.pack()) == restraint


@given(ground=any_ground(), restraint=any_restraint)
def test_a_packed_row_is_two_words_of_sixty_four_bits(ground: Ground, restraint: Restraint) -> None:
    """No field reaches into its neighbour: read by the dtypes, each has its own value."""
    low, high = (np.array([7, *row.pack()], "<u8").tobytes() for row in (ground, restraint))
    (as_ground,), (as_restraint,) = np.frombuffer(low, GROUND), np.frombuffer(high, RESTRAINT)

    assert as_ground["key"] == as_restraint["key"] == 7
    assert as_ground["consent_text"] & 0x7FFF == ground.text
    assert as_ground["consent_from"] == ground.consent_from
    assert as_ground["consent_until"] == ground.consent_until
    assert as_ground["contract_until"] == ground.contract_until
    assert as_ground["callback_on"] == ground.callback_on
    assert as_ground["slot_minutes"] & 0xFFF == ground.slot_minutes
    assert as_restraint["refused_on"] == restraint.refused_on
    assert tuple(as_restraint["attempts"].tolist()) == restraint.attempts
    assert as_restraint["bloctel_until"] == restraint.bloctel_until
    assert as_restraint["reserved"] == 0


@given(told=events(START, dated=True))
def test_a_folded_row_can_be_packed(told: list[Event]) -> None:
    ground, restraint = fold_ground(told, TEXTS), fold_restraint(told)

    assert Ground.unpack(ground.pack()) == ground
    assert Restraint.unpack(restraint.pack()) == restraint


# --- a gate's own events over the ledger's row ----------------------------------------------------


@given(known=events(START), own=events(START))
def test_a_gate_restrains_at_least_as_much_as_the_ledger_will(
    known: list[Event], own: list[Event]
) -> None:
    """What this gate took shows at once; nothing it took hides what the ledger has."""
    shown, will_be = onto_restraint(fold_restraint(known), own), fold_restraint(known + own)

    assert shown.refused_on == will_be.refused_on
    assert shown.objected >= will_be.objected
    assert shown.bloctel_until == will_be.bloctel_until
    assert all(a >= b for a, b in zip(shown.attempts, will_be.attempts, strict=True))


def carried(row: Ground) -> tuple[int, int, int] | None:
    """Give the consent on which calls may rest."""
    if row.withdrawn or not row.consent_from:
        return None
    return row.text, row.consent_from, row.consent_until


@pytest.mark.parametrize("dated", [False, True])
@given(data=st.data())
def test_a_withdrawal_shows_whoever_took_it(data: st.DataObject, *, dated: bool) -> None:
    """No consent stands in a gate that will not stand in the ledger for a withdrawal."""
    said = contradictions(START, (Consent, Withdrawal), dated=dated)
    known, own = data.draw(said), data.draw(said)
    row = fold_ground(known, TEXTS)

    shown, will_be = onto_ground(row, own, TEXTS), fold_ground(known + own, TEXTS)

    if will_be.withdrawn:
        assert carried(shown) is None


@given(known=events(START), own=events(START))
def test_an_end_of_contract_shows_whoever_took_it(known: list[Event], own: list[Event]) -> None:
    shown = onto_ground(fold_ground(known, TEXTS), own, TEXTS)

    if fold_ground(known + own, TEXTS).contract_until == 0:
        assert shown.contract_until == 0


@given(known=events(START), own=events(START))
def test_a_callback_shows_as_the_ledger_will_have_it(known: list[Event], own: list[Event]) -> None:
    shown, will_be = (
        onto_ground(fold_ground(known, TEXTS), own, TEXTS),
        fold_ground(known + own, TEXTS),
    )

    assert shown.callback_on == will_be.callback_on
    assert shown.named_callback_on == will_be.named_callback_on


@given(known=events(START), own=events(START), data=st.data())
def test_own_events_may_come_in_any_order_and_more_than_once(
    known: list[Event], own: list[Event], data: st.DataObject
) -> None:
    ground, restraint = fold_ground(known, TEXTS), fold_restraint(known)
    again = retold(own, data)

    assert onto_ground(ground, again, TEXTS) == onto_ground(ground, own, TEXTS)
    assert onto_restraint(restraint, again) == onto_restraint(restraint, own)


@given(known=events(START))
def test_what_the_ledger_reflects_already_restrains_no_less(known: list[Event]) -> None:
    """A log batch may show an event before it confirms its id."""
    ground, restraint = fold_ground(known, TEXTS), fold_restraint(known)

    shown = onto_restraint(restraint, known)

    assert carried(onto_ground(ground, known, TEXTS)) in {carried(ground), None}
    assert shown.objected >= restraint.objected
    assert shown.refused_on == restraint.refused_on
    assert all(a >= b for a, b in zip(shown.attempts, restraint.attempts, strict=True))
