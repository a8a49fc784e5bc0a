"""Cases and the rules that make them, with their buttons; templates and signatures, with their frames."""

from collections.abc import Sequence
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext_lazy as _

from activities.admin import CaseScreen, SignatureScreen, TemplateScreen, WordingScreen
from activities.models import Template
from activities.wording import Worded
from mailboxes.models import SystemUser
from serversync.console.deeds import Deed, Deeds
from serversync.console.folders import picker_context
from serversync.console.frames import frame
from serversync.wordings import address_of_record, in_words, worded
from tracking.creation_admin import ConvertRuleScreen
from tracking.forms import RecordForm
from tracking.records import record_of

TRY = "activities_template_try"


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
    """Also as an email about a record that the reader chooses, and what of it stays empty."""

    change_form_template = "admin/activities/template/change_form.html"

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.tried)
        return [path("<uuid:pk>/try/", view, name=TRY), *super().get_urls()]

    def shown(self, request: HttpRequest, pk: Any) -> HttpResponse:
        record = record_of(request.GET.get("record", ""), request.user)
        if record is None:
            return super().shown(request, pk)
        return frame(self._about(request, self._template(request, pk), record).html, remote=True)

    def tried(self, request: HttpRequest, pk: Any) -> HttpResponse:
        template = self._template(request, pk)
        form = RecordForm(request.GET or None, user=request.user)
        record = record_of(form.chosen, request.user) if form.chosen else None
        made = self._about(request, template, record) if record is not None else None
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": template.title,
            "template": template,
            "form": form,
            "none_words": _("No record"),
            **picker_context(form),
            **({"found_words": ""} if form.chosen else {}),
            "made": made,
            "chosen": form.chosen,
            "empty": in_words(made.empty, template.template_type_code) if made else (),
        }
        return TemplateResponse(request, "console/template_try.html", context)

    def _template(self, request: HttpRequest, pk: Any) -> Template:
        template = self.get_object(request, str(pk))
        if template is None or not self.has_view_permission(request, template):
            raise Http404
        found: Template = template
        return found

    def _about(self, request: HttpRequest, template: Template, record: Any) -> Worded:
        """As the reader would write it to this record, about it."""
        actor = SystemUser.objects.get(pk=str(request.user.pk))
        to = address_of_record(record)
        return worded(template, actor=actor, sender=actor, to=to, regarding=record)


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
