"""What the documents for developers say of the tree is true of it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2]
DOCS = HERE / "docs"
ROOMS = ("mailboxes", "activities", "tracking", "serversync")
#: Folders that Django asks for, and that no picture needs.
COMMON = {"migrations", "management", "commands", "models", "admin", "templatetags"}
INDENT = 13  # at which names stand in the picture of the rooms; what stands before is a folder


def test_paths_that_are_named_exist():
    strays = {
        (page.name, path)
        for page in DOCS.glob("*.md")
        for path in re.findall(
            rf"`((?:{'|'.join(ROOMS)}|tests|scripts|static|templates)/[\w./-]+)`", page.read_text()
        )
        if not (HERE / path).exists()
    }

    assert strays == set()


def test_what_to_type_exists():
    text = (DOCS / "developing.md").read_text()
    targets = re.findall(r"(?m)^([a-z]+):", (HERE / "Makefile").read_text())
    commands = {path.stem for path in HERE.glob("*/management/commands/*.py")}

    assert set(re.findall(r"\bmake ([a-z]+)\b(?= +#|`| [A-Z]+=)", text)) <= set(targets)
    assert set(re.findall(r"manage\.py (\w+)", text)) <= commands
    assert set(re.findall(r"(?m)^scripts/([\w-]+)", text)) <= {
        path.name for path in (HERE / "scripts").iterdir()
    }


def picture() -> str:
    text = (DOCS / "architecture.md").read_text()
    return text[text.index("Where to look in them") :].split("```")[1]


def named_in(picture: str) -> Iterator[Path]:
    """Each name before a meaning, as a path without its ending."""
    folder = Path()
    for line in picture.strip("\n").splitlines():
        words = line.strip()
        if len(line) - len(words) < INDENT - 1:
            head, _, words = words.partition(" ")
            inside = line.startswith(" ")
            folder = (Path(folder.parts[0]) if inside else Path()) / head
        names = re.split(r" {3,}", words.strip())[0]
        yield from (folder / name for name in names.split())


def test_every_name_of_the_picture_is_a_module_or_a_folder():
    strays = [
        str(path)
        for path in named_in(picture())
        if not (HERE / path).is_dir() and not (HERE / f"{path}.py").exists()
    ]

    assert strays == []


@pytest.mark.parametrize("room", ROOMS)
def test_every_folder_of_a_room_is_told(room):
    text = (DOCS / "architecture.md").read_text()
    folders = {path.parent for path in (HERE / room).rglob("*/__init__.py")}
    missing = [
        str(folder.relative_to(HERE))
        for folder in sorted(folders)
        if not COMMON & set(folder.relative_to(HERE).parts)
        and f"{folder.name}/" not in text
        and f"{folder.parent.name}/{folder.name}" not in text
    ]

    assert missing == []
