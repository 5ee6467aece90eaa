"""Ask the gate for Asterisk: one connection a question, one task a connection.

Two scripts, by the path of the ``agi://`` address in the dialplan:

``ringfence``, with number, campaign, reference, caller id (else the channel's), then any of
``consumer=``, ``department=``, ``zone=``: answers by setting the channel's RINGFENCE_ variables.

``ringfence-outcome``, with attempt, DIALSTATUS, HANGUPCAUSE, disposition, number, campaign: closes
the permit; number and campaign keep a refusal from being lost with a gate that was restarted.

Whatever goes wrong, the connection is closed without a verdict, and the dialplan places a call
on nothing but ALLOW.
"""

import logging
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

import anyio
from anyio.abc import SocketAttribute, SocketStream

from ringfence.call import Call, Outcome
from ringfence.decision import Decision
from ringfence_adapters.agi.outcome import outcomes
from ringfence_adapters.agi.protocol import (
    Closed,
    Connection,
    Event,
    Hangup,
    Reply,
    Start,
    assign,
)
from ringfence_adapters.wire import ProtocolError

__all__ = ["Gate", "Permit", "serve"]

logger = logging.getLogger(__name__)

# The dialplan guards itself after 2 s. To close before that tells it sooner.
DEADLINE = 1.5

# An outcome comes from a channel that has hung up and holds no trunk. It may be a refusal, so it
# waits longer for a slow disk than a call does, which can be placed later.
OUTCOME_DEADLINE = 10.0

# To give an attempt back when the time is up already.
GRACE = 1.0

# A gate takes far less than a millisecond. So many at once are a flood, or a gate that hangs.
MAX_CONNECTIONS = 256

NAMED = frozenset({"consumer", "department", "zone"})


class Permit(Protocol):
    """What this adapter needs of a permit."""

    @property
    def id(self) -> str: ...

    @property
    def decision(self) -> Decision: ...

    def __bool__(self) -> bool: ...

    async def close(self, outcome: Outcome, /) -> None: ...


class Gate(Protocol):
    """What this adapter needs of a gate."""

    async def admit(self, call: Call, /) -> Permit: ...

    async def settle(
        self, call_id: str, outcome: Outcome, /, *, call: Call | None = None
    ) -> bool: ...


class DialplanError(Exception):
    """The dialplan asked in a way that has no answer."""


def ignore(_port: int) -> None:
    """Tell nobody."""


