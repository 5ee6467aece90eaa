"""Whether evidence is what its gate wrote: the chain, what was dropped of it, and what others saw.

A chain shows by itself what was altered, removed, added or moved in it, but not that its end was
cut off, nor that all of it was computed anew: for these it is compared with heads that a ledger
heard while it grew. What was never heard of there is told, too, once its gate had the time to tell
it. Records that were dropped must be covered by a `Dropped` that tells so, and must have been due.
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
from ringfence.evidence.due import SKEW, Due, Head, Stated, on
from ringfence.evidence.record import AnyRecord, Decided, Dropped, EvidenceError, Opened, decode
from ringfence.evidence.segment import MAGIC, Segment, doubles, segments
from ringfence.framing import header_of

__all__ = ["Finding", "Inspected", "Report", "What", "Witness", "verify"]

MAX_FINDINGS = 100
"""Findings that are told of one chain; the others are counted."""

TELLING = 60.0
"""Seconds in which a gate tells a ledger what it recorded."""

READING = 86_400.0
"""Seconds that a chain may be read for: what a gate recorded meanwhile is no wonder."""


class What(StrEnum):
    """What was found."""

    ALTERED = "altered"
    REMOVED = "removed"
    ADDED = "added"
    REORDERED = "reordered"
    UNREADABLE = "unreadable"
    """A file was changed such that records of it cannot be read any more."""
    MISPLACED = "misplaced"
    """A file says that it is another segment, or of another chain, or is there twice."""
    TORN = "torn"
    """The newest file ends in half a record, as a kill leaves it: nothing that was promised."""
    DROPPED = "dropped"
    """Records were dropped that no record says were due, or one says so that is not believed."""
    CUT = "cut"
    """The chain ends before a record that was witnessed."""
    REWRITTEN = "rewritten"
    """A record has another link than was witnessed: all of the chain from there on is new."""
    GONE = "gone"
    """A chain was witnessed of which nothing is here."""
    UNWITNESSED = "unwitnessed"
    """Records are there that nobody was told of in time, though others were."""


class Witness(msgspec.Struct, frozen=True):
    """What somebody else heard of a chain while it grew: the link of one of its records."""

    gate: str
    chain: str
    number: int
    link: bytes
    heard: datetime
    at: datetime | None = None
    """When it was the newest, as the gate said then; what it said may have come late."""


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
        """Whether nothing was found but what a kill may leave behind."""
        return all(it.what is What.TORN for chain in self.chains for it in chain.findings)


def verify(
    chains: Iterable[Path],
    witnesses: Sequence[Witness] = (),
    *,
    now: datetime,
    gate: str = "",
    told: Callable[[Segment], None] = lambda _segment: None,
) -> Report:
    """Inspect chains, each a folder of segments; *told* hears of each segment that was read.

    *witnesses* are what is known of heads from elsewhere; of other gates than *gate* and those that
    the chains name nothing is expected. If there are any, each record that is older than some
    seconds at the instant *now* must be witnessed, or one behind it. The files may be in use, and
    are not changed. What does not hold is in the report: raises `OSError` alone, for a folder that
    cannot be listed.
    """
    heard: dict[str, list[Witness]] = defaultdict(list)
    for witness in witnesses:
        heard[witness.chain].append(witness)
    found: list[Inspected] = []
    for chain in chains:
        inspection = _Inspection(chain.name, heard.pop(chain.name, []), now.timestamp())
        for segment in segments(chain):
            inspection.read(segment)
            told(segment)
        found.append(inspection.end(asked=bool(witnesses)))
    gates = {gate, *(chain.gate for chain in found)}
    for name, seen in sorted(heard.items()):
        if ours := [witness for witness in seen if witness.gate in gates]:
            found.append(_gone(name, ours))
    return Report(tuple(found))


def _gone(chain: str, seen: list[Witness]) -> Inspected:
    newest = max(seen, key=lambda witness: witness.number)
    words = (
        f"the whole chain is missing: the ledger witnessed it up to record {newest.number}, on"
        f" {_on(newest.heard)}"
    )
    finding = Finding(What.GONE, 1, newest.number, "", words)
    return Inspected(chain, newest.gate, compared=True, findings=(finding,))


class _Run(msgspec.Struct):
    """Records in a row that are not there as they were written."""

    first: int
    last: int
    segment: str
    after: float
    """When the record before them was written, Unix seconds: they are no older."""


class _Inspection:
    """Reads one chain, and keeps what is needed to say what it is."""

    def __init__(self, chain: str, witnesses: list[Witness], now: float) -> None:
        self._chain = chain
        self._now = now
        self._gate = ""
        self._tracer = Tracer()
        self._findings: list[Finding] = []
        self._segments = self._records = self._last = 0
        self._began: float | None = None
        self._at = 0.0
        self._dropped: list[_Run] = []
        self._statements: list[Stated] = []
        self._starts: dict[str, float] = {}
        self._awaited: dict[int, list[Witness]] = defaultdict(list)
        for witness in witnesses:
            self._awaited[witness.number].append(witness)
        self._agreed: set[int] = set()
        self._contradicted: Witness | None = None
        self._newest = max(witnesses, key=lambda witness: witness.number, default=None)
        self._untold: float | None = None
        self._lost_end = False
        self._unsealed: tuple[Segment, int] | None = None
        self._torn: Finding | None = None

    # --- reading ------------------------------------------------------------------------------

    def read(self, segment: Segment) -> None:
        if self._unsealed is not None and _begun(segment):
            self._read_on(*self._unsealed)
        self._check_single(segment)
        self._segments += 1
        self._starts[segment.path.name] = self._at
        count = self._read(segment)
        self._unsealed = None if segment.sealed or count is None else (segment, count)

    def _read_on(self, segment: Segment, count: int) -> None:
        """Read what is not written to any more, but may have been since it was read."""
        self._torn = None
        self._read(segment, count)
        if self._torn is not None:
            self._damage(self._torn)

    def _check_single(self, segment: Segment) -> None:
        with suppress(EvidenceError):
            if not doubles(segment):
                return
        name, number = segment.path.name, max(self._tracer.number, self._last) + 1
        words = f"{name} and the journal of the same segment are both there, and not the same"
        self._find(What.MISPLACED, number, number, name, words)

    def _read(self, segment: Segment, after: int = 0) -> int | None:
        """Take the records behind the first *after*; give how many there are, None for damage."""
        count, name = after, segment.path.name
        try:
            for count, filed in _all(segment, after):
                opened = _opened(filed) if count == 1 else None
                if opened and not self._belongs(segment, opened, filed):
                    self._lose()
                    return None
                self._take(filed, name, opened.previous if opened else None)
        except EvidenceError as error:
            number = max(self._tracer.number, self._last) + 1
            words = f"{name} proves nothing from record {number} on: {error}"
            found = Finding(What.UNREADABLE, number, number, name, words)
            if not _torn(segment, count):
                self._damage(found)
                return None
            self._torn = found
        return count

    def _damage(self, found: Finding) -> None:
        self._findings.append(found)
        self._torn = None
        self._lose()

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
            self._note_whole(filed, segment)
        if number in self._awaited:
            self._compare(number, filed.link)
        if previous is not None and number - 1 in self._awaited:
            self._compare(number - 1, previous)

    def _note_whole(self, filed: Filed, segment: str) -> None:
        self._records += 1
        with suppress(EvidenceError):  # altered, as the tracer tells, or of a later release
            record = decode(filed.body)
            self._at = record.at
            self._began = record.at if self._began is None else self._began
            if isinstance(record, Dropped):
                self._statements.append(Stated(filed.number, segment, record))
            self._note_untold(filed.number, record)

    def _note_untold(self, number: int, record: AnyRecord) -> None:
        """Note a record that a ledger should have been told of, but for one that was."""
        if self._newest is None:
            # A chain of which nothing is decided yet is not told of.
            expected = isinstance(record, Decided | Dropped)
        else:
            expected = number > self._newest.number
        young = self._now - TELLING <= record.at <= self._now + READING
        if expected and not young and self._untold is None:
            self._untold = record.at

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

    def end(self, *, asked: bool) -> Inspected:
        """Give what the chain is; *asked* is whether heads of any chain are known."""
        due = Due(_began(self._chain), self._statements, self._heads(), self._now)
        for stated, known in due.incredible:
            self._find_incredible(stated, known)
        gone = sum(self._judge_break(broken, due) for broken in self._tracer.end())
        for run in self._dropped:
            self._judge_dropped(run, due)
        self._judge_torn()
        self._judge_witnesses()
        if asked and self._untold is not None:
            self._find_untold(self._untold)
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

    def _heads(self) -> list[Head]:
        return [_head(witness) for told in self._awaited.values() for witness in told]

    def _find_incredible(self, stated: Stated, known: float) -> None:
        number, at = stated.number, stated.dropped.at
        known_by = "it is now" if known == self._now else "the ledger had heard of it by"
        words = (
            f"record {number} says that records were dropped on {on(at)}, and is not believed:"
            f" {known_by} {on(known)}"
        )
        self._find(What.DROPPED, number, number, stated.segment, words)

    def _judge_break(self, broken: Break, due: Due) -> int:
        """Find what it shows; give how many records are gone with whole segments, as they may."""
        first, last, segment = broken.first, broken.last, broken.segment
        if not broken.begins:
            self._find(What(broken.change), first, last, segment, broken.words)
            return 0
        undue = due.undue(first, last, self._starts[segment])
        if [(it.first, it.last) for it in undue] == [(first, last)]:
            self._find(What.REMOVED, first, last, segment, broken.words)
        else:
            for it in undue:
                words = f"{_records(it.first, it.last)} removed"
                if due.unstated(it.first, it.last):
                    words += ", and none says that they were dropped"
                else:
                    words += f" before the time: {it.why}"
                self._find(What.REMOVED, it.first, it.last, segment, words)
        return last - first + 1 - sum(it.last - it.first + 1 for it in undue)

    def _judge_dropped(self, run: _Run, due: Due) -> None:
        if unstated := due.unstated(run.first, run.last):
            first, last = unstated[0]
            words = f"{_records(first, last)} dropped, and no record of the chain says so"
        elif undue := due.undue(run.first, run.last, run.after):
            first, last = undue[0].first, undue[0].last
            words = f"{_records(first, last)} dropped before the time: {undue[0].why}"
        else:
            return
        self._find(What.DROPPED, first, last, run.segment, words)

    def _judge_torn(self) -> None:
        """Half a record is no damage, unless it was whole: what is witnessed was on the disk."""
        torn = self._torn
        if torn is not None and self._newest and self._newest.number > self._last:
            self._damage(torn)
        elif torn is not None:
            self._findings.append(msgspec.structs.replace(torn, what=What.TORN))

    def _find_untold(self, at: float) -> None:
        first, last = (self._newest.number if self._newest else 0) + 1, self._last
        which = f"{_records(first, last)} never" if self._newest else "the whole chain was never"
        words = (
            f"{which} witnessed, and there are some of {on(at)}: a gate tells its ledger within"
            f" {TELLING:.0f} seconds, so that was added, or this one could not"
        )
        self._find(What.UNWITNESSED, first, last, "", words)

    def _judge_witnesses(self) -> None:
        if self._contradicted:
            self._find_rewritten(self._contradicted)
        newest = self._newest
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


def _torn(segment: Segment, count: int) -> bool:
    """Whether all that is wrong with it is that it ends in half a record, behind so many."""
    if segment.sealed or _size(segment.path) <= len(header_of(MAGIC)):
        return False
    try:
        return sum(1 for _ in segment.filed()) >= count
    except EvidenceError:
        return False


def _began(chain: str) -> float:
    """Give the second in which a chain was begun, which its name tells."""
    try:
        return float(int(chain[:8], 16))
    except ValueError:
        return 0.0


def _head(witness: Witness) -> Head:
    heard = witness.heard.timestamp()
    # What the gate says is taken for what it is, but for a time that was to come.
    told = heard - SKEW if witness.at is None else min(witness.at.timestamp(), heard)
    return Head(witness.number, told, heard)


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
    return on(at.timestamp())
