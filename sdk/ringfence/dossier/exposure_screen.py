"""The report on a campaign's month, on a terminal."""

from collections.abc import Iterator, Sequence
from functools import partial

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ringfence.decision import Verdict
from ringfence.dossier.attempts import MOST
from ringfence.dossier.delay import Delays, GateDelay, Spread
from ringfence.dossier.exposure import Exposure
from ringfence.dossier.liability import Case, Liability
from ringfence.dossier.screen import drawn
from ringfence.dossier.story_screen import (
    alarms_drawn,
    articles_drawn,
    chains_drawn,
    notices_drawn,
)
from ringfence.dossier.tally import ReasonCount
from ringfence.dossier.tongue import Tongue
from ringfence.dossier.vocabulary import VERDICTS, called

__all__ = ["draw_exposure"]

_COLOURS = {Verdict.ALLOW: "green", Verdict.DENY: "red", Verdict.DEFER: "yellow"}

BAR = 20
"""Characters of the longest bar."""


def draw_exposure(exposure: Exposure, tongue: Tongue) -> RenderableType:
    """Draw a report."""
    return drawn(partial(_parts, exposure), tongue)


def _parts(exposure: Exposure, tongue: Tongue) -> Iterator[RenderableType]:
    principal = exposure.names.get(exposure.terms.principal, exposure.terms.principal)
    month = tongue.month(exposure.first)
    yield Text(f"{exposure.campaign}, {month} – {principal}", style="bold")
    yield from alarms_drawn(exposure.chains, tongue)
    yield from notices_drawn(exposure.chains, exposure.unread, tongue)
    yield Text(_summary(exposure, tongue))
    if exposure.reasons:
        yield _padded(_reasons(exposure, tongue))
    yield from _liability(exposure.liability, tongue)
    yield from _refusals(exposure.refusals, tongue)
    yield from _consents(exposure, tongue)
    yield from _attempts(exposure, tongue)
    yield from articles_drawn(exposure.articles, tongue)
    yield from chains_drawn(exposure.chains, exposure.zone, tongue)


def _padded(content: RenderableType) -> Padding:
    return Padding(content, (1, 0, 0, 0))


def _title(french: str, english: str, tongue: Tongue) -> RenderableType:
    return _padded(Text(tongue(french, english), style="underline"))


def _table(*heads: str) -> Table:
    return Table(*heads, box=None, header_style="dim", padding=(0, 2, 0, 0))


def _summary(exposure: Exposure, tongue: Tongue) -> str:
    asked, persons = tongue.count(exposure.asked.decisions), tongue.count(exposure.asked.persons)
    placed = tongue.count(exposure.placed)
    deferred = tongue.count(exposure.deferred.decisions)
    denied = tongue.count(exposure.denied.decisions)
    return tongue(
        f"Décisions : {asked} ; personnes : {persons} ; appels passés : {placed}, différés :"
        f" {deferred}, interdits : {denied}",
        f"Decisions: {asked}; persons: {persons}; calls placed: {placed}, deferred: {deferred},"
        f" denied: {denied}",
    )


def _bar(value: int, most: int, style: str) -> Text:
    length = max(1, round(BAR * value / most)) if value else 0
    return Text("█" * length, style=style)


def _reasons(exposure: Exposure, tongue: Tongue) -> Table:
    table = _table(
        tongue("verdict", "verdict"),
        tongue("motif et articles", "reason and articles"),
        tongue("décisions", "decisions"),
        tongue("personnes", "persons"),
        "",
    )
    for column in (2, 3):
        table.columns[column].justify = "right"
    for column in (0, 2, 3, 4):
        table.columns[column].no_wrap = True
    most = max(reason.decisions for reason in exposure.reasons)
    for reason in exposure.reasons:
        colour = _COLOURS[reason.verdict]
        table.add_row(
            Text(called(VERDICTS, reason.verdict, tongue), style=colour),
            _reason(reason, tongue),
            tongue.count(reason.decisions),
            tongue.count(reason.persons),
            _bar(reason.decisions, most, colour),
        )
    return table


def _reason(reason: ReasonCount, tongue: Tongue) -> Text:
    text = Text(tongue(reason.french, reason.english))
    for article in reason.articles:
        text.append(f"\n{tongue.typeset(article)}", style="dim")
    return text


