"""What gates that are gone have left: events of theirs that the ledger has not confirmed.

A gate's place may never be taken again, and a refusal may lie in its outbox. So whoever syncs for
the machine carries it to the ledger, and lets it count for the other gates until it is there. Also
what a gate left that did not share.
"""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import anyio
import anyio.abc
import anyio.to_thread

from ringfence.bulletin import Bulletin, BulletinError
from ringfence.courier import Courier
from ringfence.event import Attempt, Callback, Consent, Contract, Event, Slot
from ringfence.host import OUTBOX
from ringfence.link import AnyLink
from ringfence.outbox import OutboxError
from ringfence.overlay import to_show
from ringfence.places import Place

__all__ = ["Estates"]

log = logging.getLogger(__name__)

LOOKING = 1.0
"""Seconds between two looks for gates that are gone, and at what is still to be confirmed."""

AT_ONCE = 200
"""Events told in one turn of the event loop, some milliseconds of work."""

GROUNDS = Consent, Contract, Callback, Slot

Seen = tuple[int, int, int]
"""What tells whether an outbox was written to since."""

Told = tuple[str, Event]
"""A principal, and what was said for it."""


class Estate:
    """The outbox of one gate that is gone, and its place, which nobody takes meanwhile."""

    def __init__(self, gate: str, folder: Path, place: Place | None) -> None:
        self.folder = folder
        self.courier = Courier(gate, folder / OUTBOX)
        self._place = place
        self.courier.begin()

    def open(self) -> list[Told]:
        """Open the outbox, and give what of it counts; waits for the disk. Raises `OutboxError`."""
        told = self.courier.open()
        principals = {event.id: principal for principal, event in told}
        shown = to_show([event for _, event in told])
        return [(principals[event.id], event) for event in sorted(shown, key=_rank)]

    @property
    def settled(self) -> bool:
        """Whether there is nothing left that the ledger might take."""
        return self.courier.pending <= self.courier.rejected

    def close(self) -> None:
        """Leave it to whoever takes the place; waits for the disk."""
        self.courier.close()
        if self._place is not None:
            self._place.close()


class Estates:
    """The outboxes below *data* whose gates are gone; *gate* is the name they are sent under."""

    def __init__(self, data: Path, gate: str, bulletin: Bulletin) -> None:
        self._data = data
        self._gate = gate
        self._bulletin = bulletin
        self._held: dict[Path, Estate] = {}
        self._found: list[Estate] = []
        self._settled: dict[Path, Seen] = {}
        self._unposted: list[Told] = []
        self._confirmed: list[str] = []
        self._linked = False
        self._trouble = ""

    @property
    def posted(self) -> bool:
        """Whether all that was found counts for the other gates."""
        return not self._unposted

    async def find(self) -> None:
        """Look for gates that are gone: what they left counts from then on, as soon as can be."""
        with anyio.CancelScope(shield=True):  # what was taken is not forgotten
            found = await anyio.to_thread.run_sync(self._take)
        for estate, told in found:
            self._held[estate.folder] = estate
            self._found.append(estate)
            self._unposted += told
        self.post()

    def post(self) -> None:
        """Tell the other gates some of what they do not know yet, if that is possible now."""
        some = self._unposted[:AT_ONCE]
        if not some:
            return
        try:
            with self._bulletin.turn():
                self._bulletin.news()
                for principal, event in some:
                    self._bulletin.post(principal, [event])
                    del self._unposted[0]
        except BulletinError as error:  # tried again; the ledger is told all the same
            if self._trouble != str(error):
                log.warning("%d events of gates that are gone: %s", len(self._unposted), error)
            self._trouble = str(error)

    async def settle(self, link: AnyLink) -> None:
        """Run beside the syncer: carry away what was found, and look for more."""
        async with anyio.create_task_group() as tasks:
            while True:
                while self._found:
                    estate = self._found.pop()
                    if self._linked:
                        estate.courier.link_is_up()
                    tasks.start_soon(self._carry, estate, link)
                await anyio.sleep(LOOKING)
                await self.find()

    async def close(self) -> None:
        """Leave what nobody carries to the next syncer."""
        while self._found:
            await self._leave(self._found.pop())

    def _take(self) -> list[tuple[Estate, list[Told]]]:
        """Take the places whose gate is gone and whose outbox may hold something, and open them."""
        with ExitStack() as failed:
            found = []
            for folder in [self._data, *Place.folders(self._data)]:
                seen = _seen(folder / OUTBOX)
                if seen is None or seen == self._settled.get(folder) or folder in self._held:
                    continue
                place = None if folder == self._data else Place.at(folder)
                if place is None and folder != self._data:
                    continue  # its gate is there
                estate = Estate(self._gate, folder, place)
                failed.callback(estate.close)
                try:
                    found.append((estate, estate.open()))
                except OutboxError as error:  # tried again the next time
                    log.warning("what a gate left in %s: %s", folder, error)
                    estate.close()
            failed.pop_all()
        return found

    async def _carry(self, estate: Estate, link: AnyLink) -> None:
        """Carry one outbox away, and leave the place when the ledger has confirmed all of it."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(estate.courier.carry, link)
                while True:
                    if estate.settled:
                        break
                    await anyio.sleep(LOOKING)
                tasks.cancel_scope.cancel()
        finally:
            await self._leave(estate)

    async def _leave(self, estate: Estate) -> None:
        del self._held[estate.folder]
        settled = estate.settled
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(estate.close)
            seen = await anyio.to_thread.run_sync(_seen, estate.folder / OUTBOX)
        if settled and seen is not None:
            self._settled[estate.folder] = seen

    # --- what the ledger says -----------------------------------------------------------------

    def confirm(self, ids: list[str]) -> None:
        """The ledger holds these events, whosever, and the tables reflect them.

        They are dropped from the bulletin first: what an outbox has let go of would stay there.
        """
        self._confirmed += ids
        self._bulletin.drop(ids)
        if not self._bulletin.owes and self._confirmed:
            confirmed, self._confirmed = self._confirmed, []
            self._each(lambda courier: courier.confirm(confirmed))

    def tick(self) -> None:
        """Go on with what was not possible before."""
        self.post()
        if self._confirmed:
            self.confirm([])

    def reject(self, name: str, reason: str) -> None:
        self._each(lambda courier: courier.reject(name, reason))

    def link_changed(self, *, up: bool) -> None:
        self._linked = up
        self._each(Courier.link_is_up if up else Courier.link_is_down)

    def _each(self, tell: Callable[[Courier], None]) -> None:
        for estate in self._held.values():
            tell(estate.courier)


def _rank(event: Event) -> int:
    """Put first what people said against calls."""
    return 1 if isinstance(event, Attempt) else 2 if isinstance(event, GROUNDS) else 0


def _seen(outbox: Path) -> Seen | None:
    try:
        found = outbox.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
