"""`ringfence report`: a campaign's month, for the management of a call centre."""

import sqlite3
from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.options import ConfigFile, Lang, UsageError, ledger_of, stops_on
from ringfence.cli.paper import (
    RELEASE,
    AsJson,
    EvidenceFolders,
    PdfFile,
    check_unaltered,
    evidence_of,
    names_of,
    show_json,
    show_text,
    write_pdf,
)
from ringfence.config import ConfigError, load
from ringfence.dossier.exposure import Exposure, Question, expose
from ringfence.dossier.exposure_screen import draw_exposure
from ringfence.dossier.month import BadMonth, Month
from ringfence.dossier.tongue import Tongue
from ringfence.evidence.record import EvidenceError
from ringfence.ledger.archive import Archive
from ringfence.ledger.service import system_time
from ringfence.ledger.store import StoreError

__all__ = ["report"]

ERRORS = (
    BadMonth, ConfigError, EvidenceError, OSError, StoreError, UsageError, sqlite3.Error,
)  # fmt: skip


def report(  # noqa: PLR0913 - the options of a command
    *,
    config: ConfigFile,
    campaign: Annotated[str, typer.Option(help="The campaign.")],
    month: Annotated[str, typer.Option(metavar="YYYY-MM", help="The month, as Paris counts it.")],
    evidence: EvidenceFolders = None,
    lang: Lang = "fr",
    json: AsJson = False,
    pdf: PdfFile = None,
) -> None:
    """Report a campaign's month: calls placed, deferred and denied, by reason and article.

    And what the denied ones could have cost at most, how fast refusals reached every gate, which
    consents are about to expire, and how often persons were called. Give the evidence of every
    gate: what is not given is not counted, and the report names the gates. Exit status 1: some of
    that evidence is not what the ledger was told of it, which the report says first; 2: not done.
    """
    with stops_on(*ERRORS):
        if json and pdf is not None:
            msg = "give --json or --pdf, not both"
            raise UsageError(msg)
        exposure = _exposure(config, campaign, month, evidence)
        if pdf is not None:
            write_pdf(pdf, lambda: _printed(exposure, lang))
            typer.echo(pdf)
        elif json:
            show_json(exposure)
        else:
            show_text(draw_exposure(exposure, Tongue(lang)))
    check_unaltered(exposure.chains, Tongue(lang))


def _exposure(config: Path, campaign: str, month: str, folders: list[Path] | None) -> Exposure:
    asked, settings = Month.parse(month), load(config)
    terms = settings.campaigns.get(campaign)
    if terms is None:
        known = ", ".join(settings.campaigns) or "none"
        msg = f"no campaign is called {campaign!r}; {config} has {known}"
        raise ConfigError(msg)
    question = Question(campaign, terms, asked, RELEASE, names_of(settings))
    with Archive.open(ledger_of(settings, config).database) as archive:
        evidence = evidence_of(settings, folders, archive)
        if evidence is None:
            msg = "no evidence to count: give --evidence FOLDER for each gate"
            raise UsageError(msg)
        return expose(question, archive, evidence, system_time())


def _printed(exposure: Exposure, lang: Lang) -> bytes:
    # Needs the extra `pdf`.
    from ringfence.dossier.exposure_paper import print_exposure  # noqa: PLC0415 - needs the extra `pdf`

    return print_exposure(exposure, Tongue(lang))
