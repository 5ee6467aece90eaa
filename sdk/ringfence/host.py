"""What a gate shares with the other gates of its machine: tables, a bulletin, and places.

::

    <gate.data>/<n>/                 the place of one process: its outbox
               /evidence/<n>/        and its evidence
               /tables/<principal>/  tables, page and configuration, written by the syncer
                      /bulletin.*    what the gates tell one another
                      /sync.lock     held by the syncer
"""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep  # noqa: TID251 - for another process, in a thread

from ringfence.aside import Aside
from ringfence.bulletin import Bulletin
from ringfence.follower import Follower
from ringfence.locks import Lock
from ringfence.outbox import Outbox, OutboxError
from ringfence.places import Place, PlaceError
from ringfence.replica import Patience

__all__ = ["EVIDENCE", "OUTBOX", "STARTING", "Host", "bulletin_of", "check_alone", "tables_of"]

OUTBOX, EVIDENCE = "outbox.journal", "evidence"
"""What a gate keeps its own in: a file and a folder."""

STARTING = "starting.lock"
"""Shared by gates that have a place and have not told yet what is in its outbox."""

PATIENCE = 10.0
"""Seconds that a gate which starts waits for a syncer that looks for what others have left."""


def tables_of(data: Path, principal: str = "") -> Path:
    """Give the folder of the tables, or of those of one principal."""
    return data / "tables" / principal


def bulletin_of(data: Path) -> Path:
    # A principal's name has no dot.
    return tables_of(data) / "bulletin.events"


class Host:
    """The machine as one gate process sees it; `open` takes a place in it."""

    def __init__(self, place: Place, bulletin: Bulletin, starting: Lock) -> None:
        self.place = place
        self._starting = starting
        self.bulletin = bulletin
        self.followers: dict[str, Follower] = {}

    @classmethod
    def open(
        cls, data: Path, principals: Iterable[str], patience: Patience, aside: Aside
    ) -> "Host":
        """Take a place, and open what is shared.

        Raises `PlaceError`, `BulletinError`, `OSError`.
        """
        tables_of(data).mkdir(parents=True, exist_ok=True)
        with ExitStack() as failed:
            starting = failed.enter_context(_starting(tables_of(data) / STARTING))
            place = failed.enter_context(Place.take(data))
            host = cls(place, Bulletin.open(bulletin_of(data)), starting)
            failed.pop_all()
        for name in principals:
            folder = tables_of(data, name)
            host.followers[name] = Follower(name, folder, patience, host.bulletin, host.stir, aside)
        return host

    def stir(self) -> bool:
        """Show what is new in the bulletin to all followers, and say whether there was anything.

        Raises `BulletinError`.
        """
        news = self.bulletin.news()
        for principal, event in news.posted:
            follower = self.followers.get(principal)
            if follower is not None:
                follower.posted(event)
        if news.dropped:
            for follower in self.followers.values():
                follower.overlay.drop(news.dropped)
        return bool(news.posted or news.dropped)

    def started(self) -> None:
        """All that is in the outbox was told: from here on a syncer may vouch for the tables."""
        self._starting.close()

    def close(self) -> None:
        """Leave the place, with what is in it, to whoever takes it next."""
        self._starting.close()
        self.bulletin.close()
        self.place.close()


def check_alone(data: Path) -> None:
    """See that no gate which shared has left events here that one which does not would not send.

    Raises `OutboxError` if one has; waits for the disk.
    """
    for folder in Place.folders(data) if data.exists() else ():
        path = folder / OUTBOX
        if not path.exists():
            continue
        outbox = Outbox.open(path)
        left = len(outbox)
        outbox.close()
        if left:
            msg = (
                f"{path} has {left} events of a gate that shared, and the ledger has not confirmed"
                " them: set `share = true`, and let them go before you change it"
            )
            raise OutboxError(msg)


def _starting(path: Path) -> Lock:
    """Say that a gate starts. Raises `PlaceError` where a syncer does not let it."""
    lock, until = Lock(path), monotonic() + PATIENCE
    while not lock.take(shared=True):
        if monotonic() > until:
            lock.close()
            msg = f"{path} is held by a process that looks for what gates left: is it stopped?"
            raise PlaceError(msg)
        sleep(0.01)
    return lock
