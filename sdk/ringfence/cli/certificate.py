"""`ringfence consent certificate`: the copy of the proof that a consumer may ask for."""

import sqlite3
from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.options import ConfigFile, Lang, Principal, UsageError, ledger_of, stops_on
from ringfence.cli.paper import RELEASE, AsJson, show_json, write_pdf
from ringfence.config import ConfigError, load
from ringfence.dossier.certificate import Certificate, NoConsent, Subject, certify
from ringfence.dossier.tongue import Tongue
from ringfence.ledger.archive import Archive
from ringfence.ledger.proofs import Proofs
from ringfence.ledger.service import system_time
from ringfence.ledger.store import StoreError
from ringfence.number import InvalidNumber, parse

__all__ = ["certificate"]

ERRORS = (ConfigError, InvalidNumber, OSError, StoreError, UsageError, sqlite3.Error)


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
    ledger holds no such consent; 2: not done.
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
        with Archive.open(ledger.database) as archive:
            certified = _certified(subject, archive, Proofs(ledger.proof_folder))
        if output is None:
            show_json(certified)
            return
        write_pdf(output, lambda: _printed(certified, lang))
    typer.echo(output)
    if certified.proof_file is not None:
        typer.echo(f"the proof, to be handed over with it: {certified.proof_file}")


def _certified(subject: Subject, archive: Archive, proofs: Proofs) -> Certificate:
    try:
        return certify(subject, archive, proofs, system_time(), RELEASE)
    except NoConsent as error:
        typer.echo(f"ringfence: {error}", err=True)
        raise typer.Exit(1) from error


def _printed(certified: Certificate, lang: Lang) -> bytes:
    # Needs the extra `pdf`.
    from ringfence.dossier.certificate_paper import print_certificate  # noqa: PLC0415 - needs the extra `pdf`

    return print_certificate(certified, Tongue(lang))
