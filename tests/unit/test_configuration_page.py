"""The page of the configuration is of the configuration as it is: every table, key, default."""

import re
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import msgspec
import pytest
from msgspec import inspect

from ringfence.campaign import MENTIONS, SECTORS, Channel, DialMode
from ringfence.config import Settings, load

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^## `\[([^\]\n]+)\]`\n(.*?)(?=^## )", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+?) \| .+ \|$", re.MULTILINE)


def tables(kind: inspect.Type, *place: str) -> Iterator[tuple[str, list[inspect.Field]]]:
    """Give the tables below a type, and of each the keys that hold no table."""
    if isinstance(kind, inspect.UnionType):
        for part in kind.types:
            yield from tables(part, *place)
    elif isinstance(kind, inspect.DictType):
        yield from tables(kind.value_type, *place, "<name>")
    elif isinstance(kind, inspect.StructType):
        below = {f.name: list(tables(f.type, *place, f.encode_name)) for f in kind.fields}
        if place:
            yield ".".join(place), [field for field in kind.fields if not below[field.name]]
        for found in below.values():
            yield from found


TABLES = dict(tables(inspect.type_info(Settings)))
DESCRIBED = {name: ROW.findall(body) for name, body in SECTION.findall(PAGE)}


def written(field: inspect.Field) -> str:
    """Give a default as the page has it: in TOML, or `none`."""
    if field.required:
        return "required"
    default = field.default
    if default is msgspec.NODEFAULT:
        assert field.default_factory is not msgspec.NODEFAULT
        default = field.default_factory()
    return "none" if default is None else f"`{msgspec.json.encode(default).decode()}`"


def test_the_page_has_every_table_and_no_other() -> None:
    assert len(TABLES) >= 10
    assert list(DESCRIBED) == sorted(TABLES, key=list(DESCRIBED).index)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_has_every_key_with_its_default_and_no_other(table: str) -> None:
    described = {name: default for name, _, default in DESCRIBED[table]}

    assert described == {field.encode_name: written(field) for field in TABLES[table]}
    assert len(described) == len(DESCRIBED[table])


def kind_of(table: str, key: str) -> inspect.Type:
    (kind,) = (field.type for field in TABLES[table] if field.encode_name == key)
    return kind


BOUNDED = [
    (table, field.encode_name, bound)
    for table, fields in TABLES.items()
    for field in fields
    if isinstance(field.type, inspect.IntType | inspect.FloatType)
    for bound in (field.type.ge, field.type.gt, field.type.le, field.type.lt)
    if bound is not None
]


@pytest.mark.parametrize(("table", "key", "bound"), BOUNDED)
def test_the_bounds_of_a_number_are_told(table: str, key: str, bound: float) -> None:
    (told,) = (kind for name, kind, _ in DESCRIBED[table] if name == key)

    assert f"{bound:g}" in told.split() or f"{bound}" in told.split()


CHOICES = [
    (table, field.encode_name)
    for table, fields in TABLES.items()
    for field in fields
    if isinstance(field.type, inspect.EnumType | inspect.LiteralType)
]


@pytest.mark.parametrize(("table", "key"), CHOICES)
def test_the_choices_of_a_key_are_told(table: str, key: str) -> None:
    """In its row, or under the heading that the row links to."""
    kind = kind_of(table, key)
    assert isinstance(kind, inspect.EnumType | inspect.LiteralType)
    choices = kind.values if isinstance(kind, inspect.LiteralType) else (c.value for c in kind.cls)
    (told,) = (text for name, text, _ in DESCRIBED[table] if name == key)
    linked = re.search(r"\(#(.+)\)", told)
    listed = values(linked[1]) if linked else re.findall(r'`"(\w+)"`', told)

    assert sorted(listed) == sorted(map(str, choices))


def values(anchor: str) -> list[str]:
    """Give the values under a heading: those of its list, or of the first column of its table."""
    heading = anchor.replace("-", " ").capitalize()
    body = PAGE.split(f"\n### {heading}\n\n")[1].split("\n#")[0]
    rows = re.findall(r"^\| `(\w+)` \|", body, re.MULTILINE)
    return rows or re.findall(r"`(\w+)`", body.split("\n\n")[0])


@pytest.mark.parametrize(
    ("anchor", "known"),
    [("channels", Channel), ("dial-modes", DialMode), ("mentions", MENTIONS), ("sectors", SECTORS)],
)
def test_every_value_of_a_closed_list_is_told(
    anchor: str, known: type[StrEnum] | frozenset[str]
) -> None:
    assert sorted(values(anchor)) == sorted(known)


# --- the example ----------------------------------------------------------------------------------


@pytest.fixture
def example(tmp_path: Path) -> Path:
    (text,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    path = tmp_path / "ringfence.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_example_loads(example: Path, tmp_path: Path) -> None:
    (tmp_path / "acme.secret").write_text(bytes(range(32)).hex())

    settings = load(example)

    assert settings.keyring("acme").number("+33639980001") == 1727787136684913455
    assert list(settings.campaigns) == ["acme-fibre"]


def test_the_example_is_complete(example: Path) -> None:
    """All keys but the secret itself, which stands in its file."""
    text = tomllib.loads(example.read_text(encoding="utf-8"))
    missing = [
        f"{table}.{field.encode_name}"
        for table, fields in TABLES.items()
        for field in fields
        if not stands(text, [*table.split("."), field.encode_name])
    ]

    assert missing == ["principals.<name>.secret"]


def stands(text: object, place: list[str]) -> bool:
    if not place:
        return True
    if not isinstance(text, dict):
        return False
    names = list(text) if place[0] == "<name>" else [place[0]]
    return any(name in text and stands(text[name], place[1:]) for name in names)
