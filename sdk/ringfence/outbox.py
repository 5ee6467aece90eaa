"""Events of this gate that the ledger has not confirmed, in memory and on disk.

What an event says is not known here: it has an id, a principal and bytes. An event is in the file
before it is pending, and pending until it is confirmed, whatever happens to the process in between;
so it is sent at least once, and the ledger drops what it has by its id.

The file is a `Journal` of puts and confirmations. It shrinks in two ways. When nothing is pending
it is cut to its header: no wait for the disk, microseconds. Under steady load the ledger confirms
within milliseconds, so this happens all the time and suffices. In a long outage of the broker the
file only grows, by what is pending anyway. What is left is the file after such an outage, too large
to be cut on the event loop, and one that never empties because events are always under way or one
principal's ledger is silent. For these there is `compact`, which waits for the disk: `open` calls
it, and `needs_compaction` tells the owner of a running gate to call it in a thread. So does
`broken`, of a file that was lost or that the disk failed: all that is pending is written anew.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Lock
from typing import Self

import msgspec

from ringfence.journal import Journal, JournalError

__all__ = ["Entry", "Outbox", "OutboxError", "OutboxFull"]

MAGIC = b"RFoutbox"

# A rewrite waits for the disk and refuses puts meanwhile. With one event that stays, a gate that
# places 300 calls a second comes to one in three minutes, and reads this much at opening in 0.2 s.
SPARE = 16 * 1024 * 1024

# Confirmations wait for the next put, which writes them at no cost of its own. A gate that only
# drains has no next put, and must not collect them without end.
UNWRITTEN = 1000

# What can be cut off on the event loop, which is held for half a millisecond by it.
SMALL = 1024 * 1024

# So that a record holds UNWRITTEN of them, in whatever alphabet.
MAX_ID = 256


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="put"):
    """An event as the outbox sees it."""

    id: str
    principal: str
    payload: bytes


class _Confirmed(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="confirmed"):
    ids: list[str]


class OutboxError(Exception):
    """The outbox cannot keep what it was given, so no call may rely on it."""


class OutboxFull(OutboxError):  # noqa: N818 - a state like queue.Full, and the word of the status
    """The ledger has confirmed nothing for so long that the limit is reached."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry | _Confirmed).decode


