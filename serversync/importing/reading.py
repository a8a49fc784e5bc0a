"""PURE  bytes of a CSV or XLSX file to a table of text, saying how they were read.

Nothing is guessed silently: encoding, separator and sheet are told with the table, and what can't be read for
certain is refused with the way out. Formulas are never computed, links never followed, and a file that would
unpack to much more than it is isn't unpacked.
"""

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

MOST_BYTES = 10 * 1024 * 1024
MOST_UNPACKED = 64 * 1024 * 1024
MOST_PARTS = 1_000
MOST_ROWS = 5_000
MOST_COLUMNS = 200
MOST_LETTERS = 32_767  # of a cell, as in Excel
LOOKED_AT = 50  # records by which a separator is judged

XLSX = "xlsx"
SEPARATORS = {",": _("commas"), ";": _("semicolons"), "\t": _("tabs")}
#: Name that a person chooses -> codec, name as it is told.
ENCODINGS = {
    "utf-8": ("utf-8-sig", "UTF-8"),
    "utf-16": ("utf-16", "UTF-16"),
    "shift_jis": ("cp932", "Shift_JIS"),
    "windows-1252": ("cp1252", "Windows-1252"),
}
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig", _("UTF-8 with its mark")),
    (b"\xff\xfe", "utf-16", "UTF-16"),
    (b"\xfe\xff", "utf-16", "UTF-16"),
)
#: What codecs make of bytes that stand for nothing in Shift_JIS.
_NO_LETTERS = re.compile("[\x80-\x9f\uf8f0-\uf8f3]")
_HINT = re.compile(r"\Asep=(.)\r?\n", re.IGNORECASE)


class Unreadable(Exception):
    """The file as a whole can't be taken. Its text says why, and what to do."""

    def __init__(self, words: str | Promise, **told: Any) -> None:
        self.words, self.told = words, told
        super().__init__(words)

    def __str__(self) -> str:
        return str(self.words) % self.told if self.told else str(self.words)


@dataclass(frozen=True, slots=True)
class Row:
    """`number`: as a spreadsheet counts, the header being 1."""

    number: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with nothing in them are left out. `encoding`: "" for XLSX, `sheet` for CSV. `other_sheets`: what
    the file holds besides, and was not read."""

    header: tuple[str, ...]
    rows: tuple[Row, ...]
    encoding: str | Promise = ""
    separator: str = ""
    sheet: str = ""
    other_sheets: tuple[str, ...] = ()


def read(content: bytes, file_name: str, encoding: str = "") -> Table:
    """`encoding`: a key of ENCODINGS; "" to have it found out. Raises Unreadable."""
    if len(content) > MOST_BYTES:
        raise Unreadable(
            _("The file is larger than %(most)d MB. Split it, and import the parts."),
            most=MOST_BYTES // (1024 * 1024),
        )
    if not content.strip():
        raise Unreadable(_("The file is empty. Start from the template of this kind."))
    if content.startswith(b"PK\x03\x04"):
        return _read_xlsx(content)
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise Unreadable(
            _(
                "This is a workbook of the old kind (.xls), or one with a password. Save it as .xlsx "
                "without a password, or as CSV."
            )
        )
    if file_name.lower().endswith(".xlsx"):
        raise Unreadable(_("This is no .xlsx file, whatever its name says. Save it anew."))
    return _read_csv(content, encoding)


# -- CSV -----------------------------------------------------------------------------------------


def _read_csv(content: bytes, encoding: str) -> Table:
    text, told = _decoded(content, encoding)
    if "\0" in text:
        raise Unreadable(
            _(
                "The file has characters that no text has. If it was saved as “Unicode text”, choose "
                "UTF-16 and upload it again; otherwise save it as CSV UTF-8."
            )
        )
    separator = ""
    if hint := _HINT.match(text):
        separator, text = hint[1], text[hint.end() :]
    separator = separator or _separator_of(text)
    try:
        # Strict: a quote that nobody closes would take all rows below it into its cell.
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        records = _numbered(reader)
        header, rows = _table_of(records)
    except csv.Error as error:
        raise Unreadable(
            _("The file is no table: %(why)s. Save it once more as CSV."), why=error
        ) from None
    shift = 1 if hint else 0
    rows = tuple(Row(row.number + shift, row.cells) for row in rows)
    return Table(header, rows, encoding=told, separator=separator)


def _decoded(content: bytes, encoding: str) -> tuple[str, str | Promise]:
    if encoding:
        codec, told = ENCODINGS[encoding]
        return _strictly(content, codec), told
    for mark, codec, name in _MARKS:
        if content.startswith(mark):
            return _strictly(content, codec), name
    for key in ("utf-8", "shift_jis"):
        codec, told = ENCODINGS[key]
        try:
            text = content.decode(codec)
        except UnicodeDecodeError:
            continue
        if key == "utf-8" or not _NO_LETTERS.search(text):
            return text, told
    raise Unreadable(
        _(
            "The file is neither UTF-8 nor Shift_JIS. Choose its encoding and upload it again, or save it "
            "as CSV UTF-8."
        )
    )


def _strictly(content: bytes, codec: str) -> str:
    try:
        return content.decode(codec)
    except UnicodeDecodeError as error:
        raise Unreadable(
            _(
                "The file isn't all in the encoding %(codec)s: byte %(place)d doesn't fit. Choose another "
                "one, or save it as CSV UTF-8."
            ),
            codec=codec,
            place=error.start + 1,
        ) from None


def _separator_of(text: str) -> str:
    """By which the header falls into several names, and most records into as many."""
    return max(SEPARATORS, key=lambda separator: _fits(text, separator))


def _fits(text: str, separator: str) -> tuple[bool, float, int]:
    lengths = []
    try:
        for record in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            if record:
                lengths.append(len(record))
            if len(lengths) == LOOKED_AT:
                break
    except csv.Error:
        return (False, 0.0, 0)
    if not lengths:
        return (False, 0.0, 0)
    alike = sum(length == lengths[0] for length in lengths) / len(lengths)
    return (lengths[0] > 1, alike, lengths[0])


def _numbered(records: Any) -> Iterator[tuple[int, Sequence[str]]]:
    yield from enumerate(records, start=1)


# -- XLSX ----------------------------------------------------------------------------------------


def _read_xlsx(content: bytes) -> Table:
    # Here, so that a process that reads no workbook doesn't carry the library.
    from openpyxl import load_workbook

    _look_into(content)
    try:
        book = load_workbook(
            io.BytesIO(content), read_only=True, data_only=False, keep_links=False, keep_vba=False
        )
        return _of_book(book)
    except Unreadable:
        raise
    except (
        *(ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError),
        # Both libraries that read XML call what is none a SyntaxError.
        *(EOFError, SyntaxError, NotImplementedError, zipfile.BadZipFile, zlib.error),
    ) as error:
        raise Unreadable(
            _("The workbook can't be read (%(kind)s). Save it once more as .xlsx, or as CSV."),
            kind=type(error).__name__,
        ) from None


def _look_into(content: bytes) -> None:
    """Before anything is unpacked for good: how much it would be, and that no part defines entities."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
            if len(parts) > MOST_PARTS or sum(part.file_size for part in parts) > MOST_UNPACKED:
                raise Unreadable(
                    _(
                        "The workbook unpacks to more than %(most)d MB. Copy the rows into a new one, "
                        "without pictures and formats, or save it as CSV."
                    ),
                    most=MOST_UNPACKED // (1024 * 1024),
                )
            if "xl/workbook.xml" not in archive.namelist():
                raise Unreadable(_("This archive is no workbook. Choose a .xlsx or a CSV file."))
            for part in parts:
                if part.filename.endswith((".xml", ".rels")) and _defines_entities(
                    archive.read(part)
                ):
                    raise Unreadable(
                        _(
                            "The workbook has definitions that no spreadsheet writes. Save it as CSV."
                        )
                    )
    except (
        *(zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError),
        *(EOFError, OSError, ValueError),
    ) as error:
        raise Unreadable(
            _("The workbook is damaged, or protected by a password. Save it anew without one.")
        ) from error


