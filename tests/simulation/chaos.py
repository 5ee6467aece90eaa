"""One run: a ledger, gates and a broker, everything that may go wrong, and what must hold."""

from collections.abc import Callable
from pathlib import Path

import msgspec
from tests.simulation.gates import Disk, Gate, SlowDisk
from tests.simulation.ledgers import Ledger
from tests.simulation.people import People
from tests.simulation.world import START, Broker, Faults, World, topic

from ringfence import backlog, proof
from ringfence.event import Event
from ringfence.replica import Now, Patience, Replica
from ringfence.row import Restraint
from ringfence.shelf import DiskShelf
from ringfence.table import Table
from ringfence.wire import Head

__all__ = ["Simulation"]

TROUBLE = 30.0
"""Simulated seconds in which things go wrong."""

QUIET = 300.0
"""Simulated seconds after which all is well again, at the latest."""

EXCUSED = 60.0
"""Simulated seconds in which a gate may not see that the ledger went on from an old copy."""

NOTICED = 60.0
"""Simulated seconds of quiet after which a person ends what gates rightly do not trust."""

STEP = 0.25
"""Seconds between two moments in which something may be done."""

CLOCKS = (-30.0, -8.0, -3.0, 0.0, 0.0, 0.0, 2.0, 6.0, 60.0)
"""Errors that clocks may have."""

MARGIN = 0.1
"""Seconds between what a gate last heard and the moment it is looked at."""


def refused_on(replica: Replica, key: int) -> int:
    return Restraint.unpack(replica.restraint(key)).refused_on


