"""The quick start as a whole: every message of every kind ends in one state, and the counts balance."""

import io
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from activities import blobs
from activities.choices import Direction, EmailStatus
from activities.models import ActivityMimeAttachment, Contact, Email, Incident, QueueItem
from mailboxes.choices import IncomingDeliveryMethod, ServerType
from mailboxes.models import EmailServerProfile, Mailbox, Organization, SystemUser
from serversync.actions import FILE_SENT
from serversync.choices import ActionState, ItemState
from serversync.models import ServerAction, SyncItem
from serversync.sandbox import seeds
from serversync.sandbox.balance import balances
from serversync.sandbox.faults import Fault, Kind
from serversync.sandbox.logins import ADMIN
from serversync.sandbox.servers import Sandbox
from serversync.sandbox.site import ARCHIVE
from serversync.sandbox.store import SENT

# The quick start makes an SQLite database; the cycles it runs are proven on both.
pytestmark = [
    pytest.mark.integration,
    pytest.mark.django_db,
    pytest.mark.database("sqlite"),
]

MESSAGE = b"From: rita@customer.example\nTo: old@elsewhere.example\nSubject: %d\n\nHello\n"


def quickstart(folder, **options) -> str:
    output = io.StringIO()
    call_command("quickstart", folder=folder, stdout=output, **options)
    return output.getvalue()


def item(mailbox: str, message_id: str) -> SyncItem:
    return SyncItem.objects.get(
        mailbox__email_address=mailbox, message_id__regex=rf"^<?{message_id}@", parent__isnull=True
    )


def even(output: str) -> list[tuple[str, str]]:
    """(this run, in all) seen, mailbox by mailbox."""
    runs = re.findall(r"this run +(\d+) ", output)
    alls = re.findall(r"in all +(\d+) ", output)
    return list(zip(runs, alls, strict=True))


