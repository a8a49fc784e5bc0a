"""Which way fields go: looked at by everybody, chosen by administrators (R6.14, R6.16, R6.17)."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.urls import reverse

from mailboxes.models import Organization
from serversync.act import directions
from serversync.act.choices import ChangeType, LinkState
from serversync.act.fields import MAPPINGS, mapping_of
from serversync.act.fitting import RemapCounts
from serversync.act.types import Direction, Table
from serversync.models import ExchangeSyncIdMapping, SyncAttributeMapping
from tests.factories.activities import ContactFactory
from tests.factories.mailboxes import SuperuserFactory, SystemUserFactory, ready_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def admin():
    return SuperuserFactory.create()


def linked(table=Table.CONTACT, record=None, **facts):
    user = SystemUserFactory()
    return ExchangeSyncIdMapping.objects.create(
        mailbox=ready_mailbox(user),
        owner=user,
        object_type_code=table,
        object_id=record.pk if record else uuid4(),
        exchange_entry_id=str(uuid4()),
        state=LinkState.LINKED,
        item_facts=facts,
    )


def is_noted(link):
    link.refresh_from_db()
    return link.to_crm_change_type == ChangeType.AGAIN


# -- choosing --------------------------------------------------------------------------------------


def test_only_what_differs_from_the_default_is_a_row(admin):
    due = mapping_of("task.due")
    assert directions.choose({due: Direction.NONE}, actor=admin, now=NOW) == 1
    assert directions.overrides() == {"task.due": Direction.NONE}
    row = SyncAttributeMapping.objects.get()
    assert (row.mapping, row.created_by, row.modified_by) == (due, admin, admin)
    assert directions.choose({due: Direction.NONE}, actor=admin, now=NOW) == 0
    assert directions.choose({due: Direction.BOTH}, actor=admin, now=NOW) == 1
    assert not SyncAttributeMapping.objects.exists()


def test_what_is_linked_is_compared_again(admin):
    task, contact = linked(Table.TASK), linked()
    directions.choose({mapping_of("task.due"): Direction.NONE}, actor=admin, now=NOW)
    assert is_noted(task)
    assert not is_noted(contact)


@pytest.mark.rule("R6.14")
def test_what_is_fixed_stays(admin):
    with pytest.raises(ValidationError):
        directions.choose({mapping_of("task.status"): Direction.NONE}, actor=admin, now=NOW)
    row = SyncAttributeMapping(
        entity_type_code=Table.TASK, mapping_name="status", sync_direction=Direction.NONE
    )
    with pytest.raises(ValidationError):
        row.full_clean()


def test_users_do_not_choose():
    with pytest.raises(PermissionDenied):
        directions.choose(
            {mapping_of("task.due"): Direction.NONE}, actor=SystemUserFactory(), now=NOW
        )


# -- the page --------------------------------------------------------------------------------------


@pytest.mark.rule("R6.14")
def test_users_may_look_only(client):
    client.force_login(SystemUserFactory())
    page = client.get(reverse("admin:directions"))
    shown = page.content.decode()
    assert page.status_code == 200
    assert all(f'id="{mapping.key}"' in shown for mapping in MAPPINGS[Table.APPOINTMENT])
    assert "<select" not in shown
    posted = {"task.due": str(Direction.NONE.value)}
    assert client.post(reverse("admin:directions"), posted).status_code == 403
    assert directions.overrides() == {}


@pytest.mark.rule("R6.17")
def test_administrators_choose_where_it_is_settable(client, admin):
    client.force_login(admin)
    shown = client.get(reverse("admin:directions")).content.decode()
    assert '<select name="task.due"' in shown
    assert '<select name="task.status"' not in shown
    posted = {"task.due": "0", "task.body": "1", "contact.body": "3"}
    client.post(reverse("admin:directions"), posted)
    assert directions.overrides() == {
        "task.due": Direction.NONE,
        "task.body": Direction.TO_SERVER,
    }


@pytest.mark.parametrize("posted", [{"task.status": "0"}, {"task.due": "9"}, {"task.due": "x"}])
def test_what_the_form_never_offers_is_refused(client, admin, posted):
    client.force_login(admin)
    assert client.post(reverse("admin:directions"), posted).status_code == 403
    assert directions.overrides() == {}


# -- addresses -------------------------------------------------------------------------------------


def three_contacts():
    """One whose mailing address there is the home address, in two mailboxes; one with a second address."""
    home = ContactFactory(address1_city="Kiel")
    linked(record=home)
    linked(record=home, mailing="home")
    linked(record=ContactFactory(address1_city="Berlin", address2_city="Kiel"), mailing="business")
    linked(record=ContactFactory())
    ContactFactory(address2_city="nobody links it")


@pytest.mark.rule("R6.16")
def test_numbers_come_before_switching(client, admin):
    three_contacts()
    assert directions.counts_of_switching(True) == RemapCounts(3, moved=1, sent=1, changed=2)
    assert directions.counts_of_switching(False) == RemapCounts(3, moved=1, changed=1)
    client.force_login(admin)
    shown = client.get(reverse("admin:directions_addresses")).content.decode()
    assert "<td><b>2</b></td>" in shown
    assert not directions.all_addresses()


@pytest.mark.rule("R6.16")
def test_switching_compares_linked_contacts_again(client, admin):
    link, task = linked(), linked(Table.TASK)
    client.force_login(admin)
    url = reverse("admin:directions_addresses")
    client.post(url, {"to_all": "True"})
    assert directions.all_addresses()
    assert is_noted(link)
    assert not is_noted(task)
    client.post(url, {"to_all": "True"})  # an old page
    assert directions.all_addresses()
    client.post(url, {"to_all": "False"})
    assert not directions.all_addresses()


def test_users_do_not_switch(client):
    client.force_login(SystemUserFactory())
    url = reverse("admin:directions_addresses")
    assert client.get(url).status_code == 403
    assert client.post(url, {"to_all": "True"}).status_code == 403
    assert Organization.objects.current().is_contact_mailing_address_sync_enabled


@pytest.mark.rule("R6.16")
def test_the_organization_s_page_leads_to_the_numbers(client, admin):
    client.force_login(admin)
    organization = Organization.objects.current()
    url = reverse("admin:mailboxes_organization_change", args=[organization.pk])
    shown = client.get(url).content.decode()
    assert reverse("admin:directions_addresses") in shown
    assert 'name="is_contact_mailing_address_sync_enabled"' not in shown
