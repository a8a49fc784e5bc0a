"""The second step: does it answer? The test of the profile's connection (R2.22), as one account."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from mailboxes import access, services
from mailboxes.choices import StateCode
from mailboxes.models import EmailServerProfile, Mailbox
from mailboxes.screens import actor_of, may_type_secrets
from serversync import connections
from serversync.choices import ConnectionState
from serversync.console.connections import results_of, test_of
from serversync.console.health import organization_of
from serversync.console.signin import owners_sign_in
from serversync.console.wizard import tying
from serversync.console.wizard.frame import Frame, Here, go, url_of
from serversync.console.wizard.standing import has_passed, is_outdated
from serversync.console.wizard.steps import Step
from serversync.console.wizard.tying import Credentials, Newcomer


def candidates(user: Any, profile: EmailServerProfile) -> "QuerySet[Mailbox]":
    """Active mailboxes of users and queues that have no profile, or this one, and may be changed."""
    rows = Mailbox.objects.filter(
        Q(email_server_profile=None) | Q(email_server_profile=profile),
        Q(regarding_user__is_disabled=False) | Q(regarding_queue__state_code=StateCode.ACTIVE),
        state_code=StateCode.ACTIVE,
    ).exclude(email_address="")
    return access.visible_to(user, rows, "change")


class AccountForm(forms.Form):
    """One account: of a mailbox that there is, or of somebody new."""

    mailbox = forms.ModelChoiceField(
        Mailbox.objects.none(),
        required=False,
        label=_("Whose account"),
        empty_label=_("somebody new, named below"),
    )
    kind = forms.ChoiceField(label=_("Kind"), required=False)
    name = forms.CharField(label=_("Name"), max_length=200, required=False)
    address = forms.EmailField(label=_("Email address"), max_length=100, required=False)
    user_name = forms.CharField(
        label=_("User name"),
        max_length=200,
        required=False,
        help_text=_("Empty: the address."),
    )
    password = forms.CharField(
        label=_("Password"),
        max_length=200,
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("Stored encrypted with the mailbox, and never shown again."),
    )

    def __init__(
        self, *args: Any, profile: EmailServerProfile, user: Any, kinds: list[Any], **kw: Any
    ) -> None:
        super().__init__(*args, **kw)
        rows = candidates(user, profile).order_by("name")
        chooser: Any = self.fields["mailbox"]
        chooser.queryset = rows
        chooser.label_from_instance = lambda row: f"{row.name} ({row.email_address})"
        chooser.initial = rows.filter(email_server_profile=profile).first()
        self.fields["kind"].choices = kinds  # type: ignore[attr-defined]
        if not kinds:
            chooser.required, chooser.empty_label = True, "–"
        for name in () if kinds else ("kind", "name", "address"):
            del self.fields[name]
        for name in () if tying.asks_credentials(profile) else ("user_name", "password"):
            del self.fields[name]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if not data.get("mailbox"):
            for name in {"name", "address"} & set(self.fields) - set(self.errors):
                if not data.get(name):
                    self.add_error(name, __("Choose a mailbox above, or enter this for a new one."))
        return data


class TryingPages:
    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    def show(self, request: HttpRequest, key: UUID) -> HttpResponse:
        self.frame.require(request)
        here = self.frame.here(request, key)
        own = connections.has_own_account(here.profile)
        may = connections.testable(request.user, here.profile)
        form = None if own else self._form(request, here)
        if request.method == "POST" and may and (form is None or form.is_valid()):
            try:
                self._ask(request, here, form)
            except ValidationError as error:
                assert form is not None
                form.add_error(None, error)
            except IntegrityError:
                messages.error(request, __("Somebody did the same at this moment. Look again."))
                return go(Step.TEST, key)
            else:
                return go(Step.TEST, key)
        context = {
            "form": form,
            "may_test": may,
            "refusal": ""
            if may
            else " ".join(access.refusal(Mailbox, connections.PERMISSION).args),
            "types_secrets": may_type_secrets(request),
            "owners_sign_in": owners_sign_in(here.profile),
            "kept_back": services.kept_back(here.profile).exists(),
            **state_of(here),
        }
        return self.frame.page(request, Step.TEST, here, context)

    def live(self, request: HttpRequest, key: UUID) -> HttpResponse:
        self.frame.require(request)
        return self.frame.part(request, Step.TEST, state_of(self.frame.here(request, key)))

    def _form(self, request: HttpRequest, here: Here) -> AccountForm:
        sent = request.POST if request.method == "POST" else None
        kinds = tying.may_make(self.frame, request)
        form = AccountForm(sent, profile=here.profile, user=request.user, kinds=kinds)
        if "password" in form.fields and not may_type_secrets(request):
            form.fields["password"].disabled = True
        return form

    def _ask(self, request: HttpRequest, here: Here, form: AccountForm | None) -> None:
        """The account becomes the first mailbox of the profile, so that what was entered for it is kept where
        it belongs and nowhere else."""
        with transaction.atomic():
            mailbox = self._account(request, here, form.cleaned_data) if form else None
            connections.ask(here.profile, mailbox, actor_of(request), timezone.now())

    def _account(self, request: HttpRequest, here: Here, data: dict[str, Any]) -> Mailbox:
        mailbox = data["mailbox"]
        if mailbox is None:
            newcomer = Newcomer(tying.Kind(data["kind"]), data["name"], data["address"])
            mailbox = tying.mailbox_of(self.frame, request, newcomer, here.profile)
        credentials = Credentials(data.get("user_name", ""), data.get("password", ""))
        if not access.may(request.user, connections.PERMISSION, mailbox):
            raise access.refusal(Mailbox, connections.PERMISSION)
        organization = organization_of(request)
        tying.tie(self.frame, request, mailbox, here.profile, credentials, organization)
        return mailbox  # type: ignore[no-any-return]


def state_of(here: Here) -> dict[str, Any]:
    """What the page shows of the test, and shows again while it runs."""
    test = test_of(here.profile)
    return {
        "test": test,
        "waits": test is not None and test.state == ConnectionState.ASKED,
        "results": results_of(test),
        "passed": has_passed(here.profile, test),
        "outdated": is_outdated(here.profile, test),
        "server_url": url_of(Step.SERVER, here.key),
    }
