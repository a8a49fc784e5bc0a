"""Form pieces of this room: write-only secrets, and moments."""

from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminSplitDateTime
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from mailboxes.secrets import Secret


class SecretWidget(forms.PasswordInput):
    """An empty password box that says when the stored secret was set, with a box to remove it."""

    template_name = "mailboxes/widgets/secret.html"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"autocomplete": "new-password", **(attrs or {})}, render_value=False)

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, None, attrs)
        stored = value if isinstance(value, Secret) else None
        set_on = stored.set_on if stored else None
        context["widget"]["is_set"] = bool(stored)
        context["widget"]["set_on"] = date_format(set_on, "DATETIME_FORMAT") if set_on else ""
        context["widget"]["clear_name"] = f"{name}-clear"
        return context

    def value_from_datadict(self, data: Any, files: Any, name: str) -> str | None:
        if data.get(f"{name}-clear"):
            return ""
        return data.get(name) or None

    def render(self, *args: Any, **kwargs: Any) -> SafeString:
        return super().render(*args, **kwargs)


class DateAndTime(AdminSplitDateTime):
    """Django's two boxes, each with a name for those who listen; the words before them are no labels."""

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(name, value, attrs)
        names = (context["date_label"], context["time_label"])
        for box, words in zip(context["widget"]["subwidgets"], names, strict=True):
            box["attrs"] = {**box["attrs"], "aria-label": words}
        return context


class SecretFormField(forms.CharField):
    """None: leave as it is. "": remove. Text: replace. Never filled from the record."""

    widget = SecretWidget

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("required", False)
        kwargs.setdefault("strip", False)
        super().__init__(**kwargs)

    def clean(self, value: Any) -> Any:
        return None if value is None else super().clean(value)

    def bound_data(self, data: Any, initial: Any) -> Any:
        """A form that comes back with errors says of the secret what is stored, not what was typed."""
        return initial

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, Secret) else None

    def has_changed(self, initial: Any, data: Any) -> bool:
        return data is not None


CLEAR_LABEL = _("Remove the stored secret")
