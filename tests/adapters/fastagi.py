"""Both ends of FastAGI: what Asterisk says, captured from 16.28, and the server it says it to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType

from tests.adapters.conformance import serving

from ringfence_adapters.agi import serve
from ringfence_adapters.agi.server import Gate

__all__ = ["DONE", "USAGE", "answering", "block", "hear", "speaking"]

LONG = 60.0
"""A deadline that no test reaches."""

NOTHING: Mapping[str, str] = MappingProxyType({})

DONE = b"200 result=0\n"

# The answer to a SET VARIABLE without a name.
USAGE = (
    b"520-Invalid command syntax.  Proper usage follows:\n"
    b"Sets a variable to the current channel.\n"
    b"520 End of proper usage.\n"
)


def block(script: str, *arguments: str, caller: str = "0162000001") -> bytes:
    """Give the block that opens a dialogue."""
    lines = [
        "agi_network: yes",
        f"agi_network_script: {script}",
        f"agi_request: agi://127.0.0.1:4573/{script}",
        "agi_channel: Local/33639980001@ringfence-out-00000000;2",
        "agi_language: en",
        "agi_type: Local",
        "agi_uniqueid: 1795474071.1",
        "agi_version: 16.28.0~dfsg-0+deb11u4",
        f"agi_callerid: {caller}",
        "agi_calleridname: V0123456789000000042",
        "agi_callingpres: 0",
        "agi_callingani2: 0",
        "agi_callington: 0",
        "agi_callingtns: 0",
        "agi_dnid: unknown",
        "agi_rdnis: unknown",
        "agi_context: ringfence-out",
        "agi_extension: 33639980001",
        "agi_priority: 6",
        "agi_enhanced: 0.0",
        "agi_accountcode: ",
        "agi_threadid: 139888856000256",
        *(f"agi_arg_{place}: {argument}" for place, argument in enumerate(arguments, start=1)),
        "\n",
    ]
    return "\n".join(lines).encode()


@asynccontextmanager
async def answering(
    gate: Gate, *, deadline: float = LONG, dispositions: Mapping[str, str] = NOTHING
) -> AsyncIterator[int]:
    """Run the server; give its port."""

    async def run(ready: Callable[[int], object]) -> None:
        await serve(gate, "127.0.0.1", 0, ready=ready, deadline=deadline, dispositions=dispositions)

    async with serving(run) as port:
        yield port


@asynccontextmanager
async def speaking(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to it as Asterisk does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def hear(port: int, *says: bytes, ends: bool = False) -> bytes:
    """Say this, then give all that comes until the server closes."""
    async with speaking(port) as (reader, writer):
        writer.writelines(says)
        if ends:
            writer.write_eof()
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""  # closed with what we said unread
