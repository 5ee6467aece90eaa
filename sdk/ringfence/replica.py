"""A principal's tables kept in step with the ledger: messages in, rows and questions out; no I/O.

What the replica believes it can prove. It vouches for its rows only while it holds complete tables
of the ledger's epoch without a gap, with the digest of a head it has reached, heard not long ago,
on a clock that agrees with the ledger's (design, sections 7 and 8). The tables hold what follows
from the changes up to `seq`, no more and no less. What arrives beyond a gap waits; of that, the
restraints are shown all the same.

Every method that hears something raises `TableError` where there is no space for the rows. Nothing
is lost then: the replica doubts, asks again, and goes on when there is.
"""

import math
from random import Random
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from ringfence.backlog import Backlog
from ringfence.decision import Origin, Reason
from ringfence.event import Event
from ringfence.overlay import Overlay
from ringfence.page import Vouched
from ringfence.proof import Proof
from ringfence.row import NO_FACTS, Facts
from ringfence.snapshot import Assembly
from ringfence.table import Table, TableError
from ringfence.wire import (
    MAX_RANGE,
    Ask,
    Config,
    Exhausted,
    Gone,
    Head,
    Known,
    Log,
    Range,
    Rejected,
    Reply,
    Snapshot,
    Witnessed,
    decode,
    decode_reply,
    whole_rows,
)

__all__ = ["Confirmed", "Effect", "Now", "Patience", "Replica", "Shelf"]


UNSURE = -math.inf
"""When the rows are sure until no instant."""


class Now(msgspec.Struct, frozen=True, gc=False):
    """One reading of both clocks."""

    mono: float
    """Seconds on a clock that never steps, and counts the time the machine slept."""
    utc: float
    """Unix seconds."""


