"""What the figures are held against: the budgets that the design sets."""

from collections.abc import Iterable

import msgspec

from benchmarks.result import Figure, digits, micros

__all__ = ["BUDGETS", "Budget", "Judgement", "judged"]


class Budget(msgspec.Struct, frozen=True):
    """A limit for one figure: at most so much, or at least."""

    what: str
    figure: str
    limit: float
    unit: str = "µs"
    least: bool = False


class Judgement(msgspec.Struct, frozen=True):
    """A budget, and how it went."""

    what: str
    limit: str
    measured: str
    met: bool | None
    """None: it was not measured."""


def _percentiles(what: str, figure: str, limits: dict[str, float]) -> list[Budget]:
    return [Budget(f"{what}, {p}", f"{figure}/{p}", limit) for p, limit in limits.items()]


_TEN = 10_000_000

BUDGETS = (
    *_percentiles(
        "`check`, all rules, 10 M ground and 1 M restraint rows",
        f"check/{_TEN}",
        {"p50": 6, "p99": 20, "p99.9": 100},
    ),
    *_percentiles(
        "`admit`, durability `process`, 10 M ground rows",
        f"admit/{_TEN}",
        {"p50": 40, "p99": 250, "p99.9": 1000},
    ),
    Budget("`check` while 20 000 changed rows/s arrive, p99.9", "busy/changes/check/p99.9", 1000),
    Budget("`check` while 10 M rows are loaded, p99.9", "busy/loading/check/p99.9", 1000),
    Budget("longest hold of the event loop while rows arrive", "busy/changes/hold", 5, "ms"),
    Budget(
        "longest hold of the event loop while 10 M rows are loaded", "busy/loading/hold", 5, "ms"
    ),
    Budget("memory a row, all in, 10 M", f"memory/{_TEN}/row", 40, "B"),
    Budget("bootstrap of 10 M rows over a loopback broker", f"start/{_TEN}/cold", 30, "s"),
    Budget("warm restart with 10 M rows", f"start/{_TEN}/warm", 1, "s"),
    *(
        budget
        for gates in (1, 10, 50)
        for budget in _percentiles(
            f"refusal at one gate → denied at another, of {gates}",
            f"refusal/{gates}",
            {"p50": 10_000, "p99": 50_000},
        )
    ),
    Budget(
        "tables of ten processes that share, by those of one that does not",
        "host/tables",
        1.05,
        "×",
    ),
    *_percentiles(
        "`check` in one of ten processes that share, 10 M ground and 1 M restraint rows",
        "host/check/shared",
        {"p50": 6, "p99": 20, "p99.9": 100},
    ),
    *_percentiles(
        "`admit` in one of ten processes that share, 10 M ground rows",
        "host/admit/shared",
        {"p50": 40, "p99": 250, "p99.9": 1000},
    ),
    Budget(
        "`check` in one of ten processes that share while 20 000 changed rows/s arrive, p99.9",
        "host/changes/shared/p99.9",
        1000,
    ),
    Budget("ledger, live events a second", "ledger/live", 5000, "events/s", least=True),
    Budget("ledger, imported consents a second", "ledger/imported", 100_000, "lines/s", least=True),
)


def judged(figures: Iterable[Figure]) -> list[Judgement]:
    """Hold figures against all budgets, in their order."""
    known = {figure.name: figure for figure in figures}
    return [_judge(budget, known.get(budget.figure)) for budget in BUDGETS]


def _judge(budget: Budget, figure: Figure | None) -> Judgement:
    limit = f"{'≥' if budget.least else '≤'} {_written(budget.limit, budget.unit)}"
    if figure is None:
        return Judgement(budget.what, limit, "not measured", None)
    met = figure.value >= budget.limit if budget.least else figure.value <= budget.limit
    return Judgement(budget.what, limit, _written(figure.value, budget.unit), met)


def _written(value: float, unit: str) -> str:
    return micros(value) if unit == "µs" else f"{digits(value)} {unit}"
