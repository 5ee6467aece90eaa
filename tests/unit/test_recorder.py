import asyncio
import os
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread

import pytest
from tests.unit.recorded import (
    AT,
    CONFIG,
    chain_in,
    contents,
    decided,
    followed,
    kinds,
    left_by,
    names,
    recorder,
    replace_file,
    turn,
)

from ringfence.evidence.chain import START
from ringfence.evidence.record import (
    Configured,
    EvidenceError,
    Learned,
    Opened,
    encode,
)
from ringfence.evidence.recorder import MAX_RECORD, Head, Limits, Recorder
from ringfence.evidence.segment import MAGIC, file_name, payload, segments
from ringfence.framing import image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "evidence"


@pytest.fixture
def gate(folder: Path) -> Iterator[Recorder]:
    with closing(recorder(folder)) as gate:
        gate.open(AT)
        yield gate


# --- recording ------------------------------------------------------------------------------------


def test_a_chain_begins_with_whose_it_is(gate: Recorder, folder: Path) -> None:
    chain = chain_in(folder)

    assert contents(chain) == [Opened("tunis-1", chain.name, 1, START, AT, "0.1.0")]
    assert chain.name.startswith(f"{int(AT):08x}")
    assert len(chain.name) == 16
    assert (gate.writable, gate.recovered, gate.age(AT + 5)) == (True, 0, 5)


def test_records_are_on_file_when_record_returns(gate: Recorder, folder: Path) -> None:
    learned = Learned(AT, "acme", 3, 1001, 1004)
    gate.record(decided(1))
    gate.record(decided(2), learned)
    gate.record()

    assert contents(chain_in(folder))[1:] == [decided(1), decided(2), learned]
    assert gate.size == (chain_in(folder) / file_name(1)).stat().st_size


def test_the_head_is_the_last_record(gate: Recorder, folder: Path) -> None:
    gate.record(decided(1), decided(2))

    last = followed(chain_in(folder))[-1]
    assert gate.head == Head(chain_in(folder).name, 3, last.link)


