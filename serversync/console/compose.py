"""The form that an e-mail is written with: a thin skin over `serversync.outbox`."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from activities.bounced import bounced
from activities.choices import ParticipationType, Priority
from activities.html import html_of
from activities.mime.message import Address
from activities.models import ActivityMimeAttachment, ActivityParty, BouncedAddress, Email
from mailboxes.forms import DateAndTime
from mailboxes.models import Organization, uuid7
from serversync import outbox
from serversync.console.composefields import AddressesField, FilesField, LineField
from serversync.console.regarding import key_of, key_of_ref, record_at, regarding_choices
from serversync.outbox.recipients import unwilling_among
from serversync.outbox.rights import holds_override
from serversync.wordings import (
    Inserted,
    as_typed,
    below,
    insert_template,
    put_signature,
    signature_of,
    signatures_for,
    templates_for,
)

#: Where the part begins that a reply or a forward took over from its parent.
_QUOTED = re.compile(r"<br>\n(?=<p>[^<]*</p>\n<blockquote style=\"margin|<hr>\n<p><b>)")
#: The button after which the e-mail leaves, if nothing is to be asked before.
SENDS = "_send"


class ComposeForm(forms.Form):
    """`saved`: the draft, once it is stored, even if something after it was refused. `typed`: what stands
    in the boxes in place of what is stored. `bounced` and `unwilling`: of its recipients. `inserted`: what
    came of the template that was just chosen."""

    #: Of the e-mail that this form makes: pressed twice, or again after going back, it makes no second.
    new_id = forms.UUIDField(required=False, widget=forms.HiddenInput)
    sender = forms.ChoiceField(label=_("From"))
    to = AddressesField(label=_("To"), help_text=_("Several are separated by commas."))
    cc = AddressesField(label=_("Cc"))
    bcc = AddressesField(label=_("Bcc"), help_text=_("Nobody else sees these."))
    regarding = forms.ChoiceField(
        label=_("Regarding"),
        required=False,
        help_text=_("The record under which this email is filed."),
    )
    subject = LineField(label=_("Subject"), max_length=800, required=False)
    body = forms.CharField(
        label=_("Message"), required=False, strip=False, widget=forms.Textarea(attrs={"rows": 14})
    )
    is_html = forms.BooleanField(
        label=_("The message is HTML source"),
        required=False,
        help_text=_("Otherwise it is sent as it is typed."),
    )
    attach = FilesField(label=_("Attach files"), required=False)
    importance = forms.TypedChoiceField(
        label=_("Importance"), choices=Priority.choices, coerce=int, initial=Priority.NORMAL
    )
    delivery_priority = forms.TypedChoiceField(
        label=_("Delivery priority"), choices=Priority.choices, coerce=int, initial=Priority.NORMAL
    )
    send_later = forms.SplitDateTimeField(label=_("Send later"), required=False, widget=DateAndTime)
    reply_to = AddressesField(
        label=_("Replies go to"), help_text=_("Empty: to the sender. (R5.22)"), max_length=500
    )
    category = LineField(
        label=_("Categories"),
        max_length=250,
        required=False,
        help_text=_("Names separated by commas; recipients may sort by them. (R5.22)"),
    )
    read_receipt = forms.BooleanField(label=_("Request a read receipt"), required=False)
    delivery_receipt = forms.BooleanField(label=_("Request a delivery receipt"), required=False)
    template = forms.ChoiceField(
        label=_("Template"),
        required=False,
        help_text=_("Its text goes before what is written; its subject fills an empty one."),
    )
    signature = forms.ChoiceField(
        label=_("Signature"),
        required=False,
        help_text=_("It takes the place of the one that stands at the end."),
    )
    despite_bounces = forms.BooleanField(
        label=_("Send to these addresses all the same"), required=False
    )
    despite_do_not_email = forms.BooleanField(
        label=_("Send to them all the same; the email keeps that I did"), required=False
    )

    HEAD = ("sender", "to", "cc", "bcc", "regarding", "subject")
    OPTIONS = (
        "importance", "delivery_priority", "send_later", "reply_to", "category",
        "read_receipt", "delivery_receipt",
    )  # fmt: skip

    def __init__(
        self,
        data: Any = None,
        files: Any = None,
        *,
        actor: Any,
        email: Email | None,
        typed: dict[str, Any] | None = None,
    ) -> None:
        self.actor = actor
        self.email = email
        self.saved: Email | None = None
        self.inserted: Inserted | None = None
        self.quoted = ""
        self.bounced: list[BouncedAddress] = []
        self.unwilling: list[str] = []
        self.may_override = holds_override(actor)
        self.attached = list(email.activity.attachments.all()) if email else []
        initial = self._stored(email) if email else self._empty(actor)
        super().__init__(data, files, initial=initial | (typed or {}))
        self.senders = {key_of(sender): sender for sender in outbox.senders_for(actor)}
        if self.initial.get("sender") not in self.senders:
            self.initial["sender"] = key_of(actor)
        self.templates = {str(one.pk): one for one in templates_for(actor)}
        self.signatures = {str(one.pk): one for one in signatures_for(actor)}
        self._offer("sender", list(self._sender_choices()))
        wanted = self.data.get("regarding") if self.is_bound else self.initial.get("regarding")
        self._offer("regarding", regarding_choices(actor, str(wanted or "")))
        for name, offered in (("template", self.templates), ("signature", self.signatures)):
            self._offer(name, [("", "–"), *((key, one.title) for key, one in offered.items())])

    def _offer(self, name: str, choices: list[Any]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    def _sender_choices(self) -> Iterator[tuple[str, str]]:
        for key, party in self.senders.items():
            yield key, f"{party} <{outbox.address_of(party) or __('no address')}>"

    def head(self) -> "Iterator[forms.BoundField]":
        return (self[name] for name in self.HEAD)

    def options(self) -> "Iterator[forms.BoundField]":
        """Fields that stand below a heading of their own."""
        return (self[name] for name in self.OPTIONS)

    def options_are_used(self) -> bool:
        """Then they are not folded away."""
        said = (self[name].value() for name in ("reply_to", "category"))
        later = self["send_later"]
        wrong = any(name in self.errors for name in self.OPTIONS)
        return bool(wrong or any(said) or (later.value() and any(_parts(later.value()))))

    def _empty(self, actor: Any) -> dict[str, Any]:
        """A new email begins above its writer's signature."""
        body, is_html = as_typed(below(signature_of(actor)))
        return {"body": body, "is_html": is_html, "new_id": uuid7()}

    def _stored(self, email: Email) -> dict[str, Any]:
        rows = list(ActivityParty.objects.filter(activity_id=email.pk).select_related("party_type"))
        sender = next(
            (r for r in rows if r.participation_type_mask == ParticipationType.SENDER), None
        )
        addresses = [row.address_used for row in rows if row != sender]
        self.bounced = bounced(addresses)
        self.unwilling = unwilling_among(addresses)
        body, is_html = email.description, email.mime_type == "text/html"
        if is_html:
            body, self.quoted = split_quoted(body)
            body, is_html = as_typed(body) if body.strip() else ("", False)
        pointer = email.activity
        return {
            "sender": key_of_ref(sender.party_type, sender.party_id) if sender else "",
            "to": _written(rows, ParticipationType.TO),
            "cc": _written(rows, ParticipationType.CC),
            "bcc": _written(rows, ParticipationType.BCC),
            "regarding": key_of_ref(pointer.regarding_type, pointer.regarding_id),
            "subject": pointer.subject,
            "body": body,
            "is_html": is_html,
            "importance": email.priority_code,
            "delivery_priority": email.delivery_priority_code,
            "send_later": email.delayed_email_send_time,
            "reply_to": email.reply_to,
            "category": email.category,
            "read_receipt": email.read_receipt_requested,
            "delivery_receipt": email.delivery_receipt_requested,
        }

    # -- templates and signatures

    def with_template(self) -> "ComposeForm":
        """What was typed, with the text of the chosen template before it; nothing is saved."""
        typed = self._typed()
        template = self.templates.get(str(typed.pop("template", "")))
        inserted = None
        if template is not None:
            inserted = insert_template(
                template,
                typed,
                actor=self.actor,
                sender=self._sender(typed),
                to=self._first_recipient(str(typed["to"] or "")),
                regarding=record_at(str(typed["regarding"] or ""), self.actor),
            )
        again = self._again(typed)
        again.inserted = inserted
        return again

    def with_signature(self) -> "ComposeForm":
        """What was typed, with the chosen signature at its end, or none; nothing is saved."""
        typed = self._typed()
        chosen = self.signatures.get(str(typed.pop("signature", "")))
        put_signature(
            chosen,
            typed,
            actor=self.actor,
            sender=self._sender(typed),
            known=self.signatures.values(),
        )
        return self._again(typed)

    def _typed(self) -> dict[str, Any]:
        return {bound.name: bound.value() for bound in self}

    def _again(self, typed: dict[str, Any]) -> "ComposeForm":
        return ComposeForm(actor=self.actor, email=self.email, typed=typed)

    def _sender(self, typed: dict[str, Any]) -> outbox.Sender:
        chosen: outbox.Sender = self.senders.get(str(typed["sender"]), self.actor)
        return chosen

    def _first_recipient(self, text: str) -> Address | None:
        try:
            found = AddressesField().clean(text)
        except ValidationError:
            return None
        return found[0] if found else None

    # -- sending

    def clean(self) -> dict[str, Any]:
        """Sending to where mail came back from, or where it isn't wanted, is asked about once; a draft is
        saved as it is."""
        data: dict[str, Any] = super().clean() or {}
        people = [*data.get("to", ()), *data.get("cc", ()), *data.get("bcc", ())]
        self.bounced = bounced(person.address for person in people)
        self.unwilling = unwilling_among(person.address for person in people)
        if SENDS in self.data and (questions := list(self._questions(data))):
            raise ValidationError(questions)
        return data

    def _questions(self, data: dict[str, Any]) -> Iterator[ValidationError]:
        if self.bounced and not data.get("despite_bounces"):
            yield ValidationError(
                _(
                    "Mail to %(addresses)s came back lately. Correct the address, or tick that it is"
                    " to be sent all the same. (R5.21)"
                ),
                params={"addresses": ", ".join(row.address for row in self.bounced)},
            )
        if self.unwilling and self.may_override and not data.get("despite_do_not_email"):
            yield ValidationError(
                _(
                    "%(addresses)s: these recipients do not want email. Remove them, or tick that it is"
                    " to be sent all the same. (R5.5)"
                ),
                params={"addresses": ", ".join(self.unwilling)},
            )

    # -- saving

    def changed_words(self) -> list[str]:
        changed = (self[name] for name in self.changed_data)
        return [str(bound.label) for bound in changed if not bound.is_hidden]

    def draft(self) -> outbox.Draft:
        data = self.cleaned_data
        body, is_html = data["body"].replace("\r\n", "\n"), data["is_html"]
        if self.quoted:
            body, is_html = (body if is_html else html_of(body)) + self.quoted, True
        return outbox.Draft(
            sender=self.senders[data["sender"]],
            to=data["to"],
            cc=data["cc"],
            bcc=data["bcc"],
            reply_to=data["reply_to"],
            subject=data["subject"],
            body=body,
            is_html=is_html,
            regarding=record_at(data["regarding"], self.actor),
            importance=Priority(data["importance"]),
            delivery_priority=Priority(data["delivery_priority"]),
            read_receipt=data["read_receipt"],
            delivery_receipt=data["delivery_receipt"],
            send_later=data["send_later"],
            category=data["category"],
        )

    def save(self, now: datetime) -> Email:
        """Raises outbox.Refused, e.g. for a file that is too large; the text is stored by then."""
        if self.email is None:
            self.saved = outbox.create_draft(
                self.draft(), actor=self.actor, now=now, email_id=self.cleaned_data["new_id"]
            )
        else:
            self.saved = outbox.update_draft(self.email, self.draft(), now=now)
        removed = set(self.data.getlist("remove_file"))  # type: ignore[attr-defined]
        for file in self.attached:
            if str(file.pk) in removed:
                outbox.detach(
                    ActivityMimeAttachment.objects.select_related("activity__email").get(pk=file.pk)
                )
        organization = Organization.objects.current()
        for file in self.cleaned_data["attach"]:
            outbox.attach(
                self.saved,
                file_name=file.name,
                content=file.read(),
                mime_type=file.content_type or "application/octet-stream",
                organization=organization,
            )
        return self.saved


def split_quoted(html: str) -> tuple[str, str]:
    """What was written, and what a reply or forward took over below it."""
    match = _QUOTED.search(html)
    return (html[: match.start()], html[match.start() :]) if match else (html, "")


def _parts(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _written(rows: Iterable[ActivityParty], role: ParticipationType) -> str:
    return outbox.written(
        Address(row.address_used, row.unresolved_party_name)
        for row in rows
        if row.participation_type_mask == role
    )
