"""How many events does a ledger take?

Live: a real ledger on a real broker, which stores with fsync before it confirms. Imported: the
command `ringfence ledger import` on a CSV file. Run: `python -m benchmarks.bench_ledger`.
"""

import asyncio
import csv
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from random import Random
from time import perf_counter, perf_counter_ns

import anyio
import numpy as np

from benchmarks import world
from benchmarks.measure import Nanos, Spread
from benchmarks.result import (
    SPREAD_HEAD,
    Figure,
    Result,
    Scale,
    Table,
    figures_of,
    main,
    spread_row,
    whole,
)
from benchmarks.rig import System, system
from ringfence.event import Attempt, Refusal
from ringfence.ledger.entry import Entries, Entry
from ringfence.ledger.sink import WireSink

EVENTS, QUICK_EVENTS = 60_000, 6_000
SINGLES, QUICK_SINGLES = 6_000, 1_000
LINES, QUICK_LINES = 300_000, 30_000
PUBLISHERS = 64
PURPOSES = ("fibre", "mobile", "tv", "cloud", "alarm")

CONFIG = """\
[ledger]
database = "ledger.sqlite"

[principals.acme]
secret = "{secret}"

[principals.acme.texts.web-1]
mentions = {mentions}
parties = ["acme", "callco"]
channel = "web"
"""

METHOD = """\
Live: {kind} on loopback, the ledger and the sender in processes of their own. Nine attempts to one
refusal, from events ready to be sent until the ledger, which commits with fsync, has confirmed the
last: in reports as gates send them (up to 95 KiB, four under way), and one event a message from
{publishers} publishers who each wait for the confirmation.

Imported: `ringfence ledger import` of {lines} consents, each of another number and purpose, into a
new file; the whole command, its start included.
"""


def _entries(total: int) -> list[Entry]:
    """Seal events of calls: nine attempts to one refusal, each of another number."""
    keyring, numbers = world.keyring(), world.shuffled()
    entries: list[Entry] = []
    for place in range(total):
        at = world.MORNING - timedelta(minutes=1 + place % 7)
        to = numbers[place % len(numbers)]
        event = Refusal(to=to) if place % 10 == 0 else Attempt(to=to, call=f"call-{place}")
        entries.append(Entry.of(event.sealed(keyring, at)))
    return entries


def _sink(rig: System, sender: str) -> WireSink:
    given = world.settings(rig.folder, rig.broker)
    return WireSink(given, world.PRINCIPAL, sender, random=Random(17), patience=30)


async def _in_reports(rig: System, events: Sequence[Entry]) -> float:
    """Send events in reports, four at a time; give how many a second were confirmed."""
    sink = _sink(rig, "reports")
    limit = anyio.Semaphore(sink.lanes)

    async def send(some: Sequence[Entry]) -> None:
        async with limit:
            await sink.send(Entries.of(some))

    async with sink.opened():
        began = perf_counter()
        async with anyio.create_task_group() as tasks:
            for start in range(0, len(events), sink.batch):
                tasks.start_soon(send, events[start : start + sink.batch])
        return len(events) / (perf_counter() - began)


async def _one_by_one(rig: System, events: Sequence[Entry]) -> tuple[float, Nanos]:
    """Have many publishers send one event a message, each waiting until it is confirmed."""
    sink, taken, waiting = _sink(rig, "singles"), list[int](), iter(events)

    async def publish() -> None:
        for event in waiting:
            began = perf_counter_ns()
            await sink.send(Entries.of([event]))
            taken.append(perf_counter_ns() - began)

    async with sink.opened():
        began = perf_counter()
        async with anyio.create_task_group() as tasks:
            for _ in range(PUBLISHERS):
                tasks.start_soon(publish)
        return len(events) / (perf_counter() - began), np.array(taken, np.int64)


def _imported(lines: int) -> float:
    """Import a file of consents with the command; give the lines a second, start included."""
    with tempfile.TemporaryDirectory(prefix="ringfence-bench-") as name:
        folder = Path(name)
        config = folder / "ringfence.toml"
        mentions = sorted(world.TEXT.mentions)
        config.write_text(CONFIG.format(secret=world.SECRET.hex(), mentions=mentions))
        sheet = folder / "consents.csv"
        with sheet.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=";")
            writer.writerow(["Numéro", "Recueilli le", "Texte", "Objet"])
            writer.writerows(_lines(lines))
        command = [sys.executable, "-m", "ringfence", "ledger", "import", str(sheet)]
        began = perf_counter()
        given = ["--config", str(config), "--principal", world.PRINCIPAL]
        said = subprocess.run([*command, *given], check=True, capture_output=True, text=True)
        taken = perf_counter() - began
        if f"{lines} imported" not in said.stdout:
            msg = f"the import said: {said.stdout}{said.stderr}"
            raise ValueError(msg)
        return lines / taken


def _lines(total: int) -> Iterator[list[str]]:
    """Give consents of different persons and purposes, in the course of a year."""
    today = datetime.now(UTC)  # noqa: TID251 - the command's clock is the machine's
    for place, (purpose, number) in enumerate(product(PURPOSES, world.shuffled())):
        if place == total:
            return
        at = today - timedelta(days=1 + place % 300, minutes=place % 1440)
        yield [number, at.strftime("%d/%m/%Y %H:%M"), world.TEXT_NAME, purpose]


async def _live(events: int, singles: int) -> tuple[str, float, float, Nanos]:
    async with system() as rig:
        some = _entries(events + singles)
        rate = await _in_reports(rig, some[:events])
        single, taken = await _one_by_one(rig, some[events:])
        stored = await rig.ledger.tell("counts", int)
        if stored != len(some):
            msg = f"{len(some)} events were sent, {stored} stored"
            raise ValueError(msg)
        return rig.kind, rate, single, taken


def measure(scale: Scale) -> Result:
    events, singles = scale.pick(EVENTS, QUICK_EVENTS), scale.pick(SINGLES, QUICK_SINGLES)
    kind, rate, single, taken = asyncio.run(_live(events, singles))
    lines = scale.pick(LINES, QUICK_LINES)
    imported = _imported(lines)
    result = Result(
        "ledger",
        "How many events does a ledger take?",
        METHOD.format(kind=kind, publishers=PUBLISHERS, lines=whole(lines)),
    )
    result.tables = [
        Table(
            "Events stored, with fsync",
            ["", "events", "a second"],
            [
                ["live, in reports", whole(events), whole(rate)],
                ["live, one event a message", whole(singles), whole(single)],
                ["imported from CSV", whole(lines), whole(imported)],
            ],
        ),
        Table(
            "From sending one event to its confirmation",
            ["", *SPREAD_HEAD],
            [spread_row(f"{PUBLISHERS} publishers at once", Spread.of([taken]))],
        ),
    ]
    result.figures = [
        Figure("ledger/live", rate, "events/s"),
        Figure("ledger/single", single, "events/s"),
        Figure("ledger/imported", imported, "lines/s"),
        *figures_of("ledger/confirmed", Spread.of([taken])),
    ]
    return result


if __name__ == "__main__":
    main(measure)
