"""Waiting for the ledger's word on an attempt: bounded, together, and safe to abandon."""

from collections.abc import Callable

import anyio

from ringfence.claims import Claim
from ringfence.decision import Decision

__all__ = ["Confirmation"]


TRIES = 4
"""How often the ledger is asked within the time, if nothing is heard."""


def _not_again(_name: str) -> None:
    """Who only waits."""


class Confirmation:
    """The word on one claim, for all who wait for it within the same *seconds*."""

    __slots__ = ("_over", "_patience", "_until", "_waiting", "claim", "decision")

    def __init__(self, name: str, decision: Decision, seconds: float) -> None:
        self._over = anyio.Event()
        self._until = anyio.current_time() + seconds
        self._patience = seconds / TRIES
        self._waiting = 0
        self.claim = Claim(name, self._over.set)
        self.decision = decision
        """What is answered if the ledger takes it."""

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for it any more."""
        return not self._waiting

    async def wait(self, again: Callable[[str], None] = _not_again) -> None:
        """Wait until the word is heard, or the time is over: the claim tells which.

        What was asked may be lost on the way, or the word: now and then it is asked *again*.
        """
        self._waiting += 1
        try:
            with anyio.CancelScope(deadline=self._until):
                while self.claim.taken is None:
                    with anyio.move_on_after(self._patience):
                        await self._over.wait()
                        return
                    again(self.claim.id)
        finally:
            self._waiting -= 1
