"""`ringfence gate serve` where it cannot serve: one line that says what is wrong, and what to do.

And what all commands say of themselves.
"""

import socket
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ringfence.cli.app import app

CONFIG = """
[broker]
port = 1
[gate]
id = "tunis-1"
data = "gate"
principals = ["acme"]
[principals.acme]
secret = "000102030405060708090a0b0c0d0e0f"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "ringfence.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def taken() -> Iterator[int]:
    """Give a port on which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        yield port


def serve(config: Path, *words: str) -> str:
    """Give the line that is said where a gate cannot serve."""
    command = ["gate", "serve", "--config", str(config), "--adapter", "agi", *words]
    done = CliRunner().invoke(app, command)

    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


def test_a_port_that_is_in_use_is_named_with_what_to_do(config: Path, taken: int) -> None:
    assert serve(config, "--port", str(taken)) == (
        f"ringfence: agi cannot listen on 127.0.0.1, port {taken}: Address already in use:"
        " end what listens there, or give another --port"
    )


@pytest.mark.parametrize("port", ["99999", "-5"])
def test_a_number_that_is_no_port_is_named(config: Path, port: str) -> None:
    assert serve(config, "--port", port) == (
        f"ringfence: --port: {port} is no port: those go from 1 to 65535, and 0 takes any"
    )


def test_an_address_of_another_machine_is_named(config: Path) -> None:
    """One of those that are kept for documentation."""
    assert serve(config, "--host", "192.0.2.1", "--port", "4571") == (
        "ringfence: agi cannot listen on 192.0.2.1, port 4571: Cannot assign requested address:"
        " give an address of this machine as --host"
    )


def test_a_host_that_is_not_known_is_named(config: Path) -> None:
    said = serve(config, "--host", "no-such-host.invalid")

    assert said.startswith("ringfence: agi cannot listen on no-such-host.invalid, port 0: ")
    assert said.endswith(": give an address of this machine as --host")


def test_more_ports_than_adapters_are_counted(config: Path) -> None:
    assert serve(config, "--port", "0", "--port", "0") == "ringfence: 2 ports for 1 adapters"


def test_an_adapter_that_there_is_not_is_named(config: Path) -> None:
    said = serve(config, "--adapter", "smoke-signals")

    assert said.startswith("ringfence: no adapter is called 'smoke-signals'; there are ")


def test_data_that_is_a_file_is_named(config: Path, tmp_path: Path) -> None:
    (tmp_path / "gate").write_text("a file")

    assert serve(config) == (
        f"ringfence: gate.data: {tmp_path}/gate: File exists: name a folder that can be written"
    )


def test_data_that_cannot_be_made_is_named(config: Path, tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file")
    config.write_text(CONFIG.replace('"gate"', '"var/gate"'))

    assert serve(config) == (
        f"ringfence: gate.data: {tmp_path}/var/gate: Not a directory:"
        " name a folder that can be written"
    )


# --- of themselves --------------------------------------------------------------------------------


def test_the_command_says_its_version() -> None:
    done = CliRunner().invoke(app, ["--version"])

    assert (done.exit_code, done.stdout) == (0, f"ringfence {version('ringfence')}\n")


def texts(command: object, *names: str) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Give what is written of a command, and of those below it."""
    written = [getattr(part, "help", "") for part in (command, *getattr(command, "params", ()))]
    yield names, [text for text in written if text]
    for name, each in getattr(command, "commands", {}).items():
        yield from texts(each, *names, name)


WRITTEN = dict(texts(typer.main.get_command(app)))


@pytest.mark.parametrize("names", WRITTEN, ids=" ".join)
def test_a_help_text_is_shown_as_it_is_written(names: tuple[str, ...]) -> None:
    """What stands in square brackets would be taken for a style, and swallowed."""
    done = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "400"})

    words = {word for text in WRITTEN[names] for word in text.split()}
    assert done.exit_code == 0
    assert words <= set(done.stdout.replace("│", " ").split())
