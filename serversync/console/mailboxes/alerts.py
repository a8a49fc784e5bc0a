"""Alerts: where the cure is."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailboxes.admin import AlertScreen
from serversync.console.alertlinks import cure_of
from serversync.console.deeds import Deed, Deeds


class AlertConsole(Deeds, AlertScreen):
    """With a link to the page that cures, where there is one."""

    change_form_template = "admin/mailboxes/tracelog/change_form.html"
    deeds = (
        Deed("clear", _("Clear this alert"), main=True),
        Deed("snooze_day", _("Snooze for a day")),
        Deed("snooze_week", _("Snooze for a week")),
        Deed("wake", _("End snoozing")),
    )

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        """Where the cure has a button of its own, that is what one wants to do."""
        if not obj.is_open:
            return []
        hidden = {"snooze_day", "snooze_week"} if obj.is_snoozed(timezone.now()) else {"wake"}
        shown = [deed for deed in self.deeds if deed.name not in hidden]
        return [replace(deed, main=deed.main and cure_of(obj) is None) for deed in shown]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        alert = kw.get("obj")
        if alert is not None and alert.is_open:
            context["cure"] = cure_of(alert)
        return super().render_change_form(request, context, *args, **kw)
