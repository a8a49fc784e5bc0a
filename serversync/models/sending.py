"""Attempts to send."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from activities.models import Email
from mailboxes.models import Mailbox, Record
from serversync.choices import SubmissionState


class Submission(Record):
    """One attempt to send one e-mail: claimed, handed over, and what came of it (R5.17)."""

    email = models.ForeignKey(
        Email, models.CASCADE, related_name="submissions", verbose_name=_("email")
    )
    mailbox = models.ForeignKey(
        Mailbox, models.CASCADE, related_name="submissions", verbose_name=_("mailbox")
    )
    attempt = models.PositiveIntegerField(_("attempt"), default=1)
    state = models.CharField(
        _("outcome"),
        max_length=12,
        choices=SubmissionState.choices,
        default=SubmissionState.CLAIMED,
    )
    claim_token = models.UUIDField()
    claimed_at = models.DateTimeField(_("claimed"), default=timezone.now)
    claim_expires_at = models.DateTimeField()
    handed_over_at = models.DateTimeField(_("handed over"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    settled = models.BooleanField(
        default=False, help_text=_("The e-mail's own status says what this outcome means.")
    )
    copy_filed = models.BooleanField(
        _("copy filed by the server"),
        default=False,
        help_text=_("The server put the copy into sent items as part of taking it (R5.18)."),
    )
    look_again_at = models.DateTimeField(
        _("look into sent items"),
        null=True,
        blank=True,
        help_text=_("Unknown: when it is looked for next. Empty: a person decides (R5.17)."),
    )
    not_found_at = models.DateTimeField(
        _("first not found"),
        null=True,
        blank=True,
        help_text=_("Unknown: when it was looked for and was not there, for the first time."),
    )
    server_reply = models.CharField(_("server's answer"), max_length=1000, blank=True)
    server_message_id = models.CharField(max_length=320, blank=True)
    error_code = models.CharField(_("error"), max_length=64, blank=True)
    permanent = models.BooleanField(default=False)
    recipients = models.JSONField(_("recipients"), default=list, blank=True)
    redirected_to = models.CharField(
        _("redirected to"),
        max_length=320,
        blank=True,
        help_text=_("It went there in place of its recipients, on a site for staging (R5.30)."),
    )

    class Meta:
        verbose_name = _("submission")
        verbose_name_plural = _("submissions")
        ordering = ["-claimed_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["email"],
                condition=Q(
                    state__in=[
                        SubmissionState.CLAIMED,
                        SubmissionState.HANDED_OVER,
                        SubmissionState.UNKNOWN,
                        SubmissionState.ACCEPTED,
                    ]
                ),
                name="submission_one_live_per_email",
            ),
        ]
        indexes = [
            models.Index(
                fields=["mailbox", "claim_expires_at"],
                condition=Q(settled=False),
                name="submission_unsettled",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email}: {self.get_state_display()}"
