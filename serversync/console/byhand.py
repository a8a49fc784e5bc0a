"""What a person does by hand, as pages: tracking an item all the same, untracking an email."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from activities.models import Email
from mailboxes import access
from mailboxes.screens import actor_of
from serversync import byhand
from serversync.choices import ItemState
from serversync.console.deeds import Deed
from serversync.console.folders import picker_context
from serversync.models import SyncItem
from tracking.forms import RecordForm

if TYPE_CHECKING:
    from mailboxes.screens import Screen as Base
else:
    Base = object

TRACK = Deed("track_page", _("Track anyway"), main=True, needs=byhand.PERMISSION)
UNTRACK = Deed("untrack_page", _("Untrack"), grave=True)


# -- items ---------------------------------------------------------------------------------------


class TrackingByHand(Base):
    """Mix in before the screen of items."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.track_one)
        return [
            path("<uuid:pk>/track/", view, name="serversync_syncitem_track"),
            *super().get_urls(),
        ]

    def deeds_by_hand(self, request: HttpRequest, item: Any) -> list[Deed]:
        if not item.is_readable:
            return []
        if item.state in byhand.LINKED and item.email_id is not None:
            seen = access.visible_to(request.user, Email.objects.filter(pk=item.email_id), "view")
            return [UNTRACK] if seen.exists() else []
        rows = SyncItem.objects.filter(byhand.trackable(), pk=item.pk)
        return [TRACK] if item.state in byhand.TRACKABLE and rows.exists() else []

    def track_page(self, request: HttpRequest, queryset: "QuerySet[SyncItem]") -> HttpResponse:
        return HttpResponseRedirect(
            reverse("admin:serversync_syncitem_track", args=[queryset.get().pk])
        )

    def untrack_page(self, request: HttpRequest, queryset: "QuerySet[SyncItem]") -> HttpResponse:
        item = queryset.get()
        url = reverse("admin:activities_email_untrack", args=[item.email_id])
        return HttpResponseRedirect(f"{url}?item={item.pk}")

    @admin.action(description=_("Track chosen items anyway"))
    def track(self, request: HttpRequest, queryset: "QuerySet[SyncItem]") -> None:
        if self.missing(request, byhand.PERMISSION):
            return
        chosen = SyncItem.objects.filter(pk__in=list(queryset.values_list("pk", flat=True)))
        self._track(request, chosen, None)

    def track_one(self, request: HttpRequest, pk: Any) -> HttpResponse:
        item = self.get_object(request, str(pk))
        if item is None or TRACK not in self.deeds_by_hand(request, item):
            raise Http404
        back = HttpResponseRedirect(reverse("admin:serversync_syncitem_change", args=[item.pk]))
        if self.missing(request, byhand.PERMISSION):
            return back
        post = request.POST if request.method == "POST" else None
        if post is None or "_find" in post:
            return self._track_page(
                request, item, RecordForm(initial=_typed(post), user=request.user)
            )
        form = RecordForm(post, user=request.user)
        if not form.is_valid():
            return self._track_page(request, item, form)
        self._track(request, SyncItem.objects.filter(pk=item.pk), form.cleaned_data["record"])
        return back

    def _track(self, request: HttpRequest, chosen: "QuerySet[SyncItem]", record: Any) -> None:
        count = chosen.count()
        done = byhand.track(chosen, actor=actor_of(request), now=timezone.now(), record=record)
        for item in SyncItem.objects.filter(pk__in=done[:200]).defer("trace"):
            self.log_change(request, item, __("Asked to track it all the same."))
        if done:
            words = ngettext(
                "%(count)d item is fetched again and tracked with the next cycle, which was asked to "
                "run now.",
                "%(count)d items are fetched again and tracked with the next cycles, which were asked "
                "to run now.",
                len(done),
            )
            self.message_user(request, words % {"count": len(done)}, messages.SUCCESS)
        if left := count - len(done):
            words = ngettext(
                "%(count)d item was left out: it can't be tracked, or its mailbox is not yours to read.",
                "%(count)d items were left out: they can't be tracked, or their mailboxes are not "
                "yours to read.",
                left,
            )
            self.message_user(request, words % {"count": left}, messages.WARNING)

    def _track_page(self, request: HttpRequest, item: Any, form: RecordForm) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": __("Track anyway"),
            "item": item,
            "subject": item.subject or __("(no subject)"),
            "has_bytes": item.raw_id is not None,
            "is_away": item.left_at is not None or item.state == ItemState.GONE,
            "form": form,
            **picker_context(form),
        }
        return TemplateResponse(request, "console/track.html", context)


