"""What every test lives under: a foreign clock, a loop that must not block, one search profile."""

import os
import time
from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, BlockBusterFunction
from hypothesis import settings

OURS = ["ringfence", "ringfence_adapters"]

# The operator dials from another country than the consumer's, and its clock must play no part.
os.environ["TZ"] = "Africa/Casablanca"
time.tzset()

# Named "ci" because Hypothesis brings a profile of that name, which it loads by itself where CI is
# set and which tries the same examples each time.
settings.register_profile("ci", deadline=None, derandomize=False, max_examples=100, print_blob=True)
settings.register_profile("soak", settings.get_profile("ci"), max_examples=20_000)
settings.load_profile("ci")


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """Fail any test in which our code blocks the event loop."""
    watch = BlockBuster(OURS)
    # The one call a journal waits in, and the one blockbuster does not know.
    for name in ("fsync", "fdatasync"):
        watch.functions[f"os.{name}"] = BlockBusterFunction(os, name, scanned_modules=OURS)
    # A write ends in the page cache. The journal does it on the loop on purpose, so that a killed
    # process loses nothing; what waits for the disk is caught there as everywhere.
    watch.functions["os.write"].can_block_in("ringfence/journal.py", "_write")
    # A table that was loaded, or has grown, takes its place by a rename: that waits for no disk.
    for name in ("link", "replace", "stat", "unlink"):
        watch.functions[f"os.{name}"].can_block_in("ringfence/slots.py", {"retire", "take_place"})
    watch.functions["os.unlink"].can_block_in("ringfence/slots.py", "_new_file")  # likewise
    watch.functions["os.unlink"].can_block_in("ringfence/table.py", "discard")  # likewise
    # The measuring of coverage waits for other threads here, not we.
    watch.functions["threading.Lock.acquire"].can_block_in("coverage/collector.py", "lock_data")
    watch.activate()
    try:
        yield watch
    finally:
        watch.deactivate()
