"""A second process reads a sheet as the first would, and neither waits for one that is gone."""

import os
import select
import signal
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from subprocess import PIPE, Popen

import anyio
import anyio.to_thread
import msgspec
import pytest

from ringfence.columns import find_columns
from ringfence.config import load
from ringfence.ledger import reader
from ringfence.ledger.batches import Batch
from ringfence.ledger.columns import names_of
from ringfence.ledger.form import KINDS, Form
from ringfence.ledger.reader import Errand, read_batches
from ringfence.sheet import Sheet, SheetError, open_sheet

NOW = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)
CONFIG = """\
[principals.acme]
secret = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
"""


@pytest.fixture(autouse=True)
def always_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "WORTH", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


@pytest.fixture
def errand(tmp_path: Path) -> Errand:
    """Write a sheet with lines of every fate."""
    (tmp_path / "ringfence.toml").write_text(CONFIG)
    csv = tmp_path / "crm.csv"
    with csv.open("w", encoding="cp1252") as file:
        file.write("Prénom;Tél;Recueilli le;Texte;Objet\n")
        for n in range(100):
            file.write(f"Zoé;0639980{n:03};01/03/2026 10:{n % 60:02};web-1;fibre-{n % 3}\n")
        file.write("Zoé;06 39;01/03/2026;web-1;fibre\nZoé;0639980000;hier;web-1;fibre\n")
        file.write('Zoé;0639980001;"01/03/2026;web-1;fibre\n')
        file.write("Zoé;0639980000;01/03/2026 10:00;web-1;fibre-0\n")
    return Errand(
        csv=str(csv),
        config=str(tmp_path / "ringfence.toml"),
        principal="acme",
        kind="consent",
        named={"number": "tél"},
        given={"until": "01/03/2027"},
        texts=frozenset(["web-1"]),
        now=NOW,
        size=16,
    )


@contextmanager
def opened(errand: Errand) -> Iterator[tuple[Sheet, Form]]:
    """Open the sheet as the first process does, for itself."""
    kind = KINDS[errand.kind]
    with open_sheet(Path(errand.csv)) as sheet:
        columns = find_columns(
            sheet.header,
            kind.needed,
            names=names_of(errand.kind),
            named=errand.named,
            given=errand.given,
        )
        yield (
            sheet,
            Form(
                kind,
                load(Path(errand.config)).keyring(errand.principal),
                principal=errand.principal,
                columns=columns,
                texts=errand.texts,
                now=errand.now,
            ),
        )


def read(
    errand: Errand, *, here: bool = False, sent: Errand | None = None, only: int | None = None
) -> list[Batch]:
    """Read all batches, or the first few; *sent* is what the second process is told instead."""

    async def run(sheet: Sheet, form: Form) -> None:
        reading = read_batches(sheet, form, errand.size, None if here else sent or errand)
        async with aclosing(reading) as batches:
            async for batch in batches:
                told.append(batch)
                if len(told) == only:
                    return

    told: list[Batch] = []
    with opened(errand) as (sheet, form):
        anyio.run(run, sheet, form)
    return told


FAULTY = """
from ringfence.ledger import reader as r
whole = r.Errand.batches
def batches(errand):
    yield next(whole(errand))
    raise OSError("the disk is gone")
r.Errand.batches = batches
r.main()
"""


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, lines: Sequence[str]) -> None:
    """Have another program started in the place of the second process."""
    program = folder / "stand-in"
    program.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    program.chmod(stat.S_IRWXU)
    monkeypatch.setattr(sys, "executable", str(program))


def children() -> set[str]:
    """The processes that this one has started and that are there, ended or not."""
    found: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has ended meanwhile
            found.update((task / "children").read_text().split())
    return found


@pytest.fixture(autouse=True)
def before() -> set[str]:
    """Those that other tests have left."""
    return children()


def test_both_processes_read_the_same(
    errand: Errand, monkeypatch: pytest.MonkeyPatch, before: set[str]
) -> None:
    there = read(errand)
    monkeypatch.setattr(sys, "executable", "/none")
    here = read(errand, here=True)

    assert there == here
    assert sum(len(batch.entries) for batch in here) == 101
    assert sum(len(batch.rejects) for batch in here) == 3
    assert len(here) == 7
    assert here[-1].purposes == ["fibre-0", "fibre-1", "fibre-2"]
    assert here[-1].position == Path(errand.csv).stat().st_size
    assert children() <= before


