"""Processes that reserve attempts on the same numbers, and are killed while they do."""

import os
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from ringfence.bulletin import LEAST, Bulletin
from ringfence.event import Attempt

NUMBERS, LIMIT = 150, 4

# Reserves attempts, at most four a number, until there are none to be had. What it prints is a
# promise. Between two of them it tells and drops what fills leaves.
RESERVE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from ringfence.bulletin import Bulletin, BulletinBusy
from ringfence.event import Attempt, Keys, Refusal

path, name, numbers, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
at, random = datetime(2026, 9, 1, 8, tzinfo=UTC), Random(name)
bulletin = Bulletin.open(path, patience=30)
attempts = {number: set() for number in range(1, numbers + 1)}

def hear():
    for _, event in bulletin.news().posted:
        if isinstance(event, Attempt):
            attempts[event.keys.number].add(event.id)

count = 0
while open_ones := [number for number, known in attempts.items() if len(known) < limit]:
    number, count = random.choice(open_ones), count + 1
    event = Attempt(
        id=f"{name}-{count}", at=at, on=at.date(), keys=Keys(number=number), call=f"{name}-{count}"
    )
    with bulletin.turn():
        hear()
        reserved = len(attempts[number]) < limit
        if reserved:
            bulletin.post("acme", [event])
    if reserved:
        print(event.id, number, flush=True)
    if count % 4 == 0:
        names = [f"{name}-{count}-{nth}" for nth in range(50)]
        keys, long = Keys(number=1), "x" * 250
        filler = [Refusal(id=some, at=at, on=at.date(), keys=keys, source=long) for some in names]
        with bulletin.turn():
            hear()
            bulletin.post("acme", filler)
        bulletin.drop(names)
    hear()
"""


class Dialers:
    """The processes, four at a time, and what they promised, also those that are gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._running: list[subprocess.Popen[bytes]] = []
        self._told: list[Path] = []

    def fill_up(self) -> None:
        while len(self._running) < 4:
            name = f"p{len(self._told)}"
            self._told.append(self._path.with_name(name))
            with self._told[-1].open("wb") as told:
                arguments = self._path, name, str(NUMBERS), str(LIMIT)
                process = subprocess.Popen([sys.executable, "-c", RESERVE, *arguments], stdout=told)
            self._running.append(process)

    def kill_one(self, random: Random) -> None:
        victim = self._running.pop(random.randrange(len(self._running)))
        victim.kill()
        victim.wait()

    def wait(self) -> list[int]:
        return [process.wait() for process in self._running]

    def promises(self) -> dict[str, int]:
        lines = [line for told in self._told for line in told.read_text().splitlines(keepends=True)]
        whole = [line.split() for line in lines if line.endswith("\n")]
        return {name: int(number) for name, number in whole}


def listen(bulletin: Bulletin, attempts: dict[str, int], enough: int) -> None:
    """Note whose attempts are told until there are enough."""
    while True:
        for notice in bulletin.news().posted:
            if isinstance(notice.event, Attempt) and notice.event.keys:
                assert notice.event.id not in attempts
                attempts[notice.event.id] = notice.event.keys.number or 0
        if len(attempts) >= enough:
            return
        os.sched_yield()


@pytest.mark.parametrize("seed", range(2))
def test_processes_that_are_killed_at_any_time_reserve_exactly_four_attempts_a_number(
    tmp_path: Path, seed: int
) -> None:
    random, attempts = Random(seed), dict[str, int]()
    dialers = Dialers(tmp_path / "bulletin")
    with closing(Bulletin.open(tmp_path / "bulletin", size=LEAST, patience=30)) as bulletin:
        for enough in sorted(random.sample(range(NUMBERS * LIMIT), 12)):
            dialers.fill_up()
            listen(bulletin, attempts, enough)
            dialers.kill_one(random)
        listen(bulletin, attempts, NUMBERS * LIMIT)
        ended = dialers.wait()
        listen(bulletin, attempts, 0)
        generation = bulletin._leaf.generation

    assert Counter(attempts.values()) == dict.fromkeys(range(1, NUMBERS + 1), LIMIT)
    assert dialers.promises().items() <= attempts.items()
    assert ended == [0] * 3
    assert generation > 3
