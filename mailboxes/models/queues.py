"""Queues: places where mail waits for whoever takes it."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import FilteringMethod, QueueViewType
from mailboxes.models.base import Owned, Record, Stamped, Stateful
from mailboxes.models.organization import check_filter
from mailboxes.models.users import SystemUser


class Queue(Record, Stamped, Owned, Stateful):
    """queue. Delivery methods and approval stand on its mailbox, `default_mailbox`."""

    name = models.CharField(_("name"), max_length=200)
    description = models.TextField(_("description"), max_length=2000, blank=True)
    email_address = models.EmailField(
        _("incoming email"),
        max_length=100,
        blank=True,
        help_text=_(
            "The address of this queue's mailbox. A change here changes the mailbox (R1.4)."
        ),
    )
    incoming_email_filtering_method = models.IntegerField(
        _("convert to email activities"),
        choices=FilteringMethod.choices,
        default=FilteringMethod.RESPONSES,
        help_text=_("Which incoming mail becomes an email activity (R3.16)."),
    )
    queue_view_type = models.IntegerField(
        _("type"),
        choices=QueueViewType.choices,
        default=QueueViewType.PUBLIC,
        help_text=_("Items of a private queue are seen by its owner and members only."),
    )
    members = models.ManyToManyField(
        SystemUser, blank=True, related_name="queues", verbose_name=_("members")
    )

    class Meta(Owned.Meta):
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        check_filter(self.incoming_email_filtering_method)
