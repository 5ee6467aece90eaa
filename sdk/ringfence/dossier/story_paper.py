"""A story as a document that can be filed."""

from collections.abc import Iterator, Sequence

from reportlab.lib.colors import Color, HexColor
from reportlab.platypus import Flowable

from ringfence.decision import Verdict
from ringfence.dossier import paper
from ringfence.dossier.annex import articles_quoted, chains_listed, head_of
from ringfence.dossier.chart import VERDICT_COLOURS
from ringfence.dossier.notices import alarms, notices
from ringfence.dossier.paper import Column, Sheet
from ringfence.dossier.standing import Standing, State
from ringfence.dossier.story import Attempted, Entry, Gap, Story, day_of
from ringfence.dossier.telling import Tone, told_of
from ringfence.dossier.tongue import Tongue
from ringfence.dossier.vocabulary import FLAWS, GAPS, STATES, called

__all__ = ["print_story"]

_BARS: dict[Tone, Color] = {
    "said": HexColor(0x5B7FA8),
    "restrains": HexColor(0x1F3F66),
    "call": HexColor(0xB4BCC8),
    "allow": VERDICT_COLOURS[Verdict.ALLOW],
    "defer": VERDICT_COLOURS[Verdict.DEFER],
    "deny": VERDICT_COLOURS[Verdict.DENY],
}


def print_story(story: Story, tongue: Tongue) -> bytes:
    """Print a story."""
    number = tongue.number(story.number)
    principal = story.names.get(story.principal, story.principal)
    sheet = Sheet(
        title=tongue(f"Dossier du {number}", f"File of {number}"),
        principal=principal,
        subject=tongue(f"Dossier du {number}", f"File of {number}"),
        basis=head_of(story.chains, tongue),
        issued=story.issued,
        zone=story.zone,
        release=story.release,
        tongue=tongue,
    )
    return paper.printed(sheet, lambda: list(_content(story, tongue)))


def _content(story: Story, tongue: Tongue) -> Iterator[Flowable]:
    number = tongue.number(story.number)
    principal = story.names.get(story.principal, story.principal)
    yield from paper.title(
        tongue("Démarchage téléphonique : dossier d'une personne", "Canvassing: one person's file"),
        tongue(
            f"{number}, pour le compte {tongue.of(principal)}",
            f"{number}, on behalf of {principal}",
        ),
    )
    if altered := list(alarms(story.chains, tongue)):
        yield paper.alarm(*altered)
    yield paper.facts(list(_facts(story, tongue)))
    yield paper.figures(_figures(story, tongue))
    if missing := list(_missing(story, tongue)):
        yield paper.box(*missing)
    if story.standings:
        yield from paper.heading(
            tongue("Situation à la date d'établissement", "How consents stand on the date of issue")
        )
        yield _standings(story.standings, story.zone, tongue)
    yield from paper.heading(tongue("Chronologie", "In time order"))
    yield from _chronology(story, tongue)
    yield from articles_quoted(story.articles, tongue)
    yield from chains_listed(story.chains, story.zone, tongue)
    yield from _pseudonyms(story, tongue)


def _missing(story: Story, tongue: Tongue) -> Iterator[str]:
    for gap in story.gaps:
        if gap is not Gap.UNREAD_CHAINS:  # which are named below
            yield called(GAPS, gap, tongue)
    yield from notices(story.chains, story.unread, tongue)


def _facts(story: Story, tongue: Tongue) -> Iterator[tuple[str, str]]:
    yield tongue("Numéro", "Number"), f"{tongue.number(story.number)} ({story.number})"
    if story.consumer is not None:
        yield tongue("Identifiant du consommateur", "Consumer's id"), story.consumer
    name = story.names.get(story.principal)
    own = story.principal if name is None else f"{name} ({story.principal})"
    yield tongue("Professionnel", "Advertiser"), own
    yield (
        tongue("Finalités recherchées", "Purposes looked for"),
        ", ".join(story.keys.purposes) or tongue("aucune", "none"),
    )
    if story.entries:
        first, last = (_moment(story.entries[n], story, tongue) for n in (0, -1))
        yield (
            tongue("Période couverte", "From the first to the last fact"),
            tongue(
                f"du {first} au {last}",
                f"{first} to {last}",
            ),
        )
    yield (
        tongue("Heures indiquées", "Times shown"),
        tongue(f"celles du consommateur ({story.zone})", f"those of the consumer ({story.zone})"),
    )


