"""The engine's own words. None of these values is Dataverse's."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import WorkloadState
from serversync.act.choices import ActOutcome
from tracking.choices import Outcome as ItemState

__all__ = [
    "IMPORTED",
    "ActionState",
    "ConnectionState",
    "Counted",
    "ImportKind",
    "ImportState",
    "ItemState",
    "ProbeState",
    "ReplayState",
    "ReplayStep",
    "SendOutcome",
    "Stay",
    "SubmissionState",
    "Verdict",
    "Window",
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
    PARTLY = "partly", _("Accepted for some; the others are tried again")
    REFUSED = "refused", _("Refused by the server")
    RELEASED = "released", _("Not handed over; may be tried again")
    UNKNOWN = "unknown", _("Unknown whether it left")


class ProbeState(TextChoices):
    """Whether the test message of a mailbox came back to it (R2.14)."""

    NONE = "", _("Not awaited")
    WAITING = "waiting", _("Not yet back")
    BACK = "back", _("Came back")
    LOST = "lost", _("Sent, but did not come back")
    UNSEEN = "unseen", _("Nobody has read the inbox since")


class ConnectionState(TextChoices):
    """How far the test of a profile's connection is (R2.22)."""

    ASKED = "asked", _("Waits for a worker")
    DONE = "done", _("Done")


class Window(TextChoices):
    """How long a sending limit looks back (R5.14)."""

    MINUTE = "minute", _("in a minute")
    HOUR = "hour", _("in an hour")
    DAY = "day", _("in a day")


class Counted(TextChoices):
    """What a sending limit counts."""

    MESSAGES = "messages", _("messages")
    RECIPIENTS = "recipients", _("recipients")


class SendOutcome(TextChoices):
    """What a cycle counts of the mail it sent, beside the states of the ledger."""

    SENT = "sent", _("Sent")
    DEFERRED = "deferred", _("Deferred")
    FAILED = "failed", _("Failed")


class ReplayState(TextChoices):
    """Mail that is decided again waits for a yes or no, as a whole."""

    DECIDING = "deciding", _("Being decided")
    READY = "ready", _("To be reviewed")
    FAILED = "failed", _("Failed")
    APPLIED = "applied", _("Applied")
    DROPPED = "dropped", _("Dropped")
    UNDONE = "undone", _("Undone")


class ReplayStep(TextChoices):
    """What applying a replay does about one item."""

    FETCH = "fetch", _("the next cycle fetches it and decides it again")
    CHANGE = "change", _("its email is changed")
    REMOVE = "remove", _("its email goes into the bin")
    NOTE = "note", _("only the decision is noted anew")
    NOTHING = "nothing", _("it stays as it is")


class Stay(TextChoices):
    """Why something that differs stays as it is."""

    UNKNOWN = "unknown", _("it can't be decided again")
    BY_HAND = "by_hand", _("a person has changed it since")
    ANSWERED = "answered", _("it was answered from here")
    WORKED_ON = "worked_on", _("somebody works on it in a queue")
    MADE = "made", _("records were made of it, or would be; that is left to people")
    LAST = "last", _("the server's copy was deleted, so it is the last one")
    COPIES = "copies", _("another mailbox has a copy of it that stays")
    STORED = "stored", _("its email is stored already")
    LATER = "later", _("it answers a message that has to be fetched first; replay once more then")
    RETRIES = "retries", _("it is tried again anyway")
    INSIDE = "inside", _("it came inside a forward, which can't be fetched in parts")
    NO_COPY = "no_copy", _("the server has no copy of it that could be fetched")
    DENIED = "denied", _("it would fail now")


class ImportKind(TextChoices):
    """What the rows of an imported file are about."""

    USERS = "users", _("Users")
    QUEUES = "queues", _("Queues")
    PROFILES = "profiles", _("Server profiles")
    MAILBOXES = "mailboxes", _("Mailboxes")


class ImportState(TextChoices):
    PLANNED = "planned", _("Dry run")
    APPLYING = "applying", _("Being applied")
    APPLIED = "applied", _("Applied")


class Verdict(TextChoices):
    """What a row of an imported file comes to. Rows that would now do other than was shown are held back."""

    CREATE = "create", _("create")
    UPDATE = "update", _("change")
    UNCHANGED = "unchanged", _("unchanged")
    REFUSED = "refused", _("refused")
    HELD_BACK = "held_back", _("held back")


def counted_as(state: str) -> str:
    """The word for what `CycleResult.by_state` counts."""
    counted = (ItemState, SendOutcome, ActOutcome)
    labels = {state: label for each in counted for state, label in each.choices}
    return str(labels.get(state, state)).lower()
