"""A ledger and gates' evidence on disk, of which dossiers are made."""

import base64
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from ringfence.call import Outcome
from ringfence.campaign import MENTIONS, Campaign, Channel, DialMode, Text
from ringfence.config import Party
from ringfence.decision import Reason, Verdict
from ringfence.dossier.chains import Evidence
from ringfence.event import Attempt, AttemptCancelled, Event
from ringfence.evidence.record import Configured, Decided, Learned
from ringfence.evidence.recorder import Recorder
from ringfence.ledger.archive import Archive
from ringfence.ledger.intake import Intake, read
from ringfence.ledger.sequencer import Sequencer
from ringfence.ledger.store import Store
from ringfence.ledger.witness import Claim
from ringfence.number import Keyring
from ringfence.row import NO_FACTS, Facts, Ground, Restraint, day_of
from ringfence.wire import ChainHead

PARIS = ZoneInfo("Europe/Paris")
SECRET = bytes(range(32))
KEYRING = Keyring(SECRET)
NUMBER, OTHER = "+33639980001", "+33639980002"
CALLER_ID = "+33162000001"
RULEBOOK = "france/2026-11/conservative"
RELEASE = "0.1.0"

WEB = Text(
    mentions=MENTIONS,
    parties=frozenset(["acme", "callco"]),
    channel=Channel.WEB,
)
POOR = Text(
    mentions=MENTIONS - {"period", "withdrawal"},
    parties=frozenset(["acme"]),
    channel=Channel.PAPER,
)
TELEPHONE = msgspec.structs.replace(WEB, channel=Channel.INBOUND_CALL)
TEXTS = {"web-2026": WEB, "flyer": POOR, "telephone": TELEPHONE}
FIBRE = Campaign(
    principal="acme",
    purpose="fibre",
    sector="telecom",
    operator="callco",
    dial_mode=DialMode.PREVIEW,
    caller_ids=frozenset([CALLER_ID]),
)
COVER = msgspec.structs.replace(FIBRE, purpose="cover", sector="insurance")
CAMPAIGNS = {"acme-fibre": FIBRE, "acme-cover": COVER}
PARTIES = {
    "acme": Party(
        name="Acme Télécom SAS",
        address="12 rue de la République, 69002 Lyon",
        registration="RCS Lyon 552 100 554",
        withdrawal="Par téléphone au 01 99 00 00 01, ou à retrait@acme.example.",
        offers={"fibre": "Abonnements à internet par fibre optique"},
    ),
    "callco": Party(name="CallCo SARL", address="Tunis, Tunisie"),
}


def at(clock: str) -> datetime:
    """Give an instant by the clocks of Paris."""
    return datetime.fromisoformat(clock).replace(tzinfo=PARIS).astimezone(UTC)


NOW = at("2026-11-30T18:00")


def facts(**fields: object) -> Facts:
    """Give a ground row; dates as text."""
    days = {name: _days(value) for name, value in fields.items()}
    return msgspec.convert(days, Ground).pack()


def restraint(**fields: object) -> Facts:
    days = {name: _days(value) for name, value in fields.items()}
    return msgspec.convert(days, Restraint).pack()


def _days(value: object) -> object:
    if isinstance(value, str):
        return day_of(date.fromisoformat(value))
    if isinstance(value, tuple):
        return [*map(_days, value), *[0] * (4 - len(value))]
    return value


CONSENTED = facts(text=1, consent_from="2026-09-01")


class Gate:
    """A gate's evidence, as it is written."""

    def __init__(self, name: str, folder: Path, began: str) -> None:
        self.name = name
        self.folder = folder
        self._recorder = Recorder(name, folder, release=RELEASE)
        self._recorder.open(at(began).timestamp())
        self.decided: list[Decided] = []

    def configure(self, clock: str, world: "World") -> None:
        instant = at(clock).timestamp()
        self._recorder.record(Configured(instant, "acme", world.config))

    def learned(self, clock: datetime | str, last: int, *, epoch: int = 7) -> None:
        instant = at(clock) if isinstance(clock, str) else clock
        self._recorder.record(Learned(instant.timestamp(), "acme", epoch, 1, last))

    def decide(  # noqa: PLR0913 - a decision has many sides
        self,
        clock: datetime | str,
        verdict: Verdict,
        reason: Reason,
        *,
        to: str = NUMBER,
        ground: Facts = NO_FACTS,
        restraints: tuple[Facts, ...] = (NO_FACTS,),
        campaign: str = "acme-fibre",
        consumer: str | None = None,
        retry_at: str | None = None,
        age: float | None = 0.412,
    ) -> Decided:
        instant = at(clock) if isinstance(clock, str) else clock
        name = f"{self.name}-{len(self.decided) + 1:x}"
        decided = Decided(
            at=instant.timestamp(),
            id=name,
            call=f"call-{name}",
            reference=f"SIP/{name}",
            principal="acme",
            campaign=campaign,
            number=KEYRING.number(to),
            purpose=KEYRING.purpose(to, CAMPAIGNS[campaign].purpose),
            consumer=KEYRING.consumer(consumer) if consumer else 0,
            territories=("FR",),
            caller_id=CALLER_ID,
            ground=ground,
            restraints=restraints,
            verdict=verdict,
            reason=reason,
            retry_at=None if retry_at is None else int(at(retry_at).timestamp()),
            rulebook=RULEBOOK,
            epoch=7,
            seq=100,
            age=age,
            config=1,
        )
        self._recorder.record(decided)
        self.decided.append(decided)
        return decided

    @property
    def head(self) -> ChainHead:
        head = self._recorder.head
        return ChainHead(self.name, head.chain, head.number, head.link, NOW)

    def close(self) -> None:
        self._recorder.close()


