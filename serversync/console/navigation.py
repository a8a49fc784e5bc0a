"""The navigation by task: what a user may open, in the order in which one needs it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from serversync.choices import SubmissionState

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite

#: Section -> (word of the task, label of the model whose list opens, or name of a page).
SECTIONS: tuple[tuple[Promise, tuple[tuple[Promise, str], ...]], ...] = (
    (
        _("Synchronization"),
        (
            (_("Mailboxes"), "mailboxes.Mailbox"),
            (_("Profiles"), "mailboxes.EmailServerProfile"),
            (_("Folder rules"), "tracking.MailboxTrackingFolder"),
            (_("Creation rules"), "tracking.ConvertRule"),
            (_("Filters"), "serversync.UserQuery"),
            (_("Filter templates"), "serversync.SavedQuery"),
            (_("Directions of fields"), "directions"),
            (_("Items"), "serversync.SyncItem"),
            (_("Balance"), "balance"),
            (_("Not synchronized"), "monitor"),
            (_("Quarantine"), "quarantine"),
            (_("What if"), "what_if"),
            (_("Replays"), "serversync.Replay"),
            (_("Synchronized items"), "serversync.ExchangeSyncIdMapping"),
            (_("Waiting for approval"), "serversync.ParkedBatch"),
            (_("Decisions"), "act_questions"),
            (_("Alerts"), "alert_groups"),
        ),
    ),
    (
        _("Mail"),
        (
            (_("Emails"), "activities.Email"),
            (_("Queue items"), "activities.QueueItem"),
            (_("Bounced addresses"), "activities.BouncedAddress"),
            (_("Templates"), "activities.Template"),
            (_("Signatures"), "activities.EmailSignature"),
        ),
    ),
    (
        _("Calendar and tasks"),
        (
            (_("Calendar"), "calendar"),
            (_("Appointments"), "activities.Appointment"),
            (_("Recurring appointments"), "activities.RecurringAppointmentMaster"),
            (_("Service activities"), "activities.ServiceAppointment"),
            (_("Tasks"), "activities.Task"),
            (_("Phone calls"), "activities.PhoneCall"),
            (_("Letters"), "activities.Letter"),
            (_("Faxes"), "activities.Fax"),
        ),
    ),
    (
        _("People"),
        (
            (_("Users"), "mailboxes.SystemUser"),
            (_("Queues"), "mailboxes.Queue"),
            (_("Teams"), "mailboxes.Team"),
            (_("Groups"), "auth.Group"),
            (_("Import"), "import"),
        ),
    ),
    (
        _("Records"),
        (
            (_("Accounts"), "activities.Account"),
            (_("Contacts"), "activities.Contact"),
            (_("Leads"), "activities.Lead"),
            (_("Cases"), "activities.Incident"),
            (_("Shared addresses"), "conflicts"),
        ),
    ),
    (
        _("Settings"),
        (
            (_("Set up a server"), "wizard"),
            (_("All settings"), "settings"),
            (_("Organization"), "mailboxes.Organization"),
            (_("What was changed"), "mailboxes.ConfigurationChange"),
            (_("Audit trail"), "serversync.AuditEntry"),
        ),
    ),
)

#: The rows behind the scenes; folded away.
ENGINE: tuple[tuple[Promise, str], ...] = (
    (_("Cycles"), "serversync.MailboxStatistics"),
    (_("Workloads"), "serversync.Workload"),
    (_("Folders"), "serversync.FolderCursor"),
    (_("Server actions"), "serversync.ServerAction"),
    (_("Submissions"), "serversync.Submission"),
    (_("Learned sending limits"), "serversync.LearnedLimit"),
    (_("Hook runs"), "tracking.HookRun"),
    (_("Revisions"), "serversync.SyncRevision"),
    (_("Activities"), "activities.ActivityPointer"),
    (_("Address index"), "mailboxes.EmailSearch"),
    (_("Stored bytes"), "activities.StoredBytes"),
    (_("Failed jobs"), "django_q.Failure"),
    (_("Schedules"), "django_q.Schedule"),
)


#: Pages that are no list of a model: name of the address -> whose screen must be open to the user.
PAGES = {
    "balance": "serversync.SyncItem",
    "monitor": "serversync.SyncItem",
    "quarantine": "serversync.SyncItem",
    "alert_groups": "mailboxes.TraceLog",
    "what_if": "serversync.SyncItem",
    "act_questions": "serversync.ExchangeSyncIdMapping",
    "conflicts": "mailboxes.EmailSearch",
    "calendar": "activities.Appointment",
    "directions": "serversync.UserQuery",
    "settings": "mailboxes.Organization",
    "import": "mailboxes.SystemUser",
    "wizard": "mailboxes.EmailServerProfile",
}

#: Those among them that change something, so that it isn't enough to look.
CHANGING = {"import", "wizard"}


@dataclass(frozen=True, slots=True)
class Task:
    name: Any
    url: str
    current: bool


@dataclass(slots=True)
class Section:
    name: Any
    tasks: list[Task] = field(default_factory=list)
    folded: bool = False

    @property
    def current(self) -> bool:
        return any(task.current for task in self.tasks)


def sections(site: "AdminSite", request: HttpRequest) -> list[Section]:
    """Only what this user may open."""
    screens = {model._meta.label: screen for model, screen in site._registry.items()}
    front = reverse("admin:index", current_app=site.name)
    mine = reverse("admin:my_mailbox", current_app=site.name)
    first = [
        Task(_("Overview"), front, request.path == front),
        Task(_("My mailbox"), mine, request.path == mine),
    ]
    found = [Section("", first)]
    for name, tasks, folded in (
        *((name, tasks, False) for name, tasks in SECTIONS),
        (_("Engine"), ENGINE, True),
    ):
        section = Section(name, folded=folded)
        for word, label in tasks:
            screen = screens.get(PAGES.get(label, label))
            if screen is None or not _opens(screen, label, request):
                continue
            meta = screen.model._meta
            listed = f"{meta.app_label}_{meta.model_name}_changelist"
            place = label if label in PAGES else listed
            url = reverse(f"admin:{place}", current_app=site.name)
            section.tasks.append(Task(word, url, request.path.startswith(url)))
        if section.tasks:
            found.append(section)
    return found


def _opens(screen: Any, label: str, request: HttpRequest) -> bool:
    if label in CHANGING:
        return bool(screen.has_change_permission(request))
    return bool(screen.has_view_or_change_permission(request))


def in_doubt() -> str:
    """The address of the list of e-mails of which nobody knows whether they left (R5.17)."""
    page = reverse("admin:serversync_submission_changelist")
    return f"{page}?state__exact={SubmissionState.UNKNOWN}"
