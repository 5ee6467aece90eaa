import os
import resource
import subprocess
import sys
import zlib
from hashlib import blake2b
from pathlib import Path

import pytest
from tests.unit.recorded import (
    NAME,
    decided,
    journal_of,
    read_until_error,
    sealed_of,
    some,
)

from ringfence.evidence import sealed
from ringfence.evidence.chain import START, Filed
from ringfence.evidence.record import Decided, EvidenceError
from ringfence.evidence.segment import (
    MAGIC,
    Segment,
    file_name,
    follow,
    payload,
    records,
    seal,
    write,
)
from ringfence.framing import image

# In a process of its own, for a limit on the size of files holds for a whole process.
SEAL_ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from ringfence.evidence.record import EvidenceError
from ringfence.evidence.segment import seal
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (300, most))
try:
    seal(Path(sys.argv[1]))
except EvidenceError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
"""


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    folder = tmp_path / "evidence" / NAME
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("where", [0, 7, 8, 40, -33, -32, -1])
def test_a_changed_byte_in_a_sealed_file_is_told(chain: Path, where: int) -> None:
    segment = sealed_of(chain, some())
    content = bytearray(segment.path.read_bytes())
    content[where] ^= 0x10
    segment.path.write_bytes(content)

    _, error = read_until_error(segment)

    assert error.startswith(f"{segment.path}: ")
    assert "cannot be read" in error


def test_a_change_that_leaves_all_records_as_they_were_is_told(chain: Path) -> None:
    """Padding bits of the packed stream mean nothing, but somebody wrote to the file."""
    filed = some()
    segment = sealed_of(chain, filed)
    content = segment.path.read_bytes()
    segment.path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    read, error = read_until_error(segment)

    assert read == filed
    assert "record 7 cannot be read: the file is not as it was sealed" in error


def packed(data: bytes, tail: bytes = b"") -> bytes:
    """Seal by hand, with *tail* between what is packed and the sum."""
    body = b"RFsealed\x01" + zlib.compress(data) + tail
    return body + blake2b(body, digest_size=32).digest()


HEADER = MAGIC + b"\x01"
WHOLE = b"".join(image([payload(f.number, f.link, f.body) for f in some()], magic=MAGIC))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it begins with b''"),
        (b"RFsealed\x02" + bytes(100), "it begins with b'RFsealed.*x02'"),
        (b"RFsealed\x01" + bytes(31), "too short"),
        (b"RFsealed\x01" + bytes(32), "begins with b'' and not with b'RFevidence"),
        (packed(b""), "begins with b''"),
        (packed(b"RFoutbox\x01" + bytes(90)), "begins with b'RFoutbox"),
        (packed(WHOLE[:-1]), "damaged"),
        (packed(WHOLE + b"\0"), "damaged"),
        (packed(WHOLE, b"more"), "not as it was sealed"),
        (packed(WHOLE)[:-40] + packed(WHOLE)[-32:], "damaged|not as it was sealed"),
        (packed(b"".join(image([b"x" * 40], magic=MAGIC))), "40 bytes are too few"),
        (packed(b"".join(image([b"\2" * 60], magic=MAGIC))), "state 2"),
        (packed(b"".join(image([payload(1, START, b"no digest", dropped=True)], magic=MAGIC))),
         "9 bytes is filed with state 0"),
    ],
)  # fmt: skip
def test_whatever_a_sealed_file_holds_the_error_is_one(
    chain: Path, content: bytes, why: str
) -> None:
    path = chain / "000001.sealed"
    path.write_bytes(content)

    with pytest.raises(EvidenceError, match=why) as caught:
        list(Segment(path, 1).filed())
    assert str(caught.value).startswith(str(path))


def test_a_file_that_unpacks_to_anything_is_read_in_little_memory(chain: Path) -> None:
    """A few hundred kilobytes would come to a hundred megabytes."""
    compressor = zlib.compressobj(9)
    bomb = compressor.compress(HEADER + b"\xff\xff\x0f\x00") + b"".join(
        compressor.compress(bytes(1 << 20)) for _ in range(120)
    )
    body = b"RFsealed\x01" + bomb + compressor.flush()
    path = chain / "000001.sealed"
    path.write_bytes(body + blake2b(body, digest_size=32).digest())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(EvidenceError, match="its first record cannot be read"):
        list(Segment(path, 1).filed())

    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 50_000  # KiB


def test_sealing_leaves_one_small_file_that_only_its_owner_may_read(chain: Path) -> None:
    segment = journal_of(chain, some(500))
    size = segment.path.stat().st_size

    path = seal(segment.path)

    assert list(chain.iterdir()) == [path] == [chain / "000001.sealed"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size < size / 2


def test_a_sealed_file_is_what_it_was(chain: Path) -> None:
    """Files of years ago must be read: this is how one looks."""
    path = chain / "000001.sealed"
    path.write_bytes(packed(WHOLE))

    assert list(Segment(path, 1).filed()) == some()
    assert sealed_of(chain, some()).path.read_bytes()[:9] == b"RFsealed\x01"


def test_a_segment_that_cannot_be_sealed_stays(chain: Path) -> None:
    segment = journal_of(chain, some(20))
    before = segment.path.read_bytes()

    output = subprocess.run(
        [sys.executable, "-c", SEAL_ON_A_FULL_DISK, segment.path],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout

    assert output.startswith(f"{segment.path} cannot be sealed: [Errno 27] File too large")
    assert segment.path.read_bytes() == before
    assert {path.name for path in chain.iterdir()} == {"000001.journal", "000001.journal.lock"}


def test_a_sealed_file_can_be_written_anew(chain: Path) -> None:
    filed = some()
    segment = sealed_of(chain, filed)
    filed[1] = Filed(2, filed[1].link, filed[1].digest, dropped=True)

    write(segment.path, iter(filed))

    assert list(follow(segment)) == filed
    assert list(chain.iterdir()) == [segment.path]


def test_what_cannot_be_written_anew_stays(chain: Path) -> None:
    segment = sealed_of(chain, some())
    before = segment.path.read_bytes()

    for bad in ([*some(), Filed(7, START, bytes(1 << 20))], follow(segment, Filed(9, START, b""))):
        with pytest.raises(EvidenceError):
            write(segment.path, bad)

    assert list(chain.iterdir()) == [segment.path]
    assert segment.path.read_bytes() == before


def test_a_missing_journal_is_not_sealed(chain: Path) -> None:
    with pytest.raises(EvidenceError, match=r"000001.journal cannot be sealed: .*No such file"):
        seal(chain / file_name(1))
    assert list(chain.iterdir()) == []


def test_pieces_of_any_size_are_unpacked(tmp_path: Path) -> None:
    data = os.urandom(3 * sealed.PIECE + 5) + bytes(9 * sealed.PIECE)
    path = tmp_path / "x.sealed"
    sealed.pack(path, [data[:1], b"", data[1:]])

    with sealed.unpack(path) as stream:
        read = [stream.read(7), stream.read(2 * sealed.PIECE), stream.read()]
        assert stream.tell() == len(data)
        stream.finish()

    assert b"".join(read) == data


def test_what_was_not_read_to_its_end_is_not_called_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.sealed"
    sealed.pack(path, [os.urandom(5 * sealed.PIECE)])

    with sealed.unpack(path) as stream:
        stream.read(100)
        with pytest.raises(ValueError, match="not as it was sealed"):
            stream.finish()


def test_a_decision_comes_back_as_it_was_made(chain: Path) -> None:
    sealed_of(chain, some(1))

    ((_, _), (_, record)) = records(chain.parent)

    assert isinstance(record, Decided)
    assert record == decided(0)
