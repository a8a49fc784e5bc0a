"""DeletedRecord: a record in the bin, with all rows that went with it."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from activities.models.stored_bytes import StoredBytes
from mailboxes.models import Record


class DeletedRecord(Record):
    """Written and read through `activities.recyclebin`. Its bytes stay stored as long as it is here."""

    record_type = models.CharField(_("kind"), max_length=100, help_text=_("app_label.model"))
    record_id = models.CharField(_("key"), max_length=64)
    deleted_on = models.DateTimeField(_("deleted"))
    deleted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("deleted by"),
    )
    reason = models.CharField(_("because"), max_length=200, blank=True)
    rows = models.JSONField(default=list, editable=False, help_text=_("Parents first."))
    references = models.JSONField(
        default=list,
        editable=False,
        help_text=_("Columns of other rows that named one of these, and were emptied."),
    )
    contents = models.ManyToManyField(StoredBytes, related_name="+", editable=False)

    class Meta:
        verbose_name = _("deleted record")
        verbose_name_plural = _("deleted records")
        indexes = [
            models.Index(fields=["deleted_on"], name="deletedrecord_age"),
            models.Index(fields=["record_type", "record_id"], name="deletedrecord_record"),
        ]

    def __str__(self) -> str:
        return f"{self.record_type} {self.record_id}"