def test_no_file_or_folder_is_for_others_to_read(gate: Recorder, folder: Path) -> None:
    gate.record(decided(1))
    turn(gate)
    gate.seal()

    paths = [folder, *folder.rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {0o600}


def test_a_record_that_is_too_large_is_refused_and_harms_nothing(
    gate: Recorder, folder: Path
) -> None:
    largest = MAX_RECORD - len(encode(decided(1, reference="x" * 70_000))) + 70_000
    with pytest.raises(EvidenceError, match=f"a record of {MAX_RECORD + 1} bytes"):
        gate.record(decided(1), decided(1, reference="x" * (largest + 1)))
    assert (gate.writable, gate.head.number) == (True, 1)

    gate.record(decided(1, reference="x" * largest))

    assert kinds(chain_in(folder)) == "OD"


def test_a_recorder_that_is_not_open_refuses(folder: Path) -> None:
    gate = recorder(folder)

    for act in (gate.record, gate.sync):
        with pytest.raises(EvidenceError, match=f"the evidence in {folder} is not open"):
            act()
    assert (gate.writable, gate.size, gate.due(AT)) == (False, 0, False)


def test_a_closed_recorder_refuses_and_can_be_opened_again(folder: Path) -> None:
    gate = recorder(folder)
    gate.open(AT)
    gate.close()
    gate.close()

    with pytest.raises(EvidenceError, match="is closed"):
        gate.record(decided(1))
    gate.open(AT)
    gate.record(decided(2))
    gate.close()

    assert kinds(chain_in(folder)) == "OD"


def test_recording_and_turning_do_not_hold_the_event_loop(folder: Path) -> None:
    """Every call that waits for a disk fails a test in which it is made on the loop."""

    async def live() -> None:
        gate = recorder(folder)
        await asyncio.to_thread(gate.open, AT)
        gate.configure(AT, "acme", CONFIG)
        gate.record(decided(1))
        await asyncio.to_thread(gate.prepare)
        gate.record(decided(2))
        gate.swap(AT)
        gate.record(decided(3))
        await asyncio.to_thread(gate.sync)
        await asyncio.to_thread(gate.seal)
        await asyncio.to_thread(gate.close)

    asyncio.run(live())

    assert kinds(chain_in(folder)) == "OCDDOCD"


def test_a_forked_child_records_nothing(gate: Recorder, folder: Path) -> None:
    child = os.fork()
    if child == 0:
        with suppress(EvidenceError):
            gate.record(decided(1))
        os._exit(gate.writable)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    gate.record(decided(2))
    assert contents(chain_in(folder))[1:] == [decided(2)]


# --- configurations -------------------------------------------------------------------------------


def test_each_segment_begins_with_every_configuration(gate: Recorder, folder: Path) -> None:
    other = CONFIG.__class__(epoch=3, version=8, campaigns={}, texts={}, index={})
    gate.configure(AT, "acme", CONFIG)
    gate.configure(AT, "bank", CONFIG)
    gate.configure(AT + 1, "acme", other)
    turn(gate, AT + 2)

    assert [r for r in contents(chain_in(folder)) if isinstance(r, Configured)] == [
        Configured(AT, "acme", CONFIG),
        Configured(AT, "bank", CONFIG),
        Configured(AT + 1, "acme", other),
        Configured(AT + 1, "acme", other),
        Configured(AT, "bank", CONFIG),
    ]


def test_a_configuration_that_could_not_be_written_comes_before_the_next_record(
    folder: Path,
) -> None:
    with closing(recorder(folder)) as gate:
        with pytest.raises(EvidenceError, match="not open"):
            gate.configure(AT, "acme", CONFIG)
        left_by(folder)
        gate.open(AT)
        gate.record(decided(1))
        gate.record(decided(2))

    assert kinds(chain_in(folder)) == "OCDD"


def test_a_configuration_that_is_too_large_is_not_remembered(gate: Recorder, folder: Path) -> None:
    index = {"x" * MAX_RECORD: 1}
    large = CONFIG.__class__(epoch=3, version=8, campaigns={}, texts={}, index=index)

    with pytest.raises(EvidenceError, match="a record of"):
        gate.configure(AT, "acme", large)

    gate.record(decided(1))
    turn(gate)
    assert kinds(chain_in(folder)) == "ODO"


# --- new segments ---------------------------------------------------------------------------------


def test_a_segment_is_due_by_its_size_or_age(folder: Path) -> None:
    limits = Limits(segment_bytes=400, segment_age=60)
    with closing(Recorder("tunis-1", folder, release="0.1.0", limits=limits)) as gate:
        gate.open(AT)
        assert [gate.due(AT + later) for later in (-5, 59, 60)] == [False, False, True]
        gate.record(decided(1), decided(2))
        assert gate.due(AT)
        turn(gate, AT + 1)
        assert not gate.due(AT + 60)
    with closing(Recorder("tunis-1", folder, release="0.1.0", limits=limits)) as gate:
        gate.open(AT + 30)  # which is not when it was begun
        assert [gate.due(AT + later) for later in (60, 61)] == [False, True]


def test_a_new_segment_follows_the_old_one_which_is_sealed(gate: Recorder, folder: Path) -> None:
    gate.record(decided(1))
    gate.prepare()
    gate.record(decided(2))
    gate.swap(AT + 7)
    gate.record(decided(3))
    before = gate.unsealed
    gate.seal()

    chain = chain_in(folder)
    link = followed(chain)[2].link
    assert contents(chain)[3] == Opened("tunis-1", chain.name, 2, link, AT + 7, "0.1.0")
    assert kinds(chain) == "ODDOD"
    assert names(chain) == {"000001.sealed", "000002.journal", "000002.journal.lock"}
    assert (before, gate.unsealed, gate.age(AT + 8)) == (True, False, 1)


def test_several_segments_can_wait_to_be_sealed(gate: Recorder, folder: Path) -> None:
    for _ in range(3):
        turn(gate)
    gate.seal()

    assert [segment.sealed for segment in segments(chain_in(folder))] == [True] * 3 + [False]
    assert kinds(chain_in(folder)) == "OOOO"


def test_a_swap_without_a_segment_prepared_is_refused(gate: Recorder) -> None:
    with pytest.raises(EvidenceError, match="no segment was prepared"):
        gate.swap(AT)
    turn(gate)
    with pytest.raises(EvidenceError, match="no segment was prepared"):
        gate.swap(AT)


def test_a_segment_that_cannot_be_begun_leaves_the_old_one_in_use(
    gate: Recorder, folder: Path
) -> None:
    """Nor does what is left of it come to count."""
    chain = chain_in(folder)
    gate.prepare()
    assert gate._spare
    spare = gate._spare.path
    replace_file(gate._spare, "/dev/full")
    with pytest.raises(EvidenceError, match=f"{spare} cannot be begun: .*No space left"):
        gate.swap(AT)
    whole = Opened("tunis-1", chain.name, 2, gate.head.link, AT, "0.1.0")
    spare.write_bytes(b"".join(image([payload(2, gate.head.link, encode(whole))], magic=MAGIC)))
    gate.record(decided(1))
    with pytest.raises(EvidenceError, match="cannot be begun"):
        gate.swap(AT)
    turn(gate)

    assert kinds(chain) == "ODO"


def test_a_segment_can_be_begun_and_sealed_while_others_are_synced(
    gate: Recorder, folder: Path
) -> None:
    """Nothing is closed under a sync, and nothing recorded before it is left out."""
    errors: list[EvidenceError] = []
    done = False

    def sync() -> None:
        while not done:
            try:
                gate.sync()
            except EvidenceError as error:
                errors.append(error)

    threads = [Thread(target=sync) for _ in range(2)]
    for thread in threads:
        thread.start()
    for count in range(30):
        gate.record(decided(count))
        turn(gate)
        gate.seal()
    done = True
    for thread in threads:
        thread.join()

    assert errors == []
    assert kinds(chain_in(folder)) == "OD" * 30 + "O"
