"""`ringfence demo`: the main job, on one machine, in under a minute."""

import tempfile
from contextlib import suppress
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.console import Console
from rich.live import Live

from ringfence.broker import BrokerError
from ringfence.demo.play import Play
from ringfence.demo.screen import picture, summary
from ringfence.demo.stage import StageError

__all__ = ["demo"]

LIMIT = 60.0
FRAME = 0.25
WIDTH = 104


def demo(
    *,
    picture_file: Annotated[
        Path | None, typer.Option("--picture", help="Write the last picture as SVG.")
    ] = None,
    keep: Annotated[
        bool, typer.Option(help="Leave it running to play with, until Ctrl-C.")
    ] = False,
) -> None:
    """A broker, a ledger, two gates: consents in, calls gated, a refusal, a killed broker.

    Exit status 0 only if every fact that is stated held.
    """
    console = Console()
    with tempfile.TemporaryDirectory(prefix="ringfence-demo-") as folder:
        play = Play(Path(folder))
        try:
            with suppress(KeyboardInterrupt):
                anyio.run(partial(_perform, play, console, keep=keep))
        except (BrokerError, StageError) as error:
            console.print(f"[red]the demo cannot go on:[/] {error}")
            raise typer.Exit(1) from error
    if picture_file is not None:
        paper = Console(record=True, width=WIDTH, file=StringIO())
        paper.print(summary(play))
        paper.save_svg(str(picture_file), title="ringfence demo")
    if not play.facts or not all(fact.held for fact in play.facts):
        raise typer.Exit(1)


async def _perform(play: Play, console: Console, *, keep: bool) -> None:
    with Live(console=console, auto_refresh=False) as live:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_draw, play, live, name="screen")
            with anyio.move_on_after(None if keep else LIMIT) as limit:
                await play.perform(partial(_wait, play, console) if keep else _go_on)
            if limit.cancelled_caught:
                play.state(f"it ends within {LIMIT:.0f} s", held=False)
            tasks.cancel_scope.cancel()
        live.update(summary(play), refresh=True)


async def _draw(play: Play, live: Live) -> None:
    while True:
        live.update(picture(play), refresh=live.console.is_terminal)
        await anyio.sleep(FRAME)


async def _go_on() -> None:
    """Nothing holds the demo up."""


async def _wait(play: Play, console: Console) -> None:
    play.scene = "running; Ctrl-C ends it"
    ports = {gate.name: gate.ports["agi"] for gate in play.gates}
    console.print(f"files in {play.folder}; FastAGI on {ports}; configuration a.toml, b.toml")
    await anyio.sleep_forever()
