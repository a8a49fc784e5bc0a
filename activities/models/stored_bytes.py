"""StoredBytes: raw messages and attachments, each content once (SHA-256 saves space, no more)."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from activities.choices import BytesPlace
from mailboxes.models import Record


class StoredBytes(Record):
    """Written and read through `activities.blobs`; removed only by its sweep."""

    sha256 = models.CharField(max_length=64, unique=True, editable=False)
    size = models.BigIntegerField(_("size"), editable=False)
    place = models.CharField(
        _("place"), max_length=10, choices=BytesPlace.choices, default=BytesPlace.DATABASE
    )
    content = models.BinaryField(null=True, editable=False)
    created_on = models.DateTimeField(_("created on"), default=timezone.now, editable=False)
    unreferenced_since = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("stored bytes")
        verbose_name_plural = _("stored bytes")

    def __str__(self) -> str:
        return f"{self.size} B {self.sha256[:12]}"

    @property
    def storage_name(self) -> str:
        """Path in the `mail` storage; fanned out, for directories with a million files are slow."""
        return f"{self.sha256[:2]}/{self.sha256[2:4]}/{self.sha256}"
