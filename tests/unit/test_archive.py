"""What is read of a ledger's file while another process may write it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from tests.unit.truth import NOON, TEXT, consent, key, objection, refusal, withdrawal

from ringfence.campaign import Campaign, DialMode
from ringfence.event import Attempt, Bloctel, Consent, Event, Keys, Objection, Refusal
from ringfence.ledger.archive import Archive
from ringfence.ledger.intake import Intake, read
from ringfence.ledger.inventory import take_inventory
from ringfence.ledger.sequencer import Sequencer
from ringfence.ledger.store import Store, StoreError
from ringfence.ledger.witness import Claim
from ringfence.wire import ChainHead

CAMPAIGN = Campaign(
    principal="acme",
    purpose="fibre",
    sector="telecom",
    operator="callco",
    dial_mode=DialMode.PREVIEW,
    caller_ids=frozenset(["+33162000001"]),
)
HEAD = ChainHead("tunis", "0" * 16, 3, bytes(32), NOON)


class Book:
    """A ledger's file that is open to be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store(path, epoch=7)
        self.config = self.store.register("acme", {"acme-fibre": CAMPAIGN}, {"web-1": TEXT})
        sequencer = Sequencer(*self.store.tables("acme"), self.config)
        self._intake = Intake(self.store, {"acme": sequencer})

    def write(self, *events: Event) -> None:
        taken = self._intake.take(read("acme", msgspec.msgpack.encode(events)), NOON)
        assert taken.answers == []
        self._intake.apply(taken)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def book(path: Path) -> Iterator[Book]:
    book = Book(path)
    with book.store:
        yield book


# --- events ---------------------------------------------------------------------------------------


def test_what_is_filed_under_a_key_comes_in_the_order_in_which_it_was_said(book: Book) -> None:
    late = consent(1, at=NOON + timedelta(minutes=1))
    book.write(late, refusal(2), withdrawal(1), objection(1), consent(3))

    with Archive.open(book.path) as archive:
        assert archive.events("acme", [key(1)]) == [
            (3, withdrawal(1)),
            (4, objection(1)),
            (1, late),
        ]
        assert archive.events("acme", []) == []
        assert archive.events("acme", [key(9)]) == []


def test_an_event_under_two_keys_comes_once(book: Book) -> None:
    told = refusal(1, consumer=key(2))
    book.write(told)

    with Archive.open(book.path) as archive:
        assert archive.events("acme", [key(1), key(2), key(2)]) == [(1, told)]


def test_keys_may_be_more_than_one_question_holds_and_as_large_as_keys_are(book: Book) -> None:
    book.write(refusal(1, name="a"), refusal(40_000, name="b"))

    with Archive.open(book.path) as archive:
        told = archive.events("acme", [key(n) for n in range(1, 40_001)])

    assert [event.id for _, event in told] == ["a", "b"]
    assert max(key(1), key(40_000)) >= 1 << 63


def test_what_was_told_is_chosen_by_kind_and_by_the_consumers_date(book: Book) -> None:
    days = [date(2026, 10, 31), date(2026, 11, 1), date(2026, 11, 30), date(2026, 12, 1)]
    book.write(
        *(refusal(n, on=day) for n, day in enumerate(days, start=1)),
        msgspec.structs.replace(objection(9), on=days[1]),
    )

    with Archive.open(book.path) as archive:

        def told(*kinds: type[Event], first: date = days[1], last: date = days[2]) -> list[int]:
            chosen = archive.told("acme", kinds=kinds, first=first, last=last)
            return [change for change, _ in chosen]

        assert told(Refusal) == [2, 3]
        assert told(Refusal, Objection) == [2, 3, 5]
        assert told(Attempt, Bloctel) == []
        assert told() == []
        assert told(Refusal, first=days[3]) == []
        assert told(Refusal, first=days[0], last=days[3]) == [1, 2, 3, 4]
        assert list(archive.told("acme", kinds=[Refusal], first=days[1], last=days[1])) == [
            (2, refusal(2, on=days[1]))
        ]


# --- the rest -------------------------------------------------------------------------------------


def test_the_configuration_is_the_one_that_was_registered_last(book: Book) -> None:
    other = msgspec.structs.replace(TEXT, parties=frozenset(["acme", "callco"]))
    last = book.store.register("acme", {}, {"web-2": other})

    with Archive.open(book.path) as archive:
        assert archive.config("acme") == last
        assert archive.principals() == ["acme"]

    assert (last.version, last.campaigns) == (2, {})
    assert last.index == {"web-1": 1, "web-2": 2}


def test_it_shows_one_instant_whatever_is_written_meanwhile(book: Book) -> None:
    book.write(refusal(1))

    with Archive.open(book.path) as archive:
        book.write(refusal(1, name="later"))
        book.store.commit([], [Claim("acme", HEAD, NOON)])
        before = archive.events("acme", [key(1)]), archive.heads()

    with Archive.open(book.path) as archive:
        after = archive.events("acme", [key(1)]), archive.heads()

    assert [len(part) for part in before] == [1, 0]
    assert [len(part) for part in after] == [2, 1]


def test_an_archive_changes_nothing(book: Book) -> None:
    with pytest.raises(StoreError, match="readonly"), Archive.open(book.path) as archive:
        archive._db.execute("DELETE FROM event")

    with Archive.open(book.path) as archive:
        assert archive.heads() == []


