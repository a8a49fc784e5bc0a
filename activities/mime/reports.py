"""Reports that machines write for machines: delivery status (RFC 3464), disposition (RFC 8098) and
feedback (RFC 5965)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from activities.mime.charsets import decode_text
from activities.mime.message import Defect, ReportedRecipient
from activities.mime.statuses import find_status, is_hard, one_diagnostic, refined
from activities.mime.words import decode_words

DELIVERY_STATUS = ("message/delivery-status", "message/global-delivery-status")
DISPOSITION = ("message/disposition-notification", "message/global-disposition-notification")
FEEDBACK = ("message/feedback-report",)

MAX_REPORT_BYTES = 256 * 1024
MAX_RECIPIENTS = 500

# What a feedback report says that is no complaint of a recipient.
_NO_COMPLAINT = frozenset({"not-spam", "auth-failure", "dmarc"})
_ACTIONS = {
    "fail": "failed", "failure": "failed", "failed": "failed", "expired": "failed", "delay": "delayed",
    "delayed": "delayed", "deliver": "delivered", "delivered": "delivered", "relayed": "relayed",
    "expanded": "expanded",
}  # fmt: skip
_CLASS_ACTIONS = {"5": "failed", "4": "delayed", "2": "delivered"}
_FIELD = re.compile(r"([!-9;-~]{2,100})[ \t]*:(.*)", re.DOTALL)
_BLANK_LINE = re.compile(r"\n[ \t]*(?:\n[ \t]*)*\n")
_FOLD = re.compile(r"\n[ \t]+")
_ADDRESS = re.compile(r"[^\s<>;,()]{1,320}@[^\s<>;,()]{1,255}")
_UTF8_ESCAPE = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")
_BARE_ID = re.compile(r"<?([^<>\s]{1,998})>?")
_WORD = re.compile(r"[a-z-]+")

Group = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class Told:
    """What a machine-readable part tells; `message_id` bare, of the message it is about."""

    recipients: tuple[ReportedRecipient, ...]
    message_id: str = ""


def read_delivery_status(content: bytes) -> Told:
    recipients: list[ReportedRecipient] = []
    message_id = ""
    for group in _groups(content):
        message_id = message_id or _id_in(group, "original-message-id", "x-original-message-id")
        if group.keys() & {"final-recipient", "original-recipient", "action"}:
            recipients.append(_delivery(group))
        if len(recipients) >= MAX_RECIPIENTS:
            break
    return Told(tuple(recipients), message_id)


def read_disposition(content: bytes) -> Told:
    for group in _groups(content):
        disposition = (
            _one(group, "disposition").lower().rpartition(";")[2].partition("/")[0].strip()
        )
        if disposition or "final-recipient" in group:
            recipient = ReportedRecipient(address=_recipient_address(group), action=disposition)
            return Told((recipient,), _id_in(group, "original-message-id"))
    return Told(())


def read_feedback(content: bytes) -> Told:
    told: dict[str, list[str]] = {}
    for group in _groups(content):
        for name, values in group.items():
            told.setdefault(name, []).extend(values)
    kind = _one(told, "feedback-type").lower()
    action = kind if kind in _NO_COMPLAINT else "complaint"
    written = told.get("original-rcpt-to") or told.get("removal-recipient") or []
    addresses = dict.fromkeys(a for value in written if (a := _bare(value)))
    return Told(
        tuple(ReportedRecipient(address=a, action=action) for a in addresses)[:MAX_RECIPIENTS]
        or (ReportedRecipient(action=action),),
        _id_in(told, "original-message-id"),
    )


def is_delivery_status(content: bytes) -> bool:
    """For what a server gave another type, or wrote into its text."""
    return any(
        "action" in group and group.keys() & {"final-recipient", "original-recipient"}
        for group in _groups(content[:65536])
    )


def _delivery(group: Group) -> ReportedRecipient:
    status = find_status(_one(group, "status"))
    diagnostic = _untyped(_one(group, "diagnostic-code"))
    status = refined(status, diagnostic)
    word = _WORD.match(_one(group, "action").lower())
    action = _ACTIONS.get(word.group(), "") if word else ""
    action = action or _CLASS_ACTIONS.get(status[:1], "")
    return ReportedRecipient(
        address=_recipient_address(group),
        action=action,
        status=status,
        diagnostic=one_diagnostic(diagnostic),
        hard=action == "failed" and is_hard(status, diagnostic),
    )


def _recipient_address(group: Group) -> str:
    """As we wrote to it: the original one where the report knows it."""
    names = ("original-recipient", "final-recipient", "x-actual-recipient")
    return next((a for name in names if (a := _bare(_one(group, name)))), "")


def _bare(value: str) -> str:
    """rfc822;ada@example.com, <ada@example.com>, rfc822;ada+40example.com: the address; "" if none."""
    written = _UTF8_ESCAPE.sub(_character, value.partition(";")[2] or value)
    if "@" not in written:
        written = written.replace("+40", "@", 1)
    match = _ADDRESS.search(written)
    return match.group().rstrip(".") if match else ""


def _character(escape: re.Match[str]) -> str:
    code = int(escape.group(1), 16)
    return chr(code) if 0x20 < code < 0xD800 or 0xE000 <= code <= 0x10FFFF else ""


def _untyped(diagnostic: str) -> str:
    """Without "smtp;" in front."""
    kind, semicolon, rest = diagnostic.partition(";")
    return rest.strip() if semicolon and " " not in kind.strip() else diagnostic


def _id_in(group: Group, *names: str) -> str:
    for name in names:
        match = _BARE_ID.search(_one(group, name))
        if match:
            return match.group(1)
    return ""


def _one(group: Group, name: str) -> str:
    values = group.get(name)
    return values[0] if values else ""


def _groups(content: bytes) -> Iterator[Group]:
    """Stretches of fields. A second recipient without a blank line before it begins a new one; what
    follows a blank line without naming a recipient still belongs to the one before."""
    text, _ = decode_text(content[:MAX_REPORT_BYTES])
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    group: dict[str, list[str]] = {}
    for stretch in _BLANK_LINE.split(text):
        fields = list(_fields(stretch))
        if _STARTS & group.keys() and any(name in _STARTS for name, _ in fields):
            yield group
            group = {}
        for name, value in fields:
            if name in _STARTS and name in group:
                yield group
                group = {}
            group.setdefault(name, []).append(value)
    if group:
        yield group


def _fields(stretch: str) -> Iterator[tuple[str, str]]:
    for line in _FOLD.sub(" ", stretch).split("\n"):
        field = _FIELD.match(line.strip())
        if field:
            yield field.group(1).lower(), decode_words(field.group(2).strip(), _ignore)


_STARTS = frozenset({"final-recipient", "original-recipient", "reporting-mta"})


def _ignore(_: Defect) -> None: ...
