"""A real Asterisk for tests: started in a chroot, driven over its manager interface."""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import MappingProxyType

import msgspec
from tests.adapters.conformance import Dialled

__all__ = ["Asterisk", "PlacedCall", "missing", "running"]

ROOT = Path(os.environ.get("RINGFENCE_ASTERISK_ROOT", "/var/cache/ringfence/asterisk"))
SHIPPED = Path(__file__).parents[2] / "adapters/ringfence_adapters/agi/extensions.conf"

# A call in these tests lasts 3 s at most, 2 of them behind the guard.
PATIENCE = 15

NONE: Mapping[str, str] = MappingProxyType({})

MODULES = [
    "app_dial",
    "app_echo",
    "app_userevent",
    "bridge_simple",
    "func_strings",
    "func_timeout",
    "pbx_config",
    "res_agi",
    "res_speech",
    "res_timing_timerfd",
]

# The carrier says that it was reached, then does what the test wants.
EXTENSIONS = """\
[globals]
RINGFENCE_CAMPAIGN=acme-fibre
RINGFENCE_TECH=Local
RINGFENCE_TRUNK=carrier
RINGFENCE_RING=2
; A leftover that must not pass for an answer.
RINGFENCE_VERDICT=ALLOW
RINGFENCE_ATTEMPT=leftover

[carrier]
exten => _[+0-9]X.,1,UserEvent(CarrierReached,Call: ${TEST_CALL},Number: ${EXTEN})
 same => n,Goto(${TEST_CARRIER})
 same => n(answer),Answer()
 same => n,Wait(${TEST_TALK})
 same => n,UserEvent(CarrierEnded,Call: ${TEST_CALL})
 same => n,Hangup(16)
 same => n(busy),Hangup(17)
 same => n(fail),Hangup(34)
 same => n(ring),Ringing()
 same => n,Wait(30)

; A dialer that limits how long a call may last.
[limited]
exten => _X.,1,Set(TIMEOUT(absolute)=1)
 same => n,Goto(ringfence-out,${EXTEN},1)

[agent]
exten => s,1,Answer()
 same => n,Echo()

#include "ringfence.conf"
"""


def missing() -> str | None:
    """Say what somebody must do before a real Asterisk can run here; None if nothing."""
    if os.geteuid() != 0:
        return "only root can chroot into the Asterisk of these tests: run them as root"
    if not (ROOT / "usr/sbin/asterisk").exists():
        return f"no Asterisk in {ROOT}: run scripts/asterisk-root once, it takes about a minute"
    return None


class PlacedCall:
    """One originated call: what became of it, as the manager interface tells."""

    def __init__(self, manager: "_Manager", call: str) -> None:
        self._manager = manager
        self._call = call
        self._reached: list[str] = []
        self._ended = False
        self._dialling = ""  # the name of the channel on the dialer's side
        self.variables: dict[str, str] = {}
        """As last set on the channel that runs the dialplan."""

    async def reached(self) -> None:
        """Wait until the carrier was reached."""
        await self._until(lambda _: bool(self._reached))

    async def hang_up(self) -> None:
        """Hang up on the dialer's side."""
        if not self._dialling:
            await self._until(lambda _: bool(self._dialling))
        await self._manager.send(Action="Hangup", Channel=self._dialling)

    async def over(self) -> Dialled:
        """Wait until the dialplan has ended, its extension h included."""
        end = await self._until(lambda event: _hung_up(event, f"{self._call}-2"))
        return Dialled(
            reached=tuple(self._reached),
            told=f"{self.variables.get('DIALSTATUS')} {end['Cause']}",
            ended=self._ended,
        )

    async def _until(self, done: Callable[[dict[str, str]], bool]) -> dict[str, str]:
        async with asyncio.timeout(PATIENCE):
            while True:
                event = await self._manager.message()
                self._note(event)
                if done(event):
                    return event

    def _note(self, event: dict[str, str]) -> None:
        if event.get("Uniqueid") == f"{self._call}-1":
            self._dialling = event["Channel"]
        if event.get("UserEvent") == "CarrierReached" and event["Call"] == self._call:
            self._reached.append(event["Number"])
        if event.get("UserEvent") == "CarrierEnded" and event["Call"] == self._call:
            self._ended = True
        if event.get("Event") == "VarSet" and event["Uniqueid"] == f"{self._call}-2":
            self.variables[event["Variable"]] = event["Value"]


def _hung_up(event: dict[str, str], channel: str) -> bool:
    return event.get("Event") == "Hangup" and event["Uniqueid"] == channel


