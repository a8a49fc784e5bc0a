"""Screens for the records of this room. The e-mail's own page stands in the console, which can send."""

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from activities import cases, wording
from activities.bounced import bounced
from activities.choices import (
    UNDELIVERED,
    CaseState,
    CaseStatus,
    Direction,
    EmailStatus,
)
from activities.forms import SignatureForm, TemplateForm
from activities.models import (
    ActivityParty,
    ActivityPointer,
    BouncedAddress,
    Email,
    Incident,
    QueueItem,
    StoredBytes,
)
from activities.timeline import timeline_of
from mailboxes.choices import StateCode
from mailboxes.screens import (
    EMPTY,
    OWNER,
    ReadOnlyScreen,
    Screen,
    badge,
    by,
    bytes_in_words,
    joined,
    link,
    moment,
)

STATUS_KIND = {
    EmailStatus.DRAFT: "quiet",
    EmailStatus.COMPLETED: "good",
    EmailStatus.SENT: "good",
    EmailStatus.RECEIVED: "info",
    EmailStatus.CANCELED: "quiet",
    EmailStatus.PENDING_SEND: "warn",
    EmailStatus.SENDING: "warn",
    EmailStatus.FAILED: "bad",
}


def record_link(kind: ContentType | None, key: str, words: Any = None) -> SafeString | str:
    """A link to any record that has a screen; its words where it has none."""
    if kind is None or not key:
        return words or EMPTY
    words = words or kind.name
    try:
        return link(reverse(f"admin:{kind.app_label}_{kind.model}_change", args=[key]), words)
    except NoReverseMatch:
        return str(words)


# -- business records ----------------------------------------------------------------------------


ADDRESSES = ("email_address1", "email_address2", "email_address3", "email_address")
SUBJECT_SHOWN = 120  # of up to 800 characters, which would fill a screen


class RecordScreen(Screen):
    """Accounts, contacts and leads: their data, and a timeline of what happened with them."""

    change_form_template = "admin/activities/record/change_form.html"
    list_select_related = ["owning_user", "owning_team"]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        return {"owning_user": request.user.pk, **initial}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.modified_by = request.user
        if not change:
            obj.created_by = request.user
        super().save_model(request, obj, form, change)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        record = kw.get("obj")
        if record is not None:
            context["bounced"] = bounced(getattr(record, name, "") for name in ADDRESSES)
            context["timeline"] = timeline_of(record, request.user, request.GET.get("before"))
        return super().render_change_form(request, context, *args, **kw)

    @admin.display(description=_("owner"))
    def owner_words(self, record: Any) -> str:
        return str(record.owner)


_REACHABLE: Any = (
    _("How to reach them"),
    {
        "description": _("Mail from and to these addresses is filed under this record."),
        "fields": [
            ("email_address1", "email_address2", "email_address3"),
            ("do_not_email", "do_not_bulk_email", "follow_email"),
            "preferred_contact_method_code",
        ],
    },
)
_STREET: Any = [
    "address1_line1",
    "address1_line2",
    ("address1_postal_code", "address1_city"),
    ("address1_state_or_province", "address1_country"),
]


class AccountScreen(RecordScreen):
    search_fields = ["name", "account_number", "email_address1", "email_address2", "email_address3"]
    list_display = ["name", "email_address1", "telephone1", "primary_contact", "owner_words"]
    list_select_related = ["owning_user", "owning_team", "primary_contact"]
    autocomplete_fields = ["primary_contact", "parent_account", "owning_user", "owning_team"]
    fieldsets = [
        (
            _("Account"),
            {
                "description": _("A company or organisation."),
                "fields": [
                    "name",
                    ("account_number", "telephone1"),
                    "website_url",
                    ("primary_contact", "parent_account"),
                    "description",
                ],
            },
        ),
        _REACHABLE,
        (_("Address"), {"classes": ["collapse"], "fields": _STREET}),
        OWNER,
    ]


class ContactScreen(RecordScreen):
    search_fields = [
        "first_name", "last_name", "email_address1", "email_address2", "email_address3",
    ]  # fmt: skip
    list_display = ["name", "email_address1", "parent_account", "telephone1", "owner_words"]
    list_filter = ["is_auto_create"]
    list_select_related = ["owning_user", "owning_team", "parent_account"]
    autocomplete_fields = ["parent_account", "owning_user", "owning_team"]
    fieldsets = [
        (
            _("Contact"),
            {
                "description": _("A person."),
                "fields": [
                    ("first_name", "last_name"),
                    ("salutation", "job_title"),
                    "parent_account",
                    ("telephone1", "mobile_phone"),
                    "description",
                ],
            },
        ),
        _REACHABLE,
        (_("Address"), {"classes": ["collapse"], "fields": _STREET}),
        OWNER,
    ]

    @admin.display(description=_("name"), ordering="last_name")
    def name(self, contact: Any) -> str:
        return str(contact)


