"""`ringfence ledger import`: real processes, a real broker, files as they come."""

import os
import signal
from pathlib import Path

import anyio.to_thread
import pytest
from tests.integration.desk import Desk, consents

from ringfence.broker import LocalBroker
from ringfence.ledger.inventory import Holding
from ringfence.ledger.store import Store


@pytest.fixture
async def desk(tmp_path: Path, broker: LocalBroker) -> Desk:
    return Desk(tmp_path, broker.broker.port)


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
    lines = 70_000
    csv = consents(tmp_path / "crm.csv", lines)

    async with desk.bringing_in(csv) as process:
        process.kill()
    part = await desk.holding()
    rest = await desk.bring_in(csv)

    assert 0 < part.seq <= lines
    assert rest.said.startswith(
        f"crm.csv: {lines} lines read, {lines - part.seq} imported, {part.seq} known, 0 rejected"
    )
    assert await desk.holding() == Holding(lines, lines, 0, {"consent": lines})
    assert len(set(desk.ids())) == lines


async def test_an_import_that_was_interrupted_says_how_far_it_came(
    desk: Desk, tmp_path: Path
) -> None:
    lines = 500_000
    csv = consents(tmp_path / "crm.csv", lines)

    async with desk.bringing_in(csv) as process:
        process.send_signal(signal.SIGINT)
        status = await process.wait()
        assert process.stdout is not None
        said = (await process.stdout.receive()).decode()
    part = await desk.holding()
    rest = await desk.bring_in(csv)

    assert status == 130
    assert f"{lines - part.seq} imported, {part.seq} known" in rest.said
    assert " lines read, " in said
    assert await desk.holding() == Holding(lines, lines, 0, {"consent": lines})


async def test_an_import_whose_second_process_was_killed_ends_and_is_finished_by_the_next(
    desk: Desk, tmp_path: Path
) -> None:
    lines = 500_000
    csv = consents(tmp_path / "crm.csv", lines)

    async with desk.bringing_in(csv) as process:
        (second,) = await anyio.to_thread.run_sync(children_of, process.pid)
        os.kill(second, signal.SIGKILL)
        status = await process.wait()
    part = await desk.holding()
    rest = await desk.bring_in(csv)

    assert status == 2
    assert 0 < part.seq < lines
    assert f"{lines - part.seq} imported, {part.seq} known" in rest.said


def children_of(process: int) -> list[int]:
    told = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for of_thread in told for child in of_thread.read_text().split()]


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

    assert 0 < part.seq <= 20_000
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


def test_a_refusal_without_a_date_is_imported_and_told_of(tmp_path: Path) -> None:
    desk = Desk(tmp_path, port=1)
    csv = tmp_path / "stop.csv"
    csv.write_text("tel;Date du refus\n" + "0639980001;2026\n" * 21 + "0639980002;01/03/2026\n")

    ended = desk.run_here("import", str(csv), "--principal", "acme", "--kind", "refusal")

    assert (ended.status, ended.complained) == (0, "")
    first, told, *lines = ended.said.splitlines()
    assert "22 lines read, 2 imported, 20 known, 0 rejected" in first
    assert told == "21 lines are dated today for want of a date that can be read:"
    assert lines[0].startswith("  line 2: not a date like 31/12/2026, 2026-12-31 or 46387")
    assert (len(lines), lines[-1]) == (21, "  …")


CAMPAIGN = """
[campaigns.acme-fibre]
principal = "acme"
purpose = "fibre"
sector = "telecom"
operator = "callco"
dial_mode = "preview"
caller_ids = ["+33162000001"]
"""


def test_a_purpose_that_no_campaign_has_is_warned_of_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path, port=1)
    csv = consents(tmp_path / "crm.csv", 3, "Léo;0639980004;01/03/2026;web-1;fibre")
    who = ("--principal", "acme")
    desk.config.write_text(desk.config.read_text() + CAMPAIGN)

    imported = desk.run_here("import", str(csv), *who)
    words = ("--to", "0639980001", "--purpose", "energie")
    recorded = desk.run_here("record", "withdrawal", *who, *words)

    warning = "ringfence: warning: no campaign of acme has the purpose {}; there are fibre\n"
    assert (imported.status, recorded.status) == (0, 0)
    assert imported.complained == warning.format("fibre-0")
    assert recorded.complained.startswith(warning.format("energie"))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["."], ". is no regular file"),
        (["none.csv"], "none.csv: No such file or directory"),
        (["nameless.csv"],
         ("no column for the number; there are 'Nom', 'Prénom', 'Date': say which it is with"
         " --column number=NAME")),
        (["crm.csv", "--text", "web-2"], "no such text: 'web-2'"),
        (["crm.csv", "--kind", "consents"], "'consents' is not one of consent, "),
        (["crm.csv", "--column", "tel"], "'tel' is not ROLE=NAME"),
        (["crm.csv", "--rejects", "crm.csv"], "crm.csv is the file to import"),
        (["crm.csv", "--principal", "beta"], "no table [principals.beta]"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_at_all_says_why_and_ends_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    desk = Desk(tmp_path, port=1)
    consents(tmp_path / "crm.csv", 1)
    (tmp_path / "nameless.csv").write_text("Nom;Prénom;Date\nDupont;Zoé;01/03/2026\n")

    ended = desk.run_here("import", "--principal", "acme", *words)

    assert (ended.status, ended.said) == (2, "")
    assert ended.complained.startswith("ringfence: ")
    assert complaint in ended.complained


async def test_without_a_ledger_an_import_gives_up_after_its_time(
    desk: Desk, tmp_path: Path
) -> None:
    csv = consents(tmp_path / "crm.csv", 1)

    store = await anyio.to_thread.run_sync(Store, desk.database, 1)
    ended = await desk.bring_in(csv, "--timeout", "0.5")  # the file is in use, and not served
    await anyio.to_thread.run_sync(store.close)

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
