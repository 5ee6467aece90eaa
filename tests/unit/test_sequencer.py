"""The sequencer numbers events, folds them into rows, and cuts shards for who asks."""

from datetime import timedelta

import msgspec
import numpy as np
import pytest
from tests.unit.truth import (
    DAY,
    EPOCH,
    NOON,
    Truth,
    attempt,
    consent,
    key,
    objection,
    refusal,
    withdrawal,
)

from ringfence import snapshot
from ringfence.event import Callback, Event, Keys
from ringfence.ledger.sequencer import keys_of, objection_to
from ringfence.row import RESTRAINT, day_of
from ringfence.wire import Ask


@pytest.fixture
def truth() -> Truth:
    return Truth()


# --- numbering ------------------------------------------------------------------------------------


def test_a_batch_has_the_numbers_that_follow_the_rows_and_the_ids(truth: Truth) -> None:
    log = truth.tell(refusal(1), consent(2))

    assert (log.epoch, log.first, log.last) == (EPOCH, 1, 2)
    assert log.ids == ["refusal-1", "consent-2"]
    (row,) = np.frombuffer(log.restraint, RESTRAINT)
    assert (row["key"], row["refused_on"]) == (key(1), day_of(DAY))
    assert len(log.ground) == 24


def test_rows_fold_over_all_that_is_known_of_their_key(truth: Truth) -> None:
    truth.tell(attempt(1, "a"), refusal(1))

    (row,) = np.frombuffer(truth.tell(attempt(1, "b")).restraint, RESTRAINT)

    assert row["refused_on"] == day_of(DAY)
    assert row["attempts"].tolist() == [day_of(DAY), day_of(DAY), 0, 0]


def test_planning_changes_nothing(truth: Truth) -> None:
    truth.sequencer.plan([refusal(1)], {}, after=0)

    assert (truth.seq, truth.digests) == (0, (0, 0))


def test_a_batch_out_of_order_is_an_error_that_names_it(truth: Truth) -> None:
    log = truth.sequencer.plan([refusal(1)], {}, after=4)

    with pytest.raises(ValueError, match=r"5\.\.5 does not follow change 0"):
        truth.sequencer.apply(log)


def test_a_refusal_is_filed_under_number_and_consumer_each_once() -> None:
    assert keys_of(refusal(1, consumer=5)) == (key(1), 5)
    assert keys_of(refusal(1, consumer=key(1))) == (key(1),)
    assert keys_of(consent(2)) == (key(2),)
    assert keys_of(msgspec.structs.replace(refusal(1), keys=None)) == ()


def test_a_head_tells_where_the_ledger_stands(truth: Truth) -> None:
    truth.tell(refusal(1), consent(2))

    head = truth.sequencer.head(NOON)

    assert (head.epoch, head.seq, head.at, head.config) == (EPOCH, 2, NOON, 1)
    assert (head.ground_digest, head.restraint_digest) == truth.digests
    assert (head.ground_rows, head.restraint_rows, head.shards) == (1, 1, 1)


# --- what is turned away --------------------------------------------------------------------------


def changed(event: Event, **fields: object) -> Event:
    return msgspec.structs.replace(event, **fields)


@pytest.mark.parametrize(
    ("event", "names"),
    [
        (changed(refusal(1), to="+33639980001"), ["refusal-1", "telephone number", "keys"]),
        (changed(refusal(1), consumer="Smith"), ["refusal-1", "publish keys"]),
        (changed(refusal(1), keys=None), ["refusal-1", "keys.number"]),
        (changed(consent(1), keys=Keys(number=5)), ["consent-1", "keys.purpose"]),
        (changed(refusal(1), at=None), ["refusal-1", "`at`"]),
        (changed(refusal(1), on=None), ["refusal-1", "`on`"]),
        (changed(refusal(1), principal="other"), ["refusal-1", "other", "acme"]),
        (consent(1, text="web-9"), ["consent-1", "web-9"]),
        (
            changed(consent(1), until=DAY - timedelta(days=1)),
            ["consent-1", "ends on 2026-11-23", "before it was given"],
        ),
        (consent(1, at=NOON + timedelta(minutes=6)), ["consent-1", "2026-11-24T12:06"]),
        (
            Callback(id="c", at=NOON + timedelta(days=1), on=DAY, keys=Keys(purpose=1)),
            ["callback c", "ahead"],
        ),
        *(
            (changed(refusal(1), keys=Keys(number=wrong)), ["refusal-1", "keys.number", str(wrong)])
            for wrong in (0, -1, 2**64)
        ),
        (refusal(1, consumer=0), ["refusal-1", "keys.consumer"]),
        (changed(consent(1), keys=Keys(purpose=1, number=-1)), ["consent-1", "keys.number"]),
    ],
)
def test_an_event_is_turned_away_with_its_id_and_what_is_wrong(
    truth: Truth, event: Event, names: list[str]
) -> None:
    reason = objection_to(event, "acme", truth.config, NOON)

    assert reason is not None
    assert [name for name in names if name not in reason] == []
    assert "+336" not in reason


