"""An attempt under a cap is taken only while there are fewer attempts than it says."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest
from tests.unit.truth import DAY, NOON, TEXT, attempt, key, refusal

from ringfence.event import Attempt, AttemptCancelled, Cap, Event, Keys
from ringfence.ledger.intake import Answer, Intake, Received, Taken, read
from ringfence.ledger.sequencer import Sequencer
from ringfence.ledger.store import Batch, Store
from ringfence.row import ROW, Restraint, day_of
from ringfence.wire import Exhausted, Known, encode_report

SINCE = DAY - timedelta(days=30)
FOUR = Cap(4, SINCE)


class Desk:
    """A ledger's intake and its file."""

    def __init__(self, store: Store) -> None:
        self.store = store
        config = self.store.register("acme", {}, {"web-1": TEXT})
        self.sequencer = Sequencer(*self.store.tables("acme"), config)
        self.intake = Intake(self.store, {"acme": self.sequencer})

    def take(self, *events: Attempt | AttemptCancelled) -> Taken:
        taken = self.intake.take(
            [Received("acme", "tunis", event, event.id) for event in events], NOON
        )
        self.intake.apply(taken)
        return taken

    def stored(self) -> list[str]:
        return [event.id for event in self.store.events("acme")]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Store(tmp_path / "ledger.sqlite", epoch=7) as store:
        yield Desk(store)


def claim(call: str, *, on: date = DAY, cap: Cap = FOUR, consumer: int | None = None) -> Attempt:
    keys = Keys(number=key(1), consumer=consumer)
    return Attempt(id=f"claim-{call}", at=NOON, on=on, keys=keys, call=call, cap=cap)


def plain(call: str, *, on: date = DAY) -> Attempt:
    return msgspec.structs.replace(claim(call, on=on), cap=None)


def cancelled(call: str) -> AttemptCancelled:
    after = NOON + timedelta(seconds=1)
    keys = Keys(number=key(1))
    return AttemptCancelled(id=f"cancel-{call}", at=after, on=DAY, keys=keys, call=call)


def exhausted(taken: Taken) -> dict[str, Restraint]:
    """Give what is told of the person, by the id of what was not taken."""
    rows = {a.reply.id: a.reply.restraint for a in taken.answers if isinstance(a.reply, Exhausted)}
    return {name: restraint(row) for name, row in rows.items()}


def restraint(row: bytes) -> Restraint:
    told, low, high = memoryview(row).cast("Q").tolist()
    assert told == key(1)
    return Restraint.unpack((low, high))


def test_four_are_taken_and_the_fifth_is_not(desk: Desk) -> None:
    for name in "abcd":
        assert desk.take(claim(name)).answers == []

    taken = desk.take(claim("e"))

    assert exhausted(taken) == {"claim-e": Restraint(attempts=(day_of(DAY),) * 4)}
    assert [answer.sender for answer in taken.answers] == ["tunis"]
    assert taken.batches == []
    assert desk.stored() == [f"claim-{name}" for name in "abcd"]


def test_four_of_one_batch_are_taken_in_their_order(desk: Desk) -> None:
    taken = desk.take(*(claim(name) for name in "abcdef"))

    assert list(exhausted(taken)) == ["claim-e", "claim-f"]
    assert desk.stored() == [f"claim-{name}" for name in "abcd"]


def test_what_precedes_it_in_the_batch_counts_and_gives_back(desk: Desk) -> None:
    desk.take(plain("a"), plain("b"))

    taken = desk.take(plain("c"), claim("d"), claim("no"), cancelled("a"), claim("e"))

    assert list(exhausted(taken)) == ["claim-no"]
    assert desk.stored()[-3:] == ["claim-d", "cancel-a", "claim-e"]


def test_only_attempts_of_its_days_count(desk: Desk) -> None:
    desk.take(*(plain(name, on=SINCE - timedelta(days=1)) for name in "abcd"))
    desk.take(*(claim(name, on=SINCE) for name in "efgh"))

    assert list(exhausted(desk.take(claim("i")))) == ["claim-i"]


