"""The decisions of one campaign in one month, counted.

Decisions are counted, not calls: a dialer that asks again about the same lead is answered again,
and each answer is one that would have been a call. Beside them stand the distinct persons, told
apart by the keys of their numbers.
"""

from collections import Counter, defaultdict
from collections.abc import Set as AbstractSet
from datetime import date

import msgspec

from ringfence.decision import Reason, Verdict
from ringfence.dossier.month import Month, day_index
from ringfence.evidence.record import Decided
from ringfence.rules.words import words

__all__ = ["ORDER", "Counted", "DayCount", "ReasonCount", "Tally"]


ORDER = (Verdict.ALLOW, Verdict.DEFER, Verdict.DENY)
"""From now over later to never, as reports show them."""


class Counted(msgspec.Struct, frozen=True):
    """Decisions, and the persons they were about."""

    decisions: int = 0
    persons: int = 0


class ReasonCount(msgspec.Struct, frozen=True, kw_only=True):
    """How often one answer was given."""

    verdict: Verdict
    reason: Reason
    french: str
    english: str
    articles: tuple[str, ...]
    decisions: int
    persons: int


class DayCount(msgspec.Struct, frozen=True, kw_only=True):
    """One day's decisions by verdict."""

    day: date
    allowed: int
    deferred: int
    denied: int


class Tally:
    """Counts records as they are read."""

    def __init__(self, campaign: str, month: Month) -> None:
        self._campaign = campaign
        self._month = month
        self._bounds = month.bounds
        self._days: dict[Verdict, Counter[int]] = defaultdict(Counter)
        self._reasons: Counter[tuple[Verdict, Reason]] = Counter()
        self._persons: dict[tuple[Verdict, Reason], set[int]] = defaultdict(set)
        self._allowed: set[str] = set()
        self.purposes: dict[int, int] = {}
        """The key of each person's number by the key of number and purpose."""

    def count(self, record: Decided) -> None:
        if record.campaign != self._campaign:
            return
        day = day_index(self._bounds, record.at)
        if day is None:
            return
        answer = record.verdict, record.reason
        self._days[record.verdict][day] += 1
        self._reasons[answer] += 1
        if record.number:
            self._persons[answer].add(record.number)
            self.purposes[record.purpose] = record.number
        if record.verdict is Verdict.ALLOW:
            self._allowed.add(record.id)

    def of(self, *verdicts: Verdict, reasons: AbstractSet[Reason] = frozenset(Reason)) -> Counted:
        """Count the decisions of these verdicts and reasons, and the persons they were about."""
        answers = [a for a in self._reasons if a[0] in verdicts and a[1] in reasons]
        persons = set[int]().union(*(self._persons[answer] for answer in answers))
        return Counted(sum(self._reasons[answer] for answer in answers), len(persons))

    @property
    def persons(self) -> frozenset[int]:
        """Keys of all numbers asked about."""
        return frozenset(self.purposes.values())

    def placed(self, cancelled: AbstractSet[str]) -> int:
        """Count the allowed decisions whose call was not given back; *cancelled* are those."""
        return len(self._allowed) - len(self._allowed & cancelled)

    def days(self) -> tuple[DayCount, ...]:
        return tuple(
            DayCount(
                day=day,
                allowed=self._days[Verdict.ALLOW][index],
                deferred=self._days[Verdict.DEFER][index],
                denied=self._days[Verdict.DENY][index],
            )
            for index, day in enumerate(self._month.days)
        )

    def reasons(self) -> tuple[ReasonCount, ...]:
        """Give the answers, by verdict and most frequent first."""
        counted = sorted(
            self._reasons.items(), key=lambda item: (ORDER.index(item[0][0]), -item[1], item[0][1])
        )
        return tuple(self._reason(answer, decisions) for answer, decisions in counted)

    def _reason(self, answer: tuple[Verdict, Reason], decisions: int) -> ReasonCount:
        sentence = words(answer[1])
        return ReasonCount(
            verdict=answer[0],
            reason=answer[1],
            french=sentence.french,
            english=sentence.english,
            articles=tuple(article.name for article in sentence.articles),
            decisions=decisions,
            persons=len(self._persons[answer]),
        )
