"""Heads of chains: what of them the ledger keeps, what it drops, and what it holds against whom."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ringfence.ledger.archive import Archive
from ringfence.ledger.store import Store
from ringfence.ledger.witness import MAX_CHAINS, MAX_HEADS, Claim, Finding, Witness
from ringfence.wire import ChainHead

TEN = datetime(2026, 11, 24, 10, tzinfo=UTC)
CHAIN = "00000000000000aa"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "ledger.sqlite", epoch=7) as store:
        for principal in ("acme", "beta"):
            store.register(principal, {}, {})
        yield store


def head(
    number: int, link: str = "a", *, gate: str = "tunis", chain: str = CHAIN, at: datetime = TEN
) -> ChainHead:
    return ChainHead(gate, chain, number, link.encode().ljust(32, b"."), at)


def hear(
    store: Store, *heads: ChainHead, minutes: float = 0, principal: str = "acme"
) -> list[Finding]:
    heard = TEN + timedelta(minutes=minutes)
    return store.commit([], [Claim(principal, head, heard) for head in heads])


def tell_each_second(store: Store, *, minutes: int) -> None:
    """Tell the heads 1, 2, …, one a second, each at the end of its second."""
    for second in range(60 * minutes):
        hear(store, head(second + 1), minutes=(second + 0.5) / 60)


def held(store: Store, gate: str | None = None) -> list[Witness]:
    with Archive.open(store.path) as archive:
        return archive.heads(gate)


def numbers(store: Store) -> list[int]:
    return [witness.number for witness in held(store)]


def links(store: Store) -> list[tuple[int, str]]:
    return [(w.number, w.link.decode().rstrip(".")) for w in held(store)]


def test_a_head_is_held_with_all_that_was_said_of_it(store: Store) -> None:
    said = datetime.fromisoformat("2026-11-24T10:59:59.123456+01:00")

    assert hear(store, head(3, at=said), minutes=1) == [Finding.HELD]

    assert held(store) == [
        Witness("acme", "tunis", CHAIN, 3, head(3).link, said, TEN + timedelta(minutes=1))
    ]


def test_every_head_is_held_for_a_while_and_then_the_newest_of_each_five_seconds(
    store: Store,
) -> None:
    tell_each_second(store, minutes=20)

    seconds = numbers(store)
    assert seconds[-600:] == list(range(601, 1201))
    assert seconds[:-600] == list(range(5, 601, 5))


def test_what_is_older_than_a_day_is_thinned_to_one_of_each_five_minutes(store: Store) -> None:
    tell_each_second(store, minutes=11)
    for slot in range(300):
        hear(store, head(1000 + slot), minutes=15 + 5 * slot)

    assert numbers(store) == [300, 600, 660, *range(1000, 1300)]


def test_the_heads_of_the_last_day_stay_at_the_resolution_of_five_seconds(store: Store) -> None:
    tell_each_second(store, minutes=10)
    for slot in range(270):
        hear(store, head(1000 + slot), minutes=15 + 5 * slot)

    assert numbers(store)[:120] == list(range(5, 601, 5))


def test_a_gate_that_was_silent_for_days_has_its_old_heads_thinned_step_by_step(
    store: Store,
) -> None:
    tell_each_second(store, minutes=10)
    for n in range(100):
        hear(store, head(1000 + n), minutes=3 * 24 * 60 + n / 60)

    assert numbers(store) == [300, 600, *range(1000, 1100)]


def test_heads_that_come_together_or_late_are_all_held(store: Store) -> None:
    assert hear(store, head(2), head(4), head(3)) == [Finding.HELD] * 3

    assert numbers(store) == [2, 3, 4]


def test_what_a_lower_number_followed_is_kept_and_supersedes_nothing(store: Store) -> None:
    """Nobody can tell which of them is of the chain: it was told wrongly, or written anew."""
    tell_each_second(store, minutes=4)
    hear(store, head(2**62), minutes=4.5)
    hear(store, head(241), minutes=5)
    for slot in range(300):
        hear(store, head(1000 + slot), minutes=15 + 5 * slot)

    assert numbers(store)[:2] == [240, 241]
    assert numbers(store)[-1] == 2**62


def test_a_chain_that_stands_still_takes_no_room(store: Store) -> None:
    for minute in range(60):
        assert hear(store, head(3), minutes=minute) == [Finding.HELD]

    (witness,) = held(store)
    assert witness.heard == TEN


def test_chains_gates_and_principals_do_not_supersede_each_other(store: Store) -> None:
    hear(store, head(1), head(2, chain="0" * 16), head(3, gate="rabat"))
    hear(store, head(4, chain="b" * 16), principal="beta")

    assert [(w.principal, w.gate, w.chain, w.number) for w in held(store)] == [
        ("acme", "rabat", CHAIN, 3),
        ("acme", "tunis", "0" * 16, 2),
        ("acme", "tunis", CHAIN, 1),
        ("beta", "tunis", "b" * 16, 4),
    ]
    assert [witness.number for witness in held(store, "rabat")] == [3]
    assert held(store, "oran") == []


# --- what contradicts -----------------------------------------------------------------------------


def test_another_link_of_the_same_record_is_kept_beside_the_first(store: Store) -> None:
    hear(store, head(3, "a"))

    assert hear(store, head(3, "b")) == [Finding.CONTRADICTS]
    assert hear(store, head(3, "b"), head(3, "a"), minutes=9) == [Finding.HELD, Finding.HELD]

    assert links(store) == [(3, "a"), (3, "b")]


def test_no_newer_head_covers_the_trace_of_a_rewriting(store: Store) -> None:
    hear(store, head(3, "a"), head(3, "b"), head(9))

    assert links(store) == [(3, "a"), (3, "b"), (9, "a")]


def test_a_contradiction_is_kept_although_a_newer_head_is_held(store: Store) -> None:
    hear(store, head(3, "a"))
    hear(store, head(5), minutes=6)

    assert hear(store, head(3, "b"), minutes=7) == [Finding.CONTRADICTS]

    assert links(store) == [(3, "a"), (3, "b"), (5, "a")]


def test_what_another_principal_is_told_contradicts_nothing(store: Store) -> None:
    hear(store, head(3, "a"))

    assert hear(store, head(3, "b"), principal="beta") == [Finding.HELD]
    assert hear(store, head(3, "a"), principal="beta") == [Finding.CONTRADICTS]
    assert hear(store, head(3, "b", chain="b" * 16)) == [Finding.HELD]


def test_a_chain_under_the_name_of_another_gate_is_kept_beside_and_reported_once(
    store: Store,
) -> None:
    """Whoever copied a gate's folder runs two gates on one chain; or somebody lies."""
    hear(store, head(3, "a"))

    assert hear(store, head(3, "b", gate="rabat")) == [Finding.ELSEWHERE]
    assert hear(store, head(4, gate="rabat"), head(4), minutes=1) == [Finding.HELD] * 2
    assert hear(store, head(5, gate="rabat"), principal="beta") == [Finding.HELD]

    assert [(w.principal, w.gate, w.number) for w in held(store)] == [
        ("acme", "rabat", 3),
        ("acme", "rabat", 4),
        ("acme", "tunis", 3),
        ("acme", "tunis", 4),
        ("beta", "rabat", 5),
    ]


