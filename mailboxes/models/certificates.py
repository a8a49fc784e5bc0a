"""Until when the certificates of mail servers are valid."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class ServerCertificate(models.Model):
    """One server and port, as it was seen by a connection that trusted it (R1.21). Belongs to no profile:
    many may name the same server."""

    host = models.CharField(_("server"), max_length=255)
    port = models.PositiveIntegerField(_("port"))
    valid_until = models.DateTimeField(_("valid until"))
    seen_on = models.DateTimeField(_("last seen"))

    class Meta:
        verbose_name = _("server certificate")
        verbose_name_plural = _("server certificates")
        constraints = [
            models.UniqueConstraint(fields=["host", "port"], name="server_certificate_once")
        ]

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
