"""What a replica vouches for it can prove; the rest it doubts, asks for, and gets in the end."""

from collections.abc import Callable
from contextlib import nullcontext

import msgspec
import pytest
from tests.unit.truth import (
    DAY,
    EPOCH,
    Truth,
    at,
    attempt,
    consent,
    key,
    objection,
    questions,
    refusal,
    replica,
    synced,
)

from ringfence import backlog
from ringfence.decision import Reason
from ringfence.event import Event
from ringfence.replica import UNSURE, Confirmed, Effect, Patience, Replica
from ringfence.row import NO_FACTS, ROW, Restraint, day_of
from ringfence.shelf import MemoryShelf
from ringfence.table import Rows, Table, TableError
from ringfence.wire import MAX_RANGE, Ask, Gone, Head, Known, Log, Range, Rejected, WireError

TODAY = day_of(DAY)
ANOTHER = EPOCH + 1


@pytest.fixture
def truth() -> Truth:
    """A ledger with two changes."""
    ledger = Truth()
    ledger.tell(consent(1))
    ledger.tell(refusal(2))
    return ledger


def hear(gate: Replica, truth: Truth, seconds: float, **changes: object) -> list[Effect]:
    """Hear the head that the ledger sends at that moment."""
    return gate.receive_head(truth.head(seconds, **changes), at(seconds), retained=False)


def load(gate: Replica, truth: Truth, seconds: float) -> None:
    for part in truth.parts():
        gate.receive_snapshot(part, at(seconds))


class FullShelf(MemoryShelf):
    """A shelf on a disk that fills up."""

    ready = True

    def new(self, epoch: int, grounds: int, restraints: int) -> tuple[Table, Table]:
        if not self.ready:
            msg = "no space"
            raise TableError(msg)
        return super().new(epoch, grounds, restraints)


class SlowShelf:
    """A shelf on which tables are being made for a while."""

    ready = True

    def __init__(self) -> None:
        self._shelf = MemoryShelf()

    def found(self) -> None:
        return None

    def new(self, epoch: int, grounds: int, restraints: int) -> tuple[Table, Table] | None:
        return self._shelf.new(epoch, grounds, restraints) if self.ready else None

    def keep(self, ground: Table, restraint: Table) -> None:
        """Nothing to do."""


# --- from nothing to no doubt ---------------------------------------------------------------------


def test_a_replica_that_heard_nothing_is_not_ready_and_asks_nothing() -> None:
    gate = replica()

    assert gate.tick(at(100)) == []
    assert gate.doubt(at(100)) is Reason.NOT_READY


def test_a_head_makes_it_ask_for_all_shards_and_their_rows_are_vouched_for(truth: Truth) -> None:
    gate = replica()
    gate.receive_config(truth.config)

    assert hear(gate, truth, 0) == [Ask("gate", EPOCH)]
    load(gate, truth, 0)
    assert gate.doubt(at(0)) is None
    assert (gate.seq, gate.digests) == (2, truth.digests)
    assert Restraint.unpack(gate.restraint(key(2))).refused_on == TODAY
    assert gate.tick(at(50)) == []


def test_a_retained_head_loads_but_never_proves(truth: Truth) -> None:
    gate = replica()
    gate.receive_config(truth.config)
    gate.receive_head(truth.head(), at(0), retained=True)
    load(gate, truth, 0)

    assert gate.doubt(at(0)) is Reason.NOT_READY
    hear(gate, truth, 1)
    assert gate.doubt(at(1)) is None


def test_a_gate_that_has_all_but_a_live_head_asks_for_one_at_once(truth: Truth) -> None:
    """As after a restart: else it would stand still until the ledger's next heartbeat."""
    gate = replica()
    gate.receive_config(truth.config)
    gate.receive_head(truth.head(), at(0), retained=True)

    told = [effect for part in truth.parts() for effect in gate.receive_snapshot(part, at(0))]

    question = Ask("gate", EPOCH, config=True, head=True)
    assert questions(told) == [question]
    assert gate.tick(at(1.9)) == []  # an answer is given time
    assert gate.tick(at(2.3)) == [question]
    hear(gate, truth, 2.4)
    assert gate.doubt(at(2.4)) is None
    assert gate.tick(at(99)) == []


def test_a_gate_that_hears_the_ledger_asks_for_no_head(truth: Truth) -> None:
    """One that does not prove the tables proves them no better the second time."""
    gate = synced(truth)
    gate.receive_head(truth.head(61.5), at(61.5), retained=True)

    assert gate.tick(at(70)) == []


def test_an_empty_ledger_is_vouched_for_too() -> None:
    gate = synced(Truth())

    assert (gate.seq, gate.rows) == (0, (0, 0))


def test_nothing_is_vouched_for_without_the_configuration_that_the_head_names(
    truth: Truth,
) -> None:
    gate = synced(truth)

    hear(gate, truth, 1, config=2)

    assert gate.doubt(at(1)) is Reason.NOT_READY
    assert questions(gate.tick(at(1.2))) == [Ask("gate", EPOCH, config=True)]
    gate.receive_config(msgspec.structs.replace(truth.config, version=2))
    assert gate.doubt(at(1.2)) is None
    assert gate.tick(at(9)) == []


