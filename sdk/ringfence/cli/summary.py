"""The tally of a scrubbed list: in a line, as tables with bars, and as JSON."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec
from rich.bar import Bar
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ringfence.decision import Verdict
from ringfence.rules.words import Language, say, words
from ringfence.scrub import PARIS, Order, Tally, When

__all__ = ["COLOURS", "as_json", "clock", "drawn", "in_short", "troubles", "verdict_in"]

BAR = 20
LATER = (When.TODAY, When.WEEK, When.LATER, When.UNKNOWN)
COLOURS = {Verdict.ALLOW: "green", Verdict.DEFER: "yellow", Verdict.DENY: "red"}
_VERDICTS = {When.NOW: Verdict.ALLOW, When.NEVER: Verdict.DENY}  # all others are deferred


class _Words(NamedTuple):
    """What a summary says in one language."""

    short: str
    title: str
    columns: tuple[str, str]
    whens: dict[When, str]
    verdicts: dict[Verdict, str]
    days: tuple[str, ...]
    troubles: tuple[str, str]
    """One line is denied unread, and several."""


_SAYS: dict[Language, _Words] = {
    "en": _Words(
        "{output}: {leads} leads; {now} could be called then, {later} later, {never} never",
        "{campaign}, {at} in Paris: {leads} leads",
        ("leads", "share"),
        {
            When.NOW: "then",
            When.TODAY: "later that day",
            When.WEEK: "within seven days",
            When.LATER: "later still",
            When.UNKNOWN: "not then, and no date is known",
            When.NEVER: "never, as things stand",
        },
        {Verdict.ALLOW: "allow", Verdict.DEFER: "defer", Verdict.DENY: "deny"},
        ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
        (
            "{count} line could not be read, and is denied:",
            "{count} lines could not be read, and are denied:",
        ),
    ),
    "fr": _Words(
        "{output}\u00a0: {leads} contacts\u00a0; {now} pourraient être appelés à ce moment, {later}"
        " plus tard, {never} jamais",
        "{campaign}, {at} à Paris\u00a0: {leads} contacts",
        ("contacts", "part"),
        {
            When.NOW: "à ce moment",
            When.TODAY: "plus tard ce jour-là",
            When.WEEK: "dans les sept jours",
            When.LATER: "plus tard encore",
            When.UNKNOWN: "pas à ce moment, sans date connue",
            When.NEVER: "jamais, en l’état",
        },
        {Verdict.ALLOW: "permis", Verdict.DEFER: "différé", Verdict.DENY: "interdit"},
        ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"),
        (
            "{count} ligne n’a pas pu être lue, et l’appel est interdit\u00a0:",
            "{count} lignes n’ont pas pu être lues, et les appels sont interdits\u00a0:",
        ),
    ),
}


def in_short(tally: Tally, order: Order, output: str) -> str:
    """Give the tally in one line."""
    counts = {
        "leads": tally.leads,
        "now": tally.on(When.NOW),
        "later": sum(map(tally.on, LATER)),
        "never": tally.on(When.NEVER),
    }
    written = {name: _count(count, order.language) for name, count in counts.items()}
    return _SAYS[order.language].short.format(output=output, **written)


def troubles(tally: Tally, language: Language) -> Iterator[str]:
    """Give the lines that tell of leads that were denied unread; none if there are none."""
    if tally.troubled:
        said = _SAYS[language].troubles[tally.troubled > 1]
        yield said.format(count=_count(tally.troubled, language))
        yield from (f"  {trouble}" for trouble in tally.troubles)
        if tally.troubled > len(tally.troubles):
            yield "  …"


def drawn(tally: Tally, order: Order) -> Group:
    """Draw when leads can be called, and why, or why not."""
    language, says = order.language, _SAYS[order.language]
    title = says.title.format(
        campaign=order.campaign,
        at=clock(order.at, language),
        leads=_count(tally.leads, language),
    )
    when = [
        (Text(label), _VERDICTS.get(then, Verdict.DEFER), tally.on(then))
        for then, label in says.whens.items()
        if tally.on(then) or then is not When.UNKNOWN
    ]
    why = [
        (
            Text.assemble(
                (says.verdicts[verdict], COLOURS[verdict]),
                f" {reason}\n",
                (say(reason, language), "dim"),
            ),
            verdict,
            count,
        )
        for verdict, reason, count in tally.reasons()
    ]
    charts = (_chart(rows, tally.leads, language) for rows in (when, why))
    return Group(Text(title, "bold"), *charts)


def _chart(rows: Iterable[tuple[Text, Verdict, int]], total: int, language: Language) -> Table:
    leads, share = _SAYS[language].columns
    table = Table(box=None, expand=True, padding=(0, 1))
    table.add_column(ratio=1)
    table.add_column(leads, justify="right")
    table.add_column(share, justify="right")
    table.add_column(width=BAR)
    for label, verdict, count in rows:
        part = count / total if total else 0.0
        bar = Bar(1.0, 0.0, part, width=BAR, color=COLOURS[verdict])
        table.add_row(label, _count(count, language), _share(part, language), bar)
    return table


def _count(count: int, language: Language) -> str:
    """Group the digits as the language does."""
    return f"{count:,}" if language == "en" else f"{count:,}".replace(",", "\u202f")


def _share(part: float, language: Language) -> str:
    return f"{part:.1%}" if language == "en" else f"{100 * part:.1f}\u00a0%".replace(".", ",")


def verdict_in(language: Language, verdict: Verdict) -> str:
    return _SAYS[language].verdicts[verdict]


def clock(at: datetime, language: Language) -> str:
    """Write an instant as clocks in Paris show it."""
    there = at.astimezone(PARIS)
    day = _SAYS[language].days[there.weekday()]
    return f"{day} {there:%Y-%m-%d %H:%M}" if language == "en" else f"{day} {there:%d/%m/%Y %H:%M}"


def as_json(tally: Tally, order: Order) -> str:
    """Give the tally for a program; counts by moment and by reason."""
    document = {
        "campaign": order.campaign,
        "at": f"{order.at:%Y-%m-%dT%H:%M:%SZ}",
        "leads": tally.leads,
        "unreadable": tally.troubled,
        "when": {when: tally.on(when) for when in When},
        "reasons": [
            {
                "verdict": verdict,
                "reason": reason,
                "leads": count,
                "articles": [article.name for article in words(reason).articles],
                "sentence": say(reason, order.language),
            }
            for verdict, reason, count in tally.reasons()
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document)).decode() + "\n"
