"""What became of something that was to be written, told from an answer or from why none came.

the request never left, or wasn't taken whole    nothing was done, for sure
the service refused the request as a whole       nothing was done, for sure
it answered each thing                           done, or refused, or it doesn't know itself
anything else                                    nobody knows
"""

from exchangelib import errors as codes

from mailboxes.protocols.errors import (
    REFUSALS,
    ActionRefused,
    MessageDeferred,
    MessageError,
    PassingFault,
    PermanentError,
    RequestExpired,
    ServerError,
    TransientError,
    UnexpectedReply,
    WrongProtocol,
)
from mailboxes.protocols.ews.conversation import Conversation
from mailboxes.protocols.ews.transport import Unanswered
from mailboxes.protocols.items import Outcome, WrittenItem
from mailboxes.protocols.phases import Phase

#: Steps before anything of a request leaves.
BEFORE = frozenset(
    {Phase.DISCOVER, Phase.AUTHORIZE, Phase.RESOLVE, Phase.CONNECT, Phase.TLS, Phase.LOGIN}
)
#: Answers of the service that don't say whether it had begun.
DOUBTFUL = (PassingFault, RequestExpired)

STALE = (
    codes.ErrorIrresolvableConflict,
    codes.ErrorStaleObject,
    codes.ErrorInvalidChangeKey,
    codes.ErrorChangeKeyRequired,
    codes.ErrorChangeKeyRequiredForWriteOperations,
)
GONE = (
    codes.ErrorItemNotFound,
    codes.ErrorCalendarOccurrenceIsDeletedFromRecurrence,
    codes.ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange,
    codes.ErrorCalendarCannotUpdateDeletedItem,
)


def nothing_was_done(error: ServerError) -> bool:
    """Is it certain, after a request failed as a whole?"""
    if error.phase in BEFORE:
        return True
    if isinstance(error, Unanswered):
        return not error.whole
    if isinstance(error, (*DOUBTFUL, WrongProtocol)):
        return False
    return bool(error.server_code) or isinstance(error, (PermanentError, *REFUSALS))


def of_refusal(talk: Conversation, refusal: Exception) -> WrittenItem:
    """Of one thing that the server answered with an error."""
    if isinstance(refusal, STALE):
        return WrittenItem(Outcome.STALE)
    if isinstance(refusal, GONE):
        return WrittenItem(Outcome.GONE)
    error = talk.error(refusal, Phase.APPLY)
    if isinstance(error, DOUBTFUL):
        return unknown(error)
    return refused(error)


def refused(error: ServerError) -> WrittenItem:
    """`error` as one about this item: for now, if it is a passing one."""
    if isinstance(error, MessageError):
        return WrittenItem(Outcome.REFUSED, error=error)
    passes = isinstance(error, TransientError) and not _names_what_is_wrong(error)
    kind = MessageDeferred if passes else ActionRefused
    return WrittenItem(Outcome.REFUSED, error=about_item(kind, error))


def _names_what_is_wrong(error: ServerError) -> bool:
    """A code of the service that means nothing to us is still a refusal of this item."""
    return isinstance(error, UnexpectedReply) and bool(error.server_code)


def unknown(error: ServerError) -> WrittenItem:
    return WrittenItem(Outcome.UNKNOWN, error=about_item(MessageError, error))


def about_item(kind: type[MessageError], error: ServerError) -> MessageError:
    """The same words and code, as an error that concerns one item."""
    told = kind(error.detail, phase=error.phase, hint_seconds=error.hint_seconds)
    told.server_code = error.server_code
    if not _names_what_is_wrong(error):
        told.code = error.code
    told.__cause__ = error
    return told
