"""Where the evidence is that a command is about, and how far the command is in it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.options import UsageError
from ringfence.cli.progress import progress, rare_collections
from ringfence.config import ConfigError, GateSettings, Settings, load
from ringfence.evidence.segment import chains, segments

__all__ = [
    "AnyConfig",
    "Folder",
    "Told",
    "evidence_of",
    "folder_of",
    "gate_of",
    "going_through",
    "load_any",
]

AnyConfig = Annotated[
    Path | None, typer.Option("--config", help="TOML file, as for gate and ledger.")
]
Folder = Annotated[
    Path | None,
    typer.Option("--evidence", help="Folder of evidence.", show_default="the gate's own"),
]

Told = Callable[[str, int, str], None]
"""Hears chain, segment, and what to say of what was done."""


def load_any(config: Path | None) -> Settings:
    """Read the configuration, if one is given. Raises `ConfigError`."""
    return Settings() if config is None else load(config)


def gate_of(settings: Settings) -> GateSettings:
    """Give the table `[gate]`. Raises `ConfigError` where there is none."""
    if settings.gate is None:
        msg = "the configuration has no table [gate]"
        raise ConfigError(msg)
    return settings.gate


def folder_of(settings: Settings, folder: Path | None) -> Path:
    """Give the folder named, or that of the gate, which may not be there.

    Raises `UsageError`, and `ConfigError` for a configuration without a gate.
    """
    if folder is not None:
        return _there(folder)
    if settings == Settings():
        msg = "give --config with the gate, or --evidence with the folder"
        raise UsageError(msg)
    return gate_of(settings).data / "evidence"


def evidence_of(settings: Settings, folder: Path | None) -> Path:
    """Give the same, where there is evidence in it: else raises `UsageError`."""
    return _there(folder_of(settings, folder))


def _there(folder: Path) -> Path:
    if not chains(folder):
        msg = f"{folder}: there is no evidence"
        raise UsageError(msg)
    return folder


@contextmanager
def going_through(folder: Path, what: str) -> Iterator[Told]:
    """Draw a bar that is told which segment a command is at."""
    begins: dict[tuple[str, int], int] = {}
    total = 0
    for chain in chains(folder):
        for segment in segments(chain):
            begins[chain.name, segment.index] = total
            total += segment.path.stat().st_size if segment.path.exists() else 0
    with rare_collections(), progress() as bar:
        task = bar.add_task(what, total=total)

        def told(chain: str, segment: int, said: str) -> None:
            done = begins.get((chain, segment), total)  # begun since: the end
            bar.update(task, completed=done, description=f"{what}: {said}")

        yield told
        bar.update(task, completed=total)
