"""What the ledger remembers: events, rows, the log and chains' heads, in one SQLite file.

A batch is written in one transaction and is on the disk when `commit` returns (WAL, and fsync at
each commit). Nothing is ever updated but rows; an event is stored once. No telephone number and no
secret comes here.
"""

import fcntl
import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np

from ringfence.campaign import Campaign, Text
from ringfence.event import AnyEvent, Event
from ringfence.fold import UNKNOWN_TEXT
from ringfence.ledger import witness
from ringfence.ledger.sequencer import History, keys_of
from ringfence.ledger.witness import Claim, Finding
from ringfence.row import ROW
from ringfence.table import Table
from ringfence.wire import MAX_MESSAGE, Config, Log, decode, encode

__all__ = ["READABLE", "Batch", "Store", "StoreError", "select", "signed", "texts_of"]

SCHEMA = 3
"""Version 1 held no heads of chains; version 2 did not say which gates told of a chain."""

_TABLES = f"""
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
{witness.TABLES}
"""
_ADDED = {1: witness.TABLES, 2: witness.ADDED}
"""What a file of an older version lacks; it is added when the file is opened to be written."""

READABLE = (*_ADDED, SCHEMA)
"""Versions of files that can be read as they are."""

_event_encoder = msgspec.msgpack.Encoder()
_event_decoder = msgspec.msgpack.Decoder(AnyEvent)
_SIGN = 1 << 63
_CHUNK = 50_000
_MAX_VARIABLES = 30_000  # SQLite takes 32 766 in one statement


class StoreError(Exception):
    """The store cannot be used as it is; says why, and what to do."""


class Batch(msgspec.Struct, frozen=True):
    """What one principal's part of a commit is made of."""

    principal: str
    log: Log
    events: Sequence[Event]


