"""A claim hears the ledger's word however that is told, and no other word."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.french import CAREFUL, CUSTOMER, FIBRE, LETTER, VERIFIED, attempts, campaign
from tests.unit.truth import DAY, NOON

from ringfence.campaign import Campaign
from ringfence.claims import Claim, Claims, cap_of
from ringfence.decision import Reason
from ringfence.event import Cap
from ringfence.number import METROPOLE, parse
from ringfence.row import NO_RESTRAINT, Facts, Restraint
from ringfence.rules.rulebook import Rulebook, Terms, judge
from ringfence.wire import Exhausted, Gone, Known, Log, Range, Rejected, Reply

EPOCH = 7
WORKING = datetime(2026, 11, 24, 9, 30, tzinfo=UTC).timestamp()
(ISLAND,) = parse("+596696000001").territories
"""Five hours behind Paris: Martinique."""
ROW = np.array([1, 2, 3], "<u8").tobytes()


class Desk:
    """A registry with one claim under way."""

    def __init__(self) -> None:
        self.heard = 0
        self.claims = Claims()
        self.claim = Claim("mine", self._hear)
        self.claims.add(self.claim)

    def _hear(self) -> None:
        self.heard += 1


@pytest.fixture
def desk() -> Desk:
    return Desk()


def log(*ids: str, epoch: int = EPOCH) -> Log:
    return Log(epoch, 1, 9, b"", b"", list(ids))


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        (Range(log("mine")), (True, None)),
        (Known(EPOCH, 3, ["other", "mine"]), (True, None)),
        (Exhausted("mine", ROW), (False, (2, 3))),
        (Rejected("mine", "unknown field `cap`"), (False, None)),
    ],
)
def test_a_reply_is_the_word_on_the_claim_it_names(
    desk: Desk, reply: Reply, word: tuple[bool, Facts | None]
) -> None:
    desk.claims.hear_reply(reply, EPOCH)

    assert (desk.claim.taken, desk.claim.known) == word
    assert (desk.heard, len(desk.claims)) == (1, 0)


@pytest.mark.parametrize(
    "reply",
    [
        Range(log("other")),
        Range(log("mine", epoch=EPOCH - 1)),
        Known(EPOCH + 1, 3, ["mine"]),
        Exhausted("other", ROW),
        Rejected("other", "no"),
        Gone(EPOCH, 1),
    ],
)
def test_another_reply_is_no_word(desk: Desk, reply: Reply) -> None:
    desk.claims.hear_reply(reply, EPOCH)

    assert desk.claim.taken is None
    assert (desk.heard, len(desk.claims)) == (0, 1)


def test_a_batch_of_another_ledger_is_no_word(desk: Desk) -> None:
    """One that was replaced may go on to take what the gate's own does not know of."""
    desk.claims.hear_log(log("mine", epoch=EPOCH - 1), EPOCH)
    early = desk.claim.taken
    desk.claims.hear_log(log("other", "mine"), EPOCH)

    assert (early, desk.claim.taken) == (None, True)


def test_the_first_word_stands(desk: Desk) -> None:
    """Told twice, a claim may be turned away first and taken later, when it was given back."""
    desk.claims.hear_reply(Exhausted("mine", ROW), EPOCH)
    desk.claims.hear_log(log("mine"), EPOCH)

    assert desk.claim.taken is False
    assert desk.heard == 1


def test_what_is_dropped_hears_nothing_more(desk: Desk) -> None:
    desk.claims.drop(desk.claim)
    desk.claims.drop(desk.claim)
    desk.claims.hear_log(log("mine"), EPOCH)

    assert desk.claim.taken is None
    assert len(desk.claims) == 0


# --- when the ledger is asked ---------------------------------------------------------------------


def cap(
    *known: Restraint,
    margin: int = 4,
    of: Campaign = FIBRE,
    book: Rulebook = CAREFUL,
) -> Cap | None:
    terms, at = Terms.of(of, frozenset()), NOON.timestamp()
    rows = CUSTOMER.pack(), tuple(one.pack() for one in known or (NO_RESTRAINT,))
    return cap_of(book, terms, (METROPOLE,), VERIFIED, rows, at, margin=margin)


FOUR = Cap(4, DAY - timedelta(days=30))
THRICE = attempts("2026-11-22", "2026-11-23", "2026-11-23")


@pytest.mark.parametrize("margin", range(5))
def test_the_ledger_is_asked_with_the_margin_left_or_less(margin: int) -> None:
    some = [NO_RESTRAINT, attempts("2026-11-23"), attempts("2026-11-23", "2026-11-24"), THRICE]

    asked = [cap(known, margin=margin) for known in some]

    assert asked == [FOUR if left <= margin else None for left in (4, 3, 2, 1)]


def test_attempts_on_the_consumer_elsewhere_leave_fewer() -> None:
    assert cap(attempts("2026-11-22"), THRICE, margin=1) == FOUR
    assert cap(attempts("2026-11-22"), attempts("2026-11-23"), margin=1) is None


def test_attempts_before_the_window_leave_no_fewer() -> None:
    assert cap(attempts("2026-10-24", "2026-10-24", "2026-10-24"), margin=3) is None


def test_the_days_are_those_that_the_rule_counts() -> None:
    assert cap(book=LETTER) == Cap(4, DAY - timedelta(days=29))


@given(ago=st.lists(st.integers(0, 40), max_size=6), book=st.sampled_from([CAREFUL, LETTER]))
def test_nothing_is_left_exactly_where_the_rule_says_so(ago: list[int], book: Rulebook) -> None:
    known = attempts(*(f"{DAY - timedelta(days=days)}" for days in ago))
    terms, rows = Terms.of(FIBRE, frozenset()), (CUSTOMER.pack(), (known.pack(),))
    capped = cap_of(book, terms, (METROPOLE,), VERIFIED, rows, WORKING, margin=4)

    judged = judge(book, terms, (METROPOLE,), VERIFIED, rows, WORKING)

    assert capped is not None
    assert (capped.left(known) == 0) == (judged.reason is Reason.ATTEMPT_LIMIT)


def test_where_several_dates_are_possible_the_window_begins_on_the_first() -> None:
    places = METROPOLE, ISLAND
    terms = Terms.of(FIBRE, frozenset())
    rows = CUSTOMER.pack(), (NO_RESTRAINT.pack(),)
    midnight = datetime(2026, 11, 24, 0, 30, tzinfo=UTC)

    asked = cap_of(CAREFUL, terms, places, VERIFIED, rows, midnight.timestamp(), margin=4)

    assert asked == Cap(4, DAY - timedelta(days=31))


@pytest.mark.parametrize("changes", [{"commercial": False}, {"audience": "business"}])
def test_what_is_no_canvassing_has_no_cap(changes: dict[str, object]) -> None:
    assert cap(of=campaign(**changes)) is None
