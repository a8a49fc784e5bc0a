"""SyncFolderItems and SyncFolderHierarchy: what has changed since the state that the client brings.

A state says which change was the last one told. News is what carries a later one: created later is
Create, else written later is Update, or ReadFlagChange if only the read flag was; what is gone and
was there at the state's time is Delete. Asking again with an old state gives the same or newer news.
"""

from serversync.sandbox.ews import soap
from serversync.sandbox.ews.call import Call, operation
from serversync.sandbox.ews.folders import counts, read_folder_shape, shown_folder
from serversync.sandbox.ews.ids import Kind, RemoteId, SyncState, read_sync_state
from serversync.sandbox.ews.properties import Shape, item_id, read_shape, shown
from serversync.sandbox.ews.rights import Right
from serversync.sandbox.ews.soap import Element, M, Refusal, T, boolean, children, make, whole
from serversync.sandbox.ews.store import Account, Folder, Gone, Item

MOST_CHANGES = 512


def _containers() -> list[Element]:
    """Also in a refusal: clients read both before they look at the error."""
    return [make(f"{M}SyncState"), make(f"{M}IncludesLastItemInRange", "true"), make(f"{M}Changes")]


def _started(call: Call, account: Account, folder: int, associated: bool = False) -> SyncState:
    """From the state that the request brings, or from nothing. Raises Refusal."""
    fresh = SyncState(account.guid, folder, 0, account.epoch, associated)
    text = call.request.findtext(f"{M}SyncState")
    if not text:
        return fresh
    state = read_sync_state(text)
    fits = state and (state.account, state.folder, state.epoch) == (
        account.guid,
        folder,
        account.epoch,
    )
    if state is not None and fits:
        return state
    if call.quirks.silent_sync_restart:
        return fresh
    raise Refusal("ErrorInvalidSyncStateData", more=_containers())


# -- items -----------------------------------------------------------------------------------------


@operation("SyncFolderItems")
def sync_folder_items(call: Call) -> Element:
    shape = read_shape(call, is_list=True)
    most = whole(soap.required(call.request, f"{M}MaxChangesReturned"), 0, 1, MOST_CHANGES)
    ignored = {one.get("Id") for one in children(call.request.find(f"{M}Ignore"))}
    associated = (call.request.findtext(f"{M}SyncScope") or "NormalItems") != "NormalItems"

    def sync() -> list[Element]:
        folder = _synced_folder(call)
        if folder is None:
            return _containers()
        account = call.store.account_of(folder.account)
        assert account is not None
        state = _started(call, account, folder.id, associated)
        return _item_page(call, folder, state, shape, most, ignored)

    return call.alone(sync)


def _synced_folder(call: Call) -> Folder | None:
    try:
        return call.inner_folder(call.request, f"{M}SyncFolderId", Right.READ)
    except Refusal as refusal:
        if refusal.code == "ErrorFolderNotFound":
            if call.quirks.sync_ignores_missing_folder:
                return None
            refusal = Refusal("ErrorSyncFolderNotFound", "The folder to synchronize was not found.")
        refusal.more = _containers()
        raise refusal from None


def _item_page(
    call: Call, folder: Folder, state: SyncState, shape: Shape, most: int, ignored: set[str | None]
) -> list[Element]:
    items = call.store.items_after(folder.id, state.changed, associated=state.associated)
    here = {item.id for item in items}
    gone = [
        one
        for one in call.store.gone_after(folder.account, folder.id, state.changed)
        if one.created <= state.changed and one.id not in here
    ]
    news: list[Item | Gone] = [*items, *gone]
    news.sort(key=_position)
    page = news[:most]
    reached = _position(page[-1]) if page else state.changed
    if call.quirks.newest_change_first:
        page.reverse()
    changes = [
        _change(call, one, state, shape) for one in page if _remote_id(one, folder) not in ignored
    ]
    after = SyncState(state.account, state.folder, reached, state.epoch, state.associated)
    return [
        make(f"{M}SyncState", str(after)),
        make(f"{M}IncludesLastItemInRange", boolean(len(news) <= most)),
        make(f"{M}Changes", *changes),
    ]


def _position(news: Item | Gone) -> int:
    return news.changed if isinstance(news, Item) else news.removed


def _remote_id(news: Item | Gone, folder: Folder) -> str:
    return str(RemoteId(Kind.ITEM, folder.account, news.id))


def _change(call: Call, news: Item | Gone, state: SyncState, shape: Shape) -> Element:
    if isinstance(news, Gone):
        return make(
            f"{T}Delete", make(f"{T}ItemId", Id=str(RemoteId(Kind.ITEM, state.account, news.id)))
        )
    if news.created > state.changed:
        return make(f"{T}Create", shown(call, news, shape))
    if news.content_changed > state.changed or call.quirks.read_flag_as_update:
        return make(f"{T}Update", shown(call, news, shape))
    return make(f"{T}ReadFlagChange", item_id(news), make(f"{T}IsRead", boolean(news.is_read)))


# -- folders ---------------------------------------------------------------------------------------


@operation("SyncFolderHierarchy")
def sync_folder_hierarchy(call: Call) -> Element:
    shape = read_folder_shape(call)

    def sync() -> list[Element]:
        top, account = _synced_root(call)
        state = _started_hierarchy(call, account)
        known = counts(call, account.guid)
        changed = [
            folder
            for folder in call.store.folders_after(account.guid, state.changed)
            if folder.id != top.id and _is_below(call, folder, top)
        ]
        gone = [
            one
            for one in call.store.gone_after(account.guid, 0, state.changed)
            if one.created <= state.changed
        ]
        changes = [
            make(
                f"{T}Create" if folder.created > state.changed else f"{T}Update",
                shown_folder(call, folder, shape, known),
            )
            for folder in changed
        ]
        changes += [
            make(
                f"{T}Delete",
                make(f"{T}FolderId", Id=str(RemoteId(Kind.FOLDER, account.guid, one.id))),
            )
            for one in gone
        ]
        after = SyncState(account.guid, 0, account.changed, account.epoch)
        return [
            make(f"{M}SyncState", str(after)),
            make(f"{M}IncludesLastFolderInRange", "true"),
            make(f"{M}Changes", *changes),
        ]

    return call.alone(sync)


def _synced_root(call: Call) -> tuple[Folder, Account]:
    if call.request.find(f"{M}SyncFolderId") is None:
        account = call.home()
        top = call.store.distinguished(account.guid, "msgfolderroot")
        assert top is not None
        return top, account
    top = call.inner_folder(call.request, f"{M}SyncFolderId")
    found = call.store.account_of(top.account)
    assert found is not None
    return top, found


def _started_hierarchy(call: Call, account: Account) -> SyncState:
    try:
        return _started(call, account, 0)
    except Refusal as refusal:
        refusal.more = [
            make(f"{M}SyncState"),
            make(f"{M}IncludesLastFolderInRange", "true"),
            make(f"{M}Changes"),
        ]
        raise


def _is_below(call: Call, folder: Folder, top: Folder) -> bool:
    parent = folder.parent
    while parent:
        if parent == top.id:
            return True
        above = call.store.folder(parent)
        parent = above.parent if above else None
    return False
