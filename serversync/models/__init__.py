"""What the engine remembers: its workloads, the ledger, what is still to be done, how it went.

Rows here are written by the cycles only; the console shows them read-only.
"""

from serversync.models.engine import FolderCursor, MailboxLayout, MailboxStatistics, Workload
from serversync.models.ledger import ServerAction, SyncItem
from serversync.models.replays import Replay, ReplayChange
from serversync.models.sending import LearnedLimit, Submission

__all__ = [
    "FolderCursor",
    "LearnedLimit",
    "MailboxLayout",
    "MailboxStatistics",
    "Replay",
    "ReplayChange",
    "ServerAction",
    "Submission",
    "SyncItem",
    "Workload",
]
