"""The operations of Exchange Web Services that the adapters use, and how requests are written.

exchangelib carries them: the envelope, the version, impersonation, faults. What goes into a request
and what comes of its answer is ours, because its own classes read answers leniently: they drop the
rest of a batch after one error, lose times with fractions, and ask for folders before they use them.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, TypeAlias

from exchangelib import errors as codes
from exchangelib.services.common import EWSAccountService
from exchangelib.util import MNS, TNS
from lxml import etree

from mailboxes.protocols.base import INBOX, SENT
from mailboxes.protocols.errors import AccessDenied, FolderMissing, PermanentError, ServerError
from mailboxes.protocols.items import CALENDAR, CONTACTS, TASKS

type_space = f"{{{TNS}}}"
message_space = f"{{{MNS}}}"
Element = etree._Element


class Space:
    """Elements of one namespace: `T.String("text")`, `M.ItemIds(*children, Name="value")`."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def __call__(self, name: str, *content: Element | str, **attributes: str) -> Element:
        element = etree.Element(f"{{{self._uri}}}{name}", attributes, PREFIXES)
        for each in content:
            if isinstance(each, str):
                element.text = each
            else:
                element.append(each)
        return element

    def __getattr__(self, name: str) -> Callable[..., Element]:
        return partial(self, name)


PREFIXES = {prefix: uri for prefix, uri in EWSAccountService.NS_MAP.items() if prefix}
T = Space(TNS)
M = Space(MNS)

#: What XML 1.0 can't carry.
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

#: Our names of folders, and the names that every mailbox has for them in every language.
DISTINGUISHED = {
    INBOX: "inbox",
    SENT: "sentitems",
    CALENDAR: "calendar",
    CONTACTS: "contacts",
    TASKS: "tasks",
}

#: Answers to one thing of several that are true of all of them.
CONCERNS_ALL = (
    codes.ErrorServerBusy,
    codes.ErrorTimeoutExpired,
    codes.ErrorTooManyObjectsOpened,
    codes.ErrorInternalServerTransientError,
    codes.ErrorExceededConnectionCount,
    codes.ErrorMailboxStoreUnavailable,
    codes.ErrorMailboxMoveInProgress,
    codes.ErrorMailboxFailover,
    codes.ErrorMailboxLogonFailed,
    codes.ErrorConnectionFailed,
    codes.ErrorInsufficientResources,
    codes.ErrorNotEnoughMemory,
    codes.ErrorADUnavailable,
    codes.ErrorADOperation,
    codes.ErrorNonExistentMailbox,
    codes.ErrorImpersonateUserDenied,
    codes.ErrorImpersonationDenied,
    codes.ErrorImpersonationFailed,
    codes.ErrorAccountDisabled,
    codes.ErrorPasswordExpired,
    codes.ErrorPasswordChangeRequired,
    codes.ErrorInvalidLicense,
)

MALFORMED_IDS = (
    codes.ErrorInvalidId,
    codes.ErrorInvalidIdEmpty,
    codes.ErrorInvalidIdMalformed,
    codes.ErrorInvalidIdMalformedEwsLegacyIdFormat,
    codes.ErrorInvalidIdMonikerTooLong,
    codes.ErrorInvalidIdStoreObjectIdTooLong,
    codes.ErrorInvalidIdXml,
)

#: An id that means no item, or none any more.
ITEM_GONE = (
    *MALFORMED_IDS,
    codes.ErrorItemNotFound,
    codes.ErrorCannotUseFolderIdForItemId,
    codes.ErrorObjectTypeChanged,
)

#: An id that means no folder, or none any more. Servers differ in what they say of a deleted one.
FOLDER_GONE = (
    *MALFORMED_IDS,
    codes.ErrorFolderNotFound,
    codes.ErrorItemNotFound,
    codes.ErrorFolderPropertyRequestFailed,
    codes.ErrorSyncFolderNotFound,
    codes.ErrorInvalidFolderId,
    codes.ErrorCannotUseItemIdForFolderId,
    codes.ErrorParentFolderNotFound,
)

Answer: TypeAlias = Element | Any


def refusal_in(error: ServerError) -> Any:
    """What the service itself refused, and this alone, as exchangelib's error; None if the line, a
    gateway or the whole mailbox is to blame."""
    if not error.server_code:
        return None
    if isinstance(error, PermanentError) and not isinstance(error, (FolderMissing, AccessDenied)):
        return None
    kind = getattr(codes, error.server_code, codes.SOAPError)
    if issubclass(kind, CONCERNS_ALL):
        return None
    refusal = kind(error.detail)
    refusal.__cause__ = error
    return refusal


