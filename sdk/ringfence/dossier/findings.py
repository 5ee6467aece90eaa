"""What ledger and evidence have of a person, brought together into a story."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from ringfence.dossier.chains import Chain, Evidence, Unread, unread
from ringfence.dossier.cited import cited
from ringfence.dossier.custody import custody
from ringfence.dossier.seen import seen_ground, seen_restraint
from ringfence.dossier.standing import Standing, standing
from ringfence.dossier.story import (
    FORMAT,
    Attempted,
    Entry,
    Gap,
    Person,
    PersonKeys,
    Ruled,
    Story,
    Told,
)
from ringfence.event import AnyEvent, Attempt, AttemptCancelled, Consent
from ringfence.evidence.record import Configured, Decided, Place
from ringfence.ledger.archive import Archive
from ringfence.ledger.proofs import Proofs
from ringfence.row import day_in
from ringfence.rules.words import words
from ringfence.wire import Config

__all__ = ["Sources", "tell"]


class Sources(msgspec.Struct, frozen=True):
    """What a story is put together from; what is not at hand is None, and the story says so."""

    archive: Archive | None
    proofs: Proofs | None
    evidence: Evidence | None


def tell(person: Person, sources: Sources, now: datetime, release: str) -> Story:
    """Put the story together.

    Raises `EvidenceError` and `StoreError` for what cannot be read, `LookupError` for a principal
    that the ledger does not know.
    """
    heard = _Heard(person)
    if sources.evidence is not None:
        for place, record in sources.evidence.records():
            heard.hear(place, record)
    archive = sources.archive
    config = None if archive is None else archive.config(person.principal)
    keys = _keys(person, config, heard)
    told = [] if archive is None else archive.events(person.principal, _all(keys))
    chains = () if sources.evidence is None else tuple(sources.evidence.chains)
    missing = _unread(person, archive, chains)
    ruled = list(heard.ruled())
    entries: list[Entry] = [*ruled, *_attempts(told, keys, {one.id: one for one in ruled})]
    if config is not None:
        entries += _statements(told, keys, config, sources.proofs)
    return Story(
        format=FORMAT,
        principal=person.principal,
        names=dict(person.names),
        number=person.number.e164,
        consumer=person.consumer,
        zone=person.zone,
        issued=now,
        release=release,
        keys=keys,
        standings=() if config is None else tuple(_standings(person, keys, told, config, now)),
        entries=tuple(sorted(entries, key=_order)),
        articles=cited(one.reason for one in ruled),
        chains=chains,
        gaps=tuple(_gaps(person, sources, heard, missing)),
        unread=missing,
    )


class _Heard:
    """What gates' evidence has of the person."""

    def __init__(self, person: Person) -> None:
        self._principal = person.principal
        self._number = person.keyring.number(person.number.e164)
        self._consumer = person.keyring.consumer(person.consumer) if person.consumer else 0
        self._decided: list[tuple[Place, Decided]] = []
        self._texts: dict[int, str] = {}
        self.purposes: set[str] = set()
        self.named_consumers = False

    def hear(self, place: Place, record: object) -> None:
        if isinstance(record, Decided):
            if record.principal == self._principal and self._concerns(record):
                self._decided.append((place, record))
                self.named_consumers |= record.consumer != 0
        elif isinstance(record, Configured) and record.principal == self._principal:
            # An index is given to a text once and for ever, so the names can be thrown together.
            self._texts |= {index: name for name, index in record.config.index.items()}
            self.purposes |= {c.purpose for c in record.config.campaigns.values()}

    def _concerns(self, record: Decided) -> bool:
        if record.number == self._number:
            return True
        return self._consumer != 0 and record.consumer == self._consumer

    def ruled(self) -> Iterator[Ruled]:
        for place, record in self._decided:
            sentence = words(record.reason)
            yield Ruled(
                at=_instant(record.at),
                verdict=record.verdict,
                reason=record.reason,
                french=sentence.french,
                english=sentence.english,
                articles=tuple(article.name for article in sentence.articles),
                retry_at=None if record.retry_at is None else _instant(record.retry_at),
                campaign=record.campaign,
                caller_id=record.caller_id,
                call=record.call,
                reference=record.reference,
                id=record.id,
                rulebook=record.rulebook,
                epoch=record.epoch,
                change=record.seq,
                age=record.age,
                config=record.config,
                ground=seen_ground(record.ground, self._texts),
                restraints=tuple(map(seen_restraint, record.restraints)),
                gate=place.gate,
                chain=place.chain,
                record=place.number,
                this_number=record.number == self._number,
            )


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _keys(person: Person, config: Config | None, heard: _Heard) -> PersonKeys:
    """Give the person's keys for every purpose that the principal has or had."""
    campaigns = {} if config is None else config.campaigns
    purposes = {*person.purposes, *(c.purpose for c in campaigns.values()), *heard.purposes}
    keyring, e164 = person.keyring, person.number.e164
    return PersonKeys(
        number=keyring.number(e164),
        consumer=keyring.consumer(person.consumer) if person.consumer else None,
        purposes={purpose: keyring.purpose(e164, purpose) for purpose in sorted(purposes)},
    )


