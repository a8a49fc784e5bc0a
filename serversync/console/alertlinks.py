"""Alerts whose cure has a page of its own: where to go, and what to do there."""

from typing import Any

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from mailboxes import services
from mailboxes.models import TraceLog
from serversync import quarantine
from serversync.act import batches, guard
from serversync.act.byhand import ALERTS
from serversync.act.records import keys_in
from serversync.console.navigation import in_doubt
from tracking import hooks
from tracking.choices import HookState

#: Conditions that wait for somebody to approve a batch, which they are about.
WAITING = (batches.ALERT, guard.STOPPED)
#: Conditions that left a learned limit behind.
LEARNED = ("SendingTooFast", "ErrorSubmissionQuotaExceeded")


def cure_of(alert: TraceLog) -> tuple[str, Any] | None:
    """Where to go, and what to do there."""
    if alert.code in services.CURED_BY_SIGN_IN and alert.regarding_mailbox_id:
        return reverse("admin:sign_in", args=[alert.regarding_mailbox_id]), _("Connect the mailbox")
    if alert.code == quarantine.ALERT and alert.regarding_mailbox_id:
        page = reverse("admin:quarantine")
        return f"{page}?mailbox={alert.regarding_mailbox_id}", _("Open the quarantine")
    if alert.code == "DeliveryUnknown":
        return f"{in_doubt()}&mailbox__id__exact={alert.regarding_mailbox_id}", _(
            "Say what became of it"
        )
    if alert.code in WAITING:
        return reverse("admin:serversync_parkedbatch_change", args=[alert.object_key]), _(
            "Look at what would happen"
        )
    if alert.code in ALERTS.values() and (keys := keys_in([alert.object_key])):
        return reverse("admin:act_question", args=keys), _("Answer it")
    if alert.code in LEARNED and alert.regarding_mailbox_id:
        return reverse("admin:serversync_learnedlimit_changelist"), _("Look at what was learned")
    if alert.code == hooks.CODE:
        page = reverse("admin:tracking_hookrun_changelist")
        return f"{page}?state__exact={HookState.FAILED}", _("Look at the hook runs")
    return None
