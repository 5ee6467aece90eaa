"""The demo's plot, and the facts it promises; what is shown is in `screen`."""

import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import anyio
import msgspec

from ringfence.broker import LocalBroker, start_broker
from ringfence.demo import world as worlds
from ringfence.demo.dialer import Answer, Tally, ask, dial, settle
from ringfence.demo.stage import Actor, act, run
from ringfence.demo.world import CALLER_ID, CONSENTS, LEADS, REFUSALS, Lead, World

__all__ = ["Fact", "Play"]

SEED = 20260811
REFUSALS_TIMED = 25
REFUSALS_IN_OUTAGE = 50
PATIENCE = 20.0
POLL = 0.002


class Fact(msgspec.Struct, frozen=True):
    """Something the demo states, and whether it held."""

    text: str
    held: bool


class Play:
    """Everything that happens, in order. `scene` tells what is going on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scene = "curtain"
        self.tally = Tally()
        self.facts: list[Fact] = []
        self.gates: list[Actor] = []
        self.world: World | None = None
        self._random = Random(SEED)  # noqa: S311 - the same play every time, no secret

    async def perform(self, keep: Callable[[], Awaitable[None]]) -> None:
        """Play it through; *keep* is awaited before the processes are stopped."""
        self.scene = "writing 20 000 consents and 5 000 leads as CSV"
        self.world = world = worlds.build(self.folder, self._random, datetime.now(UTC))  # noqa: TID251
        async with AsyncExitStack() as stack:
            self.scene = "starting a broker"
            broker = await stack.enter_async_context(start_broker(self.folder / "broker"))
            configs = [worlds.configure(self.folder, g, broker.broker.port) for g in ("a", "b")]
            await self._import(world, configs[0])
            await self._enter(stack, world, configs)
            await self._dial(world)
            await self._refuse(world)
            await self._survive(world, broker)
            await self._prove(configs)
            await keep()
            self.scene = "stopping"

    def state(self, text: str, *, held: bool) -> None:
        self.facts.append(Fact(text, held))

    async def _import(self, world: World, config: Path) -> None:
        self.scene = "importing consents and refusals into the ledger"
        began = time.monotonic()
        common = ("--config", config, "--principal", worlds.PRINCIPAL)
        await run("ledger", "import", world.consents, *common)
        took = time.monotonic() - began
        await run("ledger", "import", world.refusals, *common, "--kind", "refusal")
        held = self._events("consent") == CONSENTS and self._events("refusal") == REFUSALS
        self.state(
            f"{CONSENTS} consents (CSV, Windows-1252) are in the ledger after {took:.1f} s",
            held=held,
        )

    async def _enter(self, stack: AsyncExitStack, world: World, configs: list[Path]) -> None:
        self.scene = "starting the ledger and two gates"
        at = world.now
        ledger = act("ledger", "ledger", "serve", "--config", configs[0], at=at)
        await (await stack.enter_async_context(ledger)).until_ready()
        began = time.monotonic()
        for name, config in zip("AB", configs, strict=True):
            words = ("gate", "serve", "--config", config, "--adapter", "agi", "--status", "0.25")
            self.gates.append(await stack.enter_async_context(act(f"gate {name}", *words, at=at)))
        for gate in self.gates:
            await gate.until_ready()
        self.state(
            f"two gates hold all rows {time.monotonic() - began:.1f} s after they were started",
            held=True,
        )

    async def _dial(self, world: World) -> None:
        self.scene = f"dialling {LEADS} leads through both gates, as Asterisk would (FastAGI)"
        self.tally = Tally()
        await dial(self._ports(), world.leads, self.tally, self._random)
        answered = sum(self.tally.verdicts.values())
        self.state(f"{answered} of {LEADS} questions got a verdict", held=answered == LEADS)
        refused = self.tally.reasons["DENY", "refused"]
        self.state(
            f"{refused} calls to people who had refused were stopped", held=refused == REFUSALS
        )
        allowed = {reason for verdict, reason in self.tally.reasons if verdict == "ALLOW"}
        self.state("every call placed had a consent as its ground", held=allowed == {"consent"})

    async def _refuse(self, world: World) -> None:
        self.scene = "an agent at gate A records refusals; gate B must stop those numbers"
        taken = []
        for number in world.spare[:REFUSALS_TIMED]:
            call = await self._place(number)
            allowed = await self._refused(call)
            began = time.monotonic()
            stopped = allowed and await self._stopped(1, number)
            taken.append(time.monotonic() - began if stopped else float("inf"))
        taken.sort()
        middle, last = 1000 * taken[len(taken) // 2], 1000 * taken[-1]
        self.state(
            f"a refusal at gate A stops gate B: median {middle:.0f} ms, slowest of"
            f" {REFUSALS_TIMED} {last:.0f} ms",
            held=last < 1000 * PATIENCE,
        )

    async def _survive(self, world: World, broker: LocalBroker) -> None:
        self.scene = "the broker is killed while people are called; refusals go on at gate A"
        before = self._events("refusal")
        numbers = world.spare[REFUSALS_TIMED : REFUSALS_TIMED + REFUSALS_IN_OUTAGE]
        calls = [await self._place(number) for number in numbers]
        await broker.kill()
        recorded = sum([await self._refused(call) for call in calls])
        here = [await self._stopped(0, number) for number in numbers]
        self.state(
            f"without a broker gate A took {recorded} refusals and stopped each number at once",
            held=recorded == len(numbers) and all(here),
        )
        self.scene = "the broker comes back"
        await broker.restart()
        there = [await self._stopped(1, number) for number in numbers]
        self.state("with the broker back gate B stops them all", held=all(there))
        self.scene = "comparing the ledger with both gates"
        agreed = await self._until(self._agree)
        stored = self._events("refusal") - before
        self.state(f"the ledger holds each of them once ({stored})", held=stored == recorded)
        self.state("both gates stand where the ledger stands, with its digest", held=agreed)

    async def _prove(self, configs: list[Path]) -> None:
        self.scene = "checking the evidence, and deciding every call again from it"
        records, decisions, holds = 0, 0, True
        for config in configs:
            verified = await _json("evidence", "verify", "--config", config, "--json")
            replayed = await _json("evidence", "replay", "--config", config, "--json")
            records += sum(chain["records"] for chain in verified["chains"])
            decisions += replayed["decisions"]
            holds = holds and verified["holds"] and replayed["differing"] == 0
        self.state(
            f"{records} records of evidence hold together, and as the ledger witnessed them;"
            f" {decisions} decisions come out the same when they are made again",
            held=holds and decisions > LEADS,
        )

    async def _place(self, number: str) -> Answer:
        """Ask gate A for a call."""
        return await ask(self._ports()[0], Lead(number, CALLER_ID))

    async def _refused(self, call: Answer) -> bool:
        """Let the person who is called refuse; say whether the call was allowed."""
        if call.verdict == "ALLOW":
            await settle(self._ports()[0], call.attempt, "REFUSED")
        return call.verdict == "ALLOW"

    async def _stopped(self, gate: int, number: str) -> bool:
        port = self._ports()[gate]

        async def stopped() -> bool:
            answer = await ask(port, Lead(number, CALLER_ID))
            return (answer.verdict, answer.reason) == ("DENY", "refused")

        return await self._until(stopped)

    async def _agree(self) -> bool:
        """A gate is healthy only if its digest is the ledger's."""
        seq = self._seq()
        return all(
            gate.status.get("healthy") and gate.status.get("outbox") == 0 and _seq_of(gate) == seq
            for gate in self.gates
        )

    async def _until(self, holds: Callable[[], Awaitable[bool]]) -> bool:
        with anyio.move_on_after(PATIENCE):
            while not await holds():  # noqa: ASYNC110 - asks again, as a dialer does
                await anyio.sleep(POLL)
            return True
        return False

    def _ports(self) -> list[int]:
        return [gate.ports["agi"] for gate in self.gates]

    # --- a look into the ledger's file, past all of our code --------------------------------------

    def _events(self, kind: str) -> int:
        bodies = self._select("SELECT body FROM event")
        return sum(msgspec.msgpack.decode(body)["kind"] == kind for (body,) in bodies)

    def _seq(self) -> int:
        return int(self._select("SELECT seq FROM principal")[0][0])

    def _select(self, query: str) -> list[tuple[bytes]]:
        path = self.folder / "ledger.sqlite"
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            return database.execute(query).fetchall()


async def _json(*arguments: str | Path) -> Any:  # noqa: ANN401 - what a command prints
    return msgspec.json.decode(await run(*arguments))


def _seq_of(gate: Actor) -> object:
    principals = gate.status.get("principals")
    return principals[worlds.PRINCIPAL]["seq"] if isinstance(principals, dict) else None
