"""`ringfence explain`: what every rule says of one call, with its article."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
import msgspec
import typer
from rich.console import Console
from rich.table import Table

from ringfence.call import Call, new_id
from ringfence.cli.options import ConfigFile, stops_on
from ringfence.config import ConfigError, Settings, load
from ringfence.decision import Decision, Verdict
from ringfence.gate import Gate
from ringfence.rules.rulebook import Answer, Rule

__all__ = ["explain"]

WAIT = 30.0
_COLOURS = {Verdict.ALLOW: "green", Verdict.DENY: "red", Verdict.DEFER: "yellow"}


def explain(
    number: Annotated[str, typer.Argument(help="The number to call, as it is written.")],
    config: ConfigFile,
    campaign: Annotated[str, typer.Option(help="The campaign.")],
    caller_id: Annotated[str | None, typer.Option(help="The number shown.")] = None,
    consumer: Annotated[str | None, typer.Option(help="The principal's id of the person.")] = None,
    department: Annotated[str | None, typer.Option(help="Department of the address.")] = None,
) -> None:
    """Say what each rule answers for a call now, and the decision. Exit status 0 if it is ALLOW.

    Opens a gate of its own for a moment, so it needs the broker and a ledger that answers.
    """
    with stops_on(ConfigError, LookupError, ValueError):
        call = Call(
            to=number,
            campaign=campaign,
            caller_id=caller_id,
            consumer=consumer,
            department=department,
        )
        decision, answers = anyio.run(partial(_ask, load(config), call))
    console = Console()
    console.print(_drawn(answers))
    colour = _COLOURS[decision.verdict]
    retry = (
        "" if decision.retry_at is None else f", again from {decision.retry_at:%Y-%m-%d %H:%M} UTC"
    )
    console.print(f"[{colour}]{decision.verdict.upper()}[/] {decision.reason}{retry}")
    raise typer.Exit(0 if decision else 1)


async def _ask(settings: Settings, call: Call) -> tuple[Decision, list[tuple[Rule, Answer | None]]]:
    if settings.gate is None:
        msg = "the configuration has no table [gate]"
        raise ConfigError(msg)
    with tempfile.TemporaryDirectory(prefix="ringfence-explain-") as folder:
        own = msgspec.structs.replace(
            settings.gate, id=f"explain-{new_id()[:8]}", data=Path(folder) / "gate"
        )
        async with Gate(msgspec.structs.replace(settings, gate=own)) as gate:
            ready = await gate.ready(WAIT)
            if not ready:
                msg = f"no answer within {WAIT:.0f} s: {ready}"
                raise ConfigError(msg)
            return gate.check(call), gate.explain(call)


def _drawn(answers: list[tuple[Rule, Answer | None]]) -> Table:
    table = Table("asks", "answer", "reason", "sources", box=None)
    for rule, answer in answers:
        sources = "; ".join(article.name for article in rule.articles)
        if answer is None:
            table.add_row(rule.asks, "no objection", "", sources)
        else:
            said = f"[{_COLOURS[answer.verdict]}]{answer.verdict}"
            table.add_row(rule.asks, said, answer.reason, sources)
    return table
