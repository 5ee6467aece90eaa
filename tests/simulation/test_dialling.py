"""Fifty gates that dial the same people through a lossy link: never a fifth call."""

import os
from pathlib import Path

import pytest
from hypothesis import settings
from tests.simulation.dialling import Dialling

GATES = 50
# A run takes a second: few in `make test`, thousands in `make soak`.
TRIED = settings.get_profile(settings.get_current_profile_name()).max_examples // 20
SEEDS = int(os.environ.get("RINGFENCE_SEEDS", TRIED))
FIRST = int(os.environ.get("RINGFENCE_FIRST_SEED", "0"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_fifty_gates_never_make_a_fifth_attempt_and_do_make_four(seed: int, tmp_path: Path) -> None:
    """In no window of the calendar, however calls, answers, gates and ledger meet or are lost."""
    dialling = Dialling(seed, tmp_path, gates=GATES)

    dialling.run()

    assert max(dialling.calls.reached.values()) == 4
    assert dialling.exhausted  # there were gates that did not know, and the ledger told them


def test_where_nothing_goes_wrong_each_person_can_be_called_four_times(tmp_path: Path) -> None:
    """What was asked for in vain, or given back, takes nothing from what may be called."""
    dialling = Dialling(0, tmp_path, gates=GATES)

    dialling.run(well=True)

    assert dialling.calls.reached == {person: 4 for person, _ in dialling.people}
    assert dialling.exhausted


def bound(gates: int, margin: int) -> int:
    """What each gate answers by itself, and what the ledger grants; no gate by itself errs."""
    return min(4 * gates, 4 + gates * (4 - margin))


@pytest.mark.parametrize("margin", [0, 2, 3])
@pytest.mark.parametrize("gates", [1, 3, GATES])
def test_with_a_smaller_margin_there_may_be_more_but_no_more_than_is_told(
    gates: int, margin: int, tmp_path: Path
) -> None:
    dialling = Dialling(margin, tmp_path, gates=gates, margin=margin, most=bound(gates, margin))

    dialling.run(days=6)

    most = max(dialling.calls.reached.values())
    if gates == 1:
        assert most == 4
    if gates == GATES:
        assert most > 4
