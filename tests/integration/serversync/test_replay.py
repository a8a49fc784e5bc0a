"""Replay: a period decided again, reviewed, applied or dropped as a whole, and undone to the last column."""

import io
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.utils import timezone

from activities.choices import ParticipationType
from activities.models import Contact, DeletedRecord, Email, Incident, QueueItem
from mailboxes.choices import FilteringMethod
from mailboxes.models import SystemUser
from serversync import replay
from serversync.choices import ItemState, ReplayState, ReplayStep, Stay
from serversync.models import Replay, ReplayChange, ServerAction, SyncItem
from serversync.outbox import reply
from serversync.replay import forgetting
from tests.integration.serversync import test_creation as creation
from tests.integration.serversync.cycles import NOW, Account, message, organization, user_mailbox
from tracking.byhand import sentences_of

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

#: Rows that a replay leaves behind, and what counts runs.
ASIDE = ("Replay", "ReplayChange", "DeletedRecord", "Workload", "OrmQ", "Session")


@pytest.fixture
def admin() -> SystemUser:
    return SystemUser.objects.create_superuser("root")


@pytest.fixture
def ada() -> Account:
    """Whose filter takes answers only: one message was turned down."""
    account = Account(user_mailbox("ada", FilteringMethod.RESPONSES))
    account.box.deliver(message(message_id="one@x.example", subject="One"))
    account.box.deliver(message(message_id="two@x.example", subject="Two", to="ada@example.com"))
    account.receive()
    return account


def takes(account: Account, method: FilteringMethod) -> None:
    settings = account.mailbox.regarding_user.settings
    settings.incoming_email_filtering_method = method
    settings.save()


def replayed(actor: SystemUser, account: Account, **values) -> Replay:
    account.later(minutes=1)
    made = replay.begin(
        actor=actor,
        since=NOW - timedelta(days=1),
        until=account.now,
        mailbox=account.mailbox,
        later=False,
        **values,
    )
    return replay.decide(made, account.now)


def steps(found: Replay) -> dict[str, tuple[str, str]]:
    return {
        change.item.message_id.partition("@")[0]: (change.step, change.stays)
        for change in found.changes.select_related("item")
    }


def everything() -> dict[str, list[dict]]:
    """The database, less what a replay is allowed to leave."""
    return {
        model.__name__: sorted(model._base_manager.values(), key=str)
        for model in apps.get_models(include_auto_created=True)
        if model.__name__ not in ASIDE and not model.__name__.startswith("DeletedRecord")
    }


def test_what_is_wanted_now_is_fetched_by_the_next_cycle(ada: Account, admin: SystemUser) -> None:
    takes(ada, FilteringMethod.ALL)
    found = replayed(admin, ada)
    assert steps(found) == {"one": ("fetch", ""), "two": ("fetch", "")}
    assert found.state == ReplayState.READY and found.items == 2
    before = everything()
    fetched = len(ada.servers)
    replay.apply(found, actor=admin, now=ada.now)
    assert not Email.objects.exists() and not ServerAction.objects.exists()
    assert len(ada.servers) == fetched
    ada.receive()
    assert set(Email.objects.values_list("message_id", flat=True)) == {
        "one@x.example",
        "two@x.example",
    }
    assert not replayed(admin, ada).changes.exists()
    replay.undo(Replay.objects.get(pk=found.pk), actor=admin, now=ada.now)
    assert everything()["SyncItem"] == before["SyncItem"]
    assert not Email.objects.exists() and DeletedRecord.objects.count() == 2


def test_undone_before_the_next_cycle_nothing_has_happened(ada: Account, admin: SystemUser) -> None:
    takes(ada, FilteringMethod.ALL)
    before = everything()
    found = replayed(admin, ada)
    replay.apply(found, actor=admin, now=ada.now)
    replay.undo(found, actor=admin, now=ada.now)
    assert everything() == before
    ada.receive()
    assert not Email.objects.exists()


def test_what_the_server_no_longer_has_ends_as_gone(ada: Account, admin: SystemUser) -> None:
    takes(ada, FilteringMethod.ALL)
    ada.box.remove(next(iter(ada.items())))
    replay.apply(replayed(admin, ada), actor=admin, now=ada.now)
    ada.receive()
    states = {item.message_id: item.state for item in ada.items().values()}
    assert sorted(states.values()) == [ItemState.GONE, ItemState.TRACKED]


