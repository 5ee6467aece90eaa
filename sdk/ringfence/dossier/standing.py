"""How a person's consent to one purpose stands on a day: the ledger's fold, in words.

It is the fold that decides (`ringfence.fold`), as for the rows of a gate, so that a dossier and a
gate never differ.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum

import msgspec

from ringfence.campaign import Campaign, Text, sound_texts
from ringfence.dossier.day_only import day_only
from ringfence.dossier.flaws import Flaw, flaws
from ringfence.event import AnyEvent, Consent, Event, Objection, Refusal, Withdrawal
from ringfence.fold import fold_ground, fold_restraint
from ringfence.row import Ground, date_of, day_of
from ringfence.rules.france import last_consent_day
from ringfence.wire import Config

__all__ = ["Standing", "State", "last_consent_day", "standing"]


class State(StrEnum):
    """What has become of the latest consent."""

    NONE = "none"
    """None was ever given."""
    IN_FORCE = "in_force"
    DEFECTIVE = "defective"
    """It has not ended, but no campaign's calls can rest on the text that was shown."""
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"
    """The person refused to be canvassed, which withdraws every consent."""
    OBJECTED = "objected"
    """The person objected to all canvassing by the principal."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A purpose, the latest consent to it, and how it stands."""

    purpose: str
    state: State
    consent: Consent | None = None
    last_day: date | None = None
    """Last day on which the consent alone would have allowed a call: as stated, the day before its
    anniversary, and thirty days on for insurance, whichever comes first."""
    ended_at: datetime | None = None
    """When it was withdrawn, refused or objected to."""
    ended_on: date | None = None
    """The day of that, where only the day is known."""
    campaigns: tuple[str, ...] = ()
    """Campaigns for the purpose whose calls can rest on the text that was shown."""
    flaws: tuple[Flaw, ...] = ()
    """If it is defective: why the gates deny the calls of the purpose's campaigns."""


def standing(
    purpose: str,
    events: Sequence[AnyEvent],
    config: Config,
    today: date,
) -> Standing:
    """Tell how the purpose stands, of all events of the person that concern it."""
    grounds = [e for e in events if e.purposeful]
    restraint = fold_restraint(e for e in events if not e.purposeful)
    consents = [e for e in grounds if isinstance(e, Consent)]
    given = fold_ground(consents, config.index)
    campaigns = {n: c for n, c in config.campaigns.items() if c.purpose == purpose}
    last = _last_day(given, campaigns.values())
    covered = _covered(given, campaigns, config)
    if restraint.objected:
        state = State.OBJECTED
    elif restraint.refused_on and restraint.refused_on >= given.consent_from:
        state = State.REFUSED
    elif not consents:
        state = State.NONE
    elif fold_ground(grounds, config.index).withdrawn:
        state = State.WITHDRAWN
    elif day_of(today) > last:
        state = State.EXPIRED
    else:
        state = State.IN_FORCE if covered or not campaigns else State.DEFECTIVE
    end = _end(state, events)
    return Standing(
        purpose=purpose,
        state=state,
        consent=_latest(consents, given),
        last_day=date_of(last) if consents else None,
        ended_at=None if end is None else end.stated().at,
        ended_on=end.stated().on if end is not None and day_only(end) else None,
        campaigns=covered,
        flaws=_flaws(given, campaigns, config) if state is State.DEFECTIVE else (),
    )


def _last_day(given: Ground, campaigns: Iterable[Campaign]) -> int:
    """Where campaigns of several sectors share the purpose, the shortest holds."""
    sectors = {campaign.sector for campaign in campaigns} or {"other"}
    return min(last_consent_day(given, sector) for sector in sectors)


def _latest(consents: Iterable[Consent], given: Ground) -> Consent | None:
    """Find the consent that the fold kept."""
    kept = (
        c
        for c in sorted(consents, key=lambda c: c.stated().at, reverse=True)
        if (day_of(c.on), day_of(c.until)) == (given.consent_from, given.consent_until)
    )
    return next(kept, None)


_ENDS: dict[State, type[Event]] = {
    State.WITHDRAWN: Withdrawal,
    State.REFUSED: Refusal,
    State.OBJECTED: Objection,
}


def _end(state: State, events: Iterable[AnyEvent]) -> AnyEvent | None:
    kind = _ENDS.get(state)
    if kind is None:
        return None
    ends = (event for event in events if isinstance(event, kind))
    return max(ends, key=lambda event: event.stated().at, default=None)


def _covered(given: Ground, campaigns: Mapping[str, Campaign], config: Config) -> tuple[str, ...]:
    return tuple(
        name
        for name, campaign in sorted(campaigns.items())
        if given.text in sound_texts(campaign, config.texts, config.index)
    )


def _flaws(given: Ground, campaigns: Mapping[str, Campaign], config: Config) -> tuple[Flaw, ...]:
    """Tell what is wrong with the text for any of the campaigns, of which it covers none."""
    text = _text(given, config)
    found = {flaw for campaign in campaigns.values() for flaw in flaws(text, campaign)}
    return tuple(flaw for flaw in Flaw if flaw in found)


def _text(given: Ground, config: Config) -> Text | None:
    names = (name for name, index in config.index.items() if index == given.text)
    return config.texts.get(next(names, ""))
