"""What a dialer asks about, and what became of it."""

import os
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfoNotFoundError

import msgspec

from ringfence.number import DEPARTMENTS, Number, Territory, clock_of, territories_of_zone

__all__ = ["Call", "Outcome", "new_id"]

MAX_ID = 64
MAX_CONSUMER = 256


def new_id() -> str:
    """Give an id that no other process will give."""
    return os.urandom(16).hex()


class Outcome(StrEnum):
    """What became of a permitted call."""

    ANSWERED = "answered"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    VOICEMAIL = "voicemail"
    FAILED = "failed"
    NOT_PLACED = "not_placed"
    """The carrier was never asked: the attempt is given back."""
    REFUSED = "refused"
    """The person does not want the offer: nobody of the principal calls for sixty days."""
    OBJECTED = "objected"
    """The person never wants to be called by the principal again."""


class Call(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One call that a dialer wants to place.

    Raises `TypeError` for what is no text, and `ValueError` for an id, consumer, zone or department
    that cannot be one. A bad number or an unknown campaign raises nothing: the gate answers DENY
    and says so.
    """

    to: str
    campaign: str
    caller_id: str | None = None
    id: str = msgspec.field(default_factory=new_id)
    """Names the call in `admit`: asked again under the same id, the same permit comes back."""
    consumer: str | None = None
    """The principal's own id of the person: the law counts per consumer, not per number."""
    zone: str | None = None
    """IANA zone of the consumer, where the address is known."""
    department: str | None = None
    """Department of the consumer's address, `67`, `2A`, `974`."""
    reference: str = ""
    """What the dialer calls this call; kept in the evidence."""

    def __post_init__(self) -> None:
        for name, text in (
            ("to", self.to),
            ("campaign", self.campaign),
            ("reference", self.reference),
        ):
            if not isinstance(text, str):
                msg = f"a call's `{name}` is text, not {text!r}"
                raise TypeError(msg)
        if not 0 < len(self.id) <= MAX_ID:
            msg = f"a call's id has 1 to {MAX_ID} characters: {self.id!r}"
            raise ValueError(msg)
        if self.consumer is not None and not 0 < len(self.consumer) <= MAX_CONSUMER:
            msg = f"a consumer's id has 1 to {MAX_CONSUMER} characters: {self.consumer!r}"
            raise ValueError(msg)
        if self.department is not None and self.department not in DEPARTMENTS:
            msg = f"no department has the number {self.department!r}"
            raise ValueError(msg)
        if self.zone is not None:
            _places(self.zone)

    def territories(self, number: Number) -> tuple[Territory, ...]:
        """Give where the consumer may be: as the call says, else as the number tells.

        Nowhere for a number outside the French plan: no address makes it one of the rulebook's.
        """
        if (self.zone is None and self.department is None) or not number.territories:
            return number.territories
        said: tuple[Territory, ...] = (
            () if self.department is None else (DEPARTMENTS[self.department],)
        )
        if self.zone is None or any(place.zone == self.zone for place in said):
            return said
        return (*said, *_places(self.zone))


@lru_cache(maxsize=1024)
def _places(zone: str) -> tuple[Territory, ...]:
    try:
        clock_of(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        msg = f"no time zone is called {zone!r}"
        raise ValueError(msg) from error
    return territories_of_zone(zone)
