import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.recorded import (
    NAME,
    begun,
    chained,
    decided,
    journal_of,
    read_until_error,
    sealed_of,
    some,
)

from ringfence.evidence.chain import START, Filed, digest_of
from ringfence.evidence.record import EvidenceError, Place, encode
from ringfence.evidence.segment import (
    MAGIC,
    Segment,
    chains,
    file_name,
    follow,
    opened,
    payload,
    records,
    seal,
    segments,
)
from ringfence.journal import Journal


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    folder = tmp_path / "evidence" / NAME
    folder.mkdir(parents=True)
    return folder


BOTH = pytest.mark.parametrize("kept", [journal_of, sealed_of])
Keep = Callable[[Path, list[Filed]], Segment]


# --- reading --------------------------------------------------------------------------------------


@BOTH
def test_records_are_read_as_they_were_filed(chain: Path, kept: Keep) -> None:
    filed = some()
    segment = kept(chain, filed)

    assert list(segment.filed()) == list(segment.filed(whole=True)) == filed
    assert list(follow(segment)) == filed


@BOTH
def test_a_dropped_record_leaves_its_digest_and_the_chain_holds(chain: Path, kept: Keep) -> None:
    filed = some()
    filed[2] = Filed(3, filed[2].link, filed[2].digest, dropped=True)
    segment = kept(chain, filed)

    assert list(follow(segment)) == filed
    assert [place.number for place, _ in records(chain.parent)] == [1, 2, 4, 5, 6]


def test_all_that_is_whole_is_read_of_all_chains_with_its_place(chain: Path) -> None:
    first = some(2)
    second = some(1, 2, first[-1])
    sealed_of(chain, first)
    journal_of(chain, second, 2)
    later = chain.with_name("7" * 16)
    later.mkdir()
    journal_of(later, chained(begun(1, START, later.name)))

    found = list(records(chain.parent))

    assert [place for place, _ in found] == [
        *(Place(NAME, "tunis-1", 1, number) for number in (1, 2, 3)),
        *(Place(NAME, "tunis-1", 2, number) for number in (4, 5)),
        Place(later.name, "tunis-1", 1, 1),
    ]
    assert found[1][1] == decided(0)


def test_chains_come_in_the_order_of_their_beginning_and_nothing_else_is_one(
    tmp_path: Path,
) -> None:
    for name in ("6afd2ec200000000", "6afd2ec1ffffffff", "lost+found", "6AFD2EC1FFFFFFFF"):
        (tmp_path / name).mkdir()

    assert [path.name for path in chains(tmp_path)] == ["6afd2ec1ffffffff", "6afd2ec200000000"]
    assert chains(tmp_path / "missing") == []


def test_of_a_segment_that_is_both_the_sealed_file_is_taken(chain: Path) -> None:
    for name in (
        "000002.journal",
        "000001.journal",
        "000001.sealed",
        "000001.journal.lock",
        "000001.sealed.new",
        "1000000.sealed",
        "notes.txt",
    ):
        (chain / name).touch()

    assert segments(chain) == [
        Segment(chain / "000001.sealed", 1),
        Segment(chain / "000002.journal", 2),
        Segment(chain / "1000000.sealed", 1000000),
    ]


def test_a_segment_that_was_just_begun_holds_nothing(chain: Path) -> None:
    segment = journal_of(chain, [])

    assert list(segment.filed(whole=True)) == []
    assert list(follow(segment)) == []
    assert opened(segment) is None


def test_a_segment_that_is_sealed_after_it_was_listed_is_read(chain: Path) -> None:
    filed = some()
    segment = journal_of(chain, filed)
    seal(segment.path)

    assert list(segment.filed()) == filed


def test_a_segment_is_read_while_it_is_written(chain: Path) -> None:
    """Up to where it was when reading began, and nothing is changed or locked by that."""
    filed = some(8)
    path = chain / file_name(1)
    with closing(Journal.open(path, magic=MAGIC)) as journal:
        journal.append(*(payload(f.number, f.link, f.body) for f in filed[:4]))
        before = path.read_bytes()
        reading = Segment(path, 1).filed()
        read = [next(reading)]
        assert path.read_bytes() == before
        journal.append(*(payload(f.number, f.link, f.body) for f in filed[4:]))
        read += reading

    assert read == filed[:4]


def test_half_a_record_ends_a_segment_unless_it_must_be_whole(chain: Path) -> None:
    filed = some()
    segment = journal_of(chain, filed)
    os.truncate(segment.path, segment.path.stat().st_size - 1)

    assert list(segment.filed()) == filed[:-1]
    with pytest.raises(
        EvidenceError, match=rf"{segment.path}: record 6 cannot be read: .* no whole"
    ):
        list(segment.filed(whole=True))


