"""What can go wrong with Exchange, as errors of our tree: HTTP answers, SOAP faults, response codes, and
whatever exchangelib raises over them.

HTTP answers are judged before exchangelib sees them, for it knows fewer cases, loses back-off times, takes
some refusals for passing troubles, and repeats what the server refused with ten other versions.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType

import lxml.etree
import requests
from exchangelib import errors as ews
from lxml.etree import _Element as Element

from mailboxes.protocols.errors import (
    AccessDenied,
    AccountDisabled,
    ActionRefused,
    ConnectionForbidden,
    ConnectionLost,
    ExchangeBusy,
    FolderMissing,
    ImpersonateUserDenied,
    ImpersonationDenied,
    LicenseMissing,
    LoginRefused,
    MailboxUnknown,
    MessageGone,
    MessageRefused,
    MessageTooLarge,
    MessageUnreadable,
    PassingFault,
    QuotaExceeded,
    RecipientsInvalid,
    RequestExpired,
    SendAsDenied,
    ServerError,
    StoreUnavailable,
    SubmissionQuotaExceeded,
    TransientError,
    UnexpectedReply,
    UserUnknown,
    VersionRefused,
    WrongProtocol,
)
from mailboxes.protocols.ews.transport import Answer
from mailboxes.protocols.faultkinds import FaultKind
from mailboxes.protocols.phases import Phase

Kind = type[ServerError]

#: Response codes of the web service, by what they mean for us. What is missing here is an UnexpectedReply.
CODES: Mapping[Kind, tuple[str, ...]] = {
    LoginRefused: ("ErrorPasswordExpired", "ErrorPasswordChangeRequired"),
    ImpersonateUserDenied: ("ErrorImpersonateUserDenied",),
    ImpersonationDenied: (
        "ErrorImpersonationDenied",
        "ErrorImpersonationFailed",
        "ErrorInvalidExchangeImpersonationHeaderData",
    ),
    AccessDenied: ("ErrorAccessDenied", "ErrorNotDelegate", "ErrorProxyRequestNotAllowed"),
    MailboxUnknown: (
        "ErrorNonExistentMailbox",
        "ErrorNonPrimarySmtpAddress",
        "ErrorInvalidMailbox",
        "ErrorMissingEmailAddress",
    ),
    UserUnknown: ("ErrorInvalidUserPrincipalName", "ErrorInvalidUserSid", "ErrorInvalidSid"),
    LicenseMissing: ("ErrorInvalidLicense",),
    AccountDisabled: ("ErrorAccountDisabled",),
    VersionRefused: (
        "ErrorInvalidServerVersion",
        "ErrorIncorrectSchemaVersion",
        "ErrorInvalidSchemaVersionForMailboxVersion",
        "ErrorWrongServerVersion",
        "ErrorWrongServerVersionDelegate",
        "ErrorNoDestinationCASDueToVersionMismatch",
    ),
    QuotaExceeded: ("ErrorQuotaExceeded",),
    SubmissionQuotaExceeded: ("ErrorSubmissionQuotaExceeded",),
    ExchangeBusy: (
        "ErrorServerBusy",
        "ErrorTooManyObjectsOpened",
        "ErrorExceededConnectionCount",
        "ErrorExceededFindCountLimit",
        "ErrorExceededSubscriptionCount",
    ),
    PassingFault: (
        "ErrorInternalServerTransientError",
        "ErrorInternalServerError",
        "ErrorInsufficientResources",
        "ErrorNotEnoughMemory",
        "ErrorADUnavailable",
        "ErrorADOperation",
        "ErrorProxyCallFailed",
        "ErrorProxyRequestProcessingFailed",
        "ErrorProxyServiceDiscoveryFailed",
        "ErrorNoRespondingCASInDestinationSite",
    ),
    StoreUnavailable: (
        "ErrorMailboxStoreUnavailable",
        "ErrorMailboxMoveInProgress",
        "ErrorMailboxFailover",
        "ErrorMailboxLogonFailed",
        "ErrorConnectionFailed",
        "ErrorConnectionFailedTransientError",
    ),
    RequestExpired: ("ErrorTimeoutExpired", "ErrorRequestAborted"),
    FolderMissing: (
        "ErrorFolderNotFound",
        "ErrorFolderPropertyRequestFailed",  # some servers, of a folder that was deleted
        "ErrorParentFolderNotFound",
        "ErrorToFolderNotFound",
        "ErrorSyncFolderNotFound",
        "ErrorSavedItemFolderNotFound",
    ),
    MessageGone: ("ErrorItemNotFound", "ErrorVirusMessageDeleted"),
    MessageUnreadable: (
        "ErrorItemCorrupt",
        "ErrorCorruptData",
        "ErrorContentConversionFailed",
        "ErrorMimeContentConversionFailed",
        "ErrorUnsupportedMimeConversion",
        "ErrorItemPropertyRequestFailed",
        "ErrorVirusDetected",
        # Not "gone": a server that stumbles over one malformed id may call a whole batch so.
        "ErrorInvalidId",
        "ErrorInvalidIdEmpty",
        "ErrorInvalidIdMalformed",
        "ErrorInvalidIdMalformedEwsLegacyIdFormat",
        "ErrorInvalidIdXml",
    ),
    ActionRefused: (
        "ErrorCannotDeleteObject",
        "ErrorMoveCopyFailed",
        "ErrorDeleteItemsFailed",
        "ErrorIrresolvableConflict",
        "ErrorStaleObject",
        "ErrorInvalidChangeKey",
        "ErrorChangeKeyRequired",
        "ErrorChangeKeyRequiredForWriteOperations",
        "ErrorCreateItemAccessDenied",
        "ErrorCreateSubfolderAccessDenied",
        "ErrorFolderExists",
        "ErrorFolderSave",
        "ErrorItemSave",
    ),
    SendAsDenied: ("ErrorSendAsDenied",),
    RecipientsInvalid: (
        "ErrorInvalidRecipients",
        "ErrorMissingRecipients",
        "ErrorMailRecipientNotFound",
    ),
    MessageTooLarge: (
        "ErrorMessageSizeExceeded",
        "ErrorAttachmentSizeLimitExceeded",
        "ErrorDataSizeLimitExceeded",
        "ErrorRequestStreamTooBig",
    ),
    MessageRefused: ("ErrorMimeContentInvalid", "ErrorMimeContentInvalidBase64String"),
}

#: The same codes where the phase of the conversation tells that something else is meant.
BY_PHASE: Mapping[Phase, Mapping[Kind, tuple[str, ...]]] = {
    Phase.APPLY: {ActionRefused: ("ErrorAccessDenied", "ErrorInvalidOperation")},
    # The server looked at the message and did not take it, which the sender has to know for sure.
    Phase.SEND: {
        MessageRefused: (
            "ErrorSchemaValidation",
            "ErrorInvalidRequest",
            "ErrorInvalidArgument",
            "ErrorInvalidPropertySet",
            "ErrorInvalidPropertyForOperation",
            "ErrorInvalidSmtpAddress",
            "ErrorInvalidRoutingType",
            "ErrorItemSave",
            "ErrorCorruptData",
            "ErrorContentConversionFailed",
            "ErrorMimeContentConversionFailed",
            "ErrorVirusDetected",
        ),
    },
}

#: Answered before anybody looked at the request, so it can be made again where the service is now (R1.23).
MOVED = frozenset({301, 302, 303, 307, 308, 401, 404, 410})
REDIRECTS = frozenset({301, 302, 303, 307, 308})

# An outage shows itself by these; a server that really lives elsewhere names a place.
OUTAGE_PAGES = ("/ews/genericerrorpage.htm",)

#: Codes that servers have learned after exchangelib, which passes them on by their names.
NEWER: Mapping[Kind, tuple[str, ...]] = {
    AccountDisabled: ("ErrorAccountSuspend", "ErrorMessageSubmissionBlocked"),
    SubmissionQuotaExceeded: ("ErrorExceededMessageLimit",),
}

_KINDS = {code: kind for table in (CODES, NEWER) for kind, codes in table.items() for code in codes}
_KINDS_BY_PHASE = {
    phase: {code: kind for kind, codes in table.items() for code in codes}
    for phase, table in BY_PHASE.items()
}

ENVELOPE = re.compile(rb"^(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?<(?:[\w.-]+:)?Envelope[\s>]")
FAULT = re.compile(rb"<(?:[\w.-]+:)?Fault[\s>]")
BACK_OFF = re.compile(rb"""Name=["']BackOffMilliseconds["'][^>]*>\s*(\d{1,9})\s*<""")
UNKNOWN_CODE = re.compile(
    r"Unknown ResponseCode in ResponseMessage: (\w+) \(MessageText: (.*)", re.S
)
LOCKED_OUT = b"account is currently locked out"
HEAD = 8 * 1024  # where the beginning of an answer tells what it is


class Broken(requests.exceptions.ConnectionError):
    """One of our errors on its way through exchangelib, which takes it for a broken connection: it
    neither logs the request nor hides what it carries."""

    def __init__(self, fault: ServerError) -> None:
        super().__init__(str(fault))
        self.fault = fault


# -- response codes ------------------------------------------------------------------------------------


def fault_for(
    code: str, text: str, *, phase: Phase | None = None, hint_seconds: float | None = None
) -> ServerError:
    """The error that a response code of the web service stands for."""
    kind = _KINDS_BY_PHASE.get(phase, {}).get(code) if phase else None
    kind = kind or _KINDS.get(code, UnexpectedReply)
    detail = text if kind.code == code else f"{code}: {text}" if text else code
    fault = kind(detail, hint_seconds=hint_seconds)
    fault.server_code = code
    return fault


@dataclass(frozen=True, slots=True)
class Judge:
    """Turns answers and exceptions into errors of the tree.

    `refused`: the error for a login that is refused, which differs by direction and by token.
    `known`: this web service has answered us before, so that a page of HTML is a passing trouble in between
    and not a wrong location. `secrets`: never repeated, even if the server echoes them; may grow.
    """

    refused: type[LoginRefused] = LoginRefused
    known: bool = False
    secrets: Sequence[str] = field(default=(), repr=False)

    def clean(self, text: str | bytes | None) -> str:
        """The server's words, fit to show: one line, printable, and no secret."""
        words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text or ""
        words = " ".join("".join(c if c.isprintable() else " " for c in words).split())
        for secret in self.secrets:
            words = words.replace(secret, "***")
        return words[:500]

    # -- answers -----------------------------------------------------------------------------------

    def of_answer(self, answer: Answer, phase: Phase | None = None) -> ServerError | None:
        """What is wrong with an answer of the web service; None: it is one to work with."""
        if answer.status in (200, 500) and ENVELOPE.match(answer.content[:HEAD]):
            if not FAULT.search(answer.content[:HEAD]):
                return None
            return self._fault(answer, phase)
        if answer.status == 200:
            return self._no_web_service(answer)
        return self._http_error(answer, phase)

    def _fault(self, answer: Answer, phase: Phase | None) -> ServerError:
        code, text = fault_words(answer.content)
        known = code.rpartition(":")[2]  # faultcodes have a prefix
        return fault_for(
            known or "SOAPFault", self.clean(text), phase=phase, hint_seconds=hint_of(answer)
        )

    def _no_web_service(self, answer: Answer) -> ServerError:
        what = "a page of HTML" if b"<html" in answer.content[:HEAD].lower() else "no SOAP"
        said = f"{answer.place.name} answers with {what}: a login page, or a proxy in between?"
        kind = UnexpectedReply if self.known else WrongProtocol
        return kind(said, fault=FaultKind.WEB_PAGE)

    def _http_error(self, answer: Answer, phase: Phase | None) -> ServerError:
        status, where = answer.status, answer.place.name
        said = f"HTTP {status} {self.clean(answer.reason)}".strip()
        hint = hint_of(answer)
        named = self.clean(answer.header("X-CasErrorCode")).rpartition("CAS error:")[2].strip()
        if named in _KINDS:
            return fault_for(named, said, phase=phase, hint_seconds=hint)
        if status in REDIRECTS:
            return self._redirect(answer)
        if status in (401, 456, 457) or LOCKED_OUT in answer.content[:HEAD]:
            return self.refused(self._login_words(answer))
        if status == 403:
            return ConnectionForbidden(f"{said} from {where}", fault=FaultKind.SERVICE_FORBIDDEN)
        if status == 413:
            return MessageTooLarge(f"{said}: the server takes no request of this size")
        if status == 429 or (status == 503 and hint is not None):
            return ExchangeBusy(said, hint_seconds=hint)
        if status in (404, 405, 410, 501):
            words = f"{said}: there is no Exchange web service at {where}"
            return WrongProtocol(words, fault=FaultKind.NO_WEB_SERVICE)
        if b"The specified server version is invalid" in answer.content[:HEAD]:
            return fault_for("ErrorInvalidServerVersion", said, phase=phase)
        if status == 500 and b"Server Error in '/EWS' Application" in answer.content[:HEAD]:
            return PassingFault(said)
        if status >= 500:
            return TransientError(f"{said} from {where}", hint_seconds=hint)
        return UnexpectedReply(f"{said} from {where}")

    def _login_words(self, answer: Answer) -> str:
        if LOCKED_OUT in answer.content[:HEAD]:
            return "the account is locked out"
        offered = self.clean(QUOTED.sub("", answer.header("WWW-Authenticate")))
        words = f"HTTP {answer.status} from {answer.place.name}"
        return f"{words}; it offers {offered}" if offered else words

    def _redirect(self, answer: Answer) -> ServerError:
        target = self.clean(answer.header("Location"))
        if target.lower().startswith(OUTAGE_PAGES):
            return PassingFault(f"HTTP {answer.status} to an error page")
        shown = target.partition("?")[0]
        return WrongProtocol(
            f"{answer.place.name} sends elsewhere (HTTP {answer.status} to {shown}), which isn't "
            "followed; that may be where the web service is, or a login page",
            fault=FaultKind.SENT_ELSEWHERE,
        )

    # -- exceptions --------------------------------------------------------------------------------

    def of_exception(
        self, error: BaseException, phase: Phase | None, hint_seconds: float | None = None
    ) -> ServerError | None:
        """What an exception stands for; None if it is no word of the server but a mistake of ours."""
        if isinstance(error, ServerError):
            return error
        inner = innermost(error)
        return (
            inner.fault if isinstance(inner, Broken) else self._of_one(inner, phase, hint_seconds)
        )

    def _of_one(
        self, error: BaseException, phase: Phase | None, hint: float | None
    ) -> ServerError | None:
        words = self.clean(str(error))
        if isinstance(error, ews.ErrorServerBusy):
            hint = error.back_off or hint
        if isinstance(error, ews.ResponseMessageError):
            return fault_for(type(error).__name__, words, phase=phase, hint_seconds=hint)
        if isinstance(error, ews.UnauthorizedError):
            return self.refused(words)
        if unknown := UNKNOWN_CODE.match(str(error)):
            text = unknown[2].rpartition(", MessageXml")[0] or unknown[2]
            return fault_for(unknown[1], self.clean(text), phase=phase, hint_seconds=hint)
        if isinstance(error, requests.exceptions.RequestException):
            return ConnectionLost(words)
        if isinstance(error, ews.EWSError | lxml.etree.LxmlError):
            return UnexpectedReply(words)
        if raised_within(error.__traceback__, "exchangelib"):
            # It stumbles over answers that lack something: AttributeError, ValueError, KeyError ...
            return UnexpectedReply(f"an answer that can't be read ({type(error).__name__})")
        return None


QUOTED = re.compile(r'\s*[\w-]+="[^"]*",?')


def innermost(error: BaseException) -> BaseException:
    """What exchangelib wrapped, if it did: it raises ErrorTimeoutExpired over a connection that broke,
    and ErrorServerBusy over what it would try again, both saying so in their text."""
    while str(error).startswith("Reraised from ") and error.__context__ is not None:
        error = error.__context__
    return error


def raised_within(traceback: TracebackType | None, package: str) -> bool:
    while traceback is not None:
        name = traceback.tb_frame.f_globals.get("__name__", "")
        if name == package or name.startswith(f"{package}."):
            return True
        traceback = traceback.tb_next
    return False


# -- reading answers -----------------------------------------------------------------------------------


def fault_words(content: bytes) -> tuple[str, str]:
    """Code and text of a SOAP fault, whatever its namespaces; empty where there are none."""
    root = xml_of(content)
    if root is None:
        return "", ""
    code = text_of(root, "ResponseCode") or text_of(root, "faultcode")
    text = text_of(root, "Message") or text_of(root, "faultstring")
    violation = text_of(root, "Violation")
    return code, f"{text} {violation}".strip()


def xml_of(content: bytes) -> Element | None:
    """Parsed without looking at anything outside of it; None if it is no XML."""
    parser = lxml.etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, recover=True
    )
    try:
        return lxml.etree.fromstring(content, parser)
    except (lxml.etree.XMLSyntaxError, ValueError):
        return None


def text_of(root: Element, name: str) -> str:
    """The text of the first element of that local name, "" if there is none."""
    found = root.find(f".//{{*}}{name}")
    return (found.text or "").strip() if found is not None else ""


def hint_of(answer: Answer) -> float | None:
    """How long the server asks us to wait, in seconds: the back-off in its XML, or Retry-After in
    seconds or as a date, which is compared with the server's own clock."""
    if found := BACK_OFF.search(answer.content[: 64 * 1024]):
        return int(found[1]) / 1000
    value = answer.header("Retry-After").strip()
    if value.isdecimal():
        return float(value[:9])
    until = date_of(value)
    if until is None:
        return None
    now = date_of(answer.header("Date")) or datetime.now(UTC)
    return max((until - now).total_seconds(), 0.0)


def date_of(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
