"""Mail in other wrappings than MIME's: what is inside is read in place of the wrapping.

- winmail.dat: its files become files of the message; its body is read if the message has no other.
- Opaque S/MIME signatures: the signed part is the body. The signature isn't verified.
- Forwarded originals (R3.75): attached as a message under any type, or as Outlook's .msg file; those in
  winmail.dat and below signatures are attachments of the message like others.

Originals are what was attached to the forward itself. What was attached to an original belongs to it, as
its file: whoever forwards mail by a rule forwards what arrived, and nothing that lay inside of it. Not
opened are archives, and message/partial: a piece of a message is none.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from activities.mime import smime
from activities.mime.message import Attachment, Defect
from activities.mime.outlook import compound, tnef
from activities.mime.outlook.mapi import message_of
from activities.mime.outlook.msg import read_msg
from activities.mime.outlook.rtf import Allowance
from activities.mime.structure import Part, read_header, read_tree
from activities.mime.words import Report, one_line

MESSAGE_TYPES = ("message/rfc822", "message/global")
MAX_SIGNATURES = 5  # one around the other

_SMIME = ("application/pkcs7-mime", "application/x-pkcs7-mime")
_SMIME_NAME = "smime.p7m"
_ENVELOPED = ("", "enveloped-data", "authenveloped-data")
_RPMSG = "application/x-microsoft-rpmsg-message"
_RPMSG_NAMES = ("message.rpmsg", "message_v2.rpmsg", "message_v4.rpmsg")
_RPMSG_CLASS = "rpmsg.message"  # Content-Class
_CALENDAR = {
    "ipm.schedule.meeting.request": "REQUEST",
    "ipm.microsoft schedule.mtgreq": "REQUEST",
    "ipm.schedule.meeting.canceled": "CANCEL",
    "ipm.microsoft schedule.mtgcncl": "CANCEL",
    "ipm.schedule.meeting.resp.pos": "REPLY",
    "ipm.schedule.meeting.resp.neg": "REPLY",
    "ipm.schedule.meeting.resp.tent": "REPLY",
    "ipm.microsoft schedule.mtgrespp": "REPLY",
    "ipm.microsoft schedule.mtgrespn": "REPLY",
    "ipm.microsoft schedule.mtgrespa": "REPLY",
}
_MAIL = ("ipm.note", "ipm.schedule.", "report.")
# A part of a report that holds a header alone, or fields of its own.
_HEADERS_ONLY = frozenset(
    {
        "text/rfc822-headers", "message/delivery-status", "message/disposition-notification",
        "message/feedback-report", "message/partial", "message/external-body", "text/html",
    }
)  # fmt: skip
_FIRST_FIELD = re.compile(rb"(?:>?From [^\r\n]*\r?\n|\s{0,10})[!-9;-~]{1,100}[ \t]*:")
_TELLING = (
    "from",
    "to",
    "date",
    "subject",
    "message-id",
    "received",
    "return-path",
    "mime-version",
)
_HEADER_OCTETS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What a winmail.dat held. `html` and `text`: its body, "" where it has none. `damaged`: not all of
    it was read."""

    parts: tuple[Part, ...]
    html: str
    text: str
    calendar_method: str
    damaged: bool

    @property
    def told(self) -> str:
        told = [f"files: {len(self.parts)}"]
        if self.html or self.text:
            told.append("body")
        if self.damaged:
            told.append("breaks off, or is too long, so it stays a file itself")
        return ", ".join(told)


def unpack_winmail(content: bytes, allowance: Allowance, *, with_body: bool) -> Unpacked | None:
    """None for what is no winmail.dat. Its body is often large, and read only on demand."""
    if not content.startswith(tnef.SIGNATURE):
        return None
    try:
        return _unpacked(content, allowance, with_body)
    except Exception:  # noqa: BLE001 - a broken wrapping stays a file, the message is read all the same
        return None


def _unpacked(content: bytes, allowance: Allowance, with_body: bool) -> Unpacked | None:
    found = tnef.read_tnef(content)
    if found is None:
        return None
    html, text = found.item.body(allowance) if with_body else ("", "")
    return Unpacked(
        tuple(_part(file.attachment(allowance)) for file in found.item.files),
        html,
        text,
        _CALENDAR.get(found.item.message_class, ""),
        found.damaged or allowance.exceeded,
    )


def _part(file: Attachment) -> Part:
    return Part(
        file.content_type,
        filename=file.filename,
        content_id=file.content_id,
        content=file.content,
        disposition="attachment",
    )


def encryption_of(part: Part, report: Report) -> str:
    """ "smime" or "irm" (rights-protected) for a part that needs a key to be read, else ""."""
    if part.content_type == _RPMSG or part.filename.lower() in _RPMSG_NAMES:
        return "irm"
    if not _is_smime(part):
        return ""
    if smime.is_enveloped(part.content):
        return "smime"
    if smime.is_signed(part.content) and part.filename.lower() != _SMIME_NAME:
        return ""  # a signed file: a contract, an invoice
    smime_type = part.parameters.get("smime-type", "").lower()
    if smime_type in _ENVELOPED and not smime.is_signed(part.content):
        return "smime"
    report(Defect("opaque_signature", one_line(smime_type)))
    return ""


def signed_part(part: Part, report: Report) -> Part | None:
    """The tree of what an opaque signature holds, None for anything else."""
    entity = smime.signed_entity(part.content) if _is_smime(part) else None
    if entity is None:
        return None
    report(Defect("signed_part_opened", "signature not verified"))
    fields, body_start = read_header(entity, 0, report)
    return read_tree(entity, fields, body_start, report)


def is_rights_protected(root: Part) -> bool:
    """By the header; the part that holds the message may have been renamed on the way."""
    return root.content_class == _RPMSG_CLASS


def _is_smime(part: Part) -> bool:
    return part.content_type in _SMIME or part.filename.lower() == _SMIME_NAME


def originals(attachments: Sequence[Attachment]) -> list[bytes]:
    """The messages among them, octet for octet where they travelled as such, in order."""
    allowance = Allowance()
    found = (_original(attachment, allowance) for attachment in attachments)
    return [original for original in found if original]


def _original(attachment: Attachment, allowance: Allowance) -> bytes:
    content = attachment.content
    if attachment.content_type in MESSAGE_TYPES:
        return content if content.strip() else b""
    if content.startswith(compound.SIGNATURE):
        return _message_in_msg(content, allowance)
    named = attachment.filename.lower().endswith(".eml")
    if named and _FIRST_FIELD.match(content):
        return content
    if attachment.content_type not in _HEADERS_ONLY and looks_like_message(content):
        return content
    return b""


def _message_in_msg(content: bytes, allowance: Allowance) -> bytes:
    try:
        item = read_msg(content)
        if item is not None and item.message_class.startswith(_MAIL):
            message = message_of(item, allowance)
            return b"" if allowance.exceeded else message
    except Exception:  # noqa: BLE001 - as above: then it is an attachment like others
        pass
    return b""


def looks_like_message(content: bytes) -> bool:
    """Whether it begins with a header that has a sender and three more of the fields of mail."""
    if not _FIRST_FIELD.match(content):
        return False

    def ignore(_: Defect) -> None: ...

    start = content.find(b"\n") + 1 if content.lstrip(b">").startswith(b"From ") else 0
    fields, _ = read_header(content[:_HEADER_OCTETS], start, ignore)
    names = {name for name, _ in fields}
    return "from" in names and len(names.intersection(_TELLING)) >= 4
