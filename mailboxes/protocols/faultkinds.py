"""What exactly is wrong, finer than the codes of R8.20: one code covers an expired certificate and one for
another name, but their cures differ. `diagnosis` decides which it is, `mailboxes.faultwords` has the words.
"""

from enum import StrEnum


class FaultKind(StrEnum):
    # Finding the host
    NO_SUCH_HOST = "no_such_host"
    NO_ADDRESS = "no_address"
    RESOLVER_FAILED = "resolver_failed"
    RESOLVER_SILENT = "resolver_silent"
    NOT_A_HOST = "not_a_host"
    NETWORK_DENIED = "network_denied"
    # Connecting
    PORT_REFUSED = "port_refused"
    PORT_FILTERED = "port_filtered"
    UNREACHABLE = "unreachable"
    # Securing the line
    PLAIN_FORBIDDEN = "plain_forbidden"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_NOT_YET_VALID = "certificate_not_yet_valid"
    CERTIFICATE_FOR_OTHER_NAME = "certificate_for_other_name"
    CERTIFICATE_SELF_SIGNED = "certificate_self_signed"
    CERTIFICATE_ISSUER_UNKNOWN = "certificate_issuer_unknown"
    CERTIFICATE_UNUSABLE = "certificate_unusable"
    AUTHORITY_UNREADABLE = "authority_unreadable"
    TLS_TOO_OLD = "tls_too_old"
    TLS_FAILED = "tls_failed"
    TLS_HUNG_UP = "tls_hung_up"
    TLS_SILENT = "tls_silent"
    STARTTLS_MISSING = "starttls_missing"
    PLAIN_ON_TLS_PORT = "plain_on_tls_port"
    TLS_ON_PLAIN_PORT = "tls_on_plain_port"
    # The first words
    OTHER_PROTOCOL = "other_protocol"
    GARBAGE_GREETING = "garbage_greeting"
    CLOSED_AT_ONCE = "closed_at_once"
    GREETING_SILENT = "greeting_silent"
    TURNED_AWAY = "turned_away"
    BLOCKED = "blocked"
    # Logging in
    CREDENTIALS_MISSING = "credentials_missing"
    PASSWORD_WRONG = "password_wrong"  # a name
    PASSWORD_EXPIRED = "password_expired"  # a name
    APP_PASSWORD_NEEDED = "app_password_needed"  # a name
    BROWSER_NEEDED = "browser_needed"
    ACCOUNT_DISABLED = "account_disabled"
    ACCOUNT_LOCKED = "account_locked"
    PROTOCOL_OFF = "protocol_off"
    PASSWORD_LOGIN_OFF = "password_login_off"  # a name
    TOKENS_ONLY = "tokens_only"
    TOKENS_UNKNOWN = "tokens_unknown"
    TOKEN_EXPIRED = "token_expired"  # a name
    TOKEN_REFUSED = "token_refused"  # a name
    LOGIN_NOT_NOW = "login_not_now"
    MAILBOX_IN_USE = "mailbox_in_use"
    # The inbox
    INBOX_MISSING = "inbox_missing"
    INBOX_NO_RIGHTS = "inbox_no_rights"
    UIDL_MISSING = "uidl_missing"
    UIDL_REPEATS = "uidl_repeats"
    # An Exchange web service
    NO_WEB_SERVICE = "no_web_service"
    SENT_ELSEWHERE = "sent_elsewhere"
    WEB_PAGE = "web_page"
    SERVICE_FORBIDDEN = "service_forbidden"
    THROTTLED = "throttled"
    # Anywhere
    SILENT = "silent"
    HUNG_UP = "hung_up"
    LINE_TOO_LONG = "line_too_long"
    GARBAGE = "garbage"
    # Sending
    RELAY_DENIED = "relay_denied"
    SENDER_REFUSED = "sender_refused"
    RECIPIENT_UNKNOWN = "recipient_unknown"
    TOO_LARGE = "too_large"
    TOO_FAST = "too_fast"
    QUOTA_REACHED = "quota_reached"
    SENDER_MAILBOX_FULL = "sender_mailbox_full"
    SERVER_LEAVES = "server_leaves"
    TLS_DEMANDED = "tls_demanded"
    LOGIN_DEMANDED = "login_demanded"
    GREYLISTED = "greylisted"
    CONTENT_REFUSED = "content_refused"
    NO_RECEIPT = "no_receipt"
