"""A gate's own events over the ledger's rows, until those rows reflect them."""

from collections.abc import Iterable, Mapping, Sequence

from ringfence.event import (
    Attempt,
    AttemptCancelled,
    Callback,
    Consent,
    Contract,
    Event,
    Slot,
)
from ringfence.fold import onto_ground, onto_restraint
from ringfence.row import Facts, Ground, Restraint

__all__ = ["Overlay", "to_show"]


class Overlay:
    """Own events by id and by key. A row is refolded each time it is looked at."""

    def __init__(self) -> None:
        self._events: dict[str, Event] = {}
        self.filed: dict[int, dict[str, Event]] = {}
        """By key, and by id. Each decision asks whether its keys are in it: this is the same dict
        for ever."""

    def __len__(self) -> int:
        return len(self._events)

    def __contains__(self, key: int) -> bool:
        return key in self.filed

    def add(self, event: Event) -> None:
        """Show a sealed event; of several of one id the first counts, as it does for the ledger."""
        if event.id in self._events:
            return
        self._events[event.id] = event
        for key in _keys(event):
            self.filed.setdefault(key, {})[event.id] = event

    def drop(self, ids: Iterable[str]) -> None:
        """Show these events no longer; ids that are not its own are passed over."""
        for name in ids:
            event = self._events.pop(name, None)
            if event is None:
                continue
            for key in _keys(event):
                filed = self.filed[key]
                del filed[name]
                if not filed:
                    del self.filed[key]

    def turn_away(self, name: str) -> bool:
        """The ledger does not take this event: as a ground it counts no longer. Say if that was so.

        What restrains goes on to count: a person said it, whatever is wrong with its form.
        """
        ground = isinstance(self._events.get(name), Consent | Contract | Callback | Slot)
        if ground:
            self.drop([name])
        return ground

    def ground(self, key: int, facts: Facts, texts: Mapping[str, int]) -> Facts:
        return onto_ground(Ground.unpack(facts), self.filed[key].values(), texts).pack()

    def restraint(self, key: int, facts: Facts) -> Facts:
        return onto_restraint(Restraint.unpack(facts), self.filed[key].values()).pack()


def to_show(events: Sequence[Event]) -> list[Event]:
    """Give those events of an outbox that are to count, beside all that the ledger has.

    What became of a call adds nothing to its attempt, which the ledger may have already: both would
    be counted. Only where it was given back in between there is one more.
    """
    given_back = {event.call for event in events if isinstance(event, AttemptCancelled)}
    return [
        event
        for event in events
        if not isinstance(event, AttemptCancelled)
        and (not isinstance(event, Attempt) or event.outcome is None or event.call in given_back)
    ]


def _keys(event: Event) -> set[int]:
    keys = event.keys
    if keys is None:
        return set()
    return {key for key in (keys.number, keys.purpose, keys.consumer) if key is not None}
