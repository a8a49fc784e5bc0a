"""Appointments, tasks and what else is planned: reading, writing, settling them in the console."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone

from activities.choices import (
    ActivityState,
    AppointmentStatus,
    AttendeeResponse,
    ParticipationType,
    TaskStatus,
)
from activities.models import (
    ActivityParty,
    ActivityPointer,
    Appointment,
    DeletedRecord,
    Fax,
    Letter,
    PhoneCall,
    ServiceAppointment,
    Task,
)
from mailboxes.choices import Reach
from mailboxes.models import Organization, SystemUser, Team
from serversync.console.registry import SCREENS
from tests.factories.activities import AppointmentFactory, TaskFactory
from tests.factories.clients import signed_in
from tests.factories.mailboxes import SystemUserFactory, group_of
from tests.factories.posting import values_of

pytestmark = pytest.mark.integration

REQUIRED, OPTIONAL = ParticipationType.REQUIRED_ATTENDEE, ParticipationType.OPTIONAL_ATTENDEE
SEES_CALENDARS = ("view_appointment", "view_recurringappointmentmaster", "view_phonecall")


def page_of(record, view: str = "change") -> str:
    meta = record._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{view}", args=[record.pk])


def adding(model) -> str:
    return reverse(f"admin:activities_{model._meta.model_name}_add")


def form_of(user, what, **typed):
    """The form of a record, or of a new one of a model, without a page; with `typed`, as it comes back."""
    is_new = isinstance(what, type)
    request = RequestFactory().get("/")
    request.user = user
    shown = SCREENS[what if is_new else type(what)].form
    form = type("Shown", (shown,), {"request": request})
    stored = None if is_new else type(what).objects.select_related("activity").get(pk=what.pk)
    if not typed:
        return form(instance=stored)
    return form(data=values_of(form(instance=stored)) | typed, instance=stored)


def boxes(user, what) -> dict:
    """What stands in the form."""
    return values_of(form_of(user, what))


def post(user, what, **typed):
    """What the user's browser would post from this form, with some boxes typed into."""
    url = adding(what) if isinstance(what, type) else page_of(what)
    return signed_in(user).post(url, boxes(user, what) | typed)


def told(response) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def errors_of(response) -> dict[str, str]:
    return wrong_in(response.context["adminform"].form)


def wrong_in(form) -> dict[str, str]:
    return {name: " ".join(found) for name, found in form.errors.items()}


def parties_of(record) -> list[tuple]:
    rows = ActivityParty.objects.filter(activity_id=record.pk)
    return [(row.participation_type_mask, row.address_used, row.is_resolved) for row in rows]


def found_in_list(client, model, **query) -> set:
    url = reverse(f"admin:activities_{model._meta.model_name}_changelist")
    return {row.pk for row in client.get(url, query).context["cl"].result_list}


# -- writing an appointment


@pytest.mark.rule("R6.31", "R6.35")
def test_a_meeting_is_written_with_addresses_names_and_the_clock_of_its_zone(site):
    answer = post(
        site.administrator,
        Appointment,
        subject="Contract",
        first_day="2026-07-01",
        begins="09:00",
        last_day="2026-07-01",
        ends="10:30",
        time_zone="America/New_York",
        required="cleo@customer.example, Customer Ltd",
        optional="somebody@elsewhere.example",
    )
    made = Appointment.objects.select_related("activity").get(activity__subject="Contract")
    assert told(answer) == "“Contract” is saved."
    assert made.scheduled_start == datetime(2026, 7, 1, 13, tzinfo=UTC)
    assert made.scheduled_duration_minutes == 90
    assert (made.time_zone, made.activity.owner) == ("America/New_York", site.administrator)
    assert parties_of(made) == [
        (REQUIRED, "cleo@customer.example", True),
        (REQUIRED, "office@customer.example", True),
        (OPTIONAL, "somebody@elsewhere.example", False),
        (ParticipationType.ORGANIZER, site.administrator.internal_email_address, True),
    ]


