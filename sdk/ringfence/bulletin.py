"""What the gate processes of a host tell one another before the tables they share reflect it.

A mapped file, to which whoever has the turn appends, and which all read without a lock. It is a
means of telling, not of keeping: events are in outboxes first, and what is left of processes that
are all gone is not read.

A `Leaf` that is full is followed by another, which begins with the events that are not dropped. It
is retired before that one gets its name: whoever is killed in between leaves a leaf that is retired
and has no other behind it, and the next process that has the turn takes it into use again.

Beside it are two files to be locked: `.turn` by who posts, and `.used`, which all share who have it
open. Whoever finds nobody there begins a new series of leaves.
"""

import logging
import mmap
import os
import secrets
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic
from typing import NamedTuple, Self

import msgspec

from ringfence.event import AnyEvent, Event
from ringfence.leaf import HEADER, RETIRED, TAIL, BulletinError, Dropped, Leaf, Posted, record_of
from ringfence.locks import Lock

__all__ = ["Bulletin", "BulletinBusy", "BulletinError", "BulletinFull", "News", "Notice"]

log = logging.getLogger(__name__)

# Half of it is for events that are not dropped, so that each leaf has room for as much again: some
# 20 000 of 200 bytes, which a host that places 300 calls a second tells in a minute; and after one
# without the ledger it places none. To turn over an empty one takes 2 ms, most of them to free it.
SIZE = 8 * 1024 * 1024
LEAST = 256 * 1024

# A turn takes some microseconds. Whoever has it for longer was interrupted or is stopped, and an
# event loop waits.
PATIENCE = 0.005

# Who opens it waits longer, in a thread: the first one makes the file meanwhile.
OPENING = 2.0

_NEVER = -1  # no tail is that


class BulletinBusy(BulletinError):  # noqa: N818 - a state like queue.Full
    """Another process has the turn, and did not give it up in time: try again later."""


class BulletinFull(BulletinError):  # noqa: N818 - likewise
    """So much was told that the tables do not reflect that the limit is reached."""


class Notice(NamedTuple):
    """A sealed event that some process of this host told."""

    principal: str
    event: Event


class News(NamedTuple):
    """What was told since the last news: show what was posted, then forget what was dropped.

    An event may be in both, and among those dropped may be some that were never posted.
    """

    posted: list[Notice]
    dropped: list[str]


_encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[AnyEvent] = msgspec.msgpack.Decoder(AnyEvent)


