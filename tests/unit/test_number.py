import pytest

from ringfence.number import (
    DEPARTMENTS,
    METROPOLE,
    InvalidNumber,
    Keyring,
    Number,
    key,
    parse,
    tail,
    territories_of_zone,
)

SECRET = bytes(range(32))
NO_BREAK, NARROW = "\u00a0", "\u202f"


def codes(text: str) -> list[str]:
    return [territory.code for territory in parse(text).territories]


@pytest.mark.parametrize(
    "text",
    [
        "+33639980001",
        "0639980001",
        "06 39 98 00 01",
        "06.39.98.00.01",
        "0033 6 39 98 00 01",
        "+33 (0)6-39-98-00-01",
        "33639980001",
        "+33 06 39 98 00 01",
        f"06{NO_BREAK}39{NARROW}98 00 01\n",
    ],
)
def test_a_number_has_one_form_and_one_key_however_it_is_written(text: str) -> None:
    number = parse(text)

    assert number.e164 == "+33639980001"
    assert Keyring(SECRET).number(number.e164) == 1727787136684913455


@pytest.mark.parametrize(
    ("text", "e164"),
    [
        ("0262 00 00 01", "+262262000001"),
        ("+33262000001", "+262262000001"),
        ("+262 (0)262 00 00 01", "+262262000001"),
        ("00262 262 00 00 01", "+262262000001"),
        ("+262 262 00 00 01", "+262262000001"),
        ("+33 6 92 00 00 01", "+262692000001"),
        ("+33639000001", "+262639000001"),
        ("+33947800001", "+262947800001"),
        ("0590000001", "+590590000001"),
        ("+33690000001", "+590690000001"),
        ("0594 00 00 01", "+594594000001"),
        ("+33694000001", "+594694000001"),
        ("0596 00 00 01", "+596596000001"),
        ("+33696000001", "+596696000001"),
        ("0508 41 00 00", "+508410000"),
        ("+33508410000", "+508410000"),
        ("+508 41 00 00", "+508410000"),
    ],
)
def test_an_overseas_number_has_one_form_even_where_a_list_gives_it_33(
    text: str, e164: str
) -> None:
    assert parse(text).e164 == e164


def test_a_mobile_number_set_aside_for_fiction_is_not_in_mayotte() -> None:
    """0639 is Mayotte's but for 0639 98."""
    assert parse("0639 98 00 01").territories == (METROPOLE,)
    assert codes("0639 00 00 01") == ["YT"]


@pytest.mark.parametrize("text", ["0639 90 00 01", "0639 97 00 01"])
def test_the_rest_of_0639_is_in_mayotte(text: str) -> None:
    assert parse(text).e164.startswith("+262639")
    assert codes(text) == ["YT"]


@pytest.mark.parametrize(
    ("text", "country"),
    [
        ("0709 00 00 01", "+590"),
        ("0709 10 00 01", "+596"),
        ("0709 20 00 01", "+262"),
        ("0709 30 00 01", "+594"),
        ("0709 35 00 01", "+262"),
        ("0268 80 00 01", "+262"),
    ],
)
def test_the_younger_ranges_overseas_are_overseas(text: str, country: str) -> None:
    assert parse(text).e164.startswith(country)


def read(text: str) -> Number | None:
    try:
        return parse(text)
    except InvalidNumber:
        return None


def test_each_range_of_the_plan_is_read_alike_in_e164_and_as_it_is_dialled() -> None:
    """Most of what is asked about is plain E.164, and takes a shorter way."""
    for head in range(10_000, 100_000):
        assert read(f"+33{head}0001") == read(f"0{head}0001")


@pytest.mark.parametrize(
    ("text", "territories"),
    [
        ("+33199000001", ["FR"]),
        ("+262262000001", ["RE"]),
        ("+262263000001", ["RE"]),
        ("+262269000001", ["YT"]),
        ("+262639000001", ["YT"]),
        ("+262692000001", ["RE", "YT"]),
        ("+262947800001", ["RE", "YT"]),
        ("+590590000001", ["GP", "MF", "BL"]),
        ("+594594000001", ["GF"]),
        ("+596596000001", ["MQ"]),
        ("+508410000", ["PM"]),
        ("+32470123456", []),
        ("+15005550001", []),
    ],
)
def test_a_number_tells_where_its_owner_may_live(text: str, territories: list[str]) -> None:
    """Several where it does not say which, none outside the French numbering plan."""
    assert codes(text) == territories


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "+33",
        "12",
        "0639980001x",
        "0800 FLOWERS",
        "063998000",
        "06399800011",
        "+33063998000",
        "+33639980001;0639980002",
        "0639980001/0639980002",
        "+٣٣٦٣٩٩٨٠٠٠١",
        "9" * 41,
        "+50841000",
    ],
)
def test_what_is_no_number_is_refused_and_named(text: str) -> None:
    with pytest.raises(InvalidNumber) as refusal:
        parse(text)

    assert repr(text[:40]) in str(refusal.value)


