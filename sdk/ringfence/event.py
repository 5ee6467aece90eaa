"""Something that happened to a number: immutable, with an id, told once or many times.

An event names the person by telephone number while it stays in the process that heard of it, and
by keys everywhere else: `sealed` turns the one form into the other.
"""

import re
from datetime import UTC, date, datetime, timedelta
from typing import ClassVar, NoReturn, Self

import msgspec

from ringfence.call import Outcome, new_id
from ringfence.campaign import Channel
from ringfence.number import METROPOLE, Keyring, Number, Territory, parse
from ringfence.row import Restraint, day_in, day_of

__all__ = [
    "AnyEvent",
    "Attempt",
    "AttemptCancelled",
    "Bloctel",
    "Callback",
    "Cap",
    "Consent",
    "Contract",
    "ContractEnded",
    "Event",
    "Keys",
    "Objection",
    "ObjectionLifted",
    "Proof",
    "Refusal",
    "Slot",
    "Statement",
    "Withdrawal",
]

_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_NAME = re.compile(r"[a-z0-9_-]{1,48}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FIRST_YEAR, _LAST_YEAR = 2, 9998  # so that it has a date on every clock, and days on both sides
_FIRST = datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC)
_END = datetime(_LAST_YEAR + 1, 1, 1, tzinfo=UTC)
_FIRST_DAY, _LAST_DAY = _FIRST.date() - timedelta(days=1), _END.date()
"""As the clocks of some territory show those instants."""
MAX_TEXT = 256
"""Longest of the texts that are kept as they are: an event fits in a message with many others."""
MAX_SLOT = 720
"""Longest slot in minutes: what is agreed is a precise time, not a day (C. conso. L223-1 al. 6)."""