def test_calls_of_the_consumer_on_another_number_count_each_once(desk: Desk) -> None:
    """Some are filed under both: number and consumer are one person."""
    others = Keys(number=key(2), consumer=77)
    desk.take(*(msgspec.structs.replace(plain(name), keys=others) for name in "ab"))
    desk.take(claim("c", consumer=77))

    taken = desk.take(claim("d", consumer=77), claim("e", consumer=77))

    assert list(exhausted(taken)) == ["claim-e"]


def test_an_attempt_without_a_cap_is_always_taken(desk: Desk) -> None:
    assert desk.take(*(plain(name) for name in "abcdef")).answers == []


def test_what_was_told_before_is_known_however_many_there_are(desk: Desk) -> None:
    """The answer was lost; the claim is told again when others have filled the cap."""
    desk.take(*(claim(name) for name in "abcd"))

    taken = desk.take(claim("a"))

    assert [answer.reply for answer in taken.answers] == [Known(7, 1, ["claim-a"])]


def test_what_was_exhausted_is_taken_when_another_is_given_back(desk: Desk) -> None:
    """And counts for nothing if its gate has given it back too: before or after."""
    desk.take(*(claim(name) for name in "abcde"))
    desk.take(cancelled("e"), cancelled("a"))

    assert desk.take(claim("e")).answers == []
    assert desk.take(claim("f")).answers == []
    assert list(exhausted(desk.take(claim("g")))) == ["claim-g"]


def test_its_cap_is_not_kept(desk: Desk) -> None:
    """An older release can open the file, and what was said of the call is all that stays."""
    desk.take(claim("a"))

    assert list(desk.store.events("acme")) == [plain("a")]


def test_the_rest_of_what_is_known_of_the_person_is_told_too(desk: Desk) -> None:
    desk.intake.apply(desk.intake.take([Received("acme", "", refusal(1), "refusal-1")], NOON))

    taken = desk.take(*(claim(name) for name in "abcde"))

    (told,) = exhausted(taken).values()
    assert told.refused_on == day_of(DAY)


def test_one_event_that_fails_lets_no_fifth_in(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are taken apart then, and each part is held against those before it."""
    plan = desk.sequencer.plan

    def brittle(events: list[Event], history: dict[int, list[Event]], *, after: int) -> object:
        if any(event.id == "claim-bad" for event in events):
            raise OverflowError
        return plan(events, history, after=after)

    monkeypatch.setattr(desk.sequencer, "plan", brittle)

    taken = desk.take(claim("a"), claim("bad"), *(claim(name) for name in "bcdef"))

    assert list(exhausted(taken)) == ["claim-e", "claim-f"]
    assert desk.stored() == [f"claim-{name}" for name in "abcd"]


def test_what_is_read_from_a_report_has_its_cap() -> None:
    payload = encode_report("tunis", [msgspec.msgpack.encode(claim("a"))])

    (one,) = read("acme", payload)

    assert one.event == claim("a")


def test_the_answer_is_one_row_whoever_asks(desk: Desk) -> None:
    taken = desk.take(*(claim(name, consumer=77) for name in "abcde"))

    (answer,) = taken.answers
    assert isinstance(answer, Answer)
    assert isinstance(answer.reply, Exhausted)
    assert len(answer.reply.restraint) == ROW


@pytest.mark.parametrize("most", [0, 5, -1])
def test_a_cap_that_no_row_could_tell_is_none(most: int) -> None:
    with pytest.raises(ValueError, match="1 to 4 attempts"):
        Cap(most, SINCE)


@pytest.mark.parametrize(("days", "left"), [([], 4), ([0], 3), ([0, 30, 31], 2), ([0] * 4, 0)])
def test_what_is_left_is_counted_from_its_first_day_on(days: list[int], left: int) -> None:
    known = sorted((day_of(DAY - timedelta(days=d)) for d in days), reverse=True)
    first, second, third, fourth = [*known, 0, 0, 0, 0][:4]

    assert FOUR.left(Restraint(attempts=(first, second, third, fourth))) == left


def test_batches_of_what_is_taken_follow_one_another(desk: Desk) -> None:
    taken = desk.take(claim("a"), claim("b"))

    assert [type(batch) for batch in taken.batches] == [Batch]
    assert [(batch.log.first, batch.log.last) for batch in taken.batches] == [(1, 2)]
    assert attempt(1).cap is None
