"""Every snippet of the README is run."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.broker import LocalBroker
from ringfence.config import Settings, load
from ringfence.wire import read_event

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
MAKE_AND_INSTALL = ("make ", "pip ")


def snippets(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, broker: LocalBroker) -> Path:
    (config,) = snippets("toml")
    config = config.replace("port = 1883", f"port = {broker.broker.port}")
    (tmp_path / "ringfence.toml").write_text(config, encoding="utf-8")
    (tmp_path / "acme.secret").write_text(bytes(range(32)).hex())
    for name in ("consents.csv", "leads.csv"):
        text = "number,date\n+33639980001,2026-09-01\n"
        (tmp_path / name).write_text(text, encoding="utf-8")
    vectors = Path(__file__).parents[1] / "data" / "vectors.json"
    (tmp_path / "vectors.json").write_bytes(vectors.read_bytes())
    return tmp_path


def ringfence(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ringfence", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=40,
    )


@pytest.fixture
def ledger(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "ringfence", "ledger", "serve", "--config", "ringfence.toml"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"serving")
        yield process
        process.terminate()


def test_the_configuration_is_one(folder: Path) -> None:
    settings = load(folder / "ringfence.toml")

    assert isinstance(settings, Settings)
    assert list(settings.campaigns) == ["acme-fibre"]


@pytest.mark.usefixtures("ledger")
def test_the_program_runs(folder: Path) -> None:
    program, _ = snippets("python")

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=40,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ready\n")
    assert "Decision(verdict=" in done.stdout


AROUND = """
import anyio
from ringfence import Call, Gate, Objection, Outcome

async def answered(call):
    placed.set()
    await anyio.sleep_forever()

{snippet}

async def main():
    global placed
    placed = anyio.Event()
    async with Gate.from_toml("ringfence.toml") as gate:
        assert await gate.ready(10)
        call = Call(to="+33639980001", campaign="acme-pro", caller_id="+33162000001")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(place, gate, call)
            await placed.wait()
            await gate.record(Objection(to=call.to, principal="acme"))
        print(gate.permit(call.id).outcome)

anyio.run(main)
"""
PRO = """
[campaigns.acme-pro]
principal = "acme"
purpose = "fibre"
sector = "telecom"
operator = "callco"
dial_mode = "preview"
caller_ids = ["+33162000001"]
audience = "business"  # may be called at any hour, so also when this test runs
"""


def test_the_watch_ends_the_block_when_the_person_says_no(folder: Path) -> None:
    _, snippet = snippets("python")
    with (folder / "ringfence.toml").open("a") as config:
        config.write(PRO)
    ledger = serve(folder, "ringfence ledger serve --config ringfence.toml", b"serving")

    done = subprocess.run(
        [sys.executable, "-c", AROUND.format(snippet=snippet)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=40,
    )
    ledger.terminate()
    ledger.communicate(timeout=20)

    assert (done.stdout, done.stderr) == ("no_answer\n", "")


SERVED = ("ledger record", "explain +33639980001", "scrub leads.csv")
AFTERWARDS = (
    "evidence verify", "evidence replay", "evidence show", "evidence export",
    "consent certificate", "report --config",
)  # fmt: skip
AT_FIRST = ("ledger import", "decide vectors.json")


def test_the_commands_run(folder: Path) -> None:
    commands = {}
    for block in snippets("console"):
        for line in block.splitlines():
            command = line.removeprefix("$ ")
            if not command.startswith(MAKE_AND_INSTALL):
                commands[" ".join(command.split()[1:3])] = command
    done = {name: shell(folder, commands[name]) for name in AT_FIRST}
    served = serve(folder, commands["ledger serve"], b"serving")
    gate = serve(folder, commands["gate serve"].replace("4573", "0"), b'{"listening"')
    try:
        done |= {name: shell(folder, commands[name]) for name in SERVED}
    finally:
        for process in (served, gate):
            process.terminate()
            process.communicate(timeout=20)
    done |= {name: shell(folder, commands[name]) for name in AFTERWARDS}

    assert set(commands) == {*done, "ledger serve", "gate serve"}
    refused = "explain +33639980001"  # a moment ago
    assert {name: run.returncode for name, run in done.items()} == {
        name: int(name == refused) for name in (*AT_FIRST, *SERVED, *AFTERWARDS)
    }, {name: run.stderr for name, run in done.items()}
    assert "DENY refused" in done[refused].stdout
    assert "deny,refused" in (folder / "answers.csv").read_text(encoding="utf-8")
    assert (folder / "certificate.pdf").read_bytes().startswith(b"%PDF")


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    return ringfence(folder, *shlex.split(command)[1:])


def serve(folder: Path, command: str, first: bytes) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "ringfence", *command.split()[1:]]
    process = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().startswith(first)
    return process


def test_the_event_is_one(folder: Path) -> None:
    del folder
    (event,) = snippets("json")

    read = read_event(event.encode(), json=True)

    assert read.stated().key == 1727787136684913455


def test_the_table_of_keys_is_that_of_the_vectors() -> None:
    vectors = json.loads((Path(__file__).parents[1] / "data" / "vectors.json").read_text())
    known = {v["message"]: v["key"] for v in vectors["keys"] if v["principal"] == "acme"}
    shown = re.findall(r"^\| `([^`]+)` \| (\d+) \|$", README, re.MULTILINE)

    assert len(shown) == 3
    assert all(known[message.replace("␟", "\x1f")] == int(key) for message, key in shown)
