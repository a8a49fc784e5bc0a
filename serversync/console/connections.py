"""The page on which a profile's connection is tested, and read step by step (R2.22)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from mailboxes import access
from mailboxes.choices import StateCode
from mailboxes.models import EmailServerProfile, Mailbox
from mailboxes.screens import acted, actor_of
from serversync import connections
from serversync.choices import ConnectionState
from serversync.connections import PERMISSION, Status
from serversync.console.mailboxes.steps import Step, read_step
from serversync.models import ConnectionTest

if TYPE_CHECKING:
    from serversync.console.site import ConsoleSite

DIRECTIONS = {"incoming": _("Incoming mail"), "outgoing": _("Outgoing mail")}
STATUS = {
    Status.PASSED: (_("passed"), "good"),
    Status.FAILED: (_("failed"), "bad"),
    Status.NOT_REACHED: (_("not reached"), "quiet"),
}
ASPECTS = {
    "validation": _("Validation"),
    "authorization": _("Authorization"),
    "execution": _("Execution"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was said. `ours`: by us."""

    ours: bool
    words: str


@dataclass(frozen=True, slots=True)
class ShownStep:
    step: Step
    talk: list[Line]


@dataclass(frozen=True, slots=True)
class Shown:
    """One direction's result, as it is read."""

    name: Any
    server: str
    ms: int
    aspects: list[tuple[Any, Any, str]]
    steps: list[ShownStep]

    @property
    def failed(self) -> Step | None:
        return next((each.step for each in self.steps if not each.step.ok), None)


def shown(result: dict[str, Any]) -> Shown:
    return Shown(
        name=DIRECTIONS.get(result["direction"], result["direction"]),
        server=result["server"] or __("found by autodiscover"),
        ms=result["ms"],
        aspects=[(words, *STATUS[Status(result[name])]) for name, words in ASPECTS.items()],
        steps=[
            ShownStep(
                read_step(step),
                [Line(who == "asked", words) for who, words in step.get("talk", ())],
            )
            for step in result["steps"]
        ],
    )


def test_of(profile: EmailServerProfile) -> ConnectionTest | None:
    rows = ConnectionTest.objects.filter(profile=profile)
    return rows.select_related("mailbox", "asked_by").first()


def results_of(test: ConnectionTest | None) -> list[Shown]:
    return [shown(result) for result in test.results] if test else []


class AskForm(forms.Form):
    """Whose account is used; without a choice it is the profile's own."""

    mailbox = forms.ModelChoiceField(
        Mailbox.objects.none(), required=False, label=_("As which mailbox")
    )

    def __init__(self, *args: Any, profile: EmailServerProfile, user: Any, **kw: Any) -> None:
        super().__init__(*args, **kw)
        served = Mailbox.objects.filter(
            email_server_profile=profile, state_code=StateCode.ACTIVE
        ).order_by("name")
        field: Any = self.fields["mailbox"]
        field.queryset = access.visible_to(user, served, PERMISSION)
        field.required = not connections.has_own_account(profile)
        field.empty_label = "–" if field.required else _("the profile's own account")


# -- pages


def urls(site: "ConsoleSite") -> list[Any]:
    pages = Pages(site)
    return [
        path("test-connection/<uuid:key>/", site.admin_view(pages.show), name="test_connection"),
        path(
            "test-connection/<uuid:key>/state/",
            site.admin_view(pages.state),
            name="test_connection_state",
        ),
    ]


class Pages:
    def __init__(self, site: "ConsoleSite") -> None:
        self.site = site

    def show(self, request: HttpRequest, key: UUID) -> HttpResponse:
        profile = self._profile(request, key)
        if not connections.testable(request.user, profile):
            screen: Any = self.site._registry[EmailServerProfile]
            refusal = access.refusal(Mailbox, PERMISSION)
            screen.message_user(request, str(refusal), level="ERROR")
            return HttpResponseRedirect(
                reverse("admin:mailboxes_emailserverprofile_change", args=[profile.pk])
            )
        asked = request.POST if request.method == "POST" else None
        form = AskForm(asked, profile=profile, user=request.user)
        if form.is_valid():
            chosen = form.cleaned_data["mailbox"]
            connections.ask(profile, chosen, actor_of(request), timezone.now())
            told = {"action": "test_connection", "keys": [profile.pk]}
            acted.send(sender=EmailServerProfile, request=request, **told)
            return HttpResponseRedirect(request.path)
        return self._page(request, profile, form)

    def _page(
        self, request: HttpRequest, profile: EmailServerProfile, form: AskForm
    ) -> HttpResponse:
        test = test_of(profile)
        context = {
            **self.site.each_context(request),
            "title": __("Test the connection"),
            "profile": profile,
            "form": form,
            "test": test,
            "waits": test is not None and test.state == ConnectionState.ASKED,
            "results": results_of(test),
        }
        return TemplateResponse(request, "console/test_connection.html", context)

    def state(self, request: HttpRequest, key: UUID) -> HttpResponse:
        """For the page that waits."""
        test = test_of(self._profile(request, key))
        return JsonResponse({"waits": test is not None and test.state == ConnectionState.ASKED})

    def _profile(self, request: HttpRequest, key: UUID) -> EmailServerProfile:
        """Rows out of sight don't exist here."""
        rows = access.visible_to(request.user, EmailServerProfile.objects.filter(pk=key), "view")
        profile = rows.first()
        if profile is None:
            raise Http404
        return profile
