"""The screen of what waits in queues."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from activities.admin.links import SUBJECT_SHOWN
from activities.models import QueueItem
from mailboxes.choices import StateCode
from mailboxes.screens import EMPTY, ReadOnlyScreen, badge, joined, moment


class WorkFilter(admin.SimpleListFilter):
    title = _("worked on")
    parameter_name = "work"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("free", _("By nobody")), ("mine", _("By me")), ("done", _("Done"))]

    def choices(self, changelist: Any) -> Any:
        everything, *others = super().choices(changelist)
        yield {**everything, "display": _("Waiting")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        if self.value() == "done":
            return queryset.filter(state_code=StateCode.INACTIVE)
        waiting = queryset.filter(state_code=StateCode.ACTIVE)
        if self.value() == "free":
            return waiting.filter(worker_user=None, worker_team=None)
        if self.value() == "mine":
            return waiting.filter(worker_user=request.user)
        return waiting


class QueueItemScreen(ReadOnlyScreen):
    """What waits in queues. Working on it is picking, releasing and being done; no forms."""

    list_display = ["subject", "queue", "sender_words", "worker", "entered", "state"]
    list_display_links = None
    list_filter = [WorkFilter, ("queue", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["queue", "object", "worker_user", "worker_team"]
    search_fields = ["sender", "to_recipients", "object__subject"]
    ordering = ["-entered_on"]
    actions = ["pick", "release", "done"]

    @admin.display(description=_("email"))
    def subject(self, item: QueueItem) -> SafeString:
        url = reverse("admin:activities_email_change", args=[item.object_id])
        return format_html(
            '<a class="row-title" href="{}">{}</a>',
            url,
            Truncator(item.title).chars(SUBJECT_SHOWN) or __("(no subject)"),
        )

    @admin.display(description=_("from"), ordering="sender")
    def sender_words(self, item: QueueItem) -> str:
        return item.sender or EMPTY

    @admin.display(description=_("worked on by"))
    def worker(self, item: QueueItem) -> str:
        return joined([item.worker_user, item.worker_team])

    @admin.display(description=_("in the queue since"), ordering="entered_on")
    def entered(self, item: QueueItem) -> SafeString | str:
        return moment(item.entered_on)

    @admin.display(description=_("state"), ordering="state_code")
    def state(self, item: QueueItem) -> SafeString:
        if item.state_code == StateCode.INACTIVE:
            return badge(_("Done"), "quiet")
        return badge(_("Waiting"), "info")

    @admin.action(description=_("Pick: I work on it"))
    def pick(self, request: HttpRequest, queryset: "QuerySet[QueueItem]") -> None:
        free = self._workable(request, queryset)
        if free is None:
            return
        done = free.filter(worker_user=None, worker_team=None).update(
            worker_user=request.user, worker_modified_on=timezone.now()
        )
        self._say(
            request,
            done,
            ngettext("Picked %(count)d item.", "Picked %(count)d items.", done),
            __("Nothing was picked: somebody works on it already."),
        )

    @admin.action(description=_("Release: back to the queue"))
    def release(self, request: HttpRequest, queryset: "QuerySet[QueueItem]") -> None:
        taken = self._workable(request, queryset)
        if taken is None:
            return
        mine = Q(worker_user=request.user) | Q(worker_team__members=request.user)
        keys = list(taken.filter(mine).values_list("pk", flat=True))
        done = QueueItem.objects.filter(pk__in=keys).update(
            worker_user=None, worker_team=None, worker_modified_on=timezone.now()
        )
        self._say(
            request,
            done,
            ngettext("Released %(count)d item.", "Released %(count)d items.", done),
            __("Nothing was released: you work on none of them."),
        )

    @admin.action(description=_("Done: leave the queue"))
    def done(self, request: HttpRequest, queryset: "QuerySet[QueueItem]") -> None:
        open_items = self._workable(request, queryset)
        if open_items is None:
            return
        done = open_items.update(state_code=StateCode.INACTIVE, modified_by=request.user)
        self._say(
            request,
            done,
            ngettext("Closed %(count)d item.", "Closed %(count)d items.", done),
            __("Nothing was closed: it was done already."),
        )

    def _workable(
        self, request: HttpRequest, queryset: "QuerySet[QueueItem]"
    ) -> "QuerySet[QueueItem] | None":
        if self.missing(request, "change"):
            return None
        chosen = self.within_reach(request, queryset, "change")
        return chosen.filter(state_code=StateCode.ACTIVE)

    def _say(self, request: HttpRequest, done: int, words: str, nothing: str) -> None:
        if done:
            self.message_user(request, words % {"count": done}, messages.SUCCESS)
        else:
            self.message_user(request, nothing, messages.WARNING)
