"""Segments that are no longer written to, on their way to the disk and to be sealed."""

from collections import deque
from threading import Lock

from ringfence.evidence.record import EvidenceError
from ringfence.evidence.recovery import seal_left
from ringfence.evidence.segment import seal
from ringfence.framing import JournalError
from ringfence.journal import Journal

__all__ = ["Retired"]


class Retired:
    """Journals to be sealed, in their order. `add` is for the event loop, the rest for threads.

    No journal is closed but under *turn*, under which others may be waiting for one to be synced.
    """

    def __init__(self, turn: Lock) -> None:
        self._turn = turn
        self._unsynced: deque[Journal] = deque()
        self._unsealed: deque[Journal] = deque()

    def __bool__(self) -> bool:
        return bool(self._unsealed)

    def add(self, journal: Journal) -> None:
        if not journal.broken:
            self._unsynced.append(journal)
        self._unsealed.append(journal)

    def sync(self) -> None:
        """Wait until they are on the disk; called under *turn*. Raises `OSError`."""
        while self._unsynced:
            # It is not asked twice: a second sync would succeed without having written anything.
            self._unsynced.popleft().sync()

    def seal(self) -> None:
        """Seal them. Raises `EvidenceError`; one that is damaged or gone is then left as it is."""
        while self._unsealed:
            journal = self._unsealed[0]
            doubtful = journal.broken
            with self._turn:
                self.sync()
                journal.close()
            if not journal.path.exists():
                self._unsealed.popleft()
                msg = f"{journal.path} cannot be sealed: it was removed"
                raise EvidenceError(msg)
            try:
                if doubtful:
                    seal_left(journal.path)
                else:
                    seal(journal.path)
            except JournalError as error:
                self._unsealed.popleft()
                msg = f"a segment cannot be sealed: {error}"
                raise EvidenceError(msg) from error
            self._unsealed.popleft()

    def close(self) -> None:
        """Give them up; the next `recover` seals them."""
        while self._unsealed:
            self._unsealed.popleft().close()
        self._unsynced.clear()
