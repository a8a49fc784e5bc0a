"""Recounts over all three protocols: losses that were injected are told, fetched once, and never twice."""

import json
from dataclasses import replace
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from activities.models import Email
from mailboxes.choices import FilteringMethod, Operation
from mailboxes.protocols.base import INBOX, SENT
from mailboxes.protocols.errors import LoginRefused
from serversync import recount as recounting
from serversync.models import (
    FoldedItem,
    FolderCursor,
    ItemDay,
    Recount,
    ServerAction,
    SyncItem,
    Workload,
)
from serversync.recount import recount
from tests.factories.mailboxes import organization
from tests.integration.serversync.cycles import NOW, START, Account, message, user_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture(params=["imap", "pop3", "ews"])
def ada(request) -> Account:
    return account_of(request.param)


@pytest.fixture
def imap() -> Account:
    return account_of("imap")


def account_of(protocol: str) -> Account:
    """Three messages, all of them read."""
    account = Account(
        user_mailbox("ada", FilteringMethod.ALL),
        complete=protocol == "pop3",
        exchange=protocol == "ews",
    )
    for name in ("one", "two", "three"):
        account.box.deliver(mail(name))
    account.receive()
    give_back(account)
    return account


def mail(name: str) -> bytes:
    return message(message_id=f"{name}@x.example", subject=name)


def give_back(account: Account) -> None:
    Workload.objects.filter(mailbox=account.mailbox).update(lease_token=None, lease_expires_at=None)


def receive(account: Account) -> str:
    summary = account.receive().summary()
    give_back(account)
    return summary


def counted(account: Account, *, fix: bool = False) -> Recount:
    return recount(account.mailbox, fix=fix, clock=lambda: account.now, connect=account.connect)


def kinds(row: Recount) -> list[str]:
    assert not row.error
    assert row.differing == len(row.differences)
    return [each["kind"] for each in row.differences]


def move_cursor_past_all(account: Account) -> None:
    """As if somebody had meddled with the table: all that is there counts as read."""
    cursor, more = FolderCursor.objects.get(mailbox=account.mailbox, folder=INBOX).cursor, True
    while more:
        listed = account.connect().list_new(INBOX, cursor, 500)
        cursor, more = listed.cursor, listed.more
    FolderCursor.objects.filter(mailbox=account.mailbox, folder=INBOX).update(cursor=cursor)


@pytest.mark.rule("R8.30")
def test_where_nothing_is_lost_nothing_differs(ada: Account) -> None:
    row = counted(ada)
    assert kinds(row) == []
    (folder,) = row.folders
    assert (folder["listed"], folder["known"], folder["to_come"]) == (3, 3, 0)
    ada.box.deliver(mail("four"))
    assert [counted(ada).folders[0][name] for name in ("listed", "known", "to_come")] == [4, 3, 1]
    assert receive(ada) == "1 tracked"


@pytest.mark.rule("R8.30")
def test_a_row_that_was_deleted_is_missed_and_comes_back_as_a_duplicate(ada: Account) -> None:
    SyncItem.objects.filter(subject="two").delete()
    assert kinds(counted(ada)) == ["missed"]
    assert receive(ada) == "nothing new"  # no cycle would find it by itself

    row = counted(ada, fix=True)
    assert row.folders[0]["fixed"] == 1
    assert receive(ada) == "1 duplicate"
    assert Email.objects.count() == 3
    assert kinds(counted(ada)) == []


@pytest.mark.rule("R8.30")
def test_what_a_cursor_was_moved_past_is_fetched_once(ada: Account) -> None:
    ada.box.deliver(mail("four"))
    ada.box.deliver(mail("five"))
    move_cursor_past_all(ada)
    assert receive(ada) == "nothing new"

    assert kinds(counted(ada, fix=True)) == ["missed", "missed"]
    assert kinds(counted(ada, fix=True)) == []
    assert receive(ada) == "2 tracked"
    assert receive(ada) == "nothing new"
    assert sorted(SyncItem.objects.values_list("state", flat=True)) == ["tracked"] * 5
    assert Email.objects.count() == 5


@pytest.mark.rule("R8.30")
def test_a_message_that_appears_under_an_old_key_is_fetched(ada: Account) -> None:
    gap = ada.box.deliver(mail("four"))
    ada.box.deliver(mail("five"))
    late = ada.box.find(INBOX, gap)
    ada.box.messages().remove(late)
    receive(ada)
    ada.box.messages().append(replace(late))
    ada.box.messages().sort(key=lambda each: each.uid)
    if ada.complete:
        move_cursor_past_all(ada)

    assert kinds(counted(ada)) == ["missed"]
    counted(ada, fix=True)
    receive(ada)
    assert Email.objects.count() == 5
    assert kinds(counted(ada)) == []


