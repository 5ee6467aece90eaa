"""The certificate of a consent: the free individual copy that C. conso. R223-2 gives the consumer.

It holds what was shown when the consent was given (R223-1 I), when that was, and until when it
holds; what has become of the consent since; and how to take it back. It proves what the ledger
has, and judges nothing: a mention that the text lacked is shown as lacking.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import msgspec

from ringfence.campaign import MENTIONS, Channel, Text
from ringfence.config import Party
from ringfence.dossier.custody import Custody, custody
from ringfence.dossier.day_only import day_only
from ringfence.dossier.flaws import Flaw
from ringfence.dossier.standing import State, standing
from ringfence.event import AnyEvent, Consent, Proof, Slot
from ringfence.ledger.archive import Archive
from ringfence.ledger.proofs import Proofs
from ringfence.number import METROPOLE, Keyring, Number
from ringfence.row import day_in

__all__ = ["AgreedSlot", "Certificate", "Earlier", "NoConsent", "Subject", "Who", "certify"]

FORMAT = 1

NAMELESS = Party(name="")


class NoConsent(LookupError):  # noqa: N818 - what it is
    """The ledger holds no consent of this number to this purpose."""

    def __init__(self, subject: "Subject", purposes: Sequence[str]) -> None:
        super().__init__(
            f"the ledger holds no consent of {subject.number.e164} to {subject.purpose!r} of"
            f" {subject.principal}, whose campaigns have these purposes:"
            f" {', '.join(purposes) or 'none'}"
        )
        self.number = subject.number.e164
        self.principal = subject.principal
        self.purpose = subject.purpose
        self.purposes = purposes
        """Those that the principal's campaigns have."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Whose consent, to what."""

    principal: str
    number: Number
    keyring: Keyring
    purpose: str
    parties: Mapping[str, Party]
    """How principals and operators are called on paper."""

    @property
    def zone(self) -> str:
        return (self.number.territories or (METROPOLE,))[0].zone


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """A party, as the text named it and as it is called on paper."""

    id: str
    name: str
    address: str
    registration: str


class AgreedSlot(msgspec.Struct, frozen=True, kw_only=True):
    """A date and time outside the legal hours that the person agreed to (L223-1 al. 6)."""

    start: datetime
    minutes: int | None
    agreed_at: datetime
    agreed_on: date | None = None
    """The day of that, where only the day is known."""


class Earlier(msgspec.Struct, frozen=True, kw_only=True):
    """A consent to the same purpose, before the one that is certified."""

    at: datetime
    text: str
    until: date | None
    change: int
    day: date | None = None
    """Where only the day is known."""


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """One consent: the latest of a person to a purpose."""

    format: int
    number: str
    """In E.164."""
    principal: Who
    third_parties: tuple[Who, ...]
    """Those that the text named beside the professional, who may call on its behalf."""
    purpose: str
    offer: str
    """The goods or services, in words; empty if the configuration has none."""
    consented_at: datetime
    on: date
    """The consumer's date."""
    day_only: bool
    """Whether nothing but the day is known: `consented_at` is noon then."""
    zone: str
    """Whose clock the document shows; the instants of this value are in UTC."""
    source: str
    """Where it was said, as it was recorded."""
    text: str
    """Name of the text that was shown."""
    channel: Channel
    shown: tuple[str, ...]
    """The mentions of R223-1 I that the text carried."""
    lacking: tuple[str, ...]
    automated: bool
    """Whether it covers calls in which a machine speaks."""
    stated_until: date | None
    last_day: date
    slots: tuple[AgreedSlot, ...]
    withdrawal: str
    """How to withdraw, in the professional's words; empty if the configuration has none."""
    proof: Proof | None
    custody: Custody
    proof_file: str | None
    """Where the ledger keeps the proof, if it is sound: to be handed over with the certificate."""
    state: State
    flaws: tuple[Flaw, ...]
    """If it is defective: why no call can rest on it."""
    ended_at: datetime | None
    ended_on: date | None
    """The day of that, where only the day is known."""
    earlier: tuple[Earlier, ...]
    event: str
    """Id of the consent's event."""
    change: int
    """The ledger's change by which it came to count."""
    issued: datetime
    release: str


def certify(
    subject: Subject, archive: Archive, proofs: Proofs | None, now: datetime, release: str
) -> Certificate:
    """Certify the latest consent.

    Raises `NoConsent` where there is none, `StoreError` for what cannot be read.
    """
    config = archive.config(subject.principal)
    key = subject.keyring.purpose(subject.number.e164, subject.purpose)
    of_number = subject.keyring.number(subject.number.e164)
    told = archive.events(subject.principal, [key, of_number])
    events = [event for _, event in told]
    stands = standing(subject.purpose, events, config, day_in(subject.zone, now))
    consent, last_day = stands.consent, stands.last_day
    if consent is None or last_day is None:
        raise NoConsent(subject, sorted({c.purpose for c in config.campaigns.values()}))
    text = config.texts[consent.text]  # the ledger takes no consent to a text it does not know
    changes = {event.id: change for change, event in told}
    proof = consent.proof
    held = custody(proof, proofs)
    kept = proofs.find(proof.sha256) if proof and proofs and held is Custody.KEPT else None
    names = sorted(text.parties - {subject.principal})
    return Certificate(
        format=FORMAT,
        number=subject.number.e164,
        principal=_who(subject.principal, subject.parties),
        third_parties=tuple(_who(name, subject.parties) for name in names),
        purpose=subject.purpose,
        offer=_party(subject).offers.get(subject.purpose, ""),
        consented_at=consent.stated().at,
        on=consent.stated().on,
        day_only=day_only(consent),
        zone=subject.zone,
        source=consent.source,
        text=consent.text,
        channel=_channel(text, proof),
        shown=tuple(sorted(text.mentions)),
        lacking=tuple(sorted(MENTIONS - text.mentions)),
        automated=text.automated,
        stated_until=consent.until,
        last_day=last_day,
        slots=tuple(_slots(events, consent)),
        withdrawal=_party(subject).withdrawal,
        proof=proof,
        custody=held,
        proof_file=None if kept is None else str(kept),
        state=stands.state,
        flaws=stands.flaws,
        ended_at=stands.ended_at,
        ended_on=stands.ended_on,
        earlier=tuple(_earlier(told, consent)),
        event=consent.id,
        change=changes[consent.id],
        issued=now,
        release=release,
    )


def _party(subject: Subject) -> Party:
    return subject.parties.get(subject.principal, NAMELESS)


def _who(name: str, parties: Mapping[str, Party]) -> Who:
    known = parties.get(name, NAMELESS)
    return Who(
        id=name,
        name=known.name or name,
        address=known.address,
        registration=known.registration,
    )


def _channel(text: Text, proof: Proof | None) -> Channel:
    """The proof of one consent knows better than the text that many have seen."""
    return text.channel if proof is None or proof.channel is None else proof.channel


def _slots(events: Sequence[AnyEvent], consent: Consent) -> list[AgreedSlot]:
    return [
        AgreedSlot(
            start=event.start,
            minutes=event.minutes,
            agreed_at=event.stated().at,
            agreed_on=event.stated().on if day_only(event) else None,
        )
        for event in events
        if isinstance(event, Slot) and event.stated().at >= consent.stated().at
    ]


def _earlier(told: Sequence[tuple[int, AnyEvent]], consent: Consent) -> list[Earlier]:
    return [
        Earlier(
            at=event.stated().at,
            text=event.text,
            until=event.until,
            change=change,
            day=event.stated().on if day_only(event) else None,
        )
        for change, event in told
        if isinstance(event, Consent) and event.id != consent.id
    ]
