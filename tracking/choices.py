"""Words of this room: why a message is accepted, rejected, skipped, correlated, owned."""

from django.db.models import IntegerChoices, TextChoices
from django.utils.translation import gettext_lazy as _


class AcceptReason(IntegerChoices):
    """Reasons of CheckIncomingEmail, with its codes (R3.15). `code` is the published name."""

    UNKNOWN = -1, _("Unknown")
    DUPLICATE = 0, _("Duplicate")
    NO_CORRELATION_MATCH = 1, _("Nobody accepted it")
    CORRELATION_MATCH = 2, _("Answers tracked email")
    NO_RECIPIENT_MATCH = 3, _("No recipient is a user or queue here")
    INTERNAL_EMAIL_REJECT = 4, _("Mail between own users")
    SENDER_MATCH = 5, _("The sender is known")
    ACCEPT_ALL = 6, _("A filter accepts everything")
    INVALID_SENDER = 7, _("No usable sender")

    @property
    def code(self) -> str:
        return self.name.title().replace("_", "")

    @property
    def accepts(self) -> bool:
        return self in (self.CORRELATION_MATCH, self.SENDER_MATCH, self.ACCEPT_ALL)


class SubReason(TextChoices):
    """Ours: what stands behind a reason (R3.15)."""

    NONE = "", ""
    TOKEN_UNKNOWN = "token_unknown", _("Its tracking token is unknown")
    FILTER_NONE = "filter_none", _("The filter accepts nothing")
    FILTER_REPLIES_ONLY = "filter_replies_only", _("The filter accepts replies only")
    FILTER_SENDER_UNKNOWN = "filter_sender_unknown", _("The sender is unknown")
    FILTER_RECIPIENTS_UNKNOWN = "filter_recipients_unknown", _("The recipients are unknown")
    AUTO_SUBMITTED = "auto_submitted", _("Automatic mail is not tracked")
    ONLY_READING_PARTY = "only_reading_party", _("Only the mailbox being read decides")
    PARTY_INACTIVE = "party_inactive", _("The recipients are inactive")
    MANUAL = "manual", _("Tracked by hand")
    NOT_ATTACHED = "not_attached", _("No original is attached")
    METHOD_NOT_FORWARD = "method_not_forward", _("The incoming method is not Forward Mailbox")
    FORWARDER_UNKNOWN = "forwarder_unknown", _("The forwarder is no user or queue")
    FOLDER_RULE = "folder_rule", _("It lies in a tracked folder")
    CATEGORY = "category", _("It carries the tracking category")
    SENT_COPY_STORED = "sent_copy_stored", _("The sender's copy is stored")


class Why(TextChoices):
    """What one candidate said to a message (R3.24)."""

    ALL = "all", _("accepts all email")
    CORRELATED = "correlated", _("it answers tracked email")
    SENDER_KNOWN = "sender_known", _("the sender is known")
    RECIPIENT_KNOWN = "recipient_known", _("a recipient is known")
    FILTER_NONE = "filter_none", _("accepts no email")
    FILTER_REPLIES_ONLY = "filter_replies_only", _("accepts replies only")
    FILTER_SENDER_UNKNOWN = "filter_sender_unknown", _("the sender is unknown")
    FILTER_RECIPIENTS_UNKNOWN = "filter_recipients_unknown", _("the recipients are unknown")
    AUTO_SUBMITTED = "auto_submitted", _("automatic mail is not tracked")
    NOT_RECIPIENT = "not_recipient", _("no recipient")
    NOT_READING = "not_reading", _("only the mailbox being read decides")
    INACTIVE = "inactive", _("inactive")
    INTERNAL = "internal", _("mail between own users")


class Lacks(TextChoices):
    """What a user, or the owner of a queue, lacks to own email (R3.29)."""

    NOTHING = "", ""
    ENABLED = "enabled", _("disabled")
    LICENCE = "licence", _("without a licence")
    ACCESS = "access", _("with an access mode that only administers or reads")
    PERMISSION = "permission", _("without the permission to add email")
    MEMBER = "member", _("a team without any member who may own email")


class InternalCheck(TextChoices):
    """What became of the candidates, because of who sent the message (R3.40-R3.44)."""

    TWO_ACTIVITIES = "two_activities", _("each copy is an activity of its own")
    NOT_CHECKED = "not_checked", _("not checked yet")
    NOT_INTERNAL = "not_internal", _("the sender is no user or queue")
    FROM_QUEUE = "from_queue", _("mail from a queue is tracked at both ends")
    SENT_COPY_STORED = "sent_copy_stored", _("the sender's copy is stored")
    SENT_COPY_MISSING = "sent_copy_missing", _("the sender's copy is not stored")
    ALWAYS = "always", _("mail between users is tracked by the sender only")


class PartyKind(TextChoices):
    """Who can accept mail. The value is the label of the model."""

    USER = "mailboxes.systemuser", _("User")
    QUEUE = "mailboxes.queue", _("Queue")


