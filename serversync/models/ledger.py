"""What was seen on servers, and what is still to be done there."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from activities.models import Email, StoredBytes
from mailboxes.models import Mailbox, Record
from serversync.choices import ActionState, ItemState


class SyncItem(Record):
    """The ledger: one row per item seen on a server, in exactly one state, with its reason.

    Of a message that was not tracked only what explains it is kept here, never its body.
    """

    mailbox = models.ForeignKey(
        Mailbox, models.CASCADE, related_name="sync_items", verbose_name=_("mailbox")
    )
    folder = models.CharField(_("folder"), max_length=512)
    generation = models.PositiveIntegerField(default=1)
    source_key = models.CharField(
        _("source key"),
        max_length=512,
        help_text=_("The server's name for it: UIDL, UIDVALIDITY.UID or item id."),
    )
    parent = models.ForeignKey(
        "self",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="children",
        verbose_name=_("wrapper"),
        help_text=_("The forward that this original came in (R3.75)."),
    )
    identity = models.UUIDField(
        null=True,
        blank=True,
        editable=False,
        help_text=_("Digest of message id, date and size: recognises it under a new key."),
    )
    size = models.BigIntegerField(_("size"), default=0)
    received_at = models.DateTimeField(_("received"), null=True, blank=True)
    first_seen_at = models.DateTimeField(_("first seen"), default=timezone.now)
    decided_at = models.DateTimeField(_("decided"), default=timezone.now)

    state = models.CharField(_("state"), max_length=12, choices=ItemState.choices)
    reason = models.CharField(_("reason"), max_length=64, blank=True)
    sub_reason = models.CharField(_("detail of the reason"), max_length=64, blank=True)
    trace = models.JSONField(_("decision"), default=dict, blank=True)
    message_id = models.CharField(_("message id"), max_length=320, blank=True)
    sender = models.CharField(_("from"), max_length=320, blank=True)
    subject = models.CharField(_("subject"), max_length=800, blank=True)
    email = models.ForeignKey(
        Email,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="sync_items",
        verbose_name=_("email"),
    )
    raw = models.ForeignKey(
        StoredBytes,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("original message"),
        help_text=_("Kept while quarantined."),
    )

    left_at = models.DateTimeField(
        _("left the folder"),
        null=True,
        blank=True,
        help_text=_("When the server said that it is no longer there. Its state stays."),
    )
    marked = models.BooleanField(
        _("carries the tracking category"),
        null=True,
        blank=True,
        help_text=_("Empty: not known, or categories are not used (R7.21)."),
    )
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt"), null=True, blank=True)
    last_error = models.CharField(_("error"), max_length=2048, blank=True)
    blanked = models.BooleanField(
        default=False, help_text=_("What was personal has been removed (R3.73).")
    )

    class Meta:
        verbose_name = _("item")
        verbose_name_plural = _("items")
        ordering = ["-decided_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["mailbox", "generation", "folder", "source_key"],
                name="syncitem_once",
            )
        ]
        indexes = [
            models.Index(fields=["mailbox", "-decided_at"], name="syncitem_mailbox"),
            models.Index(fields=["mailbox", "identity"], name="syncitem_identity"),
            models.Index(fields=["first_seen_at"], name="syncitem_first_seen"),
            models.Index(fields=["state", "-decided_at"], name="syncitem_state"),
            models.Index(
                fields=["mailbox", "next_attempt_at"],
                condition=Q(state=ItemState.RETRYING),
                name="syncitem_retrying",
            ),
            models.Index(
                fields=["decided_at"], condition=Q(blanked=False), name="syncitem_not_blanked"
            ),
            models.Index(
                fields=["left_at"],
                condition=Q(left_at__isnull=False, email__isnull=True, blanked=True),
                name="syncitem_foldable",
            ),
            models.Index(
                fields=["message_id"],
                condition=Q(state=ItemState.REJECTED) & ~Q(message_id=""),
                name="syncitem_rejected_id",
            ),
        ]
        permissions = [
            ("retry_syncitem", _("Can retry and dismiss quarantined items")),
            ("track_syncitem", _("Can track and untrack messages by hand")),
        ]

    def __str__(self) -> str:
        """No subject: Django prints this in choosers, confirmations and logs."""
        return f"{_('Item')} {self.pk}"

    @property
    def decision(self) -> dict[str, object]:
        """The decision as data: on the e-mail if there is one, else here."""
        return self.trace or (self.email.decision if self.email else {})


class ServerAction(Record):
    """Something to do to a message on the server, after the commit that decided it (R9.10)."""

    mailbox = models.ForeignKey(
        Mailbox, models.CASCADE, related_name="server_actions", verbose_name=_("mailbox")
    )
    item = models.ForeignKey(
        SyncItem,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="server_actions",
        verbose_name=_("item"),
    )
    folder = models.CharField(_("folder"), max_length=512)
    generation = models.PositiveIntegerField(default=1)
    source_key = models.CharField(_("source key"), max_length=512)
    kind = models.CharField(_("action"), max_length=10)
    argument = models.CharField(_("argument"), max_length=512, blank=True)
    state = models.CharField(
        _("state"), max_length=10, choices=ActionState.choices, default=ActionState.PENDING
    )
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt"), default=timezone.now)
    created_on = models.DateTimeField(_("decided"), default=timezone.now)
    done_at = models.DateTimeField(_("done"), null=True, blank=True)
    receipt = models.CharField(_("receipt"), max_length=500, blank=True)
    last_error = models.CharField(_("error"), max_length=2048, blank=True)

    class Meta:
        verbose_name = _("server action")
        verbose_name_plural = _("server actions")
        indexes = [
            models.Index(
                fields=["mailbox", "next_attempt_at"],
                condition=Q(state=ActionState.PENDING),
                name="serveraction_pending",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.source_key}"
