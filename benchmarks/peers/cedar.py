"""Cedar, by cedarpy: a policy that is evaluated in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import cedarpy

from benchmarks.peers import Opened, Peer

__all__ = ["PEERS"]

POLICY = """\
permit (principal, action == Action::"call", resource)
when { context.consented && !context.refused };
"""
FACTS = '{"consented": true, "refused": false}'
GATE = {"type": "Gate", "id": "a"}
CALL = {"type": "Action", "id": "call"}


@asynccontextmanager
async def opened(_folder: Path, numbers: list[str]) -> AsyncIterator[Opened]:
    policies = cedarpy.PolicySet.from_str(POLICY)
    entities = cedarpy.Entities.from_json_str("[]")
    facts = dict.fromkeys(numbers, FACTS)

    def ask(number: str) -> bool:
        known = facts.get(number)
        if known is None:
            return False
        request = {
            "principal": GATE,
            "action": CALL,
            "resource": {"type": "Number", "id": number},
            "context": known,
        }
        return bool(cedarpy.is_authorized(request, policies, entities).allowed)

    yield Opened(ask=ask)


PEERS = (
    Peer(
        "Cedar",
        "cedarpy, policies and entities parsed once and kept as handles, names as dicts. The facts"
        " of a number come from a `dict` and are the context of the request, for a handle of so"
        " many entities takes minutes to make. May it be called: consented, and not refused?",
        opened,
    ),
)
