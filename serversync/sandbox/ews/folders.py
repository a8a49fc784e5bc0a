"""The operations on folders, and how a folder shows itself."""

from dataclasses import dataclass, field

from lxml import etree

from serversync.sandbox.ews import paths, rights, soap
from serversync.sandbox.ews.call import Call, ids, operation
from serversync.sandbox.ews.extended import (
    ExtendedPath,
    read_extended_path,
    read_values,
    shown_extended,
)
from serversync.sandbox.ews.find import Searched, filter_of
from serversync.sandbox.ews.items import DELETE_TYPES, remove
from serversync.sandbox.ews.paging import paged, read_page
from serversync.sandbox.ews.properties import read_field
from serversync.sandbox.ews.rights import Right
from serversync.sandbox.ews.soap import Element, M, Refusal, T, attribute, children, make, schema
from serversync.sandbox.ews.store import Folder

ELEMENTS = {
    "IPF.Appointment": "CalendarFolder",
    "IPF.Contact": "ContactsFolder",
    "IPF.Task": "TasksFolder",
}
CLASSES = {tag: folder_class for folder_class, tag in ELEMENTS.items()} | {"Folder": "IPF.Note"}
FOLDER_TAGS = frozenset([*CLASSES, "SearchFolder"])
#: What the schema sets: everything else of a folder is the server's.
WRITABLE = ("folder:DisplayName", "folder:FolderClass", "folder:PermissionSet")
LEVEL_NAMES = ("None", "Owner", "PublishingEditor", "Editor", "PublishingAuthor", "Author", "NoneditingAuthor", "Reviewer", "Contributor", "Custom")  # fmt: skip


def tag_of(folder: Folder) -> str:
    for folder_class, tag in ELEMENTS.items():
        if folder.folder_class == folder_class or folder.folder_class.startswith(
            folder_class + "."
        ):
            return tag
    return "SearchFolder" if folder.folder_class == "IPF.Search" else "Folder"


# -- showing ---------------------------------------------------------------------------------------


@dataclass
class FolderShape:
    base: str = "IdOnly"
    fields: set[str] = field(default_factory=set)
    extended: list[ExtendedPath] = field(default_factory=list)

    def wants(self, path: str) -> bool:
        return (
            path == "folder:FolderId"
            or path in self.fields
            or (self.base != "IdOnly" and path in DEFAULTS)
            or (self.base == "AllProperties" and path != "folder:PermissionSet")
        )


DEFAULTS = frozenset(
    ["folder:DisplayName", "folder:UnreadCount", "folder:TotalCount", "folder:ChildFolderCount"]
)


def read_folder_shape(call: Call) -> FolderShape:
    element = soap.required(call.request, f"{M}FolderShape")
    shape = FolderShape(base=element.findtext(f"{T}BaseShape") or "")
    if shape.base not in ("IdOnly", "Default", "AllProperties"):
        raise schema(
            f"The 'BaseShape' element is invalid - the value '{shape.base}' is invalid.", element
        )
    for path in children(element.find(f"{T}AdditionalProperties")):
        if path.tag == f"{T}ExtendedFieldURI":
            shape.extended.append(read_extended_path(path))
        else:
            shape.fields.add(read_field(path, call.schema))
    return shape


@dataclass(frozen=True)
class Counts:
    """Of a whole account, so that a tree costs two looks."""

    children: dict[int, int]
    items: dict[int, tuple[int, int]]


def counts(call: Call, guid: bytes) -> Counts:
    return Counts(call.store.child_counts(guid), call.store.item_counts(guid))


def shown_folder(call: Call, folder: Folder, shape: FolderShape, known: Counts) -> Element:
    element = etree.Element(T + tag_of(folder))
    for path in paths.FOLDER:
        if shape.wants(path):
            element.extend(_value(call, folder, path, known))
    kept = _mirrored(folder, known) | _extended(folder) if shape.extended else {}
    for wanted in shape.extended:
        if values := kept.get(wanted.key):
            element.append(shown_extended(wanted, values))
    return element


def folder_id(folder: Folder, tag: str = "FolderId") -> Element:
    return make(T + tag, Id=folder.remote_id, ChangeKey=folder.change_key)


def only_folder_id(folder: Folder) -> Element:
    return make(T + tag_of(folder), folder_id(folder))


