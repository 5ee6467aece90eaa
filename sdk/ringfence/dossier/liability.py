"""What denied calls could have cost, had they been placed: an upper bound, never a forecast.

C. conso. L242-16 sets a maximum for each breach of L223-1 to L223-5, and an authority sets what is
due below it. What was due in two published cases is told beside, a call.
"""

from decimal import ROUND_DOWN, ROUND_UP, Decimal

import msgspec

from ringfence.decision import Reason

__all__ = ["BREACHES", "CASES", "Case", "Liability", "liability"]

NATURAL = 75_000
"""Euros a breach, for a natural person (C. conso. L242-16)."""

LEGAL = 375_000
"""Euros a breach, for a legal person."""

BREACHES = frozenset(
    [
        Reason.SECTOR_BANNED,
        Reason.OBJECTED,
        Reason.REFUSED,
        Reason.NO_GROUND,
        Reason.CONSENT_WITHDRAWN,
        Reason.CONSENT_EXPIRED,
        Reason.CONSENT_DEFECTIVE,
        Reason.BLOCTEL,
    ]
)
"""Reasons whose call would have been canvassing that L223-1 forbids.

Not those that only say that the question was malformed, nor those of the number shown, which other
articles sanction at other amounts.
"""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A fine that was published, under the law before 11 August 2026."""

    name: str
    when: str
    """The month in which it was published."""
    euros: int
    calls: int
    """Calls, or persons called, as published."""
    about: bool
    """Whether that number was only given roughly."""
    unit_french: str
    unit_english: str

    @property
    def each(self) -> Decimal:
        """Euros a call, to the cent."""
        return (Decimal(self.euros) / self.calls).quantize(Decimal("0.01"))


# Both as the press reported them (pix-geeks.com), not read in the decisions themselves.
CASES = (
    Case(
        name="TECH ENR",
        when="2025-07",
        euros=260_900,
        calls=5_000,
        about=True,
        unit_french="personnes inscrites sur Bloctel",
        unit_english="persons on the Bloctel list",
    ),
    Case(
        name="Énergie B (CB Performances)",
        when="2025-07",
        euros=253_275,
        calls=3_377,
        about=False,
        unit_french="appels",
        unit_english="calls",
    ),
)


class Liability(msgspec.Struct, frozen=True, kw_only=True):
    """The arithmetic: each product is *breaches* times an amount."""

    breaches: int
    """Denied decisions for one of the reasons that `BREACHES` names."""
    persons: int
    uncounted: int
    """Denied decisions for other reasons."""
    natural_each: int
    natural: int
    legal_each: int
    legal: int
    cases: tuple[Case, ...]
    published_low_each: int
    published_high_each: int
    """Euros a call of the published cases, to the euro below and above."""
    published_low: int
    published_high: int


def liability(breaches: int, persons: int, uncounted: int) -> Liability:
    each = [case.each for case in CASES]
    low = int(min(each).to_integral_value(ROUND_DOWN))
    high = int(max(each).to_integral_value(ROUND_UP))
    return Liability(
        breaches=breaches,
        persons=persons,
        uncounted=uncounted,
        natural_each=NATURAL,
        natural=breaches * NATURAL,
        legal_each=LEGAL,
        legal=breaches * LEGAL,
        cases=CASES,
        published_low_each=low,
        published_high_each=high,
        published_low=breaches * low,
        published_high=breaches * high,
    )
