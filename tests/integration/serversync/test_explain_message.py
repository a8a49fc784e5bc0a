"""explain_message: the decision that the cycle would take, and nothing written for it."""

import io
import json
import sys

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mailboxes.choices import FilteringMethod, IncomingDeliveryMethod
from mailboxes.models import Mailbox, Organization
from serversync.models import SyncItem
from tests.integration.serversync.cycles import (
    Account,
    message,
    profile,
    queue_mailbox,
    ready,
    user_mailbox,
)
from tests.messages import read

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def organization(db):
    return Organization.objects.current()


@pytest.fixture
def explain(tmp_path):
    def run(raw: bytes, mailbox: str, *arguments: str) -> list[str]:
        file = tmp_path / "message.eml"
        file.write_bytes(raw)
        out = io.StringIO()
        call_command("explain_message", str(file), "--mailbox", mailbox, *arguments, stdout=out)
        return out.getvalue().splitlines()

    return run


def test_first_line_is_the_whole_story_and_the_steps_follow(organization, explain):
    queue_mailbox("support", FilteringMethod.RESPONSES)
    lines = explain(message(to="support@example.com"), "Support@example.com")
    assert lines[0] == (
        "Rejected, NoCorrelationMatch: the filter of queue Support accepts replies only, and this"
        " message answers nothing stored here. (R3.24)"
    )
    assert any("To support@example.com: queue Support." in step for step in lines[1:])
    assert all(step.startswith("  ") for step in lines[1:])


def test_nothing_is_written(organization, explain):
    user_mailbox("ada")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        lines = explain(message(to="ada@example.com"), "ada@example.com")
    assert lines[0].startswith("Tracked, AcceptAll: the filter of user Ada takes all email.")
    assert len(queries) > 0
    assert [q["sql"] for q in queries if not q["sql"].startswith("SELECT")] == []
    assert not SyncItem.objects.exists()


def test_the_decision_is_the_one_that_the_cycle_takes(organization, explain):
    account = Account(queue_mailbox("support", FilteringMethod.RESPONSES))
    user_mailbox("ada", FilteringMethod.LEADS_CONTACTS_ACCOUNTS)
    user_mailbox("ben", FilteringMethod.ALL)
    raws = [
        message(to="support@example.com", message_id="1@x"),
        message(to="ada@example.com", message_id="2@x"),
        message(to="list@example.net", message_id="3@x"),
        message(to="support@example.com, ben@example.com", message_id="4@x"),
        message(to="ben@example.com", sender="", message_id="5@x"),
        b"",
    ]
    told = []
    for raw in raws:
        (line,) = explain(raw, "support@example.com", "--json", "--trace")
        told += json.loads(line)["trace"]
    for raw in raws:
        account.box.deliver(raw)
    account.receive()
    rows = SyncItem.objects.filter(mailbox=account.mailbox).order_by("pk")
    assert [(d["outcome"], d["reason"], d.get("sub_reason", "")) for d in told] == [
        (row.state, row.reason, row.sub_reason) for row in rows
    ]
    assert {row.state for row in rows} == {"tracked", "rejected"}


def test_start_date_counts_and_the_time_can_be_given(organization, explain):
    user_mailbox("ada")
    raw = message(to="ada@example.com")
    early = explain(raw, "ada@example.com", "--received", "2025-12-31T23:59Z")
    assert early[0].startswith("Skipped: received 2025-12-31 23:59 UTC")
    assert explain(raw, "ada@example.com", "--received", "2026-01-01T00:01Z")[0].startswith("Track")
    stamped = b"Received: by mail.example.com; Wed, 31 Dec 2025 23:00:00 +0000\r\n" + raw
    assert explain(stamped, "ada@example.com")[0].startswith(
        "Skipped: received 2025-12-31 23:00 UTC"
    )


