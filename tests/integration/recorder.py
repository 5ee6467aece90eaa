"""A gate in a process of its own, for tests that kill it: events in, acknowledgements out.

`record N` records event N and answers `recorded N` when that returned; `stand` answers with change
and digests once the outbox is empty and the replica vouches for its rows.
"""

import sys
from functools import partial

import anyio
import msgspec

from ringfence import Consent, Gate, Refusal


def event(number: int) -> Consent | Refusal:
    """Every third is a refusal; the numbers are those set aside for fiction."""
    to = f"+3363998{number % 10_000:04}"
    if number % 3:
        return Consent(id=f"event-{number}", to=to, principal="acme", purpose="fibre", text="web-1")
    return Refusal(id=f"event-{number}", to=to, principal="acme")


async def main(config: str) -> None:
    read = partial(anyio.to_thread.run_sync, sys.stdin.readline, abandon_on_cancel=True)
    async with Gate.from_toml(config) as gate:
        print("open", flush=True)
        while words := (await read()).split():
            match words:
                case ["record", number]:
                    await gate.record(event(int(number)))
                    print("recorded", number, flush=True)
                case ["stand"]:
                    print(msgspec.json.encode(await stand(gate)).decode(), flush=True)


async def stand(gate: Gate) -> dict[str, object]:
    async for status in gate.status:
        acme = status.principals["acme"]
        if status.healthy and status.outbox == 0:
            return {"seq": acme.seq, "digests": acme.digests}
    raise AssertionError


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
