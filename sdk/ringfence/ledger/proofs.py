"""Proofs of consents that the ledger keeps itself: files under the names of their SHA-256.

::

    <folder>/3a/3a7b…e1         the file
    <folder>/3a/3a7b…e1.json    {"name": "form.pdf", "media_type": "application/pdf"}

Of a name in which a telephone number may stand, only the suffix is kept.

The files hold what people signed, so folder and files are their owner's alone. Nothing is ever
changed here, and nothing is removed. Any number of processes may keep files in one folder.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from mimetypes import guess_type
from pathlib import Path
from typing import BinaryIO, Self

import msgspec

__all__ = ["SHA256", "Label", "ProofError", "Proofs", "digest_of"]

SHA256 = re.compile(r"[0-9a-f]{64}")

_CHUNK = 1 << 20
_UNKNOWN = "application/octet-stream"


class ProofError(Exception):
    """A file that is no proof, or no longer the one that was kept; names it."""


class Label(msgspec.Struct, frozen=True):
    """What a file was when it was kept first."""

    name: str
    media_type: str = _UNKNOWN

    @classmethod
    def of(cls, name: str) -> Self:
        """Label a file of this name, without the digits that may be somebody's number."""
        media_type = guess_type(name)[0] or _UNKNOWN
        if _tells(name):
            suffix = Path(name).suffix
            name = f"proof{'' if _tells(suffix) else suffix}"
        return cls(name, media_type)


_MANY = 6
"""Digits of the shortest numbers of France."""


def _tells(name: str) -> bool:
    return sum(sign.isdigit() for sign in name) >= _MANY


class Proofs:
    """A folder of proofs; blocking. It is made when the first file is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, path: Path) -> str:
        """Keep a copy of a file and give its SHA-256; it is on the disk when this returns.

        What is kept already is kept once; if it was damaged, it is replaced. Raises `ProofError`
        for an empty file and for what is none, and `OSError`.
        """
        with _opened(path) as file:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _new(self.folder) as (copy, rename):
                digest = _pour(file, copy.write)
                place = self._place(digest)
                if not _holds(place, digest):
                    place.parent.mkdir(mode=0o700, exist_ok=True)
                    self._label(place, path.name)
                    rename(place)
                    _sync_folder(self.folder)
        return digest

    def find(self, digest: str) -> Path | None:
        """Give the place of a file that is kept; whether it is sound only `read` tells."""
        if not SHA256.fullmatch(digest):
            return None
        place = self._place(digest)
        return place if place.is_file() else None

    def read(self, digest: str) -> bytes:
        """Give a file's content. Raises `ProofError` if it is not kept, or damaged."""
        place = self.find(digest)
        if place is None:
            msg = f"{self.folder} keeps no file with the SHA-256 {digest}"
            raise ProofError(msg)
        content = place.read_bytes()
        if (found := sha256(content).hexdigest()) != digest:
            msg = f"{place} is damaged: its SHA-256 is {found}; restore it from a copy"
            raise ProofError(msg)
        return content

    def label(self, digest: str) -> Label:
        """Give name and media type of a file that is kept; where they are lost, stand-ins."""
        with suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(self._place(digest, ".json").read_bytes(), type=Label)
        return Label(digest)

    def _place(self, digest: str, suffix: str = "") -> Path:
        return self.folder / digest[:2] / f"{digest}{suffix}"

    def _label(self, place: Path, name: str) -> None:
        """Label a file before it is there, so that none is without a label."""
        label = place.with_name(f"{place.name}.json")
        if not label.is_file():
            with _new(self.folder) as (file, rename):
                file.write(msgspec.json.encode(Label.of(name)))
                rename(label)


def digest_of(path: Path) -> str:
    """Give the SHA-256 of a file. Raises `ProofError` and `OSError` as `Proofs.keep` does."""
    with _opened(path) as file:
        return _pour(file, lambda _: None)


def _holds(place: Path, digest: str) -> bool:
    try:
        return digest_of(place) == digest
    except (FileNotFoundError, ProofError):
        return False


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        msg = f"{path} is no regular file"
        raise ProofError(msg)
    with path.open("rb") as file:
        if not file.peek(1):
            msg = f"{path} is empty: it proves nothing"
            raise ProofError(msg)
        yield file


def _pour(file: BinaryIO, into: Callable[[bytes], object]) -> str:
    digest = sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        into(chunk)
    return digest.hexdigest()


@contextmanager
def _new(folder: Path) -> Iterator[tuple[BinaryIO, Callable[[Path], None]]]:
    """Yield a file to write, and what puts it in its place, whole; else it is gone at the end."""
    handle, name = tempfile.mkstemp(prefix=".new-", dir=folder)
    path = Path(name)
    with os.fdopen(handle, "wb") as file:

        def rename(place: Path) -> None:
            file.flush()
            os.fsync(file.fileno())
            path.replace(place)
            _sync_folder(place.parent)

        try:
            yield file, rename
        finally:
            path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
