"""References to proofs as people write them: a URI and its hash, or the path of a file.

A file gets the URI `proof:<sha256>` and is kept in the ledger's folder of proofs. Its name is not
told: names of files hold names of people and telephone numbers. Where that folder is not at hand no
file can be named: a consent whose proof is nowhere would look like one that is proved.
"""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Self

from ringfence.config import Settings
from ringfence.event import Proof
from ringfence.ledger.proofs import SHA256, ProofError, Proofs

__all__ = ["BadProof", "Exhibits"]

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:.+")  # a scheme of one letter is a drive of Windows
_KEPT = re.compile(r"proof:([0-9a-f]{64})")


class BadProof(ValueError):  # noqa: N818 - what it is
    """The text names no proof: why, in words that all such texts share, and the text."""

    def __init__(self, why: str, text: str) -> None:
        super().__init__(f"{why}: {text!r}")
        self.why = why
        self.text = text


class Exhibits:
    """Makes references of what was written.

    *proofs* is where files are kept, if they can be. Paths are relative to *folder*, of which they
    may not lead out: what a stranger wrote shall not bring in just any file. None: they are
    whoever's who runs the command.
    """

    def __init__(self, proofs: Proofs | None, folder: Path | None = None) -> None:
        self._proofs = proofs
        self._folder = folder and Path(os.path.realpath(folder))
        # A list may name one file, say the record of a campaign, on every line.
        self._digest = lru_cache(maxsize=1024)(self._take)

    @classmethod
    def of(cls, settings: Settings, folder: Path | None = None) -> Self:
        """Keep files if the ledger is on this machine."""
        ledger = settings.ledger
        return cls(None if ledger is None else Proofs(ledger.proof_folder), folder)

    def refer(self, written: str, digest: str = "") -> Proof:
        """Give the reference; blocking. Raises `BadProof`, and `OSError` if it cannot be kept.

        A URI needs its SHA-256 as *digest*, unless it is `proof:<sha256>`; a file may have one,
        and then it must be right.
        """
        stated = digest.lower()
        if stated and not SHA256.fullmatch(stated):
            why = "not a SHA-256"
            raise BadProof(why, digest)
        if kept := _KEPT.fullmatch(written):
            self._look_up(kept[1], written)
            return self._proof(written, _agree(kept[1], stated))
        if _URI.fullmatch(written):
            return self._proof(written, stated)
        if self._proofs is None:
            why = (
                "a proof that cannot be kept, as the configuration has no table [ledger]: keep it"
                " where the ledger is, with `ringfence consent keep`, and name it proof:SHA256"
            )
            raise BadProof(why, written)
        taken = self._digest(self._proofs, self._find(written))
        return self._proof(f"proof:{taken}", _agree(taken, stated))

    def _look_up(self, digest: str, written: str) -> None:
        if self._proofs is not None and self._proofs.find(digest) is None:
            why = "a proof that is not kept here"
            raise BadProof(why, written)

    def _find(self, written: str) -> Path:
        if not written.isprintable():
            why = "not the path of a proof"
            raise BadProof(why, written)
        path = Path(os.path.realpath((self._folder or Path()) / written))
        if self._folder is not None and not path.is_relative_to(self._folder):
            why = "a proof outside of the file's folder"
            raise BadProof(why, written)
        try:
            if not path.is_file():
                why = "no such proof, and no URI"
                raise BadProof(why, written)
            if not os.access(path, os.R_OK):
                why = "a proof that cannot be read"
                raise BadProof(why, written)
        except OSError as error:  # a name that is too long
            why = "not the path of a proof"
            raise BadProof(why, written) from error
        return path

    @staticmethod
    def _take(proofs: Proofs, path: Path) -> str:
        try:
            return proofs.keep(path)
        except ProofError as error:
            why = "an empty proof"
            raise BadProof(why, path.name) from error

    def _proof(self, uri: str, digest: str) -> Proof:
        if not digest:
            why = "a proof's URI without its SHA-256"
            raise BadProof(why, uri)
        try:
            return Proof(uri, digest)
        except ValueError as error:
            why = "not the URI of a proof"
            raise BadProof(why, uri) from error


def _agree(digest: str, stated: str) -> str:
    if stated and stated != digest:
        why = "another SHA-256 than the proof's"
        raise BadProof(why, stated)
    return digest
