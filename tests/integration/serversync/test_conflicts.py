"""Addresses that several records share: how bad, who is chosen and why, and the word at save (R10.8)."""

import pytest
from django.contrib.contenttypes.models import ContentType
from django.contrib.messages import get_messages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from activities.models import Account, Contact, Lead
from mailboxes import conflicts
from mailboxes.choices import Reach
from mailboxes.conflicts import Severity
from mailboxes.models import EmailSearch, SystemUser
from tests.factories.clients import signed_in
from tests.factories.mailboxes import (
    QueueFactory,
    SuperuserFactory,
    SystemUserFactory,
    group_of,
    organization,
)
from tests.factories.posting import form_data

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

URL = "/conflicts/"
#: The page of a user has the personal options below.
INLINES = {"settings-TOTAL_FORMS": "0", "settings-INITIAL_FORMS": "0"}


@pytest.fixture
def owner() -> SystemUser:
    return SystemUserFactory(
        domain_name="ada",
        first_name="Ada",
        last_name="Example",
        internal_email_address="ada@example.com",
    )


@pytest.fixture
def admin():
    return signed_in(SuperuserFactory(domain_name="admin", first_name="Robin", last_name="Admin"))


def contact(owner: SystemUser, address: str, name: str = "Cleo") -> Contact:
    return Contact.objects.create(
        first_name=name, last_name="", email_address1=address, owning_user=owner
    )


def account(owner: SystemUser, address: str, name: str = "Customer Ltd") -> Account:
    return Account.objects.create(name=name, email_address1=address, owning_user=owner)


def all_kinds(owner: SystemUser) -> None:
    contact(owner, "Ada@Example.com")
    QueueFactory(name="Sales", email_address="sales@example.com", owning_user=owner)
    boss = SystemUserFactory(domain_name="boss", internal_email_address="boss@example.com")
    boss.personal_email_address = "sales@example.com"
    boss.save()
    contact(owner, "twice@customer.example")
    contact(owner, "<twice@customer.example>", "Dora")
    contact(owner, "office@customer.example")
    account(owner, "office@customer.example")
    contact(owner, "once@customer.example")


@pytest.mark.rule("R10.8")
def test_shared_addresses_are_grouped_by_how_bad_they_are(owner) -> None:
    all_kinds(owner)

    found = {row.address: row.severity for row in conflicts.portion(0, 50)}

    assert found == {
        "ada@example.com": Severity.PARTY_AND_RECORD,
        "sales@example.com": Severity.PARTIES,
        "twice@customer.example": Severity.ONE_TYPE,
        "office@customer.example": Severity.SEVERAL_TYPES,
    }
    assert list(found.values()) == sorted(found.values())
    assert conflicts.counts() == dict.fromkeys(Severity, 1) | {Severity.TOO_MANY: 0}
    assert [row.address for row in conflicts.portion(0, 9, words="OFFICE@")] == [
        "office@customer.example"
    ]


@pytest.mark.rule("R10.8", "R3.32")
def test_the_report_tells_whom_mail_counts_as_and_why(owner, admin) -> None:
    all_kinds(owner)

    page = admin.get(URL)

    told = {one.shared.address: one for one in page.context["conflicts"]}
    shared = told["ada@example.com"]
    assert [(holder.kind, "Ada" in str(holder.words)) for holder in shared.holders] == [
        ("User", True),
        ("Contact", False),
    ]
    assert "Ada Example" in str(shared.chosen.words)
    assert str(shared.because) == "the first of several records with this address"
    assert "Cleo" in str(told["office@customer.example"].chosen.words)
    one = admin.get(URL, {"severity": str(Severity.ONE_TYPE.value)}).context["conflicts"]
    assert [conflict.shared.address for conflict in one] == ["twice@customer.example"]
    organization(unresolve_sender_in_case_of_multiple_match=True)
    again = admin.get(URL).context["conflicts"]
    assert all(conflict.chosen is None for conflict in again)
    for nonsense in ({"severity": "x"}, {"page": "-1"}, {"q": "\0"}):
        assert admin.get(URL, nonsense).status_code == 200


