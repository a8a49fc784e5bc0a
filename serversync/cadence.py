"""How often a workload runs, and how long it rests after failures, by the organization's settings (R9.1, R9.5)."""

from mailboxes.choices import Operation
from mailboxes.models import Organization
from serversync.due import Gaps, Limits


def gaps_of(organization: Organization, operation: Operation) -> Gaps:
    if operation == Operation.ACT:
        return Gaps(
            active_min=organization.active_mailbox_minimum_backoff_for_act,
            active_max=organization.active_mailbox_maximum_backoff_for_act,
            idle_min=organization.idle_mailbox_minimum_backoff_for_act,
            idle_max=organization.idle_mailbox_maximum_backoff_for_act,
        )
    return Gaps(
        active_min=organization.active_mailbox_minimum_backoff,
        active_max=organization.active_mailbox_maximum_backoff,
        idle_min=organization.idle_mailbox_minimum_backoff,
        idle_max=organization.idle_mailbox_maximum_backoff,
    )


def shortest_gap(organization: Organization) -> int:
    """Seconds; no workload is to run again any sooner."""
    return min(gaps_of(organization, each).active_min for each in Operation)


def limits_of(organization: Organization, operation: Operation) -> Limits:
    pause = bool(organization.effective("pause_instead_of_disable"))
    if operation == Operation.ACT:
        return Limits(
            max_transient=organization.maximum_mailbox_transient_failures_for_act,
            on_transient=organization.mailbox_backoff_on_transient_error_for_act,
            on_timeout=organization.mailbox_backoff_on_timeout_for_act,
            pause=pause,
        )
    return Limits(
        max_transient=organization.max_mailbox_transient_failures,
        on_transient=organization.mailbox_backoff_on_transient_error,
        on_timeout=organization.mailbox_backoff_on_timeout,
        pause=pause,
    )