def test_what_is_proved_goes_stale_and_is_fresh_again_with_the_next_head(truth: Truth) -> None:
    gate = synced(truth)

    assert gate.doubt(at(60)) is None
    assert gate.doubt(at(60.1)) is Reason.STALE
    hear(gate, truth, 61)
    assert gate.doubt(at(61)) is None


@pytest.mark.parametrize("error", [-6.0, 6.0])
def test_a_clock_that_disagrees_with_the_ledgers_is_a_doubt(truth: Truth, error: float) -> None:
    gate = synced(truth)

    assert gate.doubt(at(1, error)) is Reason.CLOCK_SKEW
    assert gate.skew(at(1, error)) == pytest.approx(error)
    assert gate.doubt(at(1, error / 2)) is None


# --- gaps -----------------------------------------------------------------------------------------


def test_beyond_a_gap_restraints_count_at_once_and_grounds_do_not(truth: Truth) -> None:
    gate = synced(truth)
    truth.tell(refusal(3))
    last = truth.tell(objection(4), consent(5))

    effects = gate.receive_log(last, at(1))

    assert effects == []
    assert gate.doubt(at(1)) is Reason.NOT_READY
    assert Restraint.unpack(gate.restraint(key(4))).objected
    assert gate.ground(key(5)) == NO_FACTS
    assert gate.restraint(key(3)) == NO_FACTS


def test_what_is_missing_is_asked_for_after_a_moment_and_then_now_and_again(truth: Truth) -> None:
    gate = synced(truth)
    truth.tell(refusal(3))
    truth.tell(refusal(4))
    gate.receive_log(truth.tell(refusal(5)), at(1))

    asked = [(n / 10, questions(gate.tick(at(n / 10)))) for n in range(10, 60)]

    missing = [Ask("gate", EPOCH, first=3, last=4)]
    assert [(time, ask) for time, ask in asked if ask] == [
        (1.2, missing),
        (3.2, missing),
        (5.2, missing),
    ]


def test_a_filled_gap_leaves_the_rows_of_the_ledger_in_whatever_order_it_is_filled(
    truth: Truth,
) -> None:
    gate = synced(truth)
    one, two, three, four = (truth.tell(attempt(9, f"call-{n}")) for n in range(4))

    for log in (four, two, three, two):
        gate.receive_log(log, at(1))
        assert gate.restraint(key(9)) == Restraint(attempts=(TODAY,) * 4).pack()
    gate.receive_reply(Range(one), at(1))

    hear(gate, truth, 1)
    assert gate.doubt(at(1)) is None
    assert (gate.seq, gate.digests) == (6, truth.digests)


def test_the_digest_below_a_gap_is_not_that_of_the_restraints_shown_early(truth: Truth) -> None:
    gate = synced(truth)
    below = truth.head(1)
    truth.tell(refusal(3))
    gate.receive_log(truth.tell(refusal(4)), at(1))

    gate.receive_head(below, at(1), retained=False)

    assert gate.doubt(at(1)) is Reason.NOT_READY


def test_a_head_ahead_is_given_a_moment_and_then_is_a_doubt_and_a_question(truth: Truth) -> None:
    gate = synced(truth)
    lost = truth.tell(refusal(3))

    hear(gate, truth, 1)

    assert gate.doubt(at(1.2)) is None
    assert gate.doubt(at(1.21)) is Reason.NOT_READY
    assert questions(gate.tick(at(1.21))) == [Ask("gate", EPOCH, first=3, last=3)]
    gate.receive_reply(Range(lost), at(1.3))
    assert gate.doubt(at(1.3)) is None


def test_a_change_that_was_heard_of_is_not_forgotten_for_an_older_head(truth: Truth) -> None:
    """On a clock that is behind, what was long under way looks as if it was just sent."""
    gate = synced(truth)
    older = [truth.head(4), truth.head(6)]
    lost = truth.tell(refusal(3))
    hear(gate, truth, 10)

    asked = gate.receive_head(older[0], at(10.5, clock_error=-3), retained=False)
    gate.receive_head(older[1], at(11, clock_error=-3), retained=False)

    assert asked == [Ask("gate", EPOCH, first=3, last=3)]
    assert gate.doubt(at(11, clock_error=-3)) is Reason.NOT_READY
    gate.receive_log(lost, at(11.5))
    hear(gate, truth, 12)
    assert gate.doubt(at(12)) is None


@pytest.mark.parametrize("retained", [True, False])
def test_a_head_that_comes_too_late_for_all_else_still_tells_of_its_change(
    truth: Truth, *, retained: bool
) -> None:
    """As from a ledger whose clock is wrong."""
    gate = synced(truth)
    older = truth.head(2)
    lost = truth.tell(refusal(3))

    gate.receive_head(truth.head(-60), at(1), retained=retained)
    gate.receive_head(older, at(2), retained=False)

    assert gate.doubt(at(2)) is Reason.NOT_READY
    gate.receive_log(lost, at(3))
    assert gate.doubt(at(3)) is None


