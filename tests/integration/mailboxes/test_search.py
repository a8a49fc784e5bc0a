"""The address index: every address of every record, kept in the transaction that writes it."""

from io import StringIO

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import transaction

from activities.models import Contact
from mailboxes import search
from mailboxes.models import EmailSearch, Queue, SystemUser
from mailboxes.search import reindex
from tests.factories.mailboxes import QueueFactory, SystemUserFactory

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


def indexed(record):
    rows = EmailSearch.objects.filter(
        parent_type=ContentType.objects.get_for_model(record), parent_id=str(record.pk)
    )
    return dict(rows.values_list("email_address", "email_column_number"))


def contact(**columns):
    return Contact.objects.create(
        **{"last_name": "Example", "owning_user": SystemUserFactory()} | columns
    )


@pytest.mark.rule("R3.30")
@pytest.mark.parametrize("model", search.enabled_models(), ids=lambda model: model._meta.label)
def test_every_address_column_of_every_enabled_table_takes_part(model):
    columns = search.email_columns(model)
    owner = SystemUserFactory()
    record = model(**{name: f"{name}@example.com" for name in columns})
    for name, value in {"owning_user": owner, "domain_name": "new", "subject": "Lead"}.items():
        if any(field.name == name for field in model._meta.fields):
            setattr(record, name, value)
    record.save()

    assert columns
    assert indexed(record) == {
        f"{name}@example.com": number for number, name in enumerate(columns, start=1)
    }


@pytest.mark.rule("R3.31")
def test_the_index_holds_what_is_compared():
    assert indexed(contact(email_address1="Ben@Example.COM")) == {"ben@example.com": 1}


@pytest.mark.rule("R3.30")
def test_one_row_per_record_and_address():
    record = contact(email_address1="ben@example.com", email_address2="BEN@example.com")
    other = contact(email_address1="ben@example.com")

    assert indexed(record) == {"ben@example.com": 1}
    assert indexed(other) == {"ben@example.com": 1}


def test_changed_and_removed_addresses_leave_the_index():
    record = contact(email_address1="ben@example.com", email_address2="old@example.com")

    record.email_address1, record.email_address2 = "new@example.com", ""
    record.save()

    assert indexed(record) == {"new@example.com": 1}


def test_deleted_records_leave_the_index():
    queue = QueueFactory(email_address="support@example.com")

    Queue.objects.filter(pk=queue.pk).delete()

    assert not EmailSearch.objects.filter(email_address="support@example.com").exists()


@pytest.mark.rule("R3.30")
@pytest.mark.django_db(transaction=True)
def test_the_index_is_written_in_the_transaction_of_the_record(monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError("no index today")

    owner = SystemUserFactory()
    monkeypatch.setattr(search, "_write", fails)

    with pytest.raises(RuntimeError):
        contact(email_address1="ben@example.com", owning_user=owner)
    assert not Contact.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_record_leaves_no_index_row():
    owner = SystemUserFactory()
    with pytest.raises(RuntimeError), transaction.atomic():
        contact(email_address1="ben@example.com", owning_user=owner)
        raise RuntimeError

    assert not EmailSearch.objects.filter(email_address="ben@example.com").exists()


@pytest.mark.rule("R3.30")
def test_saving_the_address_again_repairs_a_missing_row():
    record = contact(email_address1="ben@example.com")
    EmailSearch.objects.all().delete()

    record.save()

    assert indexed(record) == {"ben@example.com": 1}


@pytest.mark.rule("R3.30")
def test_the_repair_finds_what_bypassed_the_signals():
    record, other = contact(email_address1="ben@example.com"), contact()
    gone = contact(email_address1="gone@example.com")
    Contact.objects.filter(pk=record.pk).update(email_address1="new@example.com")
    Contact.objects.bulk_create(
        [Contact(last_name="Bulk", email_address1="b@example.com", owning_user=other.owning_user)]
    )
    Contact.objects.filter(pk=gone.pk)._raw_delete("default")

    out = StringIO()
    call_command("reindex_addresses", "activities.Contact", stdout=out)

    assert "activities.Contact: 4 row(s)" in out.getvalue()  # one stale, one new twice, one orphan
    addresses = set(EmailSearch.objects.values_list("email_address", flat=True))
    assert {"new@example.com", "b@example.com"} < addresses
    assert not {"ben@example.com", "gone@example.com"} & addresses
    assert reindex(Contact) == 0


def test_the_repair_refuses_models_that_are_not_enabled():
    with pytest.raises(CommandError, match="Not email enabled"):
        call_command("reindex_addresses", "auth.Group")


def test_a_save_costs_one_look_and_one_write_and_none_without_an_address(statements):
    record = contact(email_address1="ben@example.com")
    ContentType.objects.get_for_model(Contact)

    with statements() as unchanged:
        record.save()
    record.email_address1 = "new@example.com"
    with statements() as changed:
        record.save()
    with statements() as elsewhere:
        record.save(update_fields=["job_title"])

    assert len(unchanged) == 2
    assert len(changed) == 4
    assert len(elsewhere) == 1


def test_reindexing_many_costs_no_more_than_a_few(statements):
    users = [SystemUserFactory() for _ in range(20)]
    EmailSearch.objects.all().delete()
    ContentType.objects.get_for_model(SystemUser)

    with statements() as made:
        assert reindex(SystemUser, [user.pk for user in users]) == 20

    assert len(made) <= 3


@pytest.mark.rule("R3.31")
def test_what_is_longer_than_the_index_is_left_out_and_never_cut():
    record = contact(email_address1="ada@example.com")
    record.email_address1 = "x" * 400 + "@example.com"  # past the forms; nothing is saved
    assert search.rows_of(record) == {}
