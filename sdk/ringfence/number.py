"""Telephone numbers: text to E.164 and territory, and the key that stands for a number.

Not here: whether a number may be called. Text is parsed once, at the border, and stays a `Number`.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter
from struct import Struct
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import msgspec
import phonenumbers

__all__ = [
    "DEPARTMENTS",
    "METROPOLE",
    "TERRITORIES",
    "InvalidNumber",
    "Keyring",
    "Number",
    "Territory",
    "clock_of",
    "key",
    "parse",
    "prepare",
    "tail",
    "territories_of_zone",
]


class Territory(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A part of France with a clock and holidays of its own.

    There is one object for each, so they are told apart by identity, which costs a decision least.
    """

    code: str
    """ISO 3166 code of the territory; `FR-AM` is Alsace-Moselle."""
    zone: str
    """IANA time zone."""


@lru_cache(maxsize=1024)
def clock_of(zone: str) -> ZoneInfo:
    """Give the clock of an IANA zone, and keep it.

    `ZoneInfo` itself keeps the last eight, and would read the next one from disk in the middle of a
    decision. Raises what it raises.
    """
    return ZoneInfo(zone)


METROPOLE = Territory("FR", "Europe/Paris")
ALSACE_MOSELLE = Territory("FR-AM", "Europe/Paris")
GUADELOUPE = Territory("GP", "America/Guadeloupe")
MARTINIQUE = Territory("MQ", "America/Martinique")
GUYANE = Territory("GF", "America/Cayenne")
REUNION = Territory("RE", "Indian/Reunion")
MIQUELON = Territory("PM", "America/Miquelon")
MAYOTTE = Territory("YT", "Indian/Mayotte")
SAINT_BARTHELEMY = Territory("BL", "America/St_Barthelemy")
SAINT_MARTIN = Territory("MF", "America/Marigot")

DEPARTMENTS: dict[str, Territory] = {
    **{f"{n:02}": METROPOLE for n in range(1, 96) if n != 20},
    "20": METROPOLE,
    "2A": METROPOLE,
    "2B": METROPOLE,
    "57": ALSACE_MOSELLE,
    "67": ALSACE_MOSELLE,
    "68": ALSACE_MOSELLE,
    "971": GUADELOUPE,
    "972": MARTINIQUE,
    "973": GUYANE,
    "974": REUNION,
    "975": MIQUELON,
    "976": MAYOTTE,
    "977": SAINT_BARTHELEMY,
    "978": SAINT_MARTIN,
}

TERRITORIES = {t.code: t for t in DEPARTMENTS.values()}
"""By code."""

_ZONES = {t.zone: t for t in DEPARTMENTS.values() if t is not ALSACE_MOSELLE}

# Overseas numbers share the national plan: inside France they are dialled 0 and nine digits, and
# lists carry them as +33 and nine digits too, which reaches nobody. The first digits tell whose
# they are, so that a number has one form and one key however it was written. 0639 is Mayotte but
# for 0639 98, set aside for fiction in metropolitan France.
_OVERSEAS = {
    **dict.fromkeys(["262", "263", "2688", "2689", "269", "692", "693", "639"], "262"),
    **dict.fromkeys(["7092", "70935", "70936", "70937", "70938", "70939"], "262"),
    **dict.fromkeys(["9478", "9479"], "262"),
    **dict.fromkeys(["590", "5987", "690", "691", "7090", "9475"], "590"),
    **dict.fromkeys(["594", "5988", "694", "7093", "9476"], "594"),
    **dict.fromkeys(["596", "5989", "696", "697", "7091", "9477"], "596"),
    "508": "508",
    "63998": "33",
}

_PLAIN = re.compile(r"\+33[1-9][0-9]{8}")
_ABROAD = "|".join(
    f"{first}(?:{'|'.join(prefix[2:] for prefix in prefixes)})"
    for first, prefixes in groupby(
        sorted(prefix for prefix, code in _OVERSEAS.items() if code != "33"), itemgetter(slice(2))
    )
)
_metropolitan = re.compile(rf"\+33(?:(?!{_ABROAD})|(?=63998))[1-9][0-9]{{8}}").fullmatch
"""Whether a text is a number of metropolitan France in E.164, as most that are asked about."""
_PERHAPS_OVERSEAS = frozenset(prefix[:2] for prefix in _OVERSEAS)
_METROPOLITAN = (METROPOLE,)
_ANTILLES = (GUADELOUPE, SAINT_MARTIN, SAINT_BARTHELEMY)

