"""TraceLog: the alerts wall. Written by `mailboxes.alerts` only."""

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import TraceLevel
from mailboxes.models.base import Record, Stamped
from mailboxes.models.mailboxes import Mailbox
from mailboxes.models.profiles import EmailServerProfile


class TraceLog(Record, Stamped):
    """tracelog: one condition of one mailbox or profile. A repeat updates the open row (R8.10)."""

    regarding_mailbox = models.ForeignKey(
        Mailbox,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="alerts",
        verbose_name=_("mailbox"),
    )
    regarding_profile = models.ForeignKey(
        EmailServerProfile,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="alerts",
        verbose_name=_("server profile"),
    )
    level = models.IntegerField(_("level"), choices=TraceLevel.choices)
    trace_code = models.IntegerField(_("trace code"), default=0)
    code = models.CharField(
        _("code"), max_length=64, help_text=_("Ours: the name of the condition in R8.20.")
    )
    trace_status = models.BooleanField(_("success"), default=False)
    text = models.CharField(_("text"), max_length=2000)
    trace_parameters = models.JSONField(_("parameters"), default=dict, blank=True)
    error_details = models.CharField(_("error details"), max_length=2048, blank=True)
    error_type_display = models.CharField(_("error type"), max_length=320, blank=True)
    machine_name = models.CharField(_("machine"), max_length=320, blank=True)
    is_unique = models.BooleanField(default=True)
    can_be_deleted = models.BooleanField(_("can be deleted"), default=True)
    parent_trace_log = models.ForeignKey(
        "self", models.CASCADE, null=True, blank=True, related_name="children"
    )
    # Ours
    subject_key = models.CharField(max_length=64, editable=False)
    object_key = models.CharField(
        _("about"),
        max_length=80,
        blank=True,
        help_text=_("Ours: the e-mail or workload that the condition is about, if any."),
    )
    occurrences = models.PositiveIntegerField(_("times"), default=1)
    last_seen_on = models.DateTimeField(_("last seen"))
    closed_on = models.DateTimeField(_("cleared"), null=True, blank=True)
    snoozed_until = models.DateTimeField(
        _("snoozed until"),
        null=True,
        blank=True,
        help_text=_("Ours: off the wall until then, or until it gets worse (R10.4)."),
    )
    snoozed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("snoozed by"),
    )

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        ordering = ["-last_seen_on"]
        constraints = [
            models.UniqueConstraint(
                fields=["subject_key", "code", "object_key"],
                condition=Q(closed_on__isnull=True),
                name="tracelog_one_open_per_condition",
            ),
            models.CheckConstraint(
                condition=Q(regarding_mailbox__isnull=False, regarding_profile__isnull=True)
                | Q(regarding_mailbox__isnull=True, regarding_profile__isnull=False),
                name="tracelog_one_subject",
            ),
        ]
        indexes = [
            models.Index(fields=["closed_on", "level", "-last_seen_on"], name="tracelog_open_level")
        ]

    def __str__(self) -> str:
        return f"{self.get_level_display()}: {self.code}"

    @property
    def is_open(self) -> bool:
        return self.closed_on is None

    def is_snoozed(self, now: datetime) -> bool:
        return self.snoozed_until is not None and self.snoozed_until > now

    @property
    def regarding_object(self) -> Mailbox | EmailServerProfile | None:
        return self.regarding_mailbox or self.regarding_profile
