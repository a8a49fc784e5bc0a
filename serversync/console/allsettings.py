"""Every setting of the organization on one page that can be searched: what it means, its default, whether it is
otherwise here, who changed it last, and what strict parity makes of it (R10.12).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db.models import BooleanField, Field
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.functional import Promise
from django.utils.text import Truncator, capfirst
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from mailboxes import access, history
from mailboxes.models import ConfigurationChange, Organization
from mailboxes.remembering import in_words

if TYPE_CHECKING:
    from serversync.console.site import ConsoleSite

LONGEST = 200
#: What strict parity turns back and no column says: name -> what this product does, what the original does.
WITHOUT_COLUMN: dict[str, tuple[Promise, Promise]] = {
    "pause_instead_of_disable": (
        _("Passing failures pause a workload, and it heals by itself (R8.5)."),
        _("They disable it until Test & Enable."),
    ),
    "warn_of_waiting_email": (
        _("Whoever sends mail that will have to wait is told so (R5.7)."),
        _("It waits without a word."),
    ),
    "references_correlate": (
        _("References correlate where In-Reply-To doesn't (R4.4)."),
        _("In-Reply-To only."),
    ),
    "link_reports": (
        _("Reports are linked to the email that was sent (R5.21)."),
        _("They are ordinary mail, and change nothing on it."),
    ),
    "one_alert_per_outage": (
        _("One outage of a server is one alert (R8.5)."),
        _("There is one for each mailbox."),
    ),
    "guard_act": (
        _("Losing sight of a record only unlinks, and what is much waits for approval (R6.46)."),
        _("It deletes, and nothing waits."),
    ),
    "ask_before_transferring_meetings": (
        _("Another organizer is asked about (R6.32)."),
        _("The former meeting is called off unasked."),
    ),
    "recreate_past_instances": (
        _("Past instances of a series are never made again (R6.33)."),
        _("They are, on tracking, and invite."),
    ),
}


def urls(site: "ConsoleSite") -> list[Any]:
    def view(request: HttpRequest) -> HttpResponse:
        return page(request, site)

    return [path("settings/", site.admin_view(require_safe(view)), name="settings")]


@dataclass(frozen=True, slots=True)
class Setting:
    """`parity`: its value under strict parity, where that overrides it. `last`: its latest change."""

    name: str
    label: str
    meaning: Any
    value: str
    default: str
    differs: bool
    parity: str = ""
    last: ConfigurationChange | None = None
    edit_url: str = ""
    built: bool = True

    def answers(self, words: Iterable[str]) -> bool:
        """Whether all words are in it somewhere, also as the original spells the column's name."""
        text = " ".join(
            (self.name, self.name.replace("_", ""), self.label, str(self.meaning))
        ).lower()
        return all(word in text for word in words)


@dataclass(frozen=True, slots=True)
class Group:
    name: Any
    meaning: Any
    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class Turned:
    """One thing that strict parity turns back."""

    here: Any
    there: Any


def page(request: HttpRequest, site: "ConsoleSite") -> HttpResponse:
    screen: Any = site._registry[Organization]
    if not screen.has_view_permission(request):
        raise access.refusal(Organization, "view")
    organization = Organization.objects.current()
    words = request.GET.get("q", "").replace("\0", "")[:LONGEST]
    only_changed = request.GET.get("changed") == "1"
    may_change = screen.has_change_permission(request, organization)
    groups = list(groups_of(screen, request, organization, may_change=may_change))
    every = [setting for group in groups for setting in group.settings]
    found = list(matching(groups, words, only_changed))
    row = reverse("admin:mailboxes_organization_change", args=[organization.pk])
    return TemplateResponse(
        request,
        "console/settings.html",
        {
            **site.each_context(request),
            "title": __("Settings"),
            "groups": found,
            "shown": sum(len(group.settings) for group in found),
            "total": len(every),
            "changed": sum(setting.differs for setting in every),
            "words": words,
            "only_changed": only_changed,
            "organization": organization,
            "turned": turned_back(organization),
            "edit_url": row if may_change else "",
            "history_url": reverse("admin:mailboxes_organization_history", args=[organization.pk]),
        },
    )


def matching(groups: Iterable[Group], words: str, only_changed: bool) -> Iterator[Group]:
    asked = words.lower().split()
    for group in groups:
        kept = tuple(
            setting
            for setting in group.settings
            if setting.answers(asked) and (setting.differs or not only_changed)
        )
        if kept:
            yield Group(group.name, group.meaning, kept)


def groups_of(
    screen: Any, request: HttpRequest, organization: Organization, *, may_change: bool
) -> Iterator[Group]:
    """As the organization's own page groups them. Two statements."""
    last = history.last_changes(organization)
    row = reverse("admin:mailboxes_organization_change", args=[organization.pk])
    columns = {field.name: field for field in Organization._meta.concrete_fields}
    for name, options in type(screen).fieldsets:
        settings = tuple(
            setting_of(organization, columns[each], last.get(each), row if may_change else "")
            for each in flat(options["fields"])
            if each in columns
        )
        yield Group(name, options.get("description", ""), settings)


def flat(names: Iterable[Any]) -> Iterator[str]:
    for name in names:
        if isinstance(name, str):
            yield name
        else:
            yield from name


def setting_of(
    organization: Organization,
    field: "Field[Any, Any]",
    last: ConfigurationChange | None,
    page: str,
) -> Setting:
    value, default = getattr(organization, field.attname), field.get_default()
    overridden = organization.strict_parity and field.name in Organization.PARITY
    return Setting(
        name=field.name,
        label=capfirst(str(field.verbose_name)),
        meaning=field.help_text,
        value=words_of(organization, field, value),
        default=words_of(organization, field, default),
        differs=field.name != "name" and value != default,
        parity=words_of(organization, field, Organization.PARITY[field.name]) if overridden else "",
        last=last,
        edit_url=f"{page}#id_{field.name}" if page else "",
        built=field.name not in Organization.NOT_BUILT,
    )


def words_of(organization: Organization, field: "Field[Any, Any]", value: Any) -> str:
    if isinstance(field, BooleanField):
        return __("on") if value else __("off")
    if field.is_relation:
        return str(getattr(organization, field.name)) if value else __("none")
    if isinstance(value, list):
        return ", ".join(str(each) for each in value) or __("none")
    text = None if value is None else str(value)
    return Truncator(in_words(field, text, value)).chars(120)


def turned_back(organization: Organization) -> list[Turned]:
    """What strict parity means, whether it is on or not."""
    turned = []
    for name, there in Organization.PARITY.items():
        if name in WITHOUT_COLUMN:
            turned.append(Turned(*WITHOUT_COLUMN[name]))
            continue
        field: Any = Organization._meta.get_field(name)
        label = capfirst(str(field.verbose_name))
        here = words_of(organization, field, getattr(organization, name))
        turned.append(
            Turned(
                __("%(setting)s: %(value)s. %(meaning)s")
                % {"setting": label, "value": here, "meaning": field.help_text},
                capfirst(words_of(organization, field, there)) + ".",
            )
        )
    return turned
