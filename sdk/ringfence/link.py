"""What a link to a broker is: where it leads, what it carries, how it is, what it promises."""

from collections.abc import Callable
from enum import Enum
from typing import Annotated, NoReturn, Protocol

import msgspec

__all__ = ["AnyLink", "Backoff", "Broker", "LinkDown", "LinkState", "Message", "Phase"]


class Backoff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long to wait before the next attempt, at most, in seconds.

    The wait is drawn between zero and a ceiling, so that a thousand gates do not return at once to
    a broker that comes back.  The ceiling doubles with each failure.
    """

    first: Annotated[float, msgspec.Meta(gt=0)] = 0.1
    longest: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    refused: Annotated[float, msgspec.Meta(gt=0)] = 60.0


class Broker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the broker is, as whom to log in, and with how much patience."""

    host: Annotated[str, msgspec.Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 1883
    username: str | None = None
    password: str | None = None
    tls: bool = False
    cafile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    keepalive: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 15
    connect_timeout: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    """For each of TCP, TLS, the login and a subscription."""
    backoff: Backoff = Backoff()
    max_inbound: Annotated[int, msgspec.Meta(ge=1)] = 4096
    """Messages received and not yet delivered; what comes beyond is dropped."""

    def __post_init__(self) -> None:
        try:
            self.host.encode("idna")
        except UnicodeError as error:
            msg = f"host {self.host!r} is no host name: {error}"
            raise ValueError(msg) from error
        for wrong, msg in (
            (self.password and self.username is None, "password is set without username"),
            (self.keyfile and not self.certfile, "keyfile is set without certfile"),
            (self.certfile and not self.tls, "certfile is set but tls is false"),
            (self.cafile and not self.tls, "cafile is set but tls is false: nothing is encrypted"),
        ):
            if wrong:
                raise ValueError(msg)

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"Broker({self})"  # the fields hold a password

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("url", str(self))]


class Message(msgspec.Struct, frozen=True):
    """A payload on its topic."""

    topic: str
    payload: bytes
    retained: bool = False
    """Received: it was kept by the broker, and may be old.  Sent: to be kept."""


class Phase(Enum):
    """How a link is."""

    CONNECTING = "connecting"
    """The first attempt has not ended."""
    UP = "up"
    """Logged in and subscribed."""
    REFUSED = "refused"
    """The broker answers, and does not take the login or grant a subscription."""
    DOWN = "down"
    """Every other failure; attempts go on."""


class LinkState(msgspec.Struct, frozen=True):
    """A phase, why, and since when by the link's clock.

    Attempts that fail alike leave it as it is: `since` tells how long this has been going on.
    """

    phase: Phase
    reason: str
    since: float

    def __str__(self) -> str:
        return f"{self.phase.value}: {self.reason}" if self.reason else self.phase.value


class LinkDown(Exception):  # noqa: N818 - a state of the link, and the word of the status
    """The broker has not confirmed the message.  Whether it has it is unknown; send it again."""


class AnyLink(Protocol):
    """What gate and ledger rely on; `ringfence.testing` has one without a broker."""

    @property
    def dropped(self) -> int: ...

    async def run(
        self, on_message: Callable[[Message], None], on_state: Callable[[LinkState], None]
    ) -> NoReturn: ...

    async def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, timeout: float = 5.0
    ) -> None: ...
