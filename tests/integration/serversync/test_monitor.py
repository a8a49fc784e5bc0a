"""The item monitor: what was not synchronized, of every kind, to whoever may see it."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mailboxes.models import Mailbox
from serversync.act.choices import SyncTable
from serversync.models import SyncItem
from tests.factories.act import act_mailbox, pair
from tests.factories.clients import signed_in
from tests.factories.mailboxes import SuperuserFactory, SystemUserFactory
from tests.integration.serversync.cycles import organization, user_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

URL = "/monitor/"


def item(mailbox: Mailbox, **columns) -> SyncItem:
    values = {
        **{"folder": "INBOX", "source_key": uuid4().hex, "state": "quarantined"},
        **{"reason": "MessageUnreadable", "last_error": "It says no", "attempts": 5},
        **{"subject": "Secret plans"},
    }
    return SyncItem.objects.create(mailbox=mailbox, **{**values, **columns})


@pytest.fixture
def ada() -> Mailbox:
    return act_mailbox()


def failing(mailbox: Mailbox, **columns):
    values = {
        **{"last_sync_error_code": "PrivilegeDenied", "last_sync_error": "no", "retries": 2},
        **{"last_sync_error_occurred_on": timezone.now(), "item_subject": "Secret meeting"},
    }
    return pair(mailbox, **{**values, **columns})


def shown(client, **query) -> list[str]:
    return [line.subject for line in client.get(URL, query).context["lines"]]


@pytest.mark.rule("R8.30")
def test_emails_and_pairs_that_failed_are_one_list_the_latest_first(ada) -> None:
    item(ada, decided_at=timezone.now() - timedelta(hours=1))
    item(ada, state="retrying", subject="Younger", decided_at=timezone.now() + timedelta(hours=1))
    failing(ada)
    item(ada, state="tracked")
    client = signed_in(ada.regarding_user)

    page = client.get(URL)

    lines = page.context["lines"]
    assert [line.subject for line in lines] == ["Younger", "Secret meeting", "Secret plans"]
    assert [line.retries for line in lines] == [5, 2, 5]
    text = page.content.decode()
    for words in ("The server could not hand out this message.", "It says no", "#R8.20"):
        assert words in text
    assert shown(client, kind="email") == ["Younger", "Secret plans"]
    assert shown(client, mailbox=uuid4()) == []


@pytest.mark.rule("R8.30")
def test_each_kind_has_its_own_list(ada) -> None:
    failing(ada, table=SyncTable.CONTACT, item_subject="Cleo")
    failing(ada, table=SyncTable.FAX, item_subject="A fax")
    failing(ada, table=SyncTable.APPOINTMENT, item_subject="A meeting")
    client = signed_in(ada.regarding_user)
    assert shown(client, kind="contact") == ["Cleo"]
    assert shown(client, kind="task") == ["A fax"]
    assert shown(client, kind="appointment") == ["A meeting"]


@pytest.mark.rule("R8.30")
def test_others_see_that_it_failed_and_not_what_it_is(ada) -> None:
    item(ada)
    failing(ada)
    assert shown(signed_in(SuperuserFactory())) == ["***", "***"]
    assert shown(signed_in(SystemUserFactory())) == []


@pytest.mark.rule("R3.73", "R8.30")
def test_what_was_turned_down_is_shown_for_the_days_that_are_set(ada) -> None:
    for days in (1, 5):
        when = timezone.now() - timedelta(days=days)
        rejected = {"state": "rejected", "reason": "NoCorrelationMatch", "decided_at": when}
        item(ada, subject=f"{days} days", **rejected)
    client = signed_in(ada.regarding_user)
    assert shown(client) == []
    assert shown(client, which="rejected") == ["1 days"]
    organization(exchange_sync_id_mapping_persistence_time_in_days=30)
    assert shown(client, which="rejected") == ["1 days", "5 days"]


@pytest.mark.rule("R8.30")
def test_the_list_can_be_switched_off_and_the_ledger_stays(ada) -> None:
    item(ada)
    organization(enable_sss_item_level_monitoring=False)
    client = signed_in(ada.regarding_user)
    page = client.get(URL)
    assert "The item monitor is off." in page.content.decode()
    assert "Secret plans" not in page.content.decode()
    assert "Change it" not in page.content.decode()
    assert "Change it" in signed_in(SuperuserFactory()).get(URL).content.decode()
    assert client.get("/serversync/syncitem/").context["cl"].result_count == 1


def test_the_statements_do_not_grow_with_the_rows(ada) -> None:
    client = signed_in(SuperuserFactory())

    def asked() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert client.get(URL).status_code == 200
        return len(seen)

    item(ada)
    failing(ada)
    asked()
    before = asked()
    ben = user_mailbox("ben")
    for _number in range(5):
        item(ben)
        failing(ada)
    assert asked() == before


@pytest.mark.parametrize("query", [{"which": "x"}, {"kind": "x"}, {"mailbox": "x"}, {"page": "x"}])
def test_an_address_may_hold_anything(ada, query) -> None:
    assert signed_in(ada.regarding_user).get(URL, query).status_code == 200
