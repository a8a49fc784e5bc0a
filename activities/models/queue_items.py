"""QueueItem: an activity that waits in a queue."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from activities.models.pointer import ActivityPointer
from mailboxes.choices import StateCode
from mailboxes.models import Queue, Record, Stamped, Stateful, Team


class QueueItem(Record, Stamped, Stateful):
    """queueitem. At most one open item per queue and activity (R3.56)."""

    queue = models.ForeignKey(Queue, models.CASCADE, related_name="items", verbose_name=_("queue"))
    object = models.ForeignKey(
        ActivityPointer, models.CASCADE, related_name="queue_items", verbose_name=_("activity")
    )
    sender = models.CharField(_("from"), max_length=250, blank=True)
    to_recipients = models.CharField(_("to"), max_length=500, blank=True)
    priority = models.PositiveIntegerField(_("priority"), default=0)
    worker_user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("worked on by"),
    )
    worker_team = models.ForeignKey(
        Team,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("worked on by team"),
    )
    worker_modified_on = models.DateTimeField(null=True, blank=True)
    entered_on = models.DateTimeField(_("entered queue"), default=timezone.now)

    class Meta:
        verbose_name = _("queue item")
        verbose_name_plural = _("queue items")
        ordering = ["-entered_on"]
        constraints = [
            models.UniqueConstraint(
                fields=["queue", "object"],
                condition=Q(state_code=StateCode.ACTIVE),
                name="queueitem_one_open_per_queue",
            )
        ]

    def __str__(self) -> str:
        return f"{self.queue}: {self.object}"

    @property
    def title(self) -> str:
        return self.object.subject[:300]
