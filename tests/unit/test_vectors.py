import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from ringfence.decision import Reason
from ringfence.rules.rulebook import Interpretation
from ringfence.vectors import Result, World, read, run, wrong_keys

FILE = Path(__file__).parents[1] / "data" / "vectors.json"
WORLD = read(FILE.read_bytes())

NOW = "2026-11-24T11:00:00+01:00"
CALL = {"campaign": "acme-fibre", "to": "+33639980001", "caller_id": "+33162000001"}
CONSENT = {"kind": "consent", "at": "2026-09-01T12:00:00+02:00", "text": "web-1"}

Json = Mapping[str, object]


def case(*events: Json, now: str = NOW, **call: str) -> Json:
    return {"name": "a case", "now": now, "call": {**CALL, **call}, "events": list(events)}


def world(*cases: Json, **changes: object) -> bytes:
    """Give the file with other cases and other fields."""
    return json.dumps({**json.loads(FILE.read_bytes()), "cases": cases, **changes}).encode()


def decided(*events: Json, now: str = NOW, **call: str) -> str:
    (result,) = run(read(world(case(*events, now=now, **call))))
    return f"{result.decision.verdict} {result.decision.reason}"


def refused(data: bytes) -> str:
    """Give the error that a file or a case ends in, or the first key that is wrong."""
    with pytest.raises(ValueError) as error:  # noqa: PT011 - what it says is asserted by the test
        list(run(read(data)))
    assert "\n" not in str(error.value)
    return str(error.value)


# --- the file -------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", WORLD.cases, ids=lambda vector: vector.name)
def test_a_vector_is_decided_as_expected(vector: object) -> None:
    (result,) = run(msgspec.structs.replace(WORLD, cases=[vector]))

    assert result.met is True, result.line()


@pytest.mark.parametrize("vector", WORLD.cases, ids=lambda vector: vector.name)
def test_the_order_of_the_events_in_the_file_means_nothing(vector: object) -> None:
    assert isinstance(vector, type(WORLD.cases[0]))
    turned = msgspec.structs.replace(vector, events=[*reversed(vector.events), *vector.events])

    (result,) = run(msgspec.structs.replace(WORLD, cases=[turned]))

    assert result.met is True, result.line()


def test_the_keys_of_the_file_are_the_keys_that_are_made() -> None:
    """Design, section 4: the key function is part of the wire format."""
    assert len(WORLD.keys) == 8
    assert list(wrong_keys(WORLD)) == []


def test_a_wrong_key_is_told() -> None:
    wrong = {"principal": "acme", "message": "id:crm-42", "key": 1}

    assert list(wrong_keys(read(world(keys=[wrong])))) == [
        "key of 'id:crm-42' for acme: 5715030902540153509, not 1"
    ]


# --- what a case means ----------------------------------------------------------------------------


def test_an_event_belongs_to_the_calls_number_principal_and_purpose_unless_it_names_others() -> (
    None
):
    assert decided(CONSENT) == "allow consent"
    for elsewhere in ({"to": "+33639980002"}, {"principal": "zenith"}, {"purpose": "water"}):
        assert decided({**CONSENT, **elsewhere}) == "deny no_ground"


def test_an_event_of_the_same_number_in_another_form_is_of_the_same_person() -> None:
    assert decided({**CONSENT, "to": "06 39 98 00 01"}) == "allow consent"
    assert decided(CONSENT, to="0639980001") == "allow consent"


def test_an_event_of_a_later_instant_is_not_known_yet() -> None:
    withdrawal = {"kind": "withdrawal", "at": "2026-11-24T11:00:01+01:00"}

    assert decided(CONSENT, withdrawal) == "allow consent"
    assert decided(CONSENT, {**withdrawal, "at": NOW}) == "deny consent_withdrawn"


