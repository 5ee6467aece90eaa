"""`ringfence ledger`: real processes, a real broker, files as they come."""

import os
import pty
import re
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import anyio.abc
import anyio.to_thread
import msgspec
import pytest
from typer.testing import CliRunner

from ringfence.broker import LocalBroker
from ringfence.cli.ledger import app
from ringfence.ledger.inventory import Holding, take_inventory
from ringfence.ledger.store import Store

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


@pytest.fixture
async def desk(tmp_path: Path, broker: LocalBroker) -> Desk:
    return Desk(tmp_path, broker.broker.port)


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


# --- import ---------------------------------------------------------------------------------------


async def test_the_same_file_gives_the_same_ledger_with_and_without_a_server(
    desk: Desk, tmp_path: Path
) -> None:
    csv = consents(tmp_path / "crm.csv", 300, "Léo;0639980000;01/03/2026;web-1;fibre-0")

    offline = await desk.bring_in(csv)
    expected, held = await desk.holding(), desk.ids()
    for file in desk.files():
        file.unlink()
    async with desk.serving():
        online = await desk.bring_in(csv)
        seen_while_served = await desk.holding()

    for ended in (offline, online):
        assert (ended.status, ended.complained) == (0, "")
        assert ended.said.startswith("crm.csv: 301 lines read, 300 imported, 1 known, 0 rejected;")
    assert seen_while_served == expected == Holding(300, 300, 0, {"consent": 300})
    assert desk.ids() == held


async def test_what_is_in_the_ledger_is_known_whichever_way_it_came(
    desk: Desk, tmp_path: Path
) -> None:
    csv = consents(tmp_path / "crm.csv", 5000)

    await desk.bring_in(csv)
    again = await desk.bring_in(csv)
    async with desk.serving():
        served = await desk.bring_in(csv)
        more = await desk.bring_in(consents(tmp_path / "more.csv", 5010))
    after = await desk.bring_in(csv)

    for ended in (again, served, after):
        assert ended.said.startswith("crm.csv: 5000 lines read, 0 imported, 5000 known, 0 rejected")
    assert more.said.startswith("more.csv: 5010 lines read, 10 imported, 5000 known, 0 rejected")
    assert await desk.holding() == Holding(5010, 5010, 0, {"consent": 5010})


async def test_an_import_that_was_killed_is_finished_by_the_next(
    desk: Desk, tmp_path: Path
) -> None:
    csv = consents(tmp_path / "crm.csv", 20_000)

    async with desk.bringing_in(csv) as process:
        process.kill()
    part = await desk.holding()
    rest = await desk.bring_in(csv)

    assert 0 < part.seq < 20_000
    assert rest.said.startswith(
        f"crm.csv: 20000 lines read, {20_000 - part.seq} imported, {part.seq} known, 0 rejected"
    )
    assert await desk.holding() == Holding(20_000, 20_000, 0, {"consent": 20_000})
    assert len(set(desk.ids())) == 20_000


async def test_an_import_outlives_a_ledger_that_was_killed(desk: Desk, tmp_path: Path) -> None:
    csv = consents(tmp_path / "crm.csv", 20_000)

    async with desk.serving() as ledger, desk.bringing_in(csv) as process:
        ledger.kill()
        await ledger.wait()
        part = await desk.holding()
        async with desk.serving():
            status = await process.wait()
            assert process.stdout is not None
            said = (await process.stdout.receive()).decode()

    assert 0 < part.seq < 20_000
    assert status == 0, said
    assert await desk.holding() == Holding(20_000, 20_000, 0, {"consent": 20_000})
    assert len(set(desk.ids())) == 20_000


