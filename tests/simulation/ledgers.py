"""The ledger in the simulation: the real store, sequencer and intake, and what a process does.

It commits, numbers and publishes as the process does, and may end between any two of these.
"""

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from tests.simulation.account import Account
from tests.simulation.world import PRINCIPAL, START, Broker, World, topic

from ringfence.campaign import Channel, Text
from ringfence.event import Event
from ringfence.ledger.intake import Answer, Intake, Taken, read
from ringfence.ledger.sequencer import Sequencer
from ringfence.ledger.store import Store
from ringfence.wire import (
    MAX_RANGE,
    Ask,
    Config,
    Gone,
    Head,
    Range,
    Reply,
    WireError,
    decode,
    encode,
)

__all__ = ["TEXTS", "Ledger"]

BEAT = 2.0
SOON = 0.05

TEXTS = {
    name: Text(mentions=frozenset(), parties=frozenset(), channel=Channel.WEB)
    for name in ("web-1", "web-2", "web-3", "web-4")
}
INDEX = {name: place for place, name in enumerate(TEXTS, 1)}


class Ledger:
    """A ledger's machine: files that last, and a process that may not."""

    def __init__(self, world: World, broker: Broker, folder: Path) -> None:
        self.accounts: list[Account] = []
        """Of all numberings; the last one is in force."""
        self.lost: set[str] = set()
        """Events that were confirmed and then lost with what was not in an old copy."""
        self.clock_error = 0.0
        self.texts = 1
        self.blind_since: float | None = None
        """Since when it goes on from an old copy without knowing: the broker kept no head."""
        self.heads: dict[tuple[int, int, datetime], float] = {}
        """When each head was published."""
        self.configs: dict[tuple[int, int], Config] = {}
        self.up = False
        self.epoch = 100
        self.renewals = 0
        self._world = world
        self._broker = broker
        self._folder = folder
        self._files = 0
        self._path = folder / "ledger-0.db"
        self._copy: tuple[Path, int, int] | None = None
        self._restored = False
        self._life = 0
        self._ranges: dict[str, Ask] = {}
        self.new_database()

    @property
    def account(self) -> Account:
        return self.accounts[-1]

    def _go_by(self, account: Account) -> None:
        if self.accounts:
            self.account.until = self._world.time
        self.accounts.append(account)

    # --- starting and ending ------------------------------------------------------------------

    def start(self) -> None:
        """Start the process: what it knows is what was stored."""
        self._store = self._open()
        texts = dict(list(TEXTS.items())[: self.texts])
        config = self._store.register(PRINCIPAL, {}, texts)
        self._sequencer = Sequencer(*self._store.tables(PRINCIPAL), config)
        self._intake = Intake(self._store, {PRINCIPAL: self._sequencer})
        self._inbound: deque[bytes] = deque()
        self._ranges = {}
        self._life += 1
        self.up = True
        if topic("head") in self._broker.retained:
            self._look_back(decode(self._broker.retained[topic("head")], Head))
        if self._restored and self.blind_since is None:
            self.blind_since = self._world.time
        self._restored = False
        assert self._sequencer.epoch == self.account.epoch
        assert self._sequencer.seq == self.account.seq
        self._link = self._broker.connect(self, topic("in"), topic("ask"))
        self._publish_config()
        self._beat()

    def _look_back(self, head: Head) -> None:
        if self._sequencer.outrun_by(head):
            self._renew()

    @property
    def contradicts_itself(self) -> bool:
        """Whether a head of the epoch that was sent later, by its clock, names fewer changes."""
        told = [(at, seq) for epoch, seq, at in self.heads if epoch == self.account.epoch]
        changes = [seq for _, seq in sorted(told)]
        return changes != sorted(changes)

    def take_over(self) -> None:
        """Begin a new epoch, as the person does who reads that gates say `diverged`."""
        if self.up:
            self._renew()
            self._publish_config()
            self._publish_head()

    def _renew(self) -> None:
        self.epoch = max(account.epoch for account in self.accounts) + 1
        self._store.renew(self.epoch)
        self._sequencer.renew(self.epoch)
        self._go_by(self.account.copy(self.epoch, self.account.seq, INDEX))
        self.renewals += 1
        self._restored, self.blind_since = False, None

    def crash(self) -> None:
        """End the process, whatever it was about to do."""
        if self.up:
            self.up = False
            self._life += 1
            self._broker.disconnect(self._link)
            self._store.close()
            for table in (self._sequencer.ground, self._sequencer.restraint):
                table.close()

    def _open(self) -> Store:
        store = Store(self._path, self.epoch)
        store._db.execute("PRAGMA synchronous=OFF")  # the machine stays up
        return store

    def start_again(self) -> None:
        if not self.up:
            self.start()

    # --- what happens to its files ------------------------------------------------------------

    @property
    def copied(self) -> bool:
        return self._copy is not None

    def bring_in(self, events: Sequence[Event]) -> None:
        """Import events while no process runs."""
        with self._open() as store:
            self._import(store, events)

    def back_up(self) -> None:
        """Keep a copy of the database."""
        self._files += 1
        path = self._folder / f"copy-{self._files}.db"
        with closing(sqlite3.connect(self._path)) as db, closing(sqlite3.connect(path)) as copy:
            db.backup(copy)
        self._copy = path, self.account.epoch, self.account.seq

    def restore(self) -> None:
        """Put the copy in the place of the database, while no process runs."""
        if self._copy is None:
            return
        path, epoch, seq = self._copy
        old = self.account
        self._path, self._copy = path, None
        self._go_by(old.copy(epoch, seq, INDEX))
        forgotten = old.stored.keys() - self.account.stored.keys()
        self.lost |= forgotten
        self._restored |= bool(forgotten)

    def new_database(self) -> None:
        """Take a new database with another epoch, while no process runs; import all events."""
        old = Store(self._path, self.epoch) if self.accounts else None
        self._files += 1
        self._path = self._folder / f"ledger-{self._files}.db"
        self._copy = None
        if old is not None:  # by a clock that is right, or by one that is not
            used = [account.epoch for account in self.accounts]
            self.epoch = self._world.random.choice((max(used) + 1, max(used) + 1, min(used) - 1))
        self._restored, self.blind_since = False, None
        self._go_by(Account(self.epoch))
        if old is None:
            return
        with old, self._open() as store:
            self._import(store, list(old.events(PRINCIPAL)))

    def _import(self, store: Store, events: Sequence[Event]) -> None:
        self.texts = len(TEXTS)
        config = store.register(PRINCIPAL, {}, TEXTS)
        sequencer = Sequencer(*store.tables(PRINCIPAL), config)
        received = read(PRINCIPAL, msgspec.msgpack.encode(events))
        intake = Intake(store, {PRINCIPAL: sequencer})
        self._account_for(intake.take(received, self._now()))

    # --- what it hears ------------------------------------------------------------------------

    def hear(self, topic: str, payload: bytes, *, retained: bool) -> None:
        del retained
        if topic.endswith("/in"):
            self._inbound.append(payload)
            self._later(self._world.random.uniform(0.0005, 0.005), self._commit)
            return
        try:
            ask = decode(payload, Ask)
        except WireError:
            return
        if ask.config:
            self._publish_config()
        elif ask.first:
            self._ranges[ask.gate] = ask
        else:
            self._sequencer.want(ask)
        self._later(0.002, self._answer)

    def _commit(self) -> None:
        received = [one for payload in self._inbound for one in read(PRINCIPAL, payload)]
        self._inbound.clear()
        if not received:
            return
        taken = self._intake.take(received, self._now())
        self._account_for(taken)
        if self._world.chance(self._broker.faults.lost / 10):
            self.crash()  # stored, and told to nobody
            self._world.after(self._world.random.uniform(0, 3), self.start_again)
            return
        self._intake.apply(taken)
        for batch in taken.batches:
            self._broker.publish(topic("log"), encode(batch.log))
        for answer in taken.answers:
            self._tell(answer)
        if taken.batches:
            self._later(SOON, self._publish_head)

    def _account_for(self, taken: Taken) -> None:
        for batch in taken.batches:
            self.account.add(batch.events, INDEX)

    # --- what it says -------------------------------------------------------------------------

    def _beat(self) -> None:
        self._publish_head()
        self._later(BEAT, self._beat)

    def _publish_head(self) -> None:
        head = self._sequencer.head(self._now())
        self.heads[head.epoch, head.seq, head.at] = self._world.time
        self._broker.publish(topic("head"), encode(head), retain=True)

    def _publish_config(self) -> None:
        config = self._sequencer.config
        self.configs[config.epoch, config.version] = config
        self._broker.publish(topic("config"), encode(config), retain=True)

    def _answer(self) -> None:
        ranges, self._ranges = self._ranges, {}
        for gate, ask in ranges.items():
            for reply in self._told_again(ask):
                self._tell(Answer(PRINCIPAL, gate, reply))
        for part in self._sequencer.next_shard():
            self._broker.publish(topic("snapshot"), encode(part))
        if self._sequencer.waited_for:
            self._later(0.002, self._answer)

    def _told_again(self, ask: Ask) -> list[Reply]:
        if ask.epoch != self._store.epoch:
            return []
        oldest = self._store.oldest(PRINCIPAL)
        if not oldest or ask.first < oldest:
            return [Gone(ask.epoch, ask.first)]
        found = self._store.log(PRINCIPAL, ask.first, ask.last)
        return [Range(log) for log, _ in zip(found, range(MAX_RANGE), strict=False)]

    def _tell(self, answer: Answer) -> None:
        if answer.sender:
            self._broker.publish(topic("reply", answer.sender), encode(answer.reply))

    def prune(self) -> None:
        """Drop most of the log."""
        if self.up:
            self._store.prune(
                PRINCIPAL, max(1, self.account.seq - self._world.random.randrange(20))
            )

    # --- time ---------------------------------------------------------------------------------

    def _now(self) -> datetime:
        return datetime.fromtimestamp(START + self._world.time + self.clock_error, UTC)

    def _later(self, delay: float, action: Callable[[], None]) -> None:
        """Do it, if the process still runs then."""
        life = self._life

        def act() -> None:
            if life == self._life:
                action()

        self._world.after(delay, act)
