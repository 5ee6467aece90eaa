"""A story on a terminal."""

from collections.abc import Iterator
from functools import partial

import msgspec
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ringfence.dossier.chains import Chain, Unread, Witnessed
from ringfence.dossier.notices import alarms, notices
from ringfence.dossier.screen import drawn
from ringfence.dossier.standing import Standing, State
from ringfence.dossier.story import Gap, Story, day_of
from ringfence.dossier.telling import Telling, Tone, told_of
from ringfence.dossier.tongue import FRENCH, Tongue
from ringfence.dossier.vocabulary import FLAWS, GAPS, STATES, WITNESSED, called
from ringfence.rules.rulebook import Article

__all__ = ["alarms_drawn", "articles_drawn", "chains_drawn", "draw_story", "notices_drawn"]

_STYLES: dict[Tone, str] = {
    "said": "bold blue",
    "restrains": "bold magenta",
    "call": "bold",
    "allow": "bold green",
    "defer": "bold yellow",
    "deny": "bold red",
}


def draw_story(story: Story, tongue: Tongue) -> RenderableType:
    """Draw a story."""
    return drawn(partial(_parts, story), tongue)


def _parts(story: Story, tongue: Tongue) -> Iterator[RenderableType]:
    principal = story.names.get(story.principal, story.principal)
    number = tongue.number(story.number)
    yield Text(
        tongue(
            f"{number}, pour le compte {tongue.of(principal)}",
            f"{number}, on behalf of {principal}",
        ),
        style="bold",
    )
    yield from alarms_drawn(story.chains, tongue)
    yield Text(
        tongue(f"heures {tongue.of(story.zone)}", f"times of {story.zone}"),
        style="dim",
    )
    for gap in story.gaps:
        if gap is not Gap.UNREAD_CHAINS:  # which are named below
            yield Text(f"! {called(GAPS, gap, tongue)}", style="yellow")
    yield from notices_drawn(story.chains, story.unread, tongue)
    if story.standings:
        yield _padded(_standings(story, tongue))
    if story.entries:
        yield _padded(_chronology(story, tongue))
    else:
        yield _padded(
            Text(
                tongue(
                    "Rien n'a été trouvé sur ce numéro dans ce qui a été consulté.",
                    "Nothing was found about this number in what was looked at.",
                )
            )
        )
    yield from articles_drawn(story.articles, tongue)
    yield from chains_drawn(story.chains, story.zone, tongue)


def _padded(content: RenderableType) -> Padding:
    return Padding(content, (1, 0, 0, 0))


def _standings(story: Story, tongue: Tongue) -> Table:
    table = Table(
        tongue("finalité", "purpose"),
        tongue("consentement", "consent"),
        tongue("donné le", "given on"),
        tongue("dernier jour", "last day"),
        tongue("texte", "text"),
        box=None,
        header_style="dim",
    )
    for one in story.standings:
        table.add_row(*_standing(one, story.zone, tongue))
    return table


def _standing(one: Standing, zone: str, tongue: Tongue) -> list[RenderableType]:
    state = called(STATES, one.state, tongue)
    if one.ended_at is not None:
        day = tongue.short_day(one.ended_on or tongue.local_day(one.ended_at, zone))
        state = tongue(f"{state}, le {day}", f"{state} on {day}")
    if one.flaws:
        state = tongue.with_reasons(state, [called(FLAWS, flaw, tongue) for flaw in one.flaws])
    style = "green" if one.state is State.IN_FORCE else "yellow"
    row: list[RenderableType] = [Text(one.purpose), Text(state, style=style)]
    if one.consent is None or one.last_day is None:
        return [*row, "–", "–", "–"]
    given, last = one.consent.stated().on, one.last_day
    return [*row, tongue.short_day(given), tongue.short_day(last), Text(one.consent.text)]


def _chronology(story: Story, tongue: Tongue) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 1, 0))
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(style="dim")
    for entry in story.entries:
        told = told_of(entry, story, tongue)
        when = Text(tongue.stamp(entry.at, story.zone, day_of(entry)))
        table.add_row(when, _fact(told), Text("\n".join(told.reference)))
    return table


def _fact(told: Telling) -> Text:
    text = Text(told.headline, style=_STYLES[told.tone])
    for line in told.lead:
        text.append(f"\n{line}", style="not bold default")
    for line in told.details:
        text.append(f"\n{line}", style="not bold default dim")
    return text


def alarms_drawn(chains: tuple[Chain, ...], tongue: Tongue) -> Iterator[RenderableType]:
    """Say what no reader must overlook."""
    for line in alarms(chains, tongue):
        yield Text(f"!! {line}", style="bold red")


def notices_drawn(
    chains: tuple[Chain, ...], unread: tuple[Unread, ...], tongue: Tongue
) -> Iterator[RenderableType]:
    for line in notices(chains, unread, tongue):
        yield Text(f"! {line}", style="yellow")


def articles_drawn(articles: tuple[Article, ...], tongue: Tongue) -> Iterator[RenderableType]:
    """Quote the articles, in French, which is the language of the law."""
    if not articles:
        return
    french = msgspec.structs.replace(FRENCH, gap=tongue.gap)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", max_width=32)
    table.add_column(ratio=1)
    for article in articles:
        quote = french.typeset(f"« {article.quote} »") if article.quote else "–"
        table.add_row(Text(french.typeset(article.name)), Text(quote))
    yield _padded(Text(tongue("Articles cités", "Articles cited"), style="underline"))
    yield table


def chains_drawn(chains: tuple[Chain, ...], zone: str, tongue: Tongue) -> Iterator[RenderableType]:
    """Say what evidence was read, and up to where."""
    if not chains:
        return
    yield _padded(
        Text(tongue("Chaînes de preuves lues", "Evidence that was read"), style="underline")
    )
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for chain in chains:
        count, until = tongue.count(chain.number), tongue.stamp(chain.until, zone)
        said = called(WITNESSED, chain.witnessed, tongue)
        style = "bold red" if chain.witnessed is Witnessed.DIFFERS else ""
        table.add_row(
            Text(chain.gate),
            chain.chain,
            tongue(
                f"enregistrements : {count}, jusqu'au {until}", f"records: {count}, up to {until}"
            ),
            Text(said, style=style),
        )
    yield table
