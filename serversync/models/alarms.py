"""What was told of a server profile by mail."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from mailboxes.models import EmailServerProfile


class ProfileAlarm(models.Model):
    """One row for each profile whose owner was ever told of a major event (R8.15).

    The mail and this row are written in one transaction, and the row only if it still is what was decided on: so of
    two workers one tells.
    """

    profile = models.OneToOneField(
        EmailServerProfile,
        models.CASCADE,
        primary_key=True,
        related_name="alarm",
        verbose_name=_("server profile"),
    )
    is_open = models.BooleanField(
        _("told"), default=False, help_text=_("A mail left, and no all-clear yet.")
    )
    told_at = models.DateTimeField(_("told at"), null=True, blank=True)
    over_at = models.DateTimeField(_("over at"), null=True, blank=True)

    class Meta:
        verbose_name = _("major event")
        verbose_name_plural = _("major events")

    def __str__(self) -> str:
        return f"{self.profile}: {'told' if self.is_open else 'quiet'}"
