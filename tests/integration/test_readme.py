"""Every snippet of the README is run."""

import json
import re
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
    (tmp_path / "consents.csv").write_text(
        "number,date\n+33639980001,2026-09-01\n", encoding="utf-8"
    )
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
    (program,) = snippets("python")

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


def test_the_commands_run(folder: Path) -> None:
    commands = {}
    for block in snippets("console"):
        for line in block.splitlines():
            command = line.removeprefix("$ ")
            if not command.startswith(MAKE_AND_INSTALL):
                commands[" ".join(command.split()[1:3])] = command
    done = {
        name: shell(folder, commands[name]) for name in ("ledger import", "decide vectors.json")
    }
    served = serve(folder, commands["ledger serve"], b"serving")
    gate = serve(folder, commands["gate serve"].replace("4573", "0"), b'{"listening"')
    try:
        for name in ("ledger record", "explain +33639980001"):
            done[name] = shell(folder, commands[name])
    finally:
        for process in (served, gate):
            process.terminate()
            process.communicate(timeout=20)

    assert set(commands) == {*done, "ledger serve", "gate serve"}
    assert {name: run.returncode for name, run in done.items()} == {
        "ledger import": 0,
        "decide vectors.json": 0,
        "ledger record": 0,
        "explain +33639980001": 1,  # it was refused a moment ago
    }, {name: run.stderr for name, run in done.items()}
    assert "DENY refused" in done["explain +33639980001"].stdout


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    words = command.replace('"06 39 98 00 01"', "06.39.98.00.01").split()
    return ringfence(folder, *words[1:])


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
