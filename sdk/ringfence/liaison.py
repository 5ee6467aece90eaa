"""A gate's conversation with the ledger: keeps its books in step, and says how the link is.

It decides nothing. What it hears changes the books; what they ask, and what was confirmed, it hands
to the courier and the registrar.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version

import anyio
import anyio.abc
import anyio.lowlevel
import anyio.to_thread

from ringfence.book import Book, Plan
from ringfence.courier import Courier
from ringfence.follower import Configured, Follower, Shown
from ringfence.link import AnyLink, LinkDown, LinkState, Message, Phase
from ringfence.registrar import Registrar
from ringfence.replica import Confirmed, Effect, Now
from ringfence.table import TableError
from ringfence.wire import Ask, Presence, Rejected, Topic, WireError, Witnessed, encode

__all__ = ["VERSION", "Liaison"]

log = logging.getLogger(__name__)

VERSION = version("ringfence")

TICK = 0.05
"""Seconds between two looks at what is overdue."""

PRESENCE = 10.0
"""Seconds between two signs of life, if nothing changes."""


class Liaison:
    """What runs beside a gate while it is open: `start` starts it."""

    def __init__(
        self,
        gate: str,
        *,
        books: Mapping[str, Book],
        courier: Courier,
        registrar: Registrar,
        clock: Callable[[], Now],
    ) -> None:
        self.plans: dict[str, Plan] = {}
        """The campaigns of all books, by name."""
        self.disputed: frozenset[str] = frozenset()
        """Names of campaigns that more than one principal has: nobody can tell whose is meant."""
        self.gate = gate
        """Its name among all gates of the ledger."""
        self._books = books
        self._courier = courier
        self._registrar = registrar
        self._clock = clock
        self.begin("")

    def begin(self, boot: str) -> None:
        """Make it ready to run in the loop that is about to use it; *boot* names this life."""
        self.changed = anyio.Event()
        """Set, and replaced, when link or data change."""
        self.unread = 0
        """Messages that could not be read or applied."""
        self._boot = boot
        self._state: LinkState | None = None
        self._link: AnyLink | None = None
        self._shown: tuple[object, ...] = ()
        self._trouble: dict[str, str] = {}

    def end(self) -> None:
        """No campaign is known any more."""
        self.plans.clear()
        self.disputed = frozenset()
        self._state = None

    # --- opening and closing ------------------------------------------------------------------

    def connect(self, make: Callable[..., AnyLink], heard: Iterable[str]) -> AnyLink:
        """Make the link: what is heard of each principal, and what is told when it is lost."""
        topics = [str(Topic(name, what)) for name in self._books for what in heard]
        topics += [str(Topic(name, "reply", self.gate)) for name in self._books]
        # A connection has one last will: the first principal's presence tells of a lost gate.
        gone = Presence(online=False, version=VERSION, boot=self._boot)
        first = Topic(next(iter(self._books)), "gate", self.gate)
        self._link = make(
            f"ringfence-{self.gate}",
            subscriptions=topics,
            will=Message(str(first), encode(gone), retained=True),
            clock=lambda: self._clock().mono,
        )
        return self._link

    def start(self, tasks: anyio.abc.TaskGroup, link: AnyLink) -> None:
        """Start all that runs beside a gate."""
        courier, registrar, names = self._courier, self._registrar, list(self._books)
        tasks.start_soon(courier.carry, link, name="courier")
        tasks.start_soon(courier.mend, name="mend the outbox")
        tasks.start_soon(courier.flush.run, name="fsync of the outbox")
        tasks.start_soon(registrar.tell, link, names, self._seconds, name="witness")
        tasks.start_soon(registrar.tend, self._seconds, name="tend the evidence")
        tasks.start_soon(registrar.flush.run, name="fsync of the evidence")
        tasks.start_soon(self._tick, name="tick")
        tasks.start_soon(self._tell_presence, link, name="presence")
        tasks.start_soon(link.run, self._receive, self._link_changed, name="link")

    async def part(self, link: AnyLink) -> None:
        """Say what is left to say before the link goes down for good."""
        await self._registrar.part(link, list(self._books), self._seconds)

    def _seconds(self) -> float:
        return self._clock().utc

    # --- how it is ----------------------------------------------------------------------------

    @property
    def link(self) -> str:
        """How the link is, in words."""
        return "not open" if self._state is None else str(self._state)

    @property
    def dropped(self) -> int:
        """Messages that were not applied."""
        return self.unread + (self._link.dropped if self._link else 0)

    def _note_change(self) -> None:
        """Wake who watches the status, if what does not change by itself has changed."""
        now = self._clock()
        doubts = tuple(book.replica.doubt(now) for book in self._books.values())
        shown = (self.link, self._courier.writable, self._registrar.writable, *doubts)
        if shown != self._shown:
            self._shown = shown
            self.changed.set()
            self.changed = anyio.Event()

    # --- what is heard ------------------------------------------------------------------------

    def _receive(self, message: Message) -> None:
        """Hand a message to its book; what cannot be read is counted and left."""
        try:
            topic = Topic.parse(message.topic)
            book = self._books.get(topic.principal)
            if book is not None:
                self._act(book, book.hear(topic.what, message, self._clock()))
                if topic.what == "config":
                    self._configure(book)
        except (TableError, WireError) as error:
            # Without space for its rows a replica doubts, and asks for them again.
            self.unread += 1
            log.warning("%s: %s", message.topic, error)
        self._note_change()

    def _configure(self, book: Book) -> None:
        """Go by the principal's configuration from here on."""
        if book.replica.config is not None:
            self._registrar.configure(self._seconds(), book.name, book.replica.config)
        found: dict[str, list[Plan]] = {}
        for each in self._books.values():
            for name, plan in each.plans():
                found.setdefault(name, []).append(plan)
        self.plans.clear()
        self.plans.update({name: plans[0] for name, plans in found.items() if len(plans) == 1})
        self.disputed = frozenset(found) - frozenset(self.plans)
        for name in self.disputed:
            owners = ", ".join(plan.book.name for plan in found[name])
            log.error("campaign %s is one of %s: none of its calls is allowed", name, owners)

    def _act(self, book: Book, effects: Sequence[Effect | Shown | Configured]) -> None:
        for effect in effects:
            match effect:
                case Ask():
                    self._courier.ask(book.name, effect)
                case Confirmed(ids):
                    self._courier.confirm(ids)
                case Rejected(name, reason):
                    self._courier.reject(name, reason)
                case Witnessed():
                    self._registrar.witnessed(effect)
                case Shown() | Configured():
                    self._see(book, effect)
        news = book.news()
        if news is not None:
            self._registrar.learned(self._seconds(), book.name, news)

    def _see(self, book: Book, seen: Shown | Configured) -> None:
        """Go by what other processes of the machine did."""
        if isinstance(seen, Configured):
            self._configure(book)
            return
        for event in seen.events:
            book.look_at(event)

    def _link_changed(self, state: LinkState) -> None:
        self._state = state
        if state.phase is Phase.UP:
            self._courier.link_is_up()
        else:
            self._courier.link_is_down()
        self._note_change()

    # --- what is done by itself ---------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            now = self._clock()
            for book in self._books.values():
                replica = book.replica
                try:
                    if isinstance(replica, Follower) and replica.wants:
                        await anyio.to_thread.run_sync(replica.fetch)
                    self._act(book, replica.tick(now))
                    self._trouble.pop(book.name, None)
                except TableError as error:
                    if self._trouble.get(book.name) != str(error):  # once, and not at each tick
                        log.warning("%s: %s", book.name, error)
                    self._trouble[book.name] = str(error)
                book.watches.look_again()
                while book.watches.look_on():
                    await anyio.lowlevel.checkpoint()
            self._note_change()
            await anyio.sleep(TICK)

    async def _tell_presence(self, link: AnyLink) -> None:
        while True:
            now = self._clock()
            for name, book in self._books.items():
                with suppress(LinkDown):
                    topic = str(Topic(name, "gate", self.gate))
                    await link.publish(topic, encode(self._presence(book, now)), retain=True)
            with anyio.move_on_after(PRESENCE):
                await self.changed.wait()

    def _presence(self, book: Book, now: Now) -> Presence:
        return Presence(
            online=True,
            version=VERSION,
            boot=self._boot,
            epoch=book.replica.epoch,
            seq=book.replica.seq,
            age=book.replica.age(now.mono),
        )
