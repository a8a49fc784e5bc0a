"""The pages of a replay: asked for in a form, looked at, applied, undone; for whom they are."""

import pytest
from django.urls import reverse
from django.utils import timezone

from activities.models import Email
from mailboxes.choices import FilteringMethod, Reach
from serversync import replay as replays
from serversync.choices import ReplayState
from serversync.models import Replay
from tests.factories.clients import signed_in
from tests.factories.mailboxes import SystemUserFactory, group_of
from tests.integration.serversync.cycles import Account, message, organization, user_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

RIGHTS = (
    *("view_syncitem", "view_mailbox", "retry_syncitem", "change_email", "delete_email"),
    *("view_email", "view_replay", "add_replay", "apply_replay"),
)


@pytest.fixture
def ada() -> Account:
    organization()
    account = Account(user_mailbox("ada", FilteringMethod.RESPONSES), now=timezone.now())
    account.box.deliver(message(message_id="no@x.example", subject="Secret plans"))
    account.receive()
    settings = account.mailbox.regarding_user.settings
    settings.incoming_email_filtering_method = FilteringMethod.ALL
    settings.save()
    return account


@pytest.fixture
def owner(ada: Account):
    group_of(ada.mailbox.regarding_user, *RIGHTS, reach=Reach.OWN)
    return signed_in(ada.mailbox.regarding_user)


@pytest.fixture
def root(ada: Account):
    return signed_in(SystemUserFactory(is_superuser=True))


def begun(client) -> Replay:
    answer = client.post(reverse("admin:serversync_replay_add"), {"days": "2"})
    found = Replay.objects.latest("created_on")
    assert answer.url == page_of(found)
    return replays.decide(found, timezone.now())


def page_of(found: Replay) -> str:
    return reverse("admin:serversync_replay_change", args=[found.pk])


def pressed(client, found: Replay, deed: str) -> str:
    url = reverse("admin:serversync_replay_do", args=[found.pk, deed])
    answer = client.post(url, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.rule("R8.33")
def test_a_period_is_decided_again_applied_and_undone(ada: Account, owner) -> None:
    found = begun(owner)
    page = owner.get(page_of(found)).content.decode()
    assert "Secret plans" in page and "the next cycle fetches it" in page and "Apply all" in page
    assert "Nothing was sent" in pressed(owner, found, "apply")
    ada.later(minutes=1)
    ada.receive()
    assert Email.objects.count() == 1
    told = owner.get(reverse("admin:activities_email_change", args=[Email.objects.get().pk]))
    assert "Decided again by a replay" in told.content.decode()
    assert "Undone." in pressed(owner, found, "undo")
    assert not Email.objects.exists()
    listed = owner.get(reverse("admin:serversync_replay_changelist")).content.decode()
    assert "Undone" in listed


def test_who_may_not_read_the_mail_sees_no_subject(ada: Account, root) -> None:
    page = root.get(page_of(begun(root))).content.decode()
    assert "Secret plans" not in page and "***" in page


def test_what_was_changed_meanwhile_is_told(ada: Account, owner) -> None:
    found = begun(owner)
    organization(hash_max_count=21)
    assert "settings have changed" in pressed(owner, found, "apply")
    assert "Being decided" in pressed(owner, found, "again")
    found.refresh_from_db()
    assert found.state == ReplayState.DROPPED
    assert Replay.objects.count() == 2


def test_it_is_nobody_elses(ada: Account, owner) -> None:
    other = SystemUserFactory()
    group_of(other, *RIGHTS, reach=Reach.ALL)
    found = begun(owner)
    stranger = signed_in(other)
    assert stranger.get(page_of(found)).status_code in (302, 404)
    listed = stranger.get(reverse("admin:serversync_replay_changelist")).content.decode()
    assert page_of(found) not in listed
    url = reverse("admin:serversync_replay_do", args=[found.pk, "apply"])
    assert stranger.post(url).status_code in (302, 404)
    found.refresh_from_db()
    assert found.state == ReplayState.READY


def test_without_the_permission_there_is_no_form_and_no_button(ada: Account) -> None:
    user = ada.mailbox.regarding_user
    group_of(user, "view_syncitem", "view_mailbox", "view_replay", reach=Reach.OWN)
    client = signed_in(user)
    assert client.get(reverse("admin:serversync_replay_add")).status_code == 403
    found = Replay.objects.create(created_by=user, since=timezone.now(), until=timezone.now())
    replays.decide(found, timezone.now())
    assert "Drop it" not in client.get(page_of(found)).content.decode()


def test_forged_pages_and_mailboxes(ada: Account, owner) -> None:
    found = begun(owner)
    assert owner.get(page_of(found), {"page": "-1", "step": "x"}).status_code == 200
    assert owner.get(page_of(found), {"page": "9" * 30}).status_code == 200
    other = user_mailbox("zoe")
    answer = owner.post(
        reverse("admin:serversync_replay_add"), {"days": "2", "mailbox": str(other.pk)}
    )
    assert answer.status_code == 200 and Replay.objects.count() == 1
