"""The link to an MQTT broker: connects, delivers, publishes, and never gives up.

It knows neither principals nor payloads, and promises little: a message may come late, twice, out
of order or not at all, and one that was confirmed may be lost in the broker.  What it does promise
is to say in which state it is, and not to hold the event loop.
"""

import asyncio
import math
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any, NoReturn, Self

import aiomqtt
import anyio
import anyio.abc
import anyio.lowlevel
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.reasoncodes import ReasonCode

from ringfence.link import Broker, LinkDown, LinkState, Message, Phase
from ringfence.wire import MAX_MESSAGE

__all__ = ["Link"]

FILTERS = 8  # in one SUBSCRIBE: AWS IoT takes no more
SLICE = 0.002  # seconds of work before others may run: a dialer asks in between
IN_FLIGHT = 20  # without a limit some brokers confirm and then drop, when a reader is slow
PARTING = 1.0  # seconds for a goodbye, or for the thread that is still opening a socket
NO_DELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else small packets may wait 40 ms

# Codes of MQTT 5, into which paho translates those of 3.1.1.  From 128 on they are failures; 128
# is all it says of a connection that just ends.  Then: server unavailable, server busy.
FAILED = 128
PASSING = (136, 137)
LOST = "connection lost"


class Link:
    """A connection to a broker that is made again whenever it is lost.

    Sessions are clean: what was published while the link was down is not delivered.
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        *,
        subscriptions: Sequence[str],
        will: Message | None = None,
        random: Random,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._broker = broker
        self._client_id = client_id
        self._subscriptions = tuple(subscriptions)
        self._will = will
        self._random = random
        self._clock = clock
        self._inbox = _Inbox(broker.max_inbound)
        self._up: _Client | None = None
        self._window = anyio.Semaphore(IN_FLIGHT)
        self._publishing: set[anyio.CancelScope] = set()
        self._unanswered = 0
        self.state = LinkState(Phase.CONNECTING, "", clock())

    @property
    def dropped(self) -> int:
        """How many messages came and were not delivered: the inbox was full, or they too long."""
        return self._inbox.dropped

    async def run(
        self,
        on_message: Callable[[Message], None],
        on_state: Callable[[LinkState], None],
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> NoReturn:
        """Keep the link until cancelled; says goodbye to the broker then, for a second at most.

        Both callbacks are called on the loop.  `on_message` should take less than 2 ms; what either
        raises ends the link.
        """
        on_state(self.state)
        task_status.started()
        backoff = self._broker.backoff
        ceiling = backoff.first
        while True:
            try:
                await self._connection(on_message, on_state)
            except aiomqtt.MqttError as error:
                # A broker may take us in and throw us out at once, say for another of our name.
                lasted = self._clock() - self.state.since
                if self.state.phase is Phase.UP and lasted > backoff.longest:
                    ceiling = backoff.first
                self._become(_phase(error), f"{self._broker}: {_reason(error)}", on_state)
            refused = self.state.phase is Phase.REFUSED
            ceiling = min(ceiling, backoff.refused if refused else backoff.longest)
            await anyio.sleep(self._random.uniform(0, ceiling))
            ceiling *= 2

    async def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, timeout: float = 5.0
    ) -> None:
        """Send a message and wait until the broker confirms it.

        Raises LinkDown if it does not, at once when the link is down or goes down.
        """
        if len(payload) > MAX_MESSAGE:
            msg = f"{topic}: {len(payload)} bytes, {MAX_MESSAGE} fit in a message; send it in parts"
            raise ValueError(msg)
        client = self._up
        if client is None:
            msg = f"{topic} was not published, the link is {self.state}"
            raise LinkDown(msg)
        with anyio.move_on_after(timeout) as scope:
            self._publishing.add(scope)
            try:
                async with self._window:
                    await client.publish(topic, payload, qos=1, retain=retain, timeout=math.inf)
            except aiomqtt.MqttError as error:
                msg = f"{topic} was not published to {self._broker}: {error}"
                raise LinkDown(msg) from error
            finally:
                self._publishing.discard(scope)
            self._unanswered = 0
            return
        why = f"within {timeout} s" if client is self._up else LOST
        self._count_unanswered(client)
        msg = f"{topic} was not confirmed by {self._broker}: {why}"
        raise LinkDown(msg)

    async def _connection(
        self, on_message: Callable[[Message], None], on_state: Callable[[LinkState], None]
    ) -> None:
        """Hold one connection until it is lost; then raise why."""
        async with _Client(self._broker, self._client_id, self._will, self._inbox) as client:
            await self._subscribe(client)
            self._up = client
            self._unanswered = 0
            self._become(Phase.UP, "", on_state)
            try:
                async for message in client.messages:
                    await self._deliver(message, on_message)
            finally:
                self._up = None
                for scope in self._publishing:
                    scope.cancel()

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        for start in range(0, len(self._subscriptions), FILTERS):
            filters = self._subscriptions[start : start + FILTERS]
            answer = await client.subscribe([(name, 1) for name in filters])
            codes = [code if isinstance(code, int) else code.value for code in answer]
            refused = [name for name, code in zip(filters, codes, strict=True) if code >= FAILED]
            if refused:
                msg = f"subscription refused: {', '.join(refused)}"
                raise _RefusedError(msg)

    async def _deliver(self, first: aiomqtt.Message, on_message: Callable[[Message], None]) -> None:
        """Deliver *first* and what has come behind it, a slice of time in each turn of the loop."""
        now = self._clock()
        until = now + SLICE
        on_message(_message(first))
        while not self._inbox.empty():
            before, now = now, self._clock()
            if now + (now - before) > until:  # the next may cost as much as the last
                await anyio.lowlevel.checkpoint()
                now = self._clock()
                until = now + SLICE
            on_message(_message(self._inbox.get_nowait()))

    def _count_unanswered(self, client: "_Client") -> None:
        # One may be slow; a whole window of them in a row is a broker that takes and does not
        # answer.  The connection looks alive, and nothing would ever get through.
        self._unanswered += 1
        if self._unanswered >= IN_FLIGHT:
            client.fail(f"{self._unanswered} messages in a row were not confirmed")

    def _become(self, phase: Phase, reason: str, on_state: Callable[[LinkState], None]) -> None:
        since = self.state.since if phase is self.state.phase else self._clock()
        state = LinkState(phase, reason, since)
        if state != self.state:
            self.state = state
            on_state(state)


class _RefusedError(aiomqtt.MqttError):
    """The broker answered, and not what was asked for."""


def _phase(error: Exception) -> Phase:
    """Tell a login or subscription that needs a person from a failure that needs patience."""
    if isinstance(error, MqttConnectError):
        code = error.rc.value if isinstance(error.rc, ReasonCode) else error.rc
        return Phase.DOWN if code in PASSING else Phase.REFUSED
    return Phase.REFUSED if isinstance(error, _RefusedError) else Phase.DOWN


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error
    if isinstance(cause, aiomqtt.MqttCodeError) and isinstance(cause.rc, ReasonCode):
        return LOST if cause.rc.value == FAILED else str(cause.rc)
    return str(cause)


def _message(message: aiomqtt.Message) -> Message:
    return Message(message.topic.value, message.payload, message.retain)


class _Inbox(asyncio.Queue[aiomqtt.Message]):
    """What has come and is not yet delivered."""

    def __init__(self, maxsize: int) -> None:
        super().__init__(maxsize)
        self.dropped = 0

    def put_nowait(self, item: aiomqtt.Message) -> None:
        """Drop what does not fit; aiomqtt would log a line for each."""
        if self.full() or len(item.payload) > MAX_MESSAGE:
            self.dropped += 1
        else:
            super().put_nowait(item)


class _Client(aiomqtt.Client):
    """One connection: aiomqtt's, with what it lacks.

    That is our inbox, limits of time below MQTT, silence, and an end: aiomqtt leaves sockets, tasks
    and a thread behind when a connection is cancelled or not answered.
    """

    def __init__(self, broker: Broker, client_id: str, will: Message | None, inbox: _Inbox) -> None:
        super().__init__(
            broker.host,
            broker.port,
            username=broker.username,
            password=broker.password,
            identifier=client_id,
            clean_session=True,
            will=aiomqtt.Will(will.topic, will.payload, 1, will.retained) if will else None,
            timeout=broker.connect_timeout,
            keepalive=broker.keepalive,
            max_inflight_messages=0,  # the link has a window, and one that forgets what timed out
            socket_options=[NO_DELAY],
        )
        self.pending_calls_threshold = 2 * IN_FLIGHT
        self._queue = inbox
        self._client.connect_timeout = broker.connect_timeout
        self._client.disable_logger()
        self._broker = broker
        self._opening = False
        self._opened = asyncio.Event()

    async def __aenter__(self) -> Self:
        lost = self._disconnected
        try:
            await super().__aenter__()
        except BaseException:
            # The thread may be about to hand its socket to the loop: let it, then close it.
            with anyio.move_on_after(PARTING, shield=True):
                if self._opening:
                    await self._opened.wait()
            self._close()
            raise
        if lost.done():  # right behind the answer to the login: aiomqtt would forget it
            self._close()
            raise aiomqtt.MqttError(LOST) from lost.exception()
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.move_on_after(PARTING, shield=True), suppress(aiomqtt.MqttError):
            await super().__aexit__(None, None, None)
        self._close()

    def fail(self, reason: str) -> None:
        """End the connection as if it had been lost."""
        if not self._disconnected.done():
            self._disconnected.set_exception(aiomqtt.MqttError(reason))

    def _client_connect(self) -> None:
        self._opening = True
        try:
            if self._broker.tls:
                self._client.tls_set_context(_tls(self._broker))
            super()._client_connect()
        finally:
            self._loop.call_soon_threadsafe(self._opened.set)

    def _on_disconnect(self, *told: Any) -> None:  # noqa: ANN401 - passed on unread
        # aiomqtt would wait for the answer to a login or a subscription until its time is over.
        awaited: list[asyncio.Future[Any]]  # Any: nothing but the failure is put into them
        awaited = [self._connected, *self._pending_subscribes.values()]
        for answer in awaited:
            if not answer.done():
                answer.set_exception(aiomqtt.MqttError(LOST))
        super()._on_disconnect(*told)

    def _on_socket_register_write(self, *told: Any) -> None:  # noqa: ANN401 - passed on unread
        # Outside the thread aiomqtt has no reason to do this a turn later, when the socket may be
        # closed and its number another's, whose writer would then never be removed.
        if not self._opened.is_set():
            super()._on_socket_register_write(*told)
        elif (sock := self._client.socket()) is not None:
            self._loop.add_writer(sock.fileno(), self._client.loop_write)

    def _close(self) -> None:
        # Closes the socket, and forgets the callbacks: should a thread still be opening another, it
        # opens it for nobody and closes it when it is done.
        self._client.reinitialise()


def _tls(broker: Broker) -> ssl.SSLContext:
    files = (broker.cafile, broker.certfile, broker.keyfile)
    for path in filter(None, files):
        Path(path).open("rb").close()  # ssl's own error would not name the file
    context = ssl.create_default_context(cafile=broker.cafile)
    context.sslsocket_class = _TLSSocket
    if broker.certfile:
        context.load_cert_chain(broker.certfile, broker.keyfile)
    return context


class _TLSSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho forgets to."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - ssl's signature
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise
