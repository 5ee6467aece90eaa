"""Plots as SVG, without a library; they follow the reader's page, dark or light."""

from collections.abc import Iterator
from html import escape
from math import ceil, floor, log10

from benchmarks.result import Bars, Curves, micros

__all__ = ["draw"]

WIDTH = 760
STYLE = """\
<style>
 text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
 .title { font-size: 15px; font-weight: 600 } .faint { fill: #57606a } .page { fill: #ffffff }
 .grid { stroke: #d8dee4; stroke-width: 1 } .budget { fill: none; stroke: #cf222e; stroke-width: 2 }
 .line { fill: none; stroke-width: 2; stroke-linejoin: round }
 .bar { fill: #afb8c1 } .ours { fill: #0969da }
 .s0 { stroke: #0969da } .s1 { stroke: #1a7f37 } .s2 { stroke: #bf8700 } .s3 { stroke: #bc4c00 }
 .s4 { stroke: #8250df }
 @media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .faint { fill: #8d96a0 } .page { fill: #0d1117 } .grid { stroke: #30363d }
  .budget { stroke: #ff7b72 } .bar { fill: #484f58 } .ours { fill: #4493f8 }
  .s0 { stroke: #4493f8 } .s1 { stroke: #3fb950 } .s2 { stroke: #d29922 } .s3 { stroke: #f0883e }
  .s4 { stroke: #ab7df8 }
 }
</style>
"""
STROKES = 5

TOP, LEFT, RIGHT = 48, 64, 24
HEIGHT, FOOT = 300, 44
"""Of the field of curves, and of what stands below it."""

SHARES = {0.5: "p50", 0.1: "p90", 0.01: "p99", 0.001: "p99.9", 0.0001: "p99.99"}

ROW, NAMES, VALUES = 30, 178, 150


def draw(plot: Curves | Bars) -> str:
    """Write a plot as a whole SVG file."""
    return _curves(plot) if isinstance(plot, Curves) else _bars(plot)


def _page(height: float, title: str, parts: Iterator[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}"'
        f' width="{WIDTH}" height="{height:.0f}" role="img" aria-label="{escape(title)}">\n{STYLE}'
        f'<rect class="page" width="100%" height="100%" rx="6"/>\n'
        f"{_text(20, 28, title, 'title')}" + "".join(parts) + "</svg>\n"
    )


def _text(x: float, y: float, said: str, kind: str = "", anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(said)}</text>\n"
    )


class _Scale:
    """A logarithmic scale, from one power of ten to another."""

    def __init__(self, values: list[float], start: float, length: float) -> None:
        self.first = floor(log10(min(values)))
        self.last = max(self.first + 1, ceil(log10(max(values))))
        self._start = start
        self._step = length / (self.last - self.first)

    def at(self, value: float) -> float:
        return self._start + (log10(value) - self.first) * self._step

    def powers(self) -> list[float]:
        return [10.0**n for n in range(self.first, self.last + 1)]


# --- distributions --------------------------------------------------------------------------------


def _curves(plot: Curves) -> str:
    times = [time for curve in plot.curves.values() for time, _ in curve]
    x = _Scale([*times, *(limit for limit, _ in plot.limits)], LEFT, WIDTH - LEFT - RIGHT)
    least = min(share for curve in plot.curves.values() for _, share in curve)
    legend = (len(plot.curves) + bool(plot.limits)) * 18 + 8
    y = _Scale([1, least], TOP + HEIGHT, -HEIGHT)

    def down(share: float) -> float:
        return TOP + (TOP + HEIGHT) - y.at(share)

    def parts() -> Iterator[str]:
        yield from _grid(x, {down(s): name for s, name in SHARES.items() if s >= 10.0**y.first})
        for number, curve in enumerate(plot.curves.values()):
            points = " ".join(f"{x.at(time):.1f},{down(share):.1f}" for time, share in curve)
            yield f'<polyline class="line s{number % STROKES}" points="{points}"/>\n'
        for limit, share in plot.limits:
            yield _mark(x.at(limit), down(share))
        yield from _legend(plot, TOP + HEIGHT + FOOT)

    return _page(TOP + HEIGHT + FOOT + legend, plot.title, parts())


def _grid(x: _Scale, levels: dict[float, str]) -> Iterator[str]:
    for power in x.powers():
        at = x.at(power)
        yield f'<path class="grid" d="M{at:.1f} {TOP}V{TOP + HEIGHT}"/>\n'
        last = power == x.powers()[-1]
        anchor = "end" if last else "middle"
        yield _text(at + 8 * last, TOP + HEIGHT + 20, _short(power), "faint", anchor)
    for level, name in levels.items():
        yield f'<path class="grid" d="M{LEFT} {level:.1f}H{WIDTH - RIGHT}"/>\n'
        yield _text(LEFT - 8, level + 4, name, "faint", "end")


def _mark(x: float, y: float) -> str:
    return f'<path class="budget" d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z"/>\n'


def _legend(plot: Curves, top: float) -> Iterator[str]:
    for number, name in enumerate(plot.curves):
        y = top + 18 * number
        yield f'<path class="line s{number % STROKES}" d="M{LEFT} {y:.1f}h24"/>\n'
        yield _text(LEFT + 34, y + 4, name)
    if plot.limits:
        y = top + 18 * len(plot.curves)
        yield _mark(LEFT + 12, y)
        yield _text(LEFT + 34, y + 4, "budget: the curve must pass above it, or to the left")


def _short(power: float) -> str:
    """Write a power of ten: 0.1 µs, 10 ms."""
    value, unit = micros(power).split()
    return f"{float(value):g} {unit}"


# --- bars -----------------------------------------------------------------------------------------


def _bars(plot: Bars) -> str:
    values = [value for _, value, _ in plot.bars]
    x = _Scale(values, NAMES, WIDTH - NAMES - VALUES)
    foot = TOP + ROW * len(plot.bars)

    def parts() -> Iterator[str]:
        for power in x.powers():
            at = x.at(power)
            yield f'<path class="grid" d="M{at:.1f} {TOP - 4}V{foot}"/>\n'
            yield _text(at, foot + 18, _short(power), "faint", "middle")
        for number, (name, value, said) in enumerate(plot.bars):
            y, end = TOP + ROW * number, x.at(value)
            kind = "ours" if name in plot.ours else "bar"
            yield _text(NAMES - 10, y + 17, name, "title" if kind == "ours" else "", "end")
            width = max(2.0, end - NAMES)
            place = f'x="{NAMES}" y="{y + 3}" width="{width:.1f}" height="19"'
            yield f'<rect class="{kind}" {place}/>\n'
            yield _text(NAMES + width + 8, y + 17, said, "faint")

    return _page(foot + 30, plot.title, parts())
