"""BouncedAddress: where mail that we sent came back from for good."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from activities.models.emails import Email
from mailboxes.models import Record


class BouncedAddress(Record):
    """Ours (R5.21). Written by `activities.bounced`; the row goes as soon as mail gets through again."""

    address = models.CharField(
        _("address"),
        max_length=320,
        unique=True,
        help_text=_("In lower case, as addresses are compared (R3.31)."),
    )
    status = models.CharField(
        _("status"), max_length=16, blank=True, help_text=_("The server's code, e.g. 5.1.1.")
    )
    diagnostic = models.CharField(_("server's answer"), max_length=500, blank=True)
    bounced_on = models.DateTimeField(
        _("bounced on"), help_text=_("When the last email to it came back.")
    )
    count = models.PositiveIntegerField(
        _("emails"), default=1, help_text=_("How many emails to it came back.")
    )
    email = models.ForeignKey(
        Email,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("email"),
        help_text=_("The last of them."),
    )

    class Meta:
        verbose_name = _("bounced address")
        verbose_name_plural = _("bounced addresses")

    def __str__(self) -> str:
        return self.address
