"""Carries a gate's events to the ledger until the ledger says it holds them.

An event is in the outbox, on disk, before anyone is told it was taken, and stays there until a
log batch or a reply names it. What the broker confirms moves nothing.
"""

import logging
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from ringfence.event import AnyEvent, Attempt, Event
from ringfence.flush import Flush
from ringfence.link import AnyLink, LinkDown
from ringfence.outbox import Entry, Outbox, OutboxError
from ringfence.wire import MAX_MESSAGE, Ask, Topic, encode, encode_report

__all__ = ["Courier"]

log = logging.getLogger(__name__)

RESEND = 5.0
"""Seconds after which an event that is still not confirmed is sent again."""

WINDOW = 4096
"""Events sent and not confirmed, at most: a ledger that comes back is not flooded."""

MAX_ASKS = 256

MENDING = 0.25
"""Seconds between two looks at an outbox that cannot be written."""

_REPORT = MAX_MESSAGE - 1024
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(AnyEvent)


class Courier:
    """The outbox of a gate and what carries it away."""

    def __init__(self, gate: str, path: Path) -> None:
        self._gate = gate
        self._path = path
        self._outbox: Outbox | None = None
        self._unwritten: dict[str, Entry] = {}
        self._sent: dict[str, float] = {}
        self._rejected: set[str] = set()
        self._asks: deque[tuple[str, Ask]] = deque(maxlen=MAX_ASKS)
        self._wake = anyio.Event()
        self.flush = Flush(self._sync, OutboxError)
        self.writable = True
        self.linked = False
        """Whether there is a link to send on, as far as is known."""

    def keep(self, gate: str, path: Path) -> None:
        """Be the courier of *gate*, whose outbox is at *path*; before it is opened."""
        self._gate, self._path = gate, path

    def begin(self) -> None:
        """Make it ready to run in the event loop that is about to use it."""
        self.linked = False
        self._sent.clear()
        self._wake = anyio.Event()
        self.flush.begin()

    # --- the outbox ---------------------------------------------------------------------------

    def open(self) -> list[tuple[str, Event]]:
        """Open the outbox; give what it holds, by principal. Raises `OutboxError`."""
        outbox = self._outbox = Outbox.open(self._path)
        if outbox.recovered:
            log.warning("outbox %s: cut back by %d bytes", self._path, outbox.recovered)
        self.writable = True
        for name in self._unwritten.keys() & {entry.id for entry in outbox.pending()}:
            del self._unwritten[name]  # what is in the file was told first
        with suppress(OutboxError):
            self._write([])
        told: list[tuple[str, Event]] = []
        for entry in (*outbox.pending(), *self._unwritten.values()):
            try:
                _check(entry)
                told.append((entry.principal, _decoder.decode(entry.payload)))
            except ValueError as error:
                log.error("event %s cannot be sent: %s", entry.id, error)  # noqa: TRY400 - said all
                self._rejected.add(entry.id)
        return told

    def close(self) -> None:
        """Give up the file; what could not be written waits in memory for the next `open`."""
        if self._outbox is not None:
            with suppress(OutboxError):
                self._write([])
            self._outbox.close()
            self._outbox = None

    @property
    def pending(self) -> int:
        held = 0 if self._outbox is None else len(self._outbox)
        return held + len(self._unwritten)

    @property
    def rejected(self) -> int:
        return len(self._rejected)

    def take(self, principal: str, events: Iterable[Event], *, keep: bool = False) -> None:
        """Write sealed events; they are with the operating system when this returns.

        What is told again while it is pending, be it of another instant, is taken as it was first
        told; `ValueError` for another event of its id, and none is taken then. Raises `OutboxError`
        if they cannot be written. With *keep* they are then held in memory and written as soon as
        that works, before all that is newer: what a person said is not forgotten for a full disk.
        """
        fresh = self._fresh(principal, events)
        try:
            self._write(fresh.values())
        except OutboxError:
            if keep:
                self._unwritten.update(fresh)
            raise

    def _fresh(self, principal: str, events: Iterable[Event]) -> dict[str, Entry]:
        """Give those that are not pending, by id."""
        fresh: dict[str, Entry] = {}
        for event in events:
            entry = Entry(event.id, principal, _encoder.encode(event))
            known = fresh.get(entry.id) or self._held(entry.id)
            if known is None:
                _check(entry)
                fresh[entry.id] = entry
            elif known != entry and not _tells(known, principal, event):
                msg = f"another event is pending under the id {entry.id}: give each its own"
                raise ValueError(msg)
        return fresh

    def _held(self, name: str) -> Entry | None:
        written = None if self._outbox is None else self._outbox.get(name)
        return written or self._unwritten.get(name)

    def _write(self, entries: Iterable[Entry]) -> None:
        """Write what is held in memory and, behind it, *entries*: all or none."""
        waiting = [*self._unwritten.values(), *entries]
        try:
            self._open_outbox().put(*waiting)
        except OutboxError:
            self.writable = False
            raise
        self._unwritten.clear()
        if waiting:
            self.writable = True
            self._wake.set()

    async def mend(self) -> None:
        """Run beside the gate: while the outbox cannot be written, try again; keep its file small.

        A file that is gone, or whose fsync failed, is written anew with all that is pending: what
        the system says of the old one afterwards means nothing.
        """
        while True:
            await anyio.sleep(MENDING)
            outbox = self._outbox
            if outbox is None:
                continue
            try:
                await self._tend(outbox)
            except OutboxError as error:
                self.writable = self.writable and not outbox.broken
                log.warning("outbox %s: %s", self._path, error)

    async def _tend(self, outbox: Outbox) -> None:
        if outbox.broken:
            await anyio.to_thread.run_sync(outbox.compact)
        if self._unwritten:
            self._write([])
        elif not self.writable:
            outbox.probe()
            self.writable = True
            self._wake.set()
        await anyio.to_thread.run_sync(outbox.inspect)
        if outbox.needs_compaction:
            await anyio.to_thread.run_sync(outbox.compact)

    def confirm(self, ids: Iterable[str]) -> None:
        """The ledger holds these events."""
        known = [name for name in ids if name in self._sent or name in self._open_outbox()]
        if not known:
            return
        self._open_outbox().confirm(known)
        for name in known:
            self._sent.pop(name, None)
            self._rejected.discard(name)
        self._wake.set()

    def send_again(self, name: str) -> None:
        """Send this event once more, if it waits for the ledger's word still."""
        if self._sent.pop(name, None) is not None:
            self._wake.set()

    def withdraw(self, name: str) -> None:
        """Send this event no longer: what was told of it since says all that matters.

        It may have been sent, and a killed process may send it again.
        """
        outbox = self._open_outbox()
        outbox.confirm([name])
        self._unwritten.pop(name, None)
        self._sent.pop(name, None)
        self._rejected.discard(name)

    def reject(self, name: str, reason: str) -> None:
        """The ledger will not take this event; it stays in the outbox for a person to look at."""
        if name in self._open_outbox():
            log.error("the ledger rejected event %s: %s", name, reason)
            self._rejected.add(name)
            self._sent.pop(name, None)

    def _open_outbox(self) -> Outbox:
        if self._outbox is None:
            msg = f"the outbox {self._path} is not open"
            raise OutboxError(msg)
        return self._outbox

    def _sync(self) -> None:
        """Wait until what was taken before is on the disk. Raises `OutboxError`."""
        try:
            self._open_outbox().sync()
        except OutboxError:
            self.writable = False
            raise

    # --- sending ------------------------------------------------------------------------------

    def ask(self, principal: str, question: Ask) -> None:
        self._asks.append((principal, question))
        self._wake.set()

    def link_is_up(self) -> None:
        """Send everything again: what was under way when the link broke may be lost."""
        self.linked = True
        self._sent.clear()
        self._wake.set()

    def link_is_down(self) -> None:
        self.linked = False

    async def carry(self, link: AnyLink) -> None:
        """Run beside the gate: send questions and events, and again what is not confirmed."""
        while True:
            with anyio.move_on_after(RESEND / 5):
                await self._wake.wait()
            self._wake = anyio.Event()
            try:
                await self._send(link)
            except LinkDown:
                continue

    async def _send(self, link: AnyLink) -> None:
        while self._asks:
            principal, question = self._asks.popleft()
            await link.publish(str(Topic(principal, "ask")), encode(question))
        due = self._due()
        for principal in sorted({entry.principal for entry in due}):
            await self._report(link, principal, [e for e in due if e.principal == principal])

    def _due(self) -> list[Entry]:
        now = anyio.current_time()
        late = [name for name, sent in self._sent.items() if now - sent > RESEND]
        for name in late:
            del self._sent[name]
        due: list[Entry] = []
        if self._outbox is None:
            return due
        for entry in self._outbox.pending():
            if len(self._sent) + len(due) >= WINDOW:
                break
            if entry.id not in self._sent and entry.id not in self._rejected:
                due.append(entry)
        return due

    async def _report(self, link: AnyLink, principal: str, entries: list[Entry]) -> None:
        topic = str(Topic(principal, "in"))
        for some in _in_reports(entries):
            payload = encode_report(self._gate, [entry.payload for entry in some])
            now = anyio.current_time()
            self._sent.update((entry.id, now) for entry in some)
            await link.publish(topic, payload)


def _in_reports(entries: list[Entry]) -> Iterable[list[Entry]]:
    some: list[Entry] = []
    size = 0
    for entry in entries:
        if some and size + len(entry.payload) > _REPORT:
            yield some
            some, size = [], 0
        some.append(entry)
        size += len(entry.payload)
    if some:
        yield some


def _check(entry: Entry) -> None:
    """Raises `ValueError` for what no message could carry."""
    if len(entry.payload) > _REPORT:
        msg = f"event {entry.id} has {len(entry.payload)} bytes: {_REPORT} fit in a message"
        raise ValueError(msg)


def _tells(entry: Entry, principal: str, event: Event) -> bool:
    """Whether an entry tells of an event, of whatever instant: who tells again may not say when."""
    told = _decoder.decode(entry.payload)
    again = msgspec.structs.replace(event, at=told.at, on=told.on)
    if isinstance(again, Attempt) and isinstance(told, Attempt):  # likewise, under which cap
        again = msgspec.structs.replace(again, cap=told.cap)
    return (entry.principal, told) == (principal, again)
