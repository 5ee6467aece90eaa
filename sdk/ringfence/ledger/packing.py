"""Many rows as a few values, which one statement of SQL unpacks, and likewise back.

SQLite is stepped through a statement without Python's lock, which is taken again after each step.
While another thread computes, that takes up to five milliseconds: a step a row would have a batch
wait for minutes. So a batch is one step, whatever it holds.
"""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

__all__ = ["array", "blob", "digits", "number", "places"]

_DIGITS = 19
"""Of each number in `digits`: as many as the largest integer of SQLite has."""

_LENGTH = 20
"""Bits of a length in `places`: no event and no log is as long as 1 MiB."""


def number(packed: str) -> str:
    """Give the SQL for that one of `digits`, which are *packed*, whose place is `key`."""
    return f"CAST(substr({packed}, 1 + {_DIGITS} * key, {_DIGITS}) AS INTEGER)"


def blob(joined: str, place: str) -> str:
    """Give the SQL for that one of blobs, which are *joined*, which is at a *place* of `places`."""
    return f"substr({joined}, {place} >> {_LENGTH}, {place} & {(1 << _LENGTH) - 1})"


def array(values: Sequence[int | str | None]) -> str:
    """Give values for `json_each`, which numbers them in the column `key` from 0 on."""
    return msgspec.json.encode(values).decode()


def digits(numbers: Iterable[int]) -> bytes:
    """Give numbers from 0 on, of which `substr` finds each by its place."""
    return "".join(map(f"%0{_DIGITS}d".__mod__, numbers)).encode()


def places(blobs: Sequence[bytes]) -> list[int]:
    """Tell where each of these is when they are joined: where it begins, from 1 on, and its length.

    Both in one number, the length in its last `_LENGTH` bits. Raises `ValueError` for one too long.
    """
    lengths: npt.NDArray[np.int64] = np.fromiter(map(len, blobs), np.int64, len(blobs))
    if lengths.max(initial=0) >> _LENGTH:
        msg = f"{lengths.max()} bytes are too many for one row"
        raise ValueError(msg)
    begins = np.cumsum(lengths) - lengths + 1
    packed: list[int] = (begins << _LENGTH | lengths).tolist()
    return packed
