"""Who has mail, and how we reach it."""

from mailboxes.models.alerts import TraceLog
from mailboxes.models.base import Owned, Record, Stamped, Stateful, uuid7
from mailboxes.models.certificates import ServerCertificate
from mailboxes.models.endpoints import DiscoveredEndpoint
from mailboxes.models.history import ConfigurationChange
from mailboxes.models.mailboxes import Mailbox
from mailboxes.models.organization import Organization
from mailboxes.models.profiles import EmailServerProfile
from mailboxes.models.queues import Queue
from mailboxes.models.search import EmailSearch
from mailboxes.models.users import GroupReach, SystemUser, Team, UserSettings

__all__ = [
    "ConfigurationChange",
    "DiscoveredEndpoint",
    "EmailSearch",
    "EmailServerProfile",
    "GroupReach",
    "Mailbox",
    "Organization",
    "Owned",
    "Queue",
    "Record",
    "ServerCertificate",
    "Stamped",
    "Stateful",
    "SystemUser",
    "Team",
    "TraceLog",
    "UserSettings",
    "uuid7",
]
