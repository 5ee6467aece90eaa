"""The report on a campaign's month, for its management, on paper."""

from collections.abc import Iterator

from reportlab.platypus import Flowable

from ringfence.decision import Verdict
from ringfence.dossier import paper
from ringfence.dossier.annex import articles_quoted, chains_listed, head_of
from ringfence.dossier.attempts import MOST
from ringfence.dossier.chart import (
    PLAIN,
    VERDICT_COLOURS,
    Bar,
    Part,
    Stack,
    bar,
    bars,
    columns,
    split,
)
from ringfence.dossier.delay_paper import delays_told
from ringfence.dossier.exposure import Exposure
from ringfence.dossier.liability_paper import liability_told
from ringfence.dossier.month import Month
from ringfence.dossier.notices import alarms, notices
from ringfence.dossier.paper import Cell, Column, Sheet
from ringfence.dossier.tally import ReasonCount
from ringfence.dossier.tongue import Tongue
from ringfence.dossier.vocabulary import DIAL_MODES, SECTORS, VERDICTS, called

__all__ = ["print_exposure"]


def print_exposure(exposure: Exposure, tongue: Tongue) -> bytes:
    """Print a report."""
    month = tongue.month(exposure.first)
    sheet = Sheet(
        title=tongue(
            f"Campagne {exposure.campaign}, {month}", f"Campaign {exposure.campaign}, {month}"
        ),
        principal=_name(exposure, exposure.terms.principal),
        subject=f"{exposure.campaign}, {month}",
        basis=head_of(exposure.chains, tongue),
        issued=exposure.issued,
        zone=exposure.zone,
        release=exposure.release,
        tongue=tongue,
    )
    return paper.printed(sheet, lambda: list(_Report(exposure, tongue).content()))


def _name(exposure: Exposure, party: str) -> str:
    return exposure.names.get(party, party)


