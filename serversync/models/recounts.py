"""A recount of one mailbox from its server, and what differed."""

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailboxes.models import Mailbox, Record


class Recount(Record):
    """What the server has, held against the ledger: asked for by a person, made by a job."""

    mailbox = models.ForeignKey(
        Mailbox, models.CASCADE, related_name="recounts", verbose_name=_("mailbox")
    )
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("asked by"),
    )
    asked_on = models.DateTimeField(_("asked for"), default=timezone.now)
    begun_on = models.DateTimeField(
        _("begun"), null=True, blank=True, help_text=_("When a job took it up.")
    )
    ended_on = models.DateTimeField(_("ended"), null=True, blank=True)
    fix = models.BooleanField(
        _("put right"), default=False, help_text=_("What was missed is fetched by the next cycle.")
    )
    folders = models.JSONField(
        _("folders"), default=list, blank=True, help_text=_("Each with its counts.")
    )
    differences = models.JSONField(
        _("differences"), default=list, blank=True, help_text=_("Item by item, the first thousand.")
    )
    differing = models.PositiveIntegerField(_("items that differ"), default=0)
    error = models.CharField(_("error"), max_length=2048, blank=True)

    class Meta:
        verbose_name = _("recount")
        verbose_name_plural = _("recounts")
        indexes = [models.Index(fields=["mailbox", "-asked_on"], name="recount_mailbox")]

    def __str__(self) -> str:
        return f"{self.mailbox} {self.asked_on:%Y-%m-%d %H:%M}"
