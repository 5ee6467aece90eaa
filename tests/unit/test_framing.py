from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import pytest

from ringfence.framing import MAX_PAYLOAD, JournalError, frame, image, parse, read

MAGIC = b"RFtest"
HEADER = MAGIC + b"\x01"
RECORD = 8  # bytes before a payload


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.journal"


def file_of(*payloads: bytes) -> bytes:
    return b"".join(image(payloads, magic=MAGIC))


def test_a_journal_is_read_without_touching_it(path: Path) -> None:
    path.write_bytes(file_of(b"one", b"two"))
    path.chmod(0o400)

    assert list(read(path, magic=MAGIC)) == list(read(path, magic=MAGIC, whole=True))
    assert list(read(path, magic=MAGIC)) == [b"one", b"two"]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("tail", [b"\x03", b"\x03\0\0\0\1\2\3\4on", bytes(20), b"\xff" * 20])
def test_what_a_kill_left_ends_the_reading_unless_all_must_be_whole(
    path: Path, tail: bytes
) -> None:
    path.write_bytes(file_of(b"one") + tail)
    end = len(file_of(b"one"))

    assert list(read(path, magic=MAGIC)) == [b"one"]
    with pytest.raises(JournalError, match=f"the {len(tail)} bytes from byte {end} on are no"):
        list(read(path, magic=MAGIC, whole=True))


def test_damage_before_whole_records_is_an_error_behind_those_before_it(path: Path) -> None:
    content = file_of(b"one", b"two", b"three")
    at = content.index(b"two")
    path.write_bytes(content.replace(b"two", b"tWo"))
    reading = read(path, magic=MAGIC)

    assert next(reading) == b"one"
    with pytest.raises(JournalError, match=f"byte {at - RECORD} is damaged.* byte {at + 3} on"):
        next(reading)


@pytest.mark.parametrize("whole", [True, False])
def test_another_file_is_no_journal(path: Path, *, whole: bool) -> None:
    path.write_bytes(b"number;name\n")

    with pytest.raises(JournalError, match=f"{path} begins with b'number;'"):
        list(read(path, magic=MAGIC, whole=whole))


def test_what_is_written_after_the_reading_began_is_left_for_the_next(path: Path) -> None:
    """Also if it goes on where the file ended in half a record then."""
    before, after = file_of(b"one", b"two" * 5000), file_of(b"one", b"two" * 5000, b"three")
    for end in (len(before) - 1, len(before)):
        path.write_bytes(before[:end])
        reading = read(path, magic=MAGIC)
        first = next(reading)
        path.write_bytes(after)

        assert [first, *reading] == [b"one", b"two" * 5000][: 1 + (end == len(before))]


def test_a_record_that_takes_the_place_of_half_a_one_is_no_damage(path: Path) -> None:
    """A disk was full, the half was cut back, and then there was room again."""
    path.write_bytes(file_of(b"one", b"x" * 50_000)[:-100])
    reading = read(path, magic=MAGIC)
    first = next(reading)
    path.write_bytes(file_of(b"one", b"two", b"three", b"y" * 60_000))

    assert [first, *reading] == [b"one", b"two", b"three"]


def test_a_stream_is_read_to_its_end(path: Path) -> None:
    assert list(parse(BytesIO(file_of(b"one", b"two")), path=path, magic=MAGIC)) == [b"one", b"two"]


@pytest.mark.parametrize("end", [0, 6, len(HEADER) + 1, len(HEADER) + 10, -1])
def test_a_stream_that_ends_early_is_an_error(path: Path, end: int) -> None:
    with pytest.raises(JournalError, match=f"^{path}"):
        list(parse(BytesIO(file_of(b"one", b"two")[:end]), path=path, magic=MAGIC))


def test_an_image_is_what_a_journal_writes_and_comes_in_pieces() -> None:
    payloads = [bytes([count]) * (MAX_PAYLOAD // 3) for count in range(1, 10)]
    pieces = list(image(iter(payloads), magic=MAGIC))

    assert b"".join(pieces) == framed(payloads)
    assert 1 < len(pieces) < len(payloads)


def framed(payloads: Iterable[bytes]) -> bytes:
    data = HEADER
    for payload in payloads:
        data += frame(len(data), payload)
    return data
