"""Mail decided again, waiting for a person's yes or no; and what was done, so that it can be undone."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from activities.models import DeletedRecord, Email
from mailboxes.models import Mailbox, Record
from serversync.choices import ReplayState, ReplayStep, Stay
from serversync.models.ledger import SyncItem

VALID = timedelta(hours=24)  # what was looked at yesterday may be another matter today


class Replay(Record):
    """A period, decided again under the settings as they are now."""

    mailbox = models.ForeignKey(
        Mailbox,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("mailbox"),
        help_text=_("Empty: all that you may see."),
    )
    since = models.DateTimeField(pgettext_lazy("filter", "from"))
    until = models.DateTimeField(pgettext_lazy("filter", "until"))
    state = models.CharField(
        _("state"), max_length=10, choices=ReplayState.choices, default=ReplayState.DECIDING
    )
    created_on = models.DateTimeField(_("created on"), default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="+",
        editable=False,
        verbose_name=_("created by"),
    )
    decided_on = models.DateTimeField(_("decided"), null=True, editable=False)
    settings_digest = models.CharField(
        max_length=64,
        blank=True,
        editable=False,
        help_text=_("Of the settings that it was decided under: others, another replay."),
    )
    items = models.PositiveIntegerField(_("items"), default=0, editable=False)
    unchanged = models.PositiveIntegerField(_("unchanged"), default=0, editable=False)
    error = models.CharField(_("error"), max_length=500, blank=True, editable=False)
    ended_on = models.DateTimeField(_("applied or dropped"), null=True, blank=True, editable=False)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        editable=False,
        verbose_name=_("by"),
    )
    undone_on = models.DateTimeField(_("undone"), null=True, blank=True, editable=False)
    undone_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        editable=False,
        verbose_name=_("undone by"),
    )

    class Meta:
        verbose_name = _("replay")
        verbose_name_plural = _("replays")
        ordering = ["-created_on"]
        permissions = [("apply_replay", _("Can apply, drop and undo replays"))]

    def __str__(self) -> str:
        return f"{self.since:%Y-%m-%d} – {self.until:%Y-%m-%d}"

    def is_old(self, now: datetime) -> bool:
        return self.decided_on is None or now - self.decided_on > VALID


class ReplayChange(Record):
    """One item whose decision differs, or of which nothing can be said."""

    replay = models.ForeignKey(
        Replay, models.CASCADE, related_name="changes", verbose_name=_("replay")
    )
    number = models.PositiveIntegerField(_("number"))
    item = models.ForeignKey(SyncItem, models.CASCADE, related_name="+", verbose_name=_("item"))
    email = models.ForeignKey(
        Email,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("email"),
        help_text=_("The one that it changes, or puts into the bin."),
    )
    step = models.CharField(_("what is done"), max_length=10, choices=ReplayStep.choices)
    stays = models.CharField(
        _("because"), max_length=16, choices=Stay.choices, blank=True, help_text=_("Nothing is.")
    )
    facets = models.JSONField(_("what differs"), default=list, blank=True)
    kept = models.JSONField(
        _("what stays"),
        default=dict,
        blank=True,
        help_text=_("What differs and is left as it is, with the reason."),
    )
    before = models.JSONField(_("decision before"), default=dict, blank=True)
    after = models.JSONField(_("decision now"), default=dict, blank=True)
    item_was = models.JSONField(default=dict, blank=True, editable=False)
    email_was = models.JSONField(default=dict, blank=True, editable=False)
    email_becomes = models.JSONField(default=dict, blank=True, editable=False)
    binned = models.ForeignKey(
        DeletedRecord, models.SET_NULL, null=True, blank=True, related_name="+", editable=False
    )
    blanked = models.BooleanField(
        default=False, editable=False, help_text=_("As of its item (R3.73).")
    )
    not_undone = models.CharField(_("not undone, because"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("change of a replay")
        verbose_name_plural = _("changes of a replay")
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["replay", "item"], name="replaychange_once")]

    def __str__(self) -> str:
        return f"{self.replay}: {self.number}"
