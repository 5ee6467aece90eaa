import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.recorded import (
    AT,
    CONFIG,
    chain_in,
    contents,
    damaged,
    decided,
    fault,
    kinds,
    left_by,
    names,
    recorder,
    replace_file,
    turn,
)

from ringfence.evidence import recorder as module
from ringfence.evidence.chain import digest_of, link_of
from ringfence.evidence.record import (
    Configured,
    Decided,
    EvidenceError,
    Opened,
    encode,
)
from ringfence.evidence.recorder import MAX_RECORD, ROOM, Recorder
from ringfence.evidence.segment import chains, file_name, opened, payload, segments
from ringfence.evidence.verify import verify
from ringfence.framing import frame

NOW = datetime.fromtimestamp(AT + 60, UTC)

# In processes of their own, for a limit on the size of files holds for a whole process.
FULL_DISK = """
import resource, sys
from pathlib import Path
from ringfence.evidence.record import EvidenceError
from tests.unit.recorded import AT, CONFIG, chain_in, decided, recorder
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
def disk(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (min(size, most) if most >= 0 else size, most))
def told(act, *args):
    try:
        act(*args)
    except EvidenceError as error:
        print(str(error).rpartition("]")[2].strip(), gate.writable, gate.head.number)
    else:
        print("ok", gate.writable, gate.head.number)
folder = Path(sys.argv[1])
gate = recorder(folder)
"""
FULL_WHILE_RECORDING = f"""{FULL_DISK}
gate.open(AT)
gate.record(decided(1))
size = gate.size
disk(size + 400)
told(gate.record, decided(2))
told(gate.record, decided(3), decided(4))
told(gate.record, decided(5))
told(gate.configure, AT, "acme", CONFIG)
told(gate.mend, AT)
print(gate.size == (chain_in(folder) / "000001.journal").stat().st_size)
disk(most)
told(gate.mend, AT)
told(gate.record, decided(6))
"""
FULL_AT_OPENING = f"""{FULL_DISK}
disk(0)
told(gate.open, AT)
told(gate.mend, AT)
told(gate.record, decided(1))
disk(most)
told(gate.mend, AT)
told(gate.record, decided(2))
"""
FULL_AT_A_NEW_SEGMENT = f"""{FULL_DISK}
gate.open(AT)
gate.record(decided(1))
gate.prepare()
disk(60)
told(gate.swap, AT)
disk(most)
told(gate.record, decided(2))
told(gate.swap, AT)
told(gate.record, decided(3))
disk(60)
told(gate.seal)
disk(most)
told(gate.seal)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "evidence"


@pytest.fixture
def gate(folder: Path) -> Iterator[Recorder]:
    with closing(recorder(folder)) as gate:
        gate.open(AT)
        yield gate


def run(program: str, folder: Path) -> list[str]:
    output = subprocess.run(
        [sys.executable, "-c", program, folder], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    return output.splitlines()


def break_current(gate: Recorder, device: str = "/dev/full") -> None:
    assert gate._journal
    replace_file(gate._journal, device)


def test_a_full_disk_refuses_records_until_it_is_mended(folder: Path) -> None:
    output = run(FULL_WHILE_RECORDING, folder)

    assert output == [
        "ok True 3",
        "File too large False 3",
        "File too large False 3",
        "File too large False 3",
        "File too large False 3",
        "True",
        "ok True 3",
        "ok True 5",
    ]
    assert contents(chain_in(folder))[1:] == [
        decided(1),
        decided(2),
        Configured(AT, "acme", CONFIG),
        decided(6),
    ]
    assert fault(chain_in(folder)) == ""


def test_a_disk_that_is_full_at_the_start_can_be_mended(folder: Path) -> None:
    output = run(FULL_AT_OPENING, folder)

    assert output == [
        "File too large False 0",
        "File too large False 0",
        "File too large False 0",
        "ok True 1",
        "ok True 2",
    ]
    assert contents(chain_in(folder))[1:] == [decided(2)]


def test_a_disk_that_is_full_at_a_new_segment_leaves_the_old_one_in_use(folder: Path) -> None:
    output = run(FULL_AT_A_NEW_SEGMENT, folder)

    assert output == [
        "File too large True 2",
        "ok True 3",
        "ok True 4",
        "ok True 5",
        "File too large. See to its disk True 5",
        "ok True 5",
    ]
    assert kinds(chain_in(folder)) == "ODDOD"
    assert [segment.sealed for segment in segments(chain_in(folder))] == [True, False]


def test_a_disk_with_hardly_any_room_is_not_called_writable(folder: Path) -> None:
    program = f"""{FULL_DISK}
