"""The running gate's side of the evidence: what it recorded is on file before it acts on it.

`record`, `configure` and `swap` hand bytes to the operating system, in microseconds, and are for
the event loop, as is `owe`. `open`, `sync`, `check`, `prepare`, `seal`, `mend` and `close` wait for
the disk and are for threads: `sync` at any time, the others and `swap` one after another, as one
task does it::

    if recorder.writable:
        await to_thread(recorder.check)
    if not recorder.writable:
        await to_thread(recorder.mend, at)
        recorder.record()
    elif recorder.due(at):
        await to_thread(recorder.prepare)
        recorder.swap(at)
    if recorder.unsealed:
        await to_thread(recorder.seal)
"""

import logging
import os
import secrets
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock

import msgspec

from ringfence.evidence.chain import START, digest_of, link_of
from ringfence.evidence.record import AnyRecord, Configured, EvidenceError, Opened, encode
from ringfence.evidence.recovery import recover
from ringfence.evidence.retired import Retired
from ringfence.evidence.segment import MAGIC, file_name, files, payload, remove
from ringfence.framing import MAX_PAYLOAD, JournalError
from ringfence.journal import Journal, lock, lock_of
from ringfence.wire import Config

__all__ = ["Head", "Limits", "Recorder"]

log = logging.getLogger(__name__)

MAX_RECORD = MAX_PAYLOAD - len(payload(0, START, b""))
"""Bytes of the largest record that can be filed."""

# Room for some hundred decisions, so that a disk which is full now and again does not make the
# gate come and go.
ROOM = 64 * 1024

MAX_OWED = 10_000
"""Records that wait to be written: minutes of calls."""


class Limits(msgspec.Struct, frozen=True):
    """When a new segment is begun."""

    segment_bytes: int = 16 * 1024 * 1024
    segment_age: float = 86400.0
    """Seconds."""


DEFAULT = Limits()


class Head(msgspec.Struct, frozen=True):
    """How far a chain has come: the number and link of its newest record."""

    chain: str
    number: int
    link: bytes


