"""PURE  what exactly an error is about: by what the adapter noted, else by its kind and where it happened,
else by the server's own words. One table of words for each occasion; the first row that fits decides.

What no row knows has no finer diagnosis: its code alone then says what it means.
"""

import re
from collections.abc import Mapping, Sequence

from mailboxes.protocols.errors import (
    AccountDisabled,
    ConnectionForbidden,
    ConnectionLost,
    ExchangeBusy,
    FolderMissing,
    LoginRefused,
    MessageDeferred,
    MessageError,
    MessageTooLarge,
    OutgoingLoginRefused,
    SecureConnectionFailed,
    SendAsDenied,
    SendingTooFast,
    ServerBusy,
    ServerError,
    SocketTimedOut,
    SubmissionQuotaExceeded,
    TokenRefused,
    UidlUnusable,
    UnexpectedReply,
    WrongProtocol,
)
from mailboxes.protocols.faultkinds import FaultKind
from mailboxes.protocols.phases import Phase

Rows = Sequence[tuple[FaultKind, str]]

LOCKED = (
    FaultKind.ACCOUNT_LOCKED,
    r"\block(?:ed)?[- ]?out\b|\baccount\b.{0,25}\b(?:is |been |temporarily )?locked|too many (?:failed|bad|login)"
    r"|too many .{0,20}(?:attempts|failures)",
)

#: Refused logins. Providers agree on no code, so their words are what there is.
LOGIN_WORDS: Rows = (
    (
        FaultKind.APP_PASSWORD_NEEDED,
        r"application[- ]specific password|app(?:lication)?[- ]password|5\.7\.9\b.*password required",
    ),
    (FaultKind.BROWSER_NEEDED, r"web ?(?:browser|login)|WEBALERT|InvalidSecondFactor|5\.7\.14\b"),
    (
        FaultKind.TOKENS_ONLY,
        r"basic ?auth\w* is (?:disabled|blocked)|BasicAuthBlocked|requires? oauth|oauth.{0,20}required|xoauth2 required"
        r"|less secure app|security defaults policy|passwords? (?:logins? )?(?:are|is) (?:no longer|not) "
        r"(?:accepted|supported)",
    ),
    (
        FaultKind.PROTOCOL_OFF,
        r"SmtpClientAuthentication is disabled|\b(?:imap|pop3?|smtp)\b.{0,25}\b(?:disabled|not enabled|not "
        r"allowed|switched off|not permitted)|not enabled for \b(?:imap|pop3?)|protocol.{0,20}disabled",
    ),
    (
        FaultKind.PASSWORD_EXPIRED,
        r"\[EXPIRED\]|password (?:has )?expired|expired password|ErrorPasswordExpired|change your password"
        r"|must change (?:the |your )?password|ErrorPasswordChangeRequired",
    ),
    LOCKED,
    (
        FaultKind.ACCOUNT_DISABLED,
        r"\b(?:account|user|mailbox|login)\b.{0,30}\b(?:disabled|suspended|deactivated|blocked|inactive|closed)\b",
    ),
    (
        FaultKind.PASSWORD_LOGIN_OFF,
        r"\[PRIVACYREQUIRED\]|LOGINDISABLED|login is disabled|plaintext",
    ),
)

TOKEN_WORDS: Rows = ((FaultKind.TOKEN_EXPIRED, r"expired|invalid_token|InvalidToken"),)

FOLDER_WORDS: Rows = (
    (
        FaultKind.INBOX_NO_RIGHTS,
        r"\[NOPERM\]|permission denied|no permission|not authori[sz]ed|access denied|no rights|ACL\b",
    ),
)

BUSY_WORDS: Rows = (
    (
        FaultKind.MAILBOX_IN_USE,
        r"\[IN-?USE\]|\block\b|locked by|in use|already (?:open|logged)|maildrop",
    ),
)

#: Refused messages, after what their codes decided (judging).
SEND_WORDS: Rows = (
    (
        FaultKind.RELAY_DENIED,
        r"\brelay(?:ing)?\b|not (?:allowed|permitted|authori[sz]ed) to (?:relay|send (?:mail )?to)|we do not relay",
    ),
    (
        FaultKind.CONTENT_REFUSED,
        r"\bspam\b|\bvirus\b|content (?:rejected|refused|filter)|policy.{0,20}content|malware|\bphish",
    ),
    (
        FaultKind.SENDER_REFUSED,
        r"5\.1\.[78]\b|sender (?:address )?(?:rejected|refused|denied|not)|from address|not owned|mail from",
    ),
    (
        FaultKind.RECIPIENT_UNKNOWN,
        r"5\.1\.[12]\b|user unknown|no such (?:user|recipient|mailbox)|unknown (?:user|recipient)|recipient "
        r"(?:rejected|not found|address rejected)|mailbox (?:unavailable|not found)",
    ),
)

