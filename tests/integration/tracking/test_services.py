"""Folder rules are made, changed and removed: by whom, and with what left behind."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone

from activities.models import Email
from mailboxes.choices import Reach, ServerType
from mailboxes.models import SystemUser
from mailboxes.protocols.base import RemoteFolder
from serversync.layout import store_folders
from tests.factories.activities import ContactFactory, EmailFactory
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    QueueFactory,
    SuperuserFactory,
    SystemUserFactory,
    group_of,
    organization,
    ready_mailbox,
)
from tracking import services
from tracking.access import mailboxes_of
from tracking.choices import FolderState
from tracking.models import FolderLink, MailboxTrackingFolder

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

NOW = timezone.now()
TREE = [
    RemoteFolder("f-customers", ("Customers",), 12),
    RemoteFolder("f-north", ("Customers", "North"), 3),
]


@pytest.fixture
def mailbox():
    """Of a user, on Exchange, with its folders read."""
    made = ready_mailbox(email_server_profile=EmailServerProfileFactory(exchange=True))
    store_folders(made, TREE, NOW)
    return made


def make(mailbox, folder="f-north", **values):
    return services.create_rule(mailbox=mailbox, folder=folder, now=NOW, **values)


@pytest.mark.rule("R7.2")
def test_a_rule_is_a_mailbox_a_folder_and_perhaps_a_record(mailbox):
    cleo = ContactFactory()
    rule = make(mailbox, record=cleo, track_from=NOW - timedelta(days=30), actor=mailbox.owner)
    plain = make(mailbox, "f-customers")

    rule.refresh_from_db()
    assert (rule.exchange_folder_id, rule.exchange_folder_name) == ("f-north", "North")
    assert (rule.regarding, rule.owner, rule.created_by) == (cleo, mailbox.owner, mailbox.owner)
    assert (plain.regarding, plain.state) == (None, FolderState.ACTIVE)


@pytest.mark.rule("R7.2")
def test_a_folder_has_one_rule(mailbox):
    make(mailbox)
    with pytest.raises(ValidationError) as refused:
        make(mailbox)
    assert list(refused.value.message_dict) == ["exchange_folder_id"]


@pytest.mark.rule("R7.1")
@pytest.mark.parametrize(
    ("server_type", "settings"),
    [
        (ServerType.EXCHANGE_SERVER, {"is_folder_based_tracking_enabled": False}),
        (ServerType.IMAP_SMTP, {}),
        (ServerType.IMAP_SMTP, {"allow_folder_tracking_for_imap": True, "strict_parity": True}),
        (ServerType.POP3_SMTP, {"allow_folder_tracking_for_imap": True}),
    ],
)
def test_where_folders_are_not_tracked_no_rule_is_made(mailbox, server_type, settings):
    mailbox.email_server_profile.server_type = server_type
    organization(**settings)
    with pytest.raises(ValidationError) as refused:
        make(mailbox)
    assert list(refused.value.message_dict) == ["mailbox"]


@pytest.mark.rule("R10.15")
def test_queues_and_imap_where_the_organization_allows_them():
    organization(allow_folder_tracking_for_imap=True, allow_folder_tracking_for_queues=True)
    queue = ready_mailbox(QueueFactory())
    assert make(queue, "INBOX/Orders").exchange_folder_name == "INBOX/Orders"


@pytest.mark.rule("R7.3")
def test_the_limit_is_the_organizations(mailbox):
    organization(max_folder_based_tracking_mappings=1)
    make(mailbox)
    with pytest.raises(ValidationError, match="allows 1"):
        make(mailbox, "f-customers")


@pytest.mark.rule("R7.4")
def test_a_folder_that_does_not_lie_below_the_inbox_is_refused(mailbox):
    with pytest.raises(ValidationError, match=r"R7\.4"):
        make(mailbox, "f-archive")


def test_folders_of_a_former_account_count_as_never_read(mailbox):
    mailbox.account_generation += 1
    assert services.tree_of(mailbox) is None
    assert make(mailbox, "f-archive").exchange_folder_id == "f-archive"


@pytest.mark.rule("R10.28")
@pytest.mark.parametrize("only_new", [True, False])
def test_another_record_holds_for_all_messages_or_for_new_ones(mailbox, only_new):
    rule, gil = make(mailbox, record=ContactFactory()), ContactFactory()
    MailboxTrackingFolder.objects.filter(pk=rule.pk).update(
        relink_from=NOW - timedelta(days=1), folder_onboarding_status=7
    )
    services.change_record(rule=rule, record=gil, only_new=only_new, now=NOW)

    rule.refresh_from_db()
    assert rule.regarding == gil
    assert rule.relink_from == (NOW if only_new else None)
    assert rule.folder_onboarding_status == 7  # what the engine counted meanwhile


def test_without_its_record_the_rule_goes_on(mailbox):
    rule = make(mailbox, record=ContactFactory())
    services.remove_record(rule=rule, now=NOW)

    rule.refresh_from_db()
    assert (rule.regarding, rule.regarding_id, rule.state) == (None, "", FolderState.ACTIVE)


@pytest.mark.rule("R7.11")
def test_a_removed_rule_leaves_emails_and_their_links(mailbox):
    rule = make(mailbox, record=ContactFactory())
    email = EmailFactory(received=True)
    FolderLink.objects.create(email=email, mailbox=mailbox, rule=rule, linked_on=NOW)
    services.remove_rule(rule=rule)

    assert Email.objects.filter(pk=email.pk).exists()
    link = FolderLink.objects.get(email=email)
    assert (link.mailbox, link.rule) == (mailbox, None)


def test_a_deleted_folder_that_is_back_is_tracked_again_by_hand(mailbox):
    rule = make(mailbox)
    store_folders(mailbox, TREE[:1], NOW, exists=lambda folder: False)
    rule = MailboxTrackingFolder.objects.select_related("mailbox__layout").get(pk=rule.pk)
    assert rule.state == FolderState.MISSING
    with pytest.raises(ValidationError, match=r"R7\.4"):
        services.track_again(rule=rule, now=NOW)

    store_folders(mailbox, TREE, NOW)
    rule = MailboxTrackingFolder.objects.select_related("mailbox__layout").get(pk=rule.pk)
    assert rule.state == FolderState.MISSING
    services.track_again(rule=rule, now=NOW)
    rule.refresh_from_db()
    assert rule.state == FolderState.ACTIVE


# -- who may


def test_its_user_an_administrator_and_nobody_else(mailbox):
    stranger, administrator = SystemUserFactory(), SuperuserFactory()
    with pytest.raises(PermissionDenied):
        make(mailbox, actor=stranger)
    rule = make(mailbox, actor=mailbox.regarding_user)
    for refused in (
        lambda: services.change_record(
            rule=rule, record=ContactFactory(), only_new=True, now=NOW, actor=stranger
        ),
        lambda: services.remove_record(rule=rule, now=NOW, actor=stranger),
        lambda: services.track_again(rule=rule, now=NOW, actor=stranger),
        lambda: services.remove_rule(rule=rule, actor=stranger),
    ):
        with pytest.raises(PermissionDenied):
            refused()
    services.remove_rule(rule=rule, actor=administrator)


def test_members_of_a_queue_make_its_rules():
    organization(allow_folder_tracking_for_queues=True)
    member, other = SystemUserFactory(), SystemUserFactory()
    profile = EmailServerProfileFactory(exchange=True)
    queue = ready_mailbox(QueueFactory(members=[member]), email_server_profile=profile)
    assert make(queue, actor=member).owner == queue.owner
    assert queue not in mailboxes_of(other)


def test_a_permission_reaches_as_far_as_its_group(mailbox):
    helper = SystemUserFactory()
    group_of(helper, "add_mailboxtrackingfolder", reach=Reach.ALL)
    assert make(mailbox, actor=helper)
    with pytest.raises(PermissionDenied):
        services.remove_rule(rule=MailboxTrackingFolder.objects.get(), actor=helper)
    assert not mailboxes_of(SystemUserFactory(is_disabled=True)).exists()


def test_own_rules_do_not_hold_back_a_user_who_is_deleted(mailbox):
    user = mailbox.regarding_user
    rule = make(mailbox, actor=user)
    user.delete()

    assert not SystemUser.objects.filter(pk=user.pk).exists()
    rule = MailboxTrackingFolder.objects.get(pk=rule.pk)
    assert (rule.created_by, rule.owner) == (None, mailbox.email_server_profile.owner)