def test_what_is_no_ledger_says_so(path: Path) -> None:
    with pytest.raises(StoreError, match="there is no ledger yet"), Archive.open(path):
        pass
    path.write_bytes(b"a letter to a friend" * 100)
    with pytest.raises(StoreError, match="is no ledger: file is not a database"):  # noqa: SIM117
        with Archive.open(path):
            pass


def test_a_principal_that_is_not_known_is_named_with_those_that_are(book: Book) -> None:
    with Archive.open(book.path) as archive:
        for ask in (
            lambda: archive.config("beta"),
            lambda: archive.events("beta", [1]),
            lambda: list(archive.told("beta", kinds=[Refusal], first=date.min, last=date.max)),
        ):
            with pytest.raises(StoreError, match="no principal 'beta'; there are acme"):
                ask()


# --- files of version 1 ---------------------------------------------------------------------------

VERSION_1 = """
CREATE TABLE ledger (epoch INTEGER NOT NULL);
CREATE TABLE principal (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, seq INTEGER NOT NULL,
    config INTEGER NOT NULL, campaigns BLOB NOT NULL);
CREATE TABLE text (principal INTEGER NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL,
    body BLOB NOT NULL, PRIMARY KEY (principal, name)) WITHOUT ROWID;
CREATE TABLE event (principal INTEGER NOT NULL, seq INTEGER NOT NULL, id TEXT NOT NULL,
    body BLOB NOT NULL, PRIMARY KEY (principal, seq)) WITHOUT ROWID;
CREATE UNIQUE INDEX event_id ON event (principal, id);
CREATE TABLE filed (principal INTEGER NOT NULL, key INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (principal, key, seq)) WITHOUT ROWID;
CREATE TABLE ground (principal INTEGER NOT NULL, key INTEGER NOT NULL, row BLOB NOT NULL,
    PRIMARY KEY (principal, key)) WITHOUT ROWID;
CREATE TABLE restraint (principal INTEGER NOT NULL, key INTEGER NOT NULL, row BLOB NOT NULL,
    PRIMARY KEY (principal, key)) WITHOUT ROWID;
CREATE TABLE log (principal INTEGER NOT NULL, last INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (principal, last)) WITHOUT ROWID;
INSERT INTO ledger VALUES (5);
INSERT INTO principal VALUES (1, 'acme', 1, 1, '[0,{}]');
PRAGMA user_version=1;
"""
OLD = (
    b"\x87\xa4kind\xa7consent\xa2id\xa2c1\xa2at\xd6\xffj%%\x00\xa2on\xaa2026-06-07"
    b"\xa6source\xa3crm\xa4keys\x81\xa7purpose*\xa4text\xa5web-1"
)
"""A consent as version 1 stored it."""


@pytest.fixture
def old(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(VERSION_1)
        db.execute("INSERT INTO event VALUES (1, 1, 'c1', ?)", (OLD,))
        db.execute("INSERT INTO filed VALUES (1, 42, 1)")
    return path


def read_old(path: Path) -> None:
    with Archive.open(path) as archive:
        assert archive.events("acme", [42]) == [
            (
                1,
                Consent(
                    id="c1",
                    at=datetime(2026, 6, 7, 8, tzinfo=UTC),
                    on=date(2026, 6, 7),
                    source="crm",
                    keys=Keys(purpose=42),
                    text="web-1",
                ),
            )
        ]


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def schema(path: Path) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as db:
        return set(db.execute("SELECT name, sql FROM sqlite_master"))


def test_a_file_of_version_1_is_read_as_it_is(old: Path) -> None:
    read_old(old)
    with Archive.open(old) as archive:
        assert archive.heads() == []
    assert take_inventory(old).principals["acme"].events == {"consent": 1}
    assert version(old) == 1


def test_a_file_of_version_1_becomes_one_of_the_latest_and_keeps_what_it_holds(old: Path) -> None:
    with Store(old, epoch=9) as store:
        assert (store.epoch, store.seq("acme")) == (5, 1)
        store.commit([], [Claim("acme", HEAD, NOON)])

    read_old(old)
    with Archive.open(old) as archive:
        assert len(archive.heads()) == 1
    with Store(old, epoch=9) as store:  # and a second time there is nothing to do
        assert store.seq("acme") == 1
    assert version(old) == 3


def test_a_file_that_cannot_become_one_of_version_2_stays_one_of_version_1(old: Path) -> None:
    with closing(sqlite3.connect(old)) as db, db:
        db.execute("CREATE TABLE head_number (of_somebody_else)")

    before = schema(old)

    with pytest.raises(StoreError, match="head_number"):
        Store(old, epoch=9)

    assert (version(old), schema(old)) == (1, before)


def test_a_new_file_and_one_that_was_old_have_the_same_tables(old: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.sqlite"
    for path in (old, new):
        Store(path, epoch=9).close()

    assert schema(old) == schema(new)


def test_a_file_of_a_later_version_is_left_alone(old: Path) -> None:
    with closing(sqlite3.connect(old)) as db, db:
        db.execute("PRAGMA user_version=4")

    with pytest.raises(StoreError, match="has schema 4, this version knows 3: upgrade"):
        Store(old, epoch=9)
    with pytest.raises(StoreError, match="has schema 4; this version knows 3"), Archive.open(old):
        pass