async def test_lines_that_were_rejected_are_counted_and_stand_in_a_file(
    desk: Desk, tmp_path: Path
) -> None:
    csv = consents(
        tmp_path / "crm.csv",
        2,
        "Léo;06 39 98;01/03/2026;web-1;fibre-0",
        "Léo;0639980002;31/02/2026;web-1;fibre-0",
        "Léo;0639980002;01/03/2026;web-2;fibre-0",
        "Léo;06 39;01/03/2026;web-1;fibre-0",
    )

    offline = await desk.bring_in(csv)
    written = (tmp_path / "crm.csv.rejected.csv").read_text("utf-8-sig")
    async with desk.serving():
        online = await desk.bring_in(csv, "--rejects", str(tmp_path / "bad.csv"))

    assert (offline.status, online.status) == (1, 1)
    assert offline.said.splitlines() == [
        offline.said.splitlines()[0],
        f"rejected lines are in {csv}.rejected.csv:",
        "         2 not a telephone number",
        "         1 no such date",
        "         1 no such text",
    ]
    assert "6 lines read, 2 imported, 0 known, 4 rejected" in offline.said
    assert "6 lines read, 0 imported, 2 known, 4 rejected" in online.said
    assert written.splitlines() == [
        "line;reason;Prénom;Téléphone;Recueilli le;Texte;Finalité",
        "4;not a telephone number: '06 39 98';Léo;06 39 98;01/03/2026;web-1;fibre-0",
        "5;no such date: '31/02/2026';Léo;0639980002;31/02/2026;web-1;fibre-0",
        "6;no such text: 'web-2';Léo;0639980002;01/03/2026;web-2;fibre-0",
        "7;not a telephone number: '06 39';Léo;06 39;01/03/2026;web-1;fibre-0",
    ]
    assert (tmp_path / "bad.csv").read_text("utf-8-sig") == written


async def test_no_telephone_number_reaches_the_ledger(desk: Desk, tmp_path: Path) -> None:
    await desk.bring_in(consents(tmp_path / "crm.csv", 100))

    for file in desk.files():
        assert b"639980" not in file.read_bytes()


async def test_a_machine_without_the_database_imports_over_the_broker(
    desk: Desk, tmp_path: Path
) -> None:
    csv = tmp_path / "stop.csv"
    csv.write_text("phone,date\n+33639980001,2026-03-01T10:00:00Z\n")

    async with desk.serving():
        ended = await desk.bring_in(csv, "--kind", "refusal", config=desk.elsewhere)
        texts = await desk.bring_in(consents(tmp_path / "crm.csv", 3), config=desk.elsewhere)

    assert ended.said.startswith("stop.csv: 1 lines read, 1 imported, 0 known, 0 rejected")
    assert texts.status == 0
    assert await desk.holding() == Holding(4, 3, 1, {"consent": 3, "refusal": 1})


async def test_options_fill_in_what_the_file_does_not_say(desk: Desk, tmp_path: Path) -> None:
    csv = tmp_path / "numbers.csv"
    csv.write_text("Ligne A;Ligne B\n0199000001;0639980001\n;\n0199000002;0639980002\n")

    ended = await desk.bring_in(
        csv, "--column", "number=ligne b", "--at", "01/03/2026", "--text", "web-1",
        "--purpose", "fibre", "--until", "28/02/2027",
    )  # fmt: skip

    assert (ended.status, ended.complained) == (0, "")
    assert await desk.holding() == Holding(2, 2, 0, {"consent": 2})


async def test_what_cannot_be_imported_at_all_says_why_and_ends_with_2(
    desk: Desk, tmp_path: Path
) -> None:
    csv = consents(tmp_path / "crm.csv", 1)
    nameless = tmp_path / "nameless.csv"
    nameless.write_text("Nom;Prénom;Date\nDupont;Zoé;01/03/2026\n")

    async def complaint(file: Path, *words: str) -> str:
        ended = await desk.bring_in(file, *words)
        assert (ended.status, ended.said) == (2, "")
        return ended.complained

    assert await complaint(tmp_path / "none.csv") == (
        f"ringfence: {tmp_path}/none.csv: No such file or directory\n"
    )
    assert await complaint(nameless) == (
        "ringfence: no column for the number; there are 'Nom', 'Prénom', 'Date': say which it is"
        " with --column number=NAME\n"
    )
    assert "no such text: 'web-2'" in await complaint(csv, "--text", "web-2")
    assert "'consents' is not one of consent, " in await complaint(csv, "--kind", "consents")
    assert "'tel' is not ROLE=NAME" in await complaint(csv, "--column", "tel")
    assert "is the file to import" in await complaint(csv, "--rejects", str(csv))
    assert "no table [principals.beta]" in await complaint(csv, "--principal", "beta")


