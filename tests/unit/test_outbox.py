import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread

import pytest

from ringfence.journal import Journal, JournalError
from ringfence.outbox import (
    MAGIC,
    MAX_ID,
    SMALL,
    SPARE,
    UNWRITTEN,
    Entry,
    Outbox,
    OutboxError,
    OutboxFull,
)

A, B, C = (Entry(name, "acme", name.encode()) for name in "abc")
OTHER = Entry("o", "other", b"o")
LARGE = [Entry(f"large {number}", "acme", bytes(SMALL // 2)) for number in range(40)]
EMPTY = len(MAGIC) + 1

# In processes of their own, for a limit on the size of files holds for a whole process.
FILL_THE_DISK = """
import errno, resource, sys
from pathlib import Path
from ringfence.outbox import Entry, Outbox, OutboxError
outbox = Outbox.open(Path(sys.argv[1]))
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most))
outbox.put(Entry("a", "acme", b"a" * 600))
outbox.put(Entry("b", "acme", b"b" * 200))
try:
    outbox.put(Entry("c", "acme", b"c" * 100), Entry("d", "acme", b"d" * 600))
except OutboxError as error:
    print(errno.errorcode[error.__cause__.errno], error)
print(*(entry.id for entry in outbox.pending()))
outbox.confirm(["a", "b"])
outbox.put(Entry("e", "acme", b"e" * 600))
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
"""
CONFIRM_ON_A_FULL_DISK = """
import os, resource, sys
from pathlib import Path
from ringfence.outbox import UNWRITTEN, Entry, Outbox
path = Path(sys.argv[1])
outbox = Outbox.open(path)
many = [Entry(str(number), "acme", b"") for number in range(UNWRITTEN)]
outbox.put(Entry("a", "acme", b"a"), Entry("b", "acme", b"b"), *many)
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, most))
outbox.confirm(["a", *(entry.id for entry in many)])
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
outbox.put(Entry("a", "other", b"again"))
os._exit(0)
"""
OPEN_ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from ringfence.outbox import Outbox
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))
outbox = Outbox.open(Path(sys.argv[1]))
print(len(outbox), outbox.needs_compaction)
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.outbox"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    with closing(Outbox.open(path)) as outbox:
        yield outbox


def run(program: str, path: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def pending(path: Path) -> list[Entry]:
    with closing(Outbox.open(path)) as outbox:
        return list(outbox.pending())


def killed(outbox: Outbox) -> Path:
    """Give the file as a kill at this moment would leave it."""
    source = outbox._journal.path
    copy = source.with_name("killed.outbox")
    copy.write_bytes(source.read_bytes())
    return copy


def test_what_was_put_is_pending_in_that_order(outbox: Outbox) -> None:
    outbox.put(B, OTHER)
    outbox.put(A)
    outbox.put()

    assert list(outbox.pending()) == [B, OTHER, A]
    assert len(outbox) == 3
    assert "a" in outbox
    assert "c" not in outbox


def test_what_is_pending_can_be_had_for_one_principal(outbox: Outbox) -> None:
    outbox.put(B, OTHER, A)

    assert list(outbox.pending("acme")) == [B, A]
    assert list(outbox.pending("other")) == [OTHER]
    assert list(outbox.pending("nobody")) == []


def test_what_is_pending_is_not_put_twice(path: Path) -> None:
    with closing(Outbox.open(path)) as outbox:
        outbox.put(A, A)
        size = path.stat().st_size
        outbox.put(A)
        assert path.stat().st_size == size

    assert pending(path) == [A]


@pytest.mark.parametrize("other", [Entry("a", "acme", b"b"), Entry("a", "other", b"a")])
def test_another_entry_of_a_pending_id_is_an_error_and_none_is_put(
    outbox: Outbox, other: Entry
) -> None:
    with pytest.raises(ValueError, match="another event is pending under the id a"):
        outbox.put(B, A, other)
    assert len(outbox) == 0

    outbox.put(A)
    with pytest.raises(ValueError, match="another event is pending under the id a"):
        outbox.put(B, other)
    assert list(outbox.pending()) == [A]
    assert outbox.get("a") == A
    assert outbox.get("b") is None


def test_what_is_confirmed_is_no_longer_pending(path: Path) -> None:
    with closing(Outbox.open(path)) as outbox:
        outbox.put(A, B, OTHER, C)
        assert outbox.confirm(["b", "o", "unknown", "b"]) == 2
        assert list(outbox.pending()) == [A, C]
        assert list(outbox.pending("other")) == []

    assert pending(path) == [A, C]


def test_a_killed_process_sends_again_only_what_was_confirmed_since_the_last_put(
    outbox: Outbox,
) -> None:
    outbox.put(A, B)
    outbox.confirm(["a"])
    assert pending(killed(outbox)) == [A, B]

    outbox.put(C)
    assert pending(killed(outbox)) == [B, C]


def test_confirmations_are_written_when_they_are_many(outbox: Outbox) -> None:
    many = [Entry(str(number), "acme", b"") for number in range(UNWRITTEN)]
    outbox.put(A, *many)
    outbox.confirm(entry.id for entry in many)

    assert pending(killed(outbox)) == [A]


def test_an_id_that_was_confirmed_can_be_put_again(path: Path) -> None:
    again = Entry("a", "other", b"again")
    with closing(Outbox.open(path)) as outbox:
        outbox.put(A, B)
        outbox.confirm(["a"])
        outbox.put(again)
        assert list(outbox.pending()) == [B, again]
        assert pending(killed(outbox)) == [B, again]

    assert pending(path) == [B, again]


def test_an_outbox_that_empties_leaves_an_empty_file(outbox: Outbox, path: Path) -> None:
    outbox.put(A, B)
    outbox.confirm(["a"])
    outbox.confirm(["b"])

    assert path.stat().st_size == EMPTY
    outbox.put(C)
    assert pending(killed(outbox)) == [C]


def test_a_large_file_is_cut_only_by_compaction(outbox: Outbox, path: Path) -> None:
    outbox.put(*LARGE)
    outbox.confirm(entry.id for entry in LARGE)
    assert path.stat().st_size > SPARE
    assert pending(killed(outbox)) == []

    assert outbox.needs_compaction
    outbox.compact()

    assert path.stat().st_size == EMPTY


def test_a_full_outbox_takes_nothing_until_something_is_confirmed(path: Path) -> None:
    with closing(Outbox.open(path, limit=2)) as outbox:
        outbox.put(A)
        with pytest.raises(OutboxFull, match=rf"{path} holds 1 of 2 events"):
            outbox.put(B, C)
        assert list(outbox.pending()) == [A]
        outbox.put(A, B)
        outbox.confirm(["a"])
        outbox.put(C)

    assert pending(path) == [B, C]


def test_half_a_put_is_cut_off_and_told(path: Path) -> None:
    with closing(Outbox.open(path)) as outbox:
        outbox.put(A)
        outbox.put(B)
    os.truncate(path, path.stat().st_size - 1)

    with closing(Outbox.open(path)) as outbox:
        assert outbox.recovered > 0
        assert list(outbox.pending()) == [A]


def test_a_full_disk_is_an_outbox_error_and_nothing_is_added(path: Path) -> None:
    error, kept = run(FILL_THE_DISK, path).splitlines()

    assert error.startswith("EFBIG the outbox")
    assert str(path) in error
    assert kept == "a b"
    assert [entry.id for entry in pending(path)] == ["e"]


def test_an_entry_too_large_for_the_file_is_an_outbox_error(outbox: Outbox) -> None:
    with pytest.raises(OutboxError, match="payload of 2000"):
        outbox.put(A, Entry("b", "acme", bytes(2_000_000)))

    assert len(outbox) == 0
    outbox.put(A)


def test_a_thousand_of_the_longest_ids_are_confirmed_in_one_record(path: Path) -> None:
    longest = [
        Entry(f"{number:04}".rjust(MAX_ID, "\U0010ffff"), "acme", b"")
        for number in range(UNWRITTEN)
    ]
    with closing(Outbox.open(path)) as outbox:
        with pytest.raises(OutboxError, match=f"an id of {MAX_ID + 1} characters"):
            outbox.put(B, Entry("x" * (MAX_ID + 1), "acme", b""))
        outbox.put(A, *longest)
        outbox.confirm(entry.id for entry in longest)
        assert pending(killed(outbox)) == [A]


def test_a_confirmation_that_cannot_be_written_is_not_an_error(path: Path) -> None:
    with closing(Outbox.open(path)) as outbox:
        outbox.put(A, B)
        outbox._journal.close()
        assert outbox.confirm(["a", "b"]) == 2
        assert len(outbox) == 0

    assert pending(path) == [A, B]


def test_an_event_put_again_after_an_unwritten_confirmation_is_the_later_one(path: Path) -> None:
    again = Entry("a", "other", b"again")
    run(CONFIRM_ON_A_FULL_DISK, path)

    with closing(Outbox.open(path)) as outbox:
        assert len(outbox) == UNWRITTEN + 2  # sent a second time, and lost none
        outbox.confirm(map(str, range(UNWRITTEN)))
        assert list(outbox.pending()) == [B, again]
        assert list(outbox.pending("acme")) == [B]


def test_a_probe_and_a_sync_find_out_whether_writing_works_and_change_nothing(path: Path) -> None:
    with closing(Outbox.open(path)) as outbox:
        outbox.put(A)
        outbox.probe()
        outbox.sync()
        assert pending(killed(outbox)) == [A]
        outbox._journal.close()
        for attempt in (outbox.probe, outbox.sync):
            with pytest.raises(OutboxError, match="is closed"):
                attempt()


def test_a_compaction_that_fails_is_an_outbox_error_and_changes_nothing(path: Path) -> None:
    with closing(Outbox.open(path)) as outbox:
        outbox.put(A)
        path.with_name(f"{path.name}.new").mkdir()
        with pytest.raises(OutboxError, match="Is a directory"):
            outbox.compact()
        outbox.put(B)

    path.with_name(f"{path.name}.new").rmdir()
    assert pending(path) == [A, B]


async def test_puts_and_confirmations_do_not_hold_the_event_loop(path: Path) -> None:
    """The watch of every test calls out what waits for the disk."""
    outbox = await asyncio.to_thread(Outbox.open, path)
    with closing(outbox):
        outbox.put(A, B)
        outbox.confirm(["a"])
        outbox.put(C)
        outbox.confirm(["b", "c"])
        assert len(outbox) == 0


def test_a_file_of_confirmed_events_is_compacted(outbox: Outbox, path: Path) -> None:
    some, more = LARGE[:20], LARGE[20:]
    outbox.put(A, B, *some)
    outbox.confirm(entry.id for entry in some)
    assert not outbox.needs_compaction
    outbox.put(C, OTHER, *more)
    assert not outbox.needs_compaction
    outbox.confirm(entry.id for entry in more)
    assert outbox.needs_compaction

    outbox.compact()

    assert not outbox.needs_compaction
    assert path.stat().st_size < 200
    outbox.confirm(["b"])
    outbox.put(Entry("d", "acme", b"d"))
    assert [entry.id for entry in pending(killed(outbox))] == ["a", "c", "o", "d"]


def test_a_file_of_which_a_third_is_pending_is_not_compacted(outbox: Outbox) -> None:
    outbox.put(*LARGE, *(Entry(str(number), "acme", bytes(SMALL // 2)) for number in range(20)))
    outbox.confirm(entry.id for entry in LARGE)

    assert not outbox.needs_compaction


def test_a_file_of_confirmed_events_is_compacted_at_opening(path: Path) -> None:
    with closing(Outbox.open(path)) as outbox:
        outbox.put(A, *LARGE)
        outbox.confirm(entry.id for entry in LARGE)
    assert path.stat().st_size > SPARE

    assert pending(path) == [A]
    assert path.stat().st_size < 100


def test_an_outbox_that_cannot_be_compacted_at_opening_is_opened(path: Path) -> None:
    with closing(Outbox.open(path)) as outbox:
        outbox.put(A, *LARGE)
        outbox.confirm(entry.id for entry in LARGE)

    assert run(OPEN_ON_A_FULL_DISK, path) == "1 True\n"
    assert path.stat().st_size > SPARE


def test_a_put_during_a_compaction_is_refused(outbox: Outbox) -> None:
    with outbox._turn, pytest.raises(OutboxError, match="is being compacted: try again"):
        outbox.put(A)

    assert len(outbox) == 0
    outbox.put(A)


def test_an_outbox_can_be_compacted_in_a_thread_while_in_use(outbox: Outbox) -> None:
    """A confirmation may get lost on the way, which means a second sending; an event may not."""
    kept = {}
    outbox.put(*(Entry(f"old {number}", "acme", bytes(100)) for number in range(5000)))
    compaction = Thread(target=outbox.compact)
    compaction.start()
    for number in range(5000):
        outbox.confirm([f"old {number}"])
        entry = Entry(f"new {number}", "acme", b"")
        with suppress(OutboxError):
            outbox.put(entry)
            kept[entry.id] = entry
    compaction.join()

    assert list(outbox.pending()) == list(kept.values())
    assert {entry.id for entry in pending(killed(outbox))} >= kept.keys()


def test_what_is_pending_is_not_safe_in_a_broken_file_until_that_is_rewritten(
    outbox: Outbox, path: Path
) -> None:
    outbox.put(A, B)
    outbox.inspect()
    path.unlink()
    with pytest.raises(OutboxError, match=r"was removed .* See to its disk"):
        outbox.inspect()
    for entry in (A, C):
        with pytest.raises(OutboxError, match="was removed"):
            outbox.put(entry)
    outbox.confirm(["b"])
    assert outbox.broken

    outbox.compact()

    assert not outbox.broken
    outbox.put(A, C)
    assert pending(killed(outbox)) == [A, C]


def test_closing_in_a_thread_takes_nothing_back_that_was_put(outbox: Outbox, path: Path) -> None:
    """It may cut the file, as nothing is pending: no put may come between the two."""
    closing_of = Thread(target=outbox.close)
    with outbox._turn:
        closing_of.start()
        closing_of.join(0.05)
        assert closing_of.is_alive()
    closing_of.join()

    with pytest.raises(OutboxError, match="is closed"):
        outbox.put(A)
    assert pending(path) == []


def test_a_file_that_is_no_outbox_is_refused(path: Path) -> None:
    path.write_bytes(b"something else")

    with pytest.raises(OutboxError, match=f"{path} begins with b'something'") as caught:
        Outbox.open(path)
    assert isinstance(caught.value.__cause__, JournalError)


def test_a_missing_folder_is_an_outbox_error(tmp_path: Path) -> None:
    with pytest.raises(OutboxError, match="No such file"):
        Outbox.open(tmp_path / "missing" / "test.outbox")


def test_a_record_of_another_release_is_refused_and_the_file_is_free_again(path: Path) -> None:
    with closing(Journal.open(path, magic=MAGIC)) as journal:
        journal.append(b"\x91\xa6future")

    for _ in range(2):
        with pytest.raises(OutboxError, match=f"{path} holds what this release cannot read"):
            Outbox.open(path)


def test_two_outboxes_do_not_share_a_file(outbox: Outbox, path: Path) -> None:
    assert len(outbox) == 0
    with pytest.raises(OutboxError, match="in use by another process"):
        Outbox.open(path)
