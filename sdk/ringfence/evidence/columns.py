"""A decision as a row of a sheet: which columns there are, and what stands in them.

============================  ======================================================================
`at`                          when it was decided, UTC
`local_time`                  the same on the clocks of the territories; where they differ, each
`decision`                    id of the decision; the attempt in the ledger names it as its `call`
`call`, `reference`           what the dialer calls the call
`principal`, `campaign`       for whom, and how
`verdict`, `reason`           the answer
`articles`                    what the reason rests on, separated by `;`
`retry_at`                    from when it would be allowed if nothing else changed, UTC
`caller_id`                   the number shown, or its first digits if it is not the campaign's
`territories`                 where the consumer may be, separated by spaces
`number_key`, `purpose_key`,  pseudonyms of the number, of the number and the purpose, and of the
`consumer_key`                consumer, in hexadecimal; empty where there is none
`consent_text`                name of the text the person was shown
`consent_from`                day of the latest statement: the consent, or its withdrawal
`consent_until`               last day, if one was stated
`consent_withdrawn`           whether the latest statement took it back
`contract_until`              last day of a contract; `open` if it has none
`callback_on`                 day on which the person asked to be called
`named_callback_on`           likewise, of the company by name
`slot_at`, `slot_minutes`     the agreed time, UTC, and its length
`refused_on`, `objected`      what the person said against calls
`attempts`                    days of the latest four attempts, newest first, separated by spaces
`bloctel_until`               last day on the opposition list
`consumer_…`                  the same five, of the consumer instead of the number
`rulebook`                    name, version and reading of the rules
`epoch`, `seq`, `age`         what the gate knew: up to which change, and how many seconds earlier
                              the ledger had proved it complete
`config`                      version of the principal's configuration
`gate`, `chain`, `record`     where the evidence of it is
============================  ======================================================================
"""

from datetime import UTC, date, datetime
from enum import Enum
from functools import lru_cache
from zoneinfo import ZoneInfo

from ringfence.evidence.record import Configured, Decided, Place, territories
from ringfence.row import OPEN_END, Facts, Ground, Restraint, date_of
from ringfence.rules.words import words

__all__ = ["COLUMNS", "Cell", "Columns", "Kind"]

Cell = str | int | float | datetime | date | None


class Kind(Enum):
    """What stands in a column."""

    TEXT = "text"
    INSTANT = "instant"
    DAY = "day"
    FLAG = "flag"
    COUNT = "count"
    SECONDS = "seconds"


_RESTRAINT = {
    "refused_on": Kind.DAY,
    "objected": Kind.FLAG,
    "attempts": Kind.TEXT,
    "bloctel_until": Kind.DAY,
}

COLUMNS: dict[str, Kind] = {
    "at": Kind.INSTANT,
    "local_time": Kind.TEXT,
    "decision": Kind.TEXT,
    "call": Kind.TEXT,
    "reference": Kind.TEXT,
    "principal": Kind.TEXT,
    "campaign": Kind.TEXT,
    "verdict": Kind.TEXT,
    "reason": Kind.TEXT,
    "articles": Kind.TEXT,
    "retry_at": Kind.INSTANT,
    "caller_id": Kind.TEXT,
    "territories": Kind.TEXT,
    "number_key": Kind.TEXT,
    "purpose_key": Kind.TEXT,
    "consumer_key": Kind.TEXT,
    "consent_text": Kind.TEXT,
    "consent_from": Kind.DAY,
    "consent_until": Kind.DAY,
    "consent_withdrawn": Kind.FLAG,
    "contract_until": Kind.TEXT,
    "callback_on": Kind.DAY,
    "named_callback_on": Kind.DAY,
    "slot_at": Kind.INSTANT,
    "slot_minutes": Kind.COUNT,
    **_RESTRAINT,
    **{f"consumer_{name}": kind for name, kind in _RESTRAINT.items()},
    "rulebook": Kind.TEXT,
    "epoch": Kind.COUNT,
    "seq": Kind.COUNT,
    "age": Kind.SECONDS,
    "config": Kind.COUNT,
    "gate": Kind.TEXT,
    "chain": Kind.TEXT,
    "record": Kind.COUNT,
}
"""Every column in its order, and what stands in it."""

_NO_RESTRAINT: tuple[Cell, ...] = (None,) * len(_RESTRAINT)


class Columns:
    """Writes decisions as rows; it must hear the configurations that stand before them."""

    def __init__(self) -> None:
        self._texts: dict[str, dict[int, str]] = {}

    def learn(self, record: Configured) -> None:
        """Hear how the consent texts are called; an index is given once and for ever."""
        names = self._texts.setdefault(record.principal, {})
        names.update((index, name) for name, index in record.config.index.items())

    def row(self, place: Place, record: Decided) -> tuple[Cell, ...]:
        """Give the cells of a decision, one for each of `COLUMNS`."""
        at = datetime.fromtimestamp(record.at, UTC)
        spelt = record.territories or ()
        restraint, consumer = _NO_RESTRAINT, _NO_RESTRAINT
        if record.restraints:
            restraint = _restraint(record.restraints[0])
        if len(record.restraints) > 1:
            consumer = _restraint(record.restraints[1])
        return (
            at,
            _local(at, spelt),
            record.id,
            record.call,
            record.reference,
            record.principal,
            record.campaign,
            record.verdict.value,
            record.reason.value,
            words(record.reason).sources,
            _instant(record.retry_at),
            record.caller_id,
            " ".join(text.replace(" ", "/") for text in spelt),
            _key(record.number),
            _key(record.purpose),
            _key(record.consumer),
            *self._ground(record.principal, Ground.unpack(record.ground)),
            *restraint,
            *consumer,
            record.rulebook,
            record.epoch,
            record.seq,
            record.age,
            record.config,
            place.gate,
            place.chain,
            place.number,
        )

    def _ground(self, principal: str, ground: Ground) -> tuple[Cell, ...]:
        text = None
        if ground.text:
            text = self._texts.get(principal, {}).get(ground.text) or f"#{ground.text}"
        contract = _day(ground.contract_until)
        return (
            text,
            _day(ground.consent_from),
            _day(ground.consent_until),
            ground.withdrawn,
            "open" if ground.contract_until == OPEN_END else contract and contract.isoformat(),
            _day(ground.callback_on),
            _day(ground.named_callback_on),
            _instant(ground.slot_at),
            ground.slot_minutes or None,
        )


def _restraint(facts: Facts) -> tuple[Cell, ...]:
    restraint = Restraint.unpack(facts)
    return (
        _day(restraint.refused_on),
        restraint.objected,
        " ".join(date_of(day).isoformat() for day in restraint.attempts if day) or None,
        _day(restraint.bloctel_until),
    )


def _local(at: datetime, spelt: tuple[str, ...]) -> str:
    clocks = (at.astimezone(zone).isoformat(timespec="seconds") for zone in _zones(spelt))
    return " ".join(dict.fromkeys(clocks))


@lru_cache(maxsize=1024)
def _zones(spelt: tuple[str, ...]) -> tuple[ZoneInfo, ...]:
    return tuple(ZoneInfo(place.zone) for place in territories(spelt))


def _key(key: int) -> str | None:
    # Without 0x a spreadsheet would read some of them as powers of ten.
    return f"0x{key:016x}" if key else None


def _day(day: int) -> date | None:
    return date_of(day) if day else None


def _instant(seconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
