from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest
from tests.unit.filing import CONFIG, DAY, TUESDAY, decided, file

from ringfence.decision import Reason, Verdict
from ringfence.evidence import replay as module
from ringfence.evidence.record import AnyRecord, Configured, Decided, Place
from ringfence.evidence.replay import Answered, Replayed, replay
from ringfence.evidence.segment import records
from ringfence.row import NO_FACTS, Ground, Restraint, day_of
from ringfence.rules import france
from ringfence.rules.rulebook import Interpretation

GOOD_FRIDAY = datetime(2027, 3, 26, 10, tzinfo=UTC).timestamp()
CONTRACT = Ground(contract_until=day_of(date(2030, 1, 1))).pack()
SATURDAY = TUESDAY + 4 * DAY
REFUSED = Restraint(refused_on=day_of(date(2026, 11, 23))).pack()
SLOT = Ground(
    text=1, consent_from=day_of(date(2026, 9, 1)), slot_at=int(SATURDAY), slot_minutes=20
).pack()


def run(folder: Path, *decisions: AnyRecord) -> Replayed:
    file(folder, decisions)
    return replay(records(folder))


DECISIONS = {
    "consent": (decided(), Reason.CONSENT),
    "nothing": (decided(ground=NO_FACTS), Reason.NO_GROUND),
    "refused": (decided(restraints=(REFUSED,)), Reason.REFUSED),
    "refused by the consumer": (decided(restraints=(NO_FACTS, REFUSED)), Reason.REFUSED),
    "saturday": (decided(SATURDAY + 0.25), Reason.CLOSED_DAY),
    "in a slot": (decided(SATURDAY + 0.25, ground=SLOT), Reason.CONSENT),
    "after a slot": (decided(SATURDAY + 1201.5, ground=SLOT), Reason.CLOSED_DAY),
    "nothing shown": (decided(caller_id=None), Reason.CALLER_ID_BARRED),
    "a mobile shown": (decided(caller_id="+3363998…"), Reason.CALLER_ID_BARRED),
    "three islands": (decided(places=("GP", "MF", "BL")), Reason.OUTSIDE_HOURS),
    "abroad": (decided(places=("FR America/New_York",)), Reason.OUTSIDE_HOURS),
    "no territory": (decided(places=()), Reason.UNSUPPORTED_DESTINATION),
    "no territory, and no tables": (
        decided(places=(), epoch=0, config=9),
        Reason.UNSUPPORTED_DESTINATION,
    ),
    "no territory, and a doubt": (
        decided(places=(), doubt=Reason.STALE),
        Reason.UNSUPPORTED_DESTINATION,
    ),
    "no territory, no campaign": (
        decided(places=(), campaign="acme-5g"),
        Reason.UNKNOWN_CAMPAIGN,
    ),
    "no number": (decided(places=None), Reason.INVALID_NUMBER),
    "no campaign": (decided(campaign="acme-5g"), Reason.UNKNOWN_CAMPAIGN),
    "neither": (decided(campaign="acme-5g", places=None), Reason.INVALID_NUMBER),
    "doubt, no campaign": (decided(doubt=Reason.STALE, campaign="acme-5g"), Reason.STALE),
    "doubt, no number": (decided(doubt=Reason.STALE, places=None), Reason.INVALID_NUMBER),
    "letter": (
        decided(GOOD_FRIDAY, places=("FR-AM",), ground=CONTRACT, reading=Interpretation.LETTER),
        Reason.CONTRACT,
    ),
    **{
        doubt.value: (decided(doubt=doubt), doubt)
        for doubt in (
            Reason.NOT_READY,
            Reason.STALE,
            Reason.DIVERGED,
            Reason.CLOCK_SKEW,
            Reason.FORKED,
            Reason.EVIDENCE_UNAVAILABLE,
            Reason.ATTEMPT_UNCONFIRMED,
        )
    },
}


