import msgspec
import pytest

from ringfence.campaign import (
    MENTIONS,
    SECTORS,
    Audience,
    Campaign,
    Channel,
    DialMode,
    Text,
    sound_texts,
)

FIBRE = Campaign(
    principal="acme",
    purpose="fibre",
    sector="telecom",
    operator="callco",
    dial_mode=DialMode.PREVIEW,
    caller_ids=frozenset(["+33162000001"]),
)
WEB = Text(mentions=MENTIONS, parties=frozenset(["acme", "callco"]), channel=Channel.WEB)


def sound(text: Text, campaign: Campaign = FIBRE) -> bool:
    return sound_texts(campaign, {"shown": text}, {"shown": 7}) == {7}


def test_a_text_with_all_mentions_and_both_parties_carries_a_campaign() -> None:
    assert sound(WEB)
    assert sound(msgspec.structs.replace(WEB, parties=WEB.parties | {"zenith"}))


@pytest.mark.parametrize("mention", sorted(MENTIONS))
def test_a_text_without_one_of_the_mentions_carries_nothing(mention: str) -> None:
    """C. conso. R223-1 I and II."""
    assert not sound(msgspec.structs.replace(WEB, mentions=MENTIONS - {mention}))


@pytest.mark.parametrize("party", ["acme", "callco"])
def test_a_text_that_does_not_name_both_parties_carries_nothing(party: str) -> None:
    """C. conso. R223-1 I 1°: the professional and the third party acting for it."""
    assert not sound(msgspec.structs.replace(WEB, parties=WEB.parties - {party}))


@pytest.mark.parametrize("channel", Channel)
def test_only_a_text_read_on_a_canvassing_call_is_worth_nothing(channel: Channel) -> None:
    """Calling to ask for consent is itself canvassing."""
    taken = msgspec.structs.replace(WEB, channel=channel)

    assert sound(taken) is (channel is not Channel.OUTBOUND_CALL)


@pytest.mark.parametrize("mode", DialMode)
def test_only_a_machine_that_speaks_needs_a_text_that_covers_it(mode: DialMode) -> None:
    """CPCE L34-5."""
    campaign = msgspec.structs.replace(FIBRE, dial_mode=mode)

    assert sound(WEB, campaign) is (mode not in {DialMode.ROBOCALL, DialMode.VOICEBOT})
    assert sound(msgspec.structs.replace(WEB, automated=True), campaign)


def test_no_consent_to_insurance_is_given_on_the_telephone() -> None:
    """C. assur. R112-7: it was not obtained in a telephone call."""
    asked = msgspec.structs.replace(WEB, channel=Channel.INBOUND_CALL)

    assert sound(asked, FIBRE)
    assert not sound(asked, msgspec.structs.replace(FIBRE, sector="insurance"))


def test_one_click_one_call_is_no_automated_system() -> None:
    """Arcep, decision 2022-1583, 7.1.3."""
    assert {mode for mode in DialMode if not mode.automated} == {DialMode.MANUAL, DialMode.PREVIEW}


def test_an_unknown_mention_is_refused_and_named() -> None:
    with pytest.raises(ValueError, match="no such mention: 'rights'; there are choice, "):
        msgspec.structs.replace(WEB, mentions=MENTIONS | {"rights"})


def test_an_unknown_sector_is_refused_because_it_would_slip_past_its_ban() -> None:
    with pytest.raises(ValueError, match="no such sector: 'energy_renovations'; there are "):
        msgspec.structs.replace(FIBRE, sector="energy_renovations")


def test_the_banned_sectors_can_be_named() -> None:
    assert {
        "energy_renovation",
        "renewable",
        "renewable_energy",
        "housing_adaptation",
        "cpf",
    } < SECTORS


@pytest.mark.parametrize("field", ["principal", "purpose"])
@pytest.mark.parametrize("name", ["", "Acme", "a/b", "a+", "x" * 49])
def test_a_name_that_no_topic_could_carry_is_refused(field: str, name: str) -> None:
    with pytest.raises(ValueError, match="a principal or purpose has 1 to 48") as refusal:
        msgspec.structs.replace(FIBRE, **{field: name})

    assert repr(name) in str(refusal.value)


@pytest.mark.parametrize(
    ("shown", "problem"),
    [
        ("0162000001", r"in E\.164: \+33162000001, not '0162000001'"),
        ("call us", "not a telephone number: 'call us'"),
    ],
)
def test_a_caller_id_is_listed_in_one_form(shown: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        msgspec.structs.replace(FIBRE, caller_ids=frozenset([shown]))


def test_only_commercial_calls_to_consumers_are_canvassing() -> None:
    """C. conso. L223-1: `consommateur`, `prospection commerciale`."""
    assert FIBRE.canvassing
    assert not msgspec.structs.replace(FIBRE, commercial=False).canvassing
    assert not msgspec.structs.replace(FIBRE, audience=Audience.BUSINESS).canvassing
