"""`ringfence explain`: what every rule says of one call, in words and with its article."""

from functools import partial
from typing import Annotated

import anyio
import typer
from rich.console import Console
from rich.table import Table

from ringfence.call import Call
from ringfence.cli.moment import NoAnswerError, open_gate
from ringfence.cli.options import ConfigFile, Lang, Patience, stops_on
from ringfence.config import ConfigError, Settings, load
from ringfence.decision import Decision, Verdict
from ringfence.rules.rulebook import Answer, Rule
from ringfence.rules.words import Language, say, words

__all__ = ["explain"]

_COLOURS = {Verdict.ALLOW: "green", Verdict.DENY: "red", Verdict.DEFER: "yellow"}


def explain(  # noqa: PLR0913, PLR0917 - the options of a command
    number: Annotated[str, typer.Argument(help="The number to call, as it is written.")],
    config: ConfigFile,
    campaign: Annotated[str, typer.Option(help="The campaign.")],
    caller_id: Annotated[str | None, typer.Option(help="The number shown.")] = None,
    consumer: Annotated[str | None, typer.Option(help="The principal's id of the person.")] = None,
    department: Annotated[str | None, typer.Option(help="Department of the address.")] = None,
    lang: Lang = "en",
    timeout: Patience = 30,
) -> None:
    """Say what each rule answers for a call now, and the decision. Exit status 0 if it is ALLOW.

    Opens a gate of its own for a moment, so it needs the broker and a ledger that answers.
    """
    with stops_on(ConfigError, LookupError, NoAnswerError, ValueError):
        call = Call(
            to=number,
            campaign=campaign,
            caller_id=caller_id,
            consumer=consumer,
            department=department,
        )
        decision, answers = anyio.run(partial(_ask, load(config), call, timeout))
    console = Console()
    console.print(_drawn(answers, lang))
    colour = _COLOURS[decision.verdict]
    retry = (
        "" if decision.retry_at is None else f", again from {decision.retry_at:%Y-%m-%d %H:%M} UTC"
    )
    console.print(f"[{colour}]{decision.verdict.upper()}[/] {decision.reason}{retry}")
    console.print(say(decision.reason, lang))
    raise typer.Exit(0 if decision else 1)


async def _ask(
    settings: Settings, call: Call, patience: float
) -> tuple[Decision, list[tuple[Rule, Answer | None]]]:
    async with open_gate(settings, "explain", patience) as gate:
        return gate.check(call), gate.explain(call)


def _drawn(answers: list[tuple[Rule, Answer | None]], language: Language) -> Table:
    table = Table("asks", "answer", "reason", "in words", "sources", box=None)
    for rule, answer in answers:
        if answer is None:
            sources = "; ".join(article.name for article in rule.articles)
            table.add_row(rule.asks, "no objection", "", "", sources)
            continue
        said, sentence = say(answer.reason, language), words(answer.reason)
        verdict = f"[{_COLOURS[answer.verdict]}]{answer.verdict}"
        table.add_row(rule.asks, verdict, answer.reason, said, sentence.sources)
    return table
