from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from tests.unit.filing import CONFIG, DAY, TUESDAY, changed, consent, decided, file, filed, refile

from ringfence.decision import Verdict
from ringfence.evidence.record import (
    AnyRecord,
    Configured,
    Decided,
    Dropped,
    EvidenceError,
    Learned,
    Opened,
)
from ringfence.evidence.recorder import Recorder
from ringfence.evidence.replay import Replayed, replay
from ringfence.evidence.retention import LEAST, Plan, Sweep, plan, state, sweep
from ringfence.evidence.segment import records, segments
from ringfence.evidence.verify import Inspected, verify
from ringfence.row import OPEN_END, Ground

THEN = TUESDAY - LEAST * DAY
"""What was recorded before this is past its retention on the Tuesday of the tests."""

OTHER = "+33639980002"


def call(at: float, to: str = "+33639980001", day: date = date(2023, 11, 1)) -> Decided:
    """A decision that rests on a consent of that day, allowed in its first year."""
    return decided(at, to=to, ground=consent(day))


@contextmanager
def writing(chain: Path) -> Iterator[Recorder]:
    """The recorder of a gate that is stopped."""
    recorder = Recorder("tunis-1", chain.parent, release="1.0")
    recorder.open(TUESDAY)
    try:
        yield recorder
    finally:
        recorder.close()


def retain(chain: Path, retention: int = LEAST) -> Plan:
    with writing(chain) as recorder:
        planned = plan(chain, at=TUESDAY, retention=retention)
        if planned.sweeps:
            state(planned, recorder)
        for swept in planned.sweeps:
            sweep(swept)
    return planned


def inspected(chain: Path) -> Inspected:
    (found,) = verify([chain], now=datetime.fromtimestamp(TUESDAY, UTC)).chains
    return found


def kept(chain: Path) -> list[tuple[int, AnyRecord]]:
    return [(place.number, record) for place, record in records(chain.parent)]


def decisions(chain: Path) -> list[int]:
    return [number for number, record in kept(chain) if isinstance(record, Decided)]


# --- what is due ---------------------------------------------------------------------------------


def test_a_decision_goes_when_its_own_time_is_over(tmp_path: Path) -> None:
    chain = file(tmp_path, [call(THEN - DAY), call(THEN + 1, OTHER)], [call(TUESDAY, OTHER)])

    planned = retain(chain)

    assert (planned.records, planned.segments) == (1, 0)
    assert decisions(chain) == [4, 7]
    assert [r for _, r in kept(chain) if isinstance(r, Dropped)] == [
        Dropped(TUESDAY, LEAST, ((3, 3),))
    ]
    assert inspected(chain).findings == ()
    assert inspected(chain).dropped == 1


def test_it_stays_as_long_as_the_last_call_on_the_same_consent(tmp_path: Path) -> None:
    later = call(THEN + 300 * DAY)
    chain = file(tmp_path, [call(THEN - DAY), call(THEN - DAY, OTHER)], [later], [])

    retain(chain)

    assert later.verdict is Verdict.ALLOW
    assert decisions(chain) == [3, 7]


@pytest.mark.parametrize(
    "later",
    [
        decided(THEN + 300 * DAY, ground=consent(date(2024, 8, 1))),
        decided(THEN + 300 * DAY, ground=consent(date(2023, 11, 1)), caller_id=None),
        decided(THEN + 300 * DAY, ground=consent(date(2023, 11, 1)), principal="globex"),
    ],
    ids=["another consent", "not allowed", "another principal"],
)
def test_no_other_decision_keeps_it(tmp_path: Path, later: Decided) -> None:
    chain = file(tmp_path, [call(THEN - DAY)], [later], [])

    assert retain(chain).records == 1


def test_a_call_in_another_chain_of_the_gate_keeps_it_too(tmp_path: Path) -> None:
    chain = file(tmp_path, [call(THEN - DAY)], [])
    file(tmp_path, [call(THEN + 300 * DAY)], gate="tunis-2")

    assert plan(chain, at=TUESDAY).sweeps == ()