def test_an_email_that_is_no_longer_wanted_goes_into_the_bin_and_comes_back(
    ada: Account, admin: SystemUser
) -> None:
    takes(ada, FilteringMethod.ALL)
    ada.box.deliver(message(message_id="three@x.example", subject="Three"))
    ada.receive()
    takes(ada, FilteringMethod.RESPONSES)
    before = everything()
    found = replayed(admin, ada)
    assert steps(found) == {"three": ("remove", "")}
    replay.apply(found, actor=admin, now=ada.now)
    assert not Email.objects.exists()
    item = SyncItem.objects.get(message_id="three@x.example")
    assert (item.state, item.email) == (ItemState.REJECTED, None)
    assert not replayed(admin, ada).changes.exists()
    ada.receive()
    assert not Email.objects.exists()
    replay.undo(Replay.objects.get(pk=found.pk), actor=admin, now=ada.now)
    assert everything() == before


def test_mail_is_filed_under_who_is_known_by_now(ada: Account, admin: SystemUser) -> None:
    takes(ada, FilteringMethod.ALL)
    ada.box.deliver(message(message_id="three@x.example", subject="Three"))
    ada.receive()
    contact = Contact.objects.create(
        last_name="Cleo", email_address1="cleo@customer.example", owning_user=admin
    )
    before = everything()
    found = replayed(admin, ada)
    assert steps(found)["three"] == ("change", "")
    replay.apply(found, actor=admin, now=ada.now)
    email = Email.objects.get(message_id="three@x.example")
    assert email.email_sender_id == str(contact.pk)
    assert email.decision["replayed"]["id"] == str(found.pk)
    again = replayed(admin, ada)
    assert "three" not in steps(again)
    replay.undo(Replay.objects.get(pk=found.pk), actor=admin, now=ada.now)
    assert everything() == before


@pytest.mark.parametrize("deed", ["filed", "resolved", "given", "answered", "taken"])
def test_what_people_did_stays(ada: Account, admin: SystemUser, deed: str) -> None:
    takes(ada, FilteringMethod.ALL)
    ada.box.deliver(message(message_id="three@x.example", subject="Three"))
    ada.receive()
    email = Email.objects.get(message_id="three@x.example")
    if deed == "filed":
        contact = Contact.objects.create(last_name="Ben", owning_user=admin)
        email.activity.regarding_type = ContentType.objects.get_for_model(Contact)
        email.activity.regarding_id = str(contact.pk)
        email.activity.save()
    elif deed == "resolved":
        contact = Contact.objects.create(last_name="Ben", owning_user=admin)
        kind = ContentType.objects.get_for_model(Contact)
        recipient = email.activity.parties.filter(participation_type_mask=ParticipationType.TO)
        assert recipient.update(party_type=kind, party_id=str(contact.pk)) == 1
    elif deed == "given":
        email.activity.owning_user = admin
        email.activity.save()
    elif deed == "answered":
        reply(email, actor=ada.mailbox.regarding_user, now=ada.now)
    else:
        owner = ada.mailbox.regarding_user
        queue = ada.mailbox.regarding_user.owned_queues.create(name="Desk")
        QueueItem.objects.create(queue=queue, object=email.activity, worker_user=owner)
    takes(ada, FilteringMethod.RESPONSES)
    wanted = {"answered": Stay.ANSWERED, "taken": Stay.WORKED_ON}.get(deed, Stay.BY_HAND)
    assert steps(replayed(admin, ada))["three"] == ("nothing", wanted)


def test_what_is_not_as_it_was_reviewed_stops_the_whole(ada: Account, admin: SystemUser) -> None:
    takes(ada, FilteringMethod.ALL)
    found = replayed(admin, ada)
    row = SyncItem.objects.filter(message_id="two@x.example").get()
    row.trace = {**row.trace, "by_hand": {"what": "track"}}
    row.save()
    before = everything()
    with pytest.raises(replay.Refused, match="1 item has changed"):
        replay.apply(found, actor=admin, now=ada.now)
    assert everything() == before


