"""What may happen to one person and be asked: close together, so that ties are frequent."""

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import strategies as st

from ringfence.call import Call
from ringfence.campaign import SECTORS, Audience, Campaign, DialMode
from ringfence.event import (
    Attempt,
    AttemptCancelled,
    Bloctel,
    Callback,
    Consent,
    Contract,
    ContractEnded,
    Event,
    Keys,
    Objection,
    ObjectionLifted,
    Refusal,
    Slot,
    Withdrawal,
)
from ringfence.row import OPEN_END, Ground, Restraint, day_in, day_of
from ringfence.rules.rulebook import Interpretation, Terms

__all__ = [
    "FAMILIES",
    "STARTS",
    "STEPS",
    "TEXTS",
    "calls",
    "contradictions",
    "events",
    "grounds",
    "moments",
    "readings",
    "restraining_events",
    "restraints",
    "terms",
]

SOUND = 1
DEFECTIVE = 2
TEXTS = {"sound": SOUND, "defective": DEFECTIVE}
VERIFIED = "+33162000001"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

# --- what happened --------------------------------------------------------------------------------

STARTS = [
    datetime(2026, 5, 4, tzinfo=UTC),  # all in the old regime
    datetime(2026, 8, 3, tzinfo=UTC),  # across 11 August 2026
    datetime(2026, 11, 2, tzinfo=UTC),
]


# Few instants, so that two events often share one.
STEPS = [0, 0, 1, 1, 2, 3, 12]


def _spoken(start: datetime) -> list[list[Event]]:
    """Give examples of each kind that is no restraint."""
    ends = [None, *((start + n * DAY).date() for n in (-3, 1, 20, 100))]
    return [
        [Consent(text=text, until=end) for text in ("sound", "defective", "lost") for end in ends],
        [Contract(until=end) for end in ends],
        [Callback(), Callback(explicit=True)],
        [
            Slot(start=start + n * HOUR, minutes=minutes)
            for n in (0, 12, 20, 36, 155, 200)
            for minutes in (None, 30, 720)
        ],
        [ObjectionLifted()],
        [AttemptCancelled(call=call) for call in "abcdef"],
    ]


def _restraining(start: datetime) -> list[list[Event]]:
    return [
        [Withdrawal()],
        [ContractEnded()],
        [Refusal()],
        [Objection()],
        [Attempt(call=call) for call in "abcdef"],
        [Bloctel(until=(start + n * DAY).date()) for n in (-3, 1, 4, 20, 100)],
    ]


def _sealed(
    start: datetime, kinds: list[list[Event]], shifts: list[int]
) -> st.SearchStrategy[Event]:
    """Draw an event as the ledger has it; *shifts*: days that its date may be off its instant."""

    def seal(event: Event, step: int, shift: int) -> Event:
        at = start + 6 * HOUR * step
        on = day_in("Europe/Paris", at) + shift * DAY
        keys = Keys(purpose=1) if event.purposeful else Keys(number=1)
        return msgspec.structs.replace(event, id="e", at=at, on=on, keys=keys)

    return st.builds(
        seal,
        st.one_of([st.sampled_from(kind) for kind in kinds]),
        st.sampled_from(STEPS),
        st.sampled_from(shifts),
    )


def events(start: datetime, *, dated: bool = False) -> st.SearchStrategy[list[Event]]:
    """Draw events of every kind; *dated*: their dates were stated, and may be off."""
    every = _spoken(start) + _restraining(start)
    return st.lists(_sealed(start, every, [0, 0, -1, 1] if dated else [0]), max_size=8)


FAMILIES: list[tuple[type[Event], ...]] = [
    (Consent, Withdrawal),
    (Contract, ContractEnded),
    (Callback,),
    (Slot,),
    (Refusal, Bloctel),
    (Objection, ObjectionLifted),
    (Attempt, AttemptCancelled),
]
"""Kinds that speak of the same thing, and so may contradict each other."""


def contradictions(
    start: datetime, family: tuple[type[Event], ...], *, dated: bool = True
) -> st.SearchStrategy[list[Event]]:
    kinds = [kind for kind in _spoken(start) + _restraining(start) if isinstance(kind[0], family)]
    return st.lists(_sealed(start, kinds, [0, 0, -1, 1] if dated else [0]), max_size=4)


def restraining_events(start: datetime) -> st.SearchStrategy[Event]:
    return _sealed(start, _restraining(start), [0])