def _value(call: Call, folder: Folder, path: str, known: Counts) -> list[Element]:
    total, unread = known.items.get(folder.id, (0, 0))
    name = paths.element_name(path)
    match name:
        case "FolderId":
            return [folder_id(folder)]
        case "ParentFolderId":
            parent = call.store.folder(folder.parent) if folder.parent else None
            return [folder_id(parent or folder, name)]
        case "FolderClass":
            return [make(T + name, folder.folder_class)] if folder.folder_class else []
        case "DisplayName":
            return [make(T + name, folder.name)]
        case "TotalCount":
            return [make(T + name, str(total))]
        case "UnreadCount":
            return [make(T + name, str(unread))]
        case "ChildFolderCount":
            return [make(T + name, str(known.children.get(folder.id, 0)))]
        case "DistinguishedFolderId":
            return [make(T + name, folder.distinguished)] if folder.distinguished else []
        case "EffectiveRights":
            return [rights.effective_rights(_held(call, folder))]
        case "PermissionSet":
            return [_permission_set(call, folder)] if _held(call, folder) is Right.OWN else []
    return []


def _held(call: Call, folder: Folder) -> Right:
    owner = call.store.account_of(folder.account)
    assert owner is not None
    return rights.held(call.store, owner, call.actor_address, folder)


def _permission_set(call: Call, folder: Folder) -> Element:
    owner = call.store.account_of(folder.account)
    assert owner is not None
    kind = "Calendar" if tag_of(folder) == "CalendarFolder" else ""
    entries = [
        make(
            f"{T}{kind}Permission",
            make(f"{T}UserId", make(f"{T}PrimarySmtpAddress", holder)),
            make(f"{T}{kind}PermissionLevel", level),
        )
        for holder, level in call.store.grants_on(owner.address, folder.id)
    ]
    for who in ("Default", "Anonymous"):
        user = make(f"{T}UserId", make(f"{T}DistinguishedUser", who))
        entries.append(
            make(f"{T}{kind}Permission", user, make(f"{T}{kind}PermissionLevel", "None"))
        )
    return make(f"{T}PermissionSet", make(f"{T}{kind}Permissions", *entries))


def _mirrored(folder: Folder, known: Counts) -> dict[str, list[str]]:
    """Extended properties that say what ordinary ones say."""
    total, unread = known.items.get(folder.id, (0, 0))
    return {
        "tag/0x3001": [folder.name],
        "tag/0x3602": [str(total)],
        "tag/0x3603": [str(unread)],
        "tag/0x360a": [soap.boolean(bool(known.children.get(folder.id)))],
        "tag/0x3613": [folder.folder_class] if folder.folder_class else [],
    }


def _extended(folder: Folder) -> dict[str, list[str]]:
    """Extended properties that were given to a folder, by key."""
    if folder.properties is None:
        return {}
    root = etree.fromstring(folder.properties)
    return {path.key: values for path, values in map(read_values, children(root))}


# -- reading ---------------------------------------------------------------------------------------


@operation("GetFolder")
def get_folder(call: Call) -> Element:
    shape = read_folder_shape(call)
    known: dict[bytes, Counts] = {}

    def get(wanted: Element) -> list[Element]:
        folder = _found(call, wanted)
        known.setdefault(folder.account, counts(call, folder.account))
        return [make(f"{M}Folders", shown_folder(call, folder, shape, known[folder.account]))]

    return call.each(ids(call.request, f"{M}FolderIds"), get, f"{M}Folders")


def _found(call: Call, wanted: Element) -> Folder:
    try:
        return call.folder(wanted)
    except Refusal as refusal:
        if refusal.code == "ErrorFolderNotFound" and call.quirks.missing_folder_property_error:
            raise Refusal("ErrorFolderPropertyRequestFailed") from refusal
        raise


@operation("FindFolder")
def find_folder(call: Call) -> Element:
    shape = read_folder_shape(call)
    traversal = attribute(call.request, "Traversal", ("Shallow", "Deep", "SoftDeleted"))
    page = read_page(call.request, f"{M}IndexedPageFolderView")

    def find(wanted: Element) -> list[Element]:
        fits = filter_of(call, call.request.find(f"{M}Restriction"))
        parent = call.folder(wanted)
        known = counts(call, parent.account)
        below = [] if traversal == "SoftDeleted" else _below(call, parent, traversal == "Deep")
        visible = [
            one
            for one in below
            if _held(call, one) >= Right.SEE and fits(_searched(call, one, known))
        ]
        return [
            paged(visible, page, f"{T}Folders", lambda one: shown_folder(call, one, shape, known))
        ]

    return call.each(ids(call.request, f"{M}ParentFolderIds"), find)


