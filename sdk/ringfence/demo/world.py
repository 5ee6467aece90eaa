"""What the demo is about: one advertiser, its consents and leads, as files a CRM would export.

All numbers lie in the ranges that the numbering plan sets aside for fiction.
"""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import msgspec

from ringfence.campaign import MENTIONS
from ringfence.number import METROPOLE
from ringfence.rules import france
from ringfence.rules.calendar import QUARTER, next_opening

__all__ = ["CALLER_ID", "CAMPAIGN", "CONSENTS", "LEADS", "PRINCIPAL", "Lead", "World", "build"]

CONSENTS = 20_000
LEADS = 5_000
REFUSALS = 150

PRINCIPAL = "acme"
CAMPAIGN = "acme-fibre"
CALLER_ID = "+33162000001"

_RANGES = ("0199 00", "0261 91", "0353 01", "0465 71", "0536 49", "0639 98")
_SECRET = bytes(range(32)).hex()

_CONFIG = """\
[broker]
port = {port}

[gate]
id = "{gate}"
data = "{gate}"
principals = ["acme"]

[ledger]
database = "ledger.sqlite"

[principals.acme]
secret = "{secret}"

[principals.acme.texts.web-2026]
mentions = {mentions}
parties = ["acme", "callco"]
channel = "web"

[principals.acme.texts.web-2025]     # says nothing of how to withdraw: worth nothing
mentions = {short}
parties = ["acme", "callco"]
channel = "web"

[campaigns.acme-fibre]
principal = "acme"
purpose = "fibre"
sector = "telecom"
operator = "callco"
dial_mode = "preview"
caller_ids = ["+33162000001"]
"""


class Lead(msgspec.Struct, frozen=True):
    """A line of the list that is dialled."""

    number: str
    caller_id: str


class World(msgspec.Struct, frozen=True):
    """Where the files are, and what time it is supposed to be."""

    folder: Path
    consents: Path
    refusals: Path
    leads: list[Lead]
    spare: list[str]
    """Numbers with a sound consent that are on no list."""
    now: datetime


def build(folder: Path, random: Random, today: datetime) -> World:
    """Write the CSV files of the demo, and choose its leads."""
    numbers = [f"{head}{tail:04}"[:12] for head in _RANGES for tail in range(10_000)]
    random.shuffle(numbers)
    now = working_hours(today)
    consented = numbers[:CONSENTS]
    rows = [_consent(number, place, now, random) for place, number in enumerate(consented)]
    consents = folder / "consentements.csv"
    _write(consents, ["Numéro", "Recueilli le", "Texte", "Objet"], rows)
    refused = consented[-REFUSALS:]
    refusals = folder / "refus.csv"
    said = (now - timedelta(days=9)).strftime("%d/%m/%Y %H:%M")
    _write(refusals, ["Numéro", "Date"], [[number, said] for number in refused])
    chosen = [
        *consented[: int(LEADS * 0.72)],
        *refused,
        *numbers[CONSENTS : CONSENTS + int(LEADS * 0.22)],
    ]
    leads = [_lead(number, random) for number in chosen]
    leads += [Lead("06 39 98", CALLER_ID) for _ in range(LEADS - len(leads))]
    random.shuffle(leads)
    return World(folder, consents, refusals, leads, _sound(consented, len(chosen)), now)


def configure(folder: Path, gate: str, port: int) -> Path:
    """Write the configuration of one gate, which is the ledger's too."""
    mentions = sorted(MENTIONS)
    short = [mention for mention in mentions if mention != "withdrawal"]
    path = folder / f"{gate}.toml"
    path.write_text(
        _CONFIG.format(port=port, gate=gate, secret=_SECRET, mentions=mentions, short=short),
        encoding="utf-8",
    )
    return path


def working_hours(today: datetime) -> datetime:
    """Give half an hour into the next opening: the demo works at night and on Sundays."""
    opening = france.rulebook().opening
    start = next_opening(opening, (METROPOLE,), int(today.timestamp()) // QUARTER + 1)
    return datetime.fromtimestamp((start or 0) + 1800, UTC)


def _consent(number: str, place: int, now: datetime, random: Random) -> list[str]:
    """One in ten was given to the old text, one in twenty more than a year ago."""
    days = 380 if place % 20 == 7 else random.randrange(12, 300)
    at = (now - timedelta(days=days)).astimezone(ZoneInfo(METROPOLE.zone))
    text = "web-2025" if place % 10 == 3 else "web-2026"
    return [number, at.strftime("%d/%m/%Y %H:%M"), text, "fibre"]


def _sound(consented: list[str], called: int) -> list[str]:
    return [
        number
        for place, number in enumerate(consented[:-REFUSALS])
        if place >= called and place % 20 != 7 and place % 10 != 3
    ]


def _lead(number: str, random: Random) -> Lead:
    return Lead(number, "+33639980099" if random.random() < 0.02 else CALLER_ID)


def _write(path: Path, head: list[str], rows: list[list[str]]) -> None:
    """Write as French spreadsheets do: semicolons, Windows-1252."""
    with path.open("w", encoding="cp1252", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(head)
        writer.writerows(rows)
