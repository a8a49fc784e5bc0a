"""What was written by csv or openpyxl comes back the same, and what can't be read for certain is refused."""

import csv
import io
import zipfile
from datetime import date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from serversync.importing import reading
from serversync.importing.reading import Unreadable, in_words, read

HEADER = ("sign-in name", "primary email", "last name")
#: Letters that Excel and both encodings know; no control characters, which workbooks can't hold.
LETTERS = st.text(st.sampled_from("abcXYZ 0123,;\t\"'=+-@#\n日本語ｱ高橋é"), max_size=12)


def expected(rows):
    kept = []
    for row in rows:
        last = max((at for at, cell in enumerate(row, start=1) if cell.strip()), default=0)
        if last:
            kept.append(tuple(row[:last]))
    return kept


tables = st.lists(st.tuples(LETTERS, LETTERS, LETTERS), max_size=8)


def written(rows, separator=",", encoding="utf-8") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator).writerows([HEADER, *rows])
    return text.getvalue().encode(encoding)


@settings(max_examples=60, deadline=None)
@given(tables, st.sampled_from(",;\t"), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_what_csv_wrote_comes_back(rows, separator, encoding):
    table = read(written(rows, separator, encoding), "accounts.csv")

    assert table.header == HEADER
    assert table.separator == separator
    assert [row.cells for row in table.rows] == expected(rows)


@settings(max_examples=25, deadline=None)
@given(tables)
def test_what_openpyxl_wrote_comes_back(rows):
    rows = [tuple(cell.replace("=", "~") for cell in row) for row in rows]
    book = Workbook()
    for row in (HEADER, *rows):
        book.active.append(list(row))

    table = read(saved(book), "accounts.xlsx")

    assert table.header == HEADER
    assert [row.cells for row in table.rows] == expected(rows)


def saved(book: Workbook) -> bytes:
    kept = io.BytesIO()
    book.save(kept)
    return kept.getvalue()


# -- how it was read is told


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8 with its mark"),
        ("utf-16", "UTF-16"),
        ("cp932", "Shift_JIS"),
    ],
)
def test_japanese_is_read_in_every_encoding_that_excel_writes(encoding, told):
    content = written([("高橋", "taka@example.com", "髙﨑")], encoding=encoding)

    table = read(content, "accounts.csv")

    assert table.rows[0].cells == ("高橋", "taka@example.com", "髙﨑")
    assert str(table.encoding) == told


def test_an_encoding_that_was_chosen_is_taken_and_no_other():
    content = "name\nMüller\n".encode("cp1252")

    assert read(content, "a.csv", "windows-1252").rows[0].cells == ("Müller",)
    with pytest.raises(Unreadable, match="byte 7 doesn't fit"):
        read(content, "a.csv", "utf-8")
    with pytest.raises(Unreadable, match="neither UTF-8 nor Shift_JIS"):
        read(content, "a.csv")


def test_rows_are_numbered_as_a_spreadsheet_does():
    table = read(b"sep=;\r\na;b\r\n\r\n1;2\r\n;\r\n3;4\r\n", "a.csv")

    assert table.header == ("a", "b")
    assert [(row.number, row.cells) for row in table.rows] == [(4, ("1", "2")), (6, ("3", "4"))]


def test_one_column_needs_no_separator():
    table = read(b'name\nAda\n"Ben, C."\n', "a.csv")

    assert [row.cells for row in table.rows] == [("Ada",), ("Ben, C.",)]


def test_the_first_visible_sheet_with_a_header_is_read_and_the_others_are_named():
    book = Workbook()
    book.active.title = "Empty"
    hidden = book.create_sheet("Hidden")
    hidden.append(["secret"])
    hidden.sheet_state = "hidden"
    book.create_sheet("Users").append(["name", 7, 1.5, True])
    book.create_sheet("Notes").append(["x"])

    table = read(saved(book), "a.xlsx")

    assert (table.sheet, table.other_sheets) == ("Users", ("Notes",))
    assert table.header == ("name", "7", "1.5", "TRUE")


