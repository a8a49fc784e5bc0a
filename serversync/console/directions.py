"""Which way each field goes: the whole table for everybody, switches for whoever may change them (R6.14, R6.17); and
one address of contacts or all three, with the numbers first (R6.16)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import FieldDoesNotExist, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as __
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from activities.models import ActivityPointer
from mailboxes import access
from mailboxes.models import Organization
from mailboxes.screens import actor_of
from serversync.act import directions
from serversync.act.choices import SyncDirection, SyncTable
from serversync.act.fields import AttributeMapping, Overrides, direction_of, mappings_of
from serversync.act.run import settings_of
from serversync.act.tables import MODELS
from serversync.act.types import ActSettings, Direction, Table
from serversync.models import SyncAttributeMapping

if TYPE_CHECKING:
    from serversync.console.site import ConsoleSite

#: Seen from here: the record is on the left, the item on the right.
ARROWS = {
    Direction.BOTH: "⇄",
    Direction.TO_SERVER: "→",
    Direction.TO_STORE: "←",
    Direction.NONE: "–",
}


def urls(site: "ConsoleSite") -> list[Any]:
    def table(request: HttpRequest) -> HttpResponse:
        return page(request, site.each_context(request))

    def addresses(request: HttpRequest) -> HttpResponse:
        return addresses_page(request, site.each_context(request))

    allowed = require_http_methods(["GET", "HEAD", "POST"])
    return [
        path("directions/", site.admin_view(allowed(table)), name="directions"),
        path(
            "directions/addresses/",
            site.admin_view(allowed(addresses)),
            name="directions_addresses",
        ),
    ]


# -- the table -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    value: int
    words: Any
    chosen: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One field. `choices`: where it may be changed; empty where it is looked at."""

    mapping: AttributeMapping
    here: str
    way: Direction
    choices: Sequence[Choice]

    @property
    def arrow(self) -> str:
        return ARROWS[self.way]

    @property
    def words(self) -> Any:
        return SyncDirection(self.way).label

    @property
    def differs(self) -> bool:
        """From the default, because somebody chose so."""
        return self.mapping.is_settable and self.way != self.mapping.default

    @property
    def default(self) -> Any:
        return SyncDirection(self.mapping.default).label


@dataclass(frozen=True, slots=True)
class Part:
    name: Any
    anchor: str
    lines: Sequence[Line]


def page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    settings = settings_of(Organization.objects.current())
    may_change = access.reach_of(request.user, SyncAttributeMapping, "change") is not None
    if request.method == "POST":
        return _changed(request, settings)
    chosen = directions.overrides()
    return TemplateResponse(
        request,
        "console/directions.html",
        {
            **context,
            "title": __("Directions of fields"),
            "parts": [_part(table, settings, chosen, may_change) for table in Table],
            "may_change": may_change,
            "may_switch": access.may(request.user, "change", Organization.objects.current()),
            "all_addresses": settings.all_addresses,
        },
    )


def _part(table: Table, settings: ActSettings, chosen: Overrides, may_change: bool) -> Part:
    lines = [
        _line(mapping, direction_of(mapping, chosen, settings), may_change)
        for mapping in mappings_of(table, settings)
    ]
    return Part(SyncTable(table).label, table.name.lower(), lines)


def _line(mapping: AttributeMapping, way: Direction, may_change: bool) -> Line:
    open_to = sorted(mapping.allowed, reverse=True) if may_change and mapping.is_settable else []
    choices = [Choice(one.value, SyncDirection(one).label, one == way) for one in open_to]
    return Line(mapping, columns_in_words(mapping), way, choices)


def columns_in_words(mapping: AttributeMapping) -> str:
    """What the columns are called on the record's own page."""
    words = [_column(mapping, name) for name in mapping.columns]
    return ", ".join(dict.fromkeys(capfirst(each) for each in words if each))


def _column(mapping: AttributeMapping, name: str) -> str:
    models: list[Any] = [MODELS[mapping.table]]
    if mapping.table != Table.CONTACT:
        models.append(ActivityPointer)
    for model in models:
        try:
            return str(model._meta.get_field(name).verbose_name)
        except (FieldDoesNotExist, AttributeError):
            continue
    return str(mapping.label)


def _changed(request: HttpRequest, settings: ActSettings) -> HttpResponse:
    access.require(request.user, "change", SyncAttributeMapping)
    told = _told(request.POST, settings)
    count = directions.choose(told, actor=actor_of(request), now=timezone.now())
    words = ngettext(
        "%(count)d field goes another way now. What is linked is compared again.",
        "%(count)d fields go another way now. What is linked is compared again.",
        count,
    )
    if count:
        messages.success(request, words % {"count": count})
    else:
        messages.info(request, __("Nothing was changed."))
    return HttpResponseRedirect(reverse("admin:directions"))


def _told(posted: Mapping[str, Any], settings: ActSettings) -> dict[AttributeMapping, Direction]:
    """What the form says of fields that can be set. Raises PermissionDenied for what it never offers."""
    found = {}
    for table in Table:
        for mapping in mappings_of(table, settings):
            if mapping.key not in posted:
                continue
            allowed = {str(way.value): way for way in mapping.allowed}
            if not mapping.is_settable or posted[mapping.key] not in allowed:
                raise PermissionDenied(__("This field can't go that way (R6.14). Choose another."))
            found[mapping] = allowed[posted[mapping.key]]
    return found


# -- addresses of contacts -------------------------------------------------------------------------


def addresses_page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """What switching would do; and doing it."""
    if not access.may(request.user, "change", Organization.objects.current()):
        raise access.refusal(Organization, "change")
    to_all = not directions.all_addresses()
    if request.method == "POST":
        return _switched(request, to_all)
    return TemplateResponse(
        request,
        "console/directions_addresses.html",
        {
            **context,
            "title": __("All three addresses") if to_all else __("One mailing address"),
            "to_all": to_all,
            "counts": directions.counts_of_switching(to_all),
        },
    )


def _switched(request: HttpRequest, to_all: bool) -> HttpResponse:
    """Only what the page showed: somebody else may have switched it meanwhile."""
    if request.POST.get("to_all") != str(to_all):
        messages.warning(
            request, __("Somebody has switched it meanwhile. Look at the numbers again.")
        )
        return HttpResponseRedirect(reverse("admin:directions_addresses"))
    directions.switch_addresses(to_all, actor=actor_of(request), now=timezone.now())
    if to_all:
        messages.success(
            request, __("All three addresses of contacts are synchronized now (R6.16).")
        )
    else:
        messages.success(request, __("One address of each contact is synchronized now (R6.16)."))
    return HttpResponseRedirect(reverse("admin:directions"))
