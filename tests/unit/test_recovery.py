import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.recorded import (
    AT,
    chain_in,
    contents,
    damaged,
    decided,
    fault,
    kinds,
    left_by,
    names,
    recorder,
    turn,
)

from ringfence.evidence.record import EvidenceError, encode
from ringfence.evidence.recorder import Recorder
from ringfence.evidence.segment import MAGIC, Segment, chains, file_name, seal, write
from ringfence.framing import image

HOLD = """
import sys
from pathlib import Path
from tests.unit.recorded import AT, recorder
gate = recorder(Path(sys.argv[1]))
gate.open(AT)
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "evidence"


@pytest.fixture
def gate(folder: Path) -> Iterator[Recorder]:
    with closing(recorder(folder)) as gate:
        gate.open(AT)
        yield gate


# --- going on -------------------------------------------------------------------------------------


def test_a_chain_goes_on_where_it_stopped(folder: Path) -> None:
    chain = left_by(folder, 1, 2)
    left_by(folder, 3)

    assert contents(chain)[1:] == [decided(1), decided(2), decided(3)]
    assert names(chain) == {"000001.journal", "000001.journal.lock"}


def test_half_a_record_is_cut_off_and_told(folder: Path) -> None:
    chain = left_by(folder, 1, 2)
    path = chain / file_name(1)
    os.truncate(path, path.stat().st_size - 1)

    with closing(recorder(folder)) as gate:
        gate.open(AT)
        assert gate.recovered == len(encode(decided(2))) + 48
        gate.record(decided(3))

    assert contents(chain)[1:] == [decided(1), decided(3)]


@pytest.mark.parametrize("left", [b"", b"RFevidence\x01", b"RFevidence\x01\x50\0\0\0half"])
def test_a_segment_that_was_not_begun_yet_is_removed(folder: Path, left: bytes) -> None:
    """A gate was killed between preparing it and the swap, or in the middle of that."""
    chain = left_by(folder, 1)
    (chain / file_name(2)).write_bytes(left)
    (chain / f"{file_name(2)}.lock").touch()

    with closing(recorder(folder)) as gate:
        gate.open(AT)
        assert gate.recovered == len(left) % 11
        assert names(chain) == {"000001.journal", "000001.journal.lock"}
        gate.record(decided(2))
        turn(gate)

    assert kinds(chain) == "ODDO"


def test_a_chain_of_which_nothing_was_written_is_begun(folder: Path) -> None:
    chain = folder / f"{int(AT):08x}00000000"
    chain.mkdir(parents=True)

    assert left_by(folder, 1) == chain
    assert kinds(chain) == "OD"


def test_a_segment_that_was_not_sealed_yet_is_sealed(folder: Path) -> None:
    with closing(recorder(folder)) as gate:
        gate.open(AT)
        gate.record(decided(1))
        turn(gate)
        gate.record(decided(2))
    chain = chain_in(folder)
    (chain / "000001.sealed.new").write_bytes(b"RFsealed\x01half")

    left_by(folder, 3)

    assert names(chain) == {"000001.sealed", "000002.journal", "000002.journal.lock"}
    assert kinds(chain) == "ODODD"


@pytest.mark.parametrize("whole", [True, False])
def test_of_a_segment_that_is_both_the_sealed_file_stays_if_it_is_whole(
    folder: Path, *, whole: bool
) -> None:
    """A gate was killed before it removed the journal; no kill leaves the other half written."""
    with closing(recorder(folder)) as gate:
        gate.open(AT)
        gate.record(decided(1))
        turn(gate)
    chain = chain_in(folder)
    journal = (chain / file_name(1)).read_bytes()
    sealed = seal(chain / file_name(1))
    content = sealed.read_bytes()
    (chain / file_name(1)).write_bytes(journal)
    if not whole:
        sealed.write_bytes(content[:-1])

    left_by(folder)

    assert names(chain) == {"000001.sealed", "000002.journal", "000002.journal.lock"}
    assert sealed.read_bytes() == content
    assert fault(chain) == ""


@pytest.mark.parametrize("kept", [slice(0, 2), slice(0, 1), slice(2, 3)])
def test_a_journal_is_not_removed_for_a_sealed_file_with_other_records(
    folder: Path, caplog: pytest.LogCaptureFixture, kept: slice
) -> None:
    """Else whoever can lay a file beside it could have the gate itself remove the records."""
    with closing(recorder(folder)) as gate:
        gate.open(AT)
        gate.record(decided(1), decided(2))
        turn(gate)
    path = chain_in(folder) / file_name(1)
    content = path.read_bytes()
    write(path.with_suffix(".sealed"), list(Segment(path, 1).filed())[kept])

    left_by(folder)

    assert path.read_bytes() == content
    assert f"{path} stays" in caplog.text


def test_a_chain_of_which_the_newest_segment_is_there_in_two_ways_is_not_gone_on_with(
    folder: Path,
) -> None:
    chain = left_by(folder, 1, 2)
    path = chain / file_name(1)
    content = path.read_bytes()
    write(path.with_suffix(".sealed"), list(Segment(path, 1).filed())[:2])

    with pytest.raises(EvidenceError, match=r"and the journal beside it .* evidence verify"):
        recorder(folder).open(AT)

    assert path.read_bytes() == content


def test_a_file_with_the_name_of_a_chain_is_none(folder: Path) -> None:
    chain = left_by(folder, 1)
    (folder / ("f" * 16)).write_text("no folder")

    assert chains(folder) == [chain]
    assert left_by(folder, 2) == chain


def test_a_new_segment_follows_a_sealed_one(folder: Path) -> None:
    """The newest was lost, or brought to another place."""
    chain = left_by(folder, 1)
    seal(chain / file_name(1))

    left_by(folder, 2)

    assert names(chain) == {"000001.sealed", "000002.journal", "000002.journal.lock"}
    assert kinds(chain) == "ODOD"


def test_an_old_segment_that_is_damaged_stays_and_stops_nobody(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """To look at the whole chain is for `verify`."""
    with closing(recorder(folder)) as gate:
        gate.open(AT)
        gate.record(decided(1), decided(2))
        turn(gate)
    chain = chain_in(folder)
    content = bytearray((chain / file_name(1)).read_bytes())
    content[100] ^= 1
    (chain / file_name(1)).write_bytes(content)

    left_by(folder, 3)

    assert (chain / file_name(1)).read_bytes() == content
    assert f"a segment stays as it is: {chain / file_name(1)}" in caplog.text


def test_a_chain_that_was_begun_later_is_the_one_that_goes_on(folder: Path) -> None:
    old = left_by(folder, 1)
    aside = old.rename(folder.with_name("aside"))
    with closing(recorder(folder)) as gate:
        gate.open(AT + 1)
        newer = gate.head
    aside.rename(old)

    with closing(recorder(folder)) as gate:
        gate.open(AT)
        assert gate.head == newer
    assert newer.chain != old.name


def test_another_gate_begins_a_chain_of_its_own(folder: Path) -> None:
    chain = left_by(folder, 1)

    with closing(recorder(folder, "casa-1")) as other:
        other.open(AT + 1)
        assert other.head.number == 1
        assert other.head.chain != chain.name
    with closing(recorder(folder)) as gate:
        gate.open(AT + 2)
        assert (gate.head.number, gate.head.chain) == (2, chain.name)


# --- what it does not go on over ------------------------------------------------------------------


def altered(content: bytes) -> bytes:
    """Change a decision and make its checksum fit: only the chain knows."""
    filed = [filed[8:] for filed in split(content)]
    filed[2] = filed[2].replace(encode(decided(2)), encode(decided(9)))
    return b"".join(image(filed, magic=MAGIC))


def removed(content: bytes) -> bytes:
    filed = [filed[8:] for filed in split(content)]
    del filed[2]
    return b"".join(image(filed, magic=MAGIC))


def split(content: bytes) -> Iterator[bytes]:
    at = len(MAGIC) + 1
    while at < len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4], "little")
        yield content[at:end]
        at = end


def of_another(content: bytes) -> bytes:
    return content.replace(b"RFevidence", b"RFoutbox__")


def of_another_release(content: bytes) -> bytes:
    return content.replace(b"RFevidence\x01", b"RFevidence\x02")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (damaged, "record 3 cannot be read"),
        (altered, "record 3 does not follow record 2"),
        (removed, "record 4 stands where record 3 belongs"),
        (of_another, "its first record cannot be read: .* begins with b'RFoutbox"),
        (of_another_release, "its first record cannot be read: .* format 2"),
    ],
)
def test_a_chain_that_was_changed_is_not_gone_on_with(
    folder: Path, change: Callable[[bytes], bytes], named: str
) -> None:
    chain = left_by(folder, 1, 2, 3)
    path = chain / file_name(1)
    path.write_bytes(change(path.read_bytes()) + b"half a record")
    (chain / file_name(2)).touch()
    (chain / "000001.sealed.new").touch()
    before = {path: path.read_bytes() for path in chain.iterdir()}

    gate = recorder(folder)
    with pytest.raises(EvidenceError, match=rf"{path}: {named}.* evidence verify.* move {chain}"):
        gate.open(AT)

    assert not gate.writable
    assert {path: path.read_bytes() for path in chain.iterdir()} == before
    chain.rename(folder.with_name("aside"))
    gate.mend(AT)
    assert gate.writable
    gate.close()


def test_a_sealed_segment_that_was_changed_is_not_gone_on_with(folder: Path) -> None:
    chain = left_by(folder, 1)
    path = seal(chain / file_name(1))
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(EvidenceError, match=rf"{path}: .*cannot be read"):
        recorder(folder).open(AT)
    assert names(chain) == {"000001.sealed"}


def test_two_recorders_do_not_share_a_folder(gate: Recorder, folder: Path) -> None:
    for name in ("tunis-1", "casa-1"):
        with pytest.raises(EvidenceError, match=rf"{folder} is in use by another process"):
            recorder(folder, name).open(AT)

    gate.record(decided(1))
    assert kinds(chain_in(folder)) == "OD"


def test_two_processes_do_not_share_a_folder(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "open\n"
        with pytest.raises(EvidenceError, match=rf"{folder} is in use by another process"):
            recorder(folder).open(AT)
        other.kill()

    left_by(folder)  # the lock died with its holder


def test_a_folder_that_cannot_be_made_is_an_evidence_error(folder: Path) -> None:
    folder.write_text("not a folder")

    with pytest.raises(EvidenceError, match=f"the evidence in {folder} cannot be written"):
        recorder(folder).open(AT)
