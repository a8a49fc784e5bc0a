"""What happens between a decision, its applying and its undoing: people, cycles and the retention go on."""

from datetime import timedelta
from threading import Thread

import pytest
from django.db import connection
from django.utils import timezone

from activities import blobs, recyclebin
from activities.models import Contact, DeletedRecord, Email, QueueItem
from mailboxes.choices import FilteringMethod, IncomingDeliveryMethod, Reach
from mailboxes.models import SystemUser, TraceLog
from serversync import byhand, quarantine, replay, retention
from serversync.choices import ActionState, ItemState, ReplayState, Stay
from serversync.models import Replay, ServerAction, SyncItem
from serversync.outbox import reply
from serversync.replay.plan import settings_digest
from tests.factories.mailboxes import group_of
from tests.integration.serversync.cycles import (
    Account,
    message,
    organization,
    queue_mailbox,
    user_mailbox,
)
from tests.integration.serversync.test_categories import exchange
from tests.integration.serversync.test_receive import forward_account, wrapped
from tests.integration.serversync.test_replay import everything, replayed, steps, takes

DELETED_THERE = "the server's copy has been deleted"
pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def admin() -> SystemUser:
    return SystemUser.objects.create_superuser("root")


@pytest.fixture
def ada() -> Account:
    """Whose one message is tracked, and would be turned down by now."""
    account = Account(user_mailbox("ada"))
    account.box.deliver(message(message_id="one@x.example"))
    account.receive()
    takes(account, FilteringMethod.RESPONSES)
    return account


def applied(admin: SystemUser, account: Account) -> Replay:
    return replay.apply(replayed(admin, account), actor=admin, now=account.now)


def undone(found: Replay, admin: SystemUser, account: Account) -> str:
    """Why its one change could not be undone."""
    replay.undo(found, actor=admin, now=account.now)
    return found.changes.get().not_undone


def opens(account: Account) -> None:
    queue = account.mailbox.regarding_queue
    queue.incoming_email_filtering_method = FilteringMethod.ALL
    queue.save()


def tracker(account: Account) -> SystemUser:
    """The owner of the mailbox, who may track by hand."""
    user = account.mailbox.regarding_user
    group_of(user, "track_syncitem", "view_syncitem", "view_mailbox", reach=Reach.OWN)
    return SystemUser.objects.get(pk=user.pk)


# -- between decision and applying


@pytest.mark.parametrize("deed", ["answered", "taken", "copied", "filter"])
def test_what_happened_after_the_review_stops_it(
    ada: Account, admin: SystemUser, deed: str
) -> None:
    ben, user = Account(user_mailbox("ben"), box=ada.box), ada.mailbox.regarding_user
    desk = user.owned_queues.create(name="Desk")
    found = replayed(admin, ada)
    assert steps(found) == {"one": ("remove", "")}
    email = Email.objects.get()
    if deed == "answered":
        reply(email, actor=user, now=ada.now)
    elif deed == "taken":
        QueueItem.objects.create(queue=desk, object=email.activity, worker_user=user)
    elif deed == "copied":
        ben.receive()
        assert SyncItem.objects.get(mailbox=ben.mailbox).state == ItemState.DUPLICATE
    else:
        takes(ada, FilteringMethod.ALL)
    what = "settings have" if deed == "filter" else "1 item has"
    with pytest.raises(replay.Refused, match=f"{what} changed since"):
        replay.apply(found, actor=admin, now=ada.now)
    assert Email.objects.filter(pk=email.pk).exists()


def test_what_was_dropped_while_it_was_decided_stays_dropped(
    ada: Account, admin: SystemUser
) -> None:
    made = replay.begin(actor=admin, since=ada.now, until=ada.now, later=False)
    replay.drop(made, actor=admin, now=ada.now)
    assert replay.decide(made, ada.now).state == ReplayState.DROPPED


def test_a_job_that_comes_twice_leaves_what_was_applied(ada: Account, admin: SystemUser) -> None:
    found = applied(admin, ada)
    assert replay.decide(found, ada.now).state == ReplayState.APPLIED
    assert found.changes.count() == 1


