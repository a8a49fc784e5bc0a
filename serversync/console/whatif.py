"""What if: mail decided again under other settings, in a form, and what differs. Nothing is kept of it.

Mailboxes and items are those that the reader may see; subjects, and files of one's own, are for who may
read the mail of the mailbox (R8.30), for what such a file answers tells of what is stored there.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Case, Q, When
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from mailboxes import access
from mailboxes.choices import FilteringMethod
from mailboxes.models import Mailbox, Organization
from serversync.choices import ItemState
from serversync.console.differences import HIDDEN, Line, line_of
from serversync.models import SyncItem
from serversync.othersettings import GROUPS, SETTABLE, changed
from serversync.templatetags.console import STATE_KIND, with_rules
from serversync.whatif import (
    MOST_ITEMS,
    Comparison,
    Difference,
    TooMany,
    what_if,
    what_if_messages,
)
from tracking.acceptance import PartyKey
from tracking.again import Settings
from tracking.choices import PartyKind
from tracking.reading import reading_of

if TYPE_CHECKING:
    from serversync.console.site import ConsoleSite

MOST_DAYS = 90
MOST_FILES = 20
MOST_BYTES = 25 * 1024 * 1024  # of all files together
MOST_SHOWN = 200
MOST_PARTIES = 50
FILTER = "filter_"


def urls(site: "ConsoleSite") -> list[Any]:
    view = require_http_methods(["GET", "HEAD", "POST"])(Page(site).page)
    return [path("what-if/", site.admin_view(view), name="what_if")]


class SeveralFiles(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    widget = SeveralFiles

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile[Any]]:
        files = data if isinstance(data, list | tuple) else [data] if data else []
        if len(files) > MOST_FILES:
            raise forms.ValidationError(
                __("At most %(most)d files at once.") % {"most": MOST_FILES}
            )
        if sum(file.size or 0 for file in files) > MOST_BYTES:
            raise forms.ValidationError(
                __("Together the files are larger than %(most)d MB.")
                % {"most": MOST_BYTES // 1024 // 1024}
            )
        return [super(FilesField, self).clean(file, initial) for file in files]


class Form(forms.Form):
    """Whose mail, and what is otherwise. Fields of settings are those of the organization's own form."""

    mailbox = forms.ModelChoiceField(Mailbox.objects.none(), label=_("Mailbox"))
    days = forms.IntegerField(
        label=_("Last days"), min_value=1, max_value=MOST_DAYS, initial=7, required=False
    )
    brought = FilesField(label=_("Or messages saved as .eml"), required=False)

    def __init__(
        self,
        data: Any,
        files: Any,
        *,
        organization: Organization,
        mailboxes: Any,
        parties: Sequence[tuple[PartyKey, str, FilteringMethod]],
        **more: Any,
    ) -> None:
        super().__init__(data, files, **more)
        self.organization, self.parties = organization, parties
        self.fields["mailbox"].queryset = mailboxes  # type: ignore[attr-defined]
        settings = forms.fields_for_model(Organization, fields=SETTABLE)
        for name, field in settings.items():
            field.required = False
            field.initial = getattr(organization, name)
            field.help_text = with_rules(field.help_text) if field.help_text else ""
            self.fields[name] = field
        choices = [("", __("as it is")), *FilteringMethod.choices]
        for key, name, method in parties:
            self.fields[_field_of(key)] = forms.ChoiceField(
                label=name, choices=choices, required=False, help_text=method.label
            )

    @property
    def groups(self) -> list[tuple[Any, list[forms.BoundField]]]:
        found = [(name, [self[field] for field in fields]) for name, fields in GROUPS]
        filters = [self[_field_of(key)] for key, _name, _method in self.parties]
        return [(_("Filters of users and queues"), filters), *found] if filters else found

    @property
    def settings(self) -> Settings:
        given = self.cleaned_data
        values = {
            name: given[name]
            for name in SETTABLE
            if given.get(name) is not None  # a number that was left empty stays as it is
        }
        filters = {
            key: FilteringMethod(int(chosen))
            for key, _name, _method in self.parties
            if (chosen := given.get(_field_of(key)))
        }
        return Settings(organization=changed(self.organization, values), filters=filters)


def _field_of(key: PartyKey) -> str:
    """By whose filter it is, for another mailbox may be chosen between the page and its answer."""
    return f"{FILTER}{key[1]}"


