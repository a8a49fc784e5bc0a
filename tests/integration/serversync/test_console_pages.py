"""Every screen of the console, opened once with data, by who may see all and by who may see little."""

from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Success

from activities.choices import Direction, EmailStatus
from activities.models import Email
from mailboxes.models import Organization, Team
from serversync.choices import SubmissionState
from serversync.console.registry import SCREENS
from serversync.models import FolderCursor, ServerAction, Submission, SyncItem
from tests.factories.clients import signed_in
from tracking.choices import StationState
from tracking.stations import Station

pytestmark = pytest.mark.integration


def names(model) -> str:
    return f"{model._meta.app_label}_{model._meta.model_name}"


@pytest.mark.parametrize("model", SCREENS, ids=names)
def test_every_list_opens(site, model):
    client = signed_in(site.administrator)
    response = client.get(reverse(f"admin:{names(model)}_changelist"), follow=True)
    assert response.status_code == 200
    searched = client.get(reverse(f"admin:{names(model)}_changelist"), {"q": "ada"}, follow=True)
    assert searched.status_code == 200


@pytest.mark.parametrize("model", SCREENS, ids=names)
def test_every_page_opens(site, model):
    record = model._default_manager.first()
    if record is None:
        may_lack = (Team, ServerAction, Submission, Schedule, Success, Failure, OrmQ)
        assert model in may_lack, f"no {model.__name__} on the test site"
        return
    client = signed_in(site.administrator)
    response = client.get(reverse(f"admin:{names(model)}_change", args=[record.pk]))
    assert response.status_code == 200


@pytest.mark.rule("R8.31")
def test_the_front_page_counts_each_state_and_leads_to_it(site):
    client = signed_in(site.administrator)
    page = client.get(reverse("admin:index"))
    figures = {str(f.words): f for f in page.context["health"]}
    assert {words: f.number for words, f in figures.items()} == {
        "Healthy": 2,
        "Failing": 1,
        "Paused": 1,
        "Waiting for approval": 1,
        "Not tested": 2,
        "Not set up": 1,
        "Inactive": 1,
    }
    for figure in figures.values():
        listed = client.get(figure.url).context["cl"]
        assert listed.result_count == figure.number, figure.words


@pytest.mark.rule("R8.31")
def test_the_front_page_names_what_needs_a_person(site):
    page = signed_in(site.administrator).get(reverse("admin:index"))
    needed = {str(f.words): f.number for f in page.context["needed"]}
    assert needed["Mailboxes waiting for approval"] == 1
    assert needed["Quarantined items"] == 1
    assert needed["Open error alerts"] == 3
    assert b"The server refuses user name or password" in page.content
    assert b"Check user name, password" in page.content


@pytest.mark.rule("R8.31")
def test_each_figure_of_the_front_page_opens_a_list_of_that_length(site):
    client = signed_in(site.administrator)
    page = client.get(reverse("admin:index"))
    for figure in [*page.context["needed"], *page.context["today"]]:
        listed = client.get(figure.url)
        assert listed.status_code == 200, figure.url
        if "cl" in listed.context:
            number = listed.context["cl"].result_count
        else:
            number = listed.context["page"].paginator.count
        assert number == figure.number, figure.words


@pytest.mark.rule("R8.31")
def test_the_front_page_tells_what_failed_by_cause_today_s_mail_and_the_last_cycles(site):
    page = signed_in(site.administrator).get(reverse("admin:index"))
    failures = {failed.alert.code: failed for failed in page.context["failures"]}
    assert {"InvalidCredentials", "SocketTimedOut"} <= set(failures)
    assert failures["InvalidCredentials"].subject == site.mailboxes["failing"]
    today = {str(figure.words): figure.number for figure in page.context["today"]}
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    items = SyncItem.objects.filter(parent=None, decided_at__gte=midnight)
    assert today["Seen"] == items.count()
    assert today["Tracked"] == items.filter(state="tracked").count()
    cycles = [(row.mailbox, row.items_processed) for row in page.context["cycles"]]
    newest_first = ("queue", 2), ("healthy", 5), ("failing", 0)
    assert cycles == [(site.mailboxes[name], number) for name, number in newest_first]