class Bulletin:
    """The bulletin of a host as one process has it open; for one thread.

    A forked child opens it anew. After `close` only `close` may be called.
    """

    def __init__(self, path: Path, leaf: Leaf, turn: Lock, used: Lock, patience: float) -> None:
        self._path = path
        self._locks = turn, used
        self._turn = _Turn(turn, patience, self._begin)
        # What is told and not dropped, by id: the record as it will stand in the next leaf.
        self._told: dict[str, bytes] = {}
        self._told_size = 0
        self._posted: list[Notice] = []
        self._dropped: dict[str, None] = {}
        self._undropped: dict[str, None] = {}
        self._unheard = False
        self._at = HEADER  # what is before was read, or written by this process
        self._heard = self._seen = _NEVER  # the word of the tail: last read, and last given out
        self._leaf, self._words = leaf, leaf.words

    @classmethod
    def open(cls, path: Path, *, size: int = SIZE, patience: float = PATIENCE) -> Self:
        """Open the bulletin at *path*, or begin one of *size* bytes if nobody else has it open.

        The first `news` are all that it tells. A turn is waited for up to *patience* seconds.
        BulletinError where the files cannot be opened, made or used, `BulletinBusy` too.
        """
        if os.uname().machine != "x86_64":
            msg = f"processes share tables on x86-64 only, not on {os.uname().machine}: run one"
            raise BulletinError(msg)
        if size < LEAST or size % mmap.PAGESIZE:
            msg = f"a bulletin of {size} bytes: it has {LEAST} or more, in whole pages"
            raise ValueError(msg)
        with ExitStack() as failed:
            try:
                turn = failed.enter_context(Lock(path.with_name(f"{path.name}.turn")))
                used = failed.enter_context(Lock(path.with_name(f"{path.name}.used")))
            except OSError as error:
                msg = f"the bulletin cannot be opened: {error}"
                raise BulletinError(msg) from error
            _take(turn, OPENING)  # so that nobody begins or turns over meanwhile
            try:
                leaf = _first_leaf(path, size) if used.take() else Leaf.open(path)
                used.take(shared=True)
            finally:
                turn.release()
            failed.pop_all()
        return cls(path, leaf, turn, used, patience)

    @property
    def changed(self) -> bool:
        """Whether there are news, own ones included."""
        return self._words[TAIL] != self._seen

    def news(self) -> News:
        """Give what was told since the last call, by this process too.

        Nothing is told twice or missed; except, by whoever does not call while two leaves are
        filled, what was both posted and dropped meanwhile. BulletinError if the file is damaged.
        """
        self._read()
        self._seen, self._unheard = self._heard, False
        news = News(self._posted, list(self._dropped))
        self._posted, self._dropped = [], {}
        return news

    def turn(self) -> "_Turn":
        """Be the only one to post: `with bulletin.turn(): …`.

        Entering raises `BulletinBusy` if another process does not give up the turn in time,
        BulletinError if the files are damaged or gone, RuntimeError within a turn.
        """
        return self._turn

    def post(self, principal: str, events: Iterable[Event]) -> None:
        """Tell sealed events, all or none; those that are told already are passed over.

        When it returns, they are told, even if this process is killed. RuntimeError outside a turn,
        and before the `news` that there are in it: who counts must know them. `BulletinFull` at the
        limit, BulletinError if there is no space for the next leaf.
        """
        if not self._turn.taken or self._unheard:
            msg = "post in a block `with bulletin.turn()`, and after its news"
            raise RuntimeError(msg)
        fresh: dict[str, Event] = {}
        for event in events:
            if event.id not in self._told:
                fresh.setdefault(event.id, event)
        records = {
            name: record_of(Posted(name, principal, msgspec.Raw(_encode(event))))
            for name, event in fresh.items()
        }
        self._check_room(sum(map(len, records.values())))
        self._write(b"".join(records.values()))
        for name, record in records.items():
            self._keep(name, record)
        self._posted += [Notice(principal, event) for event in fresh.values()]

    def drop(self, ids: Iterable[str] = ()) -> None:
        """Let all processes forget events that the tables reflect, or that count no longer.

        Within a turn or not. If another process has the turn, they are forgotten later: in the next
        turn of this process, or when this is called again, with or without more ids. BulletinError
        if the files cannot be used; then likewise.
        """
        self._undropped.update(dict.fromkeys(ids))
        if self._turn.taken:
            self._tell_dropped()
        elif self._undropped:
            with suppress(BulletinBusy), self._turn:
                pass  # its beginning tells them

    @property
    def series(self) -> int:
        """Names all that is told from its beginning, when nobody else had it open, to its end."""
        return self._leaf.series

    @property
    def owes(self) -> bool:
        """Whether there is something that was dropped and that the others were not told of yet."""
        return bool(self._undropped)

    def __len__(self) -> int:
        """Count the events that are told and not dropped, as far as this process has read."""
        return len(self._told)

    def close(self) -> None:
        """Leave it to the others; what was posted stays with them."""
        for lock in self._locks:
            lock.close()
        self._leaf.close()

    def _begin(self) -> None:
        """Begin a turn, with all that is known."""
        self._read()
        if self._leaf.retired:  # and no other has its name: who was turning over was killed
            self._leaf.write(self._at, b"")
        self._unheard = bool(self._posted or self._dropped)
        self._tell_dropped()

    # --- reading ------------------------------------------------------------------------------

    def _read(self) -> None:
        """Read to the end, and on in the leaf that is in the place of a retired one."""
        while True:
            self._heard = word = self._words[TAIL]
            if word != self._at:
                for record, told in self._leaf.read(self._at, word & ~RETIRED):
                    self._hear(record, told)
                    self._at += len(record)
            if not word & RETIRED:
                return
            if not self._follow():
                self._heard = _NEVER  # nothing but another look will tell that there is a next one
                return

    def _follow(self) -> bool:
        """Change to the leaf that has the name of this one; False if that is this one still."""
        old, new = self._leaf, Leaf.open(self._path)
        if new.is_same(old):
            new.close()
            return False
        if new.series != old.series:
            new.close()
            raise _removed(self._path)
        if new.generation != old.generation + 1:
            self._compare(new)
        # Else it begins with what was read of the old one to its end, and is not dropped.
        self._change_to(new)
        return True

    def _compare(self, leaf: Leaf) -> None:
        """Take over what a leaf begins with, when this process has missed some before it."""
        missing = dict(self._told)
        for record, told in leaf.read(HEADER, leaf.carried):
            if isinstance(told, Posted) and missing.pop(told.id, None) is None:
                self._hear(record, told)
        self._forget(missing)

    def _hear(self, record: bytes, told: Posted | Dropped) -> None:
        if isinstance(told, Dropped):
            self._forget(told.ids)
            return
        self._keep(told.id, record)
        try:
            self._posted.append(Notice(told.principal, _decoder.decode(told.event)))
        except msgspec.DecodeError as error:
            log.warning("event %s of another process cannot be read: %s", told.id, error)

    def _keep(self, name: str, record: bytes) -> None:
        self._told_size += len(record) - len(self._told.get(name, b""))
        self._told[name] = record
        self._dropped.pop(name, None)  # it was told anew, and counts

    def _forget(self, ids: Iterable[str]) -> None:
        for name in ids:
            if record := self._told.pop(name, None):
                self._told_size -= len(record)
                self._dropped[name] = None

    # --- writing, which takes the turn ----------------------------------------------------------

    def _tell_dropped(self) -> None:
        known = [name for name in self._undropped if name in self._told]
        if known:  # they have room in half a leaf, as the events did, which are longer
            self._write(record_of(Dropped(known)))
            self._forget(known)
        self._undropped.clear()

    def _check_room(self, size: int) -> None:
        limit = (self._leaf.size - HEADER) // 2
        if self._told_size + size > limit:
            msg = (
                f"{self._path} has {self._told_size} of {limit} bytes for {len(self)} events that"
                " the tables do not reflect: look whether the ledger confirms them, and who syncs"
            )
            raise BulletinFull(msg)

    def _write(self, records: bytes) -> None:
        if self._at + len(records) > self._leaf.size:
            self._turn_over()
        self._at = self._leaf.write(self._at, records)

    def _turn_over(self) -> None:
        """Go on in a new leaf, which begins with what is not dropped. All must have been read."""
        old, told = self._leaf, b"".join(self._told.values())
        new = Leaf.make(_beside(self._path), old.size, old.series, old.generation + 1, told)
        old.retire(self._at)
        _put_in_place(self._path)
        self._change_to(new)

    def _change_to(self, leaf: Leaf) -> None:
        """Go on behind what *leaf* begins with, which is known."""
        self._leaf.close()
        self._leaf, self._words = leaf, leaf.words
        self._at, self._seen = leaf.carried, _NEVER