async def test_without_a_ledger_an_import_gives_up_after_its_time(
    desk: Desk, tmp_path: Path
) -> None:
    csv = consents(tmp_path / "crm.csv", 1)

    store = await anyio.to_thread.run_sync(Store, desk.database, 1)
    ended = await desk.bring_in(csv, "--timeout", "0.5")  # the file is in use, and not served
    store.close()

    assert (ended.status, ended.said) == (2, "")
    assert ended.complained.startswith("ringfence: no ledger speaks for acme on mqtt://127.0.0.1:")


async def test_a_ledger_that_falls_silent_ends_an_import_after_its_time(
    desk: Desk, tmp_path: Path
) -> None:
    async with desk.serving() as ledger:
        await desk.run("record", "refusal", "--principal", "acme", "--to", "0639980001")
        ledger.send_signal(signal.SIGSTOP)
        ended = await desk.bring_in(consents(tmp_path / "crm.csv", 1), "--timeout", "1")
        ledger.send_signal(signal.SIGCONT)

    assert (ended.status, ended.said) == (2, "")
    assert "ringfence: the ledger has confirmed nothing for 1 s" in ended.complained


# --- record ---------------------------------------------------------------------------------------


async def test_an_event_is_recorded_with_and_without_a_server(desk: Desk) -> None:
    who = ("--principal", "acme", "--to", "+33639980001")

    first = await desk.run("record", "refusal", *who)
    async with desk.serving():
        second = await desk.run("record", "objection", *who, "--at", "01/03/2026 10:00")

    assert (first.status, second.status) == (0, 0)
    one, two = desk.ids()
    assert {first.said, second.said} <= {
        f"refusal {one} is change 1\n",
        f"refusal {two} is change 1\n",
        f"objection {one} is change 2\n",
        f"objection {two} is change 2\n",
    }
    assert await desk.holding() == Holding(2, 0, 1, {"objection": 1, "refusal": 1})


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """Give the configuration of a ledger that nobody serves, on no broker."""
    config = tmp_path / "ringfence.toml"
    config.write_text(CONFIG.format(port=1, ledger=LEDGER, texts=TEXTS))
    return config


def recorded(config: Path, *words: str) -> Ended:
    to = () if "--to" in words else ("--to", "06 39 98 00 01")
    command = ["record", *words, "--config", str(config), "--principal", "acme", *to]
    result = CliRunner().invoke(app, command)
    return Ended(result.exit_code, result.stdout, result.stderr)


ABOUT = ("--purpose", "fibre")
EVERY_KIND = {
    "attempt": ("--call", "call-1"),
    "attempt_cancelled": ("--call", "call-1"),
    "bloctel": ("--until", "10/08/2026"),
    "callback": (*ABOUT, "--explicit"),
    "consent": (*ABOUT, "--text", "web-1", "--until", "31/12/2026", "--at", "01/03/2026"),
    "contract": (*ABOUT, "--until", "2027-12-31"),
    "contract_ended": ABOUT,
    "objection": (),
    "objection_lifted": (),
    "refusal": (),
    "slot": (*ABOUT, "--start", "01/12/2026 10:30", "--minutes", "20"),
    "withdrawal": ABOUT,
}


