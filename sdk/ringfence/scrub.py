"""A list of leads with what may be done with each: records in, their lines out, a tally beside.

No file and no gate is opened here. A lead's line is passed on as it is written, and what was
decided stands behind it in columns of its own. The list is one moment's answer: it does not replace
the gate, which is asked again before each call.
"""

import csv
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from io import StringIO
from zoneinfo import ZoneInfo

import msgspec

from ringfence.call import Call
from ringfence.columns import NUMBER, ColumnError, Columns, find_columns
from ringfence.decision import Decision, Reason, Verdict
from ringfence.number import DEPARTMENTS, METROPOLE
from ringfence.rules.words import Language, say, words
from ringfence.sheet import MAX_RECORD, Record, Sheet, SheetError

__all__ = ["ADDED", "ROLES", "Order", "Scrub", "Tally", "When", "columns_of", "header_of"]

NAMES = {
    "number": NUMBER,
    "consumer": "identifiant client, id client, numero client, n client, reference client, "
    "ref client, code client, customer id, customer number, client id, consumer id, consumer",
    "department": "departement, dept, dep, numero de departement, code departement, department",
    "postal_code": "code postal, cp, postal code, postcode, zip, zip code",
}
"""Of the columns that are read. A plain `id` is not: it may number the lines, not the persons."""

ROLES = tuple(NAMES)

ADDED = ("verdict", "reason", "retry_at", "article", "sentence")
"""The columns behind those of the list."""

PARIS = ZoneInfo(METROPOLE.zone)

_TOLD = 5
"""Troubles that are told of; all are counted."""

Decide = Callable[[Sequence[Call]], Awaitable[Sequence[Decision]]]


class When(StrEnum):
    """When a lead can be called, seen from the moment the list is for."""

    NOW = "now"
    TODAY = "today"
    """Later on the same date in Paris."""
    WEEK = "week"
    """Within seven days."""
    LATER = "later"
    UNKNOWN = "unknown"
    """Not now, and nobody can say when."""
    NEVER = "never"
    """Not unless something changes."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the list is asked for."""

    campaign: str
    caller_id: str | None
    at: datetime
    language: Language = "en"


class Tally(msgspec.Struct):
    """What became of the leads so far."""

    answers: Counter[tuple[Verdict, Reason, When]] = msgspec.field(default_factory=Counter)
    troubles: list[str] = msgspec.field(default_factory=list)
    """Why lines could not be judged, and which, of the first few."""
    troubled: int = 0

    @property
    def leads(self) -> int:
        return self.answers.total()

    def on(self, when: When) -> int:
        """Count the leads that can be called then."""
        return sum(count for (*_, then), count in self.answers.items() if then is when)

    def reasons(self) -> list[tuple[Verdict, Reason, int]]:
        """Count the leads by what was decided of them, the most frequent first."""
        found = Counter[tuple[Verdict, Reason]]()
        for (verdict, reason, _), count in self.answers.items():
            found[verdict, reason] += count
        return [(verdict, reason, count) for (verdict, reason), count in found.most_common()]

    def trouble(self, line: int, why: str, language: Language) -> None:
        self.troubled += 1
        if self.troubled <= _TOLD:
            where = f"line {line}:" if language == "en" else f"ligne {line}\u00a0:"
            self.troubles.append(f"{where} {why}")


class _Unasked(msgspec.Struct, frozen=True):
    """Why a lead is denied without being asked about; *sentence* where the reason's says less."""

    reason: Reason
    sentence: str = ""


class _Ending(msgspec.Struct, frozen=True):
    """What stands behind a lead, and how that is counted."""

    text: str
    answer: tuple[Verdict, Reason, When]


