"""A gate in a process of its own, to be killed: admits calls as fast as it can, and says which.

Run: `admitter.py CONFIG FIRST LAST`. A line a permit: the number of the call and the id of the
decision, written when the dialer would have seen the permit. With FIRST = LAST it waits until the
ledger holds all attempts.
"""

import os
import sys

import anyio

from ringfence import Call, Gate

RANGES = ("19900", "26191", "35301", "46571", "53649", "63998")


async def main(config: str, first: int, last: int) -> None:
    async with Gate.from_toml(config) as gate:
        assert await gate.ready(30)
        for n in range(first, last):
            to = f"+33{RANGES[n // 10_000]}{n % 10_000:04}"
            permit = await gate.admit(
                Call(to=to, campaign="acme-pro", caller_id="+33162000001", id=f"call-{n}")
            )
            assert permit, permit
            os.write(1, f"{n} {permit.decision.id}\n".encode())
        async for status in gate.status:
            if not status.outbox:
                break


anyio.run(main, sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
