"""Keeps a machine's tables in step with the ledger, for all gates of the machine.

One process does it at a time: `ringfence gate sync`, or the first of the gates; when it dies, the
next one does. It decides nothing. What its replicas can prove it vouches for in a page, which the
gates read (`follower`). It also carries to the ledger what gates that are gone have left behind.
"""

import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import NoReturn

import anyio
import anyio.abc
import anyio.to_thread

from ringfence.aside import Aside
from ringfence.book import TOPICS
from ringfence.bulletin import Bulletin, BulletinError
from ringfence.config import GateSettings
from ringfence.decision import Reason
from ringfence.estate import Estates
from ringfence.follower import CONFIG, PAGE
from ringfence.host import STARTING, bulletin_of, tables_of
from ringfence.link import AnyLink, LinkDown, LinkState, Message, Phase
from ringfence.locks import Lock, try_lock
from ringfence.page import NOTHING, Page, PageError
from ringfence.replica import UNSURE, Confirmed, Effect, Now, Replica
from ringfence.shelf import DiskShelf
from ringfence.table import TableError
from ringfence.wire import Ask, Config, Exhausted, Rejected, Topic, WireError, encode

__all__ = ["Syncer"]

log = logging.getLogger(__name__)

LOCK = "sync.lock"

TICK = 0.05
"""Seconds between two looks at what is overdue."""

WAITING = 0.25
"""Seconds between two attempts to be the one that syncs, and to begin where that failed."""

MAX_ASKS = 256


class Shared:
    """One principal as its syncer has it: a replica, and what all may know of it."""

    def __init__(  # noqa: PLR0913 - where it is kept, and for whom
        self,
        gate: str,
        folder: Path,
        page: Page,
        series: int,
        *,
        random: Random,
        settings: GateSettings,
        aside: Aside,
    ) -> None:
        """Open what is on disk; waits for it. Raises `TableError`, `OSError`."""
        self._folder = folder
        self._page = page
        self._series = series
        self.replica = Replica(gate, DiskShelf(folder, aside), random, settings.patience)
        self._said = NOTHING
        self._told: Config | None = None

    def say(self, now: Now, *, sure: bool) -> None:
        """Tell all gates what the replica can prove, if that is not what they were told last.

        Not *sure*, nothing is vouched for: not all is known yet that must count beside the rows.
        """
        vouched = self.replica.vouched(now)._replace(series=self._series)
        if not sure:
            vouched = vouched._replace(sure_until=UNSURE, doubt=vouched.doubt or Reason.NOT_READY)
        if vouched != self._said:
            self._page.say(vouched)
            self._said = vouched

    @property
    def unwritten(self) -> bool:
        """Whether the configuration is another than the one that is written."""
        return self.replica.config is not self._told

    def write(self) -> None:
        """Write the configuration for all gates, whole or not at all; waits for the disk."""
        config, new = self.replica.config, self._folder / f"{CONFIG}.new"
        new.write_bytes(encode(config))
        new.replace(self._folder / CONFIG)
        self._told = config

    def close(self) -> None:
        self.replica.close()


