"""What must be known of the evidence before anything that rests on it is read: page 1, line 1."""

from collections.abc import Iterator, Sequence

from ringfence.dossier.chains import Chain, Unread, altered, dropped
from ringfence.dossier.tongue import Tongue
from ringfence.dossier.vocabulary import listed

__all__ = ["alarms", "notices"]


def alarms(chains: Sequence[Chain], tongue: Tongue) -> Iterator[str]:
    """Say which chains are not what the ledger was told of them; nothing if all are."""
    for chain in altered(chains):
        yield tongue(
            f"PREUVES NON CONFORMES : la chaîne {chain.chain} {tongue.of(chain.gate)} n'est pas"
            " celle que le registre connaît. Ce qui en est rapporté ici n'est pas prouvé.",
            f"EVIDENCE DIFFERS: chain {chain.chain} of {chain.gate} is not the one that the ledger"
            " was told of. What is told of it here is not proved.",
        )


def notices(chains: Sequence[Chain], unread: Sequence[Unread], tongue: Tongue) -> Iterator[str]:
    """Say what of the evidence was not read, and what is gone from it."""
    if unread:
        own = {chain.gate for chain in chains}
        names = listed(list(dict.fromkeys(_name(one, own, tongue) for one in unread)), tongue)
        yield tongue(
            f"Le registre connaît aussi {names}, dont les preuves n'ont pas été lues : leurs"
            " décisions manquent ici.",
            f"The ledger also knows {names}, whose evidence was not read: their decisions are"
            " missing here.",
        )
    if gone := dropped(chains):
        count = tongue.count(gone)
        yield tongue(
            f"Effacés des preuves lues, leur durée de conservation étant écoulée : {count}"
            " enregistrements. Ce qu'ils disaient manque ici.",
            f"Dropped from the evidence that was read, their time of keeping being over: {count}"
            " records. What they said is missing here.",
        )


def _name(one: Unread, own: set[str], tongue: Tongue) -> str:
    """Name the gate, and the chain too where another one of the same gate was read."""
    if one.gate not in own:
        return one.gate
    return tongue(
        f"la chaîne {one.chain} {tongue.of(one.gate)}", f"chain {one.chain} of {one.gate}"
    )
