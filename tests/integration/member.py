"""A gate that shares a machine, in a process of its own, to be killed: admits what it can.

Run: `member.py CONFIG AT SEED`. It goes over the same few numbers again and again, in an order of
its own, until it has met nobody who may be called twice over. A line a permit: the number, written
when the dialer would have seen the permit; it goes on when it is sent a byte. Then `done`.
"""

import os
import sys
from datetime import datetime
from pathlib import Path
from random import Random

import anyio
import anyio.to_thread

from ringfence import Call, Gate
from ringfence.cli.gate import shifted_to
from ringfence.config import load
from ringfence.decision import Reason

NUMBERS = [f"+3363998{n:04}" for n in range(60)]
FINAL = {Reason.ATTEMPT_LIMIT}


async def main(config: str, at: str, seed: str) -> None:
    random = Random(int(seed))
    clock = shifted_to(datetime.fromisoformat(at))
    async with Gate(load(Path(config)), clock=clock) as gate:
        ready = await gate.ready(30)
        assert ready, f"{ready}; {gate.current_status()}"
        idle = 0
        while idle < 2:
            idle += 1
            for to in random.sample(NUMBERS, len(NUMBERS)):
                call = Call(to=to, campaign="acme-fibre", caller_id="+33162000001")
                permit = await gate.admit(call)
                if permit:
                    os.write(1, f"{to}\n".encode())
                    await anyio.to_thread.run_sync(os.read, 0, 1)
                if permit.decision.reason not in FINAL:
                    idle = 0
    os.write(1, b"done\n")


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])
