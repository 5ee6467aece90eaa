"""The whole protocol under loss, crashes and wrong clocks, one seed after the other."""

import os
from pathlib import Path

import pytest
from tests.simulation import ledgers
from tests.simulation.chaos import Simulation

from ringfence import backlog, proof, replica, snapshot
from ringfence.ledger import intake

SEEDS = int(os.environ.get("RINGFENCE_SEEDS", "60"))
FIRST = int(os.environ.get("RINGFENCE_FIRST_SEED", "0"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_no_gate_vouches_for_what_is_missing_and_all_is_well_in_the_end(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = Simulation(seed, tmp_path)
    # Small limits, so that few events meet all of them.
    for module, name, values in (
        (snapshot, "SHARD_ROWS", (4, 20, 2500)),
        (snapshot, "PART_ROWS", (3, 3500)),
        (intake, "MAX_BATCH", (1, 4, 512)),
        (backlog, "MAX_WAITING", (3, 20, 4096)),
        (backlog, "MAX_EARLY", (3, 65_536)),
        (backlog, "TURN", (200, 24_000)),
        (proof, "MAX_DIGESTS", (5, 1024)),
    ):
        monkeypatch.setattr(module, name, simulation.random.choice(values))
    told = simulation.random.choice((2, 64))
    monkeypatch.setattr(replica, "MAX_RANGE", told)
    monkeypatch.setattr(ledgers, "MAX_RANGE", told)
    simulation.run()