class _Turn:
    """Whoever is in the block is the only one to post."""

    def __init__(self, lock: Lock, patience: float, begin: Callable[[], None]) -> None:
        self._lock = lock
        self._patience = patience
        self._begin = begin
        self._inside = False

    @property
    def taken(self) -> bool:
        """Whether this process has it: a child that was forked in the block has not."""
        return self._inside and not self._lock.closed

    def __enter__(self) -> None:
        if self.taken:
            msg = "this process has the turn already"
            raise RuntimeError(msg)
        _take(self._lock, self._patience)
        try:
            self._begin()
        except BaseException:
            self._lock.release()
            raise
        self._inside = True

    def __exit__(self, *_: object) -> None:
        if self.taken:
            self._lock.release()
        self._inside = False


def _take(lock: Lock, patience: float) -> None:
    if lock.closed:
        msg = f"{lock.path} is closed, or open in the process from which this one was forked"
        raise BulletinError(msg)
    until = 0.0
    while not lock.take():
        until = until or monotonic() + patience
        if monotonic() > until:
            msg = f"another process has {lock.path}: look whether one of this host is stopped"
            raise BulletinBusy(msg)
        os.sched_yield()
    if lock.lost:
        lock.release()
        raise _removed(lock.path)


def _first_leaf(path: Path, size: int) -> Leaf:
    leaf = Leaf.make(_beside(path), size, secrets.randbits(64), 1, b"")
    _put_in_place(path)
    return leaf


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _put_in_place(path: Path) -> None:
    try:
        _beside(path).replace(path)
    except OSError as error:
        msg = f"{path} cannot be replaced: {error}. See to its folder"
        raise BulletinError(msg) from error


def _removed(path: Path) -> BulletinError:
    return BulletinError(f"{path} was removed while in use: stop all gates, start them anew")
