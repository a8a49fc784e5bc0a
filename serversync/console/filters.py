"""Filters of users, and the templates they are made of: lists, the builder, what one finds and takes out, and
templates applied to many users (R6.9 to R6.13, R10.13)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from django.contrib import admin, messages
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from activities import private
from activities.admin import record_link
from mailboxes import access
from mailboxes.choices import Operation, StateCode
from mailboxes.models import Mailbox, Organization, SystemUser
from mailboxes.screens import Screen, actor_of, badge, state_badge
from serversync import waking
from serversync.act.choices import LinkState, SyncTable
from serversync.act.conditions.fetch import fetch_xml
from serversync.act.conditions.language import Conditions, NotUnderstood, faults
from serversync.act.conditions.lines import Typed, conditions_of
from serversync.act.filters import editing, giving
from serversync.act.filters.asking import answers
from serversync.act.filters.finding import (
    leaving,
    linked_by_filter,
    matched,
    records_of,
    remaining,
    viewer_of,
)
from serversync.act.tables import MODELS
from serversync.act.types import Table
from serversync.console.deeds import Deed, Deeds
from serversync.console.filterforms import ApplyForm, FilterForm, TemplateForm
from serversync.models import ExchangeSyncIdMapping, SavedQuery, UserQuery
from serversync.models.filters import Query, QueryType

SHOWN = 10  # records of a preview
ASKED = 5  # records that are asked about
LONGEST_SEARCH = 100
COUNTED = 100  # users of whom a dry run counts what leaves
LISTED = 200  # users that a dry run lists

ACTIVATE = Deed("activate", _("Activate"), main=True)
DEACTIVATE = Deed("deactivate", _("Deactivate"))


@dataclass(frozen=True)
class Preview:
    """What conditions find now. `found` and `linked`: as far as the reader may see the records himself."""

    user: SystemUser
    own: bool
    found: int
    linked: int
    records: Sequence[tuple[Any, bool]]

    @property
    def words(self) -> str:
        beginning = (
            ngettext(
                "Finds %(count)d record of yours", "Finds %(count)d records of yours", self.found
            )
            if self.own
            else ngettext(
                "Finds %(count)d record of %(user)s that you may see, too",
                "Finds %(count)d records of %(user)s that you may see, too",
                self.found,
            )
        )
        end = ngettext(
            "%(linked)d of them is linked.", "%(linked)d of them are linked.", self.linked
        )
        return f"{beginning}; {end}" % {
            "count": self.found,
            "linked": self.linked,
            "user": self.user,
        }


def preview(user: SystemUser, reader: SystemUser, table: Table, conditions: Conditions) -> Preview:
    keys = matched(user, table, [conditions], viewer_of(user, timezone.now()))
    rows = _readable(MODELS[table]._default_manager.filter(pk__in=keys), table, reader)
    links = linked_by_filter(user, table).filter(object_id__in=rows.values("pk"))
    linked = set(links.values_list("object_id", flat=True))
    first = rows if table == Table.CONTACT else rows.select_related("activity")
    kind = ContentType.objects.get_for_model(MODELS[table])
    return Preview(
        user,
        user.pk == reader.pk,
        rows.count(),
        len(linked),
        [
            (record_link(kind, str(one.pk), _name(one)), one.pk in linked)
            for one in first.order_by("pk")[:SHOWN]
        ],
    )


def asked_about(
    words: str, user: SystemUser, reader: SystemUser, table: Table, conditions: Conditions
) -> list[tuple[Any, Any, bool]]:
    """Records with these words in their name, as far as the reader may see them: a link, what the conditions
    say of each, and whether the filter's user may read it."""
    rows = _readable(records_of(table), table, reader)
    if table == Table.CONTACT:
        columns = ["first_name", "last_name", "email_address1"]
    else:
        rows, columns = rows.select_related("activity"), ["activity__subject"]
    for word in words.split()[:5]:
        rows = rows.filter(reduce(or_, (Q(**{f"{name}__icontains": word}) for name in columns)))
    records = list(rows.order_by("pk")[:ASKED])
    viewer = viewer_of(user, timezone.now())
    keys = [one.pk for one in records]
    own = access.visible_to(user, MODELS[table]._default_manager.filter(pk__in=keys))
    readable = set(own.values_list("pk", flat=True))
    kind = ContentType.objects.get_for_model(MODELS[table])
    return [
        (
            record_link(kind, str(answer.record.pk), _name(answer.record)),
            answer,
            answer.record.pk in readable,
        )
        for answer in answers(table, conditions, records, viewer)
    ]