class Store:
    """One ledger's file. Only one process may have it open.

    Its methods may run in any thread, one at a time.
    """

    def __init__(self, path: Path, epoch: int) -> None:
        """Open the file, or make it, with *epoch* as its epoch. Raises `StoreError`."""
        self.path = path
        with ExitStack() as failed:
            self._lock = _lock(path.with_name(path.name + ".lock"))
            failed.callback(os.close, self._lock)
            try:
                self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                failed.callback(self._db.close)
                self.epoch = self._prepare(epoch)
                self._ids: dict[str, int] = dict(self._db.execute("SELECT name, id FROM principal"))
            except sqlite3.Error as error:
                msg = f"{path} is no ledger: {error}; move it away, or name another file"
                raise StoreError(msg) from error
            failed.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    def _prepare(self, epoch: int) -> int:
        db = self._db
        version = _number(db, "PRAGMA user_version")
        if version not in (0, *READABLE):
            msg = f"{self.path} has schema {version}, this version knows {SCHEMA}: upgrade"
            raise StoreError(msg)
        if version == 0 and _number(db, "SELECT count(*) FROM sqlite_master"):
            msg = f"{self.path} is a database of something else: name another file"
            raise StoreError(msg)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA cache_size=-262144")
        if version != SCHEMA:
            with self.transaction():
                for table in _ADDED.get(version, _TABLES).split(";"):
                    db.execute(table)
                if version == 0:
                    db.execute("INSERT INTO ledger VALUES (?)", (epoch,))
                db.execute(f"PRAGMA user_version={SCHEMA}")
        return _number(db, "SELECT epoch FROM ledger")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it is written and on the disk at the end, or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:  # some errors have rolled it back already
                self._db.execute("ROLLBACK")

    @contextmanager
    def trial(self) -> Iterator[None]:
        """Within a transaction: what an error ends is taken back, and the rest stands."""
        self._db.execute("SAVEPOINT trial")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK TO trial")
                self._db.execute("RELEASE trial")
            raise
        self._db.execute("RELEASE trial")

    def renew(self, epoch: int) -> None:
        """Go on under another epoch; the log of the old one is of no use any more."""
        with self.transaction():
            self._db.execute("UPDATE ledger SET epoch = ?", (epoch,))
            self._db.execute("DELETE FROM log")
        self.epoch = epoch

    # --- principals ---------------------------------------------------------------------------

    def register(
        self, principal: str, campaigns: dict[str, Campaign], texts: dict[str, Text]
    ) -> Config:
        """Note a principal's campaigns and texts; give them with their version and indices.

        A text keeps its index for ever, so it may not change under its name: raises `StoreError`.
        """
        with self.transaction():
            number = self._principal(principal)
            known = texts_of(self._db, number)
            fresh = self._fresh(principal, texts, known)
            self._db.executemany(
                "INSERT INTO text VALUES (?, ?, ?, ?)",
                [(number, index, name, body) for name, (index, body) in fresh.items()],
            )
            known |= fresh
            config = Config(
                epoch=self.epoch,
                version=self._campaigns(number, campaigns, len(known)),
                campaigns=campaigns,
                texts={name: msgspec.json.decode(b, type=Text) for name, (_, b) in known.items()},
                index={name: index for name, (index, _) in known.items()},
            )
            _fit(principal, config)
        self._ids[principal] = number
        return config

    def _fresh(
        self, principal: str, texts: dict[str, Text], known: dict[str, tuple[int, bytes]]
    ) -> dict[str, tuple[int, bytes]]:
        """Give the texts that are not known yet, with the indices that follow."""
        fresh: dict[str, tuple[int, bytes]] = {}
        for name, text in texts.items():
            body = _canonical(text)
            if name not in known:
                fresh[name] = len(known) + len(fresh) + 1, body
            elif known[name][1] != body:
                msg = (
                    f"consent text {name!r} of {principal} is not what it was: consents were"
                    " given to the old one; give the new text a new name"
                )
                raise StoreError(msg)
        return fresh

    def _principal(self, name: str) -> int:
        known = self._ids.get(name)
        if known is not None:
            return known
        new = "INSERT INTO principal (name, seq, config, campaigns) VALUES (?, 0, 0, x'')"
        return int(self._db.execute(new, (name,)).lastrowid or 0)

    def _campaigns(self, number: int, campaigns: dict[str, Campaign], texts: int) -> int:
        """Give the version of the configuration: one more whenever it changed."""
        body = _canonical([texts, campaigns])
        version, known = self._db.execute(
            "SELECT config, campaigns FROM principal WHERE id = ?", (number,)
        ).fetchone()
        if known == body:
            return int(version)
        self._db.execute(
            "UPDATE principal SET config = ?, campaigns = ? WHERE id = ?",
            (version + 1, body, number),
        )
        return int(version) + 1

    # --- reading ------------------------------------------------------------------------------

    def seq(self, principal: str) -> int:
        return _number(self._db, "SELECT seq FROM principal WHERE name = ?", principal)

    def tables(self, principal: str) -> tuple[Table, Table]:
        """Load a principal's rows."""
        seq = self.seq(principal)
        ground, restraint = self._table(principal, "ground"), self._table(principal, "restraint")
        for table in (ground, restraint):
            table.seq = seq
        return ground, restraint

    def _table(self, principal: str, kind: str) -> Table:
        number = self._ids[principal]
        of_principal = f"FROM {kind} WHERE principal = ?"
        table = Table(_number(self._db, f"SELECT count(*) {of_principal}", number))
        table.epoch = self.epoch
        cursor = self._db.execute(f"SELECT row {of_principal}", (number,))
        while chunk := cursor.fetchmany(_CHUNK):
            table.upsert(b"".join(row for (row,) in chunk))
        return table

    def known(self, principal: str, ids: Iterable[str]) -> dict[str, tuple[int, Event]]:
        """Give those of these events that are stored, and the change at which each was."""
        asked = "SELECT id, seq, body FROM event WHERE principal = ? AND id IN"
        return {
            name: (int(seq), _event_decoder.decode(body))
            for name, seq, body in select(self._db, asked, self._ids[principal], list(ids))
        }

    def history(self, principal: str, keys: Iterable[int]) -> History:
        """Give all events filed under these keys."""
        asked = (
            "SELECT filed.key, event.body FROM filed JOIN event USING (principal, seq)"
            " WHERE filed.principal = ? AND filed.key IN"
        )
        told: dict[int, list[Event]] = defaultdict(list)
        wanted = [signed(key) for key in keys]
        for key, body in select(self._db, asked, self._ids[principal], wanted):
            told[key if key >= 0 else key + 2 * _SIGN].append(_event_decoder.decode(body))
        return told

    def log(self, principal: str, first: int, last: int) -> Iterator[Log]:
        """Give the batches that hold the changes from *first* to *last*."""
        rows = self._db.execute(
            "SELECT body FROM log WHERE principal = ? AND last >= ? ORDER BY last",
            (self._ids[principal], first),
        )
        for (body,) in rows:
            log = decode(body, Log)
            if log.first > last:
                return
            yield log

    def events(self, principal: str) -> Iterator[Event]:
        """Give all events in the order they were numbered."""
        rows = self._db.execute(
            "SELECT body FROM event WHERE principal = ? ORDER BY seq", (self._ids[principal],)
        )
        for (body,) in rows:
            yield _event_decoder.decode(body)

    def oldest(self, principal: str) -> int:
        """Give the first change that the log still holds; 0 for an empty log."""
        row = self._db.execute(
            "SELECT body FROM log WHERE principal = ? ORDER BY last LIMIT 1",
            (self._ids[principal],),
        ).fetchone()
        return 0 if row is None else decode(row[0], Log).first

    # --- writing ------------------------------------------------------------------------------

    def commit(self, batches: Sequence[Batch], claims: Sequence[Claim] = ()) -> list[Finding]:
        """Store batches whole or not at all, and heads with them; say what became of each head.

        They are on the disk when this returns. Raises `sqlite3.Error`; then nothing was stored.
        """
        with self.transaction():
            self.write(batches)
            return [self.hear(claim) for claim in claims]

    def write(self, batches: Iterable[Batch]) -> None:
        """Write batches within the caller's transaction."""
        for batch in batches:
            self._write(batch)

    def hear(self, claim: Claim) -> Finding:
        """Hold a head of a chain, within the caller's transaction."""
        return witness.hear(self._db, self._ids[claim.principal], claim)

    def prune(self, principal: str, before: int) -> None:
        """Drop the log before that change; events and rows stay."""
        self._db.execute(
            "DELETE FROM log WHERE principal = ? AND last < ?", (self._ids[principal], before)
        )

    def _write(self, batch: Batch) -> None:
        number, log = self._ids[batch.principal], batch.log
        numbered = list(enumerate(batch.events, start=log.first))
        self._db.executemany(
            "INSERT INTO event VALUES (?, ?, ?, ?)",
            [(number, seq, event.id, _event_encoder.encode(event)) for seq, event in numbered],
        )
        self._db.executemany(
            "INSERT INTO filed VALUES (?, ?, ?)",
            [(number, signed(key), seq) for seq, event in numbered for key in keys_of(event)],
        )
        for kind, rows in (("ground", log.ground), ("restraint", log.restraint)):
            self._db.executemany(
                f"INSERT OR REPLACE INTO {kind} VALUES (?, ?, ?)",  # noqa: S608 - a literal
                [(number, key, row) for key, row in _split(rows)],
            )
        self._db.execute("INSERT INTO log VALUES (?, ?, ?)", (number, log.last, encode(log)))
        self._db.execute("UPDATE principal SET seq = ? WHERE id = ?", (log.last, number))


