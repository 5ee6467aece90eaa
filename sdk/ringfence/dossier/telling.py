"""The entries of a story in sentences: the same on a screen and on paper."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from ringfence.campaign import Text
from ringfence.decision import Verdict
from ringfence.dossier.custody import Custody
from ringfence.dossier.seen import SeenGround, SeenRestraint
from ringfence.dossier.story import Attempted, Entry, Ruled, Story, Told
from ringfence.dossier.tongue import Tongue
from ringfence.dossier.vocabulary import (
    CHANNELS,
    CUSTODIES,
    MENTIONS,
    OUTCOMES,
    VERDICTS,
    called,
    listed,
    sourced,
)
from ringfence.event import (
    AnyEvent,
    Bloctel,
    Callback,
    Consent,
    Contract,
    ContractEnded,
    Objection,
    ObjectionLifted,
    Refusal,
    Slot,
    Withdrawal,
)

__all__ = ["Telling", "Tone", "told_of"]

Tone = Literal["said", "restrains", "allow", "deny", "defer", "call"]

_TONES: dict[Verdict, Tone] = {
    Verdict.ALLOW: "allow",
    Verdict.DENY: "deny",
    Verdict.DEFER: "defer",
}
_RESTRAINING = (Refusal, Objection, Withdrawal, Bloctel)


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """One entry: a headline, what there is to know beside it, and where it is recorded."""

    tone: Tone
    headline: str
    lead: tuple[str, ...] = ()
    """What it rests on: the reason in words, and the articles."""
    details: tuple[str, ...]
    reference: tuple[str, ...]


def told_of(entry: Entry, story: Story, tongue: Tongue) -> Telling:
    """Tell an entry in one language."""
    match entry:
        case Told():
            return _Statement(entry, story, tongue).telling()
        case Attempted():
            return _attempt(entry, story, tongue)
        case Ruled():
            return _Ruling(entry, story, tongue).telling()


def _ledger(tongue: Tongue, *changes: int) -> str:
    numbers = ", ".join(map(str, changes))
    return tongue(f"registre, n° {numbers}", f"ledger, no. {numbers}")


def _other_number(tongue: Tongue) -> str:
    return tongue(
        "concerne un autre numéro du même consommateur",
        "concerns another number of the same consumer",
    )


# --- what was said --------------------------------------------------------------------------------


class _Statement:
    def __init__(self, told: Told, story: Story, tongue: Tongue) -> None:
        self._told = told
        self._names = story.names
        self._zone = story.zone
        self._tongue = tongue

    def telling(self) -> Telling:
        told, tongue = self._told, self._tongue
        headline = self._headline(told.event)
        if told.purpose is not None:
            headline = tongue(f"{headline} – « {told.purpose} »", f"{headline} – {told.purpose}")
        reference = [_ledger(tongue, told.change)]
        if told.event.source:
            reference.append(sourced(told.event.source, tongue))
        return Telling(
            tone="restrains" if isinstance(told.event, _RESTRAINING) else "said",
            headline=headline,
            details=tuple(self._details()),
            reference=tuple(reference),
        )

    def _headline(self, event: AnyEvent) -> str:
        tongue = self._tongue
        match event:
            case Callback(explicit=explicit):
                return self._callback(explicit=explicit)
            case Slot():
                return self._slot(event)
            case Bloctel(until=until):
                day = tongue.day(until)
                return tongue(f"Inscription sur Bloctel jusqu'au {day}", f"On Bloctel until {day}")
        return tongue(*_HEADLINES[type(event)])

    def _callback(self, *, explicit: bool) -> str:
        if explicit:
            return self._tongue(
                "Rappel demandé à l'entreprise, nommément", "Callback asked of the company by name"
            )
        return self._tongue("Rappel demandé", "Callback asked for")

    def _slot(self, slot: Slot) -> str:
        start = self._tongue.moment(slot.start, self._zone)
        length = f" ({slot.minutes} min)" if slot.minutes else ""
        return self._tongue(f"Horaire convenu : {start}{length}", f"Time agreed: {start}{length}")

    def _details(self) -> Iterator[str]:
        told, tongue = self._told, self._tongue
        match told.event:
            case Consent():
                yield from self._consent(told.event, told.text)
            case Contract(until=until) if until is not None:
                day = tongue.day(until)
                yield tongue(f"Jusqu'au {day}", f"Until {day}")
        if not told.this_number:
            yield _other_number(tongue)

    def _consent(self, consent: Consent, text: Text | None) -> Iterator[str]:
        tongue = self._tongue
        yield from self._shown(consent.text, text)
        if consent.until is not None:
            day = tongue.day(consent.until)
            yield tongue(f"Durée annoncée : jusqu'au {day}", f"Period stated: until {day}")
        yield from self._proof(consent)

    def _shown(self, name: str, text: Text | None) -> Iterator[str]:
        tongue = self._tongue
        if text is None:
            yield tongue(f"Texte montré : {name}, inconnu", f"Text shown: {name}, unknown")
            return
        channel = called(CHANNELS, text.channel, tongue)
        parties = listed([self._names.get(p, p) for p in sorted(text.parties)], tongue)
        yield tongue(
            f"Texte montré : {name} ({channel}), nommant {parties or 'personne'}",
            f"Text shown: {name} ({channel}), naming {parties or 'nobody'}",
        )
        yield self._mentions(text)
        yield tongue(
            f"Appels automatisés : {'couverts' if text.automated else 'non couverts'}",
            f"Automated calls: {'covered' if text.automated else 'not covered'}",
        )

    def _mentions(self, text: Text) -> str:
        tongue = self._tongue
        lacking = [called(MENTIONS, m, tongue) for m in MENTIONS if m not in text.mentions]
        if not lacking:
            return tongue(
                "Mentions de l'art. R223-1 : toutes présentes",
                "Statements of art. R223-1: all present",
            )
        names = tongue.separator.join(lacking)
        return tongue(
            f"Mentions de l'art. R223-1 manquantes : {names}",
            f"Statements of art. R223-1 that are missing: {names}",
        )

    def _proof(self, consent: Consent) -> Iterator[str]:
        tongue, proof = self._tongue, consent.proof
        kept = called(CUSTODIES, self._told.custody, tongue)
        if proof is None or self._told.custody is Custody.NONE:
            yield tongue(f"Preuve : {kept}", f"Proof: {kept}")
            return
        if proof.text_version:
            version = proof.text_version
            yield tongue(f"Version du texte : {version}", f"Version of the text: {version}")
        if proof.uri != f"proof:{proof.sha256}":
            yield tongue(f"Preuve : {proof.uri}", f"Proof: {proof.uri}")
        yield tongue(
            f"Empreinte SHA-256 de la preuve : {proof.sha256}",
            f"SHA-256 of the proof: {proof.sha256}",
        )
        if proof.collected_at is not None:
            only = self._told.day if proof.collected_at == self._told.at else None
            at = tongue.moment(proof.collected_at, self._zone, only)
            kept = tongue(f"recueillie le {at} ; {kept}", f"collected on {at}; {kept}")
        yield kept[:1].upper() + kept[1:]


_HEADLINES: dict[type[AnyEvent], tuple[str, str]] = {
    Consent: ("Consentement donné", "Consent given"),
    Withdrawal: ("Consentement retiré", "Consent withdrawn"),
    Refusal: ("Refus d'être démarché", "Canvassing refused"),
    Objection: (
        "Opposition à tout démarchage par ce professionnel",
        "Objection to all canvassing by this advertiser",
    ),
    ObjectionLifted: ("Opposition levée", "Objection lifted"),
    Contract: ("Contrat en cours", "Contract in progress"),
    ContractEnded: ("Contrat terminé", "Contract ended"),
}


# --- calls ----------------------------------------------------------------------------------------


def _attempt(attempt: Attempted, story: Story, tongue: Tongue) -> Telling:
    details = []
    if attempt.outcome is not None and attempt.closed_at is not None and not attempt.cancelled:
        clock = tongue.clock(attempt.closed_at, story.zone)
        details.append(tongue(f"Issue connue à {clock}", f"Outcome known at {clock}"))
    if attempt.record is not None:
        details.append(
            tongue(
                f"Permis par l'enregistrement n° {attempt.record} {tongue.of(attempt.gate or '')}",
                f"Allowed by record no. {attempt.record} of {attempt.gate}",
            )
        )
    if not attempt.this_number:
        details.append(_other_number(tongue))
    return Telling(
        tone="call",
        headline=_became(attempt, tongue),
        details=tuple(details),
        reference=(_ledger(tongue, *attempt.changes),),
    )


def _became(attempt: Attempted, tongue: Tongue) -> str:
    if attempt.cancelled:
        return tongue("Appel non passé, tentative rendue", "Call not placed, attempt given back")
    if attempt.outcome is None:
        return tongue(
            "Tentative d'appel, issue non communiquée", "Call attempted, outcome not told"
        )
    outcome = called(OUTCOMES, attempt.outcome, tongue)
    return tongue(f"Tentative d'appel : {outcome}", f"Call attempted: {outcome}")


# --- decisions ------------------------------------------------------------------------------------


class _Ruling:
    def __init__(self, ruled: Ruled, story: Story, tongue: Tongue) -> None:
        self._ruled = ruled
        self._zone = story.zone
        self._tongue = tongue

    def telling(self) -> Telling:
        ruled, tongue = self._ruled, self._tongue
        return Telling(
            tone=_TONES[ruled.verdict],
            headline=called(VERDICTS, ruled.verdict, tongue),
            lead=tuple(self._lead()),
            details=tuple(self._details()),
            reference=(
                ruled.gate,
                tongue(f"enr. n° {ruled.record}", f"record no. {ruled.record}"),
                ruled.chain,
            ),
        )

    def _lead(self) -> Iterator[str]:
        ruled, tongue = self._ruled, self._tongue
        yield tongue(ruled.french, ruled.english)
        if ruled.articles:
            yield tongue.typeset(tongue.separator.join(ruled.articles))

    def _details(self) -> Iterator[str]:
        ruled, tongue = self._ruled, self._tongue
        if ruled.retry_at is not None:
            at = tongue.moment(ruled.retry_at, self._zone)
            yield tongue(f"Possible à partir du {at}", f"Possible from {at}")
        yield self._knowledge()
        yield self._call()
        if not ruled.this_number:
            yield _other_number(tongue)

    def _call(self) -> str:
        ruled, tongue = self._ruled, self._tongue
        said = [tongue(f"Campagne {ruled.campaign}", f"Campaign {ruled.campaign}")]
        shown = ruled.caller_id or tongue("masqué", "withheld")
        said.append(tongue(f"numéro présenté {shown}", f"showing {shown}"))
        named = ruled.reference or ruled.call
        said.append(tongue(f"appel {named}", f"call {named}"))
        said.append(
            tongue(
                f"règles {ruled.rulebook}, configuration n° {ruled.config}",
                f"rules {ruled.rulebook}, configuration no. {ruled.config}",
            )
        )
        return tongue.separator.join(said)

    def _knowledge(self) -> str:
        ruled, tongue = self._ruled, self._tongue
        if ruled.age is None:
            fresh = tongue("jamais confirmé par le registre", "never confirmed by the ledger")
        else:
            age = tongue.span(ruled.age)
            fresh = tongue(f"confirmé {age} plus tôt", f"confirmed {age} earlier")
        seen = [*_grounds(ruled.ground, self._zone, tongue)]
        for restraint in ruled.restraints:
            seen += [s for s in _restraints(restraint, tongue) if s not in seen]
        nothing = tongue("rien sur cette personne", "nothing of this person")
        known = tongue.separator.join(seen) or nothing
        return tongue(
            f"Connu de la passerelle (registre jusqu'au n° {ruled.change}, {fresh}) : {known}",
            f"Known to the gate (ledger up to no. {ruled.change}, {fresh}): {known}",
        )


def _grounds(seen: SeenGround, zone: str, tongue: Tongue) -> Iterator[str]:
    day = tongue.short_day
    if seen.consent_on is not None:
        on = day(seen.consent_on)
        if seen.withdrawn:
            yield tongue(f"consentement retiré le {on}", f"consent withdrawn on {on}")
        else:
            text = seen.consent_text or "?"
            yield tongue(f"consentement du {on} ({text})", f"consent of {on} ({text})")
    if seen.contract:
        until = seen.contract_until
        end = "" if until is None else tongue(f" jusqu'au {day(until)}", f" until {day(until)}")
        yield tongue(f"contrat{end}", f"contract{end}")
    if seen.callback_on is not None:
        on = day(seen.callback_on)
        yield tongue(f"rappel demandé le {on}", f"callback asked for on {on}")
    if seen.slot_at is not None:
        at = tongue.moment(seen.slot_at, zone)
        yield tongue(f"horaire convenu le {at}", f"time agreed: {at}")


def _restraints(seen: SeenRestraint, tongue: Tongue) -> Iterator[str]:
    day = tongue.short_day
    if seen.objected:
        yield tongue("opposition", "objection")
    if seen.refused_on is not None:
        yield tongue(f"refus du {day(seen.refused_on)}", f"refusal of {day(seen.refused_on)}")
    if seen.attempts:
        days = ", ".join(map(day, seen.attempts))
        yield tongue(f"dernières tentatives : {days}", f"latest attempts: {days}")
    if seen.bloctel_until is not None:
        until = day(seen.bloctel_until)
        yield tongue(f"Bloctel jusqu'au {until}", f"Bloctel until {until}")
