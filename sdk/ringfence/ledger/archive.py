"""All that a ledger's file tells, read while a ledger may be serving it; changes nothing."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from ringfence.campaign import Campaign, Text
from ringfence.event import AnyEvent, Event
from ringfence.ledger import witness
from ringfence.ledger.store import READABLE, StoreError, select, signed, texts_of
from ringfence.ledger.witness import Witness
from ringfence.wire import Config

__all__ = ["Archive", "opened"]

LOCKED = 5.0
"""Seconds to wait for a lock: a ledger that is closing the file holds it for a moment."""

E = TypeVar("E", bound=Event)

_event = msgspec.msgpack.Decoder(AnyEvent)
_campaigns = msgspec.json.Decoder(tuple[int, dict[str, Campaign]])
_text = msgspec.json.Decoder(Text)


class _Outline(msgspec.Struct):
    """As much of an event as tells whether it is looked for: read in a quarter of the time."""

    kind: str
    on: date


_outline = msgspec.msgpack.Decoder(_Outline)


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a ledger's file for reading, as of one instant.

    Raises `StoreError` if there is no ledger at *path*, and for what SQLite cannot read of it.
    """
    if not path.is_file():
        msg = f"{path}: there is no ledger yet"
        raise StoreError(msg)
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        connected = sqlite3.connect(uri, uri=True, timeout=LOCKED, isolation_level=None)
        with closing(connected) as db:
            db.execute("BEGIN")  # all that is read is of one instant
            _check(path, db)
            yield db
    except sqlite3.Error as error:
        msg = f"{path} is no ledger: {error}"
        raise StoreError(msg) from error


def _check(path: Path, db: sqlite3.Connection) -> None:
    (schema,) = db.execute("PRAGMA user_version").fetchone()
    if schema not in READABLE:
        msg = f"{path} has schema {schema}; this version knows {READABLE[-1]}"
        raise StoreError(msg)


class Archive:
    """What a ledger held at the instant at which it was opened: made by `Archive.open`.

    The file grows while it is open and the ledger serves: what it shows is kept for it. Its
    methods raise `StoreError` for a principal that the ledger does not know.
    """

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path = path
        self._db = db
        self._numbers: dict[str, int] = dict(
            db.execute("SELECT name, id FROM principal ORDER BY name")
        )

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open the file; blocking. Raises `StoreError`, inside of the block too."""
        with opened(path) as db:
            yield cls(path, db)

    def principals(self) -> list[str]:
        return list(self._numbers)

    def config(self, principal: str) -> Config:
        """Give campaigns, texts and their indices as they were registered last."""
        number = self._number(principal)
        (epoch,) = self._db.execute("SELECT epoch FROM ledger").fetchone()
        version, campaigns = self._db.execute(
            "SELECT config, campaigns FROM principal WHERE id = ?", (number,)
        ).fetchone()
        texts = texts_of(self._db, number)
        return Config(
            epoch=epoch,
            version=version,
            campaigns=_campaigns.decode(campaigns)[1],
            texts={name: _text.decode(body) for name, (_, body) in texts.items()},
            index={name: index for name, (index, _) in texts.items()},
        )

    def events(self, principal: str, keys: Iterable[int]) -> list[tuple[int, AnyEvent]]:
        """Give what is filed under these keys, each event once, with its change.

        In the order in which it was said; what was said at one instant, as it was numbered.
        """
        asked = (
            "SELECT seq, body FROM filed JOIN event USING (principal, seq)"
            " WHERE filed.principal = ? AND filed.key IN"
        )
        wanted = [signed(key) for key in keys]
        found = {
            change: _event.decode(body)
            for change, body in select(self._db, asked, self._number(principal), wanted)
        }
        return sorted(found.items(), key=lambda told: (told[1].stated().at, told[0]))

    def told(
        self, principal: str, *, kinds: Collection[type[E]], first: date, last: date
    ) -> Iterator[tuple[int, E]]:
        """Give the events of these kinds of the consumers' dates from *first* to *last*.

        With their changes, as they were numbered, one at a time: all events are looked at, and
        none is held.
        """
        names = {str(kind.__struct_config__.tag) for kind in kinds}
        classes = tuple(kinds)
        rows = self._db.execute(
            "SELECT seq, body FROM event WHERE principal = ? ORDER BY seq",
            (self._number(principal),),
        )
        for change, body in rows:
            outline = _outline.decode(body)
            if outline.kind in names and first <= outline.on <= last:
                event = _event.decode(body)
                if isinstance(event, classes):
                    yield change, event

    def heads(self, gate: str | None = None) -> list[Witness]:
        """Give the heads of a gate's chains of evidence, or of all gates'."""
        return list(witness.heads(self._db, gate))

    def _number(self, principal: str) -> int:
        if principal not in self._numbers:
            known = ", ".join(self._numbers) or "none"
            msg = f"{self.path} knows no principal {principal!r}; there are {known}"
            raise StoreError(msg)
        return self._numbers[principal]
