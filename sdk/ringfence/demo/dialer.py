"""A dialer as the gates see it: FastAGI, as Asterisk speaks it, one connection a question."""

import asyncio
import time
from collections import Counter
from random import Random

import anyio
import msgspec

from ringfence.demo.world import CAMPAIGN, Lead

__all__ = ["Answer", "Tally", "ask", "dial", "settle"]

TIMEOUT = 5.0
AT_ONCE = 32

# What becomes of a call, and how often out of a hundred. Of half of them nothing is heard while the
# demo lasts: such a permit is never closed, and counts as an attempt all the same.
_OUTCOMES = [
    ("", 50),
    ("ANSWER", 20),
    ("NOANSWER", 14),
    ("BUSY", 5),
    ("CONGESTION", 4),
    ("REFUSED", 7),
]


class Answer(msgspec.Struct, frozen=True):
    """What a gate told the channel."""

    verdict: str
    reason: str
    attempt: str
    micros: float
    """From the request to the verdict, connection included."""


class Tally:
    """What was answered so far."""

    def __init__(self) -> None:
        self.verdicts: Counter[str] = Counter()
        self.reasons: Counter[tuple[str, str]] = Counter()
        self.micros: list[float] = []
        self.began = time.monotonic()
        self.ended: float | None = None

    def add(self, answer: Answer) -> None:
        self.verdicts[answer.verdict] += 1
        self.reasons[answer.verdict, answer.reason] += 1
        self.micros.append(answer.micros)

    @property
    def per_second(self) -> float:
        return len(self.micros) / max(1e-9, (self.ended or time.monotonic()) - self.began)


async def ask(port: int, lead: Lead) -> Answer:
    """Ask a gate for one call. Raises `OSError`, `TimeoutError`."""
    began = time.perf_counter()
    script = f"ringfence,{lead.number},{CAMPAIGN},demo,{lead.caller_id}"
    said = await _converse(port, script)
    return Answer(
        said.get("RINGFENCE_VERDICT", ""),
        said.get("RINGFENCE_REASON", ""),
        said.get("RINGFENCE_ATTEMPT", ""),
        (time.perf_counter() - began) * 1e6,
    )


async def settle(port: int, attempt: str, status: str) -> None:
    """Tell a gate what became of a call."""
    await _converse(port, f"ringfence-outcome,{attempt},{status},16,")


async def dial(ports: list[int], leads: list[Lead], tally: Tally, random: Random) -> None:
    """Dial a list through the gates in turn; a call that is allowed gets some outcome."""
    limit = anyio.CapacityLimiter(AT_ONCE)
    words, weights = zip(*_OUTCOMES, strict=True)

    async def one(place: int, lead: Lead) -> None:
        async with limit:
            port = ports[place % len(ports)]
            answer = await ask(port, lead)
            tally.add(answer)
            if answer.verdict == "ALLOW":
                (status,) = random.choices(words, weights)
                if status:
                    await settle(port, answer.attempt, status)

    async with anyio.create_task_group() as tasks:
        for place, lead in enumerate(leads):
            tasks.start_soon(one, place, lead)
    tally.ended = time.monotonic()


async def _converse(port: int, script: str) -> dict[str, str]:
    """Play Asterisk for one script; give the variables that were set."""
    name, *arguments = script.split(",")
    lines = [
        "agi_network: yes",
        f"agi_network_script: {name}",
        f"agi_request: agi://127.0.0.1:{port}/{name}",
        "agi_channel: Local/demo@ringfence-out-00000001;2",
        "agi_uniqueid: demo",
        "agi_callerid: unknown",
        *(f"agi_arg_{n}: {argument}" for n, argument in enumerate(arguments, start=1)),
    ]
    variables: dict[str, str] = {}
    async with asyncio.timeout(TIMEOUT):
        # The dialer shares two cores with what it asks: asyncio's own streams cost it the least.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(("\n".join(lines) + "\n\n").encode())
        while line := await reader.readline():
            variables.update(_assigned(line.decode()))
            writer.write(b"200 result=1\n")
        writer.close()
    return variables


def _assigned(line: str) -> dict[str, str]:
    """Read `EXEC MSet A=1,B=2`, whichever words are quoted."""
    words = line.replace('"', "").split()
    if words[:2] != ["EXEC", "MSet"]:
        return {}
    return dict(pair.split("=", 1) for pair in " ".join(words[2:]).split(",") if "=" in pair)
