"""Which paths of an item a change has touched, for conflicts: found by looking at it before and after."""

from collections.abc import Iterator

from lxml import etree

from serversync.sandbox.ews import paths
from serversync.sandbox.ews.soap import Element, T, children, local


def changed_paths(tag: str, before: Element, after: Element) -> list[str]:
    """Of the properties that differ; indexed ones entry by entry."""
    names = dict.fromkeys(local(child) for child in (*children(after), *children(before)))
    found: list[str] = []
    for name in names:
        one, two = before.find(T + name), after.find(T + name)
        if text_of(one) == text_of(two):
            continue
        entries = list(_entries(name, one, two))
        found += entries or [path for path in paths.BY_TAG[tag] if paths.element_name(path) == name]
    return found


def _entries(holder: str, before: Element | None, after: Element | None) -> Iterator[str]:
    for path, (name, _) in paths.INDEXED.items():
        if name != holder:
            continue
        one, two = _by_key(before), _by_key(after)
        for key in dict.fromkeys((*one, *two)):
            if one.get(key) != two.get(key):
                yield f"{path}/{key}"


def _by_key(holder: Element | None) -> dict[str, bytes]:
    return {entry.get("Key", ""): text_of(entry) for entry in children(holder)}


def text_of(element: Element | None) -> bytes:
    """The same for elements that say the same."""
    return b"" if element is None else etree.tostring(element, with_tail=False, method="c14n")
