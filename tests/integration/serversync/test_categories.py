"""Tracking by category (section 7.2), and what is done to messages that failed (section 3.10)."""

from collections.abc import Callable

import pytest

from activities.choices import Direction
from activities.models import Email
from mailboxes.choices import FilteringMethod, ServerType
from mailboxes.models import EmailServerProfile, Organization
from mailboxes.protocols.base import INBOX, SENT
from mailboxes.protocols.errors import (
    AccessDenied,
    FolderMissing,
    MessageUnreadable,
    RequestExpired,
    ServerError,
)
from serversync import quarantine
from serversync.choices import ActionState
from serversync.models import MailboxLayout, ServerAction, SyncItem
from tests.fakes import FakeIncomingServer
from tests.integration.serversync.cycles import (
    Account,
    message,
    organization,
    profile,
    user_mailbox,
)
from tests.statements import counting
from tracking import decide

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

QUARTER = 16  # minutes; a little more than the check's gap


def exchange(name: str = "ada", filtering: FilteringMethod = FilteringMethod.NONE) -> Account:
    if not EmailServerProfile.objects.exists():
        profile(server_type=ServerType.EXCHANGE_SERVER)
    account = Account(user_mailbox(name, filtering), exchange=True)
    account.box.now = account.now
    return account


@pytest.fixture
def ada() -> Account:
    organization(track_categorized_items=True, name="Works")
    return exchange()


def later(account: Account, minutes: int = QUARTER) -> None:
    account.later(minutes=minutes)
    account.box.now = account.now


def put(account: Account, number: int, folder: str = INBOX, **headers: str) -> str:
    return account.box.deliver(message(message_id=f"{number}@customer.example", **headers), folder)


def category(account: Account) -> str:
    return MailboxLayout.objects.get(mailbox=account.mailbox).category_name


def marks(account: Account, folder: str = INBOX) -> list[set[str]]:
    return [each.keywords for each in account.box.messages(folder)]


def states(account: Account) -> dict[str, str]:
    return {
        item.message_id: item.state for item in SyncItem.objects.filter(mailbox=account.mailbox)
    }


@pytest.mark.rule("R7.20", "R10.18")
@pytest.mark.parametrize(
    ("columns", "made"),
    [
        ({}, False),
        ({"track_categorized_items": True}, True),
        ({"strict_parity": True}, True),
    ],
    ids=["not chosen", "chosen", "strict parity"],
)
def test_the_category_is_made_where_it_was_chosen(columns: dict[str, bool], made: bool) -> None:
    organization(name="Works", **columns)
    ada = exchange()

    ada.receive()

    assert ("Tracked to Works" in ada.box.categories.values()) is made


@pytest.mark.rule("R7.21")
def test_who_gives_a_message_the_category_tracks_it_wherever_it_lies(ada: Account) -> None:
    keys = [put(ada, 1), put(ada, 2)]
    ada.box.add_folder("INBOX/Deep")
    deep = put(ada, 3, "INBOX/Deep")
    ada.receive()
    assert set(states(ada).values()) == {"rejected"}
    ada.box.mark(keys[0], category(ada))
    ada.box.mark(deep, category(ada), "INBOX/Deep")
    later(ada)

    ada.receive()

    assert states(ada) == {
        "1@customer.example": "tracked",
        "2@customer.example": "rejected",
        "3@customer.example": "tracked",
    }
    decision = Email.objects.get(message_id="1@customer.example").decision
    assert (decision["reason"], decision["sub_reason"]) == ("AcceptAll", "category")


@pytest.mark.rule("R7.21", "R7.13")
def test_who_takes_it_off_untracks_and_the_email_stays(ada: Account) -> None:
    key = put(ada, 1)
    ada.receive()
    ada.box.mark(key, category(ada))
    later(ada)
    ada.receive()
    ada.box.unmark(key, category(ada))
    later(ada)

    ada.receive()

    item = SyncItem.objects.get()
    assert (item.state, item.reason, item.email) == ("rejected", "Untracked", None)
    assert Email.objects.count() == 1


