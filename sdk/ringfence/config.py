"""Configuration: TOML to values. One file serves gate and ledger; each reads its own tables."""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from ringfence.campaign import Campaign, Text
from ringfence.link import Broker
from ringfence.number import Keyring
from ringfence.replica import Patience
from ringfence.rules.rulebook import Interpretation

__all__ = [
    "AttemptSettings",
    "ConfigError",
    "EvidenceSettings",
    "GateSettings",
    "LedgerSettings",
    "Party",
    "Settings",
    "load",
]

Name = Annotated[str, msgspec.Meta(pattern="^[a-z0-9_-]{1,48}$")]


LONGEST_SHARED = 43
"""Characters of a name to which a number or `-sync` is added."""


class ConfigError(ValueError):
    """The configuration cannot be used; names file, place and value."""


class EvidenceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[gate.evidence]`."""

    segment_bytes: Annotated[int, msgspec.Meta(ge=1 << 16, le=1 << 30)] = 16 << 20
    """Size at which a segment is closed and compressed; a start reads one, in 0.3 s for 16 MiB."""
    segment_age: Annotated[float, msgspec.Meta(ge=60, le=31 * 86_400)] = 86_400.0
    """Seconds after which it is, however small."""
    retention_days: Annotated[int, msgspec.Meta(ge=1096)] = 1096
    """Days for which `ringfence evidence retain` keeps a decision after the last call under the
    same consent. The proof must be kept three years (C. conso. R223-2)."""


class AttemptSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[gate.attempts]`: when the ledger is asked whether one more is left."""

    margin: Annotated[int, msgspec.Meta(ge=0, le=4)] = 4
    """With so many attempts left, or fewer, the ledger is asked before the call. Only with 4, which
    is always, can gates in several places never make one too many; 0 is never."""
    wait: Annotated[float, msgspec.Meta(gt=0, le=30)] = 1.0
    """Seconds for the ledger's word, before the call is deferred; less than dialers wait for us."""


class GateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[gate]`."""

    id: Name
    """Names this gate among all gates of the ledger: no two may share it."""
    data: Path
    """Folder for the outbox and the tables; relative to the configuration file."""
    principals: Annotated[list[Name], msgspec.Meta(min_length=1)]
    share: bool = False
    """Whether the processes that are given this table on one machine share tables: one keeps them
    in step, all read them. Each takes a place in `data` and a number behind its `id`."""
    interpretation: Interpretation = Interpretation.CONSERVATIVE
    durability: Literal["process", "fsync"] = "process"
    """What `admit` waits for: `process` survives a killed process, `fsync` a power cut."""
    patience: Patience = Patience()
    attempts: AttemptSettings = AttemptSettings()
    evidence: EvidenceSettings = EvidenceSettings()

    def __post_init__(self) -> None:
        if self.share and len(self.id) > LONGEST_SHARED:
            msg = (
                f"`id` has {len(self.id)} characters: with `share` it has {LONGEST_SHARED} at most"
            )
            raise ValueError(msg)


class LedgerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[ledger]`."""

    database: Path
    """The SQLite file; relative to the configuration file."""
    proofs: Path | None = None
    """Folder for proofs of consents; relative likewise. None: `proof_folder`."""
    heartbeat: Annotated[float, msgspec.Meta(gt=0, le=30)] = 2.0
    """Seconds between two heads."""

    @property
    def proof_folder(self) -> Path:
        """Where proofs of consents are kept: beside the database, unless it says otherwise."""
        return self.proofs or self.database.with_name("proofs")


class PrincipalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table `[principals.<name>]`: the secret for who makes keys, the texts for the ledger."""

    secret: str | None = None
    """Hexadecimal, 16 to 64 bytes."""
    secret_file: Path | None = None
    texts: dict[Name, Text] = {}


