"""Mail about meetings is left to the calendar, and its page says which meeting it is about (R3.14)."""

import pytest
from django.urls import reverse

from activities.models import Appointment
from serversync.act.choices import LinkState
from serversync.act.types import Table
from serversync.models import ExchangeSyncIdMapping, SyncItem
from tests.factories.activities import AppointmentFactory
from tests.factories.clients import signed_in
from tests.factories.mailboxes import SuperuserFactory, group_of
from tests.integration.serversync.cycles import Account, message, user_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

UID = "040000008200E00074C5B7101A82E0080000000090CDA1E6C2B1DC01000000000000000010000000AAAA"


@pytest.fixture
def ada() -> Account:
    """Who has got an invitation."""
    made = Account(user_mailbox("ada"))
    raw = message(message_id="one@x.example").replace(
        b'Content-Type: text/plain; charset="utf-8"',
        b'Content-Type: text/calendar; charset="utf-8"; method=REQUEST',
    )
    folded = f"UID:{UID[:70]}\r\n {UID[70:]}\r\n".encode()
    head, blank, _body = raw.partition(b"\r\n\r\n")
    calendar = b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n" + folded + b"END:VEVENT\r\nEND:VCALENDAR\r\n"
    made.box.deliver(head + blank + calendar)
    made.receive()
    group_of(made.mailbox.regarding_user, "view_syncitem", "view_exchangesyncidmapping")
    return made


def shown(ada: Account, reader=None):
    url = reverse("admin:serversync_syncitem_change", args=[SyncItem.objects.get().pk])
    return signed_in(reader or ada.mailbox.regarding_user).get(url).context["meeting"]


def linked(ada: Account, made: Appointment, **columns) -> ExchangeSyncIdMapping:
    return ExchangeSyncIdMapping.objects.create(
        mailbox=ada.mailbox,
        owner=ada.mailbox.regarding_user,
        object_type_code=Table.APPOINTMENT,
        object_id=made.pk,
        uid=UID,
        state=LinkState.LINKED,
        **columns,
    )


def plan(owner, **columns) -> Appointment:
    return AppointmentFactory(activity__owning_user=owner, activity__subject="Plan", **columns)


@pytest.mark.rule("R3.14")
def test_its_owner_is_led_to_the_meeting_and_to_how_it_is_synchronized(ada):
    assert shown(ada) is None
    owner = ada.mailbox.regarding_user
    made = plan(owner)
    link = linked(ada, made)
    group_of(owner, "view_appointment")

    found = shown(ada)

    assert (found.name, found.url) == (
        "Plan",
        reverse("admin:activities_appointment_change", args=[made.pk]),
    )
    assert str(link.pk) in found.link_url


@pytest.mark.rule("R3.14")
def test_a_meeting_that_another_mailbox_brought_counts_as_well(ada):
    owner = ada.mailbox.regarding_user
    plan(owner, global_object_id=UID)
    group_of(owner, "view_appointment")
    found = shown(ada)
    assert (found.name, found.link_url) == ("Plan", "")


@pytest.mark.rule("R3.14", "R8.30")
def test_nobody_learns_of_a_meeting_or_of_mail_that_is_not_theirs_to_see(ada):
    stranger = SuperuserFactory()
    made = plan(stranger, global_object_id=UID)
    group_of(ada.mailbox.regarding_user, "view_appointment")
    assert shown(ada) is None
    linked(ada, made)
    assert shown(ada).url == ""
    assert shown(ada, stranger) is None
