"""What rows come to, decided without a database: records as they are in, decisions with their reasons out."""

from datetime import UTC, datetime

import pytest

from mailboxes.choices import (
    AccessApproval,
    CredentialRetrieval,
    OutgoingDeliveryMethod,
    ServerType,
)
from mailboxes.models import EmailServerProfile, Mailbox, Organization, Queue, SystemUser
from mailboxes.secrets import Secret
from serversync.choices import ImportKind, Verdict
from serversync.importing.applying import told
from serversync.importing.held import agreed, stored
from serversync.importing.planning import plan
from serversync.importing.world import MODELS, NAMED_BY, NOWHERE, Index, Within, World

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
USERS, QUEUES, PROFILES, MAILBOXES = ImportKind


def kept(record):
    """As if it came from the database."""
    record._state.adding = False
    return record


def user(name, **columns):
    columns.setdefault("internal_email_address", f"{name}@example.com")
    return kept(SystemUser(domain_name=name, **columns))


def box(address="in@example.com", **columns):
    return kept(Mailbox(name="In", email_address=address, owning_user_id=ADA.pk, **columns))


ADA = user("ada", last_name="Example")
BEN = user("ben", last_name="Example")


def world(kind, *records, named=(), **more) -> World:
    by = {USERS: NAMED_BY["user"][1], QUEUES: NAMED_BY["queue"][1]}
    columns = by.get(kind, ("email_address",) if kind == MAILBOXES else ("name",))
    indexes = {sort: Index(model, words) for sort, (model, words) in NAMED_BY.items()}
    for row in (*named, ADA, BEN):
        for index in indexes.values():
            if isinstance(row, index.model):
                index.add(row)
    return World(
        kind=kind,
        organization=Organization(),
        records=Index(MODELS[kind], columns, records),
        named=indexes,
        **more,
    )


def decided(site, *rows):
    return plan([(number, cells) for number, cells in enumerate(rows, start=2)], site, NOW)


def verdicts(decisions):
    return [decision.verdict for decision in decisions]


def words_of(decision):
    return " ".join(f"{reason.label}: {reason.words}" for reason in decision.reasons)


def test_each_row_creates_changes_leaves_or_refuses():
    found = decided(
        world(USERS, ADA, BEN),
        {"domain_name": "cleo", "last_name": "New"},
        {"domain_name": "ADA", "last_name": "Other"},
        {"internal_email_address": "Ben@Example.com", "last_name": "Example"},
        {"last_name": "Nobody"},
    )

    assert verdicts(found) == [
        Verdict.CREATE,
        Verdict.UPDATE,
        Verdict.UNCHANGED,
        Verdict.REFUSED,
    ]
    (change,) = found[1].changes
    assert (change.label, change.before, change.after) == ("Last name", "Example", "Other")
    assert found[1].changed == {"last_name"}
    assert (ADA.last_name, ADA.domain_name) == ("Example", "ada")
    assert "Fill in one of: Sign-in name, Primary email" in words_of(found[3])


def test_a_file_that_was_applied_changes_nothing_any_more():
    rows = (
        {
            "domain_name": "cleo",
            "last_name": "New",
            "is_disabled": "no",
            "parent_system_user": "ada",
        },
        {"domain_name": "ada", "job_title": "(empty)", "last_name": "Other"},
    )
    first = decided(world(USERS, ADA), *rows)

    again = decided(world(USERS, *(kept(each.record) for each in first)), *rows)

    assert verdicts(again) == [Verdict.UNCHANGED, Verdict.UNCHANGED]


def test_a_sign_in_name_that_nobody_has_is_never_another_name_for_somebody():
    holder = kept(Mailbox(name="Ada", email_address="ada@example.com", regarding_user=ADA))

    (found,) = decided(
        world(USERS, ADA, holders={"ada@example.com": holder}),
        {"domain_name": "cleo", "internal_email_address": "ada@example.com"},
    )

    assert found.verdict == Verdict.REFUSED
    assert "R1.5" in words_of(found)


def test_the_own_address_is_nobody_elses():
    ada = user("ada", internal_email_address="old@example.com")
    own = kept(Mailbox(name="Ada", email_address="ada@example.com", regarding_user=ada))
    site = world(USERS, ada, holders={"ada@example.com": own})

    (found,) = decided(site, {"domain_name": "ada", "internal_email_address": "ada@example.com"})

    assert found.verdict == Verdict.UPDATE