def test_a_batch_that_was_heard_of_is_not_forgotten_when_all_is_loaded_anew(truth: Truth) -> None:
    """The shards that come may have been cut before, for others."""
    gate = synced(truth)
    cut, older = truth.parts(), truth.head(2)
    truth.tell(refusal(3))
    gate.receive_log(truth.tell(refusal(4)), at(1))
    gate.tick(at(1.3))
    gate.receive_reply(Gone(EPOCH, 3), at(1.5))

    for part in cut:
        gate.receive_snapshot(part, at(1.6))
    gate.receive_head(older, at(2), retained=False)

    assert gate.loads == 2
    assert gate.doubt(at(2)) is Reason.NOT_READY


def test_the_moment_is_not_given_anew_by_each_head(truth: Truth) -> None:
    gate = synced(truth)
    truth.tell(refusal(3))

    for tenth in range(10, 14):
        hear(gate, truth, tenth / 10)

    assert gate.doubt(at(1.3)) is Reason.NOT_READY


def test_after_a_full_answer_what_follows_is_asked_for_at_once(truth: Truth) -> None:
    gate = synced(truth)
    logs = [truth.tell(refusal(n)) for n in range(100, 102 + MAX_RANGE)]
    hear(gate, truth, 1)
    gate.tick(at(1.2))

    effects = [gate.receive_reply(Range(log), at(1.3)) for log in logs[:MAX_RANGE]]

    last = logs[-1].last
    assert questions(effects[-1]) == [Ask("gate", EPOCH, first=last - 1, last=last)]
    assert not [ask for some in effects[:-1] for ask in questions(some)]


def test_a_backlog_that_overflows_still_takes_what_fills_the_gap(
    truth: Truth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "MAX_WAITING", 3)
    gate = synced(truth)
    logs = [truth.tell(refusal(n)) for n in range(100, 108)]
    for log in logs[1:]:
        gate.receive_log(log, at(1))

    gate.receive_reply(Range(logs[0]), at(1.1))

    assert gate.seq == logs[3].last
    for log in logs[4:]:
        gate.receive_reply(Range(log), at(1.2))
    hear(gate, truth, 1.2)
    assert gate.doubt(at(1.2)) is None


def test_what_had_to_be_dropped_is_not_forgotten(
    truth: Truth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "MAX_WAITING", 1)
    gate = synced(truth)
    one, two, three, four = (truth.tell(refusal(n)) for n in range(100, 104))
    for log in (two, four, three, one):
        gate.receive_log(log, at(1))

    assert gate.seq == two.last
    assert gate.doubt(at(1)) is Reason.NOT_READY
    assert questions(gate.tick(at(2))) == [Ask("gate", EPOCH, first=three.first, last=four.last)]


def test_a_long_backlog_is_applied_turn_by_turn(
    truth: Truth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "TURN", 10 * backlog.LEAST)
    gate = synced(truth)
    first, *rest = [truth.tell(refusal(n)) for n in range(100, 125)]
    for log in rest:
        gate.receive_log(log, at(1))

    gate.receive_reply(Range(first), at(1.1))

    assert gate.seq == first.last + 10
    assert gate.doubt(at(1.1)) is Reason.NOT_READY
    assert questions(gate.tick(at(1.15))) == []
    gate.tick(at(1.2))
    hear(gate, truth, 1.2)
    assert gate.doubt(at(1.2)) is None


def test_old_and_repeated_batches_change_nothing(truth: Truth) -> None:
    gate = synced(truth)

    for log in truth.logs * 2:
        assert gate.receive_log(log, at(1)) == []

    assert (gate.seq, gate.digests) == (2, truth.digests)
    assert gate.doubt(at(1)) is None


@pytest.mark.parametrize("rows", [bytes(ROW), b"\1" * (ROW + 1)])
def test_rows_that_are_none_are_a_wire_error_and_change_nothing(truth: Truth, rows: bytes) -> None:
    gate = synced(truth)

    for wrong in (Log(EPOCH, 3, 3, rows, b"", []), Log(EPOCH, 9, 9, b"", rows, [])):
        with pytest.raises(WireError):
            gate.receive_log(wrong, at(1))

    assert (gate.seq, gate.digests, gate.doubt(at(1))) == (2, truth.digests, None)


def test_at_the_last_change_there_can_be_questions_can_still_be_written(truth: Truth) -> None:
    gate = synced(truth)
    end = 2**63 - 1
    gate.receive_log(Log(EPOCH, 3, end, b"", b"", []), at(1))

    gate.receive_head(truth.head(1, seq=end, config=5), at(1), retained=False)

    for ask in questions(gate.tick(at(9))):
        assert msgspec.msgpack.encode(ask)


# --- heads that must not count --------------------------------------------------------------------


def test_old_heads_told_again_keep_nothing_fresh(truth: Truth) -> None:
    gate = synced(truth)
    old = [truth.head(n) for n in range(1, 60)]
    hear(gate, truth, 60)

    for seconds in range(61, 200):
        gate.receive_head(old[seconds % 59], at(seconds), retained=False)

    assert gate.age(200) == 140
    assert gate.doubt(at(200)) is Reason.STALE