class ResolvedBecause(TextChoices):
    """Why an address stands for the record or records that it does (R3.32-R3.39)."""

    ONLY_MATCH = "only_match", _("the only record with this address")
    FIRST_IN_ORDER = "first_in_order", _("the first of several records with this address")
    OWNED = "owned", _("owned by the owner of the mailbox")
    LEFT_OPEN = "left_open", _("several records have this address")
    ALL_MATCHES = "all_matches", _("every record with this address")
    NO_MATCH = "no_match", _("no record has this address")
    TOO_MANY = "too_many", _("more than 100 records have this address")
    NO_ADDRESS = "no_address", _("no usable address")


class AttemptOutcome(TextChoices):
    """What one step of the correlation came to."""

    FOUND = "found", _("found")
    NOT_FOUND = "not_found", _("not stored here")
    NOT_BELIEVED = "not_believed", _("stored here, but not believed")
    NOTHING_TO_LOOK_FOR = "nothing", _("the message has none")
    SWITCHED_OFF = "off", _("switched off")


class CorrelationStep(TextChoices):
    """What was compared. References count as in-reply-to in the stored method (R4.4)."""

    IN_REPLY_TO = "in_reply_to", _("In-Reply-To")
    REFERENCES = "references", _("References")
    TRACKING_TOKEN = "tracking_token", _("tracking token")
    CONVERSATION_INDEX = "conversation_index", _("conversation index")
    SMART_MATCHING = "smart_matching", _("smart matching")
    REPORT = "report", _("Message that it reports on")


class ReportWay(TextChoices):
    """Ours: how the sent email was found that a report is about (R5.21)."""

    NONE = "none", _("none was found")
    MESSAGE_ID = "message_id", _("by its Message-ID")
    HEADER = "header", _("by subject, recipients and date")
    RECIPIENT = "recipient", _("by its recipient")


class OwnerBecause(TextChoices):
    """Why a record's owner is who it is (R3.48)."""

    CORRELATED_OWNER = "correlated_owner", _("owns the email that this one answers")
    SENDER_OWNER = "sender_owner", _("owns the sender's record")
    FIRST_ELIGIBLE = "first_eligible", _("first recipient who may own email")
    MAILBOX_OWNER = "mailbox_owner", _("owner of the mailbox it was read from")


class SkipReason(TextChoices):
    """Why an item on a server is no candidate at all (R3.6-R3.14)."""

    BEFORE_START = "before_start", _("Before the start date")
    BEFORE_WATERMARK = "before_watermark", _("Before the last processed message")
    OWN_PROBE = "own_probe", _("Our own test message")
    CALENDAR = "calendar", _("Calendar traffic")
    TOO_LARGE = "too_large", _("Too large")
    RIGHTS_PROTECTED = "rights_protected", _("Rights-protected")
    FORWARD_WRAPPER = "forward_wrapper", _("Forward of an original")


class Outcome(TextChoices):
    """Where an item ended: the words of the ledger. All but RETRYING are final."""

    TRACKED = "tracked", _("Tracked")
    REJECTED = "rejected", _("Rejected")
    DUPLICATE = "duplicate", _("Duplicate")
    SKIPPED = "skipped", _("Skipped")
    QUARANTINED = "quarantined", _("Quarantined")
    RETRYING = "retrying", _("Retrying")
    GONE = "gone", _("Gone")


class QueueItemBecause(TextChoices):
    """Why an email waits in a queue."""

    RECIPIENT = "recipient", _("the queue is a recipient")
    READING = "reading", _("its mailbox was read")
    DUPLICATE = "duplicate", _("an additional item for mail stored before")
    OWNER = "owner", _("the default queue of the owner")


class Way(TextChoices):
    """Ours: how a message came before the decision."""

    INBOX = "inbox", _("it arrived in the inbox")
    SENT = "sent", _("it lies in sent items")
    FOLDER = "folder", _("it lies in a tracked folder")
    CATEGORY = "category", _("it carries the tracking category")
    MANUAL = "manual", _("somebody tracked it by hand")


class FolderState(TextChoices):
    """Ours: whether a folder rule works (R7.5, R7.11)."""

    ACTIVE = "active", _("Active")
    OUTSIDE = "outside", _("Off: the folder is no longer below the inbox")
    MISSING = "missing", _("Off: the server has no such folder")
    DENIED = "denied", _("Off: the account may not open the folder")


class LinkBecause(TextChoices):
    """Ours: why an email in a tracked folder has the record that it has (R7.10, R7.11)."""

    RULE = "rule", _("it took the record of the folder")
    ALREADY = "already", _("it had the record of the folder already")
    NO_RECORD = "no_record", _("the folder has no record, so it keeps its own")
    RULE_OFF = "rule_off", _("the rule of the folder is off")
    FIRST_FOLDER = "first_folder", _("the folder that it was found in first keeps it")
    BEFORE_CHANGE = "before_change", _("it was there before the folder's record changed")
    BY_HAND = "by_hand", _("somebody filed it by hand")


class HookState(TextChoices):
    """A late run of a site's own code on receipt (R9.11)."""

    PENDING = "pending", _("Pending")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")


class StationState(TextChoices):
    """Ours: what became of a message at one station of its path, as pictures of it say (R8.33)."""

    PASSED = "passed", _("passed")
    DONE = "done", _("done")
    DECIDED = "decided", _("decided it")
    STOPPED = "stopped", _("stopped here")
    WAITING = "waiting", _("waits here")
    UNASKED = "unasked", _("not asked")
    ENDED = "ended", _("ended")