def test_rows_may_name_what_rows_above_them_make():
    rows = {"domain_name": "cleo"}, {"domain_name": "dora", "parent_system_user": "cleo"}

    assert verdicts(decided(world(USERS), *rows)) == [Verdict.CREATE, Verdict.CREATE]
    below = decided(world(USERS), *reversed(rows))
    assert verdicts(below) == [Verdict.REFUSED, Verdict.CREATE]
    assert "must come in a row above" in words_of(below[0])


def test_what_is_out_of_reach_is_refused_without_a_word_of_it():
    hidden = user("dora", last_name="Hidden")
    site = world(USERS, ADA, hidden, seen=Within(frozenset({ADA.pk})), changeable=NOWHERE)

    found = decided(
        site,
        {"domain_name": "dora", "last_name": "Other"},
        {"domain_name": "ada", "last_name": "Other"},
        {"domain_name": "ada"},
    )

    assert verdicts(found) == [Verdict.REFUSED] * 3
    assert found[0].record is None and "Hidden" not in str(stored(found[0]))
    assert "mailboxes.change_systemuser" in words_of(found[1])
    assert "Row 3" in words_of(found[2])


def test_nobody_disables_himself_and_only_superusers_change_superusers():
    root = user("root", is_superuser=True)
    site = world(USERS, ADA, root, actor=ADA)

    found = decided(
        site,
        {"domain_name": "ada", "is_disabled": "yes"},
        {"domain_name": "root", "last_name": "Other"},
    )

    assert verdicts(found) == [Verdict.REFUSED, Verdict.REFUSED]


def test_queues_of_one_name_are_told_apart_by_address():
    one = kept(Queue(name="Sales", email_address="a@example.com", owning_user=ADA))
    two = kept(Queue(name="sales", email_address="b@example.com", owning_user=ADA))
    site = world(QUEUES, one, two)

    found = decided(
        site,
        {"name": "Sales", "description": "Which?"},
        {"name": "Sales", "email_address": "b@example.com", "description": "This"},
    )

    assert verdicts(found) == [Verdict.REFUSED, Verdict.UPDATE]
    assert "2 records have this name" in words_of(found[0])
    assert found[1].record.pk == two.pk


def test_a_new_record_is_the_importers_and_has_one_owner():
    mine, nobodys = (
        decided(world(QUEUES, actor=actor), {"name": "Sales"})[0] for actor in (ADA, None)
    )
    assert (mine.verdict, mine.record.owning_user_id) == (Verdict.CREATE, ADA.pk)
    assert nobodys.verdict == Verdict.REFUSED
    assert "exactly one owner" in words_of(nobodys)


def test_members_are_replaced_as_a_whole_and_only_if_they_differ():
    queue = kept(Queue(name="Sales", owning_user=ADA))
    members = {queue.pk: frozenset({ADA.pk})}

    same, more, none = (
        decided(world(QUEUES, queue, members=members), {"name": "Sales", "members": cell})[0]
        for cell in ("ada@example.com;", "ada；\nben", "(empty)")
    )

    assert same.verdict == Verdict.UNCHANGED
    assert more.members == {ADA.pk, BEN.pk}
    assert none.members == frozenset()


@pytest.mark.rule("R1.12")
def test_addresses_of_exchange_are_completed_as_the_form_does():
    (found,) = decided(
        world(PROFILES, actor=ADA),
        {
            "name": "Exchange",
            "server_type": str(ServerType.EXCHANGE_SERVER.value),
            "incoming_server_location": "mail.example.com",
            "outgoing_server_location": "https://mail.example.com/EWS/Exchange.asmx",
        },
    )

    assert found.verdict == Verdict.CREATE, words_of(found)
    assert found.record.incoming_server_location == "https://mail.example.com/EWS/Exchange.asmx"


@pytest.mark.rule("R1.11")
def test_a_providers_name_brings_its_servers_as_in_the_form():
    cells = {
        "name": "G",
        "server_type": "gmail (imap)",
        "incoming_server_location": "a.example.com",
    }
    first = decided(world(PROFILES, actor=ADA), cells)[0]

    assert first.verdict == Verdict.CREATE, words_of(first)
    assert first.record.incoming_server_location == "imap.gmail.com"
    assert first.record.incoming_credential_retrieval == CredentialRetrieval.GMAIL_OAUTH
    assert decided(world(PROFILES, kept(first.record)), cells)[0].verdict == Verdict.UNCHANGED


@pytest.mark.rule("R1.26")
def test_the_switches_of_the_organization_hold_for_imports():
    cells = {
        "name": "Plain",
        "incoming_server_location": "a.example.com",
        "outgoing_server_location": "a.example.com",
        "incoming_uses_ssl": "no",
    }

    (found,) = decided(world(PROFILES, actor=ADA), cells)

    assert found.verdict == Verdict.REFUSED
    assert "R1.26" in words_of(found)


