"""Where a chain goes on after a stop, a kill or a power cut.

It looks at the newest segment only: the whole of a chain is for `ringfence evidence verify`.
"""

import logging
from pathlib import Path

import msgspec

from ringfence.evidence.chain import Filed
from ringfence.evidence.record import EvidenceError, Opened
from ringfence.evidence.segment import (
    MAGIC,
    Segment,
    chains,
    doubles,
    files,
    follow,
    opened,
    remove,
    seal,
    segments,
)
from ringfence.framing import JournalError
from ringfence.journal import Journal

__all__ = ["Left", "recover", "seal_left"]

log = logging.getLogger(__name__)


class Left(msgspec.Struct, frozen=True):
    """What a gate left behind of its chain."""

    chain: Path
    journal: Journal | None = None
    """The newest segment, open; None if that is sealed, or there is none."""
    segment: int = 0
    """Index of the newest segment, 0 if there is none."""
    began: float = 0.0
    last: Filed | None = None
    """The newest record."""
    cut: int = 0
    """Bytes of half-written records that were cut off."""


def recover(folder: Path, gate: str) -> Left | None:
    """Find the chain that *gate* began last in *folder*, and open it; None if it began none.

    Raises `EvidenceError` naming file and record if its newest segment is damaged, other than by
    half a record at its end, or was altered: nothing is changed then.
    """
    for chain in reversed(chains(folder)):
        left, empty = segments(chain), []
        try:
            while left and not left[-1].sealed and opened(left[-1]) is None:
                empty.append(left.pop())
            first = opened(left[-1]) if left else None
            if first is None or first.gate == gate:
                return _resume(chain, left, empty, first)
        except (EvidenceError, JournalError) as error:
            msg = (
                f"{error}. The gate does not go on over that: ask `ringfence evidence verify`, and"
                f" bring the file back from a copy or move {chain} away to begin a new chain"
            )
            raise EvidenceError(msg) from error
    return None


def seal_left(path: Path) -> Path:
    """Seal a journal that may end in half a record, which is cut off.

    Raises `EvidenceError` if it cannot be written, and `JournalError` if it is damaged elsewhere.
    """
    try:
        journal = Journal.open(path, magic=MAGIC)
        journal.close()
        if journal.cut:
            log.warning("%s: its last %d bytes were no whole record", path, journal.cut)
    except OSError as error:
        msg = f"{path} cannot be sealed: {error}. See to its disk"
        raise EvidenceError(msg) from error
    return seal(path)


def _resume(chain: Path, left: list[Segment], empty: list[Segment], first: Opened | None) -> Left:
    last = None
    if left:
        _check_single(left[-1])
        for last in follow(left[-1]):  # noqa: B007 - the last one is wanted
            pass
    # From here on files are changed.
    cut = sum(_remove_empty(segment.path) for segment in empty)
    if first is None or last is None:
        return Left(chain, cut=cut)
    newest = left[-1]
    journal = None if newest.sealed else Journal.open(newest.path, magic=MAGIC)
    for segment in files(chain):
        if not segment.sealed and segment != newest:
            _finish(segment)
    cut += 0 if journal is None else journal.cut
    return Left(chain, journal, newest.index, first.at, last, cut)


def _check_single(newest: Segment) -> None:
    if doubles(newest):
        msg = (
            f"{newest.path} and the journal beside it are the same segment with other records: one"
            " of them is not this gate's"
        )
        raise EvidenceError(msg)


def _remove_empty(path: Path) -> int:
    """Remove what a kill left of a segment that was about to be begun; give its stray bytes."""
    journal = Journal.open(path, magic=MAGIC)
    journal.close()
    remove(path)
    return journal.cut


def _finish(segment: Segment) -> None:
    """Bring to its end what a kill interrupted: the sealing of a segment."""
    path = segment.path
    try:
        sealed = Segment(path.with_suffix(".sealed"), segment.index)
        if not _whole(sealed):
            seal_left(path)
        elif doubles(sealed):
            log.warning("%s stays: the sealed file beside it has other records", path)
        else:
            remove(path)
    except (EvidenceError, JournalError) as error:
        log.warning("a segment stays as it is: %s", error)


def _whole(sealed: Segment) -> bool:
    if not sealed.path.exists():
        return False
    try:
        for _ in sealed.filed():
            pass
    except EvidenceError as error:
        log.warning("a segment is sealed again: %s", error)
        return False
    return True
