"""What a gate saw of a person when it decided: its rows, as dates and names.

A field is left out of JSON where the gate saw nothing of the kind.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime

import msgspec

from ringfence.row import OPEN_END, Facts, Ground, Restraint, date_of

__all__ = ["SeenGround", "SeenRestraint", "seen_ground", "seen_restraint"]


class SeenGround(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Why the call might have been lawful."""

    consent_on: date | None = None
    """Of the latest statement, be it consent or withdrawal."""
    consent_until: date | None = None
    """Last day, if one was stated."""
    consent_text: str | None = None
    withdrawn: bool = False
    contract: bool = False
    contract_until: date | None = None
    """None: no end was stated."""
    callback_on: date | None = None
    named_callback_on: date | None = None
    """Of the latest request that named the company."""
    slot_at: datetime | None = None
    slot_minutes: int = 0
    """0: the agreed time, give or take five minutes."""


class SeenRestraint(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Why the call might not have been."""

    refused_on: date | None = None
    objected: bool = False
    attempts: tuple[date, ...] = ()
    """Days of the latest four, newest first."""
    bloctel_until: date | None = None


def seen_ground(facts: Facts, texts: Mapping[int, str]) -> SeenGround:
    """Read a ground row; *texts* names the consent texts by their index."""
    ground = Ground.unpack(facts)
    text = texts.get(ground.text, f"text {ground.text}") if ground.text else None
    return SeenGround(
        consent_on=_day(ground.consent_from),
        consent_until=_day(ground.consent_until),
        consent_text=text,
        withdrawn=ground.withdrawn,
        contract=ground.contract_until > 0,
        contract_until=None if ground.contract_until == OPEN_END else _day(ground.contract_until),
        callback_on=_day(ground.callback_on),
        named_callback_on=_day(ground.named_callback_on),
        slot_at=datetime.fromtimestamp(ground.slot_at, UTC) if ground.slot_at else None,
        slot_minutes=ground.slot_minutes,
    )


def seen_restraint(facts: Facts) -> SeenRestraint:
    restraint = Restraint.unpack(facts)
    return SeenRestraint(
        refused_on=_day(restraint.refused_on),
        objected=restraint.objected,
        attempts=tuple(date_of(day) for day in restraint.attempts if day),
        bloctel_until=_day(restraint.bloctel_until),
    )


def _day(day: int) -> date | None:
    return date_of(day) if day else None