class Simulation:
    """A run of one seed."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.world = world = World(seed)
        self.random = world.random
        self.broker = Broker(world)
        self.ledger = Ledger(world, self.broker, folder)
        self.patience = Patience(stale_after=15.0, answer=1.0)
        self.people = People(self.random, self.random.choice((10, 40, 200)))
        self.gates = [self._gate(f"gate-{n}", folder) for n in range(self.random.randint(1, 4))]
        self.elsewhere: dict[str, Event] = {}
        """Events of others that the ledger has not stored yet."""
        self.rate = self.random.choice((0.5, 2.0, 8.0))
        """Events a second."""
        self.vouched = 0
        self._proved_by: dict[str, tuple[float | None, Head | None]] = {}
        self._worst_clock = 0.0
        self._troubles = self._choose_troubles()

    def _gate(self, name: str, folder: Path) -> Gate:
        chosen = self.random.random()
        shelf: Disk | DiskShelf
        if chosen < 0.1:
            shelf = DiskShelf(folder / name)
        else:
            shelf = SlowDisk(self.world) if chosen < 0.4 else Disk()
        return Gate(name, self.world, self.broker, shelf, self.patience, self._check)

    def _choose_troubles(self) -> list[tuple[float, Callable[[], None]]]:
        """Choose what may happen in this run, and how probable it is in a step."""
        kinds: list[tuple[float, Callable[[], None]]] = [
            (0.01, self._crash_gate),
            (0.02, self._disconnect_gate),
            (0.01, self._crash_ledger),
            (0.01, self._step_clock),
            (0.02, self._prune),
            (0.05, self._garbage),
            (0.01, self._change_config),
            (0.005, self._restore),
            (0.004, self._new_database),
            (0.004, self._forget),
        ]
        intensity = self.random.choice((1.0, 1.0, 4.0))
        return [(p * intensity, act) for p, act in kinds if self.random.random() < 0.6]

    # --- the run ------------------------------------------------------------------------------

    def run(self) -> None:
        """Go through troubles until all is well. AssertionError if what must hold does not."""
        random = self.random
        self.broker.faults = Faults(
            lost=random.choice((0.0, 0.02, 0.2)),
            twice=random.choice((0.0, 0.1)),
            late=random.choice((0.0, 0.1, 0.5)),
            lateness=random.choice((0.05, 1.0, 8.0)),
            replayed=random.choice((0.0, 0.0, 0.02)),
            forgets=random.choice((0.0, 0.0, 0.1)),
        )
        if random.random() < 0.5:
            self._import(random.choice((50, 300)))
        self.ledger.start()
        for gate in self.gates:
            self.world.after(random.choice((0.0, 0.0, 10.0)), gate.start)
        for step in range(int(TROUBLE / STEP)):
            self.world.run(step * STEP)
            self._events()
            for probability, act in self._troubles:
                if self.world.chance(probability):
                    act()
        self._recover()

    def _recover(self) -> None:
        self.broker.faults = Faults()
        self.world.run(TROUBLE + 10.0)  # those that were to start again have
        if not self.ledger.up:
            self.ledger.start()
        self.ledger.clock_error = 0.0
        for gate in self.gates:
            gate.clock_error = 0.0
            if not gate.up:
                gate.start()
            gate.connect()
        while self._ailing() and self.world.time < TROUBLE + QUIET:
            self.world.run(self.world.time + 1.0)
            self._report_elsewhere()
            if self.world.time > TROUBLE + NOTICED and self.ledger.contradicts_itself:
                self.ledger.take_over()
        assert not self._ailing(), self._ailing()
        asked = [gate.asks for gate in self.gates]
        self.world.run(self.world.time + 10.0)
        assert asked == [gate.asks for gate in self.gates]
        assert not self._ailing(), self._ailing()
        self._compare_all()

    # --- what happens -------------------------------------------------------------------------

    def _events(self) -> None:
        for _ in range(int(self.rate * STEP + self.random.random())):
            gate = self.random.choice(self.gates)
            if gate.up and self.random.random() < 0.6:
                gate.record(self.people.event(START + self.world.time + gate.clock_error))
            else:
                event = self.people.event(START + self.world.time)
                self.elsewhere[event.id] = event
        if self.world.chance(0.1):
            self._report_elsewhere()

    def _report_elsewhere(self) -> None:
        """Others send again what the ledger does not have, as JSON."""
        stored = self.ledger.account.stored
        self.elsewhere = {name: e for name, e in self.elsewhere.items() if name not in stored}
        some = list(self.elsewhere.values())[:100]
        if some:
            self.broker.publish(topic("in"), msgspec.json.encode(some))

    def _import(self, count: int) -> None:
        self.ledger.bring_in([self.people.event(START) for _ in range(count)])

    def _crash_gate(self) -> None:
        gate = self.random.choice(self.gates)
        gate.crash()
        self._damage(gate)
        self.world.after(self.random.choice((0.0, 1.0, 10.0)), gate.start_again)

    def _damage(self, gate: Gate) -> None:
        """Do to the tables what a killed process or a power cut may."""
        if not isinstance(gate.shelf, Disk) or gate.shelf.kept is None:
            return
        if self.world.chance(0.2):
            gate.shelf.kept = None
            return
        tables, account = gate.shelf.kept, self.ledger.account
        for table, rows in zip(tables, (account.ground, account.restraint), strict=True):
            if self.world.chance(0.5) and rows and table.epoch == account.epoch:
                # A batch was being applied: some of its rows are there, its number is not.
                for key in self.random.sample(sorted(rows), min(5, len(rows))):
                    _put(table, key, rows[key])
            elif self.world.chance(0.1) and rows:  # a page was lost with the power
                _put(table, self.random.choice(sorted(rows)), (0, 0))

    def _disconnect_gate(self) -> None:
        gate = self.random.choice(self.gates)
        gate.disconnect()
        self.world.after(self.random.choice((0.0, 1.0, 20.0)), gate.connect)

    def _crash_ledger(self) -> None:
        self.ledger.crash()
        self.world.after(self.random.choice((0.0, 1.0, 10.0)), self.ledger.start_again)

    def _step_clock(self) -> None:
        parties: list[Ledger | Gate] = [self.ledger, *self.gates]
        party = self.random.choice(parties)
        party.clock_error = self.random.choice(CLOCKS)
        self._worst_clock = max(self._worst_clock, abs(party.clock_error))

    def _prune(self) -> None:
        self.ledger.prune()

    def _garbage(self) -> None:
        what = self.random.choice(("in", "ask", "log", "head", "snapshot", "config"))
        sent = self.random.choice((b"", b"{", b"[1]", b"\xc1", b"\x93\x01\x02\x03", b"\x91" * 999))
        self.broker.publish(topic(what), sent)

    def _change_config(self) -> None:
        self.ledger.crash()
        self.ledger.texts = min(self.ledger.texts + 1, 4)
        self.world.after(0.1, self.ledger.start_again)

    def _restore(self) -> None:
        if not self.ledger.copied or self.world.chance(0.5):
            self.ledger.back_up()
            return
        self.ledger.crash()
        self.ledger.restore()
        self.world.after(self.random.choice((0.0, 5.0)), self.ledger.start_again)

    def _new_database(self) -> None:
        self.ledger.crash()
        self.ledger.new_database()
        self.world.after(self.random.choice((0.0, 5.0)), self.ledger.start_again)

    def _forget(self) -> None:
        """The broker starts anew without what it retained."""
        self.broker.retained.clear()

    # --- what must hold -----------------------------------------------------------------------

    def _check(self, gate: Gate) -> None:
        """Look at a gate after all that it does."""
        replica, world = gate.replica, self.world
        now = world.now(gate.clock_error)
        proved, by = self._proved_by.get(gate.name, (None, None))
        if replica._proof.at != proved:
            by = replica.head
            self._proved_by[gate.name] = replica._proof.at, by
        assert len(replica._backlog) <= backlog.MAX_WAITING
        assert len(replica._backlog.early) <= backlog.MAX_EARLY
        assert len(replica._proof._digests) <= proof.MAX_DIGESTS
        assert replica.doubt(now) == replica._doubted(now)
        self._check_vouched(gate, now)
        if replica.doubt(now) is not None or self._excused:
            return
        self.vouched += 1
        assert by is not None
        self._check_proof(gate, by)
        self._check_tables(gate)
        self._check_gaps(gate)
        assert replica.head is not None
        told = self.ledger.configs[replica.head.epoch, replica.head.config]
        assert replica.config == told
        for key, (name, day) in gate.refused.items():
            assert name in self.ledger.lost or refused_on(replica, key) >= day, name

    def _check_vouched(self, gate: Gate, now: Now) -> None:
        """What others are told to be sure is not in doubt here, until the last moment."""
        told = gate.replica.vouched(now)
        left = told.sure_until - now.mono
        if left <= 0 or abs(now.utc - now.mono - told.sure_clock) > self.patience.max_clock_skew:
            return
        assert told.doubt is None
        last = Now(now.mono + left * 0.999, now.utc + left * 0.999)
        assert gate.replica._doubted(last) is None

    @property
    def _excused(self) -> bool:
        """Nobody can know at once that the ledger is no longer what it was."""
        since = self.ledger.blind_since
        return since is not None and self.world.time < since + EXCUSED

    def _check_proof(self, gate: Gate, by: Head) -> None:
        """What proves the tables is a head that they have reached, sent not too long ago."""
        assert gate.replica.seq >= by.seq
        assert (by, gate.replica._proof.at) in gate.live
        sent = self.ledger.heads[by.epoch, by.seq, by.at]
        assert self.world.time - sent <= self._bound

    def _check_gaps(self, gate: Gate) -> None:
        """What a gate has heard of for more than a moment it has, or it is in doubt."""
        here, epoch = (gate.replica.epoch, gate.replica.seq), self.ledger.account.epoch
        gate.ahead = [k for k in gate.ahead if k[1] == epoch and k[1:] > here]
        overdue = self.world.now(0).mono - MARGIN
        assert not [known for known in gate.ahead if known[0] < overdue], gate.ahead

    @property
    def _bound(self) -> float:
        """Seconds for which a head may prove what it proves, with clocks as wrong as they were."""
        patience = self.patience.stale_after + self.patience.max_clock_skew
        return patience + 2 * self._worst_clock + MARGIN

    def _check_tables(self, gate: Gate) -> None:
        """The tables are the fold of the first changes of a numbering that was in force."""
        replica, since = gate.replica, self.world.time - self._bound
        assert any(
            account.digests.get(replica.seq) == replica.digests
            for account in self.ledger.accounts
            if account.epoch == replica.epoch and account.until > since
        ), (gate.name, replica.epoch, replica.seq)

    def _ailing(self) -> list[str]:
        """Say what is not well."""
        account = self.ledger.account
        found = []
        for gate in self.gates:
            replica = gate.replica
            doubt = replica.doubt(self.world.now(gate.clock_error))
            if doubt is not None:
                found.append(f"{gate.name}: {doubt}")
            if (replica.epoch, replica.seq) != (account.epoch, account.seq):
                found.append(f"{gate.name} at {replica.seq} of {replica.epoch}")
            if gate.outbox or len(replica.overlay):
                found.append(f"{gate.name} holds {len(gate.outbox)}, shows {len(replica.overlay)}")
        if self.elsewhere:
            found.append(f"{len(self.elsewhere)} events of others are not stored")
        return found

    def _compare_all(self) -> None:
        account = self.ledger.account
        stored = {name for name in self.people.told if name not in self.ledger.lost}
        assert stored <= account.stored.keys()
        assert set(account.stored.values()) <= {1}
        for gate in self.gates:
            assert gate.replica.digests == account.digests[account.seq]
            assert _rows(gate.replica._ground) == _said(account.ground)
            assert _rows(gate.replica._restraint) == _said(account.restraint)


def _put(table: Table, key: int, words: tuple[int, int]) -> None:
    table.upsert(b"".join(word.to_bytes(8, "little") for word in (key, *words)))


def _rows(table: Table) -> dict[int, tuple[int, int]]:
    words = memoryview(b"".join(table.rows())).cast("Q").tolist()
    return {words[at]: (words[at + 1], words[at + 2]) for at in range(0, len(words), 3)}


def _said(rows: dict[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
    return {key: words for key, words in rows.items() if words != (0, 0)}