# --- what is known, as rows -----------------------------------------------------------------------


def _sometimes(
    draw: st.DrawFn, chances: int, value: st.SearchStrategy[int], otherwise: int = 0
) -> int:
    """Draw *value* in one of so many cases."""
    return draw(value) if draw(st.integers(1, chances)) == chances else otherwise


@st.composite
def grounds(draw: st.DrawFn, now: datetime) -> Ground:
    """Draw a row such as events before *now* leave."""
    today = day_of(now.date()) - 1  # a day behind: no statement lies ahead of any consumer's clock
    given_on = draw(st.integers(today - 380, today) | st.integers(today - 6, today))
    consent_from = _sometimes(draw, 5, st.just(0), otherwise=given_on)
    asked_on = _sometimes(draw, 3, st.integers(today - 20, today))
    named_on = asked_on and draw(st.sampled_from([0, asked_on, asked_on - 4]))
    agreed = draw(st.booleans())
    quarters = draw(st.integers(-200, 1500))
    return Ground(
        text=consent_from and _sometimes(draw, 6, st.just(DEFECTIVE), otherwise=SOUND),
        withdrawn=consent_from > 0 and draw(st.integers(1, 8)) == 1,
        consent_from=consent_from,
        consent_until=consent_from and _sometimes(draw, 3, st.integers(today - 5, today + 100)),
        contract_until=_sometimes(draw, 4, st.just(OPEN_END) | st.integers(today - 5, today + 99)),
        callback_on=asked_on,
        named_callback_on=named_on,
        slot_at=int(now.timestamp()) // 900 * 900 + 900 * quarters if agreed else 0,
        slot_minutes=draw(st.sampled_from([0, 5, 30, 720])) if agreed else 0,
    )


@st.composite
def restraints(draw: st.DrawFn, now: datetime) -> Restraint:
    today = day_of(now.date())
    tried = draw(st.lists(st.integers(today - 40, today), max_size=6))
    first, second, third, fourth = sorted([*tried, 0, 0, 0, 0], reverse=True)[:4]
    return Restraint(
        refused_on=_sometimes(
            draw, 3, st.integers(today - 90, today) | st.integers(today - 6, today)
        ),
        objected=draw(st.integers(1, 25)) == 1,
        attempts=(first, second, third, fourth),
        bloctel_until=_sometimes(draw, 3, st.integers(today - 9, today + 99)),
    )


# --- what is asked --------------------------------------------------------------------------------

readings = st.sampled_from(Interpretation)

moments = st.builds(
    lambda base, quarters, seconds: base + timedelta(minutes=15 * quarters, seconds=seconds),
    st.sampled_from(
        [*STARTS, datetime(2026, 8, 10, tzinfo=UTC), datetime(2027, 3, 24, tzinfo=UTC)]
    ),
    st.integers(0, 4 * 24 * 8) | st.integers(0, 4 * 24 * 90),
    st.sampled_from([0, 0, 1, 450, 899]),
)

terms: st.SearchStrategy[Terms] = st.builds(
    lambda sector, mode, commercial, audience: Terms.of(
        Campaign(
            principal="acme",
            purpose="fibre",
            sector=sector,
            operator="callco",
            dial_mode=mode,
            caller_ids=frozenset([VERIFIED]),
            commercial=commercial,
            audience=audience,
        ),
        frozenset([SOUND]),
    ),
    st.sampled_from(["telecom"] * 6) | st.sampled_from(sorted(SECTORS)),
    st.sampled_from([DialMode.PREVIEW] * 3) | st.sampled_from(DialMode),
    st.sampled_from([True] * 15 + [False]),
    st.sampled_from([Audience.CONSUMER] * 15 + [Audience.BUSINESS]),
)

calls: st.SearchStrategy[Call] = st.builds(
    Call,
    id=st.just("c"),
    campaign=st.just("acme-fibre"),
    to=st.sampled_from(
        ["+33639980001"] * 4 + ["+262692000001", "+596596000001", "+590690000001", "+508410000"]
    ),
    caller_id=st.sampled_from([VERIFIED] * 15 + ["+33639980099"]),
    department=st.none() | st.sampled_from([None, "67", "2A", "972", "974", "976"]),
    zone=st.none() | st.sampled_from([None, None, "Europe/Paris", "Indian/Reunion"]),
)