class _Manager:
    """One AMI connection, as far as these tests speak it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def message(self) -> dict[str, str]:
        block = await self._reader.readuntil(b"\r\n\r\n")
        lines = [line.partition(":") for line in block.decode().strip().split("\r\n")]
        return {name: value.strip() for name, _, value in lines}

    async def send(self, **headers: str) -> None:
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        self._writer.write("".join([*lines, "\r\n"]).encode())
        await self._writer.drain()

    async def ask(self, **headers: str) -> None:
        await self.send(**headers)
        async with asyncio.timeout(PATIENCE):
            while "Response" not in (message := await self.message()):
                pass
        assert message["Response"] == "Success", message


class Asterisk(msgspec.Struct, frozen=True):
    """A running Asterisk."""

    port: int
    """Of its manager interface."""
    log: Path

    @asynccontextmanager
    async def calling(
        self,
        number: str,
        *,
        gate: int,
        context: str = "ringfence-out",
        carrier: str = "answer",
        talk: float = 0,
        variables: Mapping[str, str] = NONE,
    ) -> AsyncIterator[PlacedCall]:
        """Originate one call as dialers do, and watch it."""
        call = uuid.uuid4().hex
        given = {
            "__RINGFENCE_GATE": f"127.0.0.1:{gate}",
            "__TEST_CALL": call,
            "__TEST_CARRIER": carrier,
            "__TEST_TALK": str(talk),
            **variables,
        }
        async with self._manager() as manager:
            await manager.ask(
                Action="Originate",
                Channel=f"Local/{number}@{context}",
                ChannelId=f"{call}-1",
                OtherChannelId=f"{call}-2",
                Context="agent",
                Exten="s",
                Priority="1",
                Timeout=str(PATIENCE * 1000),
                CallerID='"V0123456789000000042" <0162000001>',
                Async="true",
                Variable=",".join(f"{name}={value}" for name, value in given.items()),
            )
            yield PlacedCall(manager, call)

    async def run(self, application: str, data: str) -> None:
        """Have a channel of its own run one application, and wait until it has."""
        call = uuid.uuid4().hex
        async with self._manager() as manager, asyncio.timeout(PATIENCE):
            await manager.ask(
                Action="Originate",
                Channel="Local/s@agent",
                ChannelId=f"{call}-1",
                OtherChannelId=f"{call}-2",
                Application=application,
                Data=data,
                Async="true",
            )
            while not _hung_up(await manager.message(), f"{call}-1"):
                pass

    @asynccontextmanager
    async def _manager(self) -> AsyncIterator["_Manager"]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            await reader.readline()  # its greeting
            manager = _Manager(reader, writer)
            await manager.ask(Action="Login", Username="test", Secret="test")
            yield manager
        finally:
            writer.close()
            await writer.wait_closed()


@contextmanager
def running() -> Iterator[Asterisk]:
    """Start an Asterisk that nobody else knows; end it, and leave nothing in the chroot."""
    home = Path(tempfile.mkdtemp(prefix="ringfence-", dir=ROOT / "tmp"))
    inside = Path("/") / home.relative_to(ROOT)
    port = _free_port()
    _configure(home, inside, port)
    command = ["chroot", str(ROOT), "asterisk", "-f", "-n", "-C", str(inside / "asterisk.conf")]
    # Asterisk tells a service manager when it has booted; here, that is us.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(f"\0{home.name}")
        notices.settimeout(PATIENCE)
        process = subprocess.Popen(
            command,
            env={**os.environ, "NOTIFY_SOCKET": f"@{home.name}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            notice = notices.recv(64)
            assert notice == b"READY=1", notice
            yield Asterisk(port, home / "log")
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(home)


def _configure(home: Path, inside: Path, port: int) -> None:
    paths = [f"ast{name}dir => {inside}" for name in ("etc", "db", "spool", "run", "log")]
    files = {
        "asterisk.conf": "[directories]\n" + "\n".join(paths) + "\n",
        "modules.conf": "[modules]\nautoload=no\n" + "".join(f"load={m}.so\n" for m in MODULES),
        "logger.conf": "[logfiles]\nlog => notice,warning,error,verbose(3)\n",
        "manager.conf": (
            f"[general]\nenabled=yes\nbindaddr=127.0.0.1\nport={port}\n"
            "[test]\nsecret=test\nread=all\nwrite=all\n"
            + "".join(f"eventfilter=Event: {name}\n" for name in ("Hangup", "UserEvent", "VarSet"))
        ),
        "extensions.conf": EXTENSIONS,
        "ringfence.conf": SHIPPED.read_text(),
    }
    for name, text in files.items():
        (home / name).write_text(text)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
