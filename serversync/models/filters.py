"""Filters: which records of a user take part in synchronization (section 6.2), and what they are made of.

Written by `serversync.act.filters`.
"""

from django.conf import settings
from django.db import models
from django.db.models import IntegerChoices, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailboxes.models import Record, Stamped, Stateful
from serversync.act.choices import SyncTable
from serversync.act.conditions.defaults import shown
from serversync.act.conditions.fetch import fetch_xml
from serversync.act.conditions.words import in_words
from serversync.act.types import Table


class QueryType(IntegerChoices):
    """querytype of userquery and savedquery, as far as it is about synchronization."""

    FILTER = 256, _("Filter")
    TEMPLATE = 131072, _("Template")


class Query(Record, Stamped, Stateful):
    """What a filter and a template have in common."""

    name = models.CharField(_("name"), max_length=200)
    description = models.TextField(_("description"), max_length=2000, blank=True)
    returned_type_code = models.IntegerField(
        _("kind of record"), choices=SyncTable.choices, help_text=_("Which records it chooses.")
    )
    conditions = models.JSONField(
        _("conditions"),
        default=dict,
        help_text=_("Which of them; without any condition, all that the user may read."),
    )

    class Meta:
        abstract = True

    @property
    def table(self) -> Table:
        return Table(self.returned_type_code)

    @property
    def fetch_xml(self) -> str:
        return fetch_xml(self.table, self.conditions)

    @property
    def words(self) -> str:
        """The conditions, for people."""
        return in_words(self.table, self.conditions)


class SavedQuery(Query):
    """savedquery: a template that users' filters are copied from, or a filter that acts for everybody."""

    query_type = models.IntegerField(
        _("use"), choices=QueryType.choices, default=QueryType.TEMPLATE
    )
    is_default = models.BooleanField(
        _("default"),
        default=False,
        help_text=_("Copied to each user whose synchronization is set up from now on (R6.9)."),
    )

    class Meta:
        verbose_name = _("filter template")
        verbose_name_plural = _("filter templates")
        ordering = ["returned_type_code", "name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(is_default=False) | Q(query_type=QueryType.TEMPLATE),
                name="savedquery_only_templates_are_defaults",
                violation_error_message=_(
                    "A filter that acts for everybody is copied to nobody. Take the mark off, or make "
                    "it a template. (R6.9)"
                ),
            )
        ]

    def __str__(self) -> str:
        return shown(self.name)


class UserQuery(Query):
    """userquery: one user's filter. It goes with the user."""

    owning_user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="filters",
        verbose_name=_("user"),
        help_text=_("Whose mailbox synchronizes what it chooses."),
    )
    query_type = models.IntegerField(
        _("use"), choices=QueryType.choices[:1], default=QueryType.FILTER, editable=False
    )
    parent_query = models.ForeignKey(
        SavedQuery,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="copies",
        verbose_name=_("made of"),
        help_text=_("The template that it was copied from (R6.9)."),
    )

    class Meta:
        verbose_name = _("synchronization filter")
        verbose_name_plural = _("synchronization filters")
        ordering = ["owning_user__domain_name", "returned_type_code", "name"]
        indexes = [
            models.Index(fields=["owning_user"], condition=Q(state_code=0), name="userquery_active")
        ]

    def __str__(self) -> str:
        return shown(self.name)


class FilterSetup(models.Model):
    """That a user has got his filters: what he deletes of them doesn't come back (R6.9)."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        primary_key=True,
        related_name="filter_setup",
        verbose_name=_("user"),
    )
    copied_on = models.DateTimeField(_("filters given on"), default=timezone.now)

    class Meta:
        verbose_name = _("set-up of filters")
        verbose_name_plural = _("set-ups of filters")

    def __str__(self) -> str:
        return str(self.user)
