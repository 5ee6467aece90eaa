"""Whether evidence is what its gate wrote: the chain, what was dropped of it, and what others saw.

A chain shows by itself what was altered, removed, added or moved in it, but not that its end was
cut off, nor that all of it was computed anew: for these it is compared with heads that a ledger
heard while it grew. Records that were dropped must be covered by a `Dropped` that tells so, and
must have been due.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import msgspec

from ringfence.evidence.breaks import Break, Tracer
from ringfence.evidence.chain import Filed
from ringfence.evidence.ranges import Cover
from ringfence.evidence.record import Dropped, EvidenceError, Opened, decode
from ringfence.evidence.retention import due_before
from ringfence.evidence.segment import Segment, segments

__all__ = ["Finding", "Inspected", "Report", "What", "Witness", "verify"]

MAX_FINDINGS = 100
"""Findings that are told of one chain; the others are counted."""


class What(StrEnum):
    """What was found."""

    ALTERED = "altered"
    REMOVED = "removed"
    ADDED = "added"
    REORDERED = "reordered"
    UNREADABLE = "unreadable"
    """A file was changed such that records of it cannot be read any more."""
    MISPLACED = "misplaced"
    """A file says that it is another segment, or of another chain."""
    DROPPED = "dropped"
    """Records were dropped that no record says were due."""
    CUT = "cut"
    """The chain ends before a record that was witnessed."""
    REWRITTEN = "rewritten"
    """A record has another link than was witnessed: all of the chain from there on is new."""
    GONE = "gone"
    """A chain was witnessed of which nothing is here."""


class Witness(msgspec.Struct, frozen=True):
    """What somebody else heard of a chain while it grew: the link of one of its records."""

    gate: str
    chain: str
    number: int
    link: bytes
    heard: datetime


class Finding(msgspec.Struct, frozen=True):
    """Something that does not hold."""

    what: What
    number: int
    """The first record that it concerns."""
    last: int
    segment: str
    """The file in which it shows; empty where there is none."""
    words: str


class Inspected(msgspec.Struct, frozen=True):
    """What one chain is, and what does not hold of it, in the order of its files."""

    chain: str
    gate: str = ""
    segments: int = 0
    records: int = 0
    """Those that are there as they were written."""
    dropped: int = 0
    last: int = 0
    """Number of the newest record."""
    began: datetime | None = None
    ended: datetime | None = None
    """When the first and the last of its records that are there were written."""
    compared: bool = False
    """Whether heads of it were witnessed; else its end and a rewriting are not checked."""
    witnessed: int = 0
    """The newest record of which the link is the one that was witnessed."""
    findings: tuple[Finding, ...] = ()
    untold: int = 0
    """Findings beyond these."""


class Report(msgspec.Struct, frozen=True):
    """What was found of the chains that are there, and of those that should be."""

    chains: tuple[Inspected, ...]

    @property
    def holds(self) -> bool:
        return not any(chain.findings for chain in self.chains)


def verify(
    chains: Iterable[Path],
    witnesses: Sequence[Witness] = (),
    *,
    gate: str = "",
    told: Callable[[Segment], None] = lambda _segment: None,
) -> Report:
    """Inspect chains, each a folder of segments; *told* hears of each segment that was read.

    *witnesses* are what is known of heads from elsewhere; of other gates than *gate* and those that
    the chains name nothing is expected. The files may be in use, and are not changed. What does not
    hold is in the report: raises `OSError` alone, for a folder that cannot be listed.
    """
    heard: dict[str, list[Witness]] = defaultdict(list)
    for witness in witnesses:
        heard[witness.chain].append(witness)
    found = [_inspect(chain, heard.pop(chain.name, []), told) for chain in chains]
    gates = {gate, *(chain.gate for chain in found)}
    gone = (_gone(chain, seen) for chain, seen in sorted(heard.items()) if seen[0].gate in gates)
    return Report((*found, *gone))


def _gone(chain: str, seen: list[Witness]) -> Inspected:
    newest = max(seen, key=lambda witness: witness.number)
    words = (
        f"the whole chain is missing: the ledger witnessed it up to record {newest.number}, on"
        f" {_on(newest.heard)}"
    )
    finding = Finding(What.GONE, 1, newest.number, "", words)
    return Inspected(chain, newest.gate, compared=True, findings=(finding,))


def _inspect(chain: Path, witnesses: list[Witness], told: Callable[[Segment], None]) -> Inspected:
    inspection = _Inspection(chain.name, witnesses)
    for segment in segments(chain):
        inspection.read(segment)
        told(segment)
    return inspection.end()


class _Run(msgspec.Struct):
    """Records in a row that are not there as they were written."""

    first: int
    last: int
    segment: str
    after: float
    """When the record before them was written, Unix seconds: they are no older."""


class _Inspection:
    """Reads one chain, and keeps what is needed to say what it is."""

    def __init__(self, chain: str, witnesses: list[Witness]) -> None:
        self._chain = chain
        self._gate = ""
        self._tracer = Tracer()
        self._findings: list[Finding] = []
        self._segments = self._records = self._last = 0
        self._began: float | None = None
        self._at = 0.0
        self._dropped: list[_Run] = []
        self._statements: list[Dropped] = []
        self._starts: dict[str, float] = {}
        self._awaited: dict[int, list[Witness]] = defaultdict(list)
        for witness in witnesses:
            self._awaited[witness.number].append(witness)
        self._agreed: set[int] = set()
        self._contradicted: Witness | None = None
        self._lost_end = False
        self._unsealed: tuple[Segment, int] | None = None

    # --- reading ------------------------------------------------------------------------------

    def read(self, segment: Segment) -> None:
        if self._unsealed is not None and _begun(segment):
            # It is not written to any more, but may have been since it was read.
            self._read(*self._unsealed)
        self._segments += 1
        self._starts[segment.path.name] = self._at
        count = self._read(segment)
        self._unsealed = (segment, count) if count and not segment.sealed else None

    def _read(self, segment: Segment, after: int = 0) -> int:
        """Take the records behind the first *after*; give how many there are, 0 for damage."""
        count, name = after, segment.path.name
        try:
            for count, filed in _all(segment, after):
                opened = _opened(filed) if count == 1 else None
                if opened and not self._belongs(segment, opened, filed):
                    self._lose()
                    return 0
                self._take(filed, name, opened.previous if opened else None)
        except EvidenceError as error:
            number = max(self._tracer.number, self._last) + 1
            words = f"{name} proves nothing from record {number} on: {error}"
            self._find(What.UNREADABLE, number, number, name, words)
            self._lose()
            return 0
        return count

    def _lose(self) -> None:
        self._tracer.lose()
        self._lost_end = True

    def _belongs(self, segment: Segment, opened: Opened, filed: Filed) -> bool:
        if (opened.chain, opened.segment) == (self._chain, segment.index):
            self._gate = opened.gate
            return True
        words = (
            f"{segment.path} is segment {opened.segment} of chain {opened.chain}, and not"
            f" {segment.index} of {self._chain}: nothing in it was looked at"
        )
        self._find(What.MISPLACED, filed.number, filed.number, segment.path.name, words)
        return False

    def _take(self, filed: Filed, segment: str, previous: bytes | None) -> None:
        number = filed.number
        self._tracer.follow(filed, segment, previous)
        self._last = max(self._last, number)
        self._lost_end = False
        if filed.dropped:
            self._note_dropped(number, segment)
        else:
            self._note_whole(filed)
        if number in self._awaited:
            self._compare(number, filed.link)
        if previous is not None and number - 1 in self._awaited:
            self._compare(number - 1, previous)

    def _note_whole(self, filed: Filed) -> None:
        self._records += 1
        with suppress(EvidenceError):  # altered, as the tracer tells, or of a later release
            record = decode(filed.body)
            self._at = record.at
            self._began = record.at if self._began is None else self._began
            if isinstance(record, Dropped):
                self._statements.append(record)

    def _note_dropped(self, number: int, segment: str) -> None:
        run = self._dropped[-1] if self._dropped else None
        if run and run.last == number - 1 and run.segment == segment and run.after == self._at:
            run.last = number
        else:
            self._dropped.append(_Run(number, number, segment, self._at))

    def _compare(self, number: int, link: bytes) -> None:
        for witness in self._awaited[number]:
            if witness.link == link:
                self._agreed.add(number)
            elif self._contradicted is None or number < self._contradicted.number:
                self._contradicted = witness

    # --- what it comes to ---------------------------------------------------------------------

    def end(self) -> Inspected:
        cover = Cover((due_before(dropped), dropped.ranges) for dropped in self._statements)
        gone = sum(self._judge_break(broken, cover) for broken in self._tracer.end())
        for run in self._dropped:
            self._judge_dropped(run, cover)
        self._judge_witnesses()
        findings = sorted(self._findings, key=lambda finding: finding.number)
        return Inspected(
            chain=self._chain,
            gate=self._gate,
            segments=self._segments,
            records=self._records,
            dropped=gone + sum(run.last - run.first + 1 for run in self._dropped),
            last=self._last,
            began=_instant(self._began),
            ended=_instant(self._began and self._at),
            compared=bool(self._awaited),
            witnessed=max(self._agreed, default=0),
            findings=tuple(findings[:MAX_FINDINGS]),
            untold=len(findings[MAX_FINDINGS:]) + self._tracer.untold,
        )

    def _judge_break(self, broken: Break, cover: Cover) -> int:
        """Find what it shows; give how many records are gone with whole segments, as they may."""
        first, last, segment = broken.first, broken.last, broken.segment
        if not broken.begins:
            self._find(What(broken.change), first, last, segment, broken.words)
            return 0
        left = cover.leaves(first, last, self._starts[segment])
        if left == [(first, last)]:
            self._find(What.REMOVED, first, last, segment, broken.words)
        else:
            for begins, ends in left:
                words = f"{_records(begins, ends)} removed, and none says that they were dropped"
                self._find(What.REMOVED, begins, ends, segment, words)
        return last - first + 1 - sum(ends - begins + 1 for begins, ends in left)

    def _judge_dropped(self, run: _Run, cover: Cover) -> None:
        unstated, undue = (cover.leaves(run.first, run.last, *at) for at in ((), (run.after,)))
        if unstated:
            first, last = unstated[0]
            words = f"{_records(first, last)} dropped, and no record of the chain says so"
        elif undue:
            first, last = undue[0]
            words = (
                f"{_records(first, last)} dropped before the time: what stands before is of"
                f" {_on(datetime.fromtimestamp(run.after, UTC))}"
            )
        else:
            return
        self._find(What.DROPPED, first, last, run.segment, words)

    def _judge_witnesses(self) -> None:
        if self._contradicted:
            self._find_rewritten(self._contradicted)
        newest = max(
            (seen for told in self._awaited.values() for seen in told),
            key=lambda witness: witness.number,
            default=None,
        )
        if newest and newest.number > self._last and not self._lost_end:
            first, last = self._last + 1, newest.number
            which = f"record {last} is" if first == last else f"records {first} to {last} are"
            words = (
                f"{which} missing from the end: the ledger witnessed record {last}, on"
                f" {_on(newest.heard)}"
            )
            self._find(What.CUT, first, last, "", words)

    def _find_rewritten(self, witness: Witness) -> None:
        number = witness.number
        agreed = max((known for known in self._agreed if known < number), default=0)
        words = (
            f"record {number} has another link than the ledger witnessed, on"
            f" {_on(witness.heard)}: the chain was written anew"
        )
        words += f" behind record {agreed}" if agreed else " from its beginning or a later record"
        self._find(What.REWRITTEN, agreed + 1, number, "", words)

    def _find(self, what: What, first: int, last: int, segment: str, words: str) -> None:
        self._findings.append(Finding(what, first, last, segment, words))


def _all(segment: Segment, after: int) -> Iterator[tuple[int, Filed]]:
    """Read a segment to its last byte; again, if one that is being written grew meanwhile.

    Counts the records, and gives those behind the first *after*.
    """
    size = _size(segment.path)
    while True:
        try:
            for count, filed in enumerate(segment.filed(whole=True), 1):
                if count > after:
                    after = count
                    yield count, filed
        except EvidenceError:
            before, size = size, _size(segment.path)
            if before == size:
                raise
        else:
            return


def _begun(segment: Segment) -> bool:
    """Whether anything was written to it."""
    try:
        return next(segment.filed(), None) is not None
    except EvidenceError:
        return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1  # it was sealed meanwhile


def _opened(filed: Filed) -> Opened | None:
    with suppress(EvidenceError):
        record = None if filed.dropped else decode(filed.body)
        return record if isinstance(record, Opened) else None
    return None


def _records(first: int, last: int) -> str:
    return f"record {first} was" if first == last else f"records {first} to {last} were"


def _instant(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)


def _on(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