def _all(keys: PersonKeys) -> Iterator[int]:
    yield keys.number
    if keys.consumer is not None:
        yield keys.consumer
    yield from keys.purposes.values()


def _statements(
    told: Iterable[tuple[int, AnyEvent]],
    keys: PersonKeys,
    config: Config,
    proofs: Proofs | None,
) -> Iterator[Told]:
    """Give what was said and what stood; calls are told as attempts."""
    purposes = {key: purpose for purpose, key in keys.purposes.items()}
    for change, event in told:
        if isinstance(event, Attempt | AttemptCancelled):
            continue
        said = event.stated()
        consent = event if isinstance(event, Consent) else None
        yield Told(
            at=said.at,
            change=change,
            purpose=purposes.get(said.key),
            event=event,
            this_number=event.purposeful or said.key == keys.number,
            text=config.texts.get(consent.text) if consent else None,
            custody=custody(consent.proof if consent else None, proofs),
        )


def _attempts(
    told: Iterable[tuple[int, AnyEvent]], keys: PersonKeys, decisions: Mapping[str, Ruled]
) -> Iterator[Attempted]:
    """Bring together what was told of each call."""
    calls: dict[str, list[tuple[int, Attempt | AttemptCancelled]]] = {}
    for change, event in told:
        if isinstance(event, Attempt | AttemptCancelled):
            calls.setdefault(event.call, []).append((change, event))
    for call, tellings in calls.items():
        events = sorted((event for _, event in tellings), key=_later)
        first, last = events[0].stated(), events[-1]
        outcomes = [e.outcome for e in events if isinstance(e, Attempt) and e.outcome is not None]
        cancelled = isinstance(last, AttemptCancelled)
        proved = decisions.get(call)
        yield Attempted(
            at=first.at,
            on=last.stated().on,
            call=call,
            outcome=outcomes[-1] if outcomes else None,
            cancelled=cancelled,
            closed_at=last.stated().at if cancelled or outcomes else None,
            changes=tuple(sorted(change for change, _ in tellings)),
            gate=proved.gate if proved else None,
            record=proved.record if proved else None,
            this_number=first.key == keys.number,
        )


def _later(event: Attempt | AttemptCancelled) -> tuple[datetime, bool]:
    """At equal instants an attempt stands over its cancellation, as in the fold."""
    return event.stated().at, isinstance(event, Attempt)


def _standings(
    person: Person,
    keys: PersonKeys,
    told: Sequence[tuple[int, AnyEvent]],
    config: Config,
    now: datetime,
) -> Iterator[Standing]:
    today = day_in(person.zone, now)
    for purpose, key in keys.purposes.items():
        concerning = [e for _, e in told if not e.purposeful or e.stated().key == key]
        yield standing(purpose, concerning, config, today)


def _order(entry: Entry) -> tuple[datetime, int]:
    """At the same instant: what was said, what was decided on it, the call."""
    return entry.at, (Told, Ruled, Attempted).index(type(entry))


def _unread(person: Person, archive: Archive | None, chains: Iterable[Chain]) -> tuple[Unread, ...]:
    if archive is None:
        return ()
    return unread((h for h in archive.heads() if h.principal == person.principal), chains)


def _gaps(
    person: Person, sources: Sources, heard: _Heard, missing: Sequence[Unread]
) -> Iterator[Gap]:
    if sources.archive is None:
        yield Gap.NO_LEDGER
    if sources.evidence is None:
        yield Gap.NO_EVIDENCE
    if missing:
        yield Gap.UNREAD_CHAINS
    if heard.named_consumers and person.consumer is None:
        yield Gap.OTHER_NUMBERS