class Patience(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long is waited for what, in seconds."""

    stale_after: Annotated[float, Meta(ge=1, le=3600)] = 60.0
    """For a head, before the rows are too old to allow a call; for anything to come of a repair,
    before all is loaded anew."""
    max_clock_skew: Annotated[float, Meta(gt=0, le=60)] = 5.0
    stragglers: Annotated[float, Meta(gt=0, le=10)] = 0.2
    """For a late message, before it is asked for."""
    answer: Annotated[float, Meta(gt=0, le=60)] = 2.0
    """For an answer, before the question is put again."""
    jitter: Annotated[float, Meta(ge=0, le=10)] = 0.1
    """Longest random delay before a question, so that gates do not all ask at once."""


class Confirmed(msgspec.Struct, frozen=True):
    """The ledger holds these events and the rows here reflect them: no need to send them again."""

    ids: list[str]


Effect = Ask | Confirmed | Rejected | Witnessed | Exhausted


class Shelf(Protocol):
    """Where tables are kept: in memory, or in files that the next start finds again."""

    def found(self) -> tuple[Table, Table] | None:
        """Give the tables kept last, ground and restraint."""

    def new(self, epoch: int, grounds: int, restraints: int) -> tuple[Table, Table] | None:
        """Give empty tables for about that many rows; None: they are being made, ask again."""

    def keep(self, ground: Table, restraint: Table) -> None:
        """From now on these are the tables; others may go. Tried again after a `TableError`."""


class Replica:
    """One principal's replica in one gate."""

    def __init__(self, gate: str, shelf: Shelf, random: Random, patience: Patience) -> None:
        self.overlay = Overlay()
        self._own = self.overlay.filed
        self.config: Config | None = None
        self.loads = 0
        """How often the tables were loaded anew."""
        self._gate = gate
        self._shelf = shelf
        self._random = random
        self._patience = patience
        found = shelf.found()
        self._complete = found is not None
        self._ground, self._restraint = found or (Table(), Table())
        # Of the tables; kept here too, as each decision says them.
        self.epoch, self.seq = self._ground.epoch, self._ground.seq
        self._proof = Proof(
            stale_after=patience.stale_after, max_clock_skew=patience.max_clock_skew
        )
        # Tables may be being made for a head; what is heard meanwhile waits for them.
        self._wanted: Head | None = None
        self._backlog = self._coming = Backlog()
        self._loading: Assembly | None = None
        self._diverged = False
        # The ledger has lost changes that the tables show, somebody's refusal perhaps. To load what
        # it has left would be to forget them here too; only another epoch, which a person has
        # begun, ends that.
        self._orphaned = False
        self._vain = 0  # loads since the last proof
        self._confirmed: list[str] = []
        self._told_again = 0
        self._behind_since: float | None = None
        self._hope_until: float | None = None
        self._ask_at: float | None = None
        self._skew = patience.max_clock_skew
        # What is heard may end what is sure at any point, also by an error: it is taken back first.
        self._sure_until = UNSURE
        self._sure_clock = 0.0
        if self._complete:
            self._stand_at(self.seq)

    # --- what it knows ------------------------------------------------------------------------

    @property
    def head(self) -> Head | None:
        return self._proof.head

    @property
    def rows(self) -> tuple[int, int]:
        return len(self._ground), len(self._restraint)

    @property
    def waiting(self) -> bool:
        """Whether batches wait behind a gap."""
        return bool(self._backlog)

    @property
    def digests(self) -> tuple[int, int]:
        return self._ground.digest, self._restraint.digest

    def ground(self, key: int) -> Facts:
        """Give the row of a number and purpose as this gate sees it, its own events included."""
        facts = self._ground.get(key) or NO_FACTS
        if key in self._own:
            return self.overlay.ground(key, facts, self.config.index if self.config else {})
        return facts

    def restraint(self, key: int) -> Facts:
        """Give the row of a number or a consumer, beyond a gap too, own events included."""
        early = self._backlog.early
        facts = (early and early.get(key)) or self._restraint.get(key) or NO_FACTS
        return self.overlay.restraint(key, facts) if key in self._own else facts

    def age(self, mono: float) -> float | None:
        """Seconds since the ledger last proved that nothing is missing here; None if never."""
        return None if self._proof.at is None else mono - self._proof.at

    def origin(self, mono: float) -> Origin:
        at = self._proof.at
        return Origin(self.epoch, self.seq, None if at is None else mono - at)

    def doubt(self, now: Now) -> Reason | None:
        """Say why the rows cannot be vouched for; None: they can."""
        if (
            now.mono <= self._sure_until
            and abs(now.utc - now.mono - self._sure_clock) <= self._skew
        ):
            return None
        return self._doubted(now)

    def _doubted(self, now: Now) -> Reason | None:
        if self._diverged or self._orphaned:
            return Reason.DIVERGED
        if abs(self.skew(now)) > self._patience.max_clock_skew:
            return Reason.CLOCK_SKEW
        age, behind = self.age(now.mono), self._behind_since
        waited = behind is not None and now.mono - behind > self._patience.stragglers
        if age is None or waited or not self._up_to_date():
            return Reason.NOT_READY
        return Reason.STALE if age > self._patience.stale_after else None

    def _up_to_date(self) -> bool:
        head = self.head
        return (
            self._complete
            and self._loading is None
            and self._backlog.newest <= self.seq
            and head is not None
            and head.epoch == self.epoch
            and _names(head, self.config)
        )

    def _vouch(self) -> None:
        """Work out until when the rows are sure, unless more is heard: it spares each decision."""
        proved, ledger, behind = self._proof.at, self._proof.ledger_clock, self._behind_since
        if self._diverged or self._orphaned or proved is None or ledger is None:
            return
        if not self._up_to_date():
            return
        until = proved + self._patience.stale_after
        if behind is not None:
            until = min(until, behind + self._patience.stragglers)
        self._sure_until, self._sure_clock = until, ledger

    def vouched(self, now: Now) -> Vouched:
        """Give what can be vouched for at *now*, for others who read the same tables."""
        config = self.config
        return Vouched(
            epoch=self.epoch,
            seq=self.seq,
            proved_at=self._proof.at,
            sure_until=self._sure_until,
            sure_clock=self._sure_clock,
            doubt=self.doubt(now),
            config_epoch=0 if config is None else config.epoch,
            config_version=0 if config is None else config.version,
            loads=self.loads,
            ground_rows=len(self._ground),
            restraint_rows=len(self._restraint),
        )

    def skew(self, now: Now) -> float:
        """Seconds by which this machine's clock is ahead of the ledger's; 0 before a head."""
        ledger = self._proof.ledger_clock
        return 0.0 if ledger is None else now.utc - now.mono - ledger

    def close(self) -> None:
        """Let go of the tables; files of them stay as they are."""
        self._sure_until = UNSURE
        self._abandon_load()
        self._ground.close()
        self._restraint.close()

    # --- own events ---------------------------------------------------------------------------

    def show(self, event: Event) -> None:
        """Let a sealed event of this gate count at once."""
        self.overlay.add(event)

    def hide(self, name: str) -> None:
        """Let an own event count no longer."""
        self.overlay.drop([name])

    # --- what it hears ------------------------------------------------------------------------

    def hear(self, what: str, payload: bytes, now: Now, *, retained: bool = False) -> list[Effect]:
        """Hear what came on a topic of the principal. Raises `WireError`, `TableError`."""
        match what:
            case "head":
                return self.receive_head(decode(payload, Head), now, retained=retained)
            case "log":
                return self.receive_log(decode(payload, Log), now)
            case "snapshot":
                return self.receive_snapshot(decode(payload, Snapshot), now)
            case "reply":
                return self.receive_reply(decode_reply(payload), now)
            case "config":
                self.receive_config(decode(payload, Config))
        return []

    def receive_config(self, config: Config) -> None:
        """Hear a configuration; one older than what is known counts only if the head names it."""
        self._sure_until = UNSURE
        known, head = self.config, self.head
        newer = known is None or (config.epoch, config.version) >= (known.epoch, known.version)
        if newer or (head is not None and _names(head, config)):
            self.config = config
        self._vouch()

    def receive_head(self, head: Head, now: Now, *, retained: bool) -> list[Effect]:
        """Hear a heartbeat. A retained one tells where the ledger was, never that it is there."""
        self._sure_until = UNSURE
        before = self.head, self._proof.furthest
        if not self._proof.hear(head, now.mono, now.utc, retained=retained):
            return self._go_on(now)
        hopeless = self._hope_until is not None and now.mono > self._hope_until
        if any(_lost(head, one) for one in before if one is not None):
            self._orphaned = True
        if self._orphaned and head.epoch == self.epoch:
            self._abandon_load()
            return self._go_on(now)
        if hopeless and not retained:
            self._load_again(head, now)
        elif self._loading or self._diverged or not self._complete or head.epoch != self.epoch:
            self._load(head, now)
        return self._go_on(now)

    def receive_log(self, log: Log, now: Now) -> list[Effect]:
        """Hear a batch of changes, in order or not, once or twice."""
        self._sure_until = UNSURE
        whole_rows(log.ground)
        whole_rows(log.restraint)
        if self._wanted is not None and log.epoch == self._wanted.epoch:
            self._coming.hold(log)
        if self.head is not None and log.epoch > self.head.epoch:
            self._proof.lapse(log.epoch, now.mono)  # the ledger was replaced; its head will tell
        self._proof.hear_of(log.epoch, log.last)
        if self._loading is not None:
            if log.epoch == self._loading.epoch:
                self._backlog.hold(log)
        elif log.epoch == self.epoch and self._complete and log.last > self.seq:
            self._take(log, now)
        return self._go_on(now)

    def receive_snapshot(self, part: Snapshot, now: Now) -> list[Effect]:
        """Hear a part of a shard, asked for by this gate or by another. Raises `WireError`."""
        self._sure_until = UNSURE
        loading = self._loading
        if loading is not None and loading.take(part):
            wait = self._patience.stragglers if loading.whole else self._patience.answer
            self._get_on(now, wait)
        return self._go_on(now)

    def receive_reply(self, reply: Reply, now: Now) -> list[Effect]:
        """Hear what the ledger tells this gate alone."""
        self._sure_until = UNSURE
        told: list[Effect] = []
        match reply:
            case Range(log):
                self._told_again += 1
                return self.receive_log(log, now)
            case Known(epoch, seq, ids):
                self._learn(epoch, seq, ids)
            case Gone(epoch, first):
                self._lose(epoch, first, now)
            case Rejected(name):
                self.overlay.turn_away(name)
                told = [reply]
            case Witnessed() | Exhausted():
                told = [reply]
        return told + self._go_on(now)

    def tick(self, now: Now) -> list[Effect]:
        """Let time pass: go on with what waits, ask what is due."""
        self._sure_until = UNSURE
        return self._go_on(now)

    # --- what it does about it ----------------------------------------------------------------

    def _go_on(self, now: Now) -> list[Effect]:
        if self._wanted is not None:
            self._begin_load(self._wanted, now)
        if self._loading is not None:
            self._load_on(self._loading, now)
        elif self._backlog:
            for log in self._backlog.after(self.seq):
                self._apply(log, now)
        self._judge(now)
        effects: list[Effect] = []
        if self._confirmed:
            effects.append(Confirmed(self._confirmed))
            self._confirmed = []
        if self.head is not None and self._due(now):
            effects += self._question(self.head)
            self._ask_at = now.mono + self._patience.answer + self._delay()
            self._told_again = 0
        self._vouch()
        return effects

    def _take(self, log: Log, now: Now) -> None:
        if log.first == self.seq + 1:
            self._apply(log, now)
        elif log.first > self.seq:
            self._backlog.hold(log)
        elif self.head is not None:  # batches of one history do not overlap
            self._disprove(self.head, now)

    def _apply(self, log: Log, now: Now) -> None:
        try:
            if log.restraint:
                self._restraint.upsert(log.restraint)
            if log.ground:
                self._ground.upsert(log.ground)
        except TableError:
            # It waits for space, as for a batch before it: a doubt, and its restraints are shown.
            self._backlog.hold(log)
            raise
        self._stand_at(log.last)
        self._backlog.applied(log)
        self._reflect(log.ids)
        if self._behind_since is not None:
            self._get_on(now, self._patience.stragglers)

    def _stand_at(self, seq: int) -> None:
        # The number comes after the rows: a killed process applies the batch again.
        self._ground.seq = self._restraint.seq = self.seq = seq
        self._proof.stand(seq, self._ground.digest, self._restraint.digest)

    def _reflect(self, ids: list[str]) -> None:
        """The tables reflect these events: the gate need neither show nor send them any more."""
        self.overlay.drop(ids)
        self._confirmed += ids

    def _learn(self, epoch: int, seq: int, ids: list[str]) -> None:
        """The ledger holds these events. If they are not in the tables yet, it is asked again."""
        sound = self._complete and self._loading is None and not self._diverged
        if sound and epoch == self.epoch and seq <= self.seq:
            self._reflect(ids)

    def _lose(self, epoch: int, first: int, now: Now) -> None:
        """The log no longer reaches back to change *first*; if that is what is missing, load."""
        head, loading = self.head, self._loading
        if head is None or epoch != head.epoch or self._ask_at is None:
            return
        reached = self.seq if loading is None else loading.reached
        if first == reached + 1 and (loading is None or loading.whole):
            self._load_again(head, now)

    def _judge(self, now: Now) -> None:
        """Hold the tables against the last head, and see whether there is something to ask."""
        head = self.head
        if head is None:
            return
        if self._loading is None and not self._diverged and head.epoch == self.epoch:
            self._compare(head, now)
        behind = self._loading is not None or self.seq < self._heard_of
        unheard = self._proof.ledger_clock is None
        if not (behind or unheard) and _names(head, self.config):
            self._ask_at, self._told_again = None, 0
        elif self._ask_at is None:
            # What is missing may only be late; but the next heartbeat is seconds away.
            wait = self._patience.stragglers if behind or not unheard else 0.0
            self._ask_at = now.mono + wait + self._delay()

    def _compare(self, head: Head, now: Now) -> None:
        agree = self._proof.compare()
        if self._orphaned:
            # It was no loss after all if the ledger has what the tables have.
            self._orphaned = not (agree and head.seq == self.seq)
        elif agree is False:
            self._disprove(head, now)
        elif agree and self._heard_of <= self.seq:
            self._vain = 0
            self._behind_since = self._hope_until = None
        elif self._behind_since is None:
            self._behind_since = now.mono
            if self._hope_until is None:
                self._hope_until = now.mono + self._patience.stale_after

    @property
    def _heard_of(self) -> int:
        return max(self._proof.newest, self._backlog.newest)

    def _disprove(self, head: Head, now: Now) -> None:
        self._diverged = True
        self._load_again(head, now)

    # --- loading ------------------------------------------------------------------------------

    def _load_again(self, head: Head, now: Now) -> None:
        """Load anew what was loaded, or was being loaded, in vain."""
        self._abandon_load()
        self._vain += 1
        self._load(head, now)

    def _load(self, head: Head, now: Now) -> None:
        """Begin to load all shards, unless that is under way, or would forget what was lost."""
        if self._orphaned and head.epoch == self.epoch:
            return
        begun = self._loading or self._wanted
        if begun is not None and (begun.epoch, begun.shards) == (head.epoch, head.shards):
            return
        self._abandon_load()
        self._coming = Backlog()
        self._begin_load(head, now)

    def _begin_load(self, head: Head, now: Now) -> None:
        """Load as soon as there are tables; without space for them, another head is waited for."""
        self._wanted = None
        tables = self._shelf.new(head.epoch, head.ground_rows, head.restraint_rows)
        if tables is None:
            self._wanted = head
            return
        self._loading = Assembly(*tables, head.shards)
        self._backlog = self._coming
        if self._behind_since is None:  # what is heard of from now on is old when all has come
            self._behind_since = now.mono
        # What comes to nothing again and again is tried more and more rarely.
        pause = self._patience.answer * 2 ** min(self._vain, 6) if self._vain > 1 else 0.0
        self._ask_at = now.mono + pause + self._delay()
        self._hope_until = self._ask_at + self._patience.stale_after

    def _abandon_load(self) -> None:
        self._wanted = None
        if self._loading is not None:
            self._loading.close()
            self._loading = None

    def _load_on(self, loading: Assembly, now: Now) -> None:
        """Bring the shards to one change by the log, and then put them in place."""
        if not loading.whole:
            return
        for log in self._backlog.after(loading.reached):
            loading.apply(log)
            self._get_on(now, self._patience.stragglers)
        if not loading.consistent:
            return
        # Whoever reads the files must not go on with the old ones when these are vouched for.
        loading.ground.seq = loading.restraint.seq = loading.reached
        self._shelf.keep(loading.ground, loading.restraint)
        replaced = self._ground, self._restraint
        self._ground, self._restraint = loading.ground, loading.restraint
        self.epoch = self._ground.epoch
        self._loading, self._complete, self._diverged = None, True, False
        self._orphaned = False
        self.loads += 1
        self._ask_at = None
        self._proof.restart()
        self._stand_at(loading.reached)
        self._backlog.forget(self.seq)
        self._reflect(loading.ids)
        for table in replaced:
            table.close()

    # --- questions ----------------------------------------------------------------------------

    def _due(self, now: Now) -> bool:
        if self._ask_at is None or self._wanted is not None:
            return False
        return now.mono >= self._ask_at or self._told_again >= MAX_RANGE

    def _question(self, head: Head) -> list[Ask]:
        loading = self._loading
        if loading is not None and not loading.whole:
            all_missing = len(loading.missing) == loading.shards
            some = [] if all_missing else sorted(loading.missing)
            return [Ask(self._gate, head.epoch, shards=some)]
        reached, last = self.seq, self._heard_of
        if loading is not None:
            reached, last = loading.reached, loading.newest
        waiting = self._backlog.first
        if waiting == reached + 1:
            return []  # all is here, and only waits for its turn
        if waiting is not None:
            last = waiting - 1
        if last > reached:
            return [Ask(self._gate, head.epoch, first=reached + 1, last=last)]
        unheard = self._proof.ledger_clock is None
        return [Ask(self._gate, head.epoch, config=True, head=unheard)]

    def _get_on(self, now: Now, wait: float) -> None:
        """Something came of it: give what is still to come time to do so."""
        self._hope_until = now.mono + self._patience.stale_after
        if self._ask_at is not None:
            self._ask_at = now.mono + wait + self._delay()

    def _delay(self) -> float:
        return self._random.uniform(0, self._patience.jitter)


def _names(head: Head, config: Config | None) -> bool:
    """Whether this is the configuration that the ledger goes by."""
    return config is not None and (config.epoch, config.version) == (head.epoch, head.config)


def _lost(head: Head, before: Head) -> bool:
    """Whether the ledger lost changes it had numbered: it was restored from an old copy."""
    return head.epoch == before.epoch and head.at > before.at and head.seq < before.seq
