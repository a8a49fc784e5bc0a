"""One field: which properties it asks for, how its value is read from an item, how it is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar, cast

from exchangelib.version import Build

from mailboxes.protocols.ews.items import values
from mailboxes.protocols.ews.items.paths import Part, Path, extended, extended_part
from mailboxes.protocols.ews.operations import Element, T, clean, type_space
from mailboxes.protocols.items import Importance, Sensitivity, Value

Read = Callable[[Element], Value]
Write = Callable[[Value, Build], list[Part]]
Word = TypeVar("Word", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Field:
    """`write` None: the server's own, which nobody else writes."""

    asked: tuple[Path, ...]
    read: Read
    write: Write | None = None


Table = Mapping[str, Field]


def text(uri: str) -> Field:
    """One line in an element of its own."""
    path = Path(uri)

    def read(item: Element) -> Value:
        return values.text(item, path.name)

    return Field((path,), read, lambda value, _build: [text_part(path, one_line(value))])


def text_part(path: Path, value: str) -> Part:
    return Part(path, T(path.name, value) if value else None)


def one_line(value: Value) -> str:
    return " ".join(clean(str(value or "")).splitlines()).strip()


def named_text(path: Path) -> Field:
    """The same where the service knows no element for it."""

    def read(item: Element) -> Value:
        return " ".join(extended(item, path).splitlines()).strip()

    return Field((path,), read, lambda value, _build: [extended_part(path, one_line(value))])


def choice(path: Path, words: Mapping[str, Word], default: Word) -> Field:
    """`words`: Exchange's name -> ours."""
    names = {str(word): name for name, word in words.items()}

    def read(item: Element) -> Value:
        return values.word(item, path.name, dict(words), default)

    def write(value: Value, _build: Build) -> list[Part]:
        return [Part(path, T(path.name, names.get(str(value), names[str(default)])))]

    return Field((path,), read, write)


def _read_categories(item: Element) -> Value:
    strings = item.findall(f"{type_space}Categories/{type_space}String")
    return frozenset(each.text.strip() for each in strings if each.text and each.text.strip())


def _write_categories(value: Value, _build: Build) -> list[Part]:
    names = sorted(cast(frozenset[str], value or frozenset()))
    strings = [T.String(one_line(each)) for each in names]
    return [Part(CATEGORIES, T.Categories(*strings) if strings else None)]


def _write_body(value: Value, _build: Build) -> list[Part]:
    written = values.lines(clean(str(value or "")))
    return [Part(BODY, T.Body(written, BodyType="Text") if written else None)]


CATEGORIES = Path("item:Categories")
BODY = Path("item:Body")
SENSITIVITY = Path("item:Sensitivity")

SENSITIVITIES = {each.title(): each for each in Sensitivity}
IMPORTANCES = {each.title(): each for each in Importance}

SUBJECT = text("item:Subject")
IN_LINES = Field((BODY,), values.body, _write_body)
MARKS = Field((CATEGORIES,), _read_categories, _write_categories)
SECRECY = choice(SENSITIVITY, SENSITIVITIES, Sensitivity.NORMAL)

#: What items of all kinds have, but contacts.
EVERY: Table = {
    "subject": SUBJECT,
    "body": IN_LINES,
    "importance": choice(Path("item:Importance"), IMPORTANCES, Importance.NORMAL),
    "sensitivity": SECRECY,
    "categories": MARKS,
}
