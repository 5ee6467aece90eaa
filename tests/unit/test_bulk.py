"""What comes in great numbers is stored as `Intake` would store it, one by one."""

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import msgspec
import pytest
from hypothesis import event as seen
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from tests.unit.truth import DAY, NOON, TEXT

from ringfence.event import (
    AnyEvent,
    Bloctel,
    Consent,
    Contract,
    ContractEnded,
    Event,
    Keys,
    Objection,
    Refusal,
    Slot,
    Withdrawal,
)
from ringfence.ledger.bulk import Bulk
from ringfence.ledger.entry import Cast, Entries, Entry
from ringfence.ledger.importer import Receipt
from ringfence.ledger.intake import Intake, Received
from ringfence.ledger.sequencer import MAX_BATCH, Sequencer
from ringfence.ledger.store import Store
from ringfence.row import NO_FACTS, Ground, day_of
from ringfence.wire import Known, Rejected

FIRST, LAST = datetime(1970, 1, 1), datetime(2199, 12, 31)  # noqa: DTZ001 - Hypothesis adds it
Held = dict[str, list[tuple[object, ...]]]


class Desk:
    """A ledger's file, and both ways into it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.sqlite"
        self.store = Store(self.path, epoch=7)
        self.store._db.execute("PRAGMA synchronous=OFF")
        config = self.store.register("acme", {}, {"web-1": TEXT, "web-2": TEXT})
        self.sequencer = Sequencer(*self.store.tables("acme"), config)
        self.intake = Intake(self.store, {"acme": self.sequencer})
        self.bulk = Bulk(self.store, self.sequencer, "acme")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()

    def at_once(self, events: Sequence[AnyEvent]) -> Receipt | None:
        receipts = self.bulk.take([Entries.of([Entry.of(event) for event in events])], NOON)
        self._read()
        return receipts[0] if receipts else None

    def one_by_one(self, events: Sequence[AnyEvent]) -> tuple[int, int, int]:
        """Give how many were stored, known, and turned away."""
        taken = self.intake.take([Received("acme", "", e, e.id) for e in events], NOON)
        self._read()
        replies = [answer.reply for answer in taken.answers]
        known = sum(len(reply.ids) for reply in replies if isinstance(reply, Known))
        stored = sum(len(batch.events) for batch in taken.batches)
        return stored, known, sum(isinstance(reply, Rejected) for reply in replies)

    def _read(self) -> None:
        self.sequencer.ground.seq = self.sequencer.restraint.seq = self.store.seq("acme")

    def holds(self) -> Held:
        tables = ("principal", "event", "filed", "ground", "restraint", "log")
        db = self.store._db
        asked = {table: f"SELECT * FROM {table}" for table in tables}  # noqa: S608 - of literals
        return {table: db.execute(select).fetchall() for table, select in asked.items()}


def said(kind: type[Event], number: int, key: int, age: int, text: str) -> AnyEvent:
    """Make an event whose id tells its kind and key, as those of sheets do."""
    at = NOON - timedelta(days=age)
    own: dict[type[Event], dict[str, object]] = {
        Consent: {"text": text},
        Slot: {"start": NOON},
        Bloctel: {"until": DAY},
    }
    stated: dict[str, object] = {
        "kind": kind.__struct_config__.tag,
        "id": f"{number:02}-{kind.__name__}-{key}",
        "at": at,
        "on": at.date(),
        "keys": {"purpose" if kind.purposeful else "number": key},
    }
    event: AnyEvent = msgspec.convert(stated | own.get(kind, {}), AnyEvent)
    return event


KINDS: list[type[Event]] = [
    Consent, Withdrawal, Refusal, Objection, Contract, ContractEnded, Bloctel,
]  # fmt: skip
AMONG: list[list[type[Event]]] = [*([kind] for kind in KINDS), [Consent, Refusal, Slot]]


@st.composite
def batches(draw: st.DrawFn) -> list[list[AnyEvent]]:
    """Give what is told in turn: mostly of one kind and of different persons, again and again."""
    kinds = draw(st.sampled_from(AMONG))
    texts = draw(st.sampled_from([["web-1"], ["web-1", "web-2"], ["web-1", "none"]]))
    one = st.builds(
        said,
        st.sampled_from(kinds),
        st.integers(0, 9),
        st.integers(1, 12) | st.sampled_from([2**63, 2**64 - 1]),
        st.integers(-1, 4) if draw(st.booleans()) else st.integers(0, 4),
        st.sampled_from(texts),
    )
    told = draw(st.lists(st.lists(one, min_size=1, max_size=30), min_size=1, max_size=4))
    if draw(st.booleans()):  # an id that is used for two events
        told[-1].append(msgspec.structs.replace(draw(one), id=told[0][0].id))
    return told


@pytest.mark.parametrize("size", [512, 4])
@given(told=batches())
@profile(max_examples=40)
def test_what_is_taken_at_once_is_what_would_have_been_taken_one_by_one(
    size: int, told: list[list[AnyEvent]]
) -> None:
    with (
        pytest.MonkeyPatch.context() as patch,
        TemporaryDirectory() as ours,
        TemporaryDirectory() as theirs,
        Desk(Path(ours)) as quick,
        Desk(Path(theirs)) as slow,
    ):
        for name in ("bulk", "intake"):
            patch.setattr(f"ringfence.ledger.{name}.MAX_BATCH", size)
        for events in told:
            receipt = quick.at_once(events)
            if receipt is None:
                seen("not plain")
                assert quick.one_by_one(events) == slow.one_by_one(events)
            else:
                seen("plain")
                expected = slow.one_by_one(sorted(events, key=lambda event: event.id))
                known = len(events) - receipt.stored
                assert (receipt.stored, receipt.known, 0) == (expected[0], known, expected[2])
            assert quick.holds() == slow.holds()


@given(told=batches())
@profile(max_examples=40)
def test_what_is_taken_in_one_transaction_is_what_would_have_been_taken_in_turn(
    told: list[list[AnyEvent]],
) -> None:
    some = [
        Entries.of([Entry.of(e) for e in sorted(events, key=lambda event: event.id)])
        for events in told
    ]
    with (
        TemporaryDirectory() as ours,
        TemporaryDirectory() as theirs,
        Desk(Path(ours)) as together,
        Desk(Path(theirs)) as in_turn,
    ):
        nothing = together.holds()
        receipts = together.bulk.take(some, NOON)
        one_by_one = [in_turn.bulk.take([entries], NOON) for entries in some]

        if receipts is None:
            seen("not plain")
            assert together.holds() == nothing
        else:
            seen("plain")
            assert [[receipt] for receipt in receipts] == one_by_one
            assert together.holds() == in_turn.holds()


def test_what_is_plain_is_taken_at_once(tmp_path: Path) -> None:
    for kind in KINDS:
        events = [said(kind, 0, key, 0, "web-1") for key in range(1, 2000)]
        with Desk(tmp_path) as desk:
            before = desk.store.seq("acme")
            first, second = desk.at_once(events), desk.at_once(events)

        assert first == Receipt(1999, 0, {}, before + 1999)
        assert second == Receipt(0, 1999, {}, before + 1999)


def test_of_nothing_nothing_is_taken(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk:
        assert desk.at_once([]) is None
        assert desk.one_by_one([]) == (0, 0, 0)


@pytest.mark.parametrize("latest_first", [True, False])
def test_the_latest_word_of_a_person_holds_wherever_in_a_batch_it_stands(
    tmp_path: Path, *, latest_first: bool
) -> None:
    ages = range(3 * MAX_BATCH)
    events = [
        said(Consent, (1000 + age) if latest_first else (9000 - age), 1 + age % 3, age, "web-1")
        for age in ages
    ]
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    with Desk(tmp_path / "ours") as quick, Desk(tmp_path / "theirs") as slow:
        assert quick.at_once(events) == Receipt(len(events), 0, {}, len(events))
        slow.one_by_one(sorted(events, key=lambda event: event.id))

        assert quick.holds() == slow.holds()
        ground, _ = quick.store.tables("acme")
        assert [Ground.unpack(ground.get(key) or NO_FACTS).consent_from for key in (1, 2, 3)] == [
            day_of(DAY - timedelta(days=age)) for age in (0, 1, 2)
        ]


@pytest.mark.parametrize(
    "odd",
    [
        said(Consent, 0, 1, 0, "web-9"),
        said(Consent, 0, 1, -1, "web-1"),
        said(Slot, 0, 1, 0, ""),
        said(Refusal, 0, 1, 0, ""),
        Consent(id="0", at=NOON, on=DAY, keys=Keys(purpose=0), text="web-1"),
        Consent(id="0", at=NOON, on=DAY, keys=Keys(purpose=1), text="web-1", principal="beta"),
        Consent(id="0", at=NOON, on=DAY, keys=Keys(purpose=1), text="web-1", to="+33639980001"),
        Consent(id="0", at=None, on=DAY, keys=Keys(purpose=1), text="web-1"),
        Consent(id="0", at=NOON, on=None, keys=Keys(purpose=1), text="web-1"),
        Consent(id="0", at=NOON, on=DAY, keys=Keys(purpose=1), text="web-1",
                until=DAY - timedelta(days=1)),
    ],
)  # fmt: skip
def test_what_the_ledger_might_turn_away_is_left_to_it_with_all_that_came(
    tmp_path: Path, odd: AnyEvent
) -> None:
    sound = [said(Consent, 0, key, 0, "web-1") for key in range(10, 20)]
    with Desk(tmp_path) as desk:
        assert desk.at_once([*sound, odd]) is None
        assert desk.at_once([odd, *sound]) is None
        assert desk.store.seq("acme") == 0


def test_a_batch_that_was_cut_off_anywhere_is_completed_by_the_next_run(tmp_path: Path) -> None:
    first = [said(Consent, 0, key, 3, "web-1") for key in range(1, 30)]
    second = [said(Consent, 1, key, 0, "web-2") for key in range(20, 60)]
    copies: list[Path] = []

    def crash(_: str) -> None:
        copy = tmp_path / f"copy-{len(copies)}"
        copy.mkdir()
        for file in whole.path.parent.glob("ledger.sqlite*"):
            shutil.copy(file, copy)
        copies.append(copy)

    folder = tmp_path / "whole"
    folder.mkdir()
    with Desk(folder) as whole:
        whole.at_once(first)
        whole.store._db.set_trace_callback(crash)
        whole.at_once(second)
        whole.store._db.set_trace_callback(None)
        crash("after all")
        expected = whole.holds()

    assert len(copies) > 5
    for copy in copies:
        with Desk(copy) as desk:
            assert desk.store.seq("acme") in (29, 69)
            desk.at_once(first)
            desk.at_once(second)
            assert desk.holds() == expected


# --- entries --------------------------------------------------------------------------------------


@given(
    st.sampled_from(KINDS),
    st.integers(1, 2**64 - 1) | st.sampled_from([1, 255, 2**16, 2**32 - 1, 2**32]),
    st.integers(0, 2**128 - 1).map("{:032x}".format),
    st.datetimes(FIRST, LAST, timezones=st.just(UTC)),
    st.text(max_size=20),
)
def test_an_entry_from_a_cast_is_written_as_its_event_is(
    kind: type[Event], key: int, name: str, at: datetime, text: str
) -> None:
    like = said(kind, 0, 1, 0, text)

    entry = Cast(like, DAY, text).entry(name, key, at)

    keys = Keys(purpose=key) if kind.purposeful else Keys(number=key)
    stated = msgspec.structs.replace(like, id=name, at=at, on=DAY, source=text, keys=keys)
    assert (entry.id, entry.key, entry.event) == (name, key, stated)
    assert entry.body == Entry.of(stated).body


def test_a_store_that_fails_has_stored_nothing(tmp_path: Path) -> None:
    events = [said(Consent, 0, key, 0, "web-1") for key in range(1, 2000)]
    with Desk(tmp_path) as desk:
        pages = desk.store._db.execute("PRAGMA page_count").fetchone()[0]
        desk.store._db.execute(f"PRAGMA max_page_count={pages + 3}")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            desk.at_once(events)

        assert desk.store.seq("acme") == 0
        assert desk.holds()["event"] == []
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
