"""What the commands that tell stories and reports share: sources, and the forms of their answer."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console, RenderableType

from ringfence.cli.options import UsageError
from ringfence.config import Settings
from ringfence.dossier.chains import Chain, Evidence
from ringfence.dossier.notices import alarms
from ringfence.dossier.tongue import Tongue
from ringfence.evidence.segment import chains
from ringfence.ledger.archive import Archive

__all__ = [
    "RELEASE",
    "AsJson",
    "EvidenceFolders",
    "PdfFile",
    "check_unaltered",
    "evidence_of",
    "names_of",
    "show_json",
    "show_text",
    "write_pdf",
]

RELEASE = version("ringfence")

PIPED_WIDTH = 120
"""Characters of a line where there is no terminal to ask."""

AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
EvidenceFolders = Annotated[
    list[Path] | None,
    typer.Option(
        "--evidence",
        metavar="FOLDER",
        help="Evidence of a gate, `<gate.data>/evidence`; may be given again for each gate.",
        show_default="that of the gate in the configuration",
    ),
]
PdfFile = Annotated[
    Path | None, typer.Option("--pdf", metavar="FILE", help="Write it as PDF.", show_default=False)
]


def evidence_of(
    settings: Settings, folders: Sequence[Path] | None, archive: Archive | None
) -> Evidence | None:
    """Open the evidence that was named, or else this configuration's own; None if it has none."""
    if not folders:
        if settings.gate is None:
            return None
        folders = [settings.gate.data / "evidence"]
        if not chains(folders[0]):
            return None
    return Evidence(folders, () if archive is None else archive.heads())


def names_of(settings: Settings) -> dict[str, str]:
    """Give how principals and operators are called on paper."""
    return {name: party.name for name, party in settings.parties.items()}


def check_unaltered(chains: Sequence[Chain], tongue: Tongue) -> None:
    """End with status 1 where the evidence is not what the ledger was told of it, and say so."""
    lines = list(alarms(chains, tongue))
    for line in lines:
        typer.echo(f"ringfence: {line}", err=True)
    if lines:
        raise typer.Exit(1)


def show_json(value: msgspec.Struct) -> None:
    """Print a value; the same value is printed alike whenever it is."""
    encoded = msgspec.json.encode(value, order="deterministic")
    typer.echo(msgspec.json.format(encoded, indent=2).decode())


def show_text(drawn: RenderableType) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPED_WIDTH)
    console.print(drawn)


def write_pdf(path: Path, printed: Callable[[], bytes]) -> None:
    """Write a document whole, or not at all.

    *printed* imports what prints. Raises `UsageError` where the extra `pdf` is missing, `OSError`.
    """
    try:
        content = printed()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "reportlab":
            raise
        msg = "a PDF needs reportlab: pip install 'ringfence[pdf]'"
        raise UsageError(msg) from error
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_bytes(content)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
