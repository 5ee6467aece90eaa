"""What the ledger keeps of the gates' chains of evidence: heads, and the trace of a rewriting.

A head holds all records before it against the gate that told it, so old ones are thinned. Every
head stays for five minutes at least; then the newest of each five seconds stays for a day, and
then the newest of each five minutes for good: years of them are small. Never thinned are a head
that says another link of a record than one that the same principal was told of the same gate, and
a head after which a lower number was heard: that supersedes nothing either, whatever its number.

Of one principal, in five minutes, up to 1024 chains are held, and up to 512 heads of each: room
for a head a second, and for what contradicts them. It is what a publisher can make the ledger
store. The thinning is done as heads are stored, a few slots of the chain at a time; the last day
of a chain that is told of no more stays as it is.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import Enum

import msgspec

from ringfence.wire import ChainHead

__all__ = [
    "ADDED",
    "MAX_CHAINS",
    "MAX_HEADS",
    "TABLES",
    "Claim",
    "Finding",
    "Witness",
    "heads",
    "hear",
]

SLOT = 300
"""Seconds, by the ledger's clock, that are thinned at once."""

FINE, COARSE = 5, SLOT
"""Seconds of which one head stays, at first and in the end."""

FRESH = 2
"""Slots until the first thinning: a slot is whole then, and so is the next, which tells of it."""

DAY = 86400 // SLOT + 1
"""Slots until the second."""

STEPS = 4
"""Slots of a chain that are looked at for each thinning when a head of it is stored."""

MAX_CHAINS = 1024
"""Chains of one principal in one slot."""

MAX_HEADS = 512
"""Heads of one chain in one slot."""

_CHAIN = """
CREATE TABLE chain (principal INTEGER NOT NULL, chain TEXT NOT NULL, gate TEXT NOT NULL,
    fine INTEGER NOT NULL, coarse INTEGER NOT NULL,
    PRIMARY KEY (principal, chain, gate)) WITHOUT ROWID;
"""
# `fine` and `coarse` are the slots up to which a chain is thinned.

TABLES = f"""
CREATE TABLE head (principal INTEGER NOT NULL, slot INTEGER NOT NULL, gate TEXT NOT NULL,
    chain TEXT NOT NULL, number INTEGER NOT NULL, link BLOB NOT NULL, at TEXT NOT NULL,
    heard TEXT NOT NULL, PRIMARY KEY (principal, slot, gate, chain, number, link)) WITHOUT ROWID;
CREATE INDEX head_number ON head (chain, number);
{_CHAIN}"""

_ENROL = """
INSERT INTO chain SELECT principal, chain, gate, max(slot) + 1, max(slot) + 1
    FROM head GROUP BY principal, chain, gate;
"""
ADDED = _CHAIN + _ENROL
"""What a file lacks that has heads, but is from before there were chains: they are thinned."""

_OF_SLOT = "FROM head WHERE principal = ? AND slot = ?"
_OF_CHAIN = f"{_OF_SLOT} AND gate = ? AND chain = ?"
_CONTRADICTED = """EXISTS (SELECT 1 FROM head AS other WHERE other.chain = head.chain
    AND other.number = head.number AND other.principal = head.principal
    AND other.gate = head.gate AND other.link <> head.link)"""


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
    """It is held."""
    CONTRADICTS = "contradicts"
    """It is held beside a head that says another link of the same record."""
    ELSEWHERE = "elsewhere"
    """It is held, as the first that this gate told of a chain that another gate has told of."""
    TOO_MANY = "too many"
    """It is not held."""


class _Held(msgspec.Struct, frozen=True):
    """A head, as far as its thinning asks."""

    heard: float
    number: int
    link: bytes
    contradicted: bool


def hear(db: sqlite3.Connection, principal: int, claim: Claim) -> Finding:
    """Hold a head under the number of its principal; within the caller's transaction.

    A lower number than is held is no contradiction: messages come late.
    """
    head = claim.head
    links = {
        link
        for (link,) in db.execute(
            "SELECT link FROM head WHERE chain = ? AND number = ? AND principal = ? AND gate = ?",
            (head.chain, head.number, principal, head.gate),
        )
    }
    if head.link in links:
        return Finding.HELD
    slot = int(claim.heard.timestamp()) // SLOT
    if _is_full(db, principal, slot, head):
        return Finding.TOO_MANY
    db.execute(
        "INSERT INTO head VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(principal, slot, head.gate, head.chain, head.number, head.link),
            *(head.at.isoformat(), claim.heard.isoformat()),
        ),
    )
    is_elsewhere = _keep_up(db, principal, slot, head)
    if links:
        return Finding.CONTRADICTS
    return Finding.ELSEWHERE if is_elsewhere else Finding.HELD


