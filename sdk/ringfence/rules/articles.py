"""The articles of French law that the rules apply: name, first day in force, sentence.

Quoted are the sentences a rule rests on, shortened at `[…]`. An empty quote marks a source that
the product follows without having its exact words (law/france.md grades each).
"""

from datetime import date

from ringfence.rules.rulebook import Article

_OPT_IN = date(2026, 8, 11)

L223_1_1 = Article(
    "C. conso., art. L223-1 al. 1",
    _OPT_IN,
    "Il est interdit de démarcher par téléphone, directement ou par l'intermédiaire d'un tiers"
    " agissant pour son compte, un consommateur qui n'a pas exprimé préalablement son consentement"
    " à faire l'objet de prospections commerciales par ce moyen.",
)
L223_1_2 = Article(
    "C. conso., art. L223-1 al. 2",
    _OPT_IN,
    "[…] toute manifestation de volonté libre, spécifique, éclairée, univoque et révocable par"
    " laquelle une personne accepte, par un acte positif clair, que des données à caractère"
    " personnel la concernant soient utilisées à des fins de prospection commerciale par voie"
    " téléphonique.",
)
L223_1_3 = Article(
    "C. conso., art. L223-1 al. 3",
    _OPT_IN,
    "Il appartient au professionnel d'apporter la preuve […].",
)
L223_1_4 = Article(
    "C. conso., art. L223-1 al. 4",
    _OPT_IN,
    "L'interdiction prévue au premier alinéa n'est pas applicable lorsque la sollicitation"
    " intervient dans le cadre de l'exécution d'un contrat en cours et a un rapport avec l'objet de"
    " ce contrat […].",
)
L223_1_5 = Article(
    "C. conso., art. L223-1 al. 5",
    date(2020, 7, 26),
    "Toute prospection commerciale de consommateurs par des professionnels, par voie téléphonique,"
    " ayant pour objet l'offre de prestations de service, la vente d'équipements ou la réalisation"
    " de travaux pour des logements en vue de leur adaptation au vieillissement ou au handicap ou"
    " de la réalisation d'économies d'énergie ou de la production d'énergies renouvelables est"
    " interdite, à l'exception des sollicitations intervenant dans le cadre de l'exécution d'un"
    " contrat en cours au sens du quatrième alinéa du présent article.",
)
L223_5 = Article("C. conso., art. L223-5", date(2016, 7, 1), "")
L6323_8_1 = Article(
    "C. trav., art. L6323-8-1",
    date(2022, 12, 21),
    "Est interdite toute prospection commerciale des titulaires d'un compte personnel de formation,"
    " par voie téléphonique […].",
)
R223_1 = Article(
    "C. conso., art. R223-1",
    _OPT_IN,
    "[La durée] ne peut excéder un an à compter de la date de recueil […] ne peut faire l'objet"
    " d'un renouvellement tacite ni être considéré comme tacitement reconduit.",
)
R223_3 = Article("C. conso., art. R223-3", _OPT_IN, "[…] Ce retrait peut être exprimé oralement.")
R223_4 = Article(
    "C. conso., art. R223-4", _OPT_IN, "[…] dans les cinq jours ouvrables suivant la demande […]."
)
R112_7 = Article("C. assur., art. L112-2-2 et R112-7", date(2022, 4, 1), "")
L34_5 = Article("CPCE, art. L34-5", date(2004, 6, 22), "")
BLOCTEL = Article("C. conso., art. L223-1 (loi 2020-901)", date(2020, 7, 26), "")
COOLING_OFF = Article(
    "C. conso., art. D223-9 al. 3",
    date(2023, 3, 1),
    "[…] lorsque le consommateur refuse ce démarchage lors de la conversation, [il] s'abstient de"
    " le contacter ou de tenter de le contacter avant l'expiration d'une période de soixante jours"
    " calendaires révolus à compter de ce refus.",
)
DAYS_AND_HOURS = Article(
    "C. conso., art. D223-9 al. 1",
    date(2023, 3, 1),
    "La sollicitation d'un consommateur par voie téléphonique à des fins de prospection"
    " commerciale, y compris celle visée à l'article L. 223-5, n'est autorisée d'une part que du"
    " lundi au vendredi, sauf lorsque ces jours sont fériés en application de l'article L. 3133-1"
    " du code du travail, et d'autre part seulement de 10 heures à 13 heures et de 14 heures à 20"
    " heures, ces heures correspondant à celles du fuseau horaire du consommateur.",
)
FOUR_IN_THIRTY = Article(
    "C. conso., art. D223-9 al. 3",
    date(2023, 3, 1),
    "Il est interdit à un même professionnel, directement ou par l'intermédiaire d'un tiers"
    " agissant pour son compte, de démarcher ou de tenter de démarcher téléphoniquement un même"
    " consommateur plus de quatre fois au cours d'une période de trente jours calendaires.",
)
L221_16 = Article("C. conso., art. L221-16", _OPT_IN, "")
L221_17 = Article(
    "C. conso., art. L221-17",
    date(2016, 7, 1),
    "Lorsqu'un professionnel contacte un consommateur par téléphone […], l'utilisation d'un numéro"
    " masqué est interdite.",
)
BARRED_RANGES = Article(
    "Arrêté du 5 juillet 2016, art. 2",
    date(2016, 8, 1),
    "Les tranches de numéros qui ne peuvent être utilisées comme identifiant d'appel par un"
    " professionnel qui joint un consommateur sont les numéros spéciaux vocaux à tarification"
    " majorée commençant par 089, les numéros courts à tarification banalisée ou majorée 3BPQ (hors"
    " 30PQ et 31PQ) et les numéros courts de service de renseignements téléphoniques 118 XYZ.",
)
ARCEP = Article("Arcep, décision 2022-1583, 7.1.3", date(2023, 1, 1), "")
GDPR_21 = Article(
    "RGPD, art. 21(3)",
    date(2018, 5, 25),
    "Lorsque la personne concernée s'oppose au traitement à des fins de prospection, les données à"
    " caractère personnel ne sont plus traitées à ces fins.",
)
