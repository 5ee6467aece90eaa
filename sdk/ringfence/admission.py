"""What a gate writes before anyone is told: attempts, evidence, outcomes, what people said.

It is handed decisions and makes none, except that what could not be written is DEFER.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from ringfence.book import Book, Plan, Read
from ringfence.call import Call, Outcome
from ringfence.campaign import Campaign
from ringfence.courier import Courier
from ringfence.decision import Decision, Reason, Verdict
from ringfence.event import Attempt, Event, Keys
from ringfence.evidence.record import EvidenceError
from ringfence.outbox import OutboxError
from ringfence.permit import Permit, Permits, reservation, strongest, told
from ringfence.registrar import Registrar, attest
from ringfence.replica import Now

__all__ = ["Admission"]

log = logging.getLogger(__name__)

PERMIT_LIFE = 60.0
"""Seconds in which a call asked again under its id gets the permit it has."""

MAX_PERMITS = 200_000
"""Permits kept for outcomes that come by another way, at most, and for `PERMIT_KEPT` seconds."""

PERMIT_KEPT = 4 * 3600.0


class Admission:
    """The permits of a gate, and the events it records. *durable*: on the disk before an answer."""

    def __init__(  # noqa: PLR0913 - what it writes to, and for whom
        self,
        courier: Courier,
        registrar: Registrar,
        *,
        books: Mapping[str, Book],
        plans: Mapping[str, Plan],
        campaigns: Mapping[str, Campaign],
        clock: Callable[[], Now],
        durable: bool,
    ) -> None:
        self._courier = courier
        self._registrar = registrar
        self._books = books
        self._plans = plans
        self._campaigns = campaigns
        self._durable = durable
        self._permits = Permits(MAX_PERMITS, PERMIT_KEPT)
        self._clock = clock
        self._in_trouble = False
        self._settler = self._settle  # one bound method for all permits

    # --- permits ------------------------------------------------------------------------------

    async def admit(
        self, call: Call, plan: Plan | None, decision: Decision, read: Read, now: Now
    ) -> Permit:
        """Give the permit of a call that was decided on *read*, when all of it is written.

        Raises `ValueError` where the id of the call is that of another.
        """
        known = self._permits.get(call.id, now.mono)
        live = None if known is None or not _lives(known, call, now) else known
        if live is not None and (decision.allowed or decision.reason is Reason.ATTEMPT_LIMIT):
            await self._to_the_disk(live, now)
            return live
        permit = self.unwritten(call, decision, plan, now.mono)
        evidence = permit.evidence = attest(permit, plan, read, now.utc)
        if live is None:  # else the outcome of that one is waited for, whatever holds by now
            self._permits.add(permit)
        try:
            if plan is not None and decision.allowed:
                self._reserve(permit, plan.book, read, now)
            self._registrar.note(evidence)
            self._in_trouble = False
        except (OutboxError, EvidenceError) as error:
            self._take_back(permit, error, now)
            return permit
        if self._durable:
            permit.turns = self._courier.flush.ask(), self._registrar.flush.ask()
        await self._to_the_disk(permit, now)
        return permit

    def unwritten(
        self, call: Call, decision: Decision, plan: Plan | None = None, since: float = 0.0
    ) -> Permit:
        """Give a permit of which nothing is written yet."""
        principal = "" if plan is None else plan.book.name
        return Permit(call, decision, principal, since, self._settler)

    def permit(self, name: str, now: Now) -> Permit | None:
        """Give the permit of the call with that id, for as long as outcomes are waited for."""
        return self._permits.get(name, now.mono)

    async def _to_the_disk(self, permit: Permit, now: Now) -> None:
        """Wait until attempt and evidence are there; answer DEFER if they do not get there."""
        try:
            for turn in permit.turns:
                await turn.wait()
        except (OutboxError, EvidenceError) as error:
            self._take_back(permit, error, now)
        permit.turns, permit.evidence = (), None

    def _reserve(self, permit: Permit, book: Book, read: Read, now: Now) -> None:
        """Reserve the attempt: from here on it counts, even if the disk then keeps us waiting."""
        keys = Keys(number=read.number, consumer=read.consumer or None)
        attempt = reservation(permit, keys, now.utc)
        self._courier.take(book.name, [attempt])
        book.show(attempt)
        permit.attempt = attempt

    def _take_back(self, permit: Permit, error: Exception, now: Now) -> None:
        """Answer DEFER after all; give the attempt back, and say so, as soon as can be."""
        if permit.decision.verdict is Verdict.DEFER:
            return
        if not self._in_trouble:  # one line for each time it begins, and not for each call
            log.error("no call can be admitted: %s", error)
        self._in_trouble = True
        permit.decision = msgspec.structs.replace(
            permit.decision,
            verdict=Verdict.DEFER,
            reason=Reason.EVIDENCE_UNAVAILABLE,
            retry_at=None,
        )
        book = self._books.get(permit.principal)
        if permit.attempt is not None and book is not None:  # of a closed gate it goes on to count
            given_back = list(told(permit, Outcome.NOT_PLACED, book.keyring, now.utc))
            permit.outcome = Outcome.NOT_PLACED
            with suppress(OutboxError):
                self._courier.take(permit.principal, given_back, keep=True)
        if permit.evidence is not None:  # what was written before must not be the last word
            decision = permit.decision
            self._registrar.correct(
                msgspec.structs.replace(
                    permit.evidence, verdict=decision.verdict, reason=decision.reason, retry_at=None
                )
            )

    # --- outcomes, and events that come by other ways -----------------------------------------

    async def _settle(self, permit: Permit, outcome: Outcome) -> None:
        now, before = self._clock().utc, permit.outcome
        said = [
            (book, list(told(permit, outcome, book.keyring, now, nth)))
            for nth, book in enumerate(self._books_of(permit))
        ]
        permit.outcome = strongest(before, outcome)
        failed: OutboxError | None = None
        for book, events in said:
            try:
                # The attempt is shown since it was admitted, unless it was given back meanwhile.
                await self._record(book, events, anew=before is Outcome.NOT_PLACED)
            except OutboxError as error:
                failed = error
        if failed is not None:
            raise failed

    def _books_of(self, permit: Permit) -> list[Book]:
        """Give the book of the principal for whom the call was; raises `OutboxError` if closed.

        Where its campaign was not known when it was asked about, it may be now, or the settings
        tell; else it may have been for any principal, and each takes what the person said.
        """
        plan = self._plans.get(permit.call.campaign)
        campaign = self._campaigns.get(permit.call.campaign)
        name = permit.principal
        if not name and plan is not None:
            name = plan.book.name
        elif not name and campaign is not None:
            name = campaign.principal
        books = [self._books[name]] if name in self._books else list(self._books.values())
        if not books:
            msg = f"nothing is recorded of call {permit.decision.id}: the gate is closed"
            raise OutboxError(msg)
        return books

    async def record(self, event: Event) -> None:
        """Record what was said of a number; it counts in this gate when this returns.

        The event is then with the operating system (on the disk with `durability = "fsync"`) and
        reaches the ledger when it can. Raises `ValueError` for an event that names nobody, a bad
        number or a principal this gate does not serve; `OutboxError` if it cannot be written: then
        it counts here all the same, and is written as soon as that works.
        """
        book = self._books.get(event.principal or "")
        if book is None:
            known = ", ".join(self._books) or "none, it is not open"
            msg = f"this gate serves no principal {event.principal!r} (it serves {known})"
            raise ValueError(msg)
        at = datetime.fromtimestamp(self._clock().utc, UTC)
        await self._record(book, [event.sealed(book.keyring, at)], anew=True)

    async def _record(self, book: Book, events: list[Event], *, anew: bool) -> None:
        if not events:
            return
        failed: OutboxError | None = None
        try:
            self._courier.take(book.name, events, keep=True)
        except OutboxError as error:
            failed = error
        for event in events:
            if anew or not isinstance(event, Attempt):
                book.show(event)
        if failed is not None:
            raise failed
        if self._durable:
            await self._courier.flush.ask().wait()


def _lives(known: Permit, call: Call, now: Now) -> bool:
    """Whether a permit has an attempt that is under way. Raises `ValueError` for another call's."""
    if known.attempt is None:
        return False
    if msgspec.structs.replace(known.call, reference=call.reference) != call:
        msg = "this id is that of another call: of another number, campaign, caller ID or person"
        raise ValueError(msg)
    return known.outcome is None and now.mono - known.since <= PERMIT_LIFE