async def serve(
    gate: Gate,
    host: str,
    port: int,
    *,
    ready: Callable[[int], object] = ignore,
    deadline: float = DEADLINE,
    dispositions: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Answer Asterisk until cancelled; tell `ready` the port that was bound.

    Args:
        gate: who decides.
        host: the interface to listen on; FastAGI knows no password, so a loopback one.
        port: 0 for any that is free.
        ready: called once, when connections are accepted.
        deadline: seconds for one dialogue; less than the guard of the dialplan.
        dispositions: words of this dialer, each to the name of an outcome.

    Raises:
        ValueError: a disposition names an outcome that does not exist.
    """
    desk = _Desk(gate, deadline, outcomes(dispositions))
    async with await anyio.create_tcp_listener(local_host=host, local_port=port) as listener:
        ready(listener.extra(SocketAttribute.local_port))  # noqa: S610 (no Django here)
        await listener.serve(desk.attend)


class _Dialogue:
    """One connection: events in, commands out."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._connection = Connection()

    async def event(self) -> Event:
        while (event := self._connection.next_event()) is None:
            try:
                data = await self._stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                data = b""
            self._connection.feed(data)
        return event

    async def run(self, line: bytes) -> Event:
        """Have a command carried out; give what comes first, its reply, a hang-up or the end."""
        await self._stream.send(line)
        return await self.event()


class _Desk:
    """Where all connections are attended."""

    def __init__(self, gate: Gate, deadline: float, table: Mapping[str, Outcome]) -> None:
        self._gate = gate
        self._deadline = deadline
        self._outcomes = table
        self._open = 0

    async def attend(self, stream: SocketStream) -> None:
        """Serve one connection. Whatever happens to it, it ends closed, and no other suffers."""
        async with stream:
            if self._open >= MAX_CONNECTIONS:
                logger.error("%d dialogues are open already: one more gets no verdict", self._open)
                return
            self._open += 1
            try:
                await self._converse(_Dialogue(stream))
            except ProtocolError as error:
                logger.warning("not FastAGI: %s", error)
            except DialplanError as error:
                logger.error("the dialplan got no answer: %s", error)  # noqa: TRY400 (its fault)
            except (TimeoutError, anyio.BrokenResourceError) as error:
                logger.warning("a dialogue was cut: %r", error)
            except Exception:
                # The gate failed this call. It may well answer the next, and a server that ends
                # here would refuse all of them.
                logger.exception("the gate failed: one dialogue ends without a verdict")
            finally:
                self._open -= 1

    async def _converse(self, dialogue: _Dialogue) -> None:
        with anyio.fail_after(self._deadline) as scope:
            start = await dialogue.event()
            if not isinstance(start, Start):
                return  # closed before it said anything: somebody looks whether we are here
            match start.script:
                case "ringfence":
                    await self._answer(dialogue, _call(start))
                case "ringfence-outcome":
                    scope.deadline = anyio.current_time() + OUTCOME_DEADLINE
                    await self._settle(*_pad(start.arguments[:6], 6))
                case other:
                    msg = f"no script is called {other!r}; there are ringfence, ringfence-outcome"
                    raise DialplanError(msg)

    async def _answer(self, dialogue: _Dialogue, call: Call) -> None:
        try:
            permit = await self._gate.admit(call)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(GRACE, shield=True):
                await self._gate.settle(call.id, Outcome.NOT_PLACED)
            raise
        event = await dialogue.run(assign(_variables(permit)))
        if not permit:
            return
        if isinstance(event, Hangup) or (isinstance(event, Reply) and event.refused):
            # The channel is dead, or does not know of the ALLOW: no Dial follows.
            await permit.close(Outcome.NOT_PLACED)
        elif isinstance(event, Closed):
            logger.warning("attempt %s counts: it may have been placed", permit.id)

    async def _settle(
        self, attempt: str, status: str, cause: str, disposition: str, number: str, campaign: str
    ) -> None:
        word = disposition or status
        if word not in self._outcomes:
            msg = (
                f"attempt {attempt!r} ended as {word!r} (DIALSTATUS {status!r}, cause {cause!r}), "
                "which no disposition explains; it counts, add the word to `dispositions`"
            )
            raise DialplanError(msg)
        call = Call(to=number, campaign=campaign) if number and campaign else None
        if not await self._gate.settle(attempt, self._outcomes[word], call=call):
            logger.warning("attempt %r is not known here; it stays as it was counted", attempt)


def _variables(permit: Permit) -> dict[str, str]:
    """Say a decision in channel variables; the verdict comes last."""
    decision = permit.decision
    at = decision.retry_at
    return {
        "RINGFENCE_REASON": decision.reason.value,
        "RINGFENCE_RETRY_AT": "" if at is None else str(math.ceil(at.timestamp())),
        "RINGFENCE_ATTEMPT": permit.id if permit else "",
        "RINGFENCE_VERDICT": decision.verdict.name,
    }


def _call(start: Start) -> Call:
    number, campaign, reference, caller_id, *named = _pad(start.arguments, 4)
    if not number or not campaign:
        # DENY would be wrong: a variable that was not set must not strike a list of leads.
        msg = "it passed no " + ("campaign" if number else "number")
        raise DialplanError(msg)
    details = _named(named)
    try:
        return Call(
            to=number,
            campaign=campaign,
            caller_id=caller_id or _caller_id(start),
            reference=reference or start.variables.get("agi_uniqueid", ""),
            **details,
        )
    except ValueError as error:
        raise DialplanError(str(error)) from error


def _caller_id(start: Start) -> str | None:
    number = start.variables.get("agi_callerid", "unknown")
    return None if number == "unknown" else number


def _named(arguments: list[str]) -> dict[str, str]:
    """Read ``name=value``; an empty value is one that the dialer does not know."""
    details: dict[str, str] = {}
    for place, argument in enumerate(arguments, start=5):
        name, equals, value = argument.partition("=")
        if not equals or name not in NAMED:
            msg = f"argument {place} is none of " + ", ".join(f"{name}=" for name in sorted(NAMED))
            raise DialplanError(msg)
        if value:
            details[name] = value
    return details


def _pad(arguments: tuple[str, ...], count: int) -> list[str]:
    return [*arguments, *[""] * (count - len(arguments))]