class LeadScreen(RecordScreen):
    search_fields = ["subject", "first_name", "last_name", "company_name", "email_address1"]
    list_display = ["subject", "name", "company_name", "email_address1", "status_code"]
    list_filter = ["status_code", "is_auto_create"]
    autocomplete_fields = ["parent_account", "parent_contact", "owning_user", "owning_team"]
    fieldsets = [
        (
            _("Lead"),
            {
                "description": _("Somebody who may become a customer."),
                "fields": [
                    "subject",
                    "status_code",
                    ("first_name", "last_name"),
                    ("company_name", "job_title"),
                    ("parent_account", "parent_contact"),
                    ("telephone1", "mobile_phone"),
                    "description",
                ],
            },
        ),
        _REACHABLE,
        (_("Address"), {"classes": ["collapse"], "fields": _STREET}),
        OWNER,
    ]

    @admin.display(description=_("name"), ordering="last_name")
    def name(self, lead: Any) -> str:
        return lead.full_name or EMPTY


# -- cases ---------------------------------------------------------------------------------------

CASE_KIND = {CaseState.ACTIVE: "info", CaseState.RESOLVED: "good", CaseState.CANCELED: "quiet"}


class CaseStateFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(str(state.value), state.label) for state in CaseState]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        if self.value() not in {str(state.value) for state in CaseState}:
            return queryset
        wanted = int(self.value() or 0)
        return queryset.filter(
            status_code__in=[s for s in CaseStatus if cases.state_of(s) == wanted]
        )


class CaseScreen(RecordScreen):
    """Cases: what customers want. Only active ones are changed; the others are taken up again first."""

    search_fields = [
        "title", "ticket_number", "email_address", "customer_account__name",
        "customer_contact__first_name", "customer_contact__last_name",
    ]  # fmt: skip
    list_display = ["name", "ticket_number", "customer_words", "priority", "state", "owner_words"]
    list_filter = [CaseStateFilter, "priority_code", "case_origin_code"]
    list_select_related = ["owning_user", "owning_team", "customer_account", "customer_contact"]
    ordering = ["-created_on"]
    autocomplete_fields = [
        "customer_account", "customer_contact", "primary_contact", "parent_case",
        "owning_user", "owning_team",
    ]  # fmt: skip
    readonly_fields = ["ticket_number", "resolved_on", "origin"]
    actions = ["resolve", "cancel", "take_up"]
    fieldsets = [
        (
            _("Case"),
            {
                "description": _("What a customer wants, until it is settled."),
                "fields": [
                    ("title", "ticket_number"),
                    ("customer_account", "customer_contact"),
                    ("primary_contact", "email_address"),
                    ("status_code", "priority_code"),
                    ("case_type_code", "case_origin_code"),
                    "description",
                ],
            },
        ),
        (_("History"), {"fields": ["origin", "parent_case", "resolved_on"]}),
        OWNER,
    ]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        context["timeline_is_filed"] = True  # a case has no addresses that mail is found by
        return super().render_change_form(request, context, *args, **kw)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and not obj.is_active_state:
            return False
        return super().has_change_permission(request, obj)

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A case is settled by its buttons, which note when."""
        if db_field.name == "status_code":
            kwargs["choices"] = [(s.value, s.label) for s in cases.ACTIVE_STATUSES]
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not obj.ticket_number:
            obj.ticket_number = cases.ticket_number(obj.pk, timezone.now())
        super().save_model(request, obj, form, change)

    @admin.display(description=_("title"), ordering="title")
    def name(self, case: Incident) -> SafeString:
        words = Truncator(case.title).chars(SUBJECT_SHOWN)
        return format_html('<span class="row-title">{}</span>', words)

    @admin.display(description=_("customer"))
    def customer_words(self, case: Incident) -> str:
        return str(case.customer)

    @admin.display(description=_("priority"), ordering="priority_code")
    def priority(self, case: Incident) -> str:
        return case.get_priority_code_display()

    @admin.display(description=_("status"), ordering="status_code")
    def state(self, case: Incident) -> SafeString:
        return badge(case.get_status_code_display(), CASE_KIND[case.state_code])

    @admin.display(description=_("created from"))
    def origin(self, case: Incident) -> SafeString | str:
        if case.created_from_id is None:
            return EMPTY
        url = reverse("admin:activities_email_change", args=[case.created_from_id])
        return link(url, __("the email"))

    @admin.action(description=_("Resolve"))
    def resolve(self, request: HttpRequest, queryset: "QuerySet[Incident]") -> None:
        self._settle(request, queryset, CaseStatus.PROBLEM_SOLVED, __("Resolved: %(case)s."))

    @admin.action(description=_("Cancel the case"))
    def cancel(self, request: HttpRequest, queryset: "QuerySet[Incident]") -> None:
        self._settle(request, queryset, CaseStatus.CANCELED, __("Canceled: %(case)s."))

    @admin.action(description=_("Take up again"))
    def take_up(self, request: HttpRequest, queryset: "QuerySet[Incident]") -> None:
        self._each(request, queryset, cases.reactivate, __("Taken up again: %(case)s."))

    def _settle(
        self, request: HttpRequest, queryset: "QuerySet[Incident]", status: CaseStatus, words: str
    ) -> None:
        self._each(request, queryset, partial(cases.settle, status=status), words)

    def _each(
        self, request: HttpRequest, queryset: "QuerySet[Incident]", deed: Any, words: str
    ) -> None:
        if self.missing(request, "change"):
            return
        for case in self.within_reach(request, queryset, "change"):
            try:
                deed(case=case, **by(request))
            except ValidationError as error:
                self.message_user(request, " ".join(error.messages), messages.WARNING)
            else:
                self.message_user(request, words % {"case": case}, messages.SUCCESS)


# -- templates and signatures --------------------------------------------------------------------


class WordingScreen(Screen):
    """Everybody uses what is for all; own ones are changed by whoever may."""

    open_to_all = True
    search_fields = ["title", "description"]
    list_filter = ["is_personal"]
    list_select_related = ["owning_user", "owning_team"]
    autocomplete_fields = ["owning_user", "owning_team"]
    readonly_fields = ["preview"]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"owning_user": request.user.pk, **super().get_changeform_initial_data(request)}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.modified_by = request.user
        if not change:
            obj.created_by = request.user
        super().save_model(request, obj, form, change)

    @admin.display(description=_("owner"))
    def owner_words(self, wording: Any) -> str:
        return str(wording.owner)

    @admin.display(description=_("for"), ordering="is_personal")
    def users(self, row: Any) -> str:
        return __("its owner only") if row.is_personal else __("everybody")

    @admin.display(description=_("preview"))
    def preview(self, row: Any) -> SafeString | str:
        """As it was saved; the console shows the text in a frame of its own."""
        if row is None or row._state.adding:
            return EMPTY
        url = reverse(f"admin:activities_{row._meta.model_name}_preview", args=[row.pk])
        return format_html(
            '<p><b>{}</b></p><iframe class="mail-body is-preview" title="{}" sandbox="" src="{}">'
            "</iframe>",
            self.example(row).subject,
            __("preview"),
            url,
        )

    def example(self, row: Any) -> wording.Worded:
        """Every field shows what it stands for."""
        kind = getattr(row, "template_type_code", "")
        values = {name: f"[{words}]" for name, words in wording.fields_for(kind).items()}
        return wording.word(getattr(row, "subject", ""), row.body, values)


class TemplateScreen(WordingScreen):
    form = TemplateForm
    list_display = ["title", "template_type_code", "subject", "users", "owner_words"]
    fieldsets = [
        (
            _("Template"),
            {
                "description": _(
                    "A text for emails: chosen when one is written, or sent by a rule as its answer."
                ),
                "fields": [
                    ("title", "template_type_code"), "subject", "body", "preview", "description",
                ],
            },
        ),
        (_("Owner"), {"fields": ["is_personal", "owning_user", "owning_team"]}),
    ]  # fmt: skip


class SignatureScreen(WordingScreen):
    form = SignatureForm
    list_display = ["title", "is_default", "users", "owner_words"]
    fieldsets = [
        (
            _("Signature"),
            {
                "description": _("What stands below an email."),
                "fields": [("title", "is_default"), "queue", "body", "preview", "description"],
            },
        ),
        (_("Owner"), {"fields": ["is_personal", "owning_user", "owning_team"]}),
    ]


# -- e-mail --------------------------------------------------------------------------------------


class EmailListScreen(Screen):
    """The list of e-mails; writing, reading and sending is the console's."""

    search_fields = ["activity__subject", "sender", "to_recipients", "=message_id"]
    list_display = ["subject", "direction", "who", "status", "mailbox", "files", "date"]
    list_display_links = ["subject"]
    list_filter = [
        "direction_code",
        "status_code",
        "kind",
        ("activity__sort_date", admin.DateFieldListFilter),
    ]
    list_select_related = ["activity", "receiving_mailbox", "sender_mailbox"]
    ordering = ["-activity__sort_date"]

    def get_queryset(self, request: HttpRequest) -> Any:
        # Bodies may be a megabyte each, and the list shows none.
        lost = ActivityParty.objects.filter(
            activity=OuterRef("pk"), delivery_result__in=UNDELIVERED
        )
        rows = super().get_queryset(request).annotate(is_undelivered=Exists(lost))
        return rows.defer("description", "decision", "references")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only drafts and failed mail can be changed (R5.1)."""
        if obj is not None and not obj.status.is_editable:
            return False
        return super().has_change_permission(request, obj)

    @admin.display(description=_("subject"), ordering="activity__subject")
    def subject(self, email: Email) -> SafeString:
        words = Truncator(email.activity.subject).chars(SUBJECT_SHOWN) or __("(no subject)")
        return format_html('<span class="row-title">{}</span>', words)

    @admin.display(description=_("direction"), ordering="direction_code")
    def direction(self, email: Email) -> str:
        return __("In") if email.direction_code == Direction.INCOMING else __("Out")

    @admin.display(description=_("from / to"))
    def who(self, email: Email) -> SafeString:
        words = email.sender if email.is_incoming else email.to_recipients
        return format_html('<span class="one-line">{}</span>', words or EMPTY)

    @admin.display(description=_("status"), ordering="status_code")
    def status(self, email: Email) -> SafeString:
        shown = badge(email.status.label, STATUS_KIND[email.status])
        if not getattr(email, "is_undelivered", False):
            return shown
        return format_html("{} {}", shown, badge(_("Undelivered"), "bad"))

    @admin.display(description=_("mailbox"))
    def mailbox(self, email: Email) -> str:
        return str(email.receiving_mailbox or email.sender_mailbox or EMPTY)

    @admin.display(description=_("files"), ordering="attachment_count")
    def files(self, email: Email) -> str:
        return str(email.attachment_count or "")

    @admin.display(description=_("date"), ordering="activity__sort_date")
    def date(self, email: Email) -> SafeString | str:
        return moment(email.activity.sort_date)


# -- queue items ---------------------------------------------------------------------------------


class BouncedAddressScreen(ReadOnlyScreen):
    """Addresses that mail came back from for good. To delete one is to forget that."""

    list_display = ["address", "status", "diagnostic", "count", "when", "email_words"]
    list_select_related = ["email__activity"]
    search_fields = ["address"]
    ordering = ["-bounced_on"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return Screen.has_delete_permission(self, request, obj)

    @admin.display(description=_("bounced on"), ordering="bounced_on")
    def when(self, row: BouncedAddress) -> SafeString | str:
        return moment(row.bounced_on)

    @admin.display(description=_("last email"))
    def email_words(self, row: BouncedAddress) -> SafeString | str:
        if row.email is None:
            return EMPTY
        words = Truncator(row.email.activity.subject).chars(SUBJECT_SHOWN) or __("(no subject)")
        return link(reverse("admin:activities_email_change", args=[row.email_id]), words)


class WorkFilter(admin.SimpleListFilter):
    title = _("worked on")
    parameter_name = "work"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("free", _("By nobody")), ("mine", _("By me")), ("done", _("Done"))]

    def choices(self, changelist: Any) -> Any:
        everything, *others = super().choices(changelist)
        yield {**everything, "display": _("Waiting")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        if self.value() == "done":
            return queryset.filter(state_code=StateCode.INACTIVE)
        waiting = queryset.filter(state_code=StateCode.ACTIVE)
        if self.value() == "free":
            return waiting.filter(worker_user=None, worker_team=None)
        if self.value() == "mine":
            return waiting.filter(worker_user=request.user)
        return waiting


class QueueItemScreen(ReadOnlyScreen):
    """What waits in queues. Working on it is picking, releasing and being done; no forms."""

    list_display = ["subject", "queue", "sender_words", "worker", "entered", "state"]
    list_display_links = None
    list_filter = [WorkFilter, ("queue", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["queue", "object", "worker_user", "worker_team"]
    search_fields = ["sender", "to_recipients", "object__subject"]
    ordering = ["-entered_on"]
    actions = ["pick", "release", "done"]

    @admin.display(description=_("email"))
    def subject(self, item: QueueItem) -> SafeString:
        url = reverse("admin:activities_email_change", args=[item.object_id])
        return format_html(
            '<a class="row-title" href="{}">{}</a>',
            url,
            Truncator(item.title).chars(SUBJECT_SHOWN) or __("(no subject)"),
        )

    @admin.display(description=_("from"), ordering="sender")
    def sender_words(self, item: QueueItem) -> str:
        return item.sender or EMPTY

    @admin.display(description=_("worked on by"))
    def worker(self, item: QueueItem) -> str:
        return joined([item.worker_user, item.worker_team])

    @admin.display(description=_("in the queue since"), ordering="entered_on")
    def entered(self, item: QueueItem) -> SafeString | str:
        return moment(item.entered_on)

    @admin.display(description=_("state"), ordering="state_code")
    def state(self, item: QueueItem) -> SafeString:
        if item.state_code == StateCode.INACTIVE:
            return badge(_("Done"), "quiet")
        return badge(_("Waiting"), "info")

    @admin.action(description=_("Pick: I work on it"))
    def pick(self, request: HttpRequest, queryset: "QuerySet[QueueItem]") -> None:
        free = self._workable(request, queryset)
        if free is None:
            return
        done = free.filter(worker_user=None, worker_team=None).update(
            worker_user=request.user, worker_modified_on=timezone.now()
        )
        self._say(
            request,
            done,
            ngettext("Picked %(count)d item.", "Picked %(count)d items.", done),
            __("Nothing was picked: somebody works on it already."),
        )

    @admin.action(description=_("Release: back to the queue"))
    def release(self, request: HttpRequest, queryset: "QuerySet[QueueItem]") -> None:
        taken = self._workable(request, queryset)
        if taken is None:
            return
        mine = Q(worker_user=request.user) | Q(worker_team__members=request.user)
        keys = list(taken.filter(mine).values_list("pk", flat=True))
        done = QueueItem.objects.filter(pk__in=keys).update(
            worker_user=None, worker_team=None, worker_modified_on=timezone.now()
        )
        self._say(
            request,
            done,
            ngettext("Released %(count)d item.", "Released %(count)d items.", done),
            __("Nothing was released: you work on none of them."),
        )

    @admin.action(description=_("Done: leave the queue"))
    def done(self, request: HttpRequest, queryset: "QuerySet[QueueItem]") -> None:
        open_items = self._workable(request, queryset)
        if open_items is None:
            return
        done = open_items.update(state_code=StateCode.INACTIVE, modified_by=request.user)
        self._say(
            request,
            done,
            ngettext("Closed %(count)d item.", "Closed %(count)d items.", done),
            __("Nothing was closed: it was done already."),
        )

    def _workable(
        self, request: HttpRequest, queryset: "QuerySet[QueueItem]"
    ) -> "QuerySet[QueueItem] | None":
        if self.missing(request, "change"):
            return None
        chosen = self.within_reach(request, queryset, "change")
        return chosen.filter(state_code=StateCode.ACTIVE)

    def _say(self, request: HttpRequest, done: int, words: str, nothing: str) -> None:
        if done:
            self.message_user(request, words % {"count": done}, messages.SUCCESS)
        else:
            self.message_user(request, nothing, messages.WARNING)


# -- behind the scenes ---------------------------------------------------------------------------


class ActivityScreen(ReadOnlyScreen):
    list_display = ["title", "activity_type_code", "state_code", "sort_date", "owner_words"]
    list_filter = ["activity_type_code", "state_code"]
    list_select_related = ["owning_user", "owning_team"]
    search_fields = ["subject"]
    ordering = ["-sort_date"]
    date_hierarchy = None

    @admin.display(description=_("subject"), ordering="subject")
    def title(self, activity: ActivityPointer) -> str:
        return activity.subject or __("(no subject)")

    @admin.display(description=_("owner"))
    def owner_words(self, activity: ActivityPointer) -> str:
        return str(activity.owner)


class StoredBytesScreen(ReadOnlyScreen):
    """Sizes and digests. The bytes are had from the e-mail or item that they belong to."""

    list_display = ["sha256", "octets", "place", "created_on", "unreferenced_since"]
    list_filter = ["place"]
    search_fields = ["=sha256"]
    fields = ["sha256", "octets", "place", "created_on", "unreferenced_since"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("content")

    @admin.display(description=_("size"), ordering="size")
    def octets(self, stored: StoredBytes) -> str:
        return bytes_in_words(stored.size)
