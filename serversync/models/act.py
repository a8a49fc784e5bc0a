"""What is remembered of appointments, contacts and tasks: links, cursors, what waits for a person, history.

Written by `serversync.act`; the console shows it and answers it.
"""

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from activities.models import DeletedRecord
from mailboxes.models import Mailbox, Record
from serversync.act.choices import (
    BatchKind,
    BatchState,
    ChangeType,
    DecisionAnswer,
    LinkStart,
    LinkState,
    RevisionSide,
    SyncQuestion,
    SyncTable,
)


class ActState(models.Model):
    """How far one mailbox has come with appointments, contacts and tasks."""

    mailbox = models.OneToOneField(
        Mailbox, models.CASCADE, primary_key=True, related_name="act_state"
    )
    generation = models.PositiveIntegerField(default=1)
    journal_cursor = models.BigIntegerField(
        default=0, help_text=_("Changes here are known up to this number of the journal.")
    )
    look_again_at = models.DateTimeField(
        _("look at everything again"),
        default=timezone.now,
        help_text=_(
            "Filters, rights or settings changed, or time alone may have changed a filter."
        ),
    )
    looked_at = models.DateTimeField(_("looked at everything"), null=True, blank=True)
    first_look_at = models.DateTimeField(
        _("first look"), null=True, blank=True, help_text=_("Read, nothing written yet (R6.51).")
    )
    began_at = models.DateTimeField(
        _("began"),
        null=True,
        blank=True,
        help_text=_("The first look was approved, or there was nothing to ask."),
    )
    folders_read_at = models.DateTimeField(_("folders read"), null=True, blank=True)
    files_noted_to = models.UUIDField(
        null=True,
        blank=True,
        editable=False,
        help_text=_(
            "Since attachments were switched on, files of pairs up to this one were looked at; empty while they "
            "are off (R6.34)."
        ),
    )
    marker_checked_at = models.DateTimeField(
        _("organization checked"), null=True, blank=True, help_text=_("R6.60")
    )
    marker_organization = models.CharField(
        _("organization on the server"), max_length=200, blank=True
    )

    class Meta:
        verbose_name = _("state of appointments, contacts and tasks")
        verbose_name_plural = _("states of appointments, contacts and tasks")

    def __str__(self) -> str:
        return str(self.mailbox)