@pytest.mark.parametrize("header", [b"", b"RFevid", b"RFevidence"])
def test_half_a_header_is_an_empty_segment_unless_it_must_be_whole(
    chain: Path, header: bytes
) -> None:
    segment = Segment(chain / file_name(1), 1)
    segment.path.write_bytes(header)

    assert list(segment.filed()) == []
    with pytest.raises(EvidenceError, match="its first record cannot be read"):
        list(segment.filed(whole=True))


# --- damage ---------------------------------------------------------------------------------------


def test_damage_in_a_journal_names_file_and_record(chain: Path) -> None:
    filed = some()
    segment = journal_of(chain, filed)
    content = bytearray(segment.path.read_bytes())
    content[content.index(filed[3].body) + 20] ^= 1
    segment.path.write_bytes(content)

    read, error = read_until_error(segment)

    assert read == filed[:3]
    assert error.startswith(f"{segment.path}: record 4 cannot be read: ")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x91\xa6future",
        encode(decided(1))[:-1],
        bytes([begun()[0] + 1]) + begun()[1:] + b"\x91" * 9**6,
    ],
)
def test_a_record_of_another_release_is_named(chain: Path, body: bytes) -> None:
    journal_of(chain, chained(begun(), body))

    with pytest.raises(EvidenceError, match=rf"{chain}/000001.journal: record 2: "):
        list(records(chain.parent))


def test_a_file_that_may_not_be_read_is_an_evidence_error(chain: Path) -> None:
    (chain / "000001.sealed").mkdir()

    with pytest.raises(EvidenceError, match=r"000001.sealed: its first record cannot be read: "):
        list(segments(chain)[0].filed())
    with pytest.raises(EvidenceError, match=r"000002.*No such file"):
        list(Segment(chain / file_name(2), 2).filed())


# --- links ----------------------------------------------------------------------------------------


def test_a_segment_follows_the_one_before(chain: Path) -> None:
    first = some(2)
    second = some(2, 2, first[-1])
    segment = sealed_of(chain, second, 2)

    assert list(follow(segment, first[-1])) == list(follow(segment)) == second
    with pytest.raises(EvidenceError, match=rf"{segment.path}: record 4 stands where record 3 bel"):
        list(follow(segment, first[-2]))
    with pytest.raises(EvidenceError, match="record 4 does not follow record 3: it was altered"):
        list(follow(segment, Filed(3, START, b"")))


def altered(filed: list[Filed]) -> None:
    filed[3] = Filed(4, filed[3].link, encode(decided(99)))


def altered_and_linked_anew(filed: list[Filed]) -> None:
    filed[3:4] = chained(encode(decided(99)), before=filed[2])


def removed(filed: list[Filed]) -> None:
    del filed[3]


def added(filed: list[Filed]) -> None:
    filed.insert(3, filed[2])


def swapped(filed: list[Filed]) -> None:
    filed[3], filed[4] = filed[4], filed[3]


def swapped_and_numbered_anew(filed: list[Filed]) -> None:
    third, fourth = filed[3], filed[4]
    filed[3], filed[4] = Filed(4, fourth.link, fourth.body), Filed(5, third.link, third.body)


def dropped_for_another(filed: list[Filed]) -> None:
    filed[3] = Filed(4, filed[3].link, digest_of(b"another"), dropped=True)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (altered, "record 4 does not follow"),
        (altered_and_linked_anew, "record 5 does not follow"),
        (removed, "record 5 stands where record 4 belongs"),
        (added, "record 3 stands where record 4 belongs"),
        (swapped, "record 5 stands where record 4 belongs"),
        (swapped_and_numbered_anew, "record 4 does not follow"),
        (dropped_for_another, "record 4 does not follow"),
    ],
)
@BOTH
def test_a_record_that_does_not_follow_is_named(
    chain: Path, kept: Keep, change: Callable[[list[Filed]], None], named: str
) -> None:
    filed = some()
    change(filed)
    segment = kept(chain, filed)

    with pytest.raises(EvidenceError, match=rf"{segment.path}: {named}"):
        list(follow(segment))


@pytest.mark.parametrize(
    "first", [begun(2), begun(chain="0" * 16), encode(decided(1)), b"", digest_of(b"dropped")]
)
def test_a_segment_that_is_not_what_its_name_says_is_told(chain: Path, first: bytes) -> None:
    filed = chained(first, encode(decided(1)))
    if len(first) == 32:
        filed[0] = Filed(1, filed[0].link, first, dropped=True)
    segment = journal_of(chain, filed)

    with pytest.raises(EvidenceError, match=rf"{segment.path}: record 1"):
        list(follow(segment))


def test_the_first_segment_begins_with_the_first_record(chain: Path) -> None:
    """Else a chain could lose its beginning, and say that it follows something."""
    before = Filed(7, bytes(range(32)), b"")
    segment = journal_of(chain, chained(begun(1, before.link), before=before))

    with pytest.raises(EvidenceError, match="record 8 stands where record 1 belongs"):
        list(follow(segment))
