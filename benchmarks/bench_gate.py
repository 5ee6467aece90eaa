"""How long do `check` and `admit` take, beside a bare `dict.get`?

A real gate with a real replica in memory-mapped files; the broker is in memory, the clock stands
at half past ten on a Tuesday in Paris. Run: `python -m benchmarks.bench_gate [ROWS]`.
"""

import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from ringfence import Call, Gate, Outcome
from ringfence.campaign import MENTIONS, Campaign, Channel, DialMode, Text
from ringfence.config import GateSettings, PrincipalSettings, Settings
from ringfence.link import Message
from ringfence.number import Keyring
from ringfence.row import Ground, Restraint, day_of
from ringfence.table import Table
from ringfence.testing import Clock, MemoryBroker
from ringfence.wire import Config, Head, Topic, encode

MORNING = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
SECRET = bytes(range(32))
RANGES = ("19900", "26191", "35301", "46571", "53649", "63998")
EPOCH = 1


def percentiles(samples: list[int]) -> str:
    taken = np.array(samples) / 1000
    said = (f"p{p}: {np.percentile(taken, p):8.1f}" for p in (50, 99, 99.9))
    return "  ".join(said) + f"  max: {taken.max():8.1f} µs"


def timed(run: Callable[[int], object], count: int) -> list[int]:
    clock = time.perf_counter_ns
    taken = []
    for n in range(count):
        began = clock()
        run(n)
        taken.append(clock() - began)
    return taken


def settings(folder: Path, durability: str) -> Settings:
    kept: Literal["process", "fsync"] = "fsync" if durability == "fsync" else "process"
    return Settings(
        gate=GateSettings(id="bench", data=folder, principals=["acme"], durability=kept),
        principals={"acme": PrincipalSettings(secret=SECRET.hex())},
    )


CAMPAIGN = Campaign(
    principal="acme",
    purpose="fibre",
    sector="telecom",
    operator="callco",
    dial_mode=DialMode.PREVIEW,
    caller_ids=frozenset(["+33162000001"]),
)
TEXT = Text(mentions=MENTIONS, parties=frozenset(["acme", "callco"]), channel=Channel.WEB)


def numbers() -> list[str]:
    return [f"+33{head}{tail:04}" for head in RANGES for tail in range(10_000)]


def fill(folder: Path, grounds: int, restraints: int) -> tuple[Table, Table]:
    """Lay tables where the gate finds them: real keys for all numbers, and random ones."""
    keyring = Keyring(SECRET)
    folder = folder / "acme"
    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    low, high = Ground(text=1, consent_from=day_of(datetime(2026, 9, 1, tzinfo=UTC).date())).pack()
    rows = np.empty((grounds, 3), np.uint64)
    rows[:, 0] = random.integers(1, 2**64, grounds, np.uint64)
    rows[:, 1:] = low, high
    keys = [keyring.purpose(number, "fibre") for number in numbers()][:grounds]
    rows[: len(keys), 0] = np.array(keys, np.uint64)
    ground = Table.create(folder / "ground.table", rows=grounds)
    ground.upsert(rows.tobytes())
    low, high = Restraint(
        attempts=(day_of(datetime(2026, 11, 2, tzinfo=UTC).date()), 0, 0, 0)
    ).pack()
    rows = np.empty((restraints, 3), np.uint64)
    rows[:, 0] = random.integers(1, 2**64, restraints, np.uint64)
    rows[:, 1:] = low, high
    keys = [keyring.number(number) for number in numbers()[::2]][:restraints]
    rows[: len(keys), 0] = np.array(keys, np.uint64)
    restraint = Table.create(folder / "restraint.table", rows=restraints)
    restraint.upsert(rows.tobytes())
    for table in (ground, restraint):
        table.epoch, table.seq = EPOCH, 1
    return ground, restraint


@asynccontextmanager
async def opened(rows: int, durability: str) -> AsyncIterator[Gate]:
    """A gate that vouches for its rows; heads come from here, since no ledger is needed."""
    with tempfile.TemporaryDirectory() as folder:
        tables = fill(Path(folder), rows, rows // 10)
        ground, restraint = tables
        digests, counts = (ground.digest, restraint.digest), (len(ground), len(restraint))
        for table in tables:
            table.close()
        clock, broker = Clock(MORNING), MemoryBroker()
        config = Config(EPOCH, 1, {"acme-fibre": CAMPAIGN}, {"web-1": TEXT}, {"web-1": 1})
        broker.publish(Message(str(Topic("acme", "config")), encode(config), retained=True))
        given = settings(Path(folder), durability)
        async with Gate(given, clock=clock, connect=broker.connect) as gate:
            while not await gate.ready(0.05):
                head = Head(EPOCH, 1, clock.utc(), *digests, *counts, 1, 1)
                broker.publish(Message(str(Topic("acme", "head")), encode(head)))
            yield gate


def calls() -> list[Call]:
    return [
        Call(to=number, campaign="acme-fibre", caller_id="+33162000001") for number in shuffled()
    ]


def shuffled() -> list[str]:
    some = numbers()
    np.random.default_rng(2).shuffle(some)
    return some


async def measure(rows: int) -> None:
    async with opened(rows, "process") as gate:
        asked = calls()
        print(f"{rows:,} ground rows, {rows // 10:,} restraint rows: {gate.check(asked[0]).reason}")
        table = {call.to: call for call in asked}
        gc.collect()
        gc.freeze()
        for call in asked[:2_000]:  # fills the caches of the calendar
            gate.check(call)
        show("dict.get", timed(lambda n: table.get(asked[n].to), 50_000))
        show("check", timed(lambda n: gate.check(asked[n]), 50_000))
        await admissions(gate, asked[:20_000], "process")
    async with opened(rows, "fsync") as gate:
        await admissions(gate, calls()[:1_000], "fsync")


async def admissions(gate: Gate, asked: list[Call], durability: str) -> None:
    clock = time.perf_counter_ns
    admitted: list[int] = []
    closed: list[int] = []
    for call in asked:
        began = clock()
        permit = await gate.admit(call)
        admitted.append(clock() - began)
        if not permit:
            sys.exit(f"not allowed: {permit}")
        began = clock()
        await permit.close(Outcome.NO_ANSWER)
        closed.append(clock() - began)
    show(f"admit ({durability})", admitted)
    show(f"close ({durability})", closed)


def show(name: str, samples: list[int]) -> None:
    print(f"{name:16}", percentiles(samples))


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
