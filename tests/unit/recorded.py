"""Records as a gate makes them, and a short way to look at what is filed of them."""

import os
from contextlib import closing
from pathlib import Path

from ringfence.decision import Reason, Verdict
from ringfence.evidence.chain import START, Filed, digest_of, link_of
from ringfence.evidence.record import AnyRecord, Decided, EvidenceError, Opened, decode, encode
from ringfence.evidence.recorder import Recorder
from ringfence.evidence.segment import (
    MAGIC,
    Segment,
    chains,
    file_name,
    follow,
    payload,
    seal,
    segments,
)
from ringfence.journal import Journal
from ringfence.wire import Config

NAME = "6afd2ec0deadbeef"
AT = 1_795_000_000.0
CONFIG = Config(epoch=3, version=7, campaigns={}, texts={}, index={})


def decided(count: int, *, reference: str = "") -> Decided:
    """Give a decision; another *count*, another decision."""
    return Decided(
        at=AT + count / 64,
        id=f"6f3a9c01-{count:x}",
        call=f"1795000000.{count}",
        reference=reference,
        principal="acme",
        campaign="acme-fibre",
        number=count * 0x9E3779B97F4A7C15 % 2**64,
        purpose=count * 0xC2B2AE3D27D4EB4F % 2**64,
        consumer=0,
        territories=("33",),
        caller_id="+33199000001",
        ground=(count % 7 << 16, 0),
        restraints=((0, count % 5),),
        verdict=Verdict.ALLOW,
        reason=Reason.CONSENT,
        retry_at=None,
        rulebook="france-2026.1",
        epoch=3,
        seq=1000 + count,
        age=0.25,
        config=7,
    )


def recorder(folder: Path, gate: str = "tunis-1") -> Recorder:
    return Recorder(gate, folder, release="0.1.0")


def chain_in(folder: Path) -> Path:
    (chain,) = chains(folder)
    return chain


def followed(chain: Path) -> list[Filed]:
    """Read a whole chain, and make sure that every record follows from the one before."""
    found: list[Filed] = []
    for segment in segments(chain):
        found += follow(segment, found[-1] if found else None)
    assert [filed.number for filed in found] == list(range(1, len(found) + 1))
    return found


def contents(chain: Path) -> list[AnyRecord]:
    return [decode(filed.body) for filed in followed(chain)]


def kinds(chain: Path) -> str:
    """Give the first letter of the kind of each record."""
    return "".join(type(record).__name__[0] for record in contents(chain))


def fault(chain: Path) -> str:
    """Give what is wrong with the chain; empty if nothing is."""
    try:
        before = None
        for segment in segments(chain):
            for filed in follow(segment, before, whole=True):
                before = filed
    except EvidenceError as error:
        return str(error)
    return ""


def left_by(folder: Path, *counts: int) -> Path:
    """Give the chain of a gate that recorded some decisions and was stopped."""
    with closing(recorder(folder)) as gate:
        gate.open(AT)
        gate.record(*map(decided, counts))
    return chain_in(folder)


def turn(gate: Recorder, at: float = AT) -> None:
    gate.prepare()
    gate.swap(at)


def names(chain: Path) -> set[str]:
    return {path.name for path in chain.iterdir()}


def damaged(content: bytes) -> bytes:
    """Change a byte of the second decision."""
    at = content.index(encode(decided(2))) + 30
    return content[:at] + b"\xff" + content[at + 1 :]


def replace_file(journal: Journal, device: str) -> None:
    """Let the journal write to *device*, as if its file had become that."""
    substitute = os.open(device, os.O_WRONLY)
    os.dup2(substitute, journal._file)
    os.close(substitute)


def chained(*bodies: bytes, before: Filed | None = None) -> list[Filed]:
    """File records behind *before*."""
    last, link = (before.number, before.link) if before else (0, START)
    filed = []
    for number, body in enumerate(bodies, last + 1):
        link = link_of(link, number, digest_of(body))
        filed.append(Filed(number, link, body))
    return filed


def begun(segment: int = 1, previous: bytes = START, chain: str = NAME) -> bytes:
    return encode(Opened("tunis-1", chain, segment, previous, AT, "0.1.0"))


def some(count: int = 5, segment: int = 1, before: Filed | None = None) -> list[Filed]:
    """File a segment's worth of records."""
    previous = before.link if before else START
    bodies = [encode(decided(number)) for number in range(count)]
    return chained(begun(segment, previous), *bodies, before=before)


def journal_of(chain: Path, filed: list[Filed], index: int = 1) -> Segment:
    path = chain / file_name(index)
    with closing(Journal.open(path, magic=MAGIC)) as journal:
        journal.append(*(payload(f.number, f.link, f.body, dropped=f.dropped) for f in filed))
    return Segment(path, index)


def sealed_of(chain: Path, filed: list[Filed], index: int = 1) -> Segment:
    return Segment(seal(journal_of(chain, filed, index).path), index)


def read_until_error(segment: Segment) -> tuple[list[Filed], str]:
    read = []
    try:
        for filed in segment.filed():
            read.append(filed)  # noqa: PERF402 - what comes before the error is wanted
    except EvidenceError as error:
        return read, str(error)
    return read, ""
