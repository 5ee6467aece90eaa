"""What a gate writes before anyone is told: attempts, evidence, outcomes, what people said.

It is handed decisions and makes none, except that what could not be written, or confirmed by the
ledger where that is needed, is DEFER.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

import anyio
import msgspec

from ringfence.book import Book, Plan, Read
from ringfence.bulletin import BulletinError
from ringfence.call import Call, Outcome
from ringfence.campaign import Campaign
from ringfence.claims import cap_of
from ringfence.config import AttemptSettings
from ringfence.confirmation import Confirmation
from ringfence.courier import Courier
from ringfence.decision import Decision, Reason, Verdict
from ringfence.event import Attempt, Cap, Event, Keys
from ringfence.evidence.record import EvidenceError
from ringfence.outbox import OutboxError
from ringfence.permit import Permit, Permits, reservation, strongest, told
from ringfence.registrar import Registrar, attest
from ringfence.replica import Now
from ringfence.row import Facts
from ringfence.rules.rulebook import Rulebook, judge, number_of

__all__ = ["Admission", "Asked"]

log = logging.getLogger(__name__)

PERMIT_LIFE = 60.0
"""Seconds in which a call asked again under its id gets the permit it has."""

MAX_PERMITS = 200_000
"""Permits kept for outcomes that come by another way, at most, and for `PERMIT_KEPT` seconds."""

PERMIT_KEPT = 4 * 3600.0


class Asked(NamedTuple):
    """A call that was decided: the answer, and what it rests on."""

    decision: Decision
    plan: Plan | None
    read: Read
    now: Now


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
        rulebook: Rulebook,
        attempts: AttemptSettings,
        ask: Callable[[Call], Asked],
    ) -> None:
        self._courier = courier
        self._registrar = registrar
        self._books = books
        self._plans = plans
        self._campaigns = campaigns
        self._durable = durable
        self._rulebook = rulebook
        self._attempts = attempts
        self._ask = ask
        self._permits = Permits(MAX_PERMITS, PERMIT_KEPT)
        self._clock = clock
        self._in_trouble = self._crowded = False
        self._settler = self._settle  # one bound method for all permits

    # --- permits ------------------------------------------------------------------------------

    async def admit(self, call: Call, asked: Asked) -> Permit:
        """Give the permit of a call that was asked about, when all of it is written and confirmed.

        Raises `ValueError` where the id of the call is that of another. Cancelled while the ledger
        is asked, the attempt is given back, unless somebody else waits under the same id.
        """
        decision, plan, _, now = asked
        known = self._permits.get(call.id, now.mono)
        live = None if known is None or not _lives(known, call, now) else known
        if live is not None and _but_for_attempts(decision):
            await self._until_told(live, now)
            return live
        if plan is not None and plan.book.shared and decision.allowed:
            permit = self._begin_alone(call, asked, plan.book)
        else:
            permit = self._begin(call, asked)
        if live is None:  # else the outcome of that one is waited for, whatever holds by now
            self._permits.add(permit)
        await self._until_told(permit, now)
        return permit

    def _begin_alone(self, call: Call, asked: Asked, book: Book) -> Permit:
        """Begin while no other gate of the machine can: what they reserved meanwhile counts."""
        try:
            with book.turn() as stirred:
                self._crowded = False
                return self._begin(call, self._ask(call) if stirred else asked)
        except BulletinError as error:
            if not self._crowded:  # one line for each time it begins, and not for each call
                log.warning("calls are deferred: %s", error)
            self._crowded = True
            return self._begin(call, asked._replace(decision=_unavailable(asked.decision)))

    def _begin(self, call: Call, asked: Asked) -> Permit:
        """Give the permit of a call: reserved, and written if the ledger need not be asked."""
        decision, plan, read, now = asked
        cap = self._cap(call, asked)
        if cap is not None and not self._courier.linked:
            decision = _unconfirmed(decision)
        permit = self.unwritten(call, decision, plan, now.mono)
        permit.evidence = attest(permit, plan, read, now.utc)
        if plan is not None and decision.allowed:
            try:
                self._reserve(permit, plan.book, read, now, cap)
            except OutboxError as error:
                self._take_back(permit, error, now)
                return permit
        if permit.confirmation is None:
            self._write(permit, now)
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

    def _cap(self, call: Call, asked: Asked) -> Cap | None:
        """Give the cap under which the ledger must take the attempt; None: it is not asked."""
        decision, plan, read, now = asked
        margin = self._attempts.margin
        if not margin or plan is None or not decision.allowed:
            return None
        number = number_of(call)
        places = () if number is None else call.territories(number)
        return cap_of(
            self._rulebook, plan.terms, places, call.caller_id, read.rows, now.utc, margin=margin
        )

    def _reserve(self, permit: Permit, book: Book, read: Read, now: Now, cap: Cap | None) -> None:
        """Reserve the attempt: from here on it counts, whoever then keeps us waiting.

        Under a cap the permit allows nothing before the ledger has taken it.
        """
        keys = Keys(number=read.number, consumer=read.consumer or None)
        attempt = reservation(permit, keys, now.utc, cap)
        self._courier.take(book.name, [attempt])
        permit.attempt = attempt
        try:
            book.show(attempt)
        except BulletinError as error:
            raise OutboxError(str(error)) from error
        if cap is not None:
            wait, decision = self._attempts.wait, permit.decision
            permit.confirmation = Confirmation(attempt.id, decision, wait)
            permit.decision = _unconfirmed(decision)
            book.claims.add(permit.confirmation.claim)

    def _write(self, permit: Permit, now: Now) -> None:
        """Write the answer down before anyone is told; answer DEFER if it cannot be written."""
        if permit.evidence is None:
            return
        try:
            self._registrar.note(permit.evidence)
        except EvidenceError as error:
            self._take_back(permit, error, now)
            return
        self._in_trouble = False
        if self._durable:
            permit.turns = self._courier.flush.ask(), self._registrar.flush.ask()

    async def _until_told(self, permit: Permit, now: Now) -> None:
        """Wait for the ledger's word and for the disk; answer DEFER if they do not come."""
        confirmation = permit.confirmation
        if confirmation is not None:
            try:
                await confirmation.wait(self._courier.send_again)
            except anyio.get_cancelled_exc_class():
                if confirmation.abandoned:  # nobody is told, so no call is placed
                    self._conclude(permit)
                raise
            self._conclude(permit)
        try:
            for turn in permit.turns:
                await turn.wait()
        except (OutboxError, EvidenceError) as error:
            self._take_back(permit, error, now)
        permit.turns, permit.evidence = (), None

    def _conclude(self, permit: Permit) -> None:
        """Answer as the ledger has said and as all stands by now; without its word, DEFER."""
        confirmation, permit.confirmation = permit.confirmation, None
        if confirmation is None:  # another who waited came first
            return
        claim, book = confirmation.claim, self._books.get(permit.principal)
        if book is not None:
            book.claims.drop(claim)
        asked = self._ask(permit.call)
        if claim.taken and permit.outcome is None and _but_for_attempts(asked.decision):
            permit.decision = confirmation.decision
        else:
            self._give_back(permit, asked.now)
            if book is not None and not claim.taken and permit.outcome is Outcome.NOT_PLACED:
                self._courier.withdraw(claim.id)
                book.hide(claim.id)
            self._answer(permit, self._ask(permit.call), claim.known)
        self._write(permit, asked.now)

    def _answer(self, permit: Permit, asked: Asked, known: Facts | None) -> None:
        """Answer a call whose attempt the ledger did not take, or has taken in vain.

        *known* is what the ledger knows of the person, where that is why: it has heard of attempts
        that are not known here yet.
        """
        if known is not None and _but_for_attempts(asked.decision):
            asked = self._knowing(permit.call, asked, known)
        decision = _unconfirmed(asked.decision) if asked.decision.allowed else asked.decision
        permit.decision = msgspec.structs.replace(decision, id=permit.decision.id)
        permit.evidence = attest(permit, asked.plan, asked.read, asked.now.utc)

    def _knowing(self, call: Call, asked: Asked, known: Facts) -> Asked:
        """Decide on the ledger's row of the person in the place of the number's."""
        number, plan, (ground, restraints) = number_of(call), asked.plan, asked.read.rows
        if plan is None or number is None:
            return asked
        rows = ground, (known, *restraints[1:])
        places, at = call.territories(number), asked.now.utc
        judged = judge(self._rulebook, plan.terms, places, call.caller_id, rows, at)
        decision = msgspec.structs.replace(
            asked.decision, verdict=judged.verdict, reason=judged.reason, retry_at=judged.retry_at
        )
        return asked._replace(
            decision=decision, read=msgspec.structs.replace(asked.read, rows=rows)
        )

    def _give_back(self, permit: Permit, now: Now) -> None:
        """Give the attempt back, and say so, as soon as can be."""
        book = self._books.get(permit.principal)
        if permit.attempt is None or book is None:  # of a closed gate it goes on to count
            return
        given_back = list(told(permit, Outcome.NOT_PLACED, book.keyring, now.utc))
        permit.outcome = strongest(permit.outcome, Outcome.NOT_PLACED)
        with suppress(OutboxError):
            self._courier.take(permit.principal, given_back, keep=True)

    def _take_back(self, permit: Permit, error: Exception, now: Now) -> None:
        """Answer DEFER after all, and give the attempt back."""
        if permit.decision.verdict is Verdict.DEFER:
            return
        if not self._in_trouble:  # one line for each time it begins, and not for each call
            log.error("no call can be admitted: %s", error)
        self._in_trouble = True
        permit.decision = _unavailable(permit.decision)
        self._give_back(permit, now)
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


def _but_for_attempts(decision: Decision) -> bool:
    """Whether nothing speaks against the call but attempts, its own perhaps among them."""
    return decision.allowed or decision.reason is Reason.ATTEMPT_LIMIT


def _unconfirmed(decision: Decision) -> Decision:
    return msgspec.structs.replace(
        decision, verdict=Verdict.DEFER, reason=Reason.ATTEMPT_UNCONFIRMED, retry_at=None
    )


def _unavailable(decision: Decision) -> Decision:
    return msgspec.structs.replace(
        decision, verdict=Verdict.DEFER, reason=Reason.EVIDENCE_UNAVAILABLE, retry_at=None
    )
