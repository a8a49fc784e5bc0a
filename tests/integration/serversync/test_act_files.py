"""Files of appointments, where the organization wants them synchronized (R6.34)."""

import pytest

from activities import blobs
from activities.choices import AttachmentErrors
from activities.models import ActivityMimeAttachment, Appointment, DeletedRecord
from mailboxes.protocols.errors import ConnectionLost, MessageError
from mailboxes.protocols.items import CALENDAR, ItemFile
from tests.factories.activities import RecurringAppointmentMasterFactory
from tests.integration.serversync.acts import ActAccount, act_account, meeting
from tests.integration.serversync.cycles import organization
from tests.integration.serversync.test_act_cycle import appointment, category
from tests.integration.serversync.test_act_fields import item_of

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

PLAN = ItemFile("plan.txt", "text/plain", 5, content=b"Plan!")


@pytest.fixture
def ada() -> ActAccount:
    organization(track_categorized_items=True, is_appointment_attachment_sync_enabled=True)
    return act_account()


def attached(record: Appointment, name: str = "list.txt", content: bytes = b"List") -> None:
    staged = blobs.Staged()
    key = staged.add(content)
    ActivityMimeAttachment.objects.create(
        activity=record.activity,
        attachment_id=blobs.save(staged)[key],
        file_name=name,
        mime_type="text/plain",
        file_size=len(content),
    )


def here(record: Appointment) -> set[str]:
    rows = ActivityMimeAttachment.objects.filter(activity=record.activity)
    return set(rows.values_list("file_name", flat=True))


def there(account: ActAccount, record: Appointment) -> dict[str, bytes]:
    return {file.name: file.content for file in item_of(account, record).files.values()}


@pytest.mark.rule("R6.34")
def test_files_go_both_ways(ada):
    made = appointment(ada)
    attached(made)
    ada.quiet()
    assert there(ada, made) == {"list.txt": b"List"}

    ada.account.attach(item_of(ada, made).id, PLAN)
    ada.quiet()

    assert here(made) == {"list.txt", "plan.txt"}
    stored = ActivityMimeAttachment.objects.select_related("attachment").get(file_name="plan.txt")
    assert blobs.read(stored.attachment) == b"Plan!"


@pytest.mark.rule("R6.34")
def test_what_is_taken_off_on_one_side_goes_on_the_other(ada):
    made = appointment(ada)
    attached(made)
    attached(made, "plan.txt", b"Plan!")
    ada.quiet()
    ActivityMimeAttachment.objects.filter(file_name="list.txt").delete()
    ada.quiet()
    assert set(there(ada, made)) == {"plan.txt"}

    item = item_of(ada, made)
    item.files.clear()
    ada.account.touch(item.id)
    ada.quiet()

    assert here(made) == set()
    assert DeletedRecord.objects.filter(record_type="activities.activitymimeattachment").exists()


@pytest.mark.rule("R6.34")
def test_off_by_default():
    organization(track_categorized_items=True)
    ada = act_account()
    made = appointment(ada)
    attached(made)
    ada.quiet()
    assert there(ada, made) == {}


@pytest.mark.rule("R6.34")
def test_never_of_series(ada):
    series = RecurringAppointmentMasterFactory(activity__owning_user=ada.user)
    attached(series)
    ada.quiet()
    assert all(not item.files for item in ada.account.held(CALENDAR))


def test_what_may_not_be_kept_is_left_where_it_is(ada):
    made = appointment(ada)
    ada.quiet()
    bad = ItemFile("run.exe", "application/octet-stream", 2, content=b"MZ")
    ada.account.attach(item_of(ada, made).id, bad)
    ada.quiet()
    made.refresh_from_db()
    assert made.attachment_errors == AttachmentErrors.DROPPED
    assert here(made) == set()
    assert set(there(ada, made)) == {"run.exe"}


def test_of_the_meeting_of_somebody_else_files_are_only_taken(ada):
    item = ada.account.receive(
        "boss@customer.example", uid="theirs", when=meeting(), categories=category(ada)
    )
    ada.account.attach(item, PLAN)
    ada.quiet()
    record = Appointment.objects.get()
    assert here(record) == {"plan.txt"}

    attached(record)
    ActivityMimeAttachment.objects.filter(file_name="plan.txt").delete()
    ada.quiet()

    assert {file.name for file in ada.account.items[item].files.values()} == {"plan.txt"}


def test_a_refusal_is_tried_again_and_said(ada):
    made = appointment(ada)
    attached(made)
    ada.prepare = lambda server: server.fail("add_files", MessageError("no room"))
    ada.cycle()
    link = ada.link_of(made)
    assert link.retries == 1
    assert "no room" in link.last_sync_error
    assert link.is_pending

    ada.prepare = lambda server: None
    ada.later(minutes=10)
    ada.quiet()

    assert set(there(ada, made)) == {"list.txt"}
    link.refresh_from_db()
    assert (link.retries, link.last_sync_error) == (0, "")


def test_a_broken_line_loses_nothing(ada):
    made = appointment(ada)
    attached(made)
    ada.prepare = lambda server: server.fail("files", ConnectionLost("gone"))
    with pytest.raises(ConnectionLost):
        ada.cycle()
    ada.prepare = lambda server: None
    attached(made, "more.txt", b"More")
    ada.later(minutes=10)
    ada.quiet()
    assert set(there(ada, made)) == {"list.txt", "more.txt"}
