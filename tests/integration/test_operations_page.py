"""The page on operations: its access list suffices on a real broker, and its fields are there."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio
import msgspec
import pytest
from tests.integration.conftest import but, link_to, up

from ringfence import Call, Gate, Reason
from ringfence.broker import start_broker
from ringfence.config import Settings, load
from ringfence.ledger.service import Ledger
from ringfence.ledger.succession import Contested
from ringfence.link import Broker
from ringfence.status import PrincipalStatus, Status
from ringfence.wire import Head, Rejected, decode_reply, encode

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
USERS = ("ledger", "tunis-1", "crm", "desk")

CONFIG = """
[gate]
id = "tunis-1"
data = "gate"
principals = ["acme"]
[ledger]
database = "ledger.sqlite"
[principals.acme]
secret = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
[campaigns.acme-fibre]
principal = "acme"
purpose = "fibre"
sector = "telecom"
operator = "callco"
dial_mode = "preview"
caller_ids = ["+33162000001"]
"""
REFUSAL = (
    b'{"sender": "crm", "events": [{"kind": "refusal", "id": "crm-1", "at": "2026-11-24T10:00:00Z",'
    b' "on": "2026-11-24", "keys": {"number": 1727787136684913455}}, {"kind": "nonsense"}]}'
)


def snippet(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert isinstance(text, str)
    return text


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Broker]:
    """Give a broker with the page's access list, where each user's password is its name."""
    acl, passwords = tmp_path / "acl", tmp_path / "passwords"
    acl.write_text(snippet("acl"))
    passwords.write_text("".join(f"{user}:{user}\n" for user in USERS))
    acl.chmod(0o600)
    passwords.chmod(0o600)
    await anyio.run_process(["mosquitto_passwd", "-U", str(passwords)])
    # The last word on a setting counts. As another user than who made them it could not read them.
    lines = f"user root\nallow_anonymous false\nacl_file {acl}\npassword_file {passwords}\n"
    async with start_broker(tmp_path / "broker", kind="mosquitto", settings=lines) as local:
        yield local.broker


def as_user(settings: Settings, broker: Broker, user: str) -> Settings:
    own = but(broker, username=user, password=user)
    return msgspec.structs.replace(settings, broker=own)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "ringfence.toml"
    path.write_text(CONFIG)
    return load(path)


async def test_who_publishes_events_cannot_speak_for_the_ledger(guarded: Broker) -> None:
    """Nor can it listen to others; the broker says neither."""
    crm = link_to(but(guarded, username="crm", password="crm"), "ringfence/1/acme/in", name="crm")
    ledger = link_to(but(guarded, username="ledger", password="ledger"), name="ledger")
    desk = link_to(but(guarded, username="desk", password="desk"), "ringfence/1/acme/head")

    async with up(crm) as eavesdropping, up(ledger), up(desk) as ear:
        await crm.publish("ringfence/1/acme/head", b"forged")
        await crm.publish("ringfence/1/acme/in", b"an event")
        await ledger.publish("ringfence/1/acme/head", b"true")
        heard = await ear.received(1)

    assert [message.payload for message in heard] == [b"true"]
    assert eavesdropping.messages == []


async def test_a_ledger_hears_what_was_told_before_it(guarded: Broker, settings: Settings) -> None:
    """The broker would say nothing of a list that keeps it from that."""
    ledger = link_to(but(guarded, username="ledger", password="ledger"), name="ledger")
    own = as_user(settings, guarded, "ledger")
    told = Head(1, 7, datetime(2026, 11, 24, tzinfo=UTC), 0, 0, 0, 0, 1, 1)

    async with up(ledger):
        await ledger.publish("ringfence/1/acme/head", encode(told), retain=True)
    with pytest.raises(ExceptionGroup) as raised:
        async with Ledger.open(own) as restored:
            await restored.serve()

    assert raised.group_contains(Contested, match="up to change 7 of epoch 1 ")


def test_every_field_of_the_status_is_told_and_no_other() -> None:
    table = PAGE.split("| field | means | worry when |\n")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE)
    told = [name for row in rows for name in re.findall(r"`(\w+)`", row)]

    fields = [f.name for kind in (Status, PrincipalStatus) for f in msgspec.structs.fields(kind)]
    assert sorted(told) == sorted(["healthy", *fields])


async def test_each_may_do_what_it_needs(guarded: Broker, settings: Settings) -> None:
    crm = link_to(but(guarded, username="crm", password="crm"), "ringfence/1/acme/reply/crm")
    call = Call(to="+33639980001", campaign="acme-fibre", caller_id="+33162000001")

    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(Ledger.open(as_user(settings, guarded, "ledger")))
        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)
        tasks.start_soon(partial(ledger.serve), name="ledger")
        gate = await stack.enter_async_context(Gate(as_user(settings, guarded, "tunis-1")))
        assert await gate.ready(10)
        ear = await stack.enter_async_context(up(crm))
        before = gate.check(call).reason
        await crm.publish("ringfence/1/acme/in", REFUSAL)
        (reply,) = await ear.received(1)
        with anyio.fail_after(10):
            async for status in gate.status:
                if status.principals["acme"].seq:
                    break
        await gate.admit(call)
        with anyio.fail_after(10):
            async for status in gate.status:
                if not status.unwitnessed:
                    break

    assert before is Reason.NO_GROUND
    assert isinstance(decode_reply(reply.payload), Rejected)
