"""Why no call of a campaign can rest on a consent, though it has neither ended nor been taken back.

Which texts a gate takes is for `ringfence.campaign.sound_texts` alone to say; here is told what one
lacks that it does not take.
"""

from collections.abc import Iterator
from enum import StrEnum

from ringfence.campaign import MENTIONS, Campaign, Channel, Text

__all__ = ["Flaw", "flaws"]


class Flaw(StrEnum):
    MENTIONS = "mentions"
    """The text lacks statements that R223-1 I asks for."""
    PARTIES = "parties"
    """It does not name the professional, or whoever calls on its behalf."""
    CANVASSED = "canvassed"
    """It was asked for on a call that the professional made."""
    ORAL = "oral"
    """It was asked for on a call, which insurance does not allow (C. assur. R112-7)."""
    AUTOMATED = "automated"
    """It does not cover calls in which a machine speaks."""
    UNKNOWN = "unknown"
    """Nothing is known of the text."""


def flaws(text: Text | None, campaign: Campaign) -> tuple[Flaw, ...]:
    """Tell what is wrong with a text for a campaign; nothing of one that is sound for it."""
    return tuple(_flaws(text, campaign))


def _flaws(text: Text | None, campaign: Campaign) -> Iterator[Flaw]:
    if text is None:
        yield Flaw.UNKNOWN
        return
    if not text.mentions >= MENTIONS:
        yield Flaw.MENTIONS
    if not text.parties >= {campaign.principal, campaign.operator}:
        yield Flaw.PARTIES
    if campaign.sector == "insurance" and text.channel in _CALLS:
        yield Flaw.ORAL
    elif text.channel is Channel.OUTBOUND_CALL:
        yield Flaw.CANVASSED
    if campaign.dial_mode.unattended and not text.automated:
        yield Flaw.AUTOMATED


_CALLS = frozenset([Channel.INBOUND_CALL, Channel.OUTBOUND_CALL])
