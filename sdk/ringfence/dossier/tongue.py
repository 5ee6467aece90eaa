"""French and English as they are printed: dates, amounts, and spaces that do not break.

Only what every document needs; sentences stand, in both languages, where they are used.
"""

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
import phonenumbers

from ringfence.rules.words import Language

__all__ = ["ENGLISH", "FRENCH", "Tongue"]

# Printers take a narrower space before `;` and between thousands; the fonts that every reader of
# PDF has lack it.
NBSP: Final = "\u00a0"

_MONTHS: dict[Language, tuple[str, ...]] = {
    "fr": ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre",
           "octobre", "novembre", "décembre"),
    "en": ("January", "February", "March", "April", "May", "June", "July", "August", "September",
           "October", "November", "December"),
}  # fmt: skip

_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)")
_FRENCH_GAPS = re.compile(
    r" (?=[:;!?»%€])"  # high punctuation, and units
    r"|(?<=«) "
    r"|(?<=\d) (?=\d{3}\b)"  # thousands
    r"|(?<=\d\d) (?=\d\d\b)"  # telephone numbers
    r"|(?<=\d) (?=(?:" + "|".join(_MONTHS["fr"]) + r")\b)"
)
_BOTH_GAPS = re.compile(r"(?<=\bart\.) |(?<=\bal\.) |(?<=\bn°) |(?<=\bno\.) (?=\d)")

MINUTE, HOUR, DAY = 60, 3600, 86_400


class Tongue(msgspec.Struct, frozen=True):
    """One of the two languages. Called with a sentence in both, it gives its own, typeset."""

    language: Language

    @property
    def french(self) -> bool:
        return self.language == "fr"

    def __call__(self, french: str, english: str) -> str:
        return self.typeset(french if self.french else english)

    def typeset(self, text: str) -> str:
        """Put no-break spaces and apostrophes where printers put them."""
        text = _BOTH_GAPS.sub(NBSP, _APOSTROPHE.sub("’", text))
        return _FRENCH_GAPS.sub(NBSP, text) if self.french else text

    @property
    def separator(self) -> str:
        """What stands between the items of a list in one line."""
        return f"{NBSP}; " if self.french else "; "

    # --- numbers ------------------------------------------------------------------------------

    def count(self, number: int) -> str:
        written = f"{number:,}"
        return written.replace(",", NBSP) if self.french else written

    def decimal(self, number: float, places: int = 1) -> str:
        written = f"{number:,.{places}f}"
        if not self.french:
            return written
        return written.replace(",", NBSP).replace(".", ",")

    def euros(self, amount: int) -> str:
        return f"{self.count(amount)}{NBSP}€" if self.french else f"€{amount:,}"

    def cents(self, amount: Decimal) -> str:
        """Write an amount to the cent, unless it is one of whole euros."""
        if amount == int(amount):
            return self.euros(int(amount))
        written = self.decimal(float(amount), 2)
        return f"{written}{NBSP}€" if self.french else f"€{written}"

    def share(self, part: int, whole: int) -> str:
        """Write what part of the whole it is, in per cent."""
        if not whole:
            return "–"
        return f"{self.decimal(100 * part / whole)}{NBSP if self.french else ''}%"

    def span(self, seconds: float) -> str:
        """Write a duration in the one or two units that tell it best."""
        if seconds < 1:
            return f"{1000 * seconds:.0f}{NBSP}ms"
        if seconds < MINUTE:
            return f"{self.decimal(seconds, 1)}{NBSP}s"
        whole = round(seconds)
        day = "j" if self.french else "d"
        if whole < HOUR:
            return f"{whole // MINUTE}{NBSP}min {whole % MINUTE:02}{NBSP}s"
        if whole < DAY:
            return f"{whole // HOUR}{NBSP}h {whole % HOUR // MINUTE:02}{NBSP}min"
        return f"{self.count(whole // DAY)}{NBSP}{day} {whole % DAY // HOUR}{NBSP}h"

    def bound(self, seconds: float) -> str:
        """Write a round duration in one unit."""
        hour, day = ("h", "jour") if self.french else ("h", "day")
        for length, unit in ((DAY, day), (HOUR, hour), (MINUTE, "min")):
            if seconds >= length:
                return f"{seconds / length:.0f}{NBSP}{unit}"
        return f"{seconds:.0f}{NBSP}s"

    # --- dates --------------------------------------------------------------------------------

    def day(self, day: date) -> str:
        """Write a date in full."""
        ordinal = "1er" if self.french and day.day == 1 else str(day.day)
        return f"{ordinal}{NBSP}{_MONTHS[self.language][day.month - 1]} {day.year}"

    def short_day(self, day: date) -> str:
        if self.french:
            return f"{day:%d/%m/%Y}"
        return f"{day.day}{NBSP}{_MONTHS['en'][day.month - 1][:3]}{NBSP}{day.year}"

    def month(self, first: date) -> str:
        return f"{_MONTHS[self.language][first.month - 1]} {first.year}"

    def local_day(self, at: datetime, zone: str) -> date:
        return at.astimezone(ZoneInfo(zone)).date()

    def clock(self, at: datetime, zone: str) -> str:
        """Write the time that the clocks of *zone* show."""
        return f"{at.astimezone(ZoneInfo(zone)):%H:%M:%S}"

    def stamp(self, at: datetime, zone: str) -> str:
        """Write date and time as short as they can be read."""
        return f"{self.short_day(self.local_day(at, zone))}{NBSP}{self.clock(at, zone)}"

    def moment(self, at: datetime, zone: str) -> str:
        """Write date and time on the clocks of *zone*."""
        local = at.astimezone(ZoneInfo(zone))
        joint = " à " if self.french else ", "
        return f"{self.day(local.date())}{joint}{local:%H:%M:%S}"

    # --- telephone numbers --------------------------------------------------------------------

    def number(self, e164: str) -> str:
        """Write a number as it is read out: French ones by pairs, others by their country."""
        if e164.startswith("+33"):
            national = "0" + e164.removeprefix("+33")
            return NBSP.join(national[i : i + 2] for i in range(0, len(national), 2))
        read = phonenumbers.parse(e164)
        style = phonenumbers.PhoneNumberFormat.INTERNATIONAL
        return str(phonenumbers.format_number(read, style)).replace(" ", NBSP)


FRENCH: Final = Tongue("fr")
ENGLISH: Final = Tongue("en")
