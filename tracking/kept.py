"""PURE  What stays of a message that was not tracked: enough to decide it again, and no more.

Neither subject (the item has a column for it) nor body; of files their names, types and sizes. Most mail
ends here, so whatever is empty is left out, and an address without a name is a plain string.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from activities.mime.message import (
    Address,
    Attachment,
    DeliveryReport,
    MessageKind,
    ParsedMessage,
    ReportedRecipient,
)

FACTS = "facts"  # where they stand in the trace
MOST_ADDRESSES = 500
MOST_REFERENCES = 50
MOST_FILES = 50
MOST_REPORTED = 20
LONGEST_ID = 998  # characters: as many as a line of a header has
LONGEST_INDEX = 2048

ROLES = ("senders", "reply_to", "to", "cc", "bcc")
TEXTS = {
    "message_id": LONGEST_ID,
    "in_reply_to": LONGEST_ID,
    "thread_index": LONGEST_INDEX,
    "date_text": 200,
    "auto_submitted": 80,
    "list_id": 200,
    "calendar_method": 40,
    "calendar_uid": 512,
    "report_type": 40,
    "encrypted": 40,
}
SIGNS = ("null_path", "answer_unwanted")
REPORTED = ("address", "action", "status")


def facts_of(message: ParsedMessage) -> dict[str, Any]:
    """Safe for JSON. A message to more than MOST_ADDRESSES leaves only their number."""
    addresses = sum(len(getattr(message, role)) for role in ROLES)
    if addresses > MOST_ADDRESSES:
        return {"addresses": addresses}
    facts: dict[str, Any] = {"size": message.size, "body_size": message.body_size}
    facts |= {role: [_address(one) for one in getattr(message, role)] for role in ROLES}
    facts |= {name: getattr(message, name)[:most] for name, most in TEXTS.items()}
    facts |= {
        "sender_header": _address(message.sender_header) if message.sender_header else "",
        "references": [one[:LONGEST_ID] for one in _ends(message.references)],
        "date": message.date.isoformat() if message.date else "",
        **{name: getattr(message, name) or None for name in SIGNS},
        "own": bool(message.own_header) or None,
        "importance": message.importance if message.importance != 1 else None,
        "kind": message.kind.value if message.kind != MessageKind.ORDINARY else "",
        "delivered_to": [one[:320] for one in message.delivered_to[:10]],
        "files": [_file(one) for one in message.attachments[:MOST_FILES]],
        "report": _report(message.report) if message.report else None,
    }
    return {name: value for name, value in facts.items() if value not in ("", [], None)}


def message_from(facts: Mapping[str, Any], subject: str) -> ParsedMessage | None:
    """The message again, without body and contents; None if its facts were not kept."""
    if "size" not in facts or "addresses" in facts:
        return None
    sender = facts.get("sender_header")
    report = facts.get("report")
    people = {role: tuple(_to_address(one) for one in facts.get(role, ())) for role in ROLES}
    every: dict[str, Any] = {**people, **{name: facts.get(name, "") for name in TEXTS}}
    every |= {name: facts.get(name, False) for name in SIGNS}
    return ParsedMessage(
        size=facts["size"],
        body_size=facts.get("body_size", 0),
        subject=subject,
        sender_header=_to_address(sender) if sender else None,
        references=tuple(facts.get("references", ())),
        date=datetime.fromisoformat(facts["date"]) if facts.get("date") else None,
        own_header="kept" if facts.get("own") else "",  # not the mark itself, which is signed
        importance=facts.get("importance", 1),
        kind=MessageKind(facts.get("kind", MessageKind.ORDINARY)),
        delivered_to=tuple(facts.get("delivered_to", ())),
        attachments=tuple(_to_file(one) for one in facts.get("files", ())),
        report=_to_report(report) if report else None,
        **every,
    )


def _address(address: Address) -> str | list[str]:
    bare = address.address[:320]
    return [bare, address.name[:200]] if address.name else bare


def _to_address(kept: Any) -> Address:
    return Address(kept) if isinstance(kept, str) else Address(*kept)


def _ends(references: Sequence[str]) -> Iterable[str]:
    """The first and the last ones: no other is looked for (R4.4)."""
    if len(references) <= MOST_REFERENCES:
        return references
    return (references[0], *references[1 - MOST_REFERENCES :])


def _file(file: Attachment) -> list[Any]:
    return [file.filename[:255], file.content_type[:100], len(file.content), int(file.inline)]


def _to_file(kept: Sequence[Any]) -> Attachment:
    name, kind, _size, inline = kept
    return Attachment(filename=name, content_type=kind, content=b"", inline=bool(inline))


def _report(report: DeliveryReport) -> dict[str, Any]:
    told = {
        "id": report.message_id[:LONGEST_ID],
        "loose": not report.standard,
        "to": [
            [*(getattr(one, name)[:320] for name in REPORTED), int(one.hard)]
            for one in report.recipients[:MOST_REPORTED]
        ],
        "returned_to": [one[:320] for one in report.returned_to[:MOST_REPORTED]],
        "returned_date": report.returned_date.isoformat() if report.returned_date else "",
    }
    return {name: value for name, value in told.items() if value} or {"id": ""}


def _to_report(kept: Mapping[str, Any]) -> DeliveryReport:
    date = kept.get("returned_date")
    return DeliveryReport(
        message_id=kept.get("id", ""),
        standard=not kept.get("loose", False),
        recipients=tuple(
            ReportedRecipient(**dict(zip(REPORTED, texts, strict=True)), hard=bool(hard))
            for *texts, hard in kept.get("to", ())
        ),
        returned_to=tuple(kept.get("returned_to", ())),
        returned_date=datetime.fromisoformat(date).astimezone(UTC) if date else None,
    )
