"""The history page of configuration: what was changed, by whom, and the way back.

To restore is to open the ordinary form with the former values filled in: what is checked, asked and noted when
somebody saves is the same as ever.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import Permission
from django.db.models import BooleanField, Field, Model
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.text import Truncator, capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mailboxes import access
from mailboxes.choices import ChangeEvent
from mailboxes.history import Change, Moment, former_values, moments_of
from mailboxes.history.reading import moment_of
from mailboxes.models import Stamped
from mailboxes.screens import EMPTY, Screen, badge

FORMER = "former"
SHOWN = 500  # columns that changed, latest first
LOOKS = {ChangeEvent.MADE: "good", ChangeEvent.REMOVED: "bad", ChangeEvent.CHANGED: "info"}
SECRET_WORDS = {
    (False, True): gettext_lazy("entered"),
    (True, True): gettext_lazy("entered anew"),
    (True, False): gettext_lazy("removed"),
}


@dataclass(frozen=True, slots=True)
class Line:
    label: str
    before: str
    after: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    moment: Moment
    badge: SafeString
    who: str
    lines: tuple[Line, ...]
    restore_url: str


class Remembered(Screen):
    """A screen of records that have a history. Stands before other screens in the list of bases."""

    object_history_template = "admin/remembered.html"

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        record = self.get_object(request, object_id)
        told = []
        if record is not None and self.has_view_or_change_permission(request, record):
            may = self.has_change_permission(request, record)
            page = reverse(
                f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[record.pk]
            )
            told = tell(moments_of(record, SHOWN), request.user, page if may else "")
        return super().history_view(request, object_id, {"told": told, **(extra_context or {})})

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, *args: Any, **kw: Any
    ) -> HttpResponse:
        request.former = None  # type: ignore[attr-defined]
        if request.method == "GET" and object_id and request.GET.get(FORMER, "").isdecimal():
            request.former = int(request.GET[FORMER])  # type: ignore[attr-defined]
        return super().changeform_view(request, object_id, *args, **kw)

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        record = super().get_object(request, object_id, from_field)
        key = getattr(request, "former", None)
        if record is not None and key and self.has_change_permission(request, record):
            self.fill_in(request, record, key)
        return record

    def fill_in(self, request: HttpRequest, record: Any, key: int) -> None:
        """Nothing is written: the form shows what it would be."""
        moment = moment_of(record, key)
        values = former_values(record, key)
        if moment is None or not values:
            self.message_user(
                request,
                _("There is nothing in that change that could come back."),
                messages.WARNING,
            )
            return
        for name, value in values.items():
            field = record._meta.get_field(name)
            setattr(record, field.attname, value)
        words = _(
            "Nothing is stored yet. The form shows how it was before %(when)s: %(columns)s. Look through it, then save."
        ) % {
            "when": date_format(timezone.localtime(moment.when), "Y-m-d H:i"),
            "columns": ", ".join(str(record._meta.get_field(name).verbose_name) for name in values),
        }
        self.message_user(request, words, messages.WARNING)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Services write who it was by themselves; what has none is stamped here."""
        if isinstance(obj, Stamped):
            obj.modified_by_id = request.user.pk
            if not change:
                obj.created_by_id = request.user.pk
        super().save_model(request, obj, form, change)


# -- in words ------------------------------------------------------------------------------------


def tell(moments: Iterable[Moment], user: Any, page: str) -> list[Told]:
    """`page`: address of the form, for whoever may change the record."""
    moments = [each for each in moments if each.changes or each.event == ChangeEvent.MADE]
    names = _names(moments, user)
    return [
        Told(
            moment=each,
            badge=badge(each.event.label, LOOKS[each.event]),
            who=str(each.who) if each.who else _("not by a person, or in a list"),
            lines=tuple(_line(change, names) for change in each.changes),
            restore_url=f"{page}?{FORMER}={each.key}" if page and each.can_come_back else "",
        )
        for each in moments
    ]


def _line(change: Change, names: Mapping[tuple[type[Model], str], str]) -> Line:
    label = capfirst(str(change.field.verbose_name if change.field else change.name))
    if change.hidden:
        return Line(label, "", "", secret_words(change.before, change.after))
    return Line(
        label,
        in_words(change.field, change.before, change.was, names),
        in_words(change.field, change.after, change.became, names),
    )


def secret_words(before: str | None, after: str | None) -> str:
    return str(SECRET_WORDS.get((bool(before), bool(after)), _("changed")))


def in_words(
    field: "Field[Any, Any] | None",
    text: str | None,
    value: Any,
    names: Mapping[tuple[type[Model], str], str] = {},
) -> str:
    if text in (None, "") or field is None:
        return text or EMPTY
    if field.is_relation:
        return names.get((_model_of(field), text), _("(a record that you may not see)"))
    if choices := dict(field.flatchoices):
        return str(choices.get(value, text))
    if isinstance(field, BooleanField):
        return _("yes") if value else _("no")
    if hasattr(value, "tzinfo"):
        return date_format(timezone.localtime(value), "Y-m-d H:i:s")
    return Truncator(text).chars(300)


def _names(moments: Iterable[Moment], user: Any) -> dict[tuple[type[Model], str], str]:
    """Of the records that are referred to, as far as the reader may see them. One statement a model."""
    keys: dict[type[Model], set[str]] = {}
    for moment in moments:
        for change in moment.changes:
            if change.field is not None and change.field.is_relation:
                found = {text for text in (change.before, change.after) if text}
                keys.setdefault(_model_of(change.field), set()).update(found)
    names: dict[tuple[type[Model], str], str] = {}
    for model, wanted in keys.items():
        rows = model._default_manager.filter(pk__in=[key for key in wanted if _is_key(model, key)])
        if model is not Permission:
            rows = access.visible_to(user, rows)
        names |= {(model, str(row.pk)): str(row) for row in rows}
    return names


def _is_key(model: type[Model], text: str) -> bool:
    assert model._meta.pk is not None
    try:
        return isinstance(model._meta.pk.to_python(text), UUID | int | str)
    except Exception:  # noqa: BLE001 - whatever a database may have written
        return False


def _model_of(field: "Field[Any, Any]") -> type[Model]:
    related: Any = field.related_model
    assert isinstance(related, type)
    return related
