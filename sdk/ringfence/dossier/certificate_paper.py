"""The certificate of a consent as the consumer receives it: one document, in plain words."""

from collections.abc import Iterator
from datetime import timedelta

from reportlab.platypus import Flowable

from ringfence.dossier import paper
from ringfence.dossier.certificate import Certificate, Who
from ringfence.dossier.paper import Cell, Column, Sheet
from ringfence.dossier.standing import State
from ringfence.dossier.tongue import Tongue
from ringfence.dossier.vocabulary import CHANNELS, CUSTODIES, FLAWS, MENTIONS, called, sourced

__all__ = ["print_certificate"]


def print_certificate(certificate: Certificate, tongue: Tongue) -> bytes:
    """Print a certificate."""
    number = tongue.number(certificate.number)
    sheet = Sheet(
        title=tongue("Certificat de consentement", "Certificate of consent"),
        principal=certificate.principal.name,
        subject=tongue(f"Consentement du {number}", f"Consent of {number}"),
        basis=tongue(
            f"registre, modification n° {certificate.change}, événement {certificate.event}",
            f"ledger, change no. {certificate.change}, event {certificate.event}",
        ),
        issued=certificate.issued,
        zone=certificate.zone,
        release=certificate.release,
        tongue=tongue,
    )
    return paper.printed(sheet, lambda: list(_content(certificate, tongue)))


def _content(certificate: Certificate, tongue: Tongue) -> Iterator[Flowable]:
    yield from paper.title(
        tongue("Certificat de consentement", "Certificate of consent"),
        tongue(
            "Copie individuelle et gratuite de la preuve (C. conso., art. R223-2)",
            "Individual copy of the proof, free of charge (C. conso., art. R223-2)",
        ),
    )
    yield paper.box(*_standing(certificate, tongue))
    yield paper.facts(list(_parties(certificate, tongue)))
    yield from paper.heading(tongue("Votre consentement", "Your consent"))
    yield paper.facts(list(_consent(certificate, tongue)))
    yield from paper.heading(tongue("Ce que le texte vous présentait", "What the text told you"))
    yield _mentions(certificate, tongue)
    yield from paper.heading(
        tongue("Retirer votre consentement", "Taking your consent back"), room=28
    )
    yield paper.prose(*_withdrawal(certificate, tongue))
    yield from paper.heading(tongue("La preuve conservée", "The proof that is kept"), room=28)
    yield paper.facts(list(_proof(certificate, tongue)))


def _standing(certificate: Certificate, tongue: Tongue) -> Iterator[str]:
    last = tongue.day(certificate.last_day)
    if certificate.state is State.IN_FORCE:
        issued = tongue.day(tongue.local_day(certificate.issued, certificate.zone))
        yield paper.bold(
            tongue(
                f"Le {issued}, ce consentement est en vigueur. Son dernier jour est le {last}.",
                f"On {issued} this consent is in force. Its last day is {last}.",
            )
        )
        return
    if certificate.state is State.DEFECTIVE:
        yield from _defective(certificate, last, tongue)
        return
    yield paper.bold(
        tongue("Ce consentement n'est plus en vigueur.", "This consent is no longer in force.")
    )
    yield _ended(certificate, last, tongue)
    yield tongue("Il ne permet plus aucun appel.", "It no longer permits any call.")


def _defective(certificate: Certificate, last: str, tongue: Tongue) -> Iterator[str]:
    issued = tongue.day(tongue.local_day(certificate.issued, certificate.zone))
    yield paper.bold(
        tongue.with_reasons(
            tongue(
                f"Le {issued}, ce consentement est en cours, mais ne permet aucun appel",
                f"On {issued} this consent is current, but permits no call",
            ),
            [called(FLAWS, flaw, tongue) for flaw in certificate.flaws],
        )
        + "."
    )
    yield tongue(f"Son dernier jour est le {last}.", f"Its last day is {last}.")


def _ended(certificate: Certificate, last: str, tongue: Tongue) -> str:
    at = certificate.ended_at
    ended = "" if at is None else tongue.moment(at, certificate.zone, certificate.ended_on)
    match certificate.state:
        case State.WITHDRAWN:
            return tongue(f"Vous l'avez retiré le {ended}.", f"You withdrew it on {ended}.")
        case State.REFUSED:
            return tongue(
                f"Vous avez refusé le démarchage le {ended}, et ce refus l'a retiré.",
                f"You refused to be canvassed on {ended}, and the refusal withdrew it.",
            )
        case State.OBJECTED:
            return tongue(
                f"Votre opposition à tout démarchage de ce professionnel date du {ended}.",
                f"You objected to all canvassing by this professional on {ended}.",
            )
    return tongue(f"Son dernier jour était le {last}.", f"Its last day was {last}.")


def _parties(certificate: Certificate, tongue: Tongue) -> Iterator[tuple[str, Cell]]:
    yield tongue("Numéro appelé", "Number called"), paper.bold(tongue.number(certificate.number))
    yield tongue("Professionnel", "Professional"), _who(certificate.principal)
    third = tongue("Tiers appelant pour son compte", "Third party calling on its behalf")
    for who in certificate.third_parties:
        yield third, _who(who)
    if not certificate.third_parties:
        yield third, tongue("le texte n'en nommait pas", "the text named none")
    offer = certificate.offer or certificate.purpose
    named = f"{offer} ({certificate.purpose})" if certificate.offer else offer
    yield tongue("Biens ou services", "Goods or services"), named


