"""The certificate of a consent: what C. conso. R223-2 gives the consumer."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import msgspec
import pytest
from tests.unit.dossiers import (
    KEYRING,
    NOW,
    NUMBER,
    OTHER,
    PARTIES,
    RELEASE,
    World,
    at,
    text_of,
)

from ringfence.campaign import MENTIONS, Channel
from ringfence.config import Party
from ringfence.dossier.certificate import (
    AgreedSlot,
    Certificate,
    Earlier,
    NoConsent,
    Subject,
    Who,
    certify,
)
from ringfence.dossier.certificate_paper import print_certificate
from ringfence.dossier.custody import Custody
from ringfence.dossier.standing import State
from ringfence.dossier.tongue import ENGLISH, FRENCH, Tongue
from ringfence.event import Consent, Event, Objection, Proof, Refusal, Slot, Withdrawal
from ringfence.ledger.proofs import Proofs
from ringfence.number import parse


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def certificate(
    world: World,
    *,
    purpose: str = "fibre",
    parties: dict[str, Party] = PARTIES,
    proofs: Proofs | None = None,
) -> Certificate:
    subject = Subject(
        principal="acme",
        number=parse(NUMBER),
        keyring=KEYRING,
        purpose=purpose,
        parties=parties,
    )
    with world.archive() as archive:
        return certify(subject, archive, proofs, NOW, RELEASE)


def consent(on: str = "2026-09-01", **fields: object) -> Consent:
    told = Consent(to=NUMBER, purpose="fibre", text="web-2026", at=at(f"{on}T10:31:07"))
    return msgspec.structs.replace(told, **fields)


# --- what it holds --------------------------------------------------------------------------------


def test_it_holds_all_that_the_decree_asks_for(world: World, tmp_path: Path) -> None:
    form = tmp_path / "form.html"
    form.write_text("I agree")
    proofs = Proofs(tmp_path / "proofs")
    digest = proofs.keep(form)
    proof = Proof(uri=f"proof:{digest}", sha256=digest)
    world.say(consent(source="web", until=date(2027, 6, 30), proof=proof))
    start = at("2026-09-12T11:00")
    world.say(Slot(to=NUMBER, purpose="fibre", at=at("2026-09-09T10:00"), start=start, minutes=30))

    told = certificate(world, proofs=proofs)

    acme, callco = PARTIES["acme"], PARTIES["callco"]
    assert told.principal == Who(
        id="acme", name=acme.name, address=acme.address, registration=acme.registration
    )
    assert told.third_parties == (
        Who(id="callco", name=callco.name, address=callco.address, registration=""),
    )
    assert (told.number, told.offer) == (NUMBER, acme.offers["fibre"])
    assert (told.consented_at, told.on) == (at("2026-09-01T10:31:07"), date(2026, 9, 1))
    assert (told.text, told.channel, told.source) == ("web-2026", Channel.WEB, "web")
    assert told.shown == tuple(sorted(MENTIONS))
    assert not told.lacking
    assert (told.stated_until, told.last_day) == (date(2027, 6, 30), date(2027, 6, 30))
    assert told.slots == (AgreedSlot(start=start, minutes=30, agreed_at=at("2026-09-09T10:00")),)
    assert told.withdrawal == acme.withdrawal
    assert (told.proof, told.custody) == (proof, Custody.KEPT)
    assert told.proof_file == str(proofs.find(digest))
    assert (told.state, told.ended_at, told.change) == (State.IN_FORCE, None, 1)


def test_a_mention_that_the_text_lacked_is_shown_as_lacking(world: World) -> None:
    world.say(consent(text="flyer"))

    told = certificate(world)

    assert told.lacking == ("period", "withdrawal")
    assert told.third_parties == ()
    said = text_of(print_certificate(told, ENGLISH))
    assert "The period of the consent, of one year at most no" in said
    assert "The identity of the professional yes" in said
    assert "the text named none" in said


@pytest.mark.parametrize(
    ("purpose", "text", "why"),
    [
        ("fibre", "flyer", "il manque au texte des mentions exigées (art. R223-1) ; le texte ne"),
        ("cover", "telephone", "recueilli par téléphone, ce qui ne vaut pas pour l’assurance"),
    ],
)
def test_a_consent_that_permits_no_call_says_so_and_why(
    world: World, purpose: str, text: str, why: str
) -> None:
    world.say(consent("2026-11-20", purpose=purpose, text=text))

    told = certificate(world, purpose=purpose)

    assert told.state is State.DEFECTIVE
    said = text_of(print_certificate(told, FRENCH))
    assert "Le 30 novembre 2026, ce consentement est en cours, mais ne permet aucun appel :" in said
    assert why in said
    assert "en vigueur" not in said
    english = text_of(print_certificate(told, ENGLISH))
    assert "On 30 November 2026 this consent is current, but permits no call:" in english


def test_of_what_is_known_by_the_day_only_no_time_is_told(world: World) -> None:
    only = "import (day only)"
    world.say(consent(at=at("2026-09-01T12:00"), source=only))
    world.say(consent(at=at("2026-08-01T12:00"), source=only))
    end = at("2026-09-20T12:00")
    world.say(Withdrawal(to=NUMBER, purpose="fibre", at=end, source=only))

    said = text_of(print_certificate(certificate(world), FRENCH))

    assert "Donné le 1er septembre 2026 Recueilli par site internet (import, jour seul" in said
    assert "Vous l’avez retiré le 20 septembre 2026." in said
    assert "12:00:00" not in said


def test_the_latest_consent_is_certified_and_earlier_ones_are_listed(world: World) -> None:
    world.say(consent("2026-10-01", id="new"))
    world.say(consent("2025-12-24", id="old", until=date(2026, 6, 30)))

    told = certificate(world)

    assert (told.event, told.last_day) == ("new", date(2027, 9, 30))
    assert told.earlier == (
        Earlier(at=at("2025-12-24T10:31:07"), text="web-2026", until=date(2026, 6, 30), change=2),
    )
    said = text_of(print_certificate(told, FRENCH))
    assert "Consentements antérieurs 24 décembre 2025 à 10:31:07, web-2026, jusqu’au" in said


def test_the_proofs_own_channel_goes_before_that_of_the_text(world: World) -> None:
    proof = Proof(uri="https://crm.example/1", sha256="ab" * 32, channel=Channel.STORE)
    world.say(consent(proof=proof))

    assert certificate(world).channel is Channel.STORE


def test_without_names_in_the_configuration_parties_are_called_as_the_text_did(
    world: World,
) -> None:
    world.say(consent())

    told = certificate(world, parties={})

    assert (told.principal.name, told.offer, told.withdrawal) == ("acme", "", "")
    assert [who.name for who in told.third_parties] == ["callco"]
    said = text_of(print_certificate(told, FRENCH))
    assert "à tout moment et aussi simplement" in said
    assert "y compris oralement" in said


# --- what has become of it ------------------------------------------------------------------------

SINCE: dict[str, tuple[list[Event], State, str]] = {
    "nothing": ([], State.IN_FORCE, "Son dernier jour est le 31 août 2027."),
    "withdrawn": ([Withdrawal(to=NUMBER, purpose="fibre", at=at("2026-09-20T08:00"))],
                  State.WITHDRAWN, "Vous l’avez retiré le 20 septembre 2026 à 08:00:00."),
    "refused": ([Refusal(to=NUMBER, at=at("2026-09-20T08:00"))], State.REFUSED,
                "Vous avez refusé le démarchage le 20 septembre 2026 à 08:00:00"),
    "objected": ([Objection(to=NUMBER, at=at("2026-09-20T08:00"))], State.OBJECTED,
                 "Votre opposition à tout démarchage"),
}  # fmt: skip


@pytest.mark.parametrize(("events", "state", "sentence"), SINCE.values(), ids=SINCE.keys())
def test_what_has_become_of_the_consent_stands_at_the_top(
    world: World, events: list[Event], state: State, sentence: str
) -> None:
    world.say(consent())
    for event in events:
        world.say(event)

    told = certificate(world)

    assert told.state is state
    assert told.ended_at == (at("2026-09-20T08:00") if events else None)
    said = text_of(print_certificate(told, FRENCH))
    assert sentence in said
    assert ("Il ne permet plus aucun appel." in said) is bool(events)


def test_a_consent_whose_time_is_over_says_so(world: World) -> None:
    world.say(consent("2025-11-30"))

    told = certificate(world)

    assert told.state is State.EXPIRED
    assert "Its last day was 29 November 2026." in text_of(print_certificate(told, ENGLISH))


@pytest.mark.parametrize(
    ("purpose", "until", "why"),
    [
        ("fibre", date(2027, 6, 30), "comme le texte l’annonçait"),
        ("fibre", None, "un an au plus, sans renouvellement tacite"),
        ("cover", None, "trente jours après le consentement"),
    ],
)
def test_the_last_day_says_what_it_follows_from(
    world: World, purpose: str, until: date | None, why: str
) -> None:
    world.say(consent("2026-11-02", purpose=purpose, until=until))

    assert why in text_of(print_certificate(certificate(world, purpose=purpose), FRENCH))


# --- where there is none --------------------------------------------------------------------------


def test_where_there_is_no_consent_the_error_names_the_purposes_there_are(world: World) -> None:
    world.say(consent(to=OTHER))
    world.say(consent(purpose="cover"))
    world.say(Withdrawal(to=NUMBER, purpose="fibre", at=at("2026-09-20T08:00")))

    with pytest.raises(NoConsent) as error:
        certificate(world)

    assert str(error.value) == (
        "the ledger holds no consent of +33639980001 to 'fibre' of acme, whose campaigns have"
        " these purposes: cover, fibre"
    )


@pytest.mark.parametrize("tongue", [FRENCH, ENGLISH], ids=["fr", "en"])
def test_the_document_is_of_one_page(world: World, tongue: Tongue) -> None:
    proof = Proof(uri="https://crm.example/1", sha256="ab" * 32, collected_at=at("2026-09-01"))
    world.say(consent(source="web", proof=proof))

    said = text_of(print_certificate(certificate(world), tongue))

    assert tongue("Page 1 sur 1", "Page 1 of 1") in said
    assert "ab" * 32 in said
    assert "R223-2" in said
