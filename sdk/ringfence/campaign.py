"""How calls are made and what consents said: principals, campaigns, consent texts."""

import re
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from ringfence.number import InvalidNumber, parse

__all__ = [
    "MENTIONS",
    "SECTORS",
    "Audience",
    "Campaign",
    "Channel",
    "DialMode",
    "Text",
    "sound_texts",
]

_NAME = re.compile(r"[a-z0-9_-]{1,48}")

MENTIONS = frozenset(
    ["professional", "third_party", "goods_services", "choice", "period", "withdrawal",
     "proof_access"]
)  # fmt: skip
"""What a request for consent must state (C. conso. R223-1 I)."""

SECTORS = frozenset(
    ["automotive", "banking", "charity", "cpf", "education", "energy", "energy_renovation",
     "health", "home_services", "housing_adaptation", "insurance", "leisure", "media", "other",
     "press", "real_estate", "renewable", "renewable_energy", "retail", "security", "telecom",
     "training", "travel", "water"]
)  # fmt: skip
"""A closed list: a misspelt sector would slip past the ban that bears its name."""


class DialMode(StrEnum):
    MANUAL = "manual"
    PREVIEW = "preview"
    PROGRESSIVE = "progressive"
    PREDICTIVE = "predictive"
    ROBOCALL = "robocall"
    VOICEBOT = "voicebot"

    @property
    def automated(self) -> bool:
        """Whether Arcep calls it an automated system (decision 2022-1583, 7.1.3)."""
        return self not in _ONE_CLICK_ONE_CALL

    @property
    def unattended(self) -> bool:
        """Whether a machine speaks, which needs a consent of its own (CPCE L34-5)."""
        return self in _MACHINE_SPEAKS


_ONE_CLICK_ONE_CALL = frozenset([DialMode.MANUAL, DialMode.PREVIEW])
_MACHINE_SPEAKS = frozenset([DialMode.ROBOCALL, DialMode.VOICEBOT])


class Audience(StrEnum):
    CONSUMER = "consumer"
    BUSINESS = "business"


class Channel(StrEnum):
    """Where a consent was collected."""

    WEB = "web"
    APP = "app"
    CHAT = "chat"
    EMAIL = "email"
    SMS = "sms"
    PAPER = "paper"
    LETTER = "letter"
    STORE = "store"
    IN_PERSON = "in_person"
    INBOUND_CALL = "inbound_call"
    OUTBOUND_CALL = "outbound_call"


_CANVASSED = frozenset([Channel.OUTBOUND_CALL])
_ORAL = frozenset([Channel.OUTBOUND_CALL, Channel.INBOUND_CALL])


class Text(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was shown to whoever gave a consent."""

    mentions: frozenset[str]
    parties: frozenset[str]
    """Principals and operators it names."""
    channel: Channel
    automated: bool = False
    """Whether it covers calls in which a machine speaks."""

    def __post_init__(self) -> None:
        for mention in self.mentions - MENTIONS:
            msg = f"no such mention: {mention!r}; there are {', '.join(sorted(MENTIONS))}"
            raise ValueError(msg)


class Campaign(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a set of calls is made.

    Raises `ValueError` for a name that no topic could carry, a sector outside `SECTORS` and a
    caller ID that is no number.
    """

    principal: str
    purpose: str
    sector: str
    operator: str
    dial_mode: DialMode
    caller_ids: frozenset[str]
    commercial: bool = True
    audience: Audience = Audience.CONSUMER

    def __post_init__(self) -> None:
        for name in (self.principal, self.purpose):
            if not _NAME.fullmatch(name):
                msg = f"a principal or purpose has 1 to 48 of a-z, 0-9, `_`, `-`: {name!r}"
                raise ValueError(msg)
        if self.sector not in SECTORS:
            msg = f"no such sector: {self.sector!r}; there are {', '.join(sorted(SECTORS))}"
            raise ValueError(msg)
        for shown in self.caller_ids:
            try:
                number = parse(shown)
            except InvalidNumber as error:
                raise ValueError(*error.args) from error
            if number.e164 != shown:
                msg = f"a caller ID is listed in E.164: {number.e164}, not {shown!r}"
                raise ValueError(msg)

    @property
    def canvassing(self) -> bool:
        """Whether the law on canvassing consumers applies at all."""
        return self.commercial and self.audience is Audience.CONSUMER


def sound_texts(
    campaign: Campaign, texts: Mapping[str, Text], index: Mapping[str, int]
) -> frozenset[int]:
    """Give the indices of the texts on which a consent to this campaign's calls can rest.

    Such a text carries all mentions of R223-1, names principal and operator, was not shown or read
    on a canvassing call, for insurance on no call at all (C. assur. R112-7), and covers automation
    where a machine will speak.
    """
    oral = _ORAL if campaign.sector == "insurance" else _CANVASSED
    return frozenset(
        index[name]
        for name, text in texts.items()
        if text.mentions >= MENTIONS
        and text.parties >= {campaign.principal, campaign.operator}
        and text.channel not in oral
        and (text.automated or not campaign.dial_mode.unattended)
    )
