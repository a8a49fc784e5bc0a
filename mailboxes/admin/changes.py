"""All changes of the configuration, whichever record they are about."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.safestring import SafeString
from django.utils.text import Truncator, capfirst
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import ChangeEvent
from mailboxes.history.reading import value_of
from mailboxes.history.watched import hides
from mailboxes.models import ConfigurationChange
from mailboxes.remembering import LOOKS, in_words, secret_words
from mailboxes.screens import EMPTY, ReadOnlyScreen, badge, link, moment


class KindFilter(admin.SimpleListFilter):
    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        labels = (
            ConfigurationChange.objects.order_by().values_list("object_type", flat=True).distinct()
        )
        return sorted((label, _kind(label)) for label in labels)

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(object_type=self.value()) if self.value() else queryset


class ChangeScreen(ReadOnlyScreen):
    """What a reference points to is named on the record's own page, by what the reader may see there."""

    list_display = ["when", "what", "record", "column", "was", "became", "changed_by"]
    list_display_links = None
    list_filter = [KindFilter, "event", "changed_on"]
    list_select_related = ["changed_by"]
    search_fields = ["=object_id", "field", "changed_by__domain_name"]
    ordering = ["-changed_on", "-pk"]

    @admin.display(description=_("when"), ordering="changed_on")
    def when(self, row: ConfigurationChange) -> SafeString | str:
        return moment(row.changed_on)

    @admin.display(description=_("what"), ordering="event")
    def what(self, row: ConfigurationChange) -> SafeString:
        return badge(row.get_event_display(), LOOKS.get(ChangeEvent(row.event), "info"))

    @admin.display(description=_("record"))
    def record(self, row: ConfigurationChange) -> SafeString | str:
        model = _model(row.object_type)
        words = f"{_kind(row.object_type)} {row.object_id[-6:]}"
        if model is None or row.event == ChangeEvent.REMOVED:
            return words
        try:
            name = f"admin:{model._meta.app_label}_{model._meta.model_name}_history"
            return link(reverse(name, args=[row.object_id]), words)
        except NoReverseMatch:
            return words

    @admin.display(description=_("setting"), ordering="field")
    def column(self, row: ConfigurationChange) -> str:
        field = _field(row)
        return capfirst(str(field.verbose_name)) if field is not None else row.field or EMPTY

    @admin.display(description=_("before"))
    def was(self, row: ConfigurationChange) -> str:
        return EMPTY if _is_hidden(row) else _shown(row, row.before)

    @admin.display(description=_("since then"))
    def became(self, row: ConfigurationChange) -> str:
        if _is_hidden(row):
            return secret_words(row.before, row.after)
        return _shown(row, row.after)


def _model(label: str) -> type[Model] | None:
    try:
        return apps.get_model(label)
    except LookupError:
        return None


def _kind(label: str) -> str:
    model = _model(label)
    return capfirst(str(model._meta.verbose_name)) if model else label


def _field(row: ConfigurationChange) -> Any:
    model = _model(row.object_type)
    names = {field.name: field for field in model._meta.get_fields()} if model else {}
    return names.get(row.field)


def _is_hidden(row: ConfigurationChange) -> bool:
    """What nobody knows any more as a column may have been a secret."""
    field = _field(row)
    return bool(row.field) and (field is None or (not field.many_to_many and hides(field)))


def _shown(row: ConfigurationChange, text: str | None) -> str:
    field = _field(row)
    if not text or field is None:
        return EMPTY
    if field.is_relation:
        return text[-6:]
    return Truncator(in_words(field, text, value_of(field, text))).chars(80)