def test_doubtful_states_are_told_and_put_right(imap: Account) -> None:
    one, two, three = SyncItem.objects.order_by("received_at", "pk")
    SyncItem.objects.filter(pk=one.pk).update(state="gone", left_at=NOW, email=None)
    SyncItem.objects.filter(pk=two.pk).update(state="retrying", next_attempt_at=None)
    SyncItem.objects.filter(pk=three.pk).update(left_at=NOW)

    assert sorted(kinds(counted(imap, fix=True))) == ["given_up", "stuck", "there"]
    receive(imap)
    assert kinds(counted(imap)) == []
    assert set(SyncItem.objects.values_list("state", flat=True)) <= {"tracked", "duplicate"}


def test_what_is_found_under_another_key_is_as_it_would_be_under_its_own(imap: Account) -> None:
    one, two, _three = SyncItem.objects.order_by("received_at", "pk")
    keys = [one.source_key, two.source_key]
    SyncItem.objects.filter(pk=one.pk).update(source_key="1.901", state="gone", left_at=NOW)
    SyncItem.objects.filter(pk=two.pk).update(source_key="1.902")
    deed = ServerAction.objects.create(
        mailbox=imap.mailbox, item=two, folder=INBOX, source_key="1.902", kind="mark"
    )

    assert kinds(counted(imap, fix=True)) == ["renamed", "renamed"]
    one.refresh_from_db()
    assert (one.source_key, one.state, one.left_at) == (keys[0], "retrying", None)
    deed.refresh_from_db()
    assert deed.source_key == keys[1]
    receive(imap)
    assert kinds(counted(imap)) == []


@pytest.mark.parametrize(("folder", "kind"), [(INBOX, []), ("Projects", ["missed"])])
def test_what_is_folded_explains_what_lies_in_its_own_folder(
    imap: Account, folder: str, kind: list[str]
) -> None:
    row = SyncItem.objects.order_by("received_at", "pk")[1]
    total = ItemDay.objects.create(
        mailbox=imap.mailbox, folder=folder, day=NOW.date(), state="rejected", count=1
    )
    FoldedItem.objects.create(
        total=total, mailbox=imap.mailbox, identity=row.identity, first_seen_at=NOW
    )
    row.delete()
    counted_now = counted(imap)
    assert kinds(counted_now) == kind
    assert counted_now.folders[0]["folded"] == 1 - len(kind)


def test_what_left_unnoticed_is_told_and_noted() -> None:
    ada = account_of("ews")
    ada.box.messages().pop()  # without a word
    assert kinds(counted(ada, fix=True)) == ["left"]
    assert kinds(counted(ada)) == []
    assert SyncItem.objects.filter(left_at=None).count() == 2


def test_what_is_older_than_the_start_is_explained() -> None:
    ada = Account(user_mailbox("ada", FilteringMethod.ALL))
    ada.box.deliver(mail("old"), received_at=START - timedelta(days=5))
    ada.box.deliver(mail("new"))
    receive(ada)
    row = counted(ada)
    assert kinds(row) == []
    assert (row.folders[0]["before_start"], row.folders[0]["before_start_noted"]) == (1, 1)


def test_nothing_changes_without_fix(imap: Account) -> None:
    SyncItem.objects.filter(subject="two").delete()
    before = list(SyncItem.objects.order_by("pk").values()), list(FolderCursor.objects.values())
    counted(imap)
    assert (
        list(SyncItem.objects.order_by("pk").values()),
        list(FolderCursor.objects.values()),
    ) == before
    assert not imap.box.actions
    workload = Workload.objects.get(mailbox=imap.mailbox, operation=Operation.INCOMING)
    assert workload.lease_token is None


def test_a_mailbox_that_is_being_read_is_left_alone(imap: Account) -> None:
    imap.lease(Operation.INCOMING)
    row = counted(imap)
    assert "running now" in row.error
    assert not row.folders


def test_a_job_that_is_delivered_twice_counts_once(imap: Account) -> None:
    SyncItem.objects.filter(subject="two").delete()
    row = counted(imap)
    again = recount(
        imap.mailbox,
        row=Recount.objects.get(pk=row.pk),
        clock=lambda: imap.now,
        connect=imap.connect,
    )
    assert (again.differing, len(again.folders), len(again.differences)) == (1, 1, 1)


