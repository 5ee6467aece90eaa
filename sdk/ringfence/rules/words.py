"""What each reason means, in a sentence of French and one of English, with the articles behind it.

A reason is given by several rules, dates and readings, so its sentence says what holds in all of
them. Articles are cited whose matter it is: that of a banned sector names both laws that ban one.
A sentence without an article states a fact about the question, not about the law.
"""

from typing import Literal

import msgspec

from ringfence.decision import Reason
from ringfence.rules import articles as law
from ringfence.rules.rulebook import Article

__all__ = ["Language", "Sentence", "say", "words"]

Language = Literal["fr", "en"]


class Sentence(msgspec.Struct, frozen=True):
    """A reason in words."""

    french: str
    english: str
    articles: tuple[Article, ...]

    @property
    def sources(self) -> str:
        """The names of the articles; empty where there are none."""
        return "; ".join(article.name for article in self.articles)


def words(reason: Reason) -> Sentence:
    """Give the sentences of a reason; every reason has them."""
    return _WORDS[reason]


def say(reason: Reason, language: Language) -> str:
    """Give the sentence of a reason in one language."""
    sentence = _WORDS[reason]
    return sentence.french if language == "fr" else sentence.english


def _said(french: str, english: str, *articles: Article) -> Sentence:
    # The narrow no-break space that printers prefer before `;` is not in Windows-1252, in which
    # half of the lists come.
    for mark in ":;":
        french = french.replace(f" {mark}", f"\u00a0{mark}")
    return Sentence(french, english, articles)


