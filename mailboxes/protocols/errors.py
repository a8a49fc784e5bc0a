"""What can go wrong with a mail server, sorted by what the caller does next.

    ServerError
    ├── TransientError              try again later; the mailbox stays enabled
    │   ├── ConnectionRefused       nothing listens there now (R8.20 HostNotFound's advice applies)
    │   ├── SocketTimedOut          no answer in time
    │   ├── ConnectionLost          the line broke in the middle
    │   ├── UnexpectedReply         the server said something outside its protocol
    │   ├── ServerBusy              it asked for patience, perhaps with a back-off
    │   │   └── ExchangeBusy        the same in Exchange's words
    │   ├── PassingFault            Exchange failed inside and says that it will heal
    │   ├── StoreUnavailable        its store of this mailbox is not mounted now
    │   ├── RequestExpired          it ran out of time over our request
    │   ├── AuthorityUnavailable    the token authority doesn't answer, or not now
    │   └── QuotaExceeded           full, or a sending limit was hit: mail waits (R5.13, R5.14)
    │       └── SubmissionQuotaExceeded  the limit of a day
    │           └── SendingTooFast  that of a minute or an hour
    ├── PermanentError              a person is needed; the workload is disabled (R8.2)
    │   ├── HostNotFound            the name does not exist
    │   ├── HostDenied              the site does not allow this address
    │   ├── CertificateRejected     TLS works, but the certificate is not to be trusted
    │   ├── SecureConnectionFailed  no TLS there: wrong port, STARTTLS missing, old protocol
    │   ├── InsecureConnection      plain text asked for and not allowed (R1.26)
    │   ├── LoginRefused            wrong or missing credentials
    │   │   └── TokenRefused        the server refuses a token that the authority has just given out
    │   ├── SignInNeeded            nobody has signed in for this mailbox
    │   │   ├── SignInExpired       somebody had; it expired or was revoked
    │   │   └── SignInWrongAccount  somebody did, to another account
    │   ├── ClientRefused           the token authority refuses the profile's client id or secret
    │   ├── ConsentMissing          nobody has granted what the profile asks for
    │   ├── AuthenticationUnavailable  a way of logging in that this site can't
    │   ├── ImpersonationDenied     the account may not act for this mailbox (R1.17)
    │   ├── AccessDenied            the account is no delegate of this mailbox (R1.17)
    │   ├── MailboxUnknown          Exchange knows no mailbox with this address
    │   ├── UserUnknown             autodiscover knows no user with this address
    │   ├── LicenseMissing          the account on the server has no licence
    │   ├── AccountDisabled         the account on the server is disabled
    │   ├── LocationUnknown         the web service could not be discovered (R1.24)
    │   ├── VersionRefused          no schema version that both sides know
    │   ├── FolderMissing           the folder is not there
    │   ├── UidlUnusable            POP3 without UIDL, or one that repeats
    │   ├── WrongProtocol           another kind of server answers
    │   └── ConnectionForbidden     its policy is not to talk to us
    └── MessageError                about one message; the mailbox goes on (R3.67, R8.4)
        ├── MessageGone             it is no longer on the server
        ├── MessageUnreadable       the server can't or won't hand it out
        ├── ActionRefused           the server won't delete, move or mark it
        ├── MessageTooLarge         over a size limit
        ├── MessageRefused          refused for good (5xx on MAIL, RCPT or DATA)
        │   ├── SendAsDenied        the account may not send as that sender
        │   └── RecipientsInvalid   none of the recipients can be sent to
        └── MessageDeferred         refused for now (4xx on RCPT or DATA)

Every error carries `code` (a name of docs/behaviour R8.20), the phase of the conversation in which
it happened, and any back-off that the server asked for. `str(error)` is safe to show: adapters put
no secret and no message body in it.
"""

from typing import TYPE_CHECKING

from mailboxes.protocols.faultkinds import FaultKind
from mailboxes.protocols.phases import Phase

if TYPE_CHECKING:
    from mailboxes.protocols.base import RecipientResult


