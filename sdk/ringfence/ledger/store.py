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
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np

from ringfence.campaign import Campaign, Text
from ringfence.event import AnyEvent, Event
from ringfence.fold import UNKNOWN_TEXT
from ringfence.ledger import packing, witness
from ringfence.ledger.checkpoints import Checkpoints
from ringfence.ledger.packing import array, digits, places
from ringfence.ledger.sequencer import keys_of
from ringfence.ledger.witness import Claim, Finding
from ringfence.row import ROW
from ringfence.table import Table
from ringfence.wire import MAX_MESSAGE, Config, Log, decode, encode

__all__ = ["READABLE", "Batch", "Run", "Store", "StoreError", "select", "signed", "texts_of"]

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
_known = msgspec.json.Decoder(list[tuple[str, int, str]])
_told = msgspec.json.Decoder(list[tuple[int, str]])
_SIGN = 1 << 63
_CHUNK = 50_000
_LOG_PAGES = 16_384
"""Of the log, 64 MiB, at which a commit waits for a checkpoint: where commits leave no time for
those of `Checkpoints` to end, the log would grow for ever."""

# Each is one step, whatever it is given: see `packing`. What is asked for or written comes in
# order, so that what lies side by side in the file is found together. `CROSS JOIN` has SQLite look
# each of the values up; by itself it may read all events of a principal instead.
_KNOWN = """
SELECT json_group_array(json_array(event.id, seq, hex(body)))
FROM json_each(?2) AS asked CROSS JOIN event ON principal = ?1 AND event.id = asked.value
"""
_HISTORY = """
SELECT json_group_array(json_array(filed.key, hex(body)))
FROM json_each(?2) AS asked CROSS JOIN filed ON principal = ?1 AND filed.key = asked.value
CROSS JOIN event USING (principal, seq)
"""
_HEARD_OF = """
SELECT EXISTS (SELECT 1 FROM json_each(?2) AS asked
CROSS JOIN filed ON principal = ?1 AND filed.key = asked.value)
"""
_INTO_EVENT = f"""
INSERT INTO event SELECT ?1, ?2 + seq, id, {packing.blob("?5", "place")}
FROM (SELECT key AS seq, value AS id, {packing.number("?4")} AS place FROM json_each(?3))
"""  # noqa: S608 - of literals
_INTO_FILED = """
INSERT INTO filed SELECT ?1, value, ?2 + key FROM json_each(?3)
WHERE value IS NOT NULL ORDER BY value
"""
_INTO_ROWS = f"""
INSERT OR REPLACE INTO {{}}
SELECT ?1, value, substr(?3, 1 + {ROW} * key, {ROW}) FROM json_each(?2)
"""  # noqa: S608 - likewise
_INTO_LOG = f"""
INSERT INTO log SELECT ?1, last, {packing.blob("?4", "place")}
FROM (SELECT value AS last, {packing.number("?3")} AS place FROM json_each(?2))
"""  # noqa: S608 - likewise


class StoreError(Exception):
    """The store cannot be used as it is; says why, and what to do."""


class Batch(msgspec.Struct, frozen=True):
    """What one principal's part of a commit is made of."""

    principal: str
    log: Log
    events: Sequence[Event]


