"""What is noted of mail and the alert that tells of it are one commit: a kill can't part them."""

from collections.abc import Callable

import pytest

from activities.choices import EmailStatus
from activities.models import Email
from mailboxes.models import TraceLog
from mailboxes.protocols.errors import ConnectionLost
from serversync import alarms, outbox
from serversync.choices import SubmissionState
from serversync.models import Submission
from tests.integration.serversync.connected import write
from tests.integration.serversync.cycles import Account, organization, user_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


class Killed(BaseException):
    """The worker is gone."""


@pytest.fixture
def ada() -> Account:
    organization(allow_unresolved_parties_on_email_send=True)
    return Account(user_mailbox("ada"))


@pytest.fixture
def dies_in(monkeypatch: pytest.MonkeyPatch, ada: Account) -> Callable[[str], None]:
    def arrange(name: str) -> None:
        def killed(*_args: object, **_named: object) -> None:
            raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(alarms, name, killed)
            with pytest.raises(Killed):
                ada.send()

    return arrange


def open_alerts() -> list[str]:
    return list(TraceLog.objects.filter(closed_on=None).values_list("code", flat=True))


@pytest.mark.rule("R5.17")
def test_what_a_lost_worker_handed_over_is_unknown_and_told_of_at_once(ada, dies_in) -> None:
    email = write(ada.mailbox, "cleo@customer.example", now=ada.now)
    ada.outgoing.fail("after", ConnectionLost("gone"))
    ada.send()
    Submission.objects.update(state=SubmissionState.HANDED_OVER)
    TraceLog.objects.all().delete()

    dies_in("delivery_unknown")
    assert Submission.objects.get().state == SubmissionState.HANDED_OVER

    ada.send()
    assert Submission.objects.get().state == SubmissionState.UNKNOWN
    assert TraceLog.objects.get(code="DeliveryUnknown").object_key == f"email:{email.pk}"


@pytest.mark.rule("R5.12")
def test_what_failed_is_told_of_at_once(ada, dies_in) -> None:
    write(ada.mailbox, "cleo@customer.example", now=ada.now)
    ada.outgoing.refuse("cleo@customer.example")

    dies_in("email_failed")
    assert Email.objects.get().status_code == EmailStatus.SENDING

    ada.send()
    assert Email.objects.get().status_code == EmailStatus.FAILED
    assert open_alerts() == ["MessageRefused"]


@pytest.mark.rule("R5.17")
def test_the_alert_ends_with_the_doubt(ada, dies_in) -> None:
    write(ada.mailbox, "cleo@customer.example", now=ada.now)
    ada.outgoing.fail("after", ConnectionLost("gone"))
    ada.send()
    user = ada.mailbox.regarding_user
    outbox.decide_unknown(Submission.objects.get(), left=True, actor=user, now=ada.now)

    dies_in("settled")
    assert Email.objects.get().status_code == EmailStatus.SENDING

    ada.send()
    assert Email.objects.get().status_code == EmailStatus.SENT
    assert open_alerts() == []


def doubtful(ada: Account) -> Submission:
    write(ada.mailbox, "cleo@customer.example", now=ada.now)
    ada.outgoing.fail("after", ConnectionLost("gone"))
    ada.send()
    assert open_alerts() == ["DeliveryUnknown"]
    return Submission.objects.get()


@pytest.mark.rule("R5.17")
def test_the_doubt_ends_also_with_mail_that_fails_for_another_reason(ada) -> None:
    user = ada.mailbox.regarding_user
    outbox.decide_unknown(doubtful(ada), left=False, actor=user, now=ada.now)
    ada.outgoing.refuse("cleo@customer.example")
    for _cycle in range(2):
        ada.send()

    assert Email.objects.get().status_code == EmailStatus.FAILED
    assert open_alerts() == ["MessageRefused"]


@pytest.mark.rule("R5.17")
def test_a_worker_that_wakes_late_raises_no_doubt_about_what_is_known(ada, monkeypatch) -> None:
    """Meanwhile a successor took its attempt for unknown, and a person knew better."""
    write(ada.mailbox, "cleo@customer.example", now=ada.now)

    def overtaken(envelope, hand_over):
        hand_over()
        Submission.objects.update(state=SubmissionState.ACCEPTED)
        raise ConnectionLost("gone")

    monkeypatch.setattr(ada.outgoing, "send", overtaken)
    ada.send()

    assert Submission.objects.get().state == SubmissionState.ACCEPTED
    assert Email.objects.get().status_code == EmailStatus.SENT
    assert open_alerts() == []
