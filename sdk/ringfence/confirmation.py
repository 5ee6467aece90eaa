"""Waiting for the ledger's word on an attempt: bounded, together, and safe to abandon."""

import anyio

from ringfence.claims import Claim
from ringfence.decision import Decision

__all__ = ["Confirmation"]


class Confirmation:
    """The word on one claim, for all who wait for it within the same *seconds*."""

    __slots__ = ("_over", "_until", "_waiting", "claim", "decision")

    def __init__(self, name: str, decision: Decision, seconds: float) -> None:
        self._over = anyio.Event()
        self._until = anyio.current_time() + seconds
        self._waiting = 0
        self.claim = Claim(name, self._over.set)
        self.decision = decision
        """What is answered if the ledger takes it."""

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for it any more."""
        return not self._waiting

    async def wait(self) -> None:
        """Wait until the word is heard, or the time is over: the claim tells which."""
        self._waiting += 1
        try:
            with anyio.CancelScope(deadline=self._until):
                await self._over.wait()
        finally:
            self._waiting -= 1
