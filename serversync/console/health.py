"""One word for the state of a mailbox, computed by the database.

The list's badge, its filter and the counts of the front page all use this one expression, so they
can't disagree. The first state that fits counts, in the order of `health_expression`.
"""

from typing import Any

from django.db.models import (
    Case,
    CharField,
    Exists,
    OuterRef,
    Q,
    QuerySet,
    TextChoices,
    Value,
    When,
)
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import (
    AccessApproval,
    AccessMode,
    StateCode,
    TestStatus,
)
from mailboxes.models import Mailbox, Organization
from serversync.choices import WorkloadState
from serversync.models import Workload
from serversync.standing import METHODS


class Health(TextChoices):
    HEALTHY = "healthy", _("Healthy")
    FAILING = "failing", _("Failing")
    PAUSED = "paused", _("Paused")
    WAITING = "waiting", _("Waiting for approval")
    UNTESTED = "untested", _("Not tested")
    NOT_SET_UP = "not_set_up", _("Not set up")
    INACTIVE = "inactive", _("Inactive")


#: How a badge and a count of each state look.
KIND = {
    Health.HEALTHY: "good",
    Health.WAITING: "warn",
    Health.UNTESTED: "warn",
    Health.FAILING: "bad",
    Health.PAUSED: "bad",
    Health.NOT_SET_UP: "quiet",
    Health.INACTIVE: "quiet",
}

#: What each state means, for the heading of the mailbox page.
MEANING = {
    Health.HEALTHY: _("Every workload that is switched on was tested and runs."),
    Health.WAITING: _("Its address must be approved before mail is processed."),
    Health.UNTESTED: _("A workload has not passed Test & Enable yet."),
    Health.FAILING: _("A workload failed its test or its last cycles."),
    Health.PAUSED: _("Paused after repeated failures; probed again by itself."),
    Health.NOT_SET_UP: _(
        "Something is missing: a server profile in use, an address, a licence, or a workload that "
        "uses server-side synchronization."
    ),
    Health.INACTIVE: _("Deactivated: nothing is received or sent."),
}

_READ_WRITE = AccessMode.READ_WRITE


def organization_of(request: HttpRequest) -> Organization:
    """Read once for a page."""
    known: Organization | None = request.__dict__.get("_organization")
    if known is None:
        known = request.__dict__["_organization"] = Organization.objects.current()
    return known


def with_health(mailboxes: "QuerySet[Mailbox]", organization: Organization) -> "QuerySet[Any]":
    """Adds `health` to each row."""
    return mailboxes.annotate(health=health_expression(organization))


def health_expression(organization: Organization) -> Case:
    wanted = Q()
    for operation, (column, method) in METHODS.items():
        wanted |= Q(operation=operation, **{f"mailbox__{column}": method})
    rows = Workload.objects.filter(wanted, mailbox=OuterRef("pk"))
    failing = rows.filter(
        Q(test_status=TestStatus.FAILURE)
        | Q(state=WorkloadState.DISABLED)
        | Q(state=WorkloadState.READY, consecutive_failures__gt=0)
    )
    nothing_wanted = Q()
    untested = Q()
    for operation, (column, method) in METHODS.items():
        nothing_wanted &= ~Q(**{column: method})
        enabled = Workload.objects.filter(mailbox=OuterRef("pk"), operation=operation, enabled=True)
        untested |= Q(~Exists(enabled)) & Q(**{column: method})
    waiting = Q(pk__in=[])
    unapproved = ~Q(email_router_access_approval=AccessApproval.APPROVED)
    if organization.require_approval_for_user_email:
        waiting |= Q(regarding_user__isnull=False) & unapproved
    if organization.require_approval_for_queue_email:
        waiting |= Q(regarding_queue__isnull=False) & unapproved
    return Case(
        When(state_code=StateCode.INACTIVE, then=Value(Health.INACTIVE)),
        When(
            Q(email_server_profile__isnull=True)
            | Q(email_server_profile__state_code=StateCode.INACTIVE)
            | Q(email_address="")
            | Q(regarding_user__is_licensed=False)
            | (Q(regarding_user__isnull=False) & ~Q(regarding_user__access_mode=_READ_WRITE))
            | nothing_wanted,
            then=Value(Health.NOT_SET_UP),
        ),
        When(waiting, then=Value(Health.WAITING)),
        When(Exists(failing), then=Value(Health.FAILING)),
        When(Exists(rows.filter(state=WorkloadState.PAUSED)), then=Value(Health.PAUSED)),
        When(untested, then=Value(Health.UNTESTED)),
        default=Value(Health.HEALTHY),
        output_field=CharField(),
    )
