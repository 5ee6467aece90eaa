"""French and English as they are printed: dates, amounts, and spaces that do not break.

Only what every document needs; sentences stand, in both languages, where they are used.
"""

import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Final
from unicodedata import normalize
from zoneinfo import ZoneInfo

import msgspec
import phonenumbers

from ringfence.rules.words import Language

__all__ = ["ENGLISH", "FRENCH", "NBSP", "Tongue"]

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
    gap: str = NBSP
    """Stands for every space at which a line must not break."""

    @property
    def french(self) -> bool:
        return self.language == "fr"

    def __call__(self, french: str, english: str) -> str:
        return self.typeset(french if self.french else english)

    def typeset(self, text: str) -> str:
        """Put no-break spaces and apostrophes where printers put them."""
        text = _BOTH_GAPS.sub(NBSP, _APOSTROPHE.sub("’", text))
        text = _FRENCH_GAPS.sub(NBSP, text) if self.french else text
        return text.replace(NBSP, self.gap)

    def with_reasons(self, said: str, reasons: Sequence[str]) -> str:
        """Write a statement, and behind a colon why it is so."""
        return self.typeset(f"{said}{' ' if self.french else ''}: {self.separator.join(reasons)}")

    @property
    def separator(self) -> str:
        """What stands between the items of a list in one line."""
        return f"{self.gap}; " if self.french else "; "

    # --- numbers ------------------------------------------------------------------------------

    def count(self, number: int) -> str:
        written = f"{number:,}"
        return written.replace(",", self.gap) if self.french else written

    def decimal(self, number: float, places: int = 1) -> str:
        written = f"{number:,.{places}f}"
        if not self.french:
            return written
        return written.replace(",", self.gap).replace(".", ",")

    def euros(self, amount: int) -> str:
        return f"{self.count(amount)}{self.gap}€" if self.french else f"€{amount:,}"

    def cents(self, amount: Decimal) -> str:
        """Write an amount to the cent, unless it is one of whole euros."""
        if amount == int(amount):
            return self.euros(int(amount))
        written = self.decimal(float(amount), 2)
        return f"{written}{self.gap}€" if self.french else f"€{written}"

    def share(self, part: int, whole: int) -> str:
        """Write what part of the whole it is, in per cent."""
        if not whole:
            return "–"
        return f"{self.decimal(100 * part / whole)}{self.gap if self.french else ''}%"

    def span(self, seconds: float) -> str:
        """Write a duration in the one or two units that tell it best."""
        if seconds < 1:
            return f"{1000 * seconds:.0f}{self.gap}ms"
        if seconds < MINUTE:
            return f"{self.decimal(seconds, 1)}{self.gap}s"
        whole = round(seconds)
        day = "j" if self.french else "d"
        if whole < HOUR:
            return f"{whole // MINUTE}{self.gap}min {whole % MINUTE:02}{self.gap}s"
        if whole < DAY:
            return f"{whole // HOUR}{self.gap}h {whole % HOUR // MINUTE:02}{self.gap}min"
        return f"{self.count(whole // DAY)}{self.gap}{day} {whole % DAY // HOUR}{self.gap}h"

    def bound(self, seconds: float) -> str:
        """Write a round duration in one unit."""
        hour, day = ("h", "jour") if self.french else ("h", "day")
        for length, unit in ((DAY, day), (HOUR, hour), (MINUTE, "min")):
            if seconds >= length:
                return f"{seconds / length:.0f}{self.gap}{unit}"
        return f"{seconds:.0f}{self.gap}s"

    # --- dates --------------------------------------------------------------------------------

    def day(self, day: date) -> str:
        """Write a date in full."""
        ordinal = "1er" if self.french and day.day == 1 else str(day.day)
        return f"{ordinal}{self.gap}{_MONTHS[self.language][day.month - 1]} {day.year}"

    def short_day(self, day: date) -> str:
        if self.french:
            return f"{day:%d/%m/%Y}"
        return f"{day.day}{self.gap}{_MONTHS['en'][day.month - 1][:3]}{self.gap}{day.year}"

    def month(self, first: date) -> str:
        return f"{_MONTHS[self.language][first.month - 1]} {first.year}"

    def local_day(self, at: datetime, zone: str) -> date:
        return at.astimezone(ZoneInfo(zone)).date()

    def clock(self, at: datetime, zone: str) -> str:
        """Write the time that the clocks of *zone* show."""
        return f"{at.astimezone(ZoneInfo(zone)):%H:%M:%S}"

    def stamp(self, at: datetime, zone: str, on: date | None = None) -> str:
        """Write date and time as short as they can be read; the day alone where *on* says it."""
        if on is not None:
            return self.short_day(on)
        return f"{self.short_day(self.local_day(at, zone))}{self.gap}{self.clock(at, zone)}"

    def moment(self, at: datetime, zone: str, on: date | None = None) -> str:
        """Write date and time on the clocks of *zone*; the day alone where *on* says it."""
        if on is not None:
            return self.day(on)
        local = at.astimezone(ZoneInfo(zone))
        joint = " à " if self.french else ", "
        return f"{self.day(local.date())}{joint}{local:%H:%M:%S}"

    # --- names --------------------------------------------------------------------------------

    def of(self, name: str) -> str:
        """Write a French `de`, elided where the name asks for it: `d'Acme`, `de Globex`."""
        first = normalize("NFD", name[:1]).casefold()[:1]
        return f"d'{name}" if first and first in "aeiouœæh" else f"de {name}"

    # --- telephone numbers --------------------------------------------------------------------

    def number(self, e164: str) -> str:
        """Write a number as it is read out: French ones by pairs, others by their country."""
        if e164.startswith("+33"):
            national = "0" + e164.removeprefix("+33")
            return self.gap.join(national[i : i + 2] for i in range(0, len(national), 2))
        read = phonenumbers.parse(e164)
        style = phonenumbers.PhoneNumberFormat.INTERNATIONAL
        return str(phonenumbers.format_number(read, style)).replace(" ", self.gap)


FRENCH: Final = Tongue("fr")
ENGLISH: Final = Tongue("en")