def test_a_head_that_was_long_under_way_proves_nothing_even_when_the_next_is_not(
    truth: Truth,
) -> None:
    gate = synced(truth)
    late = truth.head(50)
    gate.receive_head(late, at(57), retained=False)
    truth.tell(refusal(3))

    hear(gate, truth, 61)

    assert gate.doubt(at(61.1)) is Reason.STALE


def test_an_older_head_does_not_hide_a_newer_one(truth: Truth) -> None:
    gate = synced(truth)
    old = truth.head(1)
    truth.tell(refusal(3))
    hear(gate, truth, 8)

    gate.receive_head(old, at(8.1), retained=False)

    assert gate.head == truth.head(8)
    assert gate.doubt(at(8.3)) is Reason.NOT_READY


def test_of_two_heads_of_one_instant_the_later_change_counts(truth: Truth) -> None:
    gate = synced(truth)
    truth.tell(refusal(3))

    hear(gate, truth, 0)

    assert gate.doubt(at(0.3)) is Reason.NOT_READY


def test_a_retained_head_does_not_refresh_what_is_going_stale(truth: Truth) -> None:
    gate = synced(truth)

    gate.receive_head(truth.head(59), at(59), retained=True)

    assert gate.doubt(at(61)) is Reason.STALE


def test_a_ledger_whose_clock_was_put_right_is_believed_from_the_second_head_on(
    truth: Truth,
) -> None:
    gate = synced(truth)
    gate.receive_head(truth.head(3600), at(1), retained=False)
    assert gate.doubt(at(1)) is Reason.CLOCK_SKEW

    hear(gate, truth, 59)
    assert gate.doubt(at(61)) is Reason.STALE
    hear(gate, truth, 61)
    assert gate.doubt(at(61)) is None


def test_a_head_at_a_change_whose_digest_is_not_known_proves_nothing(truth: Truth) -> None:
    gate = synced(truth)
    gate.receive_log(truth.tell(refusal(3), refusal(4)), at(1))

    hear(gate, truth, 2, seq=3)

    assert gate.doubt(at(2.3)) is Reason.NOT_READY


# --- divergence and loading -----------------------------------------------------------------------


def forged(truth: Truth) -> Log:
    """Give a batch that the ledger never told, in the place of its next."""
    return Log(EPOCH, truth.seq + 1, truth.seq + 1, b"", b"\1" * ROW, [])


def test_another_digest_at_the_same_change_is_divergence_until_loaded_and_proved(
    truth: Truth,
) -> None:
    gate = synced(truth)
    gate.receive_log(forged(truth), at(1))
    truth.tell(refusal(3))

    effects = hear(gate, truth, 2)

    assert effects == [Ask("gate", EPOCH)]
    assert gate.doubt(at(2)) is Reason.DIVERGED
    load(gate, truth, 3)
    assert gate.doubt(at(3)) is None
    assert gate.digests == truth.digests


def test_digests_of_replaced_tables_prove_nothing_of_the_new_ones(truth: Truth) -> None:
    gate = synced(truth)
    before = truth.head(3)
    truth.tell(refusal(3))
    gate.receive_log(Log(EPOCH, 3, 3, b"", b"\1" * ROW, []), at(1))
    hear(gate, truth, 2)
    truth.tell(refusal(4))
    load(gate, truth, 2)

    gate.receive_head(before, at(3), retained=False)

    assert gate.age(3) is None


def test_a_ledger_that_lost_changes_is_divergence(truth: Truth) -> None:
    gate = synced(truth)
    restored = Truth()
    restored.tell(consent(1))

    hear(gate, restored, 1)

    assert gate.doubt(at(1)) is Reason.DIVERGED
    load(gate, restored, 1)
    hear(gate, restored, 2)
    assert gate.doubt(at(2)) is Reason.DIVERGED  # what it has lost may be a refusal
    assert gate.restraint(key(2)) != NO_FACTS


def test_nothing_that_a_ledger_which_lost_changes_tells_makes_a_gate_load_its_rows(
    truth: Truth,
) -> None:
    """Its next batches overlap what it has lost, and its log reaches back less far."""
    gate = synced(truth)
    restored = Truth()
    restored.tell(consent(1))
    hear(gate, restored, 1)

    gate.receive_log(Log(EPOCH, gate.seq, gate.seq + 1, b"", b"", []), at(1.1))
    gate.receive_reply(Gone(EPOCH, gate.seq + 1), at(1.2))
    load(gate, restored, 1.3)
    hear(gate, restored, 2)

    assert gate.doubt(at(2)) is Reason.DIVERGED
    assert gate.restraint(key(2)) != NO_FACTS


def test_another_epoch_ends_what_a_ledger_that_lost_changes_began(truth: Truth) -> None:
    gate = synced(truth)
    restored = Truth()
    restored.tell(consent(1))
    hear(gate, restored, 1)
    taken_over = Truth(ANOTHER)
    taken_over.tell(consent(1))

    gate.receive_config(taken_over.config)
    hear(gate, taken_over, 2)
    load(gate, taken_over, 2)

    assert gate.doubt(at(2)) is None


