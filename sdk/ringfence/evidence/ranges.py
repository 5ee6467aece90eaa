"""Runs of record numbers: joined, and compared with what was said of them; no I/O.

A range is the first and the last number of a run.
"""

from bisect import bisect_right
from collections.abc import Iterable
from heapq import heappop, heappush
from itertools import pairwise

__all__ = ["Cover", "Range", "joined"]

Range = tuple[int, int]


def joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Give the same numbers in as few ranges as there can be, in order."""
    found: list[Range] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], last)
        else:
            found.append((first, last))
    return tuple(found)


class Cover:
    """Statements on ranges, each good up to an instant, and what they leave out."""

    def __init__(self, stated: Iterable[tuple[float, Iterable[Range]]]) -> None:
        """Take statements: until when what it says of these ranges is good, and the ranges."""
        ranges = sorted((first, last, until) for until, some in stated for first, last in some)
        self._pieces = _flattened(ranges)
        self._firsts = [first for first, _, _ in self._pieces]

    def leaves(self, first: int, last: int, at: float = float("-inf")) -> list[Range]:
        """Give what of a range no statement covers that is good at an instant."""
        left: list[Range] = []
        index = max(0, bisect_right(self._firsts, first) - 1)
        while first <= last and index < len(self._pieces):
            begins, ends, until = self._pieces[index]
            index += 1
            if ends < first or until < at:
                continue
            if begins > last:
                break
            if begins > first:
                left.append((first, begins - 1))
            first = ends + 1
        if first <= last:
            left.append((first, last))
        return left


def _flattened(ranges: list[tuple[int, int, float]]) -> list[tuple[int, int, float]]:
    """Cut overlapping ranges, given in order, into pieces that are good as long as any of them."""
    bounds = sorted({bound for first, last, _ in ranges for bound in (first, last + 1)})
    pieces: list[tuple[int, int, float]] = []
    over: list[tuple[float, int]] = []
    waiting = iter([*ranges, None])
    coming = next(waiting)
    for begins, after in pairwise(bounds):
        while coming and coming[0] <= begins:
            heappush(over, (-coming[2], coming[1]))
            coming = next(waiting)
        while over and over[0][1] < begins:
            heappop(over)
        if over:
            pieces.append((begins, after - 1, -over[0][0]))
    return pieces
