"""Dataverse option values of this room. Never renumber, never reuse a value."""

from django.db.models import IntegerChoices, TextChoices
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class ActivityType(IntegerChoices):
    """activitypointer.activitytypecode: object type codes."""

    APPOINTMENT = 4201, _("Appointment")
    EMAIL = 4202, _("Email")
    FAX = 4204, _("Fax")
    LETTER = 4207, _("Letter")
    PHONE_CALL = 4210, _("Phone Call")
    TASK = 4212, _("Task")
    SERVICE_APPOINTMENT = 4214, _("Service Activity")
    RECURRING_APPOINTMENT = 4251, _("Recurring Appointment")


class ActivityState(IntegerChoices):
    """activitypointer.statecode."""

    OPEN = 0, _("Open")
    COMPLETED = 1, _("Completed")
    CANCELED = 2, _("Canceled")
    SCHEDULED = 3, _("Scheduled")


class EmailStatus(IntegerChoices):
    """email.statuscode (R5.1)."""

    DRAFT = 1, _("Draft")
    COMPLETED = 2, _("Completed")
    SENT = 3, _("Sent")
    RECEIVED = 4, _("Received")
    CANCELED = 5, _("Canceled")
    PENDING_SEND = 6, _("Pending Send")
    SENDING = 7, _("Sending")
    FAILED = 8, _("Failed")

    @property
    def state(self) -> ActivityState:
        return EMAIL_STATE[self]

    @property
    def is_editable(self) -> bool:
        """Drafts and failed mail may be changed (R5.1)."""
        return self.state == ActivityState.OPEN


#: "Pending send" and "sending" are parts of completed, "failed" is open again (R5.1).
EMAIL_STATE = {
    EmailStatus.DRAFT: ActivityState.OPEN,
    EmailStatus.FAILED: ActivityState.OPEN,
    EmailStatus.COMPLETED: ActivityState.COMPLETED,
    EmailStatus.SENT: ActivityState.COMPLETED,
    EmailStatus.RECEIVED: ActivityState.COMPLETED,
    EmailStatus.PENDING_SEND: ActivityState.COMPLETED,
    EmailStatus.SENDING: ActivityState.COMPLETED,
    EmailStatus.CANCELED: ActivityState.CANCELED,
}


class AppointmentStatus(IntegerChoices):
    """appointment.statuscode and recurringappointmentmaster.statuscode; Exchange's free/busy."""

    FREE = 1, pgettext_lazy("appointment", "Free")
    TENTATIVE = 2, _("Tentative")
    COMPLETED = 3, _("Completed")
    CANCELED = 4, _("Canceled")
    BUSY = 5, _("Busy")
    OUT_OF_OFFICE = 6, _("Out of Office")

    @property
    def state(self) -> ActivityState:
        return APPOINTMENT_STATE[self]


APPOINTMENT_STATE = {
    AppointmentStatus.FREE: ActivityState.OPEN,
    AppointmentStatus.TENTATIVE: ActivityState.OPEN,
    AppointmentStatus.COMPLETED: ActivityState.COMPLETED,
    AppointmentStatus.CANCELED: ActivityState.CANCELED,
    AppointmentStatus.BUSY: ActivityState.SCHEDULED,
    AppointmentStatus.OUT_OF_OFFICE: ActivityState.SCHEDULED,
}


class ServiceAppointmentStatus(IntegerChoices):
    """serviceappointment.statuscode."""

    REQUESTED = 1, _("Requested")
    TENTATIVE = 2, _("Tentative")
    PENDING = 3, pgettext_lazy("service activity", "Pending")
    RESERVED = 4, _("Reserved")
    IN_PROGRESS = 6, _("In Progress")
    ARRIVED = 7, _("Arrived")
    COMPLETED = 8, _("Completed")
    CANCELED = 9, _("Canceled")
    NO_SHOW = 10, _("No Show")

    @property
    def state(self) -> ActivityState:
        return SERVICE_APPOINTMENT_STATE[self]


SERVICE_APPOINTMENT_STATE = {
    ServiceAppointmentStatus.REQUESTED: ActivityState.OPEN,
    ServiceAppointmentStatus.TENTATIVE: ActivityState.OPEN,
    ServiceAppointmentStatus.PENDING: ActivityState.SCHEDULED,
    ServiceAppointmentStatus.RESERVED: ActivityState.SCHEDULED,
    ServiceAppointmentStatus.IN_PROGRESS: ActivityState.SCHEDULED,
    ServiceAppointmentStatus.ARRIVED: ActivityState.SCHEDULED,
    ServiceAppointmentStatus.COMPLETED: ActivityState.COMPLETED,
    ServiceAppointmentStatus.CANCELED: ActivityState.CANCELED,
    ServiceAppointmentStatus.NO_SHOW: ActivityState.CANCELED,
}


