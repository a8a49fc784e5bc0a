"""Email: the activity that a message becomes, or from which one is made."""

from typing import Any

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from activities.choices import (
    CorrelationMethod,
    Direction,
    EmailKind,
    EmailStatus,
    Notifications,
    Priority,
)
from activities.models.pointer import ActivityPointer
from activities.models.stored_bytes import StoredBytes
from mailboxes.models import Mailbox


class Email(models.Model):
    """email. Subject, regarding, owner and state stand on `activity`, the row it shares its key with.

    Written by `activities.services` and `tracking.promote`, always together with the pointer.
    """

    activity = models.OneToOneField(
        ActivityPointer, models.CASCADE, primary_key=True, related_name="email"
    )
    direction_code = models.IntegerField(
        _("direction"), choices=Direction.choices, default=Direction.OUTGOING
    )
    status_code = models.IntegerField(
        _("status"), choices=EmailStatus.choices, default=EmailStatus.DRAFT
    )
    description = models.TextField(_("body"), blank=True)
    mime_type = models.CharField(_("body type"), max_length=256, default="text/html")

    # As the message said it
    sender = models.CharField(_("from address"), max_length=250, blank=True)
    to_recipients = models.CharField(_("to addresses"), max_length=500, blank=True)
    message_id = models.CharField(_("message id"), max_length=320, blank=True)
    message_id_dup_check = models.UUIDField(
        null=True,
        blank=True,
        editable=False,
        help_text=_("Digest of the full message id; unique with the direction (R3.20)."),
    )
    in_reply_to = models.CharField(_("in reply to"), max_length=320, blank=True)
    internet_message_headers = models.CharField(
        _("internet headers"),
        max_length=500,
        blank=True,
        help_text=_("Auto-Submitted and Reply-To as JSON (R3.13)."),
    )
    conversation_index = models.CharField(_("conversation index"), max_length=2048, blank=True)
    base_conversation_index_hash = models.IntegerField(null=True, blank=True)

    # How it came, how it goes
    sender_mailbox = models.ForeignKey(
        Mailbox,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="outgoing_emails",
        verbose_name=_("sending mailbox"),
    )
    receiving_mailbox = models.ForeignKey(
        Mailbox,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="received_emails",
        verbose_name=_("receiving mailbox"),
    )
    accepting_entity_type = models.ForeignKey(
        ContentType, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    accepting_entity_id = models.CharField(_("accepting entity"), max_length=64, blank=True)
    email_sender_type = models.ForeignKey(
        ContentType, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    email_sender_id = models.CharField(_("resolved sender"), max_length=64, blank=True)
    senders_account = models.ForeignKey(
        "activities.Account",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("sender's account"),
    )
    is_duplicate_sender_unresolved = models.BooleanField(default=False)

    # Correlation
    tracking_token = models.CharField(_("tracking token"), max_length=50, blank=True)
    conversation_tracking_id = models.UUIDField(null=True, blank=True, db_index=True)
    correlation_method = models.IntegerField(
        _("correlation method"), choices=CorrelationMethod.choices, default=CorrelationMethod.NONE
    )
    correlated_activity = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="correlated_emails",
        verbose_name=_("correlated email"),
    )
    correlated_subject_changed = models.BooleanField(default=False)
    parent_activity = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="answers",
        verbose_name=_("parent email"),
    )

    # Sending
    submitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("submitted by"),
    )
    submitted_at = models.DateTimeField(_("submitted at"), null=True, blank=True)
    delivery_attempts = models.PositiveIntegerField(_("delivery attempts"), default=0)
    delivery_priority_code = models.IntegerField(
        _("delivery priority"), choices=Priority.choices, default=Priority.NORMAL
    )
    reply_to = models.CharField(
        _("replies go to"),
        max_length=500,
        blank=True,
        help_text=_("Addresses separated by commas; empty: to the sender (R5.22)."),
    )
    despite_do_not_email = models.BooleanField(
        _("sent although recipients do not want email"),
        default=False,
        editable=False,
        help_text=_("Whoever submitted it was asked, and confirmed it (R5.5)."),
    )
    delivery_receipt_requested = models.BooleanField(_("request delivery receipt"), default=False)
    read_receipt_requested = models.BooleanField(_("request read receipt"), default=False)
    priority_code = models.IntegerField(
        _("importance"), choices=Priority.choices, default=Priority.NORMAL
    )
    delayed_email_send_time = models.DateTimeField(_("send later"), null=True, blank=True)
    postpone_email_processing_until = models.DateTimeField(
        _("postponed until"), null=True, blank=True
    )

    # Times
    sent_on = models.DateTimeField(_("sent on"), null=True, blank=True)
    received_on = models.DateTimeField(_("received on"), null=True, blank=True)
    actual_start = models.DateTimeField(null=True, blank=True)
    actual_end = models.DateTimeField(null=True, blank=True)
    scheduled_start = models.DateTimeField(null=True, blank=True)
    scheduled_end = models.DateTimeField(null=True, blank=True)

    # What is missing, what is kept
    notifications = models.IntegerField(
        _("notifications"), choices=Notifications.choices, default=Notifications.NONE
    )
    attachment_count = models.PositiveIntegerField(_("attachments"), default=0)
    category = models.CharField(_("category"), max_length=250, blank=True)
    subcategory = models.CharField(_("subcategory"), max_length=250, blank=True)
    is_workflow_created = models.BooleanField(
        _("automatic answer"),
        default=False,
        editable=False,
        help_text=_("A rule wrote it, no person (R3.59)."),
    )

    # Ours
    mime = models.ForeignKey(
        StoredBytes,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("original message"),
    )
    server_message_id = models.CharField(
        _("message id used by the server"), max_length=320, blank=True
    )
    server_message_id_dup_check = models.UUIDField(null=True, blank=True, db_index=True)
    is_message_id_reused = models.BooleanField(
        _("message id used twice"),
        default=False,
        help_text=_("Another message with this id but another Date or sender exists (R3.20)."),
    )
    extras = models.JSONField(
        _("given by the site's code"),
        default=dict,
        blank=True,
        editable=False,
        help_text=_("Plain text beside HTML, header fields and the like, of mail that code sent."),
    )
    references = models.JSONField(_("references"), default=list, blank=True)
    defects = models.JSONField(_("defects"), default=list, blank=True)
    dropped_attachments = models.JSONField(_("attachments left out"), default=list, blank=True)
    decision = models.JSONField(_("decision"), default=dict, blank=True, editable=False)
    kind = models.CharField(
        _("kind of mail"),
        max_length=16,
        choices=EmailKind.choices,
        default=EmailKind.ORDINARY,
        editable=False,
        help_text=_("What sort of mail it is, as read from the message (R3.13)."),
    )
    about = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="reports",
        verbose_name=_("about"),
        help_text=_("The sent email that a bounce, delay notice, receipt or complaint is about."),
    )
    last_error_code = models.CharField(_("last error"), max_length=64, blank=True)
    last_error_text = models.CharField(_("error text"), max_length=2048, blank=True)

    class Meta:
        verbose_name = _("email")
        verbose_name_plural = _("emails")
        permissions = [
            (
                "send_despite_do_not_email",
                _("Can send email to recipients who do not want it (R5.5)"),
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["message_id_dup_check", "direction_code"],
                condition=Q(message_id_dup_check__isnull=False),
                name="email_message_id_once_per_direction",
            )
        ]
        indexes = [
            models.Index(
                fields=["sender_mailbox", "status_code"],
                condition=Q(status_code__in=[EmailStatus.PENDING_SEND, EmailStatus.SENDING]),
                name="email_send_queue",
            ),
            models.Index(
                fields=["base_conversation_index_hash"],
                condition=Q(base_conversation_index_hash__isnull=False),
                name="email_conversation_index",
            ),
            models.Index(fields=["tracking_token"], name="email_tracking_token"),
            models.Index(
                fields=["sender_mailbox", "submitted_at"],
                condition=Q(is_workflow_created=True),
                name="email_automatic_answers",
            ),
        ]

    def __str__(self) -> str:
        """No subject: Django prints this in choosers, confirmations and logs."""
        return f"{_('Email')} {self.pk}"

    @property
    def status(self) -> EmailStatus:
        return EmailStatus(self.status_code)

    @property
    def subject(self) -> str:
        return self.activity.subject

    @property
    def is_incoming(self) -> bool:
        return self.direction_code == Direction.INCOMING

    def accepting_entity(self) -> Any:
        """The user or queue whose filter accepted the message (R3.23), or None. One query."""
        model = self.accepting_entity_type and self.accepting_entity_type.model_class()
        return model._default_manager.filter(pk=self.accepting_entity_id).first() if model else None
