"""Bytes to data. `parse` is what everybody calls; it never raises, whatever the bytes are."""

import re

from activities.mime.careful import parse_carefully
from activities.mime.fast import PAYS_FROM_BYTES, parse_fast
from activities.mime.message import Attachment, Defect, ParsedMessage

_MESSAGE_TYPES = ("message/rfc822", "message/global")
_HEADER = re.compile(rb"(?:>?From [^\r\n]*\r?\n|\s{0,10})[!-9;-~]{1,100}[ \t]*:")


def parse(raw: bytes) -> ParsedMessage:
    """What could be read of a message, with a Defect for each repair."""
    try:
        fast = parse_fast(raw) if len(raw) >= PAYS_FROM_BYTES else None
        return fast or parse_carefully(raw)
    except Exception as error:  # noqa: BLE001 - the last net: one message must never stop a mailbox
        return ParsedMessage(
            size=len(raw), body_size=0, defects=(Defect("unreadable", type(error).__name__),)
        )


def forwarded_originals(message: bytes | ParsedMessage) -> list[bytes]:
    """The messages attached to `message`, octet for octet, in order (R3.75)."""
    parsed = parse(message) if isinstance(message, bytes) else message
    return [a.content for a in parsed.attachments if _is_message(a)]


def _is_message(attachment: Attachment) -> bool:
    if attachment.content_type in _MESSAGE_TYPES:
        return bool(attachment.content.strip())
    named = attachment.filename.lower().endswith(".eml")
    return named and _HEADER.match(attachment.content) is not None
