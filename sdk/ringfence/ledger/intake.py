"""Takes events in: turns away what is malformed, passes over what is known, stores the rest.

Blocking and for one thread at a time; what it gives back is applied and published by its caller.
An event at which the ledger itself fails is turned away like a malformed one, and no other with it.
"""

import logging
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import msgspec
import numpy as np

from ringfence.event import AnyEvent, Attempt, Cap, Event
from ringfence.fold import fold_restraint
from ringfence.ledger.sequencer import MAX_BATCH, History, Sequencer, keys_of, objection_to
from ringfence.ledger.store import Batch, Store
from ringfence.ledger.witness import Claim, Finding
from ringfence.wire import (
    Exhausted,
    Known,
    Rejected,
    Reply,
    WireError,
    Witnessed,
    event_id,
    read_event,
    read_report,
)

__all__ = ["Answer", "Intake", "Received", "Taken", "read"]

log = logging.getLogger(__name__)

OF_THE_DATA = (sqlite3.DataError, sqlite3.ProgrammingError)
"""What SQLite raises for what it is given. All else it raises is the fault of file or disk."""

MAX_REASON = 500
"""Characters of a reason: it quotes what came, which may be as long as a message."""

MAX_NAME = 64
"""Likewise, of the id of what is turned away for having none that could be taken."""


class Received(msgspec.Struct, frozen=True):
    """An event as it came: readable, or with the reason why not."""

    principal: str
    sender: str
    event: AnyEvent | None
    id: str
    error: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What one sender is told."""

    principal: str
    sender: str
    reply: Reply


class Taken(msgspec.Struct, frozen=True):
    """What a call of `take` stored, in order, and whom to answer."""

    batches: list[Batch]
    answers: list[Answer]
    findings: list[tuple[Claim, Finding]] = []
    """What became of the heads of chains."""


def read(principal: str, payload: bytes) -> list[Received]:
    """Read what came on a principal's topic `in`; never raises for what it holds."""
    try:
        sender, events, json = read_report(payload)
    except WireError as error:
        return [Received(principal, "", None, "", str(error))]
    received = []
    for data in events:
        try:
            event = read_event(data, json=json)
        except WireError as error:
            name = event_id(data, json=json)
            received.append(Received(principal, sender, None, name, str(error)))
        else:
            received.append(Received(principal, sender, event, event.id))
    return received


class Intake:
    """Validates, numbers and stores."""

    def __init__(self, store: Store, sequencers: Mapping[str, Sequencer]) -> None:
        self._store = store
        self._sequencers = sequencers

    def take(
        self, received: Sequence[Received], now: datetime, claims: Sequence[Claim] = ()
    ) -> Taken:
        """Store what is good and new, and heads of chains. It is on the disk when this returns.

        Raises `sqlite3.Error` if the file or the disk failed; then nothing was stored.
        """
        try:
            taken = self._plan_all(received, now, ())
            if taken.batches or claims:
                findings = self._store.commit(taken.batches, claims)
                taken.findings.extend(zip(claims, findings, strict=True))
        except Exception as error:  # noqa: BLE001 - one event must not end the ledger for all
            _raise_if_of_the_store(error)
            taken = self._take_apart(received, now, claims)
        taken.answers.extend(_witnessed(taken.findings))
        return taken

    def _take_apart(
        self, received: Sequence[Received], now: datetime, claims: Sequence[Claim]
    ) -> Taken:
        """Take what can be taken of what fails when it is taken at once."""
        taken = Taken([], [])
        with self._store.transaction():
            self._take_half_by_half(received, now, taken)
            for claim in claims:
                self._take_head(claim, taken)
        return taken

    def _take_half_by_half(self, received: Sequence[Received], now: datetime, taken: Taken) -> None:
        """Find the events that fail; add the others to *taken*, each part onto those before it."""
        if not received:
            return
        try:
            with self._store.trial():
                part = self._plan_all(received, now, taken.batches)
                self._store.write(part.batches)
        except Exception as error:
            _raise_if_of_the_store(error)
            if len(received) > 1:
                middle = len(received) // 2
                self._take_half_by_half(received[:middle], now, taken)
                self._take_half_by_half(received[middle:], now, taken)
                return
            (one,) = received
            what = "event" if one.event is None else one.event.kind
            log.exception("%s: cannot take %s %s: turned away", one.principal, what, one.id)
            reason = f"{what} {one.id}: the ledger failed at it: {type(error).__name__}: {error}"
            taken.answers.append(_turned_away(one, reason))
        else:
            taken.batches.extend(part.batches)
            taken.answers.extend(part.answers)

    def _take_head(self, claim: Claim, taken: Taken) -> None:
        try:
            with self._store.trial():
                taken.findings.append((claim, self._store.hear(claim)))
        except Exception as error:
            _raise_if_of_the_store(error)
            log.exception("%s: cannot hold a head of a chain: %s", claim.principal, claim.head)

    def apply(self, taken: Taken) -> None:
        """Make what was stored part of the tables; on the thread that reads them."""
        for batch in taken.batches:
            self._sequencers[batch.principal].apply(batch.log)

    def _plan_all(
        self, received: Sequence[Received], now: datetime, before: Sequence[Batch]
    ) -> Taken:
        """Plan what is to be stored after *before*, which is written already."""
        by_principal: dict[str, list[Received]] = defaultdict(list)
        for one in received:
            by_principal[one.principal].append(one)
        taken = Taken([], [])
        for principal, some in by_principal.items():
            written = (batch.log.last for batch in before if batch.principal == principal)
            after = max(written, default=self._sequencers[principal].seq)
            self._plan(principal, some, now, after, taken)
        return taken

    def _plan(
        self, principal: str, received: list[Received], now: datetime, after: int, taken: Taken
    ) -> None:
        """Sort what came for one principal into what is turned away, known, and new."""
        sequencer = self._sequencers[principal]
        sound: list[tuple[Received, Event]] = []
        for one in received:
            reason = one.error
            if one.event is not None:
                reason = objection_to(one.event, principal, sequencer.config, now) or ""
            if one.event is None or reason:
                taken.answers.append(_turned_away(one, reason))
            else:
                sound.append((one, one.event))
        known = self._store.known(principal, {one.id for one, _ in sound})
        fresh: dict[str, Event] = {}
        again: dict[str, list[str]] = defaultdict(list)
        for one, event in sound:
            before = known[one.id][1] if one.id in known else fresh.setdefault(one.id, event)
            if not _same(event, before):
                reason = f"{event.kind} {one.id}: the id is that of another event, a {before.kind}"
                taken.answers.append(_turned_away(one, reason))
            elif one.id in known:
                again[one.sender].append(one.id)
        seqs = {name: seq for name, (seq, _) in known.items()}
        taken.answers.extend(_known(principal, self._store.epoch, again, seqs))
        keys = {key for event in fresh.values() for key in keys_of(event)}
        history = {key: list(told) for key, told in self._store.history(principal, keys).items()}
        events, exhausted = _within_their_caps(list(fresh.values()), history)
        if exhausted:
            senders = {one.id: one.sender for one, _ in sound}
            taken.answers.extend(Answer(principal, senders[no.id], no) for no in exhausted)
        taken.batches.extend(self._number(principal, events, history, after))

    def _number(
        self, principal: str, events: list[Event], history: dict[int, list[Event]], after: int
    ) -> Iterator[Batch]:
        sequencer = self._sequencers[principal]
        for start in range(0, len(events), MAX_BATCH):
            some = events[start : start + MAX_BATCH]
            log = sequencer.plan(some, history, after=after)
            yield Batch(principal, log, some)
            after = log.last
            for event in some:
                for key in keys_of(event):
                    history.setdefault(key, []).append(event)


