"""IdempotencyKey: what makes a call of the site's code happen once."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from activities.models.emails import Email
from mailboxes.models import Record


class IdempotencyKey(Record):
    """What the site's code called one e-mail, so that the same call again sends no second one. Kept for
    good, also when the e-mail is deleted."""

    LONGEST: ClassVar[int] = 255

    key = models.CharField(_("idempotency key"), max_length=LONGEST, unique=True)
    digest = models.CharField(
        max_length=64, help_text=_("Of the content: another one under the same key is refused.")
    )
    email = models.ForeignKey(
        Email,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="idempotency_keys",
        verbose_name=_("email"),
    )
    created_on = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("idempotency key")
        verbose_name_plural = _("idempotency keys")

    def __str__(self) -> str:
        return self.key
