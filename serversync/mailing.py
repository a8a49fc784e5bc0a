"""`send_email`: how other Django code of the site sends mail through a mailbox (docs/sending.md).

It writes rows in the caller's transaction and nothing else: the mailbox is woken by the commit, and a
rollback leaves neither an e-mail nor a job.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from mimetypes import guess_type
from pathlib import PurePath
from typing import Any

from django.core.files.base import File
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from activities import blobs
from activities.choices import Priority
from activities.mime.automatic import OWN_HEADER, Machine
from activities.mime.compose import (
    check_field,
    check_message_id,
    is_alternative,
    write_address,
)
from activities.mime.message import Address, Attachment
from activities.models import Email, IdempotencyKey
from activities.outgoing import extras_of
from activities.store import NewAttachment, new_attachment
from mailboxes.models import Mailbox, Organization, Queue, SystemUser
from serversync.outbox import Draft, Refused, create_draft, submit, written

__all__ = ["Attachment", "Files", "Refused", "prepare", "read_address", "send_email"]

From = SystemUser | Queue | Mailbox | str
Recipient = str | Address
Given = Attachment | File | tuple[str, str | bytes] | tuple[str, str | bytes, str | None]  # type: ignore[type-arg]

#: Header fields that mail may bear only as what it is, or that servers write.
_NOT_GIVEN = {
    "auto-submitted", OWN_HEADER.lower(), "dkim-signature", "received", "return-path", "keywords",
}  # fmt: skip
_NO_HEADERS: Mapping[str, str] = {}

_BREAKS = re.compile(r"[\r\n\0]")
_NAMED = re.compile(r"([^<>]*)<([^<>]+)>")
_QUOTED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Files:
    """Attachments whose bytes are stored already; see `prepare`."""

    rows: tuple[NewAttachment, ...]
    staged: blobs.Staged


def prepare(*attachments: Given) -> Files:
    """Store the bytes of attachments, outside the transaction that sends them: large ones are files, and
    writing them takes a while. What is prepared and never sent is removed after a day."""
    staged = blobs.Staged()
    rows = tuple(new_attachment(_attachment(one), staged) for one in attachments)
    blobs.stage(staged)
    return Files(rows, staged)


def send_email(
    *,
    by: SystemUser | None,
    sender: From,
    to: Recipient | Sequence[Recipient] = (),
    cc: Recipient | Sequence[Recipient] = (),
    bcc: Recipient | Sequence[Recipient] = (),
    reply_to: Recipient | Sequence[Recipient] = (),
    subject: str = "",
    text: str = "",
    html: str = "",
    attachments: Files | Sequence[Given] = (),
    regarding: models.Model | None = None,
    answers: Email | None = None,
    importance: Priority = Priority.NORMAL,
    delivery_priority: Priority = Priority.NORMAL,
    read_receipt: bool = False,
    delivery_receipt: bool = False,
    send_later: datetime | None = None,
    category: str = "",
    headers: Mapping[str, str] = _NO_HEADERS,
    from_name: str = "",
    message_id: str = "",
    alternatives: Sequence[tuple[str, str]] = (),
    automatic: bool | None = None,
    to_anybody: bool = False,
    idempotency_key: str = "",
    now: datetime | None = None,
) -> Email:
    """Put an e-mail into the send queue, in the caller's transaction. Raises Refused with everything that
    is missing, at once.

    `by`: on whose behalf, with that user's rights; None: the site itself, which may use any sender.
    `sender`: a user, a queue, their mailbox or its address. `text`, `html`: one of them or both.
    `answers`: the e-mail in whose thread it goes on. `headers`: further fields. `alternatives`: further
    forms of the body, as (content type, text). `automatic`: whether it says that a machine wrote it (R5.31);
    without, mail of the site itself does. `to_anybody`: the site itself may write to addresses without a
    record (R5.4).

    `message_id`: instead of one that is made; it serves as the key where there is none.
    `idempotency_key`: kept for good. Whoever calls again with it gets the e-mail that is there, and none is
    sent; with another content it is refused. Times and priorities don't count as content.
    """
    message_id = _bare(message_id)
    wanted = _Wanted(sender, to, cc, bcc, reply_to, headers, attachments)
    machine = Machine.NOTICE.value if (by is None if automatic is None else automatic) else ""
    extras = {
        "text": text if html else "",
        "headers": [list(pair) for pair in headers.items()],
        "alternatives": [list(pair) for pair in alternatives],
        "from_name": from_name,
        "machine": machine,
    }
    wanted.check_id(message_id)
    wanted.check_subject(subject)
    wanted.check_stored(from_name, category, alternatives)
    if to_anybody and by is not None:
        wanted.reasons.append(
            _("Only the site itself may write to anybody. Leave out by, or to_anybody. (R5.4)")
        )
    if send_later is not None and timezone.is_naive(send_later):
        wanted.reasons.append(_("The time to send it has no time zone. Give an aware one."))
        send_later = None
    with transaction.atomic():
        key = _Key(
            idempotency_key or message_id, wanted.digest(subject, text, html, regarding, extras)
        )
        if key.email is not None:
            return key.email
        if wanted.party is None:
            raise Refused(wanted.reasons)
        draft = Draft(
            sender=wanted.party,
            to=wanted.to,
            cc=wanted.cc,
            bcc=wanted.bcc,
            reply_to=wanted.reply_to,
            subject=subject,
            body=html or text,
            is_html=bool(html),
            regarding=regarding,
            importance=importance,
            delivery_priority=delivery_priority,
            read_receipt=read_receipt,
            delivery_receipt=delivery_receipt,
            send_later=send_later,
            category=category,
        )
        now = now or timezone.now()
        email = create_draft(
            draft,
            actor=by,
            now=now,
            parent=answers,
            answers=answers is not None,
            attachments=wanted.files.rows,
            staged=wanted.files.staged,
        )
        Email.objects.filter(pk=email.pk).update(
            extras=extras_of(html or text, extras), message_id=message_id
        )
        email = _submitted(email, by, now, to_anybody, wanted.reasons)
        key.keep(email)
    return email


def _submitted(
    email: Email, by: SystemUser | None, now: datetime, to_anybody: bool, reasons: Sequence[str]
) -> Email:
    """What `submit` finds missing is told together with what was found before."""
    try:
        sent = submit(email, actor=by, now=now, to_anybody=to_anybody)
    except Refused as refusal:
        raise Refused([*reasons, *refusal.reasons]) from None
    if reasons:
        raise Refused(reasons)
    return sent.email


class _Wanted:
    """What the caller gave, as the rows need it. `reasons`: what is wrong with it."""

    def __init__(
        self,
        sender: From,
        to: Recipient | Sequence[Recipient],
        cc: Recipient | Sequence[Recipient],
        bcc: Recipient | Sequence[Recipient],
        reply_to: Recipient | Sequence[Recipient],
        headers: Mapping[str, str],
        attachments: Files | Sequence[Given],
    ) -> None:
        self.reasons: list[str] = []
        self.party = self._party(sender)
        self.to = self._addresses("to", to)
        self.cc = self._addresses("cc", cc)
        self.bcc = self._addresses("bcc", bcc)
        self.reply_to = self._addresses("reply_to", reply_to)
        self._check_headers(headers)
        self.files = self._files(attachments)

    def digest(
        self, subject: str, text: str, html: str, regarding: models.Model | None, extras: Any
    ) -> str:
        """Of what makes the e-mail what it is."""
        about = [regarding._meta.label_lower, str(regarding.pk)] if regarding is not None else []
        lists = [
            sorted({address.key or address.address for address in addresses})
            for addresses in (self.to, self.cc, self.bcc, self.reply_to)
        ]
        files = [[row.file_name, row.mime_type, row.sha256] for row in self.files.rows]
        of = str(self.party.pk) if self.party else ""
        parts = [of, lists, subject, text, html, about, extras, files]
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _party(self, sender: From) -> SystemUser | Queue | None:
        if isinstance(sender, SystemUser | Queue):
            return sender
        if isinstance(sender, Mailbox):
            parties = {sender.regarding_user or sender.regarding_queue}
            return self._only(parties, sender.email_address or sender.name)
        rows = Mailbox.objects.filter(email_address__iexact=sender.strip())
        found = rows.exclude(email_address="").select_related("regarding_user", "regarding_queue")
        return self._only({row.regarding_user or row.regarding_queue for row in found}, sender)

    def _only(
        self, parties: set[SystemUser | Queue | None], address: str
    ) -> SystemUser | Queue | None:
        one = next(iter(parties)) if len(parties) == 1 else None
        if one is None:
            self.reasons.append(
                _(
                    "“%(address)s” is the address of no user and no queue, or of several, so nothing "
                    "can be sent from there. Name one, or enter the address. (R5.3)"
                )
                % {"address": address}
            )
        return one

    def _addresses(self, field: str, given: Recipient | Sequence[Recipient]) -> tuple[Address, ...]:
        """Each once. What is none is a reason, and left out."""
        some = [given] if isinstance(given, str | Address) else given
        found: dict[str, Address] = {}
        for one in some:
            address = one if isinstance(one, Address) else read_address(one)
            try:
                write_address(address)
            except ValueError:
                self.reasons.append(
                    _("%(field)s: “%(address)s” is no address. Correct it. (R5.3)")
                    % {"field": field, "address": address.address}
                )
            else:
                found.setdefault(address.key or address.address, address)
        return tuple(found.values())

    def check_id(self, message_id: str) -> None:
        try:
            check_message_id(message_id or "none")
        except ValueError:
            self.reasons.append(_("This can't be a Message-ID: “%(id)s”.") % {"id": message_id})

    def check_subject(self, subject: str) -> None:
        if _BREAKS.search(subject):
            self.reasons.append(_("The subject holds a line break. Take it out."))

    def check_stored(
        self, from_name: str, category: str, alternatives: Sequence[tuple[str, str]]
    ) -> None:
        """What could be stored, or only a part of it, and be no message when its turn comes."""
        names = (row.file_name for row in self.files.rows)
        for field, is_wrong in (
            ("From", _BREAKS.search(from_name)),
            ("Keywords", _BREAKS.search(category) or _is_longer(category, "category")),
            ("Reply-To", _is_longer(written(self.reply_to), "reply_to")),
            ("Content-Disposition", any(map(_BREAKS.search, names))),
            ("Content-Type", not all(is_alternative(kind) for kind, _text in alternatives)),
        ):
            if is_wrong:
                self._refuse_field(field)

    def _check_headers(self, headers: Mapping[str, str]) -> None:
        for name, value in headers.items():
            try:
                if name.lower() in _NOT_GIVEN or name.lower().startswith("resent-"):
                    raise ValueError(name)
                check_field(name, value)
            except ValueError:
                self._refuse_field(name)

    def _refuse_field(self, name: str) -> None:
        self.reasons.append(
            _("The header field “%(name)s” can't be given, or not with this value.")
            % {"name": name}
        )

    def _files(self, given: Files | Sequence[Given]) -> Files:
        files = given if isinstance(given, Files) else _staged(given)
        limit = Organization.objects.current().max_upload_file_size_kb
        for row in files.rows:
            if row.size > limit * 1024:
                self.reasons.append(
                    _(
                        "“%(name)s” is larger than the %(limit)s KB that the organization allows. "
                        "Send a smaller file, or raise the limit. (R5.20, R3.51)"
                    )
                    % {"name": row.file_name, "limit": limit}
                )
        return files


def _is_longer(text: str, column: str) -> bool:
    """Cut off, the last of several addresses might be somebody else's."""
    most: int = Email._meta.get_field(column).max_length  # type: ignore[union-attr, assignment]
    return len(text) > most


