"""Where the proof of a consent is, and whether what the ledger keeps of it is sound."""

from enum import StrEnum

from ringfence.event import Proof
from ringfence.ledger.proofs import ProofError, Proofs

__all__ = ["Custody", "custody"]


class Custody(StrEnum):
    NONE = "none"
    """The consent came without a proof."""
    KEPT = "kept"
    """The ledger keeps the file, and its hash is the one that was told."""
    DAMAGED = "damaged"
    """The ledger keeps a file whose hash is no longer the one that was told."""
    MISSING = "missing"
    """The ledger was told that it keeps the file, and has none of this hash."""
    ELSEWHERE = "elsewhere"
    """The ledger knows where it is, and its hash."""


def custody(proof: Proof | None, proofs: Proofs | None) -> Custody:
    """Look for a proof among those that the ledger keeps; reads the file."""
    if proof is None:
        return Custody.NONE
    if proofs is None or proofs.find(proof.sha256) is None:
        ours = proofs is not None and proof.uri == f"proof:{proof.sha256}"
        return Custody.MISSING if ours else Custody.ELSEWHERE
    try:
        proofs.read(proof.sha256)
    except ProofError:
        return Custody.DAMAGED
    return Custody.KEPT
