"""What the engine remembers of a mailbox: its workloads, how far folders are read, how cycles went."""

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import Operation, TestStatus
from mailboxes.models import Mailbox, Record
from serversync.choices import ProbeState, WorkloadState


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
    items_so_far = models.PositiveIntegerField(
        _("items so far"),
        default=0,
        help_text=_("Of the cycle that runs: noted with each page, as the lease is renewed."),
    )

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

    largest_message = models.BigIntegerField(
        _("largest message"),
        null=True,
        blank=True,
        help_text=_("Octets that the server said it takes; empty or 0: it did not say (R5.20)."),
    )

    # Test & Enable
    test_status = models.IntegerField(
        _("test"), choices=TestStatus.choices, default=TestStatus.NOT_RUN
    )
    test_attempts = models.PositiveIntegerField(default=0)
    test_postponed_until = models.DateTimeField(null=True, blank=True)
    tested_at = models.DateTimeField(_("tested"), null=True, blank=True)
    test_steps = models.JSONField(_("test steps"), default=list, blank=True)
    probe_state = models.CharField(
        _("test message"),
        max_length=10,
        choices=ProbeState.choices,
        blank=True,
        help_text=_("Of outgoing: whether its test message came back to the mailbox (R2.14)."),
    )
    probe_message_id = models.CharField(max_length=320, blank=True)
    probe_sent_at = models.DateTimeField(_("test message sent"), null=True, blank=True)
    probe_back_at = models.DateTimeField(_("test message back"), null=True, blank=True)

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
            ),
            models.Index(fields=["mailbox_process_started_on"], name="statistics_started"),
        ]

    def __str__(self) -> str:
        return f"{self.mailbox} {self.mailbox_process_started_on:%Y-%m-%d %H:%M:%S}"
