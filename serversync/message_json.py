"""A message as one JSON record: what was read of it, what it is, and what would become of it here.

For `manage.py explain_message --json`, which goes over mail of any origin: whatever is in it, the record
is valid UTF-8 in one line, and a message that can't be told about becomes a record with an error.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import DatabaseError
from django.db.models.functions import Lower

from activities.mime.message import (
    Address,
    DeliveryReport,
    MessageKind,
    ParsedMessage,
    ReportedRecipient,
)
from activities.mime.parse import parse
from mailboxes.choices import StateCode
from mailboxes.models import Mailbox
from serversync.explain import Explanation
from serversync.mailfiles import Found

Record = dict[str, Any]
Explain = Callable[[bytes, Mailbox], Sequence[Explanation]]
Choose = Callable[[ParsedMessage], Mailbox | None]

MAX_ADDRESSES = 100  # of one message, among which its mailbox is looked for

# Line ends to some readers, which would take one record for two.
_LINE_ENDS = re.compile("[\x85\u2028\u2029]")
_SURROGATES = re.compile("[\ud800-\udfff]")
# Receipts are told as what they are to people: an automatic answer.
_SHOWN_KINDS = {MessageKind.RECEIPT: MessageKind.AUTO_REPLY}
_UNREADABLE = "unreadable"
_UNDECIDED: Record = {"decision": None, "reason": None, "rule": None, "rules": []}


def record_of(found: Found, choose: Choose, explain: Explain, *, trace: bool = False) -> Record:
    """`choose`: the mailbox that would read a message; without one nothing is decided."""
    record: Record = {"file": found.name}
    if found.error:
        return record | {"error": found.error}
    try:
        message = parse(found.raw)
        record |= _told(message)
        if message.defects and message.defects[0].code == _UNREADABLE:
            record["error"] = f"{_UNREADABLE}: {message.defects[0].detail}"
        record |= _decided(found.raw, choose(message), explain, trace=trace)
    except Exception as error:  # noqa: BLE001 - one message must never stop the others
        record |= {"error": f"{type(error).__name__}: {error}"[:500]}
    return record


def as_line(record: Record, *, ascii_only: bool = False) -> str:
    text = json.dumps(_encodable(record), ensure_ascii=ascii_only)
    return _LINE_ENDS.sub(lambda end: f"\\u{ord(end.group()):04x}", text)


def _encodable(value: Any) -> Any:
    """Half a surrogate pair is text to Python and nothing to UTF-8."""
    if isinstance(value, str):
        return value if value.isascii() else _SURROGATES.sub("\ufffd", value)
    if isinstance(value, dict):
        return {key: _encodable(part) for key, part in value.items()}
    return [_encodable(part) for part in value] if isinstance(value, list) else value


def has_mailboxes() -> bool:
    """False, too, where there is no database yet."""
    try:
        return Mailbox.objects.exists()
    except DatabaseError:
        return False


def addressed_mailbox(message: ParsedMessage) -> Mailbox | None:
    """The first active mailbox that the message was delivered to or is addressed to."""
    addresses = (*message.delivered_to, *(a.address for a in (*message.to, *message.cc)))
    wanted = list(dict.fromkeys(address.lower() for address in addresses if "@" in address))
    rows = Mailbox.objects.filter(state_code=StateCode.ACTIVE).select_related(
        "email_server_profile"
    )
    found = rows.alias(lower=Lower("email_address")).filter(lower__in=wanted[:MAX_ADDRESSES])
    by_address = {row.email_address.lower(): row for row in found}
    return next((by_address[address] for address in wanted if address in by_address), None)


def _told(message: ParsedMessage) -> Record:
    report = message.report
    return {
        "message_id": message.message_id,
        "subject": message.subject,
        "from": _addresses(message.senders),
        "sender": _addresses([message.sender_header] if message.sender_header else []),
        "reply_to": _addresses(message.reply_to),
        "to": _addresses(message.to),
        "cc": _addresses(message.cc),
        "bcc": _addresses(message.bcc),
        "date": _moment(message.date),
        "text": message.text,
        "html": message.html,
        "attachments": [
            {"name": a.filename, "type": a.content_type, "size": len(a.content)}
            for a in message.attachments
        ],
        "kind": _SHOWN_KINDS.get(message.kind, message.kind).value,
        "in_reply_to": message.in_reply_to,
        "references": list(message.references),
        "original_recipient": _original_recipient(report),
        "original_message_id": report.message_id or None if report else None,
        "report": _report(report) if report else None,
        "defects": [defect.code for defect in message.defects],
        **_UNDECIDED,
    }


def _addresses(addresses: Iterable[Address]) -> list[Record]:
    return [{"address": a.address, "name": a.name} for a in addresses]


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def _original_recipient(report: DeliveryReport | None) -> str | None:
    """Of several, the first that failed."""
    recipients = report.recipients if report else ()
    named = [r for r in recipients if r.address]
    failed = (r for r in named if r.action == "failed")
    first = next(failed, named[0] if named else None)
    return first.address if first else None


def _report(report: DeliveryReport) -> Record:
    return {
        "standard": report.standard,
        "message_id": report.message_id or None,
        "subject": report.returned_subject,
        "to": list(report.returned_to),
        "date": _moment(report.returned_date),
        "recipients": [_recipient(r) for r in report.recipients],
    }


def _recipient(recipient: ReportedRecipient) -> Record:
    return {
        "address": recipient.address,
        "action": recipient.action,
        "status": recipient.status,
        "diagnostic": recipient.diagnostic,
        "hard": recipient.hard,
    }


def _decided(raw: bytes, mailbox: Mailbox | None, explain: Explain, *, trace: bool) -> Record:
    if mailbox is None:
        return {}
    whole, *originals = explain(raw, mailbox)
    told = _decision(whole) | {"mailbox": mailbox.email_address}
    if originals:
        told["originals"] = [{"number": o.part} | _decision(o) for o in originals]
    if trace:
        told["trace"] = [one.data for one in (whole, *originals)]
    return told


def _decision(explanation: Explanation) -> Record:
    """`rule`: the one that settled it; `rules`: all that the steps name."""
    data = explanation.data
    rules = list(dict.fromkeys(s.rule for s in explanation.sentences() if s.rule))
    return {
        "decision": data.get("outcome"),
        "reason": data.get("reason") or None,
        "rule": rules[0] if rules else None,
        "rules": rules,
    }
