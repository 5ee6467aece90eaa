"""Many gates that dial the same few people, and who counts the calls that were placed.

Replica, book, claims, rules, intake and store are the real ones; a day of the calendar passes in
seconds, so that the window of thirty days opens anew while gates, ledger and broker do their worst.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path

from tests.simulation.gates import Disk, Gate
from tests.simulation.ledgers import Ledger
from tests.simulation.world import PRINCIPAL, Broker, Faults, World

from ringfence.book import Book
from ringfence.call import Outcome
from ringfence.campaign import Campaign, DialMode
from ringfence.claims import Claim, cap_of
from ringfence.decision import Reason, Verdict
from ringfence.event import Attempt, AttemptCancelled, Cap, Keys
from ringfence.link import Message
from ringfence.number import METROPOLE, Keyring
from ringfence.replica import Patience
from ringfence.row import OPEN_END, Facts, Ground, day_in
from ringfence.rules import france
from ringfence.rules.rulebook import Judged, Terms, judge
from ringfence.wire import WireError

__all__ = ["Calls", "Dialler", "Dialling"]

DAY = 2.0
"""Simulated seconds in which a day passes."""

DAYS = 40
"""So that after the first four calls there is room for more."""

MONDAY = datetime(2027, 1, 18, 9, tzinfo=UTC)
"""Ten o'clock in Paris: when the first day begins."""

HOURS = timedelta(hours=9)
"""What passes of a day, with a break in it; then it is ten o'clock of the next."""

WINDOW = 30
"""Days that count beside the one of the call (C. conso. D223-9)."""

READY = 3.5
"""Seconds after which all gates have heard a second head; it is a Tuesday afternoon then."""

WAIT = 1.0
"""Seconds for the ledger's word."""

STEP = 0.1
"""Seconds between two moments at which calls are asked for."""

RULEBOOK = france.rulebook()
TERMS = Terms.of(
    Campaign(
        principal=PRINCIPAL,
        purpose="fibre",
        sector="telecom",
        operator="callco",
        dial_mode=DialMode.PREVIEW,
        caller_ids=frozenset(["+33162000001"]),
    ),
    frozenset(),
)
CUSTOMER = Ground(contract_until=OPEN_END).pack()
SHOWN = "+33162000001"
PLACES = (METROPOLE,)


class Calls:
    """Who counts: the calls that were allowed, and not told to be unplaced, by person and day."""

    def __init__(self, most: int) -> None:
        self.most = most
        """Calls of one person that there may be in a window."""
        self.reached: Counter[int] = Counter()
        """The most that there were in a window, by person."""
        self._days: dict[int, dict[str, date]] = defaultdict(dict)

    def place(self, person: int, call: str, on: date) -> None:
        """A call is placed. AssertionError if it is one too many."""
        days = self._days[person]
        days[call] = on
        for last in range(WINDOW + 1):
            until = on + timedelta(last)
            within = sum(until - timedelta(WINDOW) <= day <= until for day in days.values())
            assert within <= self.most, (person, call, sorted(days.values()))
            self.reached[person] = max(self.reached[person], within)

    def unplace(self, person: int, call: str) -> None:
        """The dialer says that it was not placed after all."""
        del self._days[person][call]


