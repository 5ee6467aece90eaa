"""What the words of the code are called on paper, in French and in English."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from ringfence.call import Outcome
from ringfence.campaign import Channel, DialMode
from ringfence.decision import Verdict
from ringfence.dossier.chains import Witnessed
from ringfence.dossier.custody import Custody
from ringfence.dossier.day_only import DAY_ONLY, UNDATED
from ringfence.dossier.flaws import Flaw
from ringfence.dossier.standing import State
from ringfence.dossier.story import Gap
from ringfence.dossier.tongue import Tongue

__all__ = [
    "CHANNELS",
    "CUSTODIES",
    "DIAL_MODES",
    "FLAWS",
    "GAPS",
    "MENTIONS",
    "OUTCOMES",
    "SECTORS",
    "STATES",
    "VERDICTS",
    "WITNESSED",
    "called",
    "listed",
    "sourced",
]

Called = tuple[str, str]

K = TypeVar("K", bound=str)

VERDICTS: Final[Mapping[Verdict, Called]] = {
    Verdict.ALLOW: ("Appel permis", "Call allowed"),
    Verdict.DENY: ("Appel interdit", "Call denied"),
    Verdict.DEFER: ("Appel différé", "Call deferred"),
}

OUTCOMES: Final[Mapping[Outcome, Called]] = {
    Outcome.ANSWERED: ("la personne a répondu", "answered"),
    Outcome.NO_ANSWER: ("sans réponse", "no answer"),
    Outcome.BUSY: ("occupé", "busy"),
    Outcome.VOICEMAIL: ("messagerie vocale", "voicemail"),
    Outcome.FAILED: ("échec de l'acheminement", "the network failed"),
    Outcome.NOT_PLACED: ("non passé", "not placed"),
    Outcome.REFUSED: ("la personne a refusé l'offre", "the person refused the offer"),
    Outcome.OBJECTED: (
        "la personne s'est opposée à tout appel",
        "the person objected to all calls",
    ),
}

# In the order of R223-1 I.
MENTIONS: Final[Mapping[str, Called]] = {
    "professional": ("l'identité du professionnel", "the identity of the professional"),
    "third_party": (
        "l'identité du tiers qui appelle pour son compte",
        "the identity of the third party that calls on its behalf",
    ),
    "goods_services": (
        "la nature des biens ou services proposés",
        "the nature of the goods or services offered",
    ),
    "choice": (
        "la possibilité de consentir ou non, pour cette personne et cet objet",
        "the choice to consent or not, for this person and this object",
    ),
    "period": (
        "la durée du consentement, d'un an au plus",
        "the period of the consent, of one year at most",
    ),
    "withdrawal": (
        "le droit de retirer le consentement à tout moment, et comment",
        "the right to withdraw the consent at any time, and how",
    ),
    "proof_access": (
        "l'accès au support durable qui en conserve la preuve",
        "the access to the durable medium that holds its proof",
    ),
}

CHANNELS: Final[Mapping[Channel, Called]] = {
    Channel.WEB: ("site internet", "web site"),
    Channel.APP: ("application mobile", "mobile application"),
    Channel.CHAT: ("messagerie instantanée", "chat"),
    Channel.EMAIL: ("courriel", "e-mail"),
    Channel.SMS: ("SMS", "text message"),
    Channel.PAPER: ("formulaire papier", "paper form"),
    Channel.LETTER: ("courrier postal", "letter"),
    Channel.STORE: ("en magasin", "in a shop"),
    Channel.IN_PERSON: ("de vive voix, en présence", "in person"),
    Channel.INBOUND_CALL: (
        "appel téléphonique de la personne",
        "telephone call made by the person",
    ),
    Channel.OUTBOUND_CALL: (
        "appel téléphonique du professionnel",
        "telephone call made by the professional",
    ),
}

DIAL_MODES: Final[Mapping[DialMode, Called]] = {
    DialMode.MANUAL: ("composition manuelle", "manual dialling"),
    DialMode.PREVIEW: ("un clic par appel (preview)", "one click a call (preview)"),
    DialMode.PROGRESSIVE: ("numérotation progressive", "progressive dialling"),
    DialMode.PREDICTIVE: ("numérotation prédictive", "predictive dialling"),
    DialMode.ROBOCALL: ("message enregistré", "recorded message"),
    DialMode.VOICEBOT: ("agent vocal automatique", "voice bot"),
}

SECTORS: Final[Mapping[str, Called]] = {
    "automotive": ("automobile", "automotive"),
    "banking": ("banque", "banking"),
    "charity": ("dons", "charity"),
    "cpf": ("compte personnel de formation", "personal training account"),
    "education": ("enseignement", "education"),
    "energy": ("énergie", "energy"),
    "energy_renovation": ("rénovation énergétique", "energy renovation"),
    "health": ("santé", "health"),
    "home_services": ("services à domicile", "home services"),
    "housing_adaptation": ("adaptation du logement", "adaptation of housing"),
    "insurance": ("assurance", "insurance"),
    "leisure": ("loisirs", "leisure"),
    "media": ("médias", "media"),
    "other": ("autre", "other"),
    "press": ("presse", "press"),
    "real_estate": ("immobilier", "real estate"),
    "renewable": ("énergies renouvelables", "renewable energy"),
    "renewable_energy": ("énergies renouvelables", "renewable energy"),
    "retail": ("commerce de détail", "retail"),
    "security": ("sécurité", "security"),
    "telecom": ("télécommunications", "telecommunications"),
    "training": ("formation", "training"),
    "travel": ("voyages", "travel"),
    "water": ("eau", "water"),
}

STATES: Final[Mapping[State, Called]] = {
    State.NONE: ("Aucun consentement", "No consent"),
    State.IN_FORCE: ("En vigueur", "In force"),
    State.DEFECTIVE: ("En cours, mais ne permet aucun appel", "Current, but permits no call"),
    State.EXPIRED: ("Expiré", "Expired"),
    State.WITHDRAWN: ("Retiré", "Withdrawn"),
    State.REFUSED: ("Retiré par un refus", "Withdrawn by a refusal"),
    State.OBJECTED: ("Opposition à tout démarchage", "Objection to all canvassing"),
}

FLAWS: Final[Mapping[Flaw, Called]] = {
    Flaw.MENTIONS: (
        "il manque au texte des mentions exigées (art. R223-1)",
        "the text lacks required statements (art. R223-1)",
    ),
    Flaw.PARTIES: (
        "le texte ne nomme pas le professionnel ou celui qui appelle pour son compte",
        "the text does not name the professional, or whoever calls on its behalf",
    ),
    Flaw.CANVASSED: (
        "il a été recueilli lors d'un appel du professionnel",
        "it was collected on a call made by the professional",
    ),
    Flaw.ORAL: (
        (
            "il a été recueilli par téléphone, ce qui ne vaut pas pour l'assurance (C. assur., art."
            " R112-7)"
        ),
        "it was collected by telephone, which does not do for insurance (C. assur., art. R112-7)",
    ),
    Flaw.AUTOMATED: (
        "le texte ne couvre pas les appels par un automate",
        "the text does not cover calls by a machine",
    ),
    Flaw.UNKNOWN: ("le texte n'est pas connu", "the text is not known"),
}

CUSTODIES: Final[Mapping[Custody, Called]] = {
    Custody.NONE: ("aucune preuve jointe", "no proof attached"),
    Custody.KEPT: (
        "fichier conservé par le registre, empreinte vérifiée",
        "file kept by the ledger, hash verified",
    ),
    Custody.DAMAGED: (
        "fichier conservé par le registre, mais son empreinte ne correspond plus",
        "file kept by the ledger, but its hash no longer matches",
    ),
    Custody.MISSING: (
        "fichier manquant : le registre devrait le conserver et ne l'a pas",
        "file missing: the ledger should keep it and does not have it",
    ),
    Custody.ELSEWHERE: (
        "fichier conservé hors du registre",
        "file kept outside the ledger",
    ),
}

WITNESSED: Final[Mapping[Witnessed, Called]] = {
    Witnessed.AGREES: (
        "conforme à ce que le registre en sait",
        "agrees with what the ledger was told",
    ),
    Witnessed.AHEAD: (
        "incomplète : le registre connaît des enregistrements plus récents",
        "incomplete: the ledger was told of later records",
    ),
    Witnessed.DIFFERS: (
        "NON CONFORME : le registre en connaît une autre version",
        "DIFFERS: the ledger was told another version",
    ),
    Witnessed.UNKNOWN: ("inconnue du registre", "unknown to the ledger"),
}

GAPS: Final[Mapping[Gap, Called]] = {
    Gap.NO_LEDGER: (
        "Le registre n'a pas été consulté : ce que la personne a dit n'est pas rapporté ici.",
        "The ledger was not consulted: what the person said is not told here.",
    ),
    Gap.NO_EVIDENCE: (
        "Aucune chaîne de preuves n'a été fournie : les décisions ne sont pas rapportées ici.",
        "No gate's evidence was given: decisions are not told here.",
    ),
    Gap.UNREAD_CHAINS: (
        "Le registre connaît d'autres chaînes de preuves, qui n'ont pas été lues.",
        "The ledger knows other chains of evidence, which were not read.",
    ),
    Gap.OTHER_NUMBERS: (
        (
            "Des appels désignaient aussi la personne par un identifiant de consommateur : ce qui"
            " concerne ses autres numéros n'est rapporté que si cet identifiant est donné."
        ),
        (
            "Calls also named the person by a consumer's id: what concerns other numbers of theirs"
            " is told only if that id is given."
        ),
    ),
}


def called(names: Mapping[K, Called], word: K, tongue: Tongue) -> str:
    """Give what a word is called; one that is not known stands for itself."""
    return tongue(*names.get(word, (str(word), str(word))))


def sourced(source: str, tongue: Tongue) -> str:
    """Write where something was said, as it was recorded."""
    known = _SOURCES.get(source)
    return source if known is None else tongue(*known)


_SOURCES: Final[Mapping[str, Called]] = {
    DAY_ONLY: ("import, jour seul connu", "import, only the day known"),
    UNDATED: (
        "import, date inconnue : jour de l'import",
        "import, date unknown: day of the import",
    ),
}


def listed(items: Sequence[str], tongue: Tongue) -> str:
    """Write a list as a sentence has it: `a, b and c`."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {tongue('et', 'and')} {items[-1]}"
