"""What is forgotten, and what is never forgotten."""

from datetime import timedelta
from threading import Event, Thread

import pytest
from django.contrib.sessions.models import Session
from django.db import connections, transaction

from activities.blobs import KEEP_UNREFERENCED, sweep
from activities.models import Email, StoredBytes
from mailboxes.alerts import clear_alerts, raise_alert
from mailboxes.choices import FilteringMethod
from mailboxes.models import TraceLog
from serversync import byhand
from serversync.choices import ItemState
from serversync.models import ParkedBatch, SyncItem, SyncRevision
from serversync.retention import blank_items, drop_revisions, forget
from tests.factories.act import act_mailbox, batch, pair, revision
from tests.integration.serversync.cycles import NOW, Account, message, organization, user_mailbox
from tracking import decide
from tracking.byhand import is_waiting
from tracking.telling import sentences

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def ada() -> Account:
    return Account(user_mailbox("ada", FilteringMethod.RESPONSES))


@pytest.mark.rule("R3.73")
def test_what_is_personal_is_blanked_and_the_message_is_never_decided_anew(ada: Account) -> None:
    raw = message(message_id="one@x.example", subject="Private", sender="Cleo <cleo@x.example>")
    ada.box.deliver(raw)
    ada.receive()
    before = SyncItem.objects.get()

    assert forget(NOW + timedelta(days=2)).items == 0
    assert forget(NOW + timedelta(days=4)).items == 1
    assert forget(NOW + timedelta(days=4)).items == 0

    row = SyncItem.objects.get()
    assert (row.subject, row.sender, row.message_id) == ("", "", "")
    assert "cleo" not in str(row.trace)
    assert (row.source_key, row.state, row.reason, row.sub_reason) == (
        before.source_key,
        ItemState.REJECTED,
        "NoCorrelationMatch",
        "filter_replies_only",
    )
    assert "NoCorrelationMatch" in sentences(row.trace)[0].text
    ada.box.reset_keys()
    ada.later(days=5)
    assert ada.receive().summary() == "nothing new"


def test_what_still_needs_somebody_is_not_blanked(
    ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada.box.deliver(message(subject="Private"))
    monkeypatch.setattr(decide, "correlate", lambda *_: 1 / 0)
    ada.receive()

    assert forget(NOW + timedelta(days=400)).items == 0
    assert SyncItem.objects.get().subject == "Private"


@pytest.mark.database("postgresql")
@pytest.mark.django_db(transaction=True)
def test_what_somebody_has_tracked_at_that_very_moment_keeps_the_request(ada: Account) -> None:
    ada.box.deliver(message(message_id="one@x.example", subject="Private"))
    ada.receive()
    later = NOW + timedelta(days=4)
    asked, looked = Event(), Event()

    def track() -> None:
        with transaction.atomic():
            user = ada.mailbox.regarding_user
            user.is_superuser = True
            byhand.track(SyncItem.objects.all(), actor=user, now=later)
            asked.set()
            looked.wait(10)
        connections.close_all()

    person = Thread(target=track)
    person.start()
    try:
        assert asked.wait(10)
        assert blank_items(later, organization()) == 0
    finally:
        looked.set()
        person.join()

    row = SyncItem.objects.get()
    assert (row.state, row.subject, row.blanked) == (ItemState.RETRYING, "Private", False)
    assert is_waiting(row.trace)


def test_originals_are_kept_for_ever_or_for_the_days_that_are_set() -> None:
    ada = Account(user_mailbox("ada", FilteringMethod.ALL))
    ada.box.deliver(message(message_id="one@x.example"))
    ada.receive()
    later = NOW + timedelta(days=365)
    assert forget(later).originals == 0

    organization(keep_mime_days=30)
    assert forget(later).originals == 1
    sweep(later)
    sweep(later + KEEP_UNREFERENCED)

    assert Email.objects.get().mime is None
    assert not StoredBytes.objects.exists()


def test_cleared_alerts_go_and_open_ones_stay(ada: Account) -> None:
    for code in ("InvalidCredentials", "SecureConnectionFailed"):
        raise_alert(ada.mailbox, code, now=NOW)
    clear_alerts(ada.mailbox, ["InvalidCredentials"], now=NOW)

    forget(NOW + timedelta(days=91))

    assert list(TraceLog.objects.values_list("code", flat=True)) == ["SecureConnectionFailed"]


@pytest.mark.rule("R6.47")
def test_revisions_and_decided_batches_go_after_30_days_and_what_waits_stays():
    mailbox = act_mailbox()
    old, young = (NOW - timedelta(days=days) for days in (31, 29))
    revision(pair(mailbox), made_on=old)
    kept = revision(pair(mailbox), made_on=young)
    batch(mailbox)
    ParkedBatch.objects.update(state="dropped", ended_on=old)
    waiting = batch(mailbox)
    ParkedBatch.objects.filter(pk=waiting.pk).update(created_on=old)
    assert drop_revisions(NOW) == 1
    assert list(SyncRevision.objects.all()) == [kept]
    assert list(ParkedBatch.objects.all()) == [waiting]


def test_sessions_that_are_over_are_forgotten() -> None:
    for key, over in (("over", -1), ("open", 1)):
        Session.objects.create(session_key=key, expire_date=NOW + timedelta(hours=over))

    forget(NOW)

    assert list(Session.objects.values_list("session_key", flat=True)) == ["open"]
