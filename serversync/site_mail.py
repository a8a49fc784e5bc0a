"""EMAIL_BACKEND of Django: what the site's code sends by `send_mail`, password resets and `mail_admins`
leaves through a mailbox, with its queue, its attempts and its page (R5.34, docs/sending.md).

The rows are written in the caller's transaction; there is no connection to open or to close. All messages
of one call are written, or none, so whoever calls again after an error doubles nothing.
"""

import logging
from collections.abc import Mapping, Sequence
from email.message import Message
from mimetypes import guess_type
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.db import DatabaseError, transaction
from django.utils.translation import gettext as _

from activities.choices import Priority
from activities.mime.compose import is_alternative
from activities.mime.message import Address, Attachment
from mailboxes.models import Mailbox
from serversync.mailing import Refused, read_address, send_email

log = logging.getLogger(__name__)

#: Fields of EmailMessage.headers that are something else here; the others go along as they are.
_READ = frozenset(
    {
        "from", "reply-to", "message-id", "importance", "x-priority", "auto-submitted",
        "idempotency-key",
    }
)  # fmt: skip


class MailboxBackend(BaseEmailBackend):
    """Chosen by SITE_MAIL_SENDER."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """How many were put into the queue. Raises Refused, and then none was; `fail_silently` leaves out
        what is refused, and logs it."""
        if not self.fail_silently:
            with transaction.atomic():
                return sum(map(_send, email_messages))
        return sum(map(_send_if_possible, email_messages))


def _send_if_possible(message: EmailMessage) -> bool:
    try:
        with transaction.atomic():
            return _send(message)
    except (Refused, DatabaseError) as error:
        log.warning("Mail of the site's code was not sent: %s", error)
        return False


def _send(message: EmailMessage) -> bool:
    """False: it has no recipients, and Django sends none of these."""
    if not message.recipients():
        return False
    fields = {name.lower(): str(value) for name, value in message.extra_headers.items()}
    author = read_address(fields.get("from") or message.from_email)
    forms = _Forms(message)
    send_email(
        by=None,
        sender=sender_for(author.address),
        from_name=author.name if _is_ours(author.address) else "",
        to=[str(one) for one in message.to if one],
        cc=[str(one) for one in message.cc if one],
        bcc=[str(one) for one in message.bcc if one],
        reply_to=_reply_to(message, fields, author),
        subject=str(message.subject),
        text=forms.text,
        html=forms.html,
        alternatives=forms.others,
        attachments=[_attachment(one) for one in message.attachments],
        importance=_importance(fields),
        headers=_others(message.extra_headers),
        message_id=fields.get("message-id", ""),
        automatic=fields.get("auto-submitted", "").strip().lower() != "no",
        to_anybody=True,
        idempotency_key=fields.get("idempotency-key", ""),
    )
    return True


# -- who sends -----------------------------------------------------------------------------------


def sender_for(address: str) -> str:
    """The mailbox that mail from this address leaves through: the one that SITE_MAIL_SENDERS names, else
    its own if a user or queue has it, else the default. "": there is none."""
    mapped: str = settings.SITE_MAIL_SENDERS.get(address.lower(), "")
    if mapped or is_own(address):
        return mapped or address
    return str(settings.SITE_MAIL_SENDER)


def is_own(address: str) -> bool:
    rows = Mailbox.objects.filter(email_address__iexact=address).exclude(email_address="")
    return rows.exclude(regarding_user=None, regarding_queue=None).exists()


def _is_ours(address: str) -> bool:
    """Stands it for the site, whoever reads it? Then its name does, too."""
    known = {settings.DEFAULT_FROM_EMAIL, settings.SERVER_EMAIL}
    defaults = {read_address(one).address.lower() for one in known}
    return address.lower() in defaults | set(settings.SITE_MAIL_SENDERS) or is_own(address)


# -- what it says --------------------------------------------------------------------------------


class _Forms:
    """The body, in the forms that were given."""

    def __init__(self, message: EmailMessage) -> None:
        self.text, self.html = "", ""
        self.others: list[tuple[str, str]] = []
        self._take(f"text/{message.content_subtype}", message.body)
        for content, kind in getattr(message, "alternatives", ()):
            self._take(kind, content)

    def _take(self, kind: str, content: Any) -> None:
        known = {"text/plain": "text", "text/html": "html"}.get(kind.lower())
        if known and not getattr(self, known):
            setattr(self, known, str(content))
        elif is_alternative(kind) and isinstance(content, str):
            self.others.append((kind.lower(), content))
        elif content:
            raise Refused([_("The body has a form that can't be sent: %(kind)s.") % {"kind": kind}])


def _attachment(given: Any) -> Attachment:
    if isinstance(given, Message):
        return _of_mime(given)
    name, content, kind = given
    kind = kind or guess_type(name or "")[0] or "application/octet-stream"
    if isinstance(content, EmailMessage):
        content = content.message()
    if isinstance(content, Message):
        content = content.as_bytes()
    octets = content.encode() if isinstance(content, str) else bytes(content)
    return Attachment(name or "", kind, octets)


def _of_mime(part: Message) -> Attachment:
    kind = part.get_content_type()
    content_id = str(part.get("Content-ID", "")).strip().removeprefix("<").removesuffix(">")
    inline = bool(content_id) and part.get_content_disposition() != "attachment"
    return Attachment(part.get_filename() or "", kind, _octets(part), content_id, inline)


def _octets(part: Message) -> bytes:
    """A message as it is; of anything else what is encoded in it."""
    if part.get_content_type() == "message/rfc822" and part.is_multipart():
        original = part.get_payload(0)
        return original.as_bytes() if isinstance(original, Message) else b""
    if part.is_multipart():
        words = _("An attachment of several parts can't be sent: %(kind)s.")
        raise Refused([words % {"kind": part.get_content_type()}])
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _reply_to(message: EmailMessage, fields: Mapping[str, str], author: Address) -> list[str]:
    """Whom answers are for; of mail in the name of somebody else, that one."""
    given = [str(one) for one in message.reply_to]
    if not given and "reply-to" in fields:
        given = [fields["reply-to"]]
    return given or ([] if _is_ours(author.address) else [author.address])


def _importance(fields: Mapping[str, str]) -> Priority:
    said = fields.get("importance", "").lower() or fields.get("x-priority", "")[:1]
    if said in ("high", "1", "2"):
        return Priority.HIGH
    return Priority.LOW if said in ("low", "4", "5") else Priority.NORMAL


def _others(headers: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in headers.items() if name.lower() not in _READ}