def _searched(call: Call, folder: Folder, known: Counts) -> Searched:
    """What a restriction may ask of a folder."""
    return Searched(
        field=lambda path: [one.text or "" for one in _value(call, folder, path, known)],
        indexed=lambda path, index: [],
        extended=lambda path: (_mirrored(folder, known) | _extended(folder)).get(path.key, []),
    )


def _below(call: Call, parent: Folder, deep: bool) -> list[Folder]:
    found = []
    for child in call.store.subfolders(parent.id):
        found.append(child)
        if deep:
            found += _below(call, child, deep)
    return found


# -- writing ---------------------------------------------------------------------------------------


@operation("CreateFolder")
def create_folder(call: Call) -> Element:
    def create(given: Element) -> list[Element]:
        parent = _parent(call, f"{M}ParentFolderId")
        if soap.local(given) not in FOLDER_TAGS:
            raise schema(f"'{soap.local(given)}' is no folder.", given)
        name = _name(given)
        _require_free(call, parent, name)
        number = call.store.add_folder(
            parent.account,
            parent.id,
            name,
            given.findtext(f"{T}FolderClass") or CLASSES.get(soap.local(given), "IPF.Note"),
            properties=_given_extended(given),
        )
        folder = call.store.folder(number)
        assert folder is not None
        return [make(f"{M}Folders", only_folder_id(folder))]

    return call.each(children(soap.required(call.request, f"{M}Folders")), create, f"{M}Folders")


def _parent(call: Call, tag: str) -> Folder:
    try:
        return call.inner_folder(call.request, tag, Right.OWN)
    except Refusal as refusal:
        if refusal.code == "ErrorFolderNotFound":
            code = (
                "ErrorParentFolderNotFound"
                if tag.endswith("ParentFolderId")
                else "ErrorToFolderNotFound"
            )
            raise Refusal(code, "The parent folder does not exist.") from refusal
        if refusal.code == "ErrorAccessDenied" and tag.endswith("ParentFolderId"):
            raise Refusal("ErrorCreateSubfolderAccessDenied") from refusal
        raise


def _name(given: Element) -> str:
    name = given.findtext(f"{T}DisplayName") or ""
    if not name.strip():
        raise Refusal("ErrorFolderSavePropertyError", "A folder needs a display name.")
    return name


def _require_free(call: Call, parent: Folder, name: str, besides: Folder | None = None) -> None:
    for other in call.store.subfolders(parent.id):
        if other.name.lower() == name.lower() and (besides is None or other.id != besides.id):
            raise Refusal("ErrorFolderExists")


def _given_extended(given: Element) -> bytes | None:
    found = given.findall(f"{T}ExtendedProperty")
    for one in found:
        read_values(one)
    return etree.tostring(make(f"{T}Folder", *found)) if found else None


@operation("UpdateFolder")
def update_folder(call: Call) -> Element:
    def update(change: Element) -> list[Element]:
        folder = call.folder(children(change)[0], Right.OWN)
        for one in children(soap.required(change, f"{T}Updates")):
            folder = _apply(call, folder, one)
        return [make(f"{M}Folders", only_folder_id(folder))]

    return call.each(ids(call.request, f"{M}FolderChanges"), update, f"{M}Folders")


def _apply(call: Call, folder: Folder, change: Element) -> Folder:
    path, *value = children(change)
    name, folder_class, properties = folder.name, folder.folder_class, folder.properties
    if path.tag == f"{T}ExtendedFieldURI":
        properties = _with_extended(folder, read_extended_path(path), value)
    else:
        field_path = read_field(path, call.schema)
        if field_path not in WRITABLE or soap.local(change) != "SetFolderField" or not value:
            raise Refusal("ErrorInvalidPropertySet", f"{field_path} can't be changed this way.")
        if field_path == "folder:DisplayName":
            name = _renamed(call, folder, _name(value[0]))
        elif field_path == "folder:FolderClass":
            folder_class = value[0].findtext(f"{T}FolderClass") or folder_class
        else:
            _set_permissions(call, folder, value[0])
    call.store.change_folder(folder, name=name, folder_class=folder_class, properties=properties)
    changed = call.store.folder(folder.id)
    assert changed is not None
    return changed


