"""From e-mail rows to envelopes: the bytes and addresses of what is to be sent.

Reads what a batch needs in a fixed number of statements. Bcc goes into the envelope only (R5.22).
The rows alone decide the bytes, so that every attempt hands over the same message.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import getaddresses
from hashlib import sha256
from typing import Any, Self
from uuid import UUID

from django.utils.translation import gettext as _

from activities import blobs
from activities.choices import RECIPIENTS, DeliveryResult, ParticipationType
from activities.html import html_of
from activities.mime.automatic import Fields, Machine, fields_of
from activities.mime.compose import compose
from activities.mime.dkim import Signer
from activities.mime.message import Address, Attachment, OutgoingMessage
from activities.models import ActivityMimeAttachment, ActivityParty, Email
from activities.redirecting import redirected
from activities.signing import signer_of
from mailboxes.models import Mailbox, Organization
from mailboxes.protocols.base import Envelope
from mailboxes.redirect import redirect_address


@dataclass(frozen=True, slots=True)
class Recipients:
    """Bare addresses of the envelope, each once; and those of them that no header names."""

    all: tuple[str, ...]
    bcc: tuple[Address, ...] = ()


class UnsendableError(Exception):
    """This e-mail can't be turned into a message; the text says why and what to do."""

    code = "MessageRefused"


def envelopes(
    emails: Sequence[Email],
    mailbox: Mailbox,
    organization: Organization,
    begun: Collection[UUID] = (),
) -> dict[UUID, Envelope | UnsendableError]:
    """E-mail key -> what to hand over, or why not. Two statements and the attachments' bytes. `begun`:
    those that some have got by an earlier attempt, so that this one is for the others alone. Raises
    SignatureImpossible about all of them."""
    parties: dict[UUID, list[ActivityParty]] = defaultdict(list)
    keys = [email.pk for email in emails]
    for party in ActivityParty.objects.filter(activity_id__in=keys):
        parties[party.activity_id].append(party)
    files: dict[UUID, list[ActivityMimeAttachment]] = defaultdict(list)
    if any(email.attachment_count for email in emails):
        rows = ActivityMimeAttachment.objects.filter(activity_id__in=keys)
        for file in rows.select_related("attachment"):
            files[file.activity_id].append(file)
    profile = mailbox.email_server_profile
    charset = (profile.encoding_code_page if profile else "") or "utf-8"
    signer = signer_of(profile)
    made: dict[UUID, Envelope | UnsendableError] = {}
    for email in emails:
        try:
            made[email.pk] = sealed(
                *_message(
                    email,
                    parties[email.pk],
                    files[email.pk],
                    mailbox,
                    charset,
                    begun=email.pk in begun,
                ),
                signer,
            )
        except UnsendableError as error:
            made[email.pk] = error
        except (ValueError, blobs.BytesMissing) as error:
            made[email.pk] = UnsendableError(str(error))
    return made


@dataclass(frozen=True, slots=True)
class Given:
    """What the site's code gave besides columns. Forms of the body count only while it is the one that
    they were given with: a person may have edited the e-mail since."""

    text: str = ""
    alternatives: tuple[tuple[str, str], ...] = ()
    headers: Fields = ()
    from_name: str = ""
    machine: str = ""

    @classmethod
    def of(cls, email: Email) -> Self:
        extras: dict[str, Any] = email.extras
        if not extras:
            return cls()
        same = extras.get("body") == _digest(email.description)
        return cls(
            text=extras.get("text", "") if same else "",
            alternatives=_pairs(extras.get("alternatives")) if same else (),
            headers=_pairs(extras.get("headers")),
            from_name=extras.get("from_name", ""),
            machine=extras.get("machine", ""),
        )


def extras_of(body: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """As it is stored, without what is empty; {} if all is."""
    kept = {name: value for name, value in given.items() if value}
    return {"body": _digest(body), **kept} if kept else {}


def _digest(body: str) -> str:
    return sha256(body.encode("utf-8", "replace")).hexdigest()[:32]


def _pairs(rows: Any) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), str(value)) for name, value in rows or ())


def keep_originals(batch: Sequence[tuple[Email, str]], staged: blobs.Staged) -> None:
    """Let each e-mail refer to the bytes with this digest, which are about to be handed over. Three
    statements at most. Call `blobs.stage` before the transaction, and this in it."""
    rows = blobs.save(staged)
    changed = []
    for email, digest in batch:
        key = rows[digest]
        if email.mime_id != key:
            email.mime_id = key
            changed.append(email)
    if changed:
        Email.objects.bulk_update(changed, ["mime"])


