"""What the engine remembers: its workloads, the ledger, what is still to be done, how it went.

Rows here are written by the cycles only; the console shows them read-only.
"""

from serversync.models.act import (
    ActState,
    ExchangeSyncIdMapping,
    ItemFolderCursor,
    ParkedBatch,
    ParkedChange,
    SyncRevision,
)
from serversync.models.alarms import ProfileAlarm
from serversync.models.clusters import Cluster
from serversync.models.connections import ConnectionTest
from serversync.models.directions import SyncAttributeMapping
from serversync.models.engine import FolderCursor, MailboxLayout, MailboxStatistics, Workload
from serversync.models.filters import FilterSetup, SavedQuery, UserQuery
from serversync.models.imports import Import
from serversync.models.ledger import ServerAction, SyncItem
from serversync.models.people import (
    AuditEntry,
    Authenticator,
    RecoveryCode,
    ShippedRole,
    SignInBrake,
)
from serversync.models.recounts import Recount
from serversync.models.replays import Replay, ReplayChange
from serversync.models.sending import LearnedLimit, Submission
from serversync.models.totals import FoldedItem, ItemDay, MailboxStatisticsDay
from serversync.models.verbose import VerboseLine, VerboseLogging
from serversync.models.watches import MailboxWatch, WatchProcess

__all__ = [
    "ActState",
    "AuditEntry",
    "Authenticator",
    "Cluster",
    "ConnectionTest",
    "ExchangeSyncIdMapping",
    "FilterSetup",
    "FoldedItem",
    "FolderCursor",
    "Import",
    "ItemDay",
    "ItemFolderCursor",
    "LearnedLimit",
    "MailboxLayout",
    "MailboxStatistics",
    "MailboxStatisticsDay",
    "MailboxWatch",
    "ParkedBatch",
    "ParkedChange",
    "ProfileAlarm",
    "Recount",
    "RecoveryCode",
    "Replay",
    "ReplayChange",
    "SavedQuery",
    "ServerAction",
    "ShippedRole",
    "SignInBrake",
    "Submission",
    "SyncAttributeMapping",
    "SyncItem",
    "SyncRevision",
    "UserQuery",
    "VerboseLine",
    "VerboseLogging",
    "WatchProcess",
    "Workload",
]