def test_a_contradiction_outlives_the_thinning(store: Store) -> None:
    tell_each_second(store, minutes=4)
    hear(store, head(100, "b"), minutes=4.5)
    for slot in range(300):
        hear(store, head(1000 + slot), minutes=15 + 5 * slot)

    assert {(100, "a"), (100, "b")} <= set(links(store))


# --- what is too much -----------------------------------------------------------------------------


def test_a_publisher_that_invents_chains_fills_its_five_minutes_and_no_more(store: Store) -> None:
    invented = [head(1, chain=f"{n:016x}") for n in range(MAX_CHAINS + 3)]

    findings = hear(store, *invented)

    assert findings == [Finding.HELD] * MAX_CHAINS + [Finding.TOO_MANY] * 3
    assert len(held(store)) == MAX_CHAINS
    assert hear(store, head(2, chain=f"{5:016x}")) == [Finding.HELD]
    assert hear(store, head(1), principal="beta") == [Finding.HELD]
    assert hear(store, head(1), minutes=5) == [Finding.HELD]


def test_a_publisher_that_invents_heads_of_one_chain_leaves_room_for_the_others(
    store: Store,
) -> None:
    invented = [head(n, chain="b" * 16) for n in range(1, MAX_HEADS + 3)]

    assert hear(store, *invented) == [Finding.HELD] * MAX_HEADS + [Finding.TOO_MANY] * 2
    assert hear(store, head(1)) == [Finding.HELD]
    assert hear(store, head(MAX_HEADS + 9, chain="b" * 16), minutes=5) == [Finding.HELD]


# --- files of before ------------------------------------------------------------------------------

TABLES_2 = """
CREATE TABLE head (principal INTEGER NOT NULL, slot INTEGER NOT NULL, gate TEXT NOT NULL,
    chain TEXT NOT NULL, number INTEGER NOT NULL, link BLOB NOT NULL, at TEXT NOT NULL,
    heard TEXT NOT NULL, PRIMARY KEY (principal, slot, gate, chain, number, link)) WITHOUT ROWID;
CREATE INDEX head_number ON head (chain, number);
"""


def test_a_file_of_before_keeps_its_heads_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Store(path, epoch=7) as store:
        store.register("acme", {}, {})
        hear(store, head(3))
    with closing(sqlite3.connect(path)) as db:
        db.executescript("DROP TABLE chain; PRAGMA user_version=2;")
        assert [
            sql.strip() + ";"
            for (sql,) in db.execute(
                "SELECT sql FROM sqlite_master WHERE name IN ('head', 'head_number')"
            )
        ] == [table.strip() + ";" for table in TABLES_2.split(";")[:-1]]

    with Store(path, epoch=8) as store:
        assert numbers(store) == [3]
        assert hear(store, head(3, gate="rabat")) == [Finding.ELSEWHERE]
        assert hear(store, head(4), minutes=1) == [Finding.HELD]
        for second in range(20 * 60):
            hear(store, head(10 + second), minutes=5 + (second + 0.5) / 60)
        assert len(numbers(store)) < 20 * 60
