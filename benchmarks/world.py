"""Whom the benchmarks call: one principal, its campaign, its numbers and rows.

The numbers that are asked about are those set aside for fiction, 60 000, all with a consent of some
day of the year; one in ten has been tried once or twice in the last two months. All other rows have
random keys, as those of hashed numbers are. The same count gives the same rows in every process.
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from ringfence import Call, config
from ringfence.campaign import MENTIONS, Campaign, Channel, DialMode, Text
from ringfence.config import GateSettings, LedgerSettings, PrincipalSettings, Settings
from ringfence.link import Broker
from ringfence.number import Keyring
from ringfence.row import Ground, Restraint, day_of
from ringfence.table import Table

__all__ = [
    "CALLER_ID",
    "CAMPAIGN",
    "EPOCH",
    "MORNING",
    "NAME",
    "PRINCIPAL",
    "SECRET",
    "SEQ",
    "TEXT",
    "TEXT_NAME",
    "Durability",
    "call",
    "fill",
    "ground_rows",
    "keyring",
    "numbers",
    "others",
    "restraint_rows",
    "settings",
    "shuffled",
]

Rows = npt.NDArray[np.uint64]
Durability = Literal["process", "fsync"]

PRINCIPAL = "acme"
NAME = "acme-fibre"
PURPOSE = "fibre"
CALLER_ID = "+33162000001"
SECRET = bytes(range(32))
TEXT_NAME = "web-1"
MORNING = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
"""Half past ten on a Tuesday in Paris."""

EPOCH = SEQ = 1
"""Where the rows stand before anything is told of them."""

RANGES = ("19900", "26191", "35301", "46571", "53649", "63998")

CAMPAIGN = Campaign(
    principal=PRINCIPAL,
    purpose=PURPOSE,
    sector="telecom",
    operator="callco",
    dial_mode=DialMode.PREVIEW,
    caller_ids=frozenset([CALLER_ID]),
)
TEXT = Text(
    mentions=MENTIONS, parties=frozenset([PRINCIPAL, CAMPAIGN.operator]), channel=Channel.WEB
)

_TODAY = MORNING.date()


def numbers() -> list[str]:
    """Give all numbers that may be asked about."""
    return [f"+33{head}{tail:04}" for head in RANGES for tail in range(10_000)]


def shuffled(seed: int = 2) -> list[str]:
    some = numbers()
    np.random.default_rng(seed).shuffle(some)
    return some


def others(count: int) -> list[str]:
    """Give *count* texts as long as numbers that are nobody's: no French number goes on with 0."""
    return [f"+330{n:08}" for n in range(count)]


def call(number: str) -> Call:
    return Call(to=number, campaign=NAME, caller_id=CALLER_ID)


def keyring() -> Keyring:
    return Keyring(SECRET)


def ground_rows(count: int) -> Rows:
    """Give *count* rows of consents; the first are those of `numbers`, as far as they go."""
    random = np.random.default_rng(1)
    rows = _random_keys(random, count)
    keys = [keyring().purpose(number, PURPOSE) for number in numbers()[:count]]
    rows[: len(keys), 0] = np.array(keys, np.uint64)
    words = np.array([_consent(days).pack() for days in range(1, 330)], np.uint64)
    rows[:, 1:] = words[random.integers(0, len(words), count)]
    return rows


def restraint_rows(count: int) -> Rows:
    """Give *count* rows of attempts; the first are those of every tenth of `numbers`."""
    random = np.random.default_rng(3)
    rows = _random_keys(random, count)
    keys = [keyring().number(number) for number in numbers()[::10][:count]]
    rows[: len(keys), 0] = np.array(keys, np.uint64)
    words = np.array([_tried(days).pack() for days in range(120)], np.uint64)
    rows[:, 1:] = words[random.integers(0, len(words), count)]
    return rows


def _random_keys(random: np.random.Generator, count: int) -> Rows:
    rows = np.empty((count, 3), np.uint64)
    rows[:, 0] = random.integers(1, 2**64, count, np.uint64)
    return rows


def _consent(days: int) -> Ground:
    return Ground(text=1, consent_from=day_of(_ago(days)))


def _tried(number: int) -> Restraint:
    """Once, or a second time the day after."""
    first, again = day_of(_ago(60 - number // 2)), number % 2
    return Restraint(attempts=(first + again, first if again else 0, 0, 0))


def _ago(days: int) -> date:
    return _TODAY - timedelta(days=days)


def fill(folder: Path, rows: int) -> tuple[Table, Table]:
    """Lay *rows* grounds, and a tenth of restraints, where a gate with this folder finds them."""
    folder = folder / PRINCIPAL
    folder.mkdir(parents=True)
    ground = Table.create(folder / "ground.table", rows=rows)
    ground.load(ground_rows(rows))
    restraint = Table.create(folder / "restraint.table", rows=rows // 10)
    restraint.load(restraint_rows(rows // 10))
    for table in (ground, restraint):
        table.epoch, table.seq = EPOCH, SEQ
    return ground, restraint


def settings(
    folder: Path,
    broker: Broker,
    gate: str = "bench",
    durability: Durability = "process",
    *,
    margin: int = 0,
    share: bool = False,
) -> Settings:
    """Give the configuration of a gate, which is the ledger's too.

    With a *margin* the gate asks the ledger before a call; else it answers by itself. Gates of one
    name that *share* are processes of one machine.
    """
    made = GateSettings(id=gate, data=folder / gate, principals=[PRINCIPAL], durability=durability)
    if hasattr(config, "AttemptSettings"):  # trees of other days, which are compared, lack them
        attempts = config.AttemptSettings(margin=margin, wait=30.0)
        made = msgspec.structs.replace(made, attempts=attempts, share=share)
    return Settings(
        broker=broker,
        gate=made,
        ledger=LedgerSettings(database=folder / "ledger.sqlite"),
        principals={PRINCIPAL: PrincipalSettings(secret=SECRET.hex(), texts={TEXT_NAME: TEXT})},
        campaigns={NAME: CAMPAIGN},
    )
