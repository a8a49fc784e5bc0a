"""DiscoveredEndpoint: where the Exchange web service of a mailbox was found, and what it was found to be."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from mailboxes.models.mailboxes import Mailbox


class DiscoveredEndpoint(models.Model):
    """Trusted for a day, then found out anew (R1.23). Written by the access alone, forgotten when the
    mailbox means another account."""

    mailbox = models.OneToOneField(
        Mailbox,
        models.CASCADE,
        primary_key=True,
        related_name="discovered_endpoint",
        verbose_name=_("mailbox"),
    )
    url = models.CharField(_("web service"), max_length=2084)
    by_autodiscover = models.BooleanField(
        default=True, help_text=_("Else the location was entered, and only the rest was found out.")
    )
    version = models.CharField(
        max_length=40, blank=True, help_text=_("The newest version of the service that it speaks.")
    )
    address = models.CharField(
        max_length=320, blank=True, help_text=_("The primary address of the mailbox there.")
    )
    scheme = models.CharField(
        max_length=20, blank=True, help_text=_("How to authenticate, where the profile detects it.")
    )
    found_on = models.DateTimeField(_("found on"))

    class Meta:
        verbose_name = _("discovered endpoint")
        verbose_name_plural = _("discovered endpoints")

    def __str__(self) -> str:
        return self.url