class ItemFolderCursor(models.Model):
    """How far one calendar, contacts or tasks folder has been read."""

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="item_cursors")
    generation = models.PositiveIntegerField(default=1)
    folder = models.CharField(_("folder"), max_length=512)
    holds = models.CharField(
        _("holds"), max_length=20, help_text=_("Which of the three main folders it is like.")
    )
    name = models.CharField(_("name"), max_length=255, blank=True)
    cursor = models.TextField(_("cursor"), blank=True)
    listing = models.PositiveIntegerField(
        default=1,
        help_text=_("Counts how often the server began anew; what a whole listing lacks is gone."),
    )
    complete = models.BooleanField(
        default=False, help_text=_("The listing has come to its end at least once.")
    )
    resets = models.PositiveIntegerField(_("key resets"), default=0)
    checked_at = models.DateTimeField(_("checked"), null=True, blank=True)

    class Meta:
        verbose_name = _("item folder")
        verbose_name_plural = _("item folders")
        constraints = [
            models.UniqueConstraint(
                fields=["mailbox", "generation", "folder"], name="itemfoldercursor_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.mailbox}: {self.name or self.folder}"


class ExchangeSyncIdMapping(Record):
    """exchangesyncidmapping: one record here, one item there, one user's mailbox (R6.50).

    What changed on a side is noted here (`to_crm_change_type`, `from_crm_change_type`) in the transaction
    that moves the cursor past it, and stays until a decision on both sides has been carried out.
    """

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="item_links")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="+",
        verbose_name=_("owner"),
        help_text=_("The user whose mailbox it is."),
    )
    object_type_code = models.IntegerField(
        _("kind"), choices=SyncTable.choices, null=True, blank=True
    )
    object_id = models.UUIDField(
        _("record"), null=True, blank=True, help_text=_("Empty while there is no record here.")
    )
    exchange_entry_id = models.CharField(
        _("item"), max_length=1024, blank=True, help_text=_("Empty while there is no item there.")
    )
    from_crm_change_type = models.IntegerField(
        _("to be looked at: here"), choices=ChangeType.choices, default=ChangeType.NONE
    )
    to_crm_change_type = models.IntegerField(
        _("to be looked at: server"), choices=ChangeType.choices, default=ChangeType.NONE
    )
    is_deleted_in_exchange = models.BooleanField(_("deleted on the server"), default=False)
    is_unlinked_in_crm = models.BooleanField(
        _("unlinked"),
        default=False,
        help_text=_("By a decision; it isn't linked again by itself."),
    )
    retries = models.PositiveIntegerField(_("attempts"), default=0)
    last_sync_error = models.CharField(_("error"), max_length=2048, blank=True)
    last_sync_error_code = models.CharField(_("error code"), max_length=64, blank=True)
    last_sync_error_occurred_on = models.DateTimeField(_("failed on"), null=True, blank=True)
    item_subject = models.CharField(_("subject"), max_length=2048, blank=True)
    user_decision = models.IntegerField(
        _("decision"), choices=DecisionAnswer.choices, default=DecisionAnswer.NONE
    )
    created_on = models.DateTimeField(_("created on"), default=timezone.now, editable=False)
    modified_on = models.DateTimeField(_("modified on"), auto_now=True)
    # Ours
    state = models.CharField(
        _("state"), max_length=10, choices=LinkState.choices, default=LinkState.NOTED
    )
    started = models.CharField(
        _("linked by"), max_length=10, choices=LinkStart.choices, default=LinkStart.FILTER
    )
    generation = models.PositiveIntegerField(default=1)
    folder = models.CharField(_("folder"), max_length=512, blank=True)
    change_key = models.CharField(
        max_length=1024, blank=True, help_text=_("The item's version that we know (R6.52).")
    )
    uid = models.CharField(
        _("meeting id"), max_length=512, blank=True, help_text=_("The same in every mailbox.")
    )
    link_key = models.UUIDField(
        null=True,
        blank=True,
        unique=True,
        help_text=_("Written on the item, by which it is known again (R6.48)."),
    )
    carries = models.UUIDField(
        null=True,
        blank=True,
        help_text=_(
            "The link that the item carries, if another row's: a copy, or that item, moved."
        ),
    )
    listing = models.PositiveIntegerField(default=0)
    base = models.JSONField(
        null=True, blank=True, help_text=_("What both sides held when they were last equal.")
    )
    item_facts = models.JSONField(
        default=dict,
        blank=True,
        help_text=_(
            "What was last seen of the item beyond its fields: whose meeting it is, and so on."
        ),
    )
    was_tracked = models.BooleanField(
        default=False, help_text=_("The item carried the category then (R6.49).")
    )
    question = models.CharField(
        _("question"), max_length=20, choices=SyncQuestion.choices, blank=True
    )
    question_about = models.JSONField(
        default=dict, blank=True, help_text=_("Keys of what the question is about.")
    )
    asked_on = models.DateTimeField(_("asked on"), null=True, blank=True)
    declined = models.JSONField(
        default=list,
        blank=True,
        help_text=_("Digests of what was dropped, so it isn't proposed again."),
    )
    sending = models.JSONField(
        null=True,
        blank=True,
        help_text=_(
            "A write that is about to leave, stored before; empty once its outcome is known."
        ),
    )
    undoing = models.JSONField(
        null=True,
        blank=True,
        help_text=_(
            "Something was undone, and isn't carried over yet: what would mail anybody waits."
        ),
    )
    next_attempt_at = models.DateTimeField(_("next attempt"), null=True, blank=True)
    batch = models.ForeignKey(
        "ParkedBatch",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="links",
        verbose_name=_("waits in"),
    )
    synced_on = models.DateTimeField(_("equal since"), null=True, blank=True)

    class Meta:
        verbose_name = _("synchronized item")
        verbose_name_plural = _("synchronized items")
        ordering = ["-modified_on"]
        constraints = [
            models.UniqueConstraint(
                fields=["mailbox", "generation", "object_type_code", "object_id"],
                condition=Q(object_id__isnull=False),
                name="link_record_once",
            ),
            models.UniqueConstraint(
                fields=["mailbox", "generation", "exchange_entry_id"],
                condition=~Q(exchange_entry_id=""),
                name="link_item_once",
            ),
        ]
        indexes = [
            models.Index(
                fields=["mailbox", "next_attempt_at"],
                condition=~Q(from_crm_change_type=0) | ~Q(to_crm_change_type=0),
                name="link_pending",
            ),
            models.Index(fields=["object_id"], name="link_record"),
            models.Index(
                fields=["mailbox", "question"], condition=~Q(question=""), name="link_question"
            ),
            models.Index(fields=["mailbox", "uid"], name="link_uid"),
        ]

    def __str__(self) -> str:
        """No subject: Django prints this in choosers, confirmations and logs."""
        return f"{self.get_object_type_code_display() or _('Item')} {self.pk}"

    @property
    def is_pending(self) -> bool:
        return bool(self.from_crm_change_type or self.to_crm_change_type)


