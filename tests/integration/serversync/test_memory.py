"""How many octets of messages are in memory together, whatever sizes a server claims."""

import pytest

from activities.models import Email
from serversync import fetching, pages, paging
from serversync.choices import ItemState
from serversync.models import SyncItem
from tests.factories.mailboxes import organization
from tests.integration.serversync.cycles import Account, message, queue_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db, pytest.mark.database("sqlite")]

MOST = 100_000
LARGE = 40_000
MANNERS = [{}, {"complete": True}, {"exchange": True}]


@pytest.fixture(params=MANNERS, ids=["imap", "pop3", "exchange"])
def account(request) -> Account:
    return Account(queue_mailbox("support"), **request.param)


@pytest.fixture
def held(monkeypatch) -> list[int]:
    """Octets of the messages of each part of a page."""
    monkeypatch.setattr(fetching, "PAGE_BYTES", MOST)
    monkeypatch.setattr(paging, "PAGE_BYTES", MOST)
    found: list[int] = []
    decide = pages.PageWriter._decide

    def counting(writer, seen):
        found.append(sum(len(one.raw or b"") for one in seen))
        return decide(writer, seen)

    monkeypatch.setattr(pages.PageWriter, "_decide", counting)
    return found


def fill(account: Account, number: int, claimed: int) -> int:
    for each in range(number):
        raw = message(message_id=f"{each}@x.example", to="support@example.com", body="x" * LARGE)
        account.box.deliver(raw)
        account.box.messages()[-1].claimed_size = claimed
    return len(raw)


@pytest.mark.rule("R9.9")
@pytest.mark.parametrize("claimed", [0, 10], ids=["true sizes", "sizes that are lies"])
def test_no_more_octets_are_held_than_a_page_may_have_and_one_message(account, held, claimed):
    size = fill(account, 7, claimed)

    result = account.receive()

    assert result.by_state == {"tracked": 7}
    assert max(held) < MOST + size
    assert sum(held) == 7 * size
    assert len(held) > 2
    assert Email.objects.count() == SyncItem.objects.count() == 7
    again = account.receive()
    assert not again.by_state
    assert len(held) <= 7


@pytest.mark.rule("R9.9")
def test_what_failed_before_is_held_in_parts_too(account, held):
    organization(messages_per_page=50)
    size = fill(account, 5, 10)
    account.receive()
    held.clear()
    SyncItem.objects.update(
        state=ItemState.RETRYING, next_attempt_at=account.now, attempts=1, size=1
    )

    account.receive()

    assert not SyncItem.objects.filter(state=ItemState.RETRYING).exists()
    assert max(held) < MOST + size
    assert len(held) > 1
