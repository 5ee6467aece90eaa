"""Does a process that reads a table ever see a row that nobody wrote, while another writes it?

One writes at full speed: it replaces rows, alone and by thousands, adds some until the table has
grown several times, loads all anew, and is killed now and then in whatever it does, for another to
go on. Others read. The two words of a row tell of each other and of its key, and the first counts
the turns of the writers: so a row that is half old, or gone, or older than before, shows.

Run: `python -m benchmarks.torn --minutes 10`; with `--careless` versions are not looked at, which
must find torn rows, or this could not tell.
"""

import argparse
import multiprocessing
import random
import sys
import time
from contextlib import closing
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ringfence.mapped import FIRST, Mapped, TableBusy
from ringfence.page import NOTHING, Page, PageError, Vouched
from ringfence.seqlock import RETIRED
from ringfence.slots import VERSION
from ringfence.table import Table, row_hash

SPAWN = multiprocessing.get_context("spawn")

FEW, MANY = 2_000, 60_000
"""Rows after loading, and at most."""

BATCH = 3_000
"""Rows replaced together: several sections, of which each has a version of its own."""

START = 30.0
"""Seconds for a writer to vouch for its first rows."""


class Seen(NamedTuple):
    """What one reader saw, in answers."""

    sound: int = 0
    torn: int = 0
    """Half of one row and half of another."""
    lost: int = 0
    """None, of a row that was there."""
    back: int = 0
    """An older row than before."""
    busy: int = 0
    """None, as the writer was in the middle for too long."""
    unvouched: int = 0
    """Not to be used, by what the page said."""

    @property
    def impossible(self) -> int:
        return self.torn + self.lost + self.back


class Careless(Mapped):
    """Believes what it reads, as long as no other file took the place of the one it reads."""

    def get(self, key: int) -> tuple[int, int] | None:
        if self._words[VERSION] == RETIRED:
            self.refresh()
        words, at = self._words, ((key >> 32) * self._homes >> 32) * 3 + FIRST
        while (found := words[at]) and found != key:
            at += 3
        return (words[at + 1], words[at + 2]) if found else None


def key_of(number: int) -> int:
    return row_hash(number, 1, 1) or 1


def rows_between(first: int, behind: int, turn: int) -> npt.NDArray[np.uint64]:
    """Give the rows of some numbers as they are in a turn."""
    numbers = np.arange(first, behind, dtype=np.uint64)
    one = np.ones_like(numbers)
    keys = row_hash(numbers, one, one)
    low = one * np.uint64(turn)
    return np.column_stack([keys, low, row_hash(keys, low, one)])


# --- the writer -------------------------------------------------------------------------------


