"""What the ledger keeps of the gates' chains of evidence: heads, and the trace of a rewriting.

Of the heads of one chain only the newest of each five minutes stays, so that years of them are
small: it holds all records before it. A head that says another link of a record than a head that
is held is kept beside it. Nothing else is ever removed.
"""

import sqlite3
from collections.abc import Iterator
from datetime import datetime
from enum import Enum

import msgspec

from ringfence.wire import ChainHead

__all__ = ["MAX_HEADS", "TABLES", "Claim", "Finding", "Witness", "heads", "hear"]

SLOT = 300
"""Seconds, by the ledger's clock, in which the newer heads of a chain supersede the older."""

MAX_HEADS = 1024
"""Heads of one principal in these seconds: what a publisher can make the ledger store."""

TABLES = """
CREATE TABLE head (principal INTEGER NOT NULL, slot INTEGER NOT NULL, gate TEXT NOT NULL,
    chain TEXT NOT NULL, number INTEGER NOT NULL, link BLOB NOT NULL, at TEXT NOT NULL,
    heard TEXT NOT NULL, PRIMARY KEY (principal, slot, gate, chain, number, link)) WITHOUT ROWID;
CREATE INDEX head_number ON head (chain, number);
"""

_OF_SLOT = "FROM head WHERE principal = ? AND slot = ?"
_OF_CHAIN = f"{_OF_SLOT} AND gate = ? AND chain = ?"
_ALONE = """NOT EXISTS (SELECT 1 FROM head AS other WHERE other.chain = head.chain
    AND other.number = head.number AND other.link <> head.link)"""


class Claim(msgspec.Struct, frozen=True):
    """A head that came on a principal's topic `chain`, and when."""

    principal: str
    head: ChainHead
    heard: datetime


class Witness(msgspec.Struct, frozen=True):
    """A head that the ledger holds."""

    principal: str
    gate: str
    chain: str
    number: int
    link: bytes
    at: datetime
    """The instant at which it was the head, as the gate said."""
    heard: datetime
    """The instant at which the ledger first heard of it."""


class Finding(Enum):
    """What became of a claim."""

    HELD = "held"
    """It is held, or a newer head of the same five minutes."""
    CONTRADICTS = "contradicts"
    """It is held beside a head that says another link of the same record."""
    TOO_MANY = "too many"
    """It is not held."""


def hear(db: sqlite3.Connection, principal: int, claim: Claim) -> Finding:
    """Hold a head under the number of its principal; within the caller's transaction.

    A lower number than is held is no contradiction: messages come late.
    """
    head, heard = claim.head, claim.heard
    told = set(
        db.execute(
            "SELECT principal, gate, link FROM head WHERE chain = ? AND number = ?",
            (head.chain, head.number),
        )
    )
    if (principal, head.gate, head.link) in told:
        return Finding.HELD
    contradicts = any(link != head.link for _, _, link in told)
    slot = int(heard.timestamp()) // SLOT
    of_chain = (principal, slot, head.gate, head.chain)
    if not contradicts and _any(db, f"{_OF_CHAIN} AND number > ?", *of_chain, head.number):
        return Finding.HELD
    db.execute(f"DELETE {_OF_CHAIN} AND number < ? AND {_ALONE}", (*of_chain, head.number))
    (count,) = db.execute(f"SELECT count(*) {_OF_SLOT}", (principal, slot)).fetchone()
    if count >= MAX_HEADS:
        return Finding.TOO_MANY
    said = head.number, head.link, head.at.isoformat(), heard.isoformat()
    db.execute("INSERT INTO head VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*of_chain, *said))
    return Finding.CONTRADICTS if contradicts else Finding.HELD


def _any(db: sqlite3.Connection, which: str, *values: str | int) -> bool:
    return db.execute(f"SELECT 1 {which} LIMIT 1", values).fetchone() is not None


def heads(db: sqlite3.Connection, gate: str | None) -> Iterator[Witness]:
    """Give the heads of a gate, or of all, chain by chain and in the order of their records.

    None of a file that is older than heads.
    """
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'head'").fetchone():
        return
    rows = db.execute(
        "SELECT principal.name, gate, chain, number, link, at, heard"
        " FROM head JOIN principal ON principal.id = head.principal"
        " WHERE ? IS NULL OR gate = ? ORDER BY principal.name, gate, chain, number, heard",
        (gate, gate),
    )
    for principal, name, chain, number, link, at, heard in rows:
        instants = datetime.fromisoformat(at), datetime.fromisoformat(heard)
        yield Witness(principal, name, chain, number, link, *instants)
