"""Whoever reads a table's file while others write it, and are killed, sees what they wrote."""

import pytest
from benchmarks.torn import tried


@pytest.mark.timeout(240)
def test_no_reader_sees_a_row_that_nobody_wrote() -> None:
    seen, kills = tried(3.0, readers=8, kill_every=0.5)

    assert seen.impossible == 0, seen
    assert seen.sound > 10_000
    assert kills > 1


@pytest.mark.timeout(240)
def test_a_reader_that_looks_at_no_version_sees_torn_rows() -> None:
    """Else the other test would tell nothing."""
    seen, _ = tried(30.0, readers=2, careless=True)

    assert seen.torn