class Outbox:
    """The events that wait for the ledger's word; `open` makes it.

    For one thread; `sync` and `compact` may run in others meanwhile.
    """

    def __init__(self, journal: Journal, limit: int) -> None:
        self._journal = journal
        self._limit = limit
        self._pending: dict[str, Entry] = {}
        self._by_principal: dict[str, dict[str, Entry]] = {}
        self._live = 0
        self._turn = Lock()
        # Confirmed ids of which the file does not know. Never one that is pending again: a put
        # writes them before itself, else they would confirm it at the next opening.
        self._unwritten: list[str] = []
        self._replay()

    @classmethod
    def open(cls, path: Path, *, limit: int = 1_000_000) -> Self:
        """Open or create the outbox at *path*; waits for the disk.

        OutboxError if the file cannot be opened, is something else, is in use by another process,
        or is damaged elsewhere than at its end; the text says what to do.
        """
        try:
            with ExitStack() as opened:
                journal = Journal.open(path, magic=MAGIC)
                opened.callback(journal.close)
                outbox = cls(journal, limit)
                opened.pop_all()
        except msgspec.DecodeError as error:
            msg = f"{path} holds what this release cannot read ({error}): use the one that wrote it"
            raise OutboxError(msg) from error
        except (JournalError, OSError) as error:
            msg = f"the outbox cannot be opened: {error}"
            raise OutboxError(msg) from error
        if outbox.needs_compaction:
            # On a full disk the file stays as it is: what is pending can be sent all the same.
            with suppress(OutboxError):
                outbox.compact()
        return outbox

    @property
    def recovered(self) -> int:
        """The bytes cut off at opening: of a put that was killed before it returned."""
        return self._journal.cut

    def put(self, *entries: Entry) -> None:
        """Make *entries* pending, all or none; a killed process does not lose them.

        An entry that is pending is ignored; ValueError for another of its id. OutboxFull at the
        limit, OutboxError (its cause says why) if they cannot be written or the file is being
        compacted; then none becomes pending.
        """
        if not self._turn.acquire(blocking=False):
            msg = f"{self._journal.path} is being compacted: try again in some milliseconds"
            raise OutboxError(msg)
        try:
            self._put(self._fresh(entries))
        finally:
            self._turn.release()

    def confirm(self, ids: Iterable[str]) -> int:
        """Forget *ids*, which the ledger has, and say how many of them were pending.

        The file hears of it later, or never, and then they are sent again; so nothing is raised.
        """
        before = len(self._pending)
        for known in ids:
            if known in self._pending:
                self._remove(known)
                self._unwritten.append(known)
        if not self._pending or len(self._unwritten) >= UNWRITTEN:
            self._settle()
        return before - len(self._pending)

    def pending(self, principal: str | None = None) -> Iterator[Entry]:
        """Look at what is pending (of *principal*) in the order of put.

        Nothing is copied, as there may be a million: take a list, or a slice, of what is to be used
        after the next put or confirm.
        """
        chosen = self._pending if principal is None else self._by_principal.get(principal, {})
        return iter(chosen.values())

    def get(self, event: str) -> Entry | None:
        """Give what is pending under an id."""
        return self._pending.get(event)

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, event: str) -> bool:
        return event in self._pending

    @property
    def needs_compaction(self) -> bool:
        """Whether most of the file is confirmed, and is worth rewriting."""
        return self._journal.size - self._live > max(SPARE, 3 * self._live)

    @property
    def broken(self) -> bool:
        """Whether puts are refused until the file is rewritten by `compact`."""
        return self._journal.broken

    def inspect(self) -> None:
        """Look whether the file is still there; waits for the disk, while puts go on.

        OutboxError if it was removed, replaced or cut by others; then the outbox is `broken`.
        """
        try:
            self._journal.inspect()
        except (JournalError, OSError) as error:
            raise OutboxError(self._told(error)) from error

    def compact(self) -> None:
        """Rewrite the file with what is pending, and so mend what is broken; waits for the disk.

        Meanwhile, for milliseconds or a third of a second after an outage of a million events,
        puts are refused and confirmations taken. Killed at any point it leaves the old file or the
        new one. OutboxError if the disk refuses: then the old one is still in use.
        """
        try:
            with self._turn:
                self._journal.rewrite(map(_encode, tuple(self._pending.values())))
        except (JournalError, OSError) as error:
            raise OutboxError(self._told(error)) from error

    def probe(self) -> None:
        """Write a confirmation of nothing; OutboxError if that fails.

        After a full disk it succeeds once there is space; what is `broken` has to be rewritten.
        """
        try:
            self._journal.append(_encode(_Confirmed([])))
        except (JournalError, OSError) as error:
            raise OutboxError(self._told(error)) from error

    def sync(self) -> None:
        """Wait until what was put is on the disk; OutboxError if it may not be."""
        try:
            self._journal.sync()
        except (JournalError, OSError) as error:
            raise OutboxError(self._told(error)) from error

    def close(self) -> None:
        """Write the confirmations if that is possible, and give up the file."""
        with self._turn:  # it may run in a thread, and a put that comes then is refused
            self._settle()
            self._journal.close()

    def _replay(self) -> None:
        for record in self._journal.replay():
            match _decode(record):
                case Entry() as entry:
                    # If the id is pending, its confirmation could not be written.
                    self._remove(entry.id)
                    self._add(entry)
                case _Confirmed(ids=ids):
                    for known in ids:
                        self._remove(known)
        self._settle()

    def _fresh(self, entries: Iterable[Entry]) -> dict[str, Entry]:
        fresh: dict[str, Entry] = {}
        for entry in entries:
            if len(entry.id) > MAX_ID:
                msg = f"an id of {len(entry.id)} characters: the outbox takes {MAX_ID}"
                raise OutboxError(msg)
            known = self._pending.get(entry.id) or fresh.setdefault(entry.id, entry)
            if known != entry:
                msg = f"another event is pending under the id {entry.id}: give each its own"
                raise ValueError(msg)
        return fresh

    def _put(self, fresh: dict[str, Entry]) -> None:
        if fresh and len(self._pending) + len(fresh) > self._limit:
            msg = (
                f"{self._journal.path} holds {len(self._pending)} of {self._limit} events that the"
                " ledger has not confirmed: look why it does not, or raise the limit"
            )
            raise OutboxFull(msg)
        try:
            if not fresh:
                self._journal.append()  # what is pending is not safe in a file that is broken
                return
            self._journal.append(*self._confirmations(), *map(_encode, fresh.values()))
        except (JournalError, OSError) as error:
            raise OutboxError(self._told(error)) from error
        self._unwritten.clear()
        for entry in fresh.values():
            self._add(entry)

    def _add(self, entry: Entry) -> None:
        self._pending[entry.id] = entry
        self._by_principal.setdefault(entry.principal, {})[entry.id] = entry
        self._live += _weight(entry)

    def _remove(self, known: str) -> None:
        if entry := self._pending.pop(known, None):
            del self._by_principal[entry.principal][known]
            self._live -= _weight(entry)

    def _confirmations(self) -> list[bytes]:
        ids = self._unwritten
        return [
            _encode(_Confirmed(ids[start : start + UNWRITTEN]))
            for start in range(0, len(ids), UNWRITTEN)
        ]

    def _settle(self) -> None:
        """Let the file know what is confirmed, if it can be written."""
        with suppress(JournalError, OSError):
            if not self._pending and self._journal.size <= SMALL:
                self._journal.clear()
            elif self._unwritten:
                self._journal.append(*self._confirmations())
        # Unwritten they cost a second sending; kept, they would grow as long as a disk is full.
        self._unwritten.clear()

    def _told(self, error: Exception) -> str:
        return f"the outbox {self._journal.path} cannot be written: {error}. See to its disk"


def _weight(entry: Entry) -> int:
    # About what the record takes; exact it need not be, the same at put and confirm it must.
    return 24 + len(entry.id) + len(entry.principal) + len(entry.payload)
