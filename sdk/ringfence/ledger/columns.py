"""What the columns of a sheet of statements may be called."""

from ringfence.columns import NUMBER

__all__ = ["NAMES", "PROOF_NAMES", "ROLES", "names_of"]

NAMES = {
    "number": NUMBER,
    "date": "date, date de recueil, recueilli le, collected at",
    "text": "texte, text, version",
    "purpose": "objet, finalite, offre, produit, purpose",
    "until": "jusqu au, date d expiration, expiration, expires at, until",
}
"""Of each role, plainly written."""

_DATES = {
    "consent": "date de consentement, date du consentement, consenti le, date de signature, "
    "signe le, consent date",
    "withdrawal": "date de retrait, date du retrait, retire le, withdrawal date",
    "refusal": "date de refus, date du refus, refuse le, date d opposition, refusal date",
    "objection": "date d opposition, date de l opposition, oppose le, date de refus, "
    "date du refus, objection date",
    "contract": "date de signature, date du contrat, signe le, contract date",
    "contract_ended": "date de fin, date de resiliation, resilie le",
    "bloctel": "date d inscription, inscrit le",
}
"""What else a column of dates may be called where a sheet tells this kind of thing."""

PROOF_NAMES = {
    "proof": "preuve, justificatif, proof",
    "sha256": "empreinte, sha256, sha 256",
}
"""Likewise, of what a consent may say beside; most sheets have no such column."""

ROLES = (*NAMES, *PROOF_NAMES)


def names_of(kind: str) -> dict[str, str]:
    """Give the names of the columns of a sheet that tells one kind of thing."""
    return {**NAMES, "date": f"{NAMES['date']}, {_DATES[kind]}"}
