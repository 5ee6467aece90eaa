"""What `admit` gives: a decision, and if it allows, one attempt to be closed with its outcome."""

from collections.abc import Awaitable, Callable

from ringfence.call import Call, Outcome
from ringfence.decision import Decision
from ringfence.event import Attempt

__all__ = ["Permit"]


class Permit:
    """The answer for one call that is about to be placed. Truthy exactly if it may be.

    It has reserved one attempt, which counts even if the permit is never closed.
    """

    __slots__ = ("_settle", "attempt", "call", "decision", "outcome")

    def __init__(
        self,
        call: Call,
        decision: Decision,
        settle: Callable[["Permit", Outcome], Awaitable[None]],
    ) -> None:
        self.call = call
        self.decision = decision
        self.outcome: Outcome | None = None
        """What became of the call, as far as it was told."""
        self.attempt: Attempt | None = None
        """The attempt it has reserved."""
        self._settle = settle

    @property
    def id(self) -> str:
        """The id of the call."""
        return self.call.id

    def __bool__(self) -> bool:
        return self.decision.allowed

    def __repr__(self) -> str:
        return f"<Permit {self.decision.verdict} {self.decision.reason} for call {self.call.id}>"

    async def close(self, outcome: Outcome) -> None:
        """Tell what became of the call; told again, nothing is counted twice.

        `NOT_PLACED` gives the attempt back, unless an outcome that says otherwise is told before or
        after. A refusal or objection is recorded whenever it is told, even for a call that was not
        allowed. Raises `OutboxError` if it cannot be written; then it holds in this gate all the
        same, and is written as soon as that works again.
        """
        await self._settle(self, outcome)
