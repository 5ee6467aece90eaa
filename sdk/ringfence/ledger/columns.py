"""What the columns of a sheet of statements may be called."""

from ringfence.columns import NUMBER

__all__ = ["NAMES", "PROOF_NAMES", "ROLES"]

NAMES = {
    "number": NUMBER,
    "date": "date, date de consentement, date du consentement, date de recueil, recueilli le, "
    "date de refus, date d opposition, collected at, consent date",
    "text": "texte, text, version",
    "purpose": "objet, finalite, purpose",
    "until": "jusqu au, date d expiration, expiration, expires at, until",
}
"""Of each role, plainly written."""

PROOF_NAMES = {
    "proof": "preuve, justificatif, proof",
    "sha256": "empreinte, sha256, sha 256",
}
"""Likewise, of what a consent may say beside; most sheets have no such column."""

ROLES = (*NAMES, *PROOF_NAMES)
