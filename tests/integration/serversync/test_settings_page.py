"""All settings on one page, and all changes of the configuration in one list."""

import pytest
from django.urls import reverse

from mailboxes.choices import Reach
from mailboxes.models import EmailServerProfile, Organization
from serversync.console import allsettings
from tests.factories.clients import signed_in
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    SuperuserFactory,
    SystemUserFactory,
    group_of,
)
from tests.statements import counting

pytestmark = [pytest.mark.integration, pytest.mark.django_db, pytest.mark.database("sqlite")]


@pytest.fixture
def ada():
    return SuperuserFactory(first_name="Ada", last_name="Example")


def shown(client, **asked):
    answer = client.get(reverse("admin:settings"), asked)
    assert answer.status_code == 200
    return {
        setting.name: setting for group in answer.context["groups"] for setting in group.settings
    }


@pytest.mark.rule("R10.12")
def test_every_setting_is_there_with_value_default_and_meaning(ada):
    editable = {
        field.name
        for field in Organization._meta.concrete_fields
        if field.editable
        and not field.primary_key
        and field.name not in ("modified_on", "created_on")
    }

    settings = shown(signed_in(ada))

    assert set(settings) == editable
    assert settings["messages_per_page"].default == "50"
    assert settings["strict_parity"].value == "off"


def test_what_differs_says_who_changed_it(ada):
    Organization.objects.current()
    organization = Organization.objects.get()
    organization.messages_per_page, organization.modified_by = 20, ada
    organization.save()

    settings = shown(signed_in(ada), changed="1")

    assert set(settings) == {"messages_per_page"}
    assert settings["messages_per_page"].value == "20"
    assert settings["messages_per_page"].last.changed_by == ada


@pytest.mark.parametrize("words", ["DoNotIgnoreInternalEmailToQueues", "r3.42", "user to a queue"])
def test_a_setting_is_found_by_the_originals_name_by_rule_and_by_words(ada, words):
    assert "do_not_ignore_internal_email_to_queues" in shown(signed_in(ada), q=words)


def test_what_nothing_answers_to_says_what_to_do(ada):
    page = signed_in(ada).get(reverse("admin:settings"), {"q": "no such thing\0"})

    assert "No setting answers to that" in page.content.decode()


@pytest.mark.rule("R10.12")
def test_strict_parity_says_what_it_makes_of_a_setting(ada):
    Organization.objects.current()
    Organization.objects.update(strict_parity=True)

    settings = shown(signed_in(ada))

    assert settings["use_date_watermark"].parity == "on"
    assert settings["messages_per_page"].parity == ""


def test_everything_that_strict_parity_turns_back_is_explained():
    columns = {field.name for field in Organization._meta.concrete_fields}

    assert set(Organization.PARITY) - columns == set(allsettings.WITHOUT_COLUMN)


def test_it_costs_few_statements(ada):
    client = signed_in(ada)
    shown(client)
    with counting() as counted:
        shown(client)

    assert len(counted) <= 8, str(counted)


def test_who_may_not_see_the_organization_sees_no_settings():
    answer = signed_in(SystemUserFactory()).get(reverse("admin:settings"))

    assert answer.status_code in (302, 403)


def test_who_may_only_look_finds_no_link_to_change():
    reader = SystemUserFactory()
    group_of(reader, "view_organization", reach=Reach.ALL)

    assert {setting.edit_url for setting in shown(signed_in(reader)).values()} == {""}


def test_the_list_of_changes_tells_no_secret(ada):
    profile = EmailServerProfileFactory(name="First name")
    profile.name, profile.incoming_password = "Other name", "canary-password"
    EmailServerProfile.objects.filter(pk=profile.pk).update(
        name="Other name", incoming_password=profile.incoming_password
    )

    page = signed_in(ada).get(reverse("admin:mailboxes_configurationchange_changelist"))

    text = page.content.decode()
    assert "First name" in text and "Other name" in text and "entered" in text
    assert "canary" not in text


def test_the_list_of_changes_is_for_who_reaches_everything():
    reader = SystemUserFactory()
    group_of(reader, "view_configurationchange", reach=Reach.TEAM)
    EmailServerProfileFactory(name="Hidden name").delete()

    page = signed_in(reader).get(reverse("admin:mailboxes_configurationchange_changelist"))

    assert "Hidden name" not in page.content.decode()