@pytest.mark.rule("R3.34")
def test_an_address_of_more_than_a_hundred_stands_for_nobody(owner, admin) -> None:
    kind = ContentType.objects.get_for_model(Contact)
    EmailSearch.objects.bulk_create(
        EmailSearch(email_address="all@customer.example", parent_type=kind, parent_id=str(number))
        for number in range(101)
    )

    page = admin.get(URL)

    (one,) = page.context["conflicts"]
    assert (one.shared.severity, one.chosen, one.unnamed) == (Severity.TOO_MANY, None, 101)
    assert "101 records" in page.content.decode()


def test_a_page_costs_the_same_however_many_addresses_there_are(owner, admin) -> None:
    contact(owner, "ada@example.com")
    admin.get(URL)
    with CaptureQueriesContext(connection) as few:
        admin.get(URL)
    contacts = Contact.objects.bulk_create(
        Contact(first_name=str(n), email_address1=f"{n // 2}@customer.example", owning_user=owner)
        for n in range(240)
    )
    kind = ContentType.objects.get_for_model(Contact)
    EmailSearch.objects.bulk_create(
        EmailSearch(email_address=one.email_address1, parent_type=kind, parent_id=str(one.pk))
        for one in contacts
    )
    with CaptureQueriesContext(connection) as many:
        page = admin.get(URL)

    assert len(page.context["conflicts"]) == 50
    assert len(many) == len(few)
    assert "Page 1 of 3" in page.content.decode()
    last = admin.get(URL, {"page": "3"})
    assert len(last.context["conflicts"]) == 21


def test_only_reach_over_all_addresses_opens_it_and_names_stay_within_reach(owner) -> None:
    contact(SystemUserFactory(domain_name="other"), "ada@example.com", "Hidden")
    reader = SystemUserFactory(domain_name="reader")
    group_of(reader, "view_emailsearch", reach=Reach.OWN)
    assert signed_in(reader).get(URL).status_code == 403
    group_of(reader, "view_emailsearch", reach=Reach.ALL)

    page = signed_in(reader).get(URL)

    assert page.status_code == 200
    text = page.content.decode()
    assert "ada@example.com" in text
    assert "Hidden" not in text
    assert "a record that you can&#x27;t see" in text


# -- at save


def saved(client, record, **values) -> str:
    url = reverse(
        f"admin:{record._meta.app_label}_{record._meta.model_name}_change", args=[record.pk]
    )
    answer = client.post(url, form_data(client, url) | INLINES | values, follow=True)
    assert answer.status_code == 200
    assert not answer.context.get("errors"), answer.context["errors"]
    return " | ".join(str(message) for message in get_messages(answer.wsgi_request))


@pytest.mark.rule("R10.8")
def test_saving_an_address_of_others_says_so_and_what_comes_of_it(owner, admin) -> None:
    cleo = contact(owner, "cleo@customer.example")
    words = saved(admin, cleo, email_address1="Ada@example.com")
    assert "ada@example.com is also the address of Ada Example (user)" in words
    assert "count as that of Ada Example (R3.32)" in words

    assert "also the address" not in saved(admin, cleo, first_name="Clio")
    customer = account(owner, "office@customer.example")
    words = saved(admin, customer, email_address2="ada@example.com")
    assert "Ada Example (user), Clio (contact)" in words
    gil = Lead.objects.create(subject="Demo", owning_user=owner)
    assert "Clio (contact)" in saved(admin, gil, email_address1="ada@example.com")
    sales = QueueFactory(name="Sales", email_address="sales@example.com", owning_user=owner)
    words = saved(admin, sales, email_address="office@customer.example")
    assert "count as that of Customer Ltd (R3.32)" in words
    words = saved(admin, owner, personal_email_address="office@customer.example")
    assert "Customer Ltd (account), Sales (queue)" in words
    assert "count as that of this record" in words


def test_what_the_saver_may_not_see_is_counted_and_not_named(owner) -> None:
    contact(SystemUserFactory(domain_name="other"), "office@customer.example", "Hidden")
    clerk = SystemUserFactory(domain_name="clerk")
    group_of(clerk, "view_account", "change_account", reach=Reach.OWN)
    customer = account(clerk, "x@customer.example")

    words = saved(signed_in(clerk), customer, email_address1="office@customer.example")

    assert "is also the address of 1 other record" in words
    assert "another record (R3.32)" in words
    assert "Hidden" not in words