def _is_full(db: sqlite3.Connection, principal: int, slot: int, head: ChainHead) -> bool:
    of_chain = _count(db, f"SELECT count(*) {_OF_CHAIN}", principal, slot, head.gate, head.chain)
    if of_chain:
        return of_chain >= MAX_HEADS
    told = f"SELECT count(*) FROM (SELECT DISTINCT gate, chain {_OF_SLOT})"  # noqa: S608 - literals
    return _count(db, told, principal, slot) >= MAX_CHAINS


def _count(db: sqlite3.Connection, asked: str, *values: str | int) -> int:
    (count,) = db.execute(asked, values).fetchone()
    return int(count)


# --- thinning -------------------------------------------------------------------------------------


def _keep_up(db: sqlite3.Connection, principal: int, slot: int, head: ChainHead) -> bool:
    """Thin a chain of which a head was stored; say if it is new here, and another gate told it."""
    name = principal, head.chain, head.gate
    known = db.execute(
        "SELECT fine, coarse FROM chain WHERE principal = ? AND chain = ? AND gate = ?", name
    ).fetchone()
    if known is None:
        told = "SELECT count(*) FROM chain WHERE principal = ? AND chain = ?"
        others = _count(db, told, principal, head.chain)
        db.execute("INSERT INTO chain VALUES (?, ?, ?, ?, ?)", (*name, slot, slot))
        return others > 0
    thinned = fine, coarse = int(known[0]), int(known[1])
    fine = _thin_on(db, (principal, head.gate, head.chain), fine, slot - FRESH, FINE)
    coarse = _thin_on(db, (principal, head.gate, head.chain), coarse, slot - DAY, COARSE)
    if (fine, coarse) != thinned:
        db.execute(
            "UPDATE chain SET fine = ?, coarse = ? WHERE principal = ? AND chain = ? AND gate = ?",
            (fine, coarse, *name),
        )
    return False


def _thin_on(
    db: sqlite3.Connection, of: tuple[int, str, str], first: int, last: int, width: int
) -> int:
    """Thin a few slots from *first* on, none after *last*; give the slot to go on with."""
    end = min(first + STEPS, last + 1)
    for slot in range(first, end):
        _thin(db, of, slot, width)
    return max(first, end)


def _thin(db: sqlite3.Connection, of: tuple[int, str, str], slot: int, width: int) -> None:
    held = _held(db, of, slot)
    if len(held) < 2:
        return
    after = min((one.number for one in _held(db, of, slot + 1)), default=None)
    principal, gate, chain = of
    db.executemany(
        f"DELETE {_OF_CHAIN} AND number = ? AND link = ?",
        [
            (principal, slot, gate, chain, one.number, one.link)
            for one in _superseded(held, after, width)
        ],
    )


def _held(db: sqlite3.Connection, of: tuple[int, str, str], slot: int) -> list[_Held]:
    """Give the heads of a chain in the order in which they were heard."""
    principal, gate, chain = of
    rows = db.execute(
        f"SELECT heard, number, link, {_CONTRADICTED} {_OF_CHAIN}",
        (principal, slot, gate, chain),
    )
    held = [
        _Held(datetime.fromisoformat(heard).timestamp(), number, link, bool(contradicted))
        for heard, number, link, contradicted in rows
    ]
    return sorted(held, key=lambda one: (one.heard, one.number))


def _superseded(held: Sequence[_Held], after: int | None, width: int) -> Iterator[_Held]:
    """Give the heads that another of their *width* seconds stands for.

    *after* is the lowest number that was heard in the slot that follows.
    """
    lowest = after
    standing = None
    for one in reversed(held):
        followed = lowest is not None and lowest < one.number
        lowest = one.number if lowest is None else min(lowest, one.number)
        if followed or one.contradicted:
            continue
        if standing == int(one.heard) // width:
            yield one
        standing = int(one.heard) // width


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
