"""The bin: a record goes with all that hangs on it, and comes back as it was."""

from datetime import UTC, datetime, timedelta

import pytest
from django.apps import apps
from django.utils import timezone

from activities import blobs, recyclebin
from activities.models import (
    ActivityMimeAttachment,
    ActivityPointer,
    DeletedRecord,
    Email,
    StoredBytes,
)
from mailboxes.choices import FilteringMethod
from mailboxes.models import Mailbox
from serversync.models import SyncItem
from tests.integration.serversync.cycles import Account, message, user_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

NOW = datetime(2026, 3, 3, tzinfo=UTC)


@pytest.fixture
def pair() -> list[Email]:
    """A message and its answer, with a file."""
    account = Account(user_mailbox("ada", FilteringMethod.ALL))
    account.box.deliver(message(message_id="one@x.example", subject="One", body="x" * 300_000))
    account.box.deliver(
        message(message_id="re@x.example", subject="Re: One", In_Reply_To="<one@x.example>")
    )
    account.receive()
    found = {email.message_id.partition("@")[0]: email for email in Email.objects.all()}
    staged = blobs.Staged()
    key = staged.add(b"a file")
    ActivityMimeAttachment.objects.create(
        activity_id=found["one"].pk, attachment_id=blobs.save(staged)[key], file_name="a"
    )
    assert found["re"].correlated_activity_id == found["one"].pk
    return [found["one"], found["re"]]


def everything() -> dict[str, list[dict]]:
    return {
        model.__name__: sorted(model._base_manager.values(), key=str)
        for model in apps.get_models(include_auto_created=True)
        if not model.__name__.startswith("DeletedRecord")
    }


def binned(*emails: Email) -> dict[object, DeletedRecord]:
    return recyclebin.delete(ActivityPointer, [email.pk for email in emails], now=NOW)


def test_what_hangs_on_it_goes_and_comes_back(pair: list[Email]) -> None:
    before = everything()
    entries = binned(pair[0])
    assert list(Email.objects.values_list("message_id", flat=True)) == ["re@x.example"]
    assert Email.objects.get().correlated_activity_id is None
    assert not ActivityMimeAttachment.objects.exists()
    assert SyncItem.objects.filter(email=None).count() == 1
    recyclebin.restore(entries[pair[0].pk])
    assert everything() == before
    assert not DeletedRecord.objects.exists()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_that_name_each_other_come_back_in_any_order(pair: list[Email], order) -> None:
    before = everything()
    entries = binned(*pair)
    assert not Email.objects.exists()
    for number in order:
        recyclebin.restore(entries[pair[number].pk])
    assert everything() == before


def test_bytes_stay_as_long_as_it_can_come_back(pair: list[Email]) -> None:
    binned(*pair)
    count = StoredBytes.objects.count()
    later = timezone.now() + timedelta(days=2)
    for _time in range(2):
        blobs.sweep(later)
        later += timedelta(days=2)
    assert StoredBytes.objects.count() == count
    assert recyclebin.empty(NOW + timedelta(days=29)) == 0
    assert recyclebin.empty(NOW + timedelta(days=31)) == 2
    for _time in range(2):
        blobs.sweep(later)
        later += timedelta(days=2)
    assert not StoredBytes.objects.exists()


def test_what_has_taken_its_place_stays(pair: list[Email]) -> None:
    entries = binned(pair[0])
    other = Email.objects.get()
    Email.objects.filter(pk=other.pk).update(message_id_dup_check=pair[0].message_id_dup_check)
    before = everything()
    with pytest.raises(recyclebin.NotRestored, match="taken its place"):
        recyclebin.restore(entries[pair[0].pk])
    assert everything() == before and DeletedRecord.objects.count() == 1


def test_a_column_that_named_what_is_gone_is_empty(pair: list[Email]) -> None:
    entries = binned(*pair)
    SyncItem.objects.all().delete()
    Mailbox.objects.all().delete()
    recyclebin.restore(entries[pair[0].pk])
    back = Email.objects.get()
    assert back.receiving_mailbox_id is None
    assert back.message_id == "one@x.example"
