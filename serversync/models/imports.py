"""A file of accounts that somebody brought: what it would do, and what came of it."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailboxes.fields import SecretField
from mailboxes.models import Record
from serversync.choices import ImportKind, ImportState

VALID = timedelta(hours=1)  # so long the contents wait for a yes


class Import(Record):
    """One file. Its contents may hold passwords: they are encrypted, and gone once they are applied."""

    kind = models.CharField(_("kind"), max_length=10, choices=ImportKind.choices)
    file_name = models.CharField(_("file"), max_length=255)
    language = models.CharField(
        max_length=10, help_text=_("In which it was planned, so that the same words come again.")
    )
    content = SecretField(
        editable=False,
        help_text=_("The rows as they were read, until they are applied, else for an hour."),
    )
    read_as = models.JSONField(
        default=dict, help_text=_("Encoding, separator or sheet, and headers that nobody knows.")
    )
    rows = models.JSONField(
        default=list, help_text=_("What each row would do, and came to; without secrets.")
    )
    state = models.CharField(
        _("state"), max_length=10, choices=ImportState.choices, default=ImportState.PLANNED
    )
    secrets_allowed = models.BooleanField(
        default=True, help_text=_("Whether passwords may be entered over this line (R1.26).")
    )
    created_on = models.DateTimeField(_("created on"), default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="+",
        editable=False,
        verbose_name=_("created by"),
    )
    ended_on = models.DateTimeField(_("applied"), null=True, editable=False)

    class Meta:
        verbose_name = _("import")
        verbose_name_plural = _("imports")
        ordering = ["-created_on"]

    def __str__(self) -> str:
        return self.file_name

    def is_over(self, now: datetime) -> bool:
        """Whether it waited too long for its yes."""
        return self.state == ImportState.PLANNED and now - self.created_on > VALID
