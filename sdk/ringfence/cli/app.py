"""All commands in one place."""

import typer

from ringfence.cli import gate, ledger
from ringfence.cli.decide import decide
from ringfence.cli.demo import demo
from ringfence.cli.explain import explain

__all__ = ["app"]

app = typer.Typer(
    name="ringfence",
    help="A call gate for outbound dialers: decide, prove, keep in step.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(gate.app, name="gate")
app.add_typer(ledger.app, name="ledger")
app.command()(decide)
app.command()(explain)
app.command()(demo)