@pytest.mark.rule("R7.21")
def test_given_again_it_is_linked_to_the_same_email(ada: Account) -> None:
    key = put(ada, 1)
    ada.receive()
    for change in (ada.box.mark, ada.box.unmark, ada.box.mark):
        change(key, category(ada))
        later(ada)
        ada.receive()

    item = SyncItem.objects.get()
    assert (item.state, item.email) == ("duplicate", Email.objects.get())


@pytest.mark.rule("R7.21")
def test_a_whole_conversation_is_tracked_message_by_message(ada: Account) -> None:
    keys = [put(ada, 1), put(ada, 2, in_reply_to="<1@customer.example>"), put(ada, 3)]
    ada.receive()
    for key in keys[:2]:  # as clients do for a conversation
        ada.box.mark(key, category(ada))
    later(ada)

    ada.receive()

    first, second = Email.objects.order_by("activity__sort_date", "pk")
    assert second.correlated_activity_id == first.pk
    assert states(ada)["3@customer.example"] == "rejected"


@pytest.mark.rule("R7.22")
def test_a_renamed_category_goes_on_under_its_new_name(ada: Account) -> None:
    one, two = put(ada, 1), put(ada, 2)
    ada.receive()
    old = category(ada)
    ada.box.mark(one, old)
    later(ada)
    ada.receive()
    (identifier,) = (key for key, name in ada.box.categories.items() if name == old)
    ada.box.categories[identifier] = "Customers"
    ada.box.unmark(one, old)
    ada.box.mark(one, "Customers")  # as Outlook does
    ada.box.mark(two, "Customers")
    later(ada)

    ada.receive()

    assert category(ada) == "Customers"
    assert set(states(ada).values()) == {"tracked"}


@pytest.mark.rule("R7.22")
def test_a_category_that_had_the_name_before_is_known_by_its_own_id() -> None:
    organization(track_categorized_items=True, name="Works")
    ada = exchange()
    ada.box.categories["made-by-ada"] = "Tracked to Works"
    ada.receive()
    assert list(ada.box.categories.values()).count("Tracked to Works") == 1
    key = put(ada, 1)
    ada.box.mark(key, "Tracked to Works")
    later(ada)
    ada.receive()
    ada.box.categories["made-by-ada"] = "Customers"
    ada.box.unmark(key, "Tracked to Works")
    ada.box.mark(key, "Customers")
    later(ada)

    ada.receive()

    assert category(ada) == "Customers"
    assert states(ada) == {"1@customer.example": "tracked"}


@pytest.mark.rule("R7.22")
def test_a_deleted_category_is_made_again(ada: Account) -> None:
    ada.receive()
    ada.box.categories.clear()
    later(ada, 10)
    ada.receive()
    assert not ada.box.categories
    later(ada, 6)

    ada.receive()

    assert "Tracked to Works" in ada.box.categories.values()


@pytest.mark.rule("R7.23")
def test_switched_off_it_leaves_the_list_and_the_messages_keep_it(ada: Account) -> None:
    key = put(ada, 1)
    ada.receive()
    ada.box.mark(key, "Tracked to Works")
    later(ada)
    ada.receive()
    organization(track_categorized_items=False)
    later(ada)

    ada.receive()
    ada.box.unmark(key, "Tracked to Works")
    later(ada)
    ada.receive()

    assert not ada.box.categories
    assert states(ada) == {"1@customer.example": "tracked"}


@pytest.mark.rule("R7.23")
def test_switched_on_it_does_not_label_old_items() -> None:
    organization(track_categorized_items=False)
    ada = exchange(filtering=FilteringMethod.ALL)
    put(ada, 1)
    ada.receive()
    organization(track_categorized_items=True, name="Works")
    later(ada)
    ada.receive()
    put(ada, 2)
    later(ada)

    ada.receive()

    assert marks(ada) == [set(), {"Tracked to Works"}]


