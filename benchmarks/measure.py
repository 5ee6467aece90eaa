"""How calls are timed, and what is said of the times: the arithmetic all benchmarks share.

Every call is timed by itself, with `perf_counter_ns` before and after it; the timer's own cost
(`overhead`) is in every time and never taken off. A round is a run of such calls; of several rounds
a percentile is the median of what each round had, and the maximum is the worst of all. What takes
turns, round by round, is compared by the median of the rounds' own ratios: the machine's moods fall
on both.
"""

import gc
import selectors
from array import array
from asyncio import SelectorEventLoop
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from random import Random
from statistics import median
from time import perf_counter_ns
from typing import TypeVar

import anyio
import msgspec
import numpy as np
import numpy.typing as npt

__all__ = [
    "Nanos",
    "Spread",
    "Watched",
    "chill",
    "frozen",
    "on_schedule",
    "overhead",
    "paired",
    "slower_than",
    "timed",
    "timed_async",
]

Nanos = npt.NDArray[np.int64]
"""The time each call of a round took, in nanoseconds."""

T = TypeVar("T")

PERCENTILES = (50, 99, 99.9)

POINTS = 160
"""Of a curve: as many as a plot can show."""

_COLD = 64 << 20
"""Bytes read to push rows out of the processor's caches."""


class Spread(msgspec.Struct, frozen=True):
    """What the rounds of one measurement come to, in microseconds."""

    p50: float
    p99: float
    p999: float
    max: float
    low: float
    """The least p50 of a round, and the greatest: how sure the first is."""
    high: float
    rounds: int
    calls: int
    curve: list[tuple[float, float]]
    """Microseconds, and the share of all calls that took longer."""

    @classmethod
    def of(cls, rounds: Sequence[Nanos]) -> "Spread":
        """Sum up rounds of times. Raises `ValueError` where there are none."""
        if not rounds or not all(map(len, rounds)):
            msg = f"{len(rounds)} rounds, one of them without a call: nothing was measured"
            raise ValueError(msg)
        told = np.array([np.percentile(times, PERCENTILES) for times in rounds]) / 1000
        p50, p99, p999 = (float(median(column)) for column in told.T)
        every = np.concatenate(rounds)
        return cls(
            p50=p50,
            p99=p99,
            p999=p999,
            max=float(every.max()) / 1000,
            low=float(told[:, 0].min()),
            high=float(told[:, 0].max()),
            rounds=len(rounds),
            calls=len(every),
            curve=slower_than(every),
        )


def slower_than(times: Nanos) -> list[tuple[float, float]]:
    """Give points of the curve that tells which share of calls took longer than so many µs.

    They lie evenly on a logarithmic scale of shares, down to the one slowest call.
    """
    ordered = np.sort(times)
    count = len(ordered)
    shares = np.geomspace(1, 1 / count, min(POINTS, count))
    places = np.unique(np.clip(np.round(count * (1 - shares)).astype(int), 0, count - 1))
    return [(float(ordered[at]) / 1000, float(count - at) / count) for at in places]


def paired(these: Sequence[float], those: Sequence[float]) -> float:
    """Give how many times *those* these are: the median of the ratios, round by round."""
    return median(this / that for this, that in zip(these, those, strict=True))


def timed(run: Callable[[T], object], asked: Iterable[T]) -> Nanos:
    """Call *run* with each of *asked*; give how long each call took."""
    clock, taken = perf_counter_ns, array("q")
    note = taken.append
    for one in asked:
        began = clock()
        run(one)
        note(clock() - began)
    return np.frombuffer(taken, np.int64)


async def timed_async(run: Callable[[T], Awaitable[object]], asked: Iterable[T]) -> Nanos:
    """Await *run* with each of *asked*, one after the other; give how long each took."""
    clock, taken = perf_counter_ns, array("q")
    note = taken.append
    for one in asked:
        began = clock()
        await run(one)
        note(clock() - began)
    return np.frombuffer(taken, np.int64)


def overhead() -> Spread:
    """Measure the timer and an empty call: what is in every time."""
    return Spread.of([timed(id, range(20_000)) for _ in range(5)])


def frozen() -> None:
    """End the set-up: collect garbage, and let later collections pass over what is left."""
    gc.collect()
    gc.freeze()


def chill() -> None:
    """Push rows out of the processor's caches, so that a round does not find the last one's."""
    np.ones(_COLD // 8, np.int64).sum()


# --- what goes by a schedule ----------------------------------------------------------------------


class Kept(msgspec.Struct, frozen=True):
    """How calls went that were due at instants set beforehand."""

    own: Nanos
    """What each call took."""
    late: Nanos
    """From the instant a call was due to its answer: whatever held it up is in it."""


async def on_schedule(
    run: Callable[[T], object], asked: Iterable[T], *, rate: float, random: Random
) -> Kept:
    """Call *run* with each of *asked*, *rate* times a second on average, whatever happens.

    The instants are drawn beforehand (a Poisson process), so a call that is held up delays no
    other's due time, and the wait of each that was due meanwhile is counted.
    """
    clock, own, late = perf_counter_ns, array("q"), array("q")
    due = float(clock())
    for one in asked:
        due += random.expovariate(rate) * 1e9
        if (wait := due - clock()) > 0:
            await anyio.sleep(wait / 1e9)  # the loop's timer: it may be a millisecond late
        began = clock()
        run(one)
        ended = clock()
        own.append(ended - began)
        late.append(int(ended - due))
    return Kept(np.frombuffer(own, np.int64), np.frombuffer(late, np.int64))


class Watched(selectors.DefaultSelector):
    """A selector that notes for how long its event loop was held: from one poll to the next."""

    def __init__(self) -> None:
        super().__init__()
        self._held = array("q")
        self._back = perf_counter_ns()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._held.append(perf_counter_ns() - self._back)
        ready = super().select(timeout)
        self._back = perf_counter_ns()
        return ready

    def taken(self) -> Nanos:
        """Give the holds since this was last asked."""
        held, self._held = self._held, array("q")
        return np.frombuffer(held, np.int64)

    def loop(self) -> SelectorEventLoop:
        """Make the event loop that polls with this."""
        return SelectorEventLoop(self)


def medians(rounds: Mapping[str, Sequence[Nanos]]) -> dict[str, list[float]]:
    """Give the median of each round, in microseconds, of what took turns."""
    return {
        name: [float(np.median(times)) / 1000 for times in some] for name, some in rounds.items()
    }