_REGIONS = ("FR", "GP", "MQ", "GF", "RE", "PM", "YT", "BL", "MF")

_MAX_TEXT = 40  # a longer text is no number; it bounds what the parser is given
_WRITTEN = re.compile(r"\s*\+?[0-9\s().\-/]+")  # letters would be read as the keys of a telephone
_CLOAKED = re.compile(r"=\"(.*)\"|'(.*)|\((\+[0-9]{1,3})\)(.*)", re.DOTALL)
"""What spreadsheets keep a number's zero with, and a country code in brackets."""
_SPACE = re.compile(r"\s")  # French lists write no-break spaces too

# What most lists write; the parser would say the same in ten times the time.
_FRENCH = re.compile(r"(?:0|\+33|0033)([1-9][0-9]{8})")
_BETWEEN = re.compile(r"[\s.\-]")


class InvalidNumber(ValueError):  # noqa: N818 - what it is, like the reason `invalid_number`
    """The text is no telephone number."""


class Number(msgspec.Struct, frozen=True, gc=False):
    """A number in E.164, with the territories its owner may live in.

    No territory: the number lies outside the French numbering plan. Several: the number does not
    say which, and what the law measures by the consumer's clock must hold in all of them.
    """

    e164: str
    territories: tuple[Territory, ...]

    def told_by(self, text: str) -> bool:
        """Whether the number can be read in *text*, however its digits are set apart or written.

        Looked for are the last nine digits of what is dialled in its own country: all six of
        Saint-Pierre-et-Miquelon, all of a shorter number abroad. One of less than six is looked
        for with its country code, as any text may have so few digits in a row.
        """
        return any(_dialled(self.e164) in _digits(form) for form in _decoded(text))


_MANY = 6
"""Digits that a text does not have by chance."""


@lru_cache(maxsize=1 << 12)
def _dialled(e164: str) -> str:
    """Give the digits by which a number is known."""
    if _PLAIN.fullmatch(e164):
        return e164[-9:]
    national = phonenumbers.national_significant_number(phonenumbers.parse(e164))
    return national[-9:] if len(national) >= _MANY else e164.removeprefix("+")


_NO_DIGIT = re.compile(r"[^0-9]+")


def _digits(text: str) -> str:
    if text.isascii():
        return _NO_DIGIT.sub("", text)
    return "".join(str(unicodedata.digit(sign)) for sign in text if sign.isdigit())


_ENCODED = 3
"""Times that a text may have been percent-encoded over and over; it bounds the work."""


def _decoded(text: str) -> Iterator[str]:
    """Give a text as it is, and as often as it can be percent-decoded.

    As it is too, since a lone `%` between two digits would take two of them with it.
    """
    yield text
    for _ in range(_ENCODED):
        before, text = text, unquote(text) if "%" in text else text
        if text == before:
            return
        yield text


def parse(text: str) -> Number:
    """Read a number as it is written in E.164, in France, or in between (`00 33 (0)6 …`).

    Raises `InvalidNumber` for a text that no telephone of any country has.
    """
    # To remember these would cost more than to read them again.
    return Number(text, _METROPOLITAN) if _metropolitan(text) else _parsed(text)


@lru_cache(maxsize=1 << 16)
def _parsed(text: str) -> Number:
    country, national = ("33", text[3:]) if _PLAIN.fullmatch(text) else _read(text)
    if country == "33":
        if len(national) == 9 and national[0] != "0" and national[:2] not in _PERHAPS_OVERSEAS:
            return Number(f"+33{national}", _METROPOLITAN)
        country = _country(national)
        if country == "508":
            national = national[3:]
    e164 = f"+{country}{national}"
    if not _possible(country, national, e164):
        msg = f"not a telephone number: {text!r}"
        raise InvalidNumber(msg)
    return Number(e164, _territories(country, national))


def _country(national: str) -> str:
    """Give the country code of nine digits of the French plan: the longest prefix tells."""
    known = (_OVERSEAS.get(national[:length]) for length in (5, 4, 3))
    return next((code for code in known if code is not None), "33")


