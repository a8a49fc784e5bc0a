"""What if: what would have become of mail under other settings, and nothing written for it."""

import io
import json
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from activities.models import Email
from mailboxes.choices import FilteringMethod
from mailboxes.models import Organization
from serversync import byhand, whatif
from serversync.models import SyncItem
from serversync.othersettings import SETTABLE, settings_of, value_of
from serversync.retention import forget
from serversync.whatif import Facet, TooMany, Unknown, what_if, what_if_messages
from tests.factories.mailboxes import group_of
from tests.integration.serversync.cycles import NOW, Account, message, organization, user_mailbox
from tracking.again import Settings

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def ada() -> Account:
    """Mail that was tracked, an answer to it, and mail that was rejected."""
    account = Account(user_mailbox("ada", FilteringMethod.RESPONSES))
    ben = Account(user_mailbox("ben", FilteringMethod.ALL))
    both = "ada@example.com, ben@example.com"
    ben.box.deliver(message(message_id="first@x.example", to="ben@example.com", subject="One"))
    ben.receive()
    account.later(minutes=1)
    account.box.deliver(message(message_id="no@x.example", subject="Two"))
    account.box.deliver(
        message(
            message_id="re@x.example", to=both, subject="Re: One", In_Reply_To="<first@x.example>"
        )
    )
    account.box.deliver(
        message(message_id="rere@x.example", subject="Re: Two", In_Reply_To="<no@x.example>")
    )
    account.receive()
    return account


def all_of(account: Account):
    return SyncItem.objects.filter(mailbox=account.mailbox)


def told(comparison) -> dict[str, tuple[str, str]]:
    return {
        one.item.message_id.partition("@")[0]: (one.before["outcome"], one.after["outcome"])
        for one in comparison.differences
    }


def counted() -> dict[str, int]:
    return {model._meta.label: model._default_manager.count() for model in apps.get_models()}


def columns() -> list[object]:
    return [
        list(SyncItem.objects.order_by("pk").values()),
        list(Email.objects.order_by("pk").values()),
        list(Organization.objects.values()),
    ]


@pytest.mark.rule("R8.33")
def test_mail_that_was_rejected_is_decided_again_with_what_comes_of_it(ada: Account) -> None:
    key = ("mailboxes.systemuser", str(ada.mailbox.regarding_user_id))
    result = what_if(all_of(ada), Settings(filters={key: FilteringMethod.ALL}), LATER)
    assert told(result) == {
        "no": ("rejected", "tracked"),
        "re": ("tracked", "tracked"),
        "rere": ("rejected", "tracked"),
    }
    by_id = {one.item.message_id: one for one in result.differences}
    first, answer = by_id["no@x.example"], by_id["rere@x.example"]
    assert answer.after["correlation"]["email"] == str(first.email_id)
    assert result.outcomes() == {"tracked": 2, "": 1}


def test_an_answer_is_no_answer_without_correlation(ada: Account) -> None:
    result = what_if(
        all_of(ada), Settings(organization={"email_correlation_enabled": False}), LATER
    )
    assert told(result)["re"] == ("tracked", "tracked")  # for Ben takes all
    (one,) = result.changed
    assert Facet.ANSWERS in one.facets and Facet.ENTITY in one.facets
    assert result.unchanged == 2


def test_with_the_settings_as_they_are_nothing_differs(ada: Account) -> None:
    assert what_if(SyncItem.objects.all(), Settings(), LATER).changed == []


def test_nothing_is_written(ada: Account) -> None:
    before, rows = counted(), columns()
    settings = Settings(organization={"strict_parity": True, "email_correlation_enabled": False})
    with CaptureQueriesContext(connection) as queries:
        what_if(SyncItem.objects.all(), settings, LATER)
        what_if_messages([("a", message(to="ada@example.com"))], ada.mailbox, settings, LATER)
    assert len(queries) > 10
    assert [q["sql"] for q in queries if not q["sql"].startswith(("SELECT", "DECLARE"))] == []
    assert counted() == before
    assert columns() == rows
    assert not Organization.objects.current().strict_parity


def test_later_mail_explains_no_earlier_mail(ada: Account) -> None:
    """The mail that "rere" answers is tracked by hand later; then it had been rejected still."""
    cleo = Account(user_mailbox("cleo", FilteringMethod.ALL))
    cleo.later(days=1)
    cleo.box.deliver(message(message_id="no@x.example", to="cleo@example.com", subject="Two"))
    cleo.receive()
    assert what_if(all_of(ada), Settings(), NOW + timedelta(days=2)).changed == []


def test_what_was_filed_by_hand_since_makes_no_difference(ada: Account) -> None:
    first = Email.objects.get(message_id="first@x.example")
    pointer = first.activity
    record = ada.mailbox.regarding_user
    pointer.regarding_type = ContentType.objects.get_for_model(record)
    pointer.regarding_id = str(record.pk)
    pointer.save()
    assert what_if(all_of(ada), Settings(), LATER).changed == []