class TestQuickstart:
    @pytest.mark.rule("R3.5", "R3.20", "R3.24", "R3.66", "R3.75", "R5.18")
    def test_it_tells_balances_and_a_second_run_finds_nothing_new(self, tmp_path):
        output = quickstart(tmp_path)
        assert "It balances." in output
        assert "Problem" not in output
        assert len(even(output)) == 12
        assert "(R3.24)" in output
        self.each_way_that_mail_came_is_told(output)
        self.what_came_of_it_is_told(output)

        again = quickstart(tmp_path)
        assert "It balances." in again
        assert {new for new, _ in even(again)} == {"0"}
        assert [total for _, total in even(again)] == [total for _, total in even(output)]

        self.every_state_and_reason_that_the_seeds_are_made_for_occurs()
        self.what_was_sent_came_back_and_was_filed()
        self.copies_of_what_was_sent_lie_in_sent_items(tmp_path)
        self.broken_mail_was_stored_with_what_was_wrong_with_it()
        self.the_queue_that_deletes_left_only_rejected_mail_on_the_server(tmp_path)
        self.mail_was_judged_by_five_filters()
        self.forwarded_originals_were_judged_for_whoever_forwarded_them()
        self.mail_of_exchange_came_by_folder_category_and_sent_items()
        self.newcomers_became_contacts_and_what_is_damaged_a_case()

    def newcomers_became_contacts_and_what_is_damaged_a_case(self):
        made = Contact.objects.filter(is_auto_create=True)
        assert {contact.email_address1: str(contact) for contact in made} == {
            seeds.PIA: "Pia Newcomer",
            seeds.TOM: "Tom Newcomer",
        }
        cases = {case.title: str(case.customer) for case in Incident.objects.all()}
        assert cases == {
            "The damaged part": "Customer Ltd",
            "My order arrived damaged": "Pia Newcomer",
        }
        answers = Email.objects.filter(is_workflow_created=True)
        assert Counter(answers.values_list("to_recipients", "status_code")) == {
            (seeds.RITA, EmailStatus.SENT): 1,
            (seeds.PIA, EmailStatus.SENT): 1,
        }
        filed = Email.objects.filter(message_id__contains="@newcomer.example").exclude(
            sender=seeds.TOM
        )
        assert {str(email.activity.regarding_object) for email in filed} == {
            str(Incident.objects.get(title="My order arrived damaged"))
        }

    def each_way_that_mail_came_is_told(self, output):
        assert "Tracked: in the inbox 1, in a tracked folder 2" in output  # Fay
        assert "Tracked: in the inbox 2, in sent items 1" in output  # Gil
        assert "Tracked: in a tracked folder 1, by category 1" in output  # Ina
        assert "Sent items of gil@sandbox.example: Tracked, SenderMatch" in output
        # Exchange files the copies itself; what Gil sent from his program is no mail of the site's.
        rows = [row.split() for row in re.findall(r"in all +(.*)", output)]
        sent_and_copies = [(int(row[9]), int(row[10])) for row in rows]
        assert [sent_and_copies[place] for place in (2, 8, 9, 10)] == [
            (1, 1),
            (1, 1),
            (0, 0),
            (0, 0),
        ]

    def what_came_of_it_is_told(self, output):
        _before, _, told = output.partition("What came of it:")
        number = Incident.objects.get(title="The damaged part").ticket_number
        course = f"{seeds.RITA} → {seeds.SUPPORT}"
        assert f"{course}: Made: case {number} by the rule Damaged goods of queue Support" in told
        assert f"{course}: Answered automatically: to {seeds.RITA}. (R3.59)" in told
        assert f"{seeds.TOM} → {seeds.ADA}: Made: contact Tom Newcomer of the unknown" in told
        assert f"It tells of {seeds.GUS}: Undelivered for good." in told

    def mail_of_exchange_came_by_folder_category_and_sent_items(self):
        expected = {
            (seeds.FAY, "in-the-customers-folder"): "folder_rule",
            (seeds.FAY, "stranger-in-the-customers-folder"): "folder_rule",
            (seeds.FAY, "known-sender-to-fay"): "filter_replies_only",
            (seeds.INA, "in-a-folder-without-record"): "folder_rule",
            (seeds.INA, "categorized-by-hand"): "category",
            (seeds.INA, "known-sender-to-ina"): "filter_none",
            (seeds.GIL, "sent-from-the-mail-program"): "",
            (seeds.GIL, "sent-to-a-stranger"): "filter_recipients_unknown",
            (seeds.GIL, "answer-to-what-gil-sent"): "",
        }
        assert {key: item(*key).sub_reason for key in expected} == expected
        folder = Email.objects.filter(message_id__contains="customers-folder")
        assert {str(email.activity.regarding_object) for email in folder} == {"Customer Ltd"}
        sent = Email.objects.get(message_id__startswith="sent-from-the-mail-program")
        assert sent.direction_code == Direction.OUTGOING
        answer = Email.objects.get(message_id__startswith="answer-to-what-gil-sent")
        assert answer.correlated_activity == sent

    def every_state_and_reason_that_the_seeds_are_made_for_occurs(self):
        found = Counter(SyncItem.objects.values_list("state", "reason"))
        assert {reason for state, reason in found if state == ItemState.REJECTED} == {
            "InvalidSender",
            "NoCorrelationMatch",
            "NoRecipientMatch",
            "InvalidForwardMailItem",
        }
        assert {reason for state, reason in found if state == ItemState.SKIPPED} == {
            "before_start",
            "calendar",
            "forward_wrapper",
            "own_probe",
        }
        assert not {state for state, _ in found} & {
            ItemState.QUARANTINED,
            ItemState.RETRYING,
            ItemState.GONE,
        }
        everybody = SyncItem.objects.filter(message_id__contains="the-same-to-everybody")
        assert Counter(everybody.values_list("state", flat=True)) == {
            ItemState.TRACKED: 1,
            ItemState.DUPLICATE: 5,
        }

    def what_was_sent_came_back_and_was_filed(self):
        sent = Email.objects.filter(direction_code=Direction.OUTGOING)
        assert set(sent.values_list("status_code", flat=True)) == {EmailStatus.SENT}
        subjects = Email.objects.filter(correlated_activity__in=sent).values_list(
            "activity__subject", flat=True
        )
        answered = {re.sub(r" CRM:\d{7}", "", subject) for subject in subjects}
        assert answered == {
            "Re: Visit next week",
            "Re: Date for the handover",
            "Re: RE: Delivery to the second floor",
            "Re: 納期について",
            "Re: Our opening hours",
            "Re: Terms of delivery, second draft",
            "Re: Your order is on its way",
            "Automatic reply: Your invoice",
            "Undelivered Mail Returned to Sender",
        }

    def copies_of_what_was_sent_lie_in_sent_items(self, folder):
        filed = ServerAction.objects.filter(kind=FILE_SENT)
        assert set(filed.values_list("state", flat=True)) == {ActionState.DONE}
        expected = Email.objects.filter(
            direction_code=Direction.OUTGOING,
            sender_mailbox__email_server_profile__server_type=ServerType.IMAP_SMTP,
            sender_mailbox__incoming_email_delivery_method=IncomingDeliveryMethod.SERVER_SIDE_SYNC,
        ).select_related("sender_mailbox", "mime")
        sandbox = Sandbox(folder)
        try:
            copies = {
                address: sandbox.store.messages(address, SENT)
                for address in sandbox.store.accounts()
            }
        finally:
            sandbox.stop()
        assert sum(len(found) for found in copies.values()) == expected.count() > 0
        for email in expected:
            assert blobs.read(email.mime) in copies[email.sender_mailbox.email_address]

    def broken_mail_was_stored_with_what_was_wrong_with_it(self):
        defects = {
            email.activity.subject: {defect["code"] for defect in email.defects}
            for email in Email.objects.exclude(defects=[]).select_related("activity")
        }
        assert "bad_date" in defects["When?"]
        assert "missing_message_id" in defects["Nameless"]
        assert "nested_too_deep" in defects["Boxes in boxes"]
        assert "nul_removed" in defects["Nuloctets"]
        assert Email.objects.get(is_message_id_reused=True).sender == seeds.STRANGER
        japanese = Email.objects.filter(activity__subject="納期のご確認")
        assert japanese.count() == 3
        assert all("納期をご確認ください" in email.description for email in japanese)
        names = ActivityMimeAttachment.objects.values_list("file_name", flat=True)
        assert "見積書.pdf" in names
        assert not {"update.exe", "plans.png"} & set(names)

    def the_queue_that_deletes_left_only_rejected_mail_on_the_server(self, folder):
        deletions = ServerAction.objects.filter(kind="delete")
        assert set(deletions.values_list("state", flat=True)) == {ActionState.DONE}
        sandbox = Sandbox(folder)
        try:
            left = len(sandbox.store.uids(seeds.SUPPORT))
        finally:
            sandbox.stop()
        support = SyncItem.objects.filter(mailbox__email_address=seeds.SUPPORT)
        deletable = support.filter(state__in=[ItemState.TRACKED, ItemState.DUPLICATE])
        assert left == support.count() - deletable.count() > 0

    def mail_was_judged_by_five_filters(self):
        expected = {
            (seeds.SUPPORT, "unknown-sender-to-support"): "AcceptAll",
            (seeds.ADA, "known-sender-to-ada"): "NoCorrelationMatch",
            (seeds.ADA, "answer-by-references-only"): "CorrelationMatch",
            (seeds.BEN, "known-sender-to-ben"): "SenderMatch",
            (seeds.BEN, "colleague-to-ben"): "NoCorrelationMatch",
            (seeds.CHLOE, "colleague-to-chloe"): "SenderMatch",
            (seeds.CHLOE, "unknown-sender-to-chloe"): "NoCorrelationMatch",
            (seeds.DAN, "known-sender-to-dan"): "NoCorrelationMatch",
            (seeds.DAN, "enters-where-nothing-is-accepted"): "SenderMatch",
        }
        assert {key: item(*key).reason for key in expected} == expected
        assert QueueItem.objects.filter(queue__email_address=seeds.SUPPORT).count() > 30

    def forwarded_originals_were_judged_for_whoever_forwarded_them(self):
        inside = SyncItem.objects.filter(mailbox__email_address=seeds.FORWARD, parent__isnull=False)
        states = dict(inside.values_list("sender", "state"))
        assert states[seeds.RITA] == ItemState.TRACKED
        assert states[seeds.STRANGER] == ItemState.REJECTED
        wrong = SyncItem.objects.filter(reason="InvalidForwardMailItem")
        assert set(wrong.values_list("sender", "sub_reason")) == {
            (seeds.ADA, "method_not_forward"),
            (seeds.EMI, "not_attached"),
        }

    def test_it_refuses_to_run_beside_somebody_elses_profile(self, tmp_path):
        owner = SystemUser.objects.create_user("owner")
        EmailServerProfile.objects.create(
            name="The real server",
            owning_user=owner,
            incoming_server_location="imap.example.com",
            outgoing_server_location="smtp.example.com",
        )
        with pytest.raises(CommandError, match="The real server"):
            quickstart(tmp_path)
        with pytest.raises(CommandError, match="The real server"):
            call_command("sandbox", folder=tmp_path)
        assert not SystemUser.objects.filter(domain_name=ADMIN).exists()
        assert Mailbox.objects.count() == 1

    def test_a_mailbox_that_can_not_be_read_is_told_and_the_others_go_on(
        self, tmp_path, monkeypatch
    ):
        start = Sandbox.start

        def start_with_a_fault(sandbox: Sandbox) -> Sandbox:
            sandbox.faults.add(Fault(kind=Kind.DROP, account=seeds.ADA, command="EXAMINE"))
            sandbox.faults.add(Fault(kind=Kind.DROP, account=seeds.ADA, command="SELECT"))
            return start(sandbox)

        monkeypatch.setattr(Sandbox, "start", start_with_a_fault)
        output = io.StringIO()
        with pytest.raises(SystemExit) as ended:
            call_command("quickstart", folder=tmp_path, stdout=output)
        assert ended.value.code == 1
        assert "Problem: Ada Example" in output.getvalue()
        assert "Traceback" not in output.getvalue()
        read = SyncItem.objects.values_list("mailbox__email_address", flat=True).distinct()
        assert set(read) == {*seeds.ACCOUNTS, *seeds.EXCHANGE_ACCOUNTS} - {seeds.ADA, seeds.EMI}


