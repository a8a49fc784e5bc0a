"""Exchange as an outgoing server: the message is handed over whole, as MIME, which keeps its From, its
Message-ID and its attachments. Submission and the copy in sent items are one request.

Exchange tells nothing of single recipients: it takes them all, or refuses the message.
"""

import base64
from collections.abc import Callable, Iterable, Sequence
from email.message import Message
from email.parser import BytesHeaderParser
from email.policy import compat32
from email.utils import getaddresses
from typing import Self

from exchangelib import errors as codes

from mailboxes.protocols.base import SENT, AdapterOptions, Envelope, RecipientResult, Sent
from mailboxes.protocols.errors import (
    REFUSALS,
    MessageDeferred,
    MessageError,
    PassingFault,
    RequestExpired,
    ServerBusy,
    ServerError,
    StoreUnavailable,
)
from mailboxes.protocols.ews import searching
from mailboxes.protocols.ews.conversation import Conversation
from mailboxes.protocols.ews.operations import Element, GetFolder, Handover, M, T, clean, shape
from mailboxes.protocols.ews.settings import ExchangeSettings
from mailboxes.protocols.phases import Phase

LOOKS = 3  # at sent items, until a copy was there or the server is known to file none

#: Answers of the service that don't say whether it had begun.
DOUBTFUL = (PassingFault, RequestExpired)


class ExchangeSender:
    """OutgoingServer over Exchange Web Services. Constructed unconnected."""

    protocol = "ews"
    told: tuple[RecipientResult, ...] = ()
    size_limit = 0

    def __init__(self, settings: ExchangeSettings, options: AdapterOptions | None = None) -> None:
        self.settings = settings
        self.options = options or AdapterOptions()
        self._talk = Conversation(settings, options, outgoing=True)
        self._proven = False  # that a request gets through now
        self._files_copies = False
        self._looks = LOOKS

    def __repr__(self) -> str:
        return f"<ExchangeSender {self.settings.address}>"

    # -- the contract ------------------------------------------------------------------------------

    def open(self) -> Self:
        self._talk.open()
        return self

    def send(self, envelope: Envelope, hand_over: Callable[[], None]) -> Sent:
        message = message_of(envelope)
        self._prove()
        handover = Handover(hand_over, self._talk.access.open())
        try:
            self._submit(handover, message)
        except ServerError as error:
            self._proven = False
            raise self._verdict(handover, error, envelope) from error.__cause__
        filed = self.options.save_sent_copy and self._is_filed(envelope.message_id)
        reply = "accepted; a copy is in sent items" if filed else "accepted"
        return Sent(reply, results(envelope, True, reply), filed_copy=filed)

    def find_sent(self, message_id: str) -> bool | None:
        """None where no copies are kept: that none is there then says nothing."""
        if not self.options.save_sent_copy:
            return None
        return searching.in_sent_items(self._talk, message_id, Phase.FIND)

    def close(self) -> None:
        self._proven = False
        self._talk.close()

    # -- submission --------------------------------------------------------------------------------

    def _prove(self) -> None:
        """Whatever fails before the hand-over leaves no doubt: the line, the login, the mailbox. So the
        first request on a connection, and after a fault the next one, is another."""
        if not self._proven:
            self._talk.ask_one(  # what it says of the folder doesn't matter
                Phase.SEND, GetFolder, shape("FolderShape"), M.FolderIds(self._talk.folder(SENT))
            )
            self._proven = True

    def _submit(self, handover: Handover, message: Element) -> None:
        keep = self.options.save_sent_copy
        place = [M.SavedItemFolderId(self._talk.folder(SENT))] if keep else []
        try:
            with self._talk.access.calling(Phase.SEND, retry=False):
                answers = handover.ask(
                    *place,
                    M.Items(message),
                    MessageDisposition="SendAndSaveCopy" if keep else "SendOnly",
                )
                for answer in answers:
                    if isinstance(answer, codes.EWSError):
                        raise answer
        except BaseException:
            if handover.halted is not None:  # not the server's doing, nor the library's
                self.close()  # the library would wait for its session, which it had begun to use
                raise handover.halted from None
            raise
        if len(answers) != 1:
            raise self._talk.out_of_step(Phase.SEND, f"{len(answers)} answers to one message")

    def _verdict(self, handover: Handover, error: ServerError, envelope: Envelope) -> ServerError:
        """What the service says itself proves that it did not take the message, so it must be one of
        REFUSALS. The line or a gateway prove nothing."""
        said = bool(error.server_code)
        if handover.handed_over and said and not isinstance(error, (*REFUSALS, *DOUBTFUL)):
            error = refusal_like(error)
        if isinstance(error, MessageError):
            error.recipients = results(envelope, False, str(error), permanent=error.permanent)
        return error

    def _is_filed(self, message_id: str) -> bool:
        """Looked up until it was seen once on this connection. Where in doubt no, for filing a copy
        looks for one first."""
        if self._files_copies or not self._looks:
            return self._files_copies
        self._looks -= 1
        try:
            self._files_copies = searching.in_sent_items(self._talk, message_id, Phase.FIND)
        except ServerError:  # the message has left all the same
            return False
        return self._files_copies


