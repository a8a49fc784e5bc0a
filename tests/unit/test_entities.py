"""docs/entities.md against the models, both ways: what it claims is there, what is there it names."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from mailboxes.choices import ServerType
from mailboxes.models import EmailServerProfile, Mailbox

PAGE = Path(__file__).resolve().parents[2] / "docs" / "entities.md"
KINDS = {"mirrored", "derived", "left out", "ours"}


@dataclass(frozen=True)
class Row:
    column: str
    type: str
    kind: str
    here: tuple[str, ...]
    remark: str

    @property
    def differs(self) -> bool:
        return self.remark.startswith("Differs")


@dataclass(frozen=True)
class Section:
    table: str
    model: type[models.Model]
    counts: str
    rows: tuple[Row, ...]

    @property
    def fields(self) -> dict[str, Any]:
        return {field.name: field for field in self.model._meta.concrete_fields}


@cache
def sections() -> tuple[Section, ...]:
    found = []
    for text in re.split(r"(?m)^## ", PAGE.read_text())[1:]:
        table = re.match(r"\w+ \(`(\w+)`\)", text)
        if table is None:
            continue
        label, counts = re.search(r"(?m)^Model: `([\w.]+)`\. (.+)$", text).groups()
        found.append(Section(table[1], apps.get_model(label), counts, rows_of(text)))
    return tuple(found)


def rows_of(text: str) -> tuple[Row, ...]:
    rows = []
    for line in re.findall(r"(?m)^\| (?:`| \|).*", text):
        column, type_, kind, here, remark = (cell.strip() for cell in line.split("|")[1:-1])
        names = tuple(re.findall(r"`([\w.]+)`", here))
        rows.append(Row(column.strip("`"), type_, kind, names, remark))
    return tuple(rows)


each_table = pytest.mark.parametrize("section", sections(), ids=lambda section: section.table)


@each_table
def test_every_stored_column_is_named_once(section):
    named = Counter(
        name for row in section.rows if row.kind in ("mirrored", "ours") for name in row.here
    )

    assert named == Counter(list(section.fields))


@each_table
def test_counts_above_the_table_are_its_rows(section):
    kinds = Counter(row.kind for row in section.rows)

    assert set(kinds) <= KINDS
    assert section.counts == (
        f"{kinds.total() - kinds['ours']} columns of Dataverse: {kinds['mirrored']} mirrored, "
        f"{kinds['derived']} derived, {kinds['left out']} left out; {kinds['ours']} of our own."
    )


@each_table
def test_no_column_of_dataverse_is_listed_twice(section):
    columns = Counter(row.column for row in section.rows if row.column)

    assert [name for name, number in columns.items() if number > 1] == []


@each_table
def test_what_is_left_out_or_ours_says_why(section):
    silent = [
        row
        for row in section.rows
        if (row.kind in ("left out", "ours") and not row.remark)
        or (row.kind == "left out" and row.here)
        or (row.kind == "ours" and row.column)
    ]

    assert silent == []


@each_table
def test_derived_columns_can_be_read_where_the_page_says(section):
    nowhere = [
        row.column
        for row in section.rows
        if row.kind == "derived"
        and (
            len(row.here) != 1
            or is_stored(section.model, row.here[0])
            or not leads_somewhere(section.model, row.here[0])
        )
    ]

    assert nowhere == []


def is_stored(model: type[models.Model], path: str) -> bool:
    """A column of the row itself would be mirrored, unless it stands for several columns."""
    return (
        "." not in path
        and path in {f.name for f in model._meta.concrete_fields}
        and not (model._meta.get_field(path).is_relation)
    )


def leads_somewhere(model: type[models.Model], path: str) -> bool:
    """Over relations, also reverse ones, to a column, a relation or a property."""
    first, _, rest = path.partition(".")
    try:
        field = model._meta.get_field(first)
    except FieldDoesNotExist:
        return (not rest and callable(getattr(model, first, None))) or isinstance(
            getattr(model, first, None), property
        )
    return not rest or leads_somewhere(field.related_model, rest)


@each_table
def test_mirrored_columns_are_as_published_unless_the_page_says_how_they_differ(section):
    wrong = {}
    for row in section.rows:
        if row.kind == "mirrored":
            differences = [
                d for name in row.here for d in differences_of(section.fields[name], row.type)
            ]
            if bool(differences) is not row.differs:
                wrong[row.column] = differences or "does not differ"

    assert wrong == {}


def differences_of(field: Any, published: str) -> list[str]:
    """What of the published type the field does not keep."""
    kind, _, default = published.partition(", default ")
    name, _, limits = kind.rstrip(")").partition("(")
    found = []
    if name in ("String", "Memo") and not isinstance(field, models.CharField | models.TextField):
        if not isinstance(field, models.JSONField):
            found.append("no text")
        elif name == "String":
            found.append("data in place of text")
    elif (name in ("String", "Memo") and limits and field.max_length != int(limits)) or (
        name == "String" and not limits and isinstance(field, models.CharField)
    ):
        found.append(f"length {field.max_length}")
    if name == "Choice" and {int(v) for v in limits.split(", ")} != {v for v, _ in field.choices}:
        found.append(f"values {field.choices}")
    if name == "Integer" and not isinstance(field, models.IntegerField):
        found.append("no number")
    if name == "Integer" and limits and limits != bounds_of(field):
        found.append(f"bounds {bounds_of(field)}")
    if name == "Yes/no" and isinstance(field, models.BooleanField):
        if default and field.default is not (default == "yes"):
            found.append(f"default {field.default}")
    elif name == "Yes/no" and {v for v, _ in field.choices} != {0, 1}:
        found.append("no yes/no")
    return found


def bounds_of(field: Any) -> str:
    lowest = [v.limit_value for v in field.validators if isinstance(v, MinValueValidator)]
    highest = [v.limit_value for v in field.validators if isinstance(v, MaxValueValidator)]
    return f"{max(lowest, default='')}..{min(highest, default='')}"


@pytest.mark.rule("R1.8")
@pytest.mark.parametrize(
    ("model", "column", "length"),
    [
        (Mailbox, "email_address", 100),
        (Mailbox, "name", 200),
        (Mailbox, "user_name", 200),
        (Mailbox, "password", 200),
        (EmailServerProfile, "name", 100),
        (EmailServerProfile, "incoming_user_name", 250),
        (EmailServerProfile, "incoming_password", 250),
        (EmailServerProfile, "outgoing_user_name", 250),
        (EmailServerProfile, "outgoing_password", 250),
        (EmailServerProfile, "incoming_server_location", 2084),
        (EmailServerProfile, "outgoing_server_location", 2084),
    ],
)
def test_form_takes_the_full_length_and_no_more(model, column, length):
    field = model._meta.get_field(column).formfield()

    assert field.max_length == length


@pytest.mark.rule("R1.10")
def test_server_types_keep_their_stored_values():
    assert {kind.value: str(kind.label) for kind in ServerType} == {
        0: "Exchange Server",
        1: "Other (POP3/SMTP)",
        2: "Exchange Server (Hybrid)",
        3: "Exchange Online (Hybrid)",
        4: "IMAP/SMTP",
    }
