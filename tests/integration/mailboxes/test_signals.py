"""What a new, changed or deleted user or queue does to its mailbox."""

import pytest
from django.contrib.admin.utils import NestedObjects
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from mailboxes import choices
from mailboxes.choices import (
    AccessApproval,
    ActDeliveryMethod,
    IncomingDeliveryMethod,
    Operation,
    OutgoingDeliveryMethod,
    StateCode,
)
from mailboxes.models import EmailSearch, Mailbox, Queue, SystemUser, TraceLog, UserSettings
from mailboxes.services import AddressTaken
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    ForwardMailboxFactory,
    QueueFactory,
    SuperuserFactory,
    SystemUserFactory,
    TeamFactory,
    organization,
    ready_mailbox,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.mark.rule("R1.2")
def test_a_new_user_gets_one_mailbox_options_and_three_workloads():
    user = SystemUserFactory(internal_email_address="ada@example.com")

    mailbox = user.default_mailbox
    assert mailbox.email_address == "ada@example.com"
    assert not mailbox.is_forward_mailbox
    assert UserSettings.objects.filter(system_user=user).count() == 1
    rows = mailbox.workloads.order_by("operation")
    assert [row.operation for row in rows] == list(Operation)
    assert not any(row.enabled for row in rows)
    assert {row.test_status for row in rows} == {choices.TestStatus.NOT_RUN}


@pytest.mark.rule("R1.2")
def test_a_new_queue_gets_one_mailbox():
    queue = QueueFactory(email_address="support@example.com")

    assert queue.default_mailbox.email_address == "support@example.com"
    assert queue.default_mailbox.workloads.count() == len(Operation)


