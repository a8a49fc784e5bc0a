"""The pages of folder rules: pick a folder of the server's tree, a record, and from when (section 7.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Count, IntegerField, Model, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from mailboxes.causes import cause_of
from mailboxes.choices import Operation
from mailboxes.eligibility import facts_of, testable
from mailboxes.models import Mailbox, Organization
from mailboxes.protocols.base import RemoteFolder
from mailboxes.protocols.errors import ServerError
from mailboxes.screens import link
from serversync import layout, waking
from serversync.console.deeds import Deed, Deeds
from serversync.console.mailboxes.rows import MailboxFilter
from serversync.models import MailboxLayout, SyncItem, Workload
from tracking import services
from tracking.access import mailboxes_of
from tracking.admin import (
    FolderRuleScreen,
    onboarding_words,
    path_of,
    record_words,
    show_records,
    state_words,
    unfit,
)
from tracking.choices import FolderState
from tracking.folders import find, mailbox_fault
from tracking.forms import LONGEST_SEARCH, RecordForm, RuleForm
from tracking.models import MailboxTrackingFolder
from tracking.records import FOUND, find_records, value_of

OFFERED = 50  # mailboxes to choose from; a search finds the others
DEEPEST = 9  # levels that are set in further than the one above
KEEP = "="  # in a form: the record that the rule has, which the reader may not see


@dataclass(frozen=True, slots=True)
class Branch:
    """One folder of the tree to choose from. `rule`: the one that it has already."""

    folder: str
    name: str
    depth: int
    messages: int | None
    rule: Any = None


class FolderRuleConsole(Deeds, FolderRuleScreen):
    delete_confirmation_template = "console/folder_rule_delete.html"
    list_display = [
        "folder",
        "mailbox_link",
        "record_words",
        "state_words",
        "onboarding",
        "tracked",
    ]
    list_filter = ["state", ("mailbox", MailboxFilter)]
    deeds = (Deed("track_again", _("Track it again"), main=True),)

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        is_gone = obj.state == FolderState.MISSING
        return self.deeds if is_gone and self.has_change_permission(request, obj) else ()

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).annotate(tracked_count=tracked_in_folder())

    def get_urls(self) -> list[Any]:
        def view(what: Any) -> Any:
            return self.admin_site.admin_view(what)

        name = "tracking_mailboxtrackingfolder"
        return [
            path("records/", view(require_GET(self.records)), name=f"{name}_records"),
            path(
                "folders/<uuid:mailbox>/",
                view(require_POST(self.read_folders)),
                name=f"{name}_folders",
            ),
            *super().get_urls(),
        ]

    @admin.display(description=_("mailbox"), ordering="mailbox__name")
    def mailbox_link(self, rule: MailboxTrackingFolder) -> SafeString:
        return link(reverse("admin:mailboxes_mailbox_change", args=[rule.mailbox_id]), rule.mailbox)

    @admin.display(description=_("emails from there"), ordering="tracked_count")
    def tracked(self, rule: Any) -> str:
        return str(rule.tracked_count)

    # -- a new rule

    def add_view(self, request: HttpRequest, *args: Any, **kw: Any) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        mailbox = self._mailbox(request)
        if mailbox is None:
            return self.choose_mailbox(request)
        if request.method == "POST" and "_find" not in request.POST:
            form = RuleForm(request.POST, user=request.user)
            if form.is_valid() and (rule := self._create(request, mailbox, form)):
                return HttpResponseRedirect(_page_of(rule))
        else:
            typed = request.POST if request.method == "POST" else request.GET
            form = RuleForm(initial=typed.dict(), user=request.user)
        return self._new(request, mailbox, form)

    def _mailbox(self, request: HttpRequest) -> Mailbox | None:
        """The chosen mailbox, or the only one there is to choose. Raises Http404 for one out of reach."""
        rows = mailboxes_of(request.user).select_related("email_server_profile", "layout")
        if key := request.POST.get("mailbox") or request.GET.get("mailbox"):
            try:
                return rows.get(pk=key)
            except (Mailbox.DoesNotExist, ValidationError):
                raise Http404 from None
        few = list(rows[:2])
        return few[0] if len(few) == 1 else None

    def choose_mailbox(self, request: HttpRequest) -> HttpResponse:
        organization = Organization.objects.current()
        words = request.GET.get("q", "").replace("\0", "").strip()[:LONGEST_SEARCH]
        rows = mailboxes_of(request.user).select_related("email_server_profile").order_by("name")
        if words:
            rows = rows.filter(name__icontains=words) | rows.filter(email_address__icontains=words)
        page = list(rows[: OFFERED + 1])
        url = reverse("admin:tracking_mailboxtrackingfolder_add")
        context = {
            "title": __("New folder rule: of which mailbox?"),
            "words": words,
            "more": len(page) > OFFERED,
            "mailboxes": [
                (mailbox, f"{url}?mailbox={mailbox.pk}", unfit(mailbox, organization))
                for mailbox in page[:OFFERED]
            ],
        }
        return self._answer(request, "console/folder_rule_mailbox.html", context)

    def _create(
        self, request: HttpRequest, mailbox: Mailbox, form: RuleForm
    ) -> MailboxTrackingFolder | None:
        now, data = timezone.now(), form.cleaned_data
        try:
            with transaction.atomic():
                rule = services.create_rule(
                    mailbox=mailbox,
                    folder=data["exchange_folder_id"],
                    record=data["record"],
                    track_from=data["track_from"],
                    now=now,
                    actor=request.user,  # type: ignore[arg-type]
                )
                waking.wake([mailbox.pk], Operation.INCOMING, now)
        except ValidationError as refused:
            for field, reasons in refused.message_dict.items():
                form.add_error(field if field in form.fields else None, reasons)
            return None
        self.log_addition(request, rule, [{"added": {}}])
        self.message_user(
            request,
            __("“%(folder)s” is tracked from now on. What lies there already is taken next.")
            % {"folder": rule},
            messages.SUCCESS,
        )
        return rule

    def _new(self, request: HttpRequest, mailbox: Mailbox, form: RuleForm) -> HttpResponse:
        facts = services.facts_of(mailbox, Organization.objects.current())
        context = {
            "title": __("New folder rule"),
            "mailbox": mailbox,
            "form": form,
            "fault": mailbox_fault(facts),
            "branches": branches(mailbox, facts.tree or ()),
            "read_at": _read_at(mailbox) if facts.tree is not None else None,
            **picker_context(form),
        }
        return self._answer(request, "console/folder_rule_add.html", context)

    # -- a rule's own page

    def change_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kw: Any
    ) -> HttpResponse:
        rule = self.get_object(request, object_id)
        if rule is None or not self.has_view_permission(request, rule):
            # As Django says it, which doesn't tell "not there" from "not yours".
            redirect: HttpResponse = self._get_obj_does_not_exist_redirect(  # type: ignore[attr-defined]
                request, self.opts, object_id
            )
            return redirect
        show_records([rule], request.user)
        if request.method != "POST" or "_find" in request.POST:
            typed = request.POST.dict() if request.method == "POST" else {"record": _value(rule)}
            return self._page(request, rule, RecordForm(initial=typed, user=request.user))
        if not self.has_change_permission(request, rule):
            raise PermissionDenied
        if request.POST.get("record", "") == _value(rule):
            self.message_user(request, __("The record is the same as before."), messages.INFO)
            return HttpResponseRedirect(_page_of(rule))
        form = RecordForm(request.POST, user=request.user)
        if not form.is_valid():
            return self._page(request, rule, form)
        return self._change(request, rule, form.cleaned_data["record"])

    def _change(self, request: HttpRequest, rule: Any, record: Model | None) -> HttpResponse:
        """Asks first what is to become of what lies there, if anything does (R10.28)."""
        answer = request.POST.get("which")
        if record is None:
            services.remove_record(rule=rule, now=timezone.now(), actor=request.user)  # type: ignore[arg-type]
            self._changed(request, rule, __("Mail of the folder is tracked without a record now."))
        elif rule.tracked_count and answer not in ("all", "new"):
            return self._ask(request, rule, record)
        else:
            self._refile(request, rule, record, only_new=answer == "new")
        return HttpResponseRedirect(_page_of(rule))

    def _refile(self, request: HttpRequest, rule: Any, record: Model, *, only_new: bool) -> None:
        now = timezone.now()
        with transaction.atomic():
            services.change_record(
                rule=rule,
                record=record,
                only_new=only_new,
                now=now,
                actor=request.user,  # type: ignore[arg-type]
            )
            waking.wake([rule.mailbox_id], Operation.INCOMING, now)
        words = (
            __("From now on, mail of the folder is filed under “%(record)s”.")
            if only_new
            else __("All mail of the folder is filed under “%(record)s”, with the next cycle.")
        )
        self._changed(request, rule, words % {"record": record})

    def _changed(self, request: HttpRequest, rule: Any, words: str) -> None:
        self.log_change(request, rule, [{"changed": {"fields": [str(_("filed under"))]}}])
        self.message_user(request, words, messages.SUCCESS)

    def _ask(self, request: HttpRequest, rule: Any, record: Model) -> HttpResponse:
        context = {
            "title": __("Which messages?"),
            "rule": rule,
            "record": record,
            "value": value_of(record),
            "before": record_words(rule) if rule.shown else None,
            "count": rule.tracked_count,
        }
        return self._answer(request, "console/folder_rule_ask.html", context)

    def _page(self, request: HttpRequest, rule: Any, form: RecordForm) -> HttpResponse:
        organization = Organization.objects.current()
        tree = services.tree_of(rule.mailbox)
        remote = find(tree or (), rule.exchange_folder_id)
        context = {
            "title": str(rule),
            "rule": rule,
            "original": rule,
            "form": form,
            "path": services.path_words(path_of(rule)),
            "state": state_words(rule),
            "filed_under": record_words(rule),
            "kept": KEEP if _value(rule) == KEEP else "",
            "onboarding": onboarding_words(rule),
            "on_server": remote.messages if remote else None,
            "read_at": _read_at(rule.mailbox) if tree is not None else None,
            "fault": unfit(rule.mailbox, organization),
            "may_change": self.has_change_permission(request, rule),
            "may_delete": self.has_delete_permission(request, rule),
            "deeds": self._buttons(request, rule),
            **picker_context(form),
        }
        return self._answer(request, "console/folder_rule.html", context)

    def _buttons(self, request: HttpRequest, rule: Any) -> list[tuple[Deed, str]]:
        name = "admin:tracking_mailboxtrackingfolder_do"
        return [
            (deed, reverse(name, args=[rule.pk, deed.name]))
            for deed in self.deeds_for(request, rule)
        ]

    def track_again(
        self, request: HttpRequest, queryset: "QuerySet[MailboxTrackingFolder]"
    ) -> None:
        rule = queryset.select_related("mailbox__email_server_profile", "mailbox__layout").get()
        try:
            services.track_again(rule=rule, now=timezone.now(), actor=request.user)  # type: ignore[arg-type]
        except (PermissionDenied, ValidationError) as refused:
            for words in getattr(refused, "messages", [str(refused)]):
                self.message_user(request, words, messages.ERROR)
            return
        self.log_change(request, rule, __("Tracked again."))
        words = __("“%(folder)s” is tracked again.") % {"folder": rule}
        self.message_user(request, words, messages.SUCCESS)

    # -- what the pages ask for

    def records(self, request: HttpRequest) -> HttpResponse:
        """Records that hold the words, for the search while one types."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        words = request.GET.get("q", "")[:LONGEST_SEARCH]
        rows = find_records(words, request.user)
        answer = JsonResponse(
            {
                "records": [
                    {"value": row.value, "name": row.name, "kind": row.kind, "detail": row.detail}
                    for row in rows
                ],
                "words": _found_words(len(rows)) if words.strip() else "",
            }
        )
        answer["Cache-Control"] = "private, no-store"
        return answer

    def read_folders(self, request: HttpRequest, mailbox: UUID) -> HttpResponse:
        """Reads the folders from the server, and returns with what had been typed."""
        row = (
            mailboxes_of(request.user, "change")
            .select_related("email_server_profile", "regarding_user")
            .filter(pk=mailbox)
            .first()
        )
        if row is None:
            raise Http404
        self._read(request, row)
        return HttpResponseRedirect(self._back(request, row))

    def _read(self, request: HttpRequest, mailbox: Mailbox) -> None:
        organization = Organization.objects.current()
        if because := unfit(mailbox, organization):
            self.message_user(request, str(because), messages.ERROR)
            return
        # Nothing is opened that no test would open: approval says which mailboxes are (R2.3).
        workload = Workload.objects.get(mailbox=mailbox, operation=Operation.INCOMING)
        verdict = testable(facts_of(mailbox, workload, organization))
        if not verdict.ok:
            self.message_user(request, str(verdict.because), messages.ERROR)
            return
        try:
            folders = layout.refresh_folders(mailbox, organization, timezone.now())
        except ServerError as error:
            cause = cause_of(error.code, error.detail)
            self.message_user(request, f"{cause.meaning} {cause.advice}", messages.ERROR)
            return
        words = ngettext(
            "The server has %(count)d folder below the inbox.",
            "The server has %(count)d folders below the inbox.",
            len(folders),
        )
        self.message_user(request, words % {"count": len(folders)}, messages.SUCCESS)

    def _back(self, request: HttpRequest, mailbox: Mailbox) -> str:
        if key := request.POST.get("rule"):
            for rule in MailboxTrackingFolder.objects.filter(mailbox=mailbox):
                if str(rule.pk) == key:
                    return _page_of(rule)
        names = ("exchange_folder_id", "record_words", "record", "track_from")
        typed = {name: value for name in names if (value := request.POST.get(name))}
        url = reverse("admin:tracking_mailboxtrackingfolder_add")
        return f"{url}?{urlencode({'mailbox': mailbox.pk} | typed)}"

    def _answer(
        self, request: HttpRequest, template: str, context: dict[str, Any]
    ) -> TemplateResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, template, context)


