"""Files of an appointment: shown and handed out to whoever may read it, added and taken off by whoever may change
it (R6.34)."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Max
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from activities import blobs, recyclebin
from activities.choices import AttachmentErrors
from activities.mime.message import Attachment
from activities.models import ActivityMimeAttachment
from mailboxes.models import Organization, SystemUser
from mailboxes.screens import bytes_in_words
from serversync.console.composefields import FilesField
from serversync.console.downloads import as_attachment
from serversync.console.planning.planned import by_actor
from tracking.attachments import blocked_extensions, judge_attachments
from tracking.telling import dropped_because

if TYPE_CHECKING:
    from serversync.console.planning.planned import Planned as Base
else:
    Base = object

FILE = "activities_appointment_file"
LONGEST_NAME = 255


class AllowedFiles(FilesField):
    """Those that the organization lets pass, as of mail (R3.51, R3.52)."""

    def clean(self, data: Any, initial: Any = None) -> Any:
        files = super().clean(data, initial)
        if not files:
            return []
        organization = Organization.objects.current()
        judged = judge_attachments(
            [Attachment(file.name, file.content_type or "", file.read()) for file in files],
            organization.max_upload_file_size_kb * 1024,
            blocked_extensions(organization.blocked_attachments),
        )
        for dropped in judged.dropped:
            raise ValidationError(
                _("“%(name)s” may not be attached: %(why)s. Choose another file. (R3.51, R3.52)"),
                params={
                    "name": dropped.name,
                    "why": dropped_because(dropped.reason, dropped.true_type),
                },
            )
        return list(judged.kept)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(data)


class FileBoxes(forms.ModelForm):  # type: ignore[type-arg]
    """Mix in before the form of an appointment."""

    attach = AllowedFiles(
        label=_("Attach files"),
        required=False,
        help_text=_("Synchronized where the organization says so (R6.34)."),
    )
    take_off = forms.MultipleChoiceField(
        label=_("Take off"), required=False, widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        there = [] if self.instance._state.adding else files_of(self.instance)
        field = self.fields["take_off"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(str(row.pk), _words(row)) for row in there]


class WithFiles(Base):
    """Mix in before `Planned`; the form has the boxes."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.file)
        return [path("<uuid:pk>/files/<uuid:file>/", view, name=FILE), *super().get_urls()]

    def about(self, request: HttpRequest, record: Any, *, hidden: bool) -> dict[str, Any]:
        found = super().about(request, record, hidden=hidden)
        if hidden:
            return found
        page = f"admin:{FILE}"
        rows = files_of(record)
        return found | {
            "files": [(row, reverse(page, args=[record.pk, row.pk])) for row in rows],
            "files_left_out": record.attachment_errors == AttachmentErrors.DROPPED,
        }

    def file(self, request: HttpRequest, pk: Any, file: Any) -> HttpResponse:
        record = self.get_object(request, str(pk))
        if record is None or not self.has_view_permission(request, record):
            raise Http404
        found = next((row for row in files_of(record) if row.pk == file), None)
        if found is None or not self.is_open_to(request, record):
            raise Http404
        return as_attachment(blobs.read(found.attachment), found.file_name)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        _save(obj, form, **by_actor(request))


def files_of(record: Any) -> list[ActivityMimeAttachment]:
    rows = ActivityMimeAttachment.objects.filter(activity_id=record.pk, is_inline=False)
    return list(rows.order_by("attachment_number", "pk"))


def _words(row: ActivityMimeAttachment) -> Any:
    return format_html("{} ({})", row.file_name or __("attachment"), bytes_in_words(row.file_size))


def _save(record: Any, form: Any, *, actor: SystemUser, now: datetime) -> None:
    """In the transaction in which the appointment is saved; what is taken off goes into the bin."""
    if removed := form.cleaned_data.get("take_off"):
        recyclebin.delete(ActivityMimeAttachment, removed, now=now, actor=actor)
    if added := form.cleaned_data.get("attach"):
        _add(record, added)


def _add(record: Any, files: Sequence[Attachment]) -> None:
    staged = blobs.Staged()
    for file in files:
        staged.add(file.content)
    blobs.stage(staged)
    contents = blobs.save(staged)
    numbers = ActivityMimeAttachment.objects.filter(activity_id=record.pk)
    last = numbers.aggregate(last=Max("attachment_number"))["last"] or 0
    ActivityMimeAttachment.objects.bulk_create(
        ActivityMimeAttachment(
            activity_id=record.pk,
            attachment_id=contents[blobs.digest(file.content)],
            attachment_number=number,
            file_name=file.filename[:LONGEST_NAME],
            mime_type=file.content_type[:256],
            file_size=len(file.content),
        )
        for number, file in enumerate(files, start=last + 1)
    )
