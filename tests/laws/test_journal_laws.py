import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ringfence.journal import Journal, JournalError
from ringfence.outbox import Entry, Outbox, OutboxError, OutboxFull

MAGIC = b"RFtest"

# The laws are about bytes: where there is a disk in memory, thousands of fsyncs cost nothing.
MEMORY = Path("/dev/shm")  # noqa: S108 - only as the parent of folders with random names
FOLDERS = MEMORY if MEMORY.is_dir() else None

# Each prints what it has been promised, until it is killed.
APPEND_FOR_EVER = """
import itertools, sys
from pathlib import Path
from ringfence.journal import Journal
journal = Journal.open(Path(sys.argv[1]), magic=b"RFtest")
for count in itertools.count(1):
    journal.append(b"record %d" % count)
    print(count, flush=True)
"""
REWRITE_FOR_EVER = """
import itertools, sys
from pathlib import Path
from ringfence.journal import Journal
journal = Journal.open(Path(sys.argv[1]), magic=b"RFtest")
for count in itertools.count(1):
    journal.append(b"record %d" % count)
    print(count, flush=True)
    journal.rewrite(journal.replay())
"""
PUT_FOR_EVER = """
import itertools, sys
from pathlib import Path
from ringfence.outbox import Entry, Outbox
outbox = Outbox.open(Path(sys.argv[1]))
for count in itertools.count(1):
    outbox.put(Entry(str(count), "acme", b"payload"))
    print(count, flush=True)
    if count % 14 == 0:
        outbox.confirm(str(id) for id in range(count + 1))
    elif count % 7 == 0:
        outbox.confirm(str(id) for id in range(count - 3, count))
    if count % 50 == 0:
        outbox.compact()
"""

# Zeros and small numbers look most like lengths, and so like records.
payloads = st.lists(
    st.binary(min_size=1, max_size=40)
    | st.lists(st.sampled_from([0, 1, 8]), min_size=1, max_size=40).map(bytes),
    max_size=12,
)


@contextmanager
def journal_file(content: bytes | None = None) -> Iterator[Path]:
    with TemporaryDirectory(dir=FOLDERS) as folder:
        path = Path(folder, "test.journal")
        if content is not None:
            path.write_bytes(content)
        yield path


def journal_of(records: Iterable[bytes]) -> bytes:
    with journal_file() as path, closing(Journal.open(path, magic=MAGIC)) as journal:
        journal.append(*records)
        return path.read_bytes()


def is_prefix(part: list[bytes], whole: list[bytes]) -> bool:
    return part == whole[: len(part)]


@given(records=payloads, more=payloads, data=st.data())
def test_a_journal_cut_at_any_byte_gives_a_prefix_and_goes_on(
    records: list[bytes], more: list[bytes], data: st.DataObject
) -> None:
    """A crash ends the file anywhere; nothing before is lost, nothing after is unreadable."""
    whole = journal_of(records)
    end = data.draw(st.integers(0, len(whole)))

    with journal_file(whole[:end]) as path:
        with closing(Journal.open(path, magic=MAGIC)) as journal:
            kept = list(journal.replay())
            journal.append(*more)
        with closing(Journal.open(path, magic=MAGIC)) as journal:
            assert journal.cut == 0
            assert list(journal.replay()) == kept + more

    assert is_prefix(kept, records)
    assert len(journal_of(kept)) <= max(end, len(journal_of([])))
    assert end < len(journal_of(records[: len(kept) + 1])) or kept == records


@given(records=payloads, tail=st.binary(max_size=100) | st.integers(0, 5000).map(bytes))
def test_whatever_stands_behind_the_records_they_are_all_read(
    records: list[bytes], tail: bytes
) -> None:
    """A power cut leaves zeros, or what the disk held before."""
    whole = journal_of(records)

    with (
        journal_file(whole + tail) as path,
        closing(Journal.open(path, magic=MAGIC)) as journal,
    ):
        assert list(journal.replay()) == records
        assert journal.cut == len(tail)


@given(records=payloads, data=st.data())
def test_a_changed_byte_never_gives_a_record_that_was_not_written(
    records: list[bytes], data: st.DataObject
) -> None:
    """A disk decays; what is read was written, in that order, or the journal says no."""
    content = bytearray(journal_of(records))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))

    with journal_file(bytes(content)) as path, suppress(JournalError):
        with closing(Journal.open(path, magic=MAGIC)) as journal:
            kept = list(journal.replay())
        # Read, and not refused: then only the last record can be missing.
        assert kept == records[:-1]


@given(records=payloads, data=st.data())
def test_zeros_in_place_of_records_never_give_others(
    records: list[bytes], data: st.DataObject
) -> None:
    """Pages that a power cut kept from the disk read as zeros, wherever they are."""
    content = journal_of(records)
    header = len(journal_of([]))
    start = data.draw(st.integers(header, len(content)))
    stop = data.draw(st.integers(start, len(content)))

    with (
        journal_file(content[:start] + bytes(stop - start) + content[stop:]) as path,
        suppress(JournalError),
    ):
        with closing(Journal.open(path, magic=MAGIC)) as journal:
            kept = list(journal.replay())
        assert is_prefix(kept, records)


@given(garbage=st.binary(max_size=200))
def test_a_file_of_anything_is_refused_in_one_way(garbage: bytes) -> None:
    """And then it is as it was."""
    with journal_file(garbage) as path:
        try:
            Journal.open(path, magic=MAGIC).close()
        except JournalError:
            assert path.read_bytes() == garbage


