"""A gate that shares a machine, in a process of its own, that races others to the same numbers.

Run: `racer.py CONFIG AT`. It says `ready`, waits for a byte, and asks six times for each number as
fast as it can. A line a permit: the number; then `done`.
"""

import os
import sys
from datetime import datetime
from pathlib import Path

import anyio
import anyio.to_thread
from tests.integration.member import NUMBERS

from ringfence import Call, Gate
from ringfence.cli.gate import shifted_to
from ringfence.config import load

ROUNDS = 6


async def main(config: str, at: str) -> None:
    clock = shifted_to(datetime.fromisoformat(at))
    async with Gate(load(Path(config)), clock=clock) as gate:
        assert await gate.ready(30)
        os.write(1, b"ready\n")
        await anyio.to_thread.run_sync(os.read, 0, 1)
        for to in NUMBERS * ROUNDS:
            if await gate.admit(Call(to=to, campaign="acme-fibre", caller_id="+33162000001")):
                os.write(1, f"{to}\n".encode())
    os.write(1, b"done\n")


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
