"""Takes in what many people said, of one kind: what `Intake` would do, in a fraction of the time.

What is not plain is left to `Intake`: several kinds at once, and whatever it might turn away. Of a
key that is heard of for the first time the row says what the event does, so the fold is asked once
for all who said the same on the same day.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter

import msgspec
import numpy as np
import numpy.typing as npt

from ringfence.event import (
    AnyEvent,
    Bloctel,
    Consent,
    Contract,
    ContractEnded,
    Event,
    Objection,
    Refusal,
    Withdrawal,
)
from ringfence.fold import fold_ground, fold_restraint
from ringfence.ledger.entry import Entries
from ringfence.ledger.importer import Receipt
from ringfence.ledger.sequencer import MAX_BATCH, Sequencer, keys_of, objection_to
from ringfence.ledger.store import Run, Store
from ringfence.row import ROW, Facts
from ringfence.wire import Log

__all__ = ["Bulk"]

_SHARED = ("on", "principal", "to", "purpose", "consumer", "keys.consumer")
_SAID: dict[type[Event], Callable[[Event], object]] = {
    Consent: attrgetter(*_SHARED, "keys.number", "text", "until"),
    Withdrawal: attrgetter(*_SHARED, "keys.number"),
    Refusal: attrgetter(*_SHARED, "keys.purpose"),
    Objection: attrgetter(*_SHARED, "keys.purpose"),
    Contract: attrgetter(*_SHARED, "keys.number", "until"),
    ContractEnded: attrgetter(*_SHARED, "keys.number"),
    Bloctel: attrgetter(*_SHARED, "keys.purpose", "until"),
}
"""The kinds that come in great numbers; and all, beside id, instant and key, that decides whether
such an event is taken and what its row says."""

Rows = npt.NDArray[np.uint64]
Heard = npt.NDArray[np.bool_]
Write = Callable[[Entries, Rows], Receipt]


class _NotPlain(Exception):  # noqa: N818 - what it is
    """It is for `Intake` to judge."""


class Bulk:
    """The way into the store of one principal for events in great numbers."""

    def __init__(self, store: Store, sequencer: Sequencer, principal: str) -> None:
        self._store = store
        self._sequencer = sequencer
        self._principal = principal

    def take(self, some: Sequence[Entries], now: datetime) -> list[Receipt] | None:
        """Store what is new, in one transaction; it is on the disk when this returns.

        None: not all of it is plain, and nothing was stored. Changes are numbered in the order of
        their ids: so what lies side by side in the file is written together. Raises `sqlite3.Error`
        if the file or the disk failed; then nothing was stored.
        """
        try:
            return self._take(some, now, self._write)
        except sqlite3.IntegrityError:
            return self._take(some, now, self._write_new)

    def _take(self, some: Sequence[Entries], now: datetime, write: Write) -> list[Receipt] | None:
        try:
            with self._store.transaction():
                return [write(entries, self._rows(entries, now)) for entries in some]
        except _NotPlain:
            return None

    def _write(self, entries: Entries, rows: Rows) -> Receipt:
        """Write them as what nearly all are: new, and of persons of whom nothing was told before.

        Then no id is looked up: the file takes none twice, and raises `sqlite3.IntegrityError`.
        """
        ids = entries.ids
        if ids != sorted(set(ids)) or self._store.heard_of(self._principal, entries.keys):
            return self._write_new(entries, rows)
        return self._write_all(entries, rows, {})

    def _write_new(self, entries: Entries, rows: Rows) -> Receipt:
        known = self._store.known(self._principal, entries.ids)
        new = _new(entries, known)
        if not new:
            return Receipt(0, len(entries), {}, max(seq for seq, _ in known.values()))
        some = entries.at(new)
        history = self._store.history(self._principal, set(some.keys))
        written = self._write_all(some, rows[new], history)
        return msgspec.structs.replace(written, known=len(entries) - len(new))

    def _write_all(self, entries: Entries, rows: Rows, history: dict[int, list[Event]]) -> Receipt:
        logs = list(self._number(entries, rows, history))
        self._store.write_run(Run(self._principal, logs, entries.bodies, [entries.keys]))
        return Receipt(len(entries), 0, {}, logs[-1].last)

    def _rows(self, entries: Entries, now: datetime) -> Rows:
        """Give the rows as if of each key nothing were known but what its entry says.

        Of many of the `likes` the row is the same: they differ in their source alone. Raises
        `_NotPlain`.
        """
        self._check(entries, now)
        said = [_SAID[type(event)](event) for event in entries.likes]
        examples = dict(zip(said, entries.likes, strict=True))
        fact_of = {what: self._fold(event, now) for what, event in examples.items()}
        facts = np.array([fact_of[what] for what in said], np.uint64)
        rows = np.empty((len(entries), ROW // 8), "<u8")
        rows[:, 0] = entries.keys
        rows[:, 1:] = facts[entries.places]
        return rows

    def _check(self, entries: Entries, now: datetime) -> None:
        """Raise `_NotPlain` for what `_fold` does not find out."""
        kinds = set(map(type, entries.likes))
        if len(kinds) != 1 or not kinds <= _SAID.keys() or entries.latest is None:
            raise _NotPlain
        if not 0 < min(entries.keys) <= max(entries.keys) < 1 << 64:
            raise _NotPlain
        self._fold(msgspec.structs.replace(entries.likes[0], at=entries.latest), now)

    def _fold(self, event: AnyEvent, now: datetime) -> Facts:
        config = self._sequencer.config
        if len(keys_of(event)) > 1 or objection_to(event, self._principal, config, now):
            raise _NotPlain
        if event.purposeful:
            return fold_ground([event], config.index).pack()
        return fold_restraint([event]).pack()

    def _number(
        self, entries: Entries, rows: Rows, history: dict[int, list[Event]]
    ) -> Iterator[Log]:
        """Fold anew where more is told of a key than one entry: *history*, which is added to."""
        heard = _heard(rows[:, 0], history)
        ground = entries.likes[0].purposeful
        after = self._store.seq(self._principal)
        for start in range(0, len(entries), MAX_BATCH):
            part = slice(start, start + MAX_BATCH)
            if heard[part].any():
                some = entries.at(range(len(entries))[part])
                log = self._plan_anew(some, heard[part], history, after)
            else:
                log = self._plan(entries.ids[part], rows[part].tobytes(), after, ground=ground)
            yield log
            after = log.last

    def _plan_anew(
        self, entries: Entries, heard: Heard, history: dict[int, list[Event]], after: int
    ) -> Log:
        events = list(entries.events())
        log = self._sequencer.plan(events, history, after=after)
        for place in np.flatnonzero(heard).tolist():
            history.setdefault(entries.keys[place], []).append(events[place])
        return log

    def _plan(self, ids: list[str], rows: bytes, after: int, *, ground: bool) -> Log:
        """Do what `Sequencer.plan` does for keys of which nothing else is known."""
        return Log(
            epoch=self._sequencer.epoch,
            first=after + 1,
            last=after + len(ids),
            ground=rows if ground else b"",
            restraint=b"" if ground else rows,
            ids=ids,
        )


def _heard(keys: npt.NDArray[np.uint64], history: Mapping[int, object]) -> Heard:
    """Tell which of the keys are heard of more than once."""
    distinct, times = np.unique(keys, return_counts=True)
    more = np.array([*history, *distinct[times > 1].tolist()], np.uint64)
    return np.isin(keys, more)


def _new(entries: Entries, known: Mapping[str, tuple[int, Event]]) -> list[int]:
    """Give the places of those that are not known, each id once, in the order of their ids.

    Raises `_NotPlain` where one id stands for two events: only one of them can be taken.
    """
    ids, keys, (kind, *_) = entries.ids, entries.keys, map(type, entries.likes)
    key_of: dict[str, int] = {}
    new: list[int] = []
    for name, (_, event) in known.items():
        if type(event) is not kind or len(keys_of(event)) != 1:
            raise _NotPlain
        key_of[name], *_ = keys_of(event)
    for place in sorted(range(len(ids)), key=ids.__getitem__):
        name = ids[place]
        if name not in key_of:
            new.append(place)
        if key_of.setdefault(name, keys[place]) != keys[place]:
            raise _NotPlain
    return new
