"""Fields of the form that an e-mail is written with."""

import re
from email.utils import getaddresses
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext_lazy as _

from activities.mime.message import Address
from mailboxes.models import Organization

_COMMAS = re.compile(r"(?:\s*,)+")  # a list may end in one, or be put together by hand


class AddressesField(forms.CharField):
    """Addresses with or without names, separated by commas or semicolons."""

    default_error_messages = {
        "address": _(
            "“%(address)s” is not an email address. Write ada@example.com, or "
            "Ada <ada@example.com>; separate several by commas."
        )
    }

    def __init__(self, **kw: Any) -> None:
        super().__init__(**{"required": False, "widget": forms.TextInput, **kw})

    def to_python(self, value: Any) -> Any:
        text = ",".join((super().to_python(value) or "").replace(";", ",").splitlines())
        text = _COMMAS.sub(",", text).strip(" ,")
        if not text:
            return ()
        found: dict[str, Address] = {}
        for name, address in getaddresses([text]):
            try:
                validate_email(address)
            except ValidationError as error:
                raise ValidationError(
                    self.error_messages["address"], params={"address": address or name or text}
                ) from error
            made = Address(address, name)
            found.setdefault(made.key, made)
        return tuple(found.values())

    def has_changed(self, initial: Any, data: Any) -> bool:
        return str(initial or "") != str(data or "")


class SeveralFiles(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Several files, each within the organization's limit; looked at before their bytes are read."""

    widget = SeveralFiles

    def clean(self, data: Any, initial: Any = None) -> Any:
        one = super().clean
        files = [one(file) for file in data] if isinstance(data, list | tuple) else []
        if files:
            limit = Organization.objects.current().max_upload_file_size_kb
            for file in files:
                if file.size > limit * 1024:
                    raise ValidationError(
                        _(
                            "“%(name)s” is larger than the %(limit)s KB that the organization "
                            "allows. Send a smaller file, or raise the limit. (R5.20, R3.51)"
                        ),
                        params={"name": file.name, "limit": limit},
                    )
        return files


class LineField(forms.CharField):
    """One line, whatever is posted: what goes into a header can't hold a line break (RFC 5322, 2.2)."""

    def to_python(self, value: Any) -> Any:
        return " ".join(str(super().to_python(value) or "").splitlines()).strip()