def test_an_older_head_does_not_hide_that_a_ledger_lost_changes(truth: Truth) -> None:
    earlier = Truth(EPOCH - 1)
    earlier.tell(*map(refusal, range(1, 9)))
    gate = synced(earlier)
    hear(gate, truth, 1)
    load(gate, truth, 1)
    hear(gate, truth, 10)
    gate.receive_head(truth.head(4, seq=1), at(10.5, clock_error=-3), retained=False)

    hear(gate, truth, 12, seq=1)

    assert gate.doubt(at(12)) is Reason.DIVERGED


def test_a_clock_that_was_wrong_before_does_not_hide_that_a_ledger_lost_changes(
    truth: Truth,
) -> None:
    gate = synced(truth)
    gate.receive_head(truth.head(3600, seq=3), at(1), retained=False)
    hear(gate, truth, 2)

    hear(gate, truth, 4, seq=1)

    assert gate.doubt(at(4)) is Reason.DIVERGED


@pytest.mark.parametrize("ready", [True, False])
def test_what_was_being_loaded_when_a_ledger_lost_changes_is_let_go(
    truth: Truth, *, ready: bool
) -> None:
    shelf = SlowShelf()
    gate = synced(truth, shelf)
    shelf.ready = ready
    hear(gate, truth, 1, ground_digest=1)
    restored = Truth()
    restored.tell(consent(1))
    hear(gate, restored, 2)

    shelf.ready = True
    gate.tick(at(2.5))
    load(gate, restored, 3)
    hear(gate, restored, 4)

    assert gate.doubt(at(4)) is Reason.DIVERGED
    assert gate.restraint(key(2)) != NO_FACTS


def test_a_ledger_that_has_all_again_is_believed_again(truth: Truth) -> None:
    """It was a head out of its order."""
    gate = synced(truth)
    older = truth.head(1, seq=truth.seq - 1)
    gate.receive_head(older, at(1), retained=False)
    doubt = gate.doubt(at(1))

    hear(gate, truth, 2)

    assert doubt is Reason.DIVERGED
    assert gate.doubt(at(2)) is None


def test_batches_that_overlap_what_is_known_are_divergence(truth: Truth) -> None:
    gate = synced(truth)

    gate.receive_log(Log(EPOCH, 2, 3, b"", b"", []), at(1))

    assert gate.doubt(at(1)) is Reason.DIVERGED


def test_while_it_loads_for_a_log_that_is_gone_it_vouches_for_nothing(truth: Truth) -> None:
    gate = synced(truth)
    truth.tell(refusal(3))
    hear(gate, truth, 1)
    gate.tick(at(1.2))

    effects = gate.receive_reply(Gone(EPOCH, 3), at(1.3))

    assert questions(effects) == [Ask("gate", EPOCH)]
    assert gate.doubt(at(1.3)) is Reason.NOT_READY
    load(gate, truth, 1.4)
    assert gate.doubt(at(1.4)) is None


def test_a_log_that_is_gone_between_the_shards_of_a_first_load_loads_anew(truth: Truth) -> None:
    truth.sequencer._shards = 2
    early = truth.parts()[0]
    truth.tell(refusal(3))
    gate = replica()
    gate.receive_config(truth.config)
    hear(gate, truth, 0)
    for part in (early, truth.parts()[1]):
        gate.receive_snapshot(part, at(0))
    assert questions(gate.tick(at(0.2))) == [Ask("gate", EPOCH, first=3, last=3)]

    effects = gate.receive_reply(Gone(EPOCH, 3), at(0.3))

    assert questions(effects) == [Ask("gate", EPOCH)]
    load(gate, truth, 0.4)
    assert gate.doubt(at(0.4)) is None


@pytest.mark.parametrize("full", [True, False])
def test_tables_that_are_behind_are_no_better_when_their_load_has_to_begin_anew(
    truth: Truth, *, full: bool
) -> None:
    """The ledger cuts more shards, and there are no tables for them yet, or no space."""
    shelf = FullShelf() if full else SlowShelf()
    gate = synced(truth, shelf)
    truth.tell(refusal(3))
    hear(gate, truth, 1)
    gate.tick(at(1.3))
    gate.receive_reply(Gone(EPOCH, 3), at(1.5))

    shelf.ready = False
    with pytest.raises(TableError) if full else nullcontext():
        hear(gate, truth, 1.6, shards=2)

    assert gate.doubt(at(1.6)) is Reason.NOT_READY
    assert gate.vouched(at(1.6)).sure_until < at(1.6).mono
    gate.tick(at(1.7))
    assert gate.doubt(at(1.7)) is Reason.NOT_READY


def test_what_was_heard_of_during_a_load_is_given_no_moment_after_it(truth: Truth) -> None:
    gate = replica()
    gate.receive_config(truth.config)
    hear(gate, truth, 0)
    parts = truth.parts()
    truth.tell(refusal(3))
    gate.receive_head(truth.head(-60), at(0.5), retained=False)

    for part in parts:
        gate.receive_snapshot(part, at(1))

    assert gate.seq == 2
    assert gate.doubt(at(1)) is Reason.NOT_READY


def test_that_a_log_is_gone_which_nobody_needs_any_more_is_passed_over(truth: Truth) -> None:
    gate = synced(truth)
    lost = truth.tell(refusal(3))
    hear(gate, truth, 1)
    gate.tick(at(1.2))
    gate.receive_log(lost, at(1.25))

    for gone in (Gone(EPOCH, 3), Gone(EPOCH, 4), Gone(ANOTHER, 4)):
        assert gate.receive_reply(gone, at(1.3)) == []

    assert gate.doubt(at(1.3)) is None