@pytest.mark.rule("R1.2")
def test_a_second_mailbox_for_a_user_or_queue_is_refused_by_the_database():
    user, queue = SystemUserFactory(), QueueFactory()
    for served in ({"regarding_user": user}, {"regarding_queue": queue}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Mailbox.objects.create(
                name="Second", owning_user=user, is_forward_mailbox=False, **served
            )


@pytest.mark.rule("R1.2")
def test_a_forward_mailbox_that_serves_somebody_is_refused_by_the_database():
    user = SystemUserFactory()
    with pytest.raises(IntegrityError), transaction.atomic():
        Mailbox.objects.filter(pk=user.default_mailbox.pk).update(is_forward_mailbox=True)


@pytest.mark.django_db(transaction=True)
@pytest.mark.rule("R1.2")
def test_a_user_whose_mailbox_cannot_be_made_is_not_made_either():
    SystemUserFactory(internal_email_address="ada@example.com")

    with pytest.raises(AddressTaken):
        SystemUserFactory(domain_name="second", internal_email_address="ADA@example.com")

    assert not SystemUser.objects.filter(domain_name="second").exists()
    assert not EmailSearch.objects.filter(email_address="ada@example.com")[1:].exists()


@pytest.mark.rule("R1.3")
def test_a_mailbox_belongs_to_its_user_or_to_the_owner_of_its_queue():
    user = SystemUserFactory()
    team = TeamFactory()
    of_user = QueueFactory(owning_user=user)
    of_team = QueueFactory(owning_user=None, owning_team=team)

    assert user.default_mailbox.owner == user
    assert of_user.default_mailbox.owner == user
    assert of_team.default_mailbox.owner == team


@pytest.mark.rule("R1.3")
def test_the_mailbox_of_a_queue_follows_the_queue_to_a_new_owner():
    queue, team = QueueFactory(), TeamFactory()

    queue.owning_user, queue.owning_team = None, team
    queue.save()

    assert Mailbox.objects.get(regarding_queue=queue).owner == team


@pytest.mark.rule("R1.4", "R1.43")
@pytest.mark.parametrize("columns", [None, ["internal_email_address"]])
def test_a_users_new_address_reaches_the_mailbox_and_starts_over(columns):
    user = SystemUserFactory(internal_email_address="ada@example.com")
    ready_mailbox(user)

    user.internal_email_address = "ada.new@example.com"
    user.save(update_fields=columns)

    mailbox = Mailbox.objects.get(regarding_user=user)
    assert mailbox.email_address == "ada.new@example.com"
    assert mailbox.email_router_access_approval == AccessApproval.PENDING
    assert not mailbox.workloads.filter(enabled=True).exists()
    assert TraceLog.objects.get(regarding_mailbox=mailbox).code == "AddressChanged"


@pytest.mark.rule("R1.4")
def test_a_queues_new_address_reaches_the_mailbox():
    queue = QueueFactory()

    queue.email_address = "help@example.com"
    queue.save()

    assert Mailbox.objects.get(regarding_queue=queue).email_address == "help@example.com"


@pytest.mark.rule("R1.4", "R1.43")
def test_an_address_saved_on_the_mailbox_reaches_the_user_and_starts_over():
    user = SystemUserFactory()
    mailbox = ready_mailbox(user)

    mailbox.email_address = "new@example.com"
    mailbox.save(update_fields=["email_address"])

    assert SystemUser.objects.get(pk=user.pk).internal_email_address == "new@example.com"
    mailbox.refresh_from_db()
    assert mailbox.email_router_access_approval == AccessApproval.PENDING
    assert mailbox.account_generation == 2
    assert not mailbox.workloads.filter(enabled=True).exists()
    assert EmailSearch.objects.filter(email_address="new@example.com").exists()


def test_saving_other_columns_of_a_user_leaves_the_mailbox_alone(statements):
    user = SystemUserFactory()
    ready_mailbox(user)
    user.job_title = "Engineer"

    with statements() as made:
        user.save(update_fields=["job_title"])
    assert len(made) == 1

    assert Mailbox.objects.get(regarding_user=user).workloads.filter(enabled=True).count() == 3


@pytest.mark.rule("R1.5")
def test_two_mailboxes_with_one_address_are_refused_by_the_database():
    user = SystemUserFactory(internal_email_address="ada@example.com")
    other = SystemUserFactory()
    assert user
    with pytest.raises(IntegrityError), transaction.atomic():
        Mailbox.objects.filter(regarding_user=other).update(email_address="ADA@example.com")


@pytest.mark.rule("R1.30")
def test_a_new_mailbox_gets_the_organizations_defaults_and_its_profile_at_once():
    profile = EmailServerProfileFactory()
    organization(
        default_email_server_profile=profile,
        default_incoming_email_delivery_method=IncomingDeliveryMethod.SERVER_SIDE_SYNC,
        default_outgoing_email_delivery_method=OutgoingDeliveryMethod.NONE,
    )

    mailbox = SystemUserFactory().default_mailbox

    assert mailbox.email_server_profile == profile
    assert mailbox.incoming_email_delivery_method == IncomingDeliveryMethod.SERVER_SIDE_SYNC
    assert mailbox.outgoing_email_delivery_method == OutgoingDeliveryMethod.NONE
    assert mailbox.email_router_access_approval == AccessApproval.PENDING


@pytest.mark.rule("R1.30")
def test_without_a_server_side_method_no_profile_is_tied():
    organization(
        default_email_server_profile=EmailServerProfileFactory(),
        default_incoming_email_delivery_method=IncomingDeliveryMethod.FORWARD_MAILBOX,
        default_outgoing_email_delivery_method=OutgoingDeliveryMethod.NONE,
        default_act_delivery_method=ActDeliveryMethod.NONE,
    )

    assert SystemUserFactory().default_mailbox.email_server_profile is None


@pytest.mark.rule("R1.30")
def test_changed_defaults_touch_later_mailboxes_only():
    earlier = SystemUserFactory().default_mailbox
    organization(default_incoming_email_delivery_method=IncomingDeliveryMethod.NONE)

    later = SystemUserFactory().default_mailbox

    assert later.incoming_email_delivery_method == IncomingDeliveryMethod.NONE
    earlier.refresh_from_db()
    assert earlier.incoming_email_delivery_method == IncomingDeliveryMethod.SERVER_SIDE_SYNC


@pytest.mark.rule("R1.34")
@pytest.mark.parametrize(
    ("trait", "user_gets"),
    [("exchange", ActDeliveryMethod.SERVER_SIDE_SYNC), ("pop3", ActDeliveryMethod.NONE)],
)
def test_appointments_are_synchronized_by_default_only_where_that_is_legal(trait, user_gets):
    organization(default_email_server_profile=EmailServerProfileFactory(**{trait: True}))

    assert SystemUserFactory().default_mailbox.act_delivery_method == user_gets
    assert QueueFactory().default_mailbox.act_delivery_method == ActDeliveryMethod.NONE


@pytest.mark.rule("R2.1")
def test_a_mailbox_without_an_address_has_nothing_to_approve():
    user = SystemUserFactory(internal_email_address="")

    assert user.default_mailbox.email_router_access_approval == AccessApproval.EMPTY


@pytest.mark.rule("R2.1")
def test_a_forward_mailbox_with_an_address_waits_for_approval_and_has_workloads():
    mailbox = ForwardMailboxFactory()

    assert mailbox.email_router_access_approval == AccessApproval.PENDING
    assert mailbox.workloads.count() == len(Operation)


@pytest.mark.rule("R1.41")
def test_disabling_a_user_deactivates_the_mailbox_and_enabling_skips_no_test():
    user = SystemUserFactory()
    mailbox = ready_mailbox(user)

    user.is_disabled = True
    user.save()
    mailbox.refresh_from_db()
    assert mailbox.state_code == StateCode.INACTIVE

    user.is_disabled = False
    user.save()
    mailbox.refresh_from_db()
    assert mailbox.state_code == StateCode.ACTIVE
    assert not mailbox.workloads.filter(enabled=True).exists()


@pytest.mark.rule("R1.41")
def test_a_mailbox_deactivated_by_hand_stays_so_when_its_user_is_saved():
    user = SystemUserFactory()
    Mailbox.objects.filter(regarding_user=user).update(state_code=StateCode.INACTIVE)

    user.job_title = "Engineer"
    user.save()

    assert Mailbox.objects.get(regarding_user=user).state_code == StateCode.INACTIVE


@pytest.mark.rule("R1.45")
def test_deleting_a_user_keeps_the_inactive_mailbox_for_the_owner_of_its_profile():
    user, keeper = SystemUserFactory(), SystemUserFactory()
    mailbox = ready_mailbox(
        user, email_server_profile=EmailServerProfileFactory(owning_user=keeper)
    )

    user.delete()

    mailbox.refresh_from_db()
    assert mailbox.state_code == StateCode.INACTIVE
    assert mailbox.regarding_user is None
    assert mailbox.owner == keeper
    assert not mailbox.workloads.filter(enabled=True).exists()
    assert not SystemUser.objects.filter(pk=user.pk).exists()


@pytest.mark.rule("R1.45")
def test_the_mailbox_goes_to_a_team_that_owns_its_profile():
    user, team = SystemUserFactory(), TeamFactory()
    profile = EmailServerProfileFactory(owning_user=None, owning_team=team)
    mailbox = ready_mailbox(user, email_server_profile=profile)

    user.delete()

    mailbox.refresh_from_db()
    assert mailbox.owner == team


@pytest.mark.rule("R1.45")
def test_without_a_profile_the_mailbox_goes_to_a_superuser_also_when_many_are_deleted():
    administrator = SuperuserFactory()
    users = [SystemUserFactory(), SystemUserFactory()]
    mailboxes = [user.default_mailbox.pk for user in users]

    SystemUser.objects.filter(pk__in=[user.pk for user in users]).delete()

    kept = Mailbox.objects.filter(pk__in=mailboxes)
    assert {mailbox.owner for mailbox in kept} == {administrator}
    assert {mailbox.state_code for mailbox in kept} == {StateCode.INACTIVE}


@pytest.mark.rule("R1.45")
def test_a_user_whose_mailbox_nobody_could_own_is_not_deleted():
    user = SystemUserFactory()

    with pytest.raises(ProtectedError):
        user.delete()

    assert SystemUser.objects.filter(pk=user.pk).exists()
    assert Mailbox.objects.get(regarding_user=user).state_code == StateCode.ACTIVE


@pytest.mark.rule("R1.45")
def test_a_user_who_owns_a_forward_mailbox_is_not_deleted():
    SuperuserFactory()
    forward = ForwardMailboxFactory()

    with pytest.raises(ProtectedError):
        forward.owning_user.delete()


@pytest.mark.rule("R1.45")
def test_deleting_a_queue_keeps_its_inactive_mailbox():
    queue = QueueFactory()
    owner, mailbox = queue.owning_user, ready_mailbox(queue)

    queue.delete()

    mailbox.refresh_from_db()
    assert mailbox.state_code == StateCode.INACTIVE
    assert mailbox.regarding_queue is None
    assert mailbox.owner == owner
    assert not Queue.objects.exists()


@pytest.mark.rule("R1.45")
def test_the_address_of_a_deleted_users_mailbox_is_free_again():
    SuperuserFactory()
    SystemUserFactory(internal_email_address="ada@example.com").delete()

    again = SystemUserFactory(internal_email_address="ada@example.com")

    assert again.default_mailbox.email_address == "ada@example.com"
    assert Mailbox.objects.filter(email_address="ada@example.com").count() == 2


@pytest.mark.rule("R1.45")
@pytest.mark.parametrize("somebody_left", [True, False])
def test_the_confirmation_page_of_the_admin_says_whether_a_user_can_go(somebody_left):
    if somebody_left:
        SuperuserFactory()
    user = SystemUserFactory()
    collector = NestedObjects(using="default", origin=user)

    collector.collect([user])

    assert bool(collector.protected) is not somebody_left
    assert Mailbox.objects.get(regarding_user=user).state_code == StateCode.ACTIVE
