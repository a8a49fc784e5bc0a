"""The engine's own words. None of these values is Dataverse's."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import WorkloadState

__all__ = ["ActionState", "ItemState", "SubmissionState", "WorkloadState"]


class ItemState(TextChoices):
    """Where one item seen on a server ended (docs/design, the ledger). All but RETRYING are final."""

    TRACKED = "tracked", _("Tracked")
    REJECTED = "rejected", _("Rejected")
    DUPLICATE = "duplicate", _("Duplicate")
    SKIPPED = "skipped", _("Skipped")
    QUARANTINED = "quarantined", _("Quarantined")
    RETRYING = "retrying", _("Retrying")
    GONE = "gone", _("Gone")


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
