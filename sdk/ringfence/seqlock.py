"""A version beside shared words: one process writes them, all read them, and none waits for a lock.

The writer makes the version odd, writes, and makes it even again, so that whoever read the same
even version before and after knows that what was read in between is of one piece. Where all bits
of it are set, the file is retired: another took its place, and nothing in it changes any more.

That needs stores to be seen in the order they were made in, and each word to be stored and loaded
whole. The processor of an x86-64 machine does so for aligned words of 64 bits; it also keeps its
loads in order. The interpreter does not reorder the operations of a program, and makes one move of
a word each time: an item of a memoryview of format "Q" is copied as eight bytes at once, as is an
item of an array that numpy assigns by an array of indices, whose copies it has made for words of
that size. Other machines may reorder stores, so nothing is shared there.
"""

import platform

__all__ = ["PATIENCE", "RETIRED", "begun", "ended", "unordered"]

RETIRED = (1 << 64) - 1

PATIENCE = 0.005
"""Seconds that a reader tries. A writer that is not stopped or killed needs microseconds."""


def unordered() -> str:
    """Say why nothing can be read without locks on this machine; empty where it can."""
    machine = platform.machine()
    if machine in {"x86_64", "AMD64"}:
        return ""
    return f"not to be shared on {machine}, which may reorder stores: give each process its own"


def begun(version: int) -> int:
    """Give the version while words are replaced; one that a killed process left odd stays so."""
    return version | 1


def ended(version: int) -> int:
    """Give the version at rest that follows."""
    return (version | 1) + 1
