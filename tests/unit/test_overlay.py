"""Own events count at once, and until the ledger's rows reflect them or it turns them away."""

from datetime import timedelta

import msgspec
from tests.unit.truth import DAY, NOON, attempt, consent, key, refusal, withdrawal

from ringfence.call import Outcome
from ringfence.event import AttemptCancelled, Keys
from ringfence.overlay import Overlay, to_show
from ringfence.row import NO_FACTS, Ground, Restraint, day_of

TODAY = day_of(DAY)
TEXTS = {"web-1": 1}


def overlay(*events: object) -> Overlay:
    shown = Overlay()
    for event in events:
        shown.add(event)  # type: ignore[arg-type]  # events of any kind
    return shown


def test_an_own_refusal_counts_until_it_is_dropped() -> None:
    shown = overlay(refusal(1))

    assert shown.restraint(key(1), NO_FACTS) == Restraint(refused_on=TODAY).pack()
    shown.drop(["refusal-1", "unknown"])
    assert key(1) not in shown
    assert len(shown) == 0


def test_own_events_of_one_key_are_dropped_one_by_one() -> None:
    shown = overlay(refusal(1), attempt(1))

    shown.drop(["refusal-1"])

    assert shown.restraint(key(1), NO_FACTS) == Restraint(attempts=(TODAY, 0, 0, 0)).pack()


def test_an_event_shown_again_is_shown_once_and_one_of_its_id_does_not_hide_it() -> None:
    other = msgspec.structs.replace(refusal(1), keys=Keys(number=key(2)))

    shown = overlay(refusal(1), refusal(1), other)

    assert len(shown) == 1
    assert key(1) in shown
    shown.drop([other.id])
    assert key(1) not in shown


def test_a_consent_told_again_is_not_newer_than_what_was_said_since() -> None:
    again = consent(1, at=NOON + timedelta(days=9))

    shown = overlay(consent(1), withdrawal(1), again)

    assert Ground.unpack(shown.ground(key(1), NO_FACTS, TEXTS)).withdrawn


def test_a_refusal_is_filed_under_number_and_consumer_even_if_they_are_one_key() -> None:
    shown = overlay(refusal(1, consumer=5), refusal(2, consumer=key(2)))

    assert 5 in shown
    shown.drop(["refusal-1", "refusal-2"])
    assert not [place for place in (key(1), key(2), 5) if place in shown]


def test_own_statements_count_over_the_row_of_the_ledger() -> None:
    shown = overlay(withdrawal(1))
    agreed = Ground(text=1, consent_from=TODAY - 9)

    assert Ground.unpack(shown.ground(key(1), agreed.pack(), TEXTS)).withdrawn


def test_a_ground_that_the_ledger_turns_away_counts_no_longer_a_restraint_does() -> None:
    later = consent(2, at=NOON + timedelta(days=9))
    shown = overlay(consent(1), later, withdrawal(3), refusal(4))

    for name in ("consent-1", "consent-2", "withdrawal-3", "refusal-4", "unknown"):
        shown.turn_away(name)

    assert [key(n) in shown for n in (1, 2, 3, 4)] == [False, False, True, True]
    assert Ground.unpack(shown.ground(key(3), NO_FACTS, TEXTS)).withdrawn


def test_what_became_of_a_call_is_not_shown_beside_an_attempt_that_the_ledger_may_have() -> None:
    """Else an outbox that is opened again would count it twice."""
    reserved = attempt(1)
    ended = msgspec.structs.replace(reserved, id="ended", outcome=Outcome.NO_ANSWER)

    assert to_show([ended, refusal(1)]) == [refusal(1)]
    assert to_show([reserved, ended]) == [reserved]


def test_a_call_that_was_placed_after_all_is_shown_though_its_attempt_was_given_back() -> None:
    reserved = attempt(1)
    given_back = AttemptCancelled(
        id="back", at=reserved.at, on=reserved.on, keys=reserved.keys, call=reserved.call
    )
    placed = msgspec.structs.replace(reserved, id="placed", outcome=Outcome.ANSWERED)

    assert to_show([given_back, placed]) == [placed]
