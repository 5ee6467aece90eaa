"""The section of a report on what denied calls could have cost."""

from collections.abc import Iterator

from reportlab.platypus import Flowable

from ringfence.dossier import paper
from ringfence.dossier.liability import Case, Liability
from ringfence.dossier.month import Month
from ringfence.dossier.paper import Cell, Column
from ringfence.dossier.tongue import Tongue

__all__ = ["liability_told"]


def liability_told(owed: Liability, tongue: Tongue) -> Iterator[Flowable]:
    """Show the arithmetic, and say before it what it is not."""
    yield from paper.heading(
        tongue(
            "Ce que les appels interdits auraient pu coûter",
            "What the denied calls could have cost",
        ),
        room=80,
    )
    yield paper.box(
        paper.bold(
            tongue("Une borne supérieure, pas une prévision.", "An upper bound, not a forecast.")
        ),
        tongue(
            "L'article L242-16 du code de la consommation fixe un maximum par manquement. Le calcul"
            " suppose que chaque appel interdit a été passé, qu'il est un manquement distinct, et"
            " qu'il est sanctionné au maximum.",
            "Article L242-16 of the Code de la consommation sets a maximum for each breach. The sum"
            " supposes that each denied call was placed, is a breach of its own, and is fined the"
            " maximum.",
        ),
    )
    yield _sums(owed, tongue)
    if owed.uncounted:
        count = tongue.count(owed.uncounted)
        yield paper.small(
            tongue(
                "Refusés pour un autre motif (question mal posée, numéro présenté), qui ne relève"
                f" pas de cet article, et non comptés : {count}.",
                "Denied for another reason (a malformed question, the number shown), which this"
                f" article does not cover, and not counted: {count}.",
            )
        )
    yield paper.gap(3)
    yield _cases(owed, tongue)
    yield paper.small(
        tongue(
            "Montants rapportés par la presse (pix-geeks.com), prononcés sous le droit en vigueur"
            " avant le 11 août 2026. Aucune sanction prononcée sous le droit nouveau n'est connue"
            " ici.",
            "Amounts as the press reported them (pix-geeks.com), fined under the law before 11"
            " August 2026. No fine under the new law is known here.",
        )
    )


def _sums(owed: Liability, tongue: Tongue) -> Flowable:
    calls, to = tongue.count(owed.breaches), tongue("à", "to")
    low, high = tongue.euros(owed.published_low_each), tongue.euros(owed.published_high_each)
    columns = [
        Column(tongue("Hypothèse", "Supposing"), 74),
        Column(tongue("Calcul", "Arithmetic"), 52, "right"),
        Column(tongue("Total", "Total"), 50, "right"),
    ]
    rows = [
        [
            tongue("Maximum, personne physique", "The maximum, natural person"),
            f"{calls} × {tongue.euros(owed.natural_each)}",
            paper.bold(tongue.euros(owed.natural)),
        ],
        [
            tongue("Maximum, personne morale", "The maximum, legal person"),
            f"{calls} × {tongue.euros(owed.legal_each)}",
            paper.bold(tongue.euros(owed.legal)),
        ],
        [
            tongue("Par appel, dans les affaires publiées", "A call, in the published cases"),
            f"{calls} × {low} {to} {high}",
            paper.bold(
                f"{tongue.euros(owed.published_low)} {to} {tongue.euros(owed.published_high)}"
            ),
        ],
    ]
    return paper.table(columns, rows)


def _cases(owed: Liability, tongue: Tongue) -> Flowable:
    columns = [
        Column(tongue("Affaire publiée", "Published case"), 60),
        Column(tongue("Sanction", "Fine"), 30, "right"),
        Column(tongue("Pour", "For"), 58),
        Column(tongue("Soit, par appel", "That is, a call"), 28, "right"),
    ]
    return paper.table(columns, [_case(case, tongue) for case in owed.cases])


def _case(case: Case, tongue: Tongue) -> list[Cell]:
    about = tongue("environ ", "about ") if case.about else ""
    unit = tongue(case.unit_french, case.unit_english)
    return [
        paper.cell(case.name, muted=[tongue.month(Month.parse(case.when).first)]),
        tongue.euros(case.euros),
        f"{about}{tongue.count(case.calls)} {unit}",
        tongue.cents(case.each),
    ]
