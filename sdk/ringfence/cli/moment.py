"""A gate of one's own for the length of a command, beside those that serve."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import typer

from ringfence.call import new_id
from ringfence.cli.options import UsageError
from ringfence.config import ConfigError, Settings
from ringfence.gate import Gate
from ringfence.number import InvalidNumber, parse

__all__ = ["SILENCE", "NoAnswerError", "await_ready", "check_shown", "open_gate", "shown"]

SILENCE = 2.0
"""Seconds of waiting after which it is said what is waited for."""


class NoAnswerError(Exception):
    """The gate does not know enough to answer, and has waited; says what is missing."""


@asynccontextmanager
async def open_gate(settings: Settings, name: str, patience: float) -> AsyncIterator[Gate]:
    """Open a gate that is ready, with an id and a folder of its own that end with it.

    Needs the broker, and a ledger that answers within *patience* seconds. Raises `ConfigError` and
    `NoAnswerError`.
    """
    if settings.gate is None:
        msg = "the configuration has no table [gate]"
        raise ConfigError(msg)
    with tempfile.TemporaryDirectory(prefix=f"ringfence-{name}-") as folder:
        own = msgspec.structs.replace(
            settings.gate,
            id=f"{name}-{new_id()[:8]}",
            data=Path(folder) / "gate",
            share=False,  # nobody else is in that folder
        )
        async with Gate(msgspec.structs.replace(settings, gate=own)) as gate:
            await await_ready(gate, patience)
            yield gate


async def await_ready(gate: Gate, patience: float) -> None:
    """Wait until the gate can answer, and do not do so in silence. Raises `NoAnswerError`."""
    ready = await gate.ready(min(SILENCE, patience))
    if not ready and patience > SILENCE:
        typer.echo(f"waiting up to {patience:g} s for an answer: {ready}", err=True)
        ready = await gate.ready(patience - SILENCE)
    if not ready:
        msg = f"no answer within {patience:g} s: {ready}"
        raise NoAnswerError(msg)


def check_shown(caller_id: str | None) -> None:
    """Raise `UsageError` for a `--caller-id` that is no number: every call would be denied."""
    if caller_id is not None:
        try:
            parse(caller_id)
        except InvalidNumber as error:
            msg = f"--caller-id: {error}"
            raise UsageError(msg) from error


def shown(gate: Gate, campaign: str, caller_id: str | None) -> str:
    """Give the number that calls will show: the one that is said, or the campaign's only one.

    Raises `LookupError` for a campaign that is not known, and `UsageError`.
    """
    listed = sorted(gate.campaign(campaign).caller_ids)
    if caller_id is not None:
        return caller_id
    if len(listed) != 1:
        there = ", ".join(listed) or "none"
        msg = f"say with --caller-id which number {campaign} shows; it lists {there}"
        raise UsageError(msg)
    return listed[0]
