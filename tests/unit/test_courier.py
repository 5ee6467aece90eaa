"""What was said is written before anything newer, and carried until it is confirmed."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import anyio
import anyio.to_thread
import msgspec
import pytest
from tests.unit.test_gate import full_disk, until

from ringfence import courier as module
from ringfence.courier import Courier
from ringfence.event import Attempt, Cap, Consent, Event, Keys, Refusal
from ringfence.journal import lock_of
from ringfence.link import Broker
from ringfence.outbox import Entry, Outbox, OutboxError
from ringfence.testing import MemoryBroker
from ringfence.wire import MAX_MESSAGE, read_event, read_report

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def refusal(name: str, number: int = 1, *, at: datetime = NOON, source: str = "") -> Refusal:
    keys = Keys(number=number)
    return Refusal(id=name, at=at, on=at.date(), keys=keys, source=source)


A, B, C = refusal("a"), refusal("b", 2), refusal("c", 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.outbox"


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Courier]:
    """A courier with its outbox, to which nothing is done by itself."""
    courier = Courier("gate", path)
    await anyio.to_thread.run_sync(courier.open)
    try:
        yield courier
    finally:
        await anyio.to_thread.run_sync(courier.close)


@asynccontextmanager
async def mending(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Courier]:
    """A courier whose outbox is looked after all the time."""
    monkeypatch.setattr(module, "MENDING", 0.001)
    async with opened(path) as courier, anyio.create_task_group() as tasks:
        tasks.start_soon(courier.mend)
        yield courier
        tasks.cancel_scope.cancel()


async def written(path: Path) -> list[str]:
    """Give the ids that the next process would find."""
    copy = path.with_name("killed.outbox")

    def read() -> list[str]:
        copy.write_bytes(path.read_bytes())
        with closing(Outbox.open(copy)) as outbox:
            return [entry.id for entry in outbox.pending()]

    return await anyio.to_thread.run_sync(read)


def keep(courier: Courier, *events: Event) -> None:
    """Take what a person said, while it cannot be written."""
    with pytest.raises(OutboxError):
        courier.take("acme", events, keep=True)


# --- what cannot be written -----------------------------------------------------------------------


async def test_what_could_not_be_written_is_written_before_what_is_taken_next(path: Path) -> None:
    async with opened(path) as courier:
        with full_disk():
            keep(courier, A)
            keep(courier, B)
        assert (courier.writable, courier.pending) == (False, 2)
        courier.take("acme", [C])

        assert (courier.writable, courier.pending) == (True, 3)
        assert await written(path) == ["a", "b", "c"]


async def test_what_a_compaction_refused_is_written_too(path: Path) -> None:
    async with opened(path) as courier:
        with courier._open_outbox()._turn:
            keep(courier, A)
        courier.take("acme", [B])

        assert await written(path) == ["a", "b"]


async def test_what_could_not_be_written_is_written_if_nothing_else_is_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with mending(path, monkeypatch) as courier:
        with full_disk():
            keep(courier, A)
        await until(lambda: courier.writable)

        assert await written(path) == ["a"]


async def test_what_need_not_be_kept_is_not_written_later(path: Path) -> None:
    async with opened(path) as courier:
        with full_disk(), pytest.raises(OutboxError):
            courier.take("acme", [A])
        courier.take("acme", [B])

        assert await written(path) == ["b"]


async def test_what_could_not_be_written_outlives_the_closed_gate(path: Path) -> None:
    async with opened(path) as courier:
        with full_disk():
            keep(courier, A)
    assert await written(path) == ["a"]

    keep(courier, A)
    keep(courier, B)
    told = await anyio.to_thread.run_sync(courier.open)

    assert told == [("acme", A), ("acme", B)]
    assert await written(path) == ["a", "b"]
    courier.close()


async def test_what_is_in_the_file_was_told_before_what_a_closed_gate_was_told(path: Path) -> None:
    async with opened(path) as courier:
        courier.take("acme", [A])
    keep(courier, refusal("a", 2))

    assert await anyio.to_thread.run_sync(courier.open) == [("acme", A)]
    await anyio.to_thread.run_sync(courier.close)


async def test_an_event_told_again_does_not_make_a_full_disk_writable(path: Path) -> None:
    async with opened(path) as courier:
        courier.take("acme", [A])
        with full_disk():
            with pytest.raises(OutboxError):
                courier.take("acme", [B])
            courier.take("acme", [A])

            assert not courier.writable


# --- told again -----------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [A, refusal("a", at=NOON + timedelta(days=1))])
async def test_an_event_told_again_is_taken_quietly_as_it_was_first_told(
    path: Path, again: Event
) -> None:
    async with opened(path) as courier:
        with full_disk():
            keep(courier, A)
            keep(courier, again)
        courier.take("acme", [again, again])
        courier.take("acme", [again])

        assert courier.pending == 1
        assert [entry.payload for entry in courier._open_outbox().pending()] == [
            msgspec.msgpack.encode(A)
        ]


async def test_the_cap_of_an_attempt_is_no_part_of_what_happened(path: Path) -> None:
    one = Attempt(id="a", at=NOON, on=NOON.date(), keys=Keys(number=1), call="x")
    capped = msgspec.structs.replace(one, cap=Cap(4, NOON.date()))
    async with opened(path) as courier:
        courier.take("acme", [capped])
        courier.take("acme", [one])

        assert courier.pending == 1


async def test_what_is_withdrawn_is_sent_no_longer(path: Path) -> None:
    async with opened(path) as courier:
        courier.take("acme", [A, B])
        courier.withdraw("a")
        courier.withdraw("unknown")

        assert [entry.id for entry in courier._due()] == ["b"]


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize(
    ("principal", "other"),
    [
        ("acme", refusal("a", 2)),
        ("acme", refusal("a", source="web")),
        ("acme", Consent(id="a", at=NOON, on=NOON.date(), keys=Keys(purpose=1), text="web-1")),
        ("other", A),
    ],
)
async def test_another_event_under_a_pending_id_is_the_callers_error_and_nothing_is_taken(
    path: Path, principal: str, other: Event, *, written: bool
) -> None:
    async with opened(path) as courier:
        with suppress(OutboxError):
            if written:
                courier.take("acme", [A])
            else:
                with full_disk():
                    courier.take("acme", [A], keep=True)
        with pytest.raises(ValueError, match="another event is pending under the id a"):
            courier.take(principal, [B, other], keep=True)
        courier.take("acme", [A])

        assert [entry.id for entry in courier._open_outbox().pending()] == ["a"]


def removed(path: Path) -> None:
    path.unlink()


async def test_an_event_told_again_does_not_make_a_broken_file_good(path: Path) -> None:
    async with opened(path) as courier:
        courier.take("acme", [A])
        removed(path)
        with pytest.raises(OutboxError, match="was removed"):
            await anyio.to_thread.run_sync(courier._open_outbox().inspect)
        keep(courier, A)

        assert not courier.writable


# --- a file that was lost -------------------------------------------------------------------------


def replaced(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"another")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def unlocked(path: Path) -> None:
    lock_of(path).unlink()


@pytest.mark.parametrize("lose", [removed, replaced, cut, unlocked])
async def test_a_file_that_is_lost_is_written_anew_with_all_that_is_pending(
    path: Path, monkeypatch: pytest.MonkeyPatch, lose: Callable[[Path], None]
) -> None:
    async with mending(path, monkeypatch) as courier:
        courier.take("acme", [A, B])
        courier.confirm(["b"])
        lose(path)
        await until(lambda: not courier.writable)
        keep(courier, C)
        await until(lambda: courier.writable)

        assert await written(path) == ["a", "c"]
        with pytest.raises(OutboxError, match="in use by another process"):
            await anyio.to_thread.run_sync(Outbox.open, path)


def inode(path: Path) -> int:
    return path.stat().st_ino


async def test_a_file_that_could_not_be_synced_is_written_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system could not write once it calls clean: another sync would tell nothing."""
    async with mending(path, monkeypatch) as courier:
        courier.take("acme", [A])
        before = inode(path)
        journal = courier._open_outbox()._journal
        journal._refusal = "could not be synced, and may have lost records"
        await until(lambda: not courier._open_outbox().broken)

        assert inode(path) != before
        assert await written(path) == ["a"]
        assert courier.writable