def _message(
    email: Email,
    parties: Sequence[ActivityParty],
    files: Sequence[ActivityMimeAttachment],
    mailbox: Mailbox,
    charset: str,
    *,
    begun: bool,
) -> tuple[OutgoingMessage, Recipients]:
    def of(role: ParticipationType) -> tuple[Address, ...]:
        return tuple(
            Address(party.address_used, party.unresolved_party_name)
            for party in parties
            if party.participation_type_mask == role and party.address_used
        )

    everybody = _each_once(
        party.address_used
        for party in _wanting(parties, begun)
        if party.participation_type_mask in RECIPIENTS and party.address_used
    )
    if not everybody:
        raise UnsendableError(_("No recipient has an address. Add one and send again. (R5.3)"))
    senders = of(ParticipationType.SENDER)
    name = senders[0].name if senders else ""
    on_behalf = _is_on_behalf(parties, mailbox)
    address = email.sender if on_behalf else mailbox.email_address
    is_html = email.mime_type == "text/html"
    given = Given.of(email)
    message = OutgoingMessage(
        message_id=email.message_id,
        sender=Address(address, given.from_name or name),
        submitter=Address(mailbox.email_address, mailbox.name) if on_behalf else None,
        reply_to=_addresses(email.reply_to),
        to=of(ParticipationType.TO),
        cc=of(ParticipationType.CC),
        subject=email.activity.subject,
        html=email.description if is_html else html_of(email.description),
        text=given.text if is_html else email.description,
        alternatives=given.alternatives,
        date=_date_of(email),
        in_reply_to=email.in_reply_to,
        references=tuple(email.references),
        importance=email.priority_code,
        read_receipt_to=address if email.read_receipt_requested else "",
        delivery_receipt_to=address if email.delivery_receipt_requested else "",
        charset=charset,
        attachments=tuple(
            Attachment(
                filename=file.file_name,
                content_type=file.mime_type or "application/octet-stream",
                content=blobs.read(file.attachment),
                content_id=file.attachment_content_id,
                inline=file.is_inline,
            )
            for file in files
        ),
        extra_headers=(*_marks(email, given), *_keywords(email), *given.headers),
    )
    return message, Recipients(everybody, of(ParticipationType.BCC))


def sealed(
    message: OutgoingMessage, recipients: Recipients, signer: Signer | None = None
) -> Envelope:
    """The bytes, and whom they go to: the only way from a message to an envelope. Where all mail is
    redirected, it goes there and says so (R5.30). Signed last of all (R5.32)."""
    everybody, address = recipients.all, redirect_address()
    if address:
        message, everybody = redirected(message, address, recipients.bcc), (address,)
    mime = compose(message)
    return Envelope(
        message.message_id,
        message.sender.address,
        everybody,
        signer.sign(mime) if signer else mime,
        delivery_receipt=bool(message.delivery_receipt_to),
    )


def _each_once(addresses: Iterable[str]) -> tuple[str, ...]:
    """Case hardly ever matters in an address (RFC 5321, 2.4); the first spelling stays."""
    first: dict[str, str] = {}
    for address in addresses:
        first.setdefault(address.lower(), address)
    return tuple(first.values())


def _wanting(parties: Sequence[ActivityParty], begun: bool) -> Sequence[ActivityParty]:
    """All; or who has neither got it nor been refused for good, once an attempt got it to some (R5.16):
    nobody, if reports say meanwhile that the others have it, too."""
    untouched = (DeliveryResult.NONE, DeliveryResult.REFUSED, DeliveryResult.REDIRECTED)
    if not begun and all(party.delivery_result in untouched for party in parties):
        return parties
    left = [party for party in parties if party.delivery_result == DeliveryResult.NONE]
    some = any(party.participation_type_mask in RECIPIENTS for party in left)
    return left if begun or some else parties


def _is_on_behalf(parties: Sequence[ActivityParty], mailbox: Mailbox) -> bool:
    """Whether it leaves through another mailbox than that of its From party (R5.26)."""
    own = {str(mailbox.regarding_user_id), str(mailbox.regarding_queue_id)}
    sender = [p for p in parties if p.participation_type_mask == ParticipationType.SENDER]
    return any(party.party_id and party.party_id not in own for party in sender)


def _addresses(text: str) -> tuple[Address, ...]:
    """As they are written in a header."""
    return tuple(Address(address, name) for name, address in getaddresses([text]) if address)


def _keywords(email: Email) -> Fields:
    """What mail programs and Exchange show as categories (RFC 5322, 3.6.5)."""
    names = [name for each in email.category.split(",") if (name := each.strip())]
    return (("Keywords", ", ".join(names)),) if names else ()


def _marks(email: Email, given: Given) -> Fields:
    """What tells other machines, and ours, not to answer an automatic answer."""
    if email.is_workflow_created:
        return fields_of(Machine.ANSWER if email.in_reply_to else Machine.NOTICE)
    fields = fields_of(Machine(given.machine)) if given.machine else ()
    said = {name.lower() for name, _value in given.headers}
    return tuple(pair for pair in fields if pair[0].lower() not in said)


def _date_of(email: Email) -> datetime:
    """When its writer let it go, or wanted it to go (RFC 5322, 3.6.1)."""
    submitted = email.submitted_at or email.activity.created_on
    wanted = email.delayed_email_send_time
    return max(submitted, wanted) if wanted else submitted
