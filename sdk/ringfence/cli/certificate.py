"""`ringfence consent certificate`: the copy of the proof that a consumer may ask for."""

import sqlite3
from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.options import ConfigFile, Lang, Principal, UsageError, ledger_of, stops_on
from ringfence.cli.paper import RELEASE, AsJson, show_json, write_pdf
from ringfence.config import ConfigError, load
from ringfence.dossier.certificate import Certificate, NoConsent, Subject, certify
from ringfence.dossier.custody import Custody
from ringfence.dossier.tongue import Tongue
from ringfence.dossier.vocabulary import CUSTODIES, called
from ringfence.ledger.archive import Archive
from ringfence.ledger.proofs import Proofs
from ringfence.ledger.service import system_time
from ringfence.ledger.store import StoreError
from ringfence.number import InvalidNumber, parse

__all__ = ["certificate"]

ERRORS = (ConfigError, InvalidNumber, OSError, StoreError, UsageError, sqlite3.Error)

UNSOUND = (Custody.DAMAGED, Custody.MISSING)


def certificate(  # noqa: PLR0913 - the options of a command
    number: Annotated[str, typer.Argument(help="The consumer's number, as it is written.")],
    *,
    config: ConfigFile,
    principal: Principal,
    purpose: Annotated[str, typer.Option(help="What the consent is specific to.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The PDF.", show_default=False),
    ] = None,
    lang: Lang = "fr",
    json: AsJson = False,
) -> None:
    """Write the certificate of a consent: what the consumer was told, when, until when, and since.

    It is the free individual copy on a durable medium of C. conso. R223-2. Exit status 1: the
    ledger holds no such consent, or does not have its proof as it was kept; 2: not done.
    """
    with stops_on(*ERRORS):
        if json is (output is not None):
            msg = "give -o FILE for a PDF, or --json"
            raise UsageError(msg)
        settings = load(config)
        ledger = ledger_of(settings, config)
        subject = Subject(
            principal=principal,
            number=parse(number),
            keyring=settings.keyring(principal),
            purpose=purpose,
            parties=settings.parties,
        )
        tongue = Tongue(lang)
        with Archive.open(ledger.database) as archive:
            certified = _certified(subject, archive, Proofs(ledger.proof_folder), tongue)
        if output is None:
            show_json(certified)
        else:
            write_pdf(output, lambda: _printed(certified, tongue))
            typer.echo(output)
            _hand_over(certified, tongue)
    _check_proof(certified, tongue)


def _hand_over(certified: Certificate, tongue: Tongue) -> None:
    if certified.proof_file is not None:
        file = certified.proof_file
        typer.echo(
            tongue(
                f"la preuve, à remettre avec lui : {file}",
                f"the proof, to be handed over with it: {file}",
            )
        )


def _check_proof(certified: Certificate, tongue: Tongue) -> None:
    """End with status 1 where the ledger does not have the proof that it should keep."""
    if certified.custody in UNSOUND:
        said = called(CUSTODIES, certified.custody, tongue)
        typer.echo(tongue(f"ringfence: preuve : {said}", f"ringfence: proof: {said}"), err=True)
        raise typer.Exit(1)


def _certified(subject: Subject, archive: Archive, proofs: Proofs, tongue: Tongue) -> Certificate:
    try:
        return certify(subject, archive, proofs, system_time(), RELEASE)
    except NoConsent as error:
        typer.echo(f"ringfence: {_nothing(error, tongue)}", err=True)
        raise typer.Exit(1) from error


def _nothing(error: NoConsent, tongue: Tongue) -> str:
    number, purposes = tongue.number(error.number), ", ".join(error.purposes)
    return tongue(
        f"le registre n'a aucun consentement du {number} pour « {error.purpose} »"
        f" {tongue.of(error.principal)}, dont les campagnes ont pour finalités :"
        f" {purposes or 'aucune'}",
        str(error),
    )


def _printed(certified: Certificate, tongue: Tongue) -> bytes:
    # Needs the extra `pdf`.
    from ringfence.dossier.certificate_paper import print_certificate  # noqa: PLC0415 - needs the extra `pdf`

    return print_certificate(certified, tongue)
