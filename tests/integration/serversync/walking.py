"""Every address of the site, with keys that exist: what a walk through the whole console needs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.urls.exceptions import NoReverseMatch

from activities.models import (
    ActivityMimeAttachment,
    ActivityParty,
    ActivityPointer,
    Appointment,
    Email,
    EmailSignature,
    Template,
)
from mailboxes.choices import QueueViewType
from mailboxes.models import EmailServerProfile, Mailbox, Queue, SystemUser, Team
from serversync.choices import ItemState
from serversync.console.deeds import Deeds
from serversync.models import Import, Replay, SyncItem, UserQuery
from tests.factories.console import Site

#: Without a name: the picture, Django's short addresses of records, and its answer to everything else.
UNNAMED = {"favicon.ico", "(?P<url>.*)$", "<path:object_id>/"}


@dataclass(frozen=True)
class Address:
    """`name`: of the row in the table. `object`: whether the address names a record."""

    name: str
    url: str
    object: bool = False
    post: bool = False
    data: dict[str, Any] = field(default_factory=dict)


def patterns(resolver: Any = None) -> Iterator[URLPattern]:
    for each in (resolver or get_resolver()).url_patterns:
        if isinstance(each, URLResolver):
            yield from patterns(each)
        else:
            yield each


def own_everything(site: Site, owner: SystemUser) -> None:
    """All that anybody owns on the site is this person's."""
    for model in (*admin.site._registry, ActivityPointer):
        columns = {column.name for column in model._meta.concrete_fields}
        if model is not SystemUser and "owning_user" in columns:
            model._default_manager.update(owning_user=owner)
    Mailbox.objects.update(owning_team=None)
    Queue.objects.update(queue_view_type=QueueViewType.PRIVATE)
    Team.objects.update(administrator=owner)
    Replay.objects.update(created_by=owner)
    Template.objects.update(is_personal=True)
    EmailServerProfile.objects.update(owning_team=None)


def addresses(site: Site, owner: SystemUser) -> Iterator[Address]:
    """One or more of each pattern. Raises KeyError for a pattern with a key that nobody told of here."""
    keys = Keys(site, owner)
    for pattern in patterns():
        if pattern.name is None:
            assert str(pattern.pattern) in UNNAMED, pattern
            continue
        yield from keys.of(pattern.name, list(pattern.pattern.converters))


