"""The forms of filters: conditions as lines, drawn by the server. What can stand beside a condition follows from
what it asks about, so a line shows it once "Show" has been pressed; a script presses it by itself."""

from collections.abc import Iterator, Sequence
from typing import Any

from django import forms
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from mailboxes import access
from mailboxes.choices import Reach
from mailboxes.models import SystemUser, Team
from serversync.act.conditions.catalogue import Field, Kind, fields_of
from serversync.act.conditions.language import (
    LONGEST_TEXT,
    MOST,
    NotUnderstood,
    faults,
    read,
)
from serversync.act.conditions.lines import ALONE, Line, Typed, conditions_of, lines_of
from serversync.act.filters.giving import synchronizing, users_within_reach
from serversync.act.types import Table
from serversync.models import SavedQuery, UserQuery

BLANK = 2  # lines to fill in
WAYS = (("all", _("All of these must hold")), ("any", _("Any of these is enough")))


class ConditionsWidget(forms.Widget):
    """A line for each condition: group, what is asked, how, and what stands beside it."""

    table: Table = Table.CONTACT

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Typed:
        lines = [
            Line(
                field=data.get(f"{name}-{number}-field", ""),
                operator=data.get(f"{name}-{number}-operator", ""),
                values=_all(data, f"{name}-{number}-value"),
                group=data.get(f"{name}-{number}-group", ALONE),
            )
            for number in range(MOST + BLANK)
        ]
        return Typed(data.get(f"{name}-way", "all"), [line for line in lines if not line.is_blank])

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return False

    def id_for_label(self, id_: str) -> str:
        return ""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        typed = value if isinstance(value, Typed) else _typed(self.table, value)
        lines = [*typed.lines, *[Line()] * BLANK][: MOST + BLANK]
        groups = sum(line.group != ALONE for line in typed.lines) + 2
        rows = [self._row(f"{name}-{number}", line, groups) for number, line in enumerate(lines)]
        way = forms.Select(choices=WAYS).render(
            f"{name}-way", typed.way, {"aria-label": __("How they are joined")}
        )
        heads = (__("Group"), __("What"), __("How"), __("Value"))
        head = format_html_join("", "<th>{}</th>", ((one,) for one in heads))
        body = format_html_join("", "{}", rows)
        return format_html(
            '{}<table class="conditions"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>',
            way,
            head,
            body,
        )

    def _row(self, name: str, line: Line, groups: int) -> tuple[SafeString]:
        known = fields_of(self.table).get(line.field)
        offered = [("", "–"), *sorted(_fields(self.table), key=lambda one: str(one[1]).casefold())]
        numbers = [(str(n), __("Group %(number)d") % {"number": n}) for n in range(1, groups + 1)]
        cells = [
            _select(f"{name}-group", line.group, [(ALONE, "–"), *numbers], __("Group")),
            _select(f"{name}-field", line.field, offered, __("What is asked"), redraws=True),
            *_beside(name, line, known),
        ]
        row = format_html_join("", "<td>{}</td>", ((cell,) for cell in cells))
        return (format_html("<tr>{}</tr>", row),)


def _all(data: Any, name: str) -> list[str]:
    if hasattr(data, "getlist"):
        return list(data.getlist(name))
    value = data.get(name, [])
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]


def _typed(table: Table, value: Any) -> Typed:
    try:
        read(table, value)
    except NotUnderstood:
        return Typed()
    return lines_of(value)


def _fields(table: Table) -> Iterator[tuple[str, Any]]:
    return ((name, field.label) for name, field in fields_of(table).items())


def _select(
    name: str, value: str, choices: Sequence[tuple[str, Any]], label: str, *, redraws: bool = False
) -> SafeString:
    attrs = {"aria-label": label, "id": f"id_{name}"} | ({"data-redraws": ""} if redraws else {})
    return forms.Select(choices=choices).render(name, value, attrs)


def _beside(name: str, line: Line, known: Field | None) -> tuple[SafeString, SafeString]:
    if known is None:
        return SafeString(""), SafeString("")
    operators = [("", "–"), *((one.value, one.label) for one in known.operators)]
    how = _select(f"{name}-operator", line.operator, operators, __("How it is compared"))
    return how, _value_box(f"{name}-value", line, known)


def _value_box(name: str, line: Line, known: Field) -> SafeString:
    if known.choices is not None:
        boxes = forms.CheckboxSelectMultiple(choices=known.choices.choices)
        return boxes.render(name, list(line.values), {"id": f"id_{name}", "class": "inline"})
    attrs = {"aria-label": __("Value"), "id": f"id_{name}", "maxlength": LONGEST_TEXT}
    value = line.values[0] if line.values else ""
    if known.kind in (Kind.DAY, Kind.MOMENT):
        attrs["placeholder"] = __("2026-03-31, or days")
    elif known.kind == Kind.NUMBER:
        attrs["inputmode"] = "numeric"
    elif known.kind != Kind.TEXT or not any(one.takes.value == "text" for one in known.operators):
        return SafeString("")
    return forms.TextInput().render(name, value, attrs)