def test_shards_cut_at_different_changes_are_brought_to_one_by_the_log(truth: Truth) -> None:
    truth.sequencer._shards = 4
    gate = replica()
    gate.receive_config(truth.config)
    hear(gate, truth, 0)

    for n in range(4):
        gate.receive_snapshot(truth.parts()[n], at(0))
        gate.receive_log(truth.tell(refusal(10 + n), consent(20 + n)), at(0))

    hear(gate, truth, 1)
    assert gate.doubt(at(1)) is None
    assert gate.digests == truth.digests


def test_what_is_heard_while_tables_are_being_made_is_there_when_they_are(truth: Truth) -> None:
    shelf = SlowShelf()
    shelf.ready = False
    gate = replica(shelf)
    gate.receive_config(truth.config)
    parts = truth.parts()
    effects = hear(gate, truth, 0)
    effects += gate.receive_log(truth.tell(refusal(3)), at(0.1))
    effects += gate.tick(at(5))

    shelf.ready = True

    assert effects == []
    assert gate.tick(at(6)) == [Ask("gate", EPOCH)]
    for part in parts:
        gate.receive_snapshot(part, at(6))
    hear(gate, truth, 6)
    assert gate.doubt(at(6)) is None
    assert gate.digests == truth.digests


def test_a_load_starts_anew_when_the_ledger_cuts_more_shards(truth: Truth) -> None:
    gate = synced(truth)
    hear(gate, truth, 1, restraint_digest=1)
    truth.sequencer._shards = 4

    effects = hear(gate, truth, 2)
    load(gate, truth, 2)

    assert effects == [Ask("gate", EPOCH)]
    hear(gate, truth, 3)
    assert gate.doubt(at(3)) is None


def test_missing_shards_are_asked_for_by_name_and_parts_for_others_are_used(truth: Truth) -> None:
    truth.sequencer._shards = 4
    gate = replica()
    hear(gate, truth, 0)
    parts = truth.parts()
    gate.receive_snapshot(parts[1], at(0))
    gate.receive_snapshot(parts[3], at(0.5))

    assert gate.tick(at(2.4)) == []
    assert gate.tick(at(2.5)) == [Ask("gate", EPOCH, shards=[0, 2])]


def test_parts_of_no_use_put_no_question_off(truth: Truth) -> None:
    gate = replica()
    hear(gate, truth, 0)
    foreign = msgspec.structs.replace(truth.parts()[0], epoch=ANOTHER)

    asked = [gate.receive_snapshot(foreign, at(n / 10)) for n in range(50)]

    assert [n for n, some in enumerate(asked) if some] == [20, 40]


def test_a_load_from_which_nothing_comes_is_begun_anew(truth: Truth) -> None:
    truth.sequencer._shards = 4
    gate = replica()
    gate.receive_config(truth.config)
    hear(gate, truth, 0)
    gate.receive_snapshot(msgspec.structs.replace(truth.parts()[0], seq=90), at(0))
    for part in truth.parts()[1:]:
        gate.receive_snapshot(part, at(0))

    for seconds in range(1, 70):
        hear(gate, truth, seconds)
        gate.tick(at(seconds + 0.5))

    load(gate, truth, 70)
    hear(gate, truth, 71)
    assert gate.doubt(at(71)) is None


def test_loads_that_are_always_in_vain_become_rare(truth: Truth) -> None:
    gate = synced(truth)
    asked = []
    for seconds in range(1, 1000):
        asked += [seconds for _ in questions(hear(gate, truth, seconds, ground_digest=1))]
        load(gate, truth, seconds)

    assert len(asked) < 40
    hear(gate, truth, 1000)
    load(gate, truth, 1000)
    hear(gate, truth, 1001)
    assert gate.doubt(at(1001)) is None


# --- epochs ---------------------------------------------------------------------------------------


def test_another_epoch_is_loaded_and_nothing_vouched_for_until_then(truth: Truth) -> None:
    gate = synced(truth)
    hear(gate, truth, 0.5)
    other = Truth(ANOTHER)
    other.tell(objection(9))

    assert hear(gate, other, 1) == [Ask("gate", ANOTHER)]
    assert gate.doubt(at(1)) is Reason.NOT_READY
    gate.receive_config(other.config)
    load(gate, other, 1)
    assert gate.doubt(at(1)) is None
    assert gate.doubt(at(2)) is None
    assert (gate.epoch, gate.digests) == (ANOTHER, other.digests)


def test_batches_and_answers_of_a_replaced_epoch_confirm_nothing(truth: Truth) -> None:
    gate = synced(truth)
    hear(gate, Truth(ANOTHER), 1)

    for effects in (
        gate.receive_log(truth.tell(refusal(3)), at(1)),
        gate.receive_reply(Known(EPOCH, 1, ["refusal-3"]), at(1)),
    ):
        assert not [effect for effect in effects if isinstance(effect, Confirmed)]