def _typed(post: Any) -> dict[str, Any]:
    return post.dict() if post is not None else {}


# -- emails --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing to do. `value` stands for it in the form."""

    value: str
    words: Any
    help: Any
    item: SyncItem | None = None


class Untracking(Base):
    """Mix in before the screen of emails."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.untrack)
        name = "activities_email_untrack"
        return [path("<uuid:pk>/untrack/", view, name=name), *super().get_urls()]

    def untrack_page(self, request: HttpRequest, queryset: "QuerySet[Email]") -> HttpResponse:
        url = reverse("admin:activities_email_untrack", args=[queryset.get().pk])
        return HttpResponseRedirect(url)

    def untrack(self, request: HttpRequest, pk: Any) -> HttpResponse:
        email = self._readable(request, pk)  # type: ignore[attr-defined]
        choices = self.choices_for(request, email)
        if not choices:
            raise PermissionDenied
        wanted = request.POST.get("choice") if request.method == "POST" else None
        choice = next((one for one in choices if one.value == wanted), None)
        if choice is not None:
            return self._untrack(request, email, choice)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": __("Untrack"),
            "email": email,
            "subject": email.activity.subject or __("(no subject)"),
            "choices": choices,
            "nothing_chosen": request.method == "POST",
            "preset": f"item:{request.GET.get('item', '')}",
            "copies": SyncItem.objects.filter(email=email).count(),
            "is_last": not SyncItem.objects.filter(email=email, left_at=None).exists(),
        }
        return TemplateResponse(request, "console/untrack.html", context)

    def choices_for(self, request: HttpRequest, email: Any) -> list[Choice]:
        """Only of what came from, or lies on, a server; the others are simply deleted."""
        rows = SyncItem.objects.filter(email=email, state__in=byhand.LINKED)
        mine = list(byhand.allowed(request.user, rows).select_related("mailbox").defer("trace"))
        made = [
            Choice(
                f"item:{item.pk}",
                __("Only unlink this copy"),
                __("The email stays here, and so does the message on the server."),
                item,
            )
            for item in mine
        ]
        if rows.exists() and self.has_delete_permission(request, email):
            made.append(
                Choice(
                    "delete",
                    __("Delete the email here as well"),
                    __(
                        "The email goes with its files and queue items, and every copy of it is "
                        "unlinked. Messages on servers stay."
                    ),
                )
            )
        return made

    def _untrack(self, request: HttpRequest, email: Any, choice: Choice) -> HttpResponse:
        actor, now = actor_of(request), timezone.now()
        if choice.item is not None:
            byhand.unlink(SyncItem.objects.filter(pk=choice.item.pk), actor=actor, now=now)
            self.log_change(request, email, __("Unlinked a copy in “%s”.") % choice.item.mailbox)
            words = __("The copy is unlinked; no cycle tracks it again.")
            url = reverse("admin:activities_email_change", args=[email.pk])
        else:
            self.log_deletions(request, Email.objects.filter(pk=email.pk))
            byhand.delete(email, actor=actor, now=now)
            words = __("The email is deleted here; no cycle tracks its copies again.")
            url = reverse("admin:activities_email_changelist")
        self.message_user(request, words, messages.SUCCESS)
        return HttpResponseRedirect(url)
