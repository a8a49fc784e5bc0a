"""Dataverse option values of this room. Never renumber, never reuse a value."""

from django.db.models import IntegerChoices, TextChoices
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class ServerType(IntegerChoices):
    """emailserverprofile.servertype (R1.10)."""

    EXCHANGE_SERVER = 0, _("Exchange Server")
    POP3_SMTP = 1, _("Other (POP3/SMTP)")
    EXCHANGE_HYBRID = 2, _("Exchange Server (Hybrid)")
    EXCHANGE_ONLINE = 3, _("Exchange Online (Hybrid)")
    IMAP_SMTP = 4, _("IMAP/SMTP")

    @property
    def is_exchange(self) -> bool:
        return self in (self.EXCHANGE_SERVER, self.EXCHANGE_HYBRID, self.EXCHANGE_ONLINE)


class AuthenticationProtocol(IntegerChoices):
    """emailserverprofile.incomingauthenticationprotocol, outgoing... (R1.20)."""

    AUTO_DETECT = 0, _("Auto Detect")
    NEGOTIATE = 1, _("Negotiate")
    NTLM = 2, _("NTLM")
    BASIC = 3, _("Basic")
    OAUTH = 4, _("OAuth")


class CredentialRetrieval(IntegerChoices):
    """emailserverprofile.incomingcredentialretrieval, outgoing... (section 1.3)."""

    USER_OR_QUEUE = 0, _("Credentials Specified by a User or Queue")
    PROFILE = 1, _("Credentials Specified in Email Server Profile")
    SERVER_TO_SERVER = 2, _("Server to Server Authentication")
    WINDOWS_INTEGRATED = 3, _("Windows Integrated Authentication")
    ANONYMOUS = 4, _("Without Credentials (Anonymous)")
    GMAIL_OAUTH = 5, _("Gmail OAuth")
    EXCHANGE_HYBRID_MODERN = 6, _("Exchange Hybrid Modern Auth (HMA)")
    ENTRA_OAUTH = 7, _("OAuth with Microsoft Entra ID")


class ServerAuthority(IntegerChoices):
    """emailserverprofile.serverauthority."""

    PUBLIC = 0, _("Public/GCC")
    US_GOVERNMENT = 1, _("US Government GCC High and DoD")
    CHINA = 2, _("China (21Vianet)")
    AUTOMATIC = 3, _("Automatic")


class OAuthGrant(TextChoices):
    """Ours: whose consent a token stands for (R1.21)."""

    APPLICATION = "application", _("The client opens every mailbox")
    MAILBOX = "mailbox", _("The owner of each mailbox signs in")


class ExchangeVersion(IntegerChoices):
    """emailserverprofile.exchangeversion."""

    EXCHANGE_2007 = 0, "Exchange 2007"
    EXCHANGE_2007_SP1 = 1, "Exchange 2007 SP1"
    EXCHANGE_2010 = 2, "Exchange 2010"
    EXCHANGE_2010_SP1 = 3, "Exchange 2010 SP1"
    EXCHANGE_2010_SP2 = 4, "Exchange 2010 SP2"
    EXCHANGE_2013 = 5, "Exchange 2013"


class TlsMode(IntegerChoices):
    """Ours: how TLS starts on this connection."""

    BY_PORT = 0, _("By port")
    IMPLICIT = 1, _("TLS from the first byte")
    STARTTLS = 2, _("STARTTLS / STLS")


class ExecutionStatus(IntegerChoices):
    """emailserverprofile.lasttestexecutionstatus."""

    FAILURE = 0, _("Failure")
    SUCCESS = 1, _("Success")
    WARNING = 2, _("Warning")


class ValidationStatus(IntegerChoices):
    """emailserverprofile.lasttestvalidationstatus and lastauthorizationstatus."""

    FAILURE = 0, _("Failure")
    SUCCESS = 1, _("Success")


class StateCode(IntegerChoices):
    """statecode of profile, mailbox, queue, queue item, account and contact."""

    ACTIVE = 0, _("Active")
    INACTIVE = 1, _("Inactive")


class StatusCode(IntegerChoices):
    """statuscode of the same tables; each belongs to exactly one state."""

    ACTIVE = 1, _("Active")
    INACTIVE = 2, _("Inactive")


class IncomingDeliveryMethod(IntegerChoices):
    """mailbox.incomingemaildeliverymethod (section 1.6)."""

    NONE = 0, _("None")
    OUTLOOK = 1, _("Microsoft Dynamics 365 for Outlook")
    SERVER_SIDE_SYNC = 2, _("Server-Side Synchronization")
    FORWARD_MAILBOX = 3, _("Forward Mailbox")


