import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from time import monotonic

import msgspec
import pytest

from ringfence.bulletin import (
    LEAST,
    Bulletin,
    BulletinBusy,
    BulletinError,
    BulletinFull,
    News,
    Notice,
)
from ringfence.event import Attempt, Event, Keys, Refusal
from ringfence.leaf import HEADER, MAGIC, START, TAIL, Posted, record_of
from ringfence.locks import Lock

AT = datetime(2026, 9, 1, 8, tzinfo=UTC)
ON = date(2026, 9, 1)

# Takes the turn and keeps it until its input ends, or it is killed.
HOLD = """
import sys
from pathlib import Path
from ringfence.bulletin import Bulletin
bulletin = Bulletin.open(Path(sys.argv[1]))
with bulletin.turn():
    print("in", flush=True)
    sys.stdin.read()
print("out", flush=True)
sys.stdin.close()
"""

FILL_THE_DISK = """
import resource, sys
from pathlib import Path
from ringfence.bulletin import LEAST, Bulletin, BulletinError
resource.setrlimit(resource.RLIMIT_FSIZE, (LEAST - 1, LEAST - 1))
try:
    Bulletin.open(Path(sys.argv[1]), size=LEAST)
except BulletinError as error:
    print(error)
"""

# Tells something and is killed while it turns over, at the place it is told.
DIE = """
import os, sys
from datetime import UTC, date, datetime
from pathlib import Path
from ringfence import bulletin as bulletins
from ringfence.bulletin import Bulletin
from ringfence.event import Keys, Refusal
from ringfence.leaf import Leaf

def die(*_):
    os.kill(os.getpid(), 9)

def after(do):
    return lambda *arguments: (do(*arguments), die())

bulletin = Bulletin.open(Path(sys.argv[1]))
at = datetime(2026, 9, 1, tzinfo=UTC)
event = Refusal(id="told-by-the-killed", at=at, on=at.date(), keys=Keys(number=1))
with bulletin.turn():
    bulletin.news()
    bulletin.post("acme", [event])
    exec(sys.argv[2])
    bulletin._turn_over()
"""
PLACES = [
    "Leaf.make = die",
    "Leaf.make = after(Leaf.make)",
    "Leaf.retire = after(Leaf.retire)",
    "bulletins._put_in_place = after(bulletins._put_in_place)",
]


