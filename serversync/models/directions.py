"""Which way fields go, as far as an administrator chose otherwise (R6.14). Everything else stands in
`serversync.act.fields`."""

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from mailboxes.models import Record, Stamped
from serversync.act.choices import SyncDirection, SyncTable
from serversync.act.fields import AttributeMapping, mapping_of
from serversync.act.types import Direction, Table


class SyncAttributeMapping(Record, Stamped):
    """syncattributemapping: one field of one kind of record. A field without a row goes its default way."""

    entity_type_code = models.IntegerField(_("kind of record"), choices=SyncTable.choices)
    mapping_name = models.CharField(
        _("field"), max_length=64, help_text=_("As the table of fields calls it.")
    )
    sync_direction = models.IntegerField(
        _("direction"),
        choices=SyncDirection.choices,
        help_text=_("A field that goes not at all is neither read nor written (R6.17)."),
    )

    class Meta:
        verbose_name = _("direction of a field")
        verbose_name_plural = _("directions of fields")
        constraints = [
            models.UniqueConstraint(
                fields=["entity_type_code", "mapping_name"], name="syncattributemapping_once"
            )
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def key(self) -> str:
        return f"{Table(self.entity_type_code).name.lower()}.{self.mapping_name}"

    @property
    def mapping(self) -> AttributeMapping | None:
        return mapping_of(self.key)

    def clean(self) -> None:
        mapping = self.mapping
        if mapping is None or Direction(self.sync_direction) not in mapping.allowed:
            raise ValidationError(
                {"sync_direction": _("This field can't go that way (R6.14). Choose another.")}
            )
