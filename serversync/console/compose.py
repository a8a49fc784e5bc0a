"""The form that an e-mail is written with: a thin skin over `serversync.outbox`."""

import re
from collections.abc import Iterable
from datetime import datetime
from email.utils import formataddr, getaddresses
from typing import Any

from django import forms
from django.apps import apps
from django.contrib.admin.widgets import AdminSplitDateTime
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from activities.bounced import bounced
from activities.choices import ParticipationType, Priority
from activities.html import html_of
from activities.mime.message import Address
from activities.models import (
    Account,
    ActivityMimeAttachment,
    ActivityParty,
    BouncedAddress,
    Contact,
    Email,
    Incident,
    Lead,
)
from mailboxes import access
from mailboxes.models import Organization, Queue, SystemUser
from serversync import outbox
from serversync.wordings import (
    as_typed,
    below,
    is_for_cases,
    signature_of,
    templates_for,
    worded,
)

#: Where the part begins that a reply or a forward took over from its parent.
_QUOTED = re.compile(r"<br>\n(?=<p>[^<]*</p>\n<blockquote style=\"margin|<hr>\n<p><b>)")
_COMMAS = re.compile(r"(?:\s*,)+")  # a list may end in one, or be put together by hand
REGARDING = (Account, Contact, Lead, Incident)
OFFERED = 50  # records of each kind in the chooser


class AddressesField(forms.CharField):
    """Addresses with or without names, separated by commas or semicolons."""

    default_error_messages = {
        "address": _(
            "“%(address)s” is not an email address. Write ada@example.com, or "
            "Ada <ada@example.com>; separate several by commas."
        )
    }

    def __init__(self, **kw: Any) -> None:
        super().__init__(**{"required": False, "widget": forms.TextInput, **kw})

    def to_python(self, value: Any) -> Any:
        text = ",".join((super().to_python(value) or "").replace(";", ",").splitlines())
        text = _COMMAS.sub(",", text).strip(" ,")
        if not text:
            return ()
        found: dict[str, Address] = {}
        for name, address in getaddresses([text]):
            try:
                validate_email(address)
            except ValidationError as error:
                raise ValidationError(
                    self.error_messages["address"], params={"address": address or name or text}
                ) from error
            made = Address(address, name)
            found.setdefault(made.key, made)
        return tuple(found.values())

    def has_changed(self, initial: Any, data: Any) -> bool:
        return str(initial or "") != str(data or "")


