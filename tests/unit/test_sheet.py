"""CSV files as business software writes them: encodings, delimiters, quotes, names of columns."""

import os
from pathlib import Path

import pytest

from ringfence.columns import ColumnError, find_columns
from ringfence.ledger.columns import NAMES, names_of
from ringfence.sheet import MAX_RECORD, Record, SheetError, open_sheet


def read(path: Path, content: bytes) -> tuple[list[str], list[Record]]:
    path.write_bytes(content)
    with open_sheet(path) as sheet:
        return sheet.header, list(sheet.records())


def said(record: Record) -> tuple[int, list[str]]:
    assert not record.fault
    return record.line, record.fields


def fields(path: Path, content: bytes) -> list[list[str]]:
    return [record.fields for record in read(path, content)[1]]


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return tmp_path / "consents.csv"


# --- encodings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_an_accent_is_read_in_every_encoding_that_office_software_writes(
    csv: Path, encoding: str
) -> None:
    text = "Téléphone;Prénom\r\n+33639980001;Zoé\r\n"

    header, records = read(csv, text.encode(encoding))

    assert header == ["Téléphone", "Prénom"]
    assert list(map(said, records)) == [(2, ["+33639980001", "Zoé"])]


def test_one_accent_far_behind_tells_the_encoding_of_the_whole_file(csv: Path) -> None:
    plain = b"tel;note\n" + b"+33639980001;x\n" * 200_000

    assert fields(csv, plain + "+33639980002;é\n".encode("cp1252"))[-1][1] == "é"
    assert fields(csv, plain + "+33639980002;é\n".encode())[-1][1] == "é"


def test_a_character_cut_at_the_end_of_the_file_is_no_utf_8(csv: Path) -> None:
    assert fields(csv, b"tel;note\n+33639980001;caf\xc3")[-1][1] == "cafÃ"


# --- records --------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiter_and_line_end_are_found_out(csv: Path, delimiter: str, end: str) -> None:
    lines = [delimiter.join(["tel", "date"]), delimiter.join(["+33639980001", "01/03/2026"]), ""]

    assert fields(csv, end.join(lines).encode()) == [["+33639980001", "01/03/2026"]]


def test_quotes_hold_delimiters_quotes_and_line_ends_together(csv: Path) -> None:
    content = b'tel;note\r\n+33639980001;"a;b ""c""\r\nd"\r\n+33639980002;e\r\n'

    _, records = read(csv, content)

    assert list(map(said, records)) == [
        (2, ["+33639980001", 'a;b "c"\r\nd']),
        (4, ["+33639980002", "e"]),
    ]


def test_lines_that_say_nothing_are_passed_over_and_counted(csv: Path) -> None:
    content = b"\n\ntel;date\n\n;\n+33639980001;01/03/2026\n\n\n"

    header, records = read(csv, content)

    assert header == ["tel", "date"]
    assert list(map(said, records)) == [(6, ["+33639980001", "01/03/2026"])]


def test_a_quote_that_is_not_closed_costs_its_own_line_only(csv: Path) -> None:
    content = b'tel;text\n"1;"a"\n"2";"b\n"3";"c"\n4;d\n'

    _, records = read(csv, content)

    assert [(r.line, r.fields) for r in records if r.fault] == [(2, ['"1;"a"']), (3, ['"2";"b'])]
    assert [said(r) for r in records if not r.fault] == [(4, ["3", "c"]), (5, ["4", "d"])]


def test_a_quote_open_at_the_end_of_the_file_costs_its_own_line_only(csv: Path) -> None:
    _, records = read(csv, b'tel;text\n1;"a\n2;b\n3;c\n')

    assert [(r.line, bool(r.fault)) for r in records] == [(2, True), (3, False), (4, False)]