class ConditionsField(forms.Field):
    """Lines become conditions, or what is wrong with them."""

    widget = ConditionsWidget

    def __init__(self, *, table: Table, **kwargs: Any) -> None:
        super().__init__(required=False, **kwargs)
        self.table = table
        self.widget.table = table

    def clean(self, value: Any) -> dict[str, Any]:
        told = conditions_of(self.table, value if isinstance(value, Typed) else Typed())
        if found := faults(self.table, told):
            raise ValidationError(found)
        return told

    def has_changed(self, initial: Any, data: Any) -> bool:
        return not isinstance(data, Typed) or conditions_of(self.table, data) != initial


class QueryForm(forms.ModelForm):  # type: ignore[type-arg]
    """Of one table, which is chosen before."""

    def __init__(self, *args: Any, table: Table, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance.returned_type_code = table.value
        self.fields["conditions"] = ConditionsField(
            table=table,
            label=_("Conditions"),
            help_text=_(
                "Without any condition, everything that the user may read. Lines of one group stand in "
                "parentheses and are joined the other way."
            ),
        )
        self.fields["description"].widget.attrs["rows"] = 2


class FilterForm(QueryForm):
    """A user's filter. `maker` chooses whose it is only if he may make filters for others."""

    class Meta:
        model = UserQuery
        fields = ("name", "owning_user", "description", "conditions")

    def __init__(self, *args: Any, maker: SystemUser, site: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if access.reach_of(maker, UserQuery, "add") != Reach.ALL:
            del self.fields["owning_user"]
            return
        owner = self.fields["owning_user"]
        owner.queryset = access.visible_to(maker, SystemUser.objects.all())  # type: ignore[attr-defined]
        owner.widget = AutocompleteSelect(UserQuery._meta.get_field("owning_user"), site)
        owner.widget.choices = owner.choices  # type: ignore[attr-defined]


class TemplateForm(QueryForm):
    class Meta:
        model = SavedQuery
        fields = ("name", "query_type", "is_default", "description", "conditions")


class ApplyForm(forms.Form):
    """Which templates, to whom (R10.13)."""

    templates = forms.ModelMultipleChoiceField(
        SavedQuery.objects.none(), label=_("Templates"), widget=forms.CheckboxSelectMultiple
    )
    whom = forms.ChoiceField(
        label=_("To"),
        widget=forms.RadioSelect,
        choices=[
            ("all", _("all whose appointments, contacts and tasks are synchronized")),
            ("team", _("members of the team")),
            ("chosen", _("the users named below")),
        ],
    )
    team = forms.ModelChoiceField(Team.objects.none(), label=_("Team"), required=False)
    users = forms.CharField(
        label=_("Users"),
        required=False,
        max_length=100_000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("Sign-in names or primary addresses, one on each line."),
    )
    retire_others = forms.BooleanField(
        label=_("Deactivate what else they have for the same records"),
        required=False,
        help_text=_("Filters add up, so one more never narrows what goes to the server. (R6.10)"),
    )

    def __init__(self, *args: Any, actor: SystemUser, offered: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.actor = actor
        self.fields["templates"].queryset = offered  # type: ignore[attr-defined]
        self.fields["team"].queryset = access.visible_to(actor, Team.objects.all())  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        whom, reached = data.get("whom"), users_within_reach(self.actor)
        if whom == "all":
            data["people"] = synchronizing(reached)
        elif whom == "team":
            if data.get("team") is None and "team" not in self.errors:
                self.add_error(
                    "team", __("Choose the team whose members get the filters. (R10.13)")
                )
            data["people"] = reached.filter(teams=data.get("team"))
        elif whom == "chosen":
            data["people"] = self._named(reached, data.get("users", ""))
        return data

    def _named(self, reached: Any, text: str) -> Any:
        names = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
        if not names and "users" not in self.errors:
            self.add_error("users", __("Name at least one user. (R10.13)"))
        lowered = [name.lower() for name in names]
        rows = reached.annotate(
            sign_in=Lower("domain_name"), address=Lower("internal_email_address")
        ).filter(Q(sign_in__in=lowered) | Q(address__in=lowered))
        found: dict[str, set[Any]] = {}
        for key, *known in rows.values_list("pk", "sign_in", "address"):
            for name in known:
                found.setdefault(name, set()).add(key)
        unknown = [name for name in names if len(found.get(name.lower(), ())) != 1]
        for name in unknown[:10]:
            self.add_error(
                "users",
                __("“%(name)s” is no user whose filters you may change. (R10.13)") % {"name": name},
            )
        keys = {key for name in lowered for key in found.get(name, ())}
        return reached.filter(pk__in=keys)
