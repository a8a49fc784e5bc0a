"""The console asks before Test & Enable begins, and what is ticked there is what happens."""

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from mailboxes.choices import ActDeliveryMethod, Operation, Reach, StateCode
from mailboxes.models import Mailbox, SystemUser
from serversync.console.testdialog import Facts, look_again
from serversync.models import AuditEntry, Workload
from serversync.people.choices import AuditKind
from tests.factories.clients import signed_in
from tests.factories.mailboxes import group_of, ready_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

LIST = "admin:mailboxes_mailbox_changelist"
URL = "admin:test_and_enable"


@pytest.fixture
def client(site):
    return signed_in(site.administrator)


def was_tested(mailbox: Mailbox, at=None) -> Mailbox:
    mailbox.workloads.update(tested_at=at)
    return mailbox


def press(client, action: str, *mailboxes):
    data = {"action": action, "_selected_action": [str(mailbox.pk) for mailbox in mailboxes]}
    return client.post(reverse(LIST), data, follow=True)


def begin(client, *mailboxes, **ticked):
    keys = ",".join(str(mailbox.pk) for mailbox in mailboxes)
    return client.post(reverse(URL), {"mailbox": keys, "begin": "1", **ticked}, follow=True)


def said(answer) -> str:
    return " | ".join(str(message) for message in get_messages(answer.wsgi_request))


def jobs() -> dict[str, tuple]:
    """Mailbox -> (look at everything again, take over), as the queue has it."""
    tasks = [SignedPackage.loads(row.payload) for row in OrmQ.objects.all()]
    return {task["args"][0]: tuple(task["args"][1:]) for task in tasks}


def box(answer, name: str) -> bool | None:
    """Is it ticked? None: it isn't there."""
    _, found, rest = answer.content.decode().partition(f'name="{name}"')
    return " checked" in rest.partition(">")[0] if found else None


@pytest.mark.rule("R2.21")
def test_the_action_asks_and_ticks_the_box_for_the_first_test_only(site, client):
    first, later = (
        was_tested(site.mailboxes["untested"]),
        was_tested(site.mailboxes["healthy"], timezone.now()),
    )

    assert box(press(client, "test_and_enable", first), "look_again") is True
    assert box(press(client, "test_and_enable", later), "look_again") is False
    both = press(client, "test_and_enable", first, later)
    assert box(both, "look_again") is False
    assert "1 of them is tested for the first time" in both.content.decode()
    assert OrmQ.objects.count() == 0


@pytest.mark.rule("R2.9", "R2.10", "R2.21")
@pytest.mark.parametrize("ticked", [True, False])
def test_what_is_ticked_is_asked_of_the_worker(site, client, ticked):
    healthy, failing = (
        was_tested(site.mailboxes[name], timezone.now()) for name in ("healthy", "failing")
    )

    answer = begin(client, healthy, failing, **({"look_again": "on"} if ticked else {}))

    assert "Test & Enable started for 2 mailboxes" in said(answer)
    asked = (ticked or None, False)
    assert jobs() == {str(healthy.pk): asked, str(failing.pk): asked}
    row = Mailbox.objects.get(pk=failing.pk)
    assert row.test_email_configuration_scheduled
    assert row.test_and_enable_last_attempted_by == site.administrator


@pytest.mark.rule("R2.21")
@pytest.mark.parametrize(
    "first, of, ticked, means",
    [
        (2, 2, True, True),
        (2, 2, False, False),
        (0, 2, True, True),
        (0, 2, False, None),
        (1, 2, False, None),
        (0, 0, False, None),
    ],
)
def test_an_unticked_box_spares_the_first_look_only_where_it_was_ticked_before(
    first, of, ticked, means
):
    assert look_again(Facts(incoming=of, first=first), ticked) is means