@pytest.mark.rule("R3.65")
def test_what_was_tracked_gets_the_category_and_what_was_rejected_does_not() -> None:
    organization(track_categorized_items=True, name="Works")
    ada = exchange(filtering=FilteringMethod.RESPONSES)
    ada.receive()
    put(ada, 1)
    later(ada)
    ada.receive()
    ada.box.mark(ada.box.messages()[0].remote_id, "Tracked to Works")
    later(ada)
    ada.receive()
    put(ada, 2, in_reply_to="<1@customer.example>")
    put(ada, 3)
    later(ada)

    ada.receive()

    assert marks(ada) == [{"Tracked to Works"}, {"Tracked to Works"}, set()]
    assert SyncItem.objects.get(message_id="2@customer.example").marked is True


@pytest.mark.rule("R3.65")
def test_our_own_mark_is_no_wish_of_a_person(ada: Account) -> None:
    """The category that the product set itself leads to nothing at the next check."""
    organization(track_categorized_items=True)
    ben = exchange("ben", FilteringMethod.ALL)
    ben.receive()
    put(ben, 1)
    later(ben)
    ben.receive()
    later(ben)

    result = ben.receive()

    assert not result.by_state
    assert ServerAction.objects.count() == 1


@pytest.mark.rule("R7.24")
def test_copies_of_other_resolved_recipients_get_it_too_and_list_copies_do_not() -> None:
    organization(
        track_categorized_items=True,
        name="Works",
        use_filtering_method_of_syncing_mailbox_only_for_correlation=True,
    )
    ada, ben, cleo = exchange("ada"), exchange("ben"), exchange("cleo", FilteringMethod.ALL)
    everyone = (ada, ben, cleo)
    for account in everyone:
        account.receive()
        put(account, 1, to="ada@example.com, cleo@example.com")  # ben has it by a list
        later(account)
    ada.receive()
    ben.receive()
    assert marks(ada) == marks(ben) == [set()]

    cleo.receive()
    for account in everyone:
        later(account)
        account.receive()
    for account in everyone:
        later(account)
        account.receive()

    assert marks(cleo) == marks(ada) == [{"Tracked to Works"}]
    assert marks(ben) == [set()]
    assert states(ada) == {"1@customer.example": "duplicate"}
    assert states(ben) == {"1@customer.example": "rejected"}
    assert Email.objects.count() == 1


@pytest.mark.rule("R7.24")
def test_a_copy_that_is_read_after_the_first_gets_it_if_its_owner_is_a_recipient() -> None:
    organization(track_categorized_items=True, name="Works")
    ada, ben, cleo = (exchange(name, FilteringMethod.ALL) for name in ("ada", "ben", "cleo"))
    for account in (ada, ben, cleo):
        account.receive()
        put(account, 1, to="ada@example.com, ben@example.com")
        later(account)

    for account in (ada, ben, cleo):
        account.receive()

    assert marks(ada) == marks(ben) == [{"Tracked to Works"}]
    assert marks(cleo) == [set()]


@pytest.mark.rule("R7.24", "R3.40")
@pytest.mark.parametrize(
    ("once_only", "ben_has"), [(False, "rejected"), (True, "duplicate")], ids=["two", "once only"]
)
def test_a_sent_copy_speaks_for_received_ones_only_where_both_are_one_email(
    once_only: bool, ben_has: str
) -> None:
    organization(
        track_categorized_items=True,
        auto_track_sent_folder_items=True,
        ignore_internal_email=once_only,
        use_filtering_method_of_syncing_mailbox_only_for_correlation=True,
        name="Works",
    )
    ada, ben = exchange("ada", FilteringMethod.ALL), exchange("ben")
    ada.box.add_folder(SENT)
    for account in (ada, ben):
        account.receive()
        later(account)
    put(ben, 1, sender="ada@example.com", to="ben@example.com")
    ben.receive()
    put(ada, 1, SENT, sender="ada@example.com", to="ben@example.com")

    ada.receive()
    for _ in range(2):
        later(ben)
        ben.receive()

    assert states(ada) == {"1@customer.example": "tracked"}
    assert states(ben) == {"1@customer.example": ben_has}
    assert marks(ben) == [{"Tracked to Works"} if once_only else set()]
    assert Email.objects.get().direction_code == Direction.OUTGOING