def test_the_refusal_of_an_endless_text_is_short() -> None:
    with pytest.raises(InvalidNumber) as refusal:
        parse("0" * 1_000_000)

    assert len(str(refusal.value)) < 100


def test_a_leading_zero_abroad_is_kept() -> None:
    assert parse("+39 06 1234 5678").e164 == "+390612345678"


def test_every_department_has_a_territory() -> None:
    assert {"01", "2A", "2B", "20", "95", "971", "978"} <= DEPARTMENTS.keys()
    assert len(DEPARTMENTS) == 95 + 2 + 8
    assert {d for d, t in DEPARTMENTS.items() if t.code == "FR-AM"} == {"57", "67", "68"}


def test_a_zone_is_that_of_its_territory_and_another_keeps_the_holidays_of_the_nation() -> None:
    assert [place.code for place in territories_of_zone("Indian/Reunion")] == ["RE"]
    assert territories_of_zone("Europe/Paris") == (METROPOLE,)

    (elsewhere,) = territories_of_zone("Europe/Brussels")

    assert (elsewhere.code, elsewhere.zone) == ("FR", "Europe/Brussels")


def test_the_time_of_guadeloupe_may_be_that_of_three_territories() -> None:
    """Their holidays differ, and the zone does not say which it is."""
    assert [p.code for p in territories_of_zone("America/Guadeloupe")] == ["GP", "MF", "BL"]
    assert [p.code for p in territories_of_zone("America/Marigot")] == ["MF"]


def test_a_keyring_makes_the_keys_of_the_wire_format() -> None:
    """Design, section 4: number; number, 0x1F, purpose; `id:` and the consumer."""
    keyring = Keyring(SECRET)

    assert keyring.number("+33639980001") == key(SECRET, "+33639980001")
    assert keyring.purpose("+33639980001", "fibre") == key(SECRET, "+33639980001\x1ffibre")
    assert keyring.consumer("crm-42") == key(SECRET, "id:crm-42")
    assert keyring.both("+33639980001", tail("fibre")) == (
        keyring.number("+33639980001"),
        keyring.purpose("+33639980001", "fibre"),
    )


def test_two_principals_have_no_key_in_common() -> None:
    assert key(SECRET, "+33639980001") != key(SECRET[::-1], "+33639980001")


@pytest.mark.parametrize("size", [0, 15, 65])
def test_a_secret_too_short_or_too_long_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"16 to 64 bytes, not {size}"):
        Keyring(bytes(size))


def test_a_keyring_does_not_show_its_secret() -> None:
    assert SECRET.hex() not in repr(Keyring(SECRET))
    assert not hasattr(Keyring(SECRET), "__dict__")


@pytest.mark.parametrize(
    "text",
    [
        "0639980001",
        "agent:3 calls 0639980001 back",
        "+33 (0)6-39-98-00-01",
        "06\t39\n98\u200900\u200b01",
        "06,39:98[00]01",
        "06\u201139\u201398\u00b700\u301c01",
        "06x39x98x00x01",
        "06%2039%2C98%2c00%2001",
        "06%252039%252C98%252C00%252001",
        "06%39980001",
        "%30%36%33%39%39%38%30%30%30%31",
        "".join(chr(0xFF10 + int(digit)) for digit in "0639980001"),
        "".join(chr(0x660 + int(digit)) for digit in "0639980001"),
        "".join(chr(0x1D7D8 + int(digit)) for digit in "0639980001"),
        "lead-17-639980001-2",
    ],
)
def test_a_text_tells_a_number_however_its_digits_are_set_apart(text: str) -> None:
    assert parse("0639980001").told_by(text)


@pytest.mark.parametrize("text", ["", "0639980002", "06399800", "agent:17", "%", "10 00 89 93 6"])
def test_a_text_without_its_digits_does_not_tell_a_number(text: str) -> None:
    assert not parse("0639980001").told_by(text)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("+508410000", "0508 41 00 00"),
        ("+508410000", "s3://proofs/41%2C00%2C00.pdf"),
        ("+508708410000", "0708 41 00 00"),
        ("+262692000001", "0692 00 00 01"),
        ("+376312345", "312345"),
        ("+3726123456", "612 34 56"),
        ("+390612345678", "06 1234 5678"),
        ("+2904123", "+290 4123"),
    ],
)
def test_a_short_number_is_told_by_what_is_dialled_in_its_own_country(
    number: str, text: str
) -> None:
    assert parse(number).told_by(text)


def test_a_number_of_four_digits_is_not_found_in_every_text_with_four() -> None:
    assert not parse("+2904123").told_by("lead-4123")
