"""The evidence that a dossier rests on: its records, and how far each chain was read.

Every link is checked on the way: no dossier rests on a chain that does not hold. Whether it is the
chain that the ledger was told of is said beside it, because whoever holds the dossier must know.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import msgspec

from ringfence.evidence.chain import Filed
from ringfence.evidence.ranges import Cover, Range
from ringfence.evidence.record import AnyRecord, Dropped, EvidenceError, Opened, Place, decode
from ringfence.evidence.segment import Segment, chains, follow, segments
from ringfence.ledger.witness import Witness

__all__ = ["Chain", "Evidence", "Unread", "Witnessed", "altered", "dropped", "unread"]


class Witnessed(StrEnum):
    """How a chain compares with the heads of it that the ledger keeps."""

    AGREES = "agrees"
    AHEAD = "ahead"
    """The ledger was told of records after the last one given: the evidence is not complete."""
    DIFFERS = "differs"
    """The ledger was told another link for a record: the evidence was altered."""
    UNKNOWN = "unknown"
    """The ledger was told nothing of it, or there is no ledger at hand."""


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """One gate's chain of evidence, as far as it was given."""

    gate: str
    chain: str
    number: int
    """Of its newest record; records are counted from 1."""
    link: str
    """That of the newest record, in hexadecimal."""
    since: datetime
    until: datetime
    """Instants of the first and last whole record."""
    dropped: int
    """Records that were dropped because their time was over."""
    witnessed: Witnessed


class Unread(msgspec.Struct, frozen=True, kw_only=True):
    """A chain that the ledger was told of, and that was not given."""

    gate: str
    chain: str
    number: int
    """Of the newest record that the ledger was told of."""
    until: datetime
    """When that was the head."""


def altered(chains: Iterable[Chain]) -> tuple[Chain, ...]:
    """Give those that are not what the ledger was told of them."""
    return tuple(chain for chain in chains if chain.witnessed is Witnessed.DIFFERS)


def dropped(chains: Iterable[Chain]) -> int:
    """Count the records of all of them that were dropped because their time was over."""
    return sum(chain.dropped for chain in chains)


def unread(heads: Iterable[Witness], read: Iterable[Chain]) -> tuple[Unread, ...]:
    """Give the chains of *heads* that are not among those *read*, by gate."""
    known = {chain.chain for chain in read}
    newest: dict[tuple[str, str], Witness] = {}
    for head in heads:
        of = head.gate, head.chain
        if head.chain not in known and (of not in newest or head.number > newest[of].number):
            newest[of] = head
    return tuple(
        Unread(gate=gate, chain=chain, number=head.number, until=head.at)
        for (gate, chain), head in sorted(newest.items())
    )


class Evidence:
    """Evidence folders, read once from end to end."""

    def __init__(self, folders: Sequence[Path], heads: Iterable[Witness] = ()) -> None:
        self._folders = folders
        self._heads: dict[str, dict[int, set[bytes]]] = {}
        for head in heads:
            self._heads.setdefault(head.chain, {}).setdefault(head.number, set()).add(head.link)
        self.chains: list[Chain] = []
        """How far each chain was read; complete when `records` is through."""

    def records(self) -> Iterator[tuple[Place, AnyRecord]]:
        """Give every whole record, chain by chain in order.

        Raises `EvidenceError` for a folder without evidence, a chain given twice, and the first
        record that cannot be read or does not follow the one before.
        """
        seen: dict[str, Path] = {}
        for folder in self._folders:
            found = chains(folder)
            if not found:
                msg = f"{folder}: no evidence there; a gate keeps its own in <data>/evidence"
                raise EvidenceError(msg)
            for chain in found:
                if chain.name in seen:
                    msg = f"chain {chain.name} is in {seen[chain.name]} and in {folder}: give one"
                    raise EvidenceError(msg)
                seen[chain.name] = folder
                reading = _Reading(chain, self._heads.get(chain.name, {}))
                yield from reading.records()
                if (read := reading.chain()) is not None:
                    self.chains.append(read)


class _Reading:
    """One chain, as it is read."""

    def __init__(self, folder: Path, heads: Mapping[int, set[bytes]]) -> None:
        self._folder = folder
        self._heads = heads
        self._newest: Filed | None = None
        self._index = 0
        """Of the segment that was read last."""
        self._gone: list[Range] = []
        """Records of segments that are gone."""
        self._stated: list[Range] = []
        """Records that others say were dropped."""
        self._dropped = 0
        self._gate = ""
        self._since = self._until = 0.0
        self._differs = False

    def records(self) -> Iterator[tuple[Place, AnyRecord]]:
        for segment in segments(self._folder):
            for filed in self._follow(segment):
                self._differs |= self._heads.get(filed.number, {filed.link}) != {filed.link}
                if filed.dropped:
                    self._dropped += 1
                    continue
                record = decode(filed.body)
                self._hear(record)
                yield Place(self._folder.name, self._gate, segment.index, filed.number), record
        self._check_gone()

    def _follow(self, segment: Segment) -> Iterator[Filed]:
        """Read a segment; where others before it are gone, it says itself where it goes on."""
        before = self._newest if segment.index == self._index + 1 else None
        for filed in follow(segment, before):
            if self._index != segment.index:
                last = self._newest.number if self._newest else 0
                if filed.number != last + 1:
                    self._gone.append((last + 1, filed.number - 1))
                self._index = segment.index
            self._newest = filed
            yield filed

    def _hear(self, record: AnyRecord) -> None:
        if isinstance(record, Opened):
            self._gate = record.gate
        elif isinstance(record, Dropped):
            self._stated += record.ranges
        self._since, self._until = self._since or record.at, record.at

    def _check_gone(self) -> None:
        """Raise `EvidenceError` for records that are gone, and of which none says so."""
        cover = Cover([(0.0, self._stated)])
        for first, last in self._gone:
            if first > last or cover.leaves(first, last):
                msg = f"{self._folder}: records {first} to {last} were removed, and none says so"
                raise EvidenceError(msg)

    def chain(self) -> Chain | None:
        """Give what was read; None of a chain begun, and killed before its first record."""
        if self._newest is None:
            return None
        return Chain(
            gate=self._gate,
            chain=self._folder.name,
            number=self._newest.number,
            link=self._newest.link.hex(),
            since=datetime.fromtimestamp(self._since, UTC),
            until=datetime.fromtimestamp(self._until, UTC),
            dropped=self._dropped + sum(last - first + 1 for first, last in self._gone),
            witnessed=self._witnessed(self._newest.number),
        )

    def _witnessed(self, newest: int) -> Witnessed:
        if not self._heads:
            return Witnessed.UNKNOWN
        if self._differs:
            return Witnessed.DIFFERS
        return Witnessed.AHEAD if max(self._heads) > newest else Witnessed.AGREES
