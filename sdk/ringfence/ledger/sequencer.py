"""Numbers a principal's changes and answers what gates ask; messages in and out, no I/O.

A batch is planned from the events and all that is known of their keys, stored by the caller, and
then applied: if storing fails, nothing has changed. One batch at a time.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

import msgspec
import numpy as np

from ringfence.event import Consent, Event, Keys
from ringfence.fold import fold_ground, fold_restraint
from ringfence.snapshot import cut, shards_of
from ringfence.table import Table
from ringfence.wire import Ask, Config, Head, Log, Snapshot

__all__ = ["MAX_BATCH", "History", "Sequencer", "keys_of", "objection_to"]

MAX_BATCH = 512
"""Events in one batch: their rows and ids stay below `MAX_MESSAGE`."""

_MAX_AHEAD = timedelta(minutes=5)

History = Mapping[int, Sequence[Event]]
"""All events filed under a key, by key."""


def objection_to(event: Event, principal: str, config: Config, now: datetime) -> str | None:
    """Say why a principal's ledger does not take an event; None: it does.

    A restraint is never turned away for its clock: a refusal told by a machine that runs ahead is
    still a refusal.
    """
    try:
        said = event.stated()
    except ValueError as error:
        return str(error)
    if event.principal not in (None, principal):
        return f"{event.kind} {event.id} is one of {event.principal}, told to {principal}"
    for name, key in msgspec.structs.asdict(event.keys or Keys()).items():
        if key is not None and not 0 < key < 1 << 64:
            return f"{event.kind} {event.id}: `keys.{name}` is no 64-bit key: {key}"
    if event.purposeful and said.at > now + _MAX_AHEAD:
        return f"{event.kind} {event.id} lies ahead: {said.at.isoformat()}"
    return _objection_to_consent(event, said.on, config) if isinstance(event, Consent) else None


def _objection_to_consent(consent: Consent, on: date, config: Config) -> str | None:
    if consent.text not in config.index:
        return f"consent {consent.id}: no text is registered as {consent.text!r}"
    if consent.until is not None and consent.until < on:
        return f"consent {consent.id} ends on {consent.until}, before it was given on {on}"
    return None


def keys_of(event: Event) -> tuple[int, ...]:
    """Give the keys under which a sealed event is filed, each once."""
    keys = event.keys
    if keys is None:
        return ()
    if event.purposeful:
        return () if keys.purpose is None else (keys.purpose,)
    number, consumer = keys.number, keys.consumer
    if consumer is None or consumer == number:
        return () if number is None else (number,)
    return (consumer,) if number is None else (number, consumer)


class Sequencer:
    """The numbering, the tables and the pending questions of one principal."""

    def __init__(self, ground: Table, restraint: Table, config: Config) -> None:
        self.ground = ground
        self.restraint = restraint
        self.config = config
        self._shards = shards_of(len(ground) + len(restraint))
        self._wanted: dict[int, None] = {}

    @property
    def epoch(self) -> int:
        return self.ground.epoch

    @property
    def seq(self) -> int:
        return self.ground.seq

    # --- changes ------------------------------------------------------------------------------

    def plan(self, events: Sequence[Event], history: History, *, after: int) -> Log:
        """Number the events from *after* on, and fold the rows they change over their history."""
        grounds: dict[int, list[Event]] = {}
        restraints: dict[int, list[Event]] = {}
        for event in events:
            told = grounds if event.purposeful else restraints
            for key in keys_of(event):
                if key not in told:
                    told[key] = list(history.get(key, ()))
                told[key].append(event)
        index = self.config.index
        return Log(
            epoch=self.epoch,
            first=after + 1,
            last=after + len(events),
            ground=_rows((key, fold_ground(all_, index).pack()) for key, all_ in grounds.items()),
            restraint=_rows((key, fold_restraint(all_).pack()) for key, all_ in restraints.items()),
            ids=[event.id for event in events],
        )

    def apply(self, log: Log) -> None:
        """Make a stored batch part of the tables. Raises `ValueError` out of order."""
        if log.first != self.seq + 1:
            msg = f"batch {log.first}..{log.last} does not follow change {self.seq}"
            raise ValueError(msg)
        self.ground.upsert(log.ground)
        self.restraint.upsert(log.restraint)
        self.ground.seq = self.restraint.seq = log.last

    def head(self, now: datetime) -> Head:
        grounds, restraints = len(self.ground), len(self.restraint)
        shards = shards_of(grounds + restraints)
        if shards > self._shards:
            self._shards = shards
            self._wanted.clear()
        return Head(
            epoch=self.epoch,
            seq=self.seq,
            at=now,
            ground_digest=self.ground.digest,
            restraint_digest=self.restraint.digest,
            ground_rows=grounds,
            restraint_rows=restraints,
            shards=self._shards,
            config=self.config.version,
        )

    # --- epochs -------------------------------------------------------------------------------

    def outrun_by(self, head: Head) -> bool:
        """Whether changes were told, as this head shows, of which this ledger knows nothing.

        It was restored from an old copy, or another took its place for a while. The numbers it
        would give next have been given to other changes: it needs a new epoch.
        """
        if (head.epoch, head.seq) != (self.epoch, self.seq):
            return (head.epoch, head.seq) > (self.epoch, self.seq)
        summed = self.ground.digest, self.restraint.digest
        return (head.ground_digest, head.restraint_digest) != summed

    def renew(self, epoch: int) -> None:
        """Go on under another epoch, as its store does: gates load all rows anew."""
        self.ground.epoch = self.restraint.epoch = epoch
        self.config = msgspec.structs.replace(self.config, epoch=epoch)
        self._wanted.clear()

    # --- questions ----------------------------------------------------------------------------

    def want(self, ask: Ask) -> None:
        """Note the shards a gate asks for: each is cut once for all who wait for it."""
        if ask.epoch != self.epoch or ask.first or ask.config:
            return
        shards = ask.shards or range(self._shards)
        self._wanted.update(dict.fromkeys(s for s in shards if s < self._shards))

    @property
    def waited_for(self) -> bool:
        """Whether a gate waits for a shard."""
        return bool(self._wanted)

    def next_shard(self) -> list[Snapshot]:
        """Cut the next shard that is waited for; nothing if none is."""
        if not self._wanted:
            return []
        shard = next(iter(self._wanted))
        del self._wanted[shard]
        return list(cut(self.ground, self.restraint, shard, self._shards, self.seq))


def _rows(facts: Iterable[tuple[int, tuple[int, int]]]) -> bytes:
    words = [(key, low, high) for key, (low, high) in facts]
    return np.array(words, np.dtype("<u8")).tobytes() if words else b""