class Dialler(Gate):
    """A gate whose dialer knows no rest; what `Admission` does, on simulated time."""

    def __init__(self, name: str, world: World, broker: Broker, calls: Calls, margin: int) -> None:
        patience = Patience(stale_after=15.0, answer=1.0)
        super().__init__(name, world, broker, Disk(), patience, lambda _: None)
        self.answers: Counter[Reason] = Counter()
        self.exhausted = 0
        """Calls of which the ledger said that there were enough."""
        self._calls = calls
        self._margin = margin
        self._numbers = count()

    def start(self) -> None:
        self.book: Book | None = None
        super().start()
        self.book = Book(PRINCIPAL, Keyring(bytes(32)), self.replica)

    def hear(self, topic: str, payload: bytes, *, retained: bool) -> None:
        what, now = topic.split("/")[3], self._world.now(self.clock_error)
        self._told_again += what == "reply"
        if self.book is not None:
            with suppress(WireError):
                self._act(self.book.hear(what, Message(topic, payload, retained), now))

    # --- calls --------------------------------------------------------------------------------

    def dial(self, person: int, keys: Keys) -> None:
        """Ask for a call and place it if it is allowed, at once or when the ledger's word comes."""
        if not self.up:
            return
        instant = self._instant()
        judged = self._judge(keys, instant)
        if judged.verdict is not Verdict.ALLOW:
            self.answers[judged.reason] += 1
            return
        cap = self._cap(keys, instant)
        if cap is not None and self._link is None:
            self.answers[Reason.ATTEMPT_UNCONFIRMED] += 1
            return
        call = f"{self.name}-{self._life}-{next(self._numbers)}"
        on = day_in(METROPOLE.zone, instant)
        attempt = Attempt(id=f"{call}-attempt", at=instant, on=on, keys=keys, call=call, cap=cap)
        if cap is None:
            self.record(attempt)
            self._place(person, attempt)
        else:
            self._claim(person, attempt)

    def _claim(self, person: int, attempt: Attempt) -> None:
        assert self.book is not None
        book, life = self.book, self._life
        concluded = False

        def conclude() -> None:
            nonlocal concluded
            if concluded:
                return
            concluded = True
            if life == self._life:  # else it was killed, and nobody is told
                book.claims.drop(claim)
                self._conclude(person, attempt, claim, book)

        claim = Claim(attempt.id, lambda: self._world.after(0.0, conclude))
        book.claims.add(claim)
        self.record(attempt)
        self._world.after(WAIT, conclude)

    def _conclude(self, person: int, attempt: Attempt, claim: Claim, book: Book) -> None:
        judged = self._judge(attempt.keys, self._instant())
        if claim.taken and (
            judged.verdict is Verdict.ALLOW or judged.reason is Reason.ATTEMPT_LIMIT
        ):
            self._place(person, attempt)
            return
        self._give_back(attempt)
        if not claim.taken:
            self.outbox.pop(attempt.id, None)
            book.hide(attempt.id)
        if claim.known is None:
            self.answers[Reason.ATTEMPT_UNCONFIRMED] += 1
        else:
            self.answers[Reason.ATTEMPT_LIMIT] += 1
            self.exhausted += 1

    def _place(self, person: int, attempt: Attempt) -> None:
        assert attempt.on is not None
        self.answers[Reason.CONTRACT] += 1
        self._calls.place(person, attempt.call, attempt.on)
        life = self._life

        def told() -> None:
            if life != self._life:  # nobody knows what became of it, so it counts
                return
            if self._world.chance(0.3):
                self._give_back(attempt)
                self._calls.unplace(person, attempt.call)
            else:
                self.record(
                    Attempt(
                        id=f"{attempt.call}-busy",
                        at=self._instant(),
                        on=attempt.on,
                        keys=attempt.keys,
                        call=attempt.call,
                        outcome=Outcome.BUSY,
                    )
                )

        self._world.after(self._world.random.uniform(0.1, 2 * DAY), told)

    def _give_back(self, attempt: Attempt) -> None:
        assert attempt.at is not None
        at = max(self._instant(), attempt.at + timedelta(microseconds=1))
        name = f"{attempt.call}-not_placed"
        keys, call = attempt.keys, attempt.call
        self.record(AttemptCancelled(id=name, at=at, on=attempt.on, keys=keys, call=call))

    def _judge(self, keys: Keys | None, instant: datetime) -> Judged:
        doubt = self.replica.doubt(self._world.now(self.clock_error))
        rows, at = self._rows(keys), instant.timestamp()
        return judge(RULEBOOK, TERMS, PLACES, SHOWN, rows, at, doubt=doubt)

    def _cap(self, keys: Keys, instant: datetime) -> Cap | None:
        rows, at = self._rows(keys), instant.timestamp()
        return cap_of(RULEBOOK, TERMS, PLACES, SHOWN, rows, at, margin=self._margin)

    def _rows(self, keys: Keys | None) -> tuple[Facts, tuple[Facts, ...]]:
        assert keys is not None
        some = [key for key in (keys.number, keys.consumer) if key is not None]
        return CUSTOMER, tuple(map(self.replica.restraint, some))

    def _instant(self) -> datetime:
        """Read the calendar, which this machine's clock is a little ahead of or behind."""
        passed = max(0.0, self._world.time + self.clock_error)
        whole, part = divmod(passed, DAY)
        return MONDAY + timedelta(days=whole) + HOURS * (part / DAY)