class TaskStatus(IntegerChoices):
    """task.statuscode; Exchange's task status."""

    NOT_STARTED = 2, _("Not Started")
    IN_PROGRESS = 3, _("In Progress")
    WAITING = 4, _("Waiting on someone else")
    COMPLETED = 5, _("Completed")
    CANCELED = 6, _("Canceled")
    DEFERRED = 7, _("Deferred")

    @property
    def state(self) -> ActivityState:
        return TASK_STATE[self]


TASK_STATE = {
    TaskStatus.NOT_STARTED: ActivityState.OPEN,
    TaskStatus.IN_PROGRESS: ActivityState.OPEN,
    TaskStatus.WAITING: ActivityState.OPEN,
    TaskStatus.DEFERRED: ActivityState.OPEN,
    TaskStatus.COMPLETED: ActivityState.COMPLETED,
    TaskStatus.CANCELED: ActivityState.CANCELED,
}


class PhoneCallStatus(IntegerChoices):
    """phonecall.statuscode."""

    OPEN = 1, _("Open")
    MADE = 2, pgettext_lazy("phone call", "Made")
    CANCELED = 3, _("Canceled")
    RECEIVED = 4, _("Received")

    @property
    def state(self) -> ActivityState:
        return PHONE_CALL_STATE[self]


PHONE_CALL_STATE = {
    PhoneCallStatus.OPEN: ActivityState.OPEN,
    PhoneCallStatus.MADE: ActivityState.COMPLETED,
    PhoneCallStatus.RECEIVED: ActivityState.COMPLETED,
    PhoneCallStatus.CANCELED: ActivityState.CANCELED,
}


class LetterStatus(IntegerChoices):
    """letter.statuscode."""

    OPEN = 1, _("Open")
    DRAFT = 2, _("Draft")
    RECEIVED = 3, _("Received")
    SENT = 4, _("Sent")
    CANCELED = 5, _("Canceled")

    @property
    def state(self) -> ActivityState:
        return LETTER_STATE[self]


LETTER_STATE = {
    LetterStatus.OPEN: ActivityState.OPEN,
    LetterStatus.DRAFT: ActivityState.OPEN,
    LetterStatus.RECEIVED: ActivityState.COMPLETED,
    LetterStatus.SENT: ActivityState.COMPLETED,
    LetterStatus.CANCELED: ActivityState.CANCELED,
}


class FaxStatus(IntegerChoices):
    """fax.statuscode."""

    OPEN = 1, _("Open")
    COMPLETED = 2, _("Completed")
    SENT = 3, _("Sent")
    RECEIVED = 4, _("Received")
    CANCELED = 5, _("Canceled")

    @property
    def state(self) -> ActivityState:
        return FAX_STATE[self]


FAX_STATE = {
    FaxStatus.OPEN: ActivityState.OPEN,
    FaxStatus.COMPLETED: ActivityState.COMPLETED,
    FaxStatus.SENT: ActivityState.COMPLETED,
    FaxStatus.RECEIVED: ActivityState.COMPLETED,
    FaxStatus.CANCELED: ActivityState.CANCELED,
}


class OnlineMeetingType(IntegerChoices):
    """appointment.onlinemeetingtype."""

    TEAMS = 1, _("Teams Meeting")


class AttachmentErrors(IntegerChoices):
    """appointment.attachmenterrors."""

    NONE = 0, _("None")
    DROPPED = 1, _("Saved without some attachments (blocked, too large or invalid)")


class PatternType(IntegerChoices):
    """recurringappointmentmaster.recurrencepatterntype."""

    DAILY = 0, _("Daily")
    WEEKLY = 1, _("Weekly")
    MONTHLY = 2, _("Monthly")
    YEARLY = 3, _("Yearly")


class PatternEnd(IntegerChoices):
    """recurringappointmentmaster.patternendtype."""

    NEVER = 1, _("No End Date")
    COUNT = 2, pgettext_lazy("series", "Occurrences")
    DATE = 3, _("Pattern End Date")


class NthDay(IntegerChoices):
    """recurringappointmentmaster.instance."""

    FIRST = 1, pgettext_lazy("day of a month", "First")
    SECOND = 2, pgettext_lazy("day of a month", "Second")
    THIRD = 3, pgettext_lazy("day of a month", "Third")
    FOURTH = 4, pgettext_lazy("day of a month", "Fourth")
    LAST = 5, pgettext_lazy("day of a month", "Last")