@pytest.mark.parametrize(("record", "reason"), DECISIONS.values(), ids=DECISIONS)
def test_every_answer_follows_from_its_record(
    tmp_path: Path, record: Decided, reason: Reason
) -> None:
    assert record.reason is reason
    assert run(tmp_path, record) == Replayed(decisions=1)


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": Verdict.ALLOW, "reason": Reason.CONSENT, "retry_at": None},
        {"reason": Reason.HOLIDAY},
        {"retry_at": int(TUESDAY)},
        {"retry_at": None},
    ],
    ids=["verdict", "reason", "another retry_at", "no retry_at"],
)
def test_the_first_that_differs_is_named_and_all_are_counted(
    tmp_path: Path, change: dict[str, object]
) -> None:
    right = decided(SATURDAY)
    wrong = msgspec.structs.replace(right, **change)

    result = run(tmp_path, right, right, wrong, right, wrong)

    assert (result.decisions, result.differing) == (5, 2)
    assert result.first is not None
    assert (result.first.place.segment, result.first.place.number) == (1, 5)
    assert result.first.record == wrong
    assert result.first.replayed == Answered(
        Verdict.DEFER, Reason.CLOSED_DAY, int(datetime(2026, 11, 30, 9, tzinfo=UTC).timestamp())
    )
    assert result.first.recorded == Answered(wrong.verdict, wrong.reason, wrong.retry_at)


def test_a_rulebook_that_was_changed_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file(tmp_path, [decided(ground=NO_FACTS), decided()])
    law = france.rulebook()
    kind = msgspec.structs.replace(law, rules=(law.rules[3],))  # asks for a ground and nothing else
    strict = msgspec.structs.replace(law, rules=())
    for book, differing in ((law, 0), (kind, 0), (strict, 1)):
        monkeypatch.setattr(france, "rulebook_of", lambda _version, book=book: book)
        assert replay(records(tmp_path)).differing == differing


def test_another_reading_can_be_tried(tmp_path: Path) -> None:
    good_friday = decided(GOOD_FRIDAY, places=("FR-AM",), ground=CONTRACT)

    as_recorded = run(tmp_path, good_friday)
    letter = replay(records(tmp_path), interpretation=Interpretation.LETTER)

    assert as_recorded.first is None
    assert letter.first is not None
    assert letter.first.recorded.reason is Reason.HOLIDAY
    assert letter.first.replayed == Answered(Verdict.ALLOW, Reason.CONTRACT, None)


def test_each_record_is_decided_on_the_configuration_that_stood_before_it(tmp_path: Path) -> None:
    """Another with the same version would be another's; one that comes later is not heard yet."""
    stranger = msgspec.structs.replace(CONFIG, version=4, texts={}, index={})
    defective = msgspec.structs.replace(
        decided(),
        verdict=Verdict.DENY,
        reason=Reason.CONSENT_DEFECTIVE,
        config=4,
    )

    result = run(
        tmp_path,
        decided(),
        Configured(TUESDAY, "acme", stranger),
        defective,
        decided(),
        Configured(TUESDAY, "acme", msgspec.structs.replace(stranger, version=3)),
        msgspec.structs.replace(defective, config=3),
    )

    assert result == Replayed(decisions=4)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"config": 9}, "no configuration of acme of epoch 1, version 9, stands before it"),
        ({"epoch": 2}, "no configuration of acme of epoch 2, version 3, stands before it"),
        (
            {"campaign": "acme-tv"},
            "version 3 of the configuration of acme has no campaign 'acme-tv'",
        ),
        ({"territories": ("XX",)}, "no territory is written 'XX'"),
    ],
    ids=["version", "epoch", "campaign", "territory"],
)
def test_what_cannot_be_told_differs_and_says_why(
    tmp_path: Path, change: dict[str, object], why: str
) -> None:
    result = run(tmp_path, msgspec.structs.replace(decided(), **change))

    assert (result.decisions, result.differing) == (1, 1)
    assert result.first is not None
    assert (result.first.replayed, result.first.why) == (None, why)


def test_a_rulebook_that_this_release_does_not_have_is_named(tmp_path: Path) -> None:
    result = run(tmp_path, decided(rulebook="france/2031-02/conservative"))

    assert result.first is not None
    assert "'france/2031-02/conservative'" in result.first.why


def test_chains_do_not_lend_each_other_configurations(tmp_path: Path) -> None:
    file(tmp_path, [decided()])
    other = msgspec.structs.replace(CONFIG, version=8)
    file(tmp_path, [decided(TUESDAY + DAY)], gate="tunis-2", config=other)

    result = replay(records(tmp_path))

    assert (result.decisions, result.differing) == (2, 1)
    assert result.first is not None
    assert result.first.place.gate == "tunis-2"


def test_how_far_it_is_can_be_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OFTEN", 2)
    file(tmp_path, [decided()] * 3, [decided()])
    heard: list[tuple[int, int]] = []

    def told(place: Place, so_far: Replayed) -> None:
        heard.append((place.number, so_far.decisions))

    replay(records(tmp_path), told=told)

    assert heard == [(2, 0), (4, 1), (6, 3), (8, 3)]
