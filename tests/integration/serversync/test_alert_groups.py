"""The wall by cause: one line for what several mailboxes have in common, and deeds on all of them."""

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mailboxes import alerts
from mailboxes.alerts import OUTAGE, raise_alert
from mailboxes.choices import AccessApproval, Operation, Reach
from mailboxes.models import EmailServerProfile, Mailbox, TraceLog
from serversync.choices import WorkloadState
from serversync.console.alertgroups import groups_of
from serversync.models import AuditEntry, Workload
from serversync.people.choices import AuditKind
from tests.factories.clients import signed_in
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    SuperuserFactory,
    SystemUserFactory,
    group_of,
    organization,
    ready_mailbox,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.django_db,
    pytest.mark.database("sqlite"),
    pytest.mark.rule("R8.16"),
]

URL = "/alerts/"


@pytest.fixture
def admin():
    return SuperuserFactory()


def three(code: str, profile: EmailServerProfile | None = None, **columns) -> list[Mailbox]:
    profile = profile or EmailServerProfileFactory()
    mailboxes = [ready_mailbox(email_server_profile=profile, **columns) for _ in range(3)]
    for mailbox in mailboxes:
        raise_alert(mailbox, code, now=timezone.now(), parameters={"mailbox": mailbox.name})
    return mailboxes


def press(user, deed: str, code: str, profile, **more) -> str:
    answer = signed_in(user).post(URL, {"deed": deed, "group": f"{code}:{profile.pk}", **more})
    assert answer.status_code == 302, answer.status_code
    return " | ".join(str(message) for message in get_messages(answer.wsgi_request))


def test_alerts_of_one_cause_and_server_are_one_line(admin):
    one = three("InvalidCredentials")[0].email_server_profile
    other = three("InvalidCredentials")[0].email_server_profile
    raise_alert(one, "CertificateRejected", now=timezone.now(), object_key=OUTAGE)

    groups = groups_of(admin, timezone.now())

    assert {(group.key.code, group.key.profile, group.mailboxes) for group in groups} == {
        ("InvalidCredentials", one.pk, 3),
        ("InvalidCredentials", other.pk, 3),
        ("CertificateRejected", one.pk, 0),
    }
    page = signed_in(admin).get(URL).content.decode()
    assert page.count("3 mailboxes") == 2
    assert page.count("The server: ") == 1
    assert one.name in page


def test_a_line_counts_mailboxes_whatever_is_told_of_them_on_their_profile_too(admin):
    mailbox, *_others = three("InvalidCredentials")
    profile = mailbox.email_server_profile
    raise_alert(profile, "InvalidCredentials", now=timezone.now(), object_key=str(mailbox.pk))

    (group,) = groups_of(admin, timezone.now())

    assert (group.mailboxes, group.alerts, len(group.named)) == (3, 4, 3)


def test_the_page_costs_the_same_however_many_alerts_there_are(admin):
    client = signed_in(admin)
    three("InvalidCredentials")
    client.get(URL)
    with CaptureQueriesContext(connection) as few:
        client.get(URL)
    for code in ("InvalidCredentials", "FolderMissing", "ErrorAccessDenied"):
        three(code)
    with CaptureQueriesContext(connection) as many:
        client.get(URL)
    assert len(many) == len(few)


def test_approving_acts_on_all_mailboxes_of_the_line(admin):
    mailboxes = three(
        "EmailAddressNotApproved", email_router_access_approval=AccessApproval.PENDING
    )
    untouched = ready_mailbox(email_router_access_approval=AccessApproval.PENDING)

    press(admin, "approve", "EmailAddressNotApproved", mailboxes[0].email_server_profile)

    rows = Mailbox.objects.filter(pk__in=[mailbox.pk for mailbox in mailboxes])
    assert set(rows.values_list("email_router_access_approval", flat=True)) == {
        AccessApproval.APPROVED
    }
    untouched.refresh_from_db()
    assert untouched.email_router_access_approval == AccessApproval.PENDING


def test_an_alert_of_a_server_tests_the_mailboxes_there_that_do_not_run(admin):
    mailboxes = three("InvalidCredentials")
    profile = mailboxes[0].email_server_profile
    TraceLog.objects.all().delete()
    raise_alert(profile, "CertificateRejected", now=timezone.now(), object_key=OUTAGE)
    Workload.objects.filter(mailbox=mailboxes[0], operation=Operation.INCOMING).update(
        state=WorkloadState.DISABLED
    )

    client = signed_in(admin)
    told = {"deed": "test_and_enable", "group": f"CertificateRejected:{profile.pk}"}
    asked = client.post(URL, told, follow=True)
    assert asked.status_code == 200
    chosen = asked.context["chosen"]
    client.post(asked.request["PATH_INFO"], {**chosen.keys, "begin": "1"})

    scheduled = Mailbox.objects.filter(test_email_configuration_scheduled=True)
    assert set(scheduled) == {mailboxes[0]}


def test_a_server_whose_mailboxes_all_run_again_has_none_to_test(admin):
    profile = three("InvalidCredentials")[0].email_server_profile
    raise_alert(profile, "CertificateRejected", now=timezone.now(), object_key=OUTAGE)

    said = press(admin, "test_and_enable", "CertificateRejected", profile)

    assert "No mailbox of it fails" in said


