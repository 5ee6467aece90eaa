import pytest

from ringfence.call import Call, Outcome, new_id
from ringfence.number import parse

FIBRE = "acme-fibre"


def codes(call: Call) -> list[str]:
    return [territory.code for territory in call.territories(parse(call.to))]


def test_a_call_without_an_id_gets_one_that_no_other_has() -> None:
    first, second = (Call(to="+33639980001", campaign=FIBRE) for _ in range(2))

    assert first.id != second.id
    assert len(new_id()) == 32


def test_the_consumer_is_where_the_number_says() -> None:
    assert codes(Call(to="+262692000001", campaign=FIBRE)) == ["RE", "YT"]


def test_an_address_that_is_known_goes_before_the_number() -> None:
    """A +33 mobile may be carried to Réunion (law/france.md, section 9, point 20)."""
    assert codes(Call(to="+33639980001", campaign=FIBRE, department="974")) == ["RE"]
    assert codes(Call(to="+33639980001", campaign=FIBRE, zone="Indian/Mayotte")) == ["YT"]


def test_a_zone_that_disagrees_with_the_department_makes_two_territories() -> None:
    """Never widen: what the law measures by the clock must hold in both."""
    call = Call(to="+33639980001", campaign=FIBRE, department="974", zone="Europe/Paris")

    assert codes(call) == ["RE", "FR"]


def test_a_zone_that_agrees_adds_nothing_and_keeps_the_holidays_of_the_department() -> None:
    call = Call(to="+33639980001", campaign=FIBRE, department="67", zone="Europe/Paris")

    assert codes(call) == ["FR-AM"]


@pytest.mark.parametrize("zone", ["Europe/Pari", "", "../etc/passwd", "/etc/passwd", "a\0b", "é"])
def test_a_zone_that_does_not_exist_is_refused_and_named(zone: str) -> None:
    with pytest.raises(ValueError, match="no time zone is called") as refusal:
        Call(to="+33639980001", campaign=FIBRE, zone=zone)

    assert repr(zone) in str(refusal.value)


@pytest.mark.parametrize("department", ["", "00", "1", "96", "2C", "988"])
def test_a_department_that_does_not_exist_is_refused_and_named(department: str) -> None:
    with pytest.raises(ValueError, match=f"no department has the number {department!r}"):
        Call(to="+33639980001", campaign=FIBRE, department=department)


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_an_id_that_evidence_could_not_hold_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 64 characters"):
        Call(to="+33639980001", campaign=FIBRE, id=name)


def test_a_bad_number_is_no_error_of_the_call() -> None:
    """The gate answers DENY: a dialer's list must not stop the dialer."""
    assert Call(to="not a number", campaign=FIBRE).to == "not a number"


def test_a_call_cannot_be_changed() -> None:
    call = Call(to="+33639980001", campaign=FIBRE)

    with pytest.raises(AttributeError):
        call.to = "+33639980002"  # type: ignore[misc]  # that it cannot be is what is tested


def test_outcomes_are_the_words_of_the_design() -> None:
    assert {outcome.value for outcome in Outcome} == {
        "answered", "no_answer", "busy", "voicemail", "failed", "not_placed", "refused", "objected",
    }  # fmt: skip


def test_no_address_brings_a_foreign_number_into_the_rulebook() -> None:
    call = Call(to="+32470123456", campaign="c", zone="Europe/Paris", department="75")

    assert call.territories(parse(call.to)) == ()


@pytest.mark.parametrize("name", ["to", "campaign", "reference"])
def test_what_is_no_text_is_refused_at_once_and_not_when_the_call_is_admitted(name: str) -> None:
    with pytest.raises(TypeError, match=f"a call's `{name}` is text, not None"):
        Call(**{"to": "+33639980001", "campaign": "c", name: None})  # type: ignore[arg-type]  # on purpose


def test_a_consumer_has_an_id_or_none() -> None:
    """An empty one would be the same person for all calls of a dialer that knows nobody."""
    with pytest.raises(ValueError, match="a consumer's id has 1 to 256 characters: ''"):
        Call(to="+33639980001", campaign="c", consumer="")