def test_a_refusal_of_the_person_at_another_number_counts_where_the_call_names_the_person() -> None:
    """The law counts per consumer, not per number (design, section 4)."""
    elsewhere = {
        "kind": "refusal",
        "at": "2026-11-10T11:00:00+01:00",
        "to": "+33199000009",
        "consumer": "crm-42",
    }

    assert decided(CONSENT, elsewhere) == "allow consent"
    assert decided(CONSENT, elsewhere, consumer="crm-42") == "deny refused"
    assert decided(CONSENT, elsewhere, consumer="crm-43") == "allow consent"


def test_the_dates_of_events_are_those_of_the_consumers_address() -> None:
    """Asked in Paris on Thursday night: Friday in Réunion, where Thursday week is the last day."""
    callback = {"kind": "callback", "at": "2026-10-01T22:30:00+02:00"}
    thursday_week = "2026-10-08T10:30:00+02:00"

    assert decided(callback, now=thursday_week) == "deny no_ground"
    assert decided(callback, now=thursday_week, department="974") == "allow callback"
    written = {**callback, "to": "06 39 98 00 01"}
    assert decided(written, now=thursday_week, department="974") == "allow callback"


def test_the_file_names_the_reading_and_the_conservative_is_the_default() -> None:
    good_friday = case(CONSENT, now="2027-03-26T11:00:00+01:00", department="67")

    assert read(world()).interpretation is Interpretation.CONSERVATIVE
    (careful,) = run(read(world(good_friday)))
    (letter,) = run(read(world(good_friday, interpretation="letter")))
    assert careful.decision.reason is Reason.HOLIDAY
    assert letter.decision.reason is Reason.CONSENT


def test_an_unknown_campaign_and_a_bad_number_are_answers_not_errors() -> None:
    assert decided(CONSENT, campaign="acme-typo") == "deny unknown_campaign"
    assert decided(CONSENT, to="0639980001x") == "deny invalid_number"


@pytest.mark.parametrize(
    ("expect", "met"),
    [
        ({}, True),
        ({"retry_at": "2026-11-25T10:00:00+01:00"}, True),
        ({"retry_at": "2026-11-25T09:15:00Z"}, False),
        ({"retry_at": None}, False),
        ({"reason": "holiday"}, False),
        ({"verdict": "deny"}, False),
    ],
)
def test_the_retry_is_compared_where_one_is_expected(expect: Json, *, met: bool) -> None:
    expected = {"verdict": "defer", "reason": "outside_hours", **expect}
    evening = case(CONSENT, now="2026-11-24T20:00:00+01:00")

    (result,) = run(read(world({**evening, "expect": expected})))

    assert result.met is met
    assert result.line() == {
        "name": "a case",
        "verdict": "defer",
        "reason": "outside_hours",
        "retry_at": "2026-11-25T09:00:00Z",
    }


def test_where_nothing_is_expected_nothing_is_met() -> None:
    (result,) = run(read(world(case())))

    assert result.met is None


def test_results_come_in_the_order_of_the_file() -> None:
    results: list[Result] = list(run(WORLD))

    assert [result.name for result in results] == [vector.name for vector in WORLD.cases]


# --- malformed files: value and place -------------------------------------------------------------


def campaign(**changes: object) -> Json:
    fibre: Json = json.loads(FILE.read_bytes())["campaigns"]["acme-fibre"]
    return {"acme-fibre": {**fibre, **changes}}


def text(**changes: object) -> Json:
    acme: Json = json.loads(FILE.read_bytes())["principals"]["acme"]
    texts = acme["texts"]
    assert isinstance(texts, dict)
    return {"acme": {**acme, "texts": {"web-1": {**texts["web-1"], **changes}}}}


