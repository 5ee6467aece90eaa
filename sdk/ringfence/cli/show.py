"""`ringfence evidence show`: the whole story of one person for one principal."""

import sqlite3
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.options import ConfigFile, Lang, Principal, UsageError, stops_on
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
from ringfence.config import ConfigError, Settings, load
from ringfence.dossier.findings import Sources, tell
from ringfence.dossier.story import Person, Story
from ringfence.dossier.story_screen import draw_story
from ringfence.dossier.tongue import Tongue
from ringfence.evidence.record import EvidenceError
from ringfence.ledger.archive import Archive
from ringfence.ledger.proofs import Proofs
from ringfence.ledger.service import system_time
from ringfence.ledger.store import StoreError
from ringfence.number import InvalidNumber, parse

__all__ = ["show"]

ERRORS = (
    ConfigError, EvidenceError, InvalidNumber, OSError, StoreError, UsageError, sqlite3.Error,
)  # fmt: skip
"""What ends a story before its end; all but these is a bug."""


def show(  # noqa: PLR0913 - the options of a command
    number: Annotated[str, typer.Argument(help="The person's number, as it is written.")],
    *,
    config: ConfigFile,
    principal: Principal,
    consumer: Annotated[
        str | None,
        typer.Option(help="The principal's own id of the person: adds their other numbers."),
    ] = None,
    evidence: EvidenceFolders = None,
    lang: Lang = "fr",
    json: AsJson = False,
    pdf: PdfFile = None,
) -> None:
    """Tell the whole story of one person: what they said, every call, every decision, its article.

    Read from the ledger's database, also while it is served, and from the evidence of the gates
    that are named. Nothing is kept: the number stands in the answer only. Exit status 1: some of
    that evidence is not what the ledger was told of it, which the answer says first; 2: not done.
    """
    with stops_on(*ERRORS):
        if json and pdf is not None:
            msg = "give --json or --pdf, not both"
            raise UsageError(msg)
        story = _story(load(config), number, principal, consumer, evidence)
        if pdf is not None:
            write_pdf(pdf, lambda: _printed(story, lang))
            typer.echo(pdf)
        elif json:
            show_json(story)
        else:
            show_text(draw_story(story, Tongue(lang)))
    check_unaltered(story.chains, Tongue(lang))


def _story(
    settings: Settings,
    number: str,
    principal: str,
    consumer: str | None,
    folders: list[Path] | None,
) -> Story:
    person = Person(
        principal=principal,
        number=parse(number),
        keyring=settings.keyring(principal),
        consumer=consumer,
        purposes=frozenset(
            c.purpose for c in settings.campaigns.values() if c.principal == principal
        ),
        names=names_of(settings),
    )
    with ExitStack() as stack:
        archive = proofs = None
        # A gate's host has evidence and no ledger: then the story says what is missing.
        if settings.ledger is not None and settings.ledger.database.exists():
            archive = stack.enter_context(Archive.open(settings.ledger.database))
            proofs = Proofs(settings.ledger.proof_folder)
        sources = Sources(archive, proofs, evidence_of(settings, folders, archive))
        return tell(person, sources, system_time(), RELEASE)


def _printed(story: Story, lang: Lang) -> bytes:
    from ringfence.dossier.story_paper import print_story  # noqa: PLC0415 - needs the extra `pdf`

    return print_story(story, Tongue(lang))
