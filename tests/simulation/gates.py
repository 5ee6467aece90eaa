"""A gate in the simulation: the real replica, and what courier, outbox and disk do around it."""

from collections.abc import Callable
from contextlib import suppress
from operator import itemgetter
from random import Random

import msgspec
from tests.simulation.world import Broker, World, topic

from ringfence.event import AnyEvent, Event
from ringfence.replica import Confirmed, Effect, Now, Patience, Replica
from ringfence.row import day_of
from ringfence.shelf import DiskShelf
from ringfence.table import Table
from ringfence.wire import (
    Ask,
    Config,
    Head,
    Log,
    Rejected,
    Snapshot,
    WireError,
    decode,
    decode_reply,
    encode,
    encode_report,
)

__all__ = ["Disk", "Gate", "SlowDisk"]

TICK = 0.1
RESEND = 5.0
MAX_ASKS = 4  # in a second, for whatever reasons
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(AnyEvent).decode


class Disk:
    """A shelf that outlives the process, as mapped files do, without the files."""

    def __init__(self) -> None:
        self.kept: tuple[Table, Table] | None = None

    def found(self) -> tuple[Table, Table] | None:
        if self.kept is None:
            return None
        ground, restraint = (_copy(table) for table in self.kept)
        ground.seq = restraint.seq = min(ground.seq, restraint.seq)
        self.kept = ground, restraint
        return self.kept

    def new(self, epoch: int, grounds: int, restraints: int) -> tuple[Table, Table] | None:
        tables = Table(grounds), Table(restraints)
        for table in tables:
            table.epoch = epoch
        return tables

    def keep(self, ground: Table, restraint: Table) -> None:
        self.kept = ground, restraint


class SlowDisk(Disk):
    """One whose tables are being made when they are asked for, as files are in a thread."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def new(self, epoch: int, grounds: int, restraints: int) -> tuple[Table, Table] | None:
        made = self._world.chance(0.25)
        return super().new(epoch, grounds, restraints) if made else None


def _copy(table: Table) -> Table:
    other = Table(len(table))
    other.upsert(b"".join(table.rows()))
    other.epoch, other.seq = table.epoch, table.seq
    return other


class Gate:
    """A gate's machine: an outbox and tables that last, and a process that may not."""

    def __init__(
        self,
        name: str,
        world: World,
        broker: Broker,
        shelf: Disk | DiskShelf,
        patience: Patience,
        check: Callable[["Gate"], None],
    ) -> None:
        self.name = name
        self.outbox: dict[str, Event] = {}
        self.refused: dict[int, tuple[str, int]] = {}
        """The last day on which a refusal of each key was recorded here, and its event."""
        self.clock_error = 0.0
        self.asks = 0
        self.up = False
        self.shelf = shelf
        self._world = world
        self._broker = broker
        self._patience = patience
        self._check = check
        self._life = 0
        self._link: int | None = None

    # --- starting and ending ------------------------------------------------------------------

    def start(self) -> None:
        """Start the process; what is in the outbox counts from the first moment."""
        seed = self._world.random.getrandbits(32)
        self.replica = Replica(self.name, self.shelf, Random(seed), self._patience)
        for event in self.outbox.values():
            self.replica.show(event)
        self.up = True
        self._life += 1
        self._sent: dict[str, float] = {}
        self.live: set[tuple[Head, float]] = set()
        """Heads that were heard as they were sent, and when."""
        self.ahead: list[tuple[float, int, int]] = []
        """Changes of which it knows: since when it must have them, epoch and change."""
        self._asked: list[float] = []
        self._told_again = 0
        self.connect()
        self._tick(self._life)

    def start_again(self) -> None:
        if not self.up:
            self.start()

    def crash(self) -> None:
        """End the process. What it wrote stays, as a killed process leaves it."""
        if self.up:
            self.disconnect()
            self.up = False
            self._life += 1
            if isinstance(self.shelf, DiskShelf):
                self.replica.close()

    def connect(self) -> None:
        if self.up and self._link is None:
            what = ("head", "log", "snapshot", "config")
            own = topic("reply", self.name)
            self._link = self._broker.connect(self, *(topic(name) for name in what), own)
            self._sent.clear()

    def disconnect(self) -> None:
        if self._link is not None:
            self._broker.disconnect(self._link)
            self._link = None

    # --- events -------------------------------------------------------------------------------

    def record(self, event: Event) -> None:
        """Record a sealed event: it counts here at once, and is in the outbox."""
        self.replica.show(event)
        self.outbox[event.id] = event
        if event.kind == "refusal" and event.keys is not None and event.keys.number is not None:
            key = event.keys.number
            refusal = event.id, day_of(event.on)
            self.refused[key] = max(self.refused.get(key, refusal), refusal, key=itemgetter(1))
        self._send()

    def _send(self) -> None:
        if self._link is None:
            return
        time = self._world.time
        due = [e for e in self.outbox.values() if time - self._sent.get(e.id, -RESEND) >= RESEND]
        for start in range(0, len(due), 64):
            some = due[start : start + 64]
            self._sent.update((event.id, time) for event in some)
            self._broker.publish(topic("in"), encode_report(self.name, map(_encode, some)))

    # --- what it hears ------------------------------------------------------------------------

    def hear(self, topic: str, payload: bytes, *, retained: bool) -> None:
        replica, now = self.replica, self._world.now(self.clock_error)
        effects: list[Effect] = []
        with suppress(WireError):
            match topic.split("/")[3]:
                case "head":
                    effects = self._hear_head(decode(payload, Head), now, retained=retained)
                case "log":
                    effects = self._hear_log(decode(payload, Log), now)
                case "snapshot":
                    effects = replica.receive_snapshot(decode(payload, Snapshot), now)
                case "config":
                    replica.receive_config(decode(payload, Config))
                case "reply":
                    self._told_again += 1
                    effects = replica.receive_reply(decode_reply(payload), now)
        self._act(effects)
        self._check(self)

    def _hear_head(self, head: Head, now: Now, *, retained: bool) -> list[Effect]:
        if not retained:
            self.live.add((head, now.mono))
        self.ahead.append((now.mono + self._patience.stragglers, head.epoch, head.seq))
        return self.replica.receive_head(head, now, retained=retained)

    def _hear_log(self, log: Log, now: Now) -> list[Effect]:
        if self.replica._complete and self.replica._loading is None:
            self.ahead.append((now.mono, log.epoch, log.last))
        return self.replica.receive_log(log, now)

    def _act(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Ask():
                    self._ask(effect)
                case Confirmed(ids):
                    for name in ids:
                        self.outbox.pop(name, None)
                case Rejected(name, reason):
                    raise AssertionError(name, reason)

    def _ask(self, ask: Ask) -> None:
        """Ask; a gate that storms fails the test. Answers told again may be asked on at once."""
        if not self._told_again:
            self._asked = [time for time in self._asked if time > self._world.time - 1.0]
            self._asked.append(self._world.time)
            assert len(self._asked) <= MAX_ASKS, ask
        self._told_again = 0
        self.asks += 1
        if self._link is not None:
            self._broker.publish(topic("ask"), encode(ask))

    def _tick(self, life: int) -> None:
        if life == self._life:
            self._act(self.replica.tick(self._world.now(self.clock_error)))
            self._send()
            self._check(self)
            self._world.after(TICK, lambda: self._tick(life))
