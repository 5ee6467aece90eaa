"""Heads of chains: what of them the ledger keeps, what it drops, and what it holds against whom."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ringfence.ledger.archive import Archive
from ringfence.ledger.store import Store
from ringfence.ledger.witness import MAX_HEADS, Claim, Finding, Witness
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


def test_the_newest_of_five_minutes_stays_and_one_of_all_five_minutes_before(store: Store) -> None:
    for minute in range(20):
        for second in range(60):
            hear(store, head(60 * minute + second + 1), minutes=minute + second / 60)

    assert numbers(store) == [300, 600, 900, 1200]


def test_of_heads_that_come_together_the_newest_stays(store: Store) -> None:
    assert hear(store, head(2), head(4), head(3)) == [Finding.HELD] * 3

    assert numbers(store) == [4]


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


def test_a_chain_told_by_another_gate_or_to_another_principal_is_the_same_chain(
    store: Store,
) -> None:
    """Whoever copied a gate's folder runs two gates on one chain."""
    hear(store, head(3, "a"))

    assert hear(store, head(3, "a"), principal="beta") == [Finding.HELD]
    assert hear(store, head(3, "b"), principal="beta") == [Finding.CONTRADICTS]
    assert hear(store, head(3, "b", gate="rabat")) == [Finding.CONTRADICTS]
    assert hear(store, head(3, "b", chain="b" * 16)) == [Finding.HELD]


def test_a_late_head_contradicts_nothing(store: Store) -> None:
    hear(store, head(9))

    assert hear(store, head(5, "b")) == [Finding.HELD]
    assert numbers(store) == [9]
    assert hear(store, head(6, "b"), minutes=5) == [Finding.HELD]
    assert numbers(store) == [6, 9]


# --- what is too much -----------------------------------------------------------------------------


def test_a_publisher_that_invents_chains_fills_its_five_minutes_and_no_more(store: Store) -> None:
    invented = [head(1, chain=f"{n:016x}") for n in range(MAX_HEADS + 3)]

    findings = hear(store, *invented)

    assert findings == [Finding.HELD] * MAX_HEADS + [Finding.TOO_MANY] * 3
    assert len(held(store)) == MAX_HEADS
    assert hear(store, head(2, chain=f"{5:016x}")) == [Finding.HELD]  # supersedes
    assert hear(store, head(1), principal="beta") == [Finding.HELD]
    assert hear(store, head(1), minutes=5) == [Finding.HELD]
