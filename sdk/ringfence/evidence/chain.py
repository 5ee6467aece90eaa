"""The chain that binds records: none can be altered, removed, added or moved without a trace.

::

    digest = blake2b-256(record)
    link   = blake2b-256(link before || number || digest)      number: u64, little-endian, from 1

The link of the first record follows 32 zeros. A link covers the digest and not the record, so that
a record whose time is over can be dropped and its digest left in its place: the chain still holds.
Whoever rewrites a whole file can compute all links anew; therefore heads of the chain go to the
ledger, which keeps them.
"""

from hashlib import blake2b
from struct import Struct

import msgspec

__all__ = ["SIZE", "START", "Filed", "digest_of", "link_of"]

SIZE = 32
"""Bytes of a digest, and of a link."""

START = bytes(SIZE)
"""What the first record of a chain follows."""

_NUMBER = Struct("<Q")


class Filed(msgspec.Struct, frozen=True, gc=False):
    """A record as it is filed."""

    number: int
    """Counted from 1 in the chain."""
    link: bytes
    body: bytes
    """The record, or its digest if it was *dropped*."""
    dropped: bool = False

    @property
    def digest(self) -> bytes:
        return self.body if self.dropped else digest_of(self.body)


def digest_of(record: bytes) -> bytes:
    return blake2b(record, digest_size=SIZE).digest()


def link_of(before: bytes, number: int, digest: bytes) -> bytes:
    """Give the link of the record with that number and digest."""
    return blake2b(before + _NUMBER.pack(number) + digest, digest_size=SIZE).digest()
