from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from ringfence.call import Outcome
from ringfence.campaign import Channel
from ringfence.event import (
    MAX_TEXT,
    AnyEvent,
    Attempt,
    AttemptCancelled,
    Bloctel,
    Callback,
    Consent,
    Contract,
    ContractEnded,
    Event,
    Keys,
    Objection,
    ObjectionLifted,
    Proof,
    Refusal,
    Slot,
    Withdrawal,
)
from ringfence.number import DEPARTMENTS, InvalidNumber, Keyring, parse

KEYRING = Keyring(bytes(range(32)))
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
TO, PURPOSE = "+33639980001", "fibre"

GROUNDS: list[Event] = [
    Consent(text="web-1", to=TO, purpose=PURPOSE),
    Withdrawal(to=TO, purpose=PURPOSE),
    Contract(to=TO, purpose=PURPOSE),
    ContractEnded(to=TO, purpose=PURPOSE),
    Callback(to=TO, purpose=PURPOSE),
    Slot(start=NOW, to=TO, purpose=PURPOSE),
]
RESTRAINTS: list[Event] = [
    Refusal(to=TO),
    Objection(to=TO),
    ObjectionLifted(to=TO),
    Attempt(call="c1", to=TO),
    AttemptCancelled(call="c1", to=TO),
    Bloctel(until=date(2026, 8, 10), to=TO),
]


def kind(event: Event) -> str:
    return event.kind


@pytest.mark.parametrize("event", GROUNDS, ids=kind)
def test_a_ground_is_filed_under_number_and_purpose_alone(event: Event) -> None:
    """A consent is specific (L223-1 al. 2): for another purpose there is nothing to find."""
    assert event.sealed(KEYRING, NOW).keys == Keys(purpose=KEYRING.purpose(TO, PURPOSE))


@pytest.mark.parametrize("event", RESTRAINTS, ids=kind)
def test_a_restraint_is_filed_under_the_number_and_under_the_person(event: Event) -> None:
    named = msgspec.structs.replace(event, consumer="crm-42")

    assert event.sealed(KEYRING, NOW).keys == Keys(number=KEYRING.number(TO))
    assert named.sealed(KEYRING, NOW).keys == Keys(
        number=KEYRING.number(TO), consumer=KEYRING.consumer("crm-42")
    )


@pytest.mark.parametrize("event", GROUNDS + RESTRAINTS, ids=kind)
def test_a_sealed_event_holds_no_number_and_no_name(event: Event) -> None:
    told = msgspec.structs.replace(event, consumer="crm-42")

    sealed = told.sealed(KEYRING, NOW)

    encoded = msgspec.json.encode(sealed).decode()
    assert "639980001" not in encoded
    assert "crm-42" not in encoded
    assert PURPOSE not in encoded
    assert sealed.id == event.id


@pytest.mark.parametrize("event", GROUNDS + RESTRAINTS, ids=kind)
def test_an_event_survives_the_wire(event: Event) -> None:
    for told in (event, event.sealed(KEYRING, NOW)):
        assert msgspec.json.decode(msgspec.json.encode(told), type=AnyEvent) == told
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(told), type=AnyEvent) == told


def test_kinds_are_the_words_of_the_design() -> None:
    assert [event.kind for event in GROUNDS + RESTRAINTS] == [
        "consent", "withdrawal", "contract", "contract_ended", "callback", "slot",
        "refusal", "objection", "objection_lifted", "attempt", "attempt_cancelled", "bloctel",
    ]  # fmt: skip


def test_any_way_of_writing_the_number_gives_the_same_key() -> None:
    written = Refusal(to="06 39 98 00 01").sealed(KEYRING, NOW)

    assert written.keys == Refusal(to=TO).sealed(KEYRING, NOW).keys


def test_an_event_without_an_instant_happens_now_and_another_keeps_its_own() -> None:
    earlier = datetime(2026, 11, 1, 8, tzinfo=UTC)

    assert Refusal(to=TO).sealed(KEYRING, NOW).at == NOW
    assert Refusal(to=TO, at=earlier).sealed(KEYRING, NOW).at == earlier


def test_the_date_is_the_consumers() -> None:
    """Days are the consumer's: at 23:30 in Paris it is the day after in Réunion."""
    late = datetime(2026, 11, 24, 22, 30, tzinfo=UTC)
    event = Refusal(to=TO, at=late)

    assert event.sealed(KEYRING, NOW).on == date(2026, 11, 24)
    assert event.sealed(KEYRING, NOW, (DEPARTMENTS["974"],)).on == date(2026, 11, 25)