def _within_their_caps(
    events: list[Event], history: History
) -> tuple[list[Event], list[Exhausted]]:
    """Part the events that are taken from the attempts of which there are enough, in their order.

    What is stored is the attempt alone: its cap was met then, and says nothing of it later.
    """
    if not any(map(_cap_of, events)):
        return events, []
    taken: list[Event] = []
    exhausted: list[Exhausted] = []
    filed: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        keys, cap = keys_of(event), _cap_of(event)
        if cap is not None:
            known = fold_restraint(t for key in keys for t in (*history.get(key, ()), *filed[key]))
            if not cap.left(known):
                row = np.array([keys[0], *known.pack()], "<u8").tobytes()
                exhausted.append(Exhausted(event.id, row))
                continue
        taken.append(event if cap is None else msgspec.structs.replace(event, cap=None))
        for key in keys:
            filed[key].append(event)
    return taken, exhausted


def _cap_of(event: Event) -> Cap | None:
    return event.cap if isinstance(event, Attempt) else None


def _raise_if_of_the_store(error: Exception) -> None:
    """Let through what no event is to blame for: it is sent again, to a ledger that is mended."""
    of_the_store = isinstance(error, sqlite3.Error) and not isinstance(error, OF_THE_DATA)
    if of_the_store or isinstance(error, MemoryError):
        raise error


def _turned_away(one: Received, reason: str) -> Answer:
    rejected = Rejected(one.id[:MAX_NAME], reason[:MAX_REASON])
    return Answer(one.principal, one.sender, rejected)


def _same(event: Event, other: Event) -> bool:
    """Whether both are one event, told twice; instant and source may have been told in two ways."""
    return (event.kind, event.keys) == (other.kind, other.keys)


def _witnessed(findings: Sequence[tuple[Claim, Finding]]) -> Iterator[Answer]:
    """Tell each gate what is held of its chain."""
    for claim, finding in findings:
        if finding is not Finding.TOO_MANY:
            head = claim.head
            yield Answer(claim.principal, head.gate, Witnessed(head.chain, head.number))


def _known(
    principal: str, epoch: int, again: Mapping[str, list[str]], seqs: Mapping[str, int]
) -> Iterator[Answer]:
    """Tell each sender which of its events were stored before."""
    for sender, ids in again.items():
        for start in range(0, len(ids), MAX_BATCH):
            some = ids[start : start + MAX_BATCH]
            known = Known(epoch, max(seqs[name] for name in some), some)
            yield Answer(principal, sender, known)