class Syncer:
    """Syncs for the machine of a gate, whenever nobody else does."""

    def __init__(
        self,
        settings: GateSettings,
        *,
        clock: Callable[[], Now],
        random: Random,
        connect: Callable[..., AnyLink],
    ) -> None:
        self.id = f"{settings.id}-sync"
        self.syncs = anyio.Event()
        """Set when it has begun to sync."""
        self._settings = settings
        self._clock = clock
        self._random = random
        self._connect = connect
        self._pages: dict[str, Page] = {}
        self._shared: dict[str, Shared] = {}
        self._asks: deque[tuple[str, Ask]] = deque(maxlen=MAX_ASKS)
        self._asked = anyio.Event()
        self._estates: Estates | None = None
        self._trouble: dict[str, str] = {}

    async def run(self) -> NoReturn:
        """Wait for the turn, and sync until cancelled."""
        while True:
            try:
                async with self._turn():
                    await self._sync()
            except* (BulletinError, OSError, PageError, TableError) as errors:
                for error in _each(errors):
                    log.error("cannot sync for this machine: %s", error)  # noqa: TRY400 - says all
            await anyio.sleep(WAITING)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Be the one that syncs; waits until no other process does."""
        lock = await anyio.to_thread.run_sync(self._try)
        while lock is None:
            await anyio.sleep(WAITING)
            lock = await anyio.to_thread.run_sync(self._try)
        with lock:
            yield

    def _try(self) -> Lock | None:
        folder = tables_of(self._settings.data)
        folder.mkdir(parents=True, exist_ok=True)
        return try_lock(folder / LOCK)

    async def _sync(self) -> None:
        aside = ThreadPoolExecutor(1, "tables")
        try:
            bulletin = await anyio.to_thread.run_sync(self._open, aside.submit)
            try:
                await self._serve(bulletin)
            finally:
                bulletin.close()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._close)
                await anyio.to_thread.run_sync(aside.shutdown)

    def _open(self, aside: Aside) -> Bulletin:
        """Open what is shared; waits for the disk.

        All pages come before any table: nobody vouches any more for what a process that was killed
        has left half written, however long it takes to read it.
        """
        settings, folders = self._settings, {}
        for name in settings.principals:
            folder = folders[name] = tables_of(settings.data, name)
            folder.mkdir(parents=True, exist_ok=True)
            self._pages[name] = Page.create(folder / PAGE)
        bulletin = Bulletin.open(bulletin_of(settings.data))
        try:
            for name, folder in folders.items():
                self._shared[name] = Shared(
                    self.id, folder, self._pages[name], bulletin.series,
                    random=self._random, settings=settings, aside=aside,
                )  # fmt: skip
        except BaseException:
            bulletin.close()
            raise
        return bulletin

    def _close(self) -> None:
        while self._shared:
            _, shared = self._shared.popitem()
            shared.close()
        while self._pages:  # what was vouched for last ends by itself
            _, page = self._pages.popitem()
            page.close()

    async def _serve(self, bulletin: Bulletin) -> None:
        names = list(self._shared)
        topics = [str(Topic(name, what)) for name in names for what in TOPICS]
        topics += [str(Topic(name, "reply", self.id)) for name in names]
        link = self._connect(
            f"ringfence-{self.id}", subscriptions=topics, clock=lambda: self._clock().mono
        )
        estates = self._estates = Estates(self._settings.data, self.id, bulletin)
        try:
            await self._find_all(estates)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(link.run, self._receive, self._link_changed, name="sync")
                tasks.start_soon(self._tick, name="tick of the syncer")
                tasks.start_soon(self._ask, link, name="questions")
                tasks.start_soon(estates.settle, link, name="what gates left")
                self.syncs.set()
        finally:
            self._estates = None
            await estates.close()

    async def _find_all(self, estates: Estates) -> None:
        """Find what gates left that are gone, while none is about to take their place."""
        starting = await anyio.to_thread.run_sync(Lock, tables_of(self._settings.data) / STARTING)
        with starting:
            while True:
                if starting.take():
                    break
                await anyio.sleep(TICK)
            await estates.find()

    # --- the replicas -------------------------------------------------------------------------

    def _receive(self, message: Message) -> None:
        try:
            topic = Topic.parse(message.topic)
            shared = self._shared.get(topic.principal)
            if shared is not None:
                self._hear(topic, shared, message)
        except (BulletinError, OSError, TableError, WireError) as error:
            log.warning("%s: %s", message.topic, error)

    def _act(self, principal: str, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Ask():
                    self._asks.append((principal, effect))
                    self._asked.set()
                case Confirmed(ids) if self._estates is not None:
                    self._estates.confirm(ids)
                case Exhausted(name) if self._estates is not None:
                    self._estates.confirm([name])  # it need not be sent again
                case Rejected(name, reason) if self._estates is not None:
                    self._estates.reject(name, reason)

    def _link_changed(self, state: LinkState) -> None:
        if self._estates is not None:
            self._estates.link_changed(up=state.phase is Phase.UP)

    def _hear(self, topic: Topic, shared: Shared, message: Message) -> None:
        now = self._clock()
        try:
            effects = shared.replica.hear(
                topic.what, message.payload, now, retained=message.retained
            )
        finally:  # what cannot be applied is a doubt, too
            self._say(shared, now)
        self._act(topic.principal, effects)

    async def _tick(self) -> None:
        while True:
            for name, shared in self._shared.items():
                try:
                    self._pass_time(name, shared)
                    if self._estates is not None:
                        self._estates.tick()
                    if shared.unwritten:
                        await anyio.to_thread.run_sync(shared.write)
                    self._trouble.pop(name, None)
                except (BulletinError, OSError, TableError) as error:
                    if self._trouble.get(name) != str(error):  # once, and not at each tick
                        log.warning("%s: %s", name, error)
                    self._trouble[name] = str(error)
            await anyio.sleep(TICK)

    def _pass_time(self, principal: str, shared: Shared) -> None:
        now = self._clock()
        try:
            effects = shared.replica.tick(now)
        finally:
            self._say(shared, now)
        self._act(principal, effects)

    def _say(self, shared: Shared, now: Now) -> None:
        """Tell the gates where the tables stand; before they are told what these reflect."""
        shared.say(now, sure=self._estates is not None and self._estates.posted)

    async def _ask(self, link: AnyLink) -> None:
        while True:
            await self._asked.wait()
            self._asked = anyio.Event()
            with suppress(LinkDown):
                while self._asks:
                    principal, question = self._asks.popleft()
                    await link.publish(str(Topic(principal, "ask")), encode(question))


def _each(errors: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Give the errors of a group, and of the groups in it."""
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _each(error)
        else:
            yield error
