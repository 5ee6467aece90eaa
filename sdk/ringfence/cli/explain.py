"""`ringfence explain`: what every rule says of one call, in words and with its article."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, NamedTuple

import anyio
import msgspec
import typer
from rich.console import Console
from rich.table import Table

from ringfence.call import Call
from ringfence.cli.moment import NoAnswerError, check_shown, open_gate, shown
from ringfence.cli.options import ConfigFile, Lang, Patience, UsageError, stops_on
from ringfence.cli.summary import COLOURS, clock, verdict_in
from ringfence.config import ConfigError, Settings, load
from ringfence.decision import Decision
from ringfence.gate import Gate, system_clock
from ringfence.number import InvalidNumber, parse
from ringfence.row import NO_GROUND, Ground, date_of
from ringfence.rules.france import last_consent_day
from ringfence.rules.rulebook import Answer, Rule
from ringfence.rules.words import Language, say, words

__all__ = ["explain"]


class _Words(NamedTuple):
    """What an explanation says in one language, beside the sentences of its reasons."""

    call: str
    nothing: str
    consent: str
    withdrawn: str
    date: str
    columns: tuple[str, ...]
    no_objection: str
    again: str


_SAYS: dict[Language, _Words] = {
    "en": _Words(
        "{to} for the campaign {campaign}, showing {caller_id}; asked {at} in Paris",
        "no consent is known",
        "consent of {day} to the text {text}; its last day is {last}",
        "consent withdrawn on {day}",
        "%Y-%m-%d",
        ("asks", "answer", "reason", "in words", "sources"),
        "no objection",
        ", again from {at:%Y-%m-%d %H:%M} UTC",
    ),
    "fr": _Words(
        "{to} pour la campagne {campaign}, numéro affiché {caller_id}\u00a0;"
        " demandé le {at} à Paris",
        "aucun consentement n’est connu",
        "consentement du {day} au texte {text}\u00a0; son dernier jour est le {last}",
        "consentement retiré le {day}",
        "%d/%m/%Y",
        ("question", "réponse", "motif", "en clair", "sources"),
        "rien à objecter",
        ", de nouveau à partir du {at:%d/%m/%Y %H:%M} UTC",
    ),
}

_IN_FRENCH = {
    "is the sector banned": "le secteur est-il interdit",
    "did the person object": "la personne s’est-elle opposée",
    "did the person refuse": "la personne a-t-elle refusé",
    "on what ground": "sur quel fondement",
    "which number is shown": "quel numéro est affiché",
    "which day and hour is it there": "quel jour et quelle heure y est-il",
    "how often already": "combien d’appels déjà",
}
"""What rules ask."""


class _Explained(msgspec.Struct, frozen=True):
    """A call, what was known of whom it is for, and what was answered."""

    call: Call
    at: datetime
    ground: Ground
    text: str
    """The name of the text that the consent was given to."""
    sector: str
    decision: Decision
    answers: list[tuple[Rule, Answer | None]]


def explain(  # noqa: PLR0913, PLR0917 - the options of a command
    number: Annotated[str, typer.Argument(help="The number to call, as it is written.")],
    config: ConfigFile,
    campaign: Annotated[str, typer.Option(help="The campaign.")],
    caller_id: Annotated[
        str | None, typer.Option(help="The number shown.", show_default="the campaign's only one")
    ] = None,
    consumer: Annotated[str | None, typer.Option(help="The principal's id of the person.")] = None,
    department: Annotated[str | None, typer.Option(help="Department of the address.")] = None,
    lang: Lang = "en",
    timeout: Patience = 30,
) -> None:
    """Say what each rule answers for a call now, and the decision. Exit status 0 if it is ALLOW.

    Opens a gate of its own for a moment, so it needs the broker and a ledger that answers.
    """
    with stops_on(ConfigError, LookupError, NoAnswerError, UsageError, ValueError):
        check_shown(caller_id)
        call = Call(
            to=number,
            campaign=campaign,
            caller_id=caller_id,
            consumer=consumer,
            department=department,
        )
        explained = anyio.run(partial(_ask, load(config), call, timeout))
    console = Console()
    for line in _about(explained, lang):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(_drawn(explained.answers, lang))
    decision = explained.decision
    colour, retry_at = COLOURS[decision.verdict], decision.retry_at
    retry = "" if retry_at is None else _SAYS[lang].again.format(at=retry_at)
    verdict = verdict_in(lang, decision.verdict).upper()
    console.print(f"[{colour}]{verdict}[/] {decision.reason}{retry}")
    console.print(say(decision.reason, lang))
    raise typer.Exit(0 if decision else 1)


async def _ask(settings: Settings, call: Call, patience: float) -> _Explained:
    async with open_gate(settings, "explain", patience) as gate:
        caller_id = shown(gate, call.campaign, call.caller_id)
        call = msgspec.structs.replace(call, caller_id=caller_id)
        at = datetime.fromtimestamp(system_clock().utc, UTC)
        ground, text = _known(gate, call)
        sector = gate.campaign(call.campaign).sector
        return _Explained(call, at, ground, text, sector, gate.check(call), gate.explain(call))


def _known(gate: Gate, call: Call) -> tuple[Ground, str]:
    """Give the ground that is known for a call, and the name of its consent's text."""
    try:
        e164 = parse(call.to).e164
    except InvalidNumber:
        return NO_GROUND, ""
    plan = gate._plan_of(call.campaign)  # noqa: SLF001 - no dialer has to know what a row holds
    ground = Ground.unpack(plan.read(e164, call).rows[0])
    config = plan.book.replica.config
    index = {} if config is None else config.index
    return ground, next((name for name, at in index.items() if at == ground.text), "?")


def _about(explained: _Explained, language: Language) -> list[str]:
    """Say what was asked, and what consent is known."""
    says, call = _SAYS[language], explained.call
    asked = says.call.format(
        to=call.to,
        campaign=call.campaign,
        caller_id=call.caller_id,
        at=clock(explained.at, language),
    )
    return [asked, _consent(explained, says)]


def _consent(explained: _Explained, says: _Words) -> str:
    ground = explained.ground
    if not ground.consent_from:
        return says.nothing
    last = last_consent_day(ground, explained.sector)
    return (says.withdrawn if ground.withdrawn else says.consent).format(
        day=date_of(ground.consent_from).strftime(says.date),
        text=explained.text,
        last=date_of(last).strftime(says.date),
    )


def _in(language: Language, asks: str) -> str:
    return asks if language == "en" else _IN_FRENCH[asks]


def _drawn(answers: list[tuple[Rule, Answer | None]], language: Language) -> Table:
    says = _SAYS[language]
    table = Table(*says.columns, box=None)
    for rule, answer in answers:
        asks = _in(language, rule.asks)
        if answer is None:
            sources = "; ".join(article.name for article in rule.articles)
            table.add_row(asks, says.no_objection, "", "", sources)
            continue
        said, sentence = say(answer.reason, language), words(answer.reason)
        verdict = f"[{COLOURS[answer.verdict]}]{verdict_in(language, answer.verdict)}"
        table.add_row(asks, verdict, answer.reason, said, sentence.sources)
    return table