def test_originals_inside_a_forward_are_explained_each(organization, explain):
    user_mailbox("ada", incoming_email_delivery_method=IncomingDeliveryMethod.FORWARD_MAILBOX)
    collector = Mailbox.objects.create(
        name="Collector",
        email_address="collector@example.com",
        email_server_profile=profile(name="Other"),
        owning_user=Mailbox.objects.get(name__startswith="Ada").owning_user,
    )
    ready(collector)
    original = message(to="ada@example.com", message_id="inner@customer.example")
    wrapper = (
        b"From: ada@example.com\r\nTo: collector@example.com\r\nSubject: Fwd\r\n"
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
        b"--x\r\nContent-Type: message/rfc822\r\n\r\n" + original + b"\r\n--x--\r\n"
    )
    (line,) = explain(wrapper, "collector@example.com", "--json")
    record = json.loads(line)
    assert (record["decision"], record["reason"]) == ("skipped", "forward_wrapper")
    assert [(o["number"], o["decision"], o["reason"]) for o in record["originals"]] == [
        (1, "tracked", "AcceptAll")
    ]
    lines = explain(wrapper, "collector@example.com")
    assert "Original 1 inside the forward" in lines
    assert any("Forwarded as an attachment by user Ada" in line for line in lines)


def test_noise_is_explained_like_any_message(organization, explain):
    user_mailbox("ada")
    for noise in (b"", b"\0" * 100, b"\xff\xfe nothing"):
        assert explain(noise, "ada@example.com")[0].startswith("Rejected, InvalidSender: ")


def test_message_can_come_from_a_pipe(organization, monkeypatch):
    user_mailbox("ada")
    pipe = io.TextIOWrapper(io.BytesIO(message(to="ada@example.com")))
    monkeypatch.setattr(sys, "stdin", pipe)
    out = io.StringIO()
    call_command("explain_message", "-", "--mailbox", "ada@example.com", stdout=out)
    assert out.getvalue().startswith("Tracked, AcceptAll")


def test_what_cannot_be_done_is_said(organization, explain, tmp_path):
    with pytest.raises(CommandError, match=r"nobody@example\.com"):
        explain(message(), "nobody@example.com")
    user_mailbox("ada")
    with pytest.raises(CommandError, match="yesterday"):
        explain(message(), "ada@example.com", "--received", "yesterday")
    with pytest.raises(CommandError, match="No such file"):
        call_command(
            "explain_message", str(tmp_path / "missing.eml"), "--mailbox", "ada@example.com"
        )


def records(path, *arguments: str) -> list[dict]:
    out = io.StringIO()
    call_command("explain_message", str(path), "--json", *arguments, stdout=out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_folder_gives_one_record_a_message_and_nothing_is_written(organization, tmp_path):
    user_mailbox("ada")
    (tmp_path / "new").mkdir()
    (tmp_path / "1.eml").write_bytes(message(to="ada@example.com", message_id="1@x"))
    (tmp_path / "new" / "2.eml").write_bytes(read("reports/qmail"))
    (tmp_path / "3").write_bytes(b"\xff\0\xfe nothing")
    with CaptureQueriesContext(connection) as queries:
        first, noise, bounce = records(tmp_path)
    assert [q["sql"] for q in queries if not q["sql"].startswith("SELECT")] == []
    assert (first["decision"], first["rule"], first["mailbox"]) == (
        "tracked",
        "R3.24",
        "ada@example.com",
    )
    assert first["rule"] == first["rules"][0]
    assert (noise["decision"], noise["rule"], noise["rules"]) == (None, None, [])
    assert (bounce["kind"], bounce["original_recipient"]) == ("bounce", "ben@example.org")
    assert bounce["original_message_id"] == "offer-7@mail.example.com"


def test_without_any_mailbox_nothing_is_decided(db, tmp_path):
    (tmp_path / "1.eml").write_bytes(message(to="ada@example.com"))
    (record,) = records(tmp_path)
    assert record["decision"] is record["rule"] is None
    assert [a["address"] for a in record["to"]] == ["ada@example.com"]


def test_mailbox_is_the_one_it_was_delivered_to_before_the_one_in_to(organization, tmp_path):
    user_mailbox("ada")
    user_mailbox("ben")
    raw = b"Delivered-To: Ben@example.com\r\n" + message(to="ada@example.com")
    (tmp_path / "1.eml").write_bytes(raw)
    assert [r["mailbox"] for r in records(tmp_path)] == ["ben@example.com"]
    assert [r["mailbox"] for r in records(tmp_path, "--mailbox", "ada@example.com")] == [
        "ada@example.com"
    ]


def test_text_form_needs_a_mailbox_and_both_need_a_file(organization, tmp_path):
    file = tmp_path / "1.eml"
    file.write_bytes(message())
    with pytest.raises(CommandError, match="--mailbox"):
        call_command("explain_message", str(file))
    with pytest.raises(CommandError, match="No such file"):
        records(tmp_path / "missing")