class ParkedBatch(Record):
    """What one cycle would have deleted, cancelled, mailed or created, waiting for a person (R6.46, R6.51)."""

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="parked_batches")
    kind = models.CharField(_("kind"), max_length=10, choices=BatchKind.choices)
    state = models.CharField(
        _("state"), max_length=10, choices=BatchState.choices, default=BatchState.WAITING
    )
    created_on = models.DateTimeField(_("parked on"), default=timezone.now, editable=False)
    changed_on = models.DateTimeField(
        _("last changed"), default=timezone.now, help_text=_("More was parked, or less.")
    )
    reasons = models.JSONField(
        _("because"), default=list, help_text=_("Limits that it went beyond, with their numbers.")
    )
    counts = models.JSONField(
        _("counts"), default=dict, help_text=_("By side and verb; people who would be mailed.")
    )
    ended_on = models.DateTimeField(_("decided on"), null=True, blank=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("decided by"),
    )

    class Meta:
        verbose_name = _("parked batch")
        verbose_name_plural = _("parked batches")
        ordering = ["-created_on"]
        constraints = [
            models.UniqueConstraint(
                fields=["mailbox"], condition=Q(state="waiting"), name="parkedbatch_one_waits"
            )
        ]
        permissions = [("decide_parkedbatch", _("Can approve and drop parked batches"))]

    def __str__(self) -> str:
        return f"{self.mailbox}: {self.created_on:%Y-%m-%d %H:%M}"


class ParkedChange(Record):
    """One decision of a batch, as it was when it was parked."""

    batch = models.ForeignKey(ParkedBatch, models.CASCADE, related_name="changes")
    link = models.ForeignKey(ExchangeSyncIdMapping, models.CASCADE, related_name="parked")
    digest = models.CharField(
        max_length=64, help_text=_("Of the decision: an approval holds for exactly this one.")
    )
    to_store = models.JSONField(null=True, blank=True)
    to_server = models.JSONField(null=True, blank=True)
    told = models.JSONField(
        _("would be mailed"),
        default=list,
        help_text=_("Addresses of people the server would tell."),
    )
    reasons = models.JSONField(default=list)
    approved = models.BooleanField(default=False)
    used_on = models.DateTimeField(
        _("used on"),
        null=True,
        blank=True,
        help_text=_("What was approved was carried out, or is something else by now."),
    )

    class Meta:
        verbose_name = _("parked change")
        verbose_name_plural = _("parked changes")
        constraints = [models.UniqueConstraint(fields=["batch", "link"], name="parkedchange_once")]

    def __str__(self) -> str:
        return f"{self.batch_id} {self.link_id}"


class SyncRevision(Record):
    """What one decision did to a pair, with what was there before, so that it can be undone."""

    link = models.ForeignKey(
        ExchangeSyncIdMapping,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="revisions",
        verbose_name=_("item"),
    )
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="+")
    object_type_code = models.IntegerField(_("kind"), choices=SyncTable.choices, null=True)
    object_id = models.UUIDField(null=True, blank=True)
    made_on = models.DateTimeField(_("made on"), default=timezone.now)
    side = models.CharField(_("written"), max_length=10, choices=RevisionSide.choices)
    verb = models.CharField(_("what"), max_length=10)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    lost = models.JSONField(
        default=list, help_text=_("Values that lost a conflict (R6.53), with whose they were.")
    )
    told = models.JSONField(_("were mailed"), default=list)
    reasons = models.JSONField(default=list)
    deleted = models.ForeignKey(
        DeletedRecord,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("Where the record lies in the bin (R6.47)."),
    )
    undone_on = models.DateTimeField(_("undone on"), null=True, blank=True)
    undone_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        verbose_name = _("revision")
        verbose_name_plural = _("revisions")
        ordering = ["-made_on", "-pk"]
        indexes = [
            models.Index(fields=["mailbox", "-made_on"], name="revision_mailbox"),
            models.Index(fields=["object_id", "-made_on"], name="revision_record"),
            models.Index(fields=["made_on"], name="revision_age"),
        ]

    def __str__(self) -> str:
        return f"{self.get_side_display()}: {self.verb} {self.made_on:%Y-%m-%d %H:%M}"

    def is_old(self, now: datetime, kept_days: int = 30) -> bool:
        return (now - self.made_on).days > kept_days
