"""Two users' mailboxes that write one and the same record at once. Real threads with connections of their own, which
only PostgreSQL lets overlap; they meet by hooks, so that nothing depends on how fast a machine is."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest

from activities.models import Appointment, Contact, RecurringAppointmentMaster
from mailboxes.choices import Reach
from mailboxes.models import GroupReach, SystemUser
from mailboxes.protocols.items import CALENDAR, CONTACTS, ItemKind, Tell
from mailboxes.recurrence import Pattern, Recurrence
from serversync.act import store
from serversync.act.choices import LinkState
from serversync.act.types import Table
from serversync.cycle import CycleResult
from serversync.models import SyncRevision, UserQuery
from tests.fakeitems import FakeItemsAccount
from tests.integration.serversync.acts import act_account, meeting, people
from tests.integration.serversync.cycles import organization
from tests.integration.serversync.test_act_cycle import category, contact, held
from tests.integration.serversync.test_overlap import at_once

pytestmark = [
    pytest.mark.integration,
    pytest.mark.database("postgresql"),
    pytest.mark.django_db(transaction=True),
]

WAIT = 10  # seconds until a test gives up on the other thread


class Two:
    """Ada and Ben, who may do everything to each other's records; and Cleo, somebody outside."""

    def __init__(self, meeting_point: Callable[[], None]) -> None:
        organization(track_categorized_items=True)
        site: dict[str, FakeItemsAccount] = {}
        self.cleo = FakeItemsAccount("cleo@customer.example", site)
        self.both = [act_account(name, site=site) for name in ("ada", "ben")]
        GroupReach.objects.update(reach=Reach.ALL)
        self._meeting_point = meeting_point

    def invite(self, kind: ItemKind = ItemKind.APPOINTMENT, **fields: Any) -> None:
        """Cleo invites both, and both track it."""
        required = people("ada@example.com", "ben@example.com")
        made = self.cleo.add(kind, subject="Plan", when=meeting(), required=required, **fields)
        self.cleo.tell(self.cleo.items[made], Tell.ALL, (), self.cleo.items[made].attendees)
        for each in self.both:
            each.account.categorize(each.account.named("Plan").id, *category(each))

    def edit(self, folder: str, *fields: dict[str, Any]) -> None:
        """Each of the two his own item."""
        for each, some in zip(self.both, fields, strict=True):
            each.account.edit(held(each, folder)[0].id, **some)

    def cycle(self) -> list[CycleResult]:
        """Both at once."""
        self._meeting_point()
        return at_once(*(each.cycle for each in self.both))

    def quiet(self) -> None:
        for _round in range(2):
            for each in self.both:
                each.now = max(one.now for one in self.both)
                each.quiet()

    def shares_contact(self) -> Contact:
        """In the contacts of both."""
        UserQuery.objects.filter(returned_type_code=Table.CONTACT).update(conditions={"all": []})
        made = contact(self.both[0])
        self.quiet()
        return made


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[Two]:
    """When they cycle at once, each one's first write to the store waits for the other's: both have read and decided,
    and are in the middle of their transaction, but neither has a record locked."""
    real, barrier = store.write, Barrier(2)
    waiting: set[Any] = set()

    def write(user: SystemUser, *rest: Any) -> Any:
        if user.pk in waiting:
            waiting.remove(user.pk)
            barrier.wait(WAIT)
        return real(user, *rest)

    def meeting_point() -> None:
        waiting.update(each.user.pk for each in made.both)

    monkeypatch.setattr(store, "write", write)
    made = Two(meeting_point)
    yield made
    assert not waiting, "the two never met"


def only_one_wrote(results: list[CycleResult]) -> bool:
    """The other found that it had decided on what was no more, and comes again at once."""
    late = [each for each in results if not each.by_state]
    return len(late) == 1 and late[0].soon and not any(each.failed for each in results)


def history() -> str:
    return json.dumps(list(SyncRevision.objects.values_list("lost", flat=True)))


@pytest.mark.rule("R6.53")
def test_edits_of_two_attendees_are_both_kept(two: Two) -> None:
    two.invite()
    two.quiet()
    two.edit(CALENDAR, {"location": "Room 2"}, {"body": "Bring the offer"})
    assert only_one_wrote(two.cycle())
    two.quiet()

    stored = Appointment.objects.get()
    assert (stored.location, stored.description) == ("Room 2", "Bring the offer")
    assert [mail.what for mail in two.cleo.mails] == ["invitation"]
    assert not any(each.account.mails for each in two.both)


@pytest.mark.rule("R6.53")
def test_edits_of_one_field_are_in_the_record_and_in_history(two: Two) -> None:
    cleo = two.shares_contact()
    two.edit(CONTACTS, {"job_title": "Buyer"}, {"job_title": "Head"})
    assert only_one_wrote(two.cycle())
    two.quiet()

    cleo.refresh_from_db()
    items = {held(each, CONTACTS)[0].fields["job_title"] for each in two.both}
    assert items == {cleo.job_title}
    assert {cleo.job_title} < {"Buyer", "Head"}
    (other,) = {"Buyer", "Head"} - {cleo.job_title}
    assert f'"{other}"' in history()


@pytest.mark.rule("R6.45", "R6.47")
def test_contact_that_one_deletes_and_the_other_edits_leaves_nothing_out_of_history(
    two: Two,
) -> None:
    two.shares_contact()
    ada, ben = two.both
    ada.account.remove(held(ada, CONTACTS)[0].id)
    ben.account.edit(held(ben, CONTACTS)[0].id, job_title="Buyer")
    results = two.cycle()
    assert not any(each.failed for each in results)
    two.quiet()

    told = SyncRevision.objects.values_list("before", "after", "lost")
    assert '"Buyer"' in json.dumps(list(told))
    for each in two.both:
        assert len(held(each, CONTACTS)) <= Contact.objects.count()


@pytest.mark.rule("R6.51")
def test_meeting_that_two_track_at_once_is_one_record(two: Two) -> None:
    two.invite()
    results = two.cycle()
    assert not any(each.failed for each in results)
    two.quiet()

    record = Appointment.objects.get()
    for each in two.both:
        (link,) = each.links
        assert (link.object_id, link.state) == (record.pk, LinkState.LINKED)


@pytest.mark.rule("R6.53")
def test_occurrences_that_two_change_at_once_are_both_changed(two: Two) -> None:
    when = meeting()
    pattern = Recurrence(pattern=Pattern.DAILY, start=when.start.date(), count=5)
    two.invite(ItemKind.SERIES, recurrence=pattern)
    two.quiet()
    for number, each in enumerate(two.both, start=1):
        (item,) = held(each, CALENDAR)
        day = when.start + timedelta(days=number)
        each.account.edit_occurrence(item.id, day, subject=f"Day {number}")
    assert only_one_wrote(two.cycle())
    two.quiet()

    series = RecurringAppointmentMaster.objects.get()
    assert {one.activity.subject for one in series.exceptions.all()} == {"Day 1", "Day 2"}