def _read(text: str) -> tuple[str, str]:
    """Give country code and national number of a text that is not plain E.164."""
    if len(text) > _MAX_TEXT or not _WRITTEN.fullmatch(text):
        cloaked = None if len(text) > _MAX_TEXT else _CLOAKED.fullmatch(text.strip())
        bare = "".join(part or "" for part in cloaked.groups()) if cloaked else ""
        if not _WRITTEN.fullmatch(bare):
            msg = f"not a telephone number: {text[:_MAX_TEXT]!r}"
            raise InvalidNumber(msg)
        return _read(bare)
    if french := _FRENCH.fullmatch(_BETWEEN.sub("", text)):
        return "33", french[1]
    try:
        read = phonenumbers.parse(_SPACE.sub("", text).replace("(0)", ""), "FR")
    except phonenumbers.NumberParseException as error:
        msg = f"not a telephone number: {text!r}"
        raise InvalidNumber(msg) from error
    zeros = (read.number_of_leading_zeros or 1) if read.italian_leading_zero else 0
    return str(read.country_code), "0" * zeros + str(read.national_number)


_LENGTHS = {"33": (9,), "262": (9,), "590": (9,), "594": (9,), "596": (9,), "508": (6, 9)}


def _possible(country: str, national: str, e164: str) -> bool:
    lengths = _LENGTHS.get(country)
    if lengths is None:
        return bool(phonenumbers.is_possible_number(phonenumbers.parse(e164)))
    return len(national) in lengths and national[0] != "0"


_TERRITORIES = {
    "33": _METROPOLITAN,
    "508": (MIQUELON,),
    "590": _ANTILLES,
    "594": (GUYANE,),
    "596": (MARTINIQUE,),
}


def _territories(country: str, national: str) -> tuple[Territory, ...]:
    """Where the owner of a number may live, as the French numbering plan tells."""
    if country == "262":
        return _indian_ocean(national)
    return _TERRITORIES.get(country, ())


def _indian_ocean(national: str) -> tuple[Territory, ...]:
    if national.startswith(("262", "263")):
        return (REUNION,)
    if national.startswith(("269", "639")):
        return (MAYOTTE,)
    return (REUNION, MAYOTTE)


def prepare() -> None:
    """Read from disk what French numbers need that are written otherwise than in E.164."""
    for region in _REGIONS:
        phonenumbers.PhoneMetadata.metadata_for_region(region)


def territories_of_zone(zone: str) -> tuple[Territory, ...]:
    """Give the territories that keep this time zone; elsewhere only the nation's holidays hold.

    Guadeloupe's is also the time of Saint-Martin and Saint-Barthélemy, which are told apart only
    where they are named.
    """
    if zone == GUADELOUPE.zone:
        return _ANTILLES
    return (_ZONES.get(zone) or Territory("FR", zone),)


def key(secret: bytes, message: str) -> int:
    """Give the 64-bit pseudonym of *message*, never 0 (0 marks an empty slot of a table)."""
    digest = blake2b(message.encode(), key=secret, digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1


def tail(purpose: str) -> bytes:
    """Give what follows the number in the message of a ground's key."""
    return f"\x1f{purpose}".encode()


_two_words = Struct("<2Q").unpack


class Keyring:
    """Makes one principal's keys; the principal's secret never leaves it.

    The message of a key is the number in E.164 (restraints), the number, byte 0x1F and the purpose
    (grounds), or `id:` and the consumer's id (restraints of a consumer with several numbers).
    """

    __slots__ = ("_state",)

    def __init__(self, secret: bytes) -> None:
        if not 16 <= len(secret) <= 64:
            msg = f"a principal's secret has 16 to 64 bytes, not {len(secret)}"
            raise ValueError(msg)
        self._state = blake2b(key=secret, digest_size=8)

    def _key(self, message: bytes) -> int:
        # Copying the keyed state saves the compression of the key block: half the time of a key.
        state = self._state.copy()
        state.update(message)
        return int.from_bytes(state.digest(), "little") or 1

    def number(self, e164: str) -> int:
        return self._key(e164.encode())

    def purpose(self, e164: str, purpose: str) -> int:
        return self._key(e164.encode() + tail(purpose))

    def both(self, e164: str, purpose: bytes) -> tuple[int, int]:
        """Give the key of a number, and that of the number and a purpose, which begins alike.

        *purpose* is what `tail` makes of it.
        """
        state = self._state.copy()
        state.update(e164.encode())
        digest = state.digest()
        state.update(purpose)
        number, ground = _two_words(digest + state.digest())
        return number or 1, ground or 1

    def consumer(self, consumer: str) -> int:
        # An id may be half a character, as JSON can write it: no call may fail for that.
        return self._key(f"id:{consumer}".encode("utf-8", "surrogatepass"))
