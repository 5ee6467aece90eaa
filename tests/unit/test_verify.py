"""Evidence that was tampered with, by somebody who can write every checksum of the files anew."""

import shutil
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.filing import (
    CONFIG,
    DAY,
    TUESDAY,
    changed,
    decided,
    file,
    filed,
    refile,
)

from ringfence.evidence import breaks
from ringfence.evidence.chain import START, Filed, digest_of, link_of
from ringfence.evidence.record import (
    AnyRecord,
    Dropped,
    EvidenceError,
    Learned,
    Opened,
    decode,
    encode,
)
from ringfence.evidence.recorder import Recorder
from ringfence.evidence.segment import MAGIC, Segment, chains, payload, segments, write
from ringfence.evidence.verify import Finding, Inspected, Report, What, Witness, verify
from ringfence.journal import Journal

HEARD = datetime(2026, 11, 24, 10, tzinfo=UTC)
NOW = datetime(2026, 11, 24, 10, 5, tzinfo=UTC)
FOREVER = b"x" * 400

Tampering = Callable[[list[Filed]], list[Filed]]


def batch(count: int, start: float = TUESDAY) -> list[AnyRecord]:
    return [decided(start + index, id=f"d-{index}") for index in range(count)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three segments: records 1 to 12, 13 to 24, and 25 to 36, which is being written."""
    file(
        tmp_path / "evidence",
        *(batch(10, TUESDAY + 60 * number) for number in range(3)),
    )
    return tmp_path / "evidence"


def witness(chain: Path, number: int, link: bytes | None = None) -> Witness:
    """Give what a ledger heard when the record was the newest."""
    records = [it for segment in segments(chain) for it in segment.filed()]
    if link is None:
        (link,) = (it.link for it in records if it.number == number)
    return Witness("tunis-1", chain.name, number, link, HEARD)


def found(folder: Path, *witnesses: Witness) -> list[tuple[What, int, int, str]]:
    (chain,) = verify(chains(folder), witnesses, gate="tunis-1", now=NOW).chains
    return [(it.what, it.number, it.last, it.segment) for it in chain.findings]


def words(folder: Path, *witnesses: Witness) -> list[str]:
    report = verify(chains(folder), witnesses, gate="tunis-1", now=NOW)
    return [finding.words for chain in report.chains for finding in chain.findings]


def tamper(folder: Path, tampering: Tampering, index: int = -1) -> None:
    (chain,) = chains(folder)
    segment, records = filed(chain, index)
    refile(segment, tampering(records))


def relinked(records: list[Filed]) -> list[Filed]:
    """Compute all links anew behind the first record."""
    linked = records[:1]
    for record in records[1:]:
        before = linked[-1]
        number = before.number + 1
        link = link_of(before.link, number, record.digest)
        linked.append(changed(record, number=number, link=link))
    return linked


def at(records: list[Filed], number: int) -> int:
    return next(index for index, record in enumerate(records) if record.number == number)


# --- what holds ----------------------------------------------------------------------------------


def test_what_the_recorder_wrote_holds(folder: Path) -> None:
    (chain,) = chains(folder)

    report = verify([chain], [witness(chain, 24), witness(chain, 36)], now=NOW)

    assert report == Report(
        (
            Inspected(
                chain.name,
                gate="tunis-1",
                segments=3,
                records=36,
                last=36,
                began=datetime.fromtimestamp(TUESDAY, UTC),
                ended=datetime.fromtimestamp(TUESDAY + 129, UTC),
                compared=True,
                witnessed=36,
            ),
        )
    )
    assert report.holds


def test_a_chain_goes_on_over_a_stop_of_its_gate(folder: Path) -> None:
    file(folder, batch(3, TUESDAY + 3600))

    assert found(folder) == []


def test_a_segment_that_was_only_prepared_is_no_fault(folder: Path) -> None:
    (chain,) = chains(folder)
    segment, _ = filed(chain)
    (chain / "000004.journal").write_bytes(segment.path.read_bytes()[: len(b"RFevidence") + 1])

    assert found(folder) == []


def test_a_gate_may_go_on_and_begin_a_segment_meanwhile(folder: Path) -> None:
    recorder = Recorder("tunis-1", folder, release="1.0")
    recorder.open(TUESDAY + 200)
    recorder.prepare()

    def meanwhile(segment: Segment) -> None:
        if segment.index == 3:
            recorder.record(*batch(2, TUESDAY + 201))
            recorder.swap(TUESDAY + 210)
            recorder.record(*batch(1, TUESDAY + 211))
            recorder.seal()

    (chain,) = chains(folder)
    (inspected,) = verify([chain], told=meanwhile, now=NOW).chains
    recorder.close()

    assert (inspected.findings, inspected.last) == ((), 40)


def test_what_other_gates_said_is_expected_of_nobody_here(folder: Path) -> None:
    (chain,) = chains(folder)
    other = Witness("casablanca-1", "0" * 16, 7, START, HEARD)

    assert found(folder, other, witness(chain, 36)) == []


# --- records -------------------------------------------------------------------------------------


def alter(number: int) -> Tampering:
    def tampering(records: list[Filed]) -> list[Filed]:
        index = at(records, number)
        body = encode(decided(TUESDAY, id="another"))
        return [*records[:index], changed(records[index], body=body), *records[index + 1 :]]

    return tampering


def remove(first: int, last: int) -> Tampering:
    return lambda records: [it for it in records if not first <= it.number <= last]


def move(number: int, before: int) -> Tampering:
    def tampering(records: list[Filed]) -> list[Filed]:
        moved = records[at(records, number)]
        rest = [it for it in records if it is not moved]
        index = at(rest, before) if before <= rest[-1].number else len(rest)
        return [*rest[:index], moved, *rest[index:]]

    return tampering


def copy(number: int, before: int, **changes: object) -> Tampering:
    def tampering(records: list[Filed]) -> list[Filed]:
        index, copied = at(records, before), records[at(records, number)]
        return [*records[:index], changed(copied, **changes), *records[index:]]

    return tampering


def add(before: int, number: int) -> Tampering:
    def tampering(records: list[Filed]) -> list[Filed]:
        index = at(records, before)
        link = link_of(records[index - 1].link, number, digest_of(FOREVER))
        return [*records[:index], Filed(number, link, FOREVER), *records[index:]]

    return tampering


@pytest.mark.parametrize(
    ("tampering", "what", "number", "said"),
    [
        (alter(30), What.ALTERED, 30, "record 30 was altered: it does not follow from 29"),
        (alter(36), What.ALTERED, 36, "record 36 was altered: it does not follow from 35"),
        (remove(30, 30), What.REMOVED, 30, "record 30 was removed: after 29 comes 31"),
        (remove(30, 33), What.REMOVED, 30, "records 30 to 33 were removed: after 29 comes 34"),
        (remove(25, 25), What.REMOVED, 25, "record 25 was removed: after 24 comes 26"),
        (move(31, before=30), What.REORDERED, 31, "record 31 stands before 30"),
        (move(35, before=26), What.REORDERED, 35, "record 35 stands before 26"),
        (move(27, before=99), What.REORDERED, 28, "records 28 to 36 stand before 27"),
        (add(31, number=31), What.ADDED, 31,
         "record 31 was added: its number is there a second time"),
        (add(31, number=12), What.ADDED, 12,
         "record 12 was added: its number is there a second time"),
        (add(31, number=99), What.ADDED, 99,
         "record 99 was added: it does not belong before 31"),
        (copy(31, before=31, link=START), What.ADDED, 31,
         "record 31 was added: the one that belongs there comes later"),
        (copy(35, before=28), What.ADDED, 35,
         "record 35 was added: it does not belong before 28"),
        (copy(28, before=35), What.ADDED, 28,
         "record 28 was added: its number is there a second time"),
    ],
    ids=["altered", "last altered", "removed", "four removed", "first removed", "moved up",
         "moved far up", "moved down", "another of its number", "twice", "of no number",
         "another before it", "a copy before it", "a copy behind it"],
)  # fmt: skip
def test_what_was_done_to_a_record_is_named(
    folder: Path, tampering: Tampering, what: What, number: int, said: str
) -> None:
    tamper(folder, tampering)

    (chain,) = verify(chains(folder), now=NOW).chains

    (first,) = chain.findings
    assert (first.what, first.number, first.segment) == (what, number, "000003.journal")
    assert first.words == said


@pytest.mark.parametrize(
    "tampering",
    [alter(18), remove(18, 18), move(19, 18), add(19, number=18)],
    ids=["altered", "removed", "moved", "added"],
)
def test_a_sealed_segment_is_no_safer_and_no_blinder(folder: Path, tampering: Tampering) -> None:
    tamper(folder, tampering, index=1)

    (chain,) = verify(chains(folder), now=NOW).chains

    assert [(it.number in (18, 19), it.segment) for it in chain.findings] == [
        (True, "000002.sealed")
    ]


def test_an_altered_link_is_told_from_an_altered_record(folder: Path) -> None:
    def tampering(records: list[Filed]) -> list[Filed]:
        index = at(records, 30)
        return [*records[:index], changed(records[index], link=START), *records[index + 1 :]]

    tamper(folder, tampering)

    assert words(folder) == ["record 30 was altered: its link is another"]


def test_records_that_stand_far_behind_their_place_are_not_told_as_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaks, "WINDOW", 3)
    tamper(folder, lambda records: [*remove(28, 29)(records), *records[3:5]])

    assert words(folder) == ["record 28 stands behind 36", "record 29 stands behind 36"]


def test_several_things_are_told_in_their_order(folder: Path) -> None:
    tamper(folder, lambda records: move(33, 32)(remove(28, 28)(records)))
    tamper(folder, alter(15), index=1)

    assert [(what, number) for what, number, _, _ in found(folder)] == [
        (What.ALTERED, 15),
        (What.REMOVED, 28),
        (What.REORDERED, 33),
    ]


def test_what_is_told_is_bounded_and_the_rest_counted(tmp_path: Path) -> None:
    chain = file(tmp_path / "evidence", batch(3000))
    tamper(tmp_path / "evidence", lambda records: [changed(it, link=START) for it in records])

    (inspected,) = verify([chain], now=NOW).chains

    assert len(inspected.findings) == 100
    assert inspected.findings[0].words == "record 1 was altered: it does not follow from 0"
    assert len(inspected.findings) + inspected.untold == 3002


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(data=st.data())
def test_no_order_but_the_right_one_holds(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "shuffled"
    shutil.rmtree(folder, ignore_errors=True)
    chain = file(folder, batch(8))
    _, records = filed(chain)
    shuffled = data.draw(st.permutations(records))

    tamper(folder, lambda _: shuffled)

    assert verify([chain], now=NOW).holds == (shuffled == records)


# --- files ---------------------------------------------------------------------------------------


def test_one_changed_byte_anywhere_in_any_file_is_named(tmp_path: Path) -> None:
    chain = file(tmp_path / "evidence", batch(2), batch(2, TUESDAY + 60), batch(2, TUESDAY + 120))

    for segment in segments(chain):
        whole = segment.path.read_bytes()
        for offset in range(0, len(whole), 5):
            flipped = bytes([whole[offset] ^ 1 << offset % 8])
            segment.path.write_bytes(whole[:offset] + flipped + whole[offset + 1 :])
            (inspected,) = verify([chain], now=NOW).chains
            told = [(it.segment, str(segment.path) in it.words) for it in inspected.findings]
            assert told == [(segment.path.name, True)], offset
        segment.path.write_bytes(whole)
    assert verify([chain], now=NOW).holds


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_damaged_file_is_told_with_the_first_record_that_it_no_longer_proves(
    folder: Path, kept: float
) -> None:
    (chain,) = chains(folder)
    segment = segments(chain)[1]
    whole = segment.path.read_bytes()
    segment.path.write_bytes(whole[: int(len(whole) * kept)])
    readable = 12
    with suppress(EvidenceError):
        for record in segment.filed():
            readable = record.number

    (inspected,) = verify([chain], [witness_of_end(chain)], now=NOW).chains

    (finding,) = inspected.findings
    assert (finding.what, finding.segment) == (What.UNREADABLE, "000002.sealed")
    assert finding.number == readable + 1
    assert finding.words.startswith(f"000002.sealed proves nothing from record {readable + 1} on")


@pytest.mark.parametrize("prepared", [False, True])
def test_of_a_newest_file_that_is_damaged_no_record_is_told_to_be_missing(
    folder: Path, *, prepared: bool
) -> None:
    (chain,) = chains(folder)
    head, path = witness(chain, 36), segments(chain)[-1].path
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    if prepared:
        (chain / "000004.journal").write_bytes(whole[: len(b"RFevidence") + 1])

    assert found(folder, head) == [(What.UNREADABLE, 36, 36, "000003.journal")]


def test_a_cut_shows_behind_a_file_that_is_damaged(folder: Path) -> None:
    (chain,) = chains(folder)
    head, path = witness(chain, 36), segments(chain)[0].path
    path.write_bytes(path.read_bytes()[:-1])
    tamper(folder, lambda records: records[:-1])

    assert [it[0] for it in found(folder, head)] == [What.UNREADABLE, What.CUT]


def witness_of_end(chain: Path) -> Witness:
    _, records = filed(chain)
    return Witness("tunis-1", chain.name, records[-1].number, records[-1].link, HEARD)


@pytest.mark.parametrize("prepared", [False, True])
def test_half_a_record_at_the_end_is_told_from_damage(folder: Path, *, prepared: bool) -> None:
    """A kill leaves it, and nothing that was promised: it is there until the gate goes on."""
    (chain,) = chains(folder)
    head = witness(chain, 35)
    segment, _ = filed(chain)
    whole = segment.path.read_bytes()
    segment.path.write_bytes(whole[:-3])
    if prepared:
        (chain / "000004.journal").write_bytes(whole[: len(b"RFevidence") + 1])

    assert found(folder, head) == [(What.TORN, 36, 36, "000003.journal")]
    assert verify([chain], [head], now=NOW).holds
    file(folder, batch(1, TUESDAY + 200))
    assert found(folder) == []


@pytest.mark.parametrize("witnessed", [35, 36])
def test_half_a_record_is_no_excuse_for_what_was_witnessed(folder: Path, witnessed: int) -> None:
    (chain,) = chains(folder)
    head = witness(chain, witnessed)
    segment, _ = filed(chain)
    segment.path.write_bytes(segment.path.read_bytes()[:-3])

    assert verify([chain], [head], now=NOW).holds == (witnessed == 35)


def test_half_a_record_before_the_newest_segment_is_damage(folder: Path) -> None:
    (chain,) = chains(folder)
    segment, records = filed(chain, 1)
    with closing(Journal.open(chain / "000002.journal", magic=MAGIC)) as journal:
        journal.append(*(payload(it.number, it.link, it.body) for it in records))
    segment.path.unlink()
    with (chain / "000002.journal").open("ab") as file:
        file.write(b"half a record")

    assert found(folder) == [(What.UNREADABLE, 25, 25, "000002.journal")]


def test_a_segment_that_is_there_twice_is_named(folder: Path) -> None:
    """Else a sealed file of a part of it would hide the rest of a journal."""
    (chain,) = chains(folder)
    segment, records = filed(chain)
    write(segment.path.with_suffix(".sealed"), records)
    same = found(folder)
    write(segment.path.with_suffix(".sealed"), records[:-5])

    assert same == []
    assert found(folder) == [(What.MISPLACED, 25, 25, "000003.sealed")]


def test_a_segment_that_is_missing_is_named_by_its_records(folder: Path) -> None:
    (chain,) = chains(folder)
    segments(chain)[1].path.unlink()

    assert found(folder) == [(What.REMOVED, 13, 24, "000003.journal")]
    assert words(folder) == ["records 13 to 24 were removed: after 12 comes 25"]


def test_a_first_segment_that_is_missing_is_named_by_its_records(folder: Path) -> None:
    (chain,) = chains(folder)
    segments(chain)[0].path.unlink()

    assert words(folder) == ["records 1 to 12 were removed: the chain begins with 13"]


def test_files_that_were_exchanged_are_named(folder: Path) -> None:
    (chain,) = chains(folder)
    first, second, _ = (segment.path for segment in segments(chain))
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)

    told = found(folder)

    assert [(what, segment) for what, _, _, segment in told] == [
        (What.MISPLACED, "000002.sealed"),
        (What.MISPLACED, "000001.sealed"),
    ]


def test_a_segment_of_another_chain_is_named(folder: Path, tmp_path: Path) -> None:
    (chain,) = chains(folder)
    other = file(tmp_path / "other", batch(2), batch(2))
    segments(chain)[0].path.write_bytes(segments(other)[0].path.read_bytes())

    assert found(folder) == [(What.MISPLACED, 1, 1, "000001.sealed")]
    assert f"is segment 1 of chain {other.name}, and not 1 of {chain.name}" in words(folder)[0]


# --- what only witnesses can tell ----------------------------------------------------------------


def test_a_record_cut_from_the_end_is_found_through_the_heads(folder: Path) -> None:
    (chain,) = chains(folder)
    heads = [witness(chain, 24), witness(chain, 36)]
    tamper(folder, lambda records: records[:-1])

    assert found(folder) == []
    assert found(folder, *heads) == [(What.CUT, 36, 36, "")]
    (said,) = words(folder, *heads)
    assert said == (
        "record 36 is missing from the end: the ledger witnessed record 36, on"
        " 2026-11-24 10:00:00 UTC"
    )


def test_a_newest_segment_that_is_missing_is_found_through_the_heads(folder: Path) -> None:
    (chain,) = chains(folder)
    head = witness(chain, 36)
    segments(chain)[-1].path.unlink()

    assert found(folder, head) == [(What.CUT, 25, 36, "")]


def test_a_chain_that_is_missing_is_found_through_the_heads(folder: Path) -> None:
    (chain,) = chains(folder)
    head = witness(chain, 36)
    shutil.rmtree(chain)

    report = verify(chains(folder), [head], gate="tunis-1", now=NOW)

    assert not report.holds
    (gone,) = report.chains
    assert (gone.chain, gone.gate) == (chain.name, "tunis-1")
    assert gone.findings == (
        Finding(
            What.GONE,
            1,
            36,
            "",
            "the whole chain is missing: the ledger witnessed it up to record 36, on"
            " 2026-11-24 10:00:00 UTC",
        ),
    )


def test_a_chain_computed_anew_is_found_through_the_heads(folder: Path) -> None:
    (chain,) = chains(folder)
    heads = [witness(chain, 24), witness(chain, 36)]
    tamper(folder, lambda records: relinked(alter(30)(records)))

    assert found(folder) == []
    assert found(folder, *heads) == [(What.REWRITTEN, 25, 36, "")]
    (said,) = words(folder, *heads)
    assert said == (
        "record 36 has another link than the ledger witnessed, on 2026-11-24 10:00:00 UTC: the"
        " chain was written anew behind record 24"
    )


def test_a_record_taken_out_and_all_behind_it_written_anew_is_found(folder: Path) -> None:
    (chain,) = chains(folder)
    head = witness(chain, 33)
    tamper(folder, lambda records: relinked(remove(30, 30)(records)))

    assert found(folder) == []
    told = [(What.REWRITTEN, 1, 33, ""), (What.UNWITNESSED, 34, 35, "")]
    assert found(folder, head) == told


def test_a_head_is_compared_where_only_the_next_segment_says_it(folder: Path) -> None:
    (chain,) = chains(folder)
    end = witness(chain, 36)
    right, wrong = witness(chain, 12), witness(chain, 12, link=START)
    segments(chain)[0].path.unlink()

    assert found(folder, right, end) == [(What.REMOVED, 1, 12, "000002.sealed")]
    assert (What.REWRITTEN, 1, 12, "") in found(folder, wrong, end)


def test_a_head_told_under_another_name_does_not_hide_that_a_chain_is_missing(folder: Path) -> None:
    (chain,) = chains(folder)
    head = witness(chain, 36)
    shutil.rmtree(chain)
    others = [replace(head, gate="0", number=1), head, replace(head, gate="z", number=99)]

    (gone,) = verify(chains(folder), others, gate="tunis-1", now=NOW).chains

    assert (gone.chain, gone.gate) == (chain.name, "tunis-1")
    assert [(it.what, it.last) for it in gone.findings] == [(What.GONE, 36)]


def test_a_chain_that_nobody_was_told_of_is_named_where_heads_are_known(
    folder: Path, tmp_path: Path
) -> None:
    """Somebody may have made it up, and laid it beside the real one."""
    (chain,) = chains(folder)
    other = file(tmp_path / "other", batch(3, TUESDAY - DAY))
    shutil.copytree(other, folder / other.name)

    report = verify(chains(folder), [witness(chain, 36)], gate="tunis-1", now=NOW)

    assert not report.holds
    made_up, real = report.chains
    assert real.findings == ()
    assert made_up.findings == (
        Finding(
            What.UNWITNESSED,
            1,
            5,
            "",
            "the whole chain was never witnessed, and there are some of 2026-11-23 09:30:00 UTC: a"
            " gate tells its ledger within 60 seconds, so that was added, or this one could not",
        ),
    )
    assert verify(chains(folder), now=NOW).holds


def test_a_chain_in_which_nothing_was_decided_is_told_to_nobody(
    folder: Path, tmp_path: Path
) -> None:
    (chain,) = chains(folder)
    other = file(tmp_path / "other", [Learned(TUESDAY, "acme", 1, 2, 3)], gate="tunis-2")
    shutil.copytree(other, folder / other.name)

    assert verify(chains(folder), [witness(chain, 36)], now=NOW).holds


@pytest.mark.parametrize(
    ("later", "holds"),
    [(-2 * DAY, False), (-DAY / 2, True), (0, True), (59, True), (61, False), (10 * DAY, False)],
)
def test_the_end_of_a_chain_is_told_within_a_minute(
    folder: Path, later: float, *, holds: bool
) -> None:
    """What stands behind the last head may have been added, or written while this reads on."""
    (chain,) = chains(folder)
    now = datetime.fromtimestamp(TUESDAY + 129 + later, UTC)

    (inspected,) = verify([chain], [witness(chain, 35)], now=now).chains

    assert (inspected.findings == ()) == holds
    assert {(it.what, it.number, it.last) for it in inspected.findings} <= {
        (What.UNWITNESSED, 36, 36)
    }


# --- what was dropped ----------------------------------------------------------------------------


def drop(*numbers: int) -> Tampering:
    return lambda records: [
        changed(it, body=it.digest, dropped=True) if it.number in numbers else it for it in records
    ]


def old(tmp_path: Path, *stated: Dropped) -> Path:
    """A chain of two segments: one of long ago, records 1 to 7, and what was stated of it."""
    then = TUESDAY - 1200 * DAY
    return file(tmp_path / "evidence", batch(5, then), list(stated))


def test_dropped_records_that_a_record_covers_are_in_order(tmp_path: Path) -> None:
    chain = old(tmp_path, Dropped(TUESDAY, 1096, ((3, 4), (6, 6))))
    tamper(tmp_path / "evidence", drop(3, 4, 6), index=0)

    (inspected,) = verify([chain], now=NOW).chains

    assert inspected.findings == ()
    assert (inspected.records, inspected.dropped, inspected.last) == (7, 3, 10)


def test_a_segment_that_is_gone_and_covered_is_in_order(tmp_path: Path) -> None:
    chain = old(tmp_path, Dropped(TUESDAY, 1096, ((1, 7),)))
    segments(chain)[0].path.unlink()

    (inspected,) = verify([chain], now=NOW).chains

    assert inspected.findings == ()
    assert (inspected.records, inspected.dropped) == (3, 7)


def test_a_segment_that_is_gone_and_covered_in_part_is_not(tmp_path: Path) -> None:
    chain = old(tmp_path, Dropped(TUESDAY, 1096, ((1, 2), (5, 7))))
    segments(chain)[0].path.unlink()

    assert words(tmp_path / "evidence") == [
        "records 3 to 4 were removed, and none says that they were dropped"
    ]


def test_dropped_records_that_none_covers_are_named(tmp_path: Path) -> None:
    old(tmp_path, Dropped(TUESDAY, 1096, ((3, 4),)))
    tamper(tmp_path / "evidence", drop(3, 4, 5), index=0)

    assert words(tmp_path / "evidence") == [
        "record 5 was dropped, and no record of the chain says so"
    ]


@pytest.mark.parametrize("retention", [1, 1199])
def test_no_statement_makes_up_for_a_retention_that_was_not_over(
    tmp_path: Path, retention: int
) -> None:
    """Else one appended record would excuse whatever else is taken away."""
    then = TUESDAY - 1198 * DAY
    file(tmp_path / "evidence", batch(5, then), [Dropped(TUESDAY, retention, ((3, 3),))])
    tamper(tmp_path / "evidence", drop(3), index=0)

    assert words(tmp_path / "evidence") == [
        "record 3 was dropped before the time: what stands before is of 2023-08-14 09:30:00 UTC"
    ]


FUTURE = datetime(2100, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("told", "words_of"),
    [
        (FUTURE, "it is now 2026-11-24 10:05:00 UTC"),
        (NOW.timestamp() + 59, ""),
        (NOW.timestamp() + 61, "it is now 2026-11-24 10:05:00 UTC"),
    ],
)
def test_no_record_is_believed_that_is_of_a_time_to_come(
    tmp_path: Path, told: float, words_of: str
) -> None:
    """Else a record of a hundred years hence would excuse all that is taken away today."""
    chain = file(
        tmp_path / "evidence",
        batch(2, TUESDAY - 2000 * DAY),
        batch(2, TUESDAY - 2000 * DAY),
        [Dropped(told, 1096, ((5, 8),))],
    )
    segments(chain)[1].path.unlink()

    said = words(tmp_path / "evidence")

    assert len(said) == (2 if words_of else 0)
    if words_of:
        assert said[0] == "records 5 to 8 were removed: after 4 comes 9"
        assert said[1].startswith("record 11 says that records were dropped on ")
        assert said[1].endswith(f", and is not believed: {words_of}")


@pytest.mark.parametrize("number", [7, 10, 13])
def test_no_record_is_believed_that_was_there_before_it_was_made(
    tmp_path: Path, number: int
) -> None:
    folder, then = tmp_path / "evidence", TUESDAY - 2000 * DAY
    chain = file(folder, batch(2, then), [Dropped(TUESDAY, 1096, ((1, 4),)), *batch(6, then + 100)])
    heard = datetime.fromtimestamp(then + 600, UTC)
    heads = [replace(witness(chain, known), heard=heard) for known in (number, 13)]
    segments(chain)[0].path.unlink()

    said = words(folder, *heads)

    assert "records 1 to 4 were removed: the chain begins with 5" in said
    assert "record 7 says that records were dropped on 2026-11-24 09:30:00 UTC" in "".join(said)
    assert "the ledger had heard of it by" in "".join(said)


def test_a_chain_holds_nothing_that_is_older_than_its_name(tmp_path: Path) -> None:
    """Of its first segments nothing else tells how old they were."""
    folder = tmp_path / "evidence"
    chain = file(folder, batch(2, TUESDAY - 60), [Dropped(TUESDAY, 1096, ((1, 4),))])
    segments(chain)[0].path.unlink()

    assert words(folder) == ["records 1 to 4 were removed: the chain begins with 5"]


@pytest.mark.parametrize(("age", "left"), [(1095, [(5, 9)]), (1097, [])])
def test_a_record_behind_a_head_is_younger_than_it(
    tmp_path: Path, age: int, left: list[tuple[int, int]]
) -> None:
    """The chain is old, and what was removed of it was not."""
    folder, then = tmp_path / "evidence", TUESDAY - 1200 * DAY
    chain = file(
        folder, batch(2, then), batch(3, TUESDAY - age * DAY), [Dropped(TUESDAY, 1096, ((1, 9),))]
    )
    heard = datetime.fromtimestamp(TUESDAY - age * DAY, UTC)
    heads = [
        replace(witness(chain, 3), at=datetime.fromtimestamp(then, UTC)),
        replace(witness(chain, 4), at=heard),
        witness(chain, 12),
    ]
    for segment in segments(chain)[:2]:
        segment.path.unlink()

    told = found(folder, *heads)

    assert [(first, last) for _, first, last, _ in told] == left
    if left:
        assert words(folder, *heads) == [
            (
                "records 5 to 9 were removed before the time: the ledger was told of record 4 on"
                " 2023-11-25 09:30:00 UTC"
            )
        ]


def test_a_head_that_came_late_makes_nothing_younger(tmp_path: Path) -> None:
    """A ledger that was down hears on Monday what was told on Friday."""
    folder, then = tmp_path / "evidence", TUESDAY - 1097 * DAY
    chain = file(folder, batch(5, then), [Dropped(TUESDAY, 1096, ((1, 7),))])
    late = datetime.fromtimestamp(then + 3 * DAY, UTC)
    told = replace(witness(chain, 4), heard=late, at=datetime.fromtimestamp(then + 1, UTC))
    segments(chain)[0].path.unlink()

    assert found(folder, told, witness(chain, 10)) == []


def test_dropped_digests_are_held_against_the_heads_too(tmp_path: Path) -> None:
    folder, then = tmp_path / "evidence", TUESDAY - 1200 * DAY
    chain = file(folder, batch(5, then), [Dropped(TUESDAY, 1096, ((3, 6),))])
    head, end = witness(chain, 4), witness(chain, 10)
    tamper(folder, drop(3, 4, 5, 6), index=0)

    assert words(folder, head, end) == [
        (
            "records 5 to 6 were dropped before the time: the ledger was told of record 4 on"
            " 2026-11-24 09:59:00 UTC"
        )
    ]


def test_a_segment_is_not_excused_either_before_the_time(tmp_path: Path) -> None:
    chain = file(tmp_path / "evidence", batch(2), batch(2), [Dropped(TUESDAY, 1096, ((5, 8),))])
    segments(chain)[1].path.unlink()

    assert words(tmp_path / "evidence") == ["records 5 to 8 were removed: after 4 comes 9"]


def test_a_record_inside_a_segment_may_not_be_missing_whatever_is_stated(tmp_path: Path) -> None:
    old(tmp_path, Dropped(TUESDAY, 1096, ((3, 3),)))
    tamper(tmp_path / "evidence", remove(3, 3), index=0)

    assert words(tmp_path / "evidence") == ["record 3 was removed: after 2 comes 4"]


def test_a_digest_that_was_altered_is_found(tmp_path: Path) -> None:
    old(tmp_path, Dropped(TUESDAY, 1096, ((3, 3),)))
    tamper(
        tmp_path / "evidence",
        lambda records: [changed(it, body=START) if it.dropped else it for it in drop(3)(records)],
        index=0,
    )

    assert words(tmp_path / "evidence") == ["record 3 was altered: it does not follow from 2"]


def test_the_fixture_is_what_the_tests_say(folder: Path) -> None:
    (chain,) = chains(folder)
    records = [list(segment.filed()) for segment in segments(chain)]

    assert [(some[0].number, some[-1].number) for some in records] == [(1, 12), (13, 24), (25, 36)]
    assert all(isinstance(decode(some[0].body), Opened) for some in records)
    assert all(b.number == a.number + 1 for some in records for a, b in pairwise(some))
    assert CONFIG.version == 3
