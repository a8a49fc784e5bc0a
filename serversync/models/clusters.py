"""Which clusters run."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Cluster(models.Model):
    """One supervised cluster of workers: written by its workers as they begin jobs, removed when it ends."""

    name = models.CharField(
        _("name"),
        max_length=256,
        primary_key=True,
        help_text=_("Machine and process of its supervisor."),
    )
    workers = models.PositiveIntegerField(_("workers"), default=0)
    started_at = models.DateTimeField(_("started"))
    seen_at = models.DateTimeField(
        _("last sign of life"), help_text=_("A worker of it has begun a job.")
    )

    class Meta:
        verbose_name = _("cluster")
        verbose_name_plural = _("clusters")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
