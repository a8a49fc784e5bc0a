"""Finding the record that mail is filed under."""

import pytest
from django.contrib.contenttypes.models import ContentType

from mailboxes import access
from mailboxes.choices import Reach
from mailboxes.models import SystemUser, Team
from tests.factories.activities import AccountFactory, ContactFactory, LeadFactory
from tests.factories.mailboxes import (
    QueueFactory,
    SuperuserFactory,
    SystemUserFactory,
    TeamFactory,
    group_of,
)
from tracking.records import FOUND, find_records, record_of, ref_of, shown, value_of

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def everybody() -> SystemUser:
    return SuperuserFactory(first_name="Robin", last_name="Admin")


def names(words, user):
    return {one.name for one in find_records(words, user)}


def test_one_search_looks_through_every_kind_of_record(everybody):
    made = [
        AccountFactory(name="Fabrikam North"),
        ContactFactory(first_name="Noora", last_name="Fabrikam"),
        LeadFactory(subject="Fabrikam wants a demo"),
        QueueFactory(name="Fabrikam orders"),
        SystemUserFactory(first_name="Fay", last_name="Fabrikam"),
        ContactFactory(last_name="Other", email_address2="sales@fabrikam.example"),
    ]
    ContactFactory(last_name="Contoso")

    assert names("fabrikam", everybody) == {str(record) for record in made}
    assert names("FABRIKAM nor", everybody) == {"Fabrikam North"}
    assert names("  ", everybody) == names("\0", everybody) == set()


def test_names_that_begin_with_the_words_come_first(everybody):
    AccountFactory(name="Alpine Trading")
    AccountFactory(name="Trading Alpine")
    assert [one.name for one in find_records("trading", everybody)] == [
        "Trading Alpine",
        "Alpine Trading",
    ]


def test_a_page_of_records_is_enough(everybody):
    for number in range(FOUND + 2):
        AccountFactory(name=f"Fabrikam {number}")
    assert len(find_records("fabrikam", everybody)) == FOUND


def test_records_out_of_sight_are_neither_found_nor_chosen():
    user = SystemUserFactory()
    own, foreign = (
        AccountFactory(name="Fabrikam", owning_user=user),
        AccountFactory(name="Fabrikam"),
    )
    assert find_records("fabrikam", user) == []
    group_of(user, "view_account", reach=Reach.OWN)

    assert [one.value for one in find_records("fabrikam", user)] == [value_of(own)]
    assert record_of(value_of(own), user) == own
    assert record_of(value_of(foreign), user) is None


@pytest.mark.parametrize(
    "value",
    ["", "activities.account", "activities.account:x", "activities.account:", "auth.group:1"],
)
def test_what_stands_for_no_record_is_none(everybody, value):
    assert record_of(value, everybody) is None


def test_a_record_is_shown_hidden_or_gone():
    user = SystemUserFactory()
    group_of(user, "view_contact", reach=Reach.OWN)
    own, foreign, gone = ContactFactory(owning_user=user), ContactFactory(), ContactFactory()
    refs = {name: ref_of(row) for name, row in (("own", own), ("foreign", foreign), ("gone", gone))}
    gone.delete()
    nonsense = (ContentType.objects.get_for_model(SystemUser).pk, "x")

    found = shown([*refs.values(), nonsense], user)

    assert {name: (found[ref].record, found[ref].exists) for name, ref in refs.items()} == {
        "own": (own, True),
        "foreign": (None, True),
        "gone": (None, False),
    }
    assert nonsense not in found


def test_records_of_a_sites_own_models_are_found_once_somebody_may_see_them(
    everybody, settings, monkeypatch
):
    team = TeamFactory(name="Partners", email_address="partners@example.org")
    assert find_records("partners", everybody) == []
    settings.EMAIL_ENABLED_MODELS = [*settings.EMAIL_ENABLED_MODELS, "mailboxes.Team"]
    assert [one.value for one in find_records("partners@example", everybody)] == [value_of(team)]

    monkeypatch.delitem(access._RULES, Team)
    assert find_records("partners", everybody) == []
    assert record_of(value_of(team), everybody) is None
