"""Takes in what many people said, of one kind: what `Intake` would do, in a fraction of the time.

What is not plain is left to `Intake`: several kinds at once, and whatever it might turn away. Of a
key that is heard of for the first time the row says what the event does, so the fold is asked once
for all who said the same on the same day.
"""

from collections.abc import Callable, Mapping, Sequence
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
from ringfence.ledger.entry import Entry
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

_id, _key, _like, _at = map(attrgetter, ("id", "key", "like", "at"))


class _NotPlain(Exception):  # noqa: N818 - what it is
    """It is for `Intake` to judge."""


class Bulk:
    """The way into the store of one principal for events in great numbers."""

    def __init__(self, store: Store, sequencer: Sequencer, principal: str) -> None:
        self._store = store
        self._sequencer = sequencer
        self._principal = principal

    def take(self, entries: Sequence[Entry], now: datetime) -> Receipt | None:
        """Store what is new; it is on the disk when this returns. None: nothing was stored.

        Changes are numbered in the order of their ids: so what lies side by side in the file is
        written together. Raises `sqlite3.Error` if the file or the disk failed; then nothing was
        stored.
        """
        try:
            self._check(entries, now)
            rows = self._rows(entries, now)
            known = self._store.known(self._principal, map(_id, entries))
            new = _new(entries, known)
        except _NotPlain:
            return None
        if not new:
            return Receipt(0, len(entries), {}, max(seq for seq, _ in known.values()))
        run = self._number([entries[place] for place in new], rows[new])
        with self._store.transaction():
            self._store.write_run(run)
        return Receipt(len(new), len(entries) - len(new), {}, run.logs[-1].last)

    def _rows(self, entries: Sequence[Entry], now: datetime) -> npt.NDArray[np.uint64]:
        """Give the rows as if of each key nothing were known but what its entry says.

        Of many entries `like` is one object, and of many such objects the row is the same.
        """
        likes = list(map(_like, entries))
        events = dict(zip(map(id, likes), likes, strict=True))
        said = {name: _SAID[type(event)](event) for name, event in events.items()}
        examples = dict(zip(said.values(), events.values(), strict=True))
        facts = np.array([self._fold(event, now) for event in examples.values()], np.uint64)
        places = dict(zip(examples, range(len(examples)), strict=True))
        place_of = {name: places[what] for name, what in said.items()}
        rows = np.empty((len(entries), ROW // 8), "<u8")
        rows[:, 0] = list(map(_key, entries))
        rows[:, 1:] = facts[[place_of[name] for name in map(id, likes)]]
        return rows

    def _check(self, entries: Sequence[Entry], now: datetime) -> None:
        """Raise `_NotPlain` for what `_fold` does not find out."""
        kinds = set(map(type, map(_like, entries)))
        if len(kinds) != 1 or not kinds <= _SAID.keys() or None in map(_at, entries):
            raise _NotPlain
        if not 0 < min(map(_key, entries)) <= max(map(_key, entries)) < 1 << 64:
            raise _NotPlain
        latest = max(entries, key=_at)
        self._fold(msgspec.structs.replace(latest.like, at=latest.at), now)

    def _fold(self, event: AnyEvent, now: datetime) -> Facts:
        config = self._sequencer.config
        if len(keys_of(event)) > 1 or objection_to(event, self._principal, config, now):
            raise _NotPlain
        if event.purposeful:
            return fold_ground([event], config.index).pack()
        return fold_restraint([event]).pack()

    def _number(self, entries: Sequence[Entry], rows: npt.NDArray[np.uint64]) -> Run:
        keys, ids = rows[:, 0].tolist(), list(map(_id, entries))
        history, heard = self._heard(rows[:, 0])
        purposeful = entries[0].like.purposeful
        logs: list[Log] = []
        after = self._sequencer.seq
        for start in range(0, len(entries), MAX_BATCH):
            part = slice(start, start + MAX_BATCH)
            if heard[part].any():
                events = [entry.event for entry in entries[part]]
                log = self._sequencer.plan(events, history, after=after)
                for at in np.flatnonzero(heard[part]).tolist():
                    history.setdefault(keys[start + at], []).append(events[at])
            else:
                log = self._plan(ids[part], rows[part].tobytes(), after, ground=purposeful)
            logs.append(log)
            after = log.last
        return Run(self._principal, logs, [entry.body for entry in entries], [keys])

    def _heard(
        self, keys: npt.NDArray[np.uint64]
    ) -> tuple[dict[int, list[Event]], npt.NDArray[np.bool_]]:
        """Give what was filed before, and which of the keys are heard of more than once."""
        distinct, times = np.unique(keys, return_counts=True)
        history = self._store.history(self._principal, distinct.tolist())
        more = np.array([*history, *distinct[times > 1].tolist()], np.uint64)
        return history, np.isin(keys, more)

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


def _new(entries: Sequence[Entry], known: Mapping[str, tuple[int, Event]]) -> list[int]:
    """Give the places of those that are not known, each id once, in the order of their ids.

    Raises `_NotPlain` where one id stands for two events: only one of them can be taken.
    """
    ids = list(map(_id, entries))
    places = sorted(range(len(ids)), key=ids.__getitem__)
    if not known and len(set(ids)) == len(ids):
        return places
    new: list[int] = []
    before: Entry | None = None
    for place in places:
        entry = entries[place]
        if before is not None and entry.id == before.id:
            if (type(entry.like), entry.key) != (type(before.like), before.key):
                raise _NotPlain
        elif entry.id not in known:
            new.append(place)
        else:
            _, event = known[entry.id]
            if (type(entry.like), (entry.key,)) != (type(event), keys_of(event)):
                raise _NotPlain
        before = entry
    return new
