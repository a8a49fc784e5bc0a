"""Where each workload stands, in one word computed by the database: for charts, filters and metrics."""

from datetime import datetime, timedelta

from django.db.models import Case, CharField, Q, TextChoices, Value, When
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import (
    ActDeliveryMethod,
    IncomingDeliveryMethod,
    Operation,
    OutgoingDeliveryMethod,
    StateCode,
    TestStatus,
)
from serversync.choices import WorkloadState

#: Which column of a mailbox says that a workload is to run here, and with what value.
METHODS = {
    Operation.INCOMING: (
        "incoming_email_delivery_method",
        IncomingDeliveryMethod.SERVER_SIDE_SYNC,
    ),
    Operation.OUTGOING: (
        "outgoing_email_delivery_method",
        OutgoingDeliveryMethod.SERVER_SIDE_SYNC,
    ),
    Operation.ACT: ("act_delivery_method", ActDeliveryMethod.SERVER_SIDE_SYNC),
}


class Standing(TextChoices):
    """The first that fits counts, in the order of `standing`."""

    RUNS = "runs", _("Runs")
    FAILING = "failing", _("Failing")
    PAUSED = "paused", _("Paused")
    OFF = "off", _("Disabled by a failure")
    UNTESTED = "untested", _("Not tested")
    STILL = "still", _("Stands still")
    UNUSED = "unused", _("Not used")


def is_used() -> Q:
    """The mailbox is set to run this workload here."""
    used = Q()
    for operation, (column, method) in METHODS.items():
        used |= Q(operation=operation, **{f"mailbox__{column}": method})
    return used


def standing() -> Case:
    """Of a row of `Workload`. "Stands still": its mailbox or its profile is inactive."""
    return Case(
        When(~is_used(), then=Value(Standing.UNUSED)),
        When(~is_active(), then=Value(Standing.STILL)),
        When(state=WorkloadState.PAUSED, then=Value(Standing.PAUSED)),
        When(
            Q(state=WorkloadState.DISABLED) | Q(test_status=TestStatus.FAILURE),
            then=Value(Standing.OFF),
        ),
        When(enabled=False, then=Value(Standing.UNTESTED)),
        When(consecutive_failures__gt=0, then=Value(Standing.FAILING)),
        default=Value(Standing.RUNS),
        output_field=CharField(),
    )


#: Longer than any gap that a running cluster leaves.
OVERDUE = timedelta(minutes=15)


def is_active() -> Q:
    """Its mailbox and its profile are."""
    return Q(
        mailbox__state_code=StateCode.ACTIVE,
        mailbox__email_server_profile__state_code=StateCode.ACTIVE,
    )


def is_overdue(now: datetime) -> Q:
    """Enabled and active rows that a running cluster would have taken long ago."""
    free = Q(lease_expires_at__isnull=True) | Q(lease_expires_at__lt=now)
    return free & is_active() & Q(enabled=True, next_run_at__lt=now - OVERDUE)
