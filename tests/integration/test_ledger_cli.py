"""`ringfence ledger`: real processes that serve and record, on a real broker."""

import re
import signal
from pathlib import Path

import anyio
import pytest
from tests.integration.desk import (
    COMMAND,
    Desk,
    Ended,
    consents,
    line_of,
)  # fmt: skip

from ringfence.broker import LocalBroker
from ringfence.ledger.inventory import Holding, take_inventory


@pytest.fixture
async def desk(tmp_path: Path, broker: LocalBroker) -> Desk:
    return Desk(tmp_path, broker.broker.port)


# --- record ---------------------------------------------------------------------------------------


async def test_an_event_is_recorded_with_and_without_a_server(desk: Desk) -> None:
    who = ("--principal", "acme", "--to", "+33639980001")

    first = await desk.run("record", "refusal", *who)
    async with desk.serving():
        second = await desk.run("record", "objection", *who, "--at", "01/03/2026 10:00")

    assert (first.status, second.status) == (0, 0)
    assert (first.complained, second.complained) == (UNSERVED, "")
    one, two = desk.ids()
    assert {first.said, second.said} <= {
        f"refusal {one} is change 1\n",
        f"refusal {two} is change 1\n",
        f"objection {one} is change 2\n",
        f"objection {two} is change 2\n",
    }
    assert await desk.holding() == Holding(2, 0, 1, {"objection": 1, "refusal": 1})


@pytest.fixture
def alone(tmp_path: Path) -> Desk:
    """Give a desk with nobody who serves, and no broker."""
    return Desk(tmp_path, port=1)


def recorded(desk: Desk, *words: str) -> Ended:
    to = () if "--to" in words else ("--to", "06 39 98 00 01")
    return desk.run_here("record", *words, "--principal", "acme", *to)


UNSERVED = "no ledger is served: gates hear of it when one is\n"
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


def test_every_kind_can_be_recorded(alone: Desk) -> None:
    for change, (kind, words) in enumerate(EVERY_KIND.items(), start=1):
        ended = recorded(alone, kind, *words)
        assert (ended.status, ended.complained) == (0, UNSERVED)
        assert re.fullmatch(rf"{kind} [0-9a-f]{{32}} is change {change}\n", ended.said)

    held = take_inventory(alone.database).principals["acme"]
    assert held.events == dict.fromkeys(EVERY_KIND, 1)


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (["refuse"], 2, "'refuse' is not one of consent, "),
        (["refusal", "--to", "06"], 2, "not a telephone number: '06'"),
        (["refusal", "--to", "+441632960001"], 2, "'+441632960001' is not a French number"),
        (["refusal", "--at", "31/12/2199"], 2, "a date in the future: '31/12/2199'"),
        (["refusal", "--at", "31/02/2026"], 2, "no such date: '31/02/2026'"),
        (["refusal", "--text", "web-1"], 2, "refusal: takes no --text"),
        (["withdrawal"], 2, "withdrawal: needs --purpose"),
        (["consent", *ABOUT], 2, "consent: needs --text"),
        (["slot", *ABOUT], 2, "slot: needs --start"),
        (["attempt"], 2, "attempt: needs --call"),
        (["bloctel"], 2, "bloctel: needs --until"),
        (
            ["consent", *ABOUT, "--text", "web-1", "--until", "31/12/2025"],
            1,
            "ends on 2025-12-31, before it was given on ",
        ),
        (["slot", *ABOUT, "--start", "31/12/2026"], 2, "'31/12/2026' is a date without a time"),
        (["consent", *ABOUT, "--text", "web-2"], 1, "the ledger does not take it: consent "),
    ],
)
def test_what_cannot_be_recorded_says_why(
    alone: Desk, words: list[str], status: int, complaint: str
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