def read_address(text: str) -> Address:
    """“Ada <ada@example.com>”, or bare. One text is one address: what somebody typed into a form can't
    add another."""
    found = _NAMED.fullmatch(text.strip())
    if found is None:
        return Address(text.strip())
    name = found[1].strip()
    if len(name) > 1 and name.startswith('"') and name.endswith('"'):
        name = _QUOTED.sub(r"\1", name[1:-1])
    return Address(found[2].strip(), name)


def _bare(message_id: str) -> str:
    return message_id.strip().removeprefix("<").removesuffix(">")


# -- attachments ---------------------------------------------------------------------------------


def _staged(given: Sequence[Given]) -> Files:
    staged = blobs.Staged()
    return Files(tuple(new_attachment(_attachment(one), staged) for one in given), staged)


def _attachment(given: Given) -> Attachment:
    if isinstance(given, Attachment):
        return given
    if isinstance(given, File):
        name = PurePath(str(given.name or "")).name
        with given.open("rb") as file:
            return Attachment(name, _type_of(name), file.read())
    name, content = given[0], given[1]
    octets = content.encode() if isinstance(content, str) else bytes(content)
    return Attachment(name, (given[2] if len(given) > 2 else None) or _type_of(name), octets)


def _type_of(name: str) -> str:
    return guess_type(name)[0] or "application/octet-stream"


