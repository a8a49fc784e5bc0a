"""Whether a message reports on another one, and what: bounces, delays, complaints and receipts.

Structure and envelope come first, words last: a report is one by its parts, a notice without such parts
only if a mail server sent it. A person who forwards a bounce, answers one or writes of one is a person.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from activities.html import text_of
from activities.mime.charsets import decode_text
from activities.mime.message import DeliveryReport, MessageKind, ParsedMessage, ReportedRecipient
from activities.mime.notices import (
    MAX_NOTICE,
    Words,
    names_other,
    read_recipients,
    read_words,
    says_failed,
    told_subject,
)
from activities.mime.reply import is_forward_subject, is_reply_subject
from activities.mime.reports import (
    DELIVERY_STATUS,
    DISPOSITION,
    FEEDBACK,
    Told,
    is_delivery_status,
    read_delivery_status,
    read_disposition,
    read_feedback,
)
from activities.mime.returned import Returned, find_returned, read_returned, returned_part
from activities.mime.signs import Signs
from activities.mime.statuses import is_hard, refined
from activities.mime.structure import Part

MAX_PARTS = 200
MAX_LOOK = 16 * 1024
MAX_ROBOT_NOTICE = 2_000

_TAG = re.compile(r"<[^<>]{0,2000}+>\s*+")
# Types of multipart/report that tell of the way of a message, or that name none.
OF_DELIVERY = ("", "delivery-status")
_FEEDBACK_LOOPS = "complaint about message from"  # what Hotmail puts before the address

Verdict = tuple[MessageKind, DeliveryReport | None]


def reported(message: ParsedMessage, signs: Signs, root: Part) -> Verdict | None:
    """None: it reports nothing of another message."""
    mail = _Mail(message, signs, root, tuple(_leaves(root)))
    return _standard(mail) or _notice(mail)


@dataclass(frozen=True, slots=True)
class _Mail:
    message: ParsedMessage
    signs: Signs
    root: Part
    leaves: Sequence[Part]

    @property
    def is_report(self) -> bool:
        """Made as a report: at the top, or inside what a list or a scanner wrapped around it."""
        part = self.root
        while part.children and part.content_type in ("multipart/mixed", "multipart/signed"):
            part = part.children[0]
        return part.content_type == "multipart/report" and (
            part is self.root or not is_forward_subject(self.message.subject)
        )

    @property
    def is_from_machine(self) -> bool:
        signs = self.signs
        return signs.null_path or signs.server or signs.nobody or bool(signs.failed_recipients)

    def part_of(self, types: Sequence[str]) -> Part | None:
        return next((part for part in self.leaves if part.content_type in types), None)


def _leaves(root: Part) -> Iterator[Part]:
    """In order; what is inside an attached message does not count."""
    waiting, count = [root], 0
    while waiting and count < MAX_PARTS:
        part = waiting.pop()
        count += 1
        if part.children:
            waiting += reversed(part.children)
        else:
            yield part


def _standard(mail: _Mail) -> Verdict | None:
    """Such parts alone prove nothing: who forwards a report may attach them, as may a ticket system."""
    if not (mail.is_report or mail.is_from_machine):
        return _hotmail_complaint(mail)
    if part := mail.part_of(FEEDBACK):
        return _complaint(mail, read_feedback(part.content))
    if part := mail.part_of(DELIVERY_STATUS):
        return _delivery(mail, read_delivery_status(part.content))
    if part := _mistyped_status(mail):
        return _delivery(mail, read_delivery_status(part.content), standard=False)
    if part := mail.part_of(DISPOSITION):
        return _disposition(mail, read_disposition(part.content))
    return _by_type(mail) or _hotmail_complaint(mail)


def _by_type(mail: _Mail) -> Verdict | None:
    """Where the part that should tell was lost on the way."""
    if mail.message.report_type == "feedback-report":
        return _complaint(mail, Told((ReportedRecipient(action="complaint"),)), standard=False)
    if mail.message.report_type == "disposition-notification":
        return _disposition(mail, Told(()))
    return None


def _mistyped_status(mail: _Mail) -> Part | None:
    plain = ("text/plain", "application/octet-stream")
    return next(
        (p for p in mail.leaves[1:] if p.content_type in plain and is_delivery_status(p.content)),
        None,
    )


def _hotmail_complaint(mail: _Mail) -> Verdict | None:
    subject = mail.message.subject.lower()
    part = returned_part(mail.leaves)
    if part is None or not subject.startswith(_FEEDBACK_LOOPS):
        return None
    if not read_returned(part.content).asked:
        return None
    return _complaint(mail, Told((ReportedRecipient(action="complaint"),)), standard=False)


def _complaint(mail: _Mail, told: Told, *, standard: bool = True) -> Verdict:
    returned = _returned(mail, "")
    recipients = told.recipients
    named = returned.asked or returned.to
    if len(recipients) == 1 and not recipients[0].address and len(named) == 1:
        recipients = (replace(recipients[0], address=named[0]),)
    return MessageKind.COMPLAINT, _report(mail, returned, told.message_id, recipients, standard)


def _delivery(mail: _Mail, told: Told, *, standard: bool = True) -> Verdict | None:
    if not told.recipients:
        return _notice(mail)
    notice = _notice_text(mail)
    returned = _returned(mail, notice)
    words = read_words(mail.message.subject, _before(notice, returned))
    kind = _kind_of({r.action for r in told.recipients}, words)
    recipients = _completed(mail, told.recipients, kind, notice, returned)
    return kind, _report(mail, returned, told.message_id, recipients, standard)


def _kind_of(actions: set[str], words: Words) -> MessageKind:
    if "failed" in actions:
        return MessageKind.BOUNCE
    if "delayed" in actions:
        return MessageKind.DELAY
    if actions & {"delivered", "relayed", "expanded"}:
        return MessageKind.RECEIPT
    return _kind_by_words(words)


def _kind_by_words(words: Words) -> MessageKind:
    if words.delayed:
        return MessageKind.DELAY
    if words.success and not words.failed:
        return MessageKind.RECEIPT
    return MessageKind.BOUNCE


_ACTION_OF = {
    MessageKind.BOUNCE: "failed",
    MessageKind.DELAY: "delayed",
    MessageKind.RECEIPT: "delivered",
}


def _completed(
    mail: _Mail,
    recipients: tuple[ReportedRecipient, ...],
    kind: MessageKind,
    notice: str,
    returned: Returned,
) -> tuple[ReportedRecipient, ...]:
    """What the fields leave open, from the words beside them."""
    if all(r.address and r.diagnostic for r in recipients):
        return recipients
    action = _ACTION_OF[kind]
    if len(recipients) == 1:
        read = _read_recipients(mail, notice, returned, action, recipients[0].address)
    else:
        read = _read_recipients(mail, notice, returned, action)
    return tuple(_filled(one, read, alone=len(recipients) == 1) for one in recipients)


def _filled(
    one: ReportedRecipient, read: Sequence[ReportedRecipient], *, alone: bool
) -> ReportedRecipient:
    same = (r for r in read if r.address.lower() == one.address.lower())
    words = next(same, read[0] if read and alone else None)
    if words is None or one.diagnostic:
        return replace(one, address=one.address or (words.address if words else ""))
    status = refined(one.status, words.diagnostic)
    return replace(
        one,
        address=one.address or words.address,
        status=status,
        diagnostic=words.diagnostic,
        hard=one.action == "failed" and is_hard(status, words.diagnostic),
    )


def _disposition(mail: _Mail, told: Told) -> Verdict | None:
    """A mail server that answers with a disposition rejected the message for its recipient: by rule, or
    for want of space (RFC 5429, 2.2.1). Everything else is a receipt."""
    notice = _notice_text(mail)
    returned = _returned(mail, notice)
    words = read_words(mail.message.subject, _before(notice, returned))
    recipients = told.recipients
    kind = MessageKind.RECEIPT
    displayed = any(r.action == "displayed" for r in recipients)
    if mail.signs.server and words.rejected and not displayed:
        kind = MessageKind.BOUNCE
        address = recipients[0].address if recipients else ""
        recipients = _read_recipients(mail, notice, returned, "failed", address)
    return kind, _report(
        mail, returned, told.message_id, recipients, standard=bool(told.recipients)
    )


def _notice(mail: _Mail) -> Verdict | None:
    """A report in words, by a mail server."""
    signs = mail.signs
    if not (mail.is_from_machine or mail.is_report or signs.gateway or signs.robot):
        return None
    if mail.message.report_type not in OF_DELIVERY:
        return None
    if not (mail.is_from_machine or _speaks_of_failure(mail.message)):
        return None
    notice = _notice_text(mail)
    returned = _returned(mail, notice)
    told = _before(notice, returned)
    words = read_words(mail.message.subject, told)
    if not _is_notice(mail, words, told, returned):
        return None
    written = told.encode("utf-8", "replace")
    if is_delivery_status(written) and (fields := read_delivery_status(written)).recipients:
        kind = _kind_of({r.action for r in fields.recipients}, words)
        return kind, _report(mail, returned, fields.message_id, fields.recipients, standard=False)
    kind = _kind_by_words(words)
    recipients = _read_recipients(mail, notice, returned, _ACTION_OF[kind])
    return kind, _report(mail, returned, "", recipients, standard=False)


def _speaks_of_failure(message: ParsedMessage) -> bool:
    """Asked before anything dear is done: robots write most of the mail there is."""
    body = message.text or _TAG.sub(" ", message.html[:MAX_LOOK])
    return says_failed(message.subject) or says_failed(body[:MAX_ROBOT_NOTICE])


def _is_notice(mail: _Mail, words: Words, told: str, returned: Returned) -> bool:
    """The less is known of the sender, the more must speak for it."""
    signs, message = mail.signs, mail.message
    if signs.failed_recipients:
        return True
    if not words.any or is_forward_subject(message.subject):
        return False
    if signs.daemon or message.report_type or (signs.server and signs.null_path):
        return True
    if is_reply_subject(message.subject) and not signs.null_path:
        return False
    own = _own(message)
    if signs.server or signs.nobody:
        named = names_other(told, own, loosely=says_failed(message.subject))
        return signs.automatic or returned.found or named
    if not words.failed or signs.seems_automatic:
        return False
    if not (words.coded or returned.found or says_failed(message.subject)):
        return False
    ours = not {address.lower() for address in own}.isdisjoint(a.lower() for a in returned.senders)
    machine = signs.gateway or signs.null_path
    return ours or (machine and (returned.found or names_other(told, own)))


def _own(message: ParsedMessage) -> set[str]:
    return {a.address for a in (*message.to, *message.senders)}


def _notice_text(mail: _Mail) -> str:
    """What a person is to read of it; the original below it is not yet cut off."""
    text = mail.message.text
    if not text.strip() and mail.message.html:
        text = text_of(mail.message.html[:MAX_NOTICE])
    if not text.strip() and mail.leaves and mail.leaves[0].content_type == "text/plain":
        text, _ = decode_text(mail.leaves[0].content[:MAX_NOTICE])
    return text[:MAX_NOTICE]


def _returned(mail: _Mail, notice: str) -> Returned:
    inline = find_returned(notice)
    part = returned_part(mail.leaves)
    if part is None:
        return inline
    return replace(read_returned(part.content), notice_end=inline.notice_end)


def _before(notice: str, returned: Returned) -> str:
    return notice[: returned.notice_end] if returned.notice_end >= 0 else notice


def _read_recipients(
    mail: _Mail, notice: str, returned: Returned, action: str, known: str = ""
) -> tuple[ReportedRecipient, ...]:
    own = _own(mail.message) | set(returned.senders)
    return read_recipients(
        _before(notice, returned),
        action=action,
        known=(known,) if known else mail.signs.failed_recipients,
        returned_to=returned.to,
        own=own,
    )


def _told_subject(mail: _Mail) -> str:
    return told_subject(_notice_text(mail))


def _report(
    mail: _Mail,
    returned: Returned,
    message_id: str,
    recipients: tuple[ReportedRecipient, ...],
    standard: bool,
) -> DeliveryReport:
    """Some servers return no header, but answer the message (In-Reply-To)."""
    message = mail.message
    answered = message.in_reply_to or (message.references[-1] if message.references else "")
    return DeliveryReport(
        recipients=recipients,
        message_id=message_id or returned.message_id or answered,
        returned_subject=returned.subject or ("" if returned.found else _told_subject(mail)),
        returned_to=returned.to,
        returned_date=returned.date,
        standard=standard,
    )
