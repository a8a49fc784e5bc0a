"""The balance page: numbers that add up, and lead to exactly the rows that they count."""

import csv
import io
from collections import Counter
from datetime import date, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from mailboxes.models import Mailbox
from mailboxes.protocols.base import INBOX, SENT
from serversync import jobs
from serversync.balance import STATES
from serversync.models import FolderCursor, ItemDay, Recount, SyncItem
from tests.factories.clients import signed_in
from tests.factories.mailboxes import SuperuserFactory, SystemUserFactory
from tests.integration.serversync.cycles import user_mailbox

pytestmark = [
    pytest.mark.integration,
    pytest.mark.django_db,
    pytest.mark.database("sqlite"),
]

URL = "/balance/"


def seen(mailbox: Mailbox, when: datetime, state: str, folder: str = INBOX, **columns) -> SyncItem:
    return SyncItem.objects.create(
        mailbox=mailbox,
        folder=folder,
        source_key=uuid4().hex,
        state=state,
        first_seen_at=when,
        **{"decided_at": when, **columns},
    )


@pytest.fixture
def admin():
    return signed_in(SuperuserFactory())


@pytest.fixture
def ada() -> Mailbox:
    return user_mailbox("ada")


@pytest.fixture
def noon() -> datetime:
    return timezone.now().replace(hour=12, minute=0, second=0, microsecond=0)


def numbers(line) -> list[int]:
    return [line.seen.number, *(cell.number for cell in line.cells)]


def listed(client, url: str) -> int:
    return client.get(url).context["cl"].result_count


@pytest.mark.rule("R8.30")
def test_seen_is_the_sum_of_all_states_and_each_number_lists_its_rows(admin, ada, noon) -> None:
    ben = user_mailbox("ben")
    for place, state in enumerate(STATES):
        for number in range(place + 1):
            when = noon - timedelta(days=number % 3)
            seen(ada if number % 2 else ben, when, state, SENT if number == 4 else INBOX)
    seen(ada, noon - timedelta(days=40), STATES[0])

    site = admin.get(URL).context
    total = Counter(
        SyncItem.objects.filter(first_seen_at__gte=noon - timedelta(days=7)).values_list(
            "state", flat=True
        )
    )
    assert numbers(site["total"]) == [sum(total.values()), *(total[state] for state in STATES)]
    inside = [admin.get(URL, {"mailbox": box.pk}).context for box in (ada, ben)]
    found = [site["total"], *site["lines"], *(line for each in inside for line in each["lines"])]
    assert len(site["lines"]) == 2
    for line in found:
        assert line.seen.number == sum(cell.number for cell in line.cells)
        for cell in (line.seen, *line.cells):
            if cell.number:
                assert listed(admin, cell.url) == cell.number
    by_place = [line for each in inside for line in each["lines"]]
    assert sum(line.seen.number for line in by_place) == site["total"].seen.number


def test_a_state_that_changes_later_stays_on_the_day_it_was_seen(admin, ada, noon) -> None:
    seen(ada, noon - timedelta(days=3), "tracked", decided_at=noon)
    days = [line.day for line in admin.get(URL, {"mailbox": ada.pk}).context["lines"]]
    assert days == [noon.date() - timedelta(days=3)]


def test_days_are_those_of_the_reader(ada) -> None:
    user = SuperuserFactory()
    user.settings.time_zone = "Asia/Tokyo"
    user.settings.save()
    when = datetime(2026, 3, 1, 23, 30, tzinfo=ZoneInfo("UTC"))  # the next day in Tokyo
    seen(ada, when, "tracked")
    client = signed_in(user)

    chosen = {"mailbox": ada.pk, "from": "2026-03-02", "to": "2026-03-02"}
    (line,) = client.get(URL, chosen).context["lines"]

    assert (line.day, line.seen.number) == (date(2026, 3, 2), 1)
    assert listed(client, line.seen.url) == 1
    assert not client.get(URL, {**chosen, "from": "2026-03-01", "to": "2026-03-01"}).context[
        "lines"
    ]


def test_folded_items_are_added_and_lead_nowhere(admin, ada, noon) -> None:
    day = noon.date() - timedelta(days=2)
    ItemDay.objects.create(mailbox=ada, folder=INBOX, day=day, state="rejected", count=5)
    seen(ada, noon - timedelta(days=2), "rejected")
    seen(ada, noon - timedelta(days=2), "tracked")

    page = admin.get(URL, {"mailbox": ada.pk})
    (line,) = page.context["lines"]
    tracked, rejected = line.cells[:2]
    assert (line.seen.number, line.seen.folded) == (7, 5)
    assert (rejected.number, rejected.folded, listed(admin, rejected.url)) == (6, 5, 1)
    assert (tracked.number, tracked.folded) == (1, 0)
    assert "5 folded" in page.content.decode()
    SyncItem.objects.all().delete()
    (line,) = admin.get(URL, {"mailbox": ada.pk}).context["lines"]
    assert (line.seen.number, line.seen.url) == (5, "")


