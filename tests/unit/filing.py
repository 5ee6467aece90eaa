"""Folders of evidence for tests: decisions that the rules came to, filed by the real recorder."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from ringfence import journal
from ringfence.campaign import MENTIONS, Campaign, Channel, DialMode, Text, sound_texts
from ringfence.decision import Reason
from ringfence.evidence.chain import Filed
from ringfence.evidence.record import AnyRecord, Decided, territories
from ringfence.evidence.recorder import Recorder
from ringfence.evidence.segment import MAGIC, Segment, payload, segments, write
from ringfence.number import Keyring
from ringfence.row import NO_FACTS, Facts, Ground, day_of
from ringfence.rules import france
from ringfence.rules.rulebook import Interpretation, Terms, judge
from ringfence.wire import Config

__all__ = [
    "CONFIG",
    "DAY",
    "TUESDAY",
    "changed",
    "consent",
    "decided",
    "file",
    "filed",
    "refile",
]

TUESDAY = datetime(2026, 11, 24, 9, 30, tzinfo=UTC).timestamp()
DAY = 86_400.0

KEYRING = Keyring(bytes(range(32)))

CONFIG = Config(
    epoch=1,
    version=3,
    campaigns={
        "acme-fibre": Campaign(
            principal="acme",
            purpose="fibre",
            sector="telecom",
            operator="callco",
            dial_mode=DialMode.PREVIEW,
            caller_ids=frozenset(["+33162000001"]),
        )
    },
    texts={
        "web-1": Text(mentions=MENTIONS, parties=frozenset(["acme", "callco"]), channel=Channel.WEB)
    },
    index={"web-1": 1},
)

_TERMS = {
    name: Terms.of(campaign, sound_texts(campaign, CONFIG.texts, CONFIG.index))
    for name, campaign in CONFIG.campaigns.items()
}


def decided(  # noqa: PLR0913 - what a decision rests on
    at: float = TUESDAY,
    *,
    to: str = "+33639980001",
    ground: Facts | None = None,
    restraints: tuple[Facts, ...] = (NO_FACTS,),
    places: tuple[str, ...] | None = ("FR",),
    campaign: str = "acme-fibre",
    caller_id: str | None = "+33162000001",
    doubt: Reason | None = None,
    reading: Interpretation = Interpretation.CONSERVATIVE,
    **changes: object,
) -> Decided:
    """Decide as a gate does, and give what it records of it."""
    ground = consent(date(2026, 9, 1)) if ground is None else ground
    book, terms = france.rulebook(reading), _TERMS.get(campaign)
    where = None if places is None else territories(places)
    judged = judge(book, terms, where, caller_id, (ground, restraints), at, doubt=doubt)
    record = Decided(
        at=at,
        id="d-1",
        call="c-1",
        reference="",
        principal="acme" if terms else "",
        campaign=campaign,
        number=KEYRING.number(to) if terms and places is not None else 0,
        purpose=KEYRING.purpose(to, "fibre") if terms and places is not None else 0,
        consumer=0,
        territories=places,
        caller_id=caller_id,
        ground=ground,
        restraints=restraints,
        verdict=judged.verdict,
        reason=judged.reason,
        retry_at=None if judged.retry_at is None else int(judged.retry_at.timestamp()),
        rulebook=book.version,
        epoch=CONFIG.epoch if terms else 0,
        seq=5,
        age=0.5,
        config=CONFIG.version if terms else 0,
    )
    return msgspec.structs.replace(record, **changes)


def consent(day: date) -> Facts:
    """Give the ground of a consent that holds from that day."""
    return Ground(text=1, consent_from=day_of(day)).pack()


def file(
    folder: Path, *batches: Sequence[AnyRecord], gate: str = "tunis-1", config: Config = CONFIG
) -> Path:
    """File each batch in a segment of its own, the last one still being written; give the chain.

    A chain that is there already goes on. Each segment begins with two records, or the very first
    one does: whose it is, and the configuration.
    """
    recorder = Recorder(gate, folder, release="1.0")
    at = next((batch[0].at for batch in batches if batch), TUESDAY)
    recorder.open(at)
    recorder.configure(at, "acme", config)
    for index, batch in enumerate(batches):
        if index:
            at = batch[0].at if batch else at
            recorder.prepare()
            recorder.swap(at)
            recorder.seal()
        for record in batch:
            recorder.record(record)
    recorder.close()
    return folder / recorder.head.chain


def filed(chain: Path, index: int = -1) -> tuple[Segment, list[Filed]]:
    """Read a segment, by default the newest."""
    segment = segments(chain)[index]
    return segment, list(segment.filed())


def refile(segment: Segment, records: Iterable[Filed]) -> None:
    """Write a segment anew, as who tampers with it would: every checksum of the file is right."""
    if segment.sealed:
        write(segment.path, records)
        return
    opened = journal.Journal.open(segment.path, magic=MAGIC)
    opened.rewrite([payload(r.number, r.link, r.body, dropped=r.dropped) for r in records])
    opened.close()


def changed(record: Filed, **changes: object) -> Filed:
    return msgspec.structs.replace(record, **changes)
