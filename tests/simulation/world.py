"""Simulated time, and a broker between the simulated parties that may do its worst.

A message is lost, told twice, late or out of order, as the seed will have it. What is under way to
a party that ends is lost. Heads and configurations are retained, unless the broker forgets them.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Protocol

import msgspec

from ringfence.replica import Now
from ringfence.wire import MAX_MESSAGE, Topic

__all__ = ["PRINCIPAL", "START", "Broker", "Faults", "Party", "World", "topic"]

PRINCIPAL = "acme"
START = 1_800_000_000.0
"""Unix seconds at which a simulation begins."""

KEPT = 400
"""Messages of the past from which one may come back."""


def topic(what: str, gate: str = "") -> str:
    return str(Topic(PRINCIPAL, what, gate))


class World:
    """The time, what is to happen, and chance."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.time = 0.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def after(self, delay: float, action: Callable[[], None]) -> None:
        heappush(self._agenda, (self.time + delay, next(self._numbers), action))

    def run(self, until: float) -> None:
        while self._agenda and self._agenda[0][0] <= until:
            self.time, _, action = heappop(self._agenda)
            action()
        self.time = until

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def now(self, clock_error: float) -> Now:
        """Read the clocks of a party; the one that does not step began at another time."""
        return Now(self.time + 1_000.0, START + self.time + clock_error)


class Faults(msgspec.Struct, frozen=True):
    """What the broker does to a message, as probabilities, and how late it may be in seconds."""

    lost: float = 0.0
    twice: float = 0.0
    late: float = 0.0
    lateness: float = 0.0
    replayed: float = 0.0
    """An old message comes as if it were new."""
    forgets: float = 0.0
    """A retained message is not."""


class Party(Protocol):
    """Who is connected to the broker."""

    def hear(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Take a message."""


class Broker:
    """Carries messages between parties, as well as the faults let it."""

    def __init__(self, world: World) -> None:
        self.faults = Faults()
        self.retained: dict[str, bytes] = {}
        self._world = world
        self._links: dict[int, tuple[Party, frozenset[str]]] = {}
        self._numbers = count()
        self._past: list[tuple[str, bytes]] = []

    def connect(self, party: Party, *topics: str) -> int:
        """Give the number of the link. Retained messages follow."""
        number = next(self._numbers)
        self._links[number] = party, frozenset(topics)
        for name in topics:
            if name in self.retained:
                self._send(number, name, self.retained[name], retained=True)
        return number

    def disconnect(self, number: int) -> None:
        """End a link, and lose what is under way on it."""
        self._links.pop(number, None)

    def publish(self, name: str, payload: bytes, *, retain: bool = False) -> None:
        assert len(payload) <= MAX_MESSAGE
        if retain and not self._world.chance(self.faults.forgets):
            self.retained[name] = payload
        self._deliver(name, payload)
        self._past.append((name, payload))
        del self._past[:-KEPT]
        if self._world.chance(self.faults.replayed):
            self._deliver(*self._world.random.choice(self._past))

    def _deliver(self, name: str, payload: bytes) -> None:
        for number, (_, topics) in list(self._links.items()):
            if name in topics:
                self._send(number, name, payload, retained=False)

    def _send(self, number: int, name: str, payload: bytes, *, retained: bool) -> None:
        world, faults = self._world, self.faults
        copies = 0 if world.chance(faults.lost) else 2 if world.chance(faults.twice) else 1
        for _ in range(copies):
            delay = world.random.uniform(0.0005, 0.005)
            if world.chance(faults.late):
                delay += world.random.uniform(0, faults.lateness)

            def arrive() -> None:
                link = self._links.get(number)
                if link is not None:
                    link[0].hear(name, payload, retained=retained)

            world.after(delay, arrive)
