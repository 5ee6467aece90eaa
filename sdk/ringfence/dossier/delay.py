"""How long it took until every gate knew of a refusal.

Measured from the instant at which the person said it to the instant at which a gate's tables showed
it, as the gate's evidence has it. Clocks of two machines may differ by a little: what comes out
below zero counts as zero.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import accumulate
from math import ceil

import msgspec

from ringfence.evidence.record import AnyRecord, Configured, Learned, Opened, Place

__all__ = ["Delays", "GateDelay", "Said", "Spread", "Watch"]


class Said(msgspec.Struct, frozen=True):
    """A refusal or objection: the ledger's change, and the instant it was said."""

    change: int
    at: datetime


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A distribution of delays, in seconds."""

    count: int
    median: float
    p95: float
    """95 of 100 were no slower."""
    slowest: float
    slowest_change: int
    """The ledger's change that was known last."""


class GateDelay(msgspec.Struct, frozen=True, kw_only=True):
    """One gate, or one whose evidence was not given."""

    gate: str
    given: bool
    """Whether its evidence was given; if not, nothing is known of it."""
    spread: Spread | None = None
    not_yet: int = 0
    """Refusals that its evidence does not show as known by its end."""
    before: int = 0
    """Refusals said before its evidence begins, which count neither way."""


class Delays(msgspec.Struct, frozen=True, kw_only=True):
    """All refusals of the month, and the gates of the principal."""

    refusals: int
    everywhere: Spread | None
    """Until the last of the gates given knew; only refusals that all of them knew."""
    delays: tuple[float, ...]
    """Those of *everywhere*, fastest first."""
    not_everywhere: int
    gates: tuple[GateDelay, ...]


class _Gate:
    def __init__(self) -> None:
        self.began: float | None = None
        self.serves = False
        self.learned: list[tuple[float, int]] = []


class Watch:
    """Gathers from gates' evidence what they learned of one principal, and when."""

    def __init__(self, principal: str, epoch: int) -> None:
        self._principal = principal
        self._epoch = epoch
        self._gates: defaultdict[str, _Gate] = defaultdict(_Gate)

    def hear(self, place: Place, record: AnyRecord) -> None:
        match record:
            case Opened(at=at):
                gate = self._gates[place.gate]
                gate.began = at if gate.began is None else min(gate.began, at)
            case Configured(principal=self._principal):
                self._gates[place.gate].serves = True
            case Learned(principal=self._principal, epoch=self._epoch):
                gate = self._gates[place.gate]
                gate.serves = True
                gate.learned.append((record.at, record.last))

    def delays(self, said: Sequence[Said], told_of: Iterable[str] = ()) -> Delays:
        """Measure; *told_of* are the gates that the ledger has heard of."""
        serving = {name: gate for name, gate in sorted(self._gates.items()) if gate.serves}
        unknown = sorted(set(told_of) - set(self._gates))
        slowest: dict[int, float] = {}
        missed: set[int] = set()
        told = []
        for name, gate in serving.items():
            known = _known(gate, said)
            for change, delay in known.items():
                if delay is None:
                    missed.add(change)
                else:
                    slowest[change] = max(delay, slowest.get(change, 0.0))
            told.append(_gate_delay(name, known, len(said)))
        everywhere = {c: delay for c, delay in slowest.items() if c not in missed}
        return Delays(
            refusals=len(said),
            everywhere=_spread(everywhere),
            delays=tuple(sorted(everywhere.values())),
            not_everywhere=len(missed),
            gates=(*told, *(GateDelay(gate=name, given=False) for name in unknown)),
        )


def _known(gate: _Gate, said: Sequence[Said]) -> dict[int, float | None]:
    """Give each change's delay at one gate, None where it is not known by the end.

    What is learned once is known for good, so the first record that reaches a change counts, and
    a gate that lost its tables and learned all anew did not learn later.
    """
    learned = sorted(gate.learned)
    reached = list(accumulate((last for _, last in learned), max))
    known: dict[int, float | None] = {}
    for one in said:
        at = one.at.timestamp()
        if gate.began is None or at < gate.began:
            continue
        index = bisect_left(reached, one.change)
        known[one.change] = max(0.0, learned[index][0] - at) if index < len(learned) else None
    return known


def _gate_delay(name: str, known: dict[int, float | None], refusals: int) -> GateDelay:
    delays = {change: delay for change, delay in known.items() if delay is not None}
    return GateDelay(
        gate=name,
        given=True,
        spread=_spread(delays),
        not_yet=len(known) - len(delays),
        before=refusals - len(known),
    )


def _spread(delays: dict[int, float]) -> Spread | None:
    if not delays:
        return None
    ordered = sorted(delays.values())
    slowest = max(delays, key=lambda change: delays[change])
    return Spread(
        count=len(ordered),
        median=_rank(ordered, 0.5),
        p95=_rank(ordered, 0.95),
        slowest=ordered[-1],
        slowest_change=slowest,
    )


def _rank(ordered: Sequence[float], share: float) -> float:
    """Give the nearest rank: a delay that was measured, never one between two."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]
