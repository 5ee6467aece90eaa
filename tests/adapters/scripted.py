"""A gate whose answers are given as a table, for tests of what stands in front of it."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime

import anyio.lowlevel
import msgspec

from ringfence.call import Call, Outcome
from ringfence.decision import Decision, Reason, Verdict

__all__ = ["ALLOW", "DENY", "Answer", "ScriptedGate", "ScriptedPermit", "defer"]

ALLOW = Decision(Verdict.ALLOW, Reason.CONSENT)
DENY = Decision(Verdict.DENY, Reason.OBJECTED)

Answer = Decision | Exception | asyncio.Event
"""What `admit` does: answer, raise, or wait for the event and then allow."""


def defer(reason: Reason, retry_at: datetime | None = None) -> Decision:
    return Decision(Verdict.DEFER, reason, retry_at)


class ScriptedGate:
    """Answers each number as the table says, denies all others, and keeps what it was told."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._answers = answers
        self.asked: asyncio.Queue[Call] = asyncio.Queue()
        self.reserved: set[str] = set()
        """The ids of the calls that count as attempts, until one is given back."""
        self.outcomes: dict[str, Outcome] = {}
        self.reports: list[tuple[str, Outcome]] = []
        """All that came, also of calls that were never asked about."""
        self._settled: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def admit(self, call: Call) -> "ScriptedPermit":
        self.asked.put_nowait(call)
        answer = self._answers.get(call.to, DENY)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, asyncio.Event):
            self.reserved.add(call.id)
            await answer.wait()
            answer = ALLOW
        if answer:
            self.reserved.add(call.id)
        return ScriptedPermit(self, call.id, answer)

    async def settle(self, call_id: str, outcome: Outcome, *, call: Call | None = None) -> bool:
        del call  # this gate is never restarted: it knows all it has allowed
        await anyio.lowlevel.checkpoint()  # where a real gate may wait for its disk
        self.reports.append((call_id, outcome))
        if call_id not in self.reserved | self.outcomes.keys():
            return False
        # The first report holds: outcomes come twice.
        if self.outcomes.setdefault(call_id, outcome) is Outcome.NOT_PLACED:
            self.reserved.discard(call_id)
        self._settled[call_id].set()
        return True

    async def outcome(self, call_id: str) -> Outcome:
        """Wait until the outcome of a call has come."""
        await self._settled[call_id].wait()
        return self.outcomes[call_id]


class ScriptedPermit(msgspec.Struct, frozen=True):
    """The answer to one call, and the way back for its outcome."""

    gate: ScriptedGate
    id: str
    decision: Decision

    def __bool__(self) -> bool:
        return self.decision.allowed

    async def close(self, outcome: Outcome) -> None:
        await self.gate.settle(self.id, outcome)
