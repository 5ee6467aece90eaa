"""`ringfence consent`: the proofs of consents."""

from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.certificate import certificate
from ringfence.cli.options import ConfigFile, ledger_of, stops_on
from ringfence.config import ConfigError, load
from ringfence.ledger.proofs import ProofError, Proofs

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Keep the proofs of consents, and give them out.")
app.command()(certificate)


@app.callback()
def group() -> None:
    """Keep the proofs of consents, and give them out."""


@app.command()
def keep(
    files: Annotated[list[Path], typer.Argument(help="Signed forms, recordings, screenshots.")],
    config: ConfigFile,
) -> None:
    """Keep proofs where the ledger is. Prints the SHA-256 and the name of each.

    A consent then names its proof as `proof:<sha256>`.
    """
    with stops_on(ConfigError, OSError, ProofError):
        proofs = Proofs(ledger_of(load(config), config).proof_folder)
        for file in files:
            typer.echo(f"{proofs.keep(file)}  {file.name}")
