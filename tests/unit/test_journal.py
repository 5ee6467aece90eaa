import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ringfence.journal import MAX_PAYLOAD, Journal, JournalError, lock_of

MAGIC = b"RFtest"
HEADER = MAGIC + b"\x01"
RECORD = 8  # bytes before a payload

# In processes of their own: a limit on the size of files, and a lock, hold for a whole process.
FILL_THE_DISK = """
import errno, resource, sys
from pathlib import Path
from ringfence.journal import Journal
journal = Journal.open(Path(sys.argv[1]), magic=b"RFtest")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
journal.append(b"a" * 800)
try:
    journal.append(b"b" * 100, b"c" * 800)
except OSError as error:
    print(errno.errorcode[error.errno], journal.broken, journal.size)
try:
    journal.rewrite([b"d" * 2000])
except OSError as error:
    print(errno.errorcode[error.errno], journal.broken, journal.size)
journal.append(b"e" * 100)
"""
PROBE_THE_DISK = """
import errno, resource, sys
from pathlib import Path
from ringfence.journal import Journal
journal = Journal.open(Path(sys.argv[1]), magic=b"RFtest")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
journal.append(b"a" * 800)
journal.probe(100)
print("room")
try:
    journal.probe(1000)
except OSError as error:
    print(errno.errorcode[error.errno], journal.broken, journal.size)
journal.append(b"b" * 100)
"""
HOLD = """
import sys
from pathlib import Path
from ringfence.journal import Journal
journal = Journal.open(Path(sys.argv[1]), magic=b"RFtest")
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.journal"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with closing(Journal.open(path, magic=MAGIC)) as journal:
        yield journal


def written(path: Path, *payloads: bytes) -> bytes:
    """Make a journal of *payloads* at *path*, and give its bytes."""
    with closing(Journal.open(path, magic=MAGIC)) as journal:
        journal.append(*payloads)
    return path.read_bytes()


def read(path: Path) -> list[bytes]:
    with closing(Journal.open(path, magic=MAGIC)) as journal:
        return list(journal.replay())


def run(program: str, path: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def replace_file(journal: Journal, device: str) -> None:
    """Let the journal write to *device*, as if its file had become that."""
    substitute = os.open(device, os.O_WRONLY)
    os.dup2(substitute, journal._file)
    os.close(substitute)


def test_records_come_back_in_the_order_of_append(path: Path) -> None:
    with closing(Journal.open(path, magic=MAGIC)) as journal:
        journal.append(b"one")
        journal.append(b"two", b"three")
        journal.append()
        assert list(journal.replay()) == [b"one", b"two", b"three"]

    assert read(path) == [b"one", b"two", b"three"]


def test_size_is_the_size_of_the_file(journal: Journal) -> None:
    journal.append(b"one", b"two")

    assert journal.size == journal.path.stat().st_size == len(HEADER) + 2 * (RECORD + 3)


def test_a_whole_journal_is_not_cut(path: Path) -> None:
    written(path, b"one")

    with closing(Journal.open(path, magic=MAGIC)) as journal:
        assert journal.cut == 0


def test_half_a_record_is_cut_off_and_told(path: Path) -> None:
    whole = written(path, b"one", b"two")
    path.write_bytes(whole[:-1])

    with closing(Journal.open(path, magic=MAGIC)) as journal:
        assert list(journal.replay()) == [b"one"]
        assert journal.cut == RECORD + 2
    assert path.read_bytes() == whole[: -(RECORD + 3)]


@pytest.mark.parametrize("header", [b"", HEADER[:1], HEADER[:-1]])
def test_half_a_header_is_written_again(path: Path, header: bytes) -> None:
    path.write_bytes(header)

    with closing(Journal.open(path, magic=MAGIC)) as journal:
        assert journal.cut == len(header)
        journal.append(b"one")
    assert read(path) == [b"one"]


@pytest.mark.parametrize("zeros", [1, 7, 8, 9, 4096, 3 * MAX_PAYLOAD])
def test_zeros_behind_the_records_are_a_torn_tail(path: Path, zeros: int) -> None:
    whole = written(path, b"one", b"two")
    path.write_bytes(whole + bytes(zeros))

    with closing(Journal.open(path, magic=MAGIC)) as journal:
        assert list(journal.replay()) == [b"one", b"two"]
        assert journal.cut == zeros


def test_a_last_record_whose_bytes_never_reached_the_disk_is_a_torn_tail(path: Path) -> None:
    whole = written(path, b"one", b"two" * 100)
    path.write_bytes(whole[:-200] + bytes(200))

    assert read(path) == [b"one"]


@pytest.mark.parametrize("size", [1, 300, MAX_PAYLOAD])
@pytest.mark.parametrize("lost", [1, MAX_PAYLOAD - RECORD, MAX_PAYLOAD])
def test_damage_in_the_middle_is_an_error_that_names_the_place(
    path: Path, size: int, lost: int
) -> None:
    whole = written(path, b"one", b"x" * lost, b"y" * size)
    bad = len(HEADER) + RECORD + 3
    later = bad + RECORD + lost
    damaged = whole[:bad] + b"\xff" * RECORD + whole[bad + RECORD :]
    path.write_bytes(damaged)

    with pytest.raises(JournalError, match=rf"{path}.* byte {bad} .* byte {later} on"):
        Journal.open(path, magic=MAGIC)
    assert path.read_bytes() == damaged


def test_a_journal_inside_a_record_is_not_taken_for_records(path: Path) -> None:
    """The tail is torn, though bytes in it are whole records of another journal."""
    inner = written(path, b"one", b"two")
    path.unlink()
    path.write_bytes(written(path, b"zero", inner)[:-1])

    assert read(path) == [b"zero"]


def test_a_foreign_file_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"number;name\n+33199000001;Ada\n")

    with pytest.raises(JournalError, match=rf"{path} begins with b'number;'.* another path"):
        Journal.open(path, magic=MAGIC)
    assert path.read_bytes() == b"number;name\n+33199000001;Ada\n"


def test_a_newer_format_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(MAGIC + b"\x02whatever")

    with pytest.raises(JournalError, match=rf"{path} is a journal of format 2.* reads format 1"):
        Journal.open(path, magic=MAGIC)
    assert path.read_bytes() == MAGIC + b"\x02whatever"


def test_a_folder_is_no_journal(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="not a regular file"):
        Journal.open(tmp_path, magic=MAGIC)


def test_a_missing_folder_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Journal.open(tmp_path / "missing" / "test.journal", magic=MAGIC)


def test_a_refused_file_is_not_locked(path: Path) -> None:
    path.write_bytes(b"something else")
    with pytest.raises(JournalError):
        Journal.open(path, magic=MAGIC)
    path.unlink()

    assert read(path) == []


@pytest.mark.parametrize("size", [0, MAX_PAYLOAD + 1])
def test_a_payload_that_does_not_fit_is_refused_with_those_beside_it(
    journal: Journal, size: int
) -> None:
    with pytest.raises(JournalError, match=f"payload of {size} bytes"):
        journal.append(b"one", bytes(size))

    assert list(journal.replay()) == []
    assert not journal.broken


def test_the_largest_payload_fits(path: Path) -> None:
    written(path, b"x" * MAX_PAYLOAD)

    assert read(path) == [b"x" * MAX_PAYLOAD]


def test_a_cleared_journal_is_empty_and_takes_records(path: Path) -> None:
    with closing(Journal.open(path, magic=MAGIC)) as journal:
        journal.append(b"one")
        journal.clear()
        journal.clear()
        assert (list(journal.replay()), journal.size) == ([], len(HEADER))
        journal.append(b"two")

    assert read(path) == [b"two"]


def test_a_rewritten_journal_holds_the_new_records_and_takes_more(path: Path) -> None:
    many = [b"x" * (MAX_PAYLOAD // 3)] * 10
    with closing(Journal.open(path, magic=MAGIC)) as journal:
        journal.append(b"one", b"two")
        journal.rewrite(many)
        journal.append(b"three")
        assert journal.size == path.stat().st_size

    assert read(path) == [*many, b"three"]


def test_a_journal_can_be_rewritten_from_itself(journal: Journal) -> None:
    journal.append(b"one", b"two", b"three")

    journal.rewrite(record for record in journal.replay() if record != b"two")

    assert list(journal.replay()) == [b"one", b"three"]


def test_a_rewrite_that_fails_leaves_the_old_records(path: Path) -> None:
    with closing(Journal.open(path, magic=MAGIC)) as journal:
        journal.append(b"one")
        with pytest.raises(JournalError, match="payload of 0 bytes"):
            journal.rewrite([b"two", b""])
        journal.append(b"three")

    assert read(path) == [b"one", b"three"]
    assert {file.name for file in path.parent.iterdir()} == {path.name, f"{path.name}.lock"}


def test_an_append_during_a_rewrite_is_refused_rather_than_lost(journal: Journal) -> None:
    def payloads() -> Iterator[bytes]:
        yield b"one"
        with pytest.raises(JournalError, match="being rewritten"):
            journal.append(b"two")

    journal.rewrite(payloads())

    assert list(journal.replay()) == [b"one"]


def test_a_journal_can_be_synced_during_and_after_a_rewrite(journal: Journal) -> None:
    def payloads() -> Iterator[bytes]:
        yield b"one"
        journal.sync()

    journal.rewrite(payloads())
    journal.sync()

    assert list(journal.replay()) == [b"one"]


def test_a_journal_that_is_where_it_belongs_is_found_there(journal: Journal) -> None:
    journal.inspect()
    journal.append(b"one", b"two")
    journal.inspect()
    journal.rewrite([b"three"])
    journal.inspect()
    journal.clear()
    journal.inspect()

    assert not journal.broken


def removed(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"another")


def cut(path: Path) -> None:
    os.truncate(path, 1)


def written_to(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"another")


def unlocked(path: Path) -> None:
    lock_of(path).unlink()


@pytest.mark.parametrize("lose", [removed, replaced, cut, written_to, unlocked])
def test_a_journal_that_is_not_found_by_its_path_is_broken_until_rewritten(
    journal: Journal, lose: Callable[[Path], None]
) -> None:
    journal.append(b"one")
    lose(journal.path)
    with pytest.raises(
        JournalError, match=r"was removed or replaced|bytes, where \d+ were written"
    ):
        journal.inspect()
    assert journal.broken
    with pytest.raises(JournalError, match="open it again"):
        journal.append(b"two")

    journal.rewrite([b"one"])

    assert not journal.broken
    journal.append(b"three")
    journal.inspect()
    assert list(journal.replay()) == [b"one", b"three"]
    with pytest.raises(JournalError, match="in use by another process"):
        Journal.open(journal.path, magic=MAGIC)


def test_what_others_put_in_its_place_is_set_aside(journal: Journal) -> None:
    replaced(journal.path)

    journal.rewrite([b"one"])

    found = {file.name for file in journal.path.parent.iterdir()}
    (aside,) = found - {journal.path.name, lock_of(journal.path).name}
    assert journal.path.with_name(aside).read_bytes() == b"another"


def test_what_others_use_in_its_place_is_not_touched(journal: Journal) -> None:
    for path in (journal.path, lock_of(journal.path)):
        path.unlink()
    with closing(Journal.open(journal.path, magic=MAGIC)) as other:
        other.append(b"theirs")
        with pytest.raises(JournalError, match="was removed or replaced"):
            journal.inspect()
        with pytest.raises(JournalError, match="in use by another process"):
            journal.rewrite([b"ours"])
        assert list(other.replay()) == [b"theirs"]
    assert journal.broken


def test_what_a_killed_rewrite_left_behind_is_removed(path: Path) -> None:
    written(path, b"one")
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.write_bytes(HEADER + b"half")

    assert read(path) == [b"one"]
    assert not unfinished.exists()


def test_a_replay_tells_of_damage_since_opening(journal: Journal) -> None:
    journal.append(b"one", b"two")
    os.truncate(journal.path, journal.size - 1)

    with pytest.raises(JournalError, match=f"byte {len(HEADER) + RECORD + 3} was damaged"):
        list(journal.replay())


def test_a_replay_does_not_see_what_is_appended_meanwhile(journal: Journal) -> None:
    journal.append(b"one", b"two")
    replay = journal.replay()
    first = next(replay)
    journal.append(b"three")

    assert [first, *replay] == [b"one", b"two"]


def test_a_second_journal_on_the_same_file_is_refused(journal: Journal, tmp_path: Path) -> None:
    alias = tmp_path / "alias"
    alias.symlink_to(journal.path)

    for path in (journal.path, alias):
        with pytest.raises(JournalError, match=rf"{journal.path} is in use by another process"):
            Journal.open(path, magic=MAGIC)


def test_two_processes_never_write_to_one_journal(path: Path) -> None:
    with run(HOLD, path) as other:
        assert other.stdout
        assert other.stdout.readline() == "open\n"
        with pytest.raises(JournalError, match=rf"{path} is in use by another process"):
            Journal.open(path, magic=MAGIC)
        other.kill()

    assert read(path) == []  # the lock died with its holder


def test_a_rewritten_journal_is_still_locked(journal: Journal) -> None:
    journal.rewrite([b"one"])

    with pytest.raises(JournalError, match="in use"):
        Journal.open(journal.path, magic=MAGIC)


def test_a_forked_child_may_not_append_and_leaves_the_lock(journal: Journal) -> None:
    child = os.fork()
    if child == 0:
        try:
            journal.append(b"from the child")
        except JournalError:
            journal.close()
            os._exit(7)
        os._exit(0)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    with pytest.raises(JournalError, match="in use"):
        Journal.open(journal.path, magic=MAGIC)
    assert list(journal.replay()) == []


def test_a_closed_journal_refuses_and_can_be_closed_again(path: Path) -> None:
    journal = Journal.open(path, magic=MAGIC)
    journal.close()
    journal.close()

    assert journal.broken
    for refused in (journal.append, journal.inspect, lambda: journal.rewrite([])):
        with pytest.raises(JournalError, match=f"{path} is closed: open it again"):
            refused()


def test_an_append_to_a_full_disk_is_cut_back(path: Path) -> None:
    """Some of its bytes fitted; later appends stay readable all the same."""
    size = len(HEADER) + RECORD + 800
    with run(FILL_THE_DISK, path) as program:
        output, _ = program.communicate()

    assert output.splitlines() == [f"EFBIG False {size}", f"EFBIG False {size}"]
    assert read(path) == [b"a" * 800, b"e" * 100]


def test_a_probe_leaves_nothing_behind(journal: Journal) -> None:
    journal.append(b"one")
    journal.probe(5000)
    journal.append(b"two")

    assert list(journal.replay()) == [b"one", b"two"]
    assert journal.size == journal.path.stat().st_size


def test_a_probe_tells_of_a_full_disk(path: Path) -> None:
    size = len(HEADER) + RECORD + 800
    with run(PROBE_THE_DISK, path) as program:
        output, _ = program.communicate()

    assert output.splitlines() == ["room", f"EFBIG False {size}"]
    assert read(path) == [b"a" * 800, b"b" * 100]


def test_a_journal_that_cannot_be_cut_back_is_broken_until_reopened(path: Path) -> None:
    with closing(Journal.open(path, magic=MAGIC)) as journal:
        journal.append(b"one")
        replace_file(journal, "/dev/full")
        with pytest.raises(OSError, match="No space left"):
            journal.append(b"two")
        assert journal.broken
        with pytest.raises(JournalError, match=r"half a record .* open it again"):
            journal.append(b"three")

    assert read(path) == [b"one"]


def test_a_journal_that_cannot_be_synced_is_broken(journal: Journal) -> None:
    replace_file(journal, "/dev/null")

    with pytest.raises(OSError, match="Invalid argument"):
        journal.sync()
    with pytest.raises(JournalError, match="may have lost records"):
        journal.sync()

    journal.rewrite([b"one"])
    journal.sync()
    assert list(journal.replay()) == [b"one"]


def test_a_synced_journal_goes_on(journal: Journal) -> None:
    journal.append(b"one")
    journal.sync()
    journal.append(b"two")

    assert list(journal.replay()) == [b"one", b"two"]
