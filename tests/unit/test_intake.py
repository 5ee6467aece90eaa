"""What comes in is stored, known or turned away, and one bad event takes nothing else with it."""

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from tests.unit.truth import DAY, NOON, TEXT, consent, refusal

from ringfence.event import AnyEvent, Event
from ringfence.ledger.intake import Intake, Received, Taken, read
from ringfence.ledger.sequencer import History, Sequencer
from ringfence.ledger.store import Batch, Store
from ringfence.ledger.witness import Claim, Finding
from ringfence.wire import ChainHead, Known, Log, Rejected

HEAD = ChainHead("tunis", "0" * 16, 3, bytes(32), NOON)


class Brittle(Sequencer):
    """Fails at every event whose id begins with `bad`, as a bug would."""

    def plan(self, events: Sequence[Event], history: History, *, after: int) -> Log:
        if any(event.id.startswith("bad") for event in events):
            msg = "date value out of range"
            raise OverflowError(msg)
        return super().plan(events, history, after=after)


class Desk:
    """A ledger's intake and its file."""

    def __init__(self, store: Store) -> None:
        self.store = store
        config = self.store.register("acme", {}, {"web-1": TEXT})
        self.sequencer: Sequencer = Brittle(*self.store.tables("acme"), config)
        self.intake = Intake(self.store, {"acme": self.sequencer})

    def take(self, *events: AnyEvent, claims: Sequence[Claim] = ()) -> Taken:
        received = [Received("acme", "crm", event, event.id) for event in events]
        taken = self.intake.take(received, NOON, claims)
        self.intake.apply(taken)
        return taken

    def stored(self) -> list[str]:
        return [event.id for event in self.store.events("acme")]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Store(tmp_path / "ledger.sqlite", epoch=7) as store:
        yield Desk(store)


def rejected(taken: Taken) -> dict[str, str]:
    replies = [answer.reply for answer in taken.answers]
    return {reply.id: reply.reason for reply in replies if isinstance(reply, Rejected)}


# --- what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"at": "9999-12-31T23:59:59-12:00"},
        {"at": "0001-01-01T00:00:00+14:00"},
        {"kind": "slot", "start": "9999-12-31T23:59:59-12:00"},
        {"on": "0001-01-01"},
        {
            "kind": "consent",
            "text": "web-1",
            "proof": {
                "uri": "s3://1",
                "sha256": "0" * 64,
                "collected_at": "0001-01-01T00:00+14:00",
            },
        },
    ],
    ids=str,
)
def test_a_date_at_the_end_of_time_is_turned_away_beside_sound_events(
    desk: Desk, fields: dict[str, object]
) -> None:
    event = {"kind": "refusal", "id": "crm-1", "at": NOON, "on": DAY, "keys": {"number": 5}}
    events = [msgspec.json.encode(event | fields), msgspec.json.encode(refusal(1))]
    payload = b'{"sender":"crm","events":[' + b",".join(events) + b"]}"

    taken = desk.intake.take(read("acme", payload), NOON)

    assert list(rejected(taken)) == ["crm-1"]
    assert desk.stored() == ["refusal-1"]


# --- what fails -----------------------------------------------------------------------------------


