"""Model fields of this room."""

from typing import Any

from django.db import models
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from mailboxes.forms import SecretFormField
from mailboxes.secrets import Secret


class SecretField(models.TextField):  # type: ignore[type-arg]
    """A column whose value is a `Secret`. Assigning a `str` conceals it.

    Left out of serializers (`dumpdata`, exports) and of lookups other than emptiness.
    """

    description = _("Encrypted text")
    is_secret = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("blank", True)
        kwargs.setdefault("default", "")
        super().__init__(*args, **kwargs)

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Secret:
        return Secret(value or "")

    def to_python(self, value: Any) -> Secret:
        return value if isinstance(value, Secret) else Secret.conceal(value or "")

    def get_prep_value(self, value: Any) -> str:
        return self.to_python(value).token

    def get_lookup(self, lookup_name: str) -> Any:
        return super().get_lookup(lookup_name) if lookup_name in ("exact", "isnull", "in") else None

    def value_to_string(self, obj: models.Model) -> str:
        return ""

    def formfield(self, **kwargs: Any) -> Any:
        return SecretFormField(
            label=capfirst(str(self.verbose_name)),
            help_text=self.help_text,
            max_length=self.max_length,
        )

    def save_form_data(self, instance: models.Model, data: Any) -> None:
        """None: untouched. "": removed. Text: replaced."""
        if data is not None:
            setattr(instance, self.attname, Secret.conceal(data))

    def contribute_to_class(self, cls: type[models.Model], name: str, *a: Any, **k: Any) -> None:
        super().contribute_to_class(cls, name, *a, **k)
        setattr(cls, self.attname, _Concealing(self.attname))


class _Concealing:
    """Makes `mailbox.password = "text"` safe: the plain text is never kept on the instance."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: models.Model | None, owner: type[models.Model]) -> Any:
        if instance is None:
            return self
        if self.name not in instance.__dict__:
            instance.refresh_from_db(fields=[self.name])
        return instance.__dict__[self.name]

    def __set__(self, instance: models.Model, value: Any) -> None:
        if not isinstance(value, Secret):
            value = Secret.conceal(value or "")
        instance.__dict__[self.name] = value
