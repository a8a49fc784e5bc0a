"""Cases and the rules that make them, with their buttons; templates and signatures, with their frames."""

from collections.abc import Sequence
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.utils.translation import gettext_lazy as _

from activities.admin import CaseScreen, SignatureScreen, TemplateScreen, WordingScreen
from serversync.console.deeds import Deed, Deeds
from serversync.console.frames import frame
from tracking.creation_admin import ConvertRuleScreen


class CaseConsole(Deeds, CaseScreen):
    deeds = (
        Deed("resolve", _("Resolve"), main=True),
        Deed("cancel", _("Cancel the case")),
        Deed("take_up", _("Take up again"), main=True),
    )

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        return [deed for deed in self.deeds if (deed.name == "take_up") is not obj.is_active_state]


class Previewed(WordingScreen):
    """The text as its readers see it, as a document of its own."""

    def get_urls(self) -> list[Any]:
        name = f"activities_{self.model._meta.model_name}_preview"
        view = self.admin_site.admin_view(self.shown)
        return [path("<uuid:pk>/preview/", view, name=name), *super().get_urls()]

    def shown(self, request: HttpRequest, pk: Any) -> HttpResponse:
        row = self.get_object(request, str(pk))
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        return frame(self.example(row).html, remote=True)


class TemplateConsole(Previewed, TemplateScreen):
    pass


class SignatureConsole(Previewed, SignatureScreen):
    pass


class ConvertRuleConsole(Deeds, ConvertRuleScreen):
    deeds = (
        Deed("activate", _("Activate"), main=True),
        Deed("deactivate", _("Deactivate")),
    )

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        name = "deactivate" if obj.is_active_state else "activate"
        return [deed for deed in self.deeds if deed.name == name]
