"""Work that takes long, done where it holds nobody up: in a thread of its owner's, or at once."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

__all__ = ["Aside", "at_once"]

T = TypeVar("T")


class Aside(Protocol):
    """Does some work, now or later; `Executor.submit` is one."""

    def __call__(self, work: Callable[[], T], /) -> Future[T]: ...


def at_once(work: Callable[[], T], /) -> Future[T]:
    """Do it now; an error is in what is given back."""
    done = Future[T]()
    try:
        done.set_result(work())
    except Exception as error:  # noqa: BLE001 - whoever asks for the result has it raised
        done.set_exception(error)
    return done