class Scrub:
    """Judges the records of one list, a batch at a time; *tally* tells how it went.

    *decide* gives a decision for each call, in their order; what it raises ends the list.
    """

    def __init__(self, order: Order, columns: Columns, delimiter: str, decide: Decide) -> None:
        self.tally = Tally()
        self._order = order
        self._columns = columns
        self._delimiter = delimiter
        self._decide = decide
        self._ending = lru_cache(maxsize=1 << 16)(self._make_ending)

    async def lines(self, records: Sequence[Record]) -> str:
        """Give the lines of records, each lead with its answer. Raises `SheetError`.

        A line that cannot be taken apart by its columns becomes the first cell of one that can, so
        that no verdict stands where a reader of the list does not look for it; it is denied.
        """
        asked = [self._ask(record) for record in records]
        decisions = iter(await self._decide([call for call in asked if isinstance(call, Call)]))
        return "".join(
            self._line(record, what, decisions) for record, what in zip(records, asked, strict=True)
        )

    def _ask(self, record: Record) -> Call | _Unasked | None:
        """Give the call to ask about, or why none can be; None for a line that says nothing."""
        if record.fault:
            return self._cannot_read(record, record.fault)
        if self._columns.spare(record.fields):
            return self._cannot_read(record, _SPARE)
        number, consumer, department, postal_code = self._columns.cells(record.fields)
        if not number and not any(record.fields):
            return None
        try:
            place = _place(department, postal_code)
        except _BadPlaceError as error:
            sentence = error.sentence(self._order.language)
            self.tally.trouble(record.line, sentence, self._order.language)
            return _Unasked(Reason.UNSUPPORTED_DESTINATION, sentence)
        return Call(
            to=number,
            campaign=self._order.campaign,
            caller_id=self._order.caller_id,
            id="scrub",
            consumer=consumer or None,
            department=place,
        )

    def _cannot_read(self, record: Record, why: str) -> _Unasked:
        if len(record.text) >= MAX_RECORD:  # the reader did not keep all of it
            msg = f"line {record.line}: {why}"
            raise SheetError(msg)
        if self._order.language == "fr":
            why = _SPARE_IN_FRENCH if why == _SPARE else f"guillemets mal placés ({why})"
        self.tally.trouble(record.line, why, self._order.language)
        return _Unasked(Reason.INVALID_NUMBER)

    def _line(
        self, record: Record, asked: Call | _Unasked | None, decisions: Iterator[Decision]
    ) -> str:
        if asked is None:
            return record.text
        if isinstance(asked, Call):
            decision = next(decisions)
            ending = self._ending(decision.verdict, decision.reason, decision.retry_at)
        else:
            ending = self._ending(Verdict.DENY, asked.reason, None, asked.sentence)
        self.tally.answers[ending.answer] += 1
        body = record.text.rstrip("\r\n")
        end = record.text[len(body) :]
        if record.fault or len(record.fields) != self._columns.width:
            body = self._to_width(record, body)
        return f"{body}{ending.text}{end}"

    def _to_width(self, record: Record, body: str) -> str:
        """Write a line so that it ends where the header does."""
        width, delimiter = self._columns.width, self._delimiter
        spare = len(record.fields) - width
        if not record.fault and spare < 0:
            return body + delimiter * -spare
        if spare > 0 and not any(record.fields[width:]) and body.endswith(delimiter * spare):
            return body[:-spare]
        quoted = body.replace('"', '""')
        return f'"{quoted}"' + delimiter * (width - 1)

    def _make_ending(
        self, verdict: Verdict, reason: Reason, retry_at: datetime | None, sentence: str = ""
    ) -> _Ending:
        cells = (
            verdict,
            reason,
            "" if retry_at is None else f"{retry_at:%Y-%m-%dT%H:%M:%SZ}",
            words(reason).sources,
            sentence or say(reason, self._order.language),
        )
        when = _when(verdict, retry_at, self._order.at)
        return _Ending(_behind(cells, self._delimiter), (verdict, reason, when))


def _when(verdict: Verdict, retry_at: datetime | None, at: datetime) -> When:
    if verdict is Verdict.ALLOW:
        return When.NOW
    if verdict is Verdict.DENY:
        return When.NEVER
    if retry_at is None:
        return When.UNKNOWN
    if retry_at.astimezone(PARIS).date() == at.astimezone(PARIS).date():
        return When.TODAY
    return When.WEEK if retry_at < at + timedelta(days=7) else When.LATER


def _behind(cells: Sequence[str], delimiter: str) -> str:
    """Write cells that go on a line."""
    paper = StringIO()
    csv.writer(paper, delimiter=delimiter, lineterminator="").writerow(["", *cells])
    return paper.getvalue()


def columns_of(sheet: Sheet, named: Mapping[str, str]) -> Columns:
    """Find the columns that are read; *named* are those that are called otherwise.

    Raises `ColumnError`, also for a list that has a column like those that are added: one was
    scrubbed before, and who reads it again would find yesterday's verdict first.
    """
    for name in sheet.header:
        if name.strip().casefold() in ADDED:
            msg = f"there is a column {name!r} already: take it out, or call it otherwise"
            raise ColumnError(msg)
    return find_columns(sheet.header, ["number"], names=NAMES, named=named, given={})


def header_of(sheet: Sheet) -> str:
    """Give what stands above the leads, with the names of the columns that are added."""
    body = sheet.header_text.rstrip("\r\n")
    end = sheet.header_text[len(body) :]
    return f"{sheet.above}{body}{_behind(ADDED, sheet.delimiter)}{end}"


_SPARE = "more fields than the header names"
_SPARE_IN_FRENCH = "plus de cellules que l’en-tête n’a de colonnes"


class _BadPlaceError(ValueError):
    """A cell does not say where in France the person lives."""

    def __init__(self, role: str, text: str) -> None:
        super().__init__(f"no {role} of France: {text!r}")
        self._role = role
        self._text = text[:_MAX_PLACE]

    def sentence(self, language: Language) -> str:
        if language == "fr":
            called = "code postal" if self._role == "postal_code" else "département"
            return f"Le {called} «\u00a0{self._text}\u00a0» n’est pas français."
        return f"The {self._role.replace('_', ' ')} “{self._text}” is not French."


_MAX_PLACE = 40

_BY_POSTAL_CODE = {"97133": "977", "97150": "978"}
"""Saint-Barthélemy and Saint-Martin are departments of their own with codes of Guadeloupe's."""


@lru_cache(maxsize=1 << 14)
def _place(department: str, postal_code: str) -> str | None:
    """Give the number of the department; the number of the telephone tells where there is none.

    Spreadsheets drop the zero in front. Raises `_BadPlaceError` for what is no department: to go by
    the telephone's number instead might be to call at somebody's night.
    """
    if department:
        found = department.upper().zfill(2)
    elif postal_code:
        code = postal_code.replace(" ", "").zfill(5)
        found = _BY_POSTAL_CODE.get(code) or code[: 3 if code.startswith("97") else 2]
        if len(code) > 5 or not code.isdigit():
            found = ""
    else:
        return None
    if found not in DEPARTMENTS:
        role = "department" if department else "postal_code"
        raise _BadPlaceError(role, department or postal_code)
    return found
