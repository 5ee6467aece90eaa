"""Calls under way, and what the person says meanwhile: a refusal must reach the call itself."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import anyio

from ringfence.decision import Decision
from ringfence.table import TableError

__all__ = ["Watch", "Watches"]


class Watch:
    """One call under way: `async with gate.watch(call) as watch`.

    The block is left early, as if its time had run out, when the person refuses, objects or
    withdraws the consent the call rests on, wherever that is heard. Ask `revoked` behind the block,
    and hang up.
    """

    def __init__(
        self, keys: Iterable[int], judge: Callable[[], Decision | None], watches: "Watches"
    ) -> None:
        self.decision: Decision | None = None
        """What the gate answers to the call now that it was revoked."""
        self.keys = frozenset(keys)
        self._judge = judge
        self._watches = watches
        self._scope = anyio.CancelScope()
        self._entered = ExitStack()

    @property
    def revoked(self) -> bool:
        """Whether the person said no while the call was under way."""
        return self.decision is not None  # which is false itself, as it allows nothing

    async def __aenter__(self) -> Self:
        """Begin to watch; what was said since the call was admitted counts too."""
        with ExitStack() as entered:
            entered.enter_context(self._scope)
            self._watches.add(self)
            entered.callback(self._watches.drop, self)
            self._watches.look(self)
            self._entered = entered.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return self._entered.__exit__(kind, error, trace)

    def look(self) -> None:
        """See whether the call may still go on; leave the block if it may not.

        Raises `TableError` where that cannot be known now.
        """
        if self.decision is None:
            self.decision = self._judge()
            if self.decision is not None:
                self._scope.cancel()


AT_ONCE = 100
"""Watches looked at in one turn of the event loop, about 2 ms of work."""


class Watches:
    """The watches of one principal, by key."""

    def __init__(self) -> None:
        self._by_key: dict[int, set[Watch]] = {}
        self._unseen: set[Watch] = set()
        self._unsure: set[Watch] = set()

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def add(self, watch: Watch) -> None:
        for key in watch.keys:
            self._by_key.setdefault(key, set()).add(watch)

    def drop(self, watch: Watch) -> None:
        for key in watch.keys:
            held = self._by_key[key]
            held.discard(watch)
            if not held:
                del self._by_key[key]
        self._unseen.discard(watch)
        self._unsure.discard(watch)

    def look(self, watch: Watch) -> None:
        """Have a watch look; what cannot be known now is asked again by `look_again`."""
        try:
            watch.look()
        except TableError:
            self._unsure.add(watch)

    def look_at(self, keys: Iterable[int]) -> None:
        """Something was heard of these keys."""
        for key in tuple(keys):
            for watch in tuple(self._by_key.get(key, ())):
                self.look(watch)

    def look_at_all(self) -> None:
        """Anything may have been heard; those that one turn has no time for wait for `look_on`."""
        self._unseen.update(*self._by_key.values())
        self.look_on()

    def look_on(self) -> bool:
        """Look at some of those that wait, in another turn; say whether more do."""
        for _ in range(min(AT_ONCE, len(self._unseen))):
            self.look(self._unseen.pop())
        return bool(self._unseen)

    def look_again(self) -> None:
        """Look at those that could not tell, and go on with those that wait."""
        self._unseen |= self._unsure
        self._unsure.clear()
        self.look_on()

    def among(self, keys: Iterable[int]) -> Iterator[int]:
        """Give those of *keys* that are watched."""
        return (key for key in keys if key in self._by_key)
