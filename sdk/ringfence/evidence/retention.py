"""Dropping of decisions whose time is over, such that the chain can still be verified.

The professional must be able to prove a consent for as long as a call that rested on it can be
questioned. So a decision is kept for the retention after it, and after the last call that this gate
allowed on the same consent: same principal, number and purpose, and day from which it holds
(law/france.md, section 9, point 8). Of several gates each looks at its own calls.

Of a record that is dropped the digest stays, in a sealed segment that is written anew; a segment of
which nothing else is left goes as a whole. Before anything is touched a `Dropped` record that names
them is in the chain and on the disk. So wherever this is broken off the evidence verifies, and the
next time goes on. What a `Dropped` says outlives the segment it stands in: it is said again before
that one goes.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from ringfence.decision import Verdict
from ringfence.evidence import segment as files
from ringfence.evidence.chain import Filed
from ringfence.evidence.ranges import Cover, Range, joined
from ringfence.evidence.record import (
    AnyRecord,
    Decided,
    Dropped,
    EvidenceError,
    Learned,
    decode,
)
from ringfence.evidence.recorder import Recorder
from ringfence.evidence.segment import Segment
from ringfence.journal import sync_directory
from ringfence.row import Ground

__all__ = ["LEAST", "Plan", "Sweep", "due_before", "own_chain", "plan", "state", "sweep"]

LEAST = 1096
"""Days. The proof must be kept three years, one of which may be a leap year (C. conso. R223-2)."""

DAY = 86_400

MAX_RANGES = 20_000
"""In one `Dropped`: the largest record has room for twice as many."""

_Group = tuple[str, int]
"""A consent: the principal, and in one number the key of the purpose and the day it holds from."""

_Told = Callable[[Segment], None]


class Sweep(msgspec.Struct, frozen=True):
    """What is to be done to one segment."""

    segment: Segment
    ranges: tuple[Range, ...]
    """The records that go; all that the segment has, if it is *gone*."""
    gone: bool
    records: int
    """Decisions and the like among them, which were there until now."""


class Plan(msgspec.Struct, frozen=True):
    """What is past its retention in one chain."""

    chain: Path
    at: float
    retention: int
    sweeps: tuple[Sweep, ...]
    stated: tuple[Range, ...]
    """All that must be said to be dropped before the sweeps."""

    @property
    def records(self) -> int:
        return sum(sweep.records for sweep in self.sweeps)

    @property
    def segments(self) -> int:
        """Those that go as a whole."""
        return sum(sweep.gone for sweep in self.sweeps)


def due_before(dropped: Dropped) -> float:
    """Give the instant that what was dropped must be older than.

    No instant is early enough if the retention was less than `LEAST`.
    """
    if dropped.retention < LEAST:
        return float("-inf")
    return dropped.at - dropped.retention * DAY


def own_chain(folder: Path, gate: str) -> Path | None:
    """Give the chain in *folder* that *gate* writes, or wrote last; None if it began none.

    Raises `EvidenceError` for one that does not say whose it is.
    """
    for chain in reversed(files.chains(folder)):
        for segment in reversed(files.segments(chain)):
            opened = files.opened(segment)
            if opened is None:
                continue  # one that was only prepared
            if opened.gate == gate:
                return chain
            break
    return None


def plan(
    chain: Path, *, at: float, retention: int = LEAST, told: _Told = lambda _segment: None
) -> Plan:
    """Find what of *chain* is past its *retention* of so many days at the instant *at*.

    Changes nothing, and needs nobody to stop. The calls of all chains beside it count, and only
    sealed segments are swept, never the newest. *told* hears of each segment that was read. Raises
    `EvidenceError` for a retention below `LEAST`, and naming file and record where what is due does
    not verify: evidence that was changed is not touched.
    """
    if retention < LEAST:
        msg = f"a retention of {retention} days: the proof is kept for {LEAST} days at least"
        raise EvidenceError(msg)
    before = at - retention * DAY
    old = list(_old(chain, before))
    stale: set[_Group] = set()
    for segment in old:
        stale.update(_groups(segment, before))
        told(segment)
    for other in files.beside(chain) if stale else ():
        for segment in files.segments(other):
            stale.difference_update(_called(segment, before))
            told(segment)
    return _swept(Plan(chain, at, retention, (), ()), old, stale)


def state(planned: Plan, recorder: Recorder) -> None:
    """Say in the chain what is going to be dropped; it is on the disk when this returns.

    *recorder* is the open one of that chain, so the gate that writes it must not be running. Raises
    `EvidenceError`; nothing may be swept then.
    """
    if recorder.head.chain != planned.chain.name:
        msg = f"{planned.chain} is not the chain that is being written, {recorder.head.chain}"
        raise EvidenceError(msg)
    for start in range(0, len(planned.stated), MAX_RANGES):
        ranges = planned.stated[start : start + MAX_RANGES]
        recorder.record(Dropped(planned.at, planned.retention, ranges))
    recorder.sync()


def sweep(swept: Sweep) -> None:
    """Drop the records of one segment, which must have been stated; blocking.

    After a crash the segment is as it was, or all is done. Raises `EvidenceError`, and leaves it as
    it was, if it cannot be written or was changed since the plan.
    """
    path = swept.segment.path
    if not swept.gone:
        files.write(path, _without(swept))
        return
    try:
        path.unlink(missing_ok=True)
        sync_directory(path)
    except OSError as error:
        msg = f"{path} cannot be removed: {error}. See to its disk, and run this again"
        raise EvidenceError(msg) from error


def _without(swept: Sweep) -> Iterator[Filed]:
    """Give the records of a segment as they are when it is swept: none else is touched."""
    going = Cover([(0.0, swept.ranges)])
    for filed in files.follow(swept.segment):
        if going.leaves(filed.number, filed.number):
            yield filed
        else:
            yield Filed(filed.number, filed.link, filed.digest, dropped=True)


# --- inside ---------------------------------------------------------------------------------------


def _old(chain: Path, before: float) -> Iterator[Segment]:
    """Give the sealed segments that were begun before an instant, but for the newest of all."""
    for segment in files.segments(chain)[:-1]:
        opened = files.opened(segment)
        if opened is None or opened.at >= before:
            return
        if segment.sealed:
            yield segment


def _groups(segment: Segment, before: float) -> Iterator[_Group]:
    for record in _whole(segment):
        if isinstance(record, Decided) and record.at < before:
            yield _group(record)


def _called(segment: Segment, since: float) -> Iterator[_Group]:
    """Give the consents on which a call was allowed since."""
    for record in _whole(segment):
        if isinstance(record, Decided) and record.at >= since and record.verdict is Verdict.ALLOW:
            yield _group(record)


def _group(record: Decided) -> _Group:
    return record.principal, record.purpose << 16 | Ground.unpack(record.ground).consent_from


def _whole(segment: Segment) -> Iterator[AnyRecord]:
    return (_decoded(segment, filed) for filed in segment.filed() if not filed.dropped)


def _decoded(segment: Segment, filed: Filed) -> AnyRecord:
    try:
        return decode(filed.body)
    except EvidenceError as error:
        msg = f"{segment.path}: record {filed.number}: {error}"
        raise EvidenceError(msg) from error


class _Found:
    """What a segment holds, once all of its records were looked at."""

    def __init__(self, before: float, stale: set[_Group], latest: float) -> None:
        self.first = self.last = 0
        self.due: list[int] = []
        self.restated: list[Range] = []
        self.latest = latest
        """When the latest of all records so far was written."""
        self._kept = False
        self._before = before
        self._stale = stale

    def look(self, number: int, record: AnyRecord | None) -> None:
        """Take the next record; None: it was dropped before."""
        self.first, self.last = self.first or number, number
        if record is None:
            return
        self.latest = max(self.latest, record.at)
        if isinstance(record, Dropped):
            self.restated += record.ranges
        elif isinstance(record, Decided | Learned):
            # Behind a record that is younger the clock was set back, and nobody knows to what.
            old = self.latest < self._before
            if old and (isinstance(record, Learned) or _group(record) in self._stale):
                self.due.append(number)
            else:
                self._kept = True

    @property
    def gone(self) -> bool:
        """Whether nothing that is left of it is needed: its beginning serves its own records."""
        return not self._kept and self.latest < self._before


def _swept(empty: Plan, old: Iterable[Segment], stale: set[_Group]) -> Plan:
    before = empty.at - empty.retention * DAY
    sweeps: list[Sweep] = []
    stated: list[Range] = []
    latest = 0.0
    for segment in old:
        found = _Found(before, stale, latest)
        for filed in files.follow(segment):
            found.look(filed.number, None if filed.dropped else _decoded(segment, filed))
        latest = found.latest
        if found.gone:
            stated += found.restated
            ranges: tuple[Range, ...] = ((found.first, found.last),)
        else:
            ranges = joined((number, number) for number in found.due)
        if ranges:
            stated += ranges
            sweeps.append(Sweep(segment, ranges, found.gone, len(found.due)))
    return msgspec.structs.replace(empty, sweeps=tuple(sweeps), stated=joined(stated))
