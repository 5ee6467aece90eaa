"""What the gates answered for one campaign in one month, and what that means for its management.

As JSON (`msgspec.json.encode`) its fields are those below and those of the values they hold; a
later release adds fields and changes none without changing `format`.
"""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta

import msgspec

from ringfence.campaign import Campaign
from ringfence.decision import Reason, Verdict
from ringfence.dossier.attempts import WINDOW, Attempts, Log
from ringfence.dossier.chains import Chain, Evidence, Unread, unread
from ringfence.dossier.cited import cited
from ringfence.dossier.delay import Delays, Said, Watch
from ringfence.dossier.expiring import Expiring, expiring
from ringfence.dossier.liability import BREACHES, Liability, liability
from ringfence.dossier.month import ZONE, Month
from ringfence.dossier.story import Gap
from ringfence.dossier.tally import Counted, DayCount, ReasonCount, Tally
from ringfence.event import Attempt, AttemptCancelled, Objection, Refusal
from ringfence.evidence.record import Decided
from ringfence.ledger.archive import Archive
from ringfence.ledger.witness import Witness
from ringfence.rules.rulebook import Article

__all__ = ["Exposure", "Question", "expose"]

FORMAT = 1


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign, one month."""

    format: int
    campaign: str
    terms: Campaign
    """How its calls are made, as the configuration has it."""
    names: dict[str, str]
    """How principals and operators are called on paper."""
    month: str
    zone: str
    """Whose days the month is counted in."""
    issued: datetime
    release: str
    asked: Counted
    """All decisions, and the persons asked about."""
    allowed: Counted
    placed: int
    """Allowed decisions less the calls that were given back as not placed."""
    deferred: Counted
    denied: Counted
    days: tuple[DayCount, ...]
    reasons: tuple[ReasonCount, ...]
    liability: Liability
    refusals: Delays
    """Refusals and objections of the month, to the principal as a whole."""
    expiring: Expiring
    attempts: Attempts
    articles: tuple[Article, ...]
    """Those behind the reasons."""
    chains: tuple[Chain, ...]
    """The evidence that was read, and up to where."""
    gaps: tuple[Gap, ...] = ()
    unread: tuple[Unread, ...] = ()
    """The chains that the ledger was told of in the month, and that were not given."""

    @property
    def first(self) -> date:
        return Month.parse(self.month).first


class Question(msgspec.Struct, frozen=True):
    """What is asked for."""

    campaign: str
    terms: Campaign
    month: Month
    release: str
    names: Mapping[str, str] = {}


def expose(question: Question, archive: Archive, evidence: Evidence, now: datetime) -> Exposure:
    """Count the month.

    Raises `EvidenceError` and `StoreError` for what cannot be read, or for a principal that the
    ledger does not know.
    """
    principal, month = question.terms.principal, question.month
    tally = Tally(question.campaign, month)
    watch = Watch(principal, archive.config(principal).epoch)
    for place, record in evidence.records():
        if isinstance(record, Decided):
            tally.count(record)
        else:
            watch.hear(place, record)
    said, log = _ledger(archive, principal, month)
    heads = list(_heads(archive, principal, month))
    missing = unread(heads, evidence.chains)
    denied = tally.of(Verdict.DENY)
    breaches = tally.of(Verdict.DENY, reasons=_breaches(question.terms))
    reasons = tally.reasons()
    return Exposure(
        format=FORMAT,
        campaign=question.campaign,
        terms=question.terms,
        names=dict(question.names),
        month=str(month),
        zone=ZONE,
        issued=now,
        release=question.release,
        asked=tally.of(*Verdict),
        allowed=tally.of(Verdict.ALLOW),
        placed=tally.placed(log.cancelled),
        deferred=tally.of(Verdict.DEFER),
        denied=denied,
        days=tally.days(),
        reasons=reasons,
        liability=liability(
            breaches.decisions, breaches.persons, denied.decisions - breaches.decisions
        ),
        refusals=watch.delays(
            [Said(change, event.stated().at) for change, event in said],
            {head.gate for head in heads},
        ),
        expiring=expiring(
            archive,
            question.terms,
            month.last,
            tally.purposes,
            {event.stated().key for _, event in said},
        ),
        attempts=log.attempts(month, tally.persons),
        articles=cited(r.reason for r in reasons),
        chains=tuple(evidence.chains),
        gaps=(Gap.UNREAD_CHAINS,) if missing else (),
        unread=missing,
    )


def _heads(archive: Archive, principal: str, month: Month) -> Iterator[Witness]:
    """Give the heads of the month, of all gates."""
    begins, *_, ends = month.bounds
    for head in archive.heads():
        if head.principal == principal and begins <= head.at.timestamp() < ends:
            yield head


def _ledger(
    archive: Archive, principal: str, month: Month
) -> tuple[list[tuple[int, Refusal | Objection]], Log]:
    """Read the month's refusals, and the attempts of the month and the window before it."""
    said: list[tuple[int, Refusal | Objection]] = []
    log = Log()
    kinds = (Attempt, AttemptCancelled, Refusal, Objection)
    first = month.first - WINDOW - timedelta(days=1)
    for change, event in archive.told(principal, kinds=kinds, first=first, last=month.last):
        match event:
            case Attempt() | AttemptCancelled():
                log.hear(event)
            case Refusal() | Objection() if event.stated().on >= month.first:
                said.append((change, event))
    return said, log


def _breaches(terms: Campaign) -> frozenset[Reason]:
    """Where the law on canvassing does not apply, no denied call would have broken it."""
    return BREACHES if terms.canvassing else frozenset()