class Recorder:
    """The chain of one gate, being written.

    While it is not `writable` every `record` is refused, and nothing but `mend` changes that.
    """

    def __init__(self, gate: str, folder: Path, *, release: str, limits: Limits = DEFAULT) -> None:
        self.writable = False
        self.recovered = 0
        """Bytes cut off at opening: of a record that was killed before `record` returned."""
        self._gate = gate
        self._folder = folder
        self._release = release
        self._limits = limits
        self._trouble = f"the evidence in {folder} is not open"
        self._configured: dict[str, bytes] = {}
        self._unrecorded: dict[str, bytes] = {}
        self._owed: deque[bytes] = deque()
        self._lock = -1
        self._chain = folder
        self._segment = 0
        self._began = 0.0
        self._tip = (0, START)
        self._journal: Journal | None = None
        self._lost = False
        self._spare: Journal | None = None
        self._turn = Lock()
        self._retired = Retired(self._turn)

    # --- recording ----------------------------------------------------------------------------

    def record(self, *records: AnyRecord) -> None:
        """File *records*, all or none, in one write; a killed process does not lose them.

        Raises `EvidenceError` if that is not possible. Unless it was for a record that is too
        large, nothing more is recorded then until `mend`.
        """
        self._file([encode(record) for record in records])

    def configure(self, at: float, principal: str, config: Config) -> None:
        """Record that *principal*'s calls are decided on *config*, and again in each segment.

        Raises `EvidenceError` if it cannot be written; it is then written before the next record.
        """
        body = encode(Configured(at, principal, config))
        _check_size(body)
        self._configured[principal] = self._unrecorded[principal] = body
        self._file([])

    def owe(self, record: AnyRecord) -> None:
        """Keep what could not be recorded and must be: it comes before what is recorded next.

        `mend` writes it if the chain is open. Of more than `MAX_OWED` the first are kept, and an
        error is logged.
        """
        body = encode(record)
        if len(self._owed) < MAX_OWED and len(body) <= MAX_RECORD:
            self._owed.append(body)
        else:
            log.error("a record is lost: %d wait to be written to %s", len(self._owed), self._chain)

    @property
    def owing(self) -> int:
        """How many records wait to be written."""
        return len(self._owed)

    @property
    def head(self) -> Head:
        return Head(self._chain.name, *self._tip)

    @property
    def size(self) -> int:
        """Bytes of the segment that is being written."""
        return 0 if self._journal is None else self._journal.size

    def age(self, at: float) -> float:
        """Give the seconds since that segment was begun."""
        return at - self._began

    def sync(self) -> None:
        """Wait until what was recorded before is on the disk, and in its place there.

        Raises `EvidenceError` if it may not be.
        """
        try:
            with self._turn:
                # It may be retired while the others are synced; read after that it could be missed.
                journal = self._opened()
                self._retired.sync()
                journal.sync()
                self._inspect(journal)
        except (JournalError, OSError) as error:
            raise self._fail(error) from error

    def check(self) -> None:
        """Look whether others would find what is recorded; nothing more is recorded if not.

        A write says nothing of a file that was removed, moved, replaced or cut, nor of its folder.
        Raises `EvidenceError` if that has happened.
        """
        try:
            with self._turn:
                self._inspect(self._opened())
        except (JournalError, OSError) as error:
            raise self._fail(error) from error

    # --- a new segment ------------------------------------------------------------------------

    def due(self, at: float) -> bool:
        """Whether the segment has reached its size or age."""
        large = self.size >= self._limits.segment_bytes
        return self.writable and (large or self.age(at) >= self._limits.segment_age)

    def prepare(self) -> None:
        """Make the file of the next segment, for `swap`. Raises `EvidenceError`."""
        self._prepared()

    def swap(self, at: float) -> None:
        """Go on in the segment that was prepared.

        Raises `EvidenceError` if it cannot be written; the old one then stays in use.
        """
        if not self.writable:
            raise EvidenceError(self._trouble)  # `mend` knows in what state the old one is
        if self._spare is None:
            msg = "no segment was prepared"
            raise EvidenceError(msg)
        self._begin(self._spare, at)

    @property
    def unsealed(self) -> bool:
        """Whether there are segments to be sealed."""
        return bool(self._retired)

    def seal(self) -> None:
        """Seal the segments that are no longer written to; `EvidenceError` if one cannot be."""
        try:
            self._retired.seal()
        except (JournalError, OSError) as error:
            raise self._fail(error) from error

    # --- opening, mending, closing ------------------------------------------------------------

    def open(self, at: float) -> None:
        """Go on with the chain that this gate began last, or begin one.

        What a kill left half done is brought to its end. Raises `EvidenceError` if the folder is in
        use or cannot be written, or if the newest segment was damaged or altered, which is named;
        in that case nothing is changed.
        """
        try:
            self._hold()
            self._resume(at)
        except (EvidenceError, JournalError, OSError) as error:
            self.close()
            raise self._fail(error) from error
        self.writable = True

    def mend(self, at: float) -> None:
        """Make the evidence writable again if that is possible now, else raise `EvidenceError`.

        A file that could not be synced or cut back is not used any more: what the system says of
        it means nothing. The chain goes on in a new segment; so it does where the file was taken
        away, and what was in it is missed then. Where the chain's folder was, a new chain is begun.
        """
        if self.writable:
            return
        if self._journal is None:
            self.open(at)
            return
        try:
            with self._turn:
                self._mend(self._journal, at)
                self._pay()
        except (JournalError, OSError) as error:
            raise self._fail(error) from error
        self.writable = True

    def close(self) -> None:
        """Give up the files; waits for a `sync` that is under way. Does not sync."""
        self.writable = False
        self._trouble = f"the evidence in {self._folder} is closed"
        with self._turn:
            self._retired.close()
            for journal in (self._journal, self._spare):
                if journal is not None:
                    journal.close()
            self._journal = self._spare = None
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    # --- inside -------------------------------------------------------------------------------

    def _file(self, bodies: list[bytes]) -> None:
        if not self.writable:
            raise EvidenceError(self._trouble)
        if self._unrecorded or self._owed:
            bodies = [*self._unrecorded.values(), *self._owed, *bodies]
        payloads, tip = self._linked(bodies)
        try:
            self._opened().append(*payloads)
        except (JournalError, OSError) as error:
            raise self._fail(error) from error
        self._tip = tip
        self._unrecorded.clear()
        self._owed.clear()

    def _pay(self) -> None:
        """Write what is owed, in a thread; more may come to be owed meanwhile."""
        owed = list(self._owed)
        payloads, tip = self._linked(owed)
        self._opened().append(*payloads)
        self._tip = tip
        for _ in owed:
            self._owed.popleft()

    def _linked(self, bodies: Iterable[bytes]) -> tuple[list[bytes], tuple[int, bytes]]:
        number, link = self._tip
        payloads = []
        for body in bodies:
            _check_size(body)
            number += 1
            link = link_of(link, number, digest_of(body))
            payloads.append(payload(number, link, body))
        return payloads, (number, link)

    def _opened(self) -> Journal:
        if self._journal is None:
            raise JournalError(self._trouble)
        return self._journal

    def _fail(self, error: Exception) -> EvidenceError:
        self.writable = False
        self._trouble = f"the evidence in {self._folder} cannot be written: {error}"
        return EvidenceError(self._trouble)

    def _inspect(self, journal: Journal) -> None:
        try:
            journal.inspect()
        except JournalError:
            self._lost = journal.broken
            raise

    def _mend(self, journal: Journal, at: float) -> None:
        if not journal.broken:
            with suppress(JournalError):
                self._inspect(journal)
        if self._lost or not journal.path.exists():
            self._leave(journal, at)
        elif journal.broken:
            # Of a write that failed some records may be whole, and were never told of.
            os.truncate(journal.path, journal.size)
            self._begin(self._prepared(), at)
        else:
            journal.probe(ROOM)

    def _leave(self, lost: Journal, at: float) -> None:
        """Go on without a file that was taken away; what is in its place is for `verify`."""
        if self._spare is not None:
            self._spare.close()
            remove(self._spare.path)
            self._spare = None
        if self._chain.is_dir():
            self._segment = max([self._segment, *(file.index for file in files(self._chain))])
        else:
            self._hold()
            self._begin_chain(at)
        self._journal = None  # or it would be sealed
        try:
            self._begin(self._prepared(), at)
        except EvidenceError:
            self._journal = lost
            raise
        self._lost = False
        lost.close()
        if not lost.path.exists():
            remove(lost.path)

    def _prepared(self) -> Journal:
        path = self._chain / file_name(self._segment + 1)
        try:
            if self._spare is not None and self._spare.broken:
                # It may hold whole records, which were never told of.
                self._spare.close()
                remove(path)
                self._spare = None
            if self._spare is None:
                self._spare = Journal.open(path, magic=MAGIC)
        except (JournalError, OSError) as error:
            msg = f"no segment can be begun: {error}"
            raise EvidenceError(msg) from error
        return self._spare

    def _begin(self, spare: Journal, at: float) -> None:
        segment = self._segment + 1
        opened = Opened(self._gate, self._chain.name, segment, self._tip[1], at, self._release)
        payloads, tip = self._linked([encode(opened), *tuple(self._configured.values())])
        try:
            spare.append(*payloads)
        except (JournalError, OSError) as error:
            msg = f"{spare.path} cannot be begun: {error}"
            raise EvidenceError(msg) from error
        if self._journal is not None:
            self._retired.add(self._journal)  # before `sync` can see the new one without it
        self._journal, self._spare = spare, None
        self._segment, self._began, self._tip = segment, at, tip

    def _hold(self) -> None:
        """Have the folder, for this process alone."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder.resolve()
        if self._lock < 0 or not _is(lock_of(path), self._lock):
            held = lock(path)
            if self._lock >= 0:
                os.close(self._lock)
            self._lock = held

    def _begin_chain(self, at: float) -> None:
        self._chain = self._folder / f"{int(at):08x}{secrets.token_hex(4)}"
        self._chain.mkdir(mode=0o700)
        self._segment, self._tip = 0, (0, START)

    def _resume(self, at: float) -> None:
        left = recover(self._folder, self._gate)
        if left is None:
            self._begin_chain(at)
        else:
            self._chain, self._journal = left.chain, left.journal
            self._segment, self._began, self.recovered = left.segment, left.began, left.cut
            self._tip = (left.last.number, left.last.link) if left.last else (0, START)
        if self._journal is None:
            self._begin(self._prepared(), at)


def _check_size(body: bytes) -> None:
    if len(body) > MAX_RECORD:
        msg = f"a record of {len(body)} bytes: {MAX_RECORD} can be filed"
        raise EvidenceError(msg)


def _is(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False