class Month(IntegerChoices):
    """recurringappointmentmaster.monthofyear."""

    INVALID = 0, pgettext_lazy("month", "Invalid")
    JANUARY = 1, _("January")
    FEBRUARY = 2, _("February")
    MARCH = 3, _("March")
    APRIL = 4, _("April")
    MAY = 5, _("May")
    JUNE = 6, _("June")
    JULY = 7, _("July")
    AUGUST = 8, _("August")
    SEPTEMBER = 9, _("September")
    OCTOBER = 10, _("October")
    NOVEMBER = 11, _("November")
    DECEMBER = 12, _("December")


class Direction(IntegerChoices):
    """directioncode of email, phone call, letter and fax (a yes/no column there)."""

    INCOMING = 0, _("Incoming")
    OUTGOING = 1, _("Outgoing")


class CorrelationMethod(IntegerChoices):
    """email.correlationmethod (R4.2)."""

    NONE = 0, _("None")
    SKIPPED = 1, _("Skipped")
    X_HEADER = 2, _("XHeader")
    IN_REPLY_TO = 3, _("InReplyTo")
    TRACKING_TOKEN = 4, _("TrackingToken")
    CONVERSATION_INDEX = 5, _("ConversationIndex")
    SMART_MATCHING = 6, _("SmartMatching")
    CUSTOM = 7, _("CustomCorrelation")


class Notifications(IntegerChoices):
    """email.notifications: why the stored copy is incomplete."""

    NONE = 0, _("None")
    ATTACHMENTS_DROPPED = 1, _("Saved without some attachments (blocked, too large or invalid)")
    TRUNCATED_BODY = 2, _("Truncated body")


class Priority(IntegerChoices):
    """prioritycode and deliveryprioritycode."""

    LOW = 0, _("Low")
    NORMAL = 1, _("Normal")
    HIGH = 2, _("High")


class ParticipationType(IntegerChoices):
    """activityparty.participationtypemask (a single value despite its name)."""

    SENDER = 1, _("Sender")
    TO = 2, _("To Recipient")
    CC = 3, _("CC Recipient")
    BCC = 4, _("BCC Recipient")
    REQUIRED_ATTENDEE = 5, _("Required attendee")
    OPTIONAL_ATTENDEE = 6, _("Optional attendee")
    ORGANIZER = 7, _("Organizer")
    REGARDING = 8, _("Regarding")
    OWNER = 9, _("Owner")
    RESOURCE = 10, _("Resource")
    CUSTOMER = 11, _("Customer")
    CHAT_PARTICIPANT = 12, _("Chat Participant")
    RELATED = 13, _("Related")


class AttendeeResponse(TextChoices):
    """Ours: what an attendee said to the invitation; the values are those of mailboxes.protocols.items.Response."""

    NONE = "none", pgettext_lazy("attendee", "No answer")
    ORGANIZER = "organizer", pgettext_lazy("attendee", "Organizes it")
    TENTATIVE = "tentative", pgettext_lazy("attendee", "Perhaps")
    ACCEPTED = "accepted", pgettext_lazy("attendee", "Accepted")
    DECLINED = "declined", pgettext_lazy("attendee", "Declined")


RECIPIENTS = (ParticipationType.TO, ParticipationType.CC, ParticipationType.BCC)


class DeliveryResult(IntegerChoices):
    """Ours: what became of one recipient: what the server said (R5.16), then what reports say (R5.21)."""

    NONE = 0, _("Not sent")
    ACCEPTED = 1, _("Accepted")
    REFUSED = 2, _("Refused")
    DELAYED = 3, _("Delayed")
    DELIVERED = 4, _("Delivered")
    UNDELIVERED = 5, _("Undelivered this time")
    BOUNCED = 6, _("Undelivered for good")
    READ = 7, pgettext_lazy("delivery", "Read")
    COMPLAINED = 8, _("Reported as unwanted")
    REDIRECTED = 9, pgettext_lazy("delivery", "Redirected")

    @property
    def failed(self) -> bool:
        """It did not reach the recipient."""
        return self in UNDELIVERED


UNDELIVERED = (DeliveryResult.REFUSED, DeliveryResult.UNDELIVERED, DeliveryResult.BOUNCED)


class EmailKind(TextChoices):
    """Ours: what sort of mail it is; the values are those of activities.mime.message.MessageKind."""

    CALENDAR = "calendar", _("Calendar traffic")
    BOUNCE = "bounce", _("Bounce")
    DELAY = "delay", _("Notice of delay")
    COMPLAINT = "complaint", _("Complaint")
    RECEIPT = "receipt", _("Receipt")
    AUTO_REPLY = "auto-reply", _("Automatic reply")
    LIST = "list", _("List mail")
    REPLY = "reply", _("Reply")
    ORDINARY = "ordinary", _("Ordinary mail")