# -- between applying and undoing


def test_after_the_retention_it_can_still_be_undone(ada: Account, admin: SystemUser) -> None:
    before = everything()
    found = applied(admin, ada)
    assert retention.forget(ada.now + timedelta(days=5)).items == 1
    assert SyncItem.objects.get().subject == ""
    assert undone(found, admin, ada) == ""
    assert everything() == before


def test_what_was_fetched_and_turned_down_is_undone_after_the_retention(
    ada: Account, admin: SystemUser
) -> None:
    takes(ada, FilteringMethod.NONE)
    applied(admin, ada)
    takes(ada, FilteringMethod.ALL)
    found = applied(admin, ada)
    takes(ada, FilteringMethod.NONE)
    ada.receive()
    retention.forget(ada.now + timedelta(days=5))
    assert undone(found, admin, ada) == ""


def test_whoever_asks_for_it_meanwhile_gets_it(ada: Account, admin: SystemUser) -> None:
    found = applied(admin, ada)
    assert byhand.track(SyncItem.objects.all(), actor=tracker(ada), now=ada.now)
    assert undone(found, admin, ada) == Stay.BY_HAND.label
    ada.receive()
    assert Email.objects.count() == 1 and SyncItem.objects.get().state == ItemState.TRACKED


def test_two_replays_undone_the_first_one_first(ada: Account, admin: SystemUser) -> None:
    first = applied(admin, ada)
    takes(ada, FilteringMethod.ALL)
    second = applied(admin, ada)
    ada.receive()
    assert undone(first, admin, ada) == Stay.BY_HAND.label
    assert Email.objects.count() == 1
    assert undone(second, admin, ada) == ""
    assert SyncItem.objects.get().state == ItemState.REJECTED
    assert DeletedRecord.objects.count() == 2


def test_what_was_untracked_by_hand_stays_untracked(ada: Account, admin: SystemUser) -> None:
    takes(ada, FilteringMethod.ALL)
    email = Email.objects.get()
    Contact.objects.create(
        last_name="Cleo", email_address1="cleo@customer.example", owning_user=admin
    )
    found = applied(admin, ada)
    assert found.changes.get().step == "change"
    assert byhand.unlink(SyncItem.objects.all(), actor=tracker(ada), now=ada.now) == 1
    assert undone(found, admin, ada) == Stay.BY_HAND.label
    assert SyncItem.objects.get().email is None and Email.objects.get().pk == email.pk


def test_both_copies_of_what_was_fetched_are_undone(admin: SystemUser) -> None:
    both = [Account(user_mailbox(name, FilteringMethod.NONE)) for name in ("ada", "ben")]
    for one in both:
        one.box.deliver(message(message_id="two@x.example", to="ada@example.com, ben@example.com"))
        one.receive()
    before = everything()["SyncItem"]
    for one in both:
        takes(one, FilteringMethod.ALL)
    found = replayed_all(admin, both[0])
    replay.apply(found, actor=admin, now=both[0].now)
    for one in both:
        one.now = both[0].now
        one.receive()
    states = SyncItem.objects.exclude(email=None).values_list("state", flat=True)
    assert sorted(states) == [ItemState.DUPLICATE, ItemState.TRACKED]
    replay.undo(found, actor=admin, now=both[0].now)
    assert set(found.changes.values_list("not_undone", flat=True)) == {""}
    assert everything()["SyncItem"] == before and not Email.objects.exists()


def replayed_all(admin: SystemUser, account: Account) -> Replay:
    account.later(minutes=1)
    since = account.now - timedelta(days=1)
    made = replay.begin(actor=admin, since=since, until=account.now, later=False)
    return replay.decide(made, account.now)


# -- queues


def known_as(desk: Account, address: str) -> None:
    queue = desk.mailbox.regarding_queue
    queue.email_address = address
    queue.save()


def tracked() -> Account:
    ada = Account(user_mailbox("ada"))
    ada.box.deliver(message(message_id="one@x.example", to="ada@example.com, desk@example.com"))
    ada.receive()
    return ada


