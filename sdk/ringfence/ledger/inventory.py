"""What a ledger's file holds, read while a ledger may be serving it; changes nothing."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ringfence.ledger.archive import opened

__all__ = ["Holding", "Inventory", "take_inventory"]


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
    with opened(path) as db:
        return _count(db)


def _count(db: sqlite3.Connection) -> Inventory:
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