def _liability(owed: Liability, tongue: Tongue) -> Iterator[RenderableType]:
    yield _title(
        "Ce que les appels interdits auraient pu coûter",
        "What the denied calls could have cost",
        tongue,
    )
    yield Text(
        tongue(
            "Borne supérieure, et non prévision : chaque appel, un manquement, au maximum"
            " (art. L242-16).",
            "An upper bound, not a forecast: each call a breach, fined the maximum (art. L242-16).",
        ),
        style="yellow",
    )
    calls, to = tongue.count(owed.breaches), tongue("à", "to")
    low, high = tongue.euros(owed.published_low_each), tongue.euros(owed.published_high_each)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row(
        tongue("personne physique", "natural person"),
        f"{calls} × {tongue.euros(owed.natural_each)}",
        f"= {tongue.euros(owed.natural)}",
    )
    table.add_row(
        tongue("personne morale", "legal person"),
        f"{calls} × {tongue.euros(owed.legal_each)}",
        f"= {tongue.euros(owed.legal)}",
    )
    table.add_row(
        tongue("affaires publiées", "published cases"),
        f"{calls} × {low} {to} {high}",
        f"= {tongue.euros(owed.published_low)} {to} {tongue.euros(owed.published_high)}",
    )
    yield table
    yield Text(tongue.separator.join(_case(case, tongue) for case in owed.cases), style="dim")


def _case(case: Case, tongue: Tongue) -> str:
    about = tongue("environ ", "about ") if case.about else ""
    unit = tongue(case.unit_french, case.unit_english)
    fined, calls = tongue.euros(case.euros), tongue.count(case.calls)
    return tongue(
        f"{case.name} : {fined} pour {about}{calls} {unit}",
        f"{case.name}: {fined} for {about}{calls} {unit}",
    )


def _refusals(delays: Delays, tongue: Tongue) -> Iterator[RenderableType]:
    yield _title(
        "Refus : délai jusqu'à ce que toutes les passerelles les connaissent",
        "Refusals: the time until every gate knew of them",
        tongue,
    )
    table = _table(
        "",
        tongue("refus", "refusals"),
        tongue("médiane", "median"),
        "95 %",
        tongue("le plus lent", "slowest"),
        tongue("pas encore connus", "not known yet"),
    )
    for column in table.columns[1:]:
        column.justify = "right"
    everywhere = tongue("toutes", "every gate")
    missed = tongue.count(delays.not_everywhere)
    count = tongue.count(delays.refusals)
    table.add_row(everywhere, count, *_spread(delays.everywhere, tongue), missed)
    for gate in delays.gates:
        table.add_row(*_gate(gate, tongue))
    yield table


def _spread(spread: Spread | None, tongue: Tongue) -> Sequence[str]:
    if spread is None:
        return ("–", "–", "–")
    return [tongue.span(value) for value in (spread.median, spread.p95, spread.slowest)]


def _gate(gate: GateDelay, tongue: Tongue) -> list[str]:
    if not gate.given:
        unknown = tongue("inconnu, preuves non fournies", "unknown, evidence not given")
        return [f"{gate.gate} ({unknown})", *["?"] * 5]
    known = 0 if gate.spread is None else gate.spread.count
    count, missed = tongue.count(known + gate.not_yet), tongue.count(gate.not_yet)
    return [gate.gate, count, *_spread(gate.spread, tongue), missed]


def _consents(exposure: Exposure, tongue: Tongue) -> Iterator[RenderableType]:
    near = exposure.expiring
    first, last = tongue.short_day(near.first), tongue.short_day(near.last)
    count, asked = tongue.count(near.consents), tongue.count(near.asked_about)
    yield _title("Consentements qui vont expirer", "Consents about to expire", tongue)
    yield Text(
        tongue(
            f"Du {first} au {last} : {count}, dont {asked} de personnes visées ce mois-ci",
            f"From {first} to {last}: {count}, of which {asked} of persons asked about this month",
        )
    )


def _attempts(exposure: Exposure, tongue: Tongue) -> Iterator[RenderableType]:
    made = exposure.attempts
    yield _title("Tentatives par personne", "Attempts a person", tongue)
    most = max(made.distribution) or 1
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for attempts, persons in enumerate(made.distribution):
        label = f"{attempts}+" if attempts == MOST else str(attempts)
        table.add_row(label, tongue.count(persons), _bar(persons, most, "blue"))
    table.columns[1].justify = "right"
    yield table
    limit = tongue.count(made.at_limit)
    yield Text(
        tongue(
            f"À la limite de quatre en trente jours (art. D223-9), un jour au moins : {limit}",
            f"At the limit of four in thirty days (art. D223-9) on some day: {limit}",
        )
    )
