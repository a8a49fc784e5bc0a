"""What every screen of the console has in common: row rules, read-only rows, small pieces of HTML.

Rooms subclass `Screen` in their `admin` and register nothing; the console does.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import NestedObjects
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AdminTextareaWidget, RelatedFieldWidgetWrapper
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DataError, models, router
from django.dispatch import Signal
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from mailboxes import access
from mailboxes.choices import StateCode
from mailboxes.fields import SecretField
from mailboxes.forms import DateAndTime
from mailboxes.models import Organization, SystemUser

Words = str | Promise
EMPTY = "–"


#: The end of a condition that names one row of another table by its key.
KEY_OF_ANOTHER = re.compile(r"(__(id|pk))?(__(exact|in|isnull))?$")


#: Somebody pressed an action: sender is the model; request, action, keys.
acted = Signal()

#: Rooms whose records may be named in histories; those of all others are mail and people's affairs.
NAMED_ROOMS = {"mailboxes", "auth"}
NEVER_NAMED = {"mailboxes.tracelog", "mailboxes.emailsearch"}


def name_in_logs(row: models.Model) -> str:
    """What a history says of a record to whoever may look at the history, not at the record (R8.30)."""
    meta = row._meta
    if meta.app_label in NAMED_ROOMS and meta.label_lower not in NEVER_NAMED:
        return str(row)
    return str(meta.verbose_name)


class Rows(ChangeList):
    """A list whose address may hold anything: what no column can be compared with is no failure."""

    def get_results(self, request: HttpRequest) -> None:
        try:
            super().get_results(request)
        except (DataError, OverflowError, TypeError, ValueError) as error:
            raise IncorrectLookupParameters(error) from error


class Screen(admin.ModelAdmin[Any]):
    """A screen on which everybody meets only the rows that their permissions reach."""

    list_per_page = 100
    show_full_result_count = False
    formfield_overrides = {
        models.URLField: {"assume_scheme": "https"},
        models.DateTimeField: {"widget": DateAndTime},
        models.TextField: {"widget": AdminTextareaWidget(attrs={"rows": 4})},
    }

    #: Whether a user without any permission on the model may look at the rows that are theirs anyway.
    open_to_all = False

    # -- row rules: the list, the page, choosers, search and actions all start from these

    def get_queryset(self, request: HttpRequest) -> "models.QuerySet[Any]":
        return access.visible_to(request.user, super().get_queryset(request), "view")

    def get_ordering(self, request: HttpRequest) -> Any:
        """Said again, for counting along drops the order of the model, and choosers need one."""
        return self.ordering or self.model._meta.ordering or ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return Rows

    def get_search_results(
        self, request: HttpRequest, queryset: "models.QuerySet[Any]", search_term: str
    ) -> "tuple[models.QuerySet[Any], bool]":
        """No text holds NUL, and PostgreSQL takes offence at the question."""
        return super().get_search_results(request, queryset, search_term.replace("\0", ""))

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """What the list offers to be filtered by, and whose rows they are: conditions on other columns would
        tell, letter by letter, what stands in them, also where the list doesn't show it (R6.36)."""
        offered = any(
            lookup == name or lookup.startswith(f"{name}__") for name in self._offered(request)
        )
        if not offered and KEY_OF_ANOTHER.sub("", lookup) not in self._relations:
            return False
        return super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]

    def _offered(self, request: HttpRequest | None) -> Iterator[str]:
        yield from filter(None, ("id", "pk", self.date_hierarchy))
        for each in self.get_list_filter(request) if request else self.list_filter or ():
            name = each[0] if isinstance(each, tuple | list) else each
            yield name if isinstance(name, str) else getattr(name, "parameter_name", None) or "pk"

    @property
    def _relations(self) -> set[str]:
        return {each.name for each in self.model._meta.fields if each.is_relation}

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if not (self.open_to_all or super().has_view_permission(request, obj)):
            return False
        return self._reaches(request, obj, "view") or self._reaches(request, obj, "change")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and self._reaches(request, obj, "change")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and self._reaches(request, obj, "delete")

    def _reaches(self, request: HttpRequest, obj: Any, action: str) -> bool:
        """Asked many times while one page is made, so the answers are kept on the request."""
        if obj is None:
            return True
        answers: dict[Any, bool] = request.__dict__.setdefault("_reach_answers", {})
        key = (type(obj), obj.pk, action)
        if key not in answers:
            answers[key] = access.may(request.user, action, obj)
        return answers[key]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Choosers choose; other records are made, changed and deleted on their own screens."""
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(db_field, SecretField) and not may_type_secrets(request):
            field.widget.attrs["disabled"] = True
            field.help_text = _(
                "Passwords are not typed over plain HTTP, where they can be read on the way. Open the "
                "console over HTTPS, or let the organization allow it. (R1.26)"
            )
            field.clean = lambda value: None  # left as it is, whatever is sent
        if field is not None and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget.can_add_related = False
            field.widget.can_change_related = False
            field.widget.can_delete_related = False
            field.widget.can_view_related = False
        return field

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        self._limit_choices(db_field, request, kwargs)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        self._limit_choices(db_field, request, kwargs)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def _limit_choices(self, db_field: Any, request: HttpRequest, kwargs: dict[str, Any]) -> None:
        """A chooser offers what its user may see, and a forged choice is no valid one."""
        queryset = kwargs.get("queryset")
        if queryset is None:
            queryset = db_field.remote_field.model._default_manager.all()
        if queryset.model not in (Permission, ContentType):
            kwargs["queryset"] = access.visible_to(request.user, queryset, "view")

    # -- deleting

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> "tuple[list[str], dict[str, int], set[str], list[str]]":
        """Counts in place of names: some of the rows that go along are not the reader's to see."""
        collector = NestedObjects(using=router.db_for_write(self.model), origin=objs)
        collector.collect(objs)
        gone = Counter({model: len(rows) for model, rows in collector.data.items()})
        for query in collector.fast_deletes:
            if count := query.count():
                gone[query.model] += count
        lines, counts, missing = [], {}, self._not_deletable(objs, request)
        for model, count in gone.items():
            plural = str(model._meta.verbose_name_plural)
            lines.append(f"{capfirst(plural)}: {count}")
            counts[plural] = count
            screen = self.admin_site._registry.get(model)
            if isinstance(screen, ReadOnlyScreen) or screen is None:
                continue
            if not screen.has_delete_permission(request):
                missing.add(str(model._meta.verbose_name))
        kept = Counter(str(row._meta.verbose_name_plural) for row in collector.protected)
        return lines, counts, missing, [f"{capfirst(name)}: {n}" for name, n in kept.items()]

    def _not_deletable(self, objs: Any, request: HttpRequest) -> set[str]:
        """The list's action deletes what the list shows; seeing reaches further than deleting may."""
        chosen = {row.pk for row in objs}
        rows = self.model._default_manager.filter(pk__in=chosen)
        reached = access.visible_to(request.user, rows, "delete")
        if chosen - set(reached.values_list("pk", flat=True)):
            return {str(self.opts.verbose_name)}
        return set()

    # -- histories: no subject, no name of a customer, no address of a stranger outlives its record in them

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return self._log(request, [obj], ADDITION, message)[0]

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return self._log(request, [obj], CHANGE, message)[0]

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        return self._log(request, queryset, DELETION, "")

    def _log(self, request: HttpRequest, rows: Iterable[Any], flag: int, message: Any) -> list[Any]:
        if isinstance(message, list):
            message = json.dumps(message)
        return [
            LogEntry.objects.create(
                user_id=str(request.user.pk),
                content_type=ContentType.objects.get_for_model(row, for_concrete_model=False),
                object_id=str(row.pk),
                object_repr=name_in_logs(row)[:200],
                action_flag=flag,
                change_message=message,
            )
            for row in rows
        ]

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        message = super().construct_change_message(request, form, formsets, add)
        if self.opts.app_label in NAMED_ROOMS:
            return message
        parts: list[dict[str, Any]] = message
        for told in (each for part in parts for each in part.values()):
            if "object" in told:
                told["object"] = "…"
        return parts

    def response_action(
        self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any
    ) -> Any:
        answer = super().response_action(request, queryset, *args, **kwargs)
        action, keys = request.POST.get("action"), request.POST.getlist("_selected_action")
        if action and keys:
            reached = queryset.model._default_manager.filter(pk__in=keys).filter(
                pk__in=self.get_queryset(request).values("pk")
            )
            acted.send(
                sender=self.model,
                request=request,
                action=action,
                keys=list(reached.values_list("pk", flat=True)),
            )
        return answer

    # -- pages named after what they show

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        title = capfirst(str(self.opts.verbose_name_plural))
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        record = kw.get("obj")
        context["show_save_and_add_another"] = False
        if record is not None:
            context |= {"title": str(record), "subtitle": capfirst(str(self.opts.verbose_name))}
        else:
            context["title"] = __("New: %(name)s") % {"name": self.opts.verbose_name}
        return super().render_change_form(request, context, *args, **kw)

    # -- saving: services raise what a form could not foresee, e.g. that somebody was faster

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except ValidationError as error:
            for words in error.messages:
                self.message_user(request, words, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def stored_columns(self, names: Iterable[str]) -> list[str]:
        """Those of a form's changed fields that are columns of the row itself."""
        columns = {field.name for field in self.model._meta.concrete_fields}
        return [name for name in names if name in columns]

    # -- answers to actions

    def perform(self, request: HttpRequest, deed: Callable[[], Any], one: str, many: str) -> None:
        """Call a service that answers with an Outcome, and say what it did in one message or two."""
        try:
            outcome = deed()
        except PermissionDenied as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return
        if outcome.done:
            words = one if outcome.done == 1 else many
            self.message_user(request, words % {"count": outcome.done}, messages.SUCCESS)
        if outcome.skipped or not outcome.done:
            skipped = ngettext("%(count)d skipped.", "%(count)d skipped.", outcome.skipped)
            words = f"{skipped % {'count': outcome.skipped}} {outcome.why}"
            self.message_user(request, words, messages.WARNING)

    def missing(self, request: HttpRequest, action: str) -> bool:
        """Whether the user lacks the permission for `action` altogether; says so by its name."""
        if access.reach_of(request.user, self.model, action) is not None:
            return False
        self.message_user(request, str(access.refusal(self.model, action)), messages.ERROR)
        return True

    def within_reach(
        self, request: HttpRequest, queryset: "models.QuerySet[Any]", action: str
    ) -> "models.QuerySet[Any]":
        """The rows of `queryset` that the user's reach covers for `action`; says if some aren't."""
        # Not a filter on `queryset`: that may be sliced, or carry the list's annotations.
        chosen = list(queryset.values_list("pk", flat=True))
        plain = self.model._default_manager.filter(pk__in=chosen)
        allowed = access.visible_to(request.user, plain, action)
        left_out = len(chosen) - allowed.count()
        if left_out:
            self.message_user(
                request,
                ngettext(
                    "%(count)d chosen record was left out: your permissions don't reach it.",
                    "%(count)d chosen records were left out: your permissions don't reach them.",
                    left_out,
                )
                % {"count": left_out},
                messages.WARNING,
            )
        return allowed


def may_type_secrets(request: HttpRequest) -> bool:
    """R1.26: over TLS, on this very machine, or where the organization allows it."""
    host = request.get_host().rpartition(":")[0] or request.get_host()
    if request.is_secure() or host in ("localhost", "127.0.0.1", "[::1]"):
        return True
    return Organization.objects.current().allow_credentials_entry_via_non_secure_channels


class ReadOnlyScreen(Screen):
    """Rows that the engine writes: looked at, never added, changed or deleted by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyInline(admin.TabularInline[Any, Any]):
    """Rows of the engine beside the record they are about."""

    extra = 0
    can_delete = False
    show_change_link = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def reachable_inline(
    request: HttpRequest, queryset: "models.QuerySet[Any]"
) -> "models.QuerySet[Any]":
    return access.visible_to(request.user, queryset, "view")


# -- small pieces of HTML


def actor_of(request: HttpRequest) -> SystemUser:
    """The user's own row: `request.user` is a stand-in, and senders are told apart by their class."""
    return SystemUser.objects.get(pk=str(request.user.pk))


def by(request: HttpRequest) -> dict[str, Any]:
    """Who does it, and when."""
    return {"actor": request.user, "now": timezone.now()}


def badge(words: Words, kind: str) -> SafeString:
    """A coloured word. Kinds: good, warn, bad, info, quiet; the word alone must say it all."""
    return format_html('<span class="badge badge-{}">{}</span>', kind, words)


def state_badge(row: Any) -> SafeString:
    """The state of a table that knows active and inactive."""
    kind = "good" if row.state_code == StateCode.ACTIVE else "quiet"
    return badge(row.get_state_code_display(), kind)


def link(url: str, words: Any) -> SafeString:
    return format_html('<a href="{}">{}</a>', url, words)


def moment(when: datetime | None, now: datetime | None = None) -> SafeString | str:
    """A time as a person says it, with the exact one on hovering."""
    if when is None:
        return EMPTY
    exact = date_format(timezone.localtime(when), "Y-m-d H:i:s")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        when.isoformat(),
        exact,
        distance(when, now or timezone.now()),
    )