class Dialling:
    """A run of one seed: *gates* of them, each with the same *margin*."""

    def __init__(
        self, seed: int, folder: Path, *, gates: int = 50, margin: int = 4, most: int = 4
    ) -> None:
        self.world = world = World(seed)
        self.random = world.random
        self.broker = Broker(world)
        self.ledger = Ledger(world, self.broker, folder)
        self.calls = Calls(most)
        self.gates = [
            Dialler(f"gate-{n}", world, self.broker, self.calls, margin) for n in range(gates)
        ]
        # The last two numbers are of one consumer, who is one person to the law.
        self.people = [(0, Keys(number=11)), (1, Keys(number=12))]
        self.people += [(2, Keys(number=number, consumer=99)) for number in (13, 14)]
        self.rate = self.random.choice((2, 8, 30))
        """Calls asked for in a step."""
        intensity = self.random.choice((0.0, 1.0, 1.0, 5.0))
        self._troubles: list[tuple[float, Callable[[], None]]] = [
            (0.0004 * intensity * gates, self._crash_gate),
            (0.001 * intensity * gates, self._cut_off_gate),
            (0.005 * intensity, self._crash_ledger),
        ]

    def run(self, days: int = DAYS, *, well: bool = False) -> None:
        """Dial through all days. AssertionError when a call is one too many.

        *well*: nothing goes wrong but that gates do not know of each other at once.
        """
        troubles = [] if well else self._troubles
        self.ledger.start()
        for gate in self.gates:
            gate.clock_error = self.random.uniform(-0.2, 0.2)
            gate.start()
        self.world.run(READY)
        self.broker.faults = Faults() if well else self._faults()
        self._all_at_once()  # all are ready, and nobody has heard of anybody
        for step in range(round(READY / STEP), round(days * DAY / STEP)):
            self.world.run(step * STEP)
            if self.world.chance(0.1):
                self._all_at_once()
            for _ in range(self.rate):
                self.random.choice(self.gates).dial(*self.random.choice(self.people))
            for probability, act in troubles:
                if self.world.chance(probability):
                    act()
        self.ledger.crash()

    def _faults(self) -> Faults:
        random = self.random
        return Faults(
            lost=random.choice((0.0, 0.02, 0.1)),
            twice=random.choice((0.0, 0.1, 0.3)),
            late=random.choice((0.0, 0.1, 0.5)),
            lateness=random.choice((0.05, 0.5, 1.0)),
            replayed=random.choice((0.0, 0.02, 0.1)),
        )

    def _all_at_once(self) -> None:
        person = self.random.choice(self.people)
        for gate in self.random.sample(self.gates, len(self.gates)):
            gate.dial(*person)

    def _crash_gate(self) -> None:
        gate = self.random.choice(self.gates)
        gate.crash()
        self.world.after(self.random.choice((0.0, 1.0, 5.0)), gate.start_again)

    def _cut_off_gate(self) -> None:
        gate = self.random.choice(self.gates)
        gate.disconnect()
        self.world.after(self.random.choice((0.0, 1.0, 10.0)), gate.connect)

    def _crash_ledger(self) -> None:
        self.ledger.crash()
        self.world.after(self.random.choice((0.0, 1.0, 3.0)), self.ledger.start_again)

    @property
    def answers(self) -> Counter[Reason]:
        return sum((gate.answers for gate in self.gates), Counter[Reason]())

    @property
    def exhausted(self) -> int:
        return sum(gate.exhausted for gate in self.gates)
