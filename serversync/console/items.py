"""The ledger: what became of each item seen on a server, and why."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import Exists, OuterRef, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from activities import blobs
from mailboxes import access
from mailboxes.causes import Cause, cause_of
from mailboxes.models import Mailbox
from mailboxes.screens import badge, moment
from serversync import quarantine
from serversync.balance import DAY, period_of
from serversync.choices import ItemState
from serversync.console.aboutmeeting import meeting_of
from serversync.console.byhand import TrackingByHand
from serversync.console.deeds import Deed, Deeds
from serversync.console.downloads import as_attachment
from serversync.console.foldernames import folder_name, folder_names
from serversync.console.mailboxes.columns import midnight
from serversync.console.mailboxes.rows import MailboxFilter, OfMailbox
from serversync.console.path import path_of_item
from serversync.console.reasons import words_of
from serversync.errortexts import shown_decision, shown_error
from serversync.models import ServerAction, SyncItem
from serversync.templatetags.console import STATE_KIND
from tracking.byhand import sentences_of
from tracking.choices import AcceptReason, SkipReason
from tracking.trace import UNTRACKED

HIDDEN = "***"  # other people's subjects (R8.30)


class DayFilter(admin.SimpleListFilter):
    title = _("day")
    parameter_name = "day"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [
            ("today", _("Today")),
            ("yesterday", _("Yesterday")),
            ("week", _("Last 7 days")),
        ]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        start = midnight(timezone.now())
        day = timedelta(days=1)
        if self.value() == "today":
            return queryset.filter(decided_at__gte=start)
        if self.value() == "yesterday":
            return queryset.filter(decided_at__gte=start - day, decided_at__lt=start)
        if self.value() == "week":
            return queryset.filter(decided_at__gte=start - 6 * day)
        return queryset


class SeenFilter(admin.SimpleListFilter):
    """The day on which it was first seen, as the balance counts it: "2026-03-01..2026-03-07"."""

    title = _("first seen")
    parameter_name = "seen"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        today = timezone.localdate()
        ready = [(today, _("Today")), (today - 6 * DAY, _("Last 7 days"))]
        found: list[tuple[str, Any]] = [(f"{first}..{today}", words) for first, words in ready]
        chosen = self.value()
        if chosen and chosen not in dict(found) and (period := period_of(chosen)):
            found.append((chosen, f"{date_format(period.first)} – {date_format(period.last)}"))
        return found

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        period = period_of(self.value() or "")
        return queryset.filter(period.of_items()) if period else queryset


class FolderFilter(admin.SimpleListFilter):
    """Only offered where one was asked for: a mailbox may have hundreds."""

    title = _("folder")
    parameter_name = "folder"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(folder, folder_name(folder)) for folder in [self.value()] if folder]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        return queryset.filter(folder=self.value()) if self.value() else queryset


class StateFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return ItemState.choices

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        return queryset.filter(state=self.value()) if self.value() else queryset


class ReasonFilter(admin.SimpleListFilter):
    """The reasons that a filter can know without counting the whole ledger."""

    title = _("reason")
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        judged = [(r.code, r.label) for r in AcceptReason if r is not AcceptReason.UNKNOWN]
        by_hand = [(quarantine.DISMISSED, _("Dismissed")), (UNTRACKED, _("Untracked"))]
        return [*judged, *SkipReason.choices, *by_hand]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        return queryset.filter(reason=self.value()) if self.value() else queryset


class ItemConsole(TrackingByHand, Deeds, OfMailbox):
    """Each item in one state, with its reason. Subjects are for those who may read the mail."""

    change_form_template = "admin/serversync/syncitem/change_form.html"
    list_display = [
        "subject_words", "state_badge", "reason_text", "sender", "mailbox_link", "received",
        "decided", "attempts",
    ]  # fmt: skip
    list_display_links = ["subject_words"]
    list_filter = [
        StateFilter,
        DayFilter,
        SeenFilter,
        FolderFilter,
        ReasonFilter,
        ("mailbox", MailboxFilter),
    ]
    # No subjects: a hit would tell what those say who are hidden.
    search_fields = ["sender", "=message_id", "mailbox__name", "mailbox__email_address"]
    search_help_text = _("Sender, Message-ID or mailbox")
    ordering = ["-decided_at", "-pk"]
    actions = ["retry", "dismiss", "track"]
    deeds = (
        Deed("retry", _("Retry now"), main=True, needs="retry_syncitem"),
        Deed("look", _("Look into it")),
        Deed("download", _("Download the original")),
        Deed("dismiss", _("Dismiss"), grave=True, needs="retry_syncitem"),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        mine = Mailbox.objects.filter(access.content_readers(request.user), pk=OuterRef("mailbox"))
        return super().get_queryset(request).annotate(is_readable=Exists(mine)).defer("trace")

    def get_list_select_related(self, request: HttpRequest) -> Any:
        return ["mailbox"]

    def deeds_for(self, request: HttpRequest, obj: Any) -> Any:
        if obj.state not in quarantine.FAILED:
            return self.deeds_by_hand(request, obj)
        hidden = set() if obj.raw_id else {"look", "download"}
        if obj.state == ItemState.RETRYING:
            hidden.add("dismiss")
        return [deed for deed in self.deeds if deed.name not in hidden]

    def offered(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        hidden = () if obj.is_readable else ("look", "download")
        return [deed for deed in super().offered(request, obj) if deed.name not in hidden]

    # -- columns

    @admin.display(description=_("subject"))
    def subject_words(self, item: Any) -> SafeString:
        words = item.subject or __("(no subject)") if item.is_readable else HIDDEN
        return format_html('<span class="one-line row-title">{}</span>', words)

    @admin.display(description=_("state"), ordering="state")
    def state_badge(self, item: SyncItem) -> SafeString:
        return badge(item.get_state_display(), STATE_KIND[ItemState(item.state)])

    @admin.display(description=_("reason"), ordering="reason")
    def reason_text(self, item: SyncItem) -> SafeString:
        return format_html(
            '<span title="{}">{}</span>', item.reason, words_of(item.reason, item.sub_reason)
        )

    @admin.display(description=_("received"), ordering="received_at")
    def received(self, item: SyncItem) -> SafeString | str:
        return moment(item.received_at)

    @admin.display(description=_("decided"), ordering="decided_at")
    def decided(self, item: SyncItem) -> SafeString | str:
        return moment(item.decided_at)

    # -- deeds

    @admin.action(description=_("Retry quarantined items"))
    def retry(self, request: HttpRequest, queryset: "QuerySet[SyncItem]") -> None:
        if self.missing(request, "retry_syncitem"):
            return
        chosen = self.within_reach(request, queryset, "retry_syncitem")
        done = quarantine.retry(chosen, now=timezone.now())
        self._note(request, chosen, __("Retried by hand."), done)
        self._say(
            request,
            done,
            ngettext(
                "%(count)d item is fetched again with the next cycle, which was asked to run now.",
                "%(count)d items are fetched again with the next cycles, which were asked to run "
                "now.",
                done,
            ),
        )

    @admin.action(description=_("Dismiss quarantined items"))
    def dismiss(self, request: HttpRequest, queryset: "QuerySet[SyncItem]") -> None:
        if self.missing(request, "retry_syncitem"):
            return
        chosen = self.within_reach(request, queryset, "retry_syncitem")
        ids = list(chosen.filter(state=ItemState.QUARANTINED).values_list("pk", flat=True))
        done = quarantine.dismiss(chosen, now=timezone.now())
        self._note(request, SyncItem.objects.filter(pk__in=ids), __("Dismissed by hand."), done)
        self._say(
            request,
            done,
            ngettext(
                "%(count)d item was dismissed; its original is no longer kept here.",
                "%(count)d items were dismissed; their originals are no longer kept here.",
                done,
            ),
        )

    def look(self, request: HttpRequest, queryset: "QuerySet[SyncItem]") -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:quarantine_look", args=[queryset.get().pk]))

    def download(self, request: HttpRequest, queryset: "QuerySet[SyncItem]") -> HttpResponse | None:
        """Needs the permission and the right to read the mailbox's mail."""
        if self.missing(request, "retry_syncitem"):
            return None
        item = queryset.select_related("mailbox", "raw").get()
        if not access.may_read_content(request.user, item.mailbox):
            self.message_user(
                request,
                __(
                    "Only the owner of this mailbox, or a member of its queue, may read its "
                    "messages (R8.30). Ask them to download it."
                ),
                messages.ERROR,
            )
            return None
        if item.raw is None:
            raise Http404
        return as_attachment(blobs.read(item.raw), f"item-{item.pk}.eml")

    def _note(
        self, request: HttpRequest, items: "QuerySet[SyncItem]", words: str, done: int
    ) -> None:
        if done:
            for item in items[:200]:
                self.log_change(request, item, words)

    def _say(self, request: HttpRequest, done: int, words: str) -> None:
        if done:
            self.message_user(request, words % {"count": done}, messages.SUCCESS)
        else:
            self.message_user(
                request, __("Nothing was done: none of them is in quarantine."), messages.WARNING
            )

    # -- the page

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        item = kw.get("obj")
        if item is not None:
            # The e-mail's own row may be out of this reader's reach, though the item is not.
            email = item.email
            if email is not None and not access.may(request.user, "view", email):
                email = None
            data = told(item)
            if not item.is_readable:
                data = shown_decision(data)
            error = shown_error(item.reason, item.last_error, may_read=item.is_readable)
            names = folder_names(item.mailbox)
            others = self._others(request, item)
            folder = folder_name(item.folder, names)
            context |= {
                "item": item,
                "subject_shown": (item.subject or __("(no subject)"))
                if item.is_readable
                else HIDDEN,
                "folder": folder,
                "folder_names": names,
                "path": path_of_item(item, data, folder, request.user, others=others, email=email),
                "sentences": sentences_of(data),
                "reason_words": words_of(item.reason, item.sub_reason),
                "cause": _cause(item, error),
                "meeting": meeting_of(item, request.user) if item.is_readable else None,
                "error": error,
                "server_actions": ServerAction.objects.filter(item=item).order_by("created_on"),
                "email": email,
                "has_email": item.email_id is not None,
                "parent": item.parent,
                "children": list(item.children.defer("trace")),
                "others": others,
            }
        return super().render_change_form(request, context, *args, **kw)

    def _others(self, request: HttpRequest, item: SyncItem) -> list[SyncItem]:
        """The same message in other mailboxes."""
        if not item.message_id:
            return []
        rows = access.visible_to(
            request.user, SyncItem.objects.filter(message_id=item.message_id), "view"
        )
        return list(rows.exclude(pk=item.pk).select_related("mailbox").defer("trace")[:20])


def told(item: SyncItem) -> Mapping[str, Any]:
    """The decision with what a person did to the item since: another try, or letting go."""
    data: dict[str, Any] = item.decision
    if item.state == ItemState.RETRYING:
        failure = data.get("failure")
        if isinstance(failure, Mapping) and item.next_attempt_at is not None:
            data = {**data, "failure": {**failure, "next": item.next_attempt_at.isoformat()}}
        return {**data, "outcome": item.state}
    if item.reason == quarantine.DISMISSED:
        return {**data, "outcome": item.state, "reason": item.reason}
    return data


def _cause(item: SyncItem, error: str) -> Cause | None:
    if item.state in (ItemState.QUARANTINED, ItemState.RETRYING) and item.reason:
        return cause_of(item.reason, error)
    return None