def refusal_like(error: ServerError) -> ServerError:
    """The account's store is away: mail waits. Any other word of the server, known or not, counts as
    a refusal for now (R5.15)."""
    kind = ServerBusy if isinstance(error, StoreUnavailable) or error.permanent else MessageDeferred
    refusal = kind(error.detail, phase=error.phase, hint_seconds=error.hint_seconds)
    refusal.server_code = error.server_code
    if kind is ServerBusy:
        refusal.code = error.code
    return refusal


def results(
    envelope: Envelope, accepted: bool, text: str, *, permanent: bool = False
) -> tuple[RecipientResult, ...]:
    """The same for each, in the numbers of SMTP."""
    code = 250 if accepted else 550 if permanent else 450
    return tuple(
        RecipientResult(address, accepted, code, text, permanent)
        for address in unique(envelope.recipients)
    )


# -- the message -----------------------------------------------------------------------------------


def message_of(envelope: Envelope) -> Element:
    """Whom the header names gets it by itself, so who isn't named is added as a blind copy. If it names
    somebody who is not to get it, the recipients are told instead of read from it."""
    named = BytesHeaderParser(policy=compat32).parsebytes(envelope.mime)
    wanted = unique(envelope.recipients)
    to, cc = (addresses(named, name) for name in ("to", "cc"))
    hidden = without(wanted, [*to, *cc])
    told: list[Element] = []
    if without([*to, *cc], wanted):
        told += recipients("ToRecipients", both(to, wanted))
        told += recipients("CcRecipients", without(both(cc, wanted), to))
    return T.Message(
        T.MimeContent(base64.b64encode(envelope.mime).decode(), CharacterSet="UTF-8"),
        *told,
        *recipients("BccRecipients", hidden),
    )


def recipients(name: str, wanted: Sequence[str]) -> list[Element]:
    mailboxes = (T.Mailbox(T.EmailAddress(clean(each))) for each in wanted)
    return [T(name, *mailboxes)] if wanted else []


def addresses(header: Message, name: str) -> list[str]:
    values = [str(value) for value in header.get_all(name, [])]
    return unique(address for _name, address in getaddresses(values) if "@" in address)


def unique(wanted: Iterable[str]) -> list[str]:
    """Case hardly ever matters in an address (RFC 5321, 2.4); the first spelling stays."""
    first: dict[str, str] = {}
    for each in wanted:
        first.setdefault(each.casefold(), each)
    return list(first.values())


def both(wanted: Iterable[str], others: Iterable[str]) -> list[str]:
    known = {each.casefold() for each in others}
    return [each for each in wanted if each.casefold() in known]


def without(wanted: Iterable[str], others: Iterable[str]) -> list[str]:
    known = {each.casefold() for each in others}
    return [each for each in wanted if each.casefold() not in known]
