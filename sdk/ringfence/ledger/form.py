"""How one line of a sheet is read: fields to a sealed event, or the reason why not.

The number becomes a key here and goes no further. The id is made of what was said, so that the
same statement, however its line is written, is the same event each time it is read.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b

import msgspec

from ringfence.columns import Columns
from ringfence.event import AnyEvent, Proof, Withdrawal
from ringfence.ledger.entry import Cast, Entry
from ringfence.ledger.exhibits import BadProof, Exhibits
from ringfence.ledger.moment import IN_FUTURE, BadDate, Moment, read_day, read_moment
from ringfence.number import METROPOLE, InvalidNumber, Keyring, Number, Territory, parse
from ringfence.row import day_in

__all__ = ["KINDS", "BadLine", "Exhibited", "Form", "Kind", "Read"]

SOURCE = "import"
DAY_ONLY = "import (day only)"
"""Of what was said at a time that nobody wrote: the time of the event is noon, and made up."""
UNDATED = "import (no date)"
"""Of what was said before it was imported, nobody can tell when."""


class Kind(msgspec.Struct, frozen=True):
    """What lines of one kind must state beside number and date, and what they may."""

    name: str
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    proved: bool = False
    """Whether a line may name its proof."""
    forbids: bool = False
    """Whether it takes away what calls rest on. Then a line whose date cannot be read is dated on
    the day of the import: to put it aside would be to go on calling who said no."""

    @property
    def needed(self) -> tuple[str, ...]:
        return ("number", "date", *self.needs)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("consent", needs=("text", "purpose"), takes=("until",), proved=True),
        Kind("withdrawal", needs=("purpose",), forbids=True),
        Kind("refusal", forbids=True),
        Kind("objection", forbids=True),
        Kind("contract", needs=("purpose",), takes=("until",)),
        Kind("contract_ended", needs=("purpose",), forbids=True),
        Kind("bloctel", needs=("until",), forbids=True),
    )
}


class Fault(StrEnum):
    """Why a line is not taken, beside what dates may be and what is missing."""

    NUMBER = "not a telephone number"
    DESTINATION = "not a French number"
    TEXT = "no such text"
    PURPOSE = "not the name of a purpose"
    SPARE = "more fields than the header names"
    BACKWARDS = "it ends before it begins"
    UNPROVED = "a SHA-256 without its proof"
    TELLING = "a proof that tells the telephone number"


class BadLine(ValueError):  # noqa: N818 - what it is
    """A line that is not taken: why, in words that all such lines share, and the value."""

    def __init__(self, why: str, value: str = "") -> None:
        super().__init__(f"{why}: {value!r}" if value else why)
        self.why = why


class Read(msgspec.Struct, frozen=True, gc=False):
    """What was read in a line."""

    entry: Entry
    undated: str = ""
    """Why its date could not be read, where it is dated on the day of the import for that."""

    @property
    def event(self) -> AnyEvent:
        return self.entry.event


class _Dated(msgspec.Struct, frozen=True, eq=False, gc=False):
    """When something was said, as far as this import takes it."""

    at: datetime
    on: date
    source: str
    words: str
    """For the id."""
    undated: str = ""


class _Said(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What many lines have in common."""

    event: AnyEvent
    purpose: str
    """Of a ground."""
    until: date | None
    words: str
    """For the id."""


class Exhibited(msgspec.Struct, frozen=True):
    """The columns of proofs, and what makes references of what they say."""

    columns: Columns
    exhibits: Exhibits


