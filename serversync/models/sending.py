"""Attempts to send, and what servers have taught by refusing."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from activities.models import Email
from mailboxes.models import EmailServerProfile, Mailbox, Record, SystemUser
from serversync.choices import Counted, SubmissionState, Window


class Submission(Record):
    """One attempt to send one e-mail: claimed, handed over, and what came of it (R5.17)."""

    email = models.ForeignKey(
        Email, models.CASCADE, related_name="submissions", verbose_name=_("email")
    )
    mailbox = models.ForeignKey(
        Mailbox, models.CASCADE, related_name="submissions", verbose_name=_("mailbox")
    )
    email_server_profile = models.ForeignKey(
        EmailServerProfile,
        models.SET_NULL,
        null=True,
        blank=True,
        db_index=False,  # the index below begins with it
        related_name="submissions",
        verbose_name=_("server profile"),
        help_text=_("Through which server, whatever the mailbox uses by now."),
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
    counts_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=_("When it counts towards sending limits (R5.14). Empty: it never left."),
    )
    recipient_count = models.PositiveIntegerField(_("number of recipients"), default=1)
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
    decided_by = models.ForeignKey(
        SystemUser,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("decided by"),
        help_text=_("Unknown: who said what became of it (R5.17)."),
    )
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
            models.Index(
                fields=["email_server_profile", "counts_at"],
                condition=Q(counts_at__isnull=False),
                name="submission_of_profile",
            ),
            models.Index(
                fields=["mailbox", "counts_at"],
                condition=Q(counts_at__isnull=False),
                name="submission_of_mailbox",
            ),
            models.Index(
                fields=["handed_over_at"],
                condition=Q(state=SubmissionState.UNKNOWN),
                name="submission_unknown",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email}: {self.get_state_display()}"


class LearnedLimit(Record):
    """What a server taught about one account by refusing because of its sending limit (R5.14).

    The account is one mailbox's, or the profile's where all mailboxes send with its credentials.
    """

    mailbox = models.ForeignKey(
        Mailbox,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="learned_limits",
        verbose_name=_("mailbox"),
    )
    email_server_profile = models.ForeignKey(
        EmailServerProfile,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="learned_limits",
        verbose_name=_("server profile"),
    )
    window = models.CharField(_("time span"), max_length=8, choices=Window.choices)
    counted = models.CharField(
        _("counts"), max_length=12, choices=Counted.choices, default=Counted.MESSAGES
    )
    most = models.PositiveIntegerField(
        _("at most"),
        null=True,
        blank=True,
        help_text=_(
            "As it was learned; it grows from then on until it is forgotten. Empty: the server refused "
            "although nothing had left from here."
        ),
    )
    learned_at = models.DateTimeField(_("learned"))
    hold_until = models.DateTimeField(_("silent until"))
    refusals = models.PositiveIntegerField(_("refusals in a row"), default=1)
    server_reply = models.CharField(_("server's answer"), max_length=1000, blank=True)

    class Meta:
        verbose_name = _("learned sending limit")
        verbose_name_plural = _("learned sending limits")
        ordering = ["-learned_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["mailbox", "window", "counted"],
                condition=Q(mailbox__isnull=False),
                name="learned_limit_once_per_mailbox",
            ),
            models.UniqueConstraint(
                fields=["email_server_profile", "window", "counted"],
                condition=Q(email_server_profile__isnull=False),
                name="learned_limit_once_per_profile",
            ),
            models.CheckConstraint(
                condition=Q(mailbox__isnull=True, email_server_profile__isnull=False)
                | Q(mailbox__isnull=False, email_server_profile__isnull=True),
                name="learned_limit_of_one_account",
            ),
        ]

    def __str__(self) -> str:
        return (
            f"{self.email_server_profile or self.mailbox}: {self.most} {self.get_window_display()}"
        )
