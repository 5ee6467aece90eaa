"""What a ledger's file holds, read while a ledger may be serving it; changes nothing."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from ringfence.ledger.store import SCHEMA, StoreError

__all__ = ["Holding", "Inventory", "take_inventory"]

LOCKED = 5.0
"""Seconds to wait for a lock: a ledger that is closing the file holds it for a moment."""


class Holding(msgspec.Struct, frozen=True):
    """What the file holds of one principal."""

    seq: int
    ground_rows: int
    restraint_rows: int
    events: dict[str, int]
    """By kind."""


class Inventory(msgspec.Struct, frozen=True):
    epoch: int
    principals: dict[str, Holding]


class _Kind(msgspec.Struct):
    kind: str


def take_inventory(path: Path) -> Inventory:
    """Count what is in the file, as of one instant; every event is looked at.

    Raises `StoreError` if there is no ledger at *path*.
    """
    if not path.is_file():
        msg = f"{path}: there is no ledger yet"
        raise StoreError(msg)
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        opened = sqlite3.connect(uri, uri=True, timeout=LOCKED, isolation_level=None)
        with closing(opened) as db:
            db.execute("BEGIN")  # all counts are of one instant
            return _count(path, db)
    except sqlite3.Error as error:
        msg = f"{path} is no ledger: {error}"
        raise StoreError(msg) from error


def _count(path: Path, db: sqlite3.Connection) -> Inventory:
    (schema,) = db.execute("PRAGMA user_version").fetchone()
    if schema != SCHEMA:
        msg = f"{path} has schema {schema}; this version knows {SCHEMA}"
        raise StoreError(msg)
    row = db.execute("SELECT epoch FROM ledger").fetchone()
    known = db.execute("SELECT name, id, seq FROM principal ORDER BY name").fetchall()
    holdings = {
        name: Holding(
            seq=seq,
            ground_rows=_rows(db, "ground", number),
            restraint_rows=_rows(db, "restraint", number),
            events=dict(sorted(Counter(_kinds(db, number)).items())),
        )
        for name, number, seq in known
    }
    return Inventory(0 if row is None else int(row[0]), holdings)


def _rows(db: sqlite3.Connection, table: str, principal: int) -> int:
    (count,) = db.execute(
        f"SELECT count(*) FROM {table} WHERE principal = ?",  # noqa: S608 - a literal
        (principal,),
    ).fetchone()
    return int(count)


def _kinds(db: sqlite3.Connection, principal: int) -> Iterator[str]:
    decode = msgspec.msgpack.Decoder(_Kind).decode
    for (body,) in db.execute("SELECT body FROM event WHERE principal = ?", (principal,)):
        yield decode(body).kind
