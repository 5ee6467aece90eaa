r"""FastAGI: bytes to events, commands to bytes; no I/O.

Asterisk opens the connection and sends one block of ``agi_name: value`` lines, ended by an empty
line. From then on it answers each command: with one line, ``200 result=0``, or, where it explains
the usage, with several, ``520-…`` to ``520 …``. A line ``HANGUP`` may come at any time and answers
nothing: the channel is gone, commands still get their replies.

Asterisk (seen in 16.28) reads one line, acts, and only then waits for the socket again: a second
command that arrives in the same packet lies unread until a third one comes. So a dialogue sends a
command, waits for its reply, and needs few of them.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from ringfence_adapters.wire import Buffer, ProtocolError

__all__ = ["Closed", "Connection", "Event", "Hangup", "Reply", "Start", "assign", "command"]

# Asterisk sends about 700 bytes and its arguments; a scanner sends without end.
MAX_LINE = 8 * 1024
MAX_BLOCK = 16 * 1024

# Asterisk's own buffer for a command is 2048 bytes in the oldest versions still met.
MAX_COMMAND = 2047

_VARIABLE = re.compile(rb"(agi_[a-z0-9_]+): (.*)", re.DOTALL)
_REPLY = re.compile(rb"([0-9]{3})([ -])(.*)", re.DOTALL)

# What MSet, the AGI parser and the substitution of variables leave as it is.
_PLAIN = re.compile(r"[A-Za-z0-9_.:+-]*")


class Start(msgspec.Struct, frozen=True):
    """The channel that Asterisk wants handled, and what the dialplan said of it."""

    variables: Mapping[str, str]

    @property
    def script(self) -> str:
        """The path of the ``agi://`` address: which of a server's scripts is meant."""
        return self.variables.get("agi_network_script", "")

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the dialplan passed to ``AGI()`` after the address."""
        found: list[str] = []
        while (value := self.variables.get(f"agi_arg_{len(found) + 1}")) is not None:
            found.append(value)
        return tuple(found)


class Reply(msgspec.Struct, frozen=True):
    """The answer to one command; the lines of a usage text are joined by newlines."""

    code: int
    text: str

    @property
    def refused(self) -> bool:
        """Asterisk did not carry out the command: unknown, malformed, or no such application."""
        return self.code != 200 or self.text == "result=-2"


class Hangup(msgspec.Struct, frozen=True):
    """The channel is gone."""


class Closed(msgspec.Struct, frozen=True):
    """Asterisk has closed the connection, between two lines. Nothing more will come."""


Event = Start | Reply | Hangup | Closed


class Connection:
    """One FastAGI session without its socket.

    Give it what was received, ``b""`` for the end, and take events until there is none. Whatever
    the bytes are, the only error is `ProtocolError`; after one, every further call raises it.
    """

    def __init__(self) -> None:
        self._buffer = Buffer()
        self._ended = False
        self._broken: ProtocolError | None = None
        self._variables: dict[str, str] = {}
        self._block = MAX_BLOCK
        self._usage: list[bytes] = []
        self._usage_end = b""  # how the last line of a usage text begins; empty outside of one
        self._read = self._read_variable

    def feed(self, data: bytes) -> None:
        if self._ended and data:
            self._broken = ProtocolError("data after the end")
        self._ended |= not data
        self._buffer.feed(data)

    def next_event(self) -> Event | None:
        """Give the next event, or None until more is fed."""
        if self._broken:
            raise self._broken
        try:
            return self._next_event()
        except ProtocolError as error:
            self._broken = error
            raise

    def _next_event(self) -> Event | None:
        while (line := self._buffer.until(b"\n", limit=MAX_LINE)) is not None:
            if event := self._read(line):
                return event
        if not self._ended:
            return None
        if self._buffer or self._variables or self._usage_end:
            msg = "the end came inside " + ("a line" if self._buffer else "a block")
            raise ProtocolError(msg)
        return Closed()

    def _read_variable(self, line: bytes) -> Event | None:
        if not line:
            start = Start(MappingProxyType(self._variables))
            self._variables = {}
            self._read = self._read_reply
            return start
        self._spend(line)
        match = _VARIABLE.fullmatch(line)
        if match is None:
            msg = f"line {len(self._variables) + 1} is not 'agi_name: value'"
            raise ProtocolError(msg)
        name = match[1].decode("ascii")
        # Asterisk names each once. A second one was written by somebody whose value held a newline.
        if name in self._variables:
            msg = f"{name} is given twice"
            raise ProtocolError(msg)
        self._variables[name] = _text(match[2])
        return None

    def _read_reply(self, line: bytes) -> Event | None:
        if line == b"HANGUP":
            return Hangup()
        if self._usage_end:
            return self._read_usage(line)
        match = _REPLY.fullmatch(line)
        if match is None:
            msg = "a reply without its three digits"
            raise ProtocolError(msg)
        if match[2] == b"-":
            self._block = MAX_BLOCK
            self._usage = [match[3]]
            self._usage_end = match[1] + b" "
            return None
        return Reply(int(match[1]), _text(match[3]))

    def _read_usage(self, line: bytes) -> Reply | None:
        self._spend(line)
        if not line.startswith(self._usage_end):
            self._usage.append(line)
            return None
        text = b"\n".join([*self._usage, line.removeprefix(self._usage_end)])
        reply = Reply(int(self._usage_end), _text(text))
        self._usage_end = b""
        return reply

    def _spend(self, line: bytes) -> None:
        self._block -= len(line) + 1
        if self._block < 0:
            msg = f"a block of more than {MAX_BLOCK} bytes"
            raise ProtocolError(msg)


def command(*words: str) -> bytes:
    """Encode one command, each word quoted as Asterisk unquotes it.

    Raises `ValueError` for a word with a control character, which could become a second command,
    and for a command that Asterisk would cut.
    """
    for word in words:
        if not word.isprintable():
            msg = f"a command cannot carry {word!r}: it holds a control character"
            raise ValueError(msg)
    line = " ".join(f'"{_escape(word)}"' for word in words).encode()
    if len(line) > MAX_COMMAND:
        msg = f"a command of {len(line)} bytes, Asterisk reads {MAX_COMMAND}"
        raise ValueError(msg)
    return line + b"\n"


def assign(values: Mapping[str, str]) -> bytes:
    """Encode the setting of channel variables as one command, in the order given.

    One command, so a connection that breaks leaves either all of them set or none. Raises
    `ValueError` for a value with a character that Asterisk could take for something else.
    """
    for name, value in values.items():
        if not _PLAIN.fullmatch(value):
            msg = f"{name} cannot be {value!r}: letters, digits and _ . : + - only"
            raise ValueError(msg)
    return command("EXEC", "MSet", ",".join(f"{name}={value}" for name, value in values.items()))


def _escape(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"')


def _text(data: bytes) -> str:
    # Names of callers come in whatever the trunk speaks; any byte is a Latin-1 character.
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
