"""Late runs of a site's own code on receipt: what is still to run, and what failed."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django_q.tasks import async_task

from mailboxes.screens import ReadOnlyScreen, badge, link, moment
from serversync.console.deeds import Deed, Deeds
from tracking import hooks
from tracking.choices import HookState
from tracking.models import HookRun

KIND = {HookState.PENDING: "info", HookState.DONE: "good", HookState.FAILED: "bad"}


class HookRunConsole(Deeds, ReadOnlyScreen):
    """Seen by whoever sees the email."""

    list_display = ["hook", "email_words", "state_badge", "attempts", "since", "next_run", "error"]
    list_filter = ["state", "hook"]
    list_select_related = ["email__activity"]
    search_fields = ["hook"]
    ordering = ["-created_on"]
    actions = ["again"]
    deeds = (Deed("again", _("Run again"), main=True),)

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        return self.deeds if obj.state == HookState.FAILED else []

    @admin.display(description=_("email"))
    def email_words(self, run: HookRun) -> SafeString:
        url = reverse("admin:activities_email_change", args=[run.email_id])
        return link(url, run.email.activity.subject or __("(no subject)"))

    @admin.display(description=_("state"), ordering="state")
    def state_badge(self, run: HookRun) -> SafeString:
        return badge(run.get_state_display(), KIND[HookState(run.state)])

    @admin.display(description=_("since"), ordering="created_on")
    def since(self, run: HookRun) -> SafeString | str:
        return moment(run.created_on)

    @admin.display(description=_("next attempt"), ordering="next_attempt_at")
    def next_run(self, run: HookRun) -> SafeString | str:
        return moment(run.next_attempt_at)

    @admin.display(description=_("error"))
    def error(self, run: HookRun) -> str:
        return run.last_error[:200]

    @admin.action(description=_("Run failed ones again"))
    def again(self, request: HttpRequest, queryset: "QuerySet[HookRun]") -> None:
        if self.missing(request, "change"):
            return
        with transaction.atomic():
            done = hooks.again(self.within_reach(request, queryset, "change"), timezone.now())
            if done:
                async_task("serversync.jobs.run_hooks", group="hooks")
        words = ngettext("%(count)d run is begun again.", "%(count)d runs are begun again.", done)
        level = messages.SUCCESS if done else messages.WARNING
        self.message_user(request, words % {"count": done}, level)
