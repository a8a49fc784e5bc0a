"""Who sees and changes which rows."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import AnonymousUser, Permission
from django.contrib.sessions.models import Session
from django.db.models import Q

from mailboxes import access
from mailboxes.access import may, may_read_content, reach_of, rows, visible_to
from mailboxes.alerts import OUTAGE, raise_alert
from mailboxes.choices import QueueViewType, Reach
from mailboxes.models import (
    EmailSearch,
    EmailServerProfile,
    Mailbox,
    Organization,
    Queue,
    SystemUser,
    Team,
    TraceLog,
    UserSettings,
)
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


def seen(user, model, action="view"):
    return set(visible_to(user, model.objects.all(), action))


def profiles_by_owner():
    """A user in a team, and a profile of each: own, the team's, somebody else's."""
    user = SystemUserFactory()
    team = TeamFactory(members=[user])
    own = EmailServerProfileFactory(owning_user=user)
    of_team = EmailServerProfileFactory(owning_user=None, owning_team=team)
    foreign = EmailServerProfileFactory()
    return user, own, of_team, foreign


# -- reach


def test_without_the_permission_nothing_is_seen():
    user, own, *_ = profiles_by_owner()

    assert seen(user, EmailServerProfile) == set()
    assert not may(user, "view", own)
    assert reach_of(user, EmailServerProfile) is None


@pytest.mark.parametrize("reach", [None, Reach.OWN])
def test_reach_over_own_rows_is_what_a_group_without_a_reach_row_has(reach):
    user, own, of_team, foreign = profiles_by_owner()
    group_of(user, "view_emailserverprofile", reach=reach)

    assert seen(user, EmailServerProfile) == {own}
    assert may(user, "view", own)
    assert not may(user, "view", of_team)
    assert not may(user, "view", foreign)


def test_reach_over_the_rows_of_own_teams():
    user, own, of_team, foreign = profiles_by_owner()
    group_of(user, "view_emailserverprofile", reach=Reach.TEAM)

    assert seen(user, EmailServerProfile) == {own, of_team}
    assert not may(user, "view", foreign)


def test_reach_over_all_rows():
    user, own, of_team, foreign = profiles_by_owner()
    group_of(user, "view_emailserverprofile", reach=Reach.ALL)

    assert seen(user, EmailServerProfile) == {own, of_team, foreign}
    assert may(user, "view", foreign)


def test_each_permission_has_the_reach_of_its_own_group_and_the_widest_counts():
    user, own, of_team, foreign = profiles_by_owner()
    group_of(user, "view_emailserverprofile", reach=Reach.ALL)
    group_of(user, "view_emailserverprofile", "change_emailserverprofile", reach=Reach.TEAM)

    assert seen(user, EmailServerProfile) == {own, of_team, foreign}
    assert seen(user, EmailServerProfile, "change") == {own, of_team}
    assert seen(user, EmailServerProfile, "delete") == set()


def test_a_permission_given_directly_reaches_own_rows():
    user, own, *_ = profiles_by_owner()
    user.user_permissions.add(Permission.objects.get(codename="view_emailserverprofile"))

    assert seen(user, EmailServerProfile) == {own}


def test_superusers_reach_all_and_the_disabled_and_unknown_nothing():
    _, own, of_team, foreign = profiles_by_owner()
    disabled = SuperuserFactory(is_disabled=True)

    assert seen(SuperuserFactory(), EmailServerProfile) == {own, of_team, foreign}
    for nobody in (disabled, AnonymousUser()):
        assert seen(nobody, EmailServerProfile) == set()
        assert not may(nobody, "view", own)


def test_a_custom_permission_is_an_action_like_any_other():
    user = SystemUserFactory()
    foreign = SystemUserFactory().default_mailbox
    group_of(user, "approve_mailbox", reach=Reach.OWN)

    assert seen(user, Mailbox, "approve_mailbox") == {user.default_mailbox}
    assert may(user, "approve_mailbox", user.default_mailbox)
    assert not may(user, "approve_mailbox", foreign)


def test_a_row_seen_through_two_teams_comes_once():
    user = SystemUserFactory()
    team = TeamFactory(members=[user])
    TeamFactory(members=[user])
    profile = EmailServerProfileFactory(owning_user=None, owning_team=team)
    group_of(user, "view_emailserverprofile", reach=Reach.TEAM)

    assert list(visible_to(user, EmailServerProfile.objects.all())) == [profile]


def test_a_model_without_a_row_function_is_an_error_also_for_superusers():
    with pytest.raises(LookupError, match=r"sessions\.Session"):
        visible_to(SuperuserFactory(), Session.objects.all())


def test_a_higher_room_registers_its_model():
    user = SystemUserFactory()
    Session.objects.create(session_key=str(user.pk), expire_date=user.created_on)
    try:
        rows(Session)(lambda asker: Q(session_key=str(asker.user.pk)))
        assert visible_to(user, Session.objects.all()).count() == 1
        assert not visible_to(SystemUserFactory(), Session.objects.all()).exists()
    finally:
        access._RULES.pop(Session)


# -- model by model


def test_a_mailbox_is_seen_by_whom_it_serves_without_any_permission():
    user, member = SystemUserFactory(), SystemUserFactory()
    queue = QueueFactory(members=[member])

    assert seen(user, Mailbox) == {user.default_mailbox}
    assert seen(member, Mailbox) == {member.default_mailbox, queue.default_mailbox}
    assert not may(user, "change", user.default_mailbox)
    assert not may(member, "change", queue.default_mailbox)


def test_public_queues_are_for_all_who_may_view_and_private_ones_for_owner_and_members():
    viewer, member, stranger = (SystemUserFactory() for _ in range(3))
    private = QueueFactory(queue_view_type=QueueViewType.PRIVATE, members=[member])
    public = QueueFactory()
    owner = private.owning_user
    for one in (viewer, owner):
        group_of(one, "view_queue", reach=Reach.OWN)

    assert seen(viewer, Queue) == {public}
    assert seen(owner, Queue) == {public, private}
    assert seen(member, Queue) == {private}
    assert seen(stranger, Queue) == set()


def test_users_see_themselves_and_others_by_reach():
    user, mate, stranger = (SystemUserFactory() for _ in range(3))
    team = TeamFactory(members=[user, mate])

    assert seen(user, SystemUser) == {user}
    assert not may(user, "change", user)
    group_of(user, "view_systemuser", reach=Reach.TEAM)
    assert seen(user, SystemUser) == {user, mate}
    group_of(user, "view_systemuser", reach=Reach.ALL)
    assert seen(user, SystemUser) == {user, mate, stranger, team.administrator}


def test_everybody_sees_and_changes_the_own_options_only():
    user, other = SystemUserFactory(), SystemUserFactory()

    for action in ("view", "change"):
        assert seen(user, UserSettings, action) == {user.settings}
        assert not may(user, action, other.settings)
    assert not may(user, "delete", user.settings)


def test_teams_are_seen_by_administrator_and_members_who_hold_the_permission():
    user = SystemUserFactory()
    mine, led, foreign = TeamFactory(members=[user]), TeamFactory(administrator=user), TeamFactory()

    assert seen(user, Team) == set()
    group_of(user, "view_team", "change_team", reach=Reach.OWN)
    assert seen(user, Team) == {mine, led}
    assert seen(user, Team, "change") == {led}
    assert foreign not in seen(user, Team)


def test_alerts_go_with_their_mailbox_or_profile():
    user, stranger = SystemUserFactory(), SystemUserFactory()
    profile = EmailServerProfileFactory(owning_user=user)
    site = organization()
    now = user.created_on
    raise_alert(user.default_mailbox, "InvalidCredentials", now=now, organization=site)
    raise_alert(stranger.default_mailbox, "InvalidCredentials", now=now, organization=site)
    raise_alert(profile, "CertificateRejected", now=now, organization=site)

    assert {alert.regarding_object for alert in seen(user, TraceLog)} == {user.default_mailbox}
    group_of(user, "view_emailserverprofile", reach=Reach.OWN)
    assert {alert.regarding_object for alert in seen(user, TraceLog)} == {
        user.default_mailbox,
        profile,
    }
    assert seen(user, TraceLog, "delete") == set()
    group_of(user, "delete_tracelog", reach=Reach.OWN)
    assert len(seen(user, TraceLog, "delete")) == 2


@pytest.mark.rule("R8.14")
@pytest.mark.parametrize("told", [False, True])
def test_owners_of_mailboxes_see_alerts_of_their_server_only_if_the_organization_says_so(told):
    owner, member, stranger = SystemUserFactory(), SystemUserFactory(), SystemUserFactory()
    admin = SystemUserFactory()
    group_of(admin, "view_emailserverprofile", reach=Reach.ALL)
    profile, other = EmailServerProfileFactory(), EmailServerProfileFactory()
    queue = QueueFactory(members=[member])
    Mailbox.objects.filter(pk__in=[owner.default_mailbox.pk, queue.default_mailbox.pk]).update(
        email_server_profile=profile
    )
    site = organization(notify_mailbox_owner_of_email_server_level_alerts=told)
    common = {"now": owner.created_on, "organization": site}
    raise_alert(profile, "CertificateRejected", object_key=OUTAGE, **common)
    raise_alert(profile, "ClientSecretEndsSoon", **common)
    raise_alert(other, "CertificateRejected", object_key=OUTAGE, **common)
    # What is told on the profile of one mailbox names that one: nobody else's business.
    raise_alert(profile, "InvalidCredentials", object_key=str(uuid4()), **common)

    of_the_server = {"CertificateRejected", "ClientSecretEndsSoon"} if told else set()
    for user in (owner, member):
        assert {alert.code for alert in seen(user, TraceLog)} == of_the_server
        assert all(alert.regarding_profile == profile for alert in seen(user, TraceLog))
        assert seen(user, TraceLog, "delete") == set()
    assert seen(stranger, TraceLog) == set()
    assert len(seen(admin, TraceLog)) == 4


def test_the_organization_and_the_address_index_are_for_those_with_the_permission():
    user = SystemUserFactory()
    organization()

    assert seen(user, Organization) == seen(user, EmailSearch) == set()
    group_of(user, "view_organization", "view_emailsearch", reach=Reach.OWN)
    assert len(seen(user, Organization)) == 1
    assert seen(user, EmailSearch) == set()
    group_of(user, "view_emailsearch", reach=Reach.ALL)
    assert len(seen(user, EmailSearch)) == 1


# -- content


def test_content_is_for_owner_and_queue_members_not_for_administrators():
    admin, member, stranger = SuperuserFactory(), SystemUserFactory(), SystemUserFactory()
    user = SystemUserFactory()
    queue = QueueFactory(members=[member])
    group_of(stranger, "view_mailbox", "change_mailbox", reach=Reach.ALL)

    assert may_read_content(user, user.default_mailbox)
    assert may_read_content(member, queue.default_mailbox)
    assert may_read_content(queue.owning_user, queue.default_mailbox)
    for nobody in (admin, stranger, AnonymousUser()):
        assert not may_read_content(nobody, user.default_mailbox)
        assert not may_read_content(nobody, queue.default_mailbox)


def test_content_of_a_teams_mailbox_is_for_its_members():
    member, stranger = SystemUserFactory(), SystemUserFactory()
    team = TeamFactory(members=[member])
    mailbox = ForwardMailboxFactory(owning_user=None, owning_team=team)

    assert may_read_content(member, mailbox)
    assert not may_read_content(stranger, mailbox)


def test_a_disabled_user_reads_nothing_any_more():
    user = SystemUserFactory(is_disabled=True)

    assert not may_read_content(user, user.default_mailbox)


# -- cost


def test_a_list_costs_one_query_more_and_the_next_none(statements):
    user = SystemUserFactory()
    group_of(user, "view_emailserverprofile", "view_mailbox", reach=Reach.TEAM)
    user = SystemUser.objects.get(pk=user.pk)

    with statements() as first:
        list(visible_to(user, Mailbox.objects.all()))
    with statements() as second:
        list(visible_to(user, EmailServerProfile.objects.all()))
    with statements() as third:
        list(visible_to(user, TraceLog.objects.all()))

    assert (len(first), len(second), len(third)) == (2, 1, 1)


def test_asking_about_one_row_costs_two_at_most(statements):
    user, mailbox = SystemUserFactory(), ready_mailbox()
    group_of(user, "view_mailbox", reach=Reach.OWN)
    user = SystemUser.objects.get(pk=user.pk)

    with statements() as made:
        assert not may(user, "view", mailbox)
    with statements() as content:
        assert not may_read_content(user, mailbox)

    assert len(made) == 2
    assert len(content) <= 1