def break_deciding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "correlate", lambda *_: 1 / 0)


def fail_for_good(account: Account, monkeypatch: pytest.MonkeyPatch) -> str:
    organization(promotion_attempts=5)
    account.receive()
    key = put(account, 1)
    with monkeypatch.context() as broken:
        break_deciding(broken)
        for _ in range(5):
            later(account)
            account.receive()
    assert set(states(account).values()) == {"quarantined"}
    return key


@pytest.mark.rule("R7.25", "R3.71")
def test_what_failed_five_times_gets_the_second_category_and_stays(
    ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_for_good(ada, monkeypatch)

    assert marks(ada) == [{"(Undeliverable)"}]


@pytest.mark.rule("R3.71", "R3.72")
def test_what_is_stored_in_the_end_is_undeliverable_no_more(
    ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = ada.mailbox.regarding_user
    user.settings.incoming_email_filtering_method = FilteringMethod.ALL
    user.settings.save()
    fail_for_good(ada, monkeypatch)
    later(ada)

    quarantine.retry(SyncItem.objects.all(), now=ada.now)
    ada.receive()

    assert marks(ada) == [{"Tracked to Works"}]


@pytest.mark.rule("R3.72")
def test_what_is_rejected_is_not_tried_again(ada: Account) -> None:
    ada.receive()
    put(ada, 1)
    later(ada)
    ada.receive()
    assert set(states(ada).values()) == {"rejected"}
    fetched = sum(server.calls["fetch"] for server in ada.servers)

    later(ada)
    ada.receive()

    assert sum(server.calls["fetch"] for server in ada.servers) == fetched


@pytest.mark.rule("R3.70", "R3.71")
def test_what_failed_is_moved_if_the_profile_says_so_into_one_folder(
    ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    EmailServerProfile.objects.update(move_undelivered_emails=True)
    fail_for_good(ada, monkeypatch)

    assert marks(ada) == []
    assert marks(ada, "Undeliverable") == [{"(Undeliverable)"}]
    layout = MailboxLayout.objects.get()
    assert layout.undeliverable_folder == ada.box.folder("Undeliverable").id
    assert sum(server.calls["ensure_folder"] for server in ada.servers) == 1
    assert SyncItem.objects.get().left_at is not None


@pytest.mark.rule("R3.70")
def test_rejected_mail_is_no_failure_and_stays_where_it_is(ada: Account) -> None:
    EmailServerProfile.objects.update(move_undelivered_emails=True)
    put(ada, 1)

    ada.receive()

    assert len(ada.box.messages()) == 1
    assert not ServerAction.objects.exists()


@pytest.mark.rule("R3.70")
def test_a_folder_for_failed_mail_that_somebody_deleted_is_made_again(
    ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    EmailServerProfile.objects.update(move_undelivered_emails=True)
    MailboxLayout.objects.create(mailbox=ada.mailbox, undeliverable_folder="folder-99")
    fail_for_good(ada, monkeypatch)
    assert ServerAction.objects.get(kind="move").state == ActionState.PENDING
    later(ada)

    ada.receive()

    assert ServerAction.objects.get(kind="move").state == ActionState.DONE
    assert len(ada.box.messages("Undeliverable")) == 1


def test_a_message_in_quarantine_can_be_tried_again_wherever_its_copy_went(
    ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    EmailServerProfile.objects.update(move_undelivered_emails=True)
    user = ada.mailbox.regarding_user
    user.settings.incoming_email_filtering_method = FilteringMethod.ALL
    user.settings.save()
    fail_for_good(ada, monkeypatch)
    later(ada)

    quarantine.retry(SyncItem.objects.all(), now=ada.now)
    ada.receive()

    assert states(ada) == {"1@customer.example": "tracked"}


@pytest.mark.rule("R7.30")
@pytest.mark.parametrize(("allowed", "takes"), [(False, True), (True, True), (True, False)])
def test_on_imap_a_keyword_does_the_same_where_it_is_allowed_and_taken(
    allowed: bool, takes: bool
) -> None:
    organization(track_categorized_items=True, allow_category_tracking_for_imap=allowed)
    ada = Account(user_mailbox("ada", FilteringMethod.NONE))
    ada.box.takes_keywords = takes
    one = put(ada, 1)
    put(ada, 2)
    ada.receive()
    ada.box.mark(one, "$Tracked")
    ada.later(minutes=QUARTER)
    ada.receive()

    works = allowed and takes
    assert states(ada)["1@customer.example"] == ("tracked" if works else "rejected")
    assert states(ada)["2@customer.example"] == "rejected"
    if works:
        ada.box.unmark(one, "$Tracked")
        ada.later(minutes=QUARTER)
        ada.receive()
        assert SyncItem.objects.get(message_id="1@customer.example").reason == "Untracked"
        assert Email.objects.count() == 1


def test_more_marked_mail_than_a_cycle_takes_is_taken_by_the_next(ada: Account) -> None:
    organization(messages_per_page=2, messages_per_cycle=3)
    ada.receive()
    for number in range(7):
        ada.box.deliver(
            message(message_id=f"{number}@customer.example"), "INBOX/A", marks=[category(ada)]
        )
    later(ada)

    results = [ada.receive() for _ in range(3)]

    assert [result.more for result in results] == [True, True, False]
    assert Email.objects.count() == 7


def test_strict_parity_is_read_from_the_settings() -> None:
    assert not Organization.objects.current().effective("track_categorized_items")


@pytest.mark.parametrize("kind", ["exchange", "imap"])
def test_where_the_listing_tells_nobody_waits_for_the_check(kind: str) -> None:
    organization(track_categorized_items=True, allow_category_tracking_for_imap=True, name="Works")
    ada = exchange() if kind == "exchange" else Account(user_mailbox("ada", FilteringMethod.NONE))
    key = put(ada, 1)
    ada.receive()
    name = category(ada)
    for change, state in ((ada.box.mark, "tracked"), (ada.box.unmark, "rejected")):
        later(ada, 2)
        change(key, name)
        ada.receive()
        assert states(ada) == {"1@customer.example": state}


@pytest.mark.rule("R7.21")
def test_what_carries_it_and_cannot_be_tracked_is_looked_at_once() -> None:
    """On IMAP each check is told again of all that carries it."""
    organization(
        track_categorized_items=True, allow_category_tracking_for_imap=True, messages_per_cycle=1
    )
    ada = Account(user_mailbox("ada", FilteringMethod.NONE))
    keys = [put(ada, number, sender="") for number in range(3)]
    while ada.receive().more:
        pass
    for key in keys:
        ada.box.mark(key, "$Tracked")
    ada.later(minutes=QUARTER)
    cycles = 1
    while ada.receive().more:
        cycles += 1
        assert cycles < 10
    assert {item.reason for item in ada.items().values()} == {"InvalidSender"}
    for _check in range(2):
        ada.later(minutes=QUARTER)
        ada.receive()

        assert not ada.servers[-1].calls["fetch"]


def test_who_moves_a_message_does_not_untrack_it() -> None:
    """What the whole answer leaves out may have lost the mark, or have gone."""
    organization(track_categorized_items=True, allow_category_tracking_for_imap=True)
    ada = Account(user_mailbox("ada", FilteringMethod.ALL))
    key, other = put(ada, 1), put(ada, 2)
    ada.receive()
    ada.later(minutes=QUARTER)
    ada.prepare = lambda server: meanwhile(server, lambda: ada.box.remove(key))

    ada.receive()

    assert states(ada) == {"1@customer.example": "tracked", "2@customer.example": "tracked"}
    ada.prepare = lambda server: None
    ada.later(minutes=5)
    ada.receive()
    assert ada.items()[key].left_at is not None
    assert ada.items()[other].left_at is None


def meanwhile(server: FakeIncomingServer, happens: Callable[[], None]) -> None:
    """Between the listing of the folders and the look at the category."""
    marked = server.marked

    def later(*arguments: object):
        happens()
        return marked(*arguments)

    server.marked = later  # type: ignore[method-assign]


@pytest.mark.parametrize("method", ["ensure_category", "marked", "drop_category"])
@pytest.mark.parametrize(
    "error",
    [MessageUnreadable("no"), AccessDenied("not the delegate's"), RequestExpired("too long")],
    ids=lambda error: error.code,
)
def test_a_fault_of_categories_does_not_stop_mail(
    ada: Account, method: str, error: ServerError
) -> None:
    ada.receive()
    if method == "drop_category":
        organization(track_categorized_items=False)
    put(ada, 1)
    later(ada)
    ada.prepare = lambda server: server.fail(method, error)

    assert ada.receive().by_state == {"rejected": 1}
    later(ada, 2)
    assert ada.receive().summary() == "nothing new"


@pytest.mark.rule("R7.21")
def test_a_folder_that_goes_while_its_marks_are_read_stops_nothing(ada: Account) -> None:
    ada.receive()
    put(ada, 1, "INBOX/Deep")
    put(ada, 2)
    for folder, key in (("INBOX/Deep", "1.1"), (INBOX, "1.2")):
        ada.box.mark(key, category(ada), folder)
    later(ada)

    def prepare(server: FakeIncomingServer) -> None:
        fetch = server.fetch

        def without(folder: str, keys: list[str]):
            if folder != INBOX:
                raise FolderMissing("deleted meanwhile")
            return fetch(folder, keys)

        server.fetch = without  # type: ignore[method-assign]

    ada.prepare = prepare
    ada.receive()

    assert states(ada) == {"2@customer.example": "tracked"}


def test_a_whole_look_at_many_marks_reads_no_decisions(ada: Account) -> None:
    """Each message that is tracked carries the mark, so there may be very many."""
    organization(track_categorized_items=True)
    for number in range(5):
        put(ada, number)
        ada.box.mark(f"1.{number + 1}", "Tracked to Works")
    for _cycle in range(2):
        ada.receive()
        later(ada)
    MailboxLayout.objects.update(marks_until=None)

    with counting() as counted:
        ada.receive()

    assert not [sql for sql in counted.of("SELECT") if '"trace"' in sql]
    assert not counted.of("INSERT")


@pytest.mark.rule("R7.21")
@pytest.mark.parametrize("taken_off", [False, True])
def test_a_message_that_gets_it_while_it_waits_for_another_try_is_tracked_then(
    ada: Account, monkeypatch: pytest.MonkeyPatch, taken_off: bool
) -> None:
    ada.receive()
    key = put(ada, 1)
    with monkeypatch.context() as broken:
        broken.setattr(decide, "correlate", lambda *_: 1 / 0)
        ada.receive()
    assert states(ada) == {"1@customer.example": "retrying"}
    later(ada, 2)
    ada.box.mark(key, category(ada))
    ada.receive()
    if taken_off:
        later(ada, 2)
        ada.box.unmark(key, category(ada))
        ada.receive()
    for _cycle in range(2):
        later(ada)
        ada.receive()

    assert states(ada) == {"1@customer.example": "rejected" if taken_off else "tracked"}