def test_a_batch_of_a_later_epoch_is_a_doubt_before_its_head_is_heard(truth: Truth) -> None:
    gate = synced(truth)

    gate.receive_log(Truth(ANOTHER).tell(refusal(3)), at(1))

    assert gate.doubt(at(1)) is Reason.NOT_READY
    gate.receive_head(truth.head(0.9), at(1.1), retained=False)  # it was on its way
    assert gate.doubt(at(1.1)) is Reason.NOT_READY
    behind = at(9, clock_error=-4)
    gate.receive_head(truth.head(0.95), behind, retained=False)
    assert gate.doubt(behind) is Reason.NOT_READY
    hear(gate, truth, 11.1)
    assert gate.doubt(at(11.1)) is None


def test_a_batch_of_a_later_epoch_is_a_doubt_also_when_what_is_being_loaded_has_come(
    truth: Truth,
) -> None:
    gate = replica()
    gate.receive_config(truth.config)
    hear(gate, truth, 0)

    gate.receive_log(Truth(ANOTHER).tell(refusal(3)), at(1))
    load(gate, truth, 1)

    assert gate.digests == truth.digests
    assert gate.doubt(at(1)) is Reason.NOT_READY


def test_the_heads_of_the_later_epoch_prove_from_the_first_on(truth: Truth) -> None:
    gate = synced(truth)
    other = Truth(ANOTHER)
    gate.receive_log(other.tell(refusal(3)), at(1))

    gate.receive_config(other.config)
    hear(gate, other, 1.1)
    load(gate, other, 1.2)

    assert gate.doubt(at(1.2)) is None


def test_of_two_later_epochs_the_last_one_counts(truth: Truth) -> None:
    gate = synced(truth)
    other = Truth(ANOTHER)
    gate.receive_log(Truth(ANOTHER + 1).tell(refusal(3)), at(1))
    gate.receive_log(other.tell(refusal(3)), at(1))

    gate.receive_config(other.config)
    hear(gate, other, 1.1)
    load(gate, other, 1.2)

    assert gate.digests == other.digests
    assert gate.doubt(at(1.2)) is Reason.NOT_READY


def test_a_clock_that_was_wrong_when_a_later_epoch_was_heard_of_is_no_doubt_for_ever(
    truth: Truth,
) -> None:
    gate = synced(truth)
    gate.receive_log(Truth(ANOTHER).tell(refusal(3)), at(1, clock_error=1e8))

    hear(gate, truth, 11.1)

    assert gate.doubt(at(11.1)) is None


def test_heads_of_a_replaced_epoch_count_only_when_nothing_is_heard_of_the_other(
    truth: Truth,
) -> None:
    gate = synced(truth)
    hear(gate, Truth(ANOTHER), 1)

    hear(gate, truth, 61)
    assert gate.doubt(at(61)) is Reason.NOT_READY
    gate.receive_head(truth.head(61.5), at(61.5), retained=True)
    assert gate.doubt(at(61.5)) is Reason.NOT_READY
    hear(gate, truth, 61.6)
    load(gate, truth, 61.7)
    assert gate.doubt(at(61.7)) is None


def test_the_first_configuration_of_another_epoch_replaces_a_late_one_of_this(
    truth: Truth,
) -> None:
    gate = synced(truth)
    old = msgspec.structs.replace(truth.config, version=9)
    new = msgspec.structs.replace(truth.config, epoch=ANOTHER)
    gate.receive_config(old)

    gate.receive_config(new)
    gate.receive_config(old)

    assert gate.config == new


def test_an_older_configuration_counts_if_the_head_names_it(truth: Truth) -> None:
    gate = synced(truth)
    gate.receive_config(msgspec.structs.replace(truth.config, version=9))
    assert gate.doubt(at(0)) is Reason.NOT_READY

    gate.receive_config(truth.config)

    assert gate.doubt(at(0)) is None


# --- own events -----------------------------------------------------------------------------------


def told(gate: Replica, event: Event) -> Event:
    gate.show(event)
    return event


def test_an_own_event_is_confirmed_when_the_tables_reflect_it_and_not_before(truth: Truth) -> None:
    gate = synced(truth)
    lost = truth.tell(refusal(3))
    log = truth.tell(told(gate, refusal(4)))

    assert gate.receive_log(log, at(1)) == []
    assert len(gate.overlay) == 1
    assert gate.receive_log(lost, at(1)) == [Confirmed(["refusal-3", "refusal-4"])]
    assert len(gate.overlay) == 0
    assert Restraint.unpack(gate.restraint(key(4))).refused_on == TODAY


def test_what_the_ledger_knows_is_confirmed_once_the_tables_have_got_that_far(truth: Truth) -> None:
    gate = synced(truth)
    told(gate, refusal(3))
    log = truth.tell(refusal(3))
    known = Known(EPOCH, 3, ["refusal-3"])

    assert gate.receive_reply(known, at(1)) == []
    assert gate.receive_log(log, at(1)) == [Confirmed(["refusal-3"])]
    assert gate.receive_reply(known, at(1)) == [Confirmed(["refusal-3"])]


