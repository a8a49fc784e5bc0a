"""How much is made of mail, so that a flood of it can be braked."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class CreationCount(models.Model):
    """Records that were made of unknown senders within one hour (R3.58). Written by `tracking.brakes` in
    the transaction that makes them, and forgotten after two days."""

    maker = models.CharField(
        _("maker"),
        max_length=100,
        help_text=_("By what: “rule:” and its id, or the user or queue whose options wanted them."),
    )
    hour = models.DateTimeField(_("hour"), help_text=_("When it began."))
    made = models.PositiveIntegerField(_("records"), default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["maker", "hour"], name="creationcount_once_an_hour")
        ]
        indexes = [models.Index(fields=["hour"], name="creationcount_hour")]

    def __str__(self) -> str:
        return f"{self.maker} {self.hour:%Y-%m-%d %H}: {self.made}"
