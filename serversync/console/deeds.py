"""Buttons on a record's page that do what the list's actions do, for this one record."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.views.decorators.http import require_POST

from mailboxes import access
from mailboxes.screens import acted

if TYPE_CHECKING:
    from mailboxes.screens import Screen as Base
else:
    Base = object


@dataclass(frozen=True, slots=True)
class Deed:
    """`name`: a method (request, queryset) of the screen. `main`: what one wants to do most often;
    `grave`: what one should think about first; `needs`: the permission without which it isn't offered."""

    name: str
    words: Any
    main: bool = False
    grave: bool = False
    needs: str = ""

    @property
    def css(self) -> str:
        return "is-main" if self.main else "is-grave" if self.grave else ""


class Deeds(Base):
    """Mix in before a Screen. A button posts to `<record>/do/<name>/`, which calls the action."""

    deeds: Sequence[Deed] = ()

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        return self.deeds

    def offered(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        """Those among them that this person may do. The others say which permission is missing (R2.4)."""
        return [
            deed
            for deed in self.deeds_for(request, obj)
            if not deed.needs or access.may(request.user, deed.needs, obj)
        ]

    def get_urls(self) -> list[Any]:
        meta = self.model._meta
        name = f"{meta.app_label}_{meta.model_name}_do"
        view = self.admin_site.admin_view(require_POST(self.do))
        return [path("<path:object_id>/do/<slug:name>/", view, name=name), *super().get_urls()]

    def do(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Rows out of sight don't exist here; the deed itself asks for its permission."""
        record = self.get_object(request, object_id)
        if record is None or not self.has_view_permission(request, record):
            raise Http404
        if name not in {deed.name for deed in self.deeds_for(request, record)}:
            raise Http404
        acted.send(sender=self.model, request=request, action=name, keys=[record.pk])
        answer = getattr(self, name)(request, self.model._default_manager.filter(pk=record.pk))
        if isinstance(answer, HttpResponse):
            return answer
        meta = self.model._meta
        url = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[record.pk])
        return HttpResponseRedirect(url)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        record = kw.get("obj")
        if record is not None:
            meta = self.model._meta
            context["deeds"] = [
                (
                    deed,
                    reverse(
                        f"admin:{meta.app_label}_{meta.model_name}_do", args=[record.pk, deed.name]
                    ),
                )
                for deed in self.offered(request, record)
            ]
        return super().render_change_form(request, context, *args, **kw)

    def get_action_choices(self, request: HttpRequest, *args: Any, **kw: Any) -> list[Any]:
        """The same in a list."""
        choices = super().get_action_choices(request, *args, **kw)
        if request.method == "POST":
            return choices
        needed = {deed.name: deed.needs for deed in self.deeds if deed.needs}
        held = {
            needs: access.reach_of(request.user, self.model, needs) is not None
            for needs in needed.values()
        }
        return [each for each in choices if each[0] not in needed or held[needed[each[0]]]]