def test_an_empty_site_says_how_to_begin(db, django_user_model):
    first = django_user_model.objects.create_superuser("first", "correct horse battery")
    page = signed_in(first).get(reverse("admin:index"))
    assert page.status_code == 200
    assert b"What needs a person" in page.content


@pytest.mark.rule("R8.20")
def test_a_failing_mailbox_names_cause_cure_and_the_step_that_failed(site):
    mailbox = site.mailboxes["failing"]
    page = signed_in(site.administrator).get(
        reverse("admin:mailboxes_mailbox_change", args=[mailbox.pk])
    )
    text = page.content.decode()
    assert "The server refuses user name or password" in text
    assert "Check user name, password" in text
    steps = page.context["panel"].channels[0].steps
    assert [(str(step.name), step.ok) for step in steps][-1] == ("Log in", False)
    assert "Traceback" not in text


@pytest.mark.rule("R1.39")
def test_each_workload_says_why_it_does_not_run(site):
    def because(key: str) -> str:
        url = reverse("admin:mailboxes_mailbox_change", args=[site.mailboxes[key].pk])
        panel = signed_in(site.administrator).get(url).context["panel"]
        return str(panel.channels[0].verdict.because)

    assert "isn't approved yet" in because("waiting")
    assert "hasn't been tested" in because("untested")
    assert "paused after repeated failures" in because("paused")
    assert "inactive" in because("inactive")


@pytest.mark.rule("R8.33")
def test_an_item_page_tells_the_whole_decision(site):
    item = site.items["rejected"]
    page = signed_in(site.ada).get(reverse("admin:serversync_syncitem_change", args=[item.pk]))
    text = page.content.decode()
    assert "Rejected, NoCorrelationMatch" in text
    assert "Newsletter" in text
    assert stations_of(page)["filters"].state == StationState.STOPPED
    assert stations_of(page)["filters"].rule == "R3.24"


def stations_of(page) -> dict[str, Station]:
    """The picture of the path, as the page was given it."""
    return {
        stop.station.key: stop.station for drawn in page.context["path"] for stop in drawn.stops
    }


def test_the_path_of_an_item_ends_where_it_stopped(site):
    client = signed_in(site.administrator)

    def states(state: str) -> dict[str, str]:
        url = reverse("admin:serversync_syncitem_change", args=[site.items[state].pk])
        found = stations_of(client.get(url))
        return {key: station.state.value for key, station in found.items()}

    tracked = states("tracked")
    assert tracked.pop("filters") == "decided"
    assert set(tracked.values()) == {"passed", "done"}
    quarantined = states("quarantined")
    assert quarantined["fetched"] == "stopped"
    assert set(list(quarantined.values())[2:-1]) == {"unasked"}


@pytest.mark.rule("R8.30")
def test_the_path_leads_to_copies_that_the_reader_may_see_only(site):
    item, other = site.items["tracked"], site.mailboxes["failing"]
    copy = SyncItem.objects.create(
        mailbox=other,
        folder="INBOX",
        source_key="copy",
        state="duplicate",
        message_id=item.message_id,
        email=item.email,
        subject="Nobody's business",
    )
    page = reverse("admin:activities_email_change", args=[item.email_id])
    leads_to = reverse("admin:serversync_syncitem_change", args=[copy.pk])

    def seen(user) -> str:
        return signed_in(user).get(page).content.decode()

    assert leads_to in seen(site.administrator)
    assert "Nobody&#x27;s business" not in seen(site.administrator)
    assert leads_to not in seen(site.ada)


@pytest.mark.rule("R8.30")
def test_the_title_of_a_case_is_hidden_with_the_subject_that_it_is(site):
    item = site.items["tracked"]
    made = [{"said": "case", "why": "rule", "case": "CAS-1", "rule": "Claims"}]
    case = {"kind": "activities.incident", "id": "1", "name": "My salary (CAS-1)"}
    decision = {**item.email.decision, "regarding": case, "made": made}
    Email.objects.filter(pk=item.email_id).update(decision=decision)
    url = reverse("admin:serversync_syncitem_change", args=[item.pk])
    assert "My salary" in signed_in(site.ada).get(url).content.decode()
    hidden = signed_in(site.administrator).get(url).content.decode()
    assert "My salary" not in hidden
    assert "CAS-1" in hidden


