import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.unit.recorded import (
    AT,
    CONFIG,
    chain_in,
    contents,
    decided,
    fault,
    followed,
    names,
    recorder,
    replace_file,
    turn,
)

from ringfence.evidence.record import AnyRecord, Configured, Decided, EvidenceError, Learned, decode
from ringfence.evidence.recorder import Recorder
from ringfence.evidence.segment import Segment, file_name, follow, records, seal, segments
from ringfence.journal import lock_of

# The laws are about bytes: where there is a disk in memory, thousands of fsyncs cost nothing.
MEMORY = Path("/dev/shm")  # noqa: S108 - only as the parent of folders with random names
FOLDERS = MEMORY if MEMORY.is_dir() else None

# Prints what it has been promised, until it is killed.
RECORD_FOR_EVER = """
import itertools, sys
from pathlib import Path
from threading import Thread
from tests.unit.recorded import AT, CONFIG, decided, recorder
gate = recorder(Path(sys.argv[1]))
gate.open(AT)
def serve():
    while True:
        gate.sync()
        if gate.unsealed:
            gate.seal()
Thread(target=serve, daemon=True).start()
for count in itertools.count():
    gate.record(decided(2 * count), decided(2 * count + 1))
    print(count, flush=True)
    if count % 20 == 10:
        gate.prepare()
        gate.swap(AT + count)
"""

some_records = st.lists(
    st.builds(decided, st.integers(0, 1000), reference=st.text(max_size=40))
    | st.builds(
        Learned,
        at=st.just(AT),
        principal=st.sampled_from(["acme", "bank"]),
        epoch=st.just(3),
        first=st.integers(1, 9),
        last=st.integers(9, 2**40),
    ),
    max_size=3,
)

# What a gate does in its life: it records, or begins a new segment, or seals those it left.
lives = st.lists(some_records | st.sampled_from(["turn", "seal"]), max_size=8)


@contextmanager
def evidence(life: list[list[AnyRecord] | str]) -> Iterator[Path]:
    """Give the folder that a gate with that life leaves."""
    with TemporaryDirectory(dir=FOLDERS) as parent:
        folder = Path(parent, "evidence")
        with closing(recorder(folder)) as gate:
            gate.open(AT)
            for act in life:
                if act == "turn":
                    turn(gate)
                elif act == "seal":
                    gate.seal()
                elif not isinstance(act, str):
                    gate.record(*act)
        yield folder


@given(life=lives, more=some_records, data=st.data())
def test_a_chain_cut_at_any_byte_is_a_prefix_and_goes_on(
    life: list[list[AnyRecord] | str], more: list[AnyRecord], data: st.DataObject
) -> None:
    """A kill ends the newest segment anywhere; nothing before is lost, all that follows links."""
    with evidence(life) as folder:
        chain = chain_in(folder)
        whole, newest = contents(chain), segments(chain)[-1]
        older = len(whole) - len(list(newest.filed()))
        os.truncate(newest.path, data.draw(st.integers(0, newest.path.stat().st_size)))
        left = contents(chain)

        with closing(recorder(folder)) as gate:
            gate.open(AT)
            gate.record(*more)

        assert left == whole[: len(left)]
        assert len(left) >= older
        gone_on = contents(chain)
        assert gone_on[: len(left)] == left
        assert gone_on[len(gone_on) - len(more) :] == more
        assert len(gone_on) - len(left) - len(more) in (0, 1)  # a new segment begins with one
        assert fault(chain) == ""


@given(life=lives, data=st.data())
def test_a_changed_byte_is_noticed_wherever_it_is(
    life: list[list[AnyRecord] | str], data: st.DataObject
) -> None:
    with evidence(life) as folder:
        chain = chain_in(folder)
        assert fault(chain) == ""
        path = data.draw(st.sampled_from([segment.path for segment in segments(chain)]))
        content = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, 2**32)) % len(content)
        content[at] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)

        assert fault(chain).startswith(str(path))


@given(life=lives)
def test_a_sealed_segment_reads_as_its_journal_did(life: list[list[AnyRecord] | str]) -> None:
    with evidence(life) as folder:
        chain = chain_in(folder)
        before = followed(chain)
        for segment in segments(chain):
            if not segment.sealed:
                seal(segment.path)

        assert followed(chain) == before
        assert all(segment.sealed for segment in segments(chain))
        assert [record for _, record in records(folder)] == contents(chain)


@given(garbage=st.binary(max_size=200), name=st.sampled_from(["journal", "sealed"]))
def test_a_file_of_anything_is_refused_in_one_way(garbage: bytes, name: str) -> None:
    begin = {"journal": b"RFevidence\x01", "sealed": b"RFsealed\x01"}[name]
    with TemporaryDirectory(dir=FOLDERS) as folder:
        path = Path(folder, f"000001.{name}")
        for content in (garbage, begin + garbage):
            path.write_bytes(content)
            with suppress(EvidenceError):
                assert list(follow(Segment(path, 1))) == []


