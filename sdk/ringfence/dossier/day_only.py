"""Whether of what was said only the day is known, so that no document invents a time of it."""

from ringfence.event import Event
from ringfence.ledger.form import DAY_ONLY, UNDATED

__all__ = ["DAY_ONLY", "UNDATED", "day_only"]


def day_only(event: Event) -> bool:
    """Whether its instant says nothing but a date: that of a line without a time, or its import."""
    return event.source in (DAY_ONLY, UNDATED)