def test_where_the_number_leaves_two_dates_open_the_longer_restraint_holds() -> None:
    """A refusal counts from the later date, a consent runs from the earlier."""
    between = datetime(
        2026, 11, 24, 20, 30, tzinfo=UTC
    )  # Mayotte 23:30, Réunion half past midnight
    mobile = "+262692000001"

    refusal = Refusal(to=mobile, at=between).sealed(KEYRING, NOW)
    consent = Consent(text="web-1", to=mobile, purpose=PURPOSE, at=between).sealed(KEYRING, NOW)

    assert refusal.on == date(2026, 11, 25)
    assert consent.on == date(2026, 11, 24)


def test_a_date_that_was_stated_stands() -> None:
    stated = Refusal(to=TO, on=date(2026, 11, 20))

    assert stated.sealed(KEYRING, NOW).on == date(2026, 11, 20)


def test_an_event_about_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match=r"refusal r1 names nobody: give `to`, the number"):
        Refusal(id="r1").sealed(KEYRING, NOW)


def test_an_event_about_no_number_is_refused() -> None:
    with pytest.raises(InvalidNumber, match="'0639980001x'"):
        Refusal(to="0639980001x").sealed(KEYRING, NOW)


def test_a_ground_without_a_purpose_is_refused() -> None:
    with pytest.raises(ValueError, match=r"consent c1 needs a `purpose`"):
        Consent(id="c1", text="web-1", to=TO).sealed(KEYRING, NOW)


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a/b", "é", "a\n"])
def test_an_id_that_no_table_could_carry_is_refused_and_named(name: str) -> None:
    with pytest.raises(ValueError, match="an event's id has 1 to 64") as refusal:
        Refusal(id=name, to=TO)

    assert repr(name) in str(refusal.value)


@pytest.mark.parametrize("name", ["", "ACME", "a b", "a/b", "x" * 49, "acme+", "acme\n"])
def test_a_name_that_no_topic_could_carry_is_refused_and_named(name: str) -> None:
    with pytest.raises(ValueError, match="`principal` has 1 to 48") as refusal:
        Refusal(principal=name, to=TO)
    with pytest.raises(ValueError, match="`purpose` has 1 to 48"):
        Withdrawal(purpose=name, to=TO)

    assert repr(name) in str(refusal.value)


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("source", lambda text: Refusal(to=TO, source=text)),
        ("text", lambda text: Consent(to=TO, purpose=PURPOSE, text=text)),
        ("call", lambda text: Attempt(to=TO, call=text)),
        ("call", lambda text: AttemptCancelled(to=TO, call=text)),
    ],
    ids=["source", "text", "attempt", "cancelled"],
)
def test_a_text_that_no_message_could_carry_is_refused_and_not_repeated(
    field: str, told: Callable[[str], Event]
) -> None:
    told("é" * MAX_TEXT)

    with pytest.raises(ValueError, match=f"`{field}` has up to 256 characters, not 257") as refusal:
        told("é" * (MAX_TEXT + 1))
    assert "é" not in str(refusal.value)


def test_an_instant_without_its_offset_is_refused() -> None:
    naive = datetime(2026, 11, 24, 10, 30)  # noqa: DTZ001 - it is what is refused

    with pytest.raises(ValueError, match="`at` needs its offset from UTC: 2026-11-24T10:30:00"):
        Refusal(to=TO, at=naive)
    with pytest.raises(ValueError, match="`start` needs its offset from UTC"):
        Slot(to=TO, purpose=PURPOSE, start=naive)


@pytest.mark.parametrize(
    "edge",
    [
        "9999-12-31T23:59:59-12:00",
        "9999-12-31T23:59:59+00:00",
        "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00+00:00",
        "9999-01-02T00:00:00+00:00",
    ],
)
def test_an_instant_that_not_every_clock_can_show_is_refused(edge: str) -> None:
    at = datetime.fromisoformat(edge)

    with pytest.raises(ValueError, match="`at` lies between the years 2 and 9998, not"):
        Refusal(to=TO, at=at)
    with pytest.raises(ValueError, match="`start` lies between the years 2 and 9998"):
        Slot(to=TO, purpose=PURPOSE, start=at)
    with pytest.raises(ValueError, match="`collected_at` lies between the years 2 and 9998"):
        Proof("https://crm.example/1", "a" * 64, collected_at=at)
    with pytest.raises(ValueError, match="`on` lies between the years 2 and 9998"):
        Refusal(to=TO, on=at.date())


@pytest.mark.parametrize("edge", ["9998-12-31T23:59:59-00:00", "0002-01-01T00:00:00+00:00"])
def test_the_first_and_the_last_instant_are_sealed_wherever_the_person_is(edge: str) -> None:
    at = datetime.fromisoformat(edge)

    for territory in DEPARTMENTS.values():
        assert Refusal(to=TO, at=at).sealed(KEYRING, NOW, (territory,)).at == at