def promised_before_kill(program: str, path: Path, count: int) -> int:
    """Kill *program* once it has printed *count* numbers, and give the last one it printed."""
    with subprocess.Popen(
        [sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout
        seen = list(islice(writer.stdout, count))
        writer.kill()
        seen += writer.stdout
    return int([line for line in seen if line.endswith("\n")][-1])


@pytest.mark.parametrize("program", [APPEND_FOR_EVER, REWRITE_FOR_EVER])
@pytest.mark.parametrize("count", [1, 17, 400])
def test_a_killed_process_loses_no_record_it_was_promised(
    tmp_path: Path, program: str, count: int
) -> None:
    path = tmp_path / "test.journal"
    promised = promised_before_kill(program, path, count)

    with closing(Journal.open(path, magic=MAGIC)) as journal:
        records = list(journal.replay())

    # One more may be there: written, and killed before it was printed.
    assert records[promised:] in ([], [b"record %d" % (promised + 1)])
    assert records[:promised] == [b"record %d" % number for number in range(1, promised + 1)]


@pytest.mark.parametrize("count", [1, 30, 700])
def test_a_killed_process_loses_no_event_that_was_put(tmp_path: Path, count: int) -> None:
    path = tmp_path / "test.outbox"
    promised = promised_before_kill(PUT_FOR_EVER, path, count)

    with closing(Outbox.open(path)) as outbox:
        kept = [int(entry.id) for entry in outbox.pending()]

    # Each fourteenth time the program confirms all, each seventh the three below.
    everything = promised - promised % 14
    unconfirmed = set(range(everything + 1, promised + 1)) - set(
        range(everything + 4, everything + 7)
    )
    assert set(kept) >= unconfirmed
    assert kept == sorted(set(kept))
    assert set(kept) <= set(range(1, promised + 2))


ids = st.sampled_from("abcdefgh")
entries = st.builds(
    Entry, id=ids, principal=st.sampled_from(["acme", "other"]), payload=st.binary(max_size=8)
)
LIMIT = 5


class OutboxModel(RuleBasedStateMachine):
    """An outbox is a dictionary by id, and so is what a kill leaves of it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory(dir=FOLDERS)
        self.path = Path(self.folder.name, "test.outbox")
        self.outbox = Outbox.open(self.path, limit=LIMIT)
        self.model: dict[str, Entry] = {}
        self.put: list[Entry] = []

    def teardown(self) -> None:
        self.outbox.close()
        self.folder.cleanup()

    @rule(batch=st.lists(entries, max_size=4))
    def put_some(self, batch: list[Entry]) -> None:
        after = dict(self.model)
        alone = all(after.setdefault(entry.id, entry) == entry for entry in batch)
        try:
            self.outbox.put(*batch)
        except ValueError:
            assert not alone
        except OutboxFull:
            assert len(after) > LIMIT
        else:
            assert alone
            self.model = after
            self.put += batch

    @rule(known=st.lists(ids))
    def confirm_some(self, known: list[str]) -> None:
        confirmed = self.outbox.confirm(known)

        assert confirmed == len(self.model.keys() & set(known))
        for name in known:
            self.model.pop(name, None)

    @rule()
    def compact(self) -> None:
        self.outbox.compact()

    @rule()
    def sync(self) -> None:
        self.outbox.sync()

    @rule()
    def inspect(self) -> None:
        self.outbox.inspect()

    @rule(content=st.none() | st.binary(max_size=20))
    def lose(self, content: bytes | None) -> None:
        """Somebody removes the file, or puts another in its place; all is written anew."""
        self.path.unlink()
        if content is not None:
            self.path.write_bytes(content)
        with suppress(OutboxError):
            self.outbox.inspect()
        assert self.outbox.broken
        self.outbox.compact()

    @rule()
    def reopen(self) -> None:
        self.outbox.close()
        self.outbox = Outbox.open(self.path, limit=LIMIT)

    @rule(half=st.sampled_from([b"", b" ", b" \0\0\0", b"\0" * 9]))
    def kill(self, half: bytes) -> None:
        """A process is killed, perhaps in the middle of a put, and its confirmations are lost."""
        left = self.path.read_bytes() + half
        self.outbox.close()
        self.path.write_bytes(left)
        self.outbox = Outbox.open(self.path, limit=LIMIT)

        assert self.outbox.recovered == len(half)
        kept = {entry.id: entry for entry in self.outbox.pending()}
        assert self.model.items() <= kept.items()
        assert all(entry in self.put for entry in kept.values())
        self.model = kept

    @precondition(lambda self: self.model)
    @rule()
    def empty(self) -> None:
        self.outbox.confirm(list(self.model))
        self.model = {}

        assert self.path.stat().st_size < 16

    @invariant()
    def it_is_the_dictionary(self) -> None:
        assert list(self.outbox.pending()) == list(self.model.values())
        for principal in ("acme", "other"):
            assert list(self.outbox.pending(principal)) == [
                entry for entry in self.model.values() if entry.principal == principal
            ]
        assert len(self.outbox) == len(self.model)
        assert all((name in self.outbox) == (name in self.model) for name in "abcdefgh")


TestOutboxModel = OutboxModel.TestCase
TestOutboxModel.settings = settings(stateful_step_count=30)
