"""E-mail: reading what is stored, writing drafts, sending them.

The body of a stranger's message is never part of a page of the console: it is a document of its own,
sanitised, with a policy that lets nothing run and nothing load, shown in a sandboxed frame.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from activities import blobs
from activities.admin import STATUS_KIND, EmailListScreen, record_link
from activities.choices import (
    EmailStatus,
    Notifications,
    ParticipationType,
)
from activities.html import Sanitised, html_of, sanitise
from activities.models import ActivityMimeAttachment, ActivityParty, Email, QueueItem
from mailboxes import access
from mailboxes.causes import cause_of
from mailboxes.models import Organization
from mailboxes.screens import actor_of, badge
from serversync import byhand
from serversync.console.answers import answer_words
from serversync.console.byhand import UNTRACK, Untracking
from serversync.console.deeds import Deed, Deeds
from serversync.console.downloads import as_attachment
from serversync.console.filing import Filing, filed_under, may_file, regarding_of, regarding_words
from serversync.console.frames import MOST_PICTURE_BYTES, Picture, frame, in_line
from serversync.console.mailboxes.rows import MailboxFilter
from serversync.console.manyemails import Many
from serversync.console.narrowing import FromMailbox, SentByProfile, WaitsToLeave
from serversync.console.path import path_of_email
from serversync.console.reports import (
    about_link,
    came_back,
    delivery_words,
    kind_badge,
    report_line,
)
from serversync.console.resolving import Resolving, resolve_link
from serversync.console.waitingmail import Waiting, undo_of
from serversync.console.writing import Writing
from serversync.models import Submission, SyncItem
from serversync.outbox.waiting import why_they_wait
from tracking.byhand import sentences_of

CONVERSATION = 50


@dataclass(frozen=True, slots=True)
class PartyLine:
    """One participant as the page shows it."""

    role: ParticipationType
    words: str
    address: str
    record: SafeString | str
    delivery: SafeString | str


class EmailConsole(Writing, Many, Waiting, Untracking, Filing, Resolving, Deeds, EmailListScreen):
    """Stored mail is read; drafts and failed mail are written and sent."""

    list_filter = [
        "direction_code",
        "status_code",
        "kind",
        ("receiving_mailbox", MailboxFilter),
        ("activity__sort_date", admin.DateFieldListFilter),
        WaitsToLeave,
        SentByProfile,
        FromMailbox,
    ]
    deeds = (
        Deed("reply", _("Reply"), main=True),
        Deed("reply_all", _("Reply all")),
        Deed("forward", _("Forward")),
        Deed("cancel", _("Take back before it is sent")),
        UNTRACK,
    )

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        waiting = obj.status_code == EmailStatus.PENDING_SEND
        return [
            deed
            for deed in self.deeds
            if (deed.name == "cancel" and waiting)
            or (deed.name not in ("cancel", UNTRACK.name) and not obj.status.is_editable)
            or (deed is UNTRACK and self.choices_for(request, obj))
        ]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not while it is on its way: nobody would know what became of it."""
        if obj is not None and obj.status in (EmailStatus.PENDING_SEND, EmailStatus.SENDING):
            return False
        return super().has_delete_permission(request, obj)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Its items say that a person did it, and no cycle tracks them again."""
        byhand.delete(obj, actor=actor_of(request), now=timezone.now())

    def get_urls(self) -> list[Any]:
        def view(what: Any) -> Any:
            return self.admin_site.admin_view(what)

        return [
            path("<uuid:pk>/body/", view(self.body), name="activities_email_body"),
            path("<uuid:pk>/original/", view(self.original), name="activities_email_original"),
            path("<uuid:pk>/files/<uuid:file>/", view(self.file), name="activities_email_file"),
            *super().get_urls(),
        ]

    # -- which page

    def add_view(self, request: HttpRequest, *args: Any, **kw: Any) -> HttpResponse:
        if not self.has_add_permission(request):
            return self._refused(request)
        return self.compose(request, None)

    def change_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kw: Any
    ) -> HttpResponse:
        email = self.get_object(request, object_id)
        if email is None or not self.has_view_permission(request, email):
            # As Django says it, which doesn't tell "not there" from "not yours".
            redirect: HttpResponse = self._get_obj_does_not_exist_redirect(  # type: ignore[attr-defined]
                request, self.opts, object_id
            )
            return redirect
        if email.status.is_editable and self.has_change_permission(request, email):
            return self.compose(request, email)
        return self.read(request, email)

    # -- reading

    def read(self, request: HttpRequest, email: Any) -> HttpResponse:
        organization, now = Organization.objects.current(), timezone.now()
        remote = request.GET.get("remote") == "1"
        shown = body_of(email, allow_remote=remote, pictures={})
        parties = party_lines(email, request.user, may_resolve=may_file(request.user, email))
        # Items of mailboxes that the reader can't see stay out of sight, though the e-mail is here.
        rows = access.visible_to(request.user, SyncItem.objects.filter(email=email), "view")
        items = list(rows.select_related("mailbox").defer("trace"))
        regarding, reports = regarding_of(email, request.user), came_back(email, request.user)
        submissions = list(
            Submission.objects.filter(email=email).select_related("mailbox", "decided_by")
        )
        waits_because = why_they_wait([email], organization, now).get(email.pk, "")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": email.activity.subject or __("(no subject)"),
            "email": email,
            "status": badge(email.status.label, STATUS_KIND[email.status]),
            "parties": [
                (words, [line for line in parties if line.role == role])
                for role, words in (
                    (ParticipationType.SENDER, _("From")),
                    (ParticipationType.TO, _("To")),
                    (ParticipationType.CC, _("Cc")),
                    (ParticipationType.BCC, _("Bcc")),
                )
            ],
            "regarding": regarding_words(email, regarding),
            "may_file": may_file(request.user, email),
            "remote": remote,
            "blocked": shown.blocked_remote_count,
            "files": [file for file in email.activity.attachments.all() if not file.is_inline],
            "pictures": [file for file in email.activity.attachments.all() if file.is_inline],
            "truncated": email.notifications == Notifications.TRUNCATED_BODY,
            "sentences": sentences_of(email.decision),
            "kind": kind_badge(email),
            "about": about_link(email, request.user),
            "reports": [report_line(report) for report in reports],
            "conversation": conversation_of(email, request.user),
            "submissions": submissions,
            "redirections": sorted({row.redirected_to for row in submissions} - {""}),
            "items": items,
            "path": path_of_email(
                email,
                request.user,
                items,
                submissions,
                now,
                filed=filed_under(regarding),
                came_back=len(reports),
                why=waits_because,
            ),
            "queue_items": list(
                QueueItem.objects.filter(object=email.activity).select_related("queue")
            ),
            "error": cause_of(email.last_error_code, email.last_error_text)
            if email.last_error_code
            else None,
            "deeds": self._buttons(request, email),
            "has_delete_permission": self.has_delete_permission(request, email),
            "undo": undo_of(email, organization, now),
            "waits_because": waits_because,
        }
        return TemplateResponse(request, "console/email.html", context)

    def _buttons(self, request: HttpRequest, email: Any) -> list[tuple[Deed, str]]:
        return [
            (deed, reverse("admin:activities_email_do", args=[email.pk, deed.name]))
            for deed in self.deeds_for(request, email)
        ]

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """The whole row, which the list defers."""
        email = super().get_object(request, object_id, from_field)
        if email is None:
            return None
        return (
            Email.objects.select_related(
                "activity__owning_user",
                "activity__owning_team",
                "activity__created_by",
                "activity__regarding_type",
                "receiving_mailbox",
                "sender_mailbox",
                "mime",
                "submitted_by",
            )
            .prefetch_related("activity__attachments")
            .get(pk=email.pk)
        )

    def _readable(self, request: HttpRequest, pk: Any) -> Email:
        email = self.get_object(request, str(pk))
        if email is None or not self.has_view_permission(request, email):
            raise Http404
        found: Email = email
        return found

    def body(self, request: HttpRequest, pk: Any) -> HttpResponse:
        """The sanitised body as a document of its own."""
        email = self._readable(request, pk)
        remote = request.GET.get("remote") == "1"
        shown = body_of(email, allow_remote=remote, pictures=pictures_of(email))
        return frame(shown.html, remote=remote)

    def original(self, request: HttpRequest, pk: Any) -> HttpResponse:
        email = self._readable(request, pk)
        if email.mime is None:
            raise Http404
        return as_attachment(blobs.read(email.mime), f"email-{email.pk}.eml")

    def file(self, request: HttpRequest, pk: Any, file: Any) -> HttpResponse:
        email = self._readable(request, pk)
        found = (
            ActivityMimeAttachment.objects.select_related("attachment")
            .filter(activity_id=email.pk, pk=file)
            .first()
        )
        if found is None:
            raise Http404
        return as_attachment(blobs.read(found.attachment), found.file_name)


# -- pieces of the page --------------------------------------------------------------------------


def body_of(email: Any, *, allow_remote: bool, pictures: dict[str, str]) -> Sanitised:
    if email.mime_type != "text/html":
        return Sanitised(html_of(email.description), 0)
    return sanitise(email.description, pictures, allow_remote=allow_remote)


def pictures_of(email: Any) -> dict[str, str]:
    """Content-ID -> data: address, for pictures that are what they claim to be."""
    files = ActivityMimeAttachment.objects.filter(activity_id=email.pk).exclude(
        attachment_content_id=""
    )
    return in_line(_shown(files.select_related("attachment")))


def _shown(files: "QuerySet[ActivityMimeAttachment]") -> Iterator[Picture]:
    room = MOST_PICTURE_BYTES
    for file in files:
        room -= file.attachment.size
        if room < 0:
            return
        try:
            content = blobs.read(file.attachment)
        except blobs.BytesMissing:
            continue
        yield Picture(file.attachment_content_id.strip("<>"), content)


def party_lines(email: Any, reader: Any, *, may_resolve: bool = False) -> list[PartyLine]:
    """The participants with the records they stand for; one look-up for each kind of record."""
    rows = list(ActivityParty.objects.filter(activity_id=email.pk).select_related("party_type"))
    wanted: dict[ContentType, set[str]] = defaultdict(set)
    for row in rows:
        if row.party_type and row.party_id:
            wanted[row.party_type].add(row.party_id)
    names: dict[tuple[int, str], str] = {}
    for kind, keys in wanted.items():
        model = kind.model_class()
        if model is None:
            continue
        try:
            seen = access.visible_to(reader, model._default_manager.filter(pk__in=keys), "view")
        except LookupError:
            continue
        names |= {(kind.pk, str(record.pk)): str(record) for record in seen}
    return [_party_line(row, names, may_resolve) for row in rows]


def _party_line(
    row: ActivityParty, names: dict[tuple[int, str], str], may_resolve: bool
) -> PartyLine:
    record: SafeString | str
    if row.party_type is None or not row.is_resolved:
        record = badge(_("unresolved"), "warn")
        if may_resolve:
            record = format_html("{} {}", record, resolve_link(row))
    elif (name := names.get((row.party_type.pk, row.party_id))) is not None:
        record = record_link(row.party_type, row.party_id, f"{name} ({row.party_type.name})")
    else:
        record = badge(_("a record that you can't see"), "quiet")
    return PartyLine(
        ParticipationType(row.participation_type_mask),
        row.unresolved_party_name,
        row.address_used,
        record,
        delivery_words(row) or answer_words(row),
    )


def conversation_of(email: Any, reader: Any) -> list[Any]:
    """What this e-mail answers, what answers it, and the rest of its thread; oldest first."""
    near = Q(pk=email.pk) | Q(parent_activity=email) | Q(correlated_activity=email)
    for other in (email.parent_activity_id, email.correlated_activity_id):
        if other:
            near |= Q(pk=other) | Q(parent_activity=other) | Q(correlated_activity=other)
    if email.conversation_tracking_id:
        near |= Q(conversation_tracking_id=email.conversation_tracking_id)
    rows = access.visible_to(reader, Email.objects.filter(near), "view")
    found = (
        rows.select_related("activity")
        .defer("description", "decision", "references")
        .order_by("activity__sort_date")[:CONVERSATION]
    )
    thread = list(found)
    return thread if len(thread) > 1 else []
