"""A gate that shares its machine, or does not, or the syncer of those that do: a process each.

`python -m benchmarks.actors.member FOLDER PORT AHEAD NAME shared|private|sync`, told what to do by
`process.Other`.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable
from functools import partial
from itertools import cycle, takewhile
from pathlib import Path
from random import Random
from time import perf_counter, perf_counter_ns

import anyio
import anyio.lowlevel

from benchmarks import world
from benchmarks.actors.gates import Gates
from benchmarks.measure import chill, frozen, on_schedule, timed, timed_async
from benchmarks.process import obey, settled
from benchmarks.rig import shifted, until_ready
from ringfence import Call, Gate, Refusal, number
from ringfence.config import Settings
from ringfence.decision import Decision, Verdict
from ringfence.link import Broker
from ringfence.mqtt import Link
from ringfence.syncer import Syncer

ASKED = 10_000
"""Calls checked before a gate is weighed: caches are part of it."""

NOTICING = 30.0
"""Seconds for one refusal to be noticed."""

TAKEOVER = 120.0
"""Seconds for another process to take over."""

LOOKING = 0.002
"""Seconds between two looks at what the gate answers meanwhile."""


class Member:
    """One gate, as the benchmark has it do things. Instants are those of `perf_counter_ns`."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def weigh(self) -> list[int]:
        """Give the memory of this process, and what of it is tables."""
        for call in _calls(0, ASKED):
            self._gate.check(call)
        return _weight()

    async def check(self, count: int) -> list[int]:
        """Give how long each check took, each of a number met for the first time."""
        calls = _calls(0, count)
        _must_be_allowed(self._gate.check(call) for call in calls)
        _forget()
        times: list[int] = timed(self._gate.check, calls).tolist()
        return times

    async def admit(self, first: int, count: int) -> list[int]:
        """Give how long each admission took, likewise."""
        calls = _calls(first, count)
        _forget()
        times: list[int] = (await timed_async(self._gate.admit, calls)).tolist()
        permits = filter(None, (self._gate.permit(call.id) for call in calls))
        _must_be_allowed(permit.decision for permit in permits)
        return times

    async def ask(self, rate: int, seconds: float) -> list[list[int]]:
        """Check at instants drawn beforehand: how long each took, and from when it was due."""
        end = perf_counter() + seconds
        calls = takewhile(lambda _: perf_counter() < end, cycle(_calls(0, ASKED)))
        kept = await on_schedule(self._gate.check, calls, rate=rate, random=Random(5))
        return [kept.own.tolist(), kept.late.tolist()]

    async def refuse(self, numbers: list[str], rate: float) -> list[list[int]]:
        """Record a refusal of each number, *rate* a second: when it began, and was recorded."""
        random, told = Random(13), []
        for one in numbers:
            await anyio.sleep(random.expovariate(rate))
            began = perf_counter_ns()
            await self._gate.record(Refusal(to=one, principal=world.PRINCIPAL))
            told.append([began, perf_counter_ns()])
        return told

    async def deny(self, numbers: list[str]) -> list[int]:
        """Check each number without a pause until it is denied; give when that was."""
        denied = []
        for one in numbers:
            call, until = world.call(one), perf_counter() + NOTICING
            while self._gate.check(call).verdict is not Verdict.DENY:
                if perf_counter() > until:
                    msg = f"{one} was not refused"
                    raise TimeoutError(msg)
            denied.append(perf_counter_ns())
            await anyio.lowlevel.checkpoint()
        return denied

    async def sent(self) -> bool:
        """Wait until the ledger has all that this gate reported."""
        async for status in self._gate.status:
            if not status.outbox:
                break
        return True

    async def outage(self) -> list[int]:
        """Look until calls were deferred and are allowed again; give both instants."""
        with anyio.fail_after(TAKEOVER):
            return [await self._answers(allowed=allowed) for allowed in (False, True)]

    async def _answers(self, *, allowed: bool) -> int:
        """Look until a call is allowed, or is not; give when that was."""
        call = _calls(0, 1)[0]
        while self._gate.check(call).allowed is not allowed:  # noqa: ASYNC110 - as who dials sees it
            await anyio.sleep(LOOKING)
        return perf_counter_ns()


def _calls(first: int, count: int) -> list[Call]:
    return [world.call(one) for one in world.shuffled()[first : first + count]]


def _must_be_allowed(decisions: Iterable[Decision]) -> None:
    """Make sure that all rules were asked. Raises `ValueError`.

    One in a thousand may be deferred: where processes wait for a processor, the syncer may have
    to wait for one while it says what it vouches for.
    """
    answers = Counter(decision.verdict for decision in decisions)
    if answers[Verdict.DENY] or answers[Verdict.DEFER] * 1000 > answers.total():
        msg = f"not all calls are allowed: {answers}"
        raise ValueError(msg)


def _forget() -> None:
    """Meet each number for the first time, and find no row in a cache of the processor."""
    number._parsed.cache_clear()
    chill()


def _weight() -> list[int]:
    """Give the memory of this process, and what of it is tables.

    Of a page that several processes have mapped that is this one's share.
    """
    settled()
    whole, tables, name = 0, 0, ""
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        what, *rest = line.split(maxsplit=5)
        if what == "Pss:":
            size = int(rest[0]) * 1024
            whole += size
            tables += size if name.endswith(".table") else 0
        elif not what.endswith(":"):
            name = rest[-1]
    return [whole, tables]


async def gate(given: Settings, ahead: float) -> None:
    async with Gate(given, clock=shifted(ahead)) as gate, anyio.create_task_group() as tasks:
        await until_ready(gate)
        frozen()
        member, gates = Member(gate), Gates([gate], tasks)
        await obey(
            {
                "weigh": member.weigh,
                "check": member.check,
                "admit": member.admit,
                "ask": member.ask,
                "refuse": member.refuse,
                "deny": member.deny,
                "sent": member.sent,
                "outage": member.outage,
                "watch": gates.watch,
                "noticed": gates.noticed,
            }
        )
        tasks.cancel_scope.cancel()


async def sync(given: Settings, ahead: float) -> None:
    """Sync for the gates of these settings."""
    if given.gate is None:
        msg = "settings without a gate"
        raise ValueError(msg)
    random = Random(1)
    connect = partial(Link, given.broker, random=random)
    syncer = Syncer(given.gate, clock=shifted(ahead), random=random, connect=connect)

    async def syncing() -> bool:
        await syncer.syncs.wait()
        return True

    async def weigh() -> list[int]:
        return _weight()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(syncer.run)
        await obey({"syncing": syncing, "weigh": weigh})
        tasks.cancel_scope.cancel()


async def serve(folder: Path, port: int, ahead: float, name: str, kind: str) -> None:
    given = world.settings(folder, Broker(port=port), name, share=kind != "private")
    await (sync if kind == "sync" else gate)(given, ahead)


if __name__ == "__main__":
    given, port, ahead, name, kind = sys.argv[1:]
    asyncio.run(serve(Path(given), int(port), float(ahead), name, kind))