#: Where the kind of error says it all, whatever the words are.
BY_KIND: tuple[tuple[type[ServerError], FaultKind], ...] = (
    (SendAsDenied, FaultKind.SENDER_REFUSED),
    (MessageTooLarge, FaultKind.TOO_LARGE),
    (SendingTooFast, FaultKind.TOO_FAST),
    (UidlUnusable, FaultKind.UIDL_REPEATS),
    (AccountDisabled, FaultKind.ACCOUNT_DISABLED),
    (MessageDeferred, FaultKind.GREYLISTED),
    (ExchangeBusy, FaultKind.THROTTLED),
)

TURNED_AWAY = {
    ServerBusy: FaultKind.TURNED_AWAY,
    ConnectionForbidden: FaultKind.BLOCKED,
    WrongProtocol: FaultKind.OTHER_PROTOCOL,
    ConnectionLost: FaultKind.CLOSED_AT_ONCE,
    SocketTimedOut: FaultKind.GREETING_SILENT,
    UnexpectedReply: FaultKind.GARBAGE_GREETING,
}

#: Where the same trouble means something else, by the phase in which it came.
BY_PHASE: Mapping[Phase, Mapping[type[ServerError], FaultKind]] = {
    Phase.TLS: {
        SocketTimedOut: FaultKind.TLS_SILENT,
        ConnectionLost: FaultKind.TLS_HUNG_UP,
        SecureConnectionFailed: FaultKind.TLS_FAILED,
    },
    Phase.GREET: TURNED_AWAY,
}

ANYWHERE: Mapping[type[ServerError], FaultKind] = {
    WrongProtocol: FaultKind.OTHER_PROTOCOL,
    ConnectionForbidden: FaultKind.BLOCKED,
    SocketTimedOut: FaultKind.SILENT,
    ConnectionLost: FaultKind.HUNG_UP,
    UnexpectedReply: FaultKind.GARBAGE,
}


def diagnose(error: ServerError, phase: Phase | None = None) -> FaultKind | None:
    """`phase`: where it happened, if the error doesn't say."""
    if error.fault is not None:
        return error.fault
    phase = error.phase or phase
    return (
        _by_kind(error)
        or _of_login(error, phase)
        or _of_inbox(error)
        or _of_sending(error, phase)
        or _by_phase(error, phase)
    )


def _by_kind(error: ServerError) -> FaultKind | None:
    return next((fault for kind, fault in BY_KIND if isinstance(error, kind)), None)


def _of_login(error: ServerError, phase: Phase | None) -> FaultKind | None:
    words = error.detail
    if isinstance(error, TokenRefused):
        return _by_words(TOKEN_WORDS, words) or FaultKind.TOKEN_REFUSED
    if isinstance(error, OutgoingLoginRefused) and phase == Phase.SEND:
        return FaultKind.LOGIN_DEMANDED
    if isinstance(error, LoginRefused):
        if getattr(error, "missing", ()):
            return FaultKind.CREDENTIALS_MISSING
        code = getattr(error, "server_code", "")
        return _by_words(LOGIN_WORDS, f"{code} {words}") or FaultKind.PASSWORD_WRONG
    if isinstance(error, ServerBusy) and phase == Phase.LOGIN:
        return _by_words((LOCKED, *BUSY_WORDS), words) or FaultKind.LOGIN_NOT_NOW
    return None


def _of_inbox(error: ServerError) -> FaultKind | None:
    if isinstance(error, FolderMissing):
        return _by_words(FOLDER_WORDS, error.detail) or FaultKind.INBOX_MISSING
    return None


def _of_sending(error: ServerError, phase: Phase | None) -> FaultKind | None:
    if isinstance(error, SubmissionQuotaExceeded):
        return FaultKind.QUOTA_REACHED if error.window else FaultKind.SENDER_MAILBOX_FULL
    if isinstance(error, MessageError):
        return _by_words(SEND_WORDS, error.detail)
    if phase != Phase.SEND:
        return None
    if isinstance(error, SecureConnectionFailed):
        return FaultKind.TLS_DEMANDED
    if isinstance(error, ServerBusy):
        return FaultKind.SERVER_LEAVES
    if isinstance(error, SocketTimedOut | ConnectionLost):
        return FaultKind.NO_RECEIPT
    return None


def _by_phase(error: ServerError, phase: Phase | None) -> FaultKind | None:
    tables = [BY_PHASE.get(phase, {})] if phase else []
    for table in [*tables, ANYWHERE]:
        for kind, fault in table.items():
            if isinstance(error, kind):
                return fault
    return None


def _by_words(rows: Rows, words: str) -> FaultKind | None:
    return next(
        (fault for fault, pattern in rows if re.search(pattern, words, re.IGNORECASE)), None
    )
