"""Properties by the names that requests have for them, and what is to become of one."""

from collections.abc import Iterable
from dataclasses import dataclass

from exchangelib.version import Build

from mailboxes.protocols.ews.operations import Element, T, clean, type_space

#: Named properties of ours, on items of any kind.
OURS = "3b1f6c52-8d0e-4c57-9a36-d4a2f0b7e915"


@dataclass(frozen=True, slots=True)
class Path:
    """One property. `uri`: of the service's own ones, `index`: of one entry among several; else `named`,
    the attributes of an extended one. `since`: servers before don't know it."""

    uri: str = ""
    index: str = ""
    named: tuple[tuple[str, str], ...] = ()
    since: Build | None = None

    def element(self) -> Element:
        if self.named:
            return T.ExtendedFieldURI(**dict(self.named))
        if self.index:
            return T.IndexedFieldURI(FieldURI=self.uri, FieldIndex=self.index)
        return T.FieldURI(FieldURI=self.uri)

    @property
    def name(self) -> str:
        """Of the element that carries it."""
        return "ExtendedProperty" if self.named else self.uri.partition(":")[2]

    def known_to(self, build: Build) -> bool:
        return self.since is None or bool(build >= self.since)


@dataclass(frozen=True, slots=True)
class Part:
    """A property to set; `content` None: to empty."""

    path: Path
    content: Element | None


def ours(name: str, kind: str = "String") -> Path:
    named = (("PropertySetId", OURS), ("PropertyName", name), ("PropertyType", kind))
    return Path(named=named)


def numbered(group: str, number: int, kind: str) -> Path:
    """A named property of one of the sets that Outlook uses, such as "Task"."""
    return Path(
        named=(
            ("DistinguishedPropertySetId", group),
            ("PropertyId", str(number)),
            ("PropertyType", kind),
        )
    )


def tagged(tag: str, kind: str = "String") -> Path:
    """A property of MAPI, such as 0x3a45."""
    return Path(named=(("PropertyTag", tag), ("PropertyType", kind)))


LINK = ours("Link")
CLEAN_GLOBAL_ID = numbered("Meeting", 0x23, "Binary")


# -- reading ---------------------------------------------------------------------------------------


def extended(item: Element, path: Path) -> str:
    """Its text, "" if the item doesn't have it. Servers may spell sets and tags in their own way."""
    wanted = _spelled(path.named)
    for each in item.iterfind(f"{type_space}ExtendedProperty"):
        uri = each.find(f"{type_space}ExtendedFieldURI")
        if uri is not None and wanted <= _spelled((str(k), str(v)) for k, v in uri.attrib.items()):
            return each.findtext(f"{type_space}Value") or ""
    return ""


def _spelled(named: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    return {
        (str(name), str(int(value, 0)) if name == "PropertyTag" else value.lower())
        for name, value in named
        if name != "PropertyType"
    }


# -- writing ---------------------------------------------------------------------------------------


def extended_part(path: Path, text: str) -> Part:
    if not text:
        return Part(path, None)
    return Part(path, T.ExtendedProperty(path.element(), T.Value(clean(text))))


def update(part: Part, tag: str) -> Element:
    """One change of UpdateItem, for an item of this element."""
    if part.content is None:
        return T.DeleteItemField(part.path.element())
    return T.SetItemField(part.path.element(), T(tag, part.content))