class InstanceType(IntegerChoices):
    """instancetypecode of activities and parties."""

    NOT_RECURRING = 0, _("Not Recurring")
    MASTER = 1, _("Recurring Master")
    INSTANCE = 2, _("Recurring Instance")
    EXCEPTION = 3, _("Recurring Exception")
    FUTURE_EXCEPTION = 4, _("Recurring Future Exception")


class PreferredContactMethod(IntegerChoices):
    """preferredcontactmethodcode of account, contact and lead."""

    ANY = 1, _("Any")
    EMAIL = 2, _("Email")
    PHONE = 3, _("Phone")
    FAX = 4, _("Fax")
    MAIL = 5, pgettext_lazy("contact method", "Mail")


class Gender(IntegerChoices):
    """contact.gendercode."""

    MALE = 1, _("Male")
    FEMALE = 2, _("Female")


class FamilyStatus(IntegerChoices):
    """contact.familystatuscode."""

    SINGLE = 1, _("Single")
    MARRIED = 2, _("Married")
    DIVORCED = 3, _("Divorced")
    WIDOWED = 4, _("Widowed")


class LeadState(IntegerChoices):
    """lead.statecode."""

    OPEN = 0, _("Open")
    QUALIFIED = 1, _("Qualified")
    DISQUALIFIED = 2, _("Disqualified")


class LeadStatus(IntegerChoices):
    """lead.statuscode."""

    NEW = 1, _("New")
    CONTACTED = 2, _("Contacted")
    QUALIFIED = 3, _("Qualified")
    LOST = 4, _("Lost")
    CANNOT_CONTACT = 5, _("Cannot Contact")
    NO_LONGER_INTERESTED = 6, _("No Longer Interested")
    CANCELED = 7, _("Canceled")


LEAD_STATE = {
    LeadStatus.NEW: LeadState.OPEN,
    LeadStatus.CONTACTED: LeadState.OPEN,
    LeadStatus.QUALIFIED: LeadState.QUALIFIED,
    LeadStatus.LOST: LeadState.DISQUALIFIED,
    LeadStatus.CANNOT_CONTACT: LeadState.DISQUALIFIED,
    LeadStatus.NO_LONGER_INTERESTED: LeadState.DISQUALIFIED,
    LeadStatus.CANCELED: LeadState.DISQUALIFIED,
}


class CaseState(IntegerChoices):
    """incident.statecode."""

    ACTIVE = 0, _("Active")
    RESOLVED = 1, _("Resolved")
    CANCELED = 2, _("Canceled")


class CaseStatus(IntegerChoices):
    """incident.statuscode."""

    IN_PROGRESS = 1, _("In Progress")
    ON_HOLD = 2, _("On Hold")
    WAITING = 3, _("Waiting for Details")
    RESEARCHING = 4, _("Researching")
    PROBLEM_SOLVED = 5, _("Problem Solved")
    CANCELED = 6, _("Canceled")
    INFORMATION_PROVIDED = 1000, _("Information Provided")
    MERGED = 2000, _("Merged")


CASE_STATE = {
    CaseStatus.IN_PROGRESS: CaseState.ACTIVE,
    CaseStatus.ON_HOLD: CaseState.ACTIVE,
    CaseStatus.WAITING: CaseState.ACTIVE,
    CaseStatus.RESEARCHING: CaseState.ACTIVE,
    CaseStatus.PROBLEM_SOLVED: CaseState.RESOLVED,
    CaseStatus.INFORMATION_PROVIDED: CaseState.RESOLVED,
    CaseStatus.CANCELED: CaseState.CANCELED,
    CaseStatus.MERGED: CaseState.CANCELED,
}


class CaseOrigin(IntegerChoices):
    """incident.caseorigincode."""

    PHONE = 1, _("Phone")
    EMAIL = 2, _("Email")
    WEB = 3, _("Web")
    FACEBOOK = 2483, _("Facebook")
    TWITTER = 3986, _("Twitter")


class CaseType(IntegerChoices):
    """incident.casetypecode."""

    QUESTION = 1, _("Question")
    PROBLEM = 2, _("Problem")
    REQUEST = 3, _("Request")


class CasePriority(IntegerChoices):
    """incident.prioritycode: the reverse of that of activities."""

    HIGH = 1, _("High")
    NORMAL = 2, _("Normal")
    LOW = 3, _("Low")


class HashType(IntegerChoices):
    """emailhash.hashtype; its values are ours, none are published."""

    SUBJECT = 0, _("Word of the subject")
    ADDRESS = 1, pgettext_lazy("email hash", "Address")


class BytesPlace(TextChoices):
    """Ours: where stored bytes lie."""

    DATABASE = "database", _("In the database")
    STORAGE = "storage", _("In the mail storage")