def _readable(rows: "QuerySet[Any]", table: Table, reader: SystemUser) -> "QuerySet[Any]":
    """Subjects of private meetings are not guessed by asking for them (R6.36)."""
    rows = access.visible_to(reader, rows)
    if MODELS[table] in private.PRIVATE_KINDS:
        rows = rows.filter(private.readable_by(reader))
    return rows


def _name(record: Any) -> str:
    return str(getattr(record, "subject", None) or record)


class QueryConsole(Deeds, Screen):
    """What the screens of filters and templates have in common. Pages are made here, not by Django's form: a
    change is shown before it is stored."""

    actions = ["activate", "deactivate", "remove"]
    deeds = (ACTIVATE, DEACTIVATE)
    search_fields = ["name", "description"]
    delete_confirmation_template = "console/filter_delete.html"

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        if not self.has_change_permission(request, obj):
            return ()
        return [DEACTIVATE if obj.is_active_state else ACTIVATE]

    def get_actions(self, request: HttpRequest) -> Any:
        """Django's own would delete past the services, without a word about what leaves."""
        found = super().get_actions(request)
        found.pop("delete_selected", None)
        return found

    # -- columns

    @admin.display(description=_("name"), ordering="name")
    def title(self, query: Query) -> SafeString:
        return format_html('<span class="row-title">{}</span>', query)

    @admin.display(description=_("records"), ordering="returned_type_code")
    def kind(self, query: Query) -> str:
        return str(SyncTable(query.returned_type_code).label)

    @admin.display(description=_("finds"))
    def finds(self, query: Query) -> str:
        return query.words

    @admin.display(description=_("state"), ordering="state_code")
    def state(self, query: Query) -> SafeString:
        return state_badge(query)

    # -- a new one

    def add_view(self, request: HttpRequest, *args: Any, **kw: Any) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        table = _table_of(request)
        if table is None:
            return self._choose_table(request)
        actor = actor_of(request)
        query = self.begun(actor, table, request.GET.get("template", ""))
        return self._edited(request, query, actor)

    def begun(self, actor: SystemUser, table: Table, template: str) -> Any:
        raise NotImplementedError

    def models(self) -> list[tuple[Any, str]]:
        """What a new one can begin with: its name, and where that leads."""
        return []

    def _choose_table(self, request: HttpRequest) -> HttpResponse:
        context = {
            "title": __("New: %(name)s") % {"name": self.opts.verbose_name},
            "tables": [(table.label, f"?table={table.value}") for table in SyncTable],
            "templates": self.models(),
        }
        return self._answer(request, "console/filter_table.html", context)

    # -- one that is there

    def change_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kw: Any
    ) -> HttpResponse:
        query = self.get_object(request, object_id)
        if query is None or not self.has_view_permission(request, query):
            redirect: HttpResponse = self._get_obj_does_not_exist_redirect(  # type: ignore[attr-defined]
                request, self.opts, object_id
            )
            return redirect
        if request.method == "POST" and not self.has_change_permission(request, query):
            raise PermissionDenied
        return self._edited(request, query, actor_of(request))

    def _edited(self, request: HttpRequest, query: Any, actor: SystemUser) -> HttpResponse:
        posted = request.method == "POST"
        form = self.form_for(query, actor, request.POST if posted else None)
        if posted and "_show" not in request.POST and form.is_valid():
            answer = self._stored(request, form, actor)
            if answer is not None:
                return answer
        if posted and "_show" in request.POST:
            # As it was typed, with what can stand beside each line, and without faults not asked about.
            form = self.form_for(query, actor, None, initial=_typed(form))
        return self._page(request, form, actor)

    def form_for(self, query: Any, actor: SystemUser, data: Any, **more: Any) -> Any:
        raise NotImplementedError

    def _stored(self, request: HttpRequest, form: Any, actor: SystemUser) -> HttpResponse | None:
        """None: it was not, and the form says why."""
        query, adding = form.save(commit=False), form.instance._state.adding
        gone = NOTHING if adding else self._would_leave(actor, query, [query])
        if gone and "_anyway" not in request.POST:
            form.leaving = gone
            return None
        try:
            with transaction.atomic():
                editing.save(query=query, actor=actor, now=timezone.now())
                wake([query])
        except ValidationError as refused:
            for name, reasons in refused.message_dict.items():
                form.add_error(name if name in form.fields else None, reasons)
            return None
        self._told(request, form, query, adding)
        return HttpResponseRedirect(self._url("change", query.pk))

    def _told(self, request: HttpRequest, form: Any, query: Any, adding: bool) -> None:
        if adding:
            self.log_addition(request, query, [{"added": {}}])
        else:
            self.log_change(request, query, self.construct_change_message(request, form, []))
        self.message_user(request, __("“%(name)s” was saved.") % {"name": query}, messages.SUCCESS)

    def _page(self, request: HttpRequest, form: Any, actor: SystemUser) -> HttpResponse:
        query = form.instance
        adding = query._state.adding
        conditions = _conditions_of(form)
        words = request.GET.get("q", "").replace("\0", "").strip()[:LONGEST_SEARCH]
        context = {
            "title": __("New: %(name)s") % {"name": self.opts.verbose_name}
            if adding
            else str(query),
            "subtitle": SyncTable(query.returned_type_code).label,
            "form": form,
            "query": query,
            "original": None if adding else query,
            "adding": adding,
            "state": "" if adding else state_badge(query),
            "leaving": getattr(form, "leaving", NOTHING),
            "consequence": consequence(),
            "preview": self._preview(query, actor, conditions),
            "words": words,
            "answers": self._answers(words, query, actor, conditions),
            "may_change": adding or self.has_change_permission(request, query),
            "may_delete": not adding and self.has_delete_permission(request, query),
            "facts": [] if adding else self.facts(query),
            "fetch_xml": "" if conditions is None else fetch_xml(query.table, conditions),
            "list_url": self._url("changelist"),
            "deeds": [] if adding else self._buttons(request, query),
        }
        return self._answer(request, "console/filter.html", context)

    def facts(self, query: Any) -> list[tuple[Any, Any]]:
        return [(_("Finds"), query.words)]

    def _preview(self, query: Any, actor: SystemUser, conditions: Any) -> Preview | None:
        if conditions is None:
            return None
        user = query.owning_user if isinstance(query, UserQuery) else actor
        try:
            return preview(user, actor, query.table, conditions)
        except NotUnderstood:
            return None

    def _answers(
        self, words: str, query: Any, actor: SystemUser, conditions: Any
    ) -> list[tuple[Any, Any, bool]]:
        if not words or conditions is None:
            return []
        user = query.owning_user if isinstance(query, UserQuery) else actor
        return asked_about(words, user, actor, query.table, conditions)

    def _buttons(self, request: HttpRequest, query: Any) -> list[tuple[Deed, str]]:
        return [
            (deed, self._url("do", query.pk, deed.name)) for deed in self.deeds_for(request, query)
        ]

    def _url(self, page: str, *args: Any) -> str:
        meta = self.model._meta
        return reverse(f"admin:{meta.app_label}_{meta.model_name}_{page}", args=args)

    # -- switching and deleting

    @admin.action(description=_("Activate"))
    def activate(self, request: HttpRequest, queryset: "QuerySet[Any]") -> None:
        self._switch(request, self.within_reach(request, queryset, "change"), True)

    @admin.action(description=_("Deactivate"))
    def deactivate(self, request: HttpRequest, queryset: "QuerySet[Any]") -> HttpResponse | None:
        chosen = self.within_reach(request, queryset, "change")
        if asked := self._asked(request, chosen, "deactivate", __("Deactivate")):
            return asked
        self._switch(request, chosen, False)
        return None

    @admin.action(description=_("Delete"))
    def remove(self, request: HttpRequest, queryset: "QuerySet[Any]") -> HttpResponse | None:
        chosen = self.within_reach(request, queryset, "delete")
        if asked := self._asked(request, chosen, "remove", __("Delete"), always=True):
            return asked
        try:
            names = [str(query) for query in chosen]
            self.delete_queryset(request, chosen)
        except ValidationError as refused:
            self.message_user(request, " ".join(refused.messages), messages.ERROR)
        else:
            words = ngettext("%(count)d was deleted.", "%(count)d were deleted.", len(names))
            self.message_user(request, words % {"count": len(names)}, messages.SUCCESS)
        return None

    def _switch(self, request: HttpRequest, chosen: "QuerySet[Any]", active: bool) -> None:
        before = list(chosen)
        with transaction.atomic():
            count = editing.set_active(
                queries=chosen, active=active, actor=actor_of(request), now=timezone.now()
            )
            wake(before)
        one = (
            ngettext("%(count)d acts from now on.", "%(count)d act from now on.", count)
            if active
            else ngettext("%(count)d acts no longer.", "%(count)d act no longer.", count)
        )
        self.message_user(request, one % {"count": count}, messages.SUCCESS)

    def _asked(
        self,
        request: HttpRequest,
        chosen: "QuerySet[Any]",
        action: str,
        words: str,
        *,
        always: bool = False,
    ) -> HttpResponse | None:
        """A page that tells what would leave, unless nothing would or it was told before."""
        queries = list(chosen)
        if "_anyway" in request.POST or not queries:
            return None
        actor = actor_of(request)
        gone = sum((self._would_leave(actor, *one) for one in _together(queries)), NOTHING)
        if not gone and not always:
            return None
        context = {
            "title": words,
            "queries": queries,
            "leaving": gone,
            "consequence": consequence(),
            "action": action,
            "list_url": self._url("changelist"),
        }
        return self._answer(request, "console/filter_ask.html", context)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.delete_queryset(request, self.model._default_manager.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> None:
        chosen = list(queryset)
        with transaction.atomic():
            editing.delete(queries=queryset, actor=actor_of(request), now=timezone.now())
            wake(chosen)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        query = self.get_object(request, object_id)
        actor = actor_of(request)
        gone = NOTHING if query is None else self._would_leave(actor, None, [query])
        context = {"leaving": gone, "consequence": consequence(), **(extra_context or {})}
        return super().delete_view(request, object_id, context)

    def _would_leave(self, reader: SystemUser, becomes: Any, queries: Iterable[Any]) -> "Leaving":
        """Records that are linked through these, and that no filter would find without them, or with what
        one of them becomes."""
        return NOTHING

    def _answer(
        self, request: HttpRequest, template: str, context: dict[str, Any]
    ) -> TemplateResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, template, context)


