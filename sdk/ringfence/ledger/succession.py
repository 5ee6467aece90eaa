"""Whether a ledger may speak for its principals: nobody before it knew what it does not know.

A ledger that was restored from an older copy has lost refusals that gates have obeyed, and one that
was started on the wrong file knows nobody. Either would have gates call people who refused. The
broker keeps the last head of whoever spoke before; a ledger that cannot go on from there says
nothing until a person says that it takes over, and then begins another epoch.
"""

import logging
from collections.abc import Mapping

from ringfence.ledger.sequencer import Sequencer
from ringfence.wire import Head

__all__ = ["Contested", "Succession"]

log = logging.getLogger(__name__)


class Contested(Exception):  # noqa: N818 - what it is
    """Another ledger has spoken for a principal; says what it knew, and what to do."""


class Succession:
    """The heads that were heard of others, held against the ledger's own."""

    def __init__(self, sequencers: Mapping[str, Sequencer]) -> None:
        self._sequencers = sequencers
        self._others: dict[str, Head] = {}
        self._told: set[tuple[str, int]] = set()

    def hear(self, principal: str, head: Head, *, retained: bool) -> None:
        """Hear a head on a principal's topic: of a predecessor, of a rival, or one's own."""
        sequencer = self._sequencers[principal]
        if retained:
            self._others[principal] = head
        elif head.epoch != sequencer.epoch and (principal, head.epoch) not in self._told:
            self._told.add((principal, head.epoch))
            log.error(
                "another ledger speaks for %s, of epoch %d, and this one is of epoch %d: gates"
                " believe the later; stop one of them",
                *(principal, head.epoch, sequencer.epoch),
            )

    def contested(self) -> str | None:
        """Say what was told of a principal that this ledger does not know; None: nothing."""
        for principal, head in self._others.items():
            own = self._sequencers[principal]
            if head.epoch != own.epoch or own.outrun_by(head):
                return (
                    f"a ledger has told of {principal} up to change {head.seq} of epoch"
                    f" {head.epoch} on this broker, and this database stands at change {own.seq} of"
                    f" epoch {own.epoch}. If it is the wrong database, name the right one. If it is"
                    " an older copy, or a new one, record again what was recorded since, and then"
                    " serve with --take-over"
                )
        return None

    def next_epoch(self, now: int) -> int:
        """Give an epoch that is later than all that were heard of."""
        own = (sequencer.epoch for sequencer in self._sequencers.values())
        others = (head.epoch for head in self._others.values())
        return max(now, *(epoch + 1 for epoch in (*own, *others)))
