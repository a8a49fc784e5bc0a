"""Streamed notifications: a subscription to folders of one mailbox, and a connection on which its news come.

    open ──Subscribe──> ──GetStreamingEvents──> documents, one after the other ──Closed──> GetStreamingEvents ...
                              the subscription is unknown there: Subscribe anew <──┘

The server ends the connection after the half hour that it may last at most, and keeps the subscription for as
long without one, so nothing is lost between two connections. It says something each minute or so; on a line on
which it doesn't, we ask anew.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Self

from exchangelib import errors as codes
from exchangelib.version import EXCHANGE_2010_SP1

from mailboxes.protocols.base import INBOX, AdapterOptions
from mailboxes.protocols.errors import (
    ConnectionLost,
    FolderMissing,
    ServerError,
    UnexpectedReply,
)
from mailboxes.protocols.ews import messages
from mailboxes.protocols.ews.conversation import Conversation
from mailboxes.protocols.ews.faults import fault_words, text_of, xml_of
from mailboxes.protocols.ews.operations import (
    Element,
    GetFolder,
    M,
    Operation,
    T,
    message_space,
    shape,
    type_space,
)
from mailboxes.protocols.ews.settings import ExchangeSettings
from mailboxes.protocols.ews.transport import Stream
from mailboxes.protocols.phases import Phase
from mailboxes.protocols.watching import NOTHING, PushUnavailable

CONNECTION_MINUTES = 30  # the longest that servers allow
SILENCE_SECONDS = 180.0  # they say something every 45 seconds, or each minute
SHORTEST_SECONDS = 5.0  # between two requests, for servers that end each at once
LARGEST_DOCUMENT = 4 * 1024 * 1024

MAIL_EVENTS = ("NewMailEvent", "CreatedEvent", "MovedEvent", "CopiedEvent")
ITEM_EVENTS = (*MAIL_EVENTS, "ModifiedEvent", "DeletedEvent")
#: The server knows the subscription no more, or has lost some of its news.
STALE = {
    "ErrorSubscriptionNotFound",
    "ErrorInvalidSubscription",
    "ErrorExpiredSubscription",
    "ErrorSubscriptionUnsubscribed",
    "ErrorReadEventsFailed",
    "ErrorMissedNotificationEvents",
    "ErrorSubscriptionAccessDenied",
}
#: What servers say that have never heard of it.
UNKNOWN_OPERATION = {"ErrorInvalidOperation", "ErrorInvalidRequest", "ErrorSchemaValidation"}

DOCUMENT_END = re.compile(rb"</(?:[\w.-]+:)?Envelope\s*>")


class Subscribe(Operation):
    SERVICE_NAME = "Subscribe"
    prefer_affinity = True


class GetStreamingEvents(Operation):
    SERVICE_NAME = "GetStreamingEvents"


class Stale(Exception):
    """Subscribe anew. `fault`: what was said."""

    def __init__(self, fault: ServerError) -> None:
        super().__init__(str(fault))
        self.fault = fault


class ExchangeStream:
    """PushServer of one mailbox. `folders`: which of those that every mailbox has."""

    protocol = "ews"

    def __init__(
        self,
        settings: ExchangeSettings,
        folders: Iterable[str] = (INBOX,),
        options: AdapterOptions | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folders = tuple(folders)
        self.renew_at = 0.0
        self._talk = Conversation(settings, options)
        self._clock = clock
        self._names: dict[str, str] = {}  # id on the server -> our name
        self._subscription = ""
        self._proven = False  # the server has answered well to this subscription
        self._stream: Stream | None = None
        self._asked_at = 0.0
        self._has_spoken = False  # on this connection
        self._arrived = bytearray()

    def __repr__(self) -> str:
        return f"<ExchangeStream {self._talk.access.settings.address}>"

    def open(self) -> Self:
        with self._closing_on_failure():
            version = self._talk.access.open().version
            if version.build < EXCHANGE_2010_SP1:
                raise PushUnavailable("servers before Exchange 2010 SP1 stream no notifications")
            self._names = self._ids()
            self._subscribe()
            self._ask()
        return self

    def fileno(self) -> int:
        return self._line().fileno()

    def hear(self) -> frozenset[str]:
        with self._closing_on_failure():
            stream = self._line()
            self._arrived += stream.read()
            told: frozenset[str] = NOTHING
            try:
                for document in self._documents():
                    told |= self._read(document)
            except Stale as stale:
                if not self._proven:  # it was made a moment ago
                    raise stale.fault from stale
                self._subscription = ""
                self._soon()
            else:
                if stream.ended:
                    self._end_of_stream()
            return told

    def renew(self) -> frozenset[str]:
        with self._closing_on_failure():
            self._leave()
            unheard = NOTHING
            if not self._subscription:
                self._subscribe()
                unheard = frozenset(self.folders)
            self._ask()
            return unheard

    def close(self) -> None:
        self._leave()
        self._talk.close()

    # -- asking ------------------------------------------------------------------------------------

    def _ids(self) -> dict[str, str]:
        wanted = M.FolderIds(*(self._talk.folder(each) for each in self.folders))
        answers = self._talk.ask(Phase.OPEN, GetFolder, shape("FolderShape"), wanted)
        if len(answers) != len(self.folders):
            raise self._talk.out_of_step(Phase.OPEN, "not every folder is answered")
        names = {}
        for folder, answer in zip(self.folders, answers, strict=True):
            if isinstance(answer, codes.EWSError):
                raise self._talk.folder_error(answer, folder, Phase.OPEN) from answer
            found = answer.find(f"{message_space}Folders/*")
            if found is None:
                raise FolderMissing(f"the server shows no folder {folder}", phase=Phase.OPEN)
            names[messages.folder(found).id] = folder
        return names

    def _subscribe(self) -> None:
        kinds = MAIL_EVENTS if self.folders == (INBOX,) else ITEM_EVENTS
        request = M.StreamingSubscriptionRequest(
            T.FolderIds(*(self._talk.folder(each) for each in self.folders)),
            T.EventTypes(*(T.EventType(kind) for kind in kinds)),
        )
        try:
            answer = self._talk.need(Phase.LIST, Subscribe, request)
        except ServerError as error:
            if error.server_code in UNKNOWN_OPERATION:
                raise PushUnavailable(f"no notifications: {error.detail}") from error
            raise
        self._subscription = answer.findtext(f"{message_space}SubscriptionId") or ""
        self._proven = False
        if not self._subscription:
            raise UnexpectedReply("the server gave the subscription no id", phase=Phase.LIST)

    def _ask(self) -> None:
        service = GetStreamingEvents(account=self._talk.access.open())
        payload = M.GetStreamingEvents(
            M.SubscriptionIds(T.SubscriptionId(self._subscription)),
            M.ConnectionTimeout(str(CONNECTION_MINUTES)),
        )
        version = service._version_hint.api_version
        with self._talk.access.calling(Phase.LIST):
            self._stream = self._talk.access.stream(service.wrap(payload, version))
        self._arrived.clear()
        self._has_spoken = False
        self._asked_at = self._clock()
        self._said_something()

    def _said_something(self) -> None:
        self.renew_at = self._clock() + SILENCE_SECONDS

    def _soon(self) -> None:
        self.renew_at = max(self._clock(), self._asked_at + SHORTEST_SECONDS)

    def _end_of_stream(self) -> None:
        if not self._has_spoken:
            raise UnexpectedReply("the stream of notifications ended empty", phase=Phase.LIST)
        self._soon()

    # -- listening ---------------------------------------------------------------------------------

    def _documents(self) -> Iterator[bytes]:
        while end := DOCUMENT_END.search(self._arrived):
            document = bytes(self._arrived[: end.end()])
            del self._arrived[: end.end()]
            yield document
        if len(self._arrived) > LARGEST_DOCUMENT:
            raise UnexpectedReply("a notification without an end", phase=Phase.LIST)

    def _read(self, document: bytes) -> frozenset[str]:
        """Where something happened. Raises Stale."""
        root = xml_of(document)
        if root is None:
            raise UnexpectedReply("a notification that can't be read", phase=Phase.LIST)
        message = root.find(".//{*}GetStreamingEventsResponseMessage")
        if message is None:
            raise self._fault(*fault_words(document))
        if message.get("ResponseClass") == "Error":
            raise self._fault(text_of(message, "ResponseCode"), text_of(message, "MessageText"))
        self._proven = self._has_spoken = True
        self._said_something()
        if text_of(message, "ConnectionStatus") == "Closed":
            self._soon()
        events = message.iterfind(f".//{message_space}Notification/*")
        return frozenset(folder for event in events for folder in self._happened(event))

    def _fault(self, code: str, words: str) -> Exception:
        name = code.rpartition(":")[2] or "SOAPFault"
        fault = self._talk.access.refusal(name, words)
        return Stale(fault) if name in STALE else fault

    def _happened(self, event: Element) -> Iterable[str]:
        """Folders that an event is about; all, where it names none that we know."""
        kind = str(event.tag).removeprefix(type_space)
        if not kind.endswith("Event") or kind == "StatusEvent":
            return ()
        here = self._names.get(messages.id_of(event, "ParentFolderId"), "")
        before = self._names.get(messages.id_of(event, "OldParentFolderId"), "")
        if not here and not before:
            return self.folders
        # What leaves the inbox, or changes there, is found by the next look.
        came = [here] if here and (here != INBOX or kind in MAIL_EVENTS) else []
        return [*came, before] if before and before != INBOX else came

    # -- inside ------------------------------------------------------------------------------------

    def _line(self) -> Stream:
        if self._stream is None:
            raise ConnectionLost("the connection is closed")
        return self._stream

    def _leave(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    @contextmanager
    def _closing_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise
