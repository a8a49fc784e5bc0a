"""A site's own code on receipt, in whole cycles: what it says is stored, what it fails is one message, what
it has no time for runs later."""

from datetime import timedelta
from threading import Event, current_thread

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ

from activities.models import Contact, Email
from mailboxes.choices import FilteringMethod, Reach
from mailboxes.models import SystemUser, TraceLog
from serversync import jobs
from serversync.choices import ItemState
from serversync.explain import explain
from serversync.models import SyncItem
from tests.factories.clients import signed_in
from tests.factories.mailboxes import SuperuserFactory, group_of
from tests.integration.serversync.cycles import (
    Account,
    message,
    organization,
    profile,
    user_mailbox,
)
from tracking import hooks, telling
from tracking.choices import HookState
from tracking.models import HookRun
from tracking.receipts import Receipt, Record, Refuse, Result

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

told: list[Receipt] = []
answers: dict[str, Result | Exception] = {}
go_on = Event()


def listens(receipt: Receipt) -> Result | None:
    """Answers by message id."""
    told.append(receipt)
    answer = answers.get(receipt.message_id)
    if isinstance(answer, Exception):
        raise answer
    return answer


def overruns(receipt: Receipt) -> Result | None:
    """On receipt only."""
    if receipt.email_id is None:
        go_on.wait(10)
        return None
    return listens(receipt)


def path(hook) -> str:
    return f"{__name__}.{hook.__name__}"


@pytest.fixture(autouse=True)
def fresh():
    told.clear()
    answers.clear()
    go_on.clear()
    yield
    go_on.set()
    for thread in hooks.strays._threads:
        thread.join(10)


@pytest.fixture
def hook(settings):
    settings.RECEIPT_HOOKS = [path(listens)]


@pytest.fixture
def late(settings):
    settings.RECEIPT_HOOKS = [path(overruns)]
    settings.RECEIPT_HOOK_SECONDS = 0.01


@pytest.fixture
def ada(db) -> Account:
    profile()
    return Account(user_mailbox())


@pytest.fixture
def cleo(ada) -> Contact:
    return Contact.objects.create(
        first_name="Cleo",
        last_name="Example",
        email_address1="cleo@customer.example",
        owning_user=ada.mailbox.regarding_user,
    )


def states(account: Account) -> dict[str, str]:
    return {key: item.state for key, item in account.items().items()}


@pytest.mark.rule("R3.52a")
def test_it_hears_of_accepted_messages_with_their_facts(ada, cleo, hook) -> None:
    raw = message(message_id="one@customer.example", subject="Hello", body="Good day\n")
    ada.box.deliver(raw)
    ada.box.deliver(message(message_id="two@customer.example", to="nobody@else.example"))
    settings = ada.mailbox.regarding_user.settings
    settings.incoming_email_filtering_method = FilteringMethod.LEADS_CONTACTS_ACCOUNTS
    settings.save()

    ada.receive()

    (receipt,) = told
    assert states(ada) == {"1.1": "tracked", "1.2": "rejected"}
    assert (receipt.mailbox, receipt.mailbox_address) == ("Ada", "ada@example.com")
    assert (receipt.subject, receipt.text.strip(), receipt.raw) == ("Hello", "Good day", raw)
    assert receipt.sender.address == "cleo@customer.example"
    assert [person.address for person in receipt.to] == ["ada@example.com"]
    assert receipt.sender_record == Record("activities.contact", str(cleo.pk))
    assert receipt.accepted_by == Record("mailboxes.systemuser", str(ada.mailbox.regarding_user_id))
    assert receipt.key == Email.objects.get().message_id_dup_check
    assert receipt.received_at == ada.box.messages()[0].received_at
    assert (receipt.email_id, receipt.regarding, receipt.outgoing) == (None, None, False)


@pytest.mark.rule("R3.52a")
def test_it_files_the_email_and_the_decision_says_so(ada, cleo, hook) -> None:
    answers["one@customer.example"] = Result(Record("activities.contact", str(cleo.pk)))
    ada.box.deliver(message(message_id="one@customer.example"))

    ada.receive()

    email = Email.objects.get()
    assert email.activity.regarding_id == str(cleo.pk)
    sentences = [(one.text, one.rule) for one in telling.sentences(email.decision)]
    words = f"Regarding: contact Cleo Example, as the site's own code says ({path(listens)})."
    assert (words, "R3.52a") in sentences


@pytest.mark.rule("R3.52a")
def test_what_is_filed_already_stays_where_it_is(ada, cleo, hook) -> None:
    other = Contact.objects.create(last_name="Other", owning_user=cleo.owning_user)
    answers["one@customer.example"] = Result(Record("activities.contact", str(cleo.pk)))
    answers["two@customer.example"] = Result(Record("activities.contact", str(other.pk)))
    ada.box.deliver(message(message_id="one@customer.example"))
    ada.receive()
    answer = message(message_id="two@customer.example", In_Reply_To="<one@customer.example>")
    ada.box.deliver(answer)
    ada.receive()

    assert {email.activity.regarding_id for email in Email.objects.all()} == {str(cleo.pk)}


