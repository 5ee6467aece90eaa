"""Casbin's FastEnforcer: policies that are looked up in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import casbin
from casbin.persist import Adapter

from benchmarks.peers import Opened, Peer

__all__ = ["PEERS"]

MODEL = """\
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && r.obj == p.obj && r.act == p.act
"""
CAMPAIGN, ACTION = "acme-fibre", "call"


class Numbers(Adapter):  # type: ignore[misc]  # the library has no types
    """Loads a policy for each number: added one by one they would take quadratic time."""

    def __init__(self, numbers: list[str]) -> None:
        self._numbers = numbers

    def load_policy(self, model: casbin.Model) -> None:
        add = model.model["p"]["p"].policy.append
        for number in self._numbers:
            add((CAMPAIGN, number, ACTION))


@asynccontextmanager
async def opened(folder: Path, numbers: list[str]) -> AsyncIterator[Opened]:
    model = folder / "model.conf"
    model.write_text(MODEL)
    enforcer = casbin.FastEnforcer(str(model), Numbers(numbers), cache_key_order=[2, 1])
    enforce = enforcer.enforce

    def ask(number: str) -> bool:
        return bool(enforce(CAMPAIGN, number, ACTION))

    yield Opened(ask=ask)


PEERS = (
    Peer(
        "Casbin",
        "pycasbin's FastEnforcer, a policy for each number, found by action and number. Is there a"
        " policy that lets this campaign call the number?",
        opened,
    ),
)
