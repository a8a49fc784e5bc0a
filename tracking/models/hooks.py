"""What a site's own code on receipt still has to do, and what came of it."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from activities.models import Email
from mailboxes.models import Record
from tracking.choices import HookState


class HookRun(Record):
    """One hook's run for one stored email that it had no time for on receipt (R9.11)."""

    email = models.ForeignKey(
        Email, models.CASCADE, related_name="hook_runs", verbose_name=_("email")
    )
    hook = models.CharField(
        _("hook"), max_length=255, help_text=_("Its dotted path, as RECEIPT_HOOKS names it.")
    )
    state = models.CharField(
        _("state"), max_length=8, choices=HookState.choices, default=HookState.PENDING
    )
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(
        _("next attempt"), default=timezone.now, null=True, blank=True
    )
    created_on = models.DateTimeField(_("since"), default=timezone.now)
    done_at = models.DateTimeField(_("done"), null=True, blank=True)
    filed = models.BooleanField(
        _("filed the email"),
        default=False,
        help_text=_("The email took the record that the hook named."),
    )
    last_error = models.CharField(_("error"), max_length=2048, blank=True)

    class Meta:
        verbose_name = _("hook run")
        verbose_name_plural = _("hook runs")
        ordering = ["-created_on"]
        constraints = [models.UniqueConstraint(fields=["email", "hook"], name="hookrun_once")]
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=Q(state="pending"), name="hookrun_pending"
            )
        ]

    def __str__(self) -> str:
        return self.hook
