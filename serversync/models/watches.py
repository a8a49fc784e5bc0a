"""Which mailboxes a server tells us of by itself, and which process listens."""

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailboxes.models import Mailbox


class WatchProcess(models.Model):
    """A process that listens. One that wasn't seen for a while is gone, and others listen in its place."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(
        _("process"), max_length=256, help_text=_("Machine and process number.")
    )
    started_at = models.DateTimeField(_("started"), default=timezone.now)
    seen_at = models.DateTimeField(_("seen"), default=timezone.now, db_index=True)

    class Meta:
        verbose_name = _("watch process")
        verbose_name_plural = _("watch processes")

    def __str__(self) -> str:
        return self.name


class MailboxWatch(models.Model):
    """One mailbox, whether its server tells of what happens in it, and if not, why not."""

    mailbox = models.OneToOneField(
        Mailbox, models.CASCADE, primary_key=True, related_name="watch", verbose_name=_("mailbox")
    )
    process = models.ForeignKey(
        WatchProcess,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="watches",
        verbose_name=_("process"),
        help_text=_("Who listens, or is about to; none: nobody."),
    )
    account = models.CharField(
        max_length=64,
        blank=True,
        db_index=True,
        help_text=_("What its connection counts against (R1.29, R9.6)."),
    )
    since = models.DateTimeField(
        _("pushed since"), null=True, blank=True, help_text=_("None: not connected.")
    )
    last_event_at = models.DateTimeField(_("last event"), null=True, blank=True)
    events = models.PositiveBigIntegerField(_("events"), default=0)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    retry_at = models.DateTimeField(
        _("next attempt"), null=True, blank=True, help_text=_("None: as soon as somebody can.")
    )
    last_error_code = models.CharField(_("last error"), max_length=64, blank=True)
    last_error_text = models.CharField(_("error text"), max_length=2048, blank=True)
    last_error_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("watched mailbox")
        verbose_name_plural = _("watched mailboxes")

    def __str__(self) -> str:
        return str(self.mailbox)