def _renamed(call: Call, folder: Folder, name: str) -> str:
    parent = call.store.folder(folder.parent) if folder.parent else None
    if parent is not None:
        _require_free(call, parent, name, besides=folder)
    return name


def _with_extended(folder: Folder, path: ExtendedPath, value: list[Element]) -> bytes:
    """Without a value the property goes."""
    root = make(f"{T}Folder") if folder.properties is None else etree.fromstring(folder.properties)
    for old in children(root):
        if read_values(old)[0].key == path.key:
            root.remove(old)
    root.extend(value[0].findall(f"{T}ExtendedProperty") if value else [])
    return etree.tostring(root)


def _set_permissions(call: Call, folder: Folder, given: Element) -> None:
    owner = call.store.account_of(folder.account)
    assert owner is not None
    for holder, _ in call.store.grants_on(owner.address, folder.id):
        call.store.revoke(owner.address, holder, folder=folder.id)
    for entry in given.iter(f"{T}Permission", f"{T}CalendarPermission"):
        holder_address = entry.findtext(f"{T}UserId/{T}PrimarySmtpAddress")
        level = entry.findtext(f"{T}PermissionLevel") or entry.findtext(
            f"{T}CalendarPermissionLevel"
        )
        if holder_address and level in LEVEL_NAMES:
            call.store.grant(owner.address, holder_address, level, folder.id)


@operation("MoveFolder")
def move_folder(call: Call) -> Element:
    def move(wanted: Element) -> list[Element]:
        folder, target = call.folder(wanted, Right.OWN), _parent(call, f"{M}ToFolderId")
        if folder.distinguished:
            raise Refusal("ErrorMoveDistinguishedFolder")
        if target.account != folder.account:
            raise Refusal("ErrorCrossMailboxMoveCopy")
        if folder.id in _above(call, target):
            raise Refusal("ErrorMoveCopyFailed", "A folder can't be moved into itself.")
        _require_free(call, target, folder.name, besides=folder)
        call.store.move_folder(folder, target)
        moved = call.store.folder(folder.id)
        assert moved is not None
        return [make(f"{M}Folders", only_folder_id(moved))]

    return call.each(ids(call.request, f"{M}FolderIds"), move, f"{M}Folders")


def _above(call: Call, folder: Folder) -> set[int]:
    """The folder itself and all above it."""
    found = {folder.id}
    parent = folder.parent
    while parent and (above := call.store.folder(parent)) is not None:
        found.add(above.id)
        parent = above.parent
    return found


@operation("DeleteFolder")
def delete_folder(call: Call) -> Element:
    kind = attribute(call.request, "DeleteType", DELETE_TYPES)

    def delete(wanted: Element) -> list[Element]:
        folder = call.folder(wanted, Right.OWN)
        if folder.distinguished:
            raise Refusal("ErrorDeleteDistinguishedFolder")
        trash = call.store.distinguished(folder.account, "deleteditems")
        if kind == "MoveToDeletedItems" and trash and trash.id not in _above(call, folder):
            call.store.move_folder(folder, trash)
        else:
            call.store.remove_folder(folder)
        return []

    return call.each(ids(call.request, f"{M}FolderIds"), delete)


@operation("EmptyFolder")
def empty_folder(call: Call) -> Element:
    kind = attribute(call.request, "DeleteType", DELETE_TYPES)
    with_subfolders = attribute(call.request, "DeleteSubFolders") in ("true", "1")

    def empty(wanted: Element) -> list[Element]:
        folder = call.folder(wanted, Right.OWN)
        if tag_of(folder) != "Folder" or folder.distinguished in ("root", "msgfolderroot"):
            raise Refusal("ErrorCannotEmptyFolder")
        for item in call.store.items(folder.id):
            remove(call, item, kind)
        for child in call.store.subfolders(folder.id) if with_subfolders else []:
            call.store.remove_folder(child)
        return []

    return call.each(ids(call.request, f"{M}FolderIds"), empty)
