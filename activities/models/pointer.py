"""ActivityPointer: the narrow row that every activity shares its key with."""

from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils.translation import gettext_lazy as _

from activities.choices import ActivityState, ActivityType
from mailboxes.models import Owned, Record, Stamped


class ActivityPointer(Record, Stamped, Owned):
    """activitypointer. The concrete activity has this row as its key; services write both.

    Subject, regarding, owner and state of an activity stand here and nowhere else, so that a
    record's timeline reads one page of pointers and then each type once.
    """

    activity_type_code = models.IntegerField(_("type"), choices=ActivityType.choices)
    subject = models.CharField(_("subject"), max_length=800, blank=True)
    regarding_type = models.ForeignKey(
        ContentType, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    regarding_id = models.CharField(_("regarding"), max_length=64, blank=True)
    state_code = models.IntegerField(
        _("state"), choices=ActivityState.choices, default=ActivityState.OPEN
    )
    sort_date = models.DateTimeField(_("date"), db_index=True)

    class Meta(Owned.Meta):
        verbose_name = _("activity")
        verbose_name_plural = _("activities")
        ordering = ["-sort_date"]
        indexes = [
            models.Index(
                fields=["regarding_type", "regarding_id", "-sort_date"], name="pointer_timeline"
            )
        ]

    def __str__(self) -> str:
        """No subject: Django prints this in choosers, confirmations and logs."""
        return f"{self.get_activity_type_code_display()} {self.pk}"

    @property
    def regarding_object(self) -> Any:
        """The record itself, or None. One query; lists look up whole pages instead."""
        if not self.regarding_type_id or not self.regarding_id:
            return None
        model = self.regarding_type.model_class() if self.regarding_type else None
        return model._default_manager.filter(pk=self.regarding_id).first() if model else None
