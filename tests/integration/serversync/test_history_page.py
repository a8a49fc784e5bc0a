"""The history page of configuration, and the way back."""

import pytest
from django.contrib.auth.models import Group
from django.urls import reverse
from django.utils import timezone

from mailboxes import history, services
from mailboxes.choices import Reach
from mailboxes.models import EmailServerProfile, Organization
from tests.factories.clients import signed_in
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    SuperuserFactory,
    SystemUserFactory,
    group_of,
    ready_mailbox,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db, pytest.mark.database("sqlite")]


def page_of(record, name="change"):
    meta = record._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{name}", args=[record.pk])


@pytest.fixture
def ada():
    return SuperuserFactory(first_name="Ada", last_name="Example")


@pytest.fixture
def profile(ada):
    profile = EmailServerProfileFactory(min_polling_interval_in_minutes=2)
    profile.min_polling_interval_in_minutes = 9
    services.save_profile(
        profile=profile,
        changed_fields=["min_polling_interval_in_minutes"],
        now=timezone.now(),
        actor=ada,
    )
    return profile


def test_it_tells_both_values_and_who(ada, profile):
    page = signed_in(ada).get(page_of(profile, "history")).content.decode()

    assert "Minimum polling interval" in page
    assert "<td>2</td><td>9</td>" in page
    assert str(ada) in page


def test_former_values_are_filled_in_and_stored_only_when_saved(ada, profile):
    client = signed_in(ada)
    key = history.moments_of(profile)[0].key

    answer = client.get(page_of(profile), {"former": key})

    assert answer.context["adminform"].form["min_polling_interval_in_minutes"].value() == 2
    assert "Nothing is stored yet" in answer.content.decode()
    profile.refresh_from_db()
    assert profile.min_polling_interval_in_minutes == 9


def test_a_change_of_another_record_fills_in_nothing(ada, profile):
    other = EmailServerProfileFactory(min_polling_interval_in_minutes=5)
    key = history.moments_of(profile)[0].key

    answer = signed_in(ada).get(page_of(other), {"former": key})

    assert answer.context["adminform"].form["min_polling_interval_in_minutes"].value() == 5
    assert "nothing in that change" in answer.content.decode()


def test_who_may_only_look_gets_no_way_back(profile):
    reader = SystemUserFactory()
    group_of(reader, "view_emailserverprofile", reach=Reach.ALL)

    page = signed_in(reader).get(page_of(profile, "history")).content.decode()

    assert "<td>2</td><td>9</td>" in page
    assert "former=" not in page


def test_records_out_of_reach_are_not_named(ada):
    mailbox = ready_mailbox(
        SystemUserFactory(), email_server_profile=EmailServerProfileFactory(name="Secret place")
    )
    services.save_mailbox(
        mailbox=_with(
            mailbox, email_server_profile=EmailServerProfileFactory(name="Other secret place")
        ),
        changed_fields=["email_server_profile"],
        now=timezone.now(),
        actor=ada,
    )
    reader = SystemUserFactory()
    group_of(reader, "view_mailbox", reach=Reach.ALL)

    page = signed_in(reader).get(page_of(mailbox, "history")).content.decode()

    assert "a record that you may not see" in page
    assert "ecret place" not in page


def test_a_mailboxes_history_is_closed_to_others(profile):
    mailbox = ready_mailbox(SystemUserFactory())
    stranger = SystemUserFactory()
    group_of(stranger, "view_mailbox", reach=Reach.OWN)

    answer = signed_in(stranger).get(page_of(mailbox, "history"))

    assert answer.status_code in (302, 403, 404)


@pytest.mark.rule("R10.12")
def test_who_changed_a_setting_of_the_organization_is_noted(ada):
    organization = Organization.objects.current()
    client = signed_in(ada)
    form = client.get(page_of(organization)).context["adminform"].form
    data = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    data = {name: value for name, value in data.items() if value is not False}
    if "former_tracking_prefixes" in data:
        data["former_tracking_prefixes"] = "[]"

    answer = client.post(page_of(organization), data | {"messages_per_page": 33})

    assert answer.status_code == 302, answer.context["adminform"].form.errors
    last = history.last_changes(organization)["messages_per_page"]
    assert (last.before, last.after, last.changed_by) == ("50", "33", ada)
    assert set(history.last_changes(organization)) == {"messages_per_page"}


def test_secrets_are_told_without_their_values(ada):
    profile = EmailServerProfileFactory()
    profile.incoming_password = "canary-password"
    EmailServerProfile.objects.filter(pk=profile.pk).update(
        incoming_password=profile.incoming_password
    )

    page = signed_in(ada).get(page_of(profile, "history")).content.decode()

    assert "Incoming password" in page and "entered" in page
    assert "canary" not in page


def test_members_of_groups_are_named(ada):
    person, group = SystemUserFactory(), Group.objects.create(name="Readers of mail")
    person.groups.add(group)

    page = signed_in(ada).get(page_of(person, "history")).content.decode()

    assert "Readers of mail" in page


def _with(record, **values):
    for name, value in values.items():
        setattr(record, name, value)
    return record