def test_while_it_loads_nothing_is_confirmed_and_then_what_it_loaded(truth: Truth) -> None:
    truth.sequencer._shards = 2
    gate = replica()
    told(gate, refusal(3))
    hear(gate, truth, 0)
    before = truth.parts()[0]
    log = truth.tell(refusal(3))

    assert gate.receive_log(log, at(0)) == []
    assert gate.receive_reply(Known(EPOCH, 3, ["refusal-3"]), at(0)) == []
    gate.receive_snapshot(before, at(0))
    effects = gate.receive_snapshot(truth.parts()[1], at(0))
    assert effects == [Confirmed(["refusal-3"])]


def test_a_ground_that_is_turned_away_counts_no_longer_and_the_gate_is_told(truth: Truth) -> None:
    gate = synced(truth)
    told(gate, consent(5))
    told(gate, refusal(6))

    rejected = [Rejected(name, "why") for name in ("consent-5", "refusal-6")]

    assert [gate.receive_reply(some, at(1)) for some in rejected] == [[some] for some in rejected]
    assert gate.ground(key(5)) == NO_FACTS
    assert Restraint.unpack(gate.restraint(key(6))).refused_on == TODAY


# --- where there is no space ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "needs_space",
    [
        lambda gate: gate.receive_log(Log(EPOCH, 1, gate.seq + 1, b"", b"", []), at(1.5)),
        lambda gate: hear(gate, Truth(ANOTHER), 1.5),
        lambda gate: gate.receive_reply(Gone(EPOCH, 3), at(1.5)),
    ],
    ids=["diverged", "another epoch", "gone"],
)
def test_a_full_disk_leaves_a_doubt_and_space_removes_it(
    truth: Truth, needs_space: Callable[[Replica], object]
) -> None:
    shelf = FullShelf()
    gate = synced(truth, shelf)
    shelf.ready = False
    truth.tell(refusal(3))
    hear(gate, truth, 1)
    gate.tick(at(1.3))

    with pytest.raises(TableError):
        needs_space(gate)

    assert gate.doubt(at(1.5)) is not None
    gate.tick(at(1.6))
    assert gate.doubt(at(1.9)) is not None
    shelf.ready = True
    truth.sequencer.ground.epoch = truth.sequencer.restraint.epoch = 2 * ANOTHER
    gate.receive_config(msgspec.structs.replace(truth.config, epoch=2 * ANOTHER))
    hear(gate, truth, 2)
    load(gate, truth, 2)
    assert gate.doubt(at(2)) is None


class FullTable(Table):
    """A table that cannot grow for want of space."""

    full = False

    def upsert(self, rows: Rows) -> None:
        if self.full:
            msg = "no space"
            raise TableError(msg)
        super().upsert(rows)


@pytest.mark.parametrize("full", ["_ground", "_restraint"])
def test_a_batch_that_is_half_applied_is_a_doubt_and_its_refusals_count(
    truth: Truth, full: str
) -> None:
    gate = synced(truth)
    log = truth.tell(consent(3), refusal(3), consent(4))
    table = FullTable()
    table.upsert(b"".join(getattr(gate, full).rows()))
    setattr(gate, full, table)
    table.full = True

    with pytest.raises(TableError):
        gate.receive_log(log, at(1))

    assert gate.doubt(at(1)) is Reason.NOT_READY
    assert gate.ground(key(4)) == NO_FACTS
    assert Restraint.unpack(gate.restraint(key(3))).refused_on == TODAY
    with pytest.raises(TableError):
        hear(gate, truth, 1.5)
    assert gate.doubt(at(1.5)) is Reason.NOT_READY

    table.full = False
    assert questions(gate.tick(at(2))) == []
    assert gate.doubt(at(2)) is None
    assert gate.digests == truth.digests


# --- what it vouches for towards others -----------------------------------------------------------


def test_what_others_are_told_ends_when_its_own_certainty_does(truth: Truth) -> None:
    gate = synced(truth)
    proved = gate.vouched(at(0))
    hear(gate, truth, 1, seq=3)
    behind = gate.vouched(at(1))
    gate.receive_log(Log(EPOCH, 5, 5, b"", b"", []), at(1.1))
    gap = gate.vouched(at(1.1))

    assert (proved.seq, proved.sure_until, proved.doubt) == (2, at(60).mono, None)
    assert (behind.seq, behind.sure_until, behind.doubt) == (2, at(1.2).mono, None)
    assert (gap.seq, gap.sure_until, gap.doubt) == (2, UNSURE, Reason.NOT_READY)


def test_a_configuration_that_is_told_again_is_no_doubt_for_others(truth: Truth) -> None:
    gate = synced(truth)
    before = gate.vouched(at(1))

    gate.receive_config(truth.config)

    assert gate.vouched(at(1)) == before


def test_patience_is_an_argument(truth: Truth) -> None:
    gate = synced(truth, patience=Patience(stale_after=1.0, jitter=0.0))

    assert gate.doubt(at(1.1)) is Reason.STALE


def test_questions_wait_for_a_random_moment(truth: Truth) -> None:
    gate = replica(patience=Patience(jitter=0.5))

    asked = [hear(gate, truth, 0), *(gate.tick(at(n / 100)) for n in range(1, 51))]

    assert len([some for some in asked if some]) == 1
    assert not asked[0]
    assert isinstance(gate.head, Head)
