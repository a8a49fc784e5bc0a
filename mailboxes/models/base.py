"""What records have in common: keys, stamps, owners, an active state."""

import uuid
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7 as _uuid7

from mailboxes.choices import StateCode, StatusCode

if TYPE_CHECKING:
    from mailboxes.models.users import SystemUser, Team


def uuid7() -> uuid.UUID:
    """A new key: time ordered, and ascending within one process (RFC 9562, 6.2)."""
    return _uuid7()


class Record(models.Model):
    """A row with a key made in Python, so that whole pages can be inserted at once."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """The row and what receivers write because of it (its mailbox, its addresses), or nothing:
        Django sends `post_save` after its own transaction has ended."""
        with transaction.atomic(using=kwargs.get("using"), savepoint=False):
            super().save(*args, **kwargs)


class Stamped(models.Model):
    created_on = models.DateTimeField(_("created on"), default=timezone.now, editable=False)
    modified_on = models.DateTimeField(_("modified on"), auto_now=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        verbose_name=_("created by"),
    )
    modified_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        verbose_name=_("modified by"),
    )

    class Meta:
        abstract = True


class Owned(models.Model):
    """Owned by a user or by a team, exactly one of them."""

    owning_user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="owned_%(class)ss",
        verbose_name=_("owner"),
        help_text=_("The user who owns this record. Leave empty if a team owns it."),
    )
    owning_team = models.ForeignKey(
        "mailboxes.Team",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="owned_%(class)ss",
        verbose_name=_("owning team"),
        help_text=_("The team that owns this record. Leave empty if a user owns it."),
    )

    class Meta:
        abstract = True
        constraints = [
            models.CheckConstraint(
                condition=Q(owning_user__isnull=False, owning_team__isnull=True)
                | Q(owning_user__isnull=True, owning_team__isnull=False),
                name="%(app_label)s_%(class)s_one_owner",
                violation_error_message=_(
                    "A record has exactly one owner. Choose either a user or a team."
                ),
            )
        ]

    @property
    def owner(self) -> "SystemUser | Team | None":
        return self.owning_user or self.owning_team


class Stateful(models.Model):
    """statecode and statuscode of the tables that know active and inactive only."""

    state_code = models.IntegerField(
        _("state"), choices=StateCode.choices, default=StateCode.ACTIVE, editable=False
    )

    class Meta:
        abstract = True

    @property
    def status_code(self) -> StatusCode:
        """One reason per state, so it is derived."""
        return StatusCode.ACTIVE if self.is_active_state else StatusCode.INACTIVE

    @property
    def is_active_state(self) -> bool:
        return self.state_code == StateCode.ACTIVE
