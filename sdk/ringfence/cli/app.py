"""All commands in one place."""

from importlib.metadata import version as release
from typing import Annotated

import typer

from ringfence.cli import consent, evidence, gate, ledger
from ringfence.cli.decide import decide
from ringfence.cli.demo import demo
from ringfence.cli.explain import explain
from ringfence.cli.report import report
from ringfence.cli.scrub import scrub

__all__ = ["app"]

app = typer.Typer(
    name="ringfence",
    help="A call gate for outbound dialers: decide, prove, keep in step.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ringfence {release('ringfence')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_tell_version, help="Say which version this is."
        ),
    ] = False,
) -> None:
    """Decide, prove, keep in step."""


app.add_typer(consent.app, name="consent")
app.add_typer(evidence.app, name="evidence")
app.add_typer(gate.app, name="gate")
app.add_typer(ledger.app, name="ledger")
app.command()(decide)
app.command()(explain)
app.command()(report)
app.command()(scrub)
app.command()(demo)
