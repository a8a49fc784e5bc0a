"""What the test of a profile's connection found."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailboxes.models import EmailServerProfile, Mailbox, SystemUser
from serversync.choices import ConnectionState


class ConnectionTest(models.Model):
    """The last test of a profile's connection, or the one that is asked for (R2.22)."""

    profile = models.OneToOneField(
        EmailServerProfile,
        models.CASCADE,
        related_name="connection_test",
        verbose_name=_("server profile"),
    )
    mailbox = models.ForeignKey(
        Mailbox,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("mailbox"),
        help_text=_("Whose account is used; empty: the profile's own."),
    )
    state = models.CharField(
        _("state"),
        max_length=10,
        choices=ConnectionState.choices,
        default=ConnectionState.ASKED,
    )
    asked_by = models.ForeignKey(
        SystemUser, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("by")
    )
    asked_at = models.DateTimeField(_("asked"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    results = models.JSONField(
        _("results"),
        default=list,
        blank=True,
        help_text=_(
            "For each direction what was said, step by step, without secrets and contents."
        ),
    )

    class Meta:
        verbose_name = _("connection test")
        verbose_name_plural = _("connection tests")

    def __str__(self) -> str:
        return f"{self.profile}: {self.get_state_display()}"