def test_an_event_that_fails_is_turned_away_and_all_others_are_stored(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [refusal(n, name=f"bad-{n}") for n in (3, 8)]
    good = [refusal(n) for n in range(1, 12)]

    with caplog.at_level(logging.ERROR):
        taken = desk.take(*good[:5], bad[0], *good[5:], bad[1])

    assert rejected(taken) == {
        name: f"refusal {name}: the ledger failed at it: OverflowError: date value out of range"
        for name in ("bad-3", "bad-8")
    }
    assert {answer.sender for answer in taken.answers} == {"crm"}
    assert desk.stored() == [event.id for event in good]
    assert desk.sequencer.seq == desk.store.seq("acme") == len(good)
    assert [r.exc_info is not None for r in caplog.records if "bad-3" in r.getMessage()] == [True]


def test_what_is_stored_beside_a_failure_folds_over_what_came_with_it(desk: Desk) -> None:
    """The halves of what came are planned one on the other, as if they had come together."""
    again = refusal(1, name="again")

    taken = desk.take(refusal(1), refusal(2, name="bad"), again, refusal(1))

    assert desk.stored() == ["refusal-1", "again"]
    assert [r.reply.ids for r in taken.answers if isinstance(r.reply, Known)] == [["refusal-1"]]
    assert desk.take(consent(9)).batches[0].log.first == 3


def test_a_stored_event_that_cannot_be_read_any_more_harms_its_own_key_alone(
    desk: Desk, tmp_path: Path
) -> None:
    desk.take(refusal(1))
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as db:
        db.execute("UPDATE event SET body = x'c1'")
        db.commit()

    taken = desk.take(refusal(1, name="later"), refusal(2))

    assert list(rejected(taken)) == ["later"]
    assert desk.store.seq("acme") == 2
    assert taken.batches[0].log.ids == ["refusal-2"]


def test_a_head_of_a_chain_is_held_although_an_event_beside_it_fails(desk: Desk) -> None:
    taken = desk.take(refusal(1, name="bad"), claims=[Claim("acme", HEAD, NOON)])

    assert [finding for _, finding in taken.findings] == [Finding.HELD]
    assert list(rejected(taken)) == ["bad"]


def test_a_head_that_fails_takes_nothing_with_it(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    bad = Claim("acme", msgspec.structs.replace(HEAD, number=1 << 64), NOON)
    good = Claim("acme", HEAD, NOON)

    taken = desk.take(refusal(1), claims=[bad, good])

    assert taken.findings == [(good, Finding.HELD)]
    assert desk.stored() == ["refusal-1"]
    assert "head of a chain" in caplog.text


class Full(Store):
    """A file on a disk that is full."""

    def write(self, batches: Iterable[Batch]) -> None:
        super().write(batches)
        msg = "database or disk is full"
        raise sqlite3.OperationalError(msg)


@pytest.mark.parametrize("name", ["good", "bad"])
def test_a_full_disk_turns_nothing_away_and_stores_nothing(tmp_path: Path, name: str) -> None:
    with Full(tmp_path / "ledger.sqlite", epoch=7) as store:
        desk = Desk(store)
        with pytest.raises(sqlite3.OperationalError, match="full"):
            desk.take(refusal(1), refusal(2), refusal(3, name=name))

        assert desk.stored() == []
        assert desk.sequencer.seq == 0


class Stumbling(Store):
    """Fails once it has written a part of what it was given."""

    def write(self, batches: Iterable[Batch]) -> None:
        some = list(batches)
        super().write(some)
        if any(event.id.startswith("bad") for batch in some for event in batch.events):
            msg = "a bug"
            raise ValueError(msg)


def test_nothing_stays_of_an_event_at_which_the_writing_failed(tmp_path: Path) -> None:
    with Stumbling(tmp_path / "ledger.sqlite", epoch=7) as store:
        desk = Desk(store)
        desk.sequencer = Sequencer(*store.tables("acme"), desk.sequencer.config)
        desk.intake = Intake(store, {"acme": desk.sequencer})

        taken = desk.take(refusal(1), refusal(2, name="bad"), refusal(3))

        assert list(rejected(taken)) == ["bad"]
        assert desk.stored() == ["refusal-1", "refusal-3"]
        assert store.seq("acme") == 2


class Exhausted(Store):
    """A process without memory."""

    def write(self, batches: Iterable[Batch]) -> None:
        super().write(batches)
        raise MemoryError


def test_no_event_is_to_blame_for_a_lack_of_memory(tmp_path: Path) -> None:
    with Exhausted(tmp_path / "ledger.sqlite", epoch=7) as store:
        desk = Desk(store)
        with pytest.raises(MemoryError):
            desk.take(refusal(1))

        assert desk.stored() == []


class Torn(Store):
    """A file that holds changes which the tables do not show."""

    def write(self, batches: Iterable[Batch]) -> None:
        super().write(batches)
        super().write(batches)


def test_for_a_damaged_file_no_event_is_turned_away(tmp_path: Path) -> None:
    """A gate that is told so would never send it again."""
    with (
        Torn(tmp_path / "ledger.sqlite", epoch=7) as store,
        pytest.raises(sqlite3.DatabaseError, match="UNIQUE"),
    ):
        Desk(store).take(refusal(1))
