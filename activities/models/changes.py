"""RecordChange: the journal of what changed here. Triggers of the database write it, see `activities.triggers`."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailboxes.models import Record


class RecordChange(Record):
    """A contact or an activity that was made, changed or deleted. Read through `activities.changes`."""

    object_type = models.CharField(_("kind"), max_length=100, help_text=_("app_label.model"))
    object_id = models.CharField(_("key"), max_length=64)
    number = models.BigIntegerField(
        _("number"),
        null=True,
        blank=True,
        unique=True,
        help_text=_("In the order in which readers may see them; empty until one has asked."),
    )
    marked_in = models.BigIntegerField(
        default=0, help_text=_("The transaction, where there are several at a time.")
    )
    changed_on = models.DateTimeField(_("changed"), default=timezone.now)

    class Meta:
        verbose_name = _("change of a record")
        verbose_name_plural = _("changes of records")
        indexes = [models.Index(fields=["object_type", "object_id"], name="recordchange_record")]

    def __str__(self) -> str:
        return f"{self.object_type} {self.object_id}"


class ChangeCounter(models.Model):
    """The one row that says which number was given last, and that whoever gives the next ones locks."""

    number = models.BigIntegerField(_("number"), default=0)
    numbered_on = models.DateTimeField(_("numbered"), null=True, blank=True)

    class Meta:
        verbose_name = _("counter of changes")
        verbose_name_plural = _("counters of changes")

    def __str__(self) -> str:
        return str(self.number)