class Run(msgspec.Struct, frozen=True):
    """Changes of one principal that follow each other, ready to be stored."""

    principal: str
    logs: Sequence[Log]
    bodies: Sequence[bytes]
    """The events of the logs, encoded."""
    keys: Sequence[Sequence[int | None]]
    """The key of each event, and the second keys of those that have two; None for the others."""


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
            self._checkpoints = Checkpoints(path)
            failed.callback(self._checkpoints.close)
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
        self._checkpoints.close()
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
        db.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")
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
            self._checkpoints.due()
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
        ((found,),) = self._db.execute(_KNOWN, (self._ids[principal], array(sorted(ids))))
        return {
            name: (seq, _event_decoder.decode(bytes.fromhex(body)))
            for name, seq, body in _known.decode(found)
        }

    def history(self, principal: str, keys: Iterable[int]) -> dict[int, list[Event]]:
        """Give all events filed under these keys."""
        wanted = sorted(map(signed, keys))
        ((found,),) = self._db.execute(_HISTORY, (self._ids[principal], array(wanted)))
        told: dict[int, list[Event]] = defaultdict(list)
        for key, body in _told.decode(found):
            told[key if key >= 0 else key + 2 * _SIGN].append(
                _event_decoder.decode(bytes.fromhex(body))
            )
        return told

    def heard_of(self, principal: str, keys: Iterable[int]) -> bool:
        """Whether an event is filed under any of these keys."""
        wanted = array(sorted(map(signed, keys)))
        ((heard,),) = self._db.execute(_HEARD_OF, (self._ids[principal], wanted))
        return bool(heard)

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
        for run in _runs(batches):
            self.write_run(run)

    def hear(self, claim: Claim) -> Finding:
        """Hold a head of a chain, within the caller's transaction."""
        return witness.hear(self._db, self._ids[claim.principal], claim)

    def prune(self, principal: str, before: int) -> None:
        """Drop the log before that change; events and rows stay."""
        self._db.execute(
            "DELETE FROM log WHERE principal = ? AND last < ?", (self._ids[principal], before)
        )

    def write_run(self, run: Run) -> None:
        """Write changes within the caller's transaction."""
        number, logs = self._ids[run.principal], run.logs
        ids = [name for log in logs for name in log.ids]
        if len(ids) != len(run.bodies):
            msg = f"{len(ids)} changes of {run.principal} for {len(run.bodies)} events"
            raise ValueError(msg)
        self._db.execute(
            _INTO_EVENT,
            (number, logs[0].first, array(ids), digits(places(run.bodies)), b"".join(run.bodies)),
        )
        for keys in run.keys:
            filed = array([None if key is None else signed(key) for key in keys])
            self._db.execute(_INTO_FILED, (number, logs[0].first, filed))
        self._write_rows(number, "ground", b"".join(log.ground for log in logs))
        self._write_rows(number, "restraint", b"".join(log.restraint for log in logs))
        bodies, last = [encode(log) for log in logs], [log.last for log in logs]
        self._db.execute(_INTO_LOG, (number, array(last), digits(places(bodies)), b"".join(bodies)))
        self._db.execute("UPDATE principal SET seq = ? WHERE id = ?", (last[-1], number))

    def _write_rows(self, number: int, kind: str, rows: bytes) -> None:
        """Write rows, in the order of their keys; of one key the last holds."""
        if not rows:
            return
        words = np.frombuffer(rows, np.dtype("<i8")).reshape(-1, ROW // 8)
        words = words[np.argsort(words[:, 0], kind="stable")]
        asked = _INTO_ROWS.format(kind)
        self._db.execute(asked, (number, array(words[:, 0].tolist()), words.tobytes()))


def _runs(batches: Iterable[Batch]) -> Iterator[Run]:
    """Give batches of one principal that follow each other together."""
    some: list[Batch] = []
    for batch in batches:
        if some and not _follows(batch, some[-1]):
            yield _run(some)
            some = []
        some.append(batch)
    if some:
        yield _run(some)


def _follows(batch: Batch, before: Batch) -> bool:
    follows = before.principal, before.log.last + 1
    return follows == (batch.principal, batch.log.first)


def _run(batches: Sequence[Batch]) -> Run:
    events = [event for batch in batches for event in batch.events]
    return Run(
        batches[0].principal,
        [batch.log for batch in batches],
        [_event_encoder.encode(event) for event in events],
        [*zip_longest(*map(keys_of, events))],
    )


def select(
    db: sqlite3.Connection, asked: str, principal: int, values: Sequence[str | int]
) -> Iterator[tuple[Any, ...]]:  # a row of SQLite's
    """Ask for many values at once."""
    asked = f"{asked} (SELECT value FROM json_each(?))"  # noqa: S608 - of literals
    yield from db.execute(asked, (principal, array(values)))


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
