"""An email is filed under another record by hand (R7.10): the page, and the button that leads there."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from activities.admin import record_link
from activities.filing import file_conversation_under, file_under, rest_of_conversation
from activities.models import Email
from mailboxes import access
from mailboxes.models import Organization, SystemUser
from mailboxes.screens import EMPTY
from serversync.console.folders import KEEP, picker_context
from serversync.models import SyncItem
from tracking.choices import FolderState
from tracking.forms import RecordForm
from tracking.models import MailboxTrackingFolder
from tracking.records import Shown, shown, value_of

if TYPE_CHECKING:
    from mailboxes.screens import Screen as Base
else:
    Base = object


class Filing(Base):
    """Mix in before the screen of emails."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.file_under)
        name = "activities_email_file_under"
        return [path("<uuid:pk>/file-under/", view, name=name), *super().get_urls()]

    def file_under(self, request: HttpRequest, pk: Any) -> HttpResponse:
        email = self._readable(request, pk)  # type: ignore[attr-defined]
        if not may_file(request.user, email):
            raise PermissionDenied
        now_under = regarding_of(email, request.user)
        if request.method != "POST" or "_find" in request.POST:
            typed = (
                request.POST.dict() if request.method == "POST" else {"record": _value(now_under)}
            )
            form = RecordForm(initial=typed, user=request.user)
            return self._filing_page(request, email, form, now_under)
        if request.POST.get("record", "") != _value(now_under):
            form = RecordForm(request.POST, user=request.user)
            if not form.is_valid():
                return self._filing_page(request, email, form, now_under)
            whole = request.POST.get("conversation") == "1"
            self._file(request, email, form.cleaned_data["record"], whole=whole)
        return HttpResponseRedirect(reverse("admin:activities_email_change", args=[email.pk]))

    def _file(self, request: HttpRequest, email: Email, record: Any, *, whole: bool) -> None:
        actor, now = SystemUser.objects.get(pk=str(request.user.pk)), timezone.now()
        if whole:
            others = file_conversation_under(email=email, record=record, now=now, actor=actor)
        else:
            file_under(email=email, record=record, now=now, actor=actor)
            others = []
        self.log_change(request, email, [{"changed": {"fields": [str(_("Regarding"))]}}])
        self._note_others(request, others)
        words = (
            __("The email is filed under “%(record)s”.") % {"record": record}
            if record is not None
            else __("The email is filed under no record.")
        )
        self.message_user(request, words, messages.SUCCESS)
        if whole:
            words = ngettext(
                "So is %(count)d other email of its conversation.",
                "So are %(count)d other emails of its conversation.",
                len(others),
            )
            self.message_user(request, words % {"count": len(others)}, messages.SUCCESS)

    def _note_others(self, request: HttpRequest, others: Sequence[UUID]) -> None:
        """In the history of each: one line, whoever reads it."""
        kind = ContentType.objects.get_for_model(Email)
        LogEntry.objects.bulk_create(
            [
                LogEntry(
                    user_id=str(request.user.pk),
                    content_type=kind,
                    object_id=str(key),
                    object_repr=str(_("Email"))[:200],
                    action_flag=CHANGE,
                    change_message=__("Regarding changed with its conversation."),
                )
                for key in others
            ],
            batch_size=500,
        )

    def _filing_page(
        self, request: HttpRequest, email: Email, form: RecordForm, now_under: Shown | None
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": __("File under another record"),
            "email": email,
            "subject": email.activity.subject or __("(no subject)"),
            "form": form,
            "filed_under": regarding_words(email, now_under),
            "kept": KEEP if _value(now_under) == KEEP else "",
            **self._conversation(request, email),
            "rule": (rule := ruling(email)),
            "rule_in_sight": rule is not None and access.may(request.user, "view", rule),
            **picker_context(form),
        }
        return TemplateResponse(request, "console/file_under.html", context)

    def _conversation(self, request: HttpRequest, email: Email) -> dict[str, Any]:
        """How many others would follow, and how many of them are filed as this one is."""
        others = rest_of_conversation(email, request.user)  # type: ignore[arg-type]
        alike = others.exclude(activity__regarding_id="") if email.activity.regarding_id else others
        return {
            "others": others.count(),
            "alike": alike.count(),
            "whole": request.POST.get("conversation") == "1",
        }


def may_file(user: Any, email: Email) -> bool:
    """What is stored can't be changed (R5.1), but for where it is filed. Drafts have a page for both."""
    return not email.status.is_editable and access.may(user, "change", email)


def regarding_of(email: Email, reader: Any) -> Shown | None:
    """The record that an email is filed under, as far as the reader may see it."""
    pointer = email.activity
    if pointer.regarding_type_id is None or not pointer.regarding_id:
        return None
    ref = (pointer.regarding_type_id, pointer.regarding_id)
    return shown([ref], reader).get(ref, Shown(None, False))


def regarding_words(email: Email, record: Shown | None) -> SafeString | str:
    if record is None:
        return EMPTY
    if record.record is None:
        hidden, gone = __("a record that is not yours to see"), __("a record that is gone")
        return hidden if record.exists else gone
    pointer = email.activity
    return record_link(pointer.regarding_type, pointer.regarding_id, record.record)


def filed_under(record: Shown | None) -> str:
    """The record in words, "" for none; nothing of one that the reader may not see."""
    if record is None:
        return ""
    return str(record.record) if record.record is not None else __("another record")


def ruling(email: Email) -> MailboxTrackingFolder | None:
    """The folder rule that will file the email again, if somebody does it by hand (R7.10)."""
    if Organization.objects.current().effective("keep_manual_regarding"):
        return None
    lying = SyncItem.objects.filter(email=email, left_at__isnull=True)
    for mailbox, folder in lying.values_list("mailbox", "folder"):
        if rule := _rules().filter(mailbox=mailbox, exchange_folder_id=folder).first():
            return rule
    return None


def _rules() -> "QuerySet[MailboxTrackingFolder]":
    return MailboxTrackingFolder.objects.filter(state=FolderState.ACTIVE).exclude(regarding_id="")


def _value(record: Shown | None) -> str:
    """What stands for it in the form."""
    if record is None:
        return ""
    return value_of(record.record) if record.record is not None else KEEP