def test_the_second_process_does_read(
    errand: Errand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = tmp_path / "called"
    stand_in(tmp_path, monkeypatch, [f"touch {called}", f'exec {sys.executable} "$@"'])

    assert read(errand) == read(errand, here=True)
    assert called.exists()


@pytest.mark.parametrize("lines", [["exit 3"], ["exec cat >/dev/null"], ["echo Hello, world"]])
def test_where_no_second_process_can_be_had_the_first_reads(
    errand: Errand,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[str],
    before: set[str],
) -> None:
    stand_in(tmp_path, monkeypatch, lines)
    instead = read(errand)
    monkeypatch.setattr(sys, "executable", "")

    assert instead == read(errand) == read(errand, here=True)
    assert children() <= before


def test_what_the_second_process_cannot_begin_the_first_does(errand: Errand) -> None:
    misled = msgspec.structs.replace(errand, named={"number": "none"})

    assert read(errand, sent=misled) == read(errand, here=True)


def test_what_keeps_the_second_process_from_going_on_ends_the_reading(
    errand: Errand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ends.py").write_text(FAULTY)
    stand_in(tmp_path, monkeypatch, [f"exec {sys.executable} {tmp_path}/ends.py"])

    with pytest.raises(SheetError, match=r"^the disk is gone$"):
        read(errand)


def test_a_second_process_that_dies_in_the_middle_ends_the_reading(
    errand: Errand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: set[str]
) -> None:
    tells_two = f'{sys.executable} "$@" | head -c 9000; kill -9 $$'
    stand_in(tmp_path, monkeypatch, [tells_two])

    with pytest.raises(SheetError, match=r"crm\.csv: the process that reads it ended with status"):
        read(errand)

    assert children() <= before


def test_a_reading_that_is_given_up_leaves_no_process(errand: Errand, before: set[str]) -> None:
    assert len(read(errand, only=1)) == 1
    assert children() <= before


def test_a_reading_is_given_up_though_the_second_process_says_nothing(
    errand: Errand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: set[str]
) -> None:
    silent = tmp_path / "silent"
    os.mkfifo(silent)
    stand_in(tmp_path, monkeypatch, [f"echo >{silent}", "exec sleep 1000"])

    async def run(sheet: Sheet, form: Form) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anext, read_batches(sheet, form, errand.size, errand))
            await anyio.to_thread.run_sync(silent.read_text)
            tasks.cancel_scope.cancel()

    with opened(errand) as (sheet, form):
        anyio.run(run, sheet, form)

    assert children() <= before


FIRST = """
import os, sys
from ringfence.ledger import reader
second = reader._Second(reader._errand.decode(sys.stdin.buffer.read()))
second.fetch()
print(second._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_second_process_ends_with_the_first(errand: Errand) -> None:
    with Path(errand.csv).open("a", encoding="cp1252") as file:
        file.writelines(["Zoé;0639980001;01/03/2026;web-1;fibre\n"] * 20_000)

    with Popen([sys.executable, "-c", FIRST], stdin=PIPE, stdout=PIPE) as first:
        told, _ = first.communicate(msgspec.msgpack.encode(errand), timeout=30)

    assert first.returncode == -signal.SIGKILL
    try:
        second = os.pidfd_open(int(told))
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([second], [], [], 30)
    finally:
        os.close(second)
    assert ended


def test_long_lines_make_small_batches(errand: Errand) -> None:
    with Path(errand.csv).open("a", encoding="cp1252") as file:
        file.writelines([f"{'x' * 60_000};0639980001;01/03/2026;web-1;fibre\n"] * 4000)
    most = msgspec.structs.replace(errand, size=1 << 16)

    read_here = read(most, here=True)

    assert read_here == read(most)
    assert max(len(batch.written) for batch in read_here) < 100 << 20
    assert len(read_here) > 1
    assert sum(len(batch.entries) for batch in read_here) == 4101
