"""The configuration's history: every write is noted, with who made it, and can be read back as values."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.utils import timezone

from mailboxes import history, services
from mailboxes.choices import ChangeEvent, FilteringMethod, ServerType
from mailboxes.history import watched
from mailboxes.models import ConfigurationChange, Mailbox, Organization
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    SuperuserFactory,
    SystemUserFactory,
    ready_mailbox,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


def rows_of(record, **wanted):
    return ConfigurationChange.objects.filter(
        object_type=record._meta.label_lower, object_id=str(record.pk), **wanted
    )


def changed(record):
    """(column, before, after) of the latest moment."""
    moment = history.moments_of(record)[0]
    return {(change.name, change.was, change.became) for change in moment.changes}


def test_a_migrated_site_has_all_triggers():
    assert watched.OURS.missing("default") == set()


@pytest.mark.rule("R10.12")
def test_what_a_person_changes_is_noted_with_both_values_and_who():
    ada, profile = SuperuserFactory(), EmailServerProfileFactory(min_polling_interval_in_minutes=2)
    profile.min_polling_interval_in_minutes = 9
    services.save_profile(
        profile=profile,
        changed_fields=["min_polling_interval_in_minutes"],
        now=timezone.now(),
        actor=ada,
    )

    moment = history.moments_of(profile)[0]

    assert changed(profile) == {("min_polling_interval_in_minutes", 2, 9)}
    assert (moment.who, moment.event) == (ada, ChangeEvent.CHANGED)


def test_bulk_writes_and_plain_sql_are_noted_too():
    organization = Organization.objects.current()
    Organization.objects.update(messages_per_page=10)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE mailboxes_organization SET messages_per_cycle = 77")

    last = history.last_changes(organization)

    assert (last["messages_per_page"].before, last["messages_per_page"].after) == ("50", "10")
    assert last["messages_per_cycle"].after == "77"
    assert last["messages_per_cycle"].changed_by is None


def test_a_write_that_changes_nothing_is_no_change():
    organization = Organization.objects.current()
    organization.save()

    assert not rows_of(organization, event=ChangeEvent.CHANGED)


def test_values_come_back_as_their_columns_hold_them():
    mailbox = ready_mailbox(SystemUserFactory())
    profile = EmailServerProfileFactory(server_type=ServerType.POP3_SMTP)
    former = {
        "email_server_profile": mailbox.email_server_profile_id,
        "process_email_received_after": timezone.now() - timedelta(days=3),
        "allow_email_connector_to_use_credentials": True,
    }
    Mailbox.objects.filter(pk=mailbox.pk).update(
        process_email_received_after=former["process_email_received_after"],
        allow_email_connector_to_use_credentials=True,
    )
    ConfigurationChange.objects.all().delete()
    Mailbox.objects.filter(pk=mailbox.pk).update(
        email_server_profile=profile,
        process_email_received_after=timezone.now(),
        allow_email_connector_to_use_credentials=False,
    )
    (moment,) = history.moments_of(mailbox)

    assert history.former_values(mailbox, moment.key) == former


def test_lists_come_back():
    organization = Organization.objects.current()
    Organization.objects.update(former_tracking_prefixes=["Ticket "])

    key = history.moments_of(organization)[0].key

    assert history.former_values(organization, key) == {"former_tracking_prefixes": []}


def test_what_was_put_back_at_once_is_no_change():
    organization = Organization.objects.current()
    Organization.objects.update(messages_per_page=10)
    Organization.objects.update(messages_per_page=50)

    assert history.moments_of(organization)[0].changes == ()


@pytest.mark.rule("R1.9")
def test_of_a_secret_only_that_it_changed_is_noted():
    profile = EmailServerProfileFactory(incoming_password="first-canary")
    profile.incoming_password = "second-canary"
    profile.save(update_fields=["incoming_password"])

    (row,) = rows_of(profile, field="incoming_password")
    change = history.moments_of(profile)[0].changes[0]

    assert (row.before, row.after) == ("set", "set")
    assert change.hidden and not change.can_come_back
    assert "incoming_password" not in history.former_values(profile, row.pk)


def test_a_users_password_is_a_secret():
    ada = SystemUserFactory()
    for password in ("a-long-canary-password", "another-canary-password"):
        ada.set_password(password)
        ada.save()

    assert {(row.before, row.after) for row in rows_of(ada, field="password")} == {
        (None, "set"),
        ("set", "set"),
    }


def test_signing_in_is_no_change(client):
    ada = SystemUserFactory()
    ConfigurationChange.objects.all().delete()
    ada.last_login = timezone.now()
    ada.save(update_fields=["last_login"])

    assert not rows_of(ada)


def test_members_and_permissions_are_noted_on_both_ways():
    group, ada = Group.objects.create(name="Readers"), SystemUserFactory()
    permission = Permission.objects.first()
    group.permissions.add(permission)
    ada.groups.add(group)
    ada.groups.clear()

    assert [
        (r.event, r.field, r.before, r.after) for r in rows_of(ada, field="groups").order_by("pk")
    ] == [
        (ChangeEvent.ADDED, "groups", None, str(group.pk)),
        (ChangeEvent.TAKEN_OUT, "groups", str(group.pk), None),
    ]
    assert rows_of(group, field="permissions").get().after == str(permission.pk)


def test_what_is_removed_leaves_what_it_was():
    profile = EmailServerProfileFactory(name="Old server", incoming_password="canary")
    key = profile.pk
    profile.delete()
    profile.pk = key

    moment = history.moments_of(profile)[0]

    assert moment.event == ChangeEvent.REMOVED
    assert ("name", "Old server", None) in changed(profile)
    assert ("incoming_password", "set", None) in {
        (change.name, change.before, change.after) for change in moment.changes
    }
    assert not moment.can_come_back


def test_statements_of_one_person_in_one_go_are_one_moment():
    ada = SuperuserFactory()
    mailbox = ready_mailbox(SystemUserFactory())
    ConfigurationChange.objects.all().delete()
    for number in (1, 2):
        Mailbox.objects.filter(pk=mailbox.pk).update(
            messages_per_minute=number, modified_by=ada, modified_on=timezone.now()
        )

    (moment,) = history.moments_of(mailbox)

    assert [(c.name, c.was, c.became) for c in moment.changes] == [("messages_per_minute", None, 2)]


def test_choices_of_users_are_noted():
    ada = SystemUserFactory()
    ada.settings.incoming_email_filtering_method = FilteringMethod.ALL
    ada.settings.save()

    assert changed(ada) == {
        ("incoming_email_filtering_method", FilteringMethod.RESPONSES, FilteringMethod.ALL)
    }


def test_going_back_takes_the_triggers_away_and_forth_brings_them():
    watched.before_migration("default", plan=[(None, True)])
    assert watched.OURS.missing("default")

    watched.after_migration("default", plan=[])

    assert watched.OURS.missing("default") == set()