class SeveralFiles(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Several files, each within the organization's limit; looked at before their bytes are read."""

    widget = SeveralFiles

    def clean(self, data: Any, initial: Any = None) -> Any:
        one = super().clean
        files = [one(file) for file in data] if isinstance(data, list | tuple) else []
        if files:
            limit = Organization.objects.current().max_upload_file_size_kb
            for file in files:
                if file.size > limit * 1024:
                    raise ValidationError(
                        _(
                            "“%(name)s” is larger than the %(limit)s KB that the organization "
                            "allows. Send a smaller file, or raise the limit. (R5.20, R3.51)"
                        ),
                        params={"name": file.name, "limit": limit},
                    )
        return files


class LineField(forms.CharField):
    """One line, whatever is posted: what goes into a header can't hold a line break (RFC 5322, 2.2)."""

    def to_python(self, value: Any) -> Any:
        return " ".join(str(super().to_python(value) or "").splitlines()).strip()


class ComposeForm(forms.Form):
    """`saved`: the draft, once it is stored, even if something after it was refused. `typed`: what stands
    in the boxes in place of what is stored. `bounced`: of its recipients. `lacks_case`: the template is one for cases, and the email is
    about none."""

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
    send_later = forms.SplitDateTimeField(
        label=_("Send later"), required=False, widget=AdminSplitDateTime
    )
    read_receipt = forms.BooleanField(label=_("Request a read receipt"), required=False)
    delivery_receipt = forms.BooleanField(label=_("Request a delivery receipt"), required=False)
    template = forms.ChoiceField(
        label=_("Template"),
        required=False,
        help_text=_("Its text goes before what is written; its subject fills an empty one."),
    )

    despite_bounces = forms.BooleanField(
        label=_("Send to these addresses all the same"), required=False
    )

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
        self.lacks_case = False
        self.quoted = ""
        self.bounced: list[BouncedAddress] = []
        self.attached = list(email.activity.attachments.all()) if email else []
        initial = self._stored(email) if email else self._empty(actor)
        super().__init__(data, files, initial=initial | (typed or {}))
        self.senders = {_key(sender): sender for sender in senders_for(actor)}
        sender = self.fields["sender"]
        assert isinstance(sender, forms.ChoiceField)
        current = self.initial.get("sender")
        sender.choices = [
            (key, f"{party} <{outbox.address_of(party) or __('no address')}>")
            for key, party in self.senders.items()
        ]
        if current not in self.senders:
            self.initial["sender"] = _key(actor)
        regarding = self.fields["regarding"]
        assert isinstance(regarding, forms.ChoiceField)
        regarding.choices = self._regarding_choices()
        self.templates = {str(one.pk): one for one in templates_for(actor)}
        template = self.fields["template"]
        assert isinstance(template, forms.ChoiceField)
        template.choices = [
            ("", "–"),
            *((key, one.title) for key, one in self.templates.items()),
        ]

    def _empty(self, actor: Any) -> dict[str, Any]:
        """A new email begins above its writer's signature."""
        body, is_html = as_typed(below(signature_of(actor)))
        return {"body": body, "is_html": is_html}

    def _stored(self, email: Email) -> dict[str, Any]:
        rows = list(ActivityParty.objects.filter(activity_id=email.pk).select_related("party_type"))
        sender = next(
            (r for r in rows if r.participation_type_mask == ParticipationType.SENDER), None
        )
        self.bounced = bounced(row.address_used for row in rows if row != sender)
        body, is_html = email.description, email.mime_type == "text/html"
        if is_html:
            body, self.quoted = split_quoted(body)
            body, is_html = as_typed(body) if body.strip() else ("", False)
        pointer = email.activity
        return {
            "sender": f"{sender.party_type.app_label}.{sender.party_type.model}:{sender.party_id}"
            if sender and sender.party_type
            else "",
            "to": _written(rows, ParticipationType.TO),
            "cc": _written(rows, ParticipationType.CC),
            "bcc": _written(rows, ParticipationType.BCC),
            "regarding": f"{pointer.regarding_type.app_label}.{pointer.regarding_type.model}:"
            f"{pointer.regarding_id}"
            if pointer.regarding_type
            else "",
            "subject": pointer.subject,
            "body": body,
            "is_html": is_html,
            "importance": email.priority_code,
            "delivery_priority": email.delivery_priority_code,
            "send_later": email.delayed_email_send_time,
            "read_receipt": email.read_receipt_requested,
            "delivery_receipt": email.delivery_receipt_requested,
        }

    # -- regarding

    def _regarding_choices(self) -> list[Any]:
        """What was changed last, and what is chosen now; all of it within the writer's sight."""
        groups: list[Any] = [("", "–")]
        wanted = self.data.get("regarding") if self.is_bound else self.initial.get("regarding")
        chosen = self._record(str(wanted or ""))
        for model in REGARDING:
            rows = access.visible_to(self.actor, model._default_manager.all(), "view")
            recent: list[Any] = list(rows.order_by("-modified_on")[:OFFERED])
            if isinstance(chosen, model) and chosen not in recent:
                recent.insert(0, chosen)
            if recent:
                name = str(model._meta.verbose_name_plural).capitalize()
                groups.append((name, [(_key(row), str(row)) for row in recent]))
        if chosen is not None and not isinstance(chosen, REGARDING):
            groups.append((_key(chosen), str(chosen)))
        return groups

    def _record(self, key: str) -> Any:
        """The record of a choice, if the writer may see it."""
        label, _colon, pk = key.partition(":")
        try:
            model = apps.get_model(label)
            return access.visible_to(
                self.actor, model._default_manager.filter(pk=pk), "view"
            ).first()
        except (LookupError, ValueError, ValidationError):
            return None

    # -- templates

    def with_template(self) -> "ComposeForm":
        """What was typed, with the text of the chosen template before it; nothing is saved."""
        typed = {bound.name: bound.value() for bound in self}
        template = self.templates.get(str(typed.pop("template", "")))
        if template is not None:
            regarding = self._record(str(typed["regarding"] or ""))
            made = worded(
                template,
                actor=self.actor,
                sender=self.senders.get(str(typed["sender"]), self.actor),
                to=self._first_recipient(str(typed["to"] or "")),
                regarding=regarding,
            )
            typed["subject"] = typed["subject"] or made.subject
            before = str(typed["body"] or "").replace("\r\n", "\n")
            behind = before if typed["is_html"] else html_of(before)
            typed["body"], typed["is_html"] = as_typed(f"{made.html}{behind}")
            self.lacks_case = is_for_cases(template) and not isinstance(regarding, Incident)
        again = ComposeForm(actor=self.actor, email=self.email, typed=typed)
        again.lacks_case = self.lacks_case
        return again

    def _first_recipient(self, text: str) -> Address | None:
        try:
            found = AddressesField().clean(text)
        except ValidationError:
            return None
        return found[0] if found else None

    # -- sending

    def clean(self) -> dict[str, Any]:
        """Sending to where mail came back from is asked about once; a draft is saved as it is."""
        data: dict[str, Any] = super().clean() or {}
        people = [*data.get("to", ()), *data.get("cc", ()), *data.get("bcc", ())]
        self.bounced = bounced(person.address for person in people)
        if "_send" in self.data and self.bounced and not data.get("despite_bounces"):
            raise ValidationError(
                _(
                    "Mail to %(addresses)s came back lately. Correct the address, or tick that it is"
                    " to be sent all the same. (R5.21)"
                ),
                params={"addresses": ", ".join(row.address for row in self.bounced)},
            )
        return data

    # -- saving

    def changed_words(self) -> list[str]:
        return [str(self.fields[name].label) for name in self.changed_data]

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
            subject=data["subject"],
            body=body,
            is_html=is_html,
            regarding=self._record(data["regarding"]),
            importance=Priority(data["importance"]),
            delivery_priority=Priority(data["delivery_priority"]),
            read_receipt=data["read_receipt"],
            delivery_receipt=data["delivery_receipt"],
            send_later=data["send_later"],
        )

    def save(self, now: datetime) -> Email:
        """Raises outbox.Refused, e.g. for a file that is too large; the text is stored by then."""
        if self.email is None:
            self.saved = outbox.create_draft(self.draft(), actor=self.actor, now=now)
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