class OutgoingDeliveryMethod(IntegerChoices):
    """mailbox.outgoingemaildeliverymethod."""

    NONE = 0, _("None")
    OUTLOOK = 1, _("Microsoft Dynamics 365 for Outlook")
    SERVER_SIDE_SYNC = 2, _("Server-Side Synchronization")


class ActDeliveryMethod(IntegerChoices):
    """mailbox.actdeliverymethod; the numbering differs from the two above."""

    OUTLOOK = 0, _("Microsoft Dynamics 365 for Outlook")
    SERVER_SIDE_SYNC = 1, _("Server-Side Synchronization")
    NONE = 2, _("None")


class AccessApproval(IntegerChoices):
    """mailbox.emailrouteraccessapproval (R2.1)."""

    EMPTY = 0, _("Empty")
    APPROVED = 1, _("Approved")
    PENDING = 2, _("Pending Approval")
    REJECTED = 3, pgettext_lazy("approval", "Rejected")


class TestStatus(IntegerChoices):
    """mailbox.incomingemailstatus, outgoingemailstatus, actstatus (R2.12)."""

    NOT_RUN = 0, _("Not Run")
    SUCCESS = 1, _("Success")
    FAILURE = 2, _("Failure")


class Operation(IntegerChoices):
    """mailboxstatistics.operationtypeid: the three workloads."""

    INCOMING = 0, _("Incoming email")
    OUTGOING = 1, _("Outgoing email")
    ACT = 2, _("Appointments, contacts and tasks")


class WorkloadState(TextChoices):
    """Ours: whether the engine runs a workload by itself."""

    READY = "ready", _("Ready")
    PAUSED = "paused", _("Paused after repeated failures; probed by itself")
    DISABLED = "disabled", _("Disabled until tested again")


class FilteringMethod(IntegerChoices):
    """usersettings and queue.incomingemailfilteringmethod (R3.16)."""

    ALL = 0, _("All email messages")
    RESPONSES = 1, _("Email messages in response to tracked email")
    LEADS_CONTACTS_ACCOUNTS = 2, _("Email messages from leads, contacts and accounts")
    EMAIL_ENABLED = 3, _("Email messages from records that are email enabled")
    NONE = 4, _("No email messages")


class AutoCreate(IntegerChoices):
    """usersettings.autocreatecontactonpromote (R3.57); values are ours, none are published."""

    NONE = 0, _("Do not create")
    CONTACT = 1, _("Contact")
    LEAD = 2, _("Lead")


class QueueViewType(IntegerChoices):
    """queue.queueviewtype."""

    PUBLIC = 0, _("Public")
    PRIVATE = 1, _("Private")


class AccessMode(IntegerChoices):
    """systemuser.accessmode."""

    READ_WRITE = 0, _("Read-Write")
    ADMINISTRATIVE = 1, _("Administrative")
    READ = 2, _("Read")
    SUPPORT_USER = 3, _("Support User")
    NON_INTERACTIVE = 4, _("Non-interactive")
    DELEGATED_ADMIN = 5, _("Delegated Admin")


class TeamType(IntegerChoices):
    """team.teamtype."""

    OWNER = 0, _("Owner")
    ACCESS = 1, _("Access")
    SECURITY_GROUP = 2, _("Directory security group")
    OFFICE_GROUP = 3, _("Directory office group")


class TraceLevel(IntegerChoices):
    """tracelog.level (R8.10)."""

    INFORMATION = 1, _("Information")
    WARNING = 2, _("Warning")
    ERROR = 3, _("Error")


class ChangeEvent(TextChoices):
    """Ours: what happened to a record of the configuration."""

    MADE = "insert", _("Made")
    CHANGED = "update", _("Changed")
    REMOVED = "delete", _("Removed")
    ADDED = "add", _("Added")  # to a list of others, such as a team's members
    TAKEN_OUT = "take", _("Taken out")


class Reach(IntegerChoices):
    """Ours: how far a group's permissions go."""

    OWN = 1, _("Own records")
    TEAM = 2, _("Own records and those of own teams")
    ALL = 3, _("All records")


class ConnectionChannel(IntegerChoices):
    """organization.emailconnectionchannel."""

    SERVER_SIDE_SYNC = 0, _("Server-Side Synchronization")
    EMAIL_ROUTER = 1, _("Microsoft Dynamics 365 Email Router")


class FullNameConvention(TextChoices):
    """Ours: organization.fullnameconventioncode reduced to the two orders that names need."""

    FIRST_LAST = "first_last", _("First name, last name")
    LAST_FIRST = "last_first", _("Last name, first name")


class SecondFactor(IntegerChoices):
    """Ours: whom the organization asks for a second factor."""

    OPTIONAL = 0, _("Optional")
    ADMINISTRATORS = 1, _("Required for administrators")
    ALL = 2, _("Required for all")