class Keys:
    """A record for each key of each address."""

    def __init__(self, site: Site, owner: SystemUser) -> None:
        self.site, self.owner = site, owner
        self.screens = {
            f"{model._meta.app_label}_{model._meta.model_name}": screen
            for model, screen in admin.site._registry.items()
        }

    def of(self, name: str, converters: list[str]) -> Iterator[Address]:
        if name == "app_list":
            for label in ("mailboxes", "activities", "tracking", "serversync", "auth", "django_q"):
                yield Address(f"{name} {label}", reverse(f"admin:{name}", args=[label]))
        elif name == "autocomplete":
            yield from self.choosers()
        elif not converters:
            yield Address(name, self.place(name))
        elif name.endswith("_do"):
            yield from self.deeds(name)
        else:
            kwargs = self.kwargs(name, converters)
            yield Address(name, reverse(f"admin:{name}", kwargs=kwargs), object=True)

    def place(self, name: str) -> str:
        """Of the console, or beside it."""
        try:
            return reverse(f"admin:{name}")
        except NoReverseMatch:
            return reverse(name)

    def deeds(self, name: str) -> Iterator[Address]:
        screen = self.screens[name.removesuffix("_do")]
        assert isinstance(screen, Deeds)
        key = self.key_of(screen.model)
        for deed in screen.deeds:
            url = reverse(f"admin:{name}", args=[key, deed.name])
            yield Address(f"{name} {deed.name}", url, object=True, post=True)

    def choosers(self) -> Iterator[Address]:
        """Each chooser of each form, asked for everything."""
        for model, screen in admin.site._registry.items():
            for column in screen.get_autocomplete_fields(None):
                label = f"{model._meta.app_label}.{model._meta.model_name}.{column}"
                asked = {
                    "app_label": model._meta.app_label,
                    "model_name": model._meta.model_name,
                    "field_name": column,
                    "term": "",
                }
                yield Address(f"autocomplete {label}", reverse("admin:autocomplete"), data=asked)

    def kwargs(self, name: str, converters: list[str]) -> dict[str, Any]:
        special = getattr(self, f"_{name}", None)
        if special is not None:
            return special()
        model = next(
            screen.model
            for key, screen in sorted(self.screens.items(), key=lambda one: -len(one[0]))
            if name.startswith(f"{key}_")
        )
        assert len(converters) == 1, name
        return {converters[0]: self.key_of(model)}

    def key_of(self, model: Any) -> Any:
        """Of a record that belongs to the owner."""
        if model is SystemUser:
            return self.owner.pk
        if model is Mailbox:
            return self.site.mailboxes["healthy"].pk
        if model is Email:
            return self.site.html.pk
        if model is Appointment:
            return self.site.meeting.pk
        if model is UserQuery:
            return UserQuery.objects.filter(owning_user=self.owner).first().pk
        row = model._default_manager.first()
        return row.pk if row is not None else "00000000-0000-0000-0000-000000000000"

    # -- addresses with other keys than that of their screen's record

    def _item(self) -> dict[str, Any]:
        return {"pk": SyncItem.objects.filter(state=ItemState.QUARANTINED).first().pk}

    _quarantine_look = _quarantine_body = _serversync_syncitem_track = _item

    def _quarantine_file(self) -> dict[str, Any]:
        return {**self._item(), "number": 0}

    def _mailbox(self) -> dict[str, Any]:
        return {"key": self.site.mailboxes["healthy"].pk}

    _sign_in = _sign_in_leave = _sign_in_end = _mailbox

    def _recount(self) -> dict[str, Any]:
        return {"pk": self.site.mailboxes["healthy"].pk}

    _verbose_log = _recount

    def _profile(self) -> dict[str, Any]:
        return {"key": self.site.profile.pk}

    _test_connection = _test_connection_state = _profile
    _wizard_server = _wizard_test = _wizard_test_live = _wizard_default = _profile
    _wizard_people = _wizard_done = _wizard_done_live = _profile

    def _question(self) -> dict[str, Any]:
        from serversync.models import ExchangeSyncIdMapping

        return {"key": ExchangeSyncIdMapping.objects.exclude(question="").first().pk}

    _act_question = _act_answer = _question

    def _act_why(self) -> dict[str, Any]:
        return {"code": 4201, "key": self.site.meeting.pk}

    def _import_look(self) -> dict[str, Any]:
        own = {"created_by": self.owner, "kind": "users", "file_name": "users.csv"}
        return {"pk": Import.objects.get_or_create(**own)[0].pk}

    _import_csv = _import_look

    def _view_on_site(self) -> dict[str, Any]:
        content_type = ContentType.objects.get_for_model(Email)
        return {"content_type_id": content_type.pk, "object_id": self.site.html.pk}

    def _auth_user_password_change(self) -> dict[str, Any]:
        return {"id": self.site.ben.pk}

    def _tracking_mailboxtrackingfolder_folders(self) -> dict[str, Any]:
        return {"mailbox": self.site.mailboxes["healthy"].pk}

    def _activities_email_file(self) -> dict[str, Any]:
        file = ActivityMimeAttachment.objects.filter(activity=self.site.html.pk).first()
        return {"pk": self.site.html.pk, "file": file.pk}

    def _activities_email_resolve(self) -> dict[str, Any]:
        party = ActivityParty.objects.filter(activity=self.site.html.pk).first()
        return {"pk": self.site.html.pk, "party": party.pk}

    def _activities_appointment_file(self) -> dict[str, Any]:
        return {"pk": self.site.meeting.pk, "file": self.site.meeting.pk}

    def _occurrence(self) -> dict[str, Any]:
        return {"pk": self.site.series.pk, "when": self.site.series.pattern_start_date.isoformat()}

    _activities_occurrence_change = _activities_occurrence_delete = _occurrence
    _activities_occurrence_restore = _occurrence

    def _activities_template_try(self) -> dict[str, Any]:
        return {"pk": Template.objects.first().pk}

    _activities_template_preview = _activities_template_try

    def _activities_emailsignature_preview(self) -> dict[str, Any]:
        return {"pk": EmailSignature.objects.first().pk}
