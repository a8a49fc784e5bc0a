"""What a page costs: statements are counted, so that nobody adds one per message unseen."""

import base64
from collections import Counter
from datetime import timedelta
from itertools import takewhile

import pytest
from django.db import connection

from activities.models import Account, Contact, Email, Lead
from mailboxes.choices import FilteringMethod, Operation
from serversync import engine
from serversync.models import Workload
from serversync.receive import receive
from tests.integration.serversync.cycles import (
    NOW,
    message,
    organization,
    queue_mailbox,
    user_mailbox,
)
from tests.integration.serversync.cycles import (
    Account as MailAccount,
)
from tests.integration.serversync.test_bounces import GONE, dsn, sent
from tests.statements import Counted, counting

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


def allowed(on_postgresql: int) -> int:
    """SQLite takes 999 parameters a statement, so wide rows go in several."""
    return on_postgresql if connection.vendor == "postgresql" else on_postgresql * 3 // 2


def everything_on() -> None:
    organization(
        create_queue_items_for_accepting_queue_recipients=True,
        create_queue_item_for_synchronizing_mailbox=True,
        sss_create_additional_queue_items_for_already_tracked_email=True,
        generate_alerts_for_warnings=True,
        enable_smart_matching=True,
        ignore_internal_email=True,
        use_envelope_evidence=True,
        route_email_to_default_queue=True,
    )


def attached(number: int, **headers: str) -> bytes:
    """A message with two files of its own, to known and unknown people."""
    plain = message(
        message_id=f"{number}@customer.example",
        sender=f"customer{number}@customer.example",
        to="support@example.com, ada@example.com",
        cc=f"lead{number}@customer.example, info@company{number}.example, x{number}@y.example",
        **headers,
    )
    head, _, body = plain.partition(b"\r\n\r\n")
    head = head.replace(
        b'Content-Type: text/plain; charset="utf-8"', b"Content-Type: multipart/mixed; boundary=b"
    )
    parts = b"".join(
        b"--b\r\nContent-Type: application/octet-stream\r\n"
        b"Content-Disposition: attachment; filename=%d.bin\r\n\r\nfile %d of %d\r\n"
        % (file, file, number)
        for file in (1, 2)
    )
    return head + b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n" + body + parts + b"--b--\r\n"


def thread_index(answers: bytes) -> str:
    return base64.b64encode(bytes(range(22)) + answers).decode()


def records(owner) -> None:
    for number in range(50):
        Contact.objects.create(
            last_name=str(number),
            email_address1=f"customer{number}@customer.example",
            owning_user=owner,
        )
        Lead.objects.create(
            subject=str(number),
            email_address1=f"lead{number}@customer.example",
            owning_user=owner,
        )
        Account.objects.create(
            name=str(number), email_address1=f"info@company{number}.example", owning_user=owner
        )


def look_ups(counted: Counted) -> list[str]:
    """What is read in order to decide. After the first INSERT only own rows are read back."""
    before = list(takewhile(lambda sql: not sql.startswith("INSERT"), counted.sql))
    return [sql for sql in before if sql.startswith("SELECT")]


def test_a_page_of_50_new_messages() -> None:
    everything_on()
    support = MailAccount(queue_mailbox("support", process_and_delete_emails=True))
    user_mailbox("ada", FilteringMethod.RESPONSES)
    records(support.mailbox.regarding_queue.owning_user)
    known = message(
        message_id="known@customer.example",
        to="support@example.com",
        cc="customer1@customer.example",
        thread_index=thread_index(b""),
    )
    support.box.deliver(known)
    support.receive()
    Email.objects.update(tracking_token="CRM:0001001")
    for number in range(50):
        ways = [
            {"in_reply_to": "<known@customer.example>"},
            {"subject": "RE: Hello CRM:0001001"},
            {"thread_index": thread_index(b"12345")},
            {"subject": f"Words of its own {number}"},
        ]
        support.box.deliver(attached(number, **ways[number % len(ways)]))

    with counting() as counted:
        result = support.receive()

    assert result.by_state == {"tracked": 50}
    found = Counter(Email.objects.values_list("correlation_method", flat=True))
    assert set(found) >= {3, 4, 5, 6}  # every way was gone, so every look-up was needed
    assert not support.box.messages()
    assert len(counted) <= allowed(40), str(counted)
    assert len(look_ups(counted)) <= allowed(15), str(counted)


def test_a_page_of_50_duplicates() -> None:
    everything_on()
    ada, support = MailAccount(user_mailbox("ada")), MailAccount(queue_mailbox("support"))
    for number in range(50):
        raw = message(message_id=f"{number}@x.example", to="ada@example.com, support@example.com")
        ada.box.deliver(raw)
        support.box.deliver(raw)
    ada.receive()

    with counting() as counted:
        result = support.receive()

    assert result.by_state == {"duplicate": 50}
    assert len(counted) <= allowed(40), str(counted)


def test_a_page_of_50_rejected_messages() -> None:
    ada = MailAccount(user_mailbox("ada", FilteringMethod.RESPONSES))
    for number in range(50):
        ada.box.deliver(message(message_id=f"{number}@x.example"))

    with counting() as counted:
        result = ada.receive()

    assert result.by_state == {"rejected": 50}
    assert len(counted) <= allowed(20), str(counted)


def test_a_page_of_50_reports() -> None:
    """Half of them return no id, so that what they are about is looked for by recipient."""
    everything_on()
    organization(allow_unresolved_parties_on_email_send=True)
    ada = MailAccount(user_mailbox("ada"))
    emails = [sent(ada, f"customer{number}@customer.example") for number in range(25)]
    for number, email in enumerate(emails):
        address = f"customer{number}@customer.example"
        ada.box.deliver(dsn((address, *GONE), of=email, key=f"id{number}"))
        ada.box.deliver(dsn((address, *GONE), key=str(number)))

    with counting() as counted:
        result = ada.receive()

    assert result.by_state == {"tracked": 50}
    assert all(Email.objects.filter(kind="bounce").values_list("about", flat=True))
    assert len(look_ups(counted)) <= allowed(15), str(counted)
    statements = [sql for sql in counted.sql if "mailboxes_tracelog" not in sql]
    assert len(statements) <= allowed(40), str(counted)


@pytest.mark.parametrize("complete", [False, True], ids=["cursor", "whole listing"])
def test_an_idle_poll(complete: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a poll costs in the engine, its share of the claim included."""
    accounts = {}
    for number in range(10):
        account = MailAccount(user_mailbox(f"user{number}"), complete=complete)
        account.box.deliver(message(message_id=f"{number}@x.example"))
        accounts[account.mailbox.pk] = account

    def cycle(context, token, *, clock):
        return receive(context, token, clock=clock, connect=accounts[context.mailbox.pk].connect)

    monkeypatch.setitem(engine.CYCLES, Operation.INCOMING, cycle)
    Workload.objects.update(next_run_at=NOW)
    engine.work(lambda: NOW, holder="first")
    assert Email.objects.count() == 10
    Workload.objects.filter(operation=Operation.OUTGOING).update(enabled=False)

    later = NOW + timedelta(hours=1)
    with counting() as counted:
        tally = engine.work(lambda: later, holder="second")

    assert tally.runs == 10, tally.reports
    claims = 8  # finding that nothing is due any more, and what one round of claims asks
    assert len(counted) <= 4 * 10 + claims, str(counted)