def test_values_are_told_as_a_person_would_have_typed_them():
    values = [
        None,
        12.0,
        0.5,
        False,
        date(2026, 4, 1),
        datetime(2026, 4, 1),  # noqa: DTZ001 - as workbooks hold them
        datetime(2026, 4, 1, 9, 30),  # noqa: DTZ001
    ]

    assert [in_words(value) for value in values] == [
        "", "12", "0.5", "FALSE", "2026-04-01", "2026-04-01", "2026-04-01 09:30:00",
    ]  # fmt: skip


# -- what is refused


def test_formulas_are_not_computed():
    book = Workbook()
    book.active.append(["name"])
    book.active.append(["=1+1"])

    with pytest.raises(Unreadable, match="Cell A2 holds a formula"):
        read(saved(book), "a.xlsx")


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"", "a.csv", "is empty"),
        (b"PK\x03\x04 broken", "a.xlsx", "damaged"),
        (b"name\n", "a.xlsx", "no .xlsx file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "a.xls", "old kind"),
        ("name\nAda\n".encode("utf-16-le"), "a.csv", "choose UTF-16"),
        (b"name\n\xff\xff\x80\n", "a.csv", "neither UTF-8"),
    ],
)
def test_what_is_no_table_is_refused_with_the_way_out(content, name, words):
    with pytest.raises(Unreadable, match=words):
        read(content, name)


def archive(**parts: bytes) -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in parts.items():
            made.writestr(name.replace("__", "/") + ".xml", content)
    return kept.getvalue()


def test_other_archives_are_no_workbooks():
    with pytest.raises(Unreadable, match="is no workbook"):
        read(archive(word__document=b"<a/>"), "a.xlsx")


def test_a_bomb_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(reading, "MOST_UNPACKED", 1_000_000)
    bomb = archive(xl__workbook=b"<a/>", xl__big=b"0" * 2_000_000)
    assert len(bomb) < 10_000

    with pytest.raises(Unreadable, match="unpacks to more than"):
        read(bomb, "a.xlsx")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_not_expanded(encoding):
    laughs = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'.encode(encoding)

    with pytest.raises(Unreadable, match="no spreadsheet writes"):
        read(archive(xl__workbook=laughs), "a.xlsx")


def test_rows_columns_bytes_and_cells_have_an_end(monkeypatch):
    monkeypatch.setattr(reading, "MOST_ROWS", 2)
    monkeypatch.setattr(reading, "MOST_COLUMNS", 3)
    monkeypatch.setattr(reading, "MOST_LETTERS", 5)
    monkeypatch.setattr(reading, "MOST_BYTES", 40)
    assert len(read(b"a\n1\n2\n", "a.csv").rows) == 2
    for content, words in {
        b"a\n1\n2\n3\n": "more than 2 rows",
        b"a,b,c,d\n": "more than 3 columns",
        b"a\n123456\n": "longer than a spreadsheet",
        b"a\n" * 40: "larger than",
    }.items():
        with pytest.raises(Unreadable, match=words):
            read(content, "a.csv")


def test_a_far_cell_does_not_fill_a_row_with_nothing(monkeypatch):
    monkeypatch.setattr(reading, "MOST_COLUMNS", 10)
    book = Workbook()
    book.active.append(["name"])
    book.active.cell(row=2, column=16_000, value="far")
    book.active.cell(row=900_000, column=1, value="low")

    table = read(saved(book), "a.xlsx")

    assert table.rows == ()


def test_the_library_keeps_what_it_was_chosen_for():
    """Read-only, without links, and with the parser that expands nothing."""
    from openpyxl.xml import functions

    assert functions.iterparse.__module__.startswith("defusedxml")
    assert load_workbook(io.BytesIO(saved(Workbook())), read_only=True, keep_links=False).read_only
