"""Take whole pieces out of what has been received so far; no I/O.

The line protocols of switches begin here, so that one place keeps a peer that never ends its line
from filling the memory.
"""

__all__ = ["Buffer", "ProtocolError"]


class ProtocolError(Exception):
    """The peer sent what its protocol does not allow: hang up.

    The message never quotes a value, because a value may be a telephone number.
    """


class Buffer:
    """Bytes received and not yet understood. Reading gives None until a whole piece is there."""

    def __init__(self) -> None:
        self._data = bytearray()

    def __len__(self) -> int:
        return len(self._data)

    def feed(self, data: bytes) -> None:
        self._data += data

    def until(self, end: bytes, *, limit: int) -> bytes | None:
        """Take what comes before `end`, at most `limit` bytes of it, and drop `end`."""
        # Each call searches anew from the front; `limit` is what keeps that cheap.
        stop = self._data.find(end, 0, limit + len(end))
        if stop >= 0:
            taken = bytes(self._data[:stop])
            del self._data[: stop + len(end)]
            return taken
        if len(self._data) >= limit + len(end):
            msg = f"no {end!r} within {limit} bytes"
            raise ProtocolError(msg)
        return None
