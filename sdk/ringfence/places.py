"""Places for the gate processes of one configuration: a numbered folder each, with a lock.

A place outlives its process, and so does what is in it: whoever takes it next deals with the events
that did not reach the ledger.
"""

import re
from pathlib import Path
from typing import Self

from ringfence.locks import Lock, try_lock

__all__ = ["Place", "PlaceError"]

MAX_PLACES = 999
"""More processes than a host runs: what takes them all is a mistake, and must not fill a disk."""

_NUMBER = re.compile(r"[1-9][0-9]{0,2}")
_NAME = re.compile(r"[a-z0-9_-]{1,48}")
_LOCK = "place.lock"


class PlaceError(Exception):
    """There is no place for this process; the text says why and what to do."""


class Place:
    """The place of this process until it is closed, or the process is gone.

    A forked child has no part in it, and must take one of its own.
    """

    def __init__(self, folder: Path, lock: Lock) -> None:
        self.folder = folder
        self.number = int(folder.name)
        self._lock = lock

    @classmethod
    def take(cls, data: Path) -> Self:
        """Take the first place below *data* that nobody has, be it new or left by another process.

        PlaceError if all are taken; OSError if the folder or its lock cannot be made.
        """
        for number in range(1, MAX_PLACES + 1):
            folder = data / str(number)
            folder.mkdir(parents=True, exist_ok=True)
            if place := cls.at(folder):
                return place
        msg = f"{MAX_PLACES} processes have a place in {data}: stop some, or give others a `data`"
        raise PlaceError(msg)

    @staticmethod
    def folders(data: Path) -> list[Path]:
        """Give the folders of all places below *data*, by their numbers."""
        folders = [path for path in data.glob("[1-9]*") if _NUMBER.fullmatch(path.name)]
        # Without a lock it is a folder that somebody else made, and no place.
        places = [folder for folder in folders if (folder / _LOCK).exists()]
        return sorted(places, key=lambda folder: int(folder.name))

    @classmethod
    def at(cls, folder: Path) -> Self | None:
        """Take the place that has this folder; None if a process has it."""
        lock = try_lock(folder / _LOCK)
        return None if lock is None else cls(folder, lock)

    def gate(self, name: str) -> str:
        """Give the id of the gate in this place, *name* being that of the configuration.

        PlaceError if it is too long to name a gate.
        """
        own = f"{name}-{self.number}"
        if not _NAME.fullmatch(own):
            msg = (
                f"gate.id: {own!r} is the id of a process of this gate, and has to have 1 to 48 of"
                f" a-z, 0-9, `_`, `-`: give {name!r} a shorter one"
            )
            raise PlaceError(msg)
        return own

    @property
    def held(self) -> bool:
        """Whether it is this process's: not closed, and not that of the one it was forked from."""
        return not self._lock.closed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the place to others; what is in the folder stays."""
        self._lock.close()