def test_other_settings_or_a_day_later_ask_for_another_replay(
    ada: Account, admin: SystemUser
) -> None:
    takes(ada, FilteringMethod.ALL)
    found = replayed(admin, ada)
    organization(hash_max_count=21)
    with pytest.raises(replay.Refused, match="settings have changed"):
        replay.apply(found, actor=admin, now=ada.now)
    organization(hash_max_count=20)
    with pytest.raises(replay.Refused, match="more than a day ago"):
        replay.apply(found, actor=admin, now=ada.now + timedelta(days=2))
    replay.drop(found, actor=admin, now=ada.now)
    with pytest.raises(replay.Refused, match="no longer what you saw: Dropped"):
        replay.apply(found, actor=admin, now=ada.now)


def test_only_who_made_it_may_apply_it_and_only_with_the_rights(
    ada: Account, admin: SystemUser
) -> None:
    user = SystemUser.objects.create_user("eve")
    with pytest.raises(PermissionDenied):
        replay.begin(actor=user, since=NOW, until=NOW, later=False)
    takes(ada, FilteringMethod.ALL)
    found = replayed(admin, ada)
    with pytest.raises(PermissionDenied):
        replay.apply(found, actor=user, now=ada.now)


def test_what_is_not_known_is_listed_with_its_reason(ada: Account, admin: SystemUser) -> None:
    takes(ada, FilteringMethod.ALL)
    SyncItem.objects.filter(message_id="one@x.example").update(blanked=True)
    found = replayed(admin, ada)
    change = ReplayChange.objects.get(replay=found, item__message_id="one@x.example")
    assert (change.step, change.stays) == (ReplayStep.NOTHING, Stay.UNKNOWN)
    assert change.after["unknown"] == "blanked"


def test_details_are_blanked_with_the_ledger_and_can_be_undone_all_the_same(
    ada: Account, admin: SystemUser
) -> None:
    takes(ada, FilteringMethod.ALL)
    found = replayed(admin, ada)
    replay.apply(found, actor=admin, now=ada.now)
    Replay.objects.update(created_on=NOW)
    forgotten = forgetting.forget(NOW + timedelta(days=4))
    assert (forgotten.changes, forgotten.replays) == (2, 0)
    told = str(list(found.changes.values("before", "after", "item_was")))
    assert "example" not in told
    replay.undo(found, actor=admin, now=ada.now)
    assert set(SyncItem.objects.values_list("state", flat=True)) == {ItemState.REJECTED}
    assert forgetting.forget(NOW + timedelta(days=31)).replays == 1
    assert not ReplayChange.objects.exists()


def test_nobody_is_answered_because_of_it(admin: SystemUser) -> None:
    support = creation.queue(filtering=FilteringMethod.RESPONSES)
    creation.rule(support, answers=True)
    creation.rita()
    creation.deliver(support, subject="It is broken")
    support.receive()
    queue = support.mailbox.regarding_queue
    queue.incoming_email_filtering_method = FilteringMethod.ALL
    queue.save()
    replay.apply(replayed(admin, support), actor=admin, now=support.now)
    support.receive()
    case = Incident.objects.get()
    assert not creation.answers().exists()
    (email,) = case_mail(case)
    assert "a replay answers nobody" in " ".join(map(str, sentences_of(email.decision)))
    found = Replay.objects.latest("created_on")
    replay.undo(found, actor=admin, now=support.now)
    assert found.changes.get().not_undone.startswith("records were made of it")
    assert Email.objects.count() == 1


def case_mail(case: Incident) -> list[Email]:
    return list(Email.objects.filter(activity__regarding_id=str(case.pk)))


def test_by_command(ada: Account, admin: SystemUser) -> None:
    def called(*arguments: str) -> str:
        out = io.StringIO()
        call_command("replay", *arguments, "--as", "root", stdout=out)
        return out.getvalue()

    takes(ada, FilteringMethod.ALL)
    SyncItem.objects.update(decided_at=timezone.now() - timedelta(minutes=1))
    told = called("ada@example.com", "--days", "1")
    assert "2: the next cycle fetches it" in told and "0 unchanged" in told
    key = str(Replay.objects.get().pk)
    assert key in told
    assert called("--apply", key) == "Applied.\n"
    assert called("--undo", key) == "Undone.\n"
    with pytest.raises(CommandError, match="no longer what you saw"):
        called("--drop", key)
    with pytest.raises(CommandError, match="no replay"):
        called("--drop", "x")
    with pytest.raises(CommandError, match="no user"):
        call_command("replay", "--as", "nobody")
