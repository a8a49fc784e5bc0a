"""One request on its way through: who asks, with which schema, what he may open; and the table of operations."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from serversync.sandbox.ews import occurrences, rights, soap, versions
from serversync.sandbox.ews.authentication import Principal
from serversync.sandbox.ews.ids import Kind, RemoteId, read_change_key, read_id
from serversync.sandbox.ews.quirks import Quirks
from serversync.sandbox.ews.site import Site
from serversync.sandbox.ews.soap import Element, M, Refusal, SoapFault, T
from serversync.sandbox.ews.store import Account, Attachment, Folder, Item, Store


@dataclass
class Call:
    """`actor`: the account that acts, which is the impersonated one if the request names one; None if
    `actor_address` has none. `planned`: a refusal that a fault asks for."""

    site: Site
    principal: Principal
    actor: Account | None
    actor_address: str
    schema: str
    operation: str
    request: Element
    environ: Mapping[str, object]
    planned: "Planned | None" = None

    @property
    def store(self) -> Store:
        return self.site.store

    @property
    def quirks(self) -> Quirks:
        return self.site.quirks

    # -- answering

    def each(
        self, wanted: Iterable[Element], act: Callable[[Element], Iterable[Element]], *empty: str
    ) -> Element:
        """One response message for each of `wanted`, in their order. `empty`: tags of the containers
        that an error message has, too. A fault undoes what was done for those before."""
        messages = []
        with self.store.writing():
            for place, element in enumerate(wanted):
                messages.append(self.one(lambda element=element: act(element), *empty, place=place))  # type: ignore[misc]
        return soap.answer(self.operation, messages)

    def one(self, act: Callable[[], Iterable[Element]], *empty: str, place: int = 0) -> Element:
        try:
            if self.planned is not None and self.planned.position in (None, place):
                raise self.planned.refusal
            with self.store.writing():
                return soap.success(self.operation, *act())
        except Refusal as refusal:
            return soap.refused(self.operation, refusal, *(soap.make(tag) for tag in empty))

    def alone(self, act: Callable[[], Iterable[Element]], *empty: str) -> Element:
        """For operations that ask for one thing."""
        return soap.answer(self.operation, [self.one(act, *empty)])

    # -- finding what is asked for

    def home(self) -> Account:
        """The mailbox of whoever acts. Raises Refusal."""
        return rights.opened(self, self.actor, self.actor_address)

    def mailbox(self, element: Element | None) -> Account:
        """The account that a t:Mailbox names; without one whoever acts. Raises Refusal."""
        address = None if element is None else element.findtext(f"{T}EmailAddress")
        if not address:
            return self.home()
        return rights.opened(self, self.store.account(address), address)

    def folder(self, wanted: Element, right: rights.Right = rights.Right.SEE) -> Folder:
        """Of a t:FolderId or t:DistinguishedFolderId. Raises Refusal."""
        if wanted.tag == f"{T}DistinguishedFolderId":
            folder = self._distinguished(wanted)
        elif wanted.tag == f"{T}FolderId":
            folder = self._folder_by_id(wanted)
        else:
            raise soap.schema(f"'{soap.local(wanted)}' is no folder id.", wanted)
        rights.require(self, folder, right)
        return folder

    def _distinguished(self, wanted: Element) -> Folder:
        name = soap.attribute(wanted, "Id")
        if name not in DISTINGUISHED:
            raise soap.schema(
                f"The 'Id' attribute is invalid - the value '{name}' is invalid.", wanted
            )
        account = self.mailbox(wanted.find(f"{T}Mailbox"))
        if (folder := self.store.distinguished(account.guid, name)) is None:
            raise Refusal("ErrorFolderNotFound")
        return folder

    def _folder_by_id(self, wanted: Element) -> Folder:
        remote = self.read_id(wanted)
        if remote.kind is not Kind.FOLDER:
            raise Refusal("ErrorCannotUseItemIdForFolderId", "Item ID cannot be used here.")
        folder = self.store.folder(remote.number)
        if folder is None or folder.account != remote.account:
            raise Refusal("ErrorFolderNotFound")
        return folder

    def inner_folder(
        self, parent: Element, tag: str, right: rights.Right = rights.Right.SEE
    ) -> Folder:
        """The folder that `tag` below `parent` holds the id of."""
        inside = soap.children(soap.required(parent, tag))
        if not inside:
            raise soap.schema(f"'{soap.local(parent)}' names no folder.", parent)
        return self.folder(inside[0], right)

    def item(self, wanted: Element, right: rights.Right = rights.Right.READ) -> Item:
        """Of a t:ItemId, t:OccurrenceItemId or t:RecurringMasterItemId. Raises Refusal."""
        item = self._item(wanted)
        folder = self.store.folder(item.folder)
        assert folder is not None
        rights.require(self, folder, right, item_error=True)
        return item

    def _item(self, wanted: Element) -> Item:
        if wanted.tag == f"{T}OccurrenceItemId":
            master = self._stored(self.read_id(wanted, "RecurringMasterId"))
            if isinstance(master, occurrences.Occurrence):
                raise Refusal("ErrorCalendarCannotUseIdForOccurrenceId")
            index = soap.whole_text(soap.attribute(wanted, "InstanceIndex"), wanted, -(2**31))
            return occurrences.by_index(self.store, master, index)
        if wanted.tag == f"{T}RecurringMasterItemId":
            found = self._stored(self.read_id(wanted, "OccurrenceId"))
            if not isinstance(found, occurrences.Occurrence):
                raise Refusal("ErrorCalendarCannotUseIdForRecurringMasterId")
            return self._row(found.id, found.account)
        return self._stored(self.read_id(wanted))

    def _stored(self, remote: RemoteId) -> Item:
        if remote.kind is Kind.FOLDER:
            raise Refusal("ErrorCannotUseFolderIdForItemId", "Folder ID cannot be used here.")
        if remote.kind is Kind.ATTACHMENT:
            raise Refusal("ErrorItemNotFound")
        item = self._row(remote.number, remote.account)
        if remote.kind is Kind.ITEM:
            return item
        found = occurrences.by_original(self.store, item, remote.original)
        if found is None:
            raise Refusal("ErrorItemNotFound")
        return found

    def _row(self, number: int, account: bytes) -> Item:
        item = self.store.item(number)
        if item is None or item.account != account:
            raise Refusal("ErrorItemNotFound")
        return item

    def attachment(
        self, wanted: Element, right: rights.Right = rights.Right.READ
    ) -> tuple[Item, Attachment]:
        remote = self.read_id(wanted)
        attachment = (
            self.store.attachment(remote.number) if remote.kind is Kind.ATTACHMENT else None
        )
        if attachment is None:
            raise Refusal("ErrorInvalidAttachmentId", "The attachment id is not valid.")
        item = self.store.item(attachment.item)
        assert item is not None
        folder = self.store.folder(item.folder)
        if folder is None or item.account != remote.account:
            raise Refusal("ErrorItemNotFound")
        rights.require(self, folder, right, item_error=True)
        return item, attachment

    def read_id(self, wanted: Element, attribute: str = "Id") -> RemoteId:
        try:
            return read_id(wanted.get(attribute))
        except Refusal as refusal:
            if self.quirks.malformed_id_fails_batch:
                raise SoapFault(refusal.code) from refusal
            raise

    def is_stale(self, wanted: Element, item: Item) -> bool:
        """Raises Refusal if the change key of `wanted` is missing or none of this item's."""
        key = wanted.get("ChangeKey")
        if not key:
            raise Refusal("ErrorChangeKeyRequired")
        return read_change_key(key, item.id) < item.changed and not self.quirks.no_conflict_errors


