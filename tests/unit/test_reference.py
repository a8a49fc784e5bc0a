"""scripts/reference: what the documents quote from the code is what the code says."""

import re
import runpy
from functools import cache
from pathlib import Path

import pytest

from mailboxes.models import EmailServerProfile, Mailbox, Organization, Queue, UserSettings
from serversync.people.roles import ROLES, USER
from serversync.settings import env

HERE = Path(__file__).resolve().parents[2]
SCRIPT = runpy.run_path(str(HERE / "scripts" / "reference"))
DOCS = HERE / "docs"
MADE = ("access.md", "modules.md", "settings.md")


@cache
def pages() -> dict[str, str]:
    return {path.name: text for path, text in SCRIPT["pages"]().items()}


def test_these_pages_are_made():
    assert set(pages()) == set(MADE)


@pytest.mark.parametrize("name", MADE)
def test_the_page_says_what_the_code_says_now(name):
    assert (DOCS / name).read_text() == pages()[name], "run scripts/reference"


def test_every_setting_and_every_variable_has_its_row():
    text = pages()["settings.md"]
    text = text[: text.index("## Each server profile")] + text[text.index("## Environment") :]
    fields = {
        field.name
        for field in Organization._meta.concrete_fields
        if field.editable and field.name not in ("id", "modified_on")
    }

    assert [
        name for name in sorted(fields | set(env.scheme)) if text.count(f"| `{name}` |") != 1
    ] == []


@pytest.mark.parametrize("model", [EmailServerProfile, Mailbox, Queue, UserSettings])
def test_what_is_set_on_single_records_has_its_row(model):
    text = pages()["settings.md"].partition("## Each server profile")[2]
    fields = {each.name for each in model._meta.concrete_fields if SCRIPT["is_set_by_people"](each)}

    assert fields and [name for name in sorted(fields) if f"| `{name}` |" not in text] == []


def test_no_secret_and_no_moment_is_written_down():
    text = pages()["settings.md"]
    row = next(line for line in text.splitlines() if "`incoming_password`" in line)

    assert "a secret" in row
    assert "| when it is made |" in text
    assert not re.search(r"20\d\d-\d\d-\d\d \d\d:", text)


def test_every_setting_says_what_it_means():
    """Not only by the number of a rule."""
    silent = [
        field.name
        for field in Organization._meta.concrete_fields
        if field.editable
        and field.name not in ("id", "modified_on", "name")
        and not SCRIPT["apart"](str(field.help_text))[0].strip(". ")
    ]

    assert silent == []


def test_every_permission_of_a_role_has_its_cell():
    text = pages()["access.md"]
    told = text[text.index("made by scripts/reference: reach") :]
    rows = [line.split("|")[1:-1] for line in told[: told.index("<!-- end")].splitlines()]
    place = 1 + list(ROLES).index(USER.key)
    cells = [row[place].strip() for row in rows if len(row) > place]
    deeds = {"look", "add", "change", "delete", "yes"}
    named = [deed for cell in cells for deed in cell.split(", ") if deed in deeds]

    assert len(named) == len(set(USER.permissions))


def test_a_place_that_is_gone_is_told():
    with pytest.raises(LookupError, match="roles"):
        SCRIPT["between"]("# Access\n", "roles", "| a |\n")


def test_every_module_says_what_it_is():
    silent = [
        str(path.relative_to(HERE))
        for room in SCRIPT["ROOMS"]
        for path in (HERE / room).rglob("*.py")
        if not set(path.parts) & set(SCRIPT["APART"])
        and path.name not in ("__init__.py", "apps.py")
        and not SCRIPT["first_words"](path)
    ]

    assert silent == []


def test_every_folder_of_modules_has_its_table():
    text = pages()["modules.md"]
    folders = {
        str(path.parent.relative_to(HERE))
        for room in SCRIPT["ROOMS"]
        for path in (HERE / room).rglob("*.py")
        if path.name not in ("__init__.py", "apps.py") and path.parent.name not in SCRIPT["APART"]
    }

    assert [name for name in sorted(folders) if f"\n## {name}\n" not in text] == []
