"""What the pages of all steps share: who may see them, which profile they are about, the way through."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as __

from mailboxes import access
from mailboxes.models import EmailServerProfile
from serversync.console.health import organization_of
from serversync.console.wizard.standing import facts_of, with_standing
from serversync.console.wizard.steps import NAMES, Facts, Step, finished

if TYPE_CHECKING:
    from serversync.console.site import ConsoleSite


@dataclass(frozen=True, slots=True)
class Stop:
    """A step on the way, as the page shows it. Without an address it can't be gone to yet."""

    number: int
    name: Any
    url: str
    here: bool
    ticked: bool


@dataclass(frozen=True, slots=True)
class Here:
    """The profile that the page is about; None before it is stored."""

    key: UUID
    profile: Any
    facts: Facts


def url_of(step: Step, key: UUID) -> str:
    return reverse(f"admin:wizard_{step}", args=[key])


def go(step: Step, key: UUID) -> HttpResponseRedirect:
    return HttpResponseRedirect(url_of(step, key))


class Frame:
    def __init__(self, site: "ConsoleSite") -> None:
        self.site = site

    def screen(self, model: Any) -> Any:
        return self.site._registry[model]

    def require(self, request: HttpRequest) -> None:
        """The wizard is for those who set up servers."""
        access.require(request.user, "change", EmailServerProfile)

    def find(self, request: HttpRequest, key: UUID) -> Here | None:
        """None: there is no such profile. Raises Http404 for one out of sight, and PermissionDenied for one
        that may be looked at only."""
        profile = with_standing(EmailServerProfile.objects.filter(pk=key)).first()
        if profile is None:
            return None
        if not access.may(request.user, "view", profile):
            raise Http404
        if not access.may(request.user, "change", profile):
            raise access.refusal(EmailServerProfile, "change")
        return Here(key, profile, facts_of(profile, organization_of(request)))

    def here(self, request: HttpRequest, key: UUID) -> Here:
        """Of a step that needs a stored profile."""
        found = self.find(request, key)
        if found is None:
            raise Http404
        return found

    def way(self, step: Step, here: Here) -> list[Stop]:
        ticked = finished(here.facts)
        return [
            Stop(
                number,
                name,
                url_of(each, here.key) if here.facts.stored or each == Step.SERVER else "",
                each == step,
                each in ticked,
            )
            for number, (each, name) in enumerate(NAMES.items(), 1)
        ]

    def page(
        self, request: HttpRequest, step: Step, here: Here, context: dict[str, Any]
    ) -> HttpResponse:
        steps = list(Step)
        before = steps[steps.index(step) - 1] if step != Step.SERVER else None
        shared = {
            **self.site.each_context(request),
            "title": __("%(number)d. %(step)s")
            % {"number": steps.index(step) + 1, "step": NAMES[step]},
            "way": self.way(step, here),
            "profile": here.profile,
            "facts": here.facts,
            "back": url_of(before, here.key) if before else reverse("admin:wizard"),
            "urls": {str(each): url_of(each, here.key) for each in Step},
        }
        template = f"console/wizard/{step}.html"
        return TemplateResponse(request, template, shared | context)

    def part(self, request: HttpRequest, step: Step, context: dict[str, Any]) -> HttpResponse:
        """What changes of a page while it is looked at."""
        return TemplateResponse(request, f"console/wizard/{step}_live.html", context)