def test_an_email_that_was_sent_shows_how_it_left(site):
    email = site.answered
    now = timezone.now()
    Email.objects.filter(pk=email.pk).update(
        status_code=EmailStatus.SENT, direction_code=Direction.OUTGOING, decision={}
    )
    Submission.objects.create(
        email=email,
        mailbox=site.mailboxes["healthy"],
        state=SubmissionState.ACCEPTED,
        claim_token=uuid4(),
        claim_expires_at=now,
        handed_over_at=now,
        server_reply="250 taken",
    )
    url = reverse("admin:activities_email_change", args=[email.pk])
    answer = stations_of(signed_in(site.ada).get(url))["answer"]
    assert (answer.phrase, answer.details[0].text) == ("Accepted", "The answer: 250 taken")

    Email.objects.filter(pk=email.pk).update(status_code=EmailStatus.FAILED)
    Submission.objects.update(state=SubmissionState.REFUSED, permanent=True)
    edited = signed_in(site.administrator).get(url)
    assert edited.templates[0].name == "console/compose.html"
    assert stations_of(edited)["answer"].phrase == "Refused for good"


def test_folders_are_called_by_their_names_wherever_mail_lies(site):
    item, folder = site.items["tracked"], site.rule.exchange_folder_id
    SyncItem.objects.filter(pk=item.pk).update(folder=folder, sub_reason="folder_rule")
    ServerAction.objects.create(
        mailbox=item.mailbox, item=item, folder=folder, kind="move", argument=folder
    )
    client = signed_in(site.ada)
    page = client.get(reverse("admin:serversync_syncitem_change", args=[item.pk]))
    name = page.context["folder"]
    assert name.endswith(site.rule.exchange_folder_name)
    assert name != folder
    assert page.context["reason_words"] == "It lies in a tracked folder"
    assert stations_of(page)["arrived"].phrase.startswith(name)
    assert f"move to “{name}”" in page.content.decode()

    email = client.get(reverse("admin:activities_email_change", args=[item.email_id]))
    assert f'<span class="quiet small">{name}</span>' in email.content.decode()
    FolderCursor.objects.create(mailbox=item.mailbox, folder=folder)
    mailbox = client.get(reverse("admin:mailboxes_mailbox_change", args=[item.mailbox_id]))
    assert f'<td title="{folder}">{name}' in mailbox.content.decode()


def test_the_help_of_a_setting_leads_to_its_rule(site):
    url = reverse("admin:mailboxes_organization_change", args=[Organization.objects.get().pk])
    page = signed_in(site.administrator).get(url).content.decode()
    assert f'<a href="{reverse("admin:rules")}#R3.60">R3.60</a>' in page


def test_the_rules_open(site):
    assert signed_in(site.administrator).get(reverse("admin:rules")).status_code == 200


def test_a_record_shows_its_timeline(site):
    page = signed_in(site.administrator).get(
        reverse("admin:activities_contact_change", args=[site.cleo.pk])
    )
    subjects = [entry.activity.subject for entry in page.context["timeline"].entries]
    assert "Offer for order 4711" in subjects
    assert "RE: Invoice 12 of May" in subjects


def test_the_organization_opens_directly(site):
    page = signed_in(site.administrator).get(
        reverse("admin:mailboxes_organization_changelist"), follow=True
    )
    assert page.redirect_chain[-1][0].endswith(f"{site.organization.pk}/change/")


def test_every_setting_of_the_organization_is_on_its_page(site):
    from mailboxes.models import Organization
    from serversync.console.registry import SCREENS as screens

    shown = {
        name
        for _title, options in screens[Organization].fieldsets
        for line in options["fields"]
        for name in ([line] if isinstance(line, str) else line)
    }
    editable = {
        field.name
        for field in Organization._meta.fields
        if field.editable and field.name not in ("id", "modified_on")
    }
    assert editable == shown


def test_a_setting_that_changes_nothing_yet_says_so(admin_client) -> None:
    page = admin_client.get(
        reverse("admin:mailboxes_organization_change", args=[Organization.objects.current().pk])
    )

    said = page.content.decode().count("Changes nothing yet")
    assert said == len(Organization.NOT_BUILT)
