"""The mailbox's list of categories (MS-OXOCFG 2.2.5): an XML document that belongs to the user, in which
we add, find and remove one entry and touch nothing else.

    <categories default="..." xmlns="CategoryList.xsd">
      <category name="Red Category" color="0" guid="{2b7fac5f-...}" .../>
    </categories>
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from lxml import etree

from mailboxes.protocols.base import Category

NAMESPACE = "CategoryList.xsd"
EMPTY = (
    f'<?xml version="1.0"?>\r\n<categories default="" xmlns="{NAMESPACE}"></categories>'.encode()
)
BLUE = "7"
NEVER = "1601-01-01T00:00:00.000"

ENTRY = re.compile(
    rb"<(?:[\w.-]+:)?category"
    rb"""(?:\s+[\w:.-]+\s*=\s*(?:"[^"]*"|'[^']*'))*"""
    rb"\s*(?:/>|>\s*</(?:[\w.-]+:)?category\s*>)"
)


class Unreadable(ValueError):
    """The list is no such document."""


@dataclass(frozen=True, slots=True)
class Entry:
    guid: str
    name: str


def entries(document: bytes) -> list[Entry]:
    """Raises Unreadable."""
    return [
        Entry(bare(each.get("guid") or ""), each.get("name") or "")
        for each in _elements(_root(document))
    ]


def find(document: bytes, wanted: Category) -> Category | None:
    """The category with this id under its name of today; else the one that bears the name, since
    messages carry names only and a list can't hold one twice."""
    listed = entries(document)
    for entry in listed:
        if entry.guid == bare(wanted.id):
            return Category(bare(wanted.id), entry.name)
    for entry in listed:
        if entry.guid and entry.name.casefold() == wanted.name.casefold():
            return Category(entry.guid, entry.name)
    return None


def add(document: bytes, wanted: Category) -> bytes:
    expected = [*entries(document), Entry(bare(wanted.id), wanted.name)]
    root = _root(document)
    entry = _entry(wanted, root)
    changed = _inserted(document, entry)
    if changed is not None and _holds(changed, expected):
        return changed
    root.append(etree.fromstring(entry))
    return _written(root)


def remove(document: bytes, category_id: str) -> bytes:
    expected = [entry for entry in entries(document) if entry.guid != bare(category_id)]
    changed = ENTRY.sub(lambda found: b"" if _is(found[0], category_id) else found[0], document)
    if _holds(changed, expected):
        return changed
    root = _root(document)
    for each in list(_elements(root)):
        if bare(each.get("guid") or "") == bare(category_id):
            root.remove(each)
    return _written(root)


def bare(guid: str) -> str:
    return guid.strip().strip("{}").lower()


def _entry(wanted: Category, root: etree._Element) -> bytes:
    namespace = etree.QName(root).namespace or ""
    inherited = (root.nsmap.get(None) or "") == namespace
    declared = "" if inherited else f" xmlns={quoteattr(namespace)}"
    return (
        f'<category name={quoteattr(wanted.name)} color="{BLUE}" keyboardShortcut="0"'
        f' usageCount="0" lastTimeUsed="{NEVER}" lastSessionUsed="0"'
        f' guid="{{{bare(wanted.id)}}}"{declared}/>'
    ).encode("ascii", "xmlcharrefreplace")


def _inserted(document: bytes, entry: bytes) -> bytes | None:
    """Before the last closing tag, which is the root's; or into a root without content."""
    end = document.rstrip()
    closing = end.rfind(b"</")
    if end.endswith(b"/>") and closing < 0:
        opened = re.search(rb"<((?:[\w.-]+:)?categories)\b", end)
        return end[:-2] + b">" + entry + b"</" + opened[1] + b">" if opened else None
    return document[:closing] + entry + document[closing:] if closing >= 0 else None


def _holds(document: bytes, expected: list[Entry]) -> bool:
    """Bytes can mislead: comments, another encoding."""
    try:
        return entries(document) == expected
    except Unreadable:
        return False


def _is(entry: bytes, category_id: str) -> bool:
    guid = re.search(rb"""\sguid\s*=\s*["']([^"']*)""", entry)
    return guid is not None and bare(guid[1].decode("ascii", "replace")) == bare(category_id)


def _root(document: bytes) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        root = etree.fromstring(document.strip(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Unreadable(f"the list of categories is no XML: {error}") from error
    if etree.QName(root).localname != "categories":
        raise Unreadable("the list of categories is another document")
    return root


def _elements(root: etree._Element) -> Iterator[etree._Element]:
    return (each for each in root if isinstance(each.tag, str) and each.tag.endswith("category"))


def _written(root: etree._Element) -> bytes:
    return etree.tostring(root, xml_declaration=True, encoding="utf-8")