@pytest.mark.rule("R2.20")
def test_the_box_to_take_over_is_there_where_a_test_found_another_organization(site, client):
    mailbox = was_tested(site.mailboxes["healthy"], timezone.now())
    Mailbox.objects.filter(pk=mailbox.pk).update(
        act_delivery_method=ActDeliveryMethod.SERVER_SIDE_SYNC
    )
    assert box(press(client, "test_and_enable", mailbox), "take_over") is None
    assert box(press(client, "test_and_take_over", mailbox), "take_over") is True

    mailbox.workloads.filter(operation=Operation.ACT).update(
        state_code="ConfiguredWithOtherOrganization"
    )
    page = press(client, "test_and_enable", mailbox)
    assert box(page, "take_over") is False
    assert "The other organization then stops" in page.content.decode()

    begin(client, mailbox, take_over="on")
    assert jobs() == {str(mailbox.pk): (None, True)}


@pytest.mark.rule("R2.9")
def test_a_profile_leads_to_all_its_active_mailboxes(site, client):
    url = reverse("admin:mailboxes_emailserverprofile_do", args=[site.profile.pk, "test_mailboxes"])
    page = client.post(url, follow=True)
    active = set(
        Mailbox.objects.filter(
            email_server_profile=site.profile, state_code=StateCode.ACTIVE
        ).values_list("pk", flat=True)
    )
    assert len(page.context["facts"].names) == len(active) == 5

    answer = client.post(reverse(URL), {"profile": str(site.profile.pk), "begin": "1"}, follow=True)

    assert "Test & Enable started for 5 mailboxes" in said(answer)
    assert set(jobs()) == {str(key) for key in active}
    assert answer.redirect_chain[-1][0] == reverse(
        "admin:mailboxes_emailserverprofile_change", args=[site.profile.pk]
    )


def noted() -> list[tuple]:
    rows = AuditEntry.objects.filter(kind=AuditKind.ACTION)
    return sorted(rows.values_list("actor", "detail", "subject_type", "subject_id"))


def test_who_began_is_in_the_audit_trail_whether_or_not_a_page_had_asked(site, client):
    both = [site.mailboxes["healthy"], site.mailboxes["failing"]]
    begin(client, *both)
    ann = site.administrator.pk
    assert noted() == sorted(
        (ann, "test_and_enable", "mailboxes.mailbox", str(one.pk)) for one in both
    )

    AuditEntry.objects.all().delete()
    client.post(reverse(URL), {"profile": str(site.profile.pk), "begin": "1"})
    assert noted() == [
        (ann, "test_mailboxes", "mailboxes.emailserverprofile", str(site.profile.pk))
    ]


def test_who_may_not_test_reads_so_and_nothing_begins(site):
    reader = SystemUser.objects.create_user("reader", first_name="Rea")
    group_of(reader, "view_mailbox", reach=Reach.ALL)
    mailbox = site.mailboxes["healthy"]

    page = signed_in(reader).get(reverse(URL), {"mailbox": str(mailbox.pk)}, follow=True)
    assert "test" in said(page)
    assert "test" in said(begin(signed_in(reader), mailbox))
    assert OrmQ.objects.count() == 0
    assert not Mailbox.objects.filter(test_email_configuration_scheduled=True).exists()


def test_mailboxes_out_of_sight_are_not_there(site):
    mine = ready_mailbox()
    owner = mine.regarding_user
    group_of(owner, "view_mailbox", "test_mailbox", reach=Reach.OWN)
    client = signed_in(owner)
    for keys in (
        str(site.mailboxes["healthy"].pk),
        f"{mine.pk},{site.mailboxes['healthy'].pk}",
        "",
        "no-key",
    ):
        assert client.get(reverse(URL), {"mailbox": keys}).status_code == 404
        assert client.post(reverse(URL), {"mailbox": keys, "begin": "1"}).status_code == 404
    assert client.get(reverse(URL), {"mailbox": str(mine.pk)}).status_code == 200


def test_many_mailboxes_cost_no_more_statements_than_few(site, client):
    def cost(mailboxes) -> int:
        keys = ",".join(str(mailbox.pk) for mailbox in mailboxes)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(reverse(URL), {"mailbox": keys}).status_code == 200
        return len(queries)

    made = [ready_mailbox() for _ in range(6)]
    cost(made[:1])
    assert cost(made[:2]) == cost(made)
    assert Workload.objects.filter(mailbox=made[0]).exists()