def test_a_contract_may_run_to_the_last_day_there_is() -> None:
    """It is a way to say that it has no end."""
    assert Contract(to=TO, purpose=PURPOSE, until=date.max).until == date.max


@pytest.mark.parametrize("minutes", [-5, 0, 721])
def test_a_slot_is_a_precise_time_not_a_day(minutes: int) -> None:
    """C. conso. L223-1 al. 6: a precise date and hour."""
    with pytest.raises(ValueError, match=f"a slot has 1 to 720 minutes, not {minutes}"):
        Slot(to=TO, purpose=PURPOSE, start=NOW, minutes=minutes)


def test_a_sealed_event_states_when_it_was_said_and_of_whom() -> None:
    refusal = Refusal(to=TO).sealed(KEYRING, NOW).stated()
    consent = Consent(text="web-1", to=TO, purpose=PURPOSE).sealed(KEYRING, NOW).stated()

    assert (refusal.at, refusal.on, refusal.key) == (NOW, NOW.date(), KEYRING.number(TO))
    assert consent.key == KEYRING.purpose(TO, PURPOSE)


@pytest.mark.parametrize("carried", [{"to": TO}, {"purpose": PURPOSE}, {"consumer": "crm-42"}])
def test_an_event_that_still_names_somebody_is_not_stated(carried: dict[str, str]) -> None:
    sealed = Refusal(id="r1", to=TO).sealed(KEYRING, NOW)
    leaking = msgspec.structs.replace(sealed, **carried)

    with pytest.raises(ValueError, match="refusal r1 carries a telephone number or a name"):
        leaking.stated()


@pytest.mark.parametrize("missing", ["keys", "at", "on"])
def test_an_event_that_is_not_whole_is_not_stated(missing: str) -> None:
    sealed = Refusal(id="r1", to=TO).sealed(KEYRING, NOW)
    torn = msgspec.structs.replace(sealed, **{missing: None})

    with pytest.raises(ValueError, match=r"refusal r1 needs `keys.number`, `at` and `on`"):
        torn.stated()


def test_a_ground_under_the_key_of_a_number_is_not_stated() -> None:
    """It would be a ground for every purpose."""
    consent = Consent(id="c1", text="web-1", at=NOW, on=NOW.date(), keys=Keys(number=1))

    with pytest.raises(ValueError, match=r"consent c1 needs `keys.purpose`"):
        consent.stated()


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ('{"kind": "refused"}', r"Invalid value 'refused' - at `\$.kind`"),
        ('{"kind": "refusal", "when": 1}', "unknown field `when`"),
        ('{"kind": "consent"}', "missing required field `text`"),
        ('{"kind": "attempt", "call": "c", "outcome": "lost"}', r"'lost' - at `\$.outcome`"),
        ('{"kind": "refusal", "at": "yesterday"}', r"RFC3339 - at `\$.at`|at `\$.at`"),
        ('{"kind": "refusal", "at": "2026-11-24T10:30:00"}', "needs its offset"),
    ],
)
def test_a_malformed_event_is_refused_with_its_place(event: str, problem: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=problem):
        msgspec.json.decode(event, type=AnyEvent)


def test_an_attempt_carries_its_outcome() -> None:
    told = Attempt(call="c1", to=TO, outcome=Outcome.BUSY).sealed(KEYRING, NOW)

    assert msgspec.json.decode(msgspec.json.encode(told), type=AnyEvent) == told


def test_instants_of_any_offset_are_kept_in_utc() -> None:
    paris = datetime.fromisoformat("2026-11-24T10:30:00+01:00")

    sealed = Refusal(to=TO, at=paris).sealed(KEYRING, NOW + timedelta(hours=1))

    assert sealed.at == NOW
    assert sealed.at is not None
    assert sealed.at.tzinfo is UTC


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (Refusal(id="ref-33639980001", to=TO), "id"),
        (Refusal(id="06.39-98:00_01", to=TO), "id"),
        (Objection(source="agent:3 calls 06 39 98 00 01 back", to=TO), "source"),
        (Consent(text="web-1", source="form?to=06%2039980001", to=TO, purpose=PURPOSE), "source"),
        (Refusal(source="41 00 00", to="+508410000"), "source"),
        (Attempt(call="leg-0639980001", to=TO), "call"),
        (AttemptCancelled(call="leg-0639980001", to=TO), "call"),
    ],
)
def test_an_event_in_which_the_number_can_be_read_does_not_leave_the_process(
    event: Event, field: str
) -> None:
    with pytest.raises(ValueError, match=f"the telephone number .* `{field}`") as refusal:
        event.sealed(KEYRING, NOW)

    assert parse(event.to or "").told_by(str(refusal.value)) is False
    other = msgspec.structs.replace(event, to="+33639980002")
    assert other.sealed(KEYRING, NOW).id == event.id