def test_word_of_a_refusal_goes_with_its_own_time(tmp_path: Path) -> None:
    said = [Learned(THEN - 1, "acme", 1, 5, 6), Learned(THEN + 1, "acme", 1, 7, 7)]
    chain = file(tmp_path, said, [])

    retain(chain)

    assert [number for number, record in kept(chain) if isinstance(record, Learned)] == [4]


def test_what_follows_a_younger_record_is_not_believed_to_be_old(tmp_path: Path) -> None:
    """A clock that was set back would date today's decisions to any year."""
    chain = file(tmp_path, [call(THEN - DAY), call(THEN + DAY, OTHER), call(THEN - DAY)], [])

    retain(chain)

    assert decisions(chain) == [4, 5]
    assert inspected(chain).findings == ()


def test_what_later_records_are_decided_on_stays(tmp_path: Path) -> None:
    chain = file(
        tmp_path,
        [call(THEN - DAY), call(THEN + 1, OTHER)],
        [call(THEN + 300 * DAY, OTHER)],
    )

    retain(chain)

    assert [type(record) for _, record in kept(chain)][:2] == [Opened, Configured]
    assert replay(records(tmp_path)) == Replayed(decisions=2)


def test_the_segment_that_is_being_written_is_never_touched(tmp_path: Path) -> None:
    chain = file(tmp_path, [call(THEN - DAY)])

    assert plan(chain, at=TUESDAY).sweeps == ()


def test_nor_is_the_newest_one_that_is_sealed(tmp_path: Path) -> None:
    chain = file(tmp_path, [call(THEN - DAY)], [])
    segments(chain)[-1].path.unlink()

    assert segments(chain)[-1].sealed
    assert plan(chain, at=TUESDAY).sweeps == ()


def test_a_longer_retention_keeps_more(tmp_path: Path) -> None:
    chain = file(tmp_path, [call(THEN - 30 * DAY), call(THEN - DAY, OTHER)], [])

    assert retain(chain, LEAST + 10).records == 1
    assert decisions(chain) == [4]
    assert inspected(chain).findings == ()


def test_a_retention_below_what_the_law_asks_for_is_refused(tmp_path: Path) -> None:
    chain = file(tmp_path, [call(THEN - DAY)], [])

    with pytest.raises(EvidenceError, match="for 1096 days at least"):
        plan(chain, at=TUESDAY, retention=1095)


# --- whole segments ------------------------------------------------------------------------------


def test_a_segment_of_which_nothing_is_left_goes_as_a_whole(tmp_path: Path) -> None:
    chain = file(tmp_path, [call(THEN - DAY)] * 3, [call(THEN + 1, OTHER)])

    planned = retain(chain)

    assert (planned.records, planned.segments) == (3, 1)
    assert [segment.index for segment in segments(chain)] == [2]
    assert inspected(chain).findings == ()
    assert (inspected(chain).records, inspected(chain).dropped) == (4, 5)
    assert replay(records(tmp_path)) == Replayed(decisions=1)


def test_a_segment_goes_no_sooner_than_its_last_record(tmp_path: Path) -> None:
    chain = file(tmp_path, [call(THEN - DAY), Configured(THEN + DAY, "acme", CONFIG)], [])

    planned = retain(chain)

    assert (planned.records, planned.segments) == (1, 0)
    assert inspected(chain).findings == ()


def test_what_was_said_in_a_segment_is_said_again_before_it_goes(tmp_path: Path) -> None:
    long_ago, contract = TUESDAY - 3000 * DAY, Ground(contract_until=OPEN_END).pack()
    chain = file(
        tmp_path,
        [call(long_ago), decided(long_ago, to=OTHER, ground=contract)],
        [Dropped(long_ago + 1200 * DAY, LEAST, ((3, 3),))],
        [decided(TUESDAY, to=OTHER, ground=contract)],
    )
    segment, there = filed(chain, 0)
    refile(segment, [*there[:2], changed(there[2], body=there[2].digest, dropped=True), there[3]])
    assert inspected(chain).findings == ()

    planned = retain(chain)

    assert (planned.records, planned.segments) == (0, 1)
    assert [segment.index for segment in segments(chain)] == [1, 3]
    assert planned.stated == ((3, 3), (5, 7))
    assert inspected(chain).findings == ()


