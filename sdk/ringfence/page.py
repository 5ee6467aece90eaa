"""What the keeper of a principal's tables vouches for, where all processes of its host read it.

One page of memory, in a file beside the tables. The keeper says until when the rows are sure, and
says so anew as heads of the ledger arrive. That it died need not be told: what it vouched for ends
by itself, on the clock that all processes of a host share. That clock begins anew when the machine
does, and what was said before that counts for nothing.

Whoever decides compares `stamp` before rows are looked up and again after: where it is the same,
what the page says held for them.
"""

import math
import mmap
import os
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple, Self

from ringfence.decision import Reason
from ringfence.seqlock import begun, ended, unordered

__all__ = ["NOTHING", "STAMP", "Page", "PageError", "Vouched", "boot_of_machine"]

MAGIC = int.from_bytes(b"RFpage\n\0", "little")
FORMAT = 1
STAMP = 2  # as a word, behind those two
BODY, AT = Struct("=16s2Q3d7Q"), 24
SIZE = mmap.PAGESIZE

TRIES = 1000
"""To read what is being written, which takes two microseconds, and giving way each time."""

DOUBTS = (
    None,
    Reason.NOT_READY,
    Reason.STALE,
    Reason.DIVERGED,
    Reason.CLOCK_SKEW,
    Reason.FORKED,
    Reason.EVIDENCE_UNAVAILABLE,
    Reason.ATTEMPT_UNCONFIRMED,
)
"""By their number in the file; more are added at the end."""


class PageError(Exception):
    """The page cannot be used; the text says why and what to do."""


class Vouched(NamedTuple):
    """What its writer vouched for. Instants are seconds of CLOCK_BOOTTIME."""

    epoch: int = 0
    seq: int = 0
    proved_at: float | None = None
    """When the ledger last proved that nothing is missing; None if never."""
    sure_until: float = -math.inf
    """The rows are sure until then, unless the page says otherwise."""
    sure_clock: float = 0.0
    """The ledger's Unix seconds less those of CLOCK_BOOTTIME."""
    doubt: Reason | None = Reason.NOT_READY
    """Why the rows are not sure, where they are not; None where that is only a matter of time."""
    config_epoch: int = 0
    config_version: int = 0
    loads: int = 0
    """How often the tables were loaded anew."""
    ground_rows: int = 0
    restraint_rows: int = 0
    series: int = 0
    """Of the bulletin that counts beside the rows: another one lacks what that one tells."""


NOTHING = Vouched()
"""Where nobody vouches for anything."""


class Page:
    """One page; `create` is for its one writer, `open` for all who read."""

    words: "memoryview[int]"
    """All of it; whoever compares stamps at each decision looks at the word at `STAMP` itself."""

    def __init__(self, memory: mmap.mmap, boot: bytes) -> None:
        self._memory = memory
        self.words = memoryview(memory).cast("Q")
        self._boot = boot

    @classmethod
    def create(cls, path: Path, *, boot: bytes | None = None) -> Self:
        """Make the page, or take over that of a writer which is gone; it vouches for nothing yet.

        That comes before the tables are opened: what was half written there when the other was
        killed must not be taken for what it vouched for. Who else might write is for the caller to
        know. PageError where there is no space, or on a machine where nothing can be shared.
        """
        page = cls(_mapped(path, os.O_RDWR | os.O_CREAT), boot or boot_of_machine())
        words = page.words
        if (words[0], words[1]) != (MAGIC, FORMAT):
            words[STAMP] = begun(0)
            words[0], words[1] = MAGIC, FORMAT
        page.say(NOTHING)
        return page

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        boot: bytes | None = None,
    ) -> Self:
        """Open the page to read it.

        PageError if there is none, if it is something else or of another release, or on a machine
        where nothing can be shared.
        """
        page = cls(_mapped(path, os.O_RDONLY), boot or boot_of_machine())
        magic, number = page.words[:STAMP].tolist()
        if (magic, number) != (MAGIC, FORMAT):
            page.close()
            msg = f"{path} is no page of format {FORMAT}: restart the keeper of the tables"
            raise PageError(msg)
        return page

    @property
    def stamp(self) -> int:
        """Another one each time that something is said."""
        return self.words[STAMP]

    def say(self, vouched: Vouched) -> None:
        """Let all who read know at once. Killed in the middle, it leaves what says nothing."""
        epoch, seq, proved_at, until, clock, doubt, *counts = vouched
        at = math.nan if proved_at is None else proved_at
        fields = self._boot, epoch, seq, at, until, clock, DOUBTS.index(doubt), *counts
        words = self.words
        stamp = words[STAMP]
        words[STAMP] = begun(stamp)
        BODY.pack_into(self._memory, AT, *fields)
        words[STAMP] = ended(stamp)

    def read(self) -> Vouched:
        """Give what was said last.

        That is `NOTHING` if a writer was stopped or killed while it said it, which is known after
        a millisecond or so: keep the stamp from before, and ask again when it is another.
        """
        words = self.words
        for _ in range(TRIES):
            stamp = words[STAMP]
            fields = BODY.unpack_from(self._memory, AT)
            if words[STAMP] == stamp and not stamp & 1:
                return self._told(fields)
            os.sched_yield()
        return NOTHING

    def close(self) -> None:
        self.words.release()
        self._memory.close()

    def _told(self, fields: tuple[Any, ...]) -> Vouched:
        boot, epoch, seq, at, until, clock, doubt, *counts = fields
        if boot != self._boot:
            return NOTHING
        proved_at = None if math.isnan(at) else at
        reason = DOUBTS[doubt] if doubt < len(DOUBTS) else Reason.NOT_READY
        return Vouched(epoch, seq, proved_at, until, clock, reason, *counts)


def boot_of_machine() -> bytes:
    """Name the run of CLOCK_BOOTTIME that this process reads: machine, boot, time namespace."""
    run = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    offsets = Path("/proc/self/timens_offsets")  # where the kernel has such namespaces
    if offsets.exists():
        run += offsets.read_bytes()
    return blake2b(run, digest_size=16).digest()


def _mapped(path: Path, flags: int) -> mmap.mmap:
    if reason := unordered():
        msg = f"{path} is {reason}"
        raise PageError(msg)
    writes = flags & os.O_RDWR
    try:
        file = os.open(path, flags, 0o600)
        try:
            if writes:  # allocated, so that a full disk is no signal when it is written
                os.posix_fallocate(file, 0, SIZE)
            return mmap.mmap(file, SIZE, access=mmap.ACCESS_WRITE if writes else mmap.ACCESS_READ)
        finally:
            os.close(file)
    except (OSError, ValueError) as error:  # as Python says it of a file that is too short
        msg = f"{path} cannot be mapped: {error}. See that the keeper of the tables runs"
        raise PageError(msg) from error
