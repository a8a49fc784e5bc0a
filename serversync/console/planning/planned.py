"""What pages of everything planned have in common: read by whoever sees it, written by whoever may, settled by
buttons."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.options import BaseModelAdmin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from activities.admin import (
    status_badge,
    subject_of,
)
from activities.admin.whose import SETTLED
from activities.private import may_read
from mailboxes.screens import actor_of
from serversync.console.deeds import Deed, Deeds
from serversync.console.filing import regarding_of, regarding_words
from serversync.console.planning import saving
from serversync.console.planning.facts import draft_badge, facts_of, in_short, people_of

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from activities.admin import ActivityListScreen as Base
else:
    Base = object

LONGEST = 20_000  # of a description on its page, which has all of it on demand

WHO_OWNS: Any = (
    _("Filed under, and owned by"),
    {"fields": [("regarding", "owner"), "category"]},
)


MORE: Any = (
    _("Description"),
    {"fields": ["description", ("is_online_meeting", "online_meeting_join_url")]},
)


class Planned(Deeds, Base):
    """Mix in before the list of one kind of activity."""

    change_form_template = "admin/activities/activity/change_form.html"
    complete_deed = Deed("complete", _("Mark complete"), main=True)
    actions = ["complete", "cancel", "reopen"]
    deeds = (
        Deed("reopen", _("Reopen"), main=True),
        Deed("cancel", _("Cancel"), grave=True),
    )

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        if not self._may_settle(request, obj):
            return ()
        reopen, cancel = Planned.deeds
        if obj.activity.state_code in SETTLED:
            return (reopen,)
        return (self.complete_deed, cancel)

    def _may_settle(self, request: HttpRequest, obj: Any) -> bool:
        """As changing it, but also what is settled."""
        may_change = BaseModelAdmin.has_change_permission(self, request, obj)
        return (
            may_change and self._reaches(request, obj, "change") and self.is_open_to(request, obj)
        )

    def is_open_to(self, request: HttpRequest, obj: Any) -> bool:
        return may_read(request.user, obj)

    # -- which page

    def change_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kw: Any
    ) -> HttpResponse:
        record = self.get_object(request, object_id)
        if record is None or not self.has_view_permission(request, record):
            # As Django says it, which doesn't tell "not there" from "not yours".
            redirect: HttpResponse = self._get_obj_does_not_exist_redirect(  # type: ignore[attr-defined]
                request, self.opts, object_id
            )
            return redirect
        if request.method == "GET" and not self.has_change_permission(request, record):
            return self.read(request, record)
        return super().change_view(request, object_id, *args, **kw)

    def read(self, request: HttpRequest, record: Any) -> HttpResponse:
        hidden = not self.is_open_to(request, record)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": record,
            "record": record,
            "description": _description(request, record),
            "hidden": hidden,
            "facts": facts_of(record)[:1] if hidden else facts_of(record),
            "regarding": regarding_words(record, regarding_of(record, request.user)),
            "has_delete_permission": self.has_delete_permission(request, record),
            "deeds": self._buttons(record, self.deeds_for(request, record)),
            **self.about(request, record, hidden=hidden),
        }
        return TemplateResponse(request, "console/activity.html", context)

    def about(self, request: HttpRequest, record: Any, *, hidden: bool) -> dict[str, Any]:
        """What both pages show of it."""
        return {
            "title": subject_of(record, hidden=hidden),
            "subtitle": capfirst(str(self.opts.verbose_name)),
            "status": status_badge(record),
            "draft": draft_badge(record),
            "in_short": in_short(record),
            "people": [] if hidden else people_of(record, request.user),
        }

    def _buttons(self, record: Any, deeds: Sequence[Deed]) -> list[tuple[Deed, str]]:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_do"
        return [(deed, reverse(name, args=[record.pk, deed.name])) for deed in deeds]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        response = super().render_change_form(request, context, *args, **kw)
        record = kw.get("obj")
        if record is not None:
            response.context_data |= self.about(request, record, hidden=False)
        return response

    # -- the form

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        (name, options), *others = super().get_fieldsets(request, obj)
        return [(name, {**options, "fields": [*options["fields"], "version"]}), *others]

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kw: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kw)
        form.request = request  # a class of this request alone
        return form

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        saving.save(obj, form, **by_actor(request))

    def response_add(self, request: HttpRequest, obj: Any, *args: Any, **kw: Any) -> HttpResponse:
        return self._saved(request, obj) or self.response_post_save_add(request, obj)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        return self._saved(request, obj) or self.response_post_save_change(request, obj)

    def _saved(self, request: HttpRequest, obj: Any) -> HttpResponse | None:
        """Said by its subject, which whoever wrote it knows; logs and choosers go without."""
        subject = subject_of(type(obj)._default_manager.select_related("activity").get(pk=obj.pk))
        words = __("“%(subject)s” is saved.") % {"subject": subject}
        self.message_user(request, words, messages.SUCCESS)
        if "_continue" not in request.POST:
            return None
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return HttpResponseRedirect(reverse(name, args=[obj.pk]))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        saving.delete([obj], **by_actor(request))

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> None:
        saving.delete(list(queryset), **by_actor(request))

    # -- buttons, and the list's actions

    @admin.action(description=_("Mark complete"))
    def complete(self, request: HttpRequest, queryset: "QuerySet[Any]") -> None:
        self._settle(request, queryset, saving.complete, __("It is completed."))

    @admin.action(description=_("Cancel"))
    def cancel(self, request: HttpRequest, queryset: "QuerySet[Any]") -> None:
        self._settle(request, queryset, saving.cancel, __("It is canceled."))

    @admin.action(description=_("Reopen"))
    def reopen(self, request: HttpRequest, queryset: "QuerySet[Any]") -> None:
        self._settle(request, queryset, saving.reopen, __("It is open again."))

    def _settle(
        self, request: HttpRequest, queryset: "QuerySet[Any]", deed: Any, words: str
    ) -> None:
        if self.missing(request, "change"):
            return
        rows = list(self.within_reach(request, queryset, "change").select_related("activity"))
        done = 0
        for record in rows:
            if not self.is_open_to(request, record):
                continue
            try:
                deed(record, **by_actor(request))
            except ValidationError as refused:
                self.message_user(request, " ".join(refused.messages), messages.WARNING)
            else:
                self.log_change(request, record, words)
                done += 1
        if len(rows) == done == 1:
            self.message_user(request, words, messages.SUCCESS)
        elif rows:
            self._told(request, done, len(rows) - done)

    def _told(self, request: HttpRequest, done: int, left: int) -> None:
        """Of several."""
        if done:
            many = ngettext("%(count)d changed.", "%(count)d changed.", done)
            self.message_user(request, many % {"count": done}, messages.SUCCESS)
        if left:
            others = ngettext(
                "%(count)d was left as it is.", "%(count)d were left as they are.", left
            )
            self.message_user(request, others % {"count": left}, messages.WARNING)


def by_actor(request: HttpRequest) -> dict[str, Any]:
    return {"actor": actor_of(request), "now": timezone.now()}


def _description(request: HttpRequest, record: Any) -> str:
    """A server's bodies are as long as any document."""
    whole = str(record.description or "")
    return whole if "whole" in request.GET else whole[:LONGEST]
