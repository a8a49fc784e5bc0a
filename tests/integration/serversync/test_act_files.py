"""Files of appointments, where the organization wants them synchronized (R6.34)."""

from datetime import timedelta

import pytest

from activities import blobs
from activities.choices import AttachmentErrors, ParticipationType
from activities.models import ActivityMimeAttachment, Appointment, DeletedRecord
from activities.recyclebin import restore
from mailboxes.models import Organization
from mailboxes.protocols.errors import ActionRefused, ConnectionLost, MessageError
from mailboxes.protocols.items import CALENDAR, ItemFile, Outcome, WrittenItem
from serversync.act import files, noting, undo
from serversync.act.choices import RevisionSide
from serversync.console.acthappened import happened
from tests.factories.activities import RecurringAppointmentMasterFactory
from tests.fakeitems import FakeItemsServer, Fate
from tests.integration.serversync.acts import ActAccount, act_account, meeting
from tests.integration.serversync.cycles import organization
from tests.integration.serversync.test_act_cycle import (
    appointment,
    category,
    contact,
    takes_part,
)
from tests.integration.serversync.test_act_fields import item_of
from tests.statements import counting

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


@pytest.fixture
def pages_of_two(monkeypatch):
    monkeypatch.setattr(noting, "FILES_PAGE", 2)


def switched(on: bool) -> None:
    organization(is_appointment_attachment_sync_enabled=on)


@pytest.mark.rule("R6.34")
@pytest.mark.usefixtures("pages_of_two")
def test_what_was_linked_before_it_was_switched_on_follows_page_by_page(ada):
    switched(False)
    made = [appointment(ada) for _number in range(3)]
    ada.quiet()
    for one in made:
        attached(one)
        ada.account.attach(item_of(ada, one).id, PLAN)
    ada.quiet()
    switched(True)
    assert ada.cycle().more
    assert sorted(len(there(ada, one)) for one in made) == [1, 2, 2]
    assert sorted(len(here(one)) for one in made) == [1, 2, 2]

    assert not ada.cycle().more
    ada.quiet()
    assert all(set(there(ada, one)) == here(one) == {"list.txt", "plan.txt"} for one in made)


@pytest.mark.rule("R6.34")
def test_what_changed_while_it_was_off_follows_when_it_is_on_again(ada):
    made = appointment(ada)
    ada.quiet()
    switched(False)
    attached(made)
    ada.quiet()
    assert there(ada, made) == {}
    switched(True)
    ada.quiet()

    assert there(ada, made) == {"list.txt": b"List"}


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


def twice(account: ActAccount, record: Appointment) -> list[str]:
    """Names on the server, each as often as it is there."""
    return sorted(file.name for file in item_of(account, record).files.values())


@pytest.mark.rule("R6.34")
def test_a_file_that_was_replaced_on_both_sides_is_there_as_both_left_it(ada):
    made = appointment(ada)
    attached(made)
    ada.quiet()
    ActivityMimeAttachment.objects.all().delete()
    attached(made, content=b"Mine")
    item = item_of(ada, made)
    item.files.clear()
    ada.account.attach(item.id, ItemFile("list.txt", "text/plain", 6, content=b"Theirs"))
    ada.quiet()

    contents = {file.content for file in item.files.values()}
    rows = ActivityMimeAttachment.objects.select_related("attachment")
    assert contents == {blobs.read(row.attachment) for row in rows} == {b"Mine", b"Theirs"}


@pytest.mark.rule("R6.34")
def test_nobody_is_mailed_about_files(ada):
    made = appointment(ada, contact(ada))
    ada.quiet()
    mailed = list(ada.account.mails)
    attached(made)
    ada.quiet()
    ActivityMimeAttachment.objects.all().delete()
    ada.quiet()
    assert twice(ada, made) == []
    assert ada.account.mails == mailed
    assert [mail.what for mail in mailed] == ["invitation"]


@pytest.mark.rule("R6.34", "R6.52")
def test_own_files_are_no_change_and_none_is_read_twice(ada):
    made = appointment(ada)
    ada.quiet()
    attached(made)
    ada.cycle()
    item = item_of(ada, made)
    assert ada.link_of(made).change_key == item.version
    assert not ada.cycle().by_state
    assert ada.servers[-1].calls["fetch"] == 0

    ada.account.attach(item.id, PLAN)
    ada.quiet()
    ada.account.edit(item.id, location="Room 1")
    ada.cycle()
    assert [name for server in ada.servers for name in server.downloaded] == ["plan.txt"]