def write(folder: Path, seed: int, ready: Connection) -> None:
    """Take over from the last writer, say so, and go on for ever."""
    page, choice = Page.create(folder / "page"), random.Random(seed)
    table, first = taken_over(folder)
    rows = told = FEW
    page.say(Vouched(doubt=None, ground_rows=rows))
    ready.send(first)
    for turn in count(first):
        match choice.randrange(40):
            case 0 if rows + BATCH > MANY:
                page.say(NOTHING)
                table, rows = loaded(folder, table, turn), FEW
            case 0 | 1 | 2 | 3 | 4:
                table.upsert(rows_between(rows, rows + BATCH // 10, turn))
                rows += BATCH // 10
            case 5 | 6 | 7:
                for number in choice.sample(range(rows), 30):
                    table.upsert(rows_between(number, number + 1, turn))
            case _:
                start = choice.randrange(max(1, rows - BATCH))
                table.upsert(rows_between(start, min(start + BATCH, rows), turn))
        table.seq = turn
        if rows != told:
            page.say(Vouched(doubt=None, ground_rows=rows))
            told = rows


def taken_over(folder: Path) -> tuple[Table, int]:
    """Give the table with all its rows told anew, and the next turn."""
    path = folder / "a.table"
    table = Table.open(path) if path.exists() else Table.create(path)
    turn = table.seq + 2  # one may have been told in part
    table.upsert(rows_between(0, FEW, turn))
    table.seq = turn
    return table, turn + 1


def loaded(folder: Path, old: Table, turn: int) -> Table:
    """Give another table, in the place of the old one."""
    table = Table.create(folder / "loading.table", rows=FEW)
    table.upsert(rows_between(0, FEW, turn))
    table.seq = turn
    old.close()
    table.move(folder / "a.table")
    return table


# --- readers ----------------------------------------------------------------------------------


def read(folder: Path, seconds: float, *, careless: bool, seed: int) -> Seen:
    """Look at rows until the time is over, or a row is torn that nobody could have written."""
    choice, last = random.Random(seed), dict[int, int]()
    seen = dict.fromkeys(Seen._fields, 0)
    with closing(opened(folder)) as page:
        kind = Careless if careless else Mapped
        with closing(kind.open(folder / "a.table")) as table:
            until = time.monotonic() + seconds
            while time.monotonic() < until and not seen["torn"]:
                for _ in range(1000):
                    seen[look(page, table, choice, last)] += 1
    return Seen(**seen)


def opened(folder: Path) -> Page:
    """Give the page once somebody vouches for something."""
    until = time.monotonic() + START
    while time.monotonic() < until:
        try:
            page = Page.open(folder / "page")
        except PageError:
            continue
        if page.read().doubt is None:
            return page
        page.close()
    msg = f"nobody vouched for anything within {START} s"
    raise TimeoutError(msg)


def look(page: Page, table: Mapped, choice: random.Random, last: dict[int, int]) -> str:
    """Look at one row, and say how it was."""
    stamp, vouched = page.stamp, page.read()
    if vouched.doubt is not None:
        return "unvouched"
    number = choice.randrange(vouched.ground_rows)
    key = key_of(number)
    try:
        facts = table.get(key)
    except TableBusy:
        return "busy"
    if page.stamp != stamp:
        return "unvouched"
    if facts is None:
        return "lost"
    low, high = facts
    if high != row_hash(key, low, 1):
        return "torn"
    before, last[number] = last.get(number, 0), low
    return "back" if low < before else "sound"


# --- all of them ------------------------------------------------------------------------------


def tried(
    seconds: float, *, readers: int = 8, kill_every: float = 2.0, careless: bool = False
) -> tuple[Seen, int]:
    """Let a writer and readers loose; give what the readers saw, and how often writers were killed.

    A writer that ends by itself is a RuntimeError.
    """
    with TemporaryDirectory() as name, SPAWN.Pool(readers) as pool:
        folder = Path(name)
        looks = [
            pool.apply_async(read, (folder, seconds), {"careless": careless, "seed": seed})
            for seed in range(readers)
        ]
        kills = 0
        while not all(look.ready() for look in looks):
            written_for(folder, kill_every, seed=kills)
            kills += 1
        seen = [look.get() for look in looks]
    return Seen(*(sum(one) for one in zip(*seen, strict=True))), kills


def written_for(folder: Path, seconds: float, seed: int) -> None:
    """Let a writer write for so long, and kill it."""
    ready, tells = SPAWN.Pipe(duplex=False)
    writer = SPAWN.Process(target=write, args=(folder, seed, tells))
    writer.start()
    if ready.poll(START):
        writer.join(seconds)
    if writer.exitcode is not None:
        msg = f"the writer ended by itself, with {writer.exitcode}"
        raise RuntimeError(msg)
    writer.kill()
    writer.join()
    writer.close()


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--minutes", type=float, default=1.0)
    options.add_argument("--readers", type=int, default=8)
    options.add_argument("--careless", action="store_true")
    given = options.parse_args()
    began = time.monotonic()
    seen, kills = tried(given.minutes * 60, readers=given.readers, careless=given.careless)
    print(f"{time.monotonic() - began:.0f} s, {given.readers} readers, {kills} writers killed")
    print(*(f"{value:,} {name}" for name, value in seen._asdict().items()), sep=", ")
    return 1 if seen.impossible else 0


if __name__ == "__main__":
    sys.exit(main())