def _who(who: Who) -> Cell:
    beneath = [line for line in (who.address, who.registration) if line]
    return paper.cell(paper.bold(who.name), muted=beneath)


def _consent(certificate: Certificate, tongue: Tongue) -> Iterator[tuple[str, Cell]]:
    zone, proof = certificate.zone, certificate.proof
    if certificate.day_only:
        given = tongue.day(certificate.on)
    else:
        given = f"{tongue.moment(certificate.consented_at, zone)} ({zone})"
    yield tongue("Donné le", "Given on"), paper.bold(given)
    channel = called(CHANNELS, certificate.channel, tongue)
    source = f" ({sourced(certificate.source, tongue)})" if certificate.source else ""
    yield tongue("Recueilli par", "Collected through"), f"{channel}{source}"
    version = f", {proof.text_version}" if proof and proof.text_version else ""
    yield tongue("Texte présenté", "Text shown"), f"{certificate.text}{version}"
    yield (
        tongue("Dernier jour de validité", "Last day of validity"),
        paper.cell(paper.bold(tongue.day(certificate.last_day)), muted=[_why(certificate, tongue)]),
    )
    yield (
        tongue("Appels par un automate", "Calls by a machine"),
        tongue("couverts", "covered")
        if certificate.automated
        else tongue("non couverts", "not covered"),
    )
    for slot in certificate.slots:
        start = tongue.moment(slot.start, zone)
        length = f" ({slot.minutes} min)" if slot.minutes else ""
        agreed = tongue.moment(slot.agreed_at, zone, slot.agreed_on)
        yield (
            tongue("Horaire convenu", "Time agreed"),
            paper.cell(
                f"{start}{length}", muted=[tongue(f"accepté le {agreed}", f"agreed on {agreed}")]
            ),
        )
    if certificate.earlier:
        label = tongue("Consentements antérieurs", "Earlier consents")
        yield label, paper.cell(*_earlier(certificate, tongue))


def _earlier(certificate: Certificate, tongue: Tongue) -> Iterator[str]:
    for one in certificate.earlier:
        said = f"{tongue.moment(one.at, certificate.zone, one.day)}, {one.text}"
        if one.until is not None:
            until = tongue.day(one.until)
            said = tongue(f"{said}, jusqu'au {until}", f"{said}, until {until}")
        yield said


def _why(certificate: Certificate, tongue: Tongue) -> str:
    if certificate.last_day == certificate.stated_until:
        return tongue("comme le texte l'annonçait", "as the text said")
    if certificate.last_day == certificate.on + timedelta(days=30):
        return tongue(
            "trente jours après le consentement : règle propre à l'assurance (C. assur., art."
            " R112-7)",
            "thirty days after the consent, the rule for insurance (C. assur., art. R112-7)",
        )
    return tongue(
        "un an au plus, sans renouvellement tacite (art. R223-1)",
        "one year at most, never renewed tacitly (art. R223-1)",
    )


def _mentions(certificate: Certificate, tongue: Tongue) -> Flowable:
    columns = [
        Column("", 6),
        Column(tongue("Mention exigée par l'article R223-1", "Required by article R223-1"), 130),
        Column(tongue("Présente", "Present"), 38),
    ]
    rows = []
    for mention in MENTIONS:
        present = mention in certificate.shown
        name = called(MENTIONS, mention, tongue)
        answer = tongue("oui", "yes") if present else paper.bold(tongue("non", "no"))
        rows.append([paper.ticked(yes=present), name[:1].upper() + name[1:], answer])
    return paper.table(columns, rows, tight=True)


def _withdrawal(certificate: Certificate, tongue: Tongue) -> Iterator[str]:
    yield tongue(
        "Vous pouvez retirer ce consentement à tout moment et aussi simplement que vous l'avez"
        " donné, y compris oralement pendant un appel (art. R223-3).",
        "You may take this consent back at any time and as simply as you gave it, also by saying so"
        " during a call (art. R223-3).",
    )
    if certificate.withdrawal:
        yield tongue.typeset(certificate.withdrawal)
    elif certificate.principal.address:
        yield tongue(
            f"Par courrier : {certificate.principal.name}, {certificate.principal.address}.",
            f"By letter: {certificate.principal.name}, {certificate.principal.address}.",
        )


def _proof(certificate: Certificate, tongue: Tongue) -> Iterator[tuple[str, Cell]]:
    proof = certificate.proof
    custody = called(CUSTODIES, certificate.custody, tongue)
    if proof is None:
        yield tongue("Preuve", "Proof"), custody
        return
    if proof.uri != f"proof:{proof.sha256}":
        yield tongue("Référence", "Reference"), proof.uri
    yield tongue("Empreinte SHA-256", "SHA-256"), paper.mono(proof.sha256)
    if proof.collected_at is not None and proof.collected_at != certificate.consented_at:
        at = tongue.moment(proof.collected_at, certificate.zone)
        yield tongue("Recueillie le", "Collected on"), at
    kept = tongue(
        "trois ans au moins à compter du recueil (art. R223-2)",
        "at least three years from its collection (art. R223-2)",
    )
    yield tongue("Conservation", "Custody"), paper.cell(custody, muted=[kept])
