"""Which column of a sheet holds what: found by the names they have in French and English.

What is looked for, and under which names, is the reader's to say.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter

__all__ = ["NUMBER", "ColumnError", "Columns", "find_columns"]

NUMBER = (
    "numero, numero de telephone, no de telephone, n de telephone, telephone, tel, "
    "telephone mobile, mobile, portable, phone, phone number, number"
)
"""The names of a column of telephone numbers, as `_plain` writes them."""

_NO_WORD = re.compile(r"[^a-z0-9]+")


class ColumnError(Exception):
    """A column that is needed is not there, or is there twice; says which columns were seen."""


class Columns:
    """Where a line says what, and what holds where it says nothing."""

    def __init__(
        self,
        roles: Collection[str],
        places: Mapping[str, int],
        given: Mapping[str, str],
        *,
        width: int,
    ) -> None:
        self.given = given
        self.width = width
        self.found = frozenset(places)
        """The roles that have a column."""
        # A cell that is always empty stands behind the last for the roles without a column.
        self._pick = itemgetter(*(places.get(role, width) for role in roles))
        self._given = tuple(given.get(role, "") for role in roles)

    def cells(self, fields: Sequence[str]) -> list[str]:
        """Give what a line says in each of the roles; lines may end before their last columns."""
        missing = self.width - len(fields)
        cells = self._pick(
            [*fields[: self.width], *[""] * missing, ""] if missing else [*fields, ""]
        )
        if not self.given:
            return list(map(str.strip, cells))
        return [cell.strip() or given for cell, given in zip(cells, self._given, strict=True)]

    def spare(self, fields: Sequence[str]) -> bool:
        """Whether a line says something behind its last column."""
        return len(fields) > self.width and any(fields[self.width :])


def find_columns(
    header: Sequence[str],
    needed: Collection[str],
    *,
    names: Mapping[str, str],
    named: Mapping[str, str],
    given: Mapping[str, str],
) -> Columns:
    """Find the columns by their names.

    *names* are those that a column of each role may have, plainly written, with commas between.
    Each of the *needed* roles must have one, or a *given* value; *named* are the names of columns
    that are called otherwise. Raises `ColumnError`.
    """
    role_of = {name: role for role, listed in names.items() for name in listed.split(", ")}
    seen = [_plain(name) for name in header]
    found = {}
    for role in names:
        if role in named:
            wanted = _plain(named[role])
            places = [at for at, name in enumerate(seen) if name == wanted]
        else:
            places = [at for at, name in enumerate(seen) if role_of.get(name) == role]
        if len(places) > 1:
            both = " and ".join(repr(header[at]) for at in places)
            msg = f"{both} may both be the {role}: say which with --column {role}=NAME"
            raise ColumnError(msg)
        if places:
            found[role] = places[0]
        elif role in named or (role in needed and role not in given):
            raise ColumnError(_missing(role, named.get(role), header))
    return Columns(tuple(names), found, given, width=len(header))


def _missing(role: str, name: str | None, header: Sequence[str]) -> str:
    what = f"no column for the {role}" if name is None else f"no column is called {name!r}"
    there = ", ".join(repr(column) for column in header)
    return f"{what}; there are {there}: say which it is with --column {role}=NAME"


def _plain(name: str) -> str:
    """Write a name without accents, capitals, or anything between its words but a space."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return _NO_WORD.sub(" ", "".join(c for c in letters if not unicodedata.combining(c))).strip()