class Form:
    """Reads the lines of one sheet.

    *texts* are the consent texts that are registered, and what lies ahead of *now* is a slip.
    *exhibited* is for a sheet that names proofs: then reading a line may read a file and keep it,
    and raise `OSError` if it cannot be kept. Raises `BadLine` for what is given for every line and
    no line could say.
    """

    def __init__(  # noqa: PLR0913 - what lines are read with
        self,
        kind: Kind,
        keyring: Keyring,
        *,
        principal: str,
        columns: Columns,
        texts: Collection[str],
        now: datetime,
        exhibited: Exhibited | None = None,
    ) -> None:
        self._kind = kind
        self._keyring = keyring
        self._columns = columns
        self._texts = texts
        self._now = now
        self._exhibited = exhibited
        # Begun once for all lines: half the time of an id.
        self._name = blake2b(f"1\x1f{principal}\x1f{kind.name}".encode(), digest_size=16)
        self._restrains = "purpose" not in kind.needs
        self.purposes: set[str] = set()
        """Those that the lines read so far speak of."""
        self._said = lru_cache(maxsize=4096)(self._read_said)
        self._dated = lru_cache(maxsize=1 << 14)(self._read_dated)
        self._cast = lru_cache(maxsize=1 << 14)(_cast)
        self._check(columns.given)

    def read(self, fields: Sequence[str]) -> Read:
        """Give the sealed event that a line states. Raises `BadLine`."""
        if self._columns.spare(fields):
            raise BadLine(Fault.SPARE)
        text, written, *about = self._columns.cells(fields)
        number = _read_number(text)
        dated = self._dated(written, number.territories)
        said = self._said(*about)
        if said.until is not None and said.until < dated.on and not dated.undated:
            raise BadLine(Fault.BACKWARDS, said.until.isoformat())
        e164, purpose = number.e164, said.purpose
        key = self._keyring.purpose(e164, purpose) if purpose else self._keyring.number(e164)
        words = f"\x1f{key}\x1f{dated.words}\x1f{said.words}"
        proof = self._exhibited and self._read_proof(self._exhibited, fields, number)
        if proof:
            words += f"\x1f{proof.uri}\x1f{proof.sha256}"
        name = self._name.copy()
        name.update(words.encode())
        entry = self._cast(said, dated.on, dated.source).entry(name.hexdigest(), key, dated.at)
        if proof:
            entry = Entry.of(msgspec.structs.replace(entry.event, proof=proof))
        return Read(entry, dated.undated)

    def _read_dated(self, text: str, territories: tuple[Territory, ...]) -> _Dated:
        try:
            moment = self._read_moment(text, territories)
        except BadLine as error:
            if not self._kind.forbids:
                raise
            moment, undated = self._today(territories), str(error)
            return _Dated(self._now, moment.on, UNDATED, str(moment.at.timestamp()), undated)
        source = SOURCE if moment.timed else DAY_ONLY
        at = min(moment.at, self._now)
        return _Dated(at, moment.on, source, str(moment.at.timestamp()))

    def _read_moment(self, text: str, territories: tuple[Territory, ...]) -> Moment:
        try:
            moment = read_moment(text, territories, latest=self._restrains)
        except BadDate as error:
            raise BadLine(error.why if text else "no date", text) from error
        # A date without a time is noon, and today's noon may be still to come.
        if moment.earliest > self._now:
            raise BadLine(IN_FUTURE, text)
        return moment

    def _today(self, territories: tuple[Territory, ...]) -> Moment:
        """Give noon of the day of the import: told twice in a day, it is one statement."""
        day = max(day_in(t.zone, self._now) for t in territories)
        return read_moment(day.isoformat(), territories, latest=self._restrains)

    def _read_proof(
        self, exhibited: Exhibited, fields: Sequence[str], number: Number
    ) -> Proof | None:
        written, digest = exhibited.columns.cells(fields)
        if not written:
            if digest:
                raise BadLine(Fault.UNPROVED, digest)
            return None
        try:
            proof = exhibited.exhibits.refer(written, digest)
        except BadProof as error:
            raise BadLine(error.why, error.text) from error
        if proof.tells(number):
            raise BadLine(Fault.TELLING, written)
        return proof

    def _read_said(self, text: str, purpose: str, until: str) -> _Said:
        """Read what depends neither on the person nor on the day."""
        cells = {"text": text, "purpose": purpose, "until": until}
        stated = {r: cells[r] for r in (*self._kind.needs, *self._kind.takes) if cells[r]}
        for role in self._kind.needs:
            if role not in stated:
                why = f"no {role}"
                raise BadLine(why)
        about = stated.pop("purpose", "")
        if about:
            _check_purpose(about)
            self.purposes.add(about)
        if "text" in stated:
            self._look_up(text)
        end = _read_end(until) if "until" in stated else None
        said = {**stated, "until": end} if end else stated
        event: AnyEvent = msgspec.convert({"kind": self._kind.name, **said}, AnyEvent)
        return _Said(event, about, end, f"{stated.get('text', '')}\x1f{end or ''}")

    def _look_up(self, text: str) -> None:
        if text not in self._texts:
            raise BadLine(Fault.TEXT, text)

    def _check(self, given: Mapping[str, str]) -> None:
        if "text" in given:
            self._look_up(given["text"])
        if "until" in given:
            _read_end(given["until"])
        if "purpose" in given:
            _check_purpose(given["purpose"])
        if "date" in given:
            self._read_moment(given["date"], (METROPOLE,))


def _cast(said: _Said, on: date, source: str) -> Cast:
    return Cast(said.event, on, source)


def _read_number(text: str) -> Number:
    try:
        number = parse(text)
    except InvalidNumber as error:
        raise BadLine(Fault.NUMBER if text else "no number", text) from error
    if not number.territories:
        raise BadLine(Fault.DESTINATION, text)
    return number


def _read_end(text: str) -> date:
    try:
        return read_day(text)
    except BadDate as error:
        raise BadLine(error.why, text) from error


def _check_purpose(purpose: str) -> None:
    try:
        Withdrawal(purpose=purpose)
    except ValueError as error:
        raise BadLine(Fault.PURPOSE, purpose) from error
