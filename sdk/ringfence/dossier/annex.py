"""What stands at the end of a document: the articles it cites, and the evidence it rests on."""

from collections.abc import Iterator, Sequence

from reportlab.platypus import Flowable

from ringfence.dossier import paper
from ringfence.dossier.chains import Chain, Witnessed
from ringfence.dossier.paper import Column
from ringfence.dossier.tongue import Tongue
from ringfence.dossier.vocabulary import WITNESSED, called
from ringfence.rules.rulebook import Article

__all__ = ["articles_quoted", "chains_listed", "head_of"]


def head_of(chains: Sequence[Chain], tongue: Tongue) -> str:
    """Name the newest record of the evidence, for the footer."""
    if not chains:
        return tongue("sans chaîne de preuves", "without evidence of gates")
    if len(chains) > 1:
        return tongue(
            f"{len(chains)} chaînes de preuves, dont les têtes figurent en annexe",
            f"{len(chains)} chains of evidence, whose heads stand in the annex",
        )
    chain = chains[0]
    return tongue(
        f"chaîne {chain.chain} {tongue.of(chain.gate)}, tête n° {chain.number} :"
        f" {chain.link[:32]}…",
        f"chain {chain.chain} of {chain.gate}, head no. {chain.number}: {chain.link[:32]}…",
    )


def articles_quoted(articles: Sequence[Article], tongue: Tongue) -> Iterator[Flowable]:
    """Quote the articles, in French, which is the language of the law."""
    if not articles:
        return
    french = Tongue("fr")
    columns = [
        Column(tongue("Article", "Article"), 46),
        Column(tongue("En vigueur depuis le", "In force since"), 32),
        Column(tongue("Texte appliqué", "Text applied (in French)"), 98),
    ]
    rows = [
        [
            paper.bold(french.typeset(article.name)),
            tongue.short_day(article.since),
            french.typeset(f"« {article.quote} »")
            if article.quote
            else tongue("Texte non reproduit ici.", "Not quoted here."),
        ]
        for article in articles
    ]
    yield from paper.heading(tongue("Articles cités", "Articles cited"))
    yield paper.table(columns, rows)


def chains_listed(chains: Sequence[Chain], zone: str, tongue: Tongue) -> Iterator[Flowable]:
    """Say what evidence was read, and up to where."""
    if not chains:
        return
    columns = [
        Column(tongue("Passerelle", "Gate"), 30),
        Column(tongue("Chaîne et tête", "Chain and head"), 70),
        Column(tongue("Lue du … au …", "Read from … to …"), 38),
        Column(tongue("Au regard du registre", "Beside the ledger"), 36),
    ]
    yield from paper.heading(tongue("Chaînes de preuves lues", "Evidence that was read"))
    yield paper.prose(
        tongue(
            "Chaque décision est un enregistrement chaîné au précédent par son empreinte : rien ne"
            " peut être modifié, ajouté ou retiré sans que la chaîne se rompe ou s'écarte des têtes"
            " que le registre conserve. Les chaînes ci-dessous ont été contrôlées de bout en bout"
            " lorsque ce document a été établi ; « ringfence evidence verify » refait ce contrôle.",
            "Each decision is a record that is chained to the one before by its digest: none can"
            " be altered, added or removed without breaking the chain, or parting from the heads"
            " that the ledger keeps. The chains below were checked from end to end when this"
            " document was made; the command `ringfence evidence verify` checks them again.",
        )
    )
    yield paper.table(columns, [_chain(chain, zone, tongue) for chain in chains])


def _chain(chain: Chain, zone: str, tongue: Tongue) -> list[paper.Cell]:
    count = tongue.count(chain.number)
    records = [tongue(f"Enregistrements : {count}", f"Records: {count}")]
    if chain.dropped:
        dropped = tongue.count(chain.dropped)
        records.append(
            tongue(
                f"Effacés à l'échéance, empreinte conservée : {dropped}",
                f"Dropped when their time was over, digest kept: {dropped}",
            )
        )
    said = called(WITNESSED, chain.witnessed, tongue)
    return [
        chain.gate,
        paper.cell(
            paper.mono(chain.chain),
            muted=[*records, paper.mono(chain.link[:32]), paper.mono(chain.link[32:])],
        ),
        paper.cell(tongue.stamp(chain.since, zone), tongue.stamp(chain.until, zone)),
        paper.bold(said) if chain.witnessed is Witnessed.DIFFERS else said,
    ]
