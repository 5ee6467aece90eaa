"""Whoever does what, in whatever order: all processes of a host come to know the same."""

from collections import Counter
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ringfence.bulletin import LEAST, Bulletin, BulletinFull, News
from ringfence.event import Event, Keys, Refusal

AT = datetime(2026, 9, 1, 8, tzinfo=UTC)
ON = date(2026, 9, 1)

# Where there is a disk in memory, making a leaf costs next to nothing.
MEMORY = Path("/dev/shm")  # noqa: S108 - only as the parent of folders with random names
FOLDERS = MEMORY if MEMORY.is_dir() else None

who = st.integers(0, 2)
names = st.lists(st.sampled_from("abcdefgh"), max_size=4)


def refusal(name: str) -> Refusal:
    return Refusal(id=name, at=AT, on=ON, keys=Keys(number=1), source="x" * 250)


class Process:
    """One that has the bulletin open, and what it shows for the news it had."""

    def __init__(self, path: Path, since: int) -> None:
        self.bulletin = Bulletin.open(path, size=LEAST, patience=0.0)
        self.shown: set[str] = set()
        self.since = since
        self.generation = -1

    def listen(self) -> News:
        news = self.bulletin.news()
        self.shown |= {notice.event.id for notice in news.posted}
        self.shown -= set(news.dropped)
        self.generation = self.bulletin._leaf.generation
        return news


class Host(RuleBasedStateMachine):
    """Three processes, and what was told to whom is kept in the plainest way there is."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory(dir=FOLDERS)
        self.path = Path(self.folder.name, "bulletin")
        self.told: set[str] = set()
        self.posts: list[str] = []
        self.late: list[set[str]] = [set(), set(), set()]
        self.count = 0

    @initialize()
    def start(self) -> None:
        self.processes = [Process(self.path, 0) for _ in range(3)]

    def teardown(self) -> None:
        for process in getattr(self, "processes", []):
            process.bulletin.close()
        self.folder.cleanup()

    def post(self, nth: int, events: list[Event]) -> None:
        process = self.processes[nth]
        with process.bulletin.turn():
            self.dropped(nth)
            self.heard(process, process.listen())
            assert not process.bulletin.changed
            try:
                process.bulletin.post("acme", events)
            except BulletinFull:
                return
        fresh = dict.fromkeys(event.id for event in events if event.id not in self.told)
        self.told |= set(fresh)
        self.posts += fresh

    def dropped(self, nth: int) -> None:
        """What this process could not drop before, it drops as soon as it has the turn."""
        self.told -= self.late[nth]
        self.late[nth].clear()

    def heard(self, process: Process, news: News) -> None:
        expected = self.posts[process.since :]
        heard = [notice.event.id for notice in news.posted]
        process.since = len(self.posts)
        assert process.shown == self.told
        assert not Counter(heard) - Counter(expected)  # nothing twice

    @rule(nth=who, some=names)
    def tell(self, nth: int, some: list[str]) -> None:
        self.post(nth, [refusal(name) for name in some])

    @rule(nth=who, kept=st.integers(0, 120))
    def tell_much(self, nth: int, kept: int) -> None:
        """Half a leaf, most of which is dropped at once."""
        self.count += 1
        many = [f"{self.count}-{place}" for place in range(120)]
        self.post(nth, [refusal(name) for name in many])
        self.drop(nth, many[kept:])

    @rule(nth=who, some=names)
    def drop(self, nth: int, some: list[str]) -> None:
        self.processes[nth].bulletin.drop(some)
        self.late[nth] |= set(some)
        self.dropped(nth)

    @rule(nth=who)
    def drop_all(self, nth: int) -> None:
        self.drop(nth, sorted(self.told))

    @rule(nth=st.integers(0, 1), some=names)
    def drop_while_another_has_the_turn(self, nth: int, some: list[str]) -> None:
        with self.processes[2].bulletin.turn():
            self.dropped(2)
            self.processes[nth].bulletin.drop(some)
        self.late[nth] |= set(some)

    @rule(nth=who)
    def listen(self, nth: int) -> None:
        process = self.processes[nth]
        before, since = process.generation, process.since
        news = process.listen()
        if before >= process.generation - 1:  # it missed no leaf
            assert [notice.event.id for notice in news.posted] == self.posts[since:]
        self.heard(process, news)
        # Between two leaves the next one is looked for until somebody has made it.
        assert process.bulletin.changed == process.bulletin._leaf.retired

    @rule(nth=who)
    def start_anew(self, nth: int) -> None:
        self.processes[nth].bulletin.close()
        self.late[nth].clear()
        self.processes[nth] = Process(self.path, 0)

    @rule(nth=who)
    def be_killed_between_two_leaves(self, nth: int) -> None:
        bulletin = self.processes[nth].bulletin
        with bulletin.turn():
            self.dropped(nth)
            bulletin._leaf.retire(bulletin._at)
        self.start_anew(nth)

    @rule(nth=who, garbage=st.binary(min_size=1, max_size=64))
    def be_killed_in_a_post(self, nth: int, garbage: bytes) -> None:
        bulletin = self.processes[nth].bulletin
        with bulletin.turn():
            self.dropped(nth)
            with suppress(IndexError):  # the leaf ends there
                bulletin._leaf._memory[bulletin._at : bulletin._at + len(garbage)] = garbage
        self.start_anew(nth)

    @invariant()
    def who_has_not_heard_can_see_that(self) -> None:
        for process in getattr(self, "processes", []):
            assert process.bulletin.changed or process.shown == self.told


TestHost = Host.TestCase