# -- the same call again -------------------------------------------------------------------------


class _Key:
    """A caller's key, taken in this transaction, or the e-mail that it stands for already. Of two
    callers at a time the second waits for the first one's commit."""

    def __init__(self, key: str, digest: str) -> None:
        self.key = key
        self.row: IdempotencyKey | None = None
        self.email: Email | None = None
        if key:
            self._take(digest)

    def keep(self, email: Email) -> None:
        if self.row is not None:
            IdempotencyKey.objects.filter(pk=self.row.pk).update(email=email)

    def _take(self, digest: str) -> None:
        if len(self.key) > IdempotencyKey.LONGEST:
            raise Refused(
                [
                    _("An idempotency key has at most %(most)d characters.")
                    % {"most": IdempotencyKey.LONGEST}
                ]
            )
        own = IdempotencyKey(key=self.key, digest=digest)
        IdempotencyKey.objects.bulk_create([own], ignore_conflicts=True)
        standing = IdempotencyKey.objects.select_related("email__activity").get(key=self.key)
        if standing.pk == own.pk:
            self.row = own
            return
        if standing.digest != digest:
            raise Refused([self._said(_("was used for another email, with another content"))])
        if standing.email is None:
            raise Refused([self._said(_("was used for an email that has been deleted since"))])
        self.email = standing.email

    def _said(self, what: str) -> str:
        return _("The idempotency key “%(key)s” %(what)s. Nothing was sent.") % {
            "key": self.key,
            "what": what,
        }
