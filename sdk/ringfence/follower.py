"""A principal's tables as a gate sees them that another process of its machine keeps in step.

The rows, and what is vouched for, are the syncer's: they are looked up in its files, without a
lock. What the gates of the machine did and the rows do not show yet is in the bulletin. What this
gate hears of the ledger's log itself is used for two things: what restrains counts at once, and it
learns which of its own events the ledger has.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from ringfence.aside import Aside
from ringfence.backlog import Backlog
from ringfence.bulletin import Bulletin, BulletinError
from ringfence.decision import Origin, Reason
from ringfence.event import Event
from ringfence.mapped import Mapped, TableBusy
from ringfence.overlay import Overlay
from ringfence.page import NOTHING, STAMP, Page, PageError
from ringfence.replica import UNSURE, Confirmed, Effect, Now, Patience
from ringfence.row import NO_FACTS, Facts
from ringfence.shelf import GROUND, RESTRAINT
from ringfence.table import Table, TableError
from ringfence.wire import (
    Config,
    Known,
    Log,
    Range,
    Rejected,
    Reply,
    WireError,
    Witnessed,
    decode,
    whole_rows,
)

__all__ = ["CONFIG", "PAGE", "Configured", "Follower", "Shown"]

PAGE, CONFIG = "page", "config"
"""Files beside a principal's tables: what the syncer vouches for, and the configuration."""

UNSAID = memoryview(bytes(8 * (STAMP + 1))).cast("Q")
"""The words in the place of a page, where there is none yet. No page has this stamp."""

MAX_AWAITED = 65_536
"""Batches whose events are confirmed once the tables have come so far; others are sent again."""


class Shown(msgspec.Struct, frozen=True):
    """Events of the machine's gates that count from now on."""

    events: list[Event]


class Configured(msgspec.Struct, frozen=True):
    """The principal has another configuration from now on."""


