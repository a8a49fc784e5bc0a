"""Bytes to data. `parse` is what everybody calls; it never raises, whatever the bytes are."""

from activities.mime.careful import parse_carefully
from activities.mime.fast import PAYS_FROM_BYTES, parse_fast
from activities.mime.message import Defect, ParsedMessage
from activities.mime.wrappings import originals


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
    """The messages attached to `message`, in order (R3.75): octet for octet where they are attached as
    messages, rebuilt where Outlook kept them as properties. See activities.mime.wrappings."""
    parsed = parse(message) if isinstance(message, bytes) else message
    return originals(parsed.attachments)