def asked(account: Account, **columns: object) -> Recount:
    return Recount.objects.create(mailbox=account.mailbox, asked_on=account.now, **columns)


def by_job(account: Account, row: Recount) -> Recount:
    return recount(account.mailbox, row=row, clock=lambda: account.now, connect=account.connect)


def test_what_was_begun_and_is_delivered_again_has_ended_with_its_worker(imap: Account) -> None:
    row = by_job(imap, asked(imap, begun_on=imap.now - timedelta(seconds=300)))

    row.refresh_from_db()
    assert row.ended_on == imap.now
    assert "worker was stopped" in row.error
    assert len(imap.servers) == 1  # nothing was asked of the server again


def test_whose_worker_was_killed_may_be_asked_for_again_within_minutes(imap: Account) -> None:
    killed = asked(imap, begun_on=imap.now)
    imap.later(minutes=2)
    assert not recounting.ask(imap.mailbox, fix=False, by=None, now=imap.now)
    imap.later(minutes=3)
    assert not Recount.objects.filter(recounting.waiting(imap.now)).exists()

    assert recounting.ask(imap.mailbox, fix=False, by=None, now=imap.now)

    killed.refresh_from_db()
    assert killed.ended_on == imap.now and "worker was stopped" in killed.error
    (waits,) = Recount.objects.filter(recounting.waiting(imap.now))
    assert not waits.error
    # The former one's job turns up after all.
    assert by_job(imap, killed).error == killed.error
    assert not by_job(imap, waits).error


def test_what_no_worker_took_up_ends_at_night_with_its_cause(imap: Account) -> None:
    lost = asked(imap)
    recounting.forget(imap.now + timedelta(minutes=59))
    lost.refresh_from_db()
    assert lost.ended_on is None

    recounting.forget(imap.now + timedelta(minutes=61))

    lost.refresh_from_db()
    assert "No worker took it up" in lost.error


def test_a_job_that_counts_too_long_ends_by_itself_and_keeps_what_it_counted(imap: Account) -> None:
    organization(auto_track_sent_folder_items=True)
    imap.box.add_folder(SENT)
    row = asked(imap)
    listed = imap.connect

    def slow(*arguments: object, **options: object):
        server = listed(*arguments, **options)
        list_new = server.list_new

        def takes_a_minute(*asked: object):
            imap.later(seconds=100)
            return list_new(*asked)

        server.list_new = takes_a_minute
        return server

    recount(imap.mailbox, row=row, clock=lambda: imap.now, connect=slow)

    assert "takes longer than a job may (3 minutes)" in row.error
    assert [each["folder"] for each in row.folders] == [INBOX]
    assert row.ended_on == imap.now
    assert not Workload.objects.filter(lease_token__isnull=False).exists()


def test_a_fault_of_ours_ends_it_too(imap: Account) -> None:
    imap.prepare = lambda server: server.fail("open", ZeroDivisionError("secret text"))
    row = asked(imap)

    with pytest.raises(ZeroDivisionError):
        by_job(imap, row)

    row.refresh_from_db()
    assert row.ended_on is not None
    assert row.error == "The site itself failed: ZeroDivisionError."


def test_a_server_that_refuses_is_told(imap: Account) -> None:
    imap.prepare = lambda server: server.fail("open", LoginRefused("no"))
    row = counted(imap)
    assert row.error
    assert Workload.objects.filter(lease_token__isnull=False).count() == 0


def test_the_command_tells_and_ends_with_1_if_something_differs(imap: Account, monkeypatch) -> None:
    monkeypatch.setattr(
        "serversync.management.commands.reconcile.recount",
        lambda mailbox, fix: recount(
            mailbox, fix=fix, clock=lambda: imap.now, connect=imap.connect
        ),
    )

    def run(*arguments: str) -> tuple[int, str]:
        out, code = StringIO(), 0
        try:
            call_command("reconcile", "--all", *arguments, stdout=out)
        except SystemExit as end:
            code = int(end.code or 0)
        return code, out.getvalue()

    assert run()[0] == 0
    SyncItem.objects.filter(subject="two").delete()
    code, text = run()
    assert code == 1
    assert "unknown to the ledger" in text
    code, text = run("--fix", "--json")
    (told,) = json.loads(text)
    assert (code, told["differing"], told["differences"][0]["kind"]) == (1, 1, "missed")
    receive(imap)
    assert run()[0] == 0


def test_recounts_are_forgotten_after_30_days(imap: Account) -> None:
    counted(imap)
    assert recounting.forget(timezone.now() - timedelta(days=3650)) == 0
    assert recounting.forget(NOW + timedelta(days=31)) == 1
