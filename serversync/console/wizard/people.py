"""The fourth step: whose mail. Mailboxes that there are, and users and queues that are still to be made."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from mailboxes import access, services
from mailboxes.choices import AccessApproval
from mailboxes.models import EmailServerProfile, Mailbox
from mailboxes.places import is_kept_back
from mailboxes.screens import acted, by, may_type_secrets
from serversync.console.health import Health, organization_of, with_health
from serversync.console.signin import owners_sign_in
from serversync.console.wizard import tying
from serversync.console.wizard.enabling import begin
from serversync.console.wizard.frame import Frame, Here, go
from serversync.console.wizard.server import import_url
from serversync.console.wizard.steps import Step
from serversync.console.wizard.trying import candidates
from serversync.console.wizard.tying import Credentials, Newcomer

SHOWN = 50  # mailboxes on the page; the search finds the others
NEW_ROWS = 3
APPROVE = "approve_mailbox"


class LineForm(forms.Form):
    """What all rows have. A password that was sent is never shown again, not even to be corrected."""

    user_name = forms.CharField(max_length=200, required=False)
    password = forms.CharField(
        max_length=200,
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def label(self, name: str, words: Any) -> None:
        """What stands in the head of the column is said of each box to who can't see it."""
        self.fields[name].widget.attrs["aria-label"] = words

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.cleaned_data["user_name"], self.cleaned_data["password"])


class RowForm(LineForm):
    """One mailbox that there is."""

    take = forms.BooleanField(required=False)

    def __init__(
        self, sent: QueryDict | None, mailbox: Any, profile: EmailServerProfile, taken: bool
    ) -> None:
        super().__init__(sent, prefix=f"m-{mailbox.pk}")
        self.mailbox = mailbox
        self.is_kept_back = bool(mailbox.password) and is_kept_back(mailbox, profile)
        named = {"name": mailbox.name}
        self.label("take", __("Set up %(name)s") % named)
        self.label("user_name", __("User name of %(name)s") % named)
        self.label("password", __("Password of %(name)s") % named)
        self.initial = {
            "take": taken,
            "user_name": mailbox.user_name or mailbox.email_address,
        }

    @property
    def taken(self) -> bool:
        return bool(self.cleaned_data["take"])


class NewForm(LineForm):
    """One user or queue that is still to be made. A row without name and address is none."""

    kind = forms.ChoiceField()
    name = forms.CharField(max_length=200, required=False)
    address = forms.EmailField(max_length=100, required=False)

    LABELS = {
        "kind": _("Kind, row %(number)d"),
        "name": _("Name, row %(number)d"),
        "address": _("Email address, row %(number)d"),
        "user_name": _("User name, row %(number)d"),
        "password": _("Password, row %(number)d"),
    }

    def __init__(self, sent: QueryDict | None, number: int, kinds: list[Any]) -> None:
        super().__init__(sent, prefix=f"new-{number}")
        self.fields["kind"].choices = kinds  # type: ignore[attr-defined]
        for name, words in self.LABELS.items():
            self.label(name, words % {"number": number})

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        name, address = data.get("name"), data.get("address")
        if name and not address and "address" not in self.errors:
            self.add_error("address", __("Enter the address, too: the mailbox is made for it."))
        if address and not name:
            self.add_error("name", __("Enter a name, too."))
        return data

    @property
    def is_empty(self) -> bool:
        return not (self.cleaned_data.get("name") or self.cleaned_data.get("address"))

    @property
    def newcomer(self) -> Newcomer:
        data = self.cleaned_data
        return Newcomer(tying.Kind(data["kind"]), data["name"], data["address"])


@dataclass(slots=True)
class Sheet:
    """All rows of the page."""

    rows: list[RowForm]
    new: list[NewForm]
    more: int
    mailboxes: list[Mailbox] = field(default_factory=list)

    @property
    def forms(self) -> list[Any]:
        return [*self.rows, *self.new]

    def is_valid(self) -> bool:
        faulty = [each for each in self.forms if not each.is_valid()]  # asks each of them
        return not faulty

    @property
    def errors(self) -> int:
        return sum(bool(each.errors) for each in self.forms)


class Refused(Exception):
    """Some row can't be done, so none is."""