@pytest.mark.parametrize("count", [1, 17, 400])
def test_a_killed_gate_loses_no_record_it_was_promised(tmp_path: Path, count: int) -> None:
    """Whatever it was at: recording, beginning a segment, syncing, sealing."""
    folder = tmp_path / "evidence"
    with subprocess.Popen(
        [sys.executable, "-c", RECORD_FOR_EVER, folder], stdout=subprocess.PIPE, text=True
    ) as gate:
        assert gate.stdout
        seen = list(islice(gate.stdout, count))
        gate.kill()
        seen += gate.stdout
    promised = 2 * int([line for line in seen if line.endswith("\n")][-1]) + 2

    for _ in range(2):  # as it was left, and gone on with
        made = [record for record in contents(chain_in(folder)) if isinstance(record, Decided)]
        # One or two more may be there: written, and killed before it was printed.
        assert made == [decided(number) for number in range(len(made))]
        assert promised <= len(made) <= promised + 2
        with closing(recorder(folder)) as again:
            again.open(AT)
    chain = chain_in(folder)
    *older, newest = segments(chain)
    assert all(segment.sealed for segment in older)
    # What it began of the next file is in nobody's way.
    begun = {f"{file_name(newest.index + 1)}.{end}" for end in ("lock", "new")}
    kept = {segment.path.name for segment in (*older, newest)}
    assert names(chain) - begun == {*kept, f"{newest.path.name}.lock"}


class RecorderModel(RuleBasedStateMachine):
    """A chain is a list of records, whatever happens to the disk and the process."""

    def __init__(self) -> None:
        super().__init__()
        self.parent = TemporaryDirectory(dir=FOLDERS)
        self.folder = Path(self.parent.name, "evidence")
        self.model: list[AnyRecord] = []
        self.owed: list[AnyRecord] = []
        self.configured: dict[str, float] = {}
        self.gate = self.begin()

    def begin(self) -> Recorder:
        self.configured = {}
        self.owed = []
        gate = recorder(self.folder)
        gate.open(AT)
        return gate

    def teardown(self) -> None:
        self.gate.close()
        self.parent.cleanup()

    @rule(batch=some_records)
    def record(self, batch: list[AnyRecord]) -> None:
        before = self.gate.head
        try:
            self.gate.record(*batch)
        except EvidenceError:
            assert not self.gate.writable
            assert self.gate.head == before
            for record in batch:
                self.gate.owe(record)
            self.owed += batch
        else:
            self.model += batch
            assert self.gate._journal
            current = Segment(self.gate._journal.path, 0)
            known = [decode(filed.body) for filed in current.filed()]
            last = {r.principal: r.at for r in known if isinstance(r, Configured)}
            assert self.configured.items() <= last.items()

    @rule(principal=st.sampled_from(["acme", "bank"]), at=st.integers(1, 9))
    def configure(self, principal: str, at: int) -> None:
        self.configured[principal] = float(at)
        with suppress(EvidenceError):
            self.gate.configure(float(at), principal, CONFIG)

    @precondition(lambda self: self.gate.writable)
    @rule()
    def prepare(self) -> None:
        self.gate.prepare()

    @rule()
    def swap(self) -> None:
        with suppress(EvidenceError):
            self.gate.swap(AT)

    @rule()
    def sync(self) -> None:
        with suppress(EvidenceError):
            self.gate.sync()

    @rule()
    def seal(self) -> None:
        with suppress(EvidenceError):
            self.gate.seal()
            assert not self.gate.unsealed

    @precondition(lambda self: self.gate.writable)
    @rule(spare=st.booleans())
    def the_disk_breaks(self, *, spare: bool) -> None:
        journal = self.gate._spare if spare else self.gate._journal
        if journal is not None:
            replace_file(journal, "/dev/full")

    @rule()
    def mend(self) -> None:
        with suppress(EvidenceError):  # the segment that was prepared may be broken, too
            self.gate.mend(AT)
        self.gate.mend(AT)
        assert self.gate.writable
        assert self.gate.owing == 0
        self.model += self.owed
        self.owed = []

    @precondition(lambda self: self.gate.writable)
    @rule()
    def the_lock_is_removed(self) -> None:
        """By somebody who tidies up: the file may be another's from then on."""
        assert self.gate._journal
        lock_of(self.gate._journal.path).unlink()
        with pytest.raises(EvidenceError, match="removed or replaced"):
            self.gate.check()

    @rule(half=st.sampled_from([b"", b" ", b" \0\0\0", b"\0" * 9]))
    def kill(self, half: bytes) -> None:
        """A process is killed, perhaps in the middle of a write."""
        self.gate.close()
        newest = segments(chain_in(self.folder))[-1].path
        with newest.open("ab") as file:
            file.write(half)
        self.gate = self.begin()

        assert self.gate.recovered == len(half)
        left = segments(chain_in(self.folder))
        assert [segment.sealed for segment in left] == [True] * (len(left) - 1) + [False]

    @invariant()
    def it_is_the_list(self) -> None:
        chain = chain_in(self.folder)
        written = contents(chain)
        assert [r for r in written if isinstance(r, Decided | Learned)] == self.model
        assert self.gate.head.number == len(written)
        locks = {name.removesuffix(".lock") for name in names(chain) if name.endswith(".lock")}
        assert locks <= names(chain)


TestRecorderModel = RecorderModel.TestCase
TestRecorderModel.settings = settings(stateful_step_count=30)