gate.open(AT)
disk(gate.size + 50)
told(gate.record, decided(1))
disk(gate.size + {ROOM} - 1)
told(gate.mend, AT)
disk(gate.size + {ROOM})
told(gate.mend, AT)
"""
    output = run(program, folder)

    assert output == ["File too large False 1", "File too large False 1", "ok True 1"]


def test_a_file_that_cannot_be_cut_back_is_not_used_any_more(gate: Recorder, folder: Path) -> None:
    """Records of the write that failed may be whole in it, and the chain went another way."""
    chain = chain_in(folder)
    gate.record(decided(1))
    untold = filed_behind(gate, decided(2))
    break_current(gate)
    with pytest.raises(EvidenceError, match="No space left"):
        gate.record(decided(2), decided(3))
    with (chain / file_name(1)).open("ab") as file:
        file.write(untold)
    assert (gate.writable, gate.head.number) == (False, 2)

    gate.mend(AT + 1)
    gate.record(decided(4))
    gate.seal()

    assert kinds(chain) == "ODOD"
    assert names(chain) == {"000001.sealed", "000002.journal", "000002.journal.lock"}


def filed_behind(gate: Recorder, record: Decided) -> bytes:
    """Give the bytes that a journal would hold behind what *gate* recorded."""
    body, number = encode(record), gate.head.number + 1
    link = link_of(gate.head.link, number, digest_of(body))
    return frame(gate.size, payload(number, link, body))


def test_a_file_that_could_not_be_synced_is_not_used_any_more(gate: Recorder, folder: Path) -> None:
    gate.configure(AT, "acme", CONFIG)
    gate.record(decided(1))
    break_current(gate, "/dev/null")
    with pytest.raises(EvidenceError, match="Invalid argument"):
        gate.sync()
    assert not gate.writable
    with pytest.raises(EvidenceError, match="Invalid argument"):
        gate.record(decided(2))

    gate.mend(AT + 1)
    gate.record(decided(3))
    gate.sync()
    gate.seal()

    assert kinds(chain_in(folder)) == "OCDOCD"
    assert [segment.sealed for segment in segments(chain_in(folder))] == [True, False]


def test_an_old_segment_that_could_not_be_synced_is_told_once(gate: Recorder, folder: Path) -> None:
    """Whoever waited for it must not believe that all is on the disk."""
    gate.record(decided(1))
    break_current(gate, "/dev/null")
    turn(gate)
    with pytest.raises(EvidenceError, match="Invalid argument"):
        gate.sync()
    assert not gate.writable

    gate.mend(AT)
    gate.sync()
    gate.record(decided(2))
    gate.seal()

    assert kinds(chain_in(folder)) == "ODOD"
    assert [segment.sealed for segment in segments(chain_in(folder))] == [True, False]


def test_an_old_segment_that_cannot_be_synced_is_not_sealed_in_silence(gate: Recorder) -> None:
    break_current(gate, "/dev/null")
    turn(gate)

    with pytest.raises(EvidenceError, match="Invalid argument"):
        gate.seal()
    assert (gate.writable, gate.unsealed) == (False, True)
    gate.mend(AT)
    gate.seal()
    assert (gate.writable, gate.unsealed) == (True, False)


def test_an_old_segment_of_which_the_disk_lost_something_stays_as_it_is(
    gate: Recorder, folder: Path
) -> None:
    gate.record(decided(2), decided(3))
    path = chain_in(folder) / file_name(1)
    break_current(gate, "/dev/null")
    turn(gate)
    content = damaged(path.read_bytes())
    path.write_bytes(content)
    with pytest.raises(EvidenceError, match="Invalid argument"):
        gate.sync()
    gate.mend(AT)

    with pytest.raises(EvidenceError, match=r"a segment cannot be sealed: .* byte"):
        gate.seal()

    assert path.read_bytes() == content
    assert (gate.writable, gate.unsealed) == (True, False)


def test_the_end_of_an_old_segment_that_the_disk_lost_is_told(
    gate: Recorder, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate.record(decided(1), decided(2))
    path = chain_in(folder) / file_name(1)
    break_current(gate, "/dev/null")
    turn(gate)
    path.write_bytes(damaged(path.read_bytes()))
    with pytest.raises(EvidenceError, match="Invalid argument"):
        gate.sync()
    gate.mend(AT)
    gate.seal()

    assert f"{path}: its last " in caplog.text
    assert "record 4 stands where record 3 belongs" in fault(chain_in(folder))


def test_nothing_but_mending_makes_it_writable_again(gate: Recorder) -> None:
    gate.prepare()
    break_current(gate)
    with pytest.raises(EvidenceError, match="No space left"):
        gate.record(decided(1))

    with pytest.raises(EvidenceError, match="No space left"):
        gate.record()
    with pytest.raises(EvidenceError, match="No space left"):
        gate.swap(AT)
    assert not gate.due(AT + 10**6)
    gate.mend(AT)
    gate.mend(AT)
    assert (gate.writable, gate.head.number) == (True, 2)


# --- files and folders that are taken away under it ----------------------------------------------


def test_what_is_in_its_place_passes_the_check(gate: Recorder) -> None:
    gate.record(decided(1))
    gate.check()
    turn(gate)
    gate.check()

    assert gate.writable


@pytest.mark.parametrize("taken", ["evidence", "chain", "segment"])
@pytest.mark.parametrize("look", [Recorder.check, Recorder.sync])
def test_what_was_removed_under_it_is_noticed(
    gate: Recorder, folder: Path, taken: str, look: Callable[[Recorder], None]
) -> None:
    """Else it would go on writing to a file that has no name any more."""
    chain = chain_in(folder)
    gate.record(decided(1))
    remove({"evidence": folder, "chain": chain, "segment": chain / file_name(1)}[taken])

    with pytest.raises(EvidenceError, match=f"the evidence in {folder} cannot be written"):
        look(gate)

    assert not gate.writable
    with pytest.raises(EvidenceError):
        gate.record(decided(2))


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def taken_away(gate: Recorder) -> None:
    with pytest.raises(EvidenceError, match="removed or replaced"):
        gate.check()
    gate.mend(AT + 5)
    gate.check()


def test_without_its_segment_the_chain_goes_on_and_the_gap_shows(
    gate: Recorder, folder: Path
) -> None:
    gate.configure(AT, "acme", CONFIG)
    gate.record(decided(1))
    head = gate.head
    (chain_in(folder) / file_name(1)).unlink()
    taken_away(gate)
    gate.record(decided(2))

    chain = chain_in(folder)
    assert gate.head.chain == head.chain
    assert names(chain) == {"000002.journal", "000002.journal.lock"}
    (segment,) = segments(chain)
    assert [filed.number for filed in segment.filed()] == [4, 5, 6]
    assert opened(segment) == Opened("tunis-1", chain.name, 2, head.link, AT + 5, "0.1.0")
    (finding,) = verify([chain], now=NOW).chains[0].findings
    assert finding.words == "records 1 to 3 were removed: the chain begins with 4"


def test_what_was_put_in_the_place_of_its_segment_is_left_for_others_to_judge(
    gate: Recorder, folder: Path
) -> None:
    gate.record(decided(1))
    path = chain_in(folder) / file_name(1)
    copy = path.read_bytes()
    gate.record(decided(2))
    path.unlink()
    path.write_bytes(copy)
    (path.with_name(file_name(7))).write_bytes(copy)
    taken_away(gate)
    gate.record(decided(3))
    gate.prepare()
    gate.swap(AT + 6)
    gate.seal()

    assert path.read_bytes() == copy
    there = {"000001.journal", "000001.journal.lock", "000007.journal", "000008.sealed"}
    assert names(chain_in(folder)) == {*there, "000009.journal", "000009.journal.lock"}


def test_a_segment_that_was_cut_is_not_written_to_any_more(gate: Recorder, folder: Path) -> None:
    gate.record(decided(1), decided(2))
    os.truncate(chain_in(folder) / file_name(1), gate.size - 10)
    with pytest.raises(EvidenceError, match=r"has .* bytes, where .* were written"):
        gate.check()
    gate.mend(AT + 5)
    gate.record(decided(3))

    found = [finding.words for finding in verify([chain_in(folder)], now=NOW).chains[0].findings]
    assert len(found) == 1
    assert found[0].startswith("000001.journal proves nothing from record 3 on")


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize("taken", ["data", "evidence", "chain"])
def test_without_its_folder_a_new_chain_is_begun(
    tmp_path: Path, taken: str, *, prepared: bool
) -> None:
    folder = tmp_path / "data" / "evidence"
    with closing(recorder(folder)) as gate:
        gate.open(AT)
        gate.configure(AT, "acme", CONFIG)
        turn(gate)
        gate.record(decided(1))
        old = gate.head
        if prepared:
            gate.prepare()
        gone = {"data": folder.parent, "evidence": folder, "chain": chain_in(folder)}[taken]
        gone.rename(tmp_path / "moved")
        taken_away(gate)
        gate.record(decided(2))
        with pytest.raises(EvidenceError, match="cannot be sealed: it was removed"):
            gate.seal()
        gate.mend(AT + 6)
        turn(gate, AT + 7)
        gate.seal()
        gate.sync()
        with pytest.raises(EvidenceError, match="in use"):
            recorder(folder, "casa-1").open(AT)

        assert gate.head.chain != old.chain
        assert gate.head.chain.startswith(f"{int(AT + 5):08x}")
    assert kinds(chain_in(folder)) == "OCDOC"
    assert verify(chains(folder), now=NOW).holds


def test_a_folder_that_cannot_be_made_again_is_told_until_it_can(
    gate: Recorder, folder: Path
) -> None:
    folder.rename(folder.with_name("moved"))
    folder.write_text("in the way")
    with pytest.raises(EvidenceError, match="cannot be written"):
        gate.check()
    for _ in range(2):
        with pytest.raises(EvidenceError, match="cannot be written"):
            gate.mend(AT)
        assert not gate.writable
    folder.unlink()
    gate.mend(AT)
    gate.record(decided(1))

    assert kinds(chain_in(folder)) == "OD"


def test_a_segment_that_cannot_be_begun_instead_is_begun_later(
    gate: Recorder, folder: Path
) -> None:
    chain = chain_in(folder)
    (chain / file_name(1)).unlink()
    (chain / "000002.journal.lock").mkdir()
    with pytest.raises(EvidenceError, match="removed or replaced"):
        gate.check()
    for _ in range(2):
        with pytest.raises(EvidenceError, match="no segment can be begun"):
            gate.mend(AT)
        assert not gate.writable
    (chain / "000002.journal.lock").rmdir()
    gate.mend(AT)
    gate.record(decided(1))

    assert names(chain) == {"000002.journal", "000002.journal.lock"}


# --- what is owed --------------------------------------------------------------------------------


def test_what_is_owed_is_written_by_mending(gate: Recorder, folder: Path) -> None:
    gate.record(decided(1))
    break_current(gate, "/dev/null")
    with pytest.raises(EvidenceError, match="Invalid argument"):
        gate.sync()
    gate.owe(decided(2))
    gate.owe(decided(3))
    assert gate.owing == 2

    gate.mend(AT)

    assert gate.owing == 0
    assert kinds(chain_in(folder)) == "ODODD"
    assert contents(chain_in(folder))[-2:] == [decided(2), decided(3)]
    assert gate.head.number == 5


def test_what_is_owed_comes_before_what_is_recorded_next(folder: Path) -> None:
    gate = recorder(folder)
    gate.owe(decided(1))
    with pytest.raises(EvidenceError):
        gate.configure(AT, "acme", CONFIG)
    left_by(folder)
    with closing(gate):
        gate.open(AT)
        gate.record(decided(2))
        gate.record()

    assert kinds(chain_in(folder)) == "OCDD"
    assert contents(chain_in(folder))[-2:] == [decided(1), decided(2)]


def test_what_could_not_be_written_by_mending_is_still_owed(gate: Recorder, folder: Path) -> None:
    path = chain_in(folder) / file_name(1)
    with pytest.raises(EvidenceError):
        break_off(gate)
    gate.owe(decided(1))
    shutil.rmtree(folder)
    folder.write_text("in the way")
    with pytest.raises(EvidenceError):
        gate.mend(AT)
    folder.unlink()
    gate.mend(AT)

    assert not path.exists()
    assert kinds(chain_in(folder)) == "OD"


def break_off(gate: Recorder) -> None:
    break_current(gate)
    gate.record(decided(9))


def test_what_is_owed_is_bounded(
    gate: Recorder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MAX_OWED", 2)
    gate.owe(decided(1, reference="x" * MAX_RECORD))
    for count in range(3):
        gate.owe(decided(count))

    assert gate.owing == 2
    assert caplog.text.count("a record is lost") == 2
    gate.record(decided(3))
    assert gate.head.number == 4