class ServerError(Exception):
    """Base of the tree. `detail` is the server's own words, trimmed; `hint_seconds` its back-off; `fault`:
    what exactly is wrong, where whoever raises it knows (`diagnosis` finds out the rest)."""

    code = "Unknown"
    permanent = False
    server_code = ""  # the server's own name of the error, where it has one (EWS)

    def __init__(
        self,
        detail: str = "",
        *,
        phase: Phase | None = None,
        hint_seconds: float | None = None,
        fault: FaultKind | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail[:1000]
        self.phase = phase
        self.hint_seconds = hint_seconds
        self.fault = fault

    def __str__(self) -> str:
        where = f" [{self.phase.value}]" if self.phase else ""
        return f"{self.code}{where}: {self.detail}" if self.detail else f"{self.code}{where}"


class TransientError(ServerError):
    """May heal by itself."""

    code = "ServiceUnavailable"


class ConnectionRefused(TransientError):
    """Refused: a wrong port looks the same as a server that restarts, so it is tried again."""

    code = "HostNotFound"


class SocketTimedOut(TransientError):
    """No answer within the profile's time-out."""

    code = "SocketTimedOut"


class ConnectionLost(TransientError):
    """The other side closed or reset the connection."""


class UnexpectedReply(TransientError):
    """An answer outside the protocol, or a line beyond any sane length."""

    code = "UnexpectedReply"


class ServerBusy(TransientError):
    """421, 4xx on login, "too many connections", in-use locks."""


class ExchangeBusy(ServerBusy):
    """ErrorServerBusy and its kin, or HTTP 429 or 503 with a Retry-After. It did not do what we asked."""

    code = "ErrorServerBusy"


class PassingFault(TransientError):
    """Exchange failed inside. Nobody knows what it did before."""

    code = "ErrorInternalServerTransientError"


class StoreUnavailable(TransientError):
    """The database of this mailbox is being moved or mounted."""

    code = "ErrorMailboxStoreUnavailable"


class RequestExpired(TransientError):
    """Exchange gave up on our request after its own time-out."""

    code = "ErrorTimeoutExpired"


class AuthorityUnavailable(TransientError):
    """No answer from the token authority, a fault of its own, or a request for patience."""

    code = "AuthorityUnavailable"


class QuotaExceeded(TransientError):
    """A full mailbox (ErrorQuotaExceeded) or a daily limit (ErrorSubmissionQuotaExceeded)."""

    code = "ErrorQuotaExceeded"


class SubmissionQuotaExceeded(QuotaExceeded):
    """The server takes no more mail from this account for now. `window`: of how long its limit is,
    "" if it is none (a full mailbox); `counts_recipients`: whether it counts those rather than messages."""

    code = "ErrorSubmissionQuotaExceeded"
    window = "day"
    counts_recipients = False


class SendingTooFast(SubmissionQuotaExceeded):
    """The server asks to send slower."""

    code = "SendingTooFast"
    window = "minute"


class PermanentError(ServerError):
    """Needs a person."""

    permanent = True


class HostNotFound(PermanentError):
    """The host name does not resolve (a passing resolver fault is a TransientError)."""

    code = "HostNotFound"


class HostDenied(PermanentError):
    """The resolved address lies in a network that the site denies."""

    code = "HostDenied"


class CertificateRejected(PermanentError):
    """Expired, for another name, or signed by nobody we trust."""

    code = "CertificateRejected"


class SecureConnectionFailed(PermanentError):
    """The TLS handshake failed for another reason than the certificate."""

    code = "SecureConnectionFailed"


class InsecureConnection(PermanentError):
    """Would send mail or a password in plain text, which the organization does not allow."""

    code = "InsecureConnection"


class LoginRefused(PermanentError):
    """The server refuses these credentials."""

    code = "InvalidCredentials"


class OutgoingLoginRefused(LoginRefused):
    """The same on the outgoing side, which has a code of its own."""

    code = "OutgoingEmailAuthenticationError"


class TokenRefused(LoginRefused):
    """The server refuses a token, also a new one: what it grants, or whose it is, is wrong."""

    code = "TokenRefused"


class SignInNeeded(PermanentError):
    """The account opens by a token, and its owner hasn't signed in at the provider yet (R1.21)."""

    code = "SignInNeeded"


class SignInExpired(SignInNeeded):
    """The provider takes the refresh token no more: expired, revoked, or the password was changed."""

    code = "SignInExpired"


class SignInWrongAccount(SignInNeeded):
    """Whoever signed in did so to another account than the mailbox's."""

    code = "SignInWrongAccount"


class ClientRefused(PermanentError):
    """The token authority knows no such client, or refuses its secret or what it asks for."""

    code = "ClientRefused"


class ConsentMissing(PermanentError):
    """Neither the owner nor the tenant's administrator has granted what is asked for."""

    code = "ConsentMissing"


class AuthenticationUnavailable(PermanentError):
    """The way of logging in needs something that is not installed here, such as Kerberos."""

    code = "NotSupported"


class ImpersonationDenied(PermanentError):
    """The profile's account lacks the right to impersonate, at all or for this mailbox."""

    code = "ImpersonationDenied"


class ImpersonateUserDenied(ImpersonationDenied):
    """Exchange's most frequent word for it, which has a code of its own."""

    code = "ErrorImpersonateUserDenied"


class AccessDenied(PermanentError):
    """The account has logged in and may not open this mailbox or folder."""

    code = "ErrorAccessDenied"


class MailboxUnknown(PermanentError):
    """No mailbox has this address, or the user name isn't the mail-style one (R1.19)."""

    code = "ErrorNonExistentMailbox"


class UserUnknown(PermanentError):
    """The tenant that answers for this domain has no such user."""

    code = "NoUserFound"


class LicenseMissing(PermanentError):
    """The account exists and has no licence for a mailbox."""

    code = "ErrorInvalidLicense"


class AccountDisabled(PermanentError):
    """The account is switched off on the server."""

    code = "8005E273"


class LocationUnknown(PermanentError):
    """Autodiscover led nowhere. `steps`: what was asked, and what each said."""

    code = "MailboxLocationNotDetermined"

    def __init__(self, detail: str = "", *, steps: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(detail)
        self.steps = steps


class VersionRefused(PermanentError):
    """The server, or the one behind it that holds the mailbox, refuses every version that we speak."""

    code = "ErrorInvalidServerVersion"


class FolderMissing(PermanentError):
    """The folder does not exist or can't be opened."""

    code = "FolderMissing"


class UidlUnusable(PermanentError):
    """Without unique UIDLs a POP3 message can't be told from the next one (RFC 1939, section 7)."""

    code = "UidlUnusable"


class WrongProtocol(PermanentError):
    """The greeting belongs to another protocol: the port is wrong (R8.20 SmtpSyntax for SMTP)."""

    code = "WrongProtocol"


class SmtpSyntax(WrongProtocol):
    """The outgoing server does not know our commands."""

    code = "SmtpSyntax"


class ConnectionForbidden(PermanentError):
    """The server's policy refuses us before any login, e.g. a block list or a closed network."""

    code = "Forbidden"


class MessageError(ServerError):
    """About one message only. `recipients`: what the server said to each, where it did (R5.16)."""

    recipients: tuple["RecipientResult", ...] = ()


class MessageGone(MessageError):
    """No longer listed: deleted or moved by somebody else."""

    code = "MessageGone"


class MessageUnreadable(MessageError):
    """The server failed to hand out this one message."""

    code = "MessageUnreadable"


class ActionRefused(MessageError):
    """The server refused to do something to a message that it has, or its protocol can't."""

    code = "ActionRefused"


class MessageTooLarge(MessageError):
    """Over R3.10 on the way in, over the server's SIZE on the way out."""

    code = "MessageTooLarge"
    permanent = True


class MessageRefused(MessageError):
    """5xx for this message or all of its recipients."""

    code = "MessageRefused"
    permanent = True


class SendAsDenied(MessageRefused):
    """The account has no right to send as what the message names as its sender."""

    code = "ErrorSendAsDenied"


class RecipientsInvalid(MessageRefused):
    """Exchange takes none of the recipients."""

    code = "ErrorInvalidRecipients"


class MessageDeferred(MessageError):
    """4xx for this message or all of its recipients."""

    code = "MessageDeferred"


# What proves, when raised after handing over, that the server answered and did not take the message
# (R5.17). Every other error there means that nobody knows.
REFUSALS = (
    MessageError,
    LoginRefused,
    QuotaExceeded,
    ServerBusy,
    # Exchange's answers, which come before anything is done.
    ImpersonationDenied,
    AccessDenied,
    MailboxUnknown,
    LicenseMissing,
    AccountDisabled,
    VersionRefused,
)
