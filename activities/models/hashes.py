"""EmailHash: by which smart matching finds an email."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from activities.choices import HashType
from activities.models.emails import Email


class EmailHash(models.Model):
    """emailhash: one word of the subject, or one address. Made by `tracking.matching` (R4.18)."""

    activity = models.ForeignKey(Email, models.CASCADE, related_name="hashes")
    hash_type = models.PositiveSmallIntegerField(choices=HashType.choices)
    hash = models.IntegerField()
    # Ours
    sort_date = models.DateTimeField(
        help_text=_("As the activity's: so that the index knows what is recent (R4.17).")
    )

    class Meta:
        verbose_name = _("email hash")
        verbose_name_plural = _("email hashes")
        indexes = [
            models.Index(fields=["hash", "hash_type", "-sort_date"], name="email_hash_newest")
        ]

    def __str__(self) -> str:
        return f"{self.get_hash_type_display()} {self.hash}"
