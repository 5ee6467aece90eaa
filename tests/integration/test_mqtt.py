"""The link against real brokers, and against scripted ones for what a real one seldom does."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from socket import socket
from typing import Literal

import anyio
import anyio.lowlevel
import msgspec
import pytest
from tests.integration.conftest import (
    CONNECT,
    PUBLISH,
    SUBSCRIBE,
    Script,
    but,
    connack,
    kept,
    link_to,
    puback,
    publish,
    running,
    silence,
    suback,
    up,
)

import ringfence.mqtt
from ringfence.broker import LocalBroker, start_broker
from ringfence.link import Backoff, Broker, LinkDown, Message, Phase
from ringfence.mqtt import Link
from ringfence.wire import MAX_MESSAGE

# Valid for 127.0.0.1 from 2020 to 2120, and its own authority.
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBeDCCAR+gAwIBAgIUPH4yhpZBcsVthRy/rbMu8cdyyoIwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOcmluZ2ZlbmNlIHRlc3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEy
MDAxMDEwMDAwMDBaMBkxFzAVBgNVBAMMDnJpbmdmZW5jZSB0ZXN0MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEo/LezYxzGBx1axgmvcjwupKFHNIUTlV4o724BotA
Pp+7csNZ9Y8q60SIlseFuH+0ZLqoxH/hzHbHVvcqPZFXnKNDMEEwDwYDVR0TAQH/
BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMB0GA1UdDgQWBBRw6AHTcA7TpSfFuRTU
YN8ClpVYoDAKBggqhkjOPQQDAgNHADBEAiBtdAhHiD3hMHUHnQMDcoXykYhkkzEF
fRNfoa+H7VoJDQIgZ5jxVBwf23ttXJnrRmsMsiMX767pq+DZZEDfOwF+tVE=
-----END CERTIFICATE-----
"""
KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgBXoHyxHMkUj86Xdc
tyDbJP9Qi6mY5n/ttxM7GPY6IQShRANCAASj8t7NjHMYHHVrGCa9yPC6koUc0hRO
VXijvbgGi0A+n7tyw1n1jyrrRIiWx4W4f7RkuqjEf+HMdsdW9yo9kVec
-----END PRIVATE KEY-----
"""


class Ceilings(Random):
    """Never waits, and notes how long it could have waited."""

    def __init__(self, enough: int) -> None:
        super().__init__(1)
        self.seen: list[float] = []
        self.reached = asyncio.Event()
        self._enough = enough

    def uniform(self, a: float, b: float) -> float:
        self.seen.append(b)
        if len(self.seen) == self._enough:
            self.reached.set()
        return a


async def ceilings(broker: Broker, number: int) -> list[float]:
    random = Ceilings(number)
    link = Link(broker, "gate-1", subscriptions=["a"], random=random)
    async with running(link):
        with anyio.fail_after(10):
            await random.reached.wait()
    return random.seen[:number]


async def test_what_one_link_publishes_another_receives(any_broker: LocalBroker) -> None:
    sender = link_to(any_broker.broker, name="sender")
    async with up(link_to(any_broker.broker, "a/+")) as ear, up(sender):
        await sender.publish("a/b", b"\x00\xff")

        assert await ear.received(1) == [Message("a/b", b"\x00\xff")]


async def test_what_the_broker_kept_says_so(any_broker: LocalBroker) -> None:
    sender = link_to(any_broker.broker, name="sender")
    async with up(sender):
        await sender.publish("a", b"kept", retain=True)

        assert await kept(any_broker.broker, "a") == Message("a", b"kept", retained=True)


async def test_more_subscriptions_than_a_packet_holds_are_all_served(
    any_broker: LocalBroker,
) -> None:
    topics = [f"a/{number}" for number in range(70)]
    link = link_to(any_broker.broker, *topics)
    async with up(link) as ear:
        for topic in topics:
            await link.publish(topic, b"")

        assert {message.topic for message in await ear.received(70)} == set(topics)


async def test_subscriptions_ask_for_confirmed_delivery() -> None:
    asked: list[bytes] = []
    script = Script()

    def grant(body: bytes) -> bytes:
        asked.append(body[2:])
        return suback(body, 1)

    script.answers[SUBSCRIBE] = grant
    async with script.listening() as broker, up(link_to(broker, "a")):
        pass

    assert asked == [b"\x00\x01a\x01"]


async def test_a_burst_larger_than_the_inbox_arrives_whole_and_in_order() -> None:
    script = Script()
    numbers = [str(number).encode() for number in range(5000)]
    script.answers[SUBSCRIBE] = lambda body: (
        suback(body, 1) + b"".join(publish("a", number) for number in numbers)
    )
    async with script.listening() as broker:
        link = link_to(but(broker, max_inbound=100), "a")
        async with up(link) as ear:
            received = await ear.received(len(numbers))

    assert [message.payload for message in received] == numbers
    assert link.dropped == 0


async def test_what_does_not_fit_the_inbox_is_dropped_and_counted() -> None:
    script = Script()
    # Nothing is delivered before the subscription is granted.
    script.answers[SUBSCRIBE] = lambda body: (
        b"".join(publish("a", bytes([number])) for number in range(10)) + suback(body, 1)
    )
    async with script.listening() as broker:
        link = link_to(but(broker, max_inbound=4), "a")
        async with up(link) as ear:
            received = await ear.received(4)

    assert [message.payload for message in received] == [b"\0", b"\1", b"\2", b"\3"]
    assert link.dropped == 6


async def test_a_message_too_long_for_us_is_dropped_and_counted() -> None:
    script = Script()
    script.answers[SUBSCRIBE] = lambda body: (
        suback(body, 1) + publish("a", bytes(MAX_MESSAGE + 1)) + publish("a", bytes(MAX_MESSAGE))
    )
    async with script.listening() as broker:
        link = link_to(broker, "a")
        async with up(link) as ear:
            received = await ear.received(1)

    assert [len(message.payload) for message in received] == [MAX_MESSAGE]
    assert link.dropped == 1


@pytest.mark.parametrize(("cost", "turns_taken"), [(0.0, 1), (0.0005, 2), (0.001, 4), (0.0015, 8)])
async def test_a_turn_of_the_loop_delivers_for_two_milliseconds(
    cost: float, turns_taken: int
) -> None:
    now = 0.0
    turn = 0
    turns = []
    granted = asyncio.Event()

    def slow(_: Message) -> None:
        nonlocal now
        now += cost
        turns.append(turn)

    def grant(body: bytes) -> bytes:
        granted.set()
        return publish("a", b"") * 8 + suback(body, 1)

    async def count_turns() -> None:
        nonlocal turn
        await granted.wait()  # a loop that never rests starves the thread that connects
        while len(turns) < 8:
            turn += 1
            await anyio.lowlevel.checkpoint()

    script = Script()
    script.answers[SUBSCRIBE] = grant
    async with script.listening() as broker, anyio.create_task_group() as tasks:
        link = Link(broker, "gate-1", subscriptions=["a"], clock=lambda: now, random=Random(1))
        tasks.start_soon(partial(link.run, slow, lambda _: None), name="link")
        with anyio.fail_after(10):
            await count_turns()
        tasks.cancel_scope.cancel()

    assert len(set(turns)) == turns_taken


async def test_a_link_subscribes_again_when_its_broker_returns(any_broker: LocalBroker) -> None:
    link = link_to(any_broker.broker, "a")
    async with up(link) as ear:
        await any_broker.kill()
        lost = await ear.phase(Phase.DOWN)
        await any_broker.restart()
        await ear.phase(Phase.UP)
        await link.publish("a", b"again")

        assert await ear.received(1) == [Message("a", b"again")]
        assert str(any_broker.broker) in lost.reason


async def test_an_absent_broker_is_tried_until_it_is_there(nobody: Broker, tmp_path: Path) -> None:
    link = link_to(nobody, "a")
    async with running(link) as ear:
        down = await ear.phase(Phase.DOWN)
        started = ear.states[0]
        async with start_broker(tmp_path, kind="nats", port=nobody.port):
            await ear.phase(Phase.UP)

    assert started.phase is Phase.CONNECTING
    assert "refused" in down.reason


async def test_a_long_failure_keeps_its_beginning(nobody: Broker) -> None:
    random = Ceilings(5)
    link = Link(nobody, "gate-1", subscriptions=["a"], random=random)
    async with running(link) as ear:
        await random.reached.wait()

    assert [state.phase for state in ear.states] == [Phase.CONNECTING, Phase.DOWN]
    assert link.state == ear.states[-1]


async def test_the_ceiling_of_the_wait_doubles_up_to_its_limit(nobody: Broker) -> None:
    backoff = Backoff(first=1, longest=5)

    assert await ceilings(but(nobody, backoff=backoff), 5) == [1, 2, 4, 5, 5]


async def test_a_refused_login_waits_longer() -> None:
    script = Script()
    script.answers[CONNECT] = lambda _: connack(5)
    async with script.listening() as broker:
        backoff = Backoff(first=1, longest=2, refused=6)
        seen = await ceilings(but(broker, backoff=backoff), 5)

    assert seen == [1, 2, 4, 6, 6]


async def test_a_broker_that_takes_in_and_throws_out_is_tried_ever_more_slowly() -> None:
    script = Script()
    script.hangs_up_after.add(SUBSCRIBE)
    async with script.listening() as broker:
        backoff = Backoff(first=1, longest=4)
        seen = await ceilings(but(broker, backoff=backoff), 4)

    assert seen == [1, 2, 4, 4]


async def test_a_connection_that_held_is_made_again_soon() -> None:
    now = 0.0
    random = Ceilings(3)
    script = Script()
    script.hangs_up_after.add(PUBLISH)
    async with script.listening() as broker:
        patient = but(broker, backoff=Backoff(first=1, longest=4))
        link = Link(patient, "gate-1", subscriptions=["a"], random=random, clock=lambda: now)
        async with up(link) as ear:
            for times, held in enumerate([0.0, 0.0, 5.0], start=2):
                now += held
                with pytest.raises(LinkDown):
                    await link.publish("a", b"")
                await ear.came_up(times)

    assert random.seen == [1, 2, 1]


@pytest.mark.parametrize("kind", ["mosquitto", "nats"])
async def test_a_wrong_login_is_refused_and_a_right_one_is_not(
    kind: Literal["mosquitto", "nats"], tmp_path: Path
) -> None:
    settings = {
        "mosquitto": "allow_anonymous false",
        "nats": 'authorization { user: "gate", password: "right" }',
    }
    async with start_broker(tmp_path, kind=kind, settings=settings[kind]) as broker:
        async with running(link_to(broker.broker, "a")) as ear:
            refused = await ear.phase(Phase.REFUSED)
        if kind == "nats":
            login = but(broker.broker, username="gate", password="right")
            async with running(link_to(login, "a")) as ear:
                await ear.phase(Phase.UP)

    assert str(refused) == f"refused: {broker.broker}: Not authorized"


@pytest.mark.parametrize(
    ("code", "phase", "reason"),
    [
        (2, Phase.REFUSED, "Client identifier not valid"),
        (3, Phase.DOWN, "Server unavailable"),
        (4, Phase.REFUSED, "Bad user name or password"),
        (5, Phase.REFUSED, "Not authorized"),
    ],
)
async def test_what_a_broker_answers_to_a_login_is_told(
    code: int, phase: Phase, reason: str
) -> None:
    script = Script()
    script.answers[CONNECT] = lambda _: connack(code)
    async with script.listening() as broker, running(link_to(broker, "a")) as ear:
        state = await ear.phase(phase)

    assert state.reason == f"{broker}: {reason}"


async def test_a_refused_subscription_is_a_refusal(tmp_path: Path) -> None:
    settings = """authorization { users: [{ user: "gate", password: "right", permissions: {
        subscribe: ["mine", "$MQTT.>", "_INBOX.>"], publish: ">" } }] }"""
    async with start_broker(tmp_path, kind="nats", settings=settings) as local:
        broker = but(local.broker, username="gate", password="right")
        async with running(link_to(broker, "mine", "others")) as ear:
            state = await ear.phase(Phase.REFUSED)

    assert state.reason == f"{broker}: subscription refused: others"


async def test_a_broker_that_speaks_another_protocol_is_left() -> None:
    script = Script()
    script.answers[CONNECT] = lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n"
    script.hangs_up_after.add(CONNECT)
    async with script.listening() as broker, running(link_to(broker, "a")) as ear:
        state = await ear.phase(Phase.DOWN)

    assert state.reason == f"{broker}: connection lost"


@pytest.mark.parametrize("subscriptions", [[], ["a"]])
async def test_a_broker_that_takes_the_login_and_hangs_up_is_left(subscriptions: list[str]) -> None:
    script = Script()
    script.hangs_up_after.add(CONNECT)
    async with script.listening() as broker, running(link_to(broker, *subscriptions)) as ear:
        state = await ear.phase(Phase.DOWN)

    assert state.reason == f"{broker}: connection lost"


@pytest.mark.parametrize("silent", [CONNECT, SUBSCRIBE])
async def test_a_broker_that_does_not_answer_is_left(silent: int) -> None:
    script = Script()
    script.answers[silent] = silence
    async with (
        script.listening() as broker,
        running(link_to(but(broker, connect_timeout=0.1), "a")) as ear,
    ):
        state = await ear.phase(Phase.DOWN)

    assert state.reason == f"{broker}: Operation timed out"


async def test_nothing_is_published_while_the_link_is_down(nobody: Broker) -> None:
    link = link_to(nobody)
    async with running(link) as ear:
        await ear.phase(Phase.DOWN)

        with pytest.raises(LinkDown, match=r"a/b was not published, the link is down: mqtt://.+"):
            await link.publish("a/b", b"")


async def test_a_publish_fails_at_once_when_the_connection_is_lost() -> None:
    script = Script()
    script.hangs_up_after.add(PUBLISH)
    async with script.listening() as broker:
        link = link_to(broker)
        async with up(link):
            with pytest.raises(LinkDown, match=r"a/b was not confirmed by .+: connection lost"):
                await link.publish("a/b", b"", timeout=60)


async def test_all_who_wait_fail_together_when_the_connection_is_lost() -> None:
    arrived: list[bytes] = []
    script = Script()

    def take(body: bytes) -> bytes:
        arrived.append(body)
        if len(arrived) == 20:
            script.hangs_up_after.add(PUBLISH)
        return b""

    async def expect_failure() -> None:
        with pytest.raises(LinkDown, match="connection lost"):
            await link.publish("a", b"", timeout=60)

    script.answers[PUBLISH] = take
    async with script.listening() as broker:
        link = link_to(broker)
        async with up(link), anyio.create_task_group() as tasks:
            for _ in range(30):
                tasks.start_soon(expect_failure)


async def test_no_more_than_twenty_are_in_flight() -> None:
    arrived = 0
    twenty = asyncio.Event()
    script = Script()

    def take(_: bytes) -> bytes:
        nonlocal arrived
        arrived += 1
        if arrived == 20:
            twenty.set()
        return b""

    script.answers[PUBLISH] = take
    async with script.listening() as broker:
        link = link_to(broker)
        async with up(link), anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(partial(link.publish, "a", b"", timeout=60))
            await twenty.wait()
            with pytest.raises(LinkDown, match="within"):
                await link.publish("a", b"", timeout=0.05)
            tasks.cancel_scope.cancel()

    assert arrived == 20


async def test_a_loss_in_the_middle_of_publishing_leaves_no_socket_registered() -> None:
    numbers = count(1)
    complaints: list[object] = []
    script = Script()

    def confirm(body: bytes) -> bytes:
        script.hangs_up_after = {PUBLISH} if next(numbers) % 50 == 0 else set()
        return puback(body)

    async def publish_for_ever() -> None:
        while True:
            await ear.phase(Phase.UP)  # a loop that never rests starves the thread that connects
            with suppress(LinkDown):
                await link.publish("a", b"")

    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    script.answers[PUBLISH] = confirm
    async with script.listening() as broker:
        link = link_to(broker)
        async with up(link) as ear, anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(publish_for_ever)
            await ear.came_up(5)
            tasks.cancel_scope.cancel()

    assert complaints == []


async def test_a_publish_that_is_not_confirmed_in_time_fails() -> None:
    script = Script()
    async with script.listening() as broker:
        link = link_to(broker)
        async with up(link):
            with pytest.raises(LinkDown, match=r"a/b was not confirmed by .+ within 0.01 s"):
                await link.publish("a/b", b"", timeout=0.01)

            assert link.state.phase is Phase.UP


async def fail_to_publish(link: Link, number: int, payload: bytes = b"unanswered") -> None:
    async def one() -> None:
        with pytest.raises(LinkDown):
            await link.publish("a", payload, timeout=0.01)

    async with anyio.create_task_group() as tasks:
        for _ in range(number):
            tasks.start_soon(one)


async def test_a_broker_that_confirms_nothing_is_left() -> None:
    async with Script().listening() as broker:
        link = link_to(broker)
        async with up(link) as ear:
            await fail_to_publish(link, 20)

            assert "20 messages in a row were not confirmed" in (await ear.phase(Phase.DOWN)).reason


async def test_a_broker_that_confirms_some_is_kept() -> None:
    script = Script()
    script.answers[PUBLISH] = lambda body: b"" if body.endswith(b"unanswered") else puback(body)
    async with script.listening() as broker:
        link = link_to(broker)
        async with up(link) as ear:
            await fail_to_publish(link, 19)
            await link.publish("a", b"answered")
            await fail_to_publish(link, 19)

    assert [state.phase for state in ear.states] == [Phase.CONNECTING, Phase.UP]


async def test_a_message_of_the_greatest_size_passes(any_broker: LocalBroker) -> None:
    link = link_to(any_broker.broker, "a")
    payload = Random(1).randbytes(MAX_MESSAGE)
    async with up(link) as ear:
        await link.publish("a", payload)

        assert await ear.received(1) == [Message("a", payload)]


async def test_a_message_too_long_to_send_names_its_topic_and_size(nobody: Broker) -> None:
    with pytest.raises(ValueError, match="a/b: 98305 bytes, 98304 fit"):
        await link_to(nobody).publish("a/b", bytes(MAX_MESSAGE + 1))


DOOMED = """
import os, sys, anyio
from random import Random
from ringfence.link import Broker, Message, Phase
from ringfence.mqtt import Link