class FilterConsole(QueryConsole):
    """Everybody reaches the own ones (R6.12)."""

    open_to_all = True
    list_display = ["title", "kind", "owner", "finds", "state"]
    list_display_links = ["title"]
    list_filter = ["returned_type_code", "state_code"]
    list_select_related = ["owning_user"]
    search_fields = ["name", "owning_user__domain_name", "owning_user__last_name"]
    ordering = ["owning_user__domain_name", "returned_type_code", "name"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._reaches(request, obj, "change")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._reaches(request, obj, "delete")

    @admin.display(description=_("user"), ordering="owning_user__domain_name")
    def owner(self, query: UserQuery) -> str:
        return str(query.owning_user)

    def begun(self, actor: SystemUser, table: Table, template: str) -> UserQuery:
        for one in giving.templates().filter(returned_type_code=table.value):
            if str(one.pk) == template:
                return giving.copied(one, actor, timezone.now(), actor)
        return UserQuery(owning_user=actor, returned_type_code=table.value, conditions={"all": []})

    def models(self) -> list[tuple[Any, str]]:
        return [
            (one, f"?table={one.returned_type_code}&template={one.pk}")
            for one in giving.templates().filter(state_code=StateCode.ACTIVE)
        ]

    def form_for(self, query: Any, actor: SystemUser, data: Any, **more: Any) -> FilterForm:
        return FilterForm(
            data, instance=query, table=query.table, maker=actor, site=self.admin_site, **more
        )

    def facts(self, query: UserQuery) -> list[tuple[Any, Any]]:
        template = query.parent_query
        return [
            (_("User"), query.owning_user),
            *super().facts(query),
            *([(_("Made of the template"), template)] if template else []),
        ]

    def _would_leave(
        self, reader: SystemUser, becomes: UserQuery | None, queries: Iterable[Any]
    ) -> "Leaving":
        """Of one user and one kind of record."""
        queries = list(queries)
        before = UserQuery.objects.filter(pk__in=[one.pk for one in queries]).first()
        if before is None:
            return NOTHING
        user, table = before.owning_user, before.table
        after = remaining(user, table, without=[one.pk for one in queries])
        stays = becomes is not None and becomes.owning_user_id == user.pk
        if becomes is not None and stays and becomes.is_active_state:
            after.append(becomes.conditions)
        return _leaving(user, table, after, reader)


class FilterTemplateConsole(QueryConsole):
    list_display = ["title", "kind", "use", "default", "finds", "state"]
    list_display_links = ["title"]
    list_filter = ["returned_type_code", "query_type", "is_default", "state_code"]
    ordering = ["returned_type_code", "name"]
    change_list_template = "console/filter_templates.html"

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.apply)
        return [path("apply/", view, name="serversync_savedquery_apply"), *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        giving.templates()  # those of the product are made when somebody first looks
        return super().changelist_view(request, extra_context)

    @admin.display(description=_("use"), ordering="query_type")
    def use(self, query: SavedQuery) -> str:
        if query.query_type == QueryType.FILTER:
            return __("acts for everybody")
        return __("template")

    @admin.display(description=_("default"), ordering="is_default")
    def default(self, query: SavedQuery) -> SafeString | str:
        return badge(_("default"), "info") if query.is_default else ""

    def begun(self, actor: SystemUser, table: Table, template: str) -> SavedQuery:
        return SavedQuery(returned_type_code=table.value, conditions={"all": []})

    def form_for(self, query: Any, actor: SystemUser, data: Any, **more: Any) -> TemplateForm:
        return TemplateForm(data, instance=query, table=query.table, **more)

    def facts(self, query: SavedQuery) -> list[tuple[Any, Any]]:
        return [*super().facts(query), (_("Filters made of it"), query.copies.count())]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and giving.is_ours(obj):
            return False
        return super().has_delete_permission(request, obj)

    def _would_leave(
        self, reader: SystemUser, becomes: SavedQuery | None, queries: Iterable[Any]
    ) -> "Leaving":
        """Only what acts for everybody takes part: of the users that have something linked."""
        keys = [one.pk for one in queries]
        before = SavedQuery.objects.filter(pk__in=keys, query_type=QueryType.FILTER).first()
        if before is None or not before.is_active_state:
            return NOTHING
        table, gone = before.table, NOTHING
        for user in linked_users(table)[:COUNTED]:
            after = remaining(user, table, without=keys)
            if becomes is not None and becomes.query_type == QueryType.FILTER:
                after.append(becomes.conditions)
            gone += _leaving(user, table, after, reader)
        return gone

    # -- to many users

    def apply(self, request: HttpRequest) -> HttpResponse:
        """First what it would do, then the same."""
        actor = actor_of(request)
        access.require(actor, "change", UserQuery)
        if not self.has_view_permission(request):
            raise PermissionDenied
        offered = giving.templates().filter(state_code=StateCode.ACTIVE)
        initial = {"templates": giving.default_templates(), "whom": "all"}
        form = ApplyForm(request.POST or None, actor=actor, offered=offered, initial=initial)
        if not form.is_valid():
            return self._apply_page(request, form, None)
        chosen, people = list(form.cleaned_data["templates"]), form.cleaned_data["people"]
        retire = form.cleaned_data["retire_others"]
        users = list(people.select_related("settings").order_by("domain_name").distinct())
        if "_apply" not in request.POST:
            gifts = giving.plan(chosen, users, retire_others=retire)
            return self._apply_page(request, form, gifts)
        with transaction.atomic():
            gifts = giving.apply(
                chosen, users, retire_others=retire, actor=actor, now=timezone.now()
            )
            _wake_users([gift.user for gift in gifts if gift.changes])
        self.message_user(request, _applied_words(gifts), messages.SUCCESS)
        return HttpResponseRedirect(self._url("changelist"))

    def _apply_page(
        self, request: HttpRequest, form: ApplyForm, gifts: list[giving.Gift] | None
    ) -> HttpResponse:
        context: dict[str, Any] = {"title": __("Apply filter templates"), "form": form}
        if gifts is not None:
            changed = [gift for gift in gifts if gift.changes]
            gone, all_counted = _leaving_by_gifts(changed, actor_of(request))
            context |= {
                "gifts": changed[:LISTED],
                "users": len(gifts),
                "unchanged": len(gifts) - len(changed),
                "more": max(0, len(changed) - LISTED),
                "totals": _totals(gifts),
                "leaving": gone,
                "all_counted": all_counted,
                "consequence": consequence(),
            }
        return self._answer(request, "console/filter_apply.html", context)


# -- pieces --------------------------------------------------------------------------------------


def consequence() -> str:
    """What becomes of records that no filter finds any more (R6.13, R6.46)."""
    organization = Organization.objects.current()
    if organization.effective("distinct_physical_and_logical_deletes_for_exchange_sync"):
        return __(
            "They stay here and on the server, and are no longer kept equal: the next cycle unlinks "
            "them. (R6.46)"
        )
    return __(
        "They stay here and are deleted on the server by the next cycle, which asks first where that "
        "would mail somebody. (R6.46)"
    )


def wake(queries: Iterable[Any]) -> None:
    """Their users' mailboxes run soon; a template wakes nobody."""
    _wake_users([one.owning_user for one in queries if isinstance(one, UserQuery)])


def _wake_users(users: Iterable[SystemUser]) -> None:
    keys = Mailbox.objects.filter(regarding_user__in=list(users)).values_list("pk", flat=True)
    if found := list(keys):
        waking.wake(found, Operation.ACT, timezone.now())


def _table_of(request: HttpRequest) -> Table | None:
    told = request.GET.get("table", "")
    if not told:
        return None
    if told not in {str(table.value) for table in Table}:
        raise Http404
    return Table(int(told))


def _typed(form: Any) -> dict[str, Any]:
    """What stands in the boxes, to be shown again."""
    return {
        name: field.widget.value_from_datadict(form.data, form.files, form.add_prefix(name))
        for name, field in form.fields.items()
    }


def _conditions_of(form: Any) -> Any:
    """Those of the page, whether they are stored or only typed; None if they are faulty."""
    table = form.instance.table
    shown = form["conditions"].value()
    told = conditions_of(table, shown) if isinstance(shown, Typed) else shown
    return None if faults(table, told) else told


def _together(queries: Iterable[Any]) -> list[tuple[None, list[Any]]]:
    """By user and kind of record: what leaves is what none of the rest finds."""
    groups: dict[Any, list[Any]] = {}
    for query in queries:
        key = (getattr(query, "owning_user_id", None), query.returned_type_code)
        groups.setdefault(key, []).append(query)
    return [(None, found) for found in groups.values()]


def linked_users(table: Table) -> "QuerySet[SystemUser]":
    links = ExchangeSyncIdMapping.objects.filter(object_type_code=table, state=LinkState.LINKED)
    return SystemUser.objects.filter(default_mailbox__in=links.values("mailbox")).order_by("pk")


@dataclass(frozen=True)
class Leaving:
    """Linked records that no filter would find any more: how many of those that the reader may see. Whether
    some of the others leave, too, is never told, for that would tell what stands in them (R6.7, R6.36):
    `others` says that there are linked ones."""

    count: int = 0
    others: bool = False

    def __bool__(self) -> bool:
        return self.count > 0 or self.others

    def __add__(self, more: "Leaving") -> "Leaving":
        return Leaving(self.count + more.count, self.others or more.others)


NOTHING = Leaving()


def _leaving(
    user: SystemUser, table: Table, after: Iterable[Conditions], reader: SystemUser
) -> Leaving:
    """Nothing where what is stored now can't be understood: nothing is synchronized by it either."""
    known = _readable(MODELS[table]._default_manager.all(), table, reader).values("pk")
    linked = linked_by_filter(user, table)
    others = user.pk != reader.pk and linked.exclude(object_id__in=known).exists()
    try:
        found = leaving(user, table, after, timezone.now())
        return Leaving(found.filter(object_id__in=known).count(), others)
    except NotUnderstood:
        return Leaving(0, others)


def _totals(gifts: Iterable[giving.Gift]) -> list[tuple[Any, int]]:
    counted: Counter[str] = Counter()
    for gift in gifts:
        for name in ("added", "there", "replaced", "retired"):
            counted[name] += len(getattr(gift, name))
    words = {
        "added": _("added"),
        "there": _("already there"),
        "replaced": _("replaced"),
        "retired": _("deactivated"),
    }
    return [(words[name], counted[name]) for name in words]


def _applied_words(gifts: list[giving.Gift]) -> str:
    return " · ".join(f"{count} {words}" for words, count in _totals(gifts))


def _leaving_by_gifts(gifts: Sequence[giving.Gift], reader: SystemUser) -> tuple[Leaving, bool]:
    """How many linked records no filter would find any more, and whether all users were counted."""
    narrowing = [gift for gift in gifts if gift.replaced or gift.retired]
    gone = sum((_leaving_by_gift(gift, reader) for gift in narrowing[:COUNTED]), NOTHING)
    return gone, len(narrowing) <= COUNTED


def _leaving_by_gift(gift: giving.Gift, reader: SystemUser) -> Leaving:
    without = [*gift.retired, *(standing for standing, _template in gift.replaced)]
    gone = NOTHING
    for table in {query.table for query in without}:
        after = remaining(gift.user, table, without=[query.pk for query in without])
        given = [*gift.added, *(template for _standing, template in gift.replaced)]
        after += [one.conditions for one in given if one.table == table]
        gone += _leaving(gift.user, table, after, reader)
    return gone