@pytest.mark.rule("R6.34")
def test_what_changes_here_alone_asks_the_server_for_no_files(ada):
    made = appointment(ada)
    attached(made)
    ada.quiet()
    Appointment.objects.filter(pk=made.pk).update(location="Room 1")
    attached(made, "more.txt", b"More")
    ada.cycle()

    server = ada.servers[-1]
    assert (server.calls["fetch"], server.downloaded) == (0, [])
    assert twice(ada, made) == ["list.txt", "more.txt"]


@pytest.mark.rule("R6.34")
def test_an_item_without_files_is_not_asked_for_them(ada):
    made = appointment(ada)
    ada.quiet()
    ada.account.edit(item_of(ada, made).id, location="Room 1")
    ada.quiet()
    assert sum(server.calls["files"] for server in ada.servers) == 0


@pytest.mark.rule("R6.34")
def test_a_file_whose_answer_was_lost_is_not_added_again(ada):
    made = [appointment(ada) for _ in range(3)]
    for record in made:
        attached(record)
        attached(record, "more.txt", b"More")
    fates = (Fate.LOST_AFTER, Fate.LOST_BEFORE, Fate.STALE)
    ada.prepare = lambda server: server.fate("add_files", *fates)
    ada.cycle()
    ada.prepare = lambda server: None
    ada.later(minutes=15)
    ada.quiet()
    for record in made:
        assert twice(ada, record) == ["list.txt", "more.txt"]
        assert here(record) == {"list.txt", "more.txt"}
        assert not ada.link_of(record).is_pending


class Leaving(FakeItemsServer):
    """Gone with the answer to the first file."""

    def add_files(self, *order: object) -> WrittenItem:
        super().add_files(*order)
        raise ConnectionLost("gone")


@pytest.mark.rule("R6.34")
def test_killed_once_a_file_was_added(ada):
    made = appointment(ada)
    attached(made)
    attached(made, "more.txt", b"More")
    connect, ada.connect = ada.connect, lambda *_, **__: Leaving(ada.account)
    with pytest.raises(ConnectionLost):
        ada.cycle()
    ada.connect = connect
    ada.later(minutes=15)
    ada.quiet()
    assert twice(ada, made) == ["list.txt", "more.txt"]


@pytest.mark.rule("R6.34")
def test_killed_before_the_first_file(ada, monkeypatch):
    made = appointment(ada)
    attached(made)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(files, "carry_over", _killed)
        ada.cycle()
    assert len(ada.account.held(CALENDAR)) == 1
    ada.later(minutes=15)
    ada.quiet()
    assert twice(ada, made) == ["list.txt"]


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.rule("R6.34")
def test_a_bad_file_stops_neither_the_others_nor_the_pair(ada):
    made = appointment(ada)
    for number in range(3):
        attached(made, f"{number}.txt", b"%d" % number)
    ada.prepare = lambda server: server.fate("add_files", None, Fate.REFUSED, None)
    ada.cycle()

    assert twice(ada, made) == ["0.txt", "2.txt"]
    link = ada.link_of(made)
    assert link.last_sync_error.startswith("1.txt: ")
    (revision,) = [one for one in ada.revisions if one.verb == "files"]
    assert revision.after == {"files": ["0.txt", "2.txt"], "left_out": ["1.txt"]}
    assert {reason["code"] for reason in revision.reasons} == {"files_added", "files_refused"}


@pytest.mark.rule("R6.34")
def test_what_can_not_be_taken_off_now_is_later(ada):
    made = appointment(ada)
    attached(made)
    ada.quiet()
    ActivityMimeAttachment.objects.all().delete()
    ada.prepare = lambda server: server.fail("remove_files", MessageError("not now"))
    ada.cycle()
    assert twice(ada, made) == ["list.txt"]
    assert ada.link_of(made).last_sync_error.endswith("not now")

    ada.prepare = lambda server: None
    ada.later(minutes=15)
    ada.quiet()
    assert twice(ada, made) == []
    assert here(made) == set()