@pytest.mark.rule("R6.35")
def test_all_day_is_a_date_whatever_the_zone(site):
    post(
        site.administrator,
        Appointment,
        subject="Trade fair",
        is_all_day_event="on",
        first_day="2026-07-01",
        last_day="2026-07-03",
        time_zone="Pacific/Auckland",
    )
    made = Appointment.objects.get(activity__subject="Trade fair")
    assert made.scheduled_start == datetime(2026, 7, 1, tzinfo=UTC)
    assert (made.first_day, made.last_day) == (date(2026, 7, 1), date(2026, 7, 3))
    shown = boxes(site.administrator, made)
    assert (str(shown["first_day"]), str(shown["last_day"])) == ("2026-07-01", "2026-07-03")


@pytest.mark.parametrize(
    ("typed", "box", "words"),
    [
        ({"ends": "08:00"}, "ends", "ends before it begins"),
        ({"begins": ""}, "begins", "at what time"),
        ({"first_day": "2026-03-29", "begins": "02:30", "time_zone": "Europe/Berlin"},
         "begins", "clocks of Europe/Berlin go forward"),
        ({"organizer": ""}, "organizer", "needs an organizer"),
        ({"required": "ada@"}, "required", "is not an email address"),
        ({"optional": "Nobody At All"}, "optional", "no record that is called"),
        ({"subject": ""}, "subject", "required"),
        ({"time_zone": "Europe/Nowhere"}, "time_zone", "Select a valid choice"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_at_its_box(site, typed, box, words):
    begin = {
        "subject": "Contract",
        "first_day": "2026-03-28",
        "last_day": "2026-03-28" if box == "ends" else "2026-03-29",
        "begins": "09:00",
        "ends": "10:00",
    }
    found = wrong_in(form_of(site.administrator, Appointment, **begin | typed))
    assert list(found) == [box]
    assert words in found[box]


def test_while_something_is_wrong_nothing_is_stored(site):
    before = ActivityPointer.objects.count()
    answer = post(site.administrator, Appointment, subject="Contract", organizer="")
    assert answer.status_code == 200
    assert "needs an organizer" in answer.content.decode()
    assert ActivityPointer.objects.count() == before


def test_of_a_name_that_several_have_the_addresses_are_told(site):
    SystemUserFactory(first_name="Cleo", last_name="Example", domain_name="cleo2")
    form = form_of(site.administrator, Appointment, subject="Contract", required="Cleo Example")
    assert "cleo@customer.example" in wrong_in(form)["required"]


def test_a_name_stands_only_for_records_within_sight(site):
    group_of(site.ada, "add_appointment", "view_appointment", reach=Reach.OWN)
    hidden = form_of(site.ada, Appointment, subject="Contract", required="Ben Example")
    assert "no record that is called" in wrong_in(hidden)["required"]
    assert form_of(site.ada, Appointment, subject="Contract", required="Cleo Example").is_valid()


@pytest.mark.rule("R6.31")
def test_whoever_was_resolved_stays_so_and_keeps_the_answer(site):
    row = ActivityParty.objects.get(activity_id=site.meeting.pk, participation_type_mask=OPTIONAL)
    ActivityParty.objects.filter(activity_id=site.meeting.pk).exclude(
        participation_type_mask=ParticipationType.ORGANIZER
    ).update(response=AttendeeResponse.ACCEPTED)
    shown = boxes(site.administrator, site.meeting)
    answer = post(
        site.administrator, site.meeting, optional=f"{shown['optional']}, new@elsewhere.example"
    )
    assert answer.status_code == 302
    kept = ActivityParty.objects.filter(activity_id=site.meeting.pk)
    assert kept.get(pk=row.pk).response == AttendeeResponse.ACCEPTED
    assert kept.get(address_used="ada@example.com").response == AttendeeResponse.ACCEPTED
    assert kept.get(address_used="new@elsewhere.example").response == AttendeeResponse.NONE


def test_answers_are_told_in_words(site):
    ActivityParty.objects.filter(
        activity_id=site.meeting.pk, participation_type_mask=REQUIRED
    ).update(response=AttendeeResponse.DECLINED)
    text = signed_in(site.administrator).get(page_of(site.meeting)).content.decode()
    assert '<span aria-hidden="true">✕</span> Declined' in text
    assert '<span aria-hidden="true">…</span> No answer' in text


def test_an_organizer_from_outside_stays_while_nobody_chooses_another(site):
    ActivityParty.objects.filter(
        activity_id=site.meeting.pk, participation_type_mask=ParticipationType.ORGANIZER
    ).update(party_type=None, party_id="", address_used="boss@elsewhere.example")
    assert post(site.administrator, site.meeting, location="Room 13").status_code == 302
    organizer = ActivityParty.objects.get(
        activity_id=site.meeting.pk, participation_type_mask=ParticipationType.ORGANIZER
    )
    assert organizer.address_used == "boss@elsewhere.example"
    assert Appointment.objects.get(pk=site.meeting.pk).location == "Room 13"


@pytest.mark.parametrize("name", ["meeting", "series", "letter"])
def test_saving_without_a_change_changes_nothing(site, name):
    """What stands in the boxes is what is stored, on whichever clock."""
    record = getattr(site, name, None) or Letter.objects.get()
    post(site.administrator, record)  # brings what follows from the rest up to date
    ActivityPointer.objects.filter(pk=record.pk).update(modified_on=site.now)
    answer = post(site.administrator, record)
    assert answer.status_code == 302, errors_of(answer)
    assert ActivityPointer.objects.get(pk=record.pk).modified_on == site.now


def test_a_meeting_is_filed_and_handed_over(site):
    team = Team.objects.create(name="Sales", administrator=site.administrator)
    post(
        site.administrator,
        site.meeting,
        regarding=f"activities.contact:{site.cleo.pk}",
        owner=f"mailboxes.team:{team.pk}",
    )
    pointer = ActivityPointer.objects.get(pk=site.meeting.pk)
    assert (pointer.regarding_object, pointer.owner) == (site.cleo, team)


def test_a_forged_choice_is_no_valid_one(site):
    group_of(site.ada, "add_appointment", "view_appointment", reach=Reach.OWN)
    hidden = Task.objects.get()
    for typed in (
        {"owner": f"mailboxes.systemuser:{site.ben.pk}"},
        {"regarding": f"activities.task:{hidden.pk}"},
        {"organizer": f"mailboxes.systemuser:{site.ben.pk}"},
    ):
        form = form_of(site.ada, Appointment, subject="Forged", **typed)
        assert list(wrong_in(form)) == list(typed)


# -- what is settled


def test_a_settled_meeting_is_read_and_reopened(site):
    client = signed_in(site.administrator)
    client.post(reverse("admin:activities_appointment_do", args=[site.meeting.pk, "complete"]))
    pointer = ActivityPointer.objects.get(pk=site.meeting.pk)
    assert pointer.state_code == ActivityState.COMPLETED
    page = client.get(page_of(site.meeting))
    assert page.templates[0].name == "console/activity.html"
    assert [deed.name for deed, _url in page.context["deeds"]] == ["reopen"]
    assert "Numbers of the quarter" in page.content.decode()
    assert client.post(page_of(site.meeting), {"subject": "x"}).status_code == 403

    client.post(reverse("admin:activities_appointment_do", args=[site.meeting.pk, "reopen"]))
    client.post(reverse("admin:activities_appointment_do", args=[site.meeting.pk, "cancel"]))
    assert Appointment.objects.get(pk=site.meeting.pk).status_code == AppointmentStatus.CANCELED


@pytest.mark.parametrize("model", [ServiceAppointment, Task, PhoneCall, Letter, Fax])
def test_each_kind_is_completed_canceled_and_reopened(site, model):
    client, record = signed_in(site.administrator), model.objects.get()
    url = f"admin:activities_{model._meta.model_name}_do"
    for deed, state in (
        ("complete", ActivityState.COMPLETED),
        ("reopen", None),
        ("cancel", ActivityState.CANCELED),
    ):
        answer = client.post(reverse(url, args=[record.pk, deed]))
        assert answer.status_code == 302
        now = ActivityPointer.objects.get(pk=record.pk).state_code
        assert now == state if state is not None else now in (0, 3)


def test_several_are_settled_from_the_list_but_for_what_may_not_be_read(site):
    client = signed_in(site.administrator)
    chosen = [str(site.meeting.pk), str(site.private.pk)]
    url = reverse("admin:activities_appointment_changelist")
    answer = client.post(url, {"action": "cancel", "_selected_action": chosen})
    assert told(answer) == "1 changed. 1 was left as it is."
    canceled = Appointment.objects.filter(status_code=AppointmentStatus.CANCELED)
    assert [one.pk for one in canceled] == [site.meeting.pk]


def test_deeds_are_for_those_who_may_change(site):
    group_of(site.ada, *SEES_CALENDARS, reach=Reach.OWN)
    url = reverse("admin:activities_appointment_do", args=[site.meeting.pk, "cancel"])
    assert signed_in(site.ada).post(url).status_code == 404
    assert ActivityPointer.objects.get(pk=site.meeting.pk).state_code == ActivityState.SCHEDULED


@pytest.mark.rule("R6.24")
def test_drafts_are_a_switch_where_the_organization_allows_them(site):
    client = signed_in(site.administrator)
    assert "is_draft" not in client.get(adding(Appointment)).context["adminform"].form.fields
    Organization.objects.update(allow_save_as_draft_appointment=True)
    post(site.administrator, Appointment, subject="Perhaps", is_draft="on")
    draft = Appointment.objects.get(activity__subject="Perhaps")
    assert draft.is_draft
    assert "nobody has been invited" in client.get(page_of(draft)).content.decode()
    client.post(reverse("admin:activities_appointment_do", args=[draft.pk, "send"]))
    assert not Appointment.objects.get(pk=draft.pk).is_draft
    again = client.get(page_of(draft)).context["adminform"].form
    assert "is_draft" not in again.fields


def test_what_is_deleted_goes_into_the_bin_whole(site):
    client = signed_in(site.administrator)
    client.post(page_of(site.meeting, "delete"), {"post": "yes"})
    listed = reverse("admin:activities_task_changelist")
    task = Task.objects.get()
    client.post(
        listed, {"action": "delete_selected", "_selected_action": [str(task.pk)], "post": "yes"}
    )
    gone = [site.meeting.pk, task.pk]
    assert not ActivityPointer.objects.filter(pk__in=gone).exists()
    assert DeletedRecord.objects.filter(record_id__in=[str(pk) for pk in gone]).count() == 2


# -- tasks and the others


@pytest.mark.rule("R6.37")
def test_a_day_without_a_time_is_its_owners_midnight(site):
    site.administrator.settings.time_zone = "Asia/Tokyo"
    site.administrator.settings.save()
    post(site.administrator, Task, subject="Offer", start_day="2026-07-01", due_day="2026-07-02")
    task = Task.objects.get(activity__subject="Offer")
    assert task.scheduled_end == datetime(2026, 7, 1, 15, tzinfo=UTC)
    shown = boxes(site.administrator, task)
    assert (str(shown["due_day"]), shown["due_at"]) == ("2026-07-02", "")
    post(site.administrator, task, due_at="09:00", status_code=TaskStatus.IN_PROGRESS)
    task.refresh_from_db()
    assert task.scheduled_end == datetime(2026, 7, 2, tzinfo=UTC)
    assert task.status_code == TaskStatus.IN_PROGRESS


def test_a_task_is_not_due_before_it_starts_nor_at_a_time_of_no_day(site):
    early = form_of(
        site.administrator, Task, subject="Offer", start_day="2026-07-02", due_day="2026-07-01"
    )
    assert "due before it starts" in wrong_in(early)["due_day"]
    nowhere = form_of(site.administrator, Task, subject="Offer", due_at="09:00")
    assert "on which day" in wrong_in(nowhere)["due_day"]


@pytest.mark.parametrize(
    ("model", "typed"),
    [
        (PhoneCall, {"phone_number": "+49 30 1", "to": "Cleo Example"}),
        (Letter, {"address": "Main street 1", "to": "Cleo Example", "cc": "ada@example.com"}),
        (Fax, {"fax_number": "+49 30 2", "number_of_pages": "3", "to": "Cleo Example"}),
        (ServiceAppointment, {"customers": "Cleo Example", "location": "Workshop"}),
    ],
)
def test_the_other_kinds_are_written_with_their_people(site, model, typed):
    client = signed_in(site.administrator)
    answer = post(site.administrator, model, subject="Written by hand", **typed)
    assert answer.status_code == 302, errors_of(answer)
    made = model.objects.get(activity__subject="Written by hand")
    assert (
        ParticipationType.CUSTOMER if model is ServiceAppointment else ParticipationType.TO
    ) in {role for role, _address, resolved in parties_of(made) if resolved}
    assert client.get(page_of(made)).status_code == 200


# -- lists


def test_lists_are_filtered_by_whose_when_and_state(site):
    client = signed_in(site.administrator)
    assert found_in_list(client, Appointment, whose="mine") == {site.meeting.pk}
    past = AppointmentFactory(
        activity__owning_user=site.administrator, scheduled_start=site.now - timedelta(days=30)
    )
    assert past.pk in found_in_list(client, Appointment, when="past")
    assert past.pk not in found_in_list(client, Appointment, when="upcoming")
    assert site.meeting.pk in found_in_list(client, Appointment, state="open", when="today")
    assert found_in_list(client, Appointment, state="canceled") == set()
    late = TaskFactory(
        activity__owning_user=site.administrator, scheduled_end=site.now - timedelta(days=3)
    )
    assert found_in_list(client, Task, due="overdue") >= {late.pk}
    assert late.pk not in found_in_list(client, Task, due="week")
    assert found_in_list(client, Task, whose="team") == set()


def test_whoever_takes_part_sees_the_meeting_and_cannot_change_it(site):
    stranger = SystemUserFactory()
    for user in (site.ada, stranger):
        group_of(user, *SEES_CALENDARS, "change_appointment", reach=Reach.OWN)
    assert found_in_list(signed_in(stranger), Appointment) == set()
    assert signed_in(stranger).get(page_of(site.meeting)).status_code == 302
    client = signed_in(site.ada)
    assert found_in_list(client, Appointment) == {site.meeting.pk}
    page = client.get(page_of(site.meeting))
    assert page.templates[0].name == "console/activity.html"
    assert page.context["deeds"] == []
    assert client.post(page_of(site.meeting), {"subject": "x"}).status_code == 403


def test_a_description_of_any_length_begins_on_the_page_and_is_whole_on_demand(site):
    words = "x" * 30_000 + "the end"
    Appointment.objects.filter(pk=site.meeting.pk).update(description=words)
    ActivityPointer.objects.filter(pk=site.meeting.pk).update(state_code=ActivityState.COMPLETED)
    client = signed_in(site.administrator)
    page = client.get(page_of(site.meeting)).content.decode()
    assert "xxx" in page and "the end" not in page and "?whole=1" in page
    whole = client.get(page_of(site.meeting), {"whole": "1"}).content.decode()
    assert words in whole and "?whole=1" not in whole


# -- private ones


def seen_of_private(site, client) -> str:
    """Everywhere that appointments are shown."""
    text = ""
    for url in (
        reverse("admin:activities_appointment_changelist"),
        page_of(site.private),
        page_of(site.private, "history"),
        page_of(site.private, "delete"),
        reverse("admin:calendar") + "?whose=all",
        reverse("admin:calendar") + "?whose=all&view=week",
        reverse("admin:activities_activitypointer_changelist"),
        reverse("admin:activities_contact_change", args=[site.cleo.pk]),
        reverse("admin:index"),
    ):
        text += client.get(url).content.decode()
    return text


@pytest.mark.rule("R6.36")
def test_a_private_meeting_is_read_by_owner_and_organizer_only(site):
    ActivityPointer.objects.filter(pk=site.private.pk).update(
        regarding_type=ActivityParty.party_type.get_queryset().get(
            app_label="activities", model="contact"
        ),
        regarding_id=str(site.cleo.pk),
    )
    text = seen_of_private(site, signed_in(site.administrator))
    for secret in ("Doctor", "Blood test", "Clinic"):
        assert secret not in text
    assert text.count("Private appointment") > 4

    group_of(site.ben, *SEES_CALENDARS, "change_appointment", reach=Reach.OWN)
    own = signed_in(site.ben).get(page_of(site.private)).content.decode()
    assert "Doctor" in own and "Blood test" in own

    organizer = SystemUserFactory()
    group_of(organizer, *SEES_CALENDARS, reach=Reach.OWN)
    ActivityParty.objects.filter(activity_id=site.private.pk).update(party_id=str(organizer.pk))
    page = signed_in(organizer).get(page_of(site.private)).content.decode()
    assert "Doctor" in page and "Blood test" in page


@pytest.mark.rule("R6.36")
def test_no_search_finds_a_private_meeting_by_its_words(site):
    client = signed_in(site.administrator)
    assert site.private.pk in found_in_list(client, Appointment)
    for words in ("Doctor", "Clinic"):
        assert found_in_list(client, Appointment, q=words) == set()
        assert found_in_list(client, ActivityPointer, q=words) == set()
    group_of(site.ben, *SEES_CALENDARS, "view_activitypointer", reach=Reach.OWN)
    assert found_in_list(signed_in(site.ben), Appointment, q="Doctor") == {site.private.pk}
    assert found_in_list(signed_in(site.ben), ActivityPointer, q="Doctor") == {site.private.pk}


@pytest.mark.rule("R6.36")
def test_nobody_changes_or_settles_what_they_may_not_read(site):
    client = signed_in(site.administrator)
    assert client.post(page_of(site.private), {"subject": "x"}).status_code == 403
    url = reverse("admin:activities_appointment_do", args=[site.private.pk, "cancel"])
    assert client.post(url).status_code == 404


def test_no_log_and_no_confirmation_says_a_subject(site):
    client = signed_in(site.administrator)
    post(site.administrator, site.meeting, subject="Secret plan", location="Bunker")
    history = client.get(page_of(site.meeting, "history")).content.decode()
    assert "Location" in history
    for text in (history, client.get(page_of(site.meeting, "delete")).content.decode()):
        assert "Secret plan" not in text and "Bunker" not in text


def test_a_timeline_shows_every_kind_with_its_people(site):
    kind = ActivityParty.party_type.get_queryset().get(app_label="activities", model="contact")
    planned = (
        site.meeting,
        site.series,
        *(m.objects.get() for m in (Task, PhoneCall, Letter, Fax)),
    )
    ActivityPointer.objects.filter(pk__in=[one.pk for one in planned]).update(
        regarding_type=kind, regarding_id=str(site.cleo.pk), sort_date=timezone.now()
    )
    page = signed_in(site.administrator).get(page_of(site.cleo))
    entries = {entry.activity.pk: entry for entry in page.context["timeline"].entries}
    for one in planned:
        assert entries[one.pk].url == page_of(one)
    assert entries[site.meeting.pk].sender == site.administrator.internal_email_address
    assert entries[site.meeting.pk].recipients == "ada@example.com; zed@elsewhere.example"


# -- the form of a contact


def test_the_form_of_a_contact_has_everything_that_a_contact_has():
    from activities.admin import ContactScreen
    from activities.models import Contact

    shown = {
        name
        for _title, options in ContactScreen.fieldsets
        for line in options["fields"]
        for name in ([line] if isinstance(line, str) else line)
    }
    editable = {field.name for field in Contact._meta.fields if field.editable}
    assert editable - shown <= {"id", "created_by", "modified_by"}


def test_an_address_says_in_its_heading_which_it_is(site):
    form = signed_in(site.administrator).get(page_of(site.cleo)).context["adminform"].form
    assert form["address2_city"].label == "City"
    assert SystemUser.objects.filter(pk=site.administrator.pk).exists()


# -- what others did meanwhile, and what is not one's own to see


def test_nobody_overwrites_what_they_have_not_seen(site):
    opened = boxes(site.administrator, site.meeting)
    Appointment.objects.filter(pk=site.meeting.pk).update(location="Room 99")
    client, url = signed_in(site.administrator), page_of(site.meeting)
    answer = client.post(url, opened | {"subject": "Mine"})
    assert "Meanwhile the synchronization changed it" in errors_of(answer)["__all__"]
    assert Appointment.objects.get(pk=site.meeting.pk).location == "Room 99"
    again = answer.context["adminform"].form["version"].value()
    assert client.post(url, opened | {"subject": "Mine", "version": again}).status_code == 302
    assert ActivityPointer.objects.get(pk=site.meeting.pk).subject == "Mine"


def test_an_answer_that_came_meanwhile_stops_nobody_and_stays(site):
    opened = boxes(site.administrator, site.meeting)
    rows = ActivityParty.objects.filter(activity_id=site.meeting.pk)
    rows.filter(address_used="ada@example.com").update(response=AttendeeResponse.ACCEPTED)
    answer = signed_in(site.administrator).post(page_of(site.meeting), opened | {"subject": "Mine"})
    assert answer.status_code == 302
    assert rows.get(address_used="ada@example.com").response == AttendeeResponse.ACCEPTED


def test_what_the_writer_may_not_see_stays_as_it_is(site):
    """Owner, organizer and record are others', and no box lets go of them."""
    team = Team.objects.create(name="Sales", administrator=site.administrator)
    team.members.add(site.ben)
    group_of(site.ben, "view_appointment", "change_appointment", reach=Reach.TEAM)
    contact = ActivityParty.party_type.get_queryset().get(app_label="activities", model="contact")
    ActivityPointer.objects.filter(pk=site.meeting.pk).update(
        owning_user=None,
        owning_team=team,
        regarding_type=contact,
        regarding_id=str(site.cleo.pk),
    )
    page = signed_in(site.ben).get(page_of(site.meeting)).content.decode()
    assert "a record that is not yours to see" in page and "Cleo" not in page
    answer = post(site.ben, site.meeting, location="Room 13")
    assert answer.status_code == 302, errors_of(answer)
    pointer = ActivityPointer.objects.get(pk=site.meeting.pk)
    assert (pointer.owner, pointer.regarding_object) == (team, site.cleo)
    organizer = ActivityParty.objects.get(
        activity_id=site.meeting.pk, participation_type_mask=ParticipationType.ORGANIZER
    )
    assert organizer.party_id == str(site.administrator.pk)


# -- files


@pytest.mark.rule("R6.34")
def test_files_are_attached_downloaded_and_taken_off(site):
    client, url = signed_in(site.administrator), page_of(site.meeting)
    upload = SimpleUploadedFile("plan.txt", b"a plan", "text/plain")
    assert post(site.administrator, site.meeting, attach=upload).status_code == 302
    ((file, address),) = client.get(url).context["files"]
    answer = client.get(address)
    assert answer.content == b"a plan"
    assert answer["Content-Disposition"] == 'attachment; filename="plan.txt"'
    post(site.administrator, site.meeting, take_off=[str(file.pk)])
    assert client.get(url).context["files"] == []
    assert client.get(address).status_code == 404


@pytest.mark.rule("R3.51")
def test_a_file_that_is_blocked_or_too_large_is_refused_with_the_reason(site):
    bad = {
        "run.exe": (b"MZ", "its extension is blocked"),
        "large.txt": (b"x" * 2048, "larger than the 1 KB"),
    }
    Organization.objects.update(blocked_attachments="exe", max_upload_file_size_kb=1)
    for name, (content, words) in bad.items():
        upload = SimpleUploadedFile(name, content)
        answer = post(site.administrator, site.meeting, attach=upload)
        assert words in errors_of(answer)["attach"]


@pytest.mark.rule("R6.36")
def test_files_of_a_private_meeting_are_for_its_readers(site):
    post(site.administrator, site.meeting, attach=SimpleUploadedFile("plan.txt", b"a plan"))
    url = signed_in(site.administrator).get(page_of(site.meeting)).context["files"][0][1]
    group_of(site.ada, *SEES_CALENDARS, reach=Reach.OWN)
    assert signed_in(site.ada).get(url).status_code == 200
    Appointment.objects.filter(pk=site.meeting.pk).update(is_mapi_private=True)
    assert signed_in(site.ada).get(url).status_code == 404
