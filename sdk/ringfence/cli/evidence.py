"""`ringfence evidence`: what a gate has recorded, checked, decided again, given out and dropped."""

import typer

from ringfence.cli.evidence_export import export
from ringfence.cli.evidence_replay import replay
from ringfence.cli.evidence_retain import retain
from ringfence.cli.evidence_verify import verify
from ringfence.cli.show import show

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Prove what was decided: verify, replay, export.")
app.command()(verify)
app.command()(replay)
app.command()(export)
app.command()(retain)
app.command()(show)
