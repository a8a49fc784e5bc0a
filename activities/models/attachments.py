"""ActivityMimeAttachment: a file of an activity. The bytes are shared, see StoredBytes."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from activities.models.pointer import ActivityPointer
from activities.models.stored_bytes import StoredBytes
from mailboxes.models import Record


class ActivityMimeAttachment(Record):
    """activitymimeattachment."""

    activity = models.ForeignKey(ActivityPointer, models.CASCADE, related_name="attachments")
    attachment = models.ForeignKey(
        StoredBytes, models.PROTECT, related_name="+", verbose_name=_("content")
    )
    attachment_number = models.PositiveIntegerField(_("number"), default=0)
    file_name = models.CharField(_("file name"), max_length=255, blank=True)
    mime_type = models.CharField(_("type"), max_length=256, blank=True)
    attachment_content_id = models.CharField(
        _("content id"), max_length=250, blank=True, help_text=_("Of pictures inside the body.")
    )
    file_size = models.BigIntegerField(_("size"), default=0)
    subject = models.CharField(max_length=2000, blank=True)
    is_inline = models.BooleanField(_("shown in the body"), default=False)

    class Meta:
        verbose_name = _("attachment")
        verbose_name_plural = _("attachments")
        ordering = ["attachment_number"]

    def __str__(self) -> str:
        word = _("Attachment")  # messages aren't collected out of f-strings
        return f"{word} {self.attachment_number}"