def test_who_may_not_move_secrets_brings_the_sites_client_nowhere():
    cells = {
        "name": "Online",
        "server_type": str(ServerType.EXCHANGE_ONLINE.value),
        "incoming_credential_retrieval": str(CredentialRetrieval.SERVER_TO_SERVER.value),
        "outgoing_credential_retrieval": str(CredentialRetrieval.SERVER_TO_SERVER.value),
        "use_auto_discover": "yes",
    }

    may, may_not = (
        decided(world(PROFILES, actor=ADA, moves_secrets=within), cells)[0]
        for within in (Within(), NOWHERE)
    )

    assert may.verdict == Verdict.CREATE, words_of(may)
    assert may_not.verdict == Verdict.REFUSED
    assert "mailboxes.move_secrets" in words_of(may_not)


@pytest.mark.rule("R1.2")
def test_only_forward_mailboxes_are_made_and_only_in_so_many_words():
    profile = kept(EmailServerProfile(name="Main"))
    site = world(MAILBOXES, actor=ADA, named=[profile])

    found = decided(
        site,
        {"email_address": "a@example.com"},
        {"email_address": "b@example.com", "is_forward_mailbox": "yes"},
        {
            "email_address": "c@example.com",
            "is_forward_mailbox": "yes",
            "outgoing_email_delivery_method": str(OutgoingDeliveryMethod.SERVER_SIDE_SYNC.value),
        },
    )

    assert verdicts(found) == [Verdict.REFUSED, Verdict.CREATE, Verdict.REFUSED]
    assert "R1.2" in words_of(found[0])
    assert found[1].record.name == "b@example.com"


@pytest.mark.rule("R1.3")
def test_whom_the_mailbox_of_a_user_belongs_to_is_not_changed():
    mine = kept(Mailbox(name="Ada", regarding_user=ADA, owning_user=ADA, is_forward_mailbox=False))
    site = world(MAILBOXES, mine, of_parties={ADA.pk: mine})

    found = decided(site, {"regarding_user": "ada", "owning_user": "ben"})

    assert verdicts(found) == [Verdict.REFUSED]
    assert "R1.3" in words_of(found[0])


@pytest.mark.rule("R2.4")
@pytest.mark.parametrize(
    ("cell", "may", "verdict", "approval"),
    [
        ("Approved", Within(), Verdict.UPDATE, AccessApproval.APPROVED),
        ("Rejected", Within(), Verdict.UPDATE, AccessApproval.REJECTED),
        ("Pending Approval", Within(), Verdict.UNCHANGED, None),
        ("Empty", Within(), Verdict.REFUSED, None),
        ("Approved", NOWHERE, Verdict.REFUSED, None),
    ],
)
def test_approval_is_given_where_the_column_asks_by_who_may(cell, may, verdict, approval):
    mailbox = box(email_router_access_approval=AccessApproval.PENDING)
    site = world(MAILBOXES, mailbox, approvable=may)
    cells = {"email_address": mailbox.email_address, "email_router_access_approval": cell}

    (found,) = decided(site, cells)

    assert found.verdict == verdict, words_of(found)
    if verdict != Verdict.REFUSED:
        assert found.approval == approval


def test_no_word_of_a_password_is_in_what_is_told():
    mailbox = box(password="former-secret")
    cells = {"email_address": mailbox.email_address, "password": "canary-secret"}

    (found,) = decided(world(MAILBOXES, mailbox), cells)

    assert found.verdict == Verdict.UPDATE
    assert found.record.password.reveal() == "canary-secret"
    line = stored(found)
    assert "secret" not in str(line)
    assert [change[3] for change in line["changes"]] == ["entered"]
    assert agreed(line) == told(found)


@pytest.mark.rule("R1.9")
def test_only_who_may_move_secrets_learns_whether_a_stored_one_is_the_same():
    mailbox = box(password="stored-secret")
    cells = {"email_address": mailbox.email_address, "password": "stored-secret"}

    trusted, other = (
        decided(world(MAILBOXES, mailbox, moves_secrets=within), cells)[0]
        for within in (Within(), Within(frozenset({ADA.pk})))
    )

    assert (trusted.verdict, other.verdict) == (Verdict.UNCHANGED, Verdict.UPDATE)


def test_a_secret_says_what_it_is_only_by_comparison():
    assert Secret.conceal("secret").says("secret")
    assert not Secret.conceal("secret").says("Secret")
    assert not Secret("unreadable").says("secret")
    assert not Secret("").says("secret")