class TestOwnMail:
    def test_a_folder_of_messages_ends_up_in_final_states(self, tmp_path):
        for number in range(7):
            (tmp_path / f"{number}.eml").write_bytes(MESSAGE % number)
        (tmp_path / "empty.eml").write_bytes(b"")
        (tmp_path / "noise.eml").write_bytes(bytes(range(256)) * 40)
        (tmp_path / "notes.txt").write_text("no message")
        output = quickstart(tmp_path / "sandbox", mail=tmp_path)
        assert even(output) == [("9", "9")]
        assert "It balances." in output
        states = Counter(SyncItem.objects.values_list("state", "reason"))
        assert states == {(ItemState.TRACKED, "AcceptAll"): 7, ("rejected", "InvalidSender"): 2}
        assert "missing_message_id 7" in output

    def test_an_mbox_and_a_maildir_are_taken_too(self, tmp_path):
        separator = b"From rita@customer.example Tue Mar  3 12:00:00 2026\n"
        mbox = tmp_path / "archive.mbox"
        quoted = b"Dear all,\n\n>From here on it is simple.\nFrom now on, too.\n"
        mbox.write_bytes(separator + MESSAGE % 1 + quoted + b"\n" + separator + MESSAGE % 2)
        maildir = tmp_path / "Maildir"
        for place, number in (("cur", 3), ("new", 4), ("tmp", 5)):
            (maildir / place).mkdir(parents=True)
            (maildir / place / f"1.{place}.host").write_bytes(MESSAGE % number)
        quickstart(tmp_path / "sandbox", mail=mbox)
        output = quickstart(tmp_path / "sandbox", mail=maildir)
        assert even(output) == [("2", "4")]
        found = Email.objects.values_list("activity__subject", "description")
        bodies = dict(found)
        assert set(bodies) == {"1", "2", "3", "4"}
        assert "\nFrom here on it is simple.\nFrom now on, too." in bodies["1"].replace("\r", "")

    def test_the_same_message_twice_is_two_items_however_the_pages_fall(self, tmp_path):
        """A copy that came with a later page was once taken for the first one under a new key."""
        organization = Organization.objects.current()
        organization.messages_per_page = organization.messages_per_cycle = 2
        organization.save(update_fields=["messages_per_page", "messages_per_cycle"])
        for number in range(5):
            (tmp_path / f"{number}.eml").write_bytes(MESSAGE % 1)
        output = quickstart(tmp_path / "sandbox", mail=tmp_path)
        assert even(output) == [("5", "5")]
        assert Email.objects.count() == 1

    def test_a_path_without_messages_is_named(self, tmp_path):
        with pytest.raises(CommandError, match="There are no messages at"):
            quickstart(tmp_path / "sandbox", mail=tmp_path / "missing")