class Follower:
    """One principal's tables in one gate; the syncer keeps them in *folder*.

    *stir* brings what is new in the bulletin to all followers of the gate; it raises
    `BulletinError`. *aside* lets go of files where that holds nobody up.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        patience: Patience,
        bulletin: Bulletin,
        stir: Callable[[], bool],
        aside: Aside,
    ) -> None:
        self.overlay = Overlay()
        self._filed = self.overlay.filed
        self.config: Config | None = None
        self.epoch = self.seq = 0
        self._name, self._folder = name, folder
        self._bulletin = bulletin
        self._stir = stir
        self._aside = aside
        self._patience = patience
        self._skew = patience.max_clock_skew
        self._page: Page | None = None
        self._words, self._stamp = UNSAID, 0
        self._vouched = NOTHING
        # What of it each decision needs, as attributes of its own: that is twice as fast.
        self._proved_at: float | None = None
        self._sure_until, self._sure_clock = UNSURE, 0.0
        self._ground: Table | Mapped = Table()
        self._restraint: Table | Mapped = Table()
        self._backlog = Backlog()
        self._behind_since: float | None = None
        """Since when changes are known that the tables do not show."""
        self._replaced_at = -math.inf
        """When a later epoch was heard of last."""
        self._awaited: deque[tuple[int, list[str]]] = deque(maxlen=MAX_AWAITED)
        self._reflected_ids: list[str] = []
        """Of events that the tables show, and that the outbox may let go of."""
        self._own: dict[str, Event] = {}
        self._unposted: dict[str, Event] = {}
        self._shown: list[Event] = []
        self._fetched: Config | None = None
        self._has_turn = False

    # --- what it knows ------------------------------------------------------------------------

    @property
    def loads(self) -> int:
        return self._vouched.loads

    @property
    def rows(self) -> tuple[int, int]:
        return self._vouched.ground_rows, self._vouched.restraint_rows

    @property
    def digests(self) -> tuple[int, int] | None:
        """Only the syncer knows them."""
        return None

    @property
    def waiting(self) -> bool:
        """Whether batches were heard that the tables do not show yet."""
        return bool(self._backlog)

    def ground(self, key: int) -> Facts:
        """Give the row of a number and purpose, with what the gates of the machine did.

        To be asked before `restraint`: the restraints of a change are written before its grounds,
        and what the gates did is looked at here, before any row: the rows reflect what is dropped.
        Raises `TableError` where the row cannot be read.
        """
        if self._bulletin.changed:
            self._catch_up()
        facts = self._ground.get(key) or NO_FACTS
        if key in self._filed:
            return self.overlay.ground(key, facts, self._texts)
        return facts

    def restraint(self, key: int) -> Facts:
        """Give the row of a number or a consumer, likewise, after `ground`.

        Raises `TableError` too where nobody vouches any more for what was looked up.
        """
        while True:
            early = self._backlog.early
            facts = (early and early.get(key)) or self._restraint.get(key) or NO_FACTS
            if self._words[STAMP] == self._stamp:
                break
            self._look_again()  # what came early may be older than the row by now
        return self.overlay.restraint(key, facts) if key in self._filed else facts

    @property
    def _texts(self) -> Mapping[str, int]:
        return {} if self.config is None else self.config.index

    def age(self, mono: float) -> float | None:
        """Seconds since the ledger last proved to the syncer that nothing is missing."""
        return None if self._proved_at is None else mono - self._proved_at

    def origin(self, mono: float) -> Origin:
        at = self._proved_at
        return Origin(self.epoch, self.seq, None if at is None else mono - at)

    def skew(self, now: Now) -> float:
        """Seconds by which this machine's clock is ahead of the ledger's; 0 before a head."""
        return 0.0 if self._proved_at is None else now.utc - now.mono - self._sure_clock

    def doubt(self, now: Now) -> Reason | None:
        """Say why the rows cannot be vouched for; None: the syncer vouches for them."""
        if self._words[STAMP] != self._stamp:
            self._look()
        if (
            now.mono <= self._sure_until
            and abs(now.utc - now.mono - self._sure_clock) <= self._skew
        ):
            return None
        return self._doubted(now)

    def _doubted(self, now: Now) -> Reason:
        doubt, age = self._vouched.doubt, self.age(now.mono)
        if doubt is Reason.DIVERGED:
            return doubt
        if abs(self.skew(now)) > self._skew:
            return Reason.CLOCK_SKEW
        if age is not None and age > self._patience.stale_after:
            return Reason.STALE
        return doubt or Reason.NOT_READY

    # --- what the syncer says -----------------------------------------------------------------

    def _look(self) -> None:
        """Take what the syncer says: it counts for the tables and the configuration it means."""
        self._sure_until, self._stamp = UNSURE, self._words[STAMP]
        vouched = self._vouched = NOTHING if self._page is None else self._page.read()
        if vouched.epoch != self.epoch:
            self._backlog, self._awaited = Backlog(), deque(maxlen=MAX_AWAITED)
        self.epoch, self.seq = vouched.epoch, vouched.seq
        self._proved_at, self._sure_clock = vouched.proved_at, vouched.sure_clock
        self._backlog.forget(vouched.seq)
        proved = -math.inf if vouched.proved_at is None else vouched.proved_at
        if self._backlog.newest <= vouched.seq and proved >= self._replaced_at:
            self._behind_since = None
        told = vouched.series == self._bulletin.series
        if told and vouched.sure_until != UNSURE and self._means(self.config):
            with suppress(TableError):  # `tick` says why
                self._map(vouched.epoch)
                self._sure_until = min(vouched.sure_until, self._own_limit())

    def _own_limit(self) -> float:
        """Until when this gate believes it: not longer than it may, nor against what it heard."""
        proved, behind, patience = self._proved_at, self._behind_since, self._patience
        until = math.inf if proved is None else proved + patience.stale_after
        return until if behind is None else min(until, behind + patience.stragglers)

    def _doubt_from(self, now: Now) -> None:
        """Something was heard that the tables do not show: they are believed a moment longer."""
        if self._behind_since is None:
            self._behind_since = now.mono
        self._sure_until = min(self._sure_until, self._own_limit())

    def _look_again(self) -> None:
        """See whether what was vouched for before a look-up is so behind it.

        Raises `TableBusy` if not: of tables that were replaced meanwhile nothing is known.
        """
        before, until = self._vouched, self._sure_until
        self._look()
        same = (self.epoch, self.loads) == (before.epoch, before.loads)
        if until != UNSURE and (self._sure_until == UNSURE or not same):
            msg = f"{self._name}: the tables changed while a call was decided"
            raise TableBusy(msg)

    def _map(self, epoch: int) -> None:
        """Look into the tables of *epoch*. Raises `TableError` where they are not there."""
        if isinstance(self._ground, Table) or isinstance(self._restraint, Table):
            ground = Mapped.open(self._folder / GROUND, aside=self._aside)
            try:
                self._restraint = Mapped.open(self._folder / RESTRAINT, aside=self._aside)
            except TableError:
                ground.close()
                raise
            self._ground = ground
        for table in (self._ground, self._restraint):
            if table.epoch != epoch:
                table.refresh()
            if table.epoch != epoch:
                msg = f"the tables are of epoch {table.epoch}, and {epoch} is meant"
                raise TableError(msg)

    # --- what the gates of the machine do -----------------------------------------------------

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Be the only gate of the machine that reserves attempts, and know of those of all others.

        Gives whether they did anything since this gate looked last. Raises `BulletinError` where
        that does not come about, in milliseconds.
        """
        with self._bulletin.turn():
            stirred = self._stir()
            self._has_turn = True
            try:
                yield stirred
            finally:
                self._has_turn = False

    def show(self, event: Event) -> None:
        """Let a sealed event of this gate count at once, in all gates of the machine.

        Within `turn` it counts in all of them when this returns, and `BulletinError` is raised
        where it does not; else as soon as can be, and here in any case.
        """
        if self._has_turn:
            self._bulletin.post(self._name, [event])
        else:
            self._unposted[event.id] = event
        self._own[event.id] = event
        self.overlay.add(event)
        if not self._has_turn:
            self._post()

    def hide(self, name: str) -> None:
        """Let an own event count no longer."""
        self._own.pop(name, None)
        self._unposted.pop(name, None)
        self.overlay.drop([name])
        self._drop([name])

    def posted(self, event: Event) -> None:
        """Hear of an event of some gate of the machine."""
        if event.id not in self._own:
            self.overlay.add(event)
            self._shown.append(event)

    def _post(self) -> None:
        """Tell the other gates what they have not been told yet, if that is possible now."""
        if self._unposted:
            with suppress(BulletinError), self._bulletin.turn():
                self._stir()
                self._bulletin.post(self._name, self._unposted.values())
                self._unposted.clear()

    def _drop(self, names: list[str]) -> None:
        """Let all gates forget events; where that is not possible now, the next time."""
        with suppress(BulletinError):
            self._bulletin.drop(names)

    def _catch_up(self) -> None:
        try:
            self._stir()
        except BulletinError as error:
            raise TableBusy(str(error)) from error

    # --- what it hears ------------------------------------------------------------------------

    def receive_log(self, log: Log, now: Now) -> list[Effect]:
        """Hear a batch of changes, in order or not, once or twice.

        Of its grounds nothing counts before the tables show it; a syncer that does not come so far
        is soon not believed any more.
        """
        whole_rows(log.ground)
        whole_rows(log.restraint)
        if log.epoch > self.epoch:  # the ledger was replaced: the syncer has to say so, or to prove
            self._replaced_at = now.mono
            self._doubt_from(now)
        if log.epoch != self.epoch:
            return []
        if log.last > self.seq:
            self._backlog.hold(log)
            self._doubt_from(now)
        return self._reflected(log.last, log.ids)

    def receive_reply(self, reply: Reply, now: Now) -> list[Effect]:
        """Hear what the ledger tells this gate alone."""
        match reply:
            case Range(log):
                return self.receive_log(log, now)
            case Known(epoch, seq, ids) if epoch == self.epoch:
                return self._reflected(seq, ids)
            case Rejected(name):
                if self.overlay.turn_away(name):
                    self._drop([name])
                return [reply]
            case Witnessed():
                return [reply]
        return []

    def _reflected(self, seq: int, ids: list[str]) -> list[Effect]:
        """The ledger has these events since change *seq*: forget them once the tables show it."""
        self._awaited.append((seq, ids))
        return self._forget_shown()

    def _forget_shown(self) -> list[Effect]:
        ids: list[str] = []
        while self._awaited and self._awaited[0][0] <= self.seq:
            ids += self._awaited.popleft()[1]
        self._reflected_ids += ids
        if not self._reflected_ids:
            return []
        own = [name for name in ids if self._own.pop(name, None)]
        for name in own:
            self._unposted.pop(name, None)
        # First of the bulletin: what the outbox has let go of would stay there for ever.
        self._drop(own)
        self.overlay.drop(own)
        if self._bulletin.owes:
            return []
        confirmed, self._reflected_ids = self._reflected_ids, []
        return [Confirmed(confirmed)]

    def tick(self, now: Now) -> list[Effect | Shown | Configured]:
        """Let time pass: see what the syncer and the other gates did. Raises `TableError`."""
        effects: list[Effect | Shown | Configured] = []
        self.doubt(now)
        if self._configure():
            effects.append(Configured())
            self._look()
        for table in (self._ground, self._restraint):
            if isinstance(table, Mapped):
                table.refresh()
        self._catch_up()
        self._post()
        self._drop([])
        effects += self._forget_shown()
        if self._shown:
            effects.append(Shown(self._shown))
            self._shown = []
        return effects

    def _configure(self) -> bool:
        """Go by the configuration that the syncer means, once it was fetched; say if it changed."""
        if self._fetched is None or self._fetched is self.config or not self._means(self._fetched):
            return False
        self.config = self._fetched
        return True

    def _means(self, config: Config | None) -> bool:
        meant = self._vouched.config_epoch, self._vouched.config_version
        return config is not None and (config.epoch, config.version) == meant

    # --- files, which are waited for in a thread ------------------------------------------------

    @property
    def wants(self) -> bool:
        """Whether there is something to `fetch`."""
        told = self._page is not None and self._vouched.config_version
        return self._page is None or bool(told and not self._means(self.config))

    def fetch(self) -> None:
        """Open the page if there is one by now, read the configuration; waits for the disk."""
        if self._page is None:
            with suppress(PageError):  # no syncer has begun yet
                self._page = Page.open(self._folder / PAGE)
                self._words = self._page.words
            return
        with suppress(OSError, WireError):  # it is being written
            self._fetched = decode((self._folder / CONFIG).read_bytes(), Config)

    def close(self) -> None:
        """Let go of the files; they are the syncer's. Waits for the disk."""
        self._sure_until = UNSURE
        for table in (self._ground, self._restraint):
            table.close()
        self._words, self._stamp = UNSAID, 0
        if self._page is not None:
            self._page.close()
            self._page = None