@dataclass(frozen=True, slots=True)
class Planned:
    """A refusal at message level that a fault asks for."""

    refusal: Refusal
    position: int | None


Act = TypeVar("Act", bound="Operation")
Operation = Callable[[Call], Element | Iterator[Element]]
#: Name of the request's element -> what answers it: with one document, or one after the other as they come.
#: Modules enter themselves with `operation`.
OPERATIONS: dict[str, Operation] = {}


def operation(name: str) -> Callable[[Act], Act]:
    def enter(act: Act) -> Act:
        OPERATIONS[name] = act
        return act

    return enter


#: Distinguished names in the schema; an account has only some of them.
DISTINGUISHED = frozenset(
    """
    calendar contacts deleteditems drafts inbox journal notes outbox sentitems tasks msgfolderroot
    publicfoldersroot root junkemail searchfolders voicemail recoverableitemsroot recoverableitemsdeletions
    recoverableitemsversions recoverableitemspurges recoverableitemsdiscoveryholds archiveroot
    archivemsgfolderroot archivedeleteditems archiveinbox archiverecoverableitemsroot
    archiverecoverableitemsdeletions archiverecoverableitemsversions archiverecoverableitemspurges
    archiverecoverableitemsdiscoveryholds syncissues conflicts localfailures serverfailures
    recipientcache quickcontacts conversationhistory adminauditlogs todosearch mycontacts directory
    imcontactlist peopleconnect favorites mecontact personmetadata teamspaceactivity teamspacemessaging
    teamspaceworkitems scheduled orionnotes tagitems alltaggeditems allcategorizeditems externalcontacts
    teamchat teamchathistory yammerdata yammerroot yammerinbound yammeroutbound yammerfeeds kaizaladata
    messageingestion onedriveroot onedriverecylebin onedrivesystem onedrivevolume important starred archive
    companycontacts allcontacts allitems allpersonmetadata clutter fromfavoritesenders mycontactsextended
    outlookextensions relevantcontacts unifiedinbox sharepointnotes temporarysaves workingset
    controlplane allcontactsextended sharedsettings
    """.split()  # noqa: SIM905
)


def is_known(operation_name: str, schema: str) -> bool:
    since = versions.OPERATION_SINCE.get(operation_name)
    return operation_name in OPERATIONS and not (since and versions.is_older(schema, since))


def ids(request: Element, tag: str = f"{M}ItemIds") -> list[Element]:
    found = soap.children(soap.required(request, tag))
    if not found:
        raise soap.schema(f"'{soap.local(request)}' names nothing.", request)
    return found
