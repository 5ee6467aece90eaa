"""kill -9 of gate, ledger and broker while events are recorded: none is lost, none counts twice."""

import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import anyio
import anyio.abc
import msgspec
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from ringfence.broker import LocalBroker, start_broker
from ringfence.ledger.store import Store

EVENTS = 2_000
KILLS = 8
VICTIMS = ("gate", "ledger", "broker")
RECORDER = Path(__file__).with_name("recorder.py")

CONFIG = """\
[broker]
port = {port}
backoff = {{ first = 0.02, longest = 0.2, refused = 0.2 }}

[gate]
id = "{gate}"
data = "{gate}"
principals = ["acme"]

[ledger]
database = "ledger.sqlite"
heartbeat = 0.1

[principals.acme]
secret = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

[principals.acme.texts.web-1]
mentions = ["choice", "goods_services", "period", "professional", "proof_access", "third_party",
            "withdrawal"]
parties = ["acme", "callco"]
channel = "web"

[campaigns.acme-fibre]
principal = "acme"
purpose = "fibre"
sector = "telecom"
operator = "callco"
dial_mode = "preview"
caller_ids = ["+33162000001"]
"""


class Recorder:
    """A gate's process, and a conversation with it."""

    def __init__(self, process: anyio.abc.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._to = process.stdin
        self._from = BufferedByteReceiveStream(process.stdout)

    async def say(self, *words: object) -> None:
        await self._to.send((" ".join(map(str, words)) + "\n").encode())

    async def hear(self) -> bytes:
        return await self._from.receive_until(b"\n", 4096)


class Scene:
    """What can be killed, and how it is brought back."""

    def __init__(self, folder: Path, broker: LocalBroker, stack: AsyncExitStack) -> None:
        self.folder = folder
        self.broker = broker
        self._stack = stack
        for gate in ("a", "b"):
            text = CONFIG.format(port=broker.broker.port, gate=gate)
            (folder / f"{gate}.toml").write_text(text)

    async def gate(self, name: str) -> Recorder:
        command = [sys.executable, str(RECORDER), str(self.folder / f"{name}.toml")]
        process = await anyio.open_process(command, stderr=None)
        self._stack.push_async_callback(_end, process)
        recorder = Recorder(process)
        assert await recorder.hear() == b"open"
        return recorder

    async def ledger(self) -> anyio.abc.Process:
        command = [sys.executable, "-m", "ringfence", "ledger", "serve"]
        config = ["--config", str(self.folder / "a.toml")]
        process = await anyio.open_process([*command, *config], stdout=subprocess.DEVNULL)
        self._stack.push_async_callback(_end, process)
        return process


async def _end(process: anyio.abc.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.aclose()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(start_broker(tmp_path / "broker"))
        yield Scene(tmp_path, broker, stack)


@pytest.mark.timeout(120)
async def test_killed_at_random_points_everything_recorded_is_in_the_ledger_once(
    scene: Scene,
) -> None:
    random = Random(7)
    kills = {point: random.choice(VICTIMS) for point in random.sample(range(20, EVENTS), KILLS)}
    kills |= {400: "gate", 900: "ledger", 1400: "broker"}  # each at least once
    other, ledger, gate = await scene.gate("b"), await scene.ledger(), await scene.gate("a")
    for number in range(EVENTS):
        await gate.say("record", number)
        victim = kills.pop(number, "")
        if victim == "gate":  # before it could answer: whoever told it tells it again
            gate.process.kill()
            await gate.process.wait()
            gate = await scene.gate("a")
            await gate.say("record", number)
        elif victim == "ledger":
            ledger.kill()
            await ledger.wait()
            ledger = await scene.ledger()
        elif victim == "broker":
            await scene.broker.kill()
            await scene.broker.restart()
        assert await gate.hear() == f"recorded {number}".encode()
    stands = []
    for recorder in (gate, other):
        await recorder.say("stand")
        stands.append(msgspec.json.decode(await recorder.hear()))
    ledger.terminate()
    await ledger.wait()

    assert not kills
    assert await anyio.to_thread.run_sync(_stored, scene.folder) == sorted(
        f"event-{number}" for number in range(EVENTS)
    )
    expected = await anyio.to_thread.run_sync(_digests, scene.folder)
    assert stands == [expected, expected]


def _stored(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "ledger.sqlite") as database:
        return sorted(name for (name,) in database.execute("SELECT id FROM event"))


def _digests(folder: Path) -> dict[str, object]:
    with Store(folder / "ledger.sqlite", epoch=1) as store:
        ground, restraint = store.tables("acme")
        return {"seq": ground.seq, "digests": [ground.digest, restraint.digest]}