def test_who_may_not_approve_is_told_so_and_nothing_is_done():
    mailboxes = three(
        "EmailAddressNotApproved", email_router_access_approval=AccessApproval.PENDING
    )
    user = SystemUserFactory()
    group_of(user, "view_mailbox", reach=Reach.ALL)

    said = press(user, "approve", "EmailAddressNotApproved", mailboxes[0].email_server_profile)

    assert "approve_mailbox" in said
    assert not Mailbox.objects.filter(
        pk__in=[each.pk for each in mailboxes], email_router_access_approval=AccessApproval.APPROVED
    ).exists()


def test_a_line_holds_what_its_reader_may_see_and_a_press_acts_on_nothing_else():
    mailboxes = three("InvalidCredentials")
    user = SystemUserFactory()
    group_of(user, "view_mailbox", "delete_tracelog", reach=Reach.OWN)
    Mailbox.objects.filter(pk=mailboxes[0].pk).update(owning_user=user)

    (group,) = groups_of(user, timezone.now())
    assert group.mailboxes == 1
    press(user, "clear", "InvalidCredentials", mailboxes[0].email_server_profile)

    still = TraceLog.objects.filter(closed_on__isnull=True)
    assert {alert.regarding_mailbox for alert in still} == set(mailboxes[1:])


@pytest.mark.rule("R10.4")
def test_a_whole_line_is_snoozed_and_a_new_mailbox_brings_it_back(admin):
    mailboxes = three("InvalidCredentials")
    profile = mailboxes[0].email_server_profile

    press(admin, "snooze", "InvalidCredentials", profile, **{"for": "7d"})

    assert groups_of(admin, timezone.now()) == []
    assert "InvalidCredentials" in signed_in(admin).get(URL + "?snoozed").content.decode()
    fresh = ready_mailbox(email_server_profile=profile)
    raise_alert(fresh, "InvalidCredentials", now=timezone.now())
    (group,) = groups_of(admin, timezone.now())
    assert group.mailboxes == 1
    assert TraceLog.objects.filter(snoozed_by=admin).count() == 3


@pytest.mark.rule("R10.4")
def test_who_may_not_clear_alerts_may_not_snooze_them():
    mailbox = three("InvalidCredentials")[0]
    user = SystemUserFactory()
    group_of(user, "view_mailbox", reach=Reach.ALL)

    said = press(user, "snooze", "InvalidCredentials", mailbox.email_server_profile)

    assert "delete_tracelog" in said
    assert TraceLog.objects.filter(alerts.awake(timezone.now())).count() == 3


@pytest.mark.rule("R8.14")
def test_an_owner_reads_what_is_wrong_with_the_server_without_its_details_and_links():
    mailbox = ready_mailbox()
    owner = mailbox.regarding_user
    site = organization(notify_mailbox_owner_of_email_server_level_alerts=True)
    raise_alert(
        mailbox.email_server_profile,
        "SecureConnectionFailed",
        now=timezone.now(),
        organization=site,
        detail="Somebody else's mailbox: handshake",
        object_key=OUTAGE,
    )
    client = signed_in(owner)
    page = client.get(URL).content.decode()
    assert "SecureConnectionFailed" in page
    assert f"/emailserverprofile/{mailbox.email_server_profile.pk}/" not in page
    alert = TraceLog.objects.get()
    told = client.get(f"/mailboxes/tracelog/{alert.pk}/change/").content.decode()
    assert "No secure connection" in told
    assert "Somebody else" not in told
    searched = client.get("/mailboxes/tracelog/", {"q": alert.text[:12]})
    assert not searched.context["cl"].result_list
    named = client.get("/mailboxes/tracelog/", {"q": mailbox.email_server_profile.name})
    assert list(named.context["cl"].result_list) == [alert]


def test_the_audit_trail_says_who_pressed_and_for_which_mailboxes(admin):
    mailboxes = three("NotTested")
    profile = mailboxes[0].email_server_profile
    press(admin, "test_and_enable", "NotTested", profile)
    press(admin, "snooze", "NotTested", profile)
    rows = AuditEntry.objects.filter(kind=AuditKind.ACTION, actor=admin)
    told = set(rows.values_list("detail", "subject_type", "subject_id"))
    tested = {("test_and_enable", "mailboxes.mailbox", str(each.pk)) for each in mailboxes}
    alerts_of = TraceLog.objects.filter(code="NotTested")
    snoozed = {("snooze", "mailboxes.tracelog", str(each.pk)) for each in alerts_of}
    assert told == tested | snoozed


def test_a_code_that_no_database_can_hold_is_no_page(admin):
    answer = signed_in(admin).post(URL, {"deed": "clear", "group": "Not\0Tested:"})
    assert answer.status_code == 404


def test_an_unknown_press_is_no_page(admin):
    profile = three("InvalidCredentials")[0].email_server_profile
    client = signed_in(admin)
    for deed, group in (
        ("retry", f"InvalidCredentials:{profile.pk}"),
        ("reject", f"InvalidCredentials:{profile.pk}"),
        ("clear", "InvalidCredentials:nonsense"),
    ):
        assert client.post(URL, {"deed": deed, "group": group}).status_code == 404