# --- carrying -------------------------------------------------------------------------------------


async def test_what_no_message_can_carry_is_set_aside_and_the_rest_is_sent(path: Path) -> None:
    """An earlier release took it."""
    large = {"kind": "refusal", "id": "large", "to": "x" * MAX_MESSAGE}
    entries = [
        Entry("large", "acme", msgspec.msgpack.encode(large)),
        Entry("none", "acme", b"\xc1"),
        Entry("a", "acme", msgspec.msgpack.encode(A)),
    ]

    def leave() -> None:
        with closing(Outbox.open(path)) as outbox:
            outbox.put(*entries)

    await anyio.to_thread.run_sync(leave)
    broker = MemoryBroker()
    link = broker.connect(Broker(), "gate", subscriptions=[], clock=lambda: 0.0, random=Random(1))
    courier = Courier("gate", path)
    assert await anyio.to_thread.run_sync(courier.open) == [("acme", A)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(link.run, lambda _: None, lambda _: courier.link_is_up())
        tasks.start_soon(courier.carry, link)
        await until(lambda: broker.published)
        tasks.cancel_scope.cancel()

    sent = [read_report(message.payload)[1] for message in broker.published]
    assert [[read_event(event) for event in report] for report in sent] == [[A]]
    assert (courier.rejected, courier.pending) == (2, 3)
    await anyio.to_thread.run_sync(courier.close)


async def test_a_link_in_memory_carries_no_more_than_another() -> None:
    broker = MemoryBroker()
    link = broker.connect(Broker(), "gate", subscriptions=[], clock=lambda: 0.0, random=Random(1))

    with pytest.raises(ValueError, match=f"{MAX_MESSAGE} fit in a message"):
        await link.publish("topic", bytes(MAX_MESSAGE + 1))