@pytest.mark.rule("R3.52a", "R10.21", "R3.67")
@pytest.mark.parametrize("error", [Refuse("no order number"), ValueError("a bug")])
def test_failing_costs_that_one_message_which_is_kept_and_can_be_retried(ada, hook, error) -> None:
    answers["1@customer.example"] = error
    for number in range(3):
        ada.box.deliver(message(message_id=f"{number}@customer.example"))

    ada.receive()
    for _attempt in range(4):
        ada.later(minutes=16)
        ada.receive()

    assert states(ada) == {"1.1": "tracked", "1.2": "quarantined", "1.3": "tracked"}
    item = ada.items()["1.2"]
    assert (item.reason, item.attempts) == ("HookFailed", 5)
    assert item.last_error.startswith(path(listens))
    assert str(error) in item.last_error
    assert item.raw is not None
    assert [receipt.message_id[0] for receipt in told] == ["0", "1", "2", "1", "1", "1", "1"]

    answers.clear()
    SyncItem.objects.filter(pk=item.pk).update(state=ItemState.RETRYING, next_attempt_at=ada.now)
    ada.receive()
    assert ada.items()["1.2"].state == ItemState.TRACKED


def test_an_answer_rests_on_nothing_that_failed(ada, hook) -> None:
    """The page was decided with it, and is decided again without."""
    answers["one@customer.example"] = Refuse("not this one")
    ada.box.deliver(message(message_id="one@customer.example"))
    ada.box.deliver(
        message(message_id="two@customer.example", In_Reply_To="<one@customer.example>")
    )
    ada.box.deliver(message(message_id="two@customer.example"))

    result = ada.receive()

    assert result.by_state == {"retrying": 1, "tracked": 1, "duplicate": 1}
    assert Email.objects.get().correlated_activity is None
    assert len(told) == 2  # nobody hears twice of a message in a cycle


def test_a_record_that_is_not_there_fails_the_message(ada, hook) -> None:
    answers["one@customer.example"] = Result(Record("activities.contact", "nonsense"))
    ada.box.deliver(message(message_id="one@customer.example"))

    ada.receive()

    assert ada.items()["1.1"].reason == "HookFailed"
    assert "there is no activities.contact nonsense" in ada.items()["1.1"].last_error


def test_without_hooks_there_is_not_one_statement_more(ada, settings) -> None:
    ada.box.deliver(message(message_id="first@customer.example"))
    ada.receive()
    counts = []
    for number, configured in enumerate([[], [path(listens)]]):
        settings.RECEIPT_HOOKS = configured
        ada.box.deliver(message(message_id=f"{number}@customer.example"))
        with CaptureQueriesContext(connection) as asked:
            ada.receive()
        counts.append(len(asked))

    assert counts[0] == counts[1]  # and asking a hook that says nothing costs none either
    assert not HookRun.objects.exists()
    assert jobs.run_hooks() == "0 hooks run, 0 failed"


def test_explaining_a_message_tells_no_hook(ada, hook) -> None:
    explain(message(message_id="one@customer.example"), ada.mailbox, ada.now)

    assert told == []


# -- later


@pytest.mark.rule("R9.11")
def test_what_overruns_is_stored_at_once_and_run_later(ada, cleo, late) -> None:
    answers["0@customer.example"] = Result(Record("activities.contact", str(cleo.pk)))
    for number in range(3):
        ada.box.deliver(message(message_id=f"{number}@customer.example"))

    ada.receive()

    assert set(states(ada).values()) == {"tracked"}
    assert hooks.strays.count == 1  # only the first was waited for
    assert HookRun.objects.filter(state=HookState.PENDING).count() == 3
    assert OrmQ.objects.filter(payload__isnull=False).exists()
    assert told == []
    go_on.set()

    assert str(hooks.run_late(lambda: ada.now)) == "3 hooks run, 0 failed"

    assert {receipt.email_id for receipt in told} == set(Email.objects.values_list("pk", flat=True))
    assert told[0].raw in {stored.mime for stored in ada.box.messages()}
    filed = Email.objects.get(message_id="0@customer.example").activity
    assert filed.regarding_id == str(cleo.pk)
    run = HookRun.objects.get(email__message_id="0@customer.example")
    assert (run.state, run.filed, run.attempts) == (HookState.DONE, True, 1)
    assert str(hooks.run_late(lambda: ada.now)) == "0 hooks run, 0 failed"


@pytest.mark.rule("R9.11")
def test_a_late_run_that_fails_is_tried_again_and_given_up(ada, late) -> None:
    organization(promotion_attempts=2)
    answers["one@customer.example"] = ValueError("no\0 answer")
    ada.box.deliver(message(message_id="one@customer.example"))
    ada.receive()

    assert str(hooks.run_late(lambda: ada.now)) == "0 hooks run, 1 failed"
    run = HookRun.objects.get()
    assert (run.state, run.attempts) == (HookState.PENDING, 1)
    assert run.next_attempt_at == ada.now + timedelta(minutes=15)
    assert run.last_error.endswith("ValueError: no answer")
    assert str(hooks.run_late(lambda: ada.now)) == "0 hooks run, 0 failed"
    ada.later(minutes=16)
    hooks.run_late(lambda: ada.now)

    run.refresh_from_db()
    assert (run.state, run.next_attempt_at) == (HookState.FAILED, None)
    assert states(ada) == {"1.1": "tracked"}
    alert = TraceLog.objects.get(code="HookFailed")
    assert (alert.regarding_mailbox, alert.error_details) == (ada.mailbox, run.hook)
    page = signed_in(SuperuserFactory()).get(
        reverse("admin:mailboxes_tracelog_change", args=[alert.pk])
    )
    assert reverse("admin:tracking_hookrun_changelist") in page.content.decode()