@pytest.mark.rule("R3.6")
def test_what_lay_before_the_start_is_one_count_of_its_folder(admin, ada, noon) -> None:
    FolderCursor.objects.create(mailbox=ada, folder=INBOX, before_start=1234)
    seen(ada, noon, "tracked")

    assert admin.get(URL).context["lines"][0].before_start == 1234
    page = admin.get(URL, {"mailbox": ada.pk}).context
    assert [number for _folder, number in page["before_start"]] == [1234]
    assert page["total"].seen.number == 1


def test_who_may_not_see_a_mailbox_sees_nothing_of_it(ada, noon) -> None:
    seen(ada, noon, "tracked")
    ItemDay.objects.create(mailbox=ada, folder=INBOX, day=noon.date(), state="gone", count=2)
    other = signed_in(SystemUserFactory())
    owner = signed_in(ada.regarding_user)

    assert other.get(URL).context["total"].seen.number == 0
    assert not other.get(URL).context["lines"]
    assert other.get(URL, {"mailbox": ada.pk}).status_code == 404
    assert "ada" not in b"".join(other.get(f"{URL}csv/").streaming_content).decode()
    assert owner.get(URL).context["total"].seen.number == 3


def test_the_file_holds_every_line(admin, ada, noon) -> None:
    Mailbox.objects.filter(pk=ada.pk).update(name="=2+3")
    seen(ada, noon, "tracked")
    seen(ada, noon - timedelta(days=1), "rejected", SENT)

    text = b"".join(admin.get(f"{URL}csv/").streaming_content).decode("utf-8-sig")

    head, today, before = csv.reader(io.StringIO(text))
    assert head[4:7] == ["Seen", "Tracked", "Rejected"]
    assert (today[0], today[3], today[4:7]) == ("'=2+3", f"{noon:%Y-%m-%d}", ["1", "1", "0"])
    assert (before[2], before[4:7]) == ("Sent items", ["1", "0", "1"])


def test_the_statements_do_not_grow_with_mailboxes_and_days(admin, ada, noon) -> None:
    def asked(**query) -> int:
        with CaptureQueriesContext(connection) as seen_by:
            assert admin.get(URL, query).status_code == 200
        return len(seen_by)

    seen(ada, noon, "tracked")
    asked()
    before = asked(), asked(mailbox=ada.pk)
    for name in ("ben", "cleo", "dan"):
        seen(user_mailbox(name), noon, "rejected")
    for days in range(1, 6):
        seen(ada, noon - timedelta(days=days), "gone")

    assert (asked(), asked(mailbox=ada.pk)) == before


def test_a_recount_is_asked_for_once_by_whoever_may(admin, ada) -> None:
    ask = f"{URL}{ada.pk}/recount/"
    assert signed_in(ada.regarding_user).post(ask).status_code == 403
    admin.post(ask, {"fix": "1"})
    admin.post(ask)
    (row,) = Recount.objects.all()
    (job,) = OrmQ.objects.all()
    assert (row.fix, row.asked_by.is_superuser) == (True, True)
    assert job.func() == "serversync.jobs.reconcile"
    assert "as soon as a worker is free" in admin.get(URL, {"mailbox": ada.pk}).content.decode()

    jobs.reconcile(str(row.pk))  # there is no such server
    page = admin.get(URL, {"mailbox": ada.pk}).content.decode()
    assert "Not counted" in page


def test_differences_are_shown_item_by_item_with_what_putting_right_does(admin, ada, noon) -> None:
    item = seen(ada, noon, "gone")
    told = [
        {"folder": INBOX, "kind": "missed", "key": "1.7", "item": "", "size": 9, "received": ""},
        {
            **{"folder": SENT, "kind": "given_up", "key": "1.8", "item": str(item.pk), "size": 9},
            "received": "2026-03-01T10:00:00+00:00",
        },
    ]
    counts = {"listed": 9, "known": 7, "before_start": 0, "to_come": 0, "folded": 0}
    Recount.objects.create(
        mailbox=ada,
        ended_on=noon,
        folders=[{"folder": INBOX, **counts, "differing": 2}, {"folder": SENT, "error": "closed"}],
        differences=told,
        differing=300,
    )
    text = admin.get(URL, {"mailbox": ada.pk}).content.decode()
    for words in ("1.7", "unknown to the ledger", "fetches and decides it", str(item.pk), "closed"):
        assert words in text
    assert "100 more" in text


@pytest.mark.parametrize(
    "query",
    [
        {"period": "x"}, {"from": "0001-01-01"}, {"to": "9999-12-31"}, {"mailbox": "x"},
        {"from": "2026-03-05", "to": "2026-03-01"}, {"page": "x"}, {"from": "\0"},
    ],
)  # fmt: skip
def test_an_address_may_hold_anything(admin, query) -> None:
    assert admin.get(URL, query).status_code == 200
    assert admin.get("/serversync/syncitem/", {"seen": "0001-01-01..x"}).status_code == 200
