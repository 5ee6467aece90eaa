"""Events to rows: the same set of events gives the same row, in any order, however often told.

At equal instants the statement that restrains wins. `fold_*` is for whoever has all events of a
key (the ledger). `onto_*` is for a gate, which has the ledger's row and the few events of its own
that the row does not show yet; where a row cannot tell which came later, it keeps what restrains.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

import msgspec

from ringfence.event import (
    Attempt,
    AttemptCancelled,
    Bloctel,
    Callback,
    Consent,
    Contract,
    ContractEnded,
    Event,
    Objection,
    ObjectionLifted,
    Refusal,
    Slot,
    Withdrawal,
)
from ringfence.row import NO_GROUND, OPEN_END, Ground, Restraint, day_of

__all__ = ["UNKNOWN_TEXT", "fold_ground", "fold_restraint", "onto_ground", "onto_restraint"]

UNKNOWN_TEXT = 0x7FFF
"""Index of a text that the registry does not hold; no campaign accepts it."""

_KEPT_ATTEMPTS = 4


def fold_ground(events: Iterable[Event], texts: Mapping[str, int]) -> Ground:
    """Fold all events of one number and purpose. *texts* gives the index of a consent text."""
    known = list(events)
    if len(known) == 1 and isinstance(known[0], Consent):  # what imports are made of: a tenth of
        return _of_consent(known[0], texts)  # the time
    return _with_slot(
        _with_callbacks(_with_contract(_with_consent(NO_GROUND, known, texts), known), known), known
    )


def _of_consent(event: Consent, texts: Mapping[str, int]) -> Ground:
    return Ground(
        text=texts.get(event.text, UNKNOWN_TEXT),
        consent_from=day_of(event.stated().on),
        consent_until=day_of(event.until),
    )


def onto_ground(row: Ground, events: Iterable[Event], texts: Mapping[str, int]) -> Ground:
    """Show a gate's own *events* over the ledger's *row*."""
    own = list(events)
    consent = _with_consent(NO_GROUND, own, texts)
    if _later_consent(consent, row):
        row = msgspec.structs.replace(
            row,
            text=consent.text,
            withdrawn=consent.withdrawn,
            consent_from=consent.consent_from,
            consent_until=consent.consent_until,
        )
    if any(isinstance(e, ContractEnded) for e in own):
        row = msgspec.structs.replace(row, contract_until=0)
    return _with_callbacks(row, own)


def _later_consent(own: Ground, row: Ground) -> bool:
    """Whether the own statement is the later: by day, which a row knows, not by instant.

    So a withdrawal shows at once whatever its date, and a consent does not show over a withdrawal,
    or over another consent of its day, until the ledger says that it came after it.
    """
    if own.withdrawn:
        return True
    return own.consent_from > row.consent_from and not row.withdrawn


def fold_restraint(events: Iterable[Event]) -> Restraint:
    """Fold all events of one number, or of one consumer."""
    known = list(events)
    return Restraint(
        refused_on=_last_day(known, Refusal),
        objected=isinstance(_latest(known, Objection, ObjectionLifted, _objects), Objection),
        attempts=_newest(_attempt_days(known)),
        bloctel_until=max((day_of(e.until) for e in known if isinstance(e, Bloctel)), default=0),
    )


def onto_restraint(row: Restraint, events: Iterable[Event]) -> Restraint:
    """Show a gate's own *events* over the ledger's *row*.

    Only what restrains more: an objection lifted and an attempt given back wait for the ledger's
    next row.
    """
    own = fold_restraint(e for e in events if not isinstance(e, AttemptCancelled))
    return Restraint(
        refused_on=max(row.refused_on, own.refused_on),
        objected=row.objected or own.objected,
        attempts=_newest([*row.attempts, *own.attempts]),
        bloctel_until=max(row.bloctel_until, own.bloctel_until),
    )


def _with_consent(row: Ground, events: list[Event], texts: Mapping[str, int]) -> Ground:
    """The latest statement stands, even if an older one was better."""
    last = _latest(events, Consent, Withdrawal, _consent_rank)
    if last is None:
        return row
    said = day_of(last.stated().on)
    if isinstance(last, Consent):
        # Shown two texts at one instant, nobody can tell to which of them the person agreed.
        shown = {e.text for e in events if isinstance(e, Consent) and e.at == last.at}
        return msgspec.structs.replace(
            row,
            text=texts.get(last.text, UNKNOWN_TEXT) if len(shown) == 1 else UNKNOWN_TEXT,
            consent_from=said,
            consent_until=day_of(last.until),
        )
    return msgspec.structs.replace(row, withdrawn=True, consent_from=said)


def _consent_rank(event: Event) -> tuple[int, ...]:
    if not isinstance(event, Consent):
        return (1, day_of(event.on))
    until = day_of(event.until) or OPEN_END
    return (0, -day_of(event.on), -until)


def _with_contract(row: Ground, events: list[Event]) -> Ground:
    last = _latest(events, Contract, ContractEnded, _contract_rank)
    if not isinstance(last, Contract):
        return row
    until = OPEN_END if last.until is None else day_of(last.until)
    return msgspec.structs.replace(row, contract_until=until)


def _contract_rank(event: Event) -> tuple[int, ...]:
    if not isinstance(event, Contract):
        return (1,)
    return (0, -(day_of(event.until) or OPEN_END))


def _with_callbacks(row: Ground, events: list[Event]) -> Ground:
    asked = [e for e in events if isinstance(e, Callback)]
    named = [e for e in asked if e.explicit]
    return msgspec.structs.replace(
        row,
        callback_on=max(row.callback_on, _last_day(asked, Callback)),
        named_callback_on=max(row.named_callback_on, _last_day(named, Callback)),
    )


def _with_slot(row: Ground, events: list[Event]) -> Ground:
    last = _latest(events, Slot, Slot, _slot_rank)
    if not isinstance(last, Slot):
        return row
    return msgspec.structs.replace(
        row, slot_at=int(last.start.timestamp()), slot_minutes=last.minutes or 0
    )


def _slot_rank(event: Event) -> tuple[int, ...]:
    if not isinstance(event, Slot):
        return ()
    return (-(event.minutes or 0), int(event.start.timestamp()))


def _attempt_days(events: list[Event]) -> list[int]:
    """One day a call; of what was said about a call the latest stands."""
    calls: dict[str, list[Event]] = {}
    for event in events:
        if isinstance(event, Attempt | AttemptCancelled):
            calls.setdefault(event.call, []).append(event)
    days = []
    for told in calls.values():
        last = _latest(told, Attempt, AttemptCancelled, _placed)
        if isinstance(last, Attempt):
            days.append(_last_day(told, Attempt))
    return days


def _newest(days: list[int]) -> tuple[int, int, int, int]:
    first, second, third, fourth = sorted([*days, 0, 0, 0, 0], reverse=True)[:_KEPT_ATTEMPTS]
    return first, second, third, fourth


def _placed(event: Event) -> tuple[int, ...]:
    return (isinstance(event, Attempt),)


def _objects(event: Event) -> tuple[int, ...]:
    return (isinstance(event, Objection),)


def _last_day(events: Iterable[Event], kind: type[Event]) -> int:
    return max((day_of(e.stated().on) for e in events if isinstance(e, kind)), default=0)


def _latest(
    events: Iterable[Event],
    kind: type[Event],
    other: type[Event],
    rank: Callable[[Event], tuple[int, ...]],
) -> Event | None:
    """Give the latest event of two kinds; *rank* decides between equal instants."""

    def order(event: Event) -> tuple[datetime, tuple[int, ...]]:
        return event.stated().at, rank(event)

    return max((e for e in events if isinstance(e, kind | other)), key=order, default=None)
