"""The page "What if": a form, and what differs; for whom it is."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.forms.models import model_to_dict
from django.utils import timezone

from mailboxes.choices import FilteringMethod, Reach
from mailboxes.models import Organization
from serversync.console import whatif
from serversync.models import SyncItem
from serversync.othersettings import SETTABLE
from tests.factories.clients import signed_in
from tests.factories.mailboxes import SystemUserFactory, group_of
from tests.integration.serversync.cycles import Account, message, organization, user_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

URL = "/what-if/"


@pytest.fixture
def ada() -> Account:
    organization()
    account = Account(user_mailbox("ada", FilteringMethod.RESPONSES), now=timezone.now())
    account.box.deliver(message(message_id="no@x.example", subject="Secret plans"))
    account.receive()
    return account


def form(account: Account, **more: object) -> dict[str, object]:
    """What the page sends if nothing is changed."""
    row = model_to_dict(Organization.objects.current(), fields=SETTABLE)
    told = {name: "on" if value is True else value for name, value in row.items() if value}
    return {**told, "mailbox": str(account.mailbox.pk), "days": "7", **more}


def takes_all(account: Account) -> dict[str, str]:
    return {f"filter_{account.mailbox.regarding_user_id}": "0"}


def posted(client, account: Account, **more: object) -> str:
    answer = client.post(URL, form(account, **more))
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.fixture
def reader(ada: Account):
    group_of(ada.mailbox.regarding_user, "view_syncitem", "view_mailbox", reach=Reach.OWN)
    return signed_in(ada.mailbox.regarding_user)


@pytest.fixture
def admin(ada: Account):
    return signed_in(SystemUserFactory(is_superuser=True))


@pytest.mark.rule("R8.33")
def test_differences_stand_side_by_side(ada: Account, reader) -> None:
    page = posted(reader, ada, **takes_all(ada))
    assert "would be tracked: 1" in page.lower()
    assert "Rejected, NoCorrelationMatch" in page and "Tracked, AcceptAll" in page
    assert "Secret plans" in page
    assert SyncItem.objects.get().state == "rejected"


def test_the_form_as_it_is_changes_nothing(ada: Account, reader) -> None:
    page = posted(reader, ada)
    assert "No setting was changed" in page
    assert "unchanged: 1" in page


@pytest.mark.rule("R8.30")
def test_subjects_and_files_are_for_who_may_read_the_mail(ada: Account, admin) -> None:
    page = posted(admin, ada, **takes_all(ada))
    assert "Tracked, AcceptAll" in page
    assert "Secret plans" not in page and "***" in page
    file = SimpleUploadedFile("a.eml", message(), "message/rfc822")
    page = posted(admin, ada, brought=file)
    assert "Only who may read the mail of this mailbox" in page


def test_files_and_one_item(ada: Account, reader) -> None:
    file = SimpleUploadedFile("mine.eml", message(message_id="new@x.example"), "message/rfc822")
    page = posted(reader, ada, brought=file, **takes_all(ada))
    assert "mine.eml" in page and "Tracked, AcceptAll" in page
    item = SyncItem.objects.get()
    assert "Secret plans" in reader.get(URL, {"item": item.pk}).content.decode()
    assert "would be tracked: 1" in posted(reader, ada, item=item.pk, **takes_all(ada)).lower()
    assert (
        f"?item={item.pk}" in reader.get(f"/serversync/syncitem/{item.pk}/change/").content.decode()
    )


def test_mailboxes_and_items_out_of_reach_do_not_exist(ada: Account, reader) -> None:
    ben = Account(user_mailbox("ben", FilteringMethod.RESPONSES), now=timezone.now())
    ben.box.deliver(message(message_id="bens@x.example", to="ben@example.com"))
    ben.receive()
    item = SyncItem.objects.get(mailbox=ben.mailbox)
    assert reader.get(URL, {"item": item.pk}).status_code == 404
    assert reader.get(URL, {"item": "nonsense"}).status_code == 404
    page = posted(reader, ben, **takes_all(ben))
    assert "result" not in page.split("<form")[0] and "Ben" not in page.split("<form")[-1]


def test_who_is_not_signed_in_is_asked_to(ada: Account, client) -> None:
    assert client.get(URL).status_code == 302
    assert client.post(URL, form(ada)).status_code == 302


def test_limits(ada: Account, reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whatif, "MOST_BYTES", 10)
    file = SimpleUploadedFile("a.eml", message(), "message/rfc822")
    assert "Together the files are larger" in posted(reader, ada, brought=file)
    monkeypatch.setattr("serversync.whatif.MOST_ITEMS", 0)
    assert "are decided again. Take fewer days" in posted(reader, ada)
    assert 'id="result"' not in posted(reader, ada, days="1000")


def test_a_filter_stays_that_of_its_user_whichever_mailbox_is_chosen(
    ada: Account, admin, monkeypatch
) -> None:
    monkeypatch.setattr(whatif, "MOST_PARTIES", 1)
    zoe = Account(user_mailbox("zoe", FilteringMethod.RESPONSES), now=timezone.now())
    assert "unchanged: 1" in posted(admin, ada, **takes_all(zoe))
    page = posted(admin, ada, **takes_all(ada), **takes_all(zoe))
    assert "would be tracked: 1" in page.lower()
    for account in (ada, zoe):
        assert f'name="filter_{account.mailbox.regarding_user_id}"' in page
