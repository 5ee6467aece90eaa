from datetime import UTC, date, datetime

import numpy as np
import pytest

from ringfence.row import (
    GROUND,
    NO_GROUND,
    NO_RESTRAINT,
    OPEN_END,
    RESTRAINT,
    ROW,
    Ground,
    Restraint,
    date_of,
    day_in,
    day_of,
)

KEY = 1727787136684913455


def record(dtype: np.dtype[np.void], words: tuple[int, int]) -> np.void:
    """Read the two words of a row as the table, the wire and the snapshot do."""
    row: np.void = np.array([KEY, *words], "<u8").view(dtype)[0]
    return row


def test_rows_are_twenty_four_bytes() -> None:
    assert GROUND.itemsize == RESTRAINT.itemsize == ROW == 24


def test_a_packed_ground_has_the_fields_of_its_dtype() -> None:
    slot = int(datetime(2026, 11, 28, 10, tzinfo=UTC).timestamp())
    ground = Ground(
        text=7,
        consent_from=2435,
        consent_until=2500,
        contract_until=OPEN_END,
        callback_on=2450,
        slot_at=slot,
        slot_minutes=30,
    )

    row = record(GROUND, ground.pack())

    origin = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp())
    assert row.tolist() == (KEY, 7, 2435, 2500, OPEN_END, 2450, 30, slot - origin)


def test_a_packed_restraint_has_the_fields_of_its_dtype() -> None:
    restraint = Restraint(
        refused_on=2500, objected=True, attempts=(2504, 2503, 2502, 2501), bloctel_until=2410
    )

    row = record(RESTRAINT, restraint.pack())

    assert (row["key"], row["refused_on"], row["flags"]) == (KEY, 2500, 1)
    assert row["attempts"].tolist() == [2504, 2503, 2502, 2501]
    assert (row["bloctel_until"], row["reserved"]) == (2410, 0)


def test_a_withdrawn_consent_keeps_its_text() -> None:
    assert Ground.unpack(Ground(text=7, withdrawn=True, consent_from=3).pack()) == Ground(
        text=7, withdrawn=True, consent_from=3
    )


def test_nothing_known_is_all_zeros() -> None:
    assert NO_GROUND.pack() == NO_RESTRAINT.pack() == (0, 0)
    assert Ground.unpack((0, 0)) == NO_GROUND
    assert Restraint.unpack((0, 0)) == NO_RESTRAINT


@pytest.mark.parametrize("age", [0, 1, 14])
def test_a_callback_that_named_the_company_survives_a_later_vaguer_one(age: int) -> None:
    ground = Ground(callback_on=2500, named_callback_on=2500 - age)

    assert Ground.unpack(ground.pack()) == ground


def test_a_named_callback_too_old_to_be_a_ground_is_forgotten() -> None:
    """Five working days (R223-4) never span more than fourteen."""
    ground = Ground(callback_on=2500, named_callback_on=2485)

    assert Ground.unpack(ground.pack()) == Ground(callback_on=2500)


def test_a_slot_before_the_tables_begin_stays_a_slot_in_the_past() -> None:
    old = int(datetime(2019, 6, 1, tzinfo=UTC).timestamp())
    first = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp())

    assert Ground.unpack(Ground(slot_at=old).pack()).slot_at == first + 1


def test_days_are_counted_from_2020_and_none_is_zero() -> None:
    assert day_of(None) == 0
    assert day_of(date(2020, 1, 2)) == 1
    assert day_of(date(2026, 8, 11)) == 2414
    assert date_of(2414) == date(2026, 8, 11)


def test_days_outside_sixteen_bits_are_the_first_and_the_last() -> None:
    """A refusal of 2019 is no "never refused", and no end is the open end by accident."""
    assert day_of(date(1999, 1, 1)) == 1
    assert day_of(date(2020, 1, 1)) == 1
    assert day_of(date(9999, 12, 31)) == OPEN_END - 1


def test_the_day_is_the_one_the_clocks_there_show() -> None:
    at = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)

    assert day_in("Europe/Paris", at) == date(2026, 11, 25)
    assert day_in("America/Martinique", at) == date(2026, 11, 24)
