"""`act_batches` and `explain_record`: the same as in the console, for whom they run."""

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from mailboxes.choices import Reach
from serversync.act.choices import BatchState, LinkState
from serversync.act.explaining import Because, explain
from serversync.act.filters import copy_templates
from serversync.act.types import Table
from serversync.models import ParkedBatch, UserQuery
from tests.factories.act import NOW, act_mailbox, asking, batch, pair, parked, revision
from tests.factories.activities import ContactFactory
from tests.factories.mailboxes import SuperuserFactory, SystemUserFactory, group_of

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def mailbox():
    found = act_mailbox()
    group_of(found.regarding_user, "view_contact", reach=Reach.OWN)
    return found


def told(capsys, *arguments, **options) -> str:
    call_command(*arguments, **options)
    return capsys.readouterr().out


# -- batches


@pytest.mark.rule("R6.46")
def test_what_waits_is_listed_and_decided(mailbox, capsys):
    waiting = batch(mailbox)
    parked(waiting, pair(mailbox))
    name = mailbox.regarding_user.domain_name
    out = told(capsys, "act_batches", user=name)
    for words in (str(waiting.pk), "Quarterly plan", "delete on the server", "ben@example.com"):
        assert words in out
    assert "Approved" in told(capsys, "act_batches", user=name, approve=str(waiting.pk))
    assert ParkedBatch.objects.get().state == BatchState.APPROVED
    assert "Nothing waits" in told(capsys, "act_batches", user=name)


@pytest.mark.rule("R8.30")
def test_a_command_goes_no_further_than_its_user(mailbox, capsys):
    waiting = batch(mailbox)
    parked(waiting, pair(mailbox))
    SuperuserFactory(domain_name="root")
    out = told(capsys, "act_batches", user="root")
    assert "Quarterly plan" not in out and "***" in out
    SystemUserFactory(domain_name="stranger")
    assert "Nothing waits" in told(capsys, "act_batches", user="stranger")
    for wrong in ({"drop": str(waiting.pk)}, {"drop": "x"}):
        with pytest.raises(CommandError, match="no batch"):
            call_command("act_batches", user="stranger", **wrong)
    with pytest.raises(CommandError, match="no user"):
        call_command("act_batches", user="nobody")


# -- why


def test_why_a_contact_is_not_in_an_exchange_mailbox(mailbox, capsys):
    cleo = ContactFactory(owning_user=mailbox.regarding_user)
    copy_templates(mailbox.regarding_user, NOW)
    out = told(capsys, "explain_record", str(cleo.pk), mailbox=mailbox.email_address)
    assert "A filter matches it" in out and "matches" in out
    cleo.owning_user = SystemUserFactory()
    cleo.save()
    out = told(capsys, "explain_record", str(cleo.pk), mailbox=mailbox.email_address)
    assert "may not read this record" in out
    with pytest.raises(CommandError, match="no such record"):
        call_command("explain_record", "x", mailbox=mailbox.email_address)


def test_each_reason_has_its_answer(mailbox):
    user = mailbox.regarding_user
    cleo = ContactFactory(owning_user=user)

    def because() -> Because:
        return explain(cleo, mailbox, NOW).because

    assert because() == Because.NO_FILTER
    copy_templates(user, NOW)
    assert because() == Because.SOON
    query = UserQuery.objects.get(owning_user=user, returned_type_code=Table.CONTACT)
    cleo.state_code = 1
    cleo.save()
    assert because() == Because.NO_MATCH
    link = pair(mailbox, Table.CONTACT, object_id=cleo.pk)
    assert because() == Because.LINKED
    for columns, answer in (
        ({"state": LinkState.UNLINKED}, Because.UNLINKED),
        ({"last_sync_error_code": "ServerError383"}, Because.FAILED),
        ({"from_crm_change_type": 2}, Because.RETRIED),
        ({"batch": batch(mailbox)}, Because.PARKED),
        ({"question": "duplicate"}, Because.ASKS),
    ):
        type(link).objects.filter(pk=link.pk).update(**columns)
        assert because() == answer
    mailbox.workloads.update(enabled=False)
    assert because() == Because.NOT_RUNNING
    assert query.words


def test_the_last_thing_done_is_told(mailbox, capsys):
    cleo = ContactFactory(owning_user=mailbox.regarding_user)
    link = asking(mailbox, "duplicate", table=Table.CONTACT, object_id=cleo.pk)
    revision(link, reasons=[{"code": "changed_there", "parameters": {}}])
    out = told(capsys, "explain_record", str(cleo.pk), mailbox=mailbox.email_address)
    assert "answer a question" in out and "was changed on the server" in out