def _figures(story: Story, tongue: Tongue) -> list[tuple[str, str]]:
    decisions = story.decisions
    counts = {v: sum(d.verdict is v for d in decisions) for v in Verdict}
    placed = sum(isinstance(e, Attempted) and not e.cancelled for e in story.entries)
    return [
        (tongue.count(len(decisions)), tongue("décisions", "decisions")),
        (tongue.count(counts[Verdict.ALLOW]), tongue("appels permis", "calls allowed")),
        (tongue.count(counts[Verdict.DEFER]), tongue("appels différés", "calls deferred")),
        (tongue.count(counts[Verdict.DENY]), tongue("appels interdits", "calls denied")),
        (tongue.count(placed), tongue("tentatives comptées", "attempts that count")),
    ]


def _standings(standings: Sequence[Standing], zone: str, tongue: Tongue) -> Flowable:
    columns = [
        Column(tongue("Finalité", "Purpose"), 18),
        Column(tongue("Consentement", "Consent"), 40),
        Column(tongue("Donné le", "Given on"), 19),
        Column(tongue("Dernier jour", "Last day"), 19),
        Column(tongue("Texte, campagnes qu'il couvre", "Text, campaigns that it covers"), 40),
    ]
    return paper.table(columns, [_standing(one, zone, tongue) for one in standings])


def _standing(one: Standing, zone: str, tongue: Tongue) -> list[str]:
    consent = one.consent
    given = last = text = "–"
    if consent is not None and one.last_day is not None:
        given = tongue.short_day(consent.stated().on)
        last = tongue.short_day(one.last_day)
        covered = ", ".join(one.campaigns) or tongue("aucune campagne", "no campaign")
        text = f"{consent.text}, {covered}"
    state = ended = called(STATES, one.state, tongue)
    if one.ended_at is not None:
        day = tongue.short_day(one.ended_on or tongue.local_day(one.ended_at, zone))
        ended = tongue(f"{state}, le {day}", f"{state} on {day}")
    if one.flaws:
        ended = tongue.with_reasons(state, [called(FLAWS, flaw, tongue) for flaw in one.flaws])
    return [
        one.purpose,
        paper.bold(state) if one.state is State.IN_FORCE else ended,
        given,
        last,
        text,
    ]


def _chronology(story: Story, tongue: Tongue) -> Iterator[Flowable]:
    if not story.entries:
        yield paper.prose(
            tongue(
                "Rien n'a été trouvé sur ce numéro dans ce qui a été consulté.",
                "Nothing was found about this number in what was looked at.",
            )
        )
        return
    columns = [
        Column(tongue("Date et heure", "Date and time"), 23),
        Column(tongue("Fait", "Fact"), 117),
        Column(tongue("Référence", "Reference"), 34),
    ]
    rows, bars = [], []
    for entry in story.entries:
        told = told_of(entry, story, tongue)
        rows.append(
            [
                _when(entry, story, tongue),
                paper.cell(paper.bold(told.headline), *told.lead, muted=told.details),
                paper.cell(muted=told.reference),
            ]
        )
        bars.append(_BARS[told.tone])
    yield paper.table(columns, rows, bars=bars)


def _moment(entry: Entry, story: Story, tongue: Tongue) -> str:
    return tongue.moment(entry.at, story.zone, day_of(entry))


def _when(entry: Entry, story: Story, tongue: Tongue) -> list[Flowable]:
    only = day_of(entry)
    if only is not None:
        return paper.cell(tongue.short_day(only))
    day = tongue.local_day(entry.at, story.zone)
    return paper.cell(tongue.short_day(day), muted=[tongue.clock(entry.at, story.zone)])


def _pseudonyms(story: Story, tongue: Tongue) -> Iterator[Flowable]:
    """Name the keys, so that whoever holds the evidence can find the records again."""
    rows = [(tongue("numéro", "number"), story.keys.number)]
    if story.keys.consumer is not None:
        rows.append((tongue("consommateur", "consumer"), story.keys.consumer))
    for purpose, key in story.keys.purposes.items():
        rows.append((tongue(f"numéro et « {purpose} »", f"number and {purpose}"), key))
    room = 30.0 + 6 * len(rows)  # a table of a few rows is not torn apart
    yield from paper.heading(tongue("Pseudonymes", "Pseudonyms"), room)
    yield paper.prose(
        tongue(
            "Ni le registre ni les chaînes de preuves ne contiennent de numéro de téléphone : la"
            " personne y figure sous ces clés, calculées avec le secret du professionnel.",
            "Neither the ledger nor the evidence holds a telephone number: the person is filed"
            " there under these keys, made with the advertiser's secret.",
        )
    )
    yield paper.facts([(label, paper.mono(str(key))) for label, key in rows])
