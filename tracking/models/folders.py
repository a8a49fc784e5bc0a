"""Folder rules: mail that lies in certain folders is tracked, whoever sent it (section 7.1)."""

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils.translation import gettext_lazy as _

from activities.models import Email
from mailboxes.models import Mailbox, Record, Stamped, SystemUser, Team
from tracking.choices import FolderState


class MailboxTrackingFolder(Record, Stamped):
    """mailboxtrackingfolder (R7.2). Covers the folder itself, never its sub-folders (R7.4).

    Its owner is the mailbox's: whoever leaves or hands over a mailbox is held back by no rule.
    """

    mailbox = models.ForeignKey(
        Mailbox, models.CASCADE, related_name="tracking_folders", verbose_name=_("mailbox")
    )
    exchange_folder_id = models.CharField(
        _("server folder"),
        max_length=512,
        help_text=_("The server's name of the folder; it stays when the folder is renamed."),
    )
    exchange_folder_name = models.CharField(_("folder name"), max_length=256, blank=True)
    regarding_type = models.ForeignKey(
        ContentType,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("regarding type"),
    )
    regarding_id = models.CharField(
        _("regarding"),
        max_length=64,
        blank=True,
        help_text=_("The record that mail of this folder is filed under. Empty: none (R7.10)."),
    )
    regarding = GenericForeignKey("regarding_type", "regarding_id")
    track_from = models.DateTimeField(
        _("track mail from"),
        null=True,
        blank=True,
        help_text=_("Older mail in the folder is left alone. Empty: all of it (R7.7)."),
    )
    folder_onboarding_status = models.PositiveIntegerField(
        _("messages onboarded"),
        default=0,
        editable=False,
        help_text=_("Counts what was there when the rule was made, as it is gone through (R7.7)."),
    )
    messages_at_start = models.PositiveIntegerField(
        _("messages at the start"), null=True, blank=True, editable=False
    )
    onboarded_on = models.DateTimeField(_("onboarded"), null=True, blank=True, editable=False)
    state = models.CharField(
        _("state"),
        max_length=12,
        choices=FolderState.choices,
        default=FolderState.ACTIVE,
        editable=False,
    )
    relink_from = models.DateTimeField(
        _("relink from"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("Ours: mail tracked before keeps its record (R10.28). Empty: all is relinked."),
    )

    class Meta:
        verbose_name = _("folder rule")
        verbose_name_plural = _("folder rules")
        ordering = ["exchange_folder_name"]
        constraints = [
            models.UniqueConstraint(
                fields=["mailbox", "exchange_folder_id"], name="trackingfolder_once"
            ),
        ]

    def __str__(self) -> str:
        return self.exchange_folder_name or self.exchange_folder_id

    @property
    def owner(self) -> SystemUser | Team | None:
        return self.mailbox.owner


class FolderLink(models.Model):
    """Which mailbox's folder gave an e-mail its record: the first one keeps it (R7.11)."""

    email = models.OneToOneField(
        Email, models.CASCADE, primary_key=True, related_name="folder_link"
    )
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="+")
    rule = models.ForeignKey(
        MailboxTrackingFolder, models.SET_NULL, null=True, related_name="links"
    )
    regarding_type = models.ForeignKey(
        ContentType, models.SET_NULL, null=True, related_name="+", help_text=_("What it gave.")
    )
    regarding_id = models.CharField(
        max_length=64,
        blank=True,
        help_text=_("If the e-mail has another record now, somebody filed it by hand (R7.10)."),
    )
    linked_on = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.email_id}"