class Operation(EWSAccountService):  # type: ignore[misc]  # exchangelib ships no types
    """One request and the answer to each thing that it asked for, in that order: an element, or the
    error that this one got. Errors that concern all are raised.

    The library's own tries again, which sleep and could send a message twice, are left out.
    """

    ERRORS_TO_CATCH_IN_RESPONSE = codes.EWSError
    WARNINGS_TO_CATCH_IN_RESPONSE = codes.EWSError

    answered_at: datetime | None = None
    """By the server's clock."""

    def ask(self, *children: Element, **attributes: str) -> list[Answer]:
        payload = M(self.SERVICE_NAME, *children, **attributes)
        return list(self._get_elements(payload))

    def _get_elements(self, payload: Element) -> Iterator[Answer]:
        return self._get_elements_in_response(self._get_response_xml(payload=payload))

    def _get_elements_in_response(self, response: Iterable[Element]) -> Iterator[Answer]:
        for message in response:
            answer = self._get_element_container(message)
            if isinstance(answer, CONCERNS_ALL):
                raise answer
            yield message if answer is True else answer

    def _get_response(self, payload: Element, api_version: str) -> Any:
        response = super()._get_response(payload, api_version)
        self.answered_at = http_date(response.headers.get("Date", ""))
        return response


class GetFolder(Operation):
    SERVICE_NAME = "GetFolder"


class FindFolder(Operation):
    SERVICE_NAME = "FindFolder"


class CreateFolder(Operation):
    SERVICE_NAME = "CreateFolder"


class SyncFolderItems(Operation):
    SERVICE_NAME = "SyncFolderItems"


class FindItem(Operation):
    SERVICE_NAME = "FindItem"


class GetItem(Operation):
    SERVICE_NAME = "GetItem"


class UpdateItem(Operation):
    SERVICE_NAME = "UpdateItem"


class MoveItem(Operation):
    SERVICE_NAME = "MoveItem"


class DeleteItem(Operation):
    SERVICE_NAME = "DeleteItem"


class CreateItem(Operation):
    SERVICE_NAME = "CreateItem"


class GetUserConfiguration(Operation):
    SERVICE_NAME = "GetUserConfiguration"


class CreateUserConfiguration(Operation):
    SERVICE_NAME = "CreateUserConfiguration"


class UpdateUserConfiguration(Operation):
    SERVICE_NAME = "UpdateUserConfiguration"


class Handover(CreateItem):
    """CreateItem that is sent at most once, whatever comes back.

    `hand_over` is called when the request is written and a connection is at hand, as the last thing
    before its octets leave. Afterwards: `handed_over`; `answered`, the service has spoken, so an error
    is its own; `halted`, what `hand_over` raised, and then nothing was sent.
    """

    def __init__(self, hand_over: Callable[[], None], account: Any) -> None:
        super().__init__(account=account)
        self._hand_over = hand_over
        self.handed_over = False
        self.answered = False
        self.halted: BaseException | None = None

    def _api_versions_to_try(self) -> tuple[str]:
        return (self._version_hint.api_version,)

    def wrap(self, content: Element, api_version: str | None = None) -> bytes:
        request: bytes = super().wrap(content, api_version)
        try:
            self._hand_over()
        except BaseException as error:
            self.halted = error
            raise
        self.handed_over = True
        return request

    def _get_soap_messages(self, body: Element) -> list[Element]:
        self.answered = True
        messages: list[Element] = super()._get_soap_messages(body)
        return messages


# -- writing ---------------------------------------------------------------------------------------


def clean(text: str) -> str:
    return NOT_XML.sub("", text)


def shape(tag: str, *properties: str | Element) -> Element:
    """The id and these properties: paths, or elements for others than the service's own."""
    paths = (T.FieldURI(FieldURI=each) if isinstance(each, str) else each for each in properties)
    base = T.BaseShape("IdOnly")
    return M(tag, base, T.AdditionalProperties(*paths)) if properties else M(tag, base)


def distinguished(name: str, address: str) -> Element:
    """A folder that every mailbox has. Without the mailbox it would be the caller's own folder."""
    return T.DistinguishedFolderId(T.Mailbox(T.EmailAddress(clean(address))), Id=name)


def folder_id(folder: str, address: str) -> Element:
    """`folder`: one of DISTINGUISHED, or a folder's own id."""
    if folder in DISTINGUISHED:
        return distinguished(DISTINGUISHED[folder], address)
    return T.FolderId(Id=clean(folder))


def item_ids(remote_ids: Iterable[str]) -> Element:
    return M.ItemIds(*(T.ItemId(Id=clean(each)) for each in remote_ids))


def compare(kind: str, path: str, value: str) -> Element:
    """A restriction such as IsGreaterThan."""
    constant = T.FieldURIOrConstant(T.Constant(Value=clean(value)))
    return M.Restriction(T(kind, T.FieldURI(FieldURI=path), constant))


def timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def http_date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def in_parts(values: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
