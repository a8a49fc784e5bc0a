"""The smallest valid business records and e-mails. A test sets what it speaks about."""

from datetime import UTC, date, datetime, time, timedelta

import factory
from factory.django import DjangoModelFactory

from activities.choices import (
    ActivityState,
    ActivityType,
    Direction,
    EmailStatus,
    ParticipationType,
    PatternType,
)
from activities.identity import message_key
from activities.models import (
    Account,
    ActivityParty,
    ActivityPointer,
    Appointment,
    Contact,
    Email,
    Fax,
    Lead,
    Letter,
    PhoneCall,
    QueueItem,
    RecurringAppointmentMaster,
    ServiceAppointment,
    Task,
)
from tests.factories.mailboxes import QueueFactory, SystemUserFactory

SENT = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)


class AccountFactory(DjangoModelFactory):
    class Meta:
        model = Account

    name = factory.Sequence(lambda n: f"Account {n}")
    email_address1 = factory.Sequence(lambda n: f"account{n}@example.org")
    owning_user = factory.SubFactory(SystemUserFactory)


class ContactFactory(DjangoModelFactory):
    class Meta:
        model = Contact

    first_name = "Ben"
    last_name = factory.Sequence(lambda n: f"Example {n}")
    email_address1 = factory.Sequence(lambda n: f"contact{n}@example.org")
    owning_user = factory.SubFactory(SystemUserFactory)


class LeadFactory(DjangoModelFactory):
    class Meta:
        model = Lead

    subject = factory.Sequence(lambda n: f"Lead {n}")
    email_address1 = factory.Sequence(lambda n: f"lead{n}@example.org")
    owning_user = factory.SubFactory(SystemUserFactory)


class ActivityPointerFactory(DjangoModelFactory):
    class Meta:
        model = ActivityPointer

    activity_type_code = ActivityType.EMAIL
    subject = "Offer"
    sort_date = SENT
    owning_user = factory.SubFactory(SystemUserFactory)


class EmailFactory(DjangoModelFactory):
    """A draft. `EmailFactory(received=True)`: one that came in, with a Message-ID of its own."""

    class Meta:
        model = Email

    activity = factory.SubFactory(ActivityPointerFactory)
    direction_code = Direction.OUTGOING
    status_code = EmailStatus.DRAFT
    description = "<p>Hello</p>"

    class Params:
        received = factory.Trait(
            direction_code=Direction.INCOMING,
            status_code=EmailStatus.RECEIVED,
            sender="ben@example.org",
            message_id=factory.Sequence(lambda n: f"<{n}@example.org>"),
            message_id_dup_check=factory.LazyAttribute(
                lambda email: message_key(email.message_id, email.sender, "", "", 0)
            ),
            received_on=SENT,
        )


class ActivityPartyFactory(DjangoModelFactory):
    """An unresolved recipient (R3.37)."""

    class Meta:
        model = ActivityParty

    activity = factory.SubFactory(ActivityPointerFactory)
    participation_type_mask = ParticipationType.TO
    address_used = "ben@example.org"


class QueueItemFactory(DjangoModelFactory):
    class Meta:
        model = QueueItem

    queue = factory.SubFactory(QueueFactory)
    object = factory.SubFactory(ActivityPointerFactory)


def _pointer(kind, subject, **columns):
    """`state_code` as that of the status that the concrete activity has by default."""
    return factory.SubFactory(
        ActivityPointerFactory, activity_type_code=kind, subject=subject, **columns
    )


class AppointmentFactory(DjangoModelFactory):
    """An hour, busy. `AppointmentFactory(series=...)`: an exception, an hour later than it would have been."""

    class Meta:
        model = Appointment

    activity = _pointer(ActivityType.APPOINTMENT, "Review", state_code=ActivityState.SCHEDULED)
    scheduled_start = SENT
    scheduled_end = factory.LazyAttribute(lambda item: item.scheduled_start + timedelta(hours=1))
    time_zone = "Europe/Berlin"
    original_start_date = factory.LazyAttribute(
        lambda item: item.scheduled_start - timedelta(hours=1) if item.series else None
    )
    series = None


class RecurringAppointmentMasterFactory(DjangoModelFactory):
    """Every day at half past nine for half an hour, without end."""

    class Meta:
        model = RecurringAppointmentMaster

    activity = _pointer(
        ActivityType.RECURRING_APPOINTMENT, "Stand-up", state_code=ActivityState.SCHEDULED
    )
    recurrence_pattern_type = PatternType.DAILY
    pattern_start_date = date(2026, 3, 2)
    start_time = time(9, 30)
    duration = 30
    time_zone = "Europe/Berlin"


class ServiceAppointmentFactory(DjangoModelFactory):
    class Meta:
        model = ServiceAppointment

    activity = _pointer(ActivityType.SERVICE_APPOINTMENT, "Repair")
    scheduled_start = SENT
    scheduled_end = factory.LazyAttribute(lambda item: item.scheduled_start + timedelta(hours=1))
    time_zone = "Europe/Berlin"


class TaskFactory(DjangoModelFactory):
    class Meta:
        model = Task

    activity = _pointer(ActivityType.TASK, "Prepare the offer")


class PhoneCallFactory(DjangoModelFactory):
    class Meta:
        model = PhoneCall

    activity = _pointer(ActivityType.PHONE_CALL, "Call back")


class LetterFactory(DjangoModelFactory):
    class Meta:
        model = Letter

    activity = _pointer(ActivityType.LETTER, "Contract")


class FaxFactory(DjangoModelFactory):
    class Meta:
        model = Fax

    activity = _pointer(ActivityType.FAX, "Order")