def on_state(state):
    if state.phase is Phase.UP:
        os.write(1, b"up")

broker = Broker(port=int(sys.argv[1]))
will = Message("will", b"gone")
link = Link(broker, "doomed", subscriptions=[], will=will, random=Random(1))
anyio.run(link.run, print, on_state)
"""


async def test_a_killed_process_leaves_its_will(any_broker: LocalBroker) -> None:
    command = [sys.executable, "-c", DOOMED, str(any_broker.broker.port)]
    async with up(link_to(any_broker.broker, "will")) as ear:
        async with await anyio.open_process(command, stderr=None) as process:
            assert process.stdout is not None
            with anyio.fail_after(20):
                assert await process.stdout.receive() == b"up"
            process.kill()

        assert await ear.received(1) == [Message("will", b"gone")]


async def test_a_link_that_is_closed_takes_its_will_back(broker: LocalBroker) -> None:
    observer = link_to(broker.broker, "will")
    will = Message("will", b"gone")
    closed = Link(broker.broker, "closed", subscriptions=[], random=Random(1), will=will)
    async with up(observer) as ear:
        async with up(closed):
            pass
        await observer.publish("will", b"what came after")

        assert await ear.received(1) == [Message("will", b"what came after")]


def open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.fixture
async def nothing_left() -> AsyncIterator[None]:
    """Fail a test that leaves an open file or a task."""
    before = open_files()
    yield
    await anyio.wait_all_tasks_blocked()

    assert open_files() == before
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("silent", [CONNECT, SUBSCRIBE])
async def test_a_link_to_a_silent_broker_can_be_closed(silent: int) -> None:
    asked = asyncio.Event()
    script = Script()

    def ask(_: bytes) -> bytes:
        asked.set()
        return b""

    script.answers[silent] = ask
    async with script.listening() as broker, running(link_to(broker, "a")):
        await asked.wait()


@pytest.mark.usefixtures("nothing_left")
async def test_a_link_that_is_up_can_be_closed() -> None:
    async with Script().listening() as broker, up(link_to(broker, "a")):
        pass


@pytest.mark.usefixtures("nothing_left")
async def test_a_link_to_a_broker_that_reads_no_more_can_be_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ringfence.mqtt, "PARTING", 0.1)
    script = Script()
    script.deaf_after.add(CONNECT)
    async with script.listening() as broker:
        link = link_to(broker)
        async with up(link), anyio.create_task_group() as tasks:
            # More than the buffers of both ends hold, so that there is no way for a goodbye.
            await fail_to_publish(link, 19, bytes(MAX_MESSAGE))
            for _ in range(20):
                tasks.start_soon(partial(link.publish, "a", bytes(MAX_MESSAGE), timeout=60))
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()


@pytest.fixture
def swallowing() -> Iterator[Broker]:
    """Give an address where connections are begun and never made."""
    with socket() as listener, socket() as first, socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.settimeout(0)
            filler.connect_ex(listener.getsockname())
        yield Broker(port=listener.getsockname()[1])


async def test_an_address_that_swallows_connections_is_left(swallowing: Broker) -> None:
    async with running(link_to(but(swallowing, connect_timeout=0.05))) as ear:
        assert (await ear.phase(Phase.DOWN)).reason == f"{swallowing}: timed out"


async def test_a_link_that_is_connecting_can_be_closed(swallowing: Broker) -> None:
    before = open_files()
    async with running(link_to(but(swallowing, connect_timeout=0.3))):
        await anyio.wait_all_tasks_blocked()

    assert open_files() == before


async def test_an_error_of_the_listener_ends_the_link() -> None:
    script = Script()
    script.answers[SUBSCRIBE] = lambda body: suback(body, 1) + publish("a", b"")

    def fail(message: Message) -> None:
        raise LookupError(message.topic)

    async with script.listening() as broker:
        with pytest.raises(LookupError, match="a"):
            await link_to(broker, "a").run(fail, lambda _: None)


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    path = tmp_path / "certificate.pem"
    path.write_text(CERTIFICATE + KEY)
    return str(path)


async def test_link_and_broker_know_each_other_by_certificate(certificate: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate)
    script = Script()
    script.answers[SUBSCRIBE] = lambda body: suback(body, 1) + publish("a", bytes(MAX_MESSAGE)) * 3
    async with script.listening(context) as broker:
        known = but(broker, tls=True, cafile=certificate, certfile=certificate)
        async with up(link_to(known, "a")) as ear:
            assert len(await ear.received(3)) == 3


async def test_a_certificate_that_cannot_be_read_is_named(nobody: Broker) -> None:
    broker = but(nobody, tls=True, cafile="absent.pem")
    async with running(link_to(broker)) as ear:
        assert "No such file or directory: 'absent.pem'" in (await ear.phase(Phase.DOWN)).reason


async def test_a_broker_with_an_unknown_certificate_is_not_trusted(certificate: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with (
        Script().listening(context) as broker,
        running(link_to(but(broker, tls=True), "a")) as ear,
    ):
        assert "CERTIFICATE_VERIFY_FAILED" in (await ear.phase(Phase.DOWN)).reason


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ('host = "a..b"', "host 'a..b' is no host name"),
        ('host = ""', "length >= 1"),
        ("port = 0", ">= 1 - at `$.port`"),
        ("prot = 1883", "unknown field `prot`"),
        ('password = "x"', "password is set without username"),
        ('cafile = "ca.pem"', "cafile is set but tls is false"),
        ('certfile = "my.pem"', "certfile is set but tls is false"),
        ('tls = true\nkeyfile = "key.pem"', "keyfile is set without certfile"),
        ("[backoff]\nfirst = 0.0", r"> 0.0 - at `$.backoff.first`"),
    ],
)
def test_a_wrong_setting_is_named(config: str, complaint: str) -> None:
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.toml.decode(config, type=Broker)

    assert complaint in str(error.value)


def test_a_password_is_not_shown() -> None:
    broker = Broker(host="mqtt.example", port=8883, tls=True, username="gate", password="hush")

    assert repr(broker) == "Broker(mqtts://mqtt.example:8883)"
    assert broker.__rich_repr__() == [("url", "mqtts://mqtt.example:8883")]
