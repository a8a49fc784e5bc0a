"""Whether something was done, told from why no answer came."""

import pytest

from mailboxes.protocols import errors
from mailboxes.protocols.ews.items.outcomes import nothing_was_done, refused, unknown
from mailboxes.protocols.ews.transport import Unanswered
from mailboxes.protocols.items import Outcome
from mailboxes.protocols.phases import Phase


def said(kind, code):
    error = kind("its words", phase=Phase.APPLY)
    error.server_code = code
    return error


@pytest.mark.parametrize(
    "error",
    [
        errors.ConnectionLost("reset", phase=Phase.CONNECT),
        errors.SocketTimedOut("no answer", phase=Phase.TLS),
        errors.AuthorityUnavailable("later", phase=Phase.AUTHORIZE),
        errors.HostNotFound("no such name"),
        errors.InsecureConnection("not allowed"),
        errors.LoginRefused("HTTP 401", phase=Phase.APPLY),
        errors.ConnectionForbidden("HTTP 403", phase=Phase.APPLY),
        errors.MessageTooLarge("HTTP 413", phase=Phase.APPLY),
        errors.ExchangeBusy("HTTP 429", phase=Phase.APPLY),
        Unanswered("hung up", whole=False),
        said(errors.UnexpectedReply, "ErrorSchemaValidation"),
        said(errors.StoreUnavailable, "ErrorMailboxStoreUnavailable"),
    ],
    ids=str,
)
def test_it_is_certain_that_nothing_was_done(error):
    assert nothing_was_done(error)


@pytest.mark.parametrize(
    "error",
    [
        errors.ConnectionLost("reset", phase=Phase.APPLY),
        errors.SocketTimedOut("no answer", phase=Phase.APPLY),
        errors.TransientError("HTTP 502", phase=Phase.APPLY),
        errors.UnexpectedReply("no SOAP", phase=Phase.APPLY),
        errors.WrongProtocol("a page of HTML", phase=Phase.APPLY),
        Unanswered("hung up", whole=True),
        said(errors.PassingFault, "ErrorInternalServerError"),
        said(errors.RequestExpired, "ErrorTimeoutExpired"),
    ],
    ids=str,
)
def test_nobody_knows(error):
    assert not nothing_was_done(error)


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (errors.ExchangeBusy("later"), errors.MessageDeferred, "ErrorServerBusy"),
        (errors.QuotaExceeded("full"), errors.MessageDeferred, "ErrorQuotaExceeded"),
        (errors.FolderMissing("none"), errors.ActionRefused, "FolderMissing"),
        (errors.RecipientsInvalid("who?"), errors.RecipientsInvalid, "ErrorInvalidRecipients"),
        (said(errors.UnexpectedReply, "ErrorNew"), errors.ActionRefused, "ActionRefused"),
        (errors.UnexpectedReply("noise"), errors.MessageDeferred, "UnexpectedReply"),
    ],
    ids=lambda value: getattr(value, "code", None),
)
def test_a_refusal_is_told_as_one_of_the_item(error, kind, code):
    written = refused(error)
    assert written.outcome is Outcome.REFUSED
    assert (type(written.error), written.error.code) == (kind, code)
    assert written.error.detail == error.detail


def test_what_nobody_knows_keeps_its_cause():
    error = errors.SocketTimedOut("no answer", hint_seconds=3)
    written = unknown(error)
    assert (written.outcome, written.error.code) == (Outcome.UNKNOWN, "SocketTimedOut")
    assert (written.error.__cause__, written.error.hint_seconds) == (error, 3)
