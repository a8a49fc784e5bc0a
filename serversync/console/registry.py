"""Which screen shows which table: the one place where screens are registered."""

from django.contrib.admin import AdminSite
from django.contrib.auth.models import Group
from django_q.models import Failure, OrmQ, Schedule, Success

from activities import admin as activities
from activities.models import (
    Account,
    ActivityPointer,
    Appointment,
    BouncedAddress,
    Contact,
    Email,
    EmailSignature,
    Fax,
    Incident,
    Lead,
    Letter,
    PhoneCall,
    QueueItem,
    RecurringAppointmentMaster,
    ServiceAppointment,
    StoredBytes,
    Task,
    Template,
)
from mailboxes import admin as mailboxes
from mailboxes.models import (
    ConfigurationChange,
    EmailSearch,
    EmailServerProfile,
    Mailbox,
    Organization,
    Queue,
    SystemUser,
    Team,
    TraceLog,
)
from serversync.console.actguard import BatchConsole
from serversync.console.acthistory import RevisionConsole
from serversync.console.actlinks import LinkConsole
from serversync.console.addressed import AccountConsole, ContactConsole, LeadConsole
from serversync.console.creation import (
    CaseConsole,
    ConvertRuleConsole,
    SignatureConsole,
    TemplateConsole,
)
from serversync.console.emails import EmailConsole
from serversync.console.filters import FilterConsole, FilterTemplateConsole
from serversync.console.folders import FolderRuleConsole
from serversync.console.hooks import HookRunConsole
from serversync.console.items import ItemConsole
from serversync.console.jobs import JobConsole, ScheduleConsole, WaitingJobConsole
from serversync.console.mailboxes.alerts import AlertConsole
from serversync.console.mailboxes.profiles import ProfileConsole
from serversync.console.mailboxes.queues import QueueConsole
from serversync.console.mailboxes.rows import (
    CycleConsole,
    FolderConsole,
    ServerActionConsole,
    WorkloadConsole,
)
from serversync.console.mailboxes.screen import MailboxConsole
from serversync.console.organization import OrganizationConsole
from serversync.console.people import AuditConsole, GroupConsole, UserConsole
from serversync.console.planning.meetings import AppointmentConsole, ServiceConsole
from serversync.console.planning.seriespage import SeriesConsole
from serversync.console.planning.todos import (
    FaxConsole,
    LetterConsole,
    PhoneCallConsole,
    TaskConsole,
)
from serversync.console.replay import ReplayConsole
from serversync.console.submissions import LearnedLimitConsole, SubmissionConsole
from serversync.models import (
    AuditEntry,
    ExchangeSyncIdMapping,
    FolderCursor,
    LearnedLimit,
    MailboxStatistics,
    ParkedBatch,
    Replay,
    SavedQuery,
    ServerAction,
    Submission,
    SyncItem,
    SyncRevision,
    UserQuery,
    Workload,
)
from tracking.models import ConvertRule, HookRun, MailboxTrackingFolder

SCREENS = {
    # Who has mail
    Mailbox: MailboxConsole,
    EmailServerProfile: ProfileConsole,
    Queue: QueueConsole,
    SystemUser: UserConsole,
    Team: mailboxes.TeamScreen,
    Group: GroupConsole,
    AuditEntry: AuditConsole,
    Organization: OrganizationConsole,
    ConfigurationChange: mailboxes.ChangeScreen,
    TraceLog: AlertConsole,
    EmailSearch: mailboxes.AddressScreen,
    MailboxTrackingFolder: FolderRuleConsole,
    ConvertRule: ConvertRuleConsole,
    UserQuery: FilterConsole,
    SavedQuery: FilterTemplateConsole,
    # The records
    Account: AccountConsole,
    Contact: ContactConsole,
    Lead: LeadConsole,
    Incident: CaseConsole,
    Template: TemplateConsole,
    EmailSignature: SignatureConsole,
    Email: EmailConsole,
    Appointment: AppointmentConsole,
    RecurringAppointmentMaster: SeriesConsole,
    ServiceAppointment: ServiceConsole,
    Task: TaskConsole,
    PhoneCall: PhoneCallConsole,
    Letter: LetterConsole,
    Fax: FaxConsole,
    QueueItem: activities.QueueItemScreen,
    BouncedAddress: activities.BouncedAddressScreen,
    ActivityPointer: activities.ActivityScreen,
    StoredBytes: activities.StoredBytesScreen,
    # What the engine remembers
    SyncItem: ItemConsole,
    Replay: ReplayConsole,
    ExchangeSyncIdMapping: LinkConsole,
    ParkedBatch: BatchConsole,
    SyncRevision: RevisionConsole,
    MailboxStatistics: CycleConsole,
    Workload: WorkloadConsole,
    FolderCursor: FolderConsole,
    ServerAction: ServerActionConsole,
    Submission: SubmissionConsole,
    LearnedLimit: LearnedLimitConsole,
    HookRun: HookRunConsole,
    # The queue
    Schedule: ScheduleConsole,
    Success: JobConsole,
    Failure: JobConsole,
    OrmQ: WaitingJobConsole,
}


def register_screens(site: AdminSite) -> None:
    """After Django's own discovery, whose screen of groups is replaced."""
    for model, screen in SCREENS.items():
        if site.is_registered(model):
            site.unregister(model)
        site.register(model, screen)