def _defines_entities(part: bytes) -> bool:
    """Also where it is written two bytes a letter."""
    return b"<!DOCTYPE" in part.replace(b"\0", b"")


def _of_book(book: Any) -> Table:
    found: Table | None = None
    others = []
    for sheet in book.worksheets:
        if sheet.sheet_state != "visible":
            continue
        if found is not None:
            others.append(sheet.title)
            continue
        sheet.reset_dimensions()
        rows = sheet.iter_rows(max_row=MOST_ROWS * 3, max_col=MOST_COLUMNS + 1)
        header, body = _table_of(
            (number, tuple(_text_of(cell) for cell in row))
            for number, row in enumerate(rows, start=1)
        )
        if header:
            found = Table(header, body, sheet=sheet.title)
    if found is None:
        raise Unreadable(_("The workbook has no sheet with a header. Start from the template."))
    return Table(found.header, found.rows, sheet=found.sheet, other_sheets=tuple(others))


def _text_of(cell: Any) -> str:
    if getattr(cell, "data_type", "") == "f":
        raise Unreadable(
            _(
                "Cell %(cell)s holds a formula, and formulas aren't computed here. Copy the sheet, paste it "
                "as values, and upload that."
            ),
            cell=cell.coordinate,
        )
    return in_words(cell.value)


def in_words(value: Any) -> str:
    """A value of a cell as a person would have typed it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime):
        at = value.replace(microsecond=0)
        return at.date().isoformat() if at.time() == time() else at.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)


# -- both ----------------------------------------------------------------------------------------


def _table_of(
    records: Iterator[tuple[int, Sequence[str]]],
) -> tuple[tuple[str, ...], tuple[Row, ...]]:
    header: tuple[str, ...] = ()
    rows: list[Row] = []
    for number, cells in records:
        kept = _without_tail(cells)
        if not any(cell.strip() for cell in kept):
            continue
        if len(kept) > MOST_COLUMNS:
            raise Unreadable(
                _("Row %(row)d has more than %(most)d columns. Remove those that aren't needed."),
                row=number,
                most=MOST_COLUMNS,
            )
        if any(len(cell) > MOST_LETTERS for cell in kept):
            raise Unreadable(
                _("Row %(row)d has a cell that is longer than a spreadsheet allows."), row=number
            )
        if not header:
            header = tuple(cell.strip() for cell in kept)
            continue
        if len(rows) == MOST_ROWS:
            raise Unreadable(
                _("The file has more than %(most)d rows. Split it, and import the parts."),
                most=MOST_ROWS,
            )
        rows.append(Row(number, kept))
    return header, tuple(rows)


def _without_tail(cells: Sequence[str]) -> tuple[str, ...]:
    last = max((at for at, cell in enumerate(cells, start=1) if cell.strip()), default=0)
    return tuple(cells[:last])