class TestStaying:
    def test_console_and_worker_run_until_ctrl_c_and_nothing_is_left(
        self, tmp_path, site_environment
    ):
        with ending(
            subprocess.Popen(
                [sys.executable, "manage.py", "quickstart", "--stay", f"--folder={tmp_path}"],
                cwd=settings.BASE_DIR,
                env=site_environment,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        ) as process:
            told = {}
            for line in process.stdout:
                name, _, value = line.strip().partition(":")
                told[name] = value.strip()
                if name.startswith("Ctrl-C"):
                    break
            with urllib.request.urlopen(told["Console"], timeout=100) as page:
                assert page.status == 200
            assert told["Sign in"] == ADMIN
            admin = SystemUser.objects.get(domain_name=ADMIN)
            assert admin.check_password(told["Password"])
            started = children_of(process.pid)
            assert len(started) >= 2
            os.kill(process.pid, signal.SIGINT)
            process.stdout.read()
            assert process.wait(100) == 0
            assert not any(is_alive(pid) for pid in started)

    def test_a_port_that_is_taken_is_named(self, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(CommandError, match=f"Port {port} is taken"):
                quickstart(tmp_path, stay=True, port=port)


@contextmanager
def ending(process):
    try:
        yield process
    finally:
        for pid in [process.pid, *children_of(process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()


def children_of(pid: int) -> list[int]:
    """Children and theirs, from /proc."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = parents.get(pid, [])
    return found + [below for child in found for below in children_of(child)]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_balance_counts_what_the_ledger_does_not_know(tmp_path):
    (tmp_path / "1.eml").write_bytes(MESSAGE % 1)
    quickstart(tmp_path / "sandbox", mail=tmp_path)
    SyncItem.objects.all().delete()
    sandbox = Sandbox(tmp_path / "sandbox")
    try:
        mailbox = Mailbox.objects.get(email_address=ARCHIVE)
        (balance,) = balances([mailbox], sandbox)
    finally:
        sandbox.stop()
    assert (balance.seen, balance.accounted, balance.is_even) == (1, 0, False)