class Party(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table `[parties.<name>]`: how a principal or an operator is called on paper."""

    name: str
    """As a consumer knows it: `Acme Télécom SAS`."""
    address: str = ""
    registration: str = ""
    """`RCS Paris 552 100 554`, an ORIAS number: what the trade must show."""
    withdrawal: str = ""
    """How a consent is withdrawn from it, as a sentence (C. conso. R223-3)."""
    offers: dict[Name, str] = {}
    """What each purpose stands for: `fibre = "abonnements à internet par fibre optique"`."""

    def __post_init__(self) -> None:
        # The fonts that every reader of PDF has are of Windows-1252, and a name with a hole in it
        # is not the party's.
        told = {
            "name": self.name,
            "address": self.address,
            "registration": self.registration,
            "withdrawal": self.withdrawal,
            **{f"offers.{purpose}": offer for purpose, offer in self.offers.items()},
        }
        for key, text in told.items():
            try:
                text.encode("cp1252")
            except UnicodeEncodeError as error:
                letter = text[error.start]
                msg = (
                    f"`{key}` has {letter!r} (U+{ord(letter):04X}), which papers cannot show:"
                    f" write {text!r} in the letters of Windows-1252"
                )
                raise ValueError(msg) from error


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    broker: Broker = Broker()
    gate: GateSettings | None = None
    ledger: LedgerSettings | None = None
    principals: dict[Name, PrincipalSettings] = {}
    campaigns: dict[Name, Campaign] = {}
    parties: dict[Name, Party] = {}

    def keyring(self, principal: str) -> Keyring:
        """Make the principal's keyring. Raises `ConfigError`."""
        known = self.principals.get(principal)
        if known is None:
            msg = f"no table [principals.{principal}]"
            raise ConfigError(msg)
        secret = known.secret
        if secret is None and known.secret_file is not None:
            try:
                secret = known.secret_file.read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError) as error:
                msg = f"principals.{principal}.secret_file: {error}"
                raise ConfigError(msg) from error
        if secret is None:
            msg = f"principals.{principal} has neither `secret` nor `secret_file`"
            raise ConfigError(msg)
        try:
            return Keyring(bytes.fromhex(secret))
        except ValueError as error:
            msg = f"principals.{principal}: the secret is 16 to 64 bytes in hexadecimal"
            raise ConfigError(msg) from error


def load(path: Path) -> Settings:
    """Read a configuration. Raises `ConfigError`, which names the file and the key."""
    try:
        settings = msgspec.toml.decode(path.read_bytes(), type=Settings, dec_hook=_path)
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise ConfigError(msg) from error
    except (msgspec.DecodeError, ValueError) as error:
        msg = f"{path}: {error}"
        raise ConfigError(msg) from error
    for name, campaign in settings.campaigns.items():
        if campaign.principal not in settings.principals:
            msg = f"{path}: campaigns.{name}: no table [principals.{campaign.principal}]"
            raise ConfigError(msg)
    return _resolved(settings, path.absolute().parent)


def _path(kind: type, text: object) -> Path:
    if kind is Path and isinstance(text, str):
        return Path(text)
    msg = f"expected a path, got {text!r}"
    raise ValueError(msg)


S = TypeVar("S", bound=msgspec.Struct)


def _resolved(settings: Settings, folder: Path) -> Settings:
    """Read relative paths from the folder of the file that names them."""
    principals = {
        name: _with(p, secret_file=p.secret_file and folder / p.secret_file)
        for name, p in settings.principals.items()
    }
    gate, ledger = settings.gate, settings.ledger
    broker = settings.broker
    files = {
        name: path and str(folder / path)
        for name, path in (
            ("cafile", broker.cafile),
            ("certfile", broker.certfile),
            ("keyfile", broker.keyfile),
        )
    }
    return _with(
        settings,
        broker=_with(broker, **files),
        principals=principals,
        gate=gate and _with(gate, data=folder / gate.data),
        ledger=ledger
        and _with(
            ledger,
            database=folder / ledger.database,
            proofs=ledger.proofs and folder / ledger.proofs,
        ),
    )


def _with(struct: S, **changes: object) -> S:
    return msgspec.structs.replace(struct, **changes)