def test_a_quote_that_is_never_closed_does_not_swallow_the_file(csv: Path) -> None:
    rest = b"+33639980001;a\n" * (3 * MAX_RECORD // 15)

    _, records = read(csv, b'tel;text\n1;"a\n' + rest)

    assert records[0].fields == ['1;"a']
    assert "is a quote not closed?" in records[0].fault
    assert len(records) == 1 + len(rest) // 15
    assert said(records[-1]) == (len(records) + 1, ["+33639980001", "a"])


def test_a_line_without_end_is_one_bad_line(csv: Path) -> None:
    _, records = read(csv, b"tel;text\n1;" + b"a" * 3 * MAX_RECORD + b"\n2;b\n")

    assert [(r.line, bool(r.fault)) for r in records] == [(2, True), (3, False)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_sheet_can_be_written_again_to_the_byte(csv: Path, encoding: str, end: str) -> None:
    lines = ["", "tél;note", '+33639980001;"a ""b""', ' c"', "", ";;", '2;"x"', '3;"é', "4;d"]
    content = end.join(lines).encode(encoding)
    csv.write_bytes(content)

    with open_sheet(csv) as sheet:
        texts = [sheet.above, sheet.header_text, *(r.text for r in sheet.records(empty=True))]

    assert "".join(texts).encode(sheet.encoding) == content


def test_a_byte_that_is_no_letter_can_be_written_again(csv: Path) -> None:
    csv.write_bytes(b"tel;note\n1;caf\xe9 \x81\n")

    with open_sheet(csv, errors="surrogateescape") as sheet:
        text = "".join(r.text for r in sheet.records())

    assert sheet.encoding == "cp1252"
    assert text.encode("cp1252", "surrogateescape") == b"1;caf\xe9 \x81\n"


def test_the_position_ends_at_the_size(csv: Path) -> None:
    csv.write_bytes(b"tel\n+33639980001\n")

    with open_sheet(csv) as sheet:
        list(sheet.records())
        assert sheet.position == sheet.size == csv.stat().st_size


# --- what is no sheet -----------------------------------------------------------------------------


def test_what_cannot_be_read_says_which_file_and_why(tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_bytes(b"\n\n")
    quote = tmp_path / "quote.csv"
    quote.write_bytes(b'tel;"date\n')
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    for path, why in [
        (tmp_path / "none.csv", "none.csv: No such file"),
        (empty, "empty.csv has no header: it is empty"),
        (quote, "quote.csv has no header: line 1"),
        (pipe, "pipe is no regular file"),
    ]:
        with pytest.raises(SheetError, match=why), open_sheet(path):
            pass


# --- columns --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["numéro", "NUMERO", "Téléphone", "telephone", "Tél.", "tel", "Phone", "number", "Mobile",
     "N° de téléphone", " Numéro de  téléphone "],
)  # fmt: skip
def test_the_number_is_found_whatever_its_case_and_accents(name: str) -> None:
    columns = find_columns(["Nom", name], ["number"], names=NAMES, named={}, given={})

    assert columns.cells(["Dupont", " +33639980001 "])[0] == "+33639980001"


@pytest.mark.parametrize(
    ("names", "cells"),
    [
        ("tel;Recueilli le;Version;Finalité;Jusqu’au", ["a", "b", "c", "d", "e"]),
        ("tel;Date de consentement;texte;objet;jusqu'au", ["a", "b", "c", "d", "e"]),
        ("phone;collected_at;text;purpose;until", ["a", "b", "c", "d", "e"]),
        ("until;purpose;text;date;mobile", ["e", "d", "c", "b", "a"]),
    ],
)
def test_every_role_is_found_in_french_and_english(names: str, cells: list[str]) -> None:
    columns = find_columns(names.split(";"), [], names=names_of("consent"), named={}, given={})

    assert columns.cells(["a", "b", "c", "d", "e"]) == cells


def test_a_column_can_be_named() -> None:
    header = ["Tél. fixe", "Tél. portable", "date"]

    columns = find_columns(
        header, ["number"], names=NAMES, named={"number": "tel portable"}, given={}
    )

    assert columns.cells(["0199000001", "0639980001", "x"])[:2] == ["0639980001", "x"]


def test_what_is_given_holds_where_a_line_says_nothing() -> None:
    columns = find_columns(
        ["tel", "objet"], [], names=NAMES, named={}, given={"purpose": "fibre", "text": "t"}
    )

    assert columns.cells(["1", ""])[2:4] == ["t", "fibre"]
    assert columns.cells(["1"])[2:4] == ["t", "fibre"]
    assert columns.cells(["1", "energie"])[2:4] == ["t", "energie"]


def test_lines_may_end_before_or_behind_their_last_column() -> None:
    columns = find_columns(["tel", "objet"], [], names=NAMES, named={}, given={})

    for fields in (["1"], ["1", ""], ["1", "", "", ""]):
        assert columns.cells(fields)[0] == "1"
        assert columns.cells(fields)[3] == ""


def test_a_missing_column_says_which_there_are() -> None:
    with pytest.raises(ColumnError, match="no column for the number; there are 'Nom', 'Date'"):
        find_columns(["Nom", "Date"], ["number", "date"], names=NAMES, named={}, given={})
    with pytest.raises(ColumnError, match="no column is called 'portable'; there are 'tel'"):
        find_columns(["tel"], [], names=NAMES, named={"number": "portable"}, given={})


def test_two_columns_that_may_both_be_it_are_not_chosen_between() -> None:
    with pytest.raises(ColumnError, match="'Téléphone' and 'Mobile' may both be the number"):
        find_columns(["Téléphone", "Mobile", "date"], ["number"], names=NAMES, named={}, given={})