class _Report:
    def __init__(self, exposure: Exposure, tongue: Tongue) -> None:
        self._exposure = exposure
        self._tongue = tongue

    def content(self) -> Iterator[Flowable]:
        exposure, tongue = self._exposure, self._tongue
        yield from paper.title(
            tongue("Rapport mensuel d'une campagne", "A campaign's monthly report"),
            f"{exposure.campaign}, {tongue.month(exposure.first)}",
        )
        if altered := list(alarms(exposure.chains, tongue)):
            yield paper.alarm(*altered)
        yield paper.facts(list(self._facts()))
        yield paper.figures(self._figures())
        if missing := list(notices(exposure.chains, exposure.unread, tongue)):
            yield paper.box(*missing)
        yield from self._decisions()
        yield from liability_told(exposure.liability, tongue)
        yield from delays_told(exposure.refusals, tongue)
        yield from self._expiring()
        yield from self._attempts()
        yield from self._method()
        yield from articles_quoted(exposure.articles, tongue)
        yield from chains_listed(exposure.chains, exposure.zone, tongue)

    def _facts(self) -> Iterator[tuple[str, str]]:
        exposure, tongue, terms = self._exposure, self._tongue, self._exposure.terms
        yield tongue("Professionnel", "Advertiser"), _name(exposure, terms.principal)
        yield tongue("Opérateur", "Operator"), _name(exposure, terms.operator)
        yield (
            tongue("Finalité, secteur", "Purpose, sector"),
            f"{terms.purpose}, {called(SECTORS, terms.sector, tongue)}",
        )
        yield (
            tongue("Mode d'appel", "How calls are dialled"),
            called(DIAL_MODES, terms.dial_mode, tongue),
        )
        first, last = tongue.day(exposure.first), tongue.day(Month.parse(exposure.month).last)
        yield (
            tongue("Période", "Period"),
            tongue(
                f"du {first} au {last}, à l'heure de Paris", f"{first} to {last}, as Paris counts"
            ),
        )

    def _figures(self) -> list[tuple[str, str]]:
        exposure, tongue = self._exposure, self._tongue
        return [
            (tongue.count(exposure.asked.decisions), tongue("décisions", "decisions")),
            (tongue.count(exposure.asked.persons), tongue("personnes", "persons")),
            (tongue.count(exposure.placed), tongue("appels passés", "calls placed")),
            (
                tongue.count(exposure.deferred.decisions),
                tongue("appels différés", "calls deferred"),
            ),
            (tongue.count(exposure.denied.decisions), tongue("appels interdits", "calls denied")),
        ]

    # --- decisions ----------------------------------------------------------------------------

    def _decisions(self) -> Iterator[Flowable]:
        exposure, tongue = self._exposure, self._tongue
        yield from paper.heading(tongue("Décisions", "Decisions"))
        if not exposure.asked.decisions:
            yield paper.box(
                tongue(
                    "Aucune décision de cette campagne ne figure ce mois-ci dans les preuves"
                    " fournies.",
                    "The evidence given holds no decision of this campaign in this month.",
                )
            )
            return
        yield split(self._parts())
        returned = exposure.allowed.decisions - exposure.placed
        if returned:
            yield paper.small(
                tongue(
                    f"Permis, mais finalement non passés : {tongue.count(returned)}.",
                    f"Allowed, but not placed after all: {tongue.count(returned)}.",
                )
            )
        yield from paper.heading(tongue("Jour par jour", "Day by day"), room=60)
        stacks = [Stack(day.day, (day.allowed, day.deferred, day.denied)) for day in exposure.days]
        colours = [VERDICT_COLOURS[v] for v in (Verdict.ALLOW, Verdict.DEFER, Verdict.DENY)]
        yield columns(stacks, colours, tongue)
        yield paper.small(
            tongue(
                "De bas en haut : appels permis, différés, interdits.",
                "From below: calls allowed, deferred, denied.",
            )
        )
        yield from paper.heading(tongue("Motifs et articles", "Reasons and articles"))
        yield self._reasons()

    def _parts(self) -> list[Part]:
        exposure, tongue = self._exposure, self._tongue
        counted = [
            (Verdict.ALLOW, exposure.allowed, tongue("permis", "allowed")),
            (Verdict.DEFER, exposure.deferred, tongue("différés", "deferred")),
            (Verdict.DENY, exposure.denied, tongue("interdits", "denied")),
        ]
        whole = exposure.asked.decisions
        return [
            Part(
                f"{tongue.count(count.decisions)} {name}, {tongue.share(count.decisions, whole)}",
                count.decisions,
                VERDICT_COLOURS[verdict],
            )
            for verdict, count, name in counted
            if count.decisions
        ]

    def _reasons(self) -> Flowable:
        exposure, tongue = self._exposure, self._tongue
        most = max(reason.decisions for reason in exposure.reasons)
        head = [
            Column(tongue("Verdict", "Verdict"), 24),
            Column(tongue("Motif et articles", "Reason and articles"), 86),
            Column(tongue("Décisions", "Decisions"), 48),
            Column(tongue("Personnes", "Persons"), 18, "right"),
        ]
        rows = [self._reason(reason, most) for reason in exposure.reasons]
        marks = [VERDICT_COLOURS[reason.verdict] for reason in exposure.reasons]
        return paper.table(head, rows, bars=marks)

    def _reason(self, reason: ReasonCount, most: int) -> list[Cell]:
        tongue = self._tongue
        articles = tongue.typeset(tongue.separator.join(reason.articles))
        return [
            called(VERDICTS, reason.verdict, tongue),
            paper.cell(tongue(reason.french, reason.english), muted=[articles] if articles else []),
            bar(
                reason.decisions / most,
                tongue.count(reason.decisions),
                VERDICT_COLOURS[reason.verdict],
                paper.WIDTH * 48 / 176 - 10,
            ),
            tongue.count(reason.persons),
        ]

    # --- consents and attempts ----------------------------------------------------------------

    def _expiring(self) -> Iterator[Flowable]:
        near, tongue = self._exposure.expiring, self._tongue
        first, last = tongue.day(near.first), tongue.day(near.last)
        yield from paper.heading(
            tongue("Consentements qui vont expirer", "Consents about to expire"), room=70
        )
        yield paper.prose(
            tongue(
                f"Consentements sur lesquels cette campagne peut s'appuyer, et dont le dernier jour"
                f" se situe entre le {first} et le {last} : {tongue.count(near.consents)}. Parmi"
                " eux, ceux de personnes visées par la campagne ce mois-ci :"
                f" {tongue.count(near.asked_about)}.",
                f"Consents on which this campaign can rest, and whose last day lies between {first}"
                f" and {last}: {tongue.count(near.consents)}. Of these, those of persons asked"
                f" about this month: {tongue.count(near.asked_about)}.",
            )
        )
        if near.consents:
            stacks = [Stack(day, (count,)) for day, count in near.days]
            yield columns(stacks, [PLAIN], tongue, height=95)

    def _attempts(self) -> Iterator[Flowable]:
        made, tongue = self._exposure.attempts, self._tongue
        yield from paper.heading(tongue("Tentatives par personne", "Attempts a person"), room=60)
        yield paper.prose(
            tongue(
                "Tentatives du mois vers les personnes visées par cette campagne, toutes campagnes"
                f" du professionnel confondues : {tongue.count(made.attempts)}. Personnes ayant"
                " atteint, un jour au moins, la limite de quatre tentatives en trente jours (art."
                f" D223-9) : {tongue.count(made.at_limit)}.",
                "Attempts of the month to the persons that this campaign asked about, by all"
                f" campaigns of the advertiser: {tongue.count(made.attempts)}. Persons who were, on"
                " some day, at the limit of four attempts in thirty days (art. D223-9):"
                f" {tongue.count(made.at_limit)}.",
            )
        )
        if made.persons:
            yield bars([self._group(n, count) for n, count in enumerate(made.distribution)])

    def _group(self, attempts: int, persons: int) -> Bar:
        tongue = self._tongue
        plural = "s" if attempts > 1 else ""
        english = "" if attempts == 1 else "s"
        if attempts == MOST:
            label = tongue(f"{attempts} tentatives ou plus", f"{attempts} attempts or more")
        else:
            label = tongue(f"{attempts} tentative{plural}", f"{attempts} attempt{english}")
        whole = self._exposure.attempts.persons
        figure = f"{tongue.count(persons)} ({tongue.share(persons, whole)})"
        return Bar(label, persons, figure)

    # --- how it was counted -------------------------------------------------------------------

    def _method(self) -> Iterator[Flowable]:
        tongue = self._tongue
        yield from paper.heading(tongue("Comment ces chiffres sont comptés", "How this is counted"))
        yield paper.prose(
            tongue(
                "Décisions. Chaque réponse d'une passerelle compte, y compris quand le numéroteur"
                " repose la même question. Les personnes sont distinguées par la clé de leur"
                " numéro.",
                "Decisions. Each answer of a gate counts, also where the dialer asks again. Persons"
                " are told apart by the keys of their numbers.",
            )
        )
        yield paper.prose(
            tongue(
                "Refus. Le délai court de l'instant où la personne l'a exprimé à celui où les"
                " tables de la passerelle le montrent ; un refus saisi tardivement compte ce"
                " retard.",
                "Refusals. The time runs from the instant at which the person said it to that at"
                " which the gate's tables show it; a refusal entered late counts its lateness.",
            )
        )
        yield paper.prose(
            tongue(
                "Consentements. Le registre classe un consentement sous une clé qui ne dit pas sa"
                " finalité : sont comptés ceux dont le texte couvre cette campagne, selon l'état du"
                " registre à la date d'établissement.",
                "Consents. The ledger files a consent under a key that does not tell its purpose:"
                " those count whose text covers this campaign, as the ledger stands on the date of"
                " issue.",
            )
        )
