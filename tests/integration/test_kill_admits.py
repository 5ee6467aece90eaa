"""kill -9 while calls are admitted: each permit the dialer saw has its evidence and its attempt."""

import sqlite3
import sys
from pathlib import Path
from random import Random

import anyio
import anyio.to_thread
import msgspec
import pytest
from tests.integration.test_kill import CONFIG, Scene, scene

from ringfence.event import AnyEvent, Attempt
from ringfence.evidence.record import Decided
from ringfence.evidence.segment import chains, follow, records, segments

__all__ = ["scene"]

CALLS = 10_000
KILLS = 5
ADMITTER = Path(__file__).with_name("admitter.py")
PRO = """
[campaigns.acme-pro]
principal = "acme"
purpose = "fibre"
sector = "telecom"
operator = "callco"
dial_mode = "preview"
caller_ids = ["+33162000001"]
audience = "business"

[gate.evidence]
segment_bytes = 500_000
"""


async def admit(scene: Scene, first: int, last: int, *, kill_at: int = -1) -> dict[int, str]:
    """Admit calls until *last*, or until the process is killed; give the permits that were seen."""
    command = [sys.executable, str(ADMITTER), str(scene.folder / "a.toml"), str(first), str(last)]
    seen: dict[int, str] = {}
    async with await anyio.open_process(command, stderr=None) as process:
        assert process.stdout is not None
        rest = ""
        async for data in process.stdout:
            *lines, rest = (rest + data.decode()).split("\n")
            seen |= {int(n): name for n, name in (line.split() for line in lines)}
            if kill_at >= 0 and any(n >= kill_at for n in seen):
                process.kill()
                kill_at = -1
    return seen


def evidence(folder: Path) -> set[str]:
    """The ids of the decisions on file, whose links all follow."""
    for chain in chains(folder):
        last = None
        for segment in segments(chain):
            *_, last = follow(segment, last)
    return {record.id for _, record in records(folder) if isinstance(record, Decided)}


def attempts(folder: Path) -> set[str]:
    decode = msgspec.msgpack.Decoder(AnyEvent).decode
    with sqlite3.connect(folder / "ledger.sqlite") as database:
        events = [decode(body) for (body,) in database.execute("SELECT body FROM event")]
    return {event.call for event in events if isinstance(event, Attempt)}


@pytest.mark.timeout(180)
async def test_each_permit_that_a_killed_dialer_saw_has_its_record_and_its_attempt(
    scene: Scene,
) -> None:
    text = CONFIG.format(port=scene.broker.broker.port, gate="a") + PRO
    await anyio.Path(scene.folder / "a.toml").write_text(text)
    ledger = await scene.ledger()
    seen: dict[int, str] = {}
    for kill_at in sorted(Random(3).sample(range(100, CALLS), KILLS)):
        seen |= await admit(scene, max(seen, default=-1) + 1, CALLS, kill_at=kill_at)
    seen |= await admit(scene, max(seen) + 1, CALLS)
    await admit(scene, CALLS, CALLS)
    ledger.terminate()
    await ledger.wait()

    told = set(seen.values())
    assert sorted(seen) == list(range(CALLS))
    assert told <= await anyio.to_thread.run_sync(evidence, scene.folder / "a" / "evidence")
    assert told <= await anyio.to_thread.run_sync(attempts, scene.folder)
