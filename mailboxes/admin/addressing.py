"""Records with an address of their own: refusing a taken one, and taking it over (R1.5)."""

from itertools import chain
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest
from django.urls import reverse

from mailboxes import access, services
from mailboxes.models import (
    Mailbox,
)
from mailboxes.screens import (
    Screen,
)


class AddressForm(forms.ModelForm):  # type: ignore[type-arg]
    """Shows beside its field that an address is another mailbox's (R1.5)."""

    def clean(self) -> Any:
        cleaned = super().clean()
        record = self.instance
        mailbox = record if isinstance(record, Mailbox) else None
        if mailbox is None and not record._state.adding:
            mailbox = getattr(record, "default_mailbox", None)
        for name in ("email_address", "internal_email_address"):
            address = self.cleaned_data.get(name)
            if not address or not (name in self.changed_data or record._state.adding):
                continue
            if holder := services.holder_of(address, besides=mailbox):
                self.add_error(name, services.AddressTaken(address, holder))
        return cleaned


class WithAddress(Screen):
    """Offers, beside the refusal of a taken address, to take it over (R1.5)."""

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        record = kw.get("obj")
        mailbox = (
            record if isinstance(record, Mailbox) else getattr(record, "default_mailbox", None)
        )
        refused = taken_in(context["adminform"].form)
        if (
            refused is not None
            and mailbox is not None
            and all(access.may(request.user, "change", one) for one in (mailbox, refused.holder))
        ):
            url = reverse("admin:mailboxes_mailbox_take_over", args=[mailbox.pk])
            context["take_over"] = {
                "url": f"{url}?{urlencode({'address': refused.address})}",
                "address": refused.address,
                "holder": refused.holder,
            }
        return super().render_change_form(request, context, *args, **kw)


def taken_in(form: Any) -> services.AddressTaken | None:
    """The refusal of a taken address among a form's errors."""
    errors = chain.from_iterable(form.errors.as_data().values())
    return next((error for error in errors if isinstance(error, services.AddressTaken)), None)


class TakeOverForm(forms.Form):
    address = forms.EmailField(max_length=100)