def test_a_restraint_is_not_turned_away_for_its_clock(truth: Truth) -> None:
    late = changed(refusal(1), at=NOON + timedelta(days=400))

    assert objection_to(late, "acme", truth.config, NOON) is None


@pytest.mark.parametrize(
    "event",
    [
        consent(1),
        changed(consent(2), until=DAY),
        withdrawal(1),
        objection(1),
        attempt(1),
        refusal(1, consumer=2**64 - 1),
        changed(refusal(2), principal="acme"),
    ],
    ids=lambda event: event.id,
)
def test_a_sound_event_is_taken(truth: Truth, event: Event) -> None:
    assert objection_to(event, "acme", truth.config, NOON) is None


# --- questions ------------------------------------------------------------------------------------


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "SHARD_ROWS", 2)


def shards_given(truth: Truth) -> list[int]:
    given = []
    while truth.sequencer.waited_for:
        given += [part.shard for part in truth.sequencer.next_shard()]
    return given


@pytest.mark.usefixtures("small_shards")
def test_a_shard_is_cut_once_for_all_who_wait_for_it(truth: Truth) -> None:
    truth.tell(*(refusal(n) for n in range(1, 9)))
    assert truth.head().shards == 4

    for ask in (
        Ask("a", EPOCH, shards=[2, 2, 0, 9]),
        Ask("b", EPOCH, shards=[0, 3]),
        Ask("c", EPOCH + 1),
        Ask("d", EPOCH, first=1, last=2),
        Ask("e", EPOCH, config=True),
    ):
        truth.sequencer.want(ask)

    assert shards_given(truth) == [2, 0, 3]
    assert truth.sequencer.next_shard() == []


@pytest.mark.usefixtures("small_shards")
def test_who_names_no_shard_wants_all(truth: Truth) -> None:
    truth.tell(*(refusal(n) for n in range(1, 9)))
    truth.head()

    truth.sequencer.want(Ask("a", EPOCH))

    assert shards_given(truth) == [0, 1, 2, 3]


@pytest.mark.usefixtures("small_shards")
def test_when_the_shards_grow_what_was_asked_of_the_old_ones_is_dropped(truth: Truth) -> None:
    truth.sequencer.want(Ask("a", EPOCH))
    truth.tell(*(refusal(n) for n in range(1, 9)))

    assert truth.head().shards == 4

    assert not truth.sequencer.waited_for


# --- epochs ---------------------------------------------------------------------------------------


def test_a_ledger_is_outrun_by_a_head_that_tells_more_than_it_knows(truth: Truth) -> None:
    truth.tell(refusal(1))
    own = truth.head()

    def outrun(**changes: object) -> bool:
        return truth.sequencer.outrun_by(msgspec.structs.replace(own, **changes))

    assert not outrun()
    assert not outrun(seq=0, restraint_digest=0)
    assert not outrun(epoch=EPOCH - 1, seq=99)
    assert outrun(seq=2)
    assert outrun(restraint_digest=1)
    assert outrun(epoch=EPOCH + 1, seq=0)


def test_a_renewed_ledger_goes_on_under_another_epoch(truth: Truth) -> None:
    truth.tell(refusal(1))
    truth.sequencer.want(Ask("a", EPOCH))

    truth.sequencer.renew(EPOCH + 5)

    assert (truth.head().epoch, truth.head().seq) == (EPOCH + 5, 1)
    assert truth.sequencer.config.epoch == EPOCH + 5
    assert not truth.sequencer.waited_for
    assert truth.tell(refusal(2)).epoch == EPOCH + 5
