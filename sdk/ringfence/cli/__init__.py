"""The command `ringfence`: one file a command."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line. Says what to install where the extra `cli` is missing."""
    try:
        import typer  # noqa: F401, PLC0415 - looked for here, so that its absence has an answer
    except ImportError:
        sys.exit("ringfence: the command line needs typer and rich: pip install 'ringfence[cli]'")
    from ringfence.cli.app import app  # noqa: PLC0415 - needs typer

    app()
