"""How much leaves at a time, and whose mail: limits that are set and learned, turns, and what they cost."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection, transaction
from django_q.models import OrmQ

from activities.choices import EmailStatus, Priority
from activities.models import Email
from mailboxes.choices import CredentialRetrieval, Operation, ServerType, WorkloadState
from mailboxes.models import EmailServerProfile, Mailbox, SystemUser, TraceLog
from mailboxes.protocols.errors import (
    ConnectionLost,
    ExchangeBusy,
    MessageDeferred,
    SendingTooFast,
    ServerError,
    SocketTimedOut,
    SubmissionQuotaExceeded,
)
from serversync import engine
from serversync.choices import Counted, SubmissionState, Window
from serversync.cycle import CycleResult
from serversync.leases import claim_one
from serversync.limits import allowed, foreseen, learn_from
from serversync.models import LearnedLimit, Submission, Workload
from serversync.outbox.waiting import held_up, tell_of_waiting
from serversync.send import send
from serversync.turns import next_of
from tests.fakes import FakeOutgoingServer
from tests.integration.serversync.cycles import NOW, Account, organization, user_mailbox
from tests.integration.serversync.waiting_mail import multiplied, queued
from tests.statements import commits, counting

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def ada() -> Account:
    organization(allow_unresolved_parties_on_email_send=True)
    return Account(user_mailbox("ada"))


@pytest.fixture
def ben(ada: Account) -> Account:
    """Another mailbox of the same profile."""
    return Account(user_mailbox("ben"))


def user_of(account: Account) -> SystemUser:
    return account.mailbox.regarding_user


def queue_of(account: Account, number: int, **more: Any) -> list[Email]:
    return queued(account.mailbox, user_of(account), number, NOW - timedelta(hours=2), **more)


def limited(account: Account, **columns: int) -> None:
    Mailbox.objects.filter(pk=account.mailbox.pk).update(**columns)


def profile_limited(**columns: int) -> None:
    EmailServerProfile.objects.update(**columns)


def sent(account: Account) -> int:
    return len(account.outgoing.sent)


def cycled(account: Account, **fails: ServerError) -> engine.Report:
    """One run as the engine makes it, and what it does to the workload."""
    for point, error in fails.items():
        account.outgoing.fail(point, error)
    claim = claim_one(account.mailbox.pk, Operation.OUTGOING, account.now, "test", force=True)

    def cycle(context: Any, token: Any, *, clock: Any) -> CycleResult:
        return send(context, token, clock=clock, connect=lambda *_, **__: account.outgoing)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(engine.CYCLES, Operation.OUTGOING, cycle)
        return engine.run_claim(claim, clock=lambda: account.now, jitter=lambda: 0.5)


def workload(account: Account) -> Workload:
    return Workload.objects.get(mailbox=account.mailbox, operation=Operation.OUTGOING)


# -- limits that are set


@pytest.mark.rule("R5.14")
def test_a_minute_sees_no_more_than_its_limit(ada: Account) -> None:
    limited(ada, messages_per_minute=20)
    queue_of(ada, 60)
    left = []
    for _slice in range(8):
        ada.send()
        left.append(sent(ada))
        ada.later(seconds=15)

    assert left == [5, 10, 15, 20, 25, 30, 35, 40]


@pytest.mark.rule("R5.14")
@pytest.mark.parametrize("column", ["messages_per_minute", "messages_per_day"])
def test_a_clock_that_was_wrong_holds_nothing_up_once_it_is_right(
    ada: Account, column: str
) -> None:
    limited(ada, **{column: 1})
    queue_of(ada, 2)
    ada.later(days=365)
    ada.send()
    assert sent(ada) == 1

    ada.now = NOW
    ada.send()
    assert sent(ada) == 2


@pytest.mark.rule("R5.14")
@pytest.mark.parametrize(
    ("of_profile", "own", "leave"), [(8, None, 2), (8, 40, 10), (None, 4, 1), (None, None, 30)]
)
def test_a_mailbox_has_the_limit_of_its_profile_or_its_own(
    ada: Account, of_profile: int | None, own: int | None, leave: int
) -> None:
    profile_limited(mailbox_messages_per_minute=of_profile)
    limited(ada, messages_per_minute=own)
    queue_of(ada, 30)

    ada.send()

    assert sent(ada) == leave


@pytest.mark.rule("R5.14")
def test_a_day_is_not_used_up_at_once(ada: Account) -> None:
    limited(ada, messages_per_day=20)
    queue_of(ada, 40)

    ada.send()
    assert sent(ada) == 10
    ada.send()
    assert sent(ada) == 10
    ada.later(hours=1)
    ada.send()
    assert sent(ada) == 12


@pytest.mark.rule("R5.14")
def test_recipients_are_counted_where_they_are_limited(ada: Account) -> None:
    limited(ada, recipients_per_day=20)
    queue_of(ada, 8, to=[f"{name}@x.example" for name in ("cleo", "dora", "emil")])

    result = ada.send()

    assert sent(ada) == 3
    assert result.waits_until == NOW + timedelta(hours=1)
    assert result.waits_because.counted == Counted.RECIPIENTS


@pytest.mark.rule("R5.14")
def test_only_recipients_who_were_put_off_count_again(ada: Account) -> None:
    ada.outgoing.defer("later@x.example")
    queue_of(ada, 1, to=["cleo@x.example", "dora@x.example", "later@x.example"])
    ada.send()
    ada.later(hours=1)

    with transaction.atomic():
        (email,) = next_of(ada.mailbox, ada.now, 50)

    assert (Submission.objects.get().recipient_count, email.addressed) == (2, 1)


@pytest.mark.rule("R5.14")
def test_a_message_to_more_people_than_the_limit_leaves_by_itself(ada: Account) -> None:
    limited(ada, recipients_per_day=2)
    queue_of(ada, 2, to=[f"{name}@x.example" for name in ("cleo", "dora", "emil")])

    ada.send()

    assert sent(ada) == 1


@pytest.mark.rule("R5.14")
def test_what_did_not_leave_does_not_count(ada: Account) -> None:
    limited(ada, messages_per_minute=8)
    ada.outgoing.refuse("nobody@x.example")
    queue_of(ada, 2, to=["nobody@x.example"])
    queue_of(ada, 4)

    ada.send()

    assert (ada.outgoing.calls["send"], sent(ada)) == (4, 2)
    assert set(
        Submission.objects.filter(counts_at__isnull=False).values_list("state", flat=True)
    ) == {SubmissionState.ACCEPTED}


@pytest.mark.rule("R5.14")
def test_what_another_worker_has_claimed_counts(ada: Account, ben: Account) -> None:
    """Claimed and not yet handed over: the room is taken all the same."""
    profile_limited(messages_per_minute=40)
    email, *_others = queue_of(ben, 9)
    Submission.objects.bulk_create(
        Submission(
            email=each,
            mailbox=ben.mailbox,
            email_server_profile=ben.mailbox.email_server_profile,
            claim_token=email.pk,
            claimed_at=NOW,
            claim_expires_at=NOW + timedelta(minutes=5),
            counts_at=NOW,
        )
        for each in [email, *_others]
    )
    Email.objects.update(status_code=EmailStatus.SENDING)
    queue_of(ada, 10)

    ada.send()

    assert sent(ada) == 1


@pytest.mark.rule("R5.14")
def test_waiting_mail_says_why_and_until_when(ada: Account) -> None:
    limited(ada, messages_per_day=2)
    queue_of(ada, 3)

    report = cycled(ada)

    row = workload(ada)
    assert report.ok
    assert (row.state, row.state_code) == (WorkloadState.READY, "SendingLimitReached")
    assert row.postponed_until == NOW + engine.LONGEST_WAIT
    (sentence,) = held_up(ada.mailbox, organization(), NOW)
    assert "leaves no faster than the limits" in sentence
    assert "09:15" in sentence
    assert tell_of_waiting(NOW + timedelta(minutes=1)).startswith("0 mailboxes")
    assert engine.sweep_outgoing(NOW + timedelta(minutes=1)) == 0
    assert engine.sweep_outgoing(NOW + timedelta(minutes=16)) == 0
    assert row.next_run_at == row.postponed_until
    ada.later(hours=1, minutes=1)
    assert cycled(ada).ok
    assert workload(ada).postponed_until == ada.now + engine.LONGEST_WAIT
    ada.later(hours=24)
    cycled(ada)
    assert (sent(ada), workload(ada).state_code) == (3, "")


@pytest.mark.rule("R5.14")
def test_a_pause_of_seconds_is_not_left_to_the_next_minute(ada: Account) -> None:
    limited(ada, messages_per_minute=20)
    queue_of(ada, 10)

    cycled(ada)

    assert workload(ada).next_run_at == NOW + timedelta(seconds=15)
    assert OrmQ.objects.filter(lock=NOW + timedelta(seconds=15)).count() == 1


# -- limits that are learned


@pytest.mark.rule("R5.14")
def test_a_server_that_asks_to_go_slower_is_obeyed_for_some_hours(ada: Account) -> None:
    queue_of(ada, 30)
    for _message in range(8):
        ada.outgoing.fail("before", None)
    ada.outgoing.fail("before", SendingTooFast("450 4.7.1 too many messages"))

    report = cycled(ada)

    assert (report.code, sent(ada)) == ("SendingTooFast", 8)
    learned = LearnedLimit.objects.get()
    assert (learned.window, learned.most, learned.mailbox) == (Window.MINUTE, 4, ada.mailbox)
    assert workload(ada).postponed_until >= NOW + timedelta(minutes=1)
    assert Email.objects.filter(status_code=EmailStatus.PENDING_SEND).count() == 22
    assert not Email.objects.filter(
        status_code=EmailStatus.PENDING_SEND, delivery_attempts__gt=0
    ).exists()

    ada.later(minutes=10)
    cycled(ada)
    assert sent(ada) == 9  # a quarter of four in each slice of the minute
    assert workload(ada).state_code == "SendingTooFast"
    ada.later(hours=12)
    cycled(ada)
    assert sent(ada) == 30


@pytest.mark.rule("R5.13", "R5.14")
def test_a_daily_limit_of_the_server_makes_mail_wait(ada: Account) -> None:
    queue_of(ada, 6)
    for _message in range(4):
        ada.outgoing.fail("before", None)
    ada.outgoing.fail("before", SubmissionQuotaExceeded("550 5.4.5 Daily limit"))

    assert cycled(ada).code == "ErrorSubmissionQuotaExceeded"
    alert = TraceLog.objects.filter(code="ErrorSubmissionQuotaExceeded", closed_on=None)
    assert workload(ada).postponed_until == NOW + timedelta(hours=1)
    assert sent(ada) == 4

    ada.later(hours=2)
    cycled(ada)
    assert sent(ada) == 4
    assert workload(ada).state_code == "ErrorSubmissionQuotaExceeded"
    ada.later(hours=23)
    cycled(ada)
    assert sent(ada) == 6
    assert not alert.exists()


@pytest.mark.rule("R5.14")
def test_one_account_for_all_mailboxes_learns_for_all(ada: Account, ben: Account) -> None:
    profile_limited(outgoing_credential_retrieval=CredentialRetrieval.PROFILE)
    profile_limited(incoming_credential_retrieval=CredentialRetrieval.PROFILE)
    ada.mailbox.refresh_from_db()
    queue_of(ada, 2)
    queue_of(ben, 2)

    cycled(ada, before=SendingTooFast("421 4.7.0 slow down"))

    assert LearnedLimit.objects.get().email_server_profile == ada.mailbox.email_server_profile
    assert cycled(ben).ok
    assert sent(ben) == 0
    assert workload(ben).state_code == "SendingTooFast"


@pytest.mark.rule("R5.14")
def test_exchange_counts_each_mailbox_and_is_only_busy_if_nothing_left(ada: Account) -> None:
    profile_limited(
        server_type=ServerType.EXCHANGE_SERVER,
        incoming_credential_retrieval=CredentialRetrieval.PROFILE,
        outgoing_credential_retrieval=CredentialRetrieval.PROFILE,
    )
    mailbox = Mailbox.objects.get(pk=ada.mailbox.pk)
    busy = ExchangeBusy("later", hint_seconds=90)

    assert learn_from(mailbox, busy, NOW) is None
    queue_of(ada, 2)
    ada.send()
    lesson = learn_from(mailbox, busy, NOW)

    assert (lesson.most, lesson.hold_until) == (1, NOW + timedelta(seconds=90))
    assert LearnedLimit.objects.get().mailbox == mailbox


# -- turns


def submitters_of_next(account: Account, most: int = 50) -> list[UUID]:
    with transaction.atomic():
        return [email.submitted_by_id for email in next_of(account.mailbox, account.now, most)]


@pytest.mark.rule("R5.9")
def test_a_mailing_of_thousands_does_not_hold_up_a_single_message(
    ada: Account, ben: Account
) -> None:
    """5,000 wait; whoever writes one message meanwhile is in the next batch. One statement finds
    whose turn it is, one locks just the batch, one reads it."""
    (email,) = queue_of(ada, 1)
    multiplied(email, 4999)
    queued(ada.mailbox, user_of(ben), 1, NOW, to=None)

    with counting() as counted:
        turns = submitters_of_next(ada)

    assert len(turns) == 50
    assert turns[1] == user_of(ben).pk
    assert len(counted) == 3, str(counted)


@pytest.mark.rule("R5.9")
def test_submitters_take_turns_even_where_one_message_leaves_at_a_time(
    ada: Account, ben: Account
) -> None:
    limited(ada, messages_per_minute=4)
    queue_of(ada, 30)
    queued(ada.mailbox, user_of(ben), 3, NOW - timedelta(minutes=1))
    for _slice in range(8):
        ada.send()
        ada.later(seconds=15)

    submitters = Submission.objects.order_by("counts_at").values_list("email__submitted_by")
    assert [key == user_of(ben).pk for (key,) in submitters] == [
        False, True, False, True, False, True, False, False,
    ]  # fmt: skip


@pytest.mark.rule("R5.9")
def test_priorities_go_before_turns(ada: Account, ben: Account) -> None:
    low = queued(ada.mailbox, user_of(ben), 1, NOW - timedelta(days=1), priority=Priority.LOW)
    normal = queue_of(ada, 2)
    high = queue_of(ada, 2, priority=Priority.HIGH)

    with transaction.atomic():
        order = [email.pk for email in next_of(ada.mailbox, NOW, 50)]

    assert order == [email.pk for email in [*high, *normal, *low]]


@pytest.mark.rule("R5.14")
def test_mailboxes_share_the_limit_of_their_profile(ada: Account, ben: Account) -> None:
    profile_limited(messages_per_minute=20)
    queue_of(ada, 40)
    queue_of(ben, 40)
    ben.later(seconds=1)
    for _slice in range(4):
        for account in (ada, ben):
            account.send()
            account.later(seconds=15)

    assert (sent(ada), sent(ben)) == (12, 8)


@pytest.mark.rule("R5.14")
def test_a_share_of_less_than_one_goes_round(ada: Account, ben: Account) -> None:
    """One message in a slice for two mailboxes, and the first is always the first to ask."""
    profile_limited(messages_per_minute=4)
    queue_of(ada, 10)
    queue_of(ben, 10)
    ben.later(seconds=1)
    for _slice in range(6):
        for account in (ada, ben):
            account.send()
            account.later(seconds=15)

    assert sent(ada) + sent(ben) >= 4
    assert abs(sent(ada) - sent(ben)) <= 1


def test_a_mailbox_that_does_not_run_has_no_share(ada: Account, ben: Account) -> None:
    profile_limited(messages_per_minute=40)
    queue_of(ada, 20)
    queue_of(ben, 20)
    Workload.objects.filter(mailbox=ben.mailbox).update(postponed_until=NOW + timedelta(hours=1))

    ada.send()

    assert sent(ada) == 10


# -- cost


def test_limits_cost_a_fixed_number_of_statements(ada: Account, ben: Account) -> None:
    with transaction.atomic():
        assert ada.mailbox.email_server_profile
        with counting() as free:
            allowed(ada.mailbox, NOW)
        limited(ada, messages_per_minute=60, messages_per_day=500, recipients_per_day=1000)
        mailbox = Mailbox.objects.get(pk=ada.mailbox.pk)
        assert mailbox.email_server_profile
        with counting() as own:
            allowed(mailbox, NOW)
        profile_limited(messages_per_minute=60, recipients_per_day=9000)
        mailbox = Mailbox.objects.get(pk=ada.mailbox.pk)
        assert mailbox.email_server_profile
        with counting() as shared:
            allowed(mailbox, NOW)

    assert (len(free), len(own), len(shared)) == (1, 2, 4), (str(own), str(shared))


def test_counting_goes_by_an_index_however_much_was_sent(ada: Account, ben: Account) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("not on this database: needs postgresql")
    profile_limited(messages_per_minute=60, recipients_per_day=9000)
    sent_long_ago(ada, 1500)
    sent_long_ago(ben, 1500)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    mailbox = Mailbox.objects.select_related("email_server_profile").get(pk=ada.mailbox.pk)
    with counting() as counted:
        foreseen(mailbox, NOW)
    (count,) = (sql for sql in counted.sql if "serversync_submission" in sql and "COUNT" in sql)
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {count}")
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "submission_of_profile" in plan
    assert "Seq Scan" not in plan


@pytest.mark.rule("R5.14")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("shared", [True, False])
def test_workers_that_share_a_limit_claim_one_after_the_other(shared: bool) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("not on this database: needs postgresql")
    accounts = [Account(user_mailbox(name)) for name in ("ada", "ben")]
    if shared:
        profile_limited(messages_per_minute=60)
    else:
        Mailbox.objects.update(messages_per_minute=60)
    first, second = (Mailbox.objects.get(pk=account.mailbox.pk) for account in accounts)

    def asks() -> str:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '100ms'")
                return f"{allowed(second, NOW).messages} may leave"
        except OperationalError:
            return "waits"
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as other:
        with transaction.atomic():
            allowed(first, NOW)
            assert other.submit(asks).result() == ("waits" if shared else "15 may leave")
        assert other.submit(asks).result() == "15 may leave"


def sent_long_ago(account: Account, number: int) -> None:
    """Spread over two hundred days, of which one counts."""
    emails = queue_of(account, number, to=None)
    Submission.objects.bulk_create(
        Submission(
            email=email,
            mailbox=account.mailbox,
            email_server_profile=account.mailbox.email_server_profile,
            state=SubmissionState.ACCEPTED,
            settled=True,
            claim_token=email.pk,
            claimed_at=at,
            claim_expires_at=at,
            counts_at=at,
        )
        for email, at in zip(emails, _days(number), strict=True)
    )
    Email.objects.filter(pk__in=[emails[0].pk]).update(status_code=EmailStatus.PENDING_SEND)


def _days(number: int) -> list[datetime]:
    return [NOW - timedelta(days=200 * place / number) for place in range(number)]


# -- a server that never answers


@pytest.mark.rule("R5.17")
def test_a_server_that_never_answers_leaves_two_in_doubt_and_the_rest_waits(ada: Account) -> None:
    queue_of(ada, 10)
    for _message in range(10):
        ada.outgoing.fail("after", SocketTimedOut("no answer"))

    report = cycled(ada)

    assert not report.ok
    assert Submission.objects.filter(state=SubmissionState.UNKNOWN).count() == 2
    assert Email.objects.filter(status_code=EmailStatus.PENDING_SEND).count() == 8


def test_one_lost_answer_does_not_stop_the_batch(ada: Account) -> None:
    queue_of(ada, 6)
    for error in (ConnectionLost("gone"), None, ConnectionLost("gone"), MessageDeferred("451")):
        ada.outgoing.fail("after", error)

    ada.send()

    assert sent(ada) == 3
    assert Submission.objects.filter(state=SubmissionState.UNKNOWN).count() == 2


# -- the batch


@pytest.mark.parametrize("refused", [False, True], ids=["accepted", "refused"])
def test_each_further_message_of_a_batch_costs_two_statements_and_one_commit(
    ada: Account, refused: bool
) -> None:
    spent = []
    for number in (10, 40):
        queue_of(ada, number, to=["cleo@customer.example", "nobody@x.example"])
        ada.outgoing = FakeOutgoingServer()
        ada.outgoing.refuse("nobody@x.example")
        if refused:
            ada.outgoing.refuse("cleo@customer.example")
        with counting() as counted, commits() as committed:
            ada.send()
        assert ada.outgoing.calls["send"] == number
        assert ada.outgoing.calls["open"] == 1
        spent.append((len(counted), committed.number))
    (few, few_commits), (many, many_commits) = spent

    assert many - few <= 2 * 30, f"{few} for 10, {many} for 40"
    assert many_commits - few_commits <= 30
