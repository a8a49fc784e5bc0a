"""What people do to mailboxes, and what follows."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import ProtectedError

from mailboxes import choices, services
from mailboxes.choices import (
    AccessApproval,
    ActDeliveryMethod,
    IncomingDeliveryMethod,
    Operation,
    OutgoingDeliveryMethod,
    Reach,
    ServerType,
    StateCode,
    WorkloadState,
)
from mailboxes.models import (
    EmailSearch,
    EmailServerProfile,
    Mailbox,
    Queue,
    SystemUser,
    TraceLog,
)
from mailboxes.services import AddressTaken, ProfileInUse
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    ForwardMailboxFactory,
    QueueFactory,
    SuperuserFactory,
    SystemUserFactory,
    TeamFactory,
    group_of,
    organization,
    ready_mailbox,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def enabled(mailbox):
    rows = mailbox.workloads.filter(enabled=True).values_list("operation", flat=True)
    return {Operation(row) for row in rows}


def chosen(*mailboxes):
    return Mailbox.objects.filter(pk__in=[mailbox.pk for mailbox in mailboxes])


def edited(row, **columns):
    for name, value in columns.items():
        setattr(row, name, value)
    return row


@pytest.mark.rule("R1.14")
def test_no_profile_is_made_by_itself():
    user, queue = SystemUserFactory(), QueueFactory()

    assert not EmailServerProfile.objects.exists()
    assert user.default_mailbox.email_server_profile is None
    assert queue.default_mailbox.email_server_profile is None


# -- addresses


@pytest.mark.rule("R1.4", "R1.43")
def test_a_changed_address_stands_on_both_records_and_everything_starts_over():
    user, admin = SystemUserFactory(), SuperuserFactory()
    mailbox = ready_mailbox(user, email_address_approved_by=admin, email_address_approved_on=NOW)
    mailbox.folder_cursors.create(folder="INBOX", cursor="7.100", watermark=NOW)
    mailbox.workloads.update(
        lease_token=uuid4(), lease_expires_at=NOW + timedelta(minutes=5), test_steps=[{"step": 1}]
    )

    assert services.change_address(mailbox=mailbox, address="new@example.com", now=NOW, actor=admin)

    assert SystemUser.objects.get(pk=user.pk).internal_email_address == "new@example.com"
    mailbox = Mailbox.objects.get(pk=mailbox.pk)
    assert mailbox.email_address == "new@example.com"
    assert mailbox.email_router_access_approval == AccessApproval.PENDING
    assert mailbox.email_address_approved_by is None
    assert mailbox.email_address_approved_on is None
    assert mailbox.account_generation == 2
    assert mailbox.modified_by == admin
    assert mailbox.folder_cursors.get().cursor == ""
    assert enabled(mailbox) == set()
    for row in mailbox.workloads.all():
        assert row.test_status == choices.TestStatus.NOT_RUN
        assert row.test_steps == []
        assert row.lease_token is None
    alert = TraceLog.objects.get(regarding_mailbox=mailbox)
    assert (alert.code, alert.level) == ("AddressChanged", choices.TraceLevel.INFORMATION)
    assert "new@example.com" in alert.text


@pytest.mark.rule("R1.43", "R2.1")
def test_a_cleared_address_has_nothing_left_to_approve():
    mailbox = ready_mailbox()

    services.change_address(mailbox=mailbox, address="", now=NOW)

    mailbox.refresh_from_db()
    assert mailbox.email_router_access_approval == AccessApproval.EMPTY
    assert mailbox.regarding_user.internal_email_address == ""


@pytest.mark.rule("R1.43")
def test_the_same_address_again_resets_nothing():
    mailbox = ready_mailbox()

    assert not services.change_address(mailbox=mailbox, address=mailbox.email_address, now=NOW)

    assert enabled(mailbox) == set(Operation)
    assert not TraceLog.objects.exists()


def test_the_address_index_follows_a_changed_address():
    user = SystemUserFactory(internal_email_address="ada@example.com")

    services.change_address(mailbox=user.default_mailbox, address="Ada.New@example.com", now=NOW)

    rows = EmailSearch.objects.filter(parent_id=str(user.pk))
    assert [row.email_address for row in rows] == ["ada.new@example.com"]


@pytest.mark.rule("R1.5")
def test_an_address_of_another_mailbox_is_refused_with_the_way_out():
    SystemUserFactory(first_name="Ada", last_name="First", internal_email_address="a@example.com")
    other = SystemUserFactory().default_mailbox

    with pytest.raises(AddressTaken) as refused:
        services.change_address(mailbox=other, address="A@Example.com", now=NOW)

    assert "Ada First" in str(refused.value)
    assert "Take the address over" in str(refused.value)


@pytest.mark.rule("R1.5")
def test_a_takeover_stops_the_former_mailbox_and_alerts_both():
    admin = SuperuserFactory()
    former = ready_mailbox(SystemUserFactory(internal_email_address="ada@example.com"))
    mailbox = SystemUserFactory().default_mailbox

    holder = services.take_over_address(
        mailbox=mailbox, address="ada@example.com", now=NOW, actor=admin
    )

    assert holder == former
    for one in (mailbox, former):
        one.refresh_from_db()
        alert = one.alerts.get(code="AddressMovedToOtherMailbox")
        assert alert.created_by == admin
        assert "ada@example.com" in alert.text
    assert mailbox.email_address == "ada@example.com"
    assert mailbox.regarding_user.internal_email_address == "ada@example.com"
    assert former.email_address == ""
    assert former.regarding_user.internal_email_address == ""
    assert enabled(former) == set()
    history = LogEntry.objects.filter(user=admin)
    assert {entry.object_id for entry in history} == {str(mailbox.pk), str(former.pk)}


@pytest.mark.rule("R1.5")
def test_a_takeover_needs_the_right_to_change_both_mailboxes():
    actor = SystemUserFactory()
    group_of(actor, "change_mailbox", "view_mailbox", reach=Reach.OWN)
    former = SystemUserFactory(internal_email_address="ada@example.com").default_mailbox

    with pytest.raises(PermissionDenied, match="change_mailbox"):
        services.take_over_address(
            mailbox=actor.default_mailbox, address="ada@example.com", now=NOW, actor=actor
        )

    former.refresh_from_db()
    assert former.email_address == "ada@example.com"


# -- queues switched off and on


@pytest.mark.rule("R1.41")
def test_the_mailbox_of_a_queue_follows_its_state_and_waits_for_a_test():
    admin = SuperuserFactory()
    queue = QueueFactory()
    mailbox = ready_mailbox(queue)
    everything = Queue.objects.filter(pk=queue.pk)

    off = services.set_queue_state(queues=everything, active=False, now=NOW, actor=admin)

    queue.refresh_from_db()
    mailbox.refresh_from_db()
    assert (off.done, off.skipped) == (1, 0)
    assert queue.state_code == mailbox.state_code == StateCode.INACTIVE
    assert queue.modified_by == admin
    assert enabled(mailbox) == set()

    on = services.set_queue_state(queues=everything, active=True, now=NOW, actor=admin)

    mailbox.refresh_from_db()
    assert on.done == 1
    assert mailbox.state_code == StateCode.ACTIVE
    assert enabled(mailbox) == set()  # Test & Enable comes first
    history = LogEntry.objects.filter(user=admin, object_id=str(queue.pk))
    assert history.count() == 2


@pytest.mark.rule("R1.41")
def test_the_mailbox_of_an_inactive_queue_stays_inactive():
    queue = QueueFactory()
    services.set_queue_state(queues=Queue.objects.all(), active=False, now=NOW)

    outcome = services.activate(mailboxes=chosen(queue.default_mailbox), now=NOW)

    assert outcome.done == 0
    assert "queue inactive" in str(outcome.why)


@pytest.mark.rule("R1.41")
def test_a_queue_saved_inactive_by_code_takes_its_mailbox_along_once():
    queue = QueueFactory()
    queue.state_code = StateCode.INACTIVE
    queue.save()
    mailbox = Mailbox.objects.get(regarding_queue=queue)
    assert mailbox.state_code == StateCode.INACTIVE

    queue.state_code = StateCode.ACTIVE
    queue.save()
    services.deactivate(mailboxes=chosen(mailbox), now=NOW)
    queue.save()  # nothing was switched: what somebody deactivated by hand stays so

    mailbox.refresh_from_db()
    assert mailbox.state_code == StateCode.INACTIVE


def test_only_whose_reach_covers_a_queue_switches_it():
    actor = SystemUserFactory()
    group_of(actor, "change_queue", "view_queue", reach=Reach.OWN)
    own, other = QueueFactory(owning_user=actor), QueueFactory()

    outcome = services.set_queue_state(
        queues=Queue.objects.all(), active=False, now=NOW, actor=actor
    )

    assert (outcome.done, outcome.skipped) == (1, 1)
    own.refresh_from_db()
    other.refresh_from_db()
    assert (own.state_code, other.state_code) == (StateCode.INACTIVE, StateCode.ACTIVE)
    with pytest.raises(PermissionDenied, match="change_queue"):
        services.set_queue_state(
            queues=Queue.objects.all(), active=False, now=NOW, actor=SystemUserFactory()
        )


def test_switching_queues_costs_the_same_for_few_and_for_many(statements):
    admin = SuperuserFactory()
    cost = []
    for count in (2, 6):  # what is done to one alone is noted with its name
        queues = [QueueFactory() for _ in range(count)]
        rows = Queue.objects.filter(pk__in=[queue.pk for queue in queues])
        for queue in queues:
            ready_mailbox(queue)
        with statements() as made:
            services.set_queue_state(queues=rows, active=False, now=NOW, actor=admin)
            services.set_queue_state(queues=rows, active=True, now=NOW, actor=admin)
        cost.append(len(made))
    assert cost[0] == cost[1] <= 20


@pytest.mark.rule("R1.7")
def test_further_addresses_of_a_user_lead_to_the_user_and_make_no_mailbox():
    user = SystemUserFactory(
        personal_email_address="ada.home@example.com", mobile_alert_email="ada.phone@example.com"
    )

    rows = EmailSearch.objects.filter(parent_id=str(user.pk))
    found = set(rows.values_list("email_address", flat=True))
    assert {"ada.home@example.com", "ada.phone@example.com"} < found
    assert Mailbox.objects.count() == 1


# -- forms


@pytest.mark.rule("R1.44")
@pytest.mark.parametrize(
    ("column", "value", "left", "generation"),
    [
        ("incoming_email_delivery_method", IncomingDeliveryMethod.NONE, {1, 2}, 1),
        ("outgoing_email_delivery_method", OutgoingDeliveryMethod.SERVER_SIDE_SYNC, {0, 2}, 1),
        ("act_delivery_method", ActDeliveryMethod.OUTLOOK, {0, 1}, 1),
        ("user_name", "other", set(), 2),
        ("password", "another-secret", set(), 1),
        ("allow_email_connector_to_use_credentials", False, set(), 1),
        ("name", "Renamed", {0, 1, 2}, 1),
        ("verbose_logging_enabled", 3, {0, 1, 2}, 1),
    ],
)
def test_a_changed_column_starts_over_what_depends_on_it(column, value, left, generation):
    mailbox = edited(ready_mailbox(), **{column: value})

    services.save_mailbox(mailbox=mailbox, changed_fields=[column], now=NOW)

    mailbox.refresh_from_db()
    assert enabled(mailbox) == {Operation(number) for number in left}
    for row in mailbox.workloads.exclude(operation__in=left):
        assert row.test_status == choices.TestStatus.NOT_RUN
    assert mailbox.email_router_access_approval == AccessApproval.APPROVED
    assert mailbox.account_generation == generation


@pytest.mark.rule("R1.44")
def test_another_profile_means_another_account():
    mailbox = ready_mailbox()
    mailbox.folder_cursors.create(folder="INBOX", cursor="7.100")
    edited(mailbox, email_server_profile=EmailServerProfileFactory())

    services.save_mailbox(mailbox=mailbox, changed_fields=["email_server_profile"], now=NOW)

    mailbox.refresh_from_db()
    assert enabled(mailbox) == set()
    assert mailbox.account_generation == 2
    assert mailbox.folder_cursors.get().cursor == ""
    assert mailbox.email_router_access_approval == AccessApproval.APPROVED


def test_only_the_named_columns_are_written():
    mailbox = ready_mailbox()
    Mailbox.objects.filter(pk=mailbox.pk).update(verbose_logging_enabled=7)
    edited(mailbox, name="Renamed", verbose_logging_enabled=0)

    services.save_mailbox(mailbox=mailbox, changed_fields=["name"], now=NOW)

    mailbox.refresh_from_db()
    assert (mailbox.name, mailbox.verbose_logging_enabled) == ("Renamed", 7)


@pytest.mark.rule("R1.34", "R1.37")
@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("act_delivery_method", ActDeliveryMethod.SERVER_SIDE_SYNC, "R1.34"),
        ("process_and_delete_emails", True, "R1.37"),
    ],
)
def test_what_is_illegal_is_refused_and_not_written(column, value, rule):
    mailbox = ready_mailbox()
    before = getattr(mailbox, column)
    edited(mailbox, **{column: value})

    with pytest.raises(ValidationError, match=rule):
        services.save_mailbox(mailbox=mailbox, changed_fields=[column], now=NOW)

    mailbox.refresh_from_db()
    assert getattr(mailbox, column) == before


@pytest.mark.rule("R2.8")
@pytest.mark.parametrize(
    ("permissions", "allowed"),
    [
        ((), False),
        (("view_mailbox",), False),
        (("change_mailbox",), False),
        (("view_mailbox", "change_mailbox"), True),
    ],
)
def test_editing_a_mailbox_needs_read_and_write(permissions, allowed):
    actor = SystemUserFactory()
    if permissions:
        group_of(actor, *permissions, reach=Reach.ALL)
    mailbox = edited(ready_mailbox(), incoming_email_delivery_method=IncomingDeliveryMethod.NONE)

    def save():
        services.save_mailbox(
            mailbox=mailbox,
            changed_fields=["incoming_email_delivery_method"],
            now=NOW,
            actor=actor,
        )

    if allowed:
        save()
    else:
        with pytest.raises(PermissionDenied, match="_mailbox"):
            save()
    stored = Mailbox.objects.get(pk=mailbox.pk).incoming_email_delivery_method
    assert (stored == IncomingDeliveryMethod.NONE) is allowed


@pytest.mark.rule("R1.3")
def test_the_owner_of_a_served_mailbox_is_not_edited_there():
    mailbox = edited(ready_mailbox(), owning_user=SystemUserFactory())

    with pytest.raises(ValidationError, match=r"R1\.3"):
        services.save_mailbox(mailbox=mailbox, changed_fields=["owning_user"], now=NOW)


@pytest.mark.rule("R1.2")
def test_a_forward_mailbox_is_made_by_hand_and_has_an_owner_of_its_own():
    owner = SystemUserFactory()
    mailbox = Mailbox(name="Forward", email_address="forward@example.com", owning_user=owner)

    services.save_mailbox(mailbox=mailbox, changed_fields=[], now=NOW)

    stored = Mailbox.objects.get(pk=mailbox.pk)
    assert stored.is_forward_mailbox
    assert stored.regarding_object is None
    assert stored.workloads.count() == 3


def test_lowering_the_start_date_looks_at_the_inbox_again():
    mailbox = ready_mailbox(process_email_received_after=NOW)
    mailbox.folder_cursors.create(folder="INBOX", cursor="7.100")

    edited(mailbox, process_email_received_after=NOW + timedelta(days=1))
    services.save_mailbox(mailbox=mailbox, changed_fields=["process_email_received_after"], now=NOW)
    assert mailbox.folder_cursors.exists()

    edited(mailbox, process_email_received_after=NOW - timedelta(days=30))
    services.save_mailbox(mailbox=mailbox, changed_fields=["process_email_received_after"], now=NOW)
    assert not mailbox.folder_cursors.exists()
    assert enabled(mailbox) == set(Operation)


@pytest.mark.rule("R1.4")
def test_the_user_form_writes_the_address_on_both_records():
    user = SystemUserFactory()
    edited(user, internal_email_address="new@example.com", job_title="Engineer")

    services.save_user(user=user, changed_fields=["internal_email_address", "job_title"], now=NOW)

    stored = SystemUser.objects.get(pk=user.pk)
    assert (stored.internal_email_address, stored.job_title) == ("new@example.com", "Engineer")
    assert stored.default_mailbox.email_address == "new@example.com"
    assert EmailSearch.objects.filter(email_address="new@example.com").exists()


@pytest.mark.rule("R1.5")
def test_the_user_form_with_a_taken_address_writes_nothing():
    SystemUserFactory(internal_email_address="ada@example.com")
    user = SystemUserFactory(internal_email_address="ben@example.com")
    edited(user, internal_email_address="ada@example.com", job_title="Engineer")

    with pytest.raises(AddressTaken):
        services.save_user(
            user=user, changed_fields=["internal_email_address", "job_title"], now=NOW
        )

    stored = SystemUser.objects.get(pk=user.pk)
    assert (stored.internal_email_address, stored.job_title) == ("ben@example.com", "")


@pytest.mark.rule("R1.41")
def test_the_user_form_disables_and_enables_the_mailbox():
    user = SystemUserFactory()
    mailbox = ready_mailbox(user)

    services.save_user(user=edited(user, is_disabled=True), changed_fields=["is_disabled"], now=NOW)
    mailbox.refresh_from_db()
    assert mailbox.state_code == StateCode.INACTIVE
    assert enabled(mailbox) == set()

    services.save_user(
        user=edited(user, is_disabled=False), changed_fields=["is_disabled"], now=NOW
    )
    mailbox.refresh_from_db()
    assert mailbox.state_code == StateCode.ACTIVE
    assert enabled(mailbox) == set()


@pytest.mark.rule("R1.3", "R1.4")
def test_the_queue_form_moves_address_and_owner():
    queue, team = QueueFactory(), TeamFactory()
    edited(queue, email_address="help@example.com", owning_user=None, owning_team=team)

    services.save_queue(
        queue=queue,
        changed_fields=["email_address", "owning_user", "owning_team"],
        now=NOW,
    )

    mailbox = Mailbox.objects.get(regarding_queue=queue)
    assert mailbox.email_address == "help@example.com"
    assert mailbox.owner == team
    assert Queue.objects.get(pk=queue.pk).owner == team


def test_a_new_user_or_queue_from_a_form_gets_its_mailbox():
    admin = SuperuserFactory()
    user = SystemUser(domain_name="ada", internal_email_address="ada@example.com")
    queue = Queue(name="Support", email_address="support@example.com", owning_user=admin)

    services.save_user(user=user, changed_fields=[], now=NOW, actor=admin)
    services.save_queue(queue=queue, changed_fields=[], now=NOW, actor=admin)

    for party in (user, queue):
        assert party.default_mailbox.created_by == admin
        assert party.default_mailbox.workloads.count() == 3


# -- profiles


@pytest.mark.rule("R1.44")
@pytest.mark.parametrize(
    ("column", "value", "left", "generation"),
    [
        ("outgoing_server_location", "smtp.example.com", {0, 2}, 1),
        ("incoming_port_number", 1993, {1}, 1),
        ("incoming_server_location", "imap.example.com", {1}, 2),
        ("server_type", ServerType.POP3_SMTP, set(), 2),
        ("incoming_password", "another-secret", set(), 1),
        ("max_concurrent_connections", 5, {0, 1, 2}, 1),
        ("name", "Renamed", {0, 1, 2}, 1),
    ],
)
def test_a_changed_profile_starts_over_the_tests_of_its_mailboxes(column, value, left, generation):
    profile = EmailServerProfileFactory()
    mailboxes = [ready_mailbox(email_server_profile=profile) for _ in range(2)]
    other = ready_mailbox()

    count = services.save_profile(
        profile=edited(profile, **{column: value}), changed_fields=[column], now=NOW
    )

    assert count == (0 if len(left) == 3 else 2)
    for mailbox in mailboxes:
        mailbox.refresh_from_db()
        assert enabled(mailbox) == {Operation(number) for number in left}
        assert mailbox.account_generation == generation
    assert enabled(other) == set(Operation)


@pytest.mark.rule("R1.26")
def test_a_profile_without_tls_is_saved_only_where_the_organization_allows_it():
    profile = edited(EmailServerProfileFactory(), incoming_uses_ssl=False)

    def save():
        services.save_profile(profile=profile, changed_fields=["incoming_uses_ssl"], now=NOW)

    with pytest.raises(ValidationError, match=r"R1\.26"):
        save()
    organization(allow_non_ssl_email=True)
    with pytest.raises(ValidationError, match=r"password"):
        save()
    organization(allow_non_ssl_email=True, allow_basic_authentication_on_non_secure_channel=True)
    save()
    assert not EmailServerProfile.objects.get(pk=profile.pk).incoming_uses_ssl


@pytest.mark.rule("R1.33")
def test_a_profile_in_use_is_not_deleted():
    profile = EmailServerProfileFactory()
    ready_mailbox(email_server_profile=profile)

    with pytest.raises(ProfileInUse, match=r"1 mailbox.*R1\.33.*Deactivate"):
        services.delete_profile(profile=profile)
    with pytest.raises(ProtectedError):
        profile.delete()

    assert EmailServerProfile.objects.filter(pk=profile.pk).exists()


@pytest.mark.rule("R1.33")
def test_a_profile_in_use_can_be_deactivated_and_an_unused_one_deleted():
    used, unused = EmailServerProfileFactory(), EmailServerProfileFactory()
    mailbox = ready_mailbox(email_server_profile=used)

    assert services.set_profile_state(profile=used, active=False, now=NOW)
    services.delete_profile(profile=unused)

    assert EmailServerProfile.objects.get() == used
    assert not EmailServerProfile.objects.get().is_active_state
    assert enabled(mailbox) == set(Operation)


@pytest.mark.rule("R1.1")
def test_many_mailboxes_refer_to_one_profile_and_a_mailbox_to_one_or_none():
    profile = EmailServerProfileFactory()
    first, second = (ready_mailbox(email_server_profile=profile) for _ in range(2))
    alone = SystemUserFactory().default_mailbox

    assert set(profile.mailboxes.all()) == {first, second}
    assert alone.email_server_profile is None


# -- approval


@pytest.mark.rule("R2.4")
@pytest.mark.parametrize("action", [services.approve, services.reject])
def test_approval_without_the_permission_names_it(action):
    actor, mailbox = SystemUserFactory(), SystemUserFactory().default_mailbox
    group_of(actor, "change_mailbox", "view_mailbox", reach=Reach.ALL)

    with pytest.raises(PermissionDenied, match=r"mailboxes\.approve_mailbox"):
        action(mailboxes=chosen(mailbox), now=NOW, actor=actor)

    mailbox.refresh_from_db()
    assert mailbox.email_router_access_approval == AccessApproval.PENDING


@pytest.mark.rule("R2.4", "R2.5", "R2.6")
def test_approving_many_stamps_each_and_skips_what_has_no_address(statements):
    actor = SystemUserFactory()
    group_of(actor, "approve_mailbox", reach=Reach.ALL)
    mailboxes = [SystemUserFactory().default_mailbox for _ in range(5)]
    empty = SystemUserFactory(internal_email_address="").default_mailbox

    outcome = services.approve(mailboxes=chosen(*mailboxes, empty), now=NOW, actor=actor)

    assert (outcome.done, outcome.skipped) == (5, 1)
    for mailbox in mailboxes:
        mailbox.refresh_from_db()
        assert mailbox.email_router_access_approval == AccessApproval.APPROVED
        assert mailbox.email_address_approved_by == actor
        assert mailbox.email_address_approved_on == NOW
    empty.refresh_from_db()
    assert empty.email_router_access_approval == AccessApproval.EMPTY


@pytest.mark.rule("R2.5", "R2.6")
def test_rejecting_clears_the_stamps():
    admin = SuperuserFactory()
    mailbox = SystemUserFactory().default_mailbox
    services.approve(mailboxes=chosen(mailbox), now=NOW, actor=admin)

    services.reject(mailboxes=chosen(mailbox), now=NOW, actor=admin)

    mailbox.refresh_from_db()
    assert mailbox.email_router_access_approval == AccessApproval.REJECTED
    assert mailbox.email_address_approved_by is None
    assert mailbox.email_address_approved_on is None


@pytest.mark.rule("R2.4")
def test_approval_goes_as_far_as_the_permission_reaches():
    actor = SystemUserFactory()
    group_of(actor, "approve_mailbox", reach=Reach.OWN)
    foreign = SystemUserFactory().default_mailbox

    outcome = services.approve(
        mailboxes=chosen(actor.default_mailbox, foreign), now=NOW, actor=actor
    )

    assert (outcome.done, outcome.skipped) == (1, 1)
    with pytest.raises(PermissionDenied):
        services.approve(mailboxes=chosen(foreign), now=NOW, actor=actor)


def test_approving_clears_the_condition_that_it_cures():
    mailbox = ready_mailbox(email_router_access_approval=AccessApproval.PENDING)
    mailbox.workloads.update(
        enabled=False, state=WorkloadState.DISABLED, state_code="EmailAddressNotApproved"
    )

    services.approve(mailboxes=chosen(mailbox), now=NOW)

    assert set(mailbox.workloads.values_list("state", "state_code")) == {("ready", "")}
    assert enabled(mailbox) == set()


@pytest.mark.parametrize(
    "action", [services.approve, services.reject, services.deactivate, services.schedule_test]
)
def test_the_number_of_statements_does_not_grow_with_the_mailboxes(action, statements):
    admin = SuperuserFactory()
    few = chosen(*(SystemUserFactory().default_mailbox for _ in range(2)))
    many = chosen(*(SystemUserFactory().default_mailbox for _ in range(9)))

    with statements() as for_few:
        assert action(mailboxes=few, now=NOW, actor=admin).done == 2
    with statements() as for_many:
        assert action(mailboxes=many, now=NOW, actor=admin).done == 9

    assert len(for_many) == len(for_few) <= 8


# -- state


@pytest.mark.rule("R1.41")
def test_deactivating_stops_what_runs_and_activating_skips_no_test():
    mailbox = ready_mailbox()
    mailbox.workloads.update(lease_token=uuid4(), lease_expires_at=NOW + timedelta(minutes=5))

    assert services.deactivate(mailboxes=chosen(mailbox), now=NOW).done == 1
    mailbox.refresh_from_db()
    assert mailbox.state_code == StateCode.INACTIVE
    assert not mailbox.workloads.filter(lease_token__isnull=False).exists()

    assert services.activate(mailboxes=chosen(mailbox), now=NOW).done == 1
    mailbox.refresh_from_db()
    assert mailbox.state_code == StateCode.ACTIVE
    assert enabled(mailbox) == set()


@pytest.mark.rule("R1.41", "R1.45")
def test_the_mailbox_of_a_disabled_or_deleted_user_is_not_activated():
    SuperuserFactory()
    disabled = SystemUserFactory(is_disabled=True).default_mailbox
    gone = SystemUserFactory()
    orphan = gone.default_mailbox
    gone.delete()

    outcome = services.activate(mailboxes=chosen(disabled, orphan), now=NOW)

    assert (outcome.done, outcome.skipped) == (0, 2)
    assert not chosen(disabled, orphan).filter(state_code=StateCode.ACTIVE).exists()


# -- test and defaults


@pytest.mark.rule("R2.10")
def test_scheduling_a_test_records_who_asked_and_when():
    actor, mailbox = SystemUserFactory(), SystemUserFactory().default_mailbox
    group_of(actor, "test_mailbox", reach=Reach.ALL)
    mailbox.workloads.update(test_attempts=2, test_postponed_until=NOW)

    services.schedule_test(mailboxes=chosen(mailbox), now=NOW, actor=actor)

    mailbox.refresh_from_db()
    assert mailbox.test_email_configuration_scheduled
    assert mailbox.test_and_enable_last_attempted_by == actor
    assert mailbox.test_and_enable_last_attempted_on == NOW
    assert set(mailbox.workloads.values_list("test_attempts", flat=True)) == {0}


def test_scheduling_a_test_needs_its_permission():
    actor = SystemUserFactory()

    with pytest.raises(PermissionDenied, match="test_mailbox"):
        services.schedule_test(mailboxes=chosen(actor.default_mailbox), now=NOW, actor=actor)


def test_the_test_of_a_profile_is_that_of_its_active_mailboxes():
    profile = EmailServerProfileFactory()
    active = ready_mailbox(email_server_profile=profile)
    inactive = ready_mailbox(email_server_profile=profile, state_code=StateCode.INACTIVE)

    services.schedule_profile_test(profile=profile, now=NOW)

    scheduled = Mailbox.objects.filter(test_email_configuration_scheduled=True)
    assert list(scheduled) == [active]
    assert inactive not in scheduled


@pytest.mark.rule("R1.31")
def test_default_settings_reach_the_selected_mailboxes_and_start_their_test():
    profile = EmailServerProfileFactory()
    organization(
        default_email_server_profile=profile,
        default_outgoing_email_delivery_method=OutgoingDeliveryMethod.SERVER_SIDE_SYNC,
    )
    user = ready_mailbox(outgoing_email_delivery_method=OutgoingDeliveryMethod.NONE)
    queue = QueueFactory().default_mailbox
    forward = ForwardMailboxFactory()
    untouched = ready_mailbox()

    services.apply_default_settings(mailboxes=chosen(user, queue, forward), now=NOW)

    for mailbox in (user, queue, forward):
        mailbox.refresh_from_db()
        assert mailbox.email_server_profile == profile
        assert mailbox.test_email_configuration_scheduled
        assert enabled(mailbox) == set()
        mailbox.full_clean()
    assert user.outgoing_email_delivery_method == OutgoingDeliveryMethod.SERVER_SIDE_SYNC
    assert forward.outgoing_email_delivery_method == OutgoingDeliveryMethod.NONE
    untouched.refresh_from_db()
    assert untouched.email_server_profile != profile
    assert enabled(untouched) == set(Operation)


@pytest.mark.rule("R1.31")
def test_the_test_after_default_settings_can_be_unticked():
    mailbox = SystemUserFactory().default_mailbox

    services.apply_default_settings(mailboxes=chosen(mailbox), now=NOW, test=False)

    mailbox.refresh_from_db()
    assert not mailbox.test_email_configuration_scheduled


@pytest.mark.rule("R1.31")
def test_a_mailbox_that_has_the_defaults_keeps_its_flags():
    organization(default_email_server_profile=EmailServerProfileFactory())
    user = SystemUserFactory()
    mailbox = ready_mailbox(user, email_server_profile=user.default_mailbox.email_server_profile)

    outcome = services.apply_default_settings(mailboxes=chosen(mailbox), now=NOW, test=False)

    assert (outcome.done, outcome.skipped) == (0, 1)
    assert enabled(mailbox) == set(Operation)


def test_applying_defaults_costs_the_same_for_few_and_many(statements):
    few = [SystemUserFactory().default_mailbox.pk for _ in range(2)]
    many = [SystemUserFactory().default_mailbox.pk for _ in range(9)]
    organization(default_email_server_profile=EmailServerProfileFactory())

    with statements() as for_few:
        services.apply_default_settings(mailboxes=Mailbox.objects.filter(pk__in=few), now=NOW)
    with statements() as for_many:
        services.apply_default_settings(mailboxes=Mailbox.objects.filter(pk__in=many), now=NOW)

    assert len(for_few) == len(for_many) <= 12
