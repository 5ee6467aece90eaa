"""What every adapter promises, asked of a dialer: was the carrier reached?

`CHECKS` is the list. An adapter joins it by a `Dialer`: its own server, and something that dials
through the configuration it ships.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

import anyio
import msgspec
from tests.adapters.scripted import ALLOW, DENY, ScriptedGate, defer

from ringfence.call import Outcome
from ringfence.decision import Reason

__all__ = ["CHECKS", "Check", "Dialer", "Dialled", "rogue", "serving"]

ALLOWED = "+33639980001"
DENIED = "+33639980002"
DEFERRED = "+33639980003"
NOT_READY = "+33639980004"
STUCK = "+33639980005"
BROKEN = "+33639980006"

MORNING = datetime(2026, 11, 24, 9, tzinfo=UTC)


class Dialled(msgspec.Struct, frozen=True):
    """What became of one call."""

    reached: tuple[str, ...]
    """The numbers for which the carrier was reached."""
    told: str
    """How the dialer was told, in its own words."""
    ended: bool = False
    """The carrier ended the call; nobody cut it short."""


class Dialer(Protocol):
    """A dialer and the adapter in front of it."""

    permanent: str
    """What it is told for DENY."""
    temporary: str
    """What it is told for all that is neither ALLOW nor DENY."""
    guard: float
    """Seconds after which it stops waiting for a gate."""

    def serving(
        self, gate: ScriptedGate, *, deadline: float
    ) -> AbstractAsyncContextManager[int]: ...

    async def dial(self, number: str, gate: int, *, talk: float = 0) -> Dialled:
        """Place a call, behind the gate at this port; give what became of it when it is over."""
        ...

    async def report(self, attempt: str, gate: int) -> None:
        """Report an attempt as answered, as the dialer does after a call."""
        ...


Check = Callable[[Dialer], Awaitable[None]]

Serve = Callable[[Callable[[int], object]], Coroutine[None, None, None]]
"""A server, made ready to be told whom to tell its port."""


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[int]:
    """Run a server that says its port when it is ready; end it with the block."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve, port.set_result)
        yield await port
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def rogue(*, says: bytes = b"", hangs: bool = False) -> AsyncIterator[int]:
    """Run something on a gate's port that is no gate."""

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        if hangs:
            await reader.read()  # until the dialer gives up
        writer.close()

    async with await asyncio.start_server(attend, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def black_hole() -> AsyncIterator[int]:
    """Give a port whose queue is full, so that it answers nothing, not even a connection."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address: tuple[str, int] = server.getsockname()
        queued = [socket.socket() for _ in range(4)]
        try:
            for connection in queued:
                connection.settimeout(0)
                connection.connect_ex(address)
            yield address[1]
        finally:
            for connection in queued:
                connection.close()


def scripted() -> ScriptedGate:
    return ScriptedGate(
        {
            ALLOWED: ALLOW,
            DENIED: DENY,
            DEFERRED: defer(Reason.OUTSIDE_HOURS, MORNING),
            NOT_READY: defer(Reason.NOT_READY),
            STUCK: asyncio.Event(),
            BROKEN: OSError("no space left on device"),
        }
    )


async def an_allowed_call_reaches_the_carrier(dialer: Dialer) -> None:
    gate = scripted()

    async with dialer.serving(gate, deadline=10) as port:
        dialled = await dialer.dial(ALLOWED, port)

    assert dialled.reached == (ALLOWED,)


async def a_denied_call_does_not(dialer: Dialer) -> None:
    async with dialer.serving(scripted(), deadline=10) as port:
        dialled = await dialer.dial(DENIED, port)

    assert dialled == Dialled((), dialer.permanent)


async def a_deferred_call_does_not_and_may_be_tried_again(dialer: Dialer) -> None:
    async with dialer.serving(scripted(), deadline=10) as port:
        dialled = await dialer.dial(DEFERRED, port)

    assert dialled == Dialled((), dialer.temporary)


async def a_gate_that_is_not_ready_lets_nothing_through(dialer: Dialer) -> None:
    async with dialer.serving(scripted(), deadline=10) as port:
        dialled = await dialer.dial(NOT_READY, port)

    assert dialled == Dialled((), dialer.temporary)


async def a_gate_that_raises_lets_nothing_through_and_answers_the_next(dialer: Dialer) -> None:
    async with dialer.serving(scripted(), deadline=10) as port:
        failed = await dialer.dial(BROKEN, port)
        after = await dialer.dial(ALLOWED, port)

    assert failed == Dialled((), dialer.temporary)
    assert after.reached == (ALLOWED,)


async def a_gate_that_hangs_lets_nothing_through_and_gives_the_attempt_back(
    dialer: Dialer,
) -> None:
    gate = scripted()

    async with dialer.serving(gate, deadline=0.1) as port:
        dialled = await dialer.dial(STUCK, port)
        call = await gate.asked.get()
        outcome = await gate.outcome(call.id)

    assert dialled == Dialled((), dialer.temporary)
    assert outcome is Outcome.NOT_PLACED
    assert not gate.reserved


async def an_answer_after_the_dialer_gave_up_lets_nothing_through(dialer: Dialer) -> None:
    late = asyncio.Event()
    gate = ScriptedGate({ALLOWED: late})

    async with dialer.serving(gate, deadline=10 * dialer.guard) as port:
        dialled = await dialer.dial(ALLOWED, port)
        late.set()
        call = await gate.asked.get()
        outcome = await gate.outcome(call.id)

    assert dialled == Dialled((), dialer.temporary)
    assert outcome is Outcome.NOT_PLACED


async def no_gate_at_all_lets_nothing_through(dialer: Dialer) -> None:
    async with rogue() as port:
        pass  # the port was free a moment ago, and nobody listens there

    assert await dialer.dial(ALLOWED, port) == Dialled((), dialer.temporary)


async def a_gate_that_cannot_be_reached_lets_nothing_through(dialer: Dialer) -> None:
    async with black_hole() as port:
        assert await dialer.dial(ALLOWED, port) == Dialled((), dialer.temporary)


async def a_gate_that_accepts_and_closes_lets_nothing_through(dialer: Dialer) -> None:
    async with rogue() as port:
        assert await dialer.dial(ALLOWED, port) == Dialled((), dialer.temporary)


async def a_gate_that_accepts_and_says_nothing_lets_nothing_through(dialer: Dialer) -> None:
    async with rogue(hangs=True) as port:
        assert await dialer.dial(ALLOWED, port) == Dialled((), dialer.temporary)


async def garbage_lets_nothing_through(dialer: Dialer) -> None:
    garbage = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nALLOW\n\0\xff\xfe{}\nALLOW\n\n"

    async with rogue(says=garbage) as port:
        assert await dialer.dial(ALLOWED, port) == Dialled((), dialer.temporary)


async def a_call_may_last_longer_than_the_guard(dialer: Dialer) -> None:
    async with dialer.serving(scripted(), deadline=10) as port:
        dialled = await dialer.dial(ALLOWED, port, talk=dialer.guard + 0.5)

    assert dialled.ended


async def the_number_dialled_is_the_number_asked_about(dialer: Dialer) -> None:
    spellings = ["0639980001", "639980001", "33639980001", "0033639980001", "+33639980001"]
    gate = ScriptedGate(dict.fromkeys(spellings, ALLOW))

    async with dialer.serving(gate, deadline=10) as port:
        reached = [(await dialer.dial(spelling, port)).reached for spelling in spellings]

    assert reached == [(spelling,) for spelling in spellings]
    assert [gate.asked.get_nowait().to for _ in spellings] == spellings


async def an_outcome_comes_back(dialer: Dialer) -> None:
    gate = scripted()

    async with dialer.serving(gate, deadline=10) as port:
        await dialer.dial(ALLOWED, port)
        call = await gate.asked.get()
        outcome = await gate.outcome(call.id)

    assert outcome is Outcome.ANSWERED


async def an_outcome_reported_twice_changes_nothing(dialer: Dialer) -> None:
    gate = scripted()

    async with dialer.serving(gate, deadline=10) as port:
        await dialer.dial(ALLOWED, port)
        call = await gate.asked.get()
        await gate.outcome(call.id)
        await dialer.report(call.id, port)
        after = await dialer.dial(DENIED, port)

    assert gate.outcomes == {call.id: Outcome.ANSWERED}
    assert after.told == dialer.permanent


async def an_outcome_before_its_decision_changes_nothing(dialer: Dialer) -> None:
    gate = scripted()

    async with dialer.serving(gate, deadline=10) as port:
        await dialer.report("never-asked", port)
        after = await dialer.dial(ALLOWED, port)

    assert after.reached == (ALLOWED,)
    assert "never-asked" not in gate.outcomes


async def who_only_connects_disturbs_nobody(dialer: Dialer) -> None:
    async with dialer.serving(scripted(), deadline=10) as port:
        for _ in range(3):
            _reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
        dialled = await dialer.dial(ALLOWED, port)

    assert dialled.reached == (ALLOWED,)


async def an_adapter_that_ended_lets_nothing_through(dialer: Dialer) -> None:
    async with dialer.serving(scripted(), deadline=10) as port:
        pass

    assert await dialer.dial(ALLOWED, port) == Dialled((), dialer.temporary)


CHECKS: tuple[Check, ...] = (
    an_allowed_call_reaches_the_carrier,
    a_denied_call_does_not,
    a_deferred_call_does_not_and_may_be_tried_again,
    a_gate_that_is_not_ready_lets_nothing_through,
    a_gate_that_raises_lets_nothing_through_and_answers_the_next,
    a_gate_that_hangs_lets_nothing_through_and_gives_the_attempt_back,
    an_answer_after_the_dialer_gave_up_lets_nothing_through,
    no_gate_at_all_lets_nothing_through,
    a_gate_that_cannot_be_reached_lets_nothing_through,
    a_gate_that_accepts_and_closes_lets_nothing_through,
    a_gate_that_accepts_and_says_nothing_lets_nothing_through,
    garbage_lets_nothing_through,
    a_call_may_last_longer_than_the_guard,
    the_number_dialled_is_the_number_asked_about,
    an_outcome_comes_back,
    an_outcome_reported_twice_changes_nothing,
    an_outcome_before_its_decision_changes_nothing,
    who_only_connects_disturbs_nobody,
    an_adapter_that_ended_lets_nothing_through,
)
