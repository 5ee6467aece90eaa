"""The Asterisk that the tests of this folder share."""

from collections.abc import Generator, Iterator

import pytest
from tests.adapters.asterisk import Asterisk, missing, running


@pytest.fixture(scope="session")
def asterisk() -> Iterator[Asterisk]:
    if need := missing():
        pytest.fail(need, pytrace=False)
    with running() as asterisk:
        yield asterisk


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what Asterisk did in a test that failed."""
    report = yield
    if isinstance(item, pytest.Function) and report.failed and call.when == "call":
        asterisk = item.funcargs.get("asterisk")
        if isinstance(asterisk, Asterisk):
            report.sections.append(("Asterisk", asterisk.log.read_text()[-8000:]))
    return report
