"""MariaDB, asked as VICIdial asks its list of numbers that are not to be called."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncmy
from asyncmy.errors import MySQLError

from benchmarks.peers import Opened, Peer
from benchmarks.peers.server import executable, run, running

__all__ = ["PEERS"]

TABLE = "CREATE TABLE vicidial_dnc (phone_number VARCHAR(18) PRIMARY KEY NOT NULL) ENGINE=MyISAM"
QUERY = "SELECT count(*) FROM vicidial_dnc WHERE phone_number = %s"


@asynccontextmanager
async def opened(folder: Path, numbers: list[str]) -> AsyncIterator[Opened]:
    async with _server(folder) as connection, connection.cursor() as cursor:
        listed = folder / "numbers.txt"
        listed.write_text("".join(f"{number}\n" for number in sorted(numbers)), encoding="ascii")
        await cursor.execute(TABLE)
        await cursor.execute(f"LOAD DATA INFILE '{listed}' INTO TABLE vicidial_dnc")

        async def ask(number: str) -> bool:
            await cursor.execute(QUERY, (number,))
            (found,) = await cursor.fetchone()
            return bool(found)

        yield Opened(ask_later=ask, memory=_size(folder))


@asynccontextmanager
async def _server(folder: Path) -> AsyncIterator[asyncmy.Connection]:
    """Start a server with files of its own, and connect to it."""
    data, socket = folder / "data", folder / "socket"
    install = executable("mariadb-install-db", "mariadbd=mariadb-server-core")
    executable("my_print_defaults", "my_print_defaults=mariadb-client-core")  # its own need
    who = ["--user=root"] if os.geteuid() == 0 else []
    await run([
        install, "--no-defaults", f"--datadir={data}", "--skip-test-db",
        "--auth-root-authentication-method=normal", *who,
    ])  # fmt: skip
    command = [
        executable("mariadbd", "mariadbd=mariadb-server-core"), "--no-defaults",
        f"--datadir={data}", f"--socket={socket}", "--skip-networking", "--key-buffer-size=512M",
        "--secure-file-priv=", f"--pid-file={folder}/pid", *who,
    ]  # fmt: skip

    async def connect() -> asyncmy.Connection:
        return await asyncmy.connect(
            unix_socket=str(socket), user="root", database="mysql", autocommit=True
        )

    async def answers() -> bool:
        try:
            (await connect()).close()
        except (MySQLError, OSError):
            return False
        return True

    async with running(command, folder, answers):
        connection = await connect()
        async with connection.cursor() as cursor:
            await cursor.execute("CREATE DATABASE asterisk")
            await cursor.execute("USE asterisk")
        try:
            yield connection
        finally:
            connection.close()


def _size(folder: Path) -> int:
    """Give the bytes of the table's files, of rows and of keys."""
    return sum(file.stat().st_size for file in folder.glob("data/asterisk/vicidial_dnc.MY*"))


PEERS = (
    Peer(
        "MariaDB, vicidial_dnc",
        "The table and the query of VICIdial (MyISAM, the number as primary key, count(*)), a key"
        " buffer that holds all of it, asyncmy on a Unix socket. Is the number on the list?"
        " Memory is the size of its files.",
        opened,
    ),
)