def test_the_command_runs_what_is_due_and_says_what_failed(ada, late, capsys) -> None:
    ada.box.deliver(message(message_id="one@customer.example"))
    ada.receive()
    call_command("run_hooks")
    assert capsys.readouterr().out == "1 hooks run, 0 failed\n"

    answers["one@customer.example"] = ValueError("no answer")
    HookRun.objects.update(state=HookState.PENDING, next_attempt_at=ada.now)
    with pytest.raises(CommandError, match="Some failed"):
        call_command("run_hooks")


def test_a_late_refusal_or_a_hook_that_was_removed_is_final(ada, late, settings) -> None:
    answers["one@customer.example"] = Refuse("too late")
    ada.box.deliver(message(message_id="one@customer.example"))
    ada.box.deliver(message(message_id="two@customer.example"))
    ada.receive()
    HookRun.objects.filter(email__message_id="two@customer.example").update(hook="gone.away")

    hooks.run_late(lambda: ada.now)

    errors = dict(HookRun.objects.values_list("email__message_id", "last_error"))
    assert errors["one@customer.example"].endswith("too late")
    assert "no longer in RECEIPT_HOOKS" in errors["two@customer.example"]
    assert set(HookRun.objects.values_list("state", flat=True)) == {HookState.FAILED}


def test_a_late_run_that_kills_its_worker_comes_to_an_end(ada, late, monkeypatch) -> None:
    organization(promotion_attempts=2)
    ada.box.deliver(message(message_id="one@customer.example"))
    ada.receive()

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(hooks, "call", killed)
    for _attempt in range(2):
        with pytest.raises(KeyboardInterrupt):
            hooks.run_late(lambda: ada.now)
        assert str(hooks.run_late(lambda: ada.now)) == "0 hooks run, 0 failed"  # it is claimed
        ada.later(minutes=11)

    hooks.run_late(lambda: ada.now)

    run = HookRun.objects.get()
    assert (run.state, run.attempts) == (HookState.FAILED, 2)
    assert "killed" in run.last_error


def test_a_late_run_reads_the_columns_when_the_original_is_gone(ada, cleo, late) -> None:
    ada.box.deliver(message(message_id="one@customer.example", subject="Hello", body="Text\n"))
    ada.receive()
    Email.objects.update(mime=None)

    hooks.run_late(lambda: ada.now)

    (receipt,) = told
    assert (receipt.subject, receipt.text.strip(), receipt.raw) == ("Hello", "Text", b"")
    assert receipt.sender_record == Record("activities.contact", str(cleo.pk))


def test_old_runs_are_forgotten(ada, late) -> None:
    ada.box.deliver(message(message_id="one@customer.example"))
    ada.receive()
    hooks.run_late(lambda: ada.now)

    assert hooks.forget(ada.now + timedelta(days=29)) == 0
    assert hooks.forget(ada.now + timedelta(days=31)) == 1


def test_late_runs_are_listed_and_run_again_by_hand(ada, late) -> None:
    ada.box.deliver(message(message_id="one@customer.example", subject="Hello"))
    ada.receive()
    HookRun.objects.update(state=HookState.FAILED, attempts=5, last_error="no answer")
    run = HookRun.objects.get()
    admin = signed_in(SuperuserFactory())
    listed = reverse("admin:tracking_hookrun_changelist")

    text = admin.get(listed).content.decode()
    assert "no answer" in text
    assert "Hello" in text
    page = admin.post(reverse("admin:tracking_hookrun_do", args=[run.pk, "again"]), follow=True)
    assert "1 run" in page.content.decode()
    run.refresh_from_db()
    assert (run.state, run.attempts) == (HookState.PENDING, 0)

    stranger = SystemUser.objects.create_user("stranger")
    group_of(stranger, "view_hookrun", "change_hookrun", "view_email", reach=Reach.OWN)
    assert "no answer" not in signed_in(stranger).get(listed).content.decode()


def test_connections_of_the_thread_are_closed(ada, settings) -> None:
    """Also those that a hook opened by asking the database."""
    settings.RECEIPT_HOOKS = [path(asks)]
    ada.box.deliver(message(message_id="one@customer.example"))

    ada.receive()

    (opened,) = connections_of_hooks
    assert opened.connection is None


connections_of_hooks: list = []


def asks(receipt: Receipt) -> None:
    from django.db import connections

    assert current_thread().name.startswith("hook ")
    mine = connections["default"]
    mine.ensure_connection()
    connections_of_hooks.append(mine)
    assert timezone.now()
