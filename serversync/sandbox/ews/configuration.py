"""User configurations: named data in a folder. The list of categories is one, in the calendar folder."""

import base64

from lxml import etree

from serversync.sandbox.ews import soap
from serversync.sandbox.ews.call import Call, operation
from serversync.sandbox.ews.ids import Kind, RemoteId, change_key
from serversync.sandbox.ews.rights import Right
from serversync.sandbox.ews.soap import (
    Element,
    M,
    Refusal,
    T,
    attribute,
    binary,
    children,
    make,
    required,
)
from serversync.sandbox.ews.store import Configuration, Folder

CATEGORY_LIST = "CategoryList"
CATEGORY_NAMESPACE = "CategoryList.xsd"
PARTS = ("Id", "Dictionary", "XmlData", "BinaryData", "All")
#: What a mailbox starts with: name and number of the colour.
FIRST_CATEGORIES = (
    ("Red category", 0),
    ("Orange category", 1),
    ("Yellow category", 3),
    ("Green category", 4),
    ("Blue category", 7),
    ("Purple category", 8),
)


def category_list(categories: tuple[tuple[str, int], ...] = FIRST_CATEGORIES) -> bytes:
    """The XML that Outlook keeps its categories in."""
    root = etree.Element(f"{{{CATEGORY_NAMESPACE}}}categories", nsmap={None: CATEGORY_NAMESPACE})  # type: ignore[dict-item]
    root.set("default", categories[0][0] if categories else "")
    root.set("lastSavedSession", "1")
    for number, (name, color) in enumerate(categories):
        etree.SubElement(
            root,
            f"{{{CATEGORY_NAMESPACE}}}category",
            name=name,
            color=str(color),
            keyboardShortcut="0",
            usageCount="1",
            guid=f"{{00000000-0000-4000-8000-{number:012d}}}",
            renameOnFirstUse="0",
        )
    return etree.tostring(root, xml_declaration=True, encoding="utf-8")


@operation("GetUserConfiguration")
def get_user_configuration(call: Call) -> Element:
    wanted = required(call.request, f"{M}UserConfigurationName")
    parts = set((call.request.findtext(f"{M}UserConfigurationProperties") or "").split())
    if not parts or not parts <= set(PARTS):
        raise soap.schema("'UserConfigurationProperties' is invalid.", call.request)

    def get() -> list[Element]:
        folder, found = _find(call, wanted, Right.READ)
        return [_shown(folder, found, parts)]

    return call.alone(get)


def _find(call: Call, wanted: Element, right: Right) -> tuple[Folder, Configuration]:
    folder = _folder(call, wanted, right)
    found = call.store.configuration(folder.id, attribute(wanted, "Name"))
    if found is None:
        raise Refusal("ErrorItemNotFound")
    return folder, found


def _folder(call: Call, wanted: Element, right: Right) -> Folder:
    inside = children(wanted)
    if not inside:
        raise soap.schema("The configuration's folder is missing.", wanted)
    return call.folder(inside[0], right)


def _shown(folder: Folder, found: Configuration, parts: set[str]) -> Element:
    everything = "All" in parts
    name = make(f"{T}UserConfigurationName", Name=found.name)
    name.append(make(f"{T}FolderId", Id=folder.remote_id, ChangeKey=folder.change_key))
    identity = make(
        f"{T}ItemId",
        Id=str(RemoteId(Kind.ITEM, folder.account, found.item)),
        ChangeKey=change_key(found.item, found.changed),
    )
    element = make(f"{M}UserConfiguration", name, identity if everything or "Id" in parts else None)
    if found.dictionary and (everything or "Dictionary" in parts):
        element.append(etree.fromstring(found.dictionary))
    for tag, content in (("XmlData", found.xml), ("BinaryData", found.data)):
        if content is not None and (everything or tag in parts):
            element.append(make(T + tag, base64.b64encode(content).decode()))
    return element


@operation("CreateUserConfiguration")
def create_user_configuration(call: Call) -> Element:
    given = required(call.request, f"{M}UserConfiguration")

    def create() -> list[Element]:
        wanted = required(given, f"{T}UserConfigurationName")
        folder = _folder(call, wanted, Right.OWN)
        name = attribute(wanted, "Name")
        if call.store.configuration(folder.id, name) is not None:
            raise Refusal("ErrorItemSave", "The configuration exists already.")
        _write(call, folder, name, given)
        return []

    return call.alone(create)


@operation("UpdateUserConfiguration")
def update_user_configuration(call: Call) -> Element:
    given = required(call.request, f"{M}UserConfiguration")

    def update() -> list[Element]:
        folder, found = _find(call, required(given, f"{T}UserConfigurationName"), Right.OWN)
        _write(call, folder, found.name, given, found)
        return []

    return call.alone(update)


def _write(
    call: Call, folder: Folder, name: str, given: Element, before: Configuration | None = None
) -> None:
    """What isn't given stays as it was."""
    dictionary = given.find(f"{T}Dictionary")
    for value in given.iterfind(f"{T}Dictionary/{T}DictionaryEntry/*"):
        if value.findtext(f"{T}Type") == "Boolean":
            for text in value.findall(f"{T}Value"):
                text.text = soap.boolean(soap.truth(text.text))
    call.store.write_configuration(
        folder,
        name,
        dictionary=etree.tostring(dictionary, with_tail=False)
        if dictionary is not None
        else (before.dictionary if before else None),
        xml=_content(given, "XmlData", before.xml if before else None),
        data=_content(given, "BinaryData", before.data if before else None),
    )


def _content(given: Element, tag: str, before: bytes | None) -> bytes | None:
    element = given.find(T + tag)
    return before if element is None else binary(element.text, "ErrorCorruptData")


@operation("DeleteUserConfiguration")
def delete_user_configuration(call: Call) -> Element:
    wanted = required(call.request, f"{M}UserConfigurationName")

    def delete() -> list[Element]:
        _, found = _find(call, wanted, Right.OWN)
        call.store.remove_configuration(found)
        return []

    return call.alone(delete)
