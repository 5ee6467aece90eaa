"""The section of a report on how fast refusals reached every gate."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise

from reportlab.platypus import Flowable

from ringfence.dossier import paper
from ringfence.dossier.chart import Bar, bars
from ringfence.dossier.delay import Delays, GateDelay, Spread
from ringfence.dossier.paper import Cell, Column
from ringfence.dossier.tongue import DAY, HOUR, MINUTE, Tongue

__all__ = ["delays_told"]

BUCKETS = (1.0, 5.0, 30.0, MINUTE, 10 * MINUTE, HOUR, DAY)
"""Upper bounds of the groups of delays, in seconds; above the last one more group begins."""


def delays_told(delays: Delays, tongue: Tongue) -> Iterator[Flowable]:
    """Tell the distribution, and each gate's."""
    yield from paper.heading(
        tongue(
            "Refus : délai jusqu'à ce que toutes les passerelles les connaissent",
            "Refusals: the time until every gate knew of them",
        ),
        room=60,
    )
    count = (
        tongue.count(delays.refusals),
        tongue("refus et oppositions du mois", "refusals and objections of the month"),
    )
    yield paper.figures([count, *_spread(delays.everywhere, tongue)])
    if delays.not_everywhere:
        missed = tongue.count(delays.not_everywhere)
        yield paper.box(
            tongue(
                "Pas encore connu de toutes les passerelles à la fin des preuves fournies :"
                f" {missed} refus.",
                f"Not known yet to every gate at the end of the evidence given: {missed}.",
            )
        )
    if delays.delays:
        yield bars(_buckets(delays.delays, tongue))
        yield paper.gap(3)
    if delays.gates:
        yield _gates(delays.gates, tongue)


def _spread(spread: Spread | None, tongue: Tongue) -> list[tuple[str, str]]:
    labels = [
        tongue("médiane", "median"),
        tongue("95 % au plus", "95% no slower"),
        tongue("le plus lent", "slowest"),
    ]
    return list(zip(_values(spread, tongue), labels, strict=True))


def _values(spread: Spread | None, tongue: Tongue) -> list[str]:
    if spread is None:
        return ["–"] * 3
    return [tongue.span(value) for value in (spread.median, spread.p95, spread.slowest)]


def _buckets(delays: Sequence[float], tongue: Tongue) -> list[Bar]:
    """Group delays; groups slower than the slowest are left out."""
    edges = [bisect_left(delays, bound) for bound in BUCKETS]
    counts = [b - a for a, b in zip([0, *edges], [*edges, len(delays)], strict=True)]
    names = [tongue.bound(bound) for bound in BUCKETS]
    labels = [
        tongue(f"moins de {names[0]}", f"under {names[0]}"),
        *(tongue(f"{a} à {b}", f"{a} to {b}") for a, b in pairwise(names)),
        tongue(f"{names[-1]} ou plus", f"{names[-1]} or more"),
    ]
    last = max(index for index, count in enumerate(counts) if count)
    shown = zip(labels[: last + 1], counts, strict=False)
    return [Bar(label, count, tongue.count(count)) for label, count in shown]


def _gates(gates: Sequence[GateDelay], tongue: Tongue) -> Flowable:
    columns = [
        Column(tongue("Passerelle", "Gate"), 56),
        Column(tongue("Médiane", "Median"), 24, "right"),
        Column(tongue("95 % au plus", "95% no slower"), 28, "right"),
        Column(tongue("Le plus lent", "Slowest"), 28, "right"),
        Column(tongue("Pas encore connus", "Not known yet"), 40, "right"),
    ]
    return paper.table(columns, [_gate(gate, tongue) for gate in gates])


def _gate(gate: GateDelay, tongue: Tongue) -> list[Cell]:
    if not gate.given:
        unknown = tongue("inconnu : preuves non fournies", "unknown: evidence not given")
        return [paper.cell(gate.gate, muted=[unknown]), *["?"] * 4]
    muted = []
    if gate.before:
        before = tongue.count(gate.before)
        muted.append(
            tongue(
                f"{before} refus antérieurs à ses preuves, non comptés",
                f"{before} refusals from before its evidence, not counted",
            )
        )
    cell = paper.cell(gate.gate, muted=muted)
    return [cell, *_values(gate.spread, tongue), tongue.count(gate.not_yet)]
