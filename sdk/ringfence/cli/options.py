"""What commands share: options, and how they say that they cannot go on."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ringfence.config import ConfigError, LedgerSettings, Settings
from ringfence.rules.words import Language

__all__ = [
    "ConfigFile",
    "Lang",
    "Patience",
    "Principal",
    "UsageError",
    "ledger_of",
    "read_named",
    "stops_on",
    "warn_of",
]

ConfigFile = Annotated[Path, typer.Option("--config", help="TOML file, as for gate and ledger.")]
Lang = Annotated[Language, typer.Option("--lang", help="The language of sentences.")]
Principal = Annotated[str, typer.Option(help="On whose behalf people are called.")]
Patience = Annotated[
    float,
    typer.Option("--timeout", min=0.1, help="Seconds to wait for a ledger that says nothing."),
]


class UsageError(Exception):
    """An option says what cannot be meant; names it, and what it takes."""


def ledger_of(settings: Settings, file: Path) -> LedgerSettings:
    """Give the table `[ledger]`. Raises `ConfigError` where the file has none."""
    if settings.ledger is None:
        msg = f"{file} has no table [ledger]"
        raise ConfigError(msg)
    return settings.ledger


def read_named(columns: Sequence[str], roles: Collection[str]) -> dict[str, str]:
    """Read what `--column ROLE=NAME` says. Raises `UsageError`."""
    named = {}
    for column in columns:
        role, given, name = column.partition("=")
        if role not in roles or not given:
            msg = f"--column: {column!r} is not ROLE=NAME with a role of {', '.join(roles)}"
            raise UsageError(msg)
        named[role] = name
    return named


def warn_of(purposes: Collection[str], settings: Settings, principal: str) -> None:
    """Say which of the *purposes* no campaign has: no call will ever rest on them.

    Nothing can be said where the file names none of the principal's campaigns.
    """
    called = {c.purpose for c in settings.campaigns.values() if c.principal == principal}
    strange = sorted(set(purposes) - called)
    if called and strange:
        there = ", ".join(sorted(called))
        msg = f"no campaign of {principal} has the purpose {', '.join(strange)}; there are {there}"
        typer.echo(f"ringfence: warning: {msg}", err=True)


INTERRUPTED = 130
"""Exit status of what SIGINT has ended, as shells have it."""


@contextmanager
def stops_on(*kinds: type[Exception]) -> Iterator[None]:
    """End with status 2 and one line on errors of these *kinds*, out of task groups too."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None  # the shell says it
    except kinds as error:
        _stop(error)
    except BaseExceptionGroup as group:
        matched, rest = group.split(kinds)
        if matched is None or rest is not None:
            raise
        _stop(_first(matched))


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _stop(error: BaseException) -> None:
    typer.echo(f"ringfence: {error}", err=True)
    raise typer.Exit(2) from error