def test_every_kind_can_be_recorded(alone: Path) -> None:
    for change, (kind, words) in enumerate(EVERY_KIND.items(), start=1):
        ended = recorded(alone, kind, *words)
        assert (ended.status, ended.complained) == (0, "")
        assert re.fullmatch(rf"{kind} [0-9a-f]{{32}} is change {change}\n", ended.said)

    held = take_inventory(alone.with_name("ledger.sqlite")).principals["acme"]
    assert held.events == dict.fromkeys(EVERY_KIND, 1)


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (["refuse"], 2, "'refuse' is not one of consent, "),
        (["refusal", "--to", "06"], 2, "not a telephone number: '06'"),
        (["refusal", "--to", "+441632960001"], 2, "'+441632960001' is not a French number"),
        (["refusal", "--at", "31/12/2199"], 2, "a date in the future: '31/12/2199'"),
        (["refusal", "--at", "31/02/2026"], 2, "no such date: '31/02/2026'"),
        (["refusal", "--text", "web-1"], 2, "unknown field `text`"),
        (["withdrawal"], 2, "needs a `purpose`"),
        (["consent", *ABOUT], 2, "missing required field `text`"),
        (["slot", *ABOUT, "--start", "31/12/2026"], 2, "'31/12/2026' is a date without a time"),
        (["consent", *ABOUT, "--text", "web-2"], 1, "the ledger does not take it: consent "),
    ],
)
def test_what_cannot_be_recorded_says_why(
    alone: Path, words: list[str], status: int, complaint: str
) -> None:
    ended = recorded(alone, *words)

    assert (ended.status, ended.said) == (status, "")
    assert ended.complained.startswith("ringfence: ")
    assert complaint in ended.complained


# --- serve and status -----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_ledger_cleanly(desk: Desk, number: signal.Signals) -> None:
    async with desk.serving() as ledger:
        ledger.send_signal(number)
        assert await ledger.wait() == 0

    assert (await desk.holding()).seq == 0


async def test_the_ledger_says_whom_it_serves_from_where(desk: Desk, broker: LocalBroker) -> None:
    await desk.run("record", "refusal", "--principal", "acme", "--to", "0639980001")
    command = [*COMMAND, "serve", "--config", str(desk.config), "--status", "0.05"]

    async with await anyio.open_process(command) as ledger:
        serving = await line_of(ledger)
        await desk.run("record", "refusal", "--principal", "acme", "--to", "0639980001")
        status = await line_of(ledger)
        await broker.kill()
        alone = await line_of(ledger)
        await broker.start()
        again = await line_of(ledger)
        ledger.terminate()

    assert serving == (
        "serving acme (0 ground and 1 restraint rows, change 1) from"
        f" {desk.database} on {broker.broker}\n"
    )
    assert "; since the start 1 taken, 0 known, 0 rejected, 0 messages dropped" in status
    assert alone.startswith("not on the broker, trying again: ")
    assert again.startswith("serving acme (0 ground and 1 restraint rows, change 2)")


async def test_a_second_ledger_is_told_that_the_database_is_in_use(desk: Desk) -> None:
    async with desk.serving():
        second = await desk.run("serve")

    assert (second.status, second.said) == (2, "")
    assert "ledger.sqlite is open in another process" in second.complained


async def test_a_configuration_that_cannot_be_used_is_one_line(desk: Desk, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[ledger]\ndatabase = 'x'\nheartbeats = 2\n")

    missing = await desk.run("serve", config=tmp_path / "none.toml")
    unknown = await desk.run("serve", config=wrong)
    without = await desk.run("serve", config=desk.elsewhere)

    assert [ended.status for ended in (missing, unknown, without)] == [2, 2, 2]
    assert missing.complained == f"ringfence: {tmp_path}/none.toml: No such file or directory\n"
    assert "`heartbeats`" in unknown.complained
    assert len(unknown.complained.splitlines()) == 1
    assert without.complained == "ringfence: the configuration has no table [ledger]\n"


async def test_the_status_counts_rows_and_events(desk: Desk, tmp_path: Path) -> None:
    await desk.bring_in(consents(tmp_path / "crm.csv", 20))
    await desk.run("record", "refusal", "--principal", "acme", "--to", "0639980001")

    async with desk.serving():
        served = await desk.run("status")
    alone = await desk.run("status")

    assert served == alone
    assert alone.said.splitlines()[1:] == [
        "acme: change 21; 20 ground rows, 1 restraint rows",
        "          20 consent",
        "           1 refusal",
    ]
    (tmp_path / "ledger.sqlite").write_bytes(b"a letter to a friend")
    assert "is no ledger" in (await desk.run("status")).complained
    (tmp_path / "ledger.sqlite").unlink()
    assert "there is no ledger yet" in (await desk.run("status")).complained