class Page:
    def __init__(self, site: "ConsoleSite") -> None:
        self.site = site

    def page(self, request: HttpRequest) -> HttpResponse:
        screen: Any = self.site._registry[SyncItem]
        if not screen.has_view_permission(request):
            raise PermissionDenied
        rows = screen.get_queryset(request)
        told = request.POST if request.method == "POST" else request.GET
        item = _item(rows, told.get("item"))
        form = self._form(request, item, told.get("mailbox"))
        context: dict[str, Any] = {}
        if request.method == "POST" and form.is_valid():
            context = self._result(request, form, rows, item)
        every = {
            **self.site.each_context(request),
            "opts": SyncItem._meta,
            "title": __("What if"),
            "form": form,
            "item": item,
            "most_items": MOST_ITEMS,
            **context,
        }
        return TemplateResponse(request, "console/whatif.html", every)

    def _form(self, request: HttpRequest, item: SyncItem | None, key: Any) -> Form:
        mailboxes = access.visible_to(request.user, Mailbox.objects.all()).order_by("name")
        posted = request.method == "POST"
        chosen = item.mailbox_id if item else _uuid(key)
        return Form(
            request.POST if posted else None,
            request.FILES if posted else None,
            organization=Organization.objects.current(),
            mailboxes=mailboxes,
            parties=_parties(mailboxes, chosen, _changed(request)),
            initial={"mailbox": chosen},
        )

    def _result(
        self, request: HttpRequest, form: Form, rows: Any, item: SyncItem | None
    ) -> dict[str, Any]:
        mailbox, files = form.cleaned_data["mailbox"], form.cleaned_data["brought"]
        settings, now = form.settings, timezone.now()
        may_read = access.may_read_content(request.user, mailbox)
        if files and not may_read:
            fault = __("Only who may read the mail of this mailbox may try messages in it. (R8.30)")
            form.add_error("brought", fault)
            return {}
        try:
            if files:
                read = [(file.name or "", file.read()) for file in files]
                result = what_if_messages(read, mailbox, settings, now)
            else:
                days = form.cleaned_data["days"] or 7
                items = SyncItem.objects.filter(pk__in=rows.order_by().values("pk"))
                items = items.filter(mailbox=mailbox)
                since = now - timedelta(days=days)
                items = items.filter(pk=item.pk) if item else items.filter(decided_at__gte=since)
                result = what_if(items, settings, now)
        except TooMany as error:
            form.add_error(
                "days",
                __(
                    "There are %(count)d items; at most %(most)d are decided again. Take fewer days."
                )
                % {"count": error.count, "most": MOST_ITEMS},
            )
            return {}
        return {
            "result": result,
            "counts": _counts(result),
            "unknown": [(why.label, count) for why, count in result.unknown().items()],
            "lines": [_line(one, may_read) for one in result.changed[:MOST_SHOWN]],
            "left_out": max(len(result.changed) - MOST_SHOWN, 0),
            "is_otherwise": bool(settings.organization or settings.filters),
        }


def _item(rows: Any, key: Any) -> SyncItem | None:
    """What is out of sight doesn't exist here."""
    if not key:
        return None
    found: SyncItem | None = rows.filter(pk=_uuid(key)).select_related("mailbox").first()
    if found is None:
        raise Http404
    return found


def _uuid(text: Any) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None


def _changed(request: HttpRequest) -> list[UUID]:
    """Keys of the users and queues whose filters were set on the page."""
    names = [name for name, value in request.POST.items() if name.startswith(FILTER) and value]
    keys = [_uuid(name.removeprefix(FILTER)) for name in names[: MOST_PARTIES + 1]]
    return [key for key in keys if key is not None]


def _parties(
    mailboxes: Any, first: UUID | None, changed: Sequence[UUID]
) -> list[tuple[PartyKey, str, FilteringMethod]]:
    """Users and queues whose mailboxes the reader may see: that of the chosen mailbox, those whose filter
    is `changed`, then as many as fit on a page."""
    found = []
    wanted = Q(regarding_user__in=changed) | Q(regarding_queue__in=changed)
    turn = Case(When(pk=first, then=0), When(wanted, then=1), default=2)
    rows = mailboxes.filter(Q(regarding_user__isnull=False) | Q(regarding_queue__isnull=False))
    rows = rows.select_related("regarding_user__settings", "regarding_queue")
    for mailbox in rows.order_by(turn, "name")[: MOST_PARTIES + 1]:
        key = reading_of(mailbox)
        if key is None:
            continue
        if key[0] == PartyKind.USER.value:
            party = mailbox.regarding_user
            options = getattr(party, "settings", None)
            method = options.incoming_email_filtering_method if options else 1
        else:
            party = mailbox.regarding_queue
            method = party.incoming_email_filtering_method
        found.append((key, str(party), FilteringMethod(method)))
    return found


def _counts(result: Comparison) -> list[tuple[str, str]]:
    """Words with how many, and their colour."""
    counts = []
    for outcome, count in result.outcomes().items():
        if outcome:
            state = ItemState(outcome)
            words = __("would be %(state)s: %(count)d") % {"state": state.label, "count": count}
            counts.append((words, STATE_KIND[state]))
        else:
            words = ngettext(
                "same outcome, but otherwise: %(count)d",
                "same outcome, but otherwise: %(count)d",
                count,
            )
            counts.append((words % {"count": count}, "warn"))
    return [*counts, (__("unchanged: %(count)d") % {"count": result.unchanged}, "quiet")]


def _line(one: Difference, may_read: bool) -> Line:
    assert one.after is not None
    if one.item is None:
        name = one.name
    else:
        name = one.item.subject or __("(no subject)") if may_read else HIDDEN
    return line_of(name, one.item, one.facets, one.before, one.after, may_read=may_read)
