"""Keeps a gate's evidence: writes it, mends it, closes its segments, and tells the ledger its head.

What the ledger has been told of cannot be rewritten without a trace. It is told only of what is on
the disk, so that a power cut does not look like a rewriting.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import anyio
import anyio.to_thread

from ringfence.book import News, Plan, Read
from ringfence.call import Call
from ringfence.campaign import Campaign
from ringfence.evidence.record import Decided, EvidenceError, Learned, spell
from ringfence.evidence.recorder import Limits, Recorder
from ringfence.flush import Flush
from ringfence.link import AnyLink, LinkDown
from ringfence.number import InvalidNumber, Number, parse
from ringfence.permit import Permit
from ringfence.rules.rulebook import number_of
from ringfence.wire import ChainHead, Config, Topic, Witnessed, encode

__all__ = ["Registrar", "attest"]

log = logging.getLogger(__name__)

TENDING = 0.25
"""Seconds between two looks at the files."""

TELLING = 1.0
"""Seconds between two heads told: what is cut off the end within them may go unseen."""

PARTING = 1.0
"""Seconds for the last head of a gate that closes."""

MAX_TEXT = 256
"""Characters kept of what a dialer calls its calls."""

KNOWN_BY = 8
"""Characters of a caller ID that is not listed: the longest prefix a rule looks at."""

LONGEST = 64
"""Characters of a caller ID; a longer text can be shown to nobody, and is kept as nothing shown."""

FEWEST = 6
"""Digits that a telephone number has at least."""


class Registrar:
    """The evidence of a gate. `tend`, `tell` and `flush.run` run beside it while it is open."""

    def __init__(self, gate: str, folder: Path, release: str, limits: Limits) -> None:
        self._release = release
        self._limits = limits
        self._witnessed = ("", 0)
        self.keep(gate, folder)
        # A gate opened for a look decides nothing, and its folder is gone when it is.
        self._worth_telling = False
        self.flush = Flush(self._sync, EvidenceError)

    def keep(self, gate: str, folder: Path) -> None:
        """Be the registrar of *gate*, whose evidence is in *folder*; before it is opened."""
        self._gate = gate
        self._recorder = Recorder(gate, folder, release=self._release, limits=self._limits)

    def _sync(self) -> None:
        self._recorder.sync()

    @property
    def writable(self) -> bool:
        return self._recorder.writable

    @property
    def unwitnessed(self) -> int:
        """Records at the end of the chain that the ledger has not witnessed."""
        head = self._recorder.head
        chain, number = self._witnessed
        return head.number - (number if chain == head.chain else 0)

    def open(self, at: float) -> None:
        """Go on with the chain, or begin one; waits for the disk. Raises `EvidenceError`."""
        self._recorder.open(at)
        self._worth_telling = self._recorder.head.number > 1
        if self._recorder.recovered:
            log.warning("evidence: cut back by %d bytes", self._recorder.recovered)

    def close(self) -> None:
        self._recorder.close()

    # --- what is written ----------------------------------------------------------------------

    def note(self, decided: Decided) -> None:
        """Write a decision; it is with the operating system then. Raises `EvidenceError`."""
        self._recorder.record(decided)
        self._worth_telling = True

    def correct(self, decided: Decided) -> None:
        """Write what the dialer was told after all; as the next record if not now."""
        try:
            self._recorder.record(decided)
        except EvidenceError:
            self._recorder.owe(decided)

    def configure(self, at: float, principal: str, config: Config) -> None:
        """Write on what calls of *principal* are decided from here on.

        Where that is not possible now, it is written before the next decision.
        """
        with suppress(EvidenceError):
            self._recorder.configure(at, principal, config)

    def learned(self, at: float, principal: str, news: News) -> None:
        """Write that the gate has come to know of a refusal, if that is possible."""
        with suppress(EvidenceError):
            self._recorder.record(Learned(at, principal, news.epoch, news.first, news.last))

    # --- what runs beside the gate ------------------------------------------------------------

    async def tend(self, clock: Callable[[], float]) -> None:
        """Write again when that is possible again; begin segments, and seal the old ones."""
        trouble = ""
        while True:
            try:
                await self._look_after(clock())
                trouble = ""
            except EvidenceError as error:
                if str(error) != trouble:
                    trouble = str(error)
                    log.error("%s", trouble)  # noqa: TRY400 - the text says it all
            await anyio.sleep(TENDING)

    async def _look_after(self, at: float) -> None:
        recorder = self._recorder
        if recorder.writable:
            await anyio.to_thread.run_sync(recorder.check)
        if not recorder.writable:
            await anyio.to_thread.run_sync(recorder.mend, at)
            recorder.record()  # what came to be owed meanwhile
        elif recorder.due(at):
            await anyio.to_thread.run_sync(recorder.prepare)
            recorder.swap(at)
        if recorder.unsealed:
            await anyio.to_thread.run_sync(recorder.seal)

    async def tell(
        self, link: AnyLink, principals: Sequence[str], clock: Callable[[], float]
    ) -> None:
        """Tell the ledger the head of the chain, again until it says that it has it."""
        while True:
            await anyio.sleep(TELLING)
            await self._tell(link, principals, clock())

    async def part(
        self, link: AnyLink, principals: Sequence[str], clock: Callable[[], float]
    ) -> None:
        """Tell it a last time, before the link goes down for good."""
        with anyio.move_on_after(PARTING, shield=True):
            await self._tell(link, principals, clock())

    async def _tell(self, link: AnyLink, principals: Sequence[str], at: float) -> None:
        head = self._recorder.head
        told_already = (head.chain, head.number) == self._witnessed
        if told_already or not (self._worth_telling and self.writable):
            return
        with suppress(EvidenceError, LinkDown):
            await anyio.to_thread.run_sync(self._recorder.sync)
            instant = datetime.fromtimestamp(at, UTC)
            told = encode(ChainHead(self._gate, head.chain, head.number, head.link, instant))
            for principal in principals:
                await link.publish(str(Topic(principal, "chain")), told)

    def witnessed(self, answer: Witnessed) -> None:
        """The ledger holds this head of the chain."""
        head = self._recorder.head
        if answer.chain == head.chain and answer.number <= head.number:
            chain, number = self._witnessed
            known = number if chain == head.chain else 0
            self._witnessed = head.chain, max(known, answer.number)


def attest(permit: Permit, plan: Plan | None, read: Read, at: float) -> Decided:
    """Write down the answer to a call, with all that it rests on and without its number."""
    call, decision, number = permit.call, permit.decision, number_of(permit.call)
    origin, retry_at = decision.origin, decision.retry_at
    return Decided(
        at=at,
        id=decision.id,
        call=_without(call.id, number),
        reference=_without(call.reference, number),
        principal="" if plan is None else plan.book.name,
        campaign=call.campaign if plan is not None else _without(call.campaign, number),
        number=read.number,
        purpose=read.purpose,
        consumer=read.consumer,
        territories=None if number is None else spell(call.territories(number)),
        caller_id=_shown(call, None if plan is None else plan.terms.campaign),
        ground=read.rows[0],
        restraints=read.rows[1],
        verdict=decision.verdict,
        reason=decision.reason,
        retry_at=None if retry_at is None else int(retry_at.timestamp()),
        rulebook=decision.rulebook,
        epoch=origin.epoch,
        seq=origin.seq,
        age=origin.age,
        config=0 if plan is None else plan.book.config,
    )


def _without(text: str, number: Number | None) -> str:
    """Give what a dialer calls something, unless a number that was called can be read in it.

    Where the number itself could not be read, what has as many digits as one is not kept.
    """
    if len(text) < FEWEST:
        return _writable(text)
    told = sum(map(str.isnumeric, text)) >= FEWEST if number is None else number.told_by(text)
    return "…" if told else _writable(text)


def _writable(text: str) -> str:
    """Give a text as it can be written: a dialer may hand on half a character."""
    return text[:MAX_TEXT].encode("utf-8", "backslashreplace").decode()


def _shown(call: Call, campaign: Campaign | None) -> str | None:
    """Give the caller ID: whole if the campaign lists it, else as much as a rule looks at."""
    said = call.caller_id
    if said is None or (campaign is not None and said in campaign.caller_ids):
        return said
    if len(said) > LONGEST:
        return ""
    try:
        said = parse(said).e164
    except InvalidNumber:
        said = said.strip()
    if campaign is not None and said in campaign.caller_ids:
        return said
    return f"{said[:KNOWN_BY]}…" if any(map(str.isdigit, said[KNOWN_BY:])) else _writable(said)
