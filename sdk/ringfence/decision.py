"""What the gate answers: a verdict, one reason, when to ask again, and where that came from."""

from datetime import datetime
from enum import StrEnum

import msgspec

__all__ = ["DOUBTS", "NOWHERE", "Decision", "Origin", "Reason", "Verdict"]


class Verdict(StrEnum):
    """Three, because a dialer that knows only two turns "not now" into "never"."""

    ALLOW = "allow"
    DENY = "deny"
    """This call must not be placed, and time alone will not change it."""
    DEFER = "defer"
    """Not now."""


class Reason(StrEnum):
    """Why. A closed list; the order is the order in which the rules ask."""

    INVALID_NUMBER = "invalid_number"
    UNKNOWN_CAMPAIGN = "unknown_campaign"
    UNSUPPORTED_DESTINATION = "unsupported_destination"
    NOT_READY = "not_ready"
    STALE = "stale"
    DIVERGED = "diverged"
    CLOCK_SKEW = "clock_skew"
    FORKED = "forked"
    EVIDENCE_UNAVAILABLE = "evidence_unavailable"
    ATTEMPT_UNCONFIRMED = "attempt_unconfirmed"
    SECTOR_BANNED = "sector_banned"
    OBJECTED = "objected"
    REFUSED = "refused"
    NO_GROUND = "no_ground"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    CONSENT_EXPIRED = "consent_expired"
    CONSENT_DEFECTIVE = "consent_defective"
    BLOCTEL = "bloctel"
    CALLER_ID_BARRED = "caller_id_barred"
    CALLER_ID_FOREIGN = "caller_id_foreign"
    CLOSED_DAY = "closed_day"
    HOLIDAY = "holiday"
    OUTSIDE_HOURS = "outside_hours"
    ATTEMPT_LIMIT = "attempt_limit"

    CONSENT = "consent"
    CONTRACT = "contract"
    CALLBACK = "callback"
    PRESS = "press"
    OPT_OUT_REGIME = "opt_out_regime"
    BUSINESS = "business"
    NOT_CANVASSING = "not_canvassing"


DOUBTS = frozenset(
    [Reason.NOT_READY, Reason.STALE, Reason.DIVERGED, Reason.CLOCK_SKEW, Reason.FORKED,
     Reason.EVIDENCE_UNAVAILABLE, Reason.ATTEMPT_UNCONFIRMED]
)  # fmt: skip
"""Why a gate may not know the answer; they say nothing of the person."""


class Origin(msgspec.Struct, frozen=True, gc=False):
    """Where a decision came from: what the gate knew, and how fresh that was."""

    epoch: int = 0
    seq: int = 0
    age: float | None = None
    """Seconds since the ledger last proved that the replica has all it knows; None if never."""


NOWHERE = Origin()
"""Of a decision for which no replica was asked."""


class Decision(msgspec.Struct, frozen=True, gc=False):
    """The answer for one call. It is truthy exactly if the call may be placed now."""

    verdict: Verdict
    reason: Reason
    retry_at: datetime | None = None
    """The earliest instant (UTC) at which the same call would be allowed if nothing else changed;
    None if there is none within a year, or it cannot be known."""
    rulebook: str = ""
    """Name and version of the rules that were applied."""
    id: str = ""
    origin: Origin = NOWHERE

    @property
    def allowed(self) -> bool:
        return self.verdict is Verdict.ALLOW

    def __bool__(self) -> bool:
        return self.verdict is Verdict.ALLOW
