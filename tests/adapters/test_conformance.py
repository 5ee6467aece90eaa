"""Every adapter, through a real dialer where there is one, and one list of checks."""

from contextlib import AbstractAsyncContextManager

import pytest
from tests.adapters.asterisk import Asterisk
from tests.adapters.conformance import CHECKS, Check, Dialer, Dialled
from tests.adapters.fastagi import answering
from tests.adapters.scripted import ScriptedGate


class AsteriskDialer:
    """The FastAGI adapter, behind a real Asterisk that runs the dialplan shipped with it."""

    permanent = "DNC 21"
    temporary = "CONGESTION 34"
    guard = 2.0

    def __init__(self, asterisk: Asterisk) -> None:
        self._asterisk = asterisk

    def serving(self, gate: ScriptedGate, *, deadline: float) -> AbstractAsyncContextManager[int]:
        return answering(gate, deadline=deadline)

    async def dial(self, number: str, gate: int, *, talk: float = 0) -> Dialled:
        async with self._asterisk.calling(number, gate=gate, talk=talk) as call:
            return await call.over()

    async def report(self, attempt: str, gate: int) -> None:
        script = f"agi://127.0.0.1:{gate}/ringfence-outcome"
        await self._asterisk.run("AGI", f"{script},{attempt},ANSWER,16,")


@pytest.fixture(params=[AsteriskDialer])
def dialer(request: pytest.FixtureRequest, asterisk: Asterisk) -> Dialer:
    made: Dialer = request.param(asterisk)
    return made


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_an_adapter_holds_what_all_promise(check: Check, dialer: Dialer) -> None:
    await check(dialer)
