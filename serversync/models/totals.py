"""What is left of many rows once they are gone: totals of a day."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import Operation
from mailboxes.models import Mailbox, Record
from serversync.choices import ItemState


class MailboxStatisticsDay(Record):
    """The cycles of one workload of one mailbox on one day of the site's time zone, kept 13 months (R8.32).

    Everything but `idle_cycles` is counted from the rows of `MailboxStatistics`, for as long as these are
    kept; cycles that saw nothing have no rows, only the workload's counter tells that there were some.
    `durations` and `delays` count cycles by the buckets of `serversync.histogram.EDGES`, so they can be
    added up over mailboxes and days before a percentile is taken: `histogram.merged`, `percentile`.
    """

    mailbox = models.ForeignKey(
        Mailbox, models.CASCADE, related_name="statistics_days", verbose_name=_("mailbox")
    )
    operation_type = models.IntegerField(_("workload"), choices=Operation.choices)
    day = models.DateField(_("day"), help_text=_("In the time zone of the site."))
    eventful_cycles = models.PositiveIntegerField(
        _("cycles with events"),
        default=0,
        help_text=_("They saw, did or failed something, or were asked for: each had a row."),
    )
    idle_cycles = models.PositiveIntegerField(
        _("idle cycles"),
        default=0,
        help_text=_(
            "By the workload's counter, spread evenly over the time since it was read before."
        ),
    )
    failed_cycles = models.PositiveIntegerField(_("failed cycles"), default=0)
    items_processed = models.PositiveIntegerField(_("processed"), default=0)
    items_failed = models.PositiveIntegerField(_("failed"), default=0)
    items_by_state = models.JSONField(
        _("by state"), default=dict, blank=True, help_text=_("State: number of items.")
    )
    failures_by_code = models.JSONField(
        _("failures by code"), default=dict, blank=True, help_text=_("Condition: number of cycles.")
    )
    duration_ms = models.BigIntegerField(
        _("duration (ms)"), default=0, help_text=_("The sum over the cycles with events.")
    )
    durations = models.JSONField(
        _("durations"), default=list, blank=True, help_text=_("Cycles with events by bucket.")
    )
    delay_ms = models.BigIntegerField(
        _("queue delay (ms)"),
        default=0,
        help_text=_("The sum, over the cycles with events, of start minus scheduled."),
    )
    delays = models.JSONField(
        _("queue delays"), default=list, blank=True, help_text=_("Cycles with events by bucket.")
    )
    counter = models.PositiveIntegerField(
        default=0, editable=False, help_text=_("The workload's counter when it was last read.")
    )
    counted_at = models.DateTimeField(_("counted"))

    class Meta:
        verbose_name = _("day of cycles")
        verbose_name_plural = _("days of cycles")
        constraints = [
            models.UniqueConstraint(
                fields=["mailbox", "operation_type", "day"], name="statisticsday_once"
            )
        ]
        indexes = [models.Index(fields=["day"], name="statisticsday_day")]

    def __str__(self) -> str:
        return f"{self.mailbox} {self.day:%Y-%m-%d}"

    @property
    def cycles(self) -> int:
        return self.eventful_cycles + self.idle_cycles


class ItemDay(Record):
    """Rows of the ledger that were folded: how many of one day ended in one state, for one reason."""

    mailbox = models.ForeignKey(
        Mailbox, models.CASCADE, related_name="item_days", verbose_name=_("mailbox")
    )
    folder = models.CharField(_("folder"), max_length=512)
    day = models.DateField(
        _("day"), help_text=_("On which they were first seen, in the time zone of the site.")
    )
    state = models.CharField(_("state"), max_length=12, choices=ItemState.choices)
    reason = models.CharField(_("reason"), max_length=64, blank=True)
    count = models.PositiveIntegerField(_("items"), default=0)

    class Meta:
        verbose_name = _("folded items of a day")
        verbose_name_plural = _("folded items of days")
        constraints = [
            models.UniqueConstraint(
                fields=["mailbox", "folder", "day", "state", "reason"], name="itemday_once"
            )
        ]
        indexes = [models.Index(fields=["day"], name="itemday_day")]

    def __str__(self) -> str:
        return f"{self.mailbox} {self.day:%Y-%m-%d} {self.state}: {self.count}"


class FoldedItem(models.Model):
    """By what a folded item is known again, should its message come back: then it is a row once more."""

    total = models.ForeignKey(ItemDay, models.CASCADE, related_name="folded")
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="+")
    generation = models.PositiveIntegerField(default=1)
    identity = models.UUIDField(
        help_text=_("Digest of message id, date and size: recognises it under a new key.")
    )
    sub_reason = models.CharField(_("detail of the reason"), max_length=64, blank=True)
    first_seen_at = models.DateTimeField(_("first seen"))

    class Meta:
        verbose_name = _("folded item")
        verbose_name_plural = _("folded items")
        indexes = [models.Index(fields=["mailbox", "identity"], name="foldeditem_identity")]

    def __str__(self) -> str:
        return str(self.identity)
