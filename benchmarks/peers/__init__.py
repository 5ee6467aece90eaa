"""What a user could take instead: each peer set up well, and asked whether a number may be called.

A module here holds one product. It is imported only when it is measured, for its library may not be
installed. A peer knows the same numbers as the gate beside it; most can express no more of the
question than whether a number is among them.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec

__all__ = ["MODULES", "Opened", "Peer", "Unavailable"]

MODULES = (
    "in_dict", "in_lmdb", "in_sqlite", "launchdarkly", "cedar", "in_casbin", "in_redis",
    "in_mariadb",
)  # fmt: skip


class Unavailable(Exception):  # noqa: N818 - what it is
    """This peer cannot be had here; says why."""


class Opened(msgspec.Struct, frozen=True):
    """A peer that is ready to be asked, in one of two ways."""

    ask: Callable[[str], bool | None] | None = None
    """Whether a number may be called; None and False say no."""
    ask_later: Callable[[str], Awaitable[bool]] | None = None
    memory: int | None = None
    """Bytes that holding the numbers takes; None: they are held in this process."""


class Peer(msgspec.Struct, frozen=True):
    """One product in one set-up."""

    name: str
    how: str
    """How it was set up, and what it is asked."""
    opened: Callable[[Path, list[str]], AbstractAsyncContextManager[Opened]]
    """Open it with a folder of its own, holding these numbers (the list is cleared afterwards).

    Raises `Unavailable`.
    """
