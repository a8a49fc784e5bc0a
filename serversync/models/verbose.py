"""Verbose logging of a mailbox (R8.18)."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import Operation
from mailboxes.models import Mailbox


class VerboseLogging(models.Model):
    """One row for each mailbox that is, or was, logged in detail. It ends by itself: `until`."""

    mailbox = models.OneToOneField(
        Mailbox,
        models.CASCADE,
        primary_key=True,
        related_name="verbose_logging",
        verbose_name=_("mailbox"),
    )
    switched_on_at = models.DateTimeField(_("switched on"))
    switched_on_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("switched on by"),
    )
    until = models.DateTimeField(_("until"))

    class Meta:
        verbose_name = _("verbose logging")
        verbose_name_plural = _("verbose logging")

    def __str__(self) -> str:
        return str(self.mailbox)


class VerboseLine(models.Model):
    """One step of a conversation, in words of the protocol only (`serversync.masking`)."""

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="verbose_lines")
    operation = models.IntegerField(_("workload"), choices=Operation.choices)
    at = models.DateTimeField(_("time"))
    words = models.CharField(_("step"), max_length=200)

    class Meta:
        verbose_name = _("step")
        verbose_name_plural = _("steps")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.words
