"""Consents that are about to expire, so that they can be asked for anew in time.

An event is filed under keys, and a key does not tell for which purpose a consent was given. So
those count on whose text the campaign's calls can rest. Of the persons that the campaign has asked
about the purpose is known, and how many consents are theirs is told beside; and only of these it is
known that they have refused since, which ends a consent too.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import date, timedelta

import msgspec

from ringfence.campaign import Campaign, sound_texts
from ringfence.dossier.standing import last_consent_day
from ringfence.event import AnyEvent, Consent
from ringfence.fold import fold_ground
from ringfence.ledger.archive import Archive
from ringfence.row import Ground, date_of, day_of

__all__ = ["AHEAD", "Expiring", "expiring"]

AHEAD = 30
"""Days after the end of the month."""

_YEAR = timedelta(days=366)
"""No consent lasts longer (R223-1)."""

_PART = 10_000
"""Keys whose events are held at once."""


class Expiring(msgspec.Struct, frozen=True, kw_only=True):
    """Consents whose last day is near, as the ledger has them at the instant of issue."""

    first: date
    last: date
    consents: int
    asked_about: int
    """Of these, those of persons that the campaign asked about in the month."""
    days: tuple[tuple[date, int], ...]
    """Every day of the span, and how many consents allow a call on it for the last time."""


def expiring(
    archive: Archive,
    campaign: Campaign,
    month_end: date,
    purposes: Mapping[int, int],
    refused: Container[int],
) -> Expiring:
    """Count them.

    *purposes* gives the key of a person's number by that of number and purpose, for whom the
    campaign asked about; *refused* holds the keys of numbers whose refusal or objection stands.
    """
    first, last = month_end + timedelta(days=1), month_end + timedelta(days=AHEAD)
    config = archive.config(campaign.principal)
    sound = sound_texts(campaign, config.texts, config.index)

    def last_day(ground: Ground) -> date | None:
        if ground.text not in sound:  # a withdrawal has no text
            return None
        day = date_of(last_consent_day(ground, campaign.sector))
        return day if first <= day <= last else None

    near = {
        consent.stated().key
        for _, consent in archive.told(
            campaign.principal, kinds=[Consent], first=first - _YEAR, last=last
        )
        if last_day(_alone(consent, config.index))
    }
    days: Counter[date] = Counter()
    asked_about = 0
    for key, events in _histories(archive, campaign.principal, sorted(near)):
        day = last_day(fold_ground(events, config.index))
        if day is None or purposes.get(key) in refused:
            continue
        days[day] += 1
        asked_about += key in purposes
    span = [first + timedelta(days=n) for n in range(AHEAD)]
    return Expiring(
        first=first,
        last=last,
        consents=days.total(),
        asked_about=asked_about,
        days=tuple((day, days[day]) for day in span),
    )


def _alone(consent: Consent, index: Mapping[str, int]) -> Ground:
    return Ground(
        text=index.get(consent.text, 0),
        consent_from=day_of(consent.on),
        consent_until=day_of(consent.until),
    )


def _histories(
    archive: Archive, principal: str, keys: Sequence[int]
) -> Iterator[tuple[int, list[AnyEvent]]]:
    """Give all that is filed under each key, a part of the keys at a time."""
    for start in range(0, len(keys), _PART):
        said: defaultdict[int, list[AnyEvent]] = defaultdict(list)
        for _, event in archive.events(principal, keys[start : start + _PART]):
            said[event.stated().key].append(event)
        yield from said.items()
