"""A gate of one's own for the length of a command, beside those that serve."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from ringfence.call import new_id
from ringfence.config import ConfigError, Settings
from ringfence.gate import Gate

__all__ = ["NoAnswerError", "await_ready", "open_gate"]


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
            settings.gate, id=f"{name}-{new_id()[:8]}", data=Path(folder) / "gate"
        )
        async with Gate(msgspec.structs.replace(settings, gate=own)) as gate:
            await await_ready(gate, patience)
            yield gate


async def await_ready(gate: Gate, patience: float) -> None:
    """Wait until the gate can answer. Raises `NoAnswerError`."""
    ready = await gate.ready(patience)
    if not ready:
        msg = f"no answer within {patience:g} s: {ready}"
        raise NoAnswerError(msg)
