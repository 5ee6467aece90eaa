"""Something that happened to a number: immutable, with an id, told once or many times.

An event names the person by telephone number while it stays in the process that heard of it, and
by keys everywhere else: `sealed` turns the one form into the other.
"""

import re
from datetime import UTC, date, datetime
from typing import Self

import msgspec

from ringfence.call import Outcome, new_id
from ringfence.number import METROPOLE, Keyring, Number, Territory, parse
from ringfence.row import day_in

__all__ = [
    "AnyEvent",
    "Attempt",
    "AttemptCancelled",
    "Bloctel",
    "Callback",
    "Consent",
    "Contract",
    "ContractEnded",
    "Event",
    "Keys",
    "Objection",
    "ObjectionLifted",
    "Refusal",
    "Slot",
    "Statement",
    "Withdrawal",
]

_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_NAME = re.compile(r"[a-z0-9_-]{1,48}")
MAX_SLOT = 720
"""Longest slot in minutes: what is agreed is a precise time, not a day (C. conso. L223-1 al. 6)."""


def _tag(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


class Keys(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The pseudonyms under which an event is filed: never a telephone number."""

    number: int | None = None
    """Key of the number."""
    purpose: int | None = None
    """Key of the number and the purpose."""
    consumer: int | None = None
    """Key of the consumer's id, where the principal has one."""


class Event(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag=_tag,
):
    """What all kinds share.

    Raises `ValueError` for an id or name that no topic or table could carry, and for an instant
    without its offset.
    """

    id: str = msgspec.field(default_factory=new_id)
    at: datetime | None = None
    """The instant, with its offset; None: now, by the clock of whoever records it."""
    on: date | None = None
    """The consumer's date at that instant; None: as the territory of the number tells."""
    source: str = ""
    """Where it was said: `web`, `agent:17`, `crm`."""
    principal: str | None = None
    to: str | None = None
    purpose: str | None = None
    consumer: str | None = None
    keys: Keys | None = None

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            msg = f"an event's id has 1 to 64 letters, digits, `.`, `_`, `:`, `-`: {self.id!r}"
            raise ValueError(msg)
        if self.at is not None and self.at.tzinfo is None:
            msg = f"`at` needs its offset from UTC: {self.at.isoformat()}"
            raise ValueError(msg)
        for field, name in (("principal", self.principal), ("purpose", self.purpose)):
            if name is not None and not _NAME.fullmatch(name):
                msg = f"`{field}` has 1 to 48 of a-z, 0-9, `_`, `-`: {name!r}"
                raise ValueError(msg)

    def sealed(
        self, keyring: Keyring, now: datetime, territories: tuple[Territory, ...] = ()
    ) -> Self:
        """Give this event as it may leave the process: keys instead of the number.

        *territories* are where the consumer is known to be; by default the number tells. Raises
        `InvalidNumber`, and `ValueError` where a ground has no purpose or nobody is named.
        """
        if self.to is None:
            msg = f"{self.kind} {self.id} names nobody: give `to`, the number"
            raise ValueError(msg)
        if self.purposeful and self.purpose is None:
            msg = f"{self.kind} {self.id} needs a `purpose`: a ground is specific to one"
            raise ValueError(msg)
        number = parse(self.to)
        at = (self.at or now).astimezone(UTC)
        return msgspec.structs.replace(
            self,
            at=at,
            on=self.on or self._date(at, territories or number.territories),
            keys=self._keys(keyring, number),
            to=None,
            purpose=None,
            consumer=None,
        )

    def _keys(self, keyring: Keyring, number: Number) -> Keys:
        if self.purposeful:
            return Keys(purpose=keyring.purpose(number.e164, self.purpose or ""))
        return Keys(
            number=keyring.number(number.e164),
            consumer=keyring.consumer(self.consumer) if self.consumer else None,
        )

    def _date(self, at: datetime, territories: tuple[Territory, ...]) -> date:
        """Where the number leaves two dates open, the one that restrains longer."""
        dates = [day_in(t.zone, at) for t in territories or (METROPOLE,)]
        return min(dates) if self.purposeful else max(dates)

    @property
    def kind(self) -> str:
        return str(self.__struct_config__.tag)

    @property
    def purposeful(self) -> bool:
        """Whether it speaks of one purpose (grounds) or of the person as a whole (restraints)."""
        return isinstance(self, Consent | Withdrawal | Contract | ContractEnded | Callback | Slot)

    def stated(self) -> "Statement":
        """Give the instant and the date of a sealed event; raises `ValueError` for another."""
        keys, at, on = self.keys, self.at, self.on
        if self.to is not None or self.purpose is not None or self.consumer is not None:
            msg = f"{self.kind} {self.id} carries a telephone number or a name: publish keys"
            raise ValueError(msg)
        key = None if keys is None else keys.purpose if self.purposeful else keys.number
        if key is None or at is None or on is None:
            wanted = "keys.purpose" if self.purposeful else "keys.number"
            msg = f"{self.kind} {self.id} needs `{wanted}`, `at` and `on`"
            raise ValueError(msg)
        return Statement(at, on, key)


class Statement(msgspec.Struct, frozen=True):
    """When a sealed event was said, and under which key it is filed."""

    at: datetime
    on: date
    key: int


class Consent(Event, frozen=True, kw_only=True):
    """The person agreed to be called, having been shown *text*."""

    text: str
    until: date | None = None
    """Last day, if one was stated."""


class Withdrawal(Event, frozen=True, kw_only=True):
    """The person took a consent back (R223-3)."""


class Refusal(Event, frozen=True, kw_only=True):
    """The person refused the offer: withdraws every consent, and starts sixty days of silence."""


class Objection(Event, frozen=True, kw_only=True):
    """The person never wants to be called by this principal."""


class ObjectionLifted(Event, frozen=True, kw_only=True):
    """The person took the objection back."""


class Attempt(Event, frozen=True, kw_only=True):
    """A call was placed, or is about to be; told again with its outcome it is still one attempt."""

    call: str
    outcome: Outcome | None = None


class AttemptCancelled(Event, frozen=True, kw_only=True):
    """The call was not placed after all."""

    call: str


class Contract(Event, frozen=True, kw_only=True):
    """A contract with the person is in progress (L223-1 al. 4)."""

    until: date | None = None


class ContractEnded(Event, frozen=True, kw_only=True):
    """The contract is over."""


class Callback(Event, frozen=True, kw_only=True):
    """The person asked to be called back (R223-4)."""

    explicit: bool = False
    """Asked of the company by name."""


class Slot(Event, frozen=True, kw_only=True):
    """The person agreed to a precise date and time (L223-1 al. 6)."""

    start: datetime
    minutes: int | None = None
    """Length of the slot; None: the agreed time, give or take five minutes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start.tzinfo is None:
            msg = f"`start` needs its offset from UTC: {self.start.isoformat()}"
            raise ValueError(msg)
        if self.minutes is not None and not 0 < self.minutes <= MAX_SLOT:
            msg = f"a slot has 1 to {MAX_SLOT} minutes, not {self.minutes}"
            raise ValueError(msg)


class Bloctel(Event, frozen=True, kw_only=True):
    """The number is on the opposition list, which ended on 11 August 2026."""

    until: date


AnyEvent = (
    Consent | Withdrawal | Refusal | Objection | ObjectionLifted | Attempt | AttemptCancelled
    | Contract | ContractEnded | Callback | Slot | Bloctel
)  # fmt: skip
"""Every kind, told apart by the field `kind`."""
