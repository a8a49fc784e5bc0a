"""Old rows as totals: the balance stays, nothing comes twice, nothing is decided anew."""

import random
from datetime import timedelta
from uuid import uuid4

import pytest

from mailboxes.choices import FilteringMethod, Operation, ServerType
from mailboxes.models import EmailServerProfile, Mailbox, Organization
from mailboxes.protocols.base import INBOX, SENT
from serversync import balance, folding
from serversync.balance import STATES
from serversync.choices import IMPORTED
from serversync.models import FoldedItem, ItemDay, ServerAction, SyncItem, Workload
from serversync.retention import forget
from tests.integration.serversync.cycles import (
    NOW,
    Account,
    message,
    organization,
    user_mailbox,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

LATER = timedelta(days=100)


def old(mailbox: Mailbox, **columns) -> SyncItem:
    """One that may be folded at NOW."""
    values = {
        **{"folder": INBOX, "source_key": uuid4().hex, "state": "rejected", "reason": "x"},
        **{"identity": uuid4(), "blanked": True, "left_at": NOW - LATER},
        **{"decided_at": NOW - LATER, "first_seen_at": NOW - LATER},
    }
    return SyncItem.objects.create(mailbox=mailbox, **{**values, **columns})


def fold() -> int:
    return folding.fold(NOW, Organization.objects.current())


def books() -> dict:
    whole = balance.books(SyncItem.objects.all(), ItemDay.objects.all(), None)
    return {place: sums.by_state for place, sums in balance.by_place(whole).items()}


@pytest.mark.rule("R3.73")
@pytest.mark.parametrize("seed", range(3))
def test_the_balance_is_the_same_before_and_after(seed: int) -> None:
    chance = random.Random(seed)
    mailboxes = [user_mailbox("ada"), user_mailbox("ben")]
    rows = [
        SyncItem(
            mailbox=chance.choice(mailboxes),
            folder=chance.choice([INBOX, SENT]),
            source_key=uuid4().hex,
            state=chance.choice(STATES),
            reason=chance.choice(["", "x", "y"]),
            identity=chance.choice([None, uuid4(), uuid4()]),
            blanked=chance.random() < 0.8,
            left_at=chance.choice([None, NOW, NOW - LATER]),
            first_seen_at=NOW - timedelta(hours=chance.randint(2300, 2500)),
            decided_at=NOW - LATER,
        )
        for _number in range(200)
    ]
    SyncItem.objects.bulk_create(rows)
    before = books()

    gone = fold()

    assert 0 < gone == 200 - SyncItem.objects.count() == FoldedItem.objects.count()
    assert books() == before
    assert fold() == 0
    for mailbox in mailboxes:
        for folder in (INBOX, SENT):
            keys = FoldedItem.objects.filter(mailbox=mailbox, total__folder=folder)
            wanted = {identity: ["k"] for identity in keys.values_list("identity", flat=True)}
            folding.unfold(mailbox, folder, wanted, NOW)
    assert SyncItem.objects.count() == 200
    assert not ItemDay.objects.exists()
    assert books() == before


@pytest.mark.parametrize(
    "columns",
    [
        {"left_at": None}, {"left_at": NOW - timedelta(days=89)}, {"identity": None},
        {"blanked": False}, {"state": "retrying"}, {"state": "quarantined"}, {"state": "gone"},
        {"decided_at": NOW}, {"folder": IMPORTED}, {"marked": True},
    ],
)  # fmt: skip
def test_what_could_still_be_asked_for_keeps_its_row(columns) -> None:
    old(user_mailbox("ada"), **columns)
    assert fold() == 0


def test_wrappers_originals_and_what_waits_for_a_deed_keep_their_rows() -> None:
    ada = user_mailbox("ada")
    wrapper = old(ada)
    old(ada, parent=wrapper)
    waits = old(ada)
    ServerAction.objects.create(mailbox=ada, item=waits, folder=INBOX, source_key="1", kind="mark")
    assert fold() == 0


@pytest.mark.rule("R3.73")
def test_what_a_cycle_may_look_for_by_now_keeps_its_row() -> None:
    """It learned when it began that nothing is folded, and so looks for rows only."""
    ada, ben = Account(user_mailbox("ada")), Account(user_mailbox("ben"))
    old(ada.mailbox)
    old(ben.mailbox)
    ada.lease(Operation.INCOMING)
    assert fold() == 1
    assert SyncItem.objects.get().mailbox == ada.mailbox

    Workload.objects.update(lease_token=None, lease_expires_at=None)
    assert fold() == 1


def test_pop3_rows_stay_and_folding_can_be_off() -> None:
    old(user_mailbox("ada"))
    EmailServerProfile.objects.update(server_type=ServerType.POP3_SMTP)
    assert fold() == 0
    EmailServerProfile.objects.update(server_type=ServerType.IMAP_SMTP)
    organization(fold_items_after_days=0)
    assert fold() == 0
    organization(fold_items_after_days=90)
    assert forget(NOW).folded == 1


@pytest.mark.rule("R3.73")
@pytest.mark.parametrize("protocol", ["imap", "ews"])
def test_a_folded_message_that_comes_back_is_known_and_never_decided_anew(protocol: str) -> None:
    ada = Account(user_mailbox("ada", FilteringMethod.RESPONSES), exchange=protocol == "ews")
    raw = message(message_id="one@x.example", subject="Private")
    key = ada.box.deliver(raw)
    ada.box.deliver(message(message_id="two@x.example"))
    assert ada.receive().summary() == "2 rejected"
    received = ada.box.find(INBOX, key).received_at
    ada.box.remove(key)
    ada.receive()
    ada.later(days=101)
    forget(ada.now)
    before = books()
    assert (SyncItem.objects.count(), FoldedItem.objects.count()) == (1, 1)
    ada.mailbox.regarding_user.settings.incoming_email_filtering_method = FilteringMethod.ALL
    ada.mailbox.regarding_user.settings.save()

    ada.box.deliver(raw, received_at=received)  # a backup was played back
    if protocol == "imap":
        ada.box.reset_keys()
    assert ada.receive().summary() == "nothing new"

    row = SyncItem.objects.get(state="rejected", left_at=None, source_key=_last_key(ada))
    assert (row.reason, row.first_seen_at) == ("NoCorrelationMatch", NOW)
    assert not FoldedItem.objects.exists()
    assert books() == before


def _last_key(account: Account) -> str:
    return account.box.messages()[-1].remote_id
