"""How a gate is: its link, its data, its age, each by itself."""

from collections.abc import Mapping

import msgspec

from ringfence.decision import Reason
from ringfence.follower import Follower
from ringfence.replica import Now, Replica

__all__ = ["PrincipalStatus", "Readiness", "Status"]


class PrincipalStatus(msgspec.Struct, frozen=True):
    """One principal's replica."""

    doubt: Reason | None
    """Why no call is allowed; None: the replica vouches for its rows."""
    epoch: int
    seq: int
    grounds: int
    restraints: int
    digests: tuple[int, int] | None
    """Of the two tables, as the ledger's heads carry them; None where another process keeps them
    in step, which is the one that knows."""
    age: float | None
    """Seconds since the ledger last proved that nothing is missing; None if never."""
    skew: float
    """Seconds this machine's clock is ahead of the ledger's."""

    @classmethod
    def of(cls, replica: Replica | Follower, now: Now) -> "PrincipalStatus":
        doubt = replica.doubt(now)
        grounds, restraints = replica.rows
        return cls(
            doubt=doubt,
            epoch=replica.epoch,
            seq=replica.seq,
            grounds=grounds,
            restraints=restraints,
            digests=replica.digests,
            age=replica.age(now.mono),
            skew=replica.skew(now),
        )


class Status(msgspec.Struct, frozen=True):
    """A gate at one moment."""

    link: str
    """`up`, `connecting`, `refused: …`, `down: …`."""
    principals: Mapping[str, PrincipalStatus]
    outbox: int
    """Events that the ledger has not confirmed."""
    rejected: int
    """Of those, events that the ledger said it will not take."""
    dropped: int
    """Messages that could not be read, or came faster than they could be applied."""
    unwitnessed: int
    """Records of evidence at the end of the chain that the ledger has not witnessed."""
    writable: bool
    """Whether outbox and evidence can be written."""

    @property
    def ready(self) -> bool:
        """Whether every principal has tables that a head has confirmed since the start."""
        return all(p.age is not None for p in self.principals.values())

    @property
    def healthy(self) -> bool:
        """Whether calls of every principal can be allowed now."""
        return self.writable and all(p.doubt is None for p in self.principals.values())


class Readiness(msgspec.Struct, frozen=True):
    """Truthy if the gate can answer for all its principals; else says what is missing."""

    missing: Mapping[str, str]

    def __bool__(self) -> bool:
        return not self.missing

    def __str__(self) -> str:
        said = "; ".join(f"{principal}: {what}" for principal, what in self.missing.items())
        return said or "ready"
