"""A folder to work in with `ringfence ledger`: a configuration, files, and the command itself."""

import os
import pty
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import anyio.abc
import anyio.to_thread
import msgspec
from typer.testing import CliRunner

from ringfence.cli.ledger import app
from ringfence.ledger.inventory import Holding, take_inventory

COMMAND = (sys.executable, "-m", "ringfence", "ledger")
LIMIT = 50.0

CONFIG = """\
[broker]
port = {port}
{ledger}
[principals.acme]
secret = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
{texts}
"""
LEDGER = """\
[ledger]
database = "ledger.sqlite"
"""
TEXTS = """\
[principals.acme.texts.web-1]
mentions = []
parties = ["acme"]
channel = "web"
"""


class Ended(msgspec.Struct, frozen=True):
    """How a command ended."""

    status: int
    said: str
    complained: str


class Desk:
    """A folder with a configuration and files, and the command to work on them."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.config = folder / "ringfence.toml"
        self.database = folder / "ledger.sqlite"
        self.config.write_text(CONFIG.format(port=port, ledger=LEDGER, texts=TEXTS))
        self.elsewhere = folder / "elsewhere.toml"  # the machine of a CRM: a secret and a broker
        self.elsewhere.write_text(CONFIG.format(port=port, ledger="", texts=""))

    async def run(self, *words: str, config: Path | None = None) -> Ended:
        command = [*COMMAND, words[0], "--config", str(config or self.config), *words[1:]]
        with anyio.fail_after(LIMIT):
            done = await anyio.run_process(command, check=False)
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    def run_here(self, *words: str) -> Ended:
        """Run a command in this process: sooner done, and without a loop around it."""
        result = CliRunner().invoke(app, [words[0], "--config", str(self.config), *words[1:]])
        return Ended(result.exit_code, result.stdout, result.stderr)

    async def bring_in(self, csv: Path, *words: str, config: Path | None = None) -> Ended:
        return await self.run("import", str(csv), "--principal", "acme", *words, config=config)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[anyio.abc.Process]:
        command = [*COMMAND, "serve", "--config", str(self.config), "--status", "0"]
        async with await anyio.open_process(command, stderr=None) as process:
            try:
                assert (await line_of(process)).startswith("serving acme (")
                yield process
            finally:
                if process.returncode is None:
                    process.terminate()
                with anyio.CancelScope(shield=True):
                    await process.wait()

    @asynccontextmanager
    async def bringing_in(self, csv: Path) -> AsyncIterator[anyio.abc.Process]:
        """Yield an import of which a part is in the ledger: its bar, on a terminal, has moved."""
        ours, theirs = pty.openpty()
        command = [*COMMAND, "import", str(csv), "--config", str(self.config)]
        command += ["--principal", "acme"]
        process = await anyio.open_process(command, stderr=theirs)
        os.close(theirs)
        try:
            async with process:
                shown = b""
                with anyio.fail_after(LIMIT):
                    while b" lines, " not in shown:
                        await anyio.wait_readable(ours)
                        shown += await anyio.to_thread.run_sync(os.read, ours, 65536)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_drain, ours)
                    yield process
                    if process.returncode is None:
                        await process.wait()
                    tasks.cancel_scope.cancel()
        finally:
            os.close(ours)

    async def holding(self) -> Holding:
        inventory = await anyio.to_thread.run_sync(take_inventory, self.database)
        return inventory.principals["acme"]

    def files(self) -> list[Path]:
        return list(self.folder.glob("ledger.sqlite*"))

    def ids(self) -> list[str]:
        with closing(sqlite3.connect(self.database)) as db:
            return [row[0] for row in db.execute("SELECT id FROM event ORDER BY id")]


async def _drain(terminal: int) -> None:
    while True:
        await anyio.wait_readable(terminal)
        try:
            os.read(terminal, 65536)
        except OSError:  # the other end is closed
            return


async def line_of(process: anyio.abc.Process) -> str:
    assert process.stdout is not None
    said = b""
    with anyio.fail_after(LIMIT):
        while not said.endswith(b"\n"):
            said += await process.stdout.receive(1)
    return said.decode()


def consents(path: Path, lines: int, *more: str) -> Path:
    """Write statements that differ by number, and in the end by purpose."""
    with path.open("w", encoding="cp1252", newline="") as file:
        file.write("Prénom;Téléphone;Recueilli le;Texte;Finalité\r\n")
        for n in range(lines):
            purpose = f"fibre-{n // 10_000}"
            file.write(
                f"Zoé;06 39 98 {n // 100 % 100:02} {n % 100:02};01/03/2026;web-1;{purpose}\r\n"
            )
        file.writelines(f"{line}\r\n" for line in more)
    return path