def test_a_chain_goes_on_and_is_retained_again(tmp_path: Path) -> None:
    chain = file(tmp_path, [call(THEN - DAY)], [call(THEN - 1, OTHER)], [call(THEN + 5)])
    retain(chain)
    again = file(tmp_path, [call(TUESDAY)], [call(TUESDAY + 1)])

    planned = retain(chain)

    assert again == chain
    assert planned.sweeps == ()
    assert inspected(chain).findings == ()


# --- broken off ----------------------------------------------------------------------------------


def test_wherever_it_is_broken_off_the_evidence_verifies_and_the_next_time_goes_on(
    tmp_path: Path,
) -> None:
    def begun(name: str) -> Path:
        return file(
            tmp_path / name,
            [call(THEN - 3 * DAY), call(THEN - 3 * DAY, OTHER)],
            [call(THEN - 2 * DAY)],
            [call(THEN - DAY), call(THEN + 1, OTHER)],
            [],
        )

    whole = begun("whole")
    steps = len(retain(whole).sweeps)
    assert steps == 3
    for done in range(steps + 1):
        chain = begun(f"cut-{done}")
        with writing(chain) as recorder:
            planned = plan(chain, at=TUESDAY)
            state(planned, recorder)
            for swept in planned.sweeps[:done]:
                sweep(swept)
        assert inspected(chain).findings == ()

        retain(chain)

        assert inspected(chain).findings == ()
        assert decisions(chain) == decisions(whole)


def test_nothing_is_dropped_that_was_not_said_to_be(tmp_path: Path) -> None:
    """The order matters: the other way round a kill would look like a crime."""
    chain = file(tmp_path, [call(THEN - DAY)], [])
    (swept,) = plan(chain, at=TUESDAY).sweeps

    sweep(swept)

    assert [finding.what for finding in inspected(chain).findings] == ["removed"]


def test_a_running_gate_keeps_it_from_writing(tmp_path: Path) -> None:
    chain = file(tmp_path, [call(THEN - DAY)], [])

    with writing(chain), pytest.raises(EvidenceError, match="in use by another process"):
        retain(chain)


def test_another_chain_than_the_one_being_written_is_not_spoken_for(tmp_path: Path) -> None:
    chain = file(tmp_path, [call(THEN - DAY)], [])
    other = file(tmp_path / "other", [])

    with writing(other) as recorder, pytest.raises(EvidenceError, match=other.name):
        state(plan(chain, at=TUESDAY), recorder)


def test_evidence_that_was_altered_is_not_touched(tmp_path: Path) -> None:
    """Written anew, the file would be right again in itself."""
    chain = file(tmp_path, [call(THEN - DAY), call(THEN + 1, OTHER)], [])
    planned = plan(chain, at=TUESDAY)
    segment, filed_records = filed(chain, 0)
    refile(segment, [changed(r, link=bytes(32)) if r.number == 4 else r for r in filed_records])
    before = segment.path.read_bytes()

    with pytest.raises(EvidenceError, match=r"000001\.sealed: record 4 does not follow"):
        plan(chain, at=TUESDAY)
    with pytest.raises(EvidenceError, match=r"000001\.sealed: record 4 does not follow"):
        sweep(planned.sweeps[0])
    assert segment.path.read_bytes() == before


def test_a_file_that_cannot_be_removed_is_named(tmp_path: Path) -> None:
    chain = file(tmp_path, [call(THEN - DAY)], [])
    segment = segments(chain)[0]
    segment.path.unlink()
    segment.path.mkdir()

    with pytest.raises(EvidenceError, match=r"000001\.sealed cannot be removed"):
        sweep(Sweep(segment, ((1, 3),), gone=True, records=1))
