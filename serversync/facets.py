"""What may differ between two decisions on one message, and why nothing can be said of one."""

from django.db.models.enums import TextChoices
from django.utils.translation import gettext_lazy as _


class Unknown(TextChoices):
    """Why nothing can be said of an item."""

    BLANKED = "blanked", _("what was personal has been removed (R3.73)")
    NO_FACTS = "no_facts", _("too little of the message was kept")
    NO_ORIGINAL = "no_original", _("the original is no longer kept here")
    EMAIL_DELETED = "email_deleted", _("its email was deleted here")
    GONE = "gone", _("it left the server before it could be read")
    BY_HAND = "by_hand", _("a person has settled it")
    FAILED = "failed", _("deciding it failed")
    NOT_REACHED = "not_reached", _("the forward that it came in would fail")


class Facet(TextChoices):
    """What may differ."""

    OUTCOME = "outcome", _("outcome")
    ANSWERS = "answers", _("which email it answers")
    REGARDING = "regarding", _("regarding")
    ENTITY = "entity", _("who accepts it")
    OWNER = "owner", _("owner")
    QUEUES = "queues", _("queue items")
    PEOPLE = "people", _("who the addresses are")
    MADE = "made", _("records made of it")
