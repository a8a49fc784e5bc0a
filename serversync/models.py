"""What the engine remembers: its workloads, the ledger, what is still to be done, how it went.

Rows here are written by the cycles only; the console shows them read-only.
"""

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from activities.models import Email, StoredBytes
from mailboxes.choices import Operation, TestStatus
from mailboxes.models import Mailbox, Record
from serversync.choices import ActionState, ItemState, SubmissionState, WorkloadState


class Workload(models.Model):
    """One direction of one mailbox: may it run, when next, who runs it, how it went.

    A lease belongs to whoever holds `lease_token` and ends at `lease_expires_at`; every page of a
    cycle begins with an update of this row by the token, and no row means: abort.
    """

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="workloads")
    operation = models.IntegerField(_("workload"), choices=Operation.choices)
    enabled = models.BooleanField(
        _("enabled"),
        default=False,
        help_text=_("Set by a successful test, cleared by a failed one (R1.42)."),
    )
    state = models.CharField(
        _("state"), max_length=10, choices=WorkloadState.choices, default=WorkloadState.READY
    )
    state_code = models.CharField(
        _("because of"), max_length=64, blank=True, help_text=_("A condition of R8.20.")
    )
    state_since = models.DateTimeField(null=True, blank=True)

    # When next
    next_run_at = models.DateTimeField(_("next run"), default=timezone.now)
    postponed_until = models.DateTimeField(_("postponed until"), null=True, blank=True)
    gap_seconds = models.PositiveIntegerField(_("gap (s)"), default=0)
    run_requested_at = models.DateTimeField(_("run requested"), null=True, blank=True)

    # Who runs it
    lease_token = models.UUIDField(null=True, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    lease_holder = models.CharField(_("worker"), max_length=256, blank=True)
    leases_broken = models.PositiveIntegerField(_("expired leases taken over"), default=0)

    # How it went
    cycles = models.PositiveIntegerField(_("cycles"), default=0)
    idle_cycles = models.PositiveIntegerField(_("cycles without mail in a row"), default=0)
    consecutive_failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    last_started_at = models.DateTimeField(_("last started"), null=True, blank=True)
    last_success_at = models.DateTimeField(_("last success"), null=True, blank=True)
    last_duration_ms = models.PositiveIntegerField(_("last duration (ms)"), default=0)
    last_items_processed = models.PositiveIntegerField(default=0)
    last_items_failed = models.PositiveIntegerField(default=0)
    last_error_code = models.CharField(_("last error"), max_length=64, blank=True)
    last_error_text = models.CharField(_("error text"), max_length=2048, blank=True)
    last_error_at = models.DateTimeField(null=True, blank=True)
    last_error_host = models.CharField(max_length=256, blank=True)

    # Test & Enable
    test_status = models.IntegerField(
        _("test"), choices=TestStatus.choices, default=TestStatus.NOT_RUN
    )
    test_attempts = models.PositiveIntegerField(default=0)
    test_postponed_until = models.DateTimeField(null=True, blank=True)
    tested_at = models.DateTimeField(_("tested"), null=True, blank=True)
    test_steps = models.JSONField(_("test steps"), default=list, blank=True)

    class Meta:
        verbose_name = _("workload")
        verbose_name_plural = _("workloads")
        constraints = [
            models.UniqueConstraint(fields=["mailbox", "operation"], name="workload_once")
        ]
        indexes = [
            models.Index(fields=["next_run_at"], condition=Q(enabled=True), name="workload_due"),
            models.Index(
                fields=["lease_expires_at"],
                condition=Q(lease_token__isnull=False),
                name="workload_leased",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.mailbox}: {self.get_operation_display()}"

    def is_leased(self, now: datetime) -> bool:
        return self.lease_expires_at is not None and self.lease_expires_at > now


class FolderCursor(models.Model):
    """How far one folder of a mailbox has been read. Moves only together with the items before it."""

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="folder_cursors")
    folder = models.CharField(_("folder"), max_length=512)
    generation = models.PositiveIntegerField(default=1)
    cursor = models.TextField(_("cursor"), blank=True)
    watermark = models.DateTimeField(
        _("watermark"),
        null=True,
        blank=True,
        help_text=_("Received time of the last processed message (R3.6)."),
    )
    before_start = models.PositiveIntegerField(
        _("before the start date"),
        default=0,
        help_text=_("Items older than the start date at first contact: counted, not listed."),
    )
    server_total = models.PositiveIntegerField(_("messages on the server"), null=True, blank=True)
    resets = models.PositiveIntegerField(
        _("key resets"), default=0, help_text=_("How often the server renumbered its messages.")
    )
    onboarded = models.BooleanField(
        default=False, help_text=_("What was there at first contact has been gone through.")
    )
    rule_id = models.UUIDField(
        null=True,
        blank=True,
        editable=False,
        help_text=_("The folder rule that it is read for; none for inbox and sent items."),
    )
    relinked_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text=_("When its mail was last filed under the rule's record again (R7.10)."),
    )
    relinked_for = models.CharField(max_length=64, blank=True, editable=False)
    checked_at = models.DateTimeField(_("checked"), null=True, blank=True)

    class Meta:
        verbose_name = _("folder")
        verbose_name_plural = _("folders")
        constraints = [
            models.UniqueConstraint(
                fields=["mailbox", "generation", "folder"], name="foldercursor_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.mailbox}: {self.folder}"


class MailboxLayout(models.Model):
    """What was learnt of a mailbox's folders and categories on the server (R1.46)."""

    mailbox = models.OneToOneField(
        Mailbox, models.CASCADE, primary_key=True, related_name="layout", verbose_name=_("mailbox")
    )
    generation = models.PositiveIntegerField(default=1)
    folder_hierarchy = models.JSONField(
        _("folders below the inbox"),
        default=list,
        blank=True,
        help_text=_("Folder, path from the inbox down, number of messages."),
    )
    hierarchy_read_at = models.DateTimeField(_("folders read"), null=True, blank=True)
    undeliverable_folder = models.CharField(
        _("Undeliverable folder"), max_length=512, blank=True, help_text=_("R3.70")
    )
    category_name = models.CharField(
        _("tracking category"),
        max_length=255,
        blank=True,
        help_text=_("What the category is called in this mailbox now (R7.22)."),
    )
    category_id = models.CharField(
        max_length=64, blank=True, help_text=_("The server's id of it, by which it is known again.")
    )
    undeliverable_category_id = models.CharField(max_length=64, blank=True)
    undeliverable_category_name = models.CharField(
        _("category of what failed"), max_length=255, blank=True, help_text=_("R7.25")
    )
    categories_read_at = models.DateTimeField(_("categories read"), null=True, blank=True)
    marks_until = models.DateTimeField(
        null=True, blank=True, help_text=_("Messages with the category are known up to here.")
    )
    marks_read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("mailbox layout")
        verbose_name_plural = _("mailbox layouts")

    def __str__(self) -> str:
        return str(self.mailbox)


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


class MailboxStatistics(Record):
    """mailboxstatistics: one row per cycle that saw, did or failed something (R8.32)."""

    mailbox = models.ForeignKey(
        Mailbox, models.CASCADE, related_name="statistics", verbose_name=_("mailbox")
    )
    operation_type = models.IntegerField(_("workload"), choices=Operation.choices)
    mailbox_process_scheduled_on = models.DateTimeField(_("scheduled"), null=True, blank=True)
    mailbox_process_started_on = models.DateTimeField(_("started"))
    mailbox_process_completed_on = models.DateTimeField(_("completed"))
    process_result = models.BooleanField(_("success"), default=True)
    items_processed = models.PositiveIntegerField(_("processed"), default=0)
    items_failed = models.PositiveIntegerField(_("failed"), default=0)
    crm_items_backlog = models.PositiveIntegerField(_("backlog"), default=0)
    individual_step_durations = models.JSONField(_("steps (ms)"), default=dict, blank=True)
    machine_name = models.CharField(_("worker"), max_length=160, blank=True)
    # Ours
    items_by_state = models.JSONField(_("by state"), default=dict, blank=True)
    error_code = models.CharField(_("error"), max_length=64, blank=True)
    error_text = models.CharField(_("error text"), max_length=2048, blank=True)

    class Meta:
        verbose_name = _("cycle")
        verbose_name_plural = _("cycles")
        ordering = ["-mailbox_process_started_on"]
        indexes = [
            models.Index(
                fields=["mailbox", "-mailbox_process_started_on"], name="statistics_mailbox"
            )
        ]

    def __str__(self) -> str:
        return f"{self.mailbox} {self.mailbox_process_started_on:%Y-%m-%d %H:%M:%S}"