class PeoplePages:
    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    def show(self, request: HttpRequest, key: UUID) -> HttpResponse:
        self.frame.require(request)
        here = self.frame.here(request, key)
        sent = request.POST if request.method == "POST" else None
        sheet = self._sheet(request, here, sent)
        if sent is not None and sheet.is_valid():
            try:
                return self._carry_out(request, here, sheet)
            except Refused:
                pass  # each row says why
            except IntegrityError:
                messages.error(request, __("Somebody did the same at this moment. Look again."))
                return go(Step.PEOPLE, key)
        types = may_type_secrets(request)
        context = {
            "sheet": sheet,
            "query": request.GET.get("q", ""),
            "asks_credentials": tying.asks_credentials(here.profile),
            "types_secrets": types,
            "owners_sign_in": owners_sign_in(here.profile),
            "may_approve": access.reach_of(request.user, Mailbox, APPROVE) is not None,
            "may_test": access.reach_of(request.user, Mailbox, "test_mailbox") is not None,
            "approves": sent is not None and "approve" in sent,
            "errors": sheet.errors if sent is not None else 0,
            "import_url": import_url(),
        }
        return self.frame.page(request, Step.PEOPLE, here, context)

    # -- the rows

    def _sheet(self, request: HttpRequest, here: Here, sent: QueryDict | None) -> Sheet:
        found = self._offered(request, here, sent)
        rows = [
            RowForm(sent, mailbox, here.profile, taken=mailbox.email_server_profile_id is not None)
            for mailbox in found[:SHOWN]
        ]
        kinds = tying.may_make(self.frame, request)
        numbers = range(1, NEW_ROWS + 1) if kinds else ()
        new = [NewForm(sent, number, kinds) for number in numbers]
        if not may_type_secrets(request):
            for form in (*rows, *new):
                form.fields["password"].disabled = True
        return Sheet(rows, new, max(0, len(found) - SHOWN))

    def _offered(self, request: HttpRequest, here: Here, sent: QueryDict | None) -> list[Any]:
        """Those that were on the page which is sent; else those that don't run yet, this profile's first."""
        rows = with_health(candidates(request.user, here.profile), organization_of(request))
        if sent is not None:
            return list(rows.filter(pk__in=keys_in(sent.getlist("row"))).order_by("name")[:SHOWN])
        words = request.GET.get("q", "").replace("\0", "").strip()
        if words:
            rows = rows.filter(Q(name__icontains=words) | Q(email_address__icontains=words))
        first = F("email_server_profile").asc(nulls_last=True)
        unfinished = rows.exclude(email_server_profile=here.profile, health=Health.HEALTHY)
        return list(unfinished.order_by(first, "name")[: SHOWN + 1])

    # -- what is done

    def _carry_out(self, request: HttpRequest, here: Here, sheet: Sheet) -> HttpResponse:
        """All rows or none. A row that was done already changes nothing."""
        with transaction.atomic():
            for form in sheet.rows:
                if form.taken:
                    self._tie(request, here, sheet, form, form.mailbox)
            for new in sheet.new:
                if not new.is_empty:
                    self._make(request, here, sheet, new)
            if sheet.errors:
                raise Refused
            if "approve" in request.POST:
                self._approve(request, sheet.mailboxes)
            begun = begin(request, sheet.mailboxes) if "more" not in request.POST else 0
        self._tell(request, sheet.mailboxes, begun)
        return go(Step.PEOPLE if "more" in request.POST else Step.DONE, here.key)

    def _make(self, request: HttpRequest, here: Here, sheet: Sheet, form: NewForm) -> None:
        try:
            mailbox = tying.mailbox_of(self.frame, request, form.newcomer, here.profile)
        except ValidationError as error:
            form.add_error(None, error)
        else:
            self._tie(request, here, sheet, form, mailbox)

    def _tie(
        self, request: HttpRequest, here: Here, sheet: Sheet, form: Any, mailbox: Mailbox
    ) -> None:
        organization = organization_of(request)
        try:
            tying.tie(self.frame, request, mailbox, here.profile, form.credentials, organization)
        except ValidationError as error:
            form.add_error(None, error)
        else:
            sheet.mailboxes.append(mailbox)

    def _approve(self, request: HttpRequest, mailboxes: Iterable[Mailbox]) -> None:
        waiting = Mailbox.objects.filter(pk__in=[row.pk for row in mailboxes]).exclude(
            email_router_access_approval=AccessApproval.APPROVED
        )
        keys = list(waiting.values_list("pk", flat=True))
        if keys:
            services.approve(mailboxes=waiting, **by(request))
            acted.send(sender=Mailbox, request=request, action="approve", keys=keys)

    def _tell(self, request: HttpRequest, mailboxes: list[Mailbox], begun: int) -> None:
        if not mailboxes:
            messages.info(request, __("Nothing was chosen, so nothing was changed."))
            return
        words = ngettext(
            "%(count)d mailbox is tied to this server.",
            "%(count)d mailboxes are tied to this server.",
            len(mailboxes),
        )
        messages.success(request, words % {"count": len(mailboxes)})
        if begun:
            words = ngettext(
                "Test & Enable started for %(count)d mailbox.",
                "Test & Enable started for %(count)d mailboxes.",
                begun,
            )
            messages.success(request, words % {"count": begun})


def keys_in(texts: Sequence[str]) -> list[UUID]:
    """Of mailboxes whose rows were sent."""
    found = []
    for text in texts[:SHOWN]:
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return found
