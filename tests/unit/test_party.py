"""How a principal is called on paper must be printable, and is refused where it is not."""

from pathlib import Path

import pytest

from ringfence.config import ConfigError, Party, load


@pytest.mark.parametrize(
    ("line", "key", "letter"),
    [
        ('name = "Zażółć"', "name", "'ż' (U+017C)"),
        ('name = "Acme"\naddress = "Łódź"', "address", "'Ł' (U+0141)"),
        ('name = "Acme"\nregistration = "№ 1"', "registration", "'№' (U+2116)"),
        ('name = "Acme"\nwithdrawal = "→ 01"', "withdrawal", "'→' (U+2192)"),
        ('name = "Acme"\noffers = { fibre = "ﬁbre" }', "offers.fibre", "'ﬁ' (U+FB01)"),
    ],
)
def test_a_letter_that_papers_cannot_show_is_refused_by_key_and_letter(
    tmp_path: Path, line: str, key: str, letter: str
) -> None:
    file = tmp_path / "ringfence.toml"
    file.write_text(f"[parties.acme]\n{line}\n", encoding="utf-8")

    with pytest.raises(ConfigError) as error:
        load(file)

    assert f"`{key}` has {letter}" in str(error.value)
    assert "parties" in str(error.value)


def test_the_letters_of_french_and_its_neighbours_are_taken() -> None:
    for name in ("Œuvres d’Élise – 12 €", "Škoda", "Núñez & Søn", "L\u00a0:"):
        assert Party(name=name).name == name
