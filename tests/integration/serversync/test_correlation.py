"""Which stored email a message answers, over whole cycles and both databases."""

import base64
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from activities.choices import CorrelationMethod, EmailStatus, HashType
from activities.mime.message import Address
from activities.mime.parse import parse
from activities.models import Email, EmailHash
from mailboxes.choices import FilteringMethod
from mailboxes.models import Organization, SystemUser, UserSettings
from serversync import outbox
from serversync.models import SyncItem
from serversync.outbox import Draft
from serversync.retention import forget
from tests.factories.mailboxes import group_of
from tests.fakes import FakeOutgoingServer
from tests.integration.serversync.cycles import (
    NOW,
    Account,
    message,
    organization,
    queue_mailbox,
    user_mailbox,
)
from tracking import earlier
from tracking.correlate import Wanted, switches_of, wanted
from tracking.matching import hash_of
from tracking.numbers import new_token
from tracking.telling import sentences

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

ROOT = bytes(range(100, 122))


def index(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def arrive(account: Account, **headers: str) -> Email | None:
    """One message, received; the email it became."""
    account.box.deliver(message(**headers))
    account.later(minutes=5)
    before = set(Email.objects.values_list("pk", flat=True))
    account.receive()
    return Email.objects.select_related("activity").exclude(pk__in=before).first()


def told(email: Email) -> list[str]:
    return [str(sentence) for sentence in sentences(email.decision)]


@pytest.fixture
def ada() -> Account:
    organization(allow_unresolved_parties_on_email_send=True)
    return Account(user_mailbox("ada"))


# -- what is stored of it


@pytest.mark.rule("R4.2")
def test_the_stored_method_is_one_of_the_published_numbers(smart: Account) -> None:
    organization(use_tracking_tokens=True)
    first = submit(smart, subject="Offer of March")
    smart.send()
    ways = {
        3: {"in_reply_to": f"<{first.message_id}>", "subject": "Other"},
        4: {"subject": f"Other {first.tracking_token}"},
        6: {"subject": "RE: Terms of April"},
        5: {"subject": "Other", "thread_index": index(ROOT + b"12345")},
        0: {"subject": "Nothing like it"},
    }
    arrive(smart, subject="Terms of April", thread_index=index(ROOT), message_id="first@x")
    found = {
        method: arrive(smart, message_id=f"{method}@x", **headers).correlation_method
        for method, headers in ways.items()
    }

    assert found == {method: method for method in ways}
    numbers = {method.name: method.value for method in CorrelationMethod}
    assert (numbers["NONE"], numbers["SKIPPED"]) == (0, 1)


# -- conversation index


@pytest.mark.rule("R4.1", "R4.14", "R4.19")
def test_an_answer_without_ids_is_found_by_its_conversation_index(ada: Account) -> None:
    contact = ada.mailbox.regarding_user  # any record will do
    first = arrive(ada, message_id="1@x", thread_index=index(ROOT))
    first.activity.regarding_type = ContentType.objects.get_for_model(contact)
    first.activity.regarding_id = str(contact.pk)
    first.activity.save()

    answer = arrive(ada, message_id="2@x", thread_index=index(ROOT + b"12345"))
    other = arrive(ada, message_id="3@x", thread_index=index(ROOT[:21] + b"?"))

    assert answer.correlated_activity_id == answer.parent_activity_id == first.pk
    assert answer.correlation_method == CorrelationMethod.CONVERSATION_INDEX == 5
    assert answer.conversation_tracking_id == first.conversation_tracking_id
    assert answer.activity.regarding_id == str(contact.pk)
    first.activity.regarding_type, first.activity.regarding_id = None, ""
    first.activity.save()
    answer.activity.refresh_from_db()
    assert answer.activity.regarding_id == str(contact.pk)
    assert "Conversation index: an email of the same conversation is stored here. (R4.14)" in told(
        answer
    )
    assert other.correlation_method == CorrelationMethod.NONE


@pytest.mark.rule("R4.14")
def test_messages_of_one_page_find_each_other_by_their_index(ada: Account) -> None:
    for number in range(3):
        raw = message(message_id=f"{number}@x", thread_index=index(ROOT + b"12345" * number))
        ada.box.deliver(raw)
    ada.receive()
    first, second, third = Email.objects.order_by("message_id")

    assert (second.parent_activity_id, third.parent_activity_id) == (first.pk, second.pk)


@pytest.mark.rule("R4.3")
@pytest.mark.parametrize(
    "switch",
    [
        {"email_correlation_enabled": False},
        {"ignore_conversation_index_and_in_reply_to_for_correlation": True},
    ],
)
def test_index_is_not_compared_where_that_is_switched_off(ada: Account, switch) -> None:
    organization(**switch)
    arrive(ada, message_id="1@x", thread_index=index(ROOT))
    answer = arrive(ada, message_id="2@x", thread_index=index(ROOT))

    assert answer.correlation_method == CorrelationMethod.NONE
    assert "Conversation index: switched off in the organization. (R4.3)" in told(answer)


@pytest.mark.rule("R4.21")
def test_an_email_that_was_deleted_is_not_found(ada: Account) -> None:
    arrive(ada, message_id="1@x", thread_index=index(ROOT)).activity.delete()
    answer = arrive(ada, message_id="2@x", in_reply_to="<1@x>", thread_index=index(ROOT))

    assert answer.correlation_method == CorrelationMethod.NONE


@pytest.mark.rule("R4.14", "R3.24")
def test_filter_of_responses_takes_what_the_index_finds() -> None:
    ada = Account(user_mailbox("ada", FilteringMethod.RESPONSES))
    support = Account(user_mailbox("support"))
    arrive(support, message_id="1@x", to="support@example.com", thread_index=index(ROOT))

    answer = arrive(ada, message_id="2@x", thread_index=index(ROOT + b"12345"))
    stranger = arrive(ada, message_id="3@x", thread_index=index(bytes(22)))

    assert answer.correlation_method == CorrelationMethod.CONVERSATION_INDEX
    assert stranger is None


# -- tracking tokens

CLEO = "cleo@customer.example"


def submit(account: Account, *, to: str = CLEO, subject: str = "Offer", sender=None) -> Email:
    user = account.mailbox.regarding_user or account.mailbox.owning_user
    draft = Draft(sender=sender or user, to=(Address(to),), subject=subject, body="<p>Text</p>")
    email = outbox.create_draft(draft, actor=user, now=account.now)
    return outbox.submit(email, actor=user, now=account.now).email


def sent_subject(account: Account) -> str:
    account.send()
    return parse(account.outgoing.sent[-1].mime).subject


@pytest.mark.rule("R5.10", "R4.4")
def test_an_answer_to_the_id_that_the_server_used_in_place_of_ours_is_found(ada: Account) -> None:
    ada.outgoing.server_message_id = "0102-9@mail.example"
    sent = submit(ada)
    ada.send()

    answer = arrive(ada, message_id="2@x", in_reply_to="<0102-9@mail.example>", subject="Thanks")

    sent.refresh_from_db()
    assert (sent.server_message_id, sent.message_id != sent.server_message_id) == (
        "0102-9@mail.example",
        True,
    )
    assert answer.correlated_activity_id == sent.pk
    assert answer.correlation_method == CorrelationMethod.IN_REPLY_TO


@pytest.mark.rule("R4.6", "R4.7", "R4.9", "R4.10", "R5.19")
def test_each_email_that_leaves_bears_the_next_token_of_its_sender(ada: Account) -> None:
    ben = Account(user_mailbox("ben"))

    tokens = [submit(ada).tracking_token, submit(ben).tracking_token, submit(ada).tracking_token]

    assert tokens == ["CRM:0001001", "CRM:0002001", "CRM:0001002"]
    assert sent_subject(ben) == "Offer CRM:0002001"
    stored = Email.objects.select_related("activity").get(tracking_token="CRM:0002001")
    assert stored.activity.subject == "Offer CRM:0002001"


@pytest.mark.rule("R4.6", "R4.7", "R4.8")
def test_tokens_are_made_as_the_organization_says(ada: Account) -> None:
    organization(
        tracking_prefix="Nr.",
        tracking_token_id_base=500,
        tracking_token_id_digits=4,
        tracking_counter_digits=1,
    )
    tokens = [submit(ada).tracking_token for _ in range(11)]

    assert tokens[0] == "Nr.005011"
    assert [token[-1] for token in tokens] == list("12345678901")


@pytest.mark.rule("R4.7")
def test_mail_of_a_queue_counts_for_whoever_sends_it(ada: Account) -> None:
    support = Account(queue_mailbox("support"))
    SystemUser.objects.filter(domain_name="owner").update(is_superuser=True)
    email = submit(support, sender=support.mailbox.regarding_queue)

    assert UserSettings.objects.get(system_user=email.submitted_by).tracking_token_id == 1
    assert sent_subject(support) == "Offer CRM:0001001"


@pytest.mark.rule("R4.9", "R4.10")
def test_a_reply_written_here_keeps_the_token_of_its_conversation(ada: Account) -> None:
    first = submit(ada)
    ada.send()
    answer = arrive(ada, message_id="2@x", in_reply_to=f"<{first.message_id}>", subject="RE: Offer")
    user = ada.mailbox.regarding_user
    reply = outbox.reply(answer, actor=user, now=ada.now)
    reply = outbox.submit(reply, actor=user, now=ada.now).email

    assert answer.tracking_token == reply.tracking_token == first.tracking_token
    assert sent_subject(ada) == "RE: Offer CRM:0001001"

    again = outbox.reply(reply, actor=user, now=ada.now)
    outbox.submit(again, actor=user, now=ada.now)
    assert sent_subject(ada) == "RE: Offer CRM:0001001"

    forwarded = outbox.forward(reply, actor=user, now=ada.now)
    outbox.update_draft(
        forwarded,
        Draft(sender=user, to=(Address(CLEO),), subject=forwarded.activity.subject),
        now=ada.now,
    )
    outbox.submit(forwarded, actor=user, now=ada.now)
    assert sent_subject(ada) == "FW: RE: Offer CRM:0001001 CRM:0001002"


@pytest.mark.rule("R4.9")
def test_a_conversation_that_began_outside_gets_its_token_with_the_first_reply(
    ada: Account,
) -> None:
    first = arrive(ada, message_id="1@x", subject="Question")
    user = ada.mailbox.regarding_user
    subjects = []
    for _ in range(2):
        reply = outbox.reply(first, actor=user, now=ada.now)
        outbox.submit(reply, actor=user, now=ada.now)
        subjects.append(sent_subject(ada))
        ada.later(minutes=1)

    assert subjects == ["RE: Question CRM:0001001"] * 2


@pytest.mark.rule("R4.10")
def test_an_email_that_is_sent_again_keeps_its_token(ada: Account) -> None:
    email = submit(ada)
    ada.outgoing.refuse(CLEO)
    ada.send()
    assert Email.objects.get(pk=email.pk).status == EmailStatus.FAILED
    ada.outgoing = FakeOutgoingServer()

    outbox.submit(email, actor=ada.mailbox.regarding_user, now=ada.now)

    assert sent_subject(ada) == "Offer CRM:0001001"
    assert submit(ada).tracking_token == "CRM:0001002"


@pytest.mark.rule("R4.11")
def test_a_long_subject_is_cut_so_that_the_token_fits(ada: Account) -> None:
    submit(ada, subject="a" * 700)
    assert sent_subject(ada) == "a" * 243 + " CRM:0001001"

    organization(use_tracking_tokens=False, maximum_subject_length_on_mail_server=30)
    submit(ada, subject="a" * 700)
    assert sent_subject(ada) == "a" * 30


@pytest.mark.rule("R4.3")
def test_no_token_where_they_are_switched_off(ada: Account) -> None:
    first = submit(ada)
    ada.send()
    organization(use_tracking_tokens=False)

    assert (submit(ada).tracking_token, sent_subject(ada)) == ("", "Offer")
    answer = arrive(ada, subject=f"RE: Offer {first.tracking_token}")
    assert answer.correlation_method == CorrelationMethod.NONE
    assert "Tracking token: switched off in the organization. (R4.3)" in told(answer)


@pytest.mark.rule("R4.1", "R4.12", "R4.19")
def test_an_answer_without_headers_is_found_by_its_token(ada: Account) -> None:
    first = submit(ada)
    ada.send()

    answer = arrive(ada, subject="AW: Offer crm:0001001 (urgent)", message_id="2@x")

    assert answer.correlation_method == CorrelationMethod.TRACKING_TOKEN == 4
    assert (answer.correlated_activity_id, answer.parent_activity_id) == (first.pk, None)
    assert answer.conversation_tracking_id == first.conversation_tracking_id
    assert not SyncItem.objects.filter(reason="").exists()
    assert (
        "Tracking token: CRM:0001001 is that of a conversation stored here. Common participants: "
        f"{CLEO}. (R4.12)"
    ) in told(answer)


@pytest.mark.rule("R4.12")
def test_a_changed_prefix_is_still_recognised(ada: Account) -> None:
    first = submit(ada)
    ada.send()
    row = Organization.objects.current()
    row.tracking_prefix = "Case "
    row.full_clean()
    row.save()

    assert row.former_tracking_prefixes == ["CRM:"]
    assert submit(ada).tracking_token == "Case 0001002"
    answer = arrive(ada, subject="RE: Offer CRM:0001001")
    assert answer.correlated_activity_id == first.pk
    row.full_clean()
    assert row.former_tracking_prefixes == ["CRM:"]


@pytest.mark.parametrize("prefixes", ["CRM:", 5, [1], [[]], [""], ["x" * 21], {"CRM:": 1}])
def test_former_prefixes_are_a_list_of_texts(ada: Account, prefixes) -> None:
    row = organization(former_tracking_prefixes=[])
    row.former_tracking_prefixes = prefixes
    row.tracking_prefix = "New:"
    with pytest.raises(ValidationError, match="list of texts"):
        row.full_clean()


@pytest.mark.rule("R4.13", "R3.15")
def test_a_stranger_with_a_token_is_not_believed(ada: Account) -> None:
    first = submit(ada)
    ada.send()
    strange = {"sender": "mallory@evil.example", "subject": "Pay here CRM:0001001"}

    refused = arrive(ada, **strange)
    assert refused.correlation_method == CorrelationMethod.NONE
    assert any("Not believed. (R4.13)" in sentence for sentence in told(refused))

    organization(check_token_participants=False)
    assert arrive(ada, **strange, message_id="3@x").correlated_activity_id == first.pk

    organization(check_token_participants=True, strict_parity=True)
    group_of(ada.mailbox.regarding_user, "add_email")  # R3.29 asks for it then
    assert arrive(ada, **strange, message_id="4@x").correlated_activity_id == first.pk


@pytest.mark.rule("R3.15")
def test_a_token_that_nothing_bears_is_the_reason_of_the_rejection() -> None:
    ada = Account(user_mailbox("ada", FilteringMethod.RESPONSES))

    assert arrive(ada, subject="Offer CRM:0009999") is None

    item = SyncItem.objects.get()
    assert (item.reason, item.sub_reason) == ("NoCorrelationMatch", "token_unknown")
    assert "Tracking token: no email stored here has CRM:0009999. (R4.12)" in [
        str(sentence) for sentence in sentences(item.trace)
    ]


@pytest.mark.rule("R4.8")
def test_of_tokens_that_repeat_the_conversation_of_the_participants_is_found(ada: Account) -> None:
    organization(tracking_counter_digits=1)
    people = [f"{number}@customer.example" for number in range(20)]
    emails = [submit(ada, to=address) for address in people]
    assert emails[3].tracking_token == emails[13].tracking_token

    for number in (3, 13):
        answer = arrive(
            ada, sender=people[number], subject=f"RE: Offer {emails[number].tracking_token}"
        )
        assert answer.correlated_activity_id == emails[number].pk
        assert any("of 2 conversations with CRM:00014" in sentence for sentence in told(answer))


def test_many_emails_with_one_token_are_bounded(ada: Account) -> None:
    email = submit(ada)
    for number in range(earlier.MOST_OF_TOKEN + 10):
        arrive(ada, message_id=f"{number}@x", in_reply_to=f"<{email.message_id}>")
    rows = earlier.load([], Wanted(tokens=frozenset({email.tracking_token})), NOW)

    assert len(rows) == earlier.MOST_OF_TOKEN
    newest = Email.objects.order_by("-activity__sort_date")[: earlier.MOST_OF_TOKEN]
    assert {row.pk for row in rows} == {row.pk for row in newest}


@pytest.mark.rule("R4.7", "R4.8")
@pytest.mark.django_db(transaction=True)
def test_no_two_emails_get_the_same_token_at_the_same_time() -> None:
    users = [SystemUser.objects.create_user(name) for name in ("ada", "ben")]
    organization = Organization.objects.current()
    tokens: list[str] = []

    def take() -> None:
        try:
            for _ in range(10):
                for user in users:
                    with transaction.atomic():
                        tokens.append(new_token(user, organization))
        finally:
            connection.close()

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(tokens) == len(set(tokens)) == 80
    assert sorted(UserSettings.objects.values_list("tracking_token_id", flat=True)) == [1, 2]
    assert set(UserSettings.objects.values_list("next_tracking_number", flat=True)) == {41}


# -- smart matching


@pytest.fixture
def smart(ada: Account) -> Account:
    organization(enable_smart_matching=True, use_tracking_tokens=False)
    return ada


def hashes(email: Email, kind: HashType) -> set[int]:
    return set(email.hashes.filter(hash_type=kind).values_list("hash", flat=True))


@pytest.mark.rule("R4.15", "R4.18", "R5.19")
def test_hashes_are_stored_of_what_is_sent_and_of_what_is_received(ada: Account) -> None:
    sent = submit(ada, subject="RE: Offer of March")
    received = arrive(ada, subject="AW: Terms", cc="Dan@Customer.example", message_id="2@x")

    words = {hash_of(word) for word in ("offer", "of", "march", "crm:0001001")}
    assert hashes(sent, HashType.SUBJECT) == words
    assert hashes(sent, HashType.ADDRESS) == {hash_of("ada@example.com"), hash_of(CLEO)}
    assert hashes(received, HashType.SUBJECT) == {hash_of("terms")}
    people = ("ada@example.com", CLEO, "dan@customer.example")
    assert hashes(received, HashType.ADDRESS) == {hash_of(address) for address in people}

    ada.outgoing.refuse(CLEO)
    ada.send()
    user = ada.mailbox.regarding_user
    draft = Draft(sender=user, to=(Address("dan@customer.example"),), subject="Terms")
    outbox.update_draft(Email.objects.get(pk=sent.pk), draft, now=ada.now)
    outbox.submit(sent, actor=user, now=ada.now)
    assert hashes(sent, HashType.SUBJECT) == {hash_of("terms"), hash_of("crm:0001001")}
    assert hash_of(CLEO) not in hashes(sent, HashType.ADDRESS)

    received.activity.delete()
    assert not EmailHash.objects.filter(activity=received.pk).exists()


@pytest.mark.rule("R4.1", "R4.16", "R4.19")
def test_an_answer_is_found_by_subject_and_people(smart: Account) -> None:
    first = submit(smart, subject="Offer of March")
    smart.send()

    answer = arrive(smart, subject="AW: OFFER of March", message_id="2@x")

    assert answer.correlation_method == CorrelationMethod.SMART_MATCHING == 6
    assert (answer.correlated_activity_id, answer.parent_activity_id) == (first.pk, None)
    assert any(
        "words of the subject 3 (needed 3), addresses 2 (needed 2)" in line for line in told(answer)
    )


@pytest.mark.rule("R4.16")
@pytest.mark.parametrize(
    ("setting", "headers"),
    [
        ({"hash_delta_subject_count": 1}, {"subject": "Offer of April"}),
        ({"hash_min_address_count": 1}, {"subject": "Offer of March", "sender": "dan@x.example"}),
        ({"hash_filter_keywords": "^(Urgent )"}, {"subject": "Urgent Offer of March"}),
    ],
)
def test_the_settings_decide_what_is_near_enough(smart: Account, setting, headers) -> None:
    submit(smart, subject="Offer of March")
    smart.send()
    before = arrive(smart, message_id="2@x", **headers)
    Email.objects.filter(pk=before.pk).delete()
    organization(**setting)

    after = arrive(smart, message_id="3@x", **headers)

    assert before.correlation_method == CorrelationMethod.NONE
    assert any("none matches" in line or "has such a subject" in line for line in told(before))
    assert after.correlation_method == CorrelationMethod.SMART_MATCHING


@pytest.mark.rule("R4.15")
def test_few_hashes_are_kept_where_the_organization_says_so(smart: Account) -> None:
    organization(hash_max_count=2)
    email = arrive(smart, subject="one two three four", cc="dan@x.example, eve@x.example")

    assert hashes(email, HashType.SUBJECT) == {hash_of("one"), hash_of("two")}
    assert len(hashes(email, HashType.ADDRESS)) == 2


@pytest.mark.rule("R4.16")
def test_messages_of_one_page_match_and_the_newest_wins(smart: Account) -> None:
    for number in range(3):
        smart.box.deliver(message(message_id=f"{number}@x", subject="Offer of March"))
        smart.later(minutes=1)
    smart.receive()
    first, second, third = Email.objects.order_by("message_id")

    assert first.correlated_activity_id is None
    assert second.correlated_activity_id == first.pk
    assert third.correlated_activity_id in (first.pk, second.pk)
    fourth = arrive(smart, message_id="4@x", subject="RE: Offer of March")
    newest = Email.objects.exclude(pk=fourth.pk).order_by("-activity__sort_date").first()
    assert fourth.correlated_activity_id == newest.pk


@pytest.mark.rule("R4.3")
def test_nothing_is_matched_where_that_is_switched_off(smart: Account) -> None:
    organization(enable_smart_matching=False)
    submit(smart)
    answer = arrive(smart, subject="Re: Offer")

    assert answer.correlation_method == CorrelationMethod.NONE
    assert "Smart matching: switched off in the organization. (R4.3)" in told(answer)


@pytest.mark.rule("R4.17")
@pytest.mark.parametrize(("days", "matches"), [(90, True), (91, False)])
def test_it_looks_back_90_days(smart: Account, days: int, matches: bool) -> None:
    submit(smart)
    smart.send()
    smart.later(days=days, minutes=-5)
    answer = arrive(smart, subject="Re: Offer", date="Tue, 02 Jun 2026 10:00:00 +0000")

    assert (answer.correlation_method == CorrelationMethod.SMART_MATCHING) is matches


@pytest.mark.rule("R4.17")
def test_hashes_are_forgotten_when_nothing_looks_back_so_far(smart: Account) -> None:
    submit(smart)
    assert forget(NOW + timedelta(days=89)).hashes == 0
    assert EmailHash.objects.exists()

    assert forget(NOW + timedelta(days=91)).hashes == 3
    assert not EmailHash.objects.exists()
    assert Email.objects.exists()


@pytest.mark.rule("R4.15")
def test_an_expression_that_never_ends_stops_no_mail(smart: Account) -> None:
    organization(hash_filter_keywords=r"^(a|aa)+$")
    for number in range(5):
        smart.box.deliver(message(message_id=f"{number}@x", subject="a" * 200 + "!"))

    smart.receive()

    assert Email.objects.count() == 5
    row = Organization.objects.current()
    for pattern in ("(", "*"):
        row.hash_filter_keywords = pattern
        with pytest.raises(ValidationError, match="regular expression"):
            row.clean_fields()


@pytest.mark.rule("R4.17")
@pytest.mark.database("postgresql")
def test_a_million_hashes_are_searched_by_their_index(smart: Account) -> None:
    """A fifth of all subjects have the word, and a fifth of all mail has our address."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # rows without their emails
        with without_indexes(cursor, "activities_emailhash"):
            cursor.execute(
                """
                INSERT INTO activities_emailhash (activity_id, hash_type, hash, sort_date)
                SELECT lpad(to_hex(n %% 100000), 32, '0')::uuid, n %% 2,
                       CASE WHEN n %% 10 = 0 THEN %s WHEN n %% 10 = 1 THEN %s ELSE n END,
                       %s::timestamptz - (n %% 365) * interval '1 day'
                FROM generate_series(1, 1000000) AS n
                """,
                [hash_of("offer"), hash_of("ada@example.com"), NOW],
            )
        cursor.execute("ANALYZE activities_emailhash")
        want = wanted(
            [parse(message(subject="Re: Offer"))],
            switches_of(Organization.objects.current()),
            {"ada@example.com"},
        )
        emails = earlier.find([uuid4()], want, NOW - timedelta(days=90))
        sql, params = emails.query.sql_with_params()
        cursor.execute(f"EXPLAIN {sql}", params)
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert "Scan using email_hash_newest" in plan or "Scan on email_hash_newest" in plan, plan
    assert "Seq Scan on activities_emailhash" not in plan, plan
    assert re.search(r"Index Cond: .*sort_date >=", plan), plan
    answer = arrive(smart, subject="Re: Offer", message_id="2@x")
    assert answer.correlation_method == CorrelationMethod.NONE


@contextmanager
def without_indexes(cursor, table: str) -> Iterator[None]:
    """Filling a table is faster without."""
    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s AND indexname NOT LIKE %s",
        [table, "%_pkey"],
    )
    indexes = cursor.fetchall()
    for name, _ in indexes:
        cursor.execute(f'DROP INDEX "{name}"')
    yield
    for _, definition in indexes:
        cursor.execute(definition)
