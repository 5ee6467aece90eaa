"""How often persons were called: the law allows four attempts in thirty days, answered or not.

Attempts are those of the principal, whichever campaign made them, because the law counts so
(C. conso. D223-9). Persons are told apart by the keys of their numbers.
"""

from collections import Counter, defaultdict
from collections.abc import Collection
from datetime import date, datetime, timedelta

import msgspec

from ringfence.dossier.month import Month
from ringfence.event import Attempt, AttemptCancelled
from ringfence.rules.france import MAX_ATTEMPTS

__all__ = ["WINDOW", "Attempts", "Log"]

WINDOW = timedelta(days=30)
"""Counted back from a day, in the reading that restrains more."""

MOST = 4
"""The distribution's last group: as many, or more."""


class Attempts(msgspec.Struct, frozen=True, kw_only=True):
    """Of the persons that the campaign asked about."""

    persons: int
    attempts: int
    """In the month."""
    distribution: tuple[int, ...]
    """Persons with 0, 1, 2, 3, and 4 or more attempts in the month."""
    at_limit: int
    """Persons who had been called four times in thirty days on some day of the month."""


class Log:
    """Brings together what was told of each call, in whatever order it was told."""

    def __init__(self) -> None:
        self._calls: dict[str, tuple[tuple[datetime, bool], int, date]] = {}

    def hear(self, event: Attempt | AttemptCancelled) -> None:
        said = event.stated()
        # At equal instants an attempt stands over its cancellation, as in the fold.
        rank = said.at, isinstance(event, Attempt)
        known = self._calls.get(event.call)
        if known is None or rank >= known[0]:
            self._calls[event.call] = rank, said.key, said.on

    @property
    def cancelled(self) -> frozenset[str]:
        """Calls that were given back."""
        return frozenset(c for c, ((_, placed), _, _) in self._calls.items() if not placed)

    def attempts(self, month: Month, persons: Collection[int]) -> Attempts:
        """Count those of *persons*."""
        days: defaultdict[int, list[date]] = defaultdict(list)
        for (_, placed), key, day in self._calls.values():
            if placed:
                days[key].append(day)
        counts = Counter(
            sum(month.first <= day <= month.last for day in days.get(person, ()))
            for person in persons
        )
        groups = [counts[n] for n in range(MOST)]
        return Attempts(
            persons=len(persons),
            attempts=sum(n * count for n, count in counts.items()),
            distribution=(*groups, len(persons) - sum(groups)),
            at_limit=sum(_at_limit(sorted(days.get(p, ())), month) for p in persons),
        )


def _at_limit(days: list[date], month: Month) -> bool:
    """Whether on some day of the month four attempts lay within the window."""
    fourths = zip(days, days[MAX_ATTEMPTS - 1 :], strict=False)
    return any(
        fourth <= first + WINDOW and fourth <= month.last and first + WINDOW >= month.first
        for first, fourth in fourths
    )
