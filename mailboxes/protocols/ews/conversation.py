"""Requests to one account and who bears a refusal: the message, the folder, or the account.

A message-level error belongs to the one thing that was asked for. A fault belongs to the request;
if it asked for several things, halving finds the one that some servers can't take.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from exchangelib import errors as codes
from exchangelib.version import EXCHANGE_2013_SP1

from mailboxes.protocols.base import INBOX, AdapterOptions
from mailboxes.protocols.errors import (
    ActionRefused,
    ConnectionLost,
    FolderMissing,
    MessageError,
    MessageGone,
    MessageTooLarge,
    MessageUnreadable,
    ServerError,
    UnexpectedReply,
)
from mailboxes.protocols.ews import messages
from mailboxes.protocols.ews.access import ExchangeAccess
from mailboxes.protocols.ews.operations import (
    FOLDER_GONE,
    ITEM_GONE,
    Answer,
    Element,
    Operation,
    distinguished,
    folder_id,
    in_parts,
    message_space,
    refusal_in,
)
from mailboxes.protocols.ews.settings import ExchangeSettings
from mailboxes.protocols.phases import Phase

IDS_PER_REQUEST = 100  # keeps a request well below 64 KB, after which some servers hang up

Raised = TypeVar("Raised", bound=ServerError)

#: Said of what stands behind something that stopped the server.
NOT_LOOKED_AT = codes.ErrorBatchProcessingStopped

TOO_LARGE = (codes.ErrorMessageSizeExceeded, codes.ErrorAttachmentSizeLimitExceeded)


class Conversation:
    """What both directions have in common. Constructed unconnected."""

    def __init__(
        self, settings: ExchangeSettings, options: AdapterOptions | None, *, outgoing: bool = False
    ) -> None:
        self.options = options or AdapterOptions()
        self.access = ExchangeAccess(settings, self.options, outgoing=outgoing)
        self.answered_at: datetime | None = None
        """When the last answer came, by the server's clock, where it tells."""

    def open(self) -> None:
        self.access.open()

    def close(self) -> None:
        self.access.close()

    def folder(self, folder: str) -> Element:
        return folder_id(folder, self._address)

    def distinguished(self, name: str) -> Element:
        return distinguished(name, self._address)

    @property
    def quietly(self) -> dict[str, str]:
        """An attribute of what is written: no receipt goes out for what people have not read. Servers
        before 2013 SP1 don't know it."""
        version = self.access.open().version
        return {"SuppressReadReceipts": "true"} if version.build >= EXCHANGE_2013_SP1 else {}

    @property
    def _address(self) -> str:
        address: str = self.access.open().primary_smtp_address
        return address

    def ask(
        self, phase: Phase, operation: type[Operation], *children: Element, **attributes: str
    ) -> list[Answer]:
        """The answers in the order of what was asked for."""
        service = operation(account=self.access.open())
        with self.access.calling(phase):
            answers = service.ask(*children, **attributes)
        self.answered_at = service.answered_at
        return answers

    def ask_one(
        self, phase: Phase, operation: type[Operation], *children: Element, **attributes: str
    ) -> Answer:
        """The answer where one thing was asked for; a refusal is returned, at whichever level."""
        try:
            answers = self.ask(phase, operation, *children, **attributes)
        except ServerError as error:
            refusal = refusal_in(error)
            if refusal is None:
                raise
            return refusal
        if len(answers) != 1:
            raise self.out_of_step(phase, f"{len(answers)} answers came to one question")
        return answers[0]

    def need(
        self, phase: Phase, operation: type[Operation], *children: Element, **attributes: str
    ) -> Element:
        """The same where a refusal stops what was begun: raises it as an error of the tree."""
        answer = self.ask_one(phase, operation, *children, **attributes)
        if isinstance(answer, codes.EWSError):
            raise self.error(answer, phase) from answer
        return answer

    def ask_each(
        self,
        phase: Phase,
        keys: Sequence[str],
        ask: Callable[[Sequence[str]], list[Answer]],
        *,
        at_once: int = IDS_PER_REQUEST,
    ) -> dict[str, Answer]:
        """By key, in few requests, which `ask` makes. A request that is refused as a whole is made
        again in halves. Two keys next to each other that are refused alone mean that neither is to
        blame, unless the refusal says so: then the rest isn't asked for one by one."""
        answers: dict[str, Answer] = {}
        for part in in_parts(keys, at_once):
            answers |= self._halving(phase, part, ask, Blame())
        return answers

    def _halving(
        self,
        phase: Phase,
        keys: Sequence[str],
        ask: Callable[[Sequence[str]], list[Answer]],
        blame: "Blame",
    ) -> dict[str, Answer]:
        if blame.verdict is not None:
            return dict.fromkeys(keys, blame.verdict)
        try:
            answers = ask(keys)
        except ServerError as error:
            refusal = refusal_in(error)
            if refusal is None:
                raise
            if len(keys) > 1:
                middle = len(keys) // 2
                first = self._halving(phase, keys[:middle], ask, blame)
                return first | self._halving(phase, keys[middle:], ask, blame)
            if not isinstance(refusal, ITEM_GONE) and blame.on_another():
                if not isinstance(error, MessageError):
                    raise
                blame.verdict = refusal
            return {keys[0]: refusal}
        if len(answers) != len(keys):
            raise self.out_of_step(phase, f"{len(answers)} answers came to {len(keys)} questions")
        blame.lifted()
        found = dict(zip(keys, answers, strict=True))
        left = [key for key, answer in found.items() if isinstance(answer, NOT_LOOKED_AT)]
        if left and len(left) < len(keys):
            found |= self._halving(phase, left, ask, blame)
        return found

    def out_of_step(self, phase: Phase, detail: str) -> ServerError:
        """The answer is none to our question. Some servers write two answers after a fault."""
        self.access.drop()
        return UnexpectedReply(detail, phase=phase)

    def check_item(self, phase: Phase, remote_id: str, answer: Answer) -> None:
        """That an answer is about the message that was asked for. Raises ConnectionLost, since what
        comes next on this line would be wrong, too."""
        if isinstance(answer, codes.EWSError):
            return
        item = answer.find(f"{message_space}Items/*")
        if item is not None and messages.id_of(item) != remote_id:
            self.access.drop()
            raise ConnectionLost("the server answers about another message", phase=phase)

    # -- what a refusal means

    def error(self, refusal: Exception, phase: Phase) -> ServerError:
        known = refusal.__cause__
        error = known if isinstance(known, ServerError) else self.access.translate(refusal)
        error.phase = error.phase or phase
        return error

    def folder_error(self, refusal: Exception, folder: str, phase: Phase) -> ServerError:
        closed = folder != INBOX and isinstance(refusal, codes.ErrorAccessDenied)
        if closed or isinstance(refusal, FOLDER_GONE):
            return FolderMissing(f"the server has no folder {folder}: {refusal}", phase=phase)
        return self.error(refusal, phase)

    def message_error(self, refusal: Exception, phase: Phase) -> MessageError:
        """Of one message that could not be had."""
        kind: type[MessageError] = MessageUnreadable
        if isinstance(refusal, ITEM_GONE):
            kind = MessageGone
        elif isinstance(refusal, TOO_LARGE):
            kind = MessageTooLarge
        return self._told(kind, refusal, phase)

    def action_error(self, refusal: Exception) -> ActionRefused:
        return self._told(ActionRefused, refusal, Phase.APPLY)

    def _told(self, kind: type[Raised], refusal: Exception, phase: Phase) -> Raised:
        """With the service's own code and its words, which are cleaned of secrets."""
        known = self.error(refusal, phase)
        code = known.server_code or type(refusal).__name__
        detail = known.detail if code in known.detail else f"{code}: {known.detail}"
        error = kind(detail, phase=phase)
        error.server_code = known.server_code
        error.__cause__ = refusal
        return error


class Blame:
    """Remembers whether the key before was refused alone. `verdict`: what all the others get."""

    def __init__(self) -> None:
        self._refused = False
        self.verdict: codes.EWSError | None = None

    def on_another(self) -> bool:
        before, self._refused = self._refused, True
        return before

    def lifted(self) -> None:
        self._refused = False
