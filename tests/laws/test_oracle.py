"""The product and a plain second reading of the law give the same answer to every case."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.laws.oracle import Answer, OracleWorld, answers

from ringfence import vectors

VECTORS = Path(__file__).parents[1] / "data" / "vectors.json"

NUMBER = "+33639980001"
OTHER = "+33639980002"
TO = [
    NUMBER,
    "+33199000001",
    "+262692000001",
    "+262262000001",
    "+262639000001",
    "+596596000001",
    "+590590000001",
]
ZONES = ["Europe/Paris", "Indian/Reunion", "Indian/Mayotte", "America/Martinique"]
DEPARTMENTS = ["75", "2A", "57", "67", "68", "971", "972", "973", "974", "975", "976", "977", "978"]
SECTORS = [
    "telecom",
    "other",
    "press",
    "insurance",
    "energy_renovation",
    "renewable_energy",
    "housing_adaptation",
    "cpf",
]
DIAL_MODES = ["manual", "preview", "progressive", "predictive", "robocall", "voicebot"]
SHOWN = [
    "+33162000001",
    "+33199000001",
    "+33639980099",
    "+33899000001",
    "+262947800001",
    "+262692000099",
    "+590690000099",
    "",
    None,
]
CLOCK = [
    time(0),
    time(0, 0, 1),
    time(5),
    time(7),
    time(8),
    time(9, 59, 59, 999999),
    time(10),
    time(10, 30),
    time(11),
    time(11, 3),
    time(12, 59, 59),
    time(13),
    time(13, 59, 59),
    time(14),
    time(16, 30),
    time(19, 59, 59),
    time(20),
    time(20, 30),
    time(21, 30),
    time(22, 30),
    time(23, 30),
    time(23, 55),
    time(23, 59, 59),
]
NOW_DAYS = [
    *(date(2026, 8, n) for n in range(7, 17)),
    *(date(2026, 11, n) for n in range(9, 13)),
    *(date(2026, 12, n) for n in range(18, 32)),
    *(date(2027, 3, n) for n in range(25, 32)),
    *(date(2027, 4, n) for n in (26, 27, 28)),
    *(date(2027, 5, n) for n in range(5, 30)),
    *(date(2025, 7, n) for n in range(1, 4)),
    *(date(2026, 5, n) for n in range(20, 30)),
    *(date(2028, 2, n) for n in range(27, 30)),
    *(date(2029, 2, n) for n in range(25, 29)),
    date(2026, 10, 8),
    date(2026, 10, 9),
    date(2026, 10, 26),
    date(2028, 3, 1),
    date(2029, 3, 1),
    date(2027, 6, 10),
    date(2027, 7, 21),
    date(2027, 12, 20),
    date(2028, 5, 22),
    date(2028, 10, 9),
    date(2024, 2, 29),
]
AGES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 20, 29, 30, 31, 32, 59, 60, 61, 62, 90, 200, 364, 365, 366]
ATTEMPT_AGES = [0, 1, 5, 10, 20, 27, 28, 29, 30, 31, 32]
REFUSAL_AGES = [0, 1, 10, 30, 58, 59, 60, 61, 62, 70, 100, 300]
CALLBACK_AGES = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 61]
CLOSE_AGES = {
    "attempt": ATTEMPT_AGES,
    "attempt_cancelled": ATTEMPT_AGES,
    "refusal": REFUSAL_AGES,
    "callback": CALLBACK_AGES,
    "slot": CALLBACK_AGES,
}
HOURS = [time(0, 30), time(9, 59, 59), time(10), time(13), time(14), time(20), time(23, 30)]
LATER_DAYS = [1, 2, 4, 5, 6, 7, 29, 30, 31, 32, 59, 60, 61, 62, 363, 364, 365, 366]
SLOT_MINUTES = [None, None, 1, 5, 30, 90, 240, 720]
SLOT_OFFSETS = [-43_200, -5400, -1800, -301, -300, -299, -60, 0, 60, 299, 300, 301, 1800, 36_000]

MENTIONS = [
    "choice",
    "goods_services",
    "period",
    "professional",
    "proof_access",
    "third_party",
    "withdrawal",
]


def _text(
    channel: str = "web", *, parties: tuple[str, ...] = ("acme", "callco"), automated: bool = False
) -> dict[str, object]:
    return {
        "mentions": MENTIONS,
        "parties": list(parties),
        "channel": channel,
        "automated": automated,
    }


TEXTS: dict[str, dict[str, object]] = {
    "web": _text(),
    "auto": _text("paper", automated=True),
    "alone": _text(parties=("acme",)),
    "others": _text(parties=("callco", "zenith")),
    "phone": _text("outbound_call"),
    "rang": _text("inbound_call"),
    "lacking": _text() | {"mentions": MENTIONS[1:]},
}


def _one_in(n: int) -> st.SearchStrategy[bool]:
    return st.sampled_from([False] * (n - 1) + [True])


@st.composite
def _instants(draw: st.DrawFn, day: date) -> datetime:
    clock = draw(st.sampled_from(CLOCK))
    return datetime.combine(day, clock, ZoneInfo(draw(st.sampled_from(ZONES)))).astimezone(UTC)


@st.composite
def _befores(draw: st.DrawFn, now: datetime, ages: list[int]) -> datetime:
    """A time an event may have had, seen from *now*; sometimes a little later than it."""
    age = timedelta(days=draw(st.sampled_from(ages)))
    if draw(st.booleans()):
        return now - age
    return draw(_instants((now - age).date()))


def _details(kind: str, now: datetime) -> st.SearchStrategy[Mapping[str, object]]:
    """What only this kind carries."""
    ends = st.sampled_from([-3, -1, 0, 1, 5, 30, 61, 70]).map(
        lambda n: str(now.date() + timedelta(days=n))
    )
    calls = st.fixed_dictionaries({"call": st.sampled_from("abcdef")})
    details: Mapping[str, st.SearchStrategy[Mapping[str, object]]] = {
        "consent": st.fixed_dictionaries(
            {"text": st.sampled_from(["web"] * 9 + [*TEXTS]), "until": st.none() | ends}
        ),
        "contract": st.fixed_dictionaries({"until": st.none() | ends}),
        "bloctel": st.fixed_dictionaries({"until": ends}),
        "callback": st.fixed_dictionaries({"explicit": st.booleans()}),
        "attempt": calls,
        "attempt_cancelled": calls,
        "slot": _slots(now),
    }
    return details.get(kind, st.just({}))


@st.composite
def _slots(draw: st.DrawFn, now: datetime) -> dict[str, object]:
    if draw(st.booleans()):
        start = now + timedelta(seconds=draw(st.sampled_from(SLOT_OFFSETS)))
    else:
        day = (now + timedelta(days=draw(st.sampled_from([-1, 0, 1, 2, 3, 61])))).date()
        start = draw(_instants(day))
    start = start.replace(microsecond=0)
    return {"start": start.isoformat(), "minutes": draw(st.sampled_from(SLOT_MINUTES))}


KINDS = [
    *("consent", "consent", "consent", "consent", "withdrawal", "refusal", "refusal", "objection"),
    *("objection_lifted", "objection_lifted", "attempt", "attempt", "attempt", "attempt"),
    *("attempt_cancelled", "contract", "contract", "contract_ended", "callback", "callback"),
    *("slot", "slot", "slot", "bloctel"),
]


@st.composite
def _events(draw: st.DrawFn, now: datetime, pool: list[datetime]) -> dict[str, object]:
    kind = draw(st.sampled_from(KINDS))
    at = draw(st.sampled_from(pool) | _befores(now, CLOSE_AGES.get(kind, AGES)))
    event: dict[str, object] = {"kind": kind, "at": at.isoformat(), **draw(_details(kind, now))}
    if draw(_one_in(12)):
        event["to"] = draw(st.sampled_from([NUMBER, OTHER, "+262692000001", "+596596000001"]))
    if draw(_one_in(12)):
        event["principal"] = draw(st.sampled_from(["acme", "zenith"]))
    if draw(_one_in(12)):
        event["purpose"] = draw(st.sampled_from(["fibre", "mobile"]))
    if draw(_one_in(5)):
        event["consumer"] = draw(st.sampled_from(["crm-1", "crm-2"]))
    return {name: value for name, value in event.items() if value is not None}


@st.composite
def _campaigns(draw: st.DrawFn) -> dict[str, object]:
    return {
        "principal": "acme",
        "purpose": "fibre",
        "sector": draw(st.sampled_from(["telecom"] * 5 + ["insurance"] * 2 + SECTORS)),
        "operator": "callco",
        "dial_mode": draw(st.sampled_from(["preview"] * 6 + DIAL_MODES)),
        "caller_ids": [shown for shown in SHOWN if shown],
        "commercial": not draw(_one_in(20)),
        "audience": "business" if draw(_one_in(20)) else "consumer",
    }


@st.composite
def _calls(draw: st.DrawFn) -> dict[str, object]:
    call: dict[str, object] = {
        "campaign": "it" if not draw(_one_in(100)) else "typo",
        "to": draw(
            st.sampled_from([NUMBER, *TO, "+262692000001"] * 6 + ["+32470123456", "063998x"])
        ),
        "caller_id": draw(st.sampled_from(["+33162000001"] * 30 + [*SHOWN, "+33162000009"])),
    }
    if draw(_one_in(3)):
        call["consumer"] = draw(st.sampled_from(["crm-1", "crm-2"]))
    if draw(_one_in(5)):
        call["department"] = draw(st.sampled_from(DEPARTMENTS))
    if draw(_one_in(8)):
        # Saint-Martin and Saint-Barthélemy keep Guadeloupe's time under names of their own.
        zones = ZONES if "department" in call else [*ZONES, "America/Guadeloupe"]
        call["zone"] = draw(st.sampled_from(zones))
    return call


@st.composite
def _days(draw: st.DrawFn) -> date:
    return draw(
        st.sampled_from(NOW_DAYS)
        | st.dates(date(2026, 5, 1), date(2026, 10, 15))
        | st.dates(date(2023, 3, 1), date(2029, 12, 31))
    )


def _told(kind: str, at: datetime, **details: object) -> dict[str, object]:
    return {"kind": kind, "at": at.isoformat(), **details}


@st.composite
def _grounds(draw: st.DrawFn, now: datetime) -> dict[str, object]:
    consented = draw(_befores(now, [0, 0, 1, 20, 30, 31, 59, 60, 61, 364, 365, 366]))
    asked = draw(_befores(now, [0, 0, 1, 4, 5, 6, 7, 8]))
    return draw(
        st.sampled_from(
            [
                _told("consent", consented, text="web"),
                _told("consent", consented, text="auto"),
                _told("contract", consented),
                _told("callback", asked, explicit=draw(st.booleans())),
            ]
        )
    )


@st.composite
def _refused(draw: st.DrawFn, now: datetime) -> list[dict[str, object]]:
    """A refusal, and a ground about as old."""
    refused = draw(_befores(now, [0, 0, 1, 10, 30, 59, 60, 61, 62, 90]))
    ground = draw(_grounds(refused + timedelta(days=draw(st.sampled_from([0, 0, 1, 2, 30, 60])))))
    return [_told("refusal", refused), ground]


@st.composite
def _tied(draw: st.DrawFn, now: datetime) -> list[dict[str, object]]:
    """Two statements at one instant, and a ground."""
    at = draw(_befores(now, [0, 0, 1, 10, 30]))
    tries = [_told("attempt", at, call=call) for call in "uvwx"]
    pairs = [
        [_told("objection", at), _told("objection_lifted", at)],
        [_told("consent", at, text="web"), _told("withdrawal", at)],
        [_told("consent", at, text="web", until=str(now.date())), _told("consent", at, text="web")],
        [
            _told("consent", at, text="web"),
            _told("consent", at, text=draw(st.sampled_from([*TEXTS]))),
        ],
        [_told("contract", at), _told("contract_ended", at)],
        [_told("contract", at), _told("contract", at, until=str(now.date()))],
        [*tries, _told("attempt_cancelled", at, call="u")],
        [*tries, _told("attempt_cancelled", at + timedelta(seconds=1), call="u")],
    ]
    return [*draw(st.permutations(draw(st.sampled_from(pairs)))), draw(_grounds(now))]


@st.composite
def _tried(draw: st.DrawFn, now: datetime) -> list[dict[str, object]]:
    """As many attempts as may be enough, some on another number of the person, and a ground."""
    others = st.sampled_from([{}, {}, {"consumer": "crm-1"}, {"consumer": "crm-1", "to": OTHER}])
    instants = draw(st.lists(_befores(now, ATTEMPT_AGES), min_size=3, max_size=6))
    tries = [_told("attempt", at, call=f"try-{n}", **draw(others)) for n, at in enumerate(instants)]
    return [*tries, draw(_grounds(now))]


@st.composite
def _elsewhere(draw: st.DrawFn, now: datetime) -> list[dict[str, object]]:
    """What restrains was said on another number of the same person; and a ground."""
    at = draw(_befores(now, [0, 1, 10, 59, 60, 61]))
    kind = draw(st.sampled_from(["objection", "refusal", "objection_lifted"]))
    to = draw(st.sampled_from([OTHER, "+262692000001", "+596596000001"]))
    return [_told(kind, at, consumer="crm-1", to=to), draw(_grounds(now))]


@st.composite
def _asked(draw: st.DrawFn, now: datetime) -> list[dict[str, object]]:
    """Requests to be called back, by name and not."""
    instants = st.lists(_befores(now, CALLBACK_AGES), min_size=1, max_size=3)
    return [_told("callback", at, explicit=draw(st.booleans())) for at in draw(instants)]


@st.composite
def _listed(draw: st.DrawFn, now: datetime) -> list[dict[str, object]]:
    until = now.date() + timedelta(days=draw(st.sampled_from([-1, 0, 1, 2, 5, 30, 60])))
    listed = _told("bloctel", draw(_befores(now, [0, 1, 90])), until=str(until))
    return [listed, draw(_grounds(now))] if draw(st.booleans()) else [listed]


@st.composite
def _scenes(draw: st.DrawFn, now: datetime) -> list[dict[str, object]]:
    """Often a few events that meet, lest most calls be denied for want of a ground."""
    scene = draw(st.sampled_from([_refused, _tied, _tried, _elsewhere, _asked, _listed, None]))
    return [draw(_grounds(now))] if scene is None else draw(scene(now))


@st.composite
def cases(draw: st.DrawFn) -> dict[str, object]:
    """What varies in a file of vectors with one case."""
    now = draw(_days().flatmap(_instants))
    pool = [now, *draw(st.lists(_befores(now, AGES), min_size=1, max_size=3))]
    events = draw(_scenes(now)) + draw(st.lists(_events(now, pool), max_size=4))
    # Two slots agreed at one instant: neither restrains more, and the product keeps one.
    agreed = {event["at"]: event for event in events if event["kind"] == "slot"}
    return {
        "interpretation": draw(st.sampled_from(["conservative", "conservative", "letter"])),
        "campaign": draw(_campaigns()),
        "now": now.isoformat(),
        "clock": draw(st.sampled_from(ZONES)),
        "call": draw(_calls()),
        "events": [e for e in events if e["kind"] != "slot" or e is agreed[e["at"]]],
    }


def written(case: dict[str, object], moments: list[datetime]) -> bytes:
    """The file of vectors that asks the case at each of these times."""
    world = {
        "format": 1,
        "interpretation": case["interpretation"],
        "principals": {
            "acme": {"secret": "00" * 32, "texts": TEXTS},
            "zenith": {"secret": "11" * 32, "texts": {"web": TEXTS["web"]}},
        },
        "campaigns": {"it": case["campaign"]},
        "cases": [
            {"name": at, "now": at, "call": case["call"], "events": case["events"]}
            for at in (moment.isoformat() for moment in moments)
        ],
    }
    return json.dumps(world).encode()


def moments(case: dict[str, object]) -> list[datetime]:
    """Times at which the case is asked: its own, the hours of that day, and days that count."""
    now = datetime.fromisoformat(str(case["now"]))
    here = ZoneInfo(str(case["clock"]))
    today = now.astimezone(here).date()
    hours = [datetime.combine(today, hour, here) for hour in HOURS]
    days = [datetime.combine(today + timedelta(days=n), time(11), here) for n in LATER_DAYS]
    return [now, *(at.astimezone(UTC) for at in hours + days)]


class Expected(msgspec.Struct):
    verdict: str
    reason: str
    retry_at: datetime | None


class Expectation(msgspec.Struct):
    name: str
    expect: Expected


class Expectations(msgspec.Struct):
    cases: list[Expectation]


def test_the_plain_reading_meets_the_conformance_vectors() -> None:
    data = VECTORS.read_bytes()
    wanted = {
        case.name: Answer(case.expect.verdict, case.expect.reason, case.expect.retry_at)
        for case in msgspec.json.decode(data, type=Expectations).cases
    }

    found = answers(msgspec.json.decode(data, type=OracleWorld))

    assert found == wanted


@settings(max_examples=4 * settings().max_examples)
@given(cases())
def test_the_product_decides_as_a_plain_reading_of_the_law(case: dict[str, object]) -> None:
    data = written(case, moments(case))

    ours = {result.name: result.decision for result in vectors.run(vectors.read(data))}

    assert {
        name: Answer(d.verdict.value, d.reason.value, d.retry_at) for name, d in ours.items()
    } == answers(msgspec.json.decode(data, type=OracleWorld))