def senders_for(actor: Any) -> list[SystemUser | Queue]:
    """Whom this user may write as: self, queues in sight, and users who allow it (R5.24, R5.25)."""
    queues = access.visible_to(
        actor, Queue.objects.filter(state_code=0).exclude(email_address=""), "view"
    )
    found: list[SystemUser | Queue] = [actor, *queues.order_by("name")]
    if actor.has_perm("mailboxes.send_as_another_user"):
        others = SystemUser.objects.filter(settings__is_send_as_allowed=True, is_disabled=False)
        found += others.exclude(pk=actor.pk).order_by("domain_name")
    return found


def split_quoted(html: str) -> tuple[str, str]:
    """What was written, and what a reply or forward took over below it."""
    match = _QUOTED.search(html)
    return (html[: match.start()], html[match.start() :]) if match else (html, "")


def _key(record: Any) -> str:
    return f"{record._meta.app_label}.{record._meta.model_name}:{record.pk}"


def _written(rows: Iterable[ActivityParty], role: ParticipationType) -> str:
    return ", ".join(
        formataddr((row.unresolved_party_name, row.address_used), charset="utf-8")
        if row.unresolved_party_name.isascii()
        else f'"{row.unresolved_party_name}" <{row.address_used}>'
        for row in rows
        if row.participation_type_mask == role
    )
