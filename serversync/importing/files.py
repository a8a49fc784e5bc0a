"""Files that are handed out: the template of a kind, and what became of an import."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from serversync.choices import ImportKind, Verdict
from serversync.importing.columns import COLUMNS, COMMENT, EMPTY_IT
from serversync.importing.held import outcome_of
from serversync.importing.reading import XLSX

#: Else spreadsheets guess the encoding.
MARK = "\ufeff"
DONE = {Verdict.CREATE: _("created"), Verdict.UPDATE: _("changed")}
FORMULAS = (*"=+-@＝＋－＠", "\t", "\r", "\n")


def template(kind: ImportKind, form: str) -> bytes:
    """Headers, and below each a line of meaning that an import passes over."""
    columns = COLUMNS[kind]
    meanings = [column.meaning for column in columns]
    meanings[0] = " ".join(
        filter(None, (COMMENT, meanings[0], __("Rows that begin with # are passed over.")))
    )
    lines = [[column.label for column in columns], meanings]
    return _workbook(lines) if form == XLSX else _csv(lines)


def _csv(lines: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    # In quotes, each of them: where semicolons separate, one would begin a cell that looks like a formula.
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerows([harmless(cell) for cell in line] for line in lines)
    return (MARK + text.getvalue()).encode()


def _workbook(lines: Sequence[Sequence[str]]) -> bytes:
    from openpyxl import Workbook
    from openpyxl.styles import Alignment, Font

    book = Workbook()
    sheet = book.active
    for line in lines:
        sheet.append(list(line))
    sheet.freeze_panes = "A2"
    for header, meaning in zip(sheet[1], sheet[2], strict=True):
        header.font = Font(bold=True)
        meaning.font = Font(italic=True, color="666666")
        meaning.alignment = Alignment(wrap_text=True, vertical="top")
        sheet.column_dimensions[header.column_letter].width = 28
        # As text, so that leading zeros stay what they are.
        sheet.column_dimensions[header.column_letter].number_format = "@"
    kept = io.BytesIO()
    book.save(kept)
    return kept.getvalue()


def outcome(lines: Iterable[dict[str, Any]]) -> bytes:
    header = [__("Row"), __("Record"), __("Result"), __("Changes"), __("Reason"), __("Key")]
    return _csv([header, *(_outcome_of(line) for line in lines)])


def _outcome_of(line: dict[str, Any]) -> Sequence[Any]:
    told = [reason_words(*reason) for reason in line["reasons"]]
    return [
        line["row"],
        line["name"],
        result_words(line),
        "; ".join(map(change_words, changes_of(line))),
        "; ".join(filter(None, [*told, difference_words(line)])),
        line["key"],
    ]


def result_words(line: dict[str, Any]) -> str:
    """What is planned in the imperative, what is done in the past."""
    verdict = Verdict(outcome_of(line))
    return str(DONE.get(verdict, verdict.label) if line["did"] else verdict.label)


def changes_of(line: dict[str, Any]) -> Sequence[Sequence[Any]]:
    """Planned ones; once it is over, those that were made."""
    return line["changes"] if line["did"] in ("", line["verdict"]) else ()


def difference_words(line: dict[str, Any]) -> str:
    """What came between the dry run and now; "" where nothing did."""
    if line["did"] in ("", line["verdict"]):
        return ""
    if line["did"] == Verdict.HELD_BACK and "instead" in line:
        now_is = "; ".join(map(change_words, line["instead"]))
        return __(
            "The data changed since the dry run: now it would be %(now_is)s. Nothing was written; make "
            "the dry run again."
        ) % {"now_is": now_is}
    return __("The dry run said: %(verdict)s.") % {"verdict": Verdict(line["verdict"]).label}


def change_words(change: Sequence[Any]) -> str:
    _name, label, before, after, hidden = change
    if hidden:
        return f"{label}: {after}"
    return f"{label}: {before or EMPTY_IT} → {after or EMPTY_IT}"


def reason_words(label: str, words: str) -> str:
    return f"{label}: {words}" if label else words


def harmless(cell: Any) -> str:
    """Spreadsheets compute what begins like a formula."""
    text = str(cell)
    return f"'{text}" if text.startswith(FORMULAS) else text