def test_what_somebody_took_up_in_a_queue_stays_there(admin: SystemUser) -> None:
    ada = tracked()
    queue_mailbox("desk")
    found = replayed(admin, ada)
    assert steps(found) == {"one": ("change", "")}
    replay.apply(found, actor=admin, now=ada.now)
    assert QueueItem.objects.update(worker_user=ada.mailbox.regarding_user) == 1
    assert undone(found, admin, ada) == Stay.WORKED_ON.label
    assert QueueItem.objects.count() == 1


@pytest.mark.parametrize("step", ["change", "remove"])
def test_a_queue_that_is_gone_keeps_nothing_from_coming_back(admin: SystemUser, step: str) -> None:
    desk = Account(queue_mailbox("desk", FilteringMethod.NONE))
    ada = tracked()
    assert QueueItem.objects.exists()
    known_as(desk, "other@example.com")
    if step == "remove":
        takes(ada, FilteringMethod.NONE)
    found = applied(admin, ada)
    assert steps(found) == {"one": (step, "")} and not QueueItem.objects.exists()
    desk.mailbox.regarding_queue.delete()
    assert undone(found, admin, ada) == ""
    assert Email.objects.count() == 1 and not QueueItem.objects.exists()


def test_a_queue_that_went_after_the_review_stops_it(admin: SystemUser) -> None:
    ada = tracked()
    desk = queue_mailbox("desk")
    found = replayed(admin, ada)
    desk.regarding_queue.delete()
    found.settings_digest = settings_digest()
    found.save()
    with pytest.raises(replay.Refused, match="1 item has changed"):
        replay.apply(found, actor=admin, now=ada.now)


# -- servers


@pytest.mark.parametrize("is_done", [False, True])
def test_undoing_leaves_no_message_without_a_copy(admin: SystemUser, is_done: bool) -> None:
    support = Account(
        queue_mailbox(filtering=FilteringMethod.RESPONSES, process_and_delete_emails=True)
    )
    support.box.deliver(message(message_id="one@x.example", to="support@example.com"))
    support.receive()
    opens(support)
    found = applied(admin, support)
    support.receive()
    action = ServerAction.objects.get(kind="delete")
    state = ActionState.DONE if is_done else ActionState.PENDING
    ServerAction.objects.filter(pk=action.pk).update(state=state)
    why = undone(found, admin, support)
    assert (why, Email.objects.count()) == ((DELETED_THERE, 1) if is_done else ("", 0))
    assert ServerAction.objects.count() == (1 if is_done else 0)


def test_what_carries_the_category_does_not_come_back_by_it(admin: SystemUser) -> None:
    organization(track_categorized_items=True, name="Works")
    ada = exchange("ada", FilteringMethod.ALL)
    ada.receive()
    ada.box.deliver(message(message_id="one@x.example"))
    ada.receive()
    takes(ada, FilteringMethod.NONE)
    assert steps(applied(admin, ada)) == {"one": ("remove", "")}
    carried = [each.keywords for each in ada.box.messages()]
    for _time in range(2):
        ada.later(minutes=16)
        ada.box.now = ada.now
        ada.receive()
    assert not Email.objects.exists()
    assert [each.keywords for each in ada.box.messages()] == carried == [{"Tracked to Works"}]


