"""What a gate shares with the other gates of its machine: tables, a bulletin, and places.

::

    <gate.data>/<n>/                 the place of one process: its outbox
               /evidence/<n>/        and its evidence
               /tables/<principal>/  tables, page and configuration, written by the syncer
                      /bulletin.*    what the gates tell one another
                      /sync.lock     held by the syncer
"""

from collections.abc import Iterable
from pathlib import Path

from ringfence.aside import Aside
from ringfence.bulletin import Bulletin
from ringfence.follower import Follower
from ringfence.places import Place
from ringfence.replica import Patience

__all__ = ["EVIDENCE", "OUTBOX", "Host", "bulletin_of", "tables_of"]

OUTBOX, EVIDENCE = "outbox.journal", "evidence"
"""What a gate keeps its own in: a file and a folder."""


def tables_of(data: Path, principal: str = "") -> Path:
    """Give the folder of the tables, or of those of one principal."""
    return data / "tables" / principal


def bulletin_of(data: Path) -> Path:
    # A principal's name has no dot.
    return tables_of(data) / "bulletin.events"


class Host:
    """The machine as one gate process sees it; `open` takes a place in it."""

    def __init__(self, place: Place, bulletin: Bulletin) -> None:
        self.place = place
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
        place = Place.take(data)
        try:
            host = cls(place, Bulletin.open(bulletin_of(data)))
        except BaseException:
            place.close()
            raise
        for name in principals:
            folder = tables_of(data, name)
            host.followers[name] = Follower(name, folder, patience, host.bulletin, host.stir, aside)
        return host

    def stir(self) -> None:
        """Show what is new in the bulletin to all followers. Raises `BulletinError`."""
        news = self.bulletin.news()
        for principal, event in news.posted:
            follower = self.followers.get(principal)
            if follower is not None:
                follower.posted(event)
        if news.dropped:
            for follower in self.followers.values():
                follower.overlay.drop(news.dropped)

    def close(self) -> None:
        """Leave the place, with what is in it, to whoever takes it next."""
        self.bulletin.close()
        self.place.close()
