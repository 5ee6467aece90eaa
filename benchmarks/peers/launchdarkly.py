"""LaunchDarkly's client for asyncio: a flag that is evaluated in this process."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ldclient import Context
from ldclient.async_client import AsyncLDClient
from ldclient.async_config import AsyncConfig, AsyncDataSystemConfig
from ldclient.integrations.test_datav2 import TestDataV2

from benchmarks.peers import Opened, Peer

__all__ = ["PEERS"]

FLAG = "may-be-called"


@asynccontextmanager
async def opened(_folder: Path, numbers: list[str]) -> AsyncIterator[Opened]:
    logging.getLogger("ldclient").setLevel(logging.ERROR)
    data = TestDataV2.data_source()
    flag = data.flag(FLAG).boolean_flag().fallthrough_variation(False)  # noqa: FBT003 - theirs
    for number in numbers:
        flag.variation_for_key("user", number, 0)
    data.update(flag)
    system = AsyncDataSystemConfig(
        initializers=[data.async_builder], synchronizers=[data.async_builder]
    )
    config = AsyncConfig("sdk-key", send_events=False, datasystem_config=system)
    async with AsyncLDClient(config) as client:
        variation, create = client.variation, Context.create

        async def ask(number: str) -> bool:
            return bool(await variation(FLAG, create(number), None))

        yield Opened(ask_later=ask)


PEERS = (
    Peer(
        "LaunchDarkly",
        "AsyncLDClient with TestDataV2, no events sent: one flag that targets the numbers, the"
        " number as the key of the context. Is the flag on for it?",
        opened,
    ),
)