def _tag(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def _check_instant(field: str, at: datetime | None) -> None:
    if at is None:
        return
    if at.tzinfo is None:
        msg = f"`{field}` needs its offset from UTC: {at.isoformat()}"
        raise ValueError(msg)
    if not _FIRST <= at < _END:
        _refuse_year(field, at)


def _refuse_year(field: str, said: date) -> NoReturn:
    msg = f"`{field}` lies between the years {_FIRST_YEAR} and {_LAST_YEAR}, not {said.isoformat()}"
    raise ValueError(msg)


class Keys(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """The pseudonyms under which an event is filed: never a telephone number."""

    number: int | None = None
    """Key of the number."""
    purpose: int | None = None
    """Key of the number and the purpose."""
    consumer: int | None = None
    """Key of the consumer's id, where the principal has one."""


class Proof(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Where the proof of a consent is (R223-2), and the hash by which it is known.

    Raises `ValueError` for what names no place, for a hash that is none, and for an instant
    without its offset or out of all reason.
    """

    uri: str
    """1 to 512 printable characters; `proof:<sha256>` is a file that `Proofs` keeps."""
    sha256: str
    """64 lower-case hexadecimal digits: of the file, or of what the URI gives."""
    collected_at: datetime | None = None
    """When the proof itself was made, if that is not the instant of the consent."""
    channel: Channel | None = None
    """Where the consent was collected, if not where its text says."""
    text_version: str = ""
    """Version of the text that was shown, where its name does not tell; up to 64 characters."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.uri) <= 512 or not self.uri.isprintable():
            msg = f"a proof's `uri` has 1 to 512 printable characters: {self.uri[:80]!r}"
            raise ValueError(msg)
        if not _SHA256.fullmatch(self.sha256):
            msg = f"a proof's `sha256` has 64 lower-case hexadecimal digits: {self.sha256[:80]!r}"
            raise ValueError(msg)
        _check_instant("collected_at", self.collected_at)
        if len(self.text_version) > 64 or not self.text_version.isprintable():
            msg = f"`text_version` has up to 64 printable characters: {self.text_version[:80]!r}"
            raise ValueError(msg)

    def tells(self, number: Number) -> bool:
        """Whether the number can be read in it; the digits of its own hash tell nothing."""
        written = self.uri.replace(self.sha256, "…")
        return number.told_by(written) or number.told_by(self.text_version)


class Event(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    gc=False,
    tag_field="kind",
    tag=_tag,
):
    """What all kinds share.

    Raises `ValueError` for an id, name or text that no topic, table or message could carry, and for
    an instant without its offset, or an instant or date out of all reason.
    """

    purposeful: ClassVar[bool] = False
    """Whether it speaks of one purpose (grounds) or of the person as a whole (restraints)."""
    free: ClassVar[tuple[str, ...]] = ("id", "source")
    """Fields that are kept as they are and in which anybody may have written anything."""

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
        _check_instant("at", self.at)
        if self.on is not None and not _FIRST_DAY <= self.on <= _LAST_DAY:
            _refuse_year("on", self.on)
        for field, name in (("principal", self.principal), ("purpose", self.purpose)):
            if name is not None and not _NAME.fullmatch(name):
                msg = f"`{field}` has 1 to 48 of a-z, 0-9, `_`, `-`: {name!r}"
                raise ValueError(msg)
        for field in self.free:
            if len(getattr(self, field)) > MAX_TEXT:
                msg = f"`{field}` has up to {MAX_TEXT} characters, not {len(getattr(self, field))}"
                raise ValueError(msg)

    def sealed(
        self, keyring: Keyring, now: datetime, territories: tuple[Territory, ...] = ()
    ) -> Self:
        """Give this event as it may leave the process: keys instead of the number.

        *territories* are where the consumer is known to be; by default the number tells. Raises
        `InvalidNumber`, and `ValueError` where a ground has no purpose, nobody is named, or the
        number can be read in what is kept as it is.
        """
        if self.to is None:
            msg = f"{self.kind} {self.id} names nobody: give `to`, the number"
            raise ValueError(msg)
        if self.purposeful and self.purpose is None:
            msg = f"{self.kind} {self.id} needs a `purpose`: a ground is specific to one"
            raise ValueError(msg)
        number = parse(self.to)
        for field in self.free:
            if number.told_by(getattr(self, field)):
                msg = f"{self.kind}: the telephone number can be read in its `{field}`"
                raise ValueError(msg)
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

    purposeful: ClassVar[bool] = True
    free: ClassVar[tuple[str, ...]] = (*Event.free, "text")

    text: str
    until: date | None = None
    """Last day, if one was stated."""
    proof: Proof | None = None

    def sealed(
        self, keyring: Keyring, now: datetime, territories: tuple[Territory, ...] = ()
    ) -> Self:
        """Seal it as any event. Raises `ValueError` too where its proof tells the number."""
        sealed = super().sealed(keyring, now, territories)
        if self.proof is not None and self.proof.tells(parse(self.to or "")):
            msg = f"consent {self.id}: the telephone number is in its proof's uri or text_version"
            raise ValueError(msg)
        return sealed


class Withdrawal(Event, frozen=True, kw_only=True):
    """The person took a consent back (R223-3)."""

    purposeful: ClassVar[bool] = True


class Refusal(Event, frozen=True, kw_only=True):
    """The person refused the offer: withdraws every consent, and starts sixty days of silence."""


class Objection(Event, frozen=True, kw_only=True):
    """The person never wants to be called by this principal."""


class ObjectionLifted(Event, frozen=True, kw_only=True):
    """The person took the objection back."""


class Cap(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """How many attempts there may be on a person: fewer than *most* on *since* or later, before it.

    Raises `ValueError` for a number that no row could tell, and for a date out of all reason.
    """

    most: int
    since: date

    def __post_init__(self) -> None:
        if not 1 <= self.most <= len(Restraint().attempts):
            msg = f"`most` is 1 to {len(Restraint().attempts)} attempts, not {self.most}"
            raise ValueError(msg)
        if not _FIRST_DAY <= self.since <= _LAST_DAY:
            _refuse_year("since", self.since)

    def left(self, known: Restraint) -> int:
        """Give how many more attempts there may be on a person of whom that is known."""
        since = day_of(self.since)
        return max(0, self.most - sum(day >= since for day in known.attempts))


class Attempt(Event, frozen=True, kw_only=True):
    """A call was placed, or is about to be; told again with its outcome it is still one attempt."""

    free: ClassVar[tuple[str, ...]] = (*Event.free, "call")

    call: str
    outcome: Outcome | None = None
    cap: Cap | None = None
    """Only if the ledger, when it takes it, knows of no more attempts than that."""


class AttemptCancelled(Event, frozen=True, kw_only=True):
    """The call was not placed after all."""

    free: ClassVar[tuple[str, ...]] = (*Event.free, "call")

    call: str


class Contract(Event, frozen=True, kw_only=True):
    """A contract with the person is in progress (L223-1 al. 4)."""

    purposeful: ClassVar[bool] = True

    until: date | None = None


class ContractEnded(Event, frozen=True, kw_only=True):
    """The contract is over."""

    purposeful: ClassVar[bool] = True


class Callback(Event, frozen=True, kw_only=True):
    """The person asked to be called back (R223-4)."""

    purposeful: ClassVar[bool] = True

    explicit: bool = False
    """Asked of the company by name."""


class Slot(Event, frozen=True, kw_only=True):
    """The person agreed to a precise date and time (L223-1 al. 6)."""

    purposeful: ClassVar[bool] = True

    start: datetime
    minutes: int | None = None
    """Length of the slot; None: the agreed time, give or take five minutes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_instant("start", self.start)
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
