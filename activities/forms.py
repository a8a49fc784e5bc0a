"""The forms of templates and signatures: which names they may hold."""

from collections.abc import Container
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from activities.models import EmailSignature, Template, TemplateFor
from activities.wording import fields_for, unknown_fields


class WordingForm(forms.ModelForm):  # type: ignore[type-arg]
    """Names in braces are checked when the text is saved, for afterwards nobody looks."""

    body = forms.CharField(
        label=_("Text"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 10, "class": "vLargeTextField"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "body" in self.fields:
            self.fields["body"].help_text = format_html(
                '{} <details><summary>{}</summary><ul class="help-list">{}</ul></details>',
                __("HTML. Names in double braces are replaced when the text is used."),
                __("Names that can be used"),
                format_html_join(
                    "", "<li><code>{{{{ {} }}}}</code> {}</li>", self._offered().items()
                ),
            )

    def _offered(self) -> dict[str, Any]:
        return fields_for(TemplateFor.CASE.value)

    def check_fields(self, text: str, known: Container[str]) -> None:
        if unknown := unknown_fields(text, known):
            raise ValidationError(
                __("Nobody knows what these names stand for here: %(names)s.")
                % {"names": ", ".join(unknown)}
            )


class TemplateForm(WordingForm):
    class Meta:
        model = Template
        fields = (
            *("title", "template_type_code", "subject", "body", "description"),
            *("is_personal", "owning_user", "owning_team"),
        )

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        known = fields_for(data.get("template_type_code") or "")
        for name in ("subject", "body"):
            try:
                self.check_fields(data.get(name) or "", known)
            except ValidationError as error:
                self.add_error(name, error)
        return data


class SignatureForm(WordingForm):
    class Meta:
        model = EmailSignature
        fields = (
            *("title", "is_default", "queue", "body", "description"),
            *("is_personal", "owning_user", "owning_team"),
        )

    def _offered(self) -> dict[str, Any]:
        return {name: words for name, words in fields_for("").items() if _of_writer(name)}

    def clean_body(self) -> str:
        body: str = self.cleaned_data["body"]
        self.check_fields(body, self._offered())
        return body


def _of_writer(name: str) -> bool:
    """What is known before the email has a recipient."""
    return name.startswith(("sender.", "organization."))