def test_bytes_of_what_had_failed_are_its_own_again(
    ada: Account, admin: SystemUser, monkeypatch
) -> None:
    takes(ada, FilteringMethod.ALL)
    organization(promotion_attempts=1)
    ada.box.deliver(message(message_id="two@x.example"))
    with monkeypatch.context() as broken:
        broken.setattr("tracking.promote.judge", _failing)
        ada.receive()
    row = SyncItem.objects.get(message_id="two@x.example")
    assert row.state == ItemState.QUARANTINED and row.raw_id is not None
    alerts = TraceLog.objects.filter(code=quarantine.ALERT, closed_on=None)
    assert alerts.exists()
    found = applied(admin, ada)
    assert not alerts.exists()
    ada.receive()
    assert SyncItem.objects.get(pk=row.pk).raw_id is None
    for _time in range(2):
        blobs.sweep(timezone.now() + timedelta(days=2))
    assert undone(found, admin, ada) == ""
    back = SyncItem.objects.get(pk=row.pk)
    assert (back.state, back.raw_id) == (ItemState.QUARANTINED, row.raw_id)
    for days in (40, 80):
        blobs.sweep(timezone.now() + timedelta(days=days))
    assert quarantine.retry(SyncItem.objects.filter(pk=row.pk), now=ada.now) == 1
    ada.box.remove(row.source_key)
    ada.receive()
    assert SyncItem.objects.get(pk=row.pk).state == ItemState.TRACKED


def _failing(*_: object, **__: object) -> None:
    raise RuntimeError("poison")


def test_what_had_failed_is_no_longer_undeliverable(admin: SystemUser, monkeypatch) -> None:
    organization(track_categorized_items=True, promotion_attempts=1, name="Works")
    ada = exchange("ada", FilteringMethod.ALL)
    ada.receive()
    ada.box.deliver(message(message_id="one@x.example"))
    with monkeypatch.context() as broken:
        broken.setattr("tracking.promote.judge", _failing)
        ada.receive()
    assert [each.keywords for each in ada.box.messages()] == [{"(Undeliverable)"}]
    assert steps(applied(admin, ada)) == {"one": ("fetch", "")}
    ada.receive()
    assert [each.keywords for each in ada.box.messages()] == [{"Tracked to Works"}]


def test_originals_of_a_forward_stay_when_it_is_undone(admin: SystemUser, monkeypatch) -> None:
    forward = forward_account()
    user_mailbox("ben", incoming_email_delivery_method=IncomingDeliveryMethod.FORWARD_MAILBOX)
    organization(promotion_attempts=1)
    forward.box.deliver(wrapped(message(message_id="in@x.example", to="ben@example.com")))
    with monkeypatch.context() as broken:
        broken.setattr("serversync.planning.plan_page", _failing)
        forward.receive()
    assert SyncItem.objects.get().state == ItemState.QUARANTINED
    found = applied(admin, forward)
    forward.receive()
    assert Email.objects.count() == 1
    assert undone(found, admin, forward) == "messages came out of the forward"
    assert Email.objects.count() == 1


@pytest.mark.database("postgresql")
@pytest.mark.django_db(transaction=True)
def test_a_copy_that_comes_while_it_is_applied_is_stored_again(
    ada: Account, admin: SystemUser, monkeypatch
) -> None:
    """Its cycle waits, learns that the email is gone, and makes one of its own."""
    ben = Account(user_mailbox("ben"), box=ada.box)
    found = replayed(admin, ada)
    ben.now, real = ada.now, recyclebin.delete
    cycle = Thread(target=_received, args=[ben])

    def meanwhile(*args: object, **values: object) -> object:
        cycle.start()
        cycle.join(0.5)
        assert cycle.is_alive()
        return real(*args, **values)

    monkeypatch.setattr(recyclebin, "delete", meanwhile)
    replay.apply(found, actor=admin, now=ada.now)
    cycle.join(30)
    item = SyncItem.objects.get(mailbox=ben.mailbox)
    assert item.state == ItemState.TRACKED and Email.objects.get().pk == item.email_id
    assert DeletedRecord.objects.count() == 1


def _received(account: Account) -> None:
    try:
        account.receive()
    finally:
        connection.close()


def test_the_last_copy_is_not_taken_away(admin: SystemUser) -> None:
    support = Account(queue_mailbox("support", process_and_delete_emails=True))
    support.box.deliver(message(message_id="one@x.example", to="support@example.com"))
    support.receive()
    support.receive()
    assert not support.box.messages()
    queue = support.mailbox.regarding_queue
    queue.incoming_email_filtering_method = FilteringMethod.RESPONSES
    queue.save()
    found = replayed(admin, support)
    assert steps(found) == {"one": ("nothing", Stay.LAST)}
