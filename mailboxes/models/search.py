"""EmailSearch: the index of every address of every record, user and queue (R3.30)."""

from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils.translation import gettext_lazy as _

from mailboxes.models.base import Record


class EmailSearch(Record):
    """emailsearch: one row per record and address. Kept by `mailboxes.search`."""

    email_address = models.CharField(
        _("email address"), max_length=320, help_text=_("Bare and in lower case (R3.31).")
    )
    email_column_number = models.PositiveSmallIntegerField(_("email column"), default=1)
    parent_type = models.ForeignKey(
        ContentType, models.CASCADE, related_name="+", verbose_name=_("kind of record")
    )
    parent_id = models.CharField(_("record"), max_length=64)

    class Meta:
        verbose_name = _("address")
        verbose_name_plural = _("address index")
        constraints = [
            models.UniqueConstraint(
                fields=["parent_type", "parent_id", "email_address"],
                name="emailsearch_once_per_record",
            )
        ]
        indexes = [models.Index(fields=["email_address"], name="emailsearch_address")]

    def __str__(self) -> str:
        return self.email_address
