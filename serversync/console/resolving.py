"""An address that nothing resolved gets its record by hand (R3.39a): the page, and the link to it."""

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from activities.models import ActivityParty, Email
from activities.resolving import Resolved, resolve_party
from mailboxes.models import Organization
from mailboxes.screens import link
from serversync.console.filing import may_file
from serversync.console.folders import picker_context
from tracking.forms import RecordForm

if TYPE_CHECKING:
    from mailboxes.screens import Screen as Base
else:
    Base = object

NAME = "activities_email_resolve"


class Resolving(Base):
    """Mix in before the screen of emails."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.resolve)
        return [path("<uuid:pk>/resolve/<uuid:party>/", view, name=NAME), *super().get_urls()]

    def resolve(self, request: HttpRequest, pk: Any, party: Any) -> HttpResponse:
        email = self._readable(request, pk)  # type: ignore[attr-defined]
        row = ActivityParty.objects.filter(pk=party, activity_id=email.pk).first()
        if row is None:
            raise Http404
        if not may_file(request.user, email):
            raise PermissionDenied
        if request.method != "POST" or "_find" in request.POST:
            typed = (
                request.POST.dict() if request.method == "POST" else {"record_words": _words(row)}
            )
            form = RecordForm(initial=typed, user=request.user)
            return self._resolving_page(request, email, row, form)
        form = RecordForm(request.POST, user=request.user)
        if form.is_valid() and self._resolve(request, email, row, form):
            return HttpResponseRedirect(reverse("admin:activities_email_change", args=[email.pk]))
        return self._resolving_page(request, email, row, form)

    def _resolve(
        self, request: HttpRequest, email: Email, party: ActivityParty, form: RecordForm
    ) -> bool:
        record = form.cleaned_data["record"]
        if record is None:
            form.add_error("record", __("Choose the record that this address stands for."))
            return False
        try:
            resolved = resolve_party(
                party=party,
                record=record,
                now=timezone.now(),
                actor=request.user,  # type: ignore[arg-type]
            )
        except ValidationError as refused:
            form.add_error(None, refused)
            return False
        self.log_change(request, email, [{"changed": {"fields": [str(_("Participants"))]}}])
        self.message_user(request, _told(party, record, resolved), messages.SUCCESS)
        return True

    def _resolving_page(
        self, request: HttpRequest, email: Email, party: ActivityParty, form: RecordForm
    ) -> HttpResponse:
        similar = "resolve_similar_unresolved_email_address"
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": __("Resolve an address"),
            "email": email,
            "subject": email.activity.subject or __("(no subject)"),
            "party": party,
            "form": form,
            "all_at_once": Organization.objects.current().effective(similar),
            **picker_context(form),
        }
        return TemplateResponse(request, "console/resolve_party.html", context)


def resolve_link(party: ActivityParty) -> SafeString:
    return link(reverse(f"admin:{NAME}", args=[party.activity_id, party.pk]), __("Resolve"))


def _words(party: ActivityParty) -> str:
    """What the search begins with: most often the record is there, without this address."""
    return party.unresolved_party_name or party.address_used.partition("@")[0]


def _told(party: ActivityParty, record: Any, resolved: Resolved) -> str:
    text = ngettext(
        "%(address)s stands for “%(record)s” in %(count)d email.",
        "%(address)s stands for “%(record)s” in %(count)d emails.",
        resolved.emails,
    )
    words = party.address_used or party.unresolved_party_name
    return text % {"address": words, "record": record, "count": resolved.emails}