# -- pieces --------------------------------------------------------------------------------------


def tracked_in_folder() -> Coalesce:
    """How many e-mails lie in a rule's folder, as far as the ledger knows."""
    rows = (
        SyncItem.objects.filter(
            mailbox=OuterRef("mailbox"),
            generation=OuterRef("mailbox__account_generation"),
            folder=OuterRef("exchange_folder_id"),
            left_at__isnull=True,
            email__isnull=False,
        )
        .order_by()
        .values("mailbox")
        .annotate(n=Count("pk"))
        .values("n")
    )
    return Coalesce(Subquery(rows, output_field=IntegerField()), 0)


def branches(mailbox: Mailbox, tree: Sequence[RemoteFolder]) -> list[Branch]:
    """The tree in its order: each folder after the one that it lies in."""
    rules = {
        rule.exchange_folder_id: rule
        for rule in MailboxTrackingFolder.objects.filter(mailbox=mailbox)
    }
    return [
        Branch(
            folder=one.folder,
            name=services.name_of(one),
            depth=min(max(len(one.path), 1), DEEPEST),
            messages=one.messages,
            rule=rules.get(one.folder),
        )
        for one in sorted(tree, key=lambda one: [name.casefold() for name in one.path])
    ]


def picker_context(form: RecordForm) -> dict[str, Any]:
    offered = form.offered
    others = [one for one in offered if one.value != form.chosen]
    return {
        "offered": offered,
        "found_words": _found_words(len(others)) if form.searched else "",
        "records_url": reverse("admin:tracking_mailboxtrackingfolder_records"),
    }


def _found_words(count: int) -> str:
    if count >= FOUND:
        return __("The first %(count)d records. More words find fewer.") % {"count": count}
    if not count:
        return __("No record that you may see has these words in its name or addresses.")
    return ngettext("%(count)d record found.", "%(count)d records found.", count) % {"count": count}


def _read_at(mailbox: Mailbox) -> Any:
    rows = MailboxLayout.objects.filter(mailbox=mailbox)
    return rows.values_list("hierarchy_read_at", flat=True).first()


def _value(rule: Any) -> str:
    """What stands for the rule's record in its form."""
    if rule.shown is None:
        return ""
    return value_of(rule.shown.record) if rule.shown.record is not None else KEEP


def _page_of(rule: MailboxTrackingFolder) -> str:
    return reverse("admin:tracking_mailboxtrackingfolder_change", args=[rule.pk])
