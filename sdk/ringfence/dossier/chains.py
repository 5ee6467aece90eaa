"""The evidence that a dossier rests on: its records, and how far each chain was read.

Every link is checked on the way: no dossier rests on a chain that does not hold. Whether it is the
chain that the ledger was told of is said beside it, because whoever holds the dossier must know.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import msgspec

from ringfence.evidence.chain import Filed
from ringfence.evidence.record import AnyRecord, EvidenceError, Opened, Place, decode
from ringfence.evidence.segment import chains, follow, segments
from ringfence.ledger.witness import Witness

__all__ = ["Chain", "Evidence", "Witnessed"]


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
                yield from self._read(chain)

    def _read(self, folder: Path) -> Iterator[tuple[Place, AnyRecord]]:
        heads = self._heads.get(folder.name, {})
        gate, dropped, since, until = "", 0, 0.0, 0.0
        newest: Filed | None = None
        witnessed = Witnessed.AGREES if heads else Witnessed.UNKNOWN
        for segment in segments(folder):
            for filed in follow(segment, newest):
                newest = filed
                if heads.get(filed.number, {filed.link}) != {filed.link}:
                    witnessed = Witnessed.DIFFERS
                if filed.dropped:
                    dropped += 1
                    continue
                record = decode(filed.body)
                if isinstance(record, Opened):
                    gate = record.gate
                since, until = since or record.at, record.at
                yield Place(folder.name, gate, segment.index, filed.number), record
        if newest is None:  # begun, and killed before its first record
            return
        if witnessed is Witnessed.AGREES and max(heads) > newest.number:
            witnessed = Witnessed.AHEAD
        self.chains.append(
            Chain(
                gate=gate,
                chain=folder.name,
                number=newest.number,
                link=newest.link.hex(),
                since=datetime.fromtimestamp(since, UTC),
                until=datetime.fromtimestamp(until, UTC),
                dropped=dropped,
                witnessed=witnessed,
            )
        )
