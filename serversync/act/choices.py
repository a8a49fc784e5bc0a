"""What rows about appointments, contacts and tasks say. Values are ours, except for object type codes."""

from django.db.models import IntegerChoices, TextChoices
from django.utils.translation import gettext_lazy as _

from serversync.act.types import Direction, Question, Started, Table


class SyncTable(IntegerChoices):
    """exchangesyncidmapping.objecttypecode, as far as it takes part (R6.8)."""

    CONTACT = Table.CONTACT.value, _("Contact")
    APPOINTMENT = Table.APPOINTMENT.value, _("Appointment")
    FAX = Table.FAX.value, _("Fax")
    LETTER = Table.LETTER.value, _("Letter")
    PHONE_CALL = Table.PHONE_CALL.value, _("Phone Call")
    TASK = Table.TASK.value, _("Task")
    SERVICE_APPOINTMENT = Table.SERVICE_APPOINTMENT.value, _("Service Activity")
    RECURRING_APPOINTMENT = Table.RECURRING_APPOINTMENT.value, _("Recurring Appointment")


class ChangeType(IntegerChoices):
    """tocrmchangetype, fromcrmchangetype: what was seen of one side and isn't carried over yet."""

    NONE = 0, _("nothing")
    CREATED = 1, _("new")
    UPDATED = 2, _("changed")
    DELETED = 3, _("deleted")
    AGAIN = 4, _("to be looked at again")


class LinkState(TextChoices):
    NOTED = "noted", _("Noted")
    LINKED = "linked", _("Linked")
    UNLINKED = "unlinked", _("Unlinked")


class LinkStart(TextChoices):
    FILTER = Started.FILTER.value, _("a filter")
    CATEGORY = Started.CATEGORY.value, _("the category")
    USER = Started.USER.value, _("a person")
    CLIENT = Started.CLIENT.value, _("the client")


class DecisionAnswer(IntegerChoices):
    """userdecision (R8.17)."""

    NONE = 0, _("none yet")
    YES = 1, _("yes")
    NO = 2, _("no")


class SyncQuestion(TextChoices):
    SCHEDULING_CONFLICT = Question.SCHEDULING_CONFLICT.value, _("Scheduling conflict")
    DUPLICATE = Question.DUPLICATE.value, _("Looks like a duplicate")
    PREVIOUSLY_LINKED = Question.PREVIOUSLY_LINKED.value, _("Was linked before")
    ORGANIZER_CHANGED = Question.ORGANIZER_CHANGED.value, _("Another organizer")


class BatchKind(TextChoices):
    FIRST = "first", _("First synchronization")
    LIMITS = "limits", _("Beyond the limits")
    UNDO = "undo", _("Undo")


class BatchState(TextChoices):
    WAITING = "waiting", _("Waits for a decision")
    APPROVED = "approved", _("Approved")
    DROPPED = "dropped", _("Dropped")
    OVERTAKEN = "overtaken", _("Overtaken: nothing of it is wanted any more")


class RevisionSide(TextChoices):
    STORE = "store", _("Here")
    SERVER = "server", _("On the server")
    LINK = "link", _("Link")


class ActOutcome(TextChoices):
    """What a cycle did to one pair, as it is counted."""

    STORE_CREATED = "store_created", _("created here")
    STORE_UPDATED = "store_updated", _("changed here")
    STORE_DELETED = "store_deleted", _("deleted here")
    SERVER_CREATED = "server_created", _("created on the server")
    SERVER_UPDATED = "server_updated", _("changed on the server")
    SERVER_DELETED = "server_deleted", _("deleted on the server")
    SERVER_CANCELED = "server_canceled", _("canceled on the server")
    LINKED = "linked", _("linked")
    UNLINKED = "unlinked", _("unlinked")
    PARKED = "parked", _("waiting for approval")
    ASKED = "asked", _("waiting for an answer")
    FAILED = "failed", _("failed")


class SyncDirection(IntegerChoices):
    """syncattributemapping.syncdirection."""

    NONE = Direction.NONE.value, _("not at all")
    TO_SERVER = Direction.TO_SERVER.value, _("to the server")
    TO_STORE = Direction.TO_STORE.value, _("from the server")
    BOTH = Direction.BOTH.value, _("both ways")