@pytest.mark.rule("R3.73")
def test_what_was_blanked_can_not_be_decided_again(ada: Account) -> None:
    forget(NOW + timedelta(days=10))
    result = what_if(all_of(ada), Settings(), NOW + timedelta(days=10))
    assert result.unknown() == {Unknown.BLANKED: 2}
    assert result.changed == []


def test_too_many_are_not_begun(ada: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whatif, "MOST_ITEMS", 2)
    with pytest.raises(TooMany, match="3 items"):
        what_if(all_of(ada), Settings(), LATER)


def test_statements_grow_with_chunks_not_with_items(ada: Account) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            what_if(all_of(ada), Settings(), NOW + timedelta(days=1))
        return len(queries)

    few = statements()
    for number in range(30):
        ada.box.deliver(message(message_id=f"more-{number}@x.example", subject=f"More {number}"))
    ada.later(minutes=1)
    ada.receive()
    assert statements() == few


def test_files_are_decided_one_after_the_other(ada: Account) -> None:
    key = ("mailboxes.systemuser", str(ada.mailbox.regarding_user_id))
    files = [
        ("1.eml", message(message_id="a@x.example")),
        ("2.eml", message(message_id="b@x.example", In_Reply_To="<a@x.example>")),
    ]
    result = what_if_messages(
        files, ada.mailbox, Settings(filters={key: FilteringMethod.ALL}), LATER
    )
    assert [one.after["outcome"] for one in result.differences] == ["tracked", "tracked"]
    assert [one.before["outcome"] for one in result.differences] == ["rejected", "rejected"]
    same = what_if_messages(
        files, ada.mailbox, Settings(organization={"tracking_prefix": "X"}), LATER
    )
    assert same.changed == []


def test_command_tells_counts_and_both_sentences(ada: Account, monkeypatch) -> None:
    monkeypatch.setattr("serversync.management.commands.what_if.timezone.now", lambda: LATER)
    out = io.StringIO()
    call_command("what_if", "ada@example.com", "--filter", "ada@example.com=all", stdout=out)
    text = out.getvalue()
    assert "2 would now be: tracked" in text.lower()
    assert "was:   Rejected, NoCorrelationMatch" in text
    assert "would: Tracked, AcceptAll" in text
    out = io.StringIO()
    call_command(
        "what_if", "ada@example.com", "--filter", "ada@example.com=all", "--json", stdout=out
    )
    records = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {record["message_id"] for record in records} >= {"no@x.example", "rere@x.example"}
    assert all(record["before"] and record["after"] for record in records)


def test_command_tells_who_asked_for_what_by_hand(ada: Account) -> None:
    user = ada.mailbox.regarding_user
    group_of(user, "track_syncitem", "view_syncitem")
    byhand.track(all_of(ada).filter(state="rejected"), actor=user, now=NOW)
    ada.later(minutes=30)
    ada.receive()
    off = ["--set", "email_correlation_enabled=off", "--days", "9999"]
    out = io.StringIO()
    call_command("what_if", "ada@example.com", *off, stdout=out)
    (was,) = [line for line in out.getvalue().splitlines() if "asked on" in line]
    assert was.startswith("  was:   Ada asked on ")
    assert was.endswith("Tracked by hand: no filter was asked. (R3.18)")


def test_explain_message_with_other_settings(ada: Account, tmp_path) -> None:
    file = tmp_path / "message.eml"
    file.write_bytes(message(message_id="new@x.example"))

    def explained(*arguments: str) -> str:
        out = io.StringIO()
        call_command(
            "explain_message", str(file), "--mailbox", "ada@example.com", *arguments, stdout=out
        )
        return out.getvalue()

    assert explained().startswith("Rejected")
    assert explained("--filter", "ada@example.com=all").startswith("Tracked, AcceptAll")
    assert "Otherwise than" in explained("--filter", "ada@example.com=all")
    assert "The same as" in explained("--set", "tracking_prefix=X:")


def test_settings_from_texts() -> None:
    organization()
    user_mailbox("ada")
    assert value_of("email_correlation_enabled", "off") is False
    assert value_of("hash_max_count", "7") == 7
    for wrong in ("email_correlation_enabled=perhaps", "hash_max_count=x", "name=Other", "x"):
        with pytest.raises(ValidationError):
            settings_of([wrong], [])
    for wrong in ("ada@example.com=some", "nobody@example.com=all", "x"):
        with pytest.raises(ValidationError):
            settings_of([], [wrong])
    with pytest.raises(CommandError, match="no setting"):
        call_command("what_if", "ada@example.com", "--set", "name=Other")
    assert all(hasattr(Organization, name) for name in SETTABLE)
