"""What gates that are gone have left: events of theirs that the ledger has not confirmed.

A gate's place may never be taken again, and a refusal may lie in its outbox. So whoever syncs for
the machine carries it to the ledger, and lets it count for the other gates until it is there.
"""

import logging
from pathlib import Path

import anyio
import anyio.abc
import anyio.to_thread

from ringfence.bulletin import Bulletin, BulletinError
from ringfence.courier import Courier
from ringfence.event import Event
from ringfence.host import OUTBOX
from ringfence.link import AnyLink
from ringfence.outbox import OutboxError
from ringfence.places import Place

__all__ = ["Estates"]

log = logging.getLogger(__name__)

LOOKING = 1.0
"""Seconds between two looks for places whose gate is gone, and at what is still to be confirmed."""

Seen = tuple[int, int, int]
"""What tells whether an outbox was written to since."""


class Estates:
    """The outboxes below *data* whose gates are gone; *gate* is the name they are sent under."""

    def __init__(self, data: Path, gate: str, bulletin: Bulletin) -> None:
        self._data = data
        self._gate = gate
        self.bulletin = bulletin
        self._couriers: dict[int, Courier] = {}
        self._found: list[tuple[Place, Courier]] = []
        self._settled: dict[int, Seen] = {}
        self._linked = False

    async def find(self) -> None:
        """Look for places whose gate is gone: what it left counts from then on."""
        for place in await anyio.to_thread.run_sync(self._left):
            courier = Courier(self._gate, place.folder / OUTBOX)
            courier.begin()
            try:
                self._post(await anyio.to_thread.run_sync(courier.open))
            except (BulletinError, OutboxError) as error:  # tried again the next time
                log.warning("what the gate in %s left: %s", place.folder, error)
                courier.close()
                place.close()
                continue
            self._couriers[place.number] = courier
            self._found.append((place, courier))

    async def settle(self, link: AnyLink) -> None:
        """Run beside the syncer: carry away what was found, and look for more."""
        async with anyio.create_task_group() as tasks:
            while True:
                while self._found:
                    place, courier = self._found.pop()
                    if self._linked:
                        courier.link_is_up()
                    tasks.start_soon(self._carry, place, courier, link)
                await anyio.sleep(LOOKING)
                await self.find()

    async def close(self) -> None:
        """Leave what nobody carries to the next syncer."""
        while self._found:
            place, courier = self._found.pop()
            await self._leave(place, courier, settled=False)

    def _left(self) -> list[Place]:
        """Take the places whose gate is gone and whose outbox may hold something."""
        left = []
        for folder in Place.folders(self._data):
            seen = _seen(folder / OUTBOX)
            if seen is None or seen == self._settled.get(int(folder.name)):
                continue
            place = Place.at(folder)
            if place is not None:
                left.append(place)
        return left

    async def _carry(self, place: Place, courier: Courier, link: AnyLink) -> None:
        """Carry one outbox away, and leave the place when the ledger has confirmed all of it."""
        settled = False
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(courier.carry, link)
                while not settled:
                    settled = courier.pending <= courier.rejected
                    await anyio.sleep(0 if settled else LOOKING)
                tasks.cancel_scope.cancel()
        finally:
            await self._leave(place, courier, settled=settled)

    async def _leave(self, place: Place, courier: Courier, *, settled: bool) -> None:
        del self._couriers[place.number]
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(courier.close)
            seen = await anyio.to_thread.run_sync(_seen, place.folder / OUTBOX)
        if settled and seen is not None:
            self._settled[place.number] = seen
        place.close()

    def _post(self, told: list[tuple[str, Event]]) -> None:
        with self.bulletin.turn():
            self.bulletin.news()
            for principal, event in told:
                self.bulletin.post(principal, [event])

    # --- what the ledger says -----------------------------------------------------------------

    def confirm(self, ids: list[str]) -> None:
        """The ledger holds these events, and the tables reflect them."""
        for courier in self._couriers.values():
            courier.confirm(ids)

    def reject(self, name: str, reason: str) -> None:
        for courier in self._couriers.values():
            courier.reject(name, reason)

    def link_changed(self, *, up: bool) -> None:
        self._linked = up
        for courier in self._couriers.values():
            if up:
                courier.link_is_up()
            else:
                courier.link_is_down()


def _seen(outbox: Path) -> Seen | None:
    try:
        found = outbox.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
