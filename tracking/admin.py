"""The screen of folder rules: the list, and whose they are. The console adds the pages, which need the
server."""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from activities.admin import record_link
from mailboxes import access
from mailboxes.models import Mailbox, Organization
from mailboxes.remembering import Remembered
from mailboxes.screens import EMPTY, Rows, badge
from tracking import services
from tracking.access import mailboxes_of
from tracking.choices import FolderState
from tracking.folders import RuleFacts, find, kind_fault, mailbox_fault
from tracking.models import MailboxTrackingFolder
from tracking.records import Shown, shown

STATE_KIND = {
    FolderState.ACTIVE: "good",
    FolderState.OUTSIDE: "warn",
    FolderState.MISSING: "bad",
    FolderState.DENIED: "bad",
}


class RuleRows(Rows):
    """Rules with their records, as far as the reader may see them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        show_records(self.result_list, request.user)


def show_records(rules: Any, user: Any) -> None:
    """Puts `shown` on each rule: its record for this reader, None without one."""
    rules = list(rules)
    records = shown((ref for rule in rules if (ref := services.ref_of_rule(rule))), user)
    for rule in rules:
        ref = services.ref_of_rule(rule)
        rule.shown = records.get(ref, Shown(None, False)) if ref else None


class FolderRuleScreen(Remembered):
    """Everybody meets the rules of own mailboxes and queues; a permission reaches further."""

    open_to_all = True
    list_display = ["folder", "mailbox", "record_words", "state_words", "onboarding"]
    list_display_links = ["folder"]
    list_filter = ["state"]
    list_select_related = ["mailbox__layout", "mailbox__owning_user", "regarding_type"]
    search_fields = ["exchange_folder_name", "mailbox__name", "mailbox__email_address"]
    ordering = ["mailbox__name", "exchange_folder_name"]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[RuleRows]:
        return RuleRows

    # -- rights: those of the row, see tracking.access

    def has_add_permission(self, request: HttpRequest) -> bool:
        answers: dict[Any, bool] = request.__dict__.setdefault("_reach_answers", {})
        key = (MailboxTrackingFolder, "add")
        if key not in answers:
            answers[key] = mailboxes_of(request.user).exists()
        return answers[key]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._reaches(request, obj, "change")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._reaches(request, obj, "delete")

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        services.remove_rule(rule=obj, actor=request.user)  # type: ignore[arg-type]

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> None:
        for rule in access.visible_to(request.user, queryset, "delete"):
            self.delete_model(request, rule)

    # -- columns

    @admin.display(description=_("folder"), ordering="exchange_folder_name")
    def folder(self, rule: MailboxTrackingFolder) -> SafeString:
        *above, name = path_of(rule)
        return format_html(
            '<span class="row-title">{}</span><span class="row-sub">{}</span>',
            name,
            services.path_words(above),
        )

    @admin.display(description=_("filed under"))
    def record_words(self, rule: Any) -> SafeString | str:
        return record_words(rule)

    @admin.display(description=_("state"), ordering="state")
    def state_words(self, rule: MailboxTrackingFolder) -> SafeString:
        return state_words(rule)

    @admin.display(description=_("messages taken at the start"))
    def onboarding(self, rule: MailboxTrackingFolder) -> str:
        return onboarding_words(rule)


def path_of(rule: MailboxTrackingFolder) -> list[str]:
    """Names from the inbox down, as they were last read."""
    remote = find(services.tree_of(rule.mailbox) or (), rule.exchange_folder_id)
    return list(remote.path) if remote and remote.path else [str(rule)]


def record_words(rule: Any) -> SafeString | str:
    """Needs `show_records`."""
    if rule.shown is None:
        return EMPTY
    if rule.shown.record is not None:
        return record_link(rule.regarding_type, rule.regarding_id, rule.shown.record)
    if rule.shown.exists:
        return __("a record that is not yours to see")
    return badge(_("the record is gone"), "bad")


def state_words(rule: MailboxTrackingFolder) -> SafeString:
    state = FolderState(rule.state)
    return badge(state.label, STATE_KIND[state])


def onboarding_words(rule: MailboxTrackingFolder) -> str:
    """How far what lay there at the start has been gone through (R7.7)."""
    if rule.onboarded_on is not None:
        return __("all %(count)d") % {"count": rule.folder_onboarding_status}
    if rule.messages_at_start is None:
        return __("not begun")
    return __("%(count)d of %(all)d") % {
        "count": rule.folder_onboarding_status,
        "all": rule.messages_at_start,
    }


# -- the card on a mailbox's page ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CardLine:
    rule: MailboxTrackingFolder
    path: str
    record: SafeString | str
    state: SafeString


@dataclass(frozen=True, slots=True)
class RulesCard:
    """`fault`: why no (further) rule can be made; `add_url`: "" where the reader may make none."""

    lines: list[CardLine]
    fault: Any
    add_url: str
    list_url: str


def rules_card(user: Any, mailbox: Mailbox, organization: Organization) -> RulesCard | None:
    """The rules of a mailbox for whoever may see them or make some; None for others."""
    rows = access.visible_to(user, MailboxTrackingFolder.objects.filter(mailbox=mailbox), "view")
    rules = list(rows.select_related("mailbox__layout", "regarding_type"))
    may_add = mailboxes_of(user).filter(pk=mailbox.pk).exists()
    if not rules and not may_add:
        return None
    show_records(rules, user)
    facts = RuleFacts(
        mailbox=mailbox,
        server_type=_server_type(mailbox),
        organization=organization,
        others=[rule.exchange_folder_id for rule in rules],
    )
    fault = mailbox_fault(facts)
    add = reverse("admin:tracking_mailboxtrackingfolder_add")
    listed = reverse("admin:tracking_mailboxtrackingfolder_changelist")
    return RulesCard(
        lines=[
            CardLine(
                rule, services.path_words(path_of(rule)), record_words(rule), state_words(rule)
            )
            for rule in rules
        ],
        fault=fault,
        add_url=f"{add}?mailbox={mailbox.pk}" if may_add and not fault else "",
        list_url=f"{listed}?mailbox__id__exact={mailbox.pk}",
    )


def unfit(mailbox: Mailbox, organization: Organization) -> Any:
    """Why folders of this mailbox are not tracked, None if they are."""
    return kind_fault(mailbox, _server_type(mailbox), organization)


def _server_type(mailbox: Mailbox) -> int | None:
    profile = mailbox.email_server_profile
    return profile.server_type if profile else None