EXPECT = {"verdict": "allow", "reason": "consent"}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", ["truncated"]),
        (b'{"format": 1,', ["truncated"]),
        (b"\xff\xfe", ["malformed", "byte 0"]),
        (world({**case(), "colour": "red"}), ["`colour`", "$.cases[0]"]),
        (world(case(), case(colour="red")), ["`colour`", "$.cases[1].call"]),
        (world(case({**CONSENT, "txt": "web-1"})), ["`txt`", "$.cases[0].events[0]"]),
        (world(case({"kind": "contact", "at": NOW})), ["'contact'", "$.cases[0].events[0].kind"]),
        (world(case({"kind": "consent", "at": NOW})), ["`text`", "$.cases[0].events[0]"]),
        (world(case({**CONSENT, "at": "yesterday"})), ["$.cases[0].events[0].at"]),
        (world(case({**CONSENT, "at": "2026-11-01T10:00:00"})), ["offset", "$.cases[0].events[0]"]),
        (world({**case(), "expect": {**EXPECT, "verdict": "maybe"}}), ["'maybe'", ".expect"]),
        (world({**case(), "expect": {**EXPECT, "reason": "mood"}}), ["'mood'", ".expect"]),
        (world(format=2), ["format 2", "reads 1"]),
        (world(interpretation="loose"), ["'loose'", "$.interpretation"]),
        (world(campaigns=campaign(sector="telecoms")), ["'telecoms'", "telecom,", "$.campaigns"]),
        (world(campaigns=campaign(colour="red")), ["`colour`", "$.campaigns"]),
        (world(campaigns=campaign(dial_mode="fast")), ["'fast'", "dial_mode"]),
        (world(campaigns=campaign(caller_ids=["0162000001"])), ["'0162000001'", "+33162000001"]),
        (world(campaigns=campaign(principal="nobody")), ["campaign acme-fibre", "'nobody'"]),
        (world(principals=text(mentions=["rights"])), ["'rights'", "$.principals"]),
        (world(principals=text(channel="pigeon")), ["'pigeon'", "channel"]),
        (world(principals={"acme": {"secret": "xyz"}}), ["secret of acme", "hexadecimal"]),
    ],
)  # fmt: skip
def test_a_malformed_file_is_refused_with_value_and_place(data: bytes, told: list[str]) -> None:
    message = refused(data)

    assert [piece for piece in told if piece not in message] == []


SHORT = {"acme": {"secret": "00"}, "zenith": {"secret": "00" * 16}}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (world(case({"kind": "refusal"})), ["refusal without `at`"]),
        (world(case({**CONSENT, "principal": "nobody"})), ["'nobody'"]),
        (world(case({**CONSENT, "to": "12"})), ["'12'"]),
        (world(case(zone="Europe/Pari")), ["'Europe/Pari'"]),
        (world(case(department="99")), ["'99'"]),
        (world(case(), principals=SHORT), ["16 to 64 bytes, not 1"]),
    ],
)
def test_a_case_that_cannot_be_decided_is_named_with_its_value(
    data: bytes, told: list[str]
) -> None:
    message = refused(data)

    assert message.startswith("case 'a case': ")
    assert [piece for piece in told if piece not in message] == []


@pytest.mark.parametrize("events", [(), (CONSENT,)])
def test_an_instant_without_its_offset_is_refused(events: tuple[Json, ...]) -> None:
    """It would be read on the clock of this machine."""
    message = refused(world(case(*events, now="2026-11-24T11:00:00")))

    assert "$.cases[0].now" in message


def test_an_expected_retry_without_its_offset_is_refused() -> None:
    expect = {"verdict": "defer", "reason": "outside_hours", "retry_at": "2026-11-25T09:00:00"}

    assert "$.cases[0].expect.retry_at" in refused(world({**case(), "expect": expect}))


def test_an_instant_at_the_end_of_time_is_refused() -> None:
    assert refused(world(case(now="9999-12-31T23:00:00Z"))).startswith("case 'a case': ")

    early = {**CONSENT, "at": "0001-01-01T00:00:00+14:00"}
    assert "`at` lies between the years" in refused(world(case(early)))


def test_a_key_of_an_unknown_principal_is_refused() -> None:
    with pytest.raises(ValueError, match="nobody"):
        list(wrong_keys(read(world(keys=[{"principal": "nobody", "message": "x", "key": 1}]))))


def test_a_world_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        WORLD.format = 2  # type: ignore[misc]  # that it cannot be is what is tested


def test_reading_gives_a_world() -> None:
    assert isinstance(WORLD, World)
    assert len(WORLD.cases) == 70