# --- proofs ---------------------------------------------------------------------------------------

DIGEST = "0123456789abcdef" * 4
PROOF = Proof("https://crm.example/proofs/4711", DIGEST)


def proved(proof: Proof, to: str = TO) -> Consent:
    return Consent(id="c1", text="web-1", to=to, purpose=PURPOSE, proof=proof)


def test_a_consent_carries_its_proof_over_the_wire() -> None:
    proof = Proof("proof:" + DIGEST, DIGEST, NOW, Channel.PAPER, "2026-03 (b)")

    for told in (proved(proof), proved(proof).sealed(KEYRING, NOW)):
        assert msgspec.json.decode(msgspec.json.encode(told), type=AnyEvent) == told
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(told), type=AnyEvent) == told


def test_a_consent_without_proof_is_written_as_it_was_before_there_were_any() -> None:
    written = msgspec.json.encode(Consent(id="c1", text="web-1", at=NOW))

    assert written == b'{"kind":"consent","id":"c1","at":"2026-11-24T09:30:00Z","text":"web-1"}'
    assert msgspec.json.decode(written, type=AnyEvent) == Consent(id="c1", text="web-1", at=NOW)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"uri": ""}, "`uri` has 1 to 512 printable characters: ''"),
        ({"uri": "x" * 513}, "`uri` has 1 to 512"),
        (
            {"uri": "https://crm\n/1"},
            r"`uri` has 1 to 512 printable characters: 'https://crm\\n/1'",
        ),
        ({"uri": "https://crm/\u202e1"}, "`uri` has 1 to 512"),
        ({"sha256": DIGEST[1:]}, "`sha256` has 64 lower-case hexadecimal digits"),
        ({"sha256": DIGEST.upper()}, "`sha256` has 64 lower-case"),
        ({"sha256": DIGEST + "\n"}, "`sha256` has 64 lower-case"),
        ({"collected_at": "2026-11-24T10:30:00"}, "`collected_at` needs its offset"),
        ({"channel": "pigeon"}, r"'pigeon' - at `\$.proof.channel`"),
        ({"text_version": "v" * 65}, "`text_version` has up to 64"),
        ({"text_version": "v\t1"}, "`text_version` has up to 64"),
        ({"name": "x"}, r"unknown field `name` - at `\$.proof`"),
    ],
)
def test_a_malformed_proof_is_refused_with_its_reason(fields: dict[str, str], problem: str) -> None:
    proof = {"uri": PROOF.uri, "sha256": DIGEST, **fields}
    event = {"kind": "consent", "text": "web-1", "proof": proof}

    with pytest.raises(msgspec.ValidationError, match=problem):
        msgspec.json.decode(msgspec.json.encode(event), type=AnyEvent)


@pytest.mark.parametrize(
    "proof",
    [
        Proof("https://crm.example/0639980001.pdf", DIGEST),
        Proof("https://crm.example/?to=+33639980001", DIGEST),
        Proof("https://crm.example/?to=%2B33639980001", DIGEST),
        Proof("https://crm.example/06%2039%2098%2000%2001", DIGEST),
        Proof("file:///forms/06.39.98.00.01/1", DIGEST),
        Proof("file:///forms/06-39-98-00-01", DIGEST),
        Proof("file:///forms/(0)6 39 98 00 01", DIGEST),
        Proof("file:///forms/1", DIGEST, text_version="for 06 39 98 00 01"),
        Proof("s3://proofs/06%2C39%2C98%2C00%2C01.pdf", DIGEST),
        Proof(f"s3://{DIGEST}/06x39x98x00x01.pdf", DIGEST),
    ],
    ids=str,
)
def test_a_proof_that_tells_the_number_does_not_leave_the_process(proof: Proof) -> None:
    with pytest.raises(ValueError, match="consent c1: the telephone number is in its proof's uri"):
        proved(proof).sealed(KEYRING, NOW)

    assert proved(proof, to="+33639980002").sealed(KEYRING, NOW).proof == proof


def test_the_six_digits_of_a_number_of_saint_pierre_are_seen_in_a_proof() -> None:
    with pytest.raises(ValueError, match="consent c1: the telephone number is in its proof's uri"):
        proved(Proof("s3://proofs/410000.pdf", DIGEST), to="+508410000").sealed(KEYRING, NOW)


def test_the_digits_of_a_hash_tell_nothing() -> None:
    digest = "0639980001" + "a" * 54
    proof = Proof(f"proof:{digest}", digest)

    assert proved(proof).sealed(KEYRING, NOW).proof == proof
