"""Decide again what was decided, each record on its own terms; no I/O.

A decision follows from its record and the configuration that stands before it, so whoever holds the
evidence can work it out anew, years later. That the records are those which the gate wrote is not
asked here: `verify` tells.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache

import msgspec

from ringfence.campaign import sound_texts
from ringfence.decision import DOUBTS, Reason, Verdict
from ringfence.evidence.record import (
    AnyRecord,
    Configured,
    Decided,
    EvidenceError,
    Place,
    territories,
)
from ringfence.number import Territory
from ringfence.rules import france
from ringfence.rules.rulebook import Interpretation, Judged, Rulebook, Terms, judge
from ringfence.wire import Config

__all__ = ["Answered", "Difference", "Replayed", "replay"]

OFTEN = 4096
"""Records between two words about how far a replay is."""


class Answered(msgspec.Struct, frozen=True):
    """What was answered, or would be."""

    verdict: Verdict
    reason: Reason
    retry_at: int | None
    """Unix seconds."""


class Difference(msgspec.Struct, frozen=True):
    """A record that does not say what follows from it."""

    place: Place
    record: Decided
    replayed: Answered | None
    """What follows; None: it cannot be told."""
    why: str = ""
    """Why it cannot."""

    @property
    def recorded(self) -> Answered:
        return Answered(self.record.verdict, self.record.reason, self.record.retry_at)


class Replayed(msgspec.Struct):
    """What a replay has come to."""

    decisions: int = 0
    differing: int = 0
    """Those that cannot be told are among them."""
    first: Difference | None = None


def replay(
    records: Iterable[tuple[Place, AnyRecord]],
    *,
    interpretation: Interpretation | None = None,
    told: Callable[[Place, Replayed], None] = lambda _place, _so_far: None,
) -> Replayed:
    """Decide every record again, with the rulebook it names and the terms that stand before it.

    With *interpretation* all are decided in that reading instead. *told* hears from time to time
    how far it is. Raises what *records* raises.
    """
    result, chain, terms = Replayed(), "", _Terms()
    books = _Books(interpretation)
    for count, (place, record) in enumerate(records, 1):
        if count % OFTEN == 0:
            told(place, result)
        if place.chain != chain:
            chain, terms = place.chain, _Terms()
        if isinstance(record, Configured):
            terms.learn(record)
        elif isinstance(record, Decided):
            result.decisions += 1
            difference = _compare(place, record, terms, books)
            if difference is not None:
                result.differing += 1
                result.first = result.first or difference
    return result


def _compare(place: Place, record: Decided, terms: "_Terms", books: "_Books") -> Difference | None:
    try:
        judged = _judge(record, terms, books)
    except (EvidenceError, LookupError) as error:
        return Difference(place, record, None, str(error.args[0]))
    retry_at = None if judged.retry_at is None else int(judged.retry_at.timestamp())
    if (
        judged.verdict is record.verdict
        and judged.reason is record.reason
        and retry_at == record.retry_at
    ):
        return None
    return Difference(place, record, Answered(judged.verdict, judged.reason, retry_at))


def _judge(record: Decided, terms: "_Terms", books: "_Books") -> Judged:
    """Raises `LookupError`, or `EvidenceError`, where something that it rests on is not known."""
    places = None if record.territories is None else _places(record.territories)
    # What the gate doubted of itself is taken from the record: no rule can find it.
    doubt = record.reason if record.reason in DOUBTS else None
    if record.principal and places == ():
        # Of a number outside the rulebook no terms are asked, and the tables that name them may
        # not have been there.
        doubt = Reason.NOT_READY
    return judge(
        books.named(record.rulebook),
        terms.of(record) if doubt is None and places is not None else None,
        places,
        record.caller_id,
        (record.ground, record.restraints),
        record.at,
        doubt=doubt,
    )


@lru_cache(maxsize=1024)
def _places(spelt: tuple[str, ...]) -> tuple[Territory, ...]:
    # The same tuple each time: what the rules remember is remembered of it.
    return territories(spelt)


class _Books:
    """The rulebooks that records name."""

    def __init__(self, interpretation: Interpretation | None) -> None:
        self._instead = None if interpretation is None else france.rulebook(interpretation)
        self._known: dict[str, Rulebook] = {}

    def named(self, version: str) -> Rulebook:
        if self._instead is not None:
            return self._instead
        book = self._known.get(version)
        if book is None:
            book = self._known[version] = france.rulebook_of(version)
        return book


class _Terms:
    """What the configurations of one chain say of its campaigns, up to where the replay is."""

    def __init__(self) -> None:
        self._configs: dict[tuple[str, int, int], Config] = {}
        self._terms: dict[tuple[str, int, int, str], Terms] = {}

    def learn(self, record: Configured) -> None:
        """Hear a configuration; the same told again, as each segment does, changes nothing."""
        config = record.config
        key = (record.principal, config.epoch, config.version)
        if self._configs.get(key) != config:
            self._configs[key] = config
            self._terms = {k: terms for k, terms in self._terms.items() if k[:3] != key}

    def of(self, record: Decided) -> Terms | None:
        """Give the terms of a decision; None if its gate knew no such campaign."""
        if not record.principal:
            return None
        key = (record.principal, record.epoch, record.config, record.campaign)
        terms = self._terms.get(key)
        if terms is None:
            terms = self._terms[key] = self._work_out(*key)
        return terms

    def _work_out(self, principal: str, epoch: int, version: int, name: str) -> Terms:
        config = self._configs.get((principal, epoch, version))
        if config is None:
            msg = (
                f"no configuration of {principal} of epoch {epoch}, version {version}, stands"
                " before it"
            )
            raise LookupError(msg)
        campaign = config.campaigns.get(name)
        if campaign is None:
            msg = f"version {version} of the configuration of {principal} has no campaign {name!r}"
            raise LookupError(msg)
        return Terms.of(campaign, sound_texts(campaign, config.texts, config.index))
