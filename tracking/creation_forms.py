"""The form of a rule's items: conditions as lines of "what, and what with"."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from tracking.conditions import LONGEST_VALUE, Question, fault_of
from tracking.models import ConvertRule, ConvertRuleItem
from tracking.models.rules import MOST_CONDITIONS

UNITS = ((1, _("minutes")), (60, _("hours")), (60 * 24, _("days")))


class DurationWidget(forms.MultiWidget):
    """Minutes, shown in the largest unit in which they are a whole number."""

    def __init__(self) -> None:
        super().__init__(
            [
                forms.NumberInput(
                    attrs={"min": 0, "class": "vIntegerField", "aria-label": _("Duration")}
                ),
                forms.Select(choices=UNITS, attrs={"aria-label": _("Time")}),
            ]
        )

    def decompress(self, value: Any) -> list[Any]:
        minutes = int(value or 0)
        unit = max((size for size, _name in UNITS if minutes % size == 0), default=1)
        return [minutes // unit, unit] if minutes else [0, 60]


class DurationField(forms.MultiValueField):
    """A number and its unit; the value is minutes."""

    widget = DurationWidget

    def __init__(self, **kwargs: Any) -> None:
        fields = (
            forms.IntegerField(min_value=0, max_value=100_000),
            forms.TypedChoiceField(choices=UNITS, coerce=int),
        )
        super().__init__(fields, require_all_fields=False, **kwargs)

    def compress(self, data_list: Any) -> int:
        if not data_list or data_list[0] is None:
            return 0
        return int(data_list[0]) * int(data_list[1] or 1)


class ConditionsWidget(forms.MultiWidget):
    """A line for each condition: the question, then its value."""

    def __init__(self) -> None:
        choices = [("", "–"), *Question.choices]
        pair = [
            widget
            for _line in range(MOST_CONDITIONS)
            for widget in (
                forms.Select(choices=choices),
                forms.TextInput(attrs={"class": "vTextField", "maxlength": LONGEST_VALUE}),
            )
        ]
        super().__init__(pair)

    def decompress(self, value: Any) -> list[Any]:
        lines = value if isinstance(value, list) else []
        flat = [part for line in lines for part in (line.get("test", ""), line.get("value", ""))]
        return (flat + [""] * (2 * MOST_CONDITIONS))[: 2 * MOST_CONDITIONS]

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        values = value if self._is_split(value) else self.decompress(value)
        boxes = [
            widget.render(f"{name}_{number}", part, _attributes(name, number), renderer)
            for number, (widget, part) in enumerate(zip(self.widgets, values, strict=True))
        ]
        lines = format_html_join(
            "", "<tr><td>{}</td><td>{}</td></tr>", zip(boxes[::2], boxes[1::2], strict=True)
        )
        return format_html('<table class="conditions"><tbody>{}</tbody></table>', lines)

    def _is_split(self, value: Any) -> bool:
        """What came back from the browser is one text for each box, what is stored are conditions."""
        return isinstance(value, list) and len(value) == len(self.widgets)


def _attributes(name: str, number: int) -> dict[str, str]:
    line, part = divmod(number, 2)
    words = _("Value") if part else _("What")
    return {"id": f"id_{name}_{number}", "aria-label": f"{words} {line + 1}"}


class ConditionsField(forms.MultiValueField):
    """Lines of a question and its value; lines left empty don't count."""

    widget = ConditionsWidget

    def __init__(self, **kwargs: Any) -> None:
        pair = [
            forms.CharField(required=False)
            for _line in range(MOST_CONDITIONS)
            for _part in ("test", "value")
        ]
        super().__init__(pair, require_all_fields=False, required=False, **kwargs)

    def compress(self, data_list: Any) -> list[dict[str, str]]:
        found, faults = [], []
        parts = list(data_list or [])
        for number, (test, value) in enumerate(zip(parts[::2], parts[1::2], strict=True), start=1):
            if not test and not value:
                continue
            if fault := fault_of(test, value):
                faults.append(
                    _("Condition %(number)d: %(fault)s") % {"number": number, "fault": fault}
                )
                continue
            needs = Question(test).needs_value
            found.append({"test": test, "value": value} if needs else {"test": test})
        if faults:
            raise ValidationError(faults)
        return found


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]
    resolved_since = DurationField(
        label=_("Only if it was resolved at least"),
        required=False,
        help_text=_("Ago. Mail about a case resolved more recently is filed under that one."),
    )
    entitlement = forms.BooleanField(
        label=_("Only with a valid entitlement"),
        required=False,
        disabled=True,
        help_text=_("Not built: entitlements are not kept here, so nothing asks for one."),
    )

    class Meta:
        model = ConvertRule
        fields = (
            *("name", "queue", "owning_user", "description", "allow_unknown_sender"),
            *("check_if_resolved", "resolved_since"),
            *("send_automatic_response", "response_template"),
        )
        error_messages = {
            "queue": {
                "invalid_choice": _(
                    "A rule decides what becomes of a queue's mail, so choose a queue that you may "
                    "change. (R3.58)"
                )
            }
        }
        help_texts = {
            "owning_user": _(
                "The rule makes records with this user's rights, and cases are theirs."
            )
        }

    def clean_resolved_since(self) -> int:
        return self.cleaned_data["resolved_since"] or 0


class ItemForm(forms.ModelForm):  # type: ignore[type-arg]
    conditions = ConditionsField(
        label=_("Conditions"),
        help_text=_(
            "All of them must hold; without any, every message will do. Several values are separated "
            "by semicolons, and any of them will do."
        ),
    )

    class Meta:
        model = ConvertRuleItem
        fields = ("sequence_number", "name", "conditions", "priority_code", "case_type_code")
