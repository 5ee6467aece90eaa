"""The whole story of one person for one principal, in time order: its values.

Nothing is left out: events as they were told, attempts with what became of them, every decision
with what the gate knew. As JSON (`msgspec.json.encode`) its fields are those below; a later release
adds fields and changes none without changing `format`.
"""

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum

import msgspec

from ringfence.call import Outcome
from ringfence.campaign import Text
from ringfence.decision import Reason, Verdict
from ringfence.dossier.chains import Chain, Unread
from ringfence.dossier.custody import Custody
from ringfence.dossier.day_only import day_only
from ringfence.dossier.seen import SeenGround, SeenRestraint
from ringfence.dossier.standing import Standing
from ringfence.event import AnyEvent
from ringfence.number import METROPOLE, Keyring, Number
from ringfence.rules.rulebook import Article

__all__ = [
    "FORMAT",
    "Attempted",
    "Entry",
    "Gap",
    "Person",
    "PersonKeys",
    "Ruled",
    "Story",
    "Told",
    "day_of",
]

FORMAT = 1


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Whose story is asked for, and on whose behalf they were called."""

    principal: str
    number: Number
    keyring: Keyring
    consumer: str | None = None
    purposes: frozenset[str] = frozenset()
    """Those of the principal's campaigns, as the configuration has them."""
    names: Mapping[str, str] = {}
    """How principals and operators are called on paper."""

    @property
    def zone(self) -> str:
        """The clock by which the story is told: the first that the number allows."""
        return (self.number.territories or (METROPOLE,))[0].zone


class PersonKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The pseudonyms under which ledger and evidence file the person."""

    number: int
    consumer: int | None
    purposes: dict[str, int]
    """Key of the number and each purpose."""


class Told(msgspec.Struct, frozen=True, kw_only=True, tag_field="entry", tag="event"):
    """Something the person said or had, as the ledger holds it."""

    at: datetime
    change: int
    """Number of the ledger's change by which it came to count."""
    purpose: str | None
    """None where it concerns the person as a whole."""
    event: AnyEvent
    this_number: bool
    """False: the same consumer said it about another number."""
    text: Text | None = None
    """What was shown to whoever gave a consent."""
    custody: Custody = Custody.NONE
    """Where the consent's proof is."""

    @property
    def day(self) -> date | None:
        """The consumer's date, if that is all that is known of the time."""
        return self.event.stated().on if day_only(self.event) else None


class Attempted(msgspec.Struct, frozen=True, kw_only=True, tag_field="entry", tag="attempt"):
    """A call that was permitted, and what became of it."""

    at: datetime
    """When the attempt was reserved, just before the call."""
    on: date
    """The consumer's date, by which attempts are counted."""
    call: str
    """Id of the decision that permitted it."""
    outcome: Outcome | None
    """None: none was told, and the attempt counts all the same."""
    cancelled: bool
    """The call was not placed after all, and does not count."""
    closed_at: datetime | None
    changes: tuple[int, ...]
    gate: str | None
    record: int | None
    """Where the decision is recorded, if that evidence was given."""
    this_number: bool
    """False: the same consumer was called on another number."""


class Ruled(msgspec.Struct, frozen=True, kw_only=True, tag_field="entry", tag="decision"):
    """A gate's answer for one call, with what it rested on and where it is proved."""

    at: datetime
    verdict: Verdict
    reason: Reason
    french: str
    """The reason in words."""
    english: str
    articles: tuple[str, ...]
    """Names of the articles behind the reason; the story quotes them."""
    retry_at: datetime | None
    campaign: str
    caller_id: str | None
    """The number that would be shown."""
    call: str
    """The id that the dialer gave the call."""
    reference: str
    """What else the dialer calls it."""
    id: str
    """Of the decision; the attempt names it as its `call`."""
    rulebook: str
    epoch: int
    change: int
    """The ledger's change up to which the gate knew everything."""
    age: float | None
    """Seconds since the ledger last proved that."""
    config: int
    """Version of the principal's configuration."""
    ground: SeenGround
    restraints: tuple[SeenRestraint, ...]
    """Of the number, and of the consumer if the call named one."""
    gate: str
    chain: str
    record: int
    """Number of the record in the chain."""
    this_number: bool
    """False: the same consumer was to be called on another number."""


Entry = Told | Attempted | Ruled


def day_of(entry: Entry) -> date | None:
    """Give the day of an entry of which no time is known; None: its time is known."""
    return entry.day if isinstance(entry, Told) else None


class Gap(StrEnum):
    """What the story could not look at."""

    NO_LEDGER = "no_ledger"
    """No ledger's database is at hand: what the person said is missing."""
    NO_EVIDENCE = "no_evidence"
    """No gate's evidence was given: decisions are missing."""
    UNREAD_CHAINS = "unread_chains"
    """The ledger knows chains that were not given: their decisions are missing."""
    OTHER_NUMBERS = "other_numbers"
    """Calls named a consumer's id: what is filed under it is told if the id is given."""


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """One person, one principal."""

    format: int
    principal: str
    names: dict[str, str]
    """How principals and operators are called on paper."""
    number: str
    """In E.164."""
    consumer: str | None
    zone: str
    """Whose clock documents show; the instants of this value are in UTC."""
    issued: datetime
    release: str
    keys: PersonKeys
    standings: tuple[Standing, ...]
    """How each purpose stands at the instant of issue; empty without a ledger."""
    entries: tuple[Entry, ...]
    """In time order."""
    articles: tuple[Article, ...]
    """Those that the decisions rest on."""
    chains: tuple[Chain, ...]
    """The evidence that was read, and up to where."""
    gaps: tuple[Gap, ...]
    unread: tuple[Unread, ...] = ()
    """The chains that the ledger knows of and that were not given."""

    @property
    def decisions(self) -> tuple[Ruled, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, Ruled))