@pytest.mark.rule("R6.34", "R6.54")
def test_what_is_never_taken_is_tried_so_often_and_no_more(ada):
    made = appointment(ada)
    attached(made)
    refused = WrittenItem(Outcome.REFUSED, error=ActionRefused("no"))
    ada.prepare = lambda server: setattr(server, "add_files", lambda *_: refused)
    most = Organization.objects.current().maximum_synchronization_attempts_for_act
    outcomes = []
    for _try in range(most + 2):
        outcomes.append(ada.cycle().failed)
        ada.later(hours=3)
    assert outcomes == [1] * most + [0, 0]
    link = ada.link_of(made)
    assert (link.retries, link.is_pending) == (most, False)


@pytest.mark.rule("R6.34", "R3.51")
def test_what_is_too_large_is_neither_read_nor_sent_until_the_limit_is_raised(ada):
    Organization.objects.update(max_upload_file_size_kb=1)
    made = appointment(ada)
    attached(made, "mine.txt", b"m" * 2048)
    ada.quiet()
    item = item_of(ada, made)
    huge = ItemFile("huge.txt", "text/plain", 200 * 1024, content=b"h" * 200 * 1024)
    ada.account.attach(item.id, huge)
    ada.quiet()
    assert (here(made), twice(ada, made)) == ({"mine.txt"}, ["huge.txt"])
    assert [name for server in ada.servers for name in server.downloaded] == []
    told = [one.after["left_out"] for one in ada.revisions if one.verb == "files"]
    assert told == [["mine.txt"], ["huge.txt"]]

    Organization.objects.update(max_upload_file_size_kb=5120)
    ada.account.edit(item.id, location="Room 1")
    ada.quiet()

    assert here(made) == set(twice(ada, made)) == {"mine.txt", "huge.txt"}
    made.refresh_from_db()
    assert made.attachment_errors == AttachmentErrors.NONE


@pytest.mark.rule("R6.34", "R6.47")
def test_what_was_taken_off_there_comes_back_out_of_the_bin(ada):
    made = appointment(ada)
    attached(made)
    ada.quiet()
    item = item_of(ada, made)
    item.files.clear()
    ada.account.touch(item.id)
    ada.quiet()
    blobs.sweep(ada.now)
    blobs.sweep(ada.now + timedelta(days=2))

    restore(DeletedRecord.objects.get(record_type="activities.activitymimeattachment"))
    ada.quiet()

    assert there(ada, made) == {"list.txt": b"List"}
    told = [one for one in ada.revisions if one.verb == "files"]
    here_, there_ = RevisionSide.STORE, RevisionSide.SERVER
    assert [one.side for one in told] == [there_, here_, there_]
    lines = [(line.left, line.right) for one in happened(ada.user, told) for line in one.lines]
    assert lines == [("", "list.txt"), ("list.txt", ""), ("", "list.txt")]
    assert "by hand" in undo.why_not(told[0], ada.now)
    assert undo.newest_of(made.pk).verb == "create"


def test_files_that_are_equal_cost_as_much_for_many_pairs_as_for_few(ada, monkeypatch):
    made = [appointment(ada) for _ in range(4)]
    for record in made:
        attached(record)
    ada.quiet()
    cost, carry_over = [], files.carry_over

    def counted(*order: object) -> None:
        with counting() as statements:
            carry_over(*order)
        cost.append(len(statements))

    monkeypatch.setattr(files, "carry_over", counted)
    for some in (made[:2], made):
        for record in some:
            ada.account.edit(item_of(ada, record).id, location=f"Room {len(some)}")
        ada.later(minutes=15)
        ada.cycle()

    few, many = cost
    assert few == many <= 6
    assert not any(link.is_pending for link in ada.links)


@pytest.mark.rule("R6.34", "R6.20")
def test_files_of_a_meeting_are_its_organizers(ada):
    ben = act_account("ben", site=ada.account.site)
    made = appointment(ada)
    takes_part(made, ParticipationType.REQUIRED_ATTENDEE, ben.user, "ben@example.com")
    attached(made)
    for _round in range(2):
        ada.quiet()
        ben.quiet()
    (copy,) = ben.account.held(CALENDAR)
    assert (twice(ada, made), copy.files) == (["list.txt"], {})

    ben.account.attach(copy.id, ItemFile("own.txt", "text/plain", 3, content=b"Own"))
    ben.later(hours=1)
    ben.quiet()
    assert here(made) == {"list.txt"}
    assert [file.name for file in copy.files.values()] == ["own.txt"]
