"""The engine's own words. None of these values is Dataverse's."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import WorkloadState
from tracking.choices import Outcome as ItemState

__all__ = [
    "IMPORTED",
    "ActionState",
    "ItemState",
    "SendOutcome",
    "SubmissionState",
    "WorkloadState",
]


#: The folder of ledger rows that came in as files, by hand. No server knows it, so nothing is listed,
#: fetched or done there.
IMPORTED = "(import)"


class ActionState(TextChoices):
    """One thing to do on a server after the commit."""

    PENDING = "pending", _("Pending")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")


class SubmissionState(TextChoices):
    """One attempt to send one e-mail."""

    CLAIMED = "claimed", _("Claimed")
    HANDED_OVER = "handed_over", _("Handed over, outcome not yet known")
    ACCEPTED = "accepted", _("Accepted by the server")
    REFUSED = "refused", _("Refused by the server")
    RELEASED = "released", _("Not handed over; may be tried again")
    UNKNOWN = "unknown", _("Unknown whether it left")


class SendOutcome(TextChoices):
    """What a cycle counts of the mail it sent, beside the states of the ledger."""

    SENT = "sent", _("Sent")
    DEFERRED = "deferred", _("Deferred")
    FAILED = "failed", _("Failed")


def counted_as(state: str) -> str:
    """The word for what `CycleResult.by_state` counts."""
    labels = {**dict(ItemState.choices), **dict(SendOutcome.choices)}
    return str(labels.get(state, state)).lower()
