"""Conformance vectors: a small world and cases, decided by the whole path of the product.

Events are sealed, folded into rows and packed, the rows unpacked and handed to the rules: what a
call meets in a gate, without the network.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from ringfence.call import Call
from ringfence.campaign import Campaign, Text, sound_texts
from ringfence.decision import Decision, Reason, Verdict
from ringfence.event import AnyEvent, Event
from ringfence.fold import fold_ground, fold_restraint
from ringfence.number import InvalidNumber, Keyring, key, parse
from ringfence.row import NO_FACTS
from ringfence.rules import france
from ringfence.rules.rulebook import Interpretation, Rulebook, Terms, decide

__all__ = ["FORMAT", "Result", "World", "read", "run", "wrong_keys"]

FORMAT = 1

Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    verdict: Verdict
    reason: Reason
    retry_at: Instant | msgspec.UnsetType | None = msgspec.UNSET


class VectorCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    campaign: str
    to: str
    caller_id: str | None = None
    consumer: str | None = None
    zone: str | None = None
    department: str | None = None
    id: str = "call"
    reference: str = ""


class VectorCase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    now: Instant
    call: VectorCall
    events: list[AnyEvent] = []
    expect: Expected | None = None


class Principal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    secret: str
    texts: dict[str, Text] = {}


class KeyVector(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    principal: str
    message: str
    key: int


class World(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: who calls, how, and the cases."""

    format: int
    principals: dict[str, Principal]
    campaigns: dict[str, Campaign]
    cases: list[VectorCase]
    interpretation: Interpretation = Interpretation.CONSERVATIVE
    keys: list[KeyVector] = []

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            msg = f"these vectors have format {self.format}; this version reads {FORMAT}"
            raise ValueError(msg)
        for name, principal in self.principals.items():
            try:
                bytes.fromhex(principal.secret)
            except ValueError as error:
                msg = f"the secret of {name} is not hexadecimal"
                raise ValueError(msg) from error
        for name, campaign in self.campaigns.items():
            if campaign.principal not in self.principals:
                msg = f"campaign {name}: no principal is called {campaign.principal!r}"
                raise ValueError(msg)


class Result(msgspec.Struct, frozen=True):
    """What was decided in one case; `met` says whether that was expected (None: nothing was)."""

    name: str
    decision: Decision
    met: bool | None

    def line(self) -> dict[str, str | None]:
        at = self.decision.retry_at
        return {
            "name": self.name,
            "verdict": self.decision.verdict.value,
            "reason": self.decision.reason.value,
            "retry_at": None
            if at is None
            else at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        }


def read(data: bytes) -> World:
    """Read a file of vectors. Raises `msgspec.ValidationError`, which names value and place."""
    return msgspec.json.decode(data, type=World)


def wrong_keys(world: World) -> Iterator[str]:
    """Say of which messages the key is not the one the file gives."""
    for vector in world.keys:
        if vector.principal not in world.principals:
            msg = f"the key of {vector.message!r}: no principal is called {vector.principal!r}"
            raise ValueError(msg)
        made = key(bytes.fromhex(world.principals[vector.principal].secret), vector.message)
        if made != vector.key:
            yield f"key of {vector.message!r} for {vector.principal}: {made}, not {vector.key}"


def run(world: World) -> Iterator[Result]:
    """Decide every case. Raises `ValueError` for a case that cannot be, and names it."""
    rulebook = france.rulebook(world.interpretation)
    for case in world.cases:
        try:
            decision = _decide(world, rulebook, case)
        except (ValueError, OverflowError) as error:
            msg = f"case {case.name!r}: {error}"
            raise ValueError(msg) from error
        yield Result(case.name, decision, _met(case.expect, decision))


def _met(expect: Expected | None, decision: Decision) -> bool | None:
    if expect is None:
        return None
    if (expect.verdict, expect.reason) != (decision.verdict, decision.reason):
        return False
    return expect.retry_at is msgspec.UNSET or expect.retry_at == decision.retry_at


def _decide(world: World, rulebook: Rulebook, case: VectorCase) -> Decision:
    call = Call(**msgspec.structs.asdict(case.call))
    campaign = world.campaigns.get(call.campaign)
    if campaign is None:
        return decide(rulebook, None, call, NO_FACTS, (), case.now)
    principal = world.principals[campaign.principal]
    index = {name: n for n, name in enumerate(principal.texts, start=1)}
    terms = Terms.of(campaign, sound_texts(campaign, principal.texts, index))
    try:
        number = parse(call.to)
    except InvalidNumber:
        return decide(rulebook, terms, call, NO_FACTS, (), case.now)
    known = list(_sealed(world, case, call, campaign))
    keyring = Keyring(bytes.fromhex(principal.secret))
    ground = fold_ground(
        _of(known, campaign.principal, keyring.purpose(number.e164, campaign.purpose)), index
    )
    persons = [keyring.number(number.e164)]
    if call.consumer:
        persons.append(keyring.consumer(call.consumer))
    restraints = [fold_restraint(_of(known, campaign.principal, person)) for person in persons]
    return decide(rulebook, terms, call, ground.pack(), [r.pack() for r in restraints], case.now)


def _of(events: Iterable[Event], principal: str, filed: int) -> list[Event]:
    return [
        event
        for event in events
        if event.principal == principal
        and event.keys is not None
        and filed in (event.keys.number, event.keys.purpose, event.keys.consumer)
    ]


def _sealed(world: World, case: VectorCase, call: Call, campaign: Campaign) -> Iterator[Event]:
    for event in case.events:
        if event.at is None:
            msg = f"{event.kind} without `at`"
            raise ValueError(msg)
        if event.at > case.now:
            continue
        whole = msgspec.structs.replace(
            event,
            to=event.to or call.to,
            principal=event.principal or campaign.principal,
            purpose=event.purpose or campaign.purpose,
        )
        dialled = parse(call.to)
        own = parse(whole.to or "").e164 == dialled.e164
        known = call.territories(dialled) if own else ()
        keyring = Keyring(bytes.fromhex(_principal(world, whole).secret))
        yield whole.sealed(keyring, case.now, known)


def _principal(world: World, event: Event) -> Principal:
    name = event.principal or ""
    if name not in world.principals:
        msg = f"no principal is called {name!r}"
        raise ValueError(msg)
    return world.principals[name]