def select(
    db: sqlite3.Connection, asked: str, principal: int, values: Sequence[str | int]
) -> Iterator[tuple[Any, ...]]:  # a row of SQLite's
    """Ask for many values, as many at once as SQLite takes."""
    for start in range(0, len(values), _MAX_VARIABLES):
        some = values[start : start + _MAX_VARIABLES]
        marks = ",".join("?" * len(some))
        yield from db.execute(f"{asked} ({marks})", (principal, *some))


def texts_of(db: sqlite3.Connection, principal: int) -> dict[str, tuple[int, bytes]]:
    """Give a principal's consent texts by name, in the order of their indices."""
    told = db.execute(
        "SELECT name, number, body FROM text WHERE principal = ? ORDER BY number", (principal,)
    )
    return {name: (index, body) for name, index, body in told}


def _lock(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        msg = f"{path.name.removesuffix('.lock')} is open in another process: a ledger serves it"
        raise StoreError(msg) from error
    return handle


def _canonical(value: object) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def signed(key: int) -> int:
    """SQLite's integers have a sign, keys have none."""
    return key if key < _SIGN else key - 2 * _SIGN


def _split(rows: bytes) -> Iterator[tuple[int, bytes]]:
    keys = np.frombuffer(rows, np.dtype("<i8"))[:: ROW // 8].tolist()
    for at, key in enumerate(keys):
        yield key, rows[at * ROW : (at + 1) * ROW]


def _number(db: sqlite3.Connection, asked: str, *values: str | int) -> int:
    """Ask for what is one number."""
    (number,) = db.execute(asked, values).fetchone()
    return int(number)


def _fit(principal: str, config: Config) -> None:
    """Raises `StoreError` for what could not be told to gates."""
    size = len(encode(config))
    if size > MAX_MESSAGE:
        msg = (
            f"campaigns and texts of {principal} take {size} bytes, a message carries {MAX_MESSAGE}"
            ": split the principal, or list fewer caller IDs"
        )
        raise StoreError(msg)
    if len(config.index) >= UNKNOWN_TEXT:
        msg = (
            f"{principal} has {len(config.index)} consent texts, a row can name {UNKNOWN_TEXT - 1}"
        )
        raise StoreError(msg)