class Large(Refusal, frozen=True, kw_only=True, tag="refusal"):
    """A refusal as a later release might tell it."""

    words: str


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bulletin"


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[[], Bulletin]]:
    """Open the bulletin as one more process would: locks are those of open files."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(Bulletin.open(path, size=LEAST)))


@pytest.fixture
def one(opened: Callable[[], Bulletin]) -> Bulletin:
    return opened()


@pytest.fixture
def other(one: Bulletin, opened: Callable[[], Bulletin]) -> Bulletin:  # noqa: ARG001 - the first
    return opened()


def attempt(name: str, key: int = 1) -> Attempt:
    return Attempt(
        id=name, at=AT, on=ON, keys=Keys(number=key), call=f"call-{name}", source="x" * 99
    )


def post(bulletin: Bulletin, *events: Event, principal: str = "acme") -> News:
    """Post in a turn; give the news before."""
    with bulletin.turn():
        news = bulletin.news()
        bulletin.post(principal, events)
    return news


def ids(news: News) -> list[str]:
    return [notice.event.id for notice in news.posted]


def fill(bulletin: Bulletin, *, leaves: int = 1) -> None:
    """Post and drop until so many leaves were turned over."""
    until = bulletin._leaf.generation + leaves
    for count in range(100 * leaves):
        names = [f"filler-{until}-{count}-{nth}" for nth in range(100)]
        post(bulletin, *map(attempt, names))
        bulletin.drop(names)
        bulletin.news()
        if bulletin._leaf.generation >= until:
            return
    pytest.fail("no leaf was turned over")


# --- telling ------------------------------------------------------------------------------------


def test_what_one_posts_is_news_to_all_once(one: Bulletin, other: Bulletin) -> None:
    event = attempt("a")

    post(one, event)

    news = News([Notice("acme", event)], [])
    assert (one.news(), other.news()) == (news, news)
    assert (one.news(), other.news()) == (News([], []), News([], []))


def test_news_come_in_the_order_of_the_posts(one: Bulletin, other: Bulletin) -> None:
    post(one, attempt("a"), attempt("b"))
    before = post(other, attempt("c"), principal="zenith")
    post(one, attempt("d"))

    assert ids(before) == ["a", "b"]
    assert ids(other.news()) == ["c", "d"]


def test_that_there_are_news_is_seen_without_reading_them(one: Bulletin, other: Bulletin) -> None:
    one.news()
    other.news()
    quiet = one.changed, other.changed
    post(one, attempt("a"))
    told = one.changed, other.changed
    one.news()
    heard = one.changed, other.changed
    other.news()
    other.drop(["a"])

    assert (quiet, told, heard) == ((False, False), (True, True), (False, True))
    assert (one.changed, other.changed) == (True, True)


def test_what_is_dropped_is_news_to_all_once(one: Bulletin, other: Bulletin) -> None:
    post(one, attempt("a"), attempt("b"))
    one.news()
    other.news()

    other.drop(["a", "unheard of"])

    assert (one.news(), other.news()) == (News([], ["a"]), News([], ["a"]))
    assert (len(one), len(other)) == (1, 1)


def test_who_was_away_hears_of_what_was_posted_and_dropped(one: Bulletin, other: Bulletin) -> None:
    post(one, attempt("a"), attempt("b"))
    one.drop(["a"])

    news = other.news()

    assert (ids(news), news.dropped) == (["a", "b"], ["a"])


def test_who_comes_later_hears_all_that_counts(
    one: Bulletin, opened: Callable[[], Bulletin]
) -> None:
    post(one, *map(attempt, "abc"))
    one.drop(["b"])

    news = opened().news()

    assert set(ids(news)) - set(news.dropped) == {"a", "c"}


def test_what_is_told_twice_is_told_once(one: Bulletin, other: Bulletin) -> None:
    post(one, attempt("a"), attempt("a", key=2))
    post(other, attempt("a", key=3), attempt("b"))

    assert [notice.event for notice in one.news().posted] == [attempt("a"), attempt("b")]
    assert len(one) == 2


def test_what_was_dropped_counts_when_it_is_told_anew(one: Bulletin, other: Bulletin) -> None:
    post(one, attempt("a"))
    one.drop(["a"])
    post(one, attempt("a"))

    for bulletin in (one, other):
        news = bulletin.news()
        assert (set(ids(news)), news.dropped) == ({"a"}, [])


def test_an_event_may_fill_a_message_and_be_of_a_later_release(
    one: Bulletin,
    other: Bulletin,
    opened: Callable[[], Bulletin],
    caplog: pytest.LogCaptureFixture,
) -> None:
    large = Large(id="a", at=AT, on=ON, keys=Keys(number=1), words="x" * (96 * 1024))

    post(one, large, attempt("b"))
    news = other.news()

    assert [notice.event for notice in one.news().posted] == [large, attempt("b")]
    assert (ids(news), len(other)) == (["b"], 2)
    assert "event a of another process cannot be read" in caplog.text
    fill(other)
    late = opened()
    late.news()
    assert "a" in late._told


# --- turns --------------------------------------------------------------------------------------


def test_only_who_has_the_turn_and_knows_all_posts(one: Bulletin, other: Bulletin) -> None:
    with pytest.raises(RuntimeError, match="in a block"):
        one.post("acme", [attempt("a")])
    post(other, attempt("b"))
    with one.turn():
        with pytest.raises(RuntimeError, match="after its news"):
            one.post("acme", [attempt("a")])
        one.news()
        one.post("acme", [attempt("a")])
        one.post("acme", [attempt("c")])

    assert ids(other.news()) == ["b", "a", "c"]


def test_who_does_not_get_the_turn_in_time_goes_on_without(one: Bulletin, other: Bulletin) -> None:
    with one.turn(), pytest.raises(BulletinBusy, match=r"another process has .*bulletin\.turn"):
        other.turn().__enter__()

    with other.turn():
        assert other.news() == News([], [])


def test_the_turn_ends_with_its_block_whatever_happens_in_it(
    one: Bulletin, other: Bulletin
) -> None:
    with suppress(KeyError), one.turn():
        raise KeyError

    post(other, attempt("a"))


def test_there_is_no_turn_in_a_turn(one: Bulletin) -> None:
    with one.turn(), pytest.raises(RuntimeError, match="already"), one.turn():
        pass


def test_what_cannot_be_dropped_for_another_who_has_the_turn_is_dropped_later(
    one: Bulletin, other: Bulletin
) -> None:
    post(one, *map(attempt, "abc"))
    with one.turn():
        other.drop(["a"])
        assert one.news().dropped == []
    other.drop()
    first = one.news().dropped
    with one.turn():
        other.drop(["b"])
    post(other, attempt("d"))
    second = one.news().dropped
    with one.turn():
        one.drop(["c"])

    assert (first, second, one.news().dropped) == (["a"], ["b"], ["c"])


@pytest.mark.parametrize("ending", [signal.SIGCONT, signal.SIGKILL])
def test_a_process_that_is_stopped_in_its_turn_keeps_others_waiting_only_for_a_moment(
    path: Path, one: Bulletin, ending: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        before = monotonic()
        with pytest.raises(BulletinBusy):
            post(one, attempt("a"))
        waited = monotonic() - before
        process.send_signal(ending)
        process.stdin.close()
        process.stdout.readline()

        post(one, attempt("a"))

    assert waited < 1.0


def test_a_child_forked_in_a_turn_has_no_turn_and_does_not_end_it(
    one: Bulletin, other: Bulletin
) -> None:
    with one.turn():
        one.news()
        child = os.fork()
        if not child:
            try:
                with pytest.raises(RuntimeError):
                    one.post("acme", [attempt("a")])
                with pytest.raises(BulletinError, match="forked"):
                    one.drop(["a"])
                with pytest.raises(BulletinError, match="forked"), one.turn():
                    pass
                one.turn().__exit__()
                os._exit(0)
            finally:
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        with pytest.raises(BulletinBusy):
            post(other, attempt("b"))

    assert status == 0
    assert other.news().posted == []


# --- leaves -------------------------------------------------------------------------------------


def test_a_full_leaf_is_followed_by_another_and_nothing_is_missed_or_told_twice(
    one: Bulletin, other: Bulletin, opened: Callable[[], Bulletin]
) -> None:
    post(one, attempt("a"), attempt("b"))
    other.news()
    fill(one)
    post(one, attempt("c"))
    one.drop(["b"])

    news = other.news()

    assert other._leaf.generation == 2
    assert [name for name in ids(news) if not name.startswith("filler")] == ["c"]
    assert set(ids(news)) - set(news.dropped) == {"c"}
    assert set(news.dropped) - set(ids(news)) == {"b"}
    late = opened().news()
    assert set(ids(late)) - set(late.dropped) == {"a", "c"}


def test_who_missed_a_whole_leaf_still_knows_what_counts(one: Bulletin, other: Bulletin) -> None:
    post(one, attempt("a"), attempt("b"))
    other.news()
    fill(one, leaves=2)
    post(one, attempt("c"))
    one.drop(["a"])
    fill(one, leaves=2)
    post(one, attempt("d"))

    news = other.news()

    assert set(ids(news)) - set(news.dropped) == {"c", "d"}
    assert {name for name in news.dropped if not name.startswith("filler")} == {"a"}
    assert ids(news).count("c") == 1
    assert len(other) == len(one) == 3
    post(other, attempt("e"))
    assert ids(one.news())[-1] == "e"


def test_what_fills_the_half_of_it_is_the_limit(one: Bulletin, other: Bulletin) -> None:
    size = len(
        record_of(Posted("0000", "acme", msgspec.Raw(msgspec.msgpack.encode(attempt("0000")))))
    )
    most = (LEAST - HEADER) // 2 // size
    names = [f"{count:04}" for count in range(most)]
    post(one, *map(attempt, names))

    with pytest.raises(BulletinFull, match=f"bulletin has {most * size} of .* for {most} events"):
        post(one, attempt("9999"))

    news = other.news()
    assert (ids(news), len(one)) == (names, most)
    other.drop(names[:1])
    post(one, attempt("9999"))
    assert ids(other.news()) == ["9999"]


def test_of_events_that_have_no_room_together_none_is_told(one: Bulletin, other: Bulletin) -> None:
    with pytest.raises(BulletinFull):
        post(one, *(attempt(str(count)) for count in range(2000)))

    assert (one.news(), other.news()) == (News([], []), News([], []))


def test_all_that_there_is_can_be_dropped_at_once(one: Bulletin, other: Bulletin) -> None:
    keys = Keys(number=1)
    for turn in range(5):
        with suppress(BulletinFull):
            for count in range(LEAST):
                post(one, Refusal(id=f"{turn:032}{count:032}", at=AT, on=ON, keys=keys))
        other.news()
        names = list(other._told)
        other.drop([*names, *(f"unheard of {count}" for count in range(LEAST))])
        assert one.news().dropped == names
        assert (len(one), len(other)) == (0, 0)


def test_without_space_for_the_next_leaf_nothing_is_told_until_there_is(
    path: Path, one: Bulletin, other: Bulletin
) -> None:
    (path.parent / "bulletin.new").mkdir()
    with pytest.raises(BulletinError, match=r"bulletin\.new cannot get the 262144 bytes"):
        fill(one)
    before = set(one._told)
    (path.parent / "bulletin.new").rmdir()

    fill(one)

    other.news()
    assert set(other._told) == before


def test_a_full_disk_is_an_error_and_leaves_nothing(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, path], stdout=subprocess.PIPE, text=True, check=True
    )

    assert "cannot get the 262144 bytes it needs" in done.stdout
    assert [file.name for file in path.parent.iterdir() if file.suffix == ".new"] == []


# --- what others leave, or do to the files --------------------------------------------------------


def test_what_is_left_of_processes_that_are_gone_is_not_read(
    path: Path, opened: Callable[[], Bulletin]
) -> None:
    path.write_bytes(b"whatever a reboot left")
    one = opened()
    post(one, attempt("a"))
    one.close()

    assert opened().news() == News([], [])


@pytest.mark.parametrize("place", PLACES)
def test_a_process_killed_while_it_turns_over_loses_nothing(
    path: Path, one: Bulletin, other: Bulletin, opened: Callable[[], Bulletin], place: str
) -> None:
    post(one, attempt("a"))
    other.news()

    killed = subprocess.run([sys.executable, "-c", DIE, path, place], check=False)

    assert killed.returncode == -signal.SIGKILL
    heard = ids(other.news())
    with one.turn():
        one.news()
    other.news()
    assert (one.changed, other.changed) == (False, False)
    post(one, attempt("b"))
    heard += ids(other.news())
    late = opened().news()
    assert heard == ["told-by-the-killed", "b"]
    assert set(ids(late)) - set(late.dropped) == {"a", *heard}
    post(other, attempt("c"))
    assert ids(one.news())[-1] == "c"


def test_a_process_killed_while_it_writes_has_told_nothing(one: Bulletin, other: Bulletin) -> None:
    post(one, attempt("a"))
    one.news()
    with other.turn():  # as if killed before the tail was moved
        other.news()
        at = other._at
        other._leaf._memory[at : at + 64] = bytes(range(64))

    post(one, attempt("b"))

    assert (ids(other.news()), ids(one.news())) == (["b"], ["b"])


@pytest.mark.parametrize(
    ("word", "value", "complaint"),
    [
        (HEADER // 8, 0, "damaged at byte 64"),
        (HEADER // 8, 1 << 20, "damaged at byte 64"),
        (HEADER // 8, (1 << 64) - 1, "damaged at byte 64"),
        (HEADER // 8, 3, "damaged at byte 64"),
        (HEADER // 8 + 1, (1 << 64) - 1, "damaged at byte 64"),
        (TAIL, HEADER - 8, "damaged: .* it ends at 56"),
        (TAIL, LEAST + 8, "damaged: .* it ends at 262152"),
        (TAIL, (1 << 64) - 8, "damaged: .* it ends at 1844"),
        (TAIL, HEADER + 8, "damaged at byte 64"),
    ],
)
def test_a_damaged_file_is_an_error_that_says_what_to_do(
    path: Path, one: Bulletin, other: Bulletin, word: int, value: int, complaint: str
) -> None:
    post(one, attempt("a"))
    one._words[word] = value

    with pytest.raises(BulletinError, match=f"{complaint}.*Stop all gates of this host"):
        other.news()
    with pytest.raises(BulletinError, match=complaint), other.turn():
        pass
    with pytest.raises(BulletinError, match=complaint):
        other.drop(["a"])
    with Lock(path.with_name("bulletin.turn")) as turn:
        assert turn.take()  # it was given up each time


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "cut short: 0 bytes"),
        (b"x" * LEAST, "no bulletin"),
        (START.pack(MAGIC, 2, 1, 1, LEAST, 64, 64), "of format 2, and this release reads format 1"),
        (START.pack(MAGIC, 1, 1, 1, LEAST, 64, 64), "cut short, or damaged: 56 bytes, not 262144"),
        (START.pack(MAGIC, 1, 1, 1, LEAST, 64, 56).ljust(LEAST), "damaged: it ends at byte 56"),
        (START.pack(MAGIC, 1, 1, 1, LEAST, 72, 64).ljust(LEAST), "damaged: it ends at byte 64"),
    ],
)
def test_a_file_in_use_that_is_no_bulletin_is_refused(
    path: Path, one: Bulletin, content: bytes, complaint: str
) -> None:
    path.unlink()
    path.write_bytes(content)

    with pytest.raises(BulletinError, match=f"is {complaint}"):
        Bulletin.open(path)

    post(one, attempt("a"))  # who has it goes on


def test_a_file_in_use_that_was_removed_is_not_begun_anew(path: Path, one: Bulletin) -> None:
    path.unlink()

    with pytest.raises(BulletinError, match="is in use and cannot be opened"):
        Bulletin.open(path)

    post(one, attempt("a"))


def test_who_has_the_lock_of_a_removed_file_posts_no_more(
    path: Path, one: Bulletin, opened: Callable[[], Bulletin]
) -> None:
    for file in path.parent.iterdir():
        file.unlink()
    post(opened(), attempt("a"))

    with pytest.raises(BulletinError, match=r"bulletin\.turn was removed while in use"):
        post(one, attempt("b"))


def test_the_leaf_of_another_series_is_not_followed(
    path: Path, one: Bulletin, opened: Callable[[], Bulletin]
) -> None:
    post(one, attempt("a"))
    for file in path.parent.iterdir():
        file.unlink()
    opened()
    one._leaf.retire(one._at)

    with pytest.raises(BulletinError, match="was removed while in use"):
        one.news()


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BulletinError, match="cannot be opened"):
        Bulletin.open(tmp_path / "none" / "bulletin")


@pytest.mark.parametrize("size", [LEAST - 4096, LEAST + 8])
def test_a_size_that_does_not_do_is_refused(path: Path, size: int) -> None:
    with pytest.raises(ValueError, match=f"a bulletin of {size} bytes"):
        Bulletin.open(path, size=size)


def test_machines_that_reorder_stores_share_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = os.uname()
    there = os.uname_result((*here[:4], "aarch64"))
    monkeypatch.setattr(os, "uname", lambda: there)

    with pytest.raises(BulletinError, match="on x86-64 only, not on aarch64"):
        Bulletin.open(path)


def test_only_its_owner_reads_the_files(path: Path, one: Bulletin) -> None:
    fill(one)

    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


def test_closing_twice_is_no_error_and_what_is_closed_gives_no_turn(
    one: Bulletin, other: Bulletin
) -> None:
    post(one, attempt("a"))
    one.close()
    one.close()

    with pytest.raises(BulletinError, match="closed"):
        one.turn().__enter__()
    assert ids(other.news()) == ["a"]
