"""The files that a chain is kept in: how they are found, read, checked, and sealed.

Nothing here knows what a decision is, nor writes to a segment that is in use.

::

    <evidence>/<chain>/000001.sealed
    <evidence>/<chain>/000002.journal    the newest, and what could not be sealed yet

    journal = records of `ringfence.framing`, magic RFevidence
    payload = number (u64), state (u8), link (32 bytes), body      integers are little-endian
    body    = the record (state 1), or its digest (state 0: the record was dropped)
    sealed  = the journal's bytes, as `ringfence.evidence.sealed` packs them

A name of a chain is 16 hexadecimal digits that begin with the second it was begun in.
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from struct import Struct

import msgspec

from ringfence import framing
from ringfence.evidence import sealed
from ringfence.evidence.chain import SIZE, START, Filed, link_of
from ringfence.evidence.record import AnyRecord, EvidenceError, Opened, Place, decode
from ringfence.framing import JournalError
from ringfence.journal import lock_of

__all__ = [
    "MAGIC",
    "Segment",
    "beside",
    "chains",
    "doubles",
    "file_name",
    "files",
    "follow",
    "opened",
    "payload",
    "records",
    "remove",
    "seal",
    "segments",
    "write",
]

MAGIC = b"RFevidence"

_CHAIN = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"([0-9]{6,18})\.(journal|sealed)")

_HEAD = Struct(f"<QB{SIZE}s")


class Segment(msgspec.Struct, frozen=True):
    """One file of a chain."""

    path: Path
    index: int

    @property
    def sealed(self) -> bool:
        return self.path.suffix == ".sealed"

    def filed(self, *, whole: bool = False) -> Iterator[Filed]:
        """Read the records; links are not looked at.

        The file may be in use: what it holds when the iteration starts is read, and nothing is
        changed. Half a record at the end of a journal, as a kill leaves it, ends the iteration; it
        is an error with *whole*. Raises `EvidenceError` naming the file, and the record it could
        not read after those before it.
        """
        number = 0
        try:
            for data in self._payloads(whole=whole):
                filed = _filed(data)
                number = filed.number
                yield filed
        except (JournalError, OSError, ValueError, zlib.error) as error:
            at = f"record {number + 1}" if number else "its first record"
            msg = f"{self.path}: {at} cannot be read: {error}"
            raise EvidenceError(msg) from error

    def _payloads(self, *, whole: bool) -> Iterator[bytes]:
        path = self.path
        if not self.sealed:
            try:
                yield from framing.read(path, magic=MAGIC, whole=whole)
            except FileNotFoundError:
                # It was sealed since it was listed; or it is gone, as the next line will find.
                path = path.with_suffix(".sealed")
            else:
                return
        with sealed.unpack(path) as stream:
            yield from framing.parse(stream, path=path, magic=MAGIC)
            stream.finish()


def chains(folder: Path) -> list[Path]:
    """Give the chains that are kept in *folder*, in the order in which they were begun.

    Where gates share a folder each keeps its own in one that is named by its number: they follow.
    """
    if not folder.exists():
        return []
    found = sorted(path for path in folder.iterdir() if path.is_dir())
    places = sorted((path for path in found if path.name.isdecimal()), key=_number_of)
    own = [path for path in found if _CHAIN.fullmatch(path.name)]
    return own + [chain for place in places for chain in chains(place)]


def beside(chain: Path) -> list[Path]:
    """Give a chain and all that are kept with it, those of gates that share the folder too."""
    folder = chain.parent
    return chains(folder.parent if folder.name.isdecimal() else folder)


def _number_of(place: Path) -> int:
    return int(place.name)


def segments(chain: Path) -> list[Segment]:
    """Give the segments of *chain* in order; of one that is both, the sealed file.

    A kill leaves both with the same records; `doubles` tells where they differ.
    """
    found = {segment.index: segment for segment in files(chain)}  # the sealed comes last
    return [found[index] for index in sorted(found)]


def files(chain: Path) -> list[Segment]:
    """Give the files of *chain* by name: both, where a kill left the journal of a sealed one."""
    names = ((path, _NAME.fullmatch(path.name)) for path in sorted(chain.iterdir()))
    return [Segment(path, int(name[1])) for path, name in names if name]


def doubles(segment: Segment) -> bool:
    """Whether beside a sealed segment there is a journal of its index that is not the same.

    No kill leaves that. Raises `EvidenceError` if one of them cannot be read.
    """
    journal = Segment(segment.path.with_suffix(".journal"), segment.index)
    if not segment.sealed or not journal.path.exists():
        return False
    return any(a != b for a, b in zip_longest(segment.filed(), journal.filed()))


def file_name(index: int) -> str:
    """Name the journal of a segment."""
    return f"{index:06}.journal"


def opened(segment: Segment) -> Opened | None:
    """Read what a segment begins with; None if nothing was written to it yet.

    Raises `EvidenceError` if that is not what every segment begins with.
    """
    for first in segment.filed():
        return _opened(segment, first)
    return None


def follow(
    segment: Segment, before: Filed | None = None, *, whole: bool = False
) -> Iterator[Filed]:
    """Read the records of *segment*, each once it is sure that it follows the one before.

    *before* is the last record of the segment before; without it, what the segment says of itself
    is believed, and a chain's first segment must begin with its first record. Raises
    `EvidenceError` naming the file and the first record that does not follow, and else as `filed`.
    """
    start = None
    for filed in segment.filed(whole=whole):
        if start is None:
            start = _start(segment, filed)
            before = before or start
        if fault := _fault(before or start, filed):
            msg = f"{segment.path}: record {filed.number} {fault}"
            raise EvidenceError(msg)
        yield filed
        before = filed


def records(folder: Path) -> Iterator[tuple[Place, AnyRecord]]:
    """Read all records of all chains in *folder* that were not dropped, in their order.

    Links are not looked at. Raises `EvidenceError` as `Segment.filed`, and naming a record that
    this release cannot read.
    """
    for chain in chains(folder):
        for segment in segments(chain):
            gate = ""
            for filed in segment.filed():
                if filed.dropped:
                    continue
                record = _decoded(segment, filed)
                if isinstance(record, Opened):
                    gate = record.gate
                yield Place(chain.name, gate, segment.index, filed.number), record


def payload(number: int, link: bytes, body: bytes, *, dropped: bool = False) -> bytes:
    """Write a record as it is filed."""
    return _HEAD.pack(number, not dropped, link) + body


def seal(path: Path) -> Path:
    """Put a sealed file in the place of the journal at *path*, and give its path.

    The journal must be whole and nobody's any more: it is removed, and its lock. After a crash
    there is the journal, the sealed file, or both; what is then under the temporary name is
    nothing. Waits for the disk; little of it holds the interpreter. Raises `EvidenceError`, and
    then the journal is as it was.
    """
    target = path.with_suffix(".sealed")
    try:
        with path.open("rb") as file:
            sealed.pack(target, iter(lambda: file.read(sealed.PIECE), b""))
        remove(path)
    except OSError as error:
        msg = f"{path} cannot be sealed: {error}. See to its disk"
        raise EvidenceError(msg) from error
    return target


def remove(journal: Path) -> None:
    """Remove a journal and its lock, which nobody else can be about to take."""
    lock_of(journal).unlink(missing_ok=True)  # first: a kill would leave it for ever
    journal.unlink(missing_ok=True)


def write(path: Path, filed: Iterable[Filed]) -> None:
    """Put a sealed file that holds *filed* at *path*; after a crash it is there, or the old one.

    Raises `EvidenceError`, its own or that of *filed*, and then the old one is there.
    """
    payloads = (payload(it.number, it.link, it.body, dropped=it.dropped) for it in filed)
    try:
        sealed.pack(path, framing.image(payloads, magic=MAGIC))
    except (JournalError, OSError) as error:
        msg = f"{path} cannot be written: {error}"
        raise EvidenceError(msg) from error


def _filed(data: bytes) -> Filed:
    if len(data) < _HEAD.size:
        msg = f"{len(data)} bytes are too few"
        raise ValueError(msg)
    number, state, link = _HEAD.unpack_from(data)
    body = data[_HEAD.size :]
    if state > 1 or (state == 0 and len(body) != SIZE):
        msg = f"nothing of {len(body)} bytes is filed with state {state}"
        raise ValueError(msg)
    return Filed(number, link, body, dropped=not state)


def _decoded(segment: Segment, filed: Filed) -> AnyRecord:
    try:
        return decode(filed.body)
    except (EvidenceError, RecursionError) as error:
        msg = f"{segment.path}: record {filed.number}: {error}"
        raise EvidenceError(msg) from error


def _opened(segment: Segment, first: Filed) -> Opened:
    record = None if first.dropped else _decoded(segment, first)
    if isinstance(record, Opened):
        return record
    msg = f"{segment.path}: record {first.number} does not say whose segment begins with it"
    raise EvidenceError(msg)


def _start(segment: Segment, first: Filed) -> Filed:
    """Give what *first*, with which the segment begins, says that it follows."""
    says = _opened(segment, first)
    if (says.chain, says.segment) != (segment.path.parent.name, segment.index):
        msg = (
            f"{segment.path}: record {first.number} begins segment {says.segment} of chain"
            f" {says.chain}: the file is not where it belongs"
        )
        raise EvidenceError(msg)
    if segment.index == 1:
        return Filed(0, START, b"")
    return Filed(first.number - 1, says.previous, b"")


def _fault(before: Filed, filed: Filed) -> str:
    """Say why *filed* does not follow *before*; empty if it does."""
    if filed.number != before.number + 1:
        return f"stands where record {before.number + 1} belongs: some were removed, added or moved"
    if filed.link != link_of(before.link, filed.number, filed.digest):
        return f"does not follow record {before.number}: it was altered, or is another"
    return ""
