"""Replay: a period is decided again, the difference is looked at, and applied or dropped as a whole.

Each belongs to whoever made it, for it is about what he may see; subjects are for who may read the mail of
the mailbox (R8.30).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from mailboxes import access
from mailboxes.models import Mailbox
from mailboxes.screens import EMPTY, ReadOnlyScreen, actor_of, badge, moment
from serversync import replay as replays
from serversync.choices import ReplayState, ReplayStep, Stay
from serversync.console.deeds import Deed, Deeds
from serversync.console.differences import HIDDEN, Line, line_of
from serversync.facets import Facet, Unknown
from serversync.models import Replay, ReplayChange, SyncItem
from serversync.replay import Refused

MOST_DAYS = 90
PER_PAGE = 100
STATE_LOOKS = {
    ReplayState.DECIDING: "info",
    ReplayState.READY: "warn",
    ReplayState.FAILED: "bad",
    ReplayState.APPLIED: "good",
    ReplayState.DROPPED: "quiet",
    ReplayState.UNDONE: "quiet",
}
STEP_LOOKS = {
    ReplayStep.FETCH: "good",
    ReplayStep.CHANGE: "warn",
    ReplayStep.REMOVE: "bad",
    ReplayStep.NOTE: "quiet",
    ReplayStep.NOTHING: "quiet",
}
APPLY = Deed("apply", _("Apply all of it"), main=True)
DROP = Deed("drop", _("Drop it"))
UNDO = Deed("undo", _("Undo it"), grave=True)
AGAIN = Deed("again", _("Decide once more"))


class Form(forms.Form):
    mailbox = forms.ModelChoiceField(
        Mailbox.objects.none(),
        label=_("Mailbox"),
        required=False,
        empty_label=_("All that I may see"),
    )
    days = forms.IntegerField(label=_("Last days"), min_value=1, max_value=MOST_DAYS, initial=3)

    def __init__(self, data: Any, mailboxes: "QuerySet[Mailbox]", initial: Any = None) -> None:
        super().__init__(data, initial=initial)
        self.fields["mailbox"].queryset = mailboxes  # type: ignore[attr-defined]


class ReplayConsole(Deeds, ReadOnlyScreen):
    list_display = ["period", "of_mailbox", "looks", "created", "items", "changes_found"]
    list_display_links = ["period"]
    list_select_related = ["mailbox"]
    ordering = ["-created_on"]
    change_form_template = "console/replay.html"

    # -- the list

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Replay]":
        rows: QuerySet[Replay] = super().get_queryset(request)
        return rows.annotate(found=Count("changes"))

    @admin.display(description=_("decided between"), ordering="since")
    def period(self, row: Replay) -> str:
        return f"{row.since:%Y-%m-%d} – {row.until:%Y-%m-%d}"

    @admin.display(description=_("mailbox"))
    def of_mailbox(self, row: Replay) -> str:
        return str(row.mailbox) if row.mailbox else EMPTY

    @admin.display(description=_("state"), ordering="state")
    def looks(self, row: Replay) -> SafeString:
        return badge(row.get_state_display(), STATE_LOOKS[ReplayState(row.state)])

    @admin.display(description=_("made"), ordering="created_on")
    def created(self, row: Replay) -> SafeString | str:
        return moment(row.created_on)

    @admin.display(description=_("differences"))
    def changes_found(self, row: Any) -> int:
        return int(row.found)

    # -- a new one

    def has_add_permission(self, request: HttpRequest) -> bool:
        return access.reach_of(request.user, Replay, "add") is not None

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> Any:
        if not self.has_add_permission(request):
            raise PermissionDenied
        mailboxes = access.visible_to(request.user, Mailbox.objects.all()).order_by("name")
        post = request.POST if request.method == "POST" else None
        form = Form(post, mailboxes, initial={"mailbox": request.GET.get("mailbox")})
        if post is not None and form.is_valid():
            return self._begin(request, form)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": __("Decide again"),
            "form": form,
            "most_items": replays.MOST_ITEMS,
        }
        return TemplateResponse(request, "console/replay_add.html", context)

    def _begin(self, request: HttpRequest, form: Form) -> HttpResponse:
        now = timezone.now()
        made = replays.begin(
            actor=actor_of(request),
            since=now - timedelta(days=form.cleaned_data["days"]),
            until=now,
            mailbox=form.cleaned_data["mailbox"],
        )
        return HttpResponseRedirect(reverse("admin:serversync_replay_change", args=[made.pk]))

    # -- what is done about it

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        if not replays.may(request.user, obj):
            return []
        if obj.state == ReplayState.READY:
            works = obj.changes.exclude(step=ReplayStep.NOTHING).exists()
            usable = works and not obj.is_old(timezone.now())
            return [APPLY, AGAIN, DROP] if usable else [AGAIN, DROP]
        if obj.state in (ReplayState.FAILED, ReplayState.DECIDING):
            return [AGAIN, DROP]
        return [UNDO] if obj.state == ReplayState.APPLIED else []

    def apply(self, request: HttpRequest, queryset: "QuerySet[Replay]") -> None:
        words = __("Applied. Nothing was sent, and nothing was written to a server.")
        self._do(request, queryset, replays.apply, words)

    def drop(self, request: HttpRequest, queryset: "QuerySet[Replay]") -> None:
        self._do(request, queryset, replays.drop, __("Dropped. Nothing has changed."))

    def undo(self, request: HttpRequest, queryset: "QuerySet[Replay]") -> None:
        if (done := self._do(request, queryset, replays.undo, __("Undone."))) is None:
            return
        if left := done.changes.exclude(not_undone="").count():
            words = __("%(count)d could not be undone; the reason stands with each.")
            self.message_user(request, words % {"count": left}, messages.WARNING)

    def again(self, request: HttpRequest, queryset: "QuerySet[Replay]") -> HttpResponse:
        """For the same mailbox and period, until now."""
        old, now = queryset.get(), timezone.now()
        if self._do(request, queryset, replays.drop, "") is None:
            return HttpResponseRedirect(reverse("admin:serversync_replay_change", args=[old.pk]))
        made = replays.begin(
            actor=actor_of(request), since=old.since, until=now, mailbox=old.mailbox
        )
        return HttpResponseRedirect(reverse("admin:serversync_replay_change", args=[made.pk]))

    def _do(
        self,
        request: HttpRequest,
        queryset: "QuerySet[Replay]",
        deed: Callable[..., Replay],
        words: str,
    ) -> Replay | None:
        found = queryset.get()
        try:
            done = deed(found, actor=actor_of(request), now=timezone.now())
        except (Refused, PermissionDenied) as error:
            self.message_user(request, str(error), messages.ERROR)
            return None
        self.log_change(request, done, [{"changed": {"fields": [str(_("State"))]}}])
        if words:
            self.message_user(request, words, messages.SUCCESS)
        return done

    # -- its page

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        found: Replay = kw["obj"]
        page = _number(request.GET.get("page"))
        step = request.GET.get("step", "")
        shown = found.changes.filter(
            item__in=access.visible_to(request.user, SyncItem.objects.all())
        )
        counts = [
            (one.label, shown.filter(step=one).count(), one, STEP_LOOKS[one])
            for one in ReplayStep
            if one != ReplayStep.NOTHING
        ]
        wanted = shown.filter(step=step) if step in ReplayStep.values else shown
        total = wanted.count()
        rows = wanted.select_related("item__mailbox").order_by("number")
        rows = rows.exclude(stays=Stay.UNKNOWN) if step != ReplayStep.NOTHING else rows
        part = list(rows[page * PER_PAGE : (page + 1) * PER_PAGE])
        context |= {
            "title": __("Decided again"),
            "replay": found,
            "looks": self.looks(found),
            "counts": [one for one in counts if one[1]],
            "stays": _stays(shown),
            "unknown": _unknown(shown),
            "lines": _lines(part, request.user),
            "step": step,
            "next_page": page + 1 if rows[(page + 1) * PER_PAGE :].exists() else None,
            "previous_page": page - 1 if page else None,
            "total": total,
            "is_old": found.state == ReplayState.READY and found.is_old(timezone.now()),
        }
        return super().render_change_form(request, context, *args, **kw)


def _number(text: Any) -> int:
    return min(int(text), 1000) if str(text or "").isdecimal() else 0


def _stays(changes: "QuerySet[ReplayChange]") -> list[tuple[str, int]]:
    """Why what differs stays as it is, with how many."""
    rows = changes.filter(step=ReplayStep.NOTHING).exclude(stays=Stay.UNKNOWN)
    found = rows.order_by().values_list("stays").annotate(count=Count("pk"))
    return [(str(Stay(stays).label), count) for stays, count in found if stays]


def _unknown(changes: "QuerySet[ReplayChange]") -> list[tuple[str, int]]:
    told = changes.filter(stays=Stay.UNKNOWN).values_list("after__unknown", flat=True)
    return [(str(Unknown(why).label), count) for why, count in Counter(told).items() if why]


def _lines(changes: Sequence[ReplayChange], reader: Any) -> list[tuple[Any, Line]]:
    keys = {change.item.mailbox_id for change in changes}
    mine: set[UUID] = set(
        Mailbox.objects.filter(access.content_readers(reader), pk__in=keys).values_list(
            "pk", flat=True
        )
    )
    return [(_told(one), _line(one, one.item.mailbox_id in mine)) for one in changes]


def _line(change: ReplayChange, may_read: bool) -> Line:
    name = (change.item.subject or __("(no subject)")) if may_read else HIDDEN
    facets = [Facet(facet) for facet in change.facets]
    return line_of(name, change.item, facets, change.before, change.after, may_read=may_read)


def _told(change: ReplayChange) -> dict[str, Any]:
    """What is done about it, and what is not."""
    step = ReplayStep(change.step)
    why = str(Stay(change.stays).label) if change.stays else ""
    kept = [(str(Facet(facet).label), str(Stay(stay).label)) for facet, stay in change.kept.items()]
    words = {"words": str(step.label), "looks": STEP_LOOKS[step], "why": why, "kept": kept}
    return {**words, "not_undone": change.not_undone}