STREAM = re.compile(rb"stream\r?\n(.*?)endstream", re.DOTALL)
SHOWN = re.compile(rb"\(((?:\\.|[^\\)])*)\) Tj")
ESCAPE = re.compile(rb"\\([0-7]{3}|.)")


def lines_of(pdf: bytes) -> list[str]:
    """Give the lines that reportlab has set, page after page."""
    lines = []
    for stream in STREAM.findall(pdf):
        data = stream.strip()
        if data.endswith(b"~>"):
            data = zlib.decompress(base64.a85decode(data[:-2]))
            lines += [_unescaped(shown) for shown in SHOWN.findall(data)]
    return lines


def text_of(pdf: bytes) -> str:
    """Give the text of a PDF as one line, whose spaces all are alike."""
    return " ".join(" ".join(lines_of(pdf)).replace("\u00a0", " ").split())


def _unescaped(shown: bytes) -> str:
    def one(found: re.Match[bytes]) -> bytes:
        code = found[1]
        return bytes([int(code, 8)]) if len(code) == 3 else code

    return ESCAPE.sub(one, shown).decode("cp1252")


def _toml(name: str, table: dict[str, object]) -> Iterator[str]:
    if name:
        yield f"[{name}]"
    for key, value in table.items():
        if not isinstance(value, dict | None):
            yield f"{key} = {json.dumps(value)}"
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _toml(f"{name}.{key}" if name else key, value)


class World:
    """One principal's ledger, and the gates that serve it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "ledger.sqlite"
        self._store = Store(self.database, epoch=7)
        self.config = self._store.register("acme", CAMPAIGNS, TEXTS)
        sequencer = Sequencer(*self._store.tables("acme"), self.config)
        self._intake = Intake(self._store, {"acme": sequencer})
        self.change = 0
        self._gates: dict[str, Gate] = {}

    def say(self, event: Event) -> int:
        """Tell the ledger of an event that names a number; give its change."""
        sealed = event.sealed(KEYRING, NOW)
        taken = self._intake.take(read("acme", msgspec.msgpack.encode([sealed])), NOW)
        assert taken.answers == []
        self._intake.apply(taken)
        self.change += 1
        return self.change

    def call(
        self,
        decided: Decided,
        outcome: Outcome | None,
        *,
        seconds: float = 40,
        to: str = NUMBER,
        consumer: str | None = None,
    ) -> None:
        """Reserve an attempt for an allowed decision, and close it."""
        instant = datetime.fromtimestamp(decided.at, UTC)
        name = decided.id
        self.say(Attempt(id=f"{name}-a", to=to, consumer=consumer, at=instant, call=name))
        closed = instant + timedelta(seconds=seconds)
        if outcome is Outcome.NOT_PLACED:
            self.say(
                AttemptCancelled(id=f"{name}-o", to=to, consumer=consumer, at=closed, call=name)
            )
        elif outcome is not None:
            told = Attempt(id=f"{name}-o", to=to, consumer=consumer, at=closed, call=name)
            self.say(msgspec.structs.replace(told, outcome=outcome))

    def gate(self, name: str = "tunis-1", began: str = "2026-08-11T09:00") -> Gate:
        if name not in self._gates:
            gate = self._gates[name] = Gate(name, self.folder / name / "evidence", began)
            gate.configure(began, self)
        return self._gates[name]

    def witness(self, head: ChainHead) -> None:
        self._store.commit([], [Claim("acme", head, NOW)])

    @contextmanager
    def archive(self) -> Iterator[Archive]:
        with Archive.open(self.database) as archive:
            yield archive

    @property
    def folders(self) -> list[Path]:
        return [gate.folder for gate in self._gates.values()]

    def evidence(self) -> Evidence:
        with self.archive() as archive:
            return Evidence(self.folders, archive.heads())

    def settings(self, **tables: object) -> Path:
        """Write a configuration, and give its path. A table that is None is left out."""
        told: dict[str, object] = {
            "ledger": {"database": self.database.name},
            "principals": {"acme": {"secret": SECRET.hex()}},
            "campaigns": CAMPAIGNS,
            "parties": PARTIES,
            **tables,
        }
        path = self.folder / "ringfence.toml"
        path.write_text("\n".join(_toml("", msgspec.to_builtins(told))), encoding="utf-8")
        return path

    def close(self) -> None:
        for gate in self._gates.values():
            gate.close()
        self._store.close()