_WORDS = {
    Reason.INVALID_NUMBER: _said(
        "Ce qui est écrit n’est pas un numéro de téléphone.",
        "What is written is not a telephone number.",
    ),
    Reason.UNKNOWN_CAMPAIGN: _said(
        "Aucune campagne ne porte ce nom.",
        "No campaign has this name.",
    ),
    Reason.UNSUPPORTED_DESTINATION: _said(
        "Cet appel ne va pas, ou pas sûrement, en France, et seul le droit français est vérifié"
        " ici.",
        "This call does not go, or not surely, to France, and only French law is checked here.",
    ),
    # No article forbids a call because a computer is in doubt. But who cannot know what consents
    # and refusals stand could not prove the consent, and the proof is the professional's.
    Reason.NOT_READY: _said(
        "Tous les consentements et refus ne sont pas encore connus ici : l’appel doit attendre.",
        "Not all consents and refusals are known here yet, so the call must wait.",
        law.L223_1_3,
    ),
    Reason.STALE: _said(
        "Les consentements et les refus connus ici ne sont plus à jour : l’appel doit attendre.",
        "The consents and refusals known here are no longer up to date, so the call must wait.",
        law.L223_1_3,
    ),
    Reason.DIVERGED: _said(
        "Les consentements et les refus connus ici diffèrent de ceux du registre : l’appel doit"
        " attendre.",
        "The consents and refusals known here differ from those of the ledger, so the call must"
        " wait.",
        law.L223_1_3,
    ),
    Reason.CLOCK_SKEW: _said(
        "L’horloge de cette machine n’est pas à l’heure : on ne peut pas savoir si l’appel est"
        " permis maintenant.",
        "The clock of this machine is wrong, so whether the call is permitted now cannot be known.",
        law.DAYS_AND_HOURS,
    ),
    Reason.FORKED: _said(
        "Ce processus ne reçoit plus ni consentements ni refus : l’appel doit attendre.",
        "This process no longer receives consents and refusals, so the call must wait.",
        law.L223_1_3,
    ),
    Reason.EVIDENCE_UNAVAILABLE: _said(
        "La preuve de cet appel ne peut pas être enregistrée : l’appel doit attendre.",
        "The evidence of this call cannot be recorded, so the call must wait.",
        law.L223_1_3,
    ),
    Reason.ATTEMPT_UNCONFIRMED: _said(
        "Le registre n’a pas confirmé à temps que la personne peut encore être appelée : l’appel"
        " doit attendre.",
        "The ledger has not confirmed in time that the person may be called once more, so the call"
        " must wait.",
        law.FOUR_IN_THIRTY,
    ),
    Reason.SECTOR_BANNED: _said(
        "Le démarchage téléphonique est interdit dans ce secteur, même avec le consentement de la"
        " personne, et aucune exception ne vaut pour cet appel.",
        "Telephone canvassing is banned in this sector, even with the person’s consent, and no"
        " exception holds for this call.",
        law.L223_1_5,
        law.L6323_8_1,
    ),
    Reason.OBJECTED: _said(
        "La personne s’est opposée à tout démarchage de ce professionnel.",
        "The person has objected to all canvassing by this advertiser.",
        law.GDPR_21,
    ),
    Reason.REFUSED: _said(
        "La personne a refusé d’être démarchée, et son refus vaut toujours.",
        "The person has refused to be canvassed, and the refusal still stands.",
        law.R223_3,
        law.L221_16,
        law.COOLING_OFF,
    ),
    Reason.NO_GROUND: _said(
        "Ni consentement, ni contrat en cours, ni demande de rappel ne permet cet appel.",
        "No consent, contract in progress or request to be called back permits this call.",
        law.L223_1_1,
        law.L223_1_3,
    ),
    Reason.CONSENT_WITHDRAWN: _said(
        "La personne a retiré son consentement.",
        "The person has withdrawn consent.",
        law.R223_3,
    ),
    Reason.CONSENT_EXPIRED: _said(
        "Le consentement de la personne a expiré, car sa durée est écoulée : un an au plus, trente"
        " jours pour l’assurance.",
        "The person’s consent has expired, as its period is over: one year at most, thirty days for"
        " insurance.",
        law.R223_1,
        law.R112_7,
    ),
    Reason.CONSENT_DEFECTIVE: _said(
        "Le texte auquel la personne a consenti ne suffit pas : il y manque une mention, ou il ne"
        " couvre pas cet appel.",
        "The text that the person consented to is not enough: a statement is missing from it, or it"
        " does not cover this call.",
        law.L223_1_2,
        law.R223_1,
    ),
    Reason.BLOCTEL: _said(
        "Le numéro est inscrit sur la liste d’opposition Bloctel à la date de l’appel.",
        "The number is on the Bloctel opposition list on the date of the call.",
        law.BLOCTEL,
    ),
    Reason.CALLER_ID_BARRED: _said(
        "Le numéro affiché est masqué, ou il est interdit de l’afficher pour un tel appel.",
        "The number shown is withheld, or may not be shown for such a call.",
        law.L221_17,
        law.BARRED_RANGES,
        law.ARCEP,
    ),
    Reason.CALLER_ID_FOREIGN: _said(
        "Le numéro affiché n’est pas l’un de ceux du professionnel pour lequel on appelle.",
        "The number shown is not one of those of the advertiser for whom the call is made.",
        law.L221_17,
    ),
    Reason.CLOSED_DAY: _said(
        "C’est samedi ou dimanche là où vit la personne : le démarchage n’est permis que du lundi"
        " au vendredi.",
        "It is Saturday or Sunday where the person lives: canvassing is permitted from Monday to"
        " Friday only.",
        law.DAYS_AND_HOURS,
    ),
    Reason.HOLIDAY: _said(
        "C’est un jour férié là où vit la personne : le démarchage n’est pas permis ce jour-là.",
        "It is a public holiday where the person lives: canvassing is not permitted that day.",
        law.DAYS_AND_HOURS,
    ),
    Reason.OUTSIDE_HOURS: _said(
        "Ce n’est pas l’heure là où vit la personne : le démarchage n’est permis que de 10 heures à"
        " 13 heures et de 14 heures à 20 heures.",
        "It is not the hour where the person lives: canvassing is permitted from 10:00 to 13:00 and"
        " from 14:00 to 20:00 only.",
        law.DAYS_AND_HOURS,
    ),
    Reason.ATTEMPT_LIMIT: _said(
        "La personne a déjà été appelée quatre fois en trente jours, avec ou sans réponse, et"
        " c’est le maximum.",
        "The person has already been called four times in thirty days, answered or not, and that is"
        " the limit.",
        law.FOUR_IN_THIRTY,
    ),
    Reason.CONSENT: _said(
        "La personne a consenti à être appelée pour cette offre, et son consentement est valable.",
        "The person has consented to be called for this offer, and the consent is valid.",
        law.L223_1_1,
        law.L223_1_2,
        law.R223_1,
    ),
    Reason.CONTRACT: _said(
        "L’appel se rapporte à un contrat en cours avec la personne.",
        "The call relates to a contract in progress with the person.",
        law.L223_1_4,
    ),
    Reason.CALLBACK: _said(
        "La personne a demandé à être rappelée, et l’appel a lieu dans les cinq jours ouvrables qui"
        " suivent.",
        "The person has asked to be called back, and the call is made within five working days.",
        law.R223_4,
    ),
    Reason.PRESS: _said(
        "L’appel propose un titre de presse, ce qui est permis sans consentement préalable.",
        "The call offers a newspaper or magazine, which is permitted without prior consent.",
        law.L223_5,
    ),
    Reason.OPT_OUT_REGIME: _said(
        "Jusqu’au 10 août 2026, on pouvait démarcher qui n’était pas inscrit sur la liste Bloctel.",
        "Until 10 August 2026 whoever was not on the Bloctel list could be canvassed.",
        law.BLOCTEL,
    ),
    Reason.BUSINESS: _said(
        "L’appel ne s’adresse pas à un consommateur, le seul que la loi sur le démarchage protège.",
        "The call is not made to a consumer, and the law on canvassing protects consumers only.",
        law.L223_1_1,
    ),
    Reason.NOT_CANVASSING: _said(
        "L’appel n’a pas de but commercial : ce n’est pas du démarchage.",
        "The call has no commercial purpose, so it is not canvassing.",
        law.L223_1_1,
    ),
}
