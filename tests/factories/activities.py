"""The smallest valid business records and e-mails. A test sets what it speaks about."""

from datetime import UTC, datetime

import factory
from factory.django import DjangoModelFactory

from activities.choices import ActivityType, Direction, EmailStatus, ParticipationType
from activities.identity import message_key
from activities.models import (
    Account,
    ActivityParty,
    ActivityPointer,
    Contact,
    Email,
    Lead,
    QueueItem,
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
