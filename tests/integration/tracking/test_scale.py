"""What the look-ups of a page cost on a site with 200,000 contacts: few statements, all by index."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models

from activities.mime.parse import parse
from activities.models import Contact
from mailboxes.models import EmailSearch
from tests.integration.serversync.cycles import NOW, message, organization, queue_mailbox
from tests.statements import Counted, counting
from tracking.lookups import Page, page_of
from tracking.reading import Reading, reading_of

pytestmark = [
    pytest.mark.integration,
    pytest.mark.django_db,
    pytest.mark.database("postgresql"),
]

CONTACTS = 200_000
BIG = {Contact._meta.db_table, EmailSearch._meta.db_table}


def copies(row: models.Model, source: str, **columns: str) -> None:
    """Rows like this one, made by the database: what differs is an expression for each column. It is read once,
    whatever the planner has heard of tables that were empty a moment ago."""
    table = row._meta.db_table
    names = [field.column for field in row._meta.concrete_fields]
    values = [columns.get(name, f"one.{name}") for name in names]
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH one AS MATERIALIZED (SELECT * FROM {table} WHERE id = %s)"
            f" INSERT INTO {table} ({', '.join(names)})"
            f" SELECT {', '.join(values)} FROM {source}, one",
            [row.pk],
        )


def crowd(owner) -> None:
    """Contacts with an address each, and the index of their addresses. Nothing else hears of them: what notes
    changes, and whether owners exist, is no matter here and would take most of the time."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
    first = Contact.objects.create(
        last_name="Example", email_address1="c0@customer.example", owning_user=owner
    )
    copies(
        first,
        f"generate_series(1, {CONTACTS}) number",
        id="gen_random_uuid()",
        last_name="'Example ' || number",
        email_address1="'c' || number || '@customer.example'",
    )
    kind = ContentType.objects.get_for_model(Contact)
    copies(
        EmailSearch.objects.get(parent_type=kind),
        f"(SELECT * FROM {Contact._meta.db_table} WHERE last_name <> 'Example') contact",
        id="gen_random_uuid()",
        parent_id="contact.id::text",
        email_address="contact.email_address1",
    )
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = DEFAULT")
        cursor.execute(f"ANALYZE {', '.join(sorted(BIG))}")


def look_ups(mailbox, count: int) -> tuple[Page, Counted]:
    """Those of a page, as the incoming cycle does them."""
    messages = [
        parse(
            message(
                message_id=f"{number}@customer.example",
                sender=f"c{number * 97 + 1}@customer.example",
                to=f"support@example.com, c{number * 31 + 5}@customer.example, x{number}@y.example",
                cc=f"c{number * 7 + 3}@customer.example",
                in_reply_to=f"<answered{number}@customer.example>",
                subject=f"RE: Words of its own {number} CRM:0001{number:03}",
            )
        )
        for number in range(count)
    ]
    reading = Reading(
        mailbox=mailbox,
        organization=organization(),
        party=reading_of(mailbox),
        start=None,
        watermark=None,
        now=NOW,
    )
    with counting() as counted:
        page = page_of(reading, messages)
    return page, counted


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def scans_of(sql: str) -> Iterator[tuple[str, str]]:
    """How the database reads which of the big tables."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}")
        plan = cursor.fetchone()[0]
    (explained,) = json.loads(plan) if isinstance(plan, str) else plan
    for node in nodes(explained["Plan"]):
        if node.get("Relation Name") in BIG:
            yield node["Relation Name"], node["Node Type"]


def test_a_page_is_looked_up_by_index_among_200_000_contacts():
    support = queue_mailbox("support")
    organization(
        enable_smart_matching=True,
        use_envelope_evidence=True,
        own_email_needs_permission=True,
        sss_create_additional_queue_items_for_already_tracked_email=True,
    )
    few = len(look_ups(support, 50)[1])
    crowd(support.owner)

    page, counted = look_ups(support, 50)

    found = [match for one in page.book.matches.values() for match in one]
    assert len({match.id for match in found if match.kind == "activities.contact"}) > 100
    assert len(counted) <= few + 1 <= 15, str(counted)  # one more: there are contacts now
    scans = {scan for sql in counted.sql for scan in scans_of(sql)}
    assert {table for table, _ in scans} == BIG
    by_index = {"Index Scan", "Bitmap Heap Scan", "Index Only Scan"}
    assert {kind for _, kind in scans} <= by_index, scans