def distance(when: datetime, now: datetime) -> str:
    """ "12 min ago", "in 3 h"; a date once it is more than a week away."""
    seconds = (when - now).total_seconds()
    size = abs(seconds)
    if size < 45:
        return __("now") if seconds <= 0 else __("in a moment")
    if size < 45 * 60:
        amount = __("%(count)d min") % {"count": max(1, round(size / 60))}
    elif size < 36 * 3600:
        amount = __("%(count)d h") % {"count": max(1, round(size / 3600))}
    elif size < 7 * 86400:
        amount = __("%(count)d days") % {"count": round(size / 86400)}
    else:
        return date_format(timezone.localtime(when), "Y-m-d")
    pattern = __("in %(amount)s") if seconds > 0 else __("%(amount)s ago")
    return pattern % {"amount": amount}


def bytes_in_words(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    if size < 1024 * 1024:
        return f"{size / 1024:.0f} KB"
    return f"{size / 1024 / 1024:.1f} MB"


def joined(values: Iterable[Any]) -> str:
    return ", ".join(str(value) for value in values if value) or EMPTY


def version_words(schema: str) -> str:
    """A version of the Exchange web service as people name it: "Exchange 2010 SP2". Servers since 2016 all
    name the same one."""
    if schema == "Exchange2016":
        return __("Exchange 2016, 2019 or Subscription Edition")
    return re.sub(r"(?<=[a-z])(?=\d)|_", " ", schema)


OWNER: Any = (
    _("Owner"),
    {
        "description": _("Who owns the record decides who sees it."),
        "fields": ["owning_user", "owning_team"],
    },
)
