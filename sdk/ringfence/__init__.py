"""A call gate in the dialer: may this call be placed, now, to this person, for this principal?"""

from ringfence.call import Call, Outcome
from ringfence.config import ConfigError
from ringfence.decision import Decision, Origin, Reason, Verdict
from ringfence.event import (
    Attempt,
    AttemptCancelled,
    Bloctel,
    Callback,
    Consent,
    Contract,
    ContractEnded,
    Objection,
    ObjectionLifted,
    Proof,
    Refusal,
    Slot,
    Withdrawal,
)
from ringfence.evidence.record import EvidenceError
from ringfence.gate import Gate
from ringfence.number import InvalidNumber
from ringfence.outbox import OutboxError
from ringfence.permit import Permit
from ringfence.status import PrincipalStatus, Readiness, Status
from ringfence.watch import Watch

__all__ = [
    "Attempt",
    "AttemptCancelled",
    "Bloctel",
    "Call",
    "Callback",
    "ConfigError",
    "Consent",
    "Contract",
    "ContractEnded",
    "Decision",
    "EvidenceError",
    "Gate",
    "InvalidNumber",
    "Objection",
    "ObjectionLifted",
    "Origin",
    "OutboxError",
    "Outcome",
    "Permit",
    "PrincipalStatus",
    "Proof",
    "Readiness",
    "Reason",
    "Refusal",
    "Slot",
    "Status",
    "Verdict",
    "Watch",
    "Withdrawal",
]
