"""Which of the engine's rows a user reaches. Registered with `mailboxes.access` at the start."""

from django.contrib.auth.models import Group
from django.db.models import Q
from django_q.models import OrmQ, Schedule, Task

from activities.models import Email
from mailboxes.access import EVERYTHING, NOTHING, Asker, content_readers, rows
from mailboxes.choices import Reach
from mailboxes.models import EmailServerProfile, Mailbox
from serversync.models import (
    ActState,
    AuditEntry,
    Authenticator,
    Cluster,
    ConnectionTest,
    ExchangeSyncIdMapping,
    FilterSetup,
    FoldedItem,
    FolderCursor,
    Import,
    ItemDay,
    ItemFolderCursor,
    LearnedLimit,
    MailboxStatistics,
    MailboxStatisticsDay,
    ParkedBatch,
    ParkedChange,
    Recount,
    RecoveryCode,
    Replay,
    ReplayChange,
    SavedQuery,
    ServerAction,
    ShippedRole,
    SignInBrake,
    Submission,
    SyncAttributeMapping,
    SyncItem,
    SyncRevision,
    UserQuery,
    WatchProcess,
    Workload,
)

TRACK = "track_syncitem"


@rows(
    *(Workload, FolderCursor, MailboxStatistics, MailboxStatisticsDay, ServerAction),
    *(ActState, ItemFolderCursor, ItemDay, FoldedItem, Recount),
)
def _of_a_mailbox(asker: Asker) -> Q:
    """They explain their mailbox: who may look at it may look at them. Nobody changes them."""
    return Q(mailbox__in=asker.seen(Mailbox)) if asker.viewing else NOTHING


@rows(ConnectionTest)
def _of_a_profile(asker: Asker) -> Q:
    return Q(profile__in=asker.seen(EmailServerProfile)) if asker.viewing else NOTHING


@rows(SyncItem)
def _items(asker: Asker) -> Q:
    """Looking goes with the mailbox (subjects are guarded apart, R8.30); retrying has a permission, and so
    has tracking by hand, for those who may read the mail: whatever its reach, it goes no further."""
    if asker.action == TRACK:
        readable = Mailbox.objects.filter(content_readers(asker.user))
        return NOTHING if asker.reach is None else Q(mailbox__in=readable)
    return Q(mailbox__in=asker.seen(Mailbox)) if asker.viewing else asker.owned("mailbox__")


@rows(ExchangeSyncIdMapping, ParkedBatch, SyncRevision)
def _of_pairs(asker: Asker) -> Q:
    """Looking goes with the mailbox (what is in them is guarded apart, R8.30). Deciding is the business of whose
    mailbox it is, and of whom a permission lets (R6.46, R8.17)."""
    if asker.viewing:
        return Q(mailbox__in=asker.seen(Mailbox))
    mine = Q(mailbox__owning_user=asker.user.pk) | Q(mailbox__regarding_user=asker.user.pk)
    allowed = asker.owned("mailbox__")
    return allowed | mine if allowed else allowed


@rows(ParkedChange)
def _parked_changes(asker: Asker) -> Q:
    return Q(batch__in=asker.seen(ParkedBatch)) if asker.viewing else NOTHING


@rows(Submission)
def _submissions(asker: Asker) -> Q:
    """With the mailbox that sends, or with the email."""
    if not asker.viewing:
        return NOTHING
    return Q(mailbox__in=asker.seen(Mailbox)) | Q(email__in=asker.seen(Email))


@rows(LearnedLimit)
def _learned_limits(asker: Asker) -> Q:
    """Seen with the mailbox or profile; forgotten as far as the permission for it reaches these."""
    if not asker.viewing:
        return asker.owned("mailbox__") | asker.owned("email_server_profile__")
    return Q(mailbox__in=asker.seen(Mailbox)) | Q(
        email_server_profile__in=asker.seen(EmailServerProfile)
    )


@rows(UserQuery)
def _filters(asker: Asker) -> Q:
    """Own ones need no permission (R6.12); with one, also those of whom its reach covers."""
    if asker.reach == Reach.ALL:
        return EVERYTHING
    mine = Q(owning_user=asker.user.pk)
    return mine | Q(owning_user__in=asker.teammates) if asker.reach == Reach.TEAM else mine


@rows(SavedQuery)
def _filter_templates(asker: Asker) -> Q:
    """They belong to nobody and tell nothing of anybody."""
    return EVERYTHING if asker.viewing or asker.reach is not None else NOTHING


@rows(SyncAttributeMapping)
def _directions(asker: Asker) -> Q:
    """Everybody may look which way fields go; changing it needs the permission (R6.14)."""
    return EVERYTHING if asker.viewing or asker.reach is not None else NOTHING


@rows(FilterSetup)
def _filter_setups(asker: Asker) -> Q:
    return EVERYTHING if asker.viewing and asker.reach == Reach.ALL else NOTHING


@rows(Replay)
def _replays(asker: Asker) -> Q:
    """Each was decided over what its maker may see, so nobody else sees it, whatever his reach."""
    return NOTHING if asker.reach is None else Q(created_by=asker.user.pk)


@rows(Import)
def _imports(asker: Asker) -> Q:
    """Each was planned over what its importer may see and do."""
    return Q(created_by=asker.user.pk) if asker.viewing else NOTHING


@rows(ReplayChange)
def _replay_changes(asker: Asker) -> Q:
    return Q(replay__in=asker.seen(Replay)) if asker.viewing else NOTHING


@rows(Group)
def _groups(asker: Asker) -> Q:
    """They belong to nobody: the permission alone decides."""
    return NOTHING if asker.reach is None else EVERYTHING


@rows(AuditEntry)
def _audit(asker: Asker) -> Q:
    """What one did, and what happened to one's own account; of others, as far as the reach goes."""
    if not asker.viewing or asker.reach is None:
        return NOTHING
    if asker.reach == Reach.ALL:
        return EVERYTHING
    found = Q(actor=asker.user.pk) | Q(about_user=asker.user.pk)
    if asker.reach == Reach.TEAM:
        found |= Q(actor__in=asker.teammates) | Q(about_user__in=asker.teammates)
    return found


@rows(Authenticator, RecoveryCode, SignInBrake, ShippedRole)
def _of_nobody(asker: Asker) -> Q:
    """No page shows these rows."""
    return NOTHING


@rows(Schedule, Task, OrmQ, Cluster, WatchProcess)
def _jobs(asker: Asker) -> Q:
    """Jobs of everybody's mailboxes: only reach over all rows opens the tables."""
    return EVERYTHING if asker.viewing and asker.reach == Reach.ALL else NOTHING
