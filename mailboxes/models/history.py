"""ConfigurationChange: what people decided, and when it was otherwise. Triggers write it, see `mailboxes.history`."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import ChangeEvent


class ConfigurationChange(models.Model):
    """Ours: one column of one record of the configuration, before and after."""

    object_type = models.CharField(
        _("kind"), max_length=100, help_text=_("The model, as app.model in lower case.")
    )
    object_id = models.CharField(_("record"), max_length=64)
    event = models.CharField(_("what happened"), max_length=8, choices=ChangeEvent.choices)
    field = models.CharField(
        _("column"), max_length=100, blank=True, help_text=_("Empty where a record was made.")
    )
    before = models.TextField(
        _("before"),
        null=True,
        blank=True,
        help_text=_("As the database writes it. Of a secret only whether there was one."),
    )
    after = models.TextField(_("after"), null=True, blank=True)
    changed_on = models.DateTimeField(_("changed on"))
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("changed by"),
        help_text=_("Empty where a program or plain SQL wrote it."),
    )

    class Meta:
        verbose_name = _("change of the configuration")
        verbose_name_plural = _("changes of the configuration")
        ordering = ["-changed_on", "-id"]
        indexes = [
            models.Index(
                fields=["object_type", "object_id", "-changed_on"], name="change_of_object"
            ),
            models.Index(fields=["-changed_on"], name="change_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.object_type} {self.object_id} {self.field}".rstrip()
